"""Sets that are more than appending, and adds, as a client sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.broker.session import Session
from memq.errors import StoreError
from memq.operations.base import JOINED
from memq.test.commands.test_protocol import END, STORED, put, value
from memq.test.operations.test_pushes import RuledTestCase
from memq.test.support.sessions import SessionTestCase, sessions

if TYPE_CHECKING:
    from memq.operations.pushes import Push


@sessions(
    {
        "A queue that was added has a limit, which stays.": """
            > add q 0 0 1 | 2 -> STORED
            > add q 5 -9 3 | 100 -> NOT_STORED
            > set q 0 0 1 | a -> STORED
            > set q 0 0 1 | b -> STORED
            > set q 0 0 1 | c -> NOT_STORED
            > get q -> VALUE q 0 1 | a | END
            > set q 0 0 1 | d -> STORED
            > stats queue -> STAT q 3/1 | END
        """,
        "A limit of 0 is none.": """
            > add q 0 0 1 | 0 -> STORED
            > set q 0 0 1 | a -> STORED
            > add q 0 0 1 | 1 -> NOT_STORED
        """,
        "What is no number adds nothing.": """
            > add q 0 0 3 | ten -> CLIENT_ERROR not a number
            > add q 0 0 0
            | \\r\\n -> CLIENT_ERROR not a number
            > add q 0 0 21 | 111111111111111111111 -> CLIENT_ERROR not a number
            > stats queue -> END
        """,
        "An add whose body is longer than announced closes.": """
            > add q 0 0 1 | 10 -> CLIENT_ERROR bad data chunk
            closed
        """,
        "A delayed message is not seen, and makes its queue.": """
            > set q/delay=5 0 0 1 | a -> STORED
            > set q/delay=0 0 0 1 | b -> STORED
            > set q/delay=5 0 0 1 noreply | c
            > get q q -> VALUE q 0 1 | b | END
            > stats queue -> STAT q 1/1 | END
        """,
    }
)
class AddSessions(SessionTestCase):
    """Sessions with a server that has no rules."""


class WriterTests(RuledTestCase):
    """Sets that become one operation, and sets that do not."""

    def test_joined(self) -> None:
        """Where others have rules, plain sets of one packet are few operations."""
        self.begin(other={"maxItems": 1})
        asked: list[Push] = []
        push = Session.push

        def pushed(*details: Any) -> Push:
            asked.append(push(*details))
            return asked[-1]

        self.patch(Session, "push", pushed)
        count = 2 * JOINED
        self.talk(put(b"q", b"x") * count + b"set q 0 5 1\r\nx\r\n" + put(b"q", b"x"))
        self.assertEqual([push.count for push in asked], [JOINED, JOINED, 1, 1])
        self.assertEqual(self.detail().items, count + 2)

    def test_window(self) -> None:
        """Their load counts, and stops the reading."""
        self.begin(other={"maxItems": 1})
        self.harness.broker.budget.window = 4096
        self.client.send(put(b"q", b"x") * 40)
        self.assertTrue(self.client.isPaused)
        self.harness.settle()
        self.assertEqual(self.client.read(), STORED * 40)

    def test_notJoined(self) -> None:
        """A plain set behind one with a delay is not delayed, and the other way."""
        self.begin()
        self.talk(put(b"q/delay=5", b"a"), put(b"q", b"b"), put(b"q/delay=5", b"c"))
        self.assertEqual(self.talk(b"get q q\r\n"), value(b"q", b"b") + END)

    def test_addError(self) -> None:
        """An add that the store refuses is told why."""
        self.begin()
        self.patch(self.store, "setLimit", self.refuse)
        answer = self.talk(b"add q 0 0 1\r\n5\r\n")
        self.assertEqual(answer, b"SERVER_ERROR bad page\r\n")

    def refuse(self, queue: bytes, limit: int) -> bool:
        """Refuse."""
        raise StoreError("bad page")
