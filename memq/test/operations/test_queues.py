"""Pause, resume and reload, and plain gets of queues with rules, as a client sees them.

Their effect on reads is in test_policyreads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from memq.errors import ConfigError, DamagedMessage, StoreError
from memq.message import PART_SIZE
from memq.policy.rules import READS, WRITES
from memq.test.commands.test_protocol import END, STORED, ProtocolTestCase, put, value
from memq.test.support.readers import rules
from memq.test.support.sessions import SessionTestCase, sessions

if TYPE_CHECKING:
    from memq.policy.rules import Rules

OK = b"OK\r\n"
#: A body in three parts.
LARGE = b"".join(b"%07d " % number for number in range(2 * PART_SIZE // 8 + 9))


@sessions(
    {
        "A queue that is paused for reads has nothing, until it is resumed.": """
            > set q 0 0 1 | a -> STORED
            > pause q reads -> OK
            > get q -> END
            > get q q -> END
            > get q/open -> END
            > set q 0 0 1 | b -> STORED
            > resume q -> OK
            > get q q
            < VALUE q 0 1
            < a
            < VALUE q 0 1
            < b
            < END
        """,
        "One that is paused for writes is read, and takes nothing.": """
            > set q 0 0 1 | a -> STORED
            > pause q writes -> OK
            > set q 0 0 1 | b -> NOT_STORED
            > gets q -> VALUE q 0 1 0 | a | END
        """,
        "A pause is for both, and is added to what is paused.": """
            > pause p reads -> OK
            > pause p writes -> OK
            > set p 0 0 1 | a -> NOT_STORED
            > resume p -> OK
            > pause p -> OK
            > set p 0 0 1 | a -> NOT_STORED
            > get p -> END
        """,
        "A pause makes the queue, a resume does not.": """
            > resume q -> NOT_FOUND
            > pause p -> OK
            > resume p -> OK
            > stats queue -> STAT p 0/0 | END
        """,
        "Other queues are not paused.": """
            > pause p -> OK
            > set q 0 0 1 | a -> STORED
            > get p q -> VALUE q 0 1 | a | END
        """,
        "Rules are read again.": """
            > reload -> OK
        """,
    }
)
class PauseSessions(SessionTestCase):
    """Answers to pause, resume and reload."""


class ReloadTests(ProtocolTestCase):
    """The rules are read again."""

    def setUp(self) -> None:
        """Have rules that can be replaced."""
        self.rules: Rules = rules()
        super().setUp()
        self.patch(self.harness.factory.rules, "reload", self.reload)
        self.error: Exception | None = None
        self.takes = 0

    def reload(self) -> Deferred[None]:
        """Replace them, or say what is wrong, as soon as there is time for that."""
        done: Deferred[None] = Deferred()
        done.addCallback(lambda _: self.read())
        self.harness.reactor.callLater(self.takes, done.callback, None)
        return done

    def read(self) -> None:
        """Do it."""
        if self.error is not None:
            raise self.error
        self.harness.broker.policies.replace(self.rules)

    def test_replaced(self) -> None:
        """Commands behind it find the new rules."""
        self.client.talk(put(b"q", b"a"))
        self.rules = rules(q={"paused": READS})
        told = self.client.talk(b"get q/peek\r\nreload\r\nget q\r\n")
        self.assertTrue(told.endswith(OK + END), told)
        self.rules = rules()
        self.asks(b"reload\r\nget q\r\n", OK + value(b"q", b"a") + END)

    def test_mistake(self) -> None:
        """A mistake is told in its place, and in the log; the rules stay."""
        self.rules = rules(q={"paused": READS})
        self.client.talk(b"reload\r\n" + put(b"q", b"a"))
        self.error = ConfigError("/etc/m.toml", 7, "max_items = -1: must be\n" * 9)
        with capturedLogs() as events:
            told = self.client.talk(b"get q\r\nreload\r\nget q\r\n")
        why = b" ".join([b"max_items = -1: must be"] * 9)
        expected = b"SERVER_ERROR /etc/m.toml line 7: " + why + b"\r\n"
        self.assertEqual(told, END + expected + END)
        self.assertEqual(events[0]["error"].args[0], str(self.error))

    def test_waiting(self) -> None:
        """A waiter gets the message of a queue that is paused no longer."""
        self.rules = rules(q={"paused": READS})
        self.client.talk(b"reload\r\n" + put(b"q", b"a"))
        other = self.harness.connect()
        self.assertEqual(other.talk(b"get q/t=9000\r\n"), b"")
        self.rules = rules()
        self.client.talk(b"reload\r\n")
        self.assertEqual(other.read(), value(b"q/t=9000", b"a") + END)

    def test_others(self) -> None:
        """Others are served meanwhile; what comes behind it waits, in any packets."""
        self.takes = 5
        self.rules = rules(q={"paused": WRITES})
        self.asks(b"reload\r\n" + put(b"q", b"a"), b"")
        self.asks(put(b"q", b"b"), b"")
        other = self.harness.connect()
        self.assertEqual(other.talk(put(b"q", b"c")), STORED)
        self.harness.pass_(5)
        self.assertEqual(self.client.read(), OK + b"NOT_STORED\r\n" * 2)
        self.asks(b"get q\r\n", value(b"q", b"c") + END)

    def test_gone(self) -> None:
        """The rules hold although the client that asked has gone."""
        self.takes = 5
        self.rules = rules(q={"paused": WRITES})
        self.client.send(b"reload\r\n" + put(b"q", b"a"))
        self.client.leave()
        self.harness.pass_(5)
        self.assertEqual(self.harness.factory.lingering, 0)
        other = self.harness.connect()
        self.assertEqual(other.talk(put(b"q", b"c")), b"NOT_STORED\r\n")

    def test_full(self) -> None:
        """It holds a client back as well that did not read and reads again."""
        self.takes = 5
        self.client.send(b"reload\r\nget q\r\n")
        self.client.stopReading()
        self.client.startReading()
        self.harness.settle()
        self.assertEqual(self.client.read(), b"")
        self.harness.pass_(5)
        self.assertEqual(self.client.read(), OK + END)

    def test_stop(self) -> None:
        """At a stop it is answered, and what comes behind it is not carried out."""
        self.takes = 5
        self.client.send(b"reload\r\n" + put(b"q", b"a"))
        self.client.protocol.finish()
        self.assertFalse(self.client.isClosed)
        self.harness.pass_(5)
        self.assertEqual(self.client.read(), OK)
        self.assertTrue(self.client.isClosed)
        self.assertEqual(self.store.dump(), "")

    def test_unforeseen(self) -> None:
        """An unforeseen error is answered, and logged."""
        self.error = ZeroDivisionError()
        told = self.client.talk(b"reload\r\nget q\r\n")
        self.assertEqual(told, b"SERVER_ERROR internal error\r\n" + END)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class OrderTests(ProtocolTestCase):
    """Commands that come at once."""

    def test_pipelined(self) -> None:
        """A pause holds for what comes behind it, and not for what came before."""
        self.client.talk(put(b"q", b"a") + put(b"q", b"b"))
        told = self.client.talk(
            b"get q\r\npause q\r\nget q\r\nget q r\r\nresume q\r\nget q\r\nget q\r\n"
        )
        self.assertEqual(
            told,
            value(b"q", b"a") + END + OK + END * 2 + OK + value(b"q", b"b") + END * 2,
        )

    def test_durable(self) -> None:
        """OK is not said before it is synced."""
        for line in (b"pause q\r\n", b"resume q\r\n"):
            self.client.send(line)
            self.runTurns()
            self.assertEqual(self.client.read(), b"")
            self.asks(b"", OK)

    def test_error(self) -> None:
        """An operation that the store cannot do is told."""
        self.harness.store.refuse("commit", StoreError("bad page"))
        for line in (b"pause q\r\n", b"resume q\r\n"):
            self.asks(line, b"SERVER_ERROR bad page\r\n")

    def test_joined(self) -> None:
        """Gets of queues without a policy are joined, whatever others have."""
        self.harness.broker.policies.replace(rules(other={"max_age": 1000}))
        self.client.talk(put(b"q", b"a") * 3)
        self.client.send(b"get q\r\n" * 3)
        self.assertEqual(len(self.client.protocol.session.inbox), 1)
        self.client.send(b"pause other\r\n" + b"get q\r\n" * 3)
        self.assertEqual(len(self.client.protocol.session.inbox), 3)
        self.client.send(b"get other\r\n" * 3)
        self.assertEqual(len(self.client.protocol.session.inbox), 6)


class BehindTests(ProtocolTestCase):
    """Plain commands behind a read that waits, on a server that has no rules so far."""

    options: ClassVar[dict[str, Any]] = {"maxBody": 1 << 20}

    def setUp(self) -> None:
        """Have a message in each of two queues, and another client."""
        super().setUp()
        self.client.talk(put(b"q", b"a") + put(b"r", b"b"))
        self.other = self.harness.connect()

    def test_paused(self) -> None:
        """A queue paused meanwhile is paused for them, gets and sets of any kind."""
        self.check(b"get w/t=9000\r\n")

    def test_monitor(self) -> None:
        """So it is behind a monitor."""
        self.check(b"monitor w 9 1\r\n")

    def check(self, first: bytes) -> None:
        """Find that they look at the rules when they are carried out."""
        sets = put(b"q", b"c") + put(b"q", LARGE)
        self.client.talk(first + b"get q\r\nget q r\r\n" + sets)
        self.other.talk(b"pause q\r\npause r reads\r\n" + put(b"w", b"x"))
        told = self.client.talk(b"")
        self.assertEqual(told[-39:], b"END\r\n" * 3 + b"NOT_STORED\r\n" * 2)
        self.assertIn("q 1/0: a\nr 1/0: b\n", self.harness.store.dump())

    def test_plain(self) -> None:
        """Where nothing is special meanwhile, they are carried out as ever."""
        sets = put(b"q", b"c") + put(b"q", LARGE)
        self.client.talk(b"get w/t=9000\r\nget q\r\n" + sets)
        self.other.talk(put(b"w", b"x"))
        expected = value(b"w/t=9000", b"x") + END + value(b"q", b"a") + END
        self.asks(b"", expected + b"STORED\r\n" * 2)


class RuledGetTests(ProtocolTestCase):
    """Plain gets of a queue with rules."""

    options: ClassVar[dict[str, Any]] = {"maxBody": 1 << 20}

    def setUp(self) -> None:
        """Have rules, and messages."""
        super().setUp()
        self.harness.broker.policies.replace(rules(q={"open_timeout": 5.0}))
        self.other = self.harness.connect()
        self.client.talk(put(b"q", b"a") + put(b"r", b"b") + put(b"q", b"c"))

    def holds(self) -> list[bool]:
        """Return which of q and r may get a message back."""
        return [self.harness.factory.holds(queue) for queue in (b"q", b"r")]

    def test_get(self) -> None:
        """They take, and count, as those of other queues."""
        self.harness.statistics.zero()
        self.asks(b"get q\r\n", value(b"q", b"a") + END)
        self.asks(
            b"gets q r q\r\n", b"VALUE q 0 1 1\r\nc\r\nVALUE r 0 1 0\r\nb\r\n" + END
        )
        statistics = self.harness.statistics
        self.assertEqual((statistics.getCommands, statistics.getHits), (4, 3))
        self.assertEqual(self.client.protocol.session.outstanding.undelivered, 0)

    def test_gone(self) -> None:
        """A message that is not sent goes back."""
        self.client.send(b"get q\r\nget r q\r\n")
        self.runTurns()
        self.assertEqual(self.store.dump(), "q 2/2:\nr 1/1:")
        self.client.end()
        self.assertEqual(self.store.dump(), "q 2/0: a c\nr 1/0: b")

    def test_error(self) -> None:
        """An error in the middle ends the reply, and later names keep theirs."""
        self.harness.store.damaged[b"r"] = DamagedMessage("number 0")
        told = self.client.talk(b"get q r q\r\n")
        self.assertEqual(
            told,
            value(b"q", b"a") + b"SERVER_ERROR damaged message set aside: number 0\r\n",
        )
        self.asks(b"get q\r\n", value(b"q", b"c") + END)

    def test_large(self) -> None:
        """So do large ones, alone or among others."""
        self.client.talk(put(b"q", LARGE) + put(b"q", LARGE))
        self.client.talk(b"get q q\r\n")
        block = value(b"q", LARGE)
        self.asks(b"get q\r\n", block + END)
        told = self.client.talk(b"get q r q\r\n")
        self.assertEqual(told, block + value(b"r", b"b") + END)
        session = self.client.protocol.session
        self.assertTrue(session.outstanding.isSettled)

    def test_largeGone(self) -> None:
        """A large one that is not sent to its end goes back, and until then may."""
        self.client.talk(put(b"q", LARGE))
        self.client.talk(b"get q q\r\n")
        real = self.client.transport.write

        def write(data: bytes) -> None:
            real(data)
            self.client.stopReading()

        self.patch(self.client.transport, "write", write)
        told = self.client.talk(b"get q/t=0\r\n")
        self.assertTrue(told.startswith(b"VALUE q/t=0 0 131144\r\n"))
        self.assertEqual(self.holds(), [True, False])
        self.client.end()
        self.assertEqual(self.holds(), [False, False])
        self.assertEqual(self.other.talk(b"get q\r\n"), value(b"q", LARGE) + END)

    def test_holds(self) -> None:
        """A message may go back as long as it is not sent."""
        self.client.send(b"get r\r\n")
        self.runTurns()
        self.assertEqual(self.holds(), [False, True])
        self.client.leave()
        # Nobody asks what those that are gone had in mind.
        self.assertEqual(self.holds(), [True, True])
        self.harness.settle()
        self.assertEqual(self.holds(), [False, False])
