"""The audit of commands: each that manages something leaves exactly one line."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from memq.commands.audited import GONE
from memq.commands.handlers import MANAGING, VERBS
from memq.errors import ConfigError, StoreError, StoreFailed
from memq.logs.audit import Audit
from memq.test.support.harness import Harness, Transport
from memq.wire import extensions as dialect
from memq.wire import foreign
from memq.wire import text as wire
from memq.wire.imports import grammar as imports
from memq.wire.rules.grammar import ListRules, SetRule, ShowRule, TryRule, UnsetRule
from memq.wire.words import Refused
from testkit.servers import ROOT

if TYPE_CHECKING:
    from twisted.logger import LogEvent

#: The commands that leave no line, since they manage nothing.
QUIET = {
    *(
        wire.Stats,
        wire.Version,
        wire.Verbosity,
        wire.Quit,
        wire.Noop,
        wire.Claim,
        wire.Describe,
    ),
    *(Refused, foreign.Foreign, dialect.Close, dialect.Touch, dialect.Read),
    *(dialect.Reads, dialect.AnyOf, dialect.Monitor, dialect.Confirm),
    imports.Put,
    *(dialect.DumpStats, dialect.Tail, dialect.Peek, TryRule, ListRules, ShowRule),
}
#: What is sent for each of the others, and what the audit says of it.
LINES = {
    wire.Delete: (b"delete full", "delete full: DELETED"),
    wire.FlushAll: (b"flush_all", "flush_all count=3: OK"),
    wire.Checkpoint: (b"db_checkpoint", "db_checkpoint: OK"),
    wire.Archive: (b"db_archive", "db_archive: OK"),
    dialect.Flush: (b"flush full", "flush full count=3: END"),
    dialect.Pause: (b"pause full", "pause full: OK"),
    dialect.Resume: (b"resume full", "resume full: OK"),
    dialect.Reload: (b"reload", "reload: OK"),
    SetRule: (
        b"rule set full max_age 5 max_open 1",
        'rule set full values="max_age 5 max_open 1": OK',
    ),
    UnsetRule: (b"rule unset full", "rule unset full: NOT_FOUND"),
    dialect.Kill: (b"kill 1", "kill number=1 client=10.0.0.1:4000: OK"),
    dialect.Move: (b"move full to", "move full target=to count=3: MOVED 3"),
    imports.Begin: (
        b"import begin " + b"0" * 32,
        f"import token={'0' * 32}: SERVER_ERROR import: ",
    ),
    dialect.Redrive: (b"redrive full", "redrive full count=0: MOVED 0"),
}
#: More of what may come of them.
OTHERS = (
    (b"delete none", "delete none: NOT_FOUND"),
    (b"delete full noreply", "delete full: DELETED"),
    (b"flush none", "flush none count=0: END"),
    (b"kill 9", "kill number=9: NOT_FOUND"),
    (b"resume none", "resume none: NOT_FOUND"),
    (b"pause full reads", "pause full bits=reads: OK"),
    (b"pause full writes", "pause full bits=writes: OK"),
    (b"move full to 2", "move full target=to most=2 count=2: MOVED 2"),
    (b"flush_all 5", "flush_all delay=5: CLIENT_ERROR bad command line format"),
    (b"add new 0 0 1\r\n5", "add new limit=5: STORED"),
    (b"add full 0 0 1\r\n5", "add full limit=5: NOT_STORED"),
    (b"add new 0 0 6\r\nsecret", "add new: CLIENT_ERROR not a "),
    (b"add new 0 0 1\r\n55", "add new limit=5: CLIENT_ERROR bad data chunk"),
)
FULL = b"".join(b"set full 0 0 1\r\n%d\r\n" % each for each in range(3))


class AuditedTestCase(SynchronousTestCase):
    """A server whose audit is looked at."""

    options: dict[str, Any] = {"flushAllEnabled": True}  # noqa: RUF012 - not changed

    def setUp(self) -> None:
        """Start it."""
        self.events: list[LogEvent] = []
        audit = Audit(Clock().seconds, log=self.events.append)
        self.harness = Harness(audit=audit, **self.options)
        self.client = self.connect()

    def connect(self) -> Any:
        """Return a client with a queue of three messages."""
        address = IPv4Address("TCP", "10.0.0.1", 4000)
        client = self.harness.connect(Transport(peerAddress=address))
        client.talk(FULL)
        return client

    def told(self) -> list[str]:
        """Return what the audit said since the last time, but for from where."""
        lines = [event["line"] for event in self.events]
        self.events.clear()
        return [line.partition(") ")[2] for line in lines]


class LineTests(AuditedTestCase):
    """One line for each, with its result."""

    def test_verbs(self) -> None:
        """Each command is known to manage something, or not to."""
        self.assertEqual(QUIET | set(LINES), set(VERBS))
        self.assertEqual(set(LINES), set(MANAGING))

    def test_told(self) -> None:
        """The page names each of the latter."""
        with open(os.path.join(ROOT, "docs/operation.md"), encoding="utf-8") as file:
            _, _, rest = file.read().partition("**The audit.**")
        named = rest.partition("\n\n")[0]
        for word in ("add", *(word for word, _ in MANAGING.values())):
            self.assertIn(f"`{word}`", named)

    def test_one(self) -> None:
        """Each that manages something leaves one line, which says what came of it."""
        for sent, line in (*LINES.values(), *OTHERS):
            self.setUp()
            self.client.talk(sent + b"\r\n")
            said = self.told()
            self.assertEqual([each[: len(line)] for each in said], [line])

    def test_none(self) -> None:
        """Nothing else leaves any."""
        for sent in (
            *(b"get full", b"get full/open", b"delete full/open=1", b"stats"),
            *(b"version", b"verbosity 1", b"noop", b"stats detail", b"dump_stats"),
            *(b"delete /", b"get full/peek", b"mg full v", b"md full/open=7", b"mn"),
        ):
            self.client.talk(sent + b"\r\n")
        self.assertEqual(self.told(), [])

    def test_who(self) -> None:
        """A line tells from where, by which protocol, and how long it took."""
        packet = bytes.fromhex("8004000400000000000000040000000000000000000000000000")
        binary = packet[:24] + b"full"
        for sent, way in ((b"delete full\r\n", "text"), (b"md full q\r\n", "meta")):
            self.connect().talk(sent)
            (event,) = self.events
            self.events.clear()
            self.assertEqual((event["peer"], event["way"]), ("10.0.0.1:4000", way))
            self.assertEqual((event["queue"], event["result"]), (b"full", "DELETED"))
            self.assertEqual((event["user"], event["error"]), (None, None))
            self.assertGreaterEqual(event["ms"], 0.0)
        self.client.talk(FULL)
        client = self.harness.connect()
        client.talk(binary)
        client.talk(binary)
        self.assertEqual([each["way"] for each in self.events], ["binary", "binary"])
        self.assertEqual(
            self.told(), ["delete full: DELETED", "delete full: NOT_FOUND"]
        )

    def test_order(self) -> None:
        """Lines come in the order of the commands, one each."""
        self.client.talk(b"".join(b"delete q%d\r\n" % each for each in range(100)))
        expected = [f"delete q{each}: NOT_FOUND" for each in range(100)]
        self.assertEqual(self.told(), expected)


class ErrorTests(AuditedTestCase):
    """Commands that were not carried out."""

    def test_flushAll(self) -> None:
        """One that is refused is told of, with the reason."""
        harness = Harness(audit=self.harness.factory.audit)
        harness.connect().talk(b"flush_all\r\n")
        (event,) = self.events
        self.assertEqual(event["error"], event["result"])
        self.assertEqual(self.told(), ["flush_all: CLIENT_ERROR flush_all not allowed"])

    def test_reload(self) -> None:
        """A file with a mistake is told of in its words, when that is known."""
        done: Deferred[None] = Deferred()
        self.patch(self.harness.factory.rules, "reload", lambda: done)
        self.client.talk(b"reload\r\n")
        self.assertEqual(self.told(), [])
        done.errback(Failure(ConfigError("memq.toml", 3, "it is wrong")))
        self.assertEqual(
            self.told(), ["reload: SERVER_ERROR memq.toml line 3: it is wrong"]
        )

    def test_store(self) -> None:
        """A store that has failed is told of, too."""
        self.harness.store.refuse("delete", StoreFailed("it broke"))
        self.client.talk(b"delete full\r\n")
        (line,) = self.told()
        self.assertIn("delete full: SERVER_ERROR", line)


class MoveTests(AuditedTestCase):
    """Moves, which are carried out a slice at a time."""

    MESSAGES = 3000

    def fill(self) -> None:
        """Put many messages to the queue."""
        for _ in range(self.MESSAGES // 100):
            self.client.talk(b"set many 0 0 1\r\nx\r\n" * 100)

    def test_slices(self) -> None:
        """A move of many messages is one line, with all of them."""
        self.fill()
        self.client.talk(b"move many to\r\n")
        self.assertEqual(
            self.told(), [f"move many target=to count={self.MESSAGES}: MOVED 3000"]
        )

    def test_refused(self) -> None:
        """So is one that the other queue does not take."""
        self.client.talk(b"pause to writes\r\n")
        self.told()
        self.client.talk(b"move full to\r\n")
        self.assertEqual(self.told(), ["move full target=to count=0: NOT_STORED"])

    def test_failed(self) -> None:
        """One that breaks off tells the error, and how many had moved."""
        self.fill()
        self.harness.store.refuse("begin", StoreError("it broke"), after=1)
        self.client.talk(b"move many to\r\n")
        (event,) = self.events
        self.assertEqual(event["result"], "SERVER_ERROR it broke")
        moved = self.harness.store.kept(b"to").items
        self.assertGreater(moved, 0)
        self.assertEqual(event["more"]["count"], moved)

    def test_stop(self) -> None:
        """One that a stop of the server ends tells that."""
        self.harness.broker.isStopping = True
        self.client.talk(b"move full to\r\n")
        (event,) = self.events
        expected = "SERVER_ERROR the server is stopping, moved 0"
        self.assertEqual(event["result"], expected)
        self.harness.broker.isStopping = False

    def test_gone(self) -> None:
        """When its client goes in the middle, it ends, and what has moved is told."""
        self.fill()
        other = self.connect()
        other.send(b"move many to\r\n")
        # Behind its first turn, and before the next.
        self.harness.reactor.callLater(0, other.leave)
        self.harness.settle()
        moved = self.harness.store.kept(b"to").items
        self.assertLess(moved, self.MESSAGES)
        (event,) = self.events
        self.assertEqual(event["error"], GONE)
        self.assertEqual(
            self.told(), [f"move many target=to count={moved}: MOVED {moved}"]
        )


class GoneTests(AuditedTestCase):
    """Clients that do not wait for the answer."""

    def test_gone(self) -> None:
        """What a client sent before it went away is carried out, and told of."""
        for sent, line in (
            (b"delete full\r\n", "delete full: DELETED"),
            (b"delete none noreply\r\n", "delete none: NOT_FOUND"),
            (b"move full to\r\n", "move full target=to: MOVED 0"),
        ):
            client = self.connect()
            client.send(sent)
            client.end()
            self.assertEqual(self.told(), [line])
            self.client.talk(b"delete full\r\n" + FULL)
            self.told()

    def test_reload(self) -> None:
        """A reload is told of when it is over."""
        done: Deferred[None] = Deferred()
        self.patch(self.harness.factory.rules, "reload", lambda: done)
        self.client.send(b"reload\r\n")
        self.client.end()
        self.assertEqual(self.told(), [])
        done.callback(None)
        self.assertEqual(self.told(), ["reload: OK"])

    def test_halfClosed(self) -> None:
        """It is the same when the client only sends no more, and then is gone."""
        transport: Any = HalfTransport(peerAddress=IPv4Address("TCP", "10.0.0.1", 4000))
        client = self.harness.connect(transport)
        client.talk(FULL)
        client.send(b"delete full\r\nget full\r\n")
        client.protocol.readConnectionLost()
        client.end()
        self.assertEqual(self.told(), ["delete full: DELETED"])


class WaitingTests(AuditedTestCase):
    """Clients that do not read what stands before the answer."""

    def test_each(self) -> None:
        """What was carried out is told of at once, and once."""
        self.client.talk(b"set large 0 0 300000\r\n%b\r\n" % bytes(300_000))
        for _ in range(1500):
            self.client.talk(b"set many 0 0 1\r\nx\r\n")
        other = self.connect()
        other.transport.write = self._fill(other)
        other.send(b"get large\r\ndelete full\r\nget none\r\nmove many to\r\n")
        self.harness.settle()
        self.assertEqual(self.told(), ["delete full: DELETED"])
        self.assertEqual(other.protocol.replies.witnesses, 1)
        other.end()
        (line,) = self.told()
        self.assertIn("move many target=to count=", line)
        self.assertEqual(other.protocol.replies.witnesses, 0)

    def _fill(self, client: Any) -> Any:
        """Return what takes a reply, after which its transport is full."""

        def write(data: bytes) -> None:
            client.transport.producer.pauseProducing()

        return write


class AnyOrderTests(AuditedTestCase):
    """Many clients, some of which go away."""

    def test_each(self) -> None:
        """Whatever they send and whenever they go, each command is told of once."""
        choose = random.Random(7)
        names = [b"a", b"b", b"full"]
        words = (b"delete", b"flush", b"pause", b"resume", b"move")
        sent = 0
        for _ in range(300):
            transport: Any = choose.choice((Transport, HalfTransport))()
            client = self.harness.connect(transport)
            for _ in range(choose.randrange(5)):
                one, other = choose.sample(names, 2)
                word = choose.choice(words)
                last = b" " + other if word == b"move" else b""
                client.send(b"set %b 0 0 1\r\nx\r\n" % one * choose.randrange(3))
                client.send(b"%b %b%b\r\n" % (word, one, last))
                sent += 1
                if choose.random() < 0.3:
                    self.harness.reactor.iterate()
            if isinstance(transport, HalfTransport) and choose.random() < 0.5:
                client.protocol.readConnectionLost()
            if choose.random() < 0.7:
                client.leave()
            self.harness.settle()
        self.assertEqual(len(self.events), sent)


class HalfTransport(Transport):
    """A transport that can be half closed."""

    def unacknowledged(self) -> int:
        """Return how many bytes are."""
        return 0

    def keepLittle(self) -> None:
        """Do nothing."""
