"""Changes of rules: what clients are answered, and what holds behind the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from memq.config.reload import Changed
from memq.errors import HomeGone
from memq.test.commands.test_protocol import END, STORED, ProtocolTestCase, put
from memq.test.support.sessions import SessionTestCase, sessions

if TYPE_CHECKING:
    from memq.config.online import Change

OK = b"OK\r\n"


@sessions(
    {
        "Several keys are set together, and removed one by one.": """
            > rule set q overflow drop-oldest max_items 1 -> OK
            > rule unset q max_age -> NOT_FOUND
            > rule unset q overflow -> OK
            > rule list -> STAT q max_items=1 | END
            > rule unset q -> OK
            > rule unset q -> NOT_FOUND
            > rule list -> END
        """,
        "What cannot be changes nothing.": """
            > rule set q max_item 1
            < SERVER_ERROR max_item = 1: is no key; the nearest is max_items
            > rule set q max_items 5 paused never
            < SERVER_ERROR paused = never: must be no, reads, writes or both
            | rule set q\\xff max_items 5\\r\\n
            < SERVER_ERROR q\\xff: is not UTF-8; a pattern has ? for any byte
            | rule set q dead_letter \\xff\\r\\n
            < SERVER_ERROR "dead_letter = \\xff" is not UTF-8
            > rule list -> END
        """,
    }
)
class ChangeSessions(SessionTestCase):
    """Answers to rule set and rule unset."""


class ChangeTests(ProtocolTestCase):
    """Changes that take their time."""

    options: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        """Let changes wait until the test goes on."""
        super().setUp()
        self.done: list[Deferred[Any]] = []
        self.reloader = self.harness.factory.rules

    def hold(self) -> None:
        """Let a change be told when the test says so."""

        def change(change: Change) -> Deferred[Changed]:
            done: Deferred[Changed] = Deferred()
            self.done.append(done)
            return done

        self.patch(self.reloader, "change", change)

    def test_holds(self) -> None:
        """The commands behind it wait until it is durable and holds."""
        self.hold()
        self.asks(b"rule set q max_items 1\r\n" + put(b"q", b"a"), b"")
        other = self.harness.connect()
        self.assertEqual(other.talk(b"get q\r\n"), END)
        self.done[0].callback(Changed(None, {"max_items": 1}))
        self.harness.settle()
        self.assertEqual(self.client.read(), OK + STORED)

    def test_gone(self) -> None:
        """A client that is gone is told nothing, and its change is made."""
        self.hold()
        self.client.send(b"rule set q max_items 1\r\n")
        self.client.end()
        self.done[0].callback(Changed(None, {"max_items": 1}))
        self.assertEqual(self.client.read(), b"")

    def test_unforeseen(self) -> None:
        """What nobody foresaw is logged, and an error in its place."""
        self.hold()
        self.client.talk(b"rule unset q\r\nversion\r\n")
        self.done[0].errback(Failure(ZeroDivisionError()))
        self.harness.settle()
        self.assertTrue(
            self.client.read().startswith(b"SERVER_ERROR internal error\r\nVERSION")
        )
        self.flushLoggedErrors(ZeroDivisionError)

    def test_moved(self) -> None:
        """In a home that is gone it is refused, and the connection closed."""
        self.hold()
        self.client.talk(b"rule unset q\r\n")
        self.done[0].errback(Failure(HomeGone("/h", "elsewhere")))
        self.harness.settle()
        told = self.client.read()
        self.assertEqual(
            told, b"SERVER_ERROR the home was moved, exchanged or removed\r\n"
        )
        self.assertTrue(self.client.isClosed)

    def test_waiter(self) -> None:
        """A client that waits gets its message when a rule pauses no more."""
        self.asks(put(b"q", b"a") + b"rule set q paused reads\r\n", STORED + OK)
        other = self.harness.connect()
        self.assertEqual(other.talk(b"get q/t=9000\r\n"), b"")
        self.asks(b"rule unset q paused\r\n", OK)
        self.assertEqual(other.talk(b""), b"VALUE q/t=9000 0 1\r\na\r\n" + END)

    def test_until(self) -> None:
        """A rule holds for the commands behind it, until it is gone."""
        self.asks(b"rule set q* max_items 1\r\n" + put(b"qq", b"a"), OK + STORED)
        self.asks(put(b"qq", b"b"), b"NOT_STORED\r\n")
        self.asks(b"rule unset q*\r\n" + put(b"qq", b"b"), OK + STORED)
        why = b'dead_letter = "q": a queue would hand on to itself: q -> q'
        self.asks(b"rule set q dead_letter q\r\n", b"SERVER_ERROR %b\r\n" % why)

    def test_belowDepth(self) -> None:
        """A limit below what is there keeps that, as one in the file does."""
        self.client.talk(b"".join(put(b"q", b"%d" % each) for each in range(5)))
        self.asks(
            b"rule set q max_items 2\r\n" + put(b"q", b"x"), OK + b"NOT_STORED\r\n"
        )
        self.asks(b"stats queue\r\n", b"STAT q 5/0\r\n" + END)
        # A set drops as many as are too many then.
        self.asks(b"rule set q overflow drop-oldest\r\n", OK)
        self.asks(put(b"q", b"x"), STORED)
        self.asks(b"get q\r\n", b"VALUE q 0 1\r\n4\r\n" + END)
