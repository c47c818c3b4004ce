"""Commands about one of several open reads, as clients send them."""

from __future__ import annotations

from memq.errors import StoreError
from memq.message import PART_SIZE
from memq.test.commands.test_protocol import (
    END,
    STORED,
    TwoClientsTestCase,
    put,
    value,
)
from memq.test.support.sessions import SessionTestCase, sessions

#: A body in two parts.
LARGE = b"x" * (PART_SIZE + 9)


@sessions(
    {
        "One of several is closed by its number, in any order.": """
            > set q 0 0 1 | a -> STORED
            > set q 0 0 1 | b -> STORED
            > gets q/open/more -> VALUE q/open/more 0 1 0 | a | END
            > gets q/open/more -> VALUE q/open/more 0 1 1 | b | END
            > delete q/open=1 -> DELETED
            > delete q/open=1 -> NOT_FOUND
            > delete q/open=0 0 noreply
            > delete q/open=0 noreply
            > stats queue -> STAT q 2/2 | END
        """,
        "One is closed, and the next one opened, in one command.": """
            > set q 0 0 1 | a -> STORED
            > set q 0 0 1 | b -> STORED
            > get q/open -> VALUE q/open 0 1 | a | END
            > gets q/close=0/open/more -> VALUE q/close=0/open/more 0 1 1 | b | END
            > get q/close=1 -> END
            > get q/close=1/open -> CLIENT_ERROR not open on this connection
            > stats queue -> STAT q 2/2 | END
        """,
        "Each can go back to its place.": """
            > set q 0 0 1 | a -> STORED
            > set q 0 0 1 | b -> STORED
            > get q/open -> VALUE q/open 0 1 | a | END
            > get q/open/more -> VALUE q/open/more 0 1 | b | END
            > get q/abort=0 q/abort=0 q -> CLIENT_ERROR not open on this connection
            > gets q -> VALUE q 0 1 0 | a | END
            > get q/abort q -> VALUE q 0 1 | b | END
        """,
        "A touch says whether there is something to extend.": """
            > set q 0 0 1 | a -> STORED
            > touch q/open=0 5 -> NOT_FOUND
            > get q/open -> VALUE q/open 0 1 | a | END
            > touch q/open=0 5 -> TOUCHED
            > touch q/open=0 0 noreply
            > touch q/open=1 5 noreply
            > flush q -> END
            > touch q/open=0 5 -> NOT_FOUND
        """,
    }
)
class NumberSessions(SessionTestCase):
    """Numbers of open reads."""


class WorkerTests(TwoClientsTestCase):
    """What a worker is told, and what is counted."""

    def test_failed(self) -> None:
        """When the store fails, that is told, and the message stays open."""
        self.store.fill(b"q", b"a")
        self.client.talk(b"get q/open\r\n")
        self.store.refuse("closeRead", StoreError("bad page"))
        self.asks(b"delete q/open=0\r\n", b"SERVER_ERROR bad page\r\n")
        self.asks(b"delete q/open=0 noreply\r\n", b"")
        self.store.forgive()
        self.asks(b"delete q/open=0\r\n", b"DELETED\r\n")

    def test_touchFailed(self) -> None:
        """So when a touch cannot be carried out."""
        self.store.fill(b"q", b"a")
        self.client.talk(b"get q/open\r\n")
        self.store.refuse("commit", StoreError("bad page"))
        self.asks(b"touch q/open=0 5\r\n", b"SERVER_ERROR bad page\r\n")

    def test_counted(self) -> None:
        """Deletes of open messages are counted as others are."""
        self.store.fill(b"q", b"a")
        self.client.talk(b"get q/open\r\n")
        self.client.talk(b"delete q/open=0\r\n" * 3)
        statistics = self.harness.statistics
        self.assertEqual((statistics.deletes, statistics.deleteMisses), (1, 2))

    def test_large(self) -> None:
        """A large body is sent before it is deleted, and then it is gone."""
        self.client.talk(put(b"q", LARGE))
        told = self.client.talk(b"gets q/open/more\r\ndelete q/open=0\r\nversion\r\n")
        head = value(b"q/open/more", LARGE).replace(
            b"%d\r" % len(LARGE), b"%d 0\r" % len(LARGE), 1
        )
        self.assertTrue(told.startswith(head + END + b"DELETED\r\nVERSION"))
        self.assertEqual(self.store.parts, {})

    def test_others(self) -> None:
        """Another connection has none of it, and is told so."""
        self.store.fill(b"q", b"a")
        self.client.talk(b"get q/open\r\n")
        self.assertEqual(
            self.other.talk(b"delete q/open=0\r\ntouch q/open=0 5\r\n"),
            b"NOT_FOUND\r\n" * 2,
        )

    def test_pipeline(self) -> None:
        """A worker that hears no answer may have sent all of it at once."""
        self.asks(
            put(b"q", b"a")
            + b"get q/open/more\r\nget q/open/more\r\nget q/abort=0/delay=9\r\n"
            + b"get q/t=60000\r\n",
            STORED + value(b"q/open/more", b"a") + END * 3,
        )
        self.harness.timeOfDay += 9.0
        self.pass_(9.0)
        self.assertEqual(self.client.read(), value(b"q/t=60000", b"a") + END)
