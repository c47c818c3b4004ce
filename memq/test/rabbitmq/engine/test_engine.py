"""Tests for memq.rabbitmq.engine: what clients are answered, whatever the cluster does.

What a command is answered when all is well: test_contract.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any
from unittest import mock

from twisted.logger import capturedLogs, formatEvent
from zope.interface.verify import verifyObject

from memq.broker.interfaces import IEngine
from memq.broker.session import UNDELIVERED_BYTES
from memq.errors import NotStored, Refusing, StoreError
from memq.figures import Outcome, Sums, Totals
from memq.message import PART_SIZE, LargeBody, Message
from memq.operations.base import Operation, Upload
from memq.operations.pushes import AddPart
from memq.policy.rule import READS
from memq.policy.rules import Rules, Table
from memq.rabbitmq.asking import openreads
from memq.rabbitmq.asking.base import STEP, UNANSWERED, UNREACHABLE
from memq.rabbitmq.asking.deliveries import LOST
from memq.rabbitmq.course import Course
from memq.rabbitmq.engine.answers import COUNTED
from memq.rabbitmq.engine.engine import AGAIN
from memq.rabbitmq.engine.pops import PEEKED, TOO_MANY
from memq.rabbitmq.errors import ClusterFull, Unsure
from memq.rabbitmq.figures import told as module
from memq.rabbitmq.shared.pauses import FRESH
from memq.test.rabbitmq.engine.front import FrontTestCase

if TYPE_CHECKING:
    from memq.broker.taps.taps import Copy
    from memq.rabbitmq.course import Steps


def value(key: str, body: str) -> list[str]:
    """Return the lines of a message."""
    return [f"VALUE {key} 0 {len(body)}", body, "END"]


def rules(**values: Any) -> Rules:
    """Return a rule of the queue q."""
    return Rules([Table(b"q", values)])


class EngineTests(FrontTestCase):
    """What others ask of an engine."""

    def test_verified(self) -> None:
        """It is one, to the last attribute."""
        engine = self.front.engine
        self.assertTrue(verifyObject(IEngine, engine, tentative=False))

    def test_figures(self) -> None:
        """Its figures are of this process; of the cluster it knows nothing unasked."""
        engine = self.front.engine
        self.client.send("get q/t=1000", "get q")
        self.assertEqual(engine.waiting, 2)
        self.front.settle()
        self.assertEqual((engine.readers, engine.waiters(b"q")), (1, 1))
        self.assertEqual((engine.waiting, engine.flushes), (0, 0))
        self.assertGreater(engine.turns, 0)
        self.assertEqual(engine.names(), [])
        self.assertEqual(engine.sums([b"q"]), Sums(*[0] * len(Sums._fields)))
        self.assertEqual(engine.gone(), Totals())
        self.assertRaises(StoreError, engine.part, LargeBody(1, 1, 1), 0)
        engine.giveBackLater([])
        engine.expectDue(1)

    def test_drain(self) -> None:
        """At the end nobody waits any more, all is answered, and the links are down."""
        self.cluster.make("q")
        self.client.send("get q/t=1000", "get q")
        self.front.settle()
        drained: list[object] = []
        self.client.send("set q 0 0 1", "x")
        self.front.engine.drain().addCallback(drained.append)
        self.assertEqual(drained, [])
        self.assertEqual(self.client.replies(), ["END", "END", "STORED"])
        self.assertEqual(drained, [None])
        self.assertTrue(self.front.engine.isStopping)
        self.assertFalse(any(link.isUp for link in self.front.links))

    def test_drainMeanwhile(self) -> None:
        """A read that is under way then finds nothing, and does not wait."""
        self.cluster.make("q")
        self.cluster.stuck.add("q")
        self.client.ask("get q/t=1000")
        self.front.engine.drain()
        self.cluster.unstick()
        self.assertEqual(self.client.replies(), ["END"])

    def test_drainIdle(self) -> None:
        """Without anything to do that is at once, and once."""
        drained: list[object] = []
        self.front.engine.drain().addCallback(drained.append)
        self.front.settle()
        self.ask("version", "get q")
        self.assertEqual(drained, [None])

    def test_tail(self) -> None:
        """Who watches gets copies of what is set."""
        copies: list[Copy] = []

        class _Tap:
            def wants(self, queue: bytes) -> bool:
                return queue == b"q"

            def take(self, those: list[Copy]) -> None:
                copies.extend(those)

        self.front.engine.taps.add(_Tap())
        self.set("q", "a")
        self.set("other", "b")
        self.assertEqual([each.body for each in copies], [b"a"])

    def test_unforeseen(self) -> None:
        """An error that nobody foresaw is told as one, and logged."""
        session = self.front.engine.session(lambda: None)

        class _Wrong(Operation):
            def run(self, store: Any) -> int:
                raise ValueError("wrong")

        carrier: Any = self.front.engine._carrier
        carrier._begins[_Wrong] = carrier._runOnly
        operation = _Wrong(session)
        with capturedLogs() as events:
            session.submit(operation)
            self.front.settle()
        self.assertTrue(operation.done)
        self.assertEqual(str(operation.result), "SERVER_ERROR internal error")
        self.assertIn("nobody foresaw", str(formatEvent(events[0])))
        self.flushLoggedErrors(ValueError)

    def test_broken(self) -> None:
        """So is one of what asks the cluster: a client is answered all the same."""

        def _fail(*_: object, **__: object) -> None:
            raise ValueError("wrong")

        asked = self.front.engine.asked
        self.patch(asked.openReads, "open", _fail)
        self.patch(asked.gets, "get", _fail)
        self.patch(asked.publisher, "publish", _fail)
        with capturedLogs():
            for command in "get q/open", "get q":
                self.assertEqual(self.ask(command), ["SERVER_ERROR internal error"])
            answer = self.ask("set q 0 0 1", "x")
        self.assertEqual(answer, ["SERVER_ERROR internal error"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 3)


class SetTests(FrontTestCase):
    """Sets."""

    def test_overlap(self) -> None:
        """Sets of a client are under way together; what is behind them waits."""
        self.cluster.stuck.add("q")
        self.client.send("set q 0 0 1", "a", "set p 0 0 1", "b", "get p")
        self.front.settle()
        self.client.send("set q 0 0 1", "c")
        self.front.settle()
        sets = [each for each in self.cluster.log if each.startswith(("set", "get"))]
        self.assertEqual(sets, ["set q", "set p"])
        self.cluster.unstick()
        replies = ["STORED", "STORED", "VALUE p 0 1", "b", "END", "STORED"]
        self.assertEqual(self.client.replies(), replies)
        self.assertEqual(self.cluster.bodies("q"), [b"a", b"c"])

    def test_later(self) -> None:
        """So are those that come while others are."""
        self.cluster.stuck.add("q")
        self.assertEqual(self.ask("set q 0 0 1", "a"), [])
        self.assertEqual(self.ask("set q 0 0 1", "b"), [])
        self.assertEqual(self.cluster.log.count("set q"), 2)
        self.cluster.unstick()
        self.assertEqual(self.client.replies(), ["STORED"] * 2)

    def test_errors(self) -> None:
        """Each set is told what became of it."""
        full = NotStored(b"x", b"x", Refusing.FULL)
        self.front.publisher.errors = [full, ClusterFull(), Unsure()]
        lines = ["set q 0 0 1", "a"] * 3
        self.assertEqual(
            self.ask(*lines),
            ["NOT_STORED", f"SERVER_ERROR {ClusterFull()}", f"SERVER_ERROR {Unsure()}"],
        )
        self.assertEqual(self.front.engine.refusals.of(b"q")[0], 1)

    def test_expires(self) -> None:
        """Where a rule says so, the cluster drops what has expired."""
        self.begin(rules(honor_exptime=True))
        self.assertEqual(self.ask("set q 0 60 1", "a"), ["STORED"])
        self.assertEqual(self.front.publisher.expirations, ["60000"])
        self.assertEqual(self.ask("set q 0 -1 1", "a"), ["STORED"])
        self.assertEqual(self.cluster.bodies("q"), [b"a"])
        self.assertEqual(self.ask("get q"), value("q", "a"))

    def test_delayed(self) -> None:
        """What is delayed is so by the cluster."""
        self.assertEqual(self.ask("set q/delay=60 0 0 1", "x"), ["STORED"])
        self.assertEqual(self.front.publisher.delays, [60])

    def test_fanout(self) -> None:
        """A set that goes to several queues is stored when all of them have it."""
        self.begin(rules(fanout=(b"p",)))
        self.assertEqual(self.ask("set q 0 0 1", "a"), ["STORED"])
        self.assertEqual(self.cluster.bodies("p"), [b"a"])
        self.front.publisher.errors = [NotStored(b"x", b"x", Refusing.FULL)]
        self.assertEqual(self.ask("set q 0 0 1", "b"), ["NOT_STORED"])
        self.assertEqual(self.cluster.bodies("p"), [b"a", b"b"])

    def test_large(self) -> None:
        """A body in parts is put together here, and kept no longer than needed."""
        body = "x" * 200_000
        self.assertEqual(self.ask(f"set q 0 0 {len(body)}", body), ["STORED"])
        self.assertEqual(self.cluster.bodies("q"), [body.encode()])
        self.front.publisher.errors = [ClusterFull()]
        refused = [f"SERVER_ERROR {ClusterFull()}"]
        self.assertEqual(self.ask(f"set q 0 0 {len(body)}", body), refused)
        large = self.ask(f"set q/delay=5 0 0 {len(body)}", body)
        self.assertEqual((large, self.front.publisher.delays), (["STORED"], [5]))
        self.client.send(f"set q 0 0 {len(body)}")
        self.client.protocol.dataReceived(body[:-1].encode())
        self.client.leave()
        self.front.settle()
        self.assertEqual(len(self.front.engine._parts), 0)


class GetTests(FrontTestCase):
    """Plain gets, and what is taken for nobody."""

    def test_pipelined(self) -> None:
        """Gets of one client come in the queue's order."""
        self.set("q", "a", "b")
        replies = ["VALUE q 0 1", "a", "END", "VALUE q 0 1", "b", "END", "END"]
        self.assertEqual(self.ask("get q", "get q", "get q"), replies)

    def test_paused(self) -> None:
        """A rule that pauses is held to here."""
        self.begin(rules(paused=READS))
        self.set("q", "a")
        for command in "get q", "get q/peek", "get q/open", "get q/t=10":
            self.client.send(command)
            self.front.pass_(0.1)
            self.assertEqual(self.client.replies(), ["END"])
        self.assertEqual(self.cluster.bodies("q"), [b"a"])

    def test_unreachable(self) -> None:
        """One that failed fails those behind it: none waits for its own time."""
        for link in self.front.links:
            link.down()
        self.client.send("get q", "get q", "get q")
        self.front.settle()
        self.front.clock.pump([STEP] * 21)
        self.assertEqual(self.client.replies(), [f"SERVER_ERROR {UNREACHABLE}"] * 3)
        self.assertEqual(self.front.engine.counts.failedGets, 0)

    def test_failed(self) -> None:
        """One that may have taken a message is counted."""
        self.set("q", "a")
        self.cluster.stuck.add("q")
        self.client.send("get q", "get q")
        self.front.pass_(6)
        self.assertEqual(self.client.replies(), [f"SERVER_ERROR {UNANSWERED}"] * 2)
        self.assertEqual(self.front.engine.counts.failedGets, 1)

    def test_gone(self) -> None:
        """What comes for a client that is gone is the next one's, or set again."""
        self.set("q", "a", "b")
        self.cluster.stuck.add("q")
        self.client.ask("get q")
        self.client.leave()
        self.cluster.unstick()
        self.front.settle()
        self.assertEqual(self.cluster.bodies("q"), [b"b", b"a"])

    def test_goneReading(self) -> None:
        """So it is with a read that has options."""
        self.set("q", "a", "b")
        self.cluster.stuck.add("q")
        self.client.ask("get q/t=1000")
        self.client.leave()
        self.cluster.unstick()
        self.front.settle()
        self.assertEqual(self.cluster.bodies("q"), [b"b", b"a"])

    def test_stray(self) -> None:
        """Setting it again goes on until it is stored."""
        self.set("q", "a")
        self.front.publisher.errors = [ClusterFull()]
        self.front.engine.stray(b"q", Message(0, 1, 7, 0, b"s"))
        self.front.settle()
        self.assertEqual(self.cluster.bodies("q"), [b"a"])
        self.front.pass_(AGAIN)
        self.assertEqual(self.cluster.bodies("q"), [b"a", b"s"])

    def test_strayUnsure(self) -> None:
        """It is not set twice: what may be lost is in the log."""
        self.front.publisher.errors = [Unsure()]
        with capturedLogs() as events:
            self.front.engine.stray(b"q", Message(0, 1, 7, 0, b"s"))
            self.front.settle()
        self.assertIn("never delivered", str(formatEvent(events[0])))

    def test_strayExpires(self) -> None:
        """It expires when it would have."""
        self.set("q", "a")
        self.front.pass_(10)
        message = Message(0, 1, 7, 0, b"s", expires=60_000)
        self.front.engine.stray(b"q", message)
        self.front.settle()
        self.assertEqual(self.front.publisher.expirations, ["50000"])
        self.assertEqual(self.cluster.queues["q"][1][0]["e"], 60_000)

    def test_strayDeleted(self) -> None:
        """Whoever deletes its queue deletes it as well."""
        with capturedLogs() as events:
            self.front.engine.stray(b"q", Message(0, 1, 7, 0, b"s"))
            self.front.pass_(AGAIN + 0.1)
        self.assertEqual((self.cluster.queues, events), ({}, []))

    def test_strayAtTheEnd(self) -> None:
        """The end waits for it."""
        self.front.engine.stray(b"q", Message(0, 1, 7, 0, b"s"))
        drained: list[object] = []
        self.front.engine.drain().addCallback(drained.append)
        self.front.clock.advance(0)
        self.assertEqual(drained, [])
        self.front.settle()
        self.assertEqual(drained, [None])

    def test_much(self) -> None:
        """Who has much to take is given nothing more, until that is taken."""
        self.set("q", "a")
        held = self.client.session.outstanding
        self.client.send("get q")
        held.undelivered += UNDELIVERED_BYTES
        self.assertEqual(self.client.replies(), [])
        self.client.send("get q")
        self.assertEqual(self.client.replies(), [])
        held.undelivered -= UNDELIVERED_BYTES
        self.client.session.catchUp()
        self.assertEqual(self.client.replies(), [*value("q", "a"), "END"])

    def test_large(self) -> None:
        """Of many large ones that are asked for together, a few are held at a time."""
        bodies = [str(each) * 40_000 for each in range(5)]
        self.cluster.make("q", *map(str.encode, bodies))
        expected = [line for body in bodies for line in value("q", body)]
        self.assertEqual(self.ask(*["get q"] * 6), [*expected, "END"])

    def test_released(self) -> None:
        """What was told is let go of, and not only when Python looks for cycles."""
        self.set("q", *"abcdef")
        for each in [
            "get q",
            "get q q",
            "get q/t=10",
            "get q/open",
            "get q/close/open",
        ]:
            gc.collect()
            gc.set_debug(gc.DEBUG_SAVEALL)
            self.addCleanup(gc.garbage.clear)
            self.addCleanup(gc.set_debug, 0)
            self.ask(each)
            gc.collect()
            kept = [one for one in gc.garbage if isinstance(one, Message)]
            self.assertEqual(kept, [], each)

    def test_deferred(self) -> None:
        """With a rule, each message is asked for by itself."""
        self.begin(rules(max_open=1))
        self.set("q", "a", "b")
        found = [*value("q", "a"), *value("q", "b"), "END"]
        self.assertEqual(self.ask("get q", "get q", "get q"), found)


class OpenTests(FrontTestCase):
    """Open reads."""

    def setUp(self) -> None:
        """Begin with a queue."""
        super().setUp()
        self.set("q", "a", "b", "c")

    def down(self) -> None:
        """Lose the connections, and have them again."""
        for link in self.front.links:
            link.down()
            link.up()

    def test_exchange(self) -> None:
        """A close with an open behind it is one question."""
        self.assertEqual(self.ask("get q/open"), value("q/open", "a"))
        self.cluster.log.clear()
        opened = self.ask("get q/close/open")
        self.assertEqual(opened, value("q/close/open", "b"))
        self.assertEqual(self.cluster.log, ["ack", "open q"])
        self.ask("get q/close/open")
        self.assertEqual(self.ask("get q/close/open"), ["END"])
        self.assertEqual(self.cluster.bodies("q"), [])

    def test_exchangeSeveral(self) -> None:
        """With others open, they are two."""
        self.assertEqual(self.ask("get q/open"), value("q/open", "a"))
        self.ask("get q/open/more")
        self.cluster.log.clear()
        self.ask("get q/close/open/more")
        self.assertEqual(self.cluster.log[:2], ["ack", "declare q"])
        refused = ["CLIENT_ERROR close current item first"]
        self.assertEqual(self.ask("get q/close/open"), refused)

    def test_exchangePaused(self) -> None:
        """A queue that is paused since gives nothing."""
        self.assertEqual(self.ask("get q/open"), value("q/open", "a"))
        self.front.engine.policies.replace(rules(paused=READS))
        self.assertEqual(self.ask("get q/close/open"), ["END"])
        self.assertEqual(self.cluster.bodies("q"), [b"b", b"c"])

    def test_exchangeUnknown(self) -> None:
        """While pauses are not known it waits for them: apart, a close is not sure."""
        self.assertEqual(self.ask("get q/open"), value("q/open", "a"))
        self.front.clock.advance(FRESH)
        self.cluster.log.clear()
        opened = self.ask("get q/close/open")
        self.assertEqual(opened, value("q/close/open", "b"))
        self.assertEqual(
            [each for each in self.cluster.log if each.split()[-1] in ("ack", "q")],
            ["ack", "open q"],
        )

    def test_exchangeBehind(self) -> None:
        """With others in line, the next message is theirs."""
        self.assertEqual(self.ask("get q/open"), value("q/open", "a"))
        self.ask("get q", "get q")
        other = self.front.client()
        self.assertEqual(other.ask("get q/t=1000"), [])
        self.client.send("get q/close/open/t=1000")
        self.front.settle()
        self.set2("d")
        self.assertEqual(other.replies(), value("q/t=1000", "d"))
        self.assertEqual(self.client.replies(), [])
        self.set2("e")
        opened = value("q/close/open/t=1000", "e")
        self.assertEqual(self.client.replies(), opened)

    def set2(self, body: str) -> None:
        """Set a message by another client."""
        self.front.client().ask(f"set q 0 0 {len(body)}", body)

    def test_exchangeGone(self) -> None:
        """A client that leaves meanwhile has closed one, and opened none."""
        self.assertEqual(self.ask("get q/open"), value("q/open", "a"))
        self.cluster.stuck.add("q")
        self.assertEqual(self.ask("get q/close/open"), [])
        self.client.leave()
        self.cluster.unstick()
        self.front.settle()
        self.assertEqual(self.cluster.bodies("q"), [b"b", b"c"])

    def test_lost(self) -> None:
        """A close of what went back is told so; then it is open no more."""
        self.assertEqual(self.ask("get q/open"), value("q/open", "a"))
        self.down()
        self.assertEqual(self.ask("get q/close"), [f"SERVER_ERROR {LOST}"])
        self.assertEqual(self.ask("get q/close"), ["END"])
        self.assertEqual(self.ask("get q/open"), value("q/open", "a"))

    def test_lostExchange(self) -> None:
        """An open behind it fails with it, and what that found goes back."""
        self.assertEqual(self.ask("get q/open"), value("q/open", "a"))
        self.down()
        self.assertEqual(self.ask("get q/close/open"), [f"SERVER_ERROR {LOST}"])
        self.assertEqual(self.cluster.bodies("q"), [b"a", b"b", b"c"])

    def test_lostLate(self) -> None:
        """So it is with one that its rule has given back meanwhile."""
        self.begin(rules(open_timeout=1.0))
        self.set("q", "a")
        self.assertEqual(self.ask("get q/open"), value("q/open", "a"))
        self.front.pass_(0.9)
        self.cluster.stuck.add("q")
        self.assertEqual(self.ask("get q/close"), [])
        self.front.pass_(0.5)
        self.down()
        self.assertEqual(self.client.replies(), [f"SERVER_ERROR {LOST}"])

    def test_timeout(self) -> None:
        """A rule's time for an open read is kept here."""
        self.begin(rules(open_timeout=1.0))
        self.set("q", "a")
        self.assertEqual(self.ask("get q/open"), value("q/open", "a"))
        self.front.pass_(1.1)
        self.assertEqual(self.cluster.bodies("q"), [b"a"])
        self.assertEqual(self.ask("get q/close"), ["END"])

    def test_unanswered(self) -> None:
        """A close that is not answered in time may come again."""
        self.assertEqual(self.ask("get q/open"), value("q/open", "a"))
        self.cluster.stuck.add("q")
        self.client.send("get q/close")
        self.front.pass_(5.5)
        (answer,) = self.client.replies()
        self.assertIn("may come again", answer)

    def test_leave(self) -> None:
        """What a client has open goes back when it leaves."""
        self.assertEqual(self.ask("get q/open"), value("q/open", "a"))
        self.client.leave()
        self.front.settle()
        self.assertEqual(self.cluster.bodies("q"), [b"a", b"b", b"c"])

    def test_leaveBusy(self) -> None:
        """So it does when the client has other things under way, or to come."""
        self.assertEqual(self.ask("get q/open"), value("q/open", "a"))
        self.cluster.stuck.add("p")
        self.client.send("set p 0 0 1", "x", "get q", "set p 0 0 1", "y")
        self.front.settle()
        self.client.leave()
        self.cluster.unstick()
        self.front.settle()
        self.assertEqual(self.cluster.bodies("q"), [b"a", b"b", b"c"])
        self.assertEqual(self.cluster.bodies("p"), [b"x", b"y"])

    def test_leaveInLine(self) -> None:
        """So it does before anything else of it that is not begun."""
        self.assertEqual(self.ask("get q/open"), value("q/open", "a"))
        self.client.send("get q")
        self.client.leave()
        self.front.settle()
        self.assertEqual(self.cluster.bodies("q"), [b"a", b"b", b"c"])

    def test_deliveries(self) -> None:
        """How often a message was given back is told with it."""
        for expected in "h0", "h1", "h2":
            (head, *_) = self.ask("mg q/open v h")
            self.assertEqual(head, f"VA 1 {expected}")
            self.ask("mg q/abort")

    def test_many(self) -> None:
        """Any number is closed, or goes back, a part at a time."""
        bodies = [str(each) for each in range(300)]
        self.cluster.make("q", *map(str.encode, bodies))
        for _ in bodies:
            self.ask("get q/open/more")
        self.assertEqual(self.ask("get q/abort"), ["END"])
        self.assertEqual(len(self.cluster.bodies("q")), 300)

    def test_touch(self) -> None:
        """The time of an open read begins anew when its client says so."""
        self.begin(rules(open_timeout=1.0))
        self.set("q", "a")
        (head, *_) = self.ask("gets q/open")
        number = head.split(" ")[-1]
        self.front.pass_(0.9)
        self.assertEqual(self.ask(f"touch q/open={number} 60"), ["TOUCHED"])
        self.front.pass_(30)
        self.assertEqual(self.ask(f"get q/close={number}"), ["END"])
        self.assertEqual(self.cluster.bodies("q"), [])

    def test_monitor(self) -> None:
        """Many are opened one after the other, as many as there are."""
        found = [line for body in "abc" for line in value("q", body)[:-1]]
        self.assertEqual(self.ask("monitor q 0"), [*found, "END"])
        self.assertEqual(self.ask("confirm q 2", "get q/abort"), ["END"] * 2)
        self.assertEqual(self.cluster.bodies("q"), [b"c"])
        self.assertEqual(self.ask("monitor q 0 1"), [*value("q", "c")])

    def test_monitorMany(self) -> None:
        """More than one go may have are opened in several."""
        bodies = [str(each) * 100 for each in range(200)]
        self.cluster.make("q", *map(str.encode, bodies))
        self.assertEqual(len(self.ask("monitor q 0 150")), 301)
        self.cluster.make("q", *[b"x" * 70_000] * 3)
        self.assertEqual(len(self.ask("monitor q 0 3")), 7)

    def test_monitorFails(self) -> None:
        """An error is told behind what was opened."""
        self.cluster.stuck.add("q")
        self.client.send("monitor q 0")
        self.front.pass_(5.5)
        self.assertEqual(self.client.replies(), [f"SERVER_ERROR {UNANSWERED}"])

    def test_monitorGone(self) -> None:
        """What was opened for a client that has gone goes back."""
        self.client.send("monitor q 0")
        self.front.clock.advance(0)
        while self.cluster.bodies("q") != [b"c"]:
            self.cluster.events.popleft()()
        self.client.leave()
        self.front.settle()
        self.assertEqual(sorted(self.cluster.bodies("q")), [b"a", b"b", b"c"])

    def test_failedBefore(self) -> None:
        """In a line, what is behind an error is not asked for."""
        self.assertEqual(self.ask("get q/open"), value("q/open", "a"))
        self.cluster.log.clear()
        refused = ["CLIENT_ERROR close current item first"]
        self.assertEqual(self.ask("get q/open q/peek"), refused)
        self.assertEqual(self.cluster.log, [])

    def test_peekCounts(self) -> None:
        """A peek is refused where deliveries are counted, for it would be one."""
        self.begin(rules(max_deliveries=3))
        self.set("q", "a")
        self.assertEqual(self.ask("get q/peek"), [f"SERVER_ERROR {COUNTED}"])
        self.begin(rules(max_open=1))
        self.set("q", "a")
        self.assertEqual(self.ask("get q/peek"), value("q/peek", "a"))
        self.ask("get q/open/more")
        refused = ["CLIENT_ERROR too many open, close or abort some first"]
        self.assertEqual(self.ask("get q/open/more"), refused)


class PeekTests(FrontTestCase):
    """Looks at many messages."""

    def test_many(self) -> None:
        """They are told in order, and stay so."""
        self.set("q", "a", "b", "c")
        lines = self.ask("peek q 2")
        self.assertEqual(lines[1::2], ["a", "b"])
        self.assertEqual((lines[0][:11], lines[-1]), ("VALUE q 0 1", "END"))
        self.assertEqual(self.cluster.bodies("q"), [b"a", b"b", b"c"])
        self.assertEqual(self.ask("peek q 9")[1::2], ["a", "b", "c"])
        self.assertEqual(self.ask("peek other"), ["END"])

    def test_large(self) -> None:
        """Of a large one the size is told."""
        self.cluster.make("q", b"x" * (PART_SIZE + 1))
        first, last = self.ask("peek q")
        self.assertEqual((first[:15], last), ("LARGE q 0 65537", "END"))

    def test_tooMany(self) -> None:
        """What nobody else could take meanwhile is bounded."""
        refused = [f"SERVER_ERROR {TOO_MANY}"]
        self.assertEqual(self.ask(f"peek q {PEEKED + 1}"), refused)

    def test_counted(self) -> None:
        """Where deliveries are counted that is refused."""
        self.begin(rules(max_deliveries=3))
        self.assertEqual(self.ask("peek q 2"), [f"SERVER_ERROR {COUNTED}"])

    def test_unanswered(self) -> None:
        """What is not answered is told as that, whatever it is."""
        self.cluster.make("q", b"a")
        self.cluster.stuck.add("q")
        self.client.send("peek q 2")
        self.front.pass_(6)
        refused = [f"SERVER_ERROR {UNANSWERED}"]
        self.assertEqual(self.client.replies(), refused)
        self.cluster.unstick()
        self.front.settle()
        self.assertEqual(self.cluster.bodies("q"), [b"a"])

    def test_lost(self) -> None:
        """So is it when they are lost on their way back."""
        self.cluster.make("q", b"a")
        self.client.send("peek q")
        while "nack" not in self.cluster.log:
            self.front.clock.advance(0)
            self.cluster.events.popleft()()
        self.front.links[1].down()
        self.assertEqual(self.client.replies(), [f"SERVER_ERROR {LOST}"])
        self.assertEqual(self.cluster.bodies("q"), [b"a"])

    def test_gone(self) -> None:
        """Who goes looks at no more, and nothing stays away."""
        self.cluster.make("q", b"a", b"b")
        self.client.send("peek q 2")
        while not self.cluster.held():
            self.front.clock.advance(0)
            self.cluster.events.popleft()()
        self.client.leave()
        self.front.settle()
        self.assertEqual(self.cluster.bodies("q"), [b"a", b"b"])


class WaitTests(FrontTestCase):
    """Reads that wait."""

    def test_set(self) -> None:
        """What is set here goes to who came first."""
        others = [self.front.client() for _ in range(3)]
        for other in others:
            self.assertEqual(other.ask("get q/t=5000"), [])
        for other, body in zip(others, "abc", strict=True):
            self.set("q", body)
            self.assertEqual(other.replies(), value("q/t=5000", body))

    def test_given(self) -> None:
        """What is set elsewhere comes at once if the queue is there, in order."""
        self.cluster.make("q")
        others = [self.front.client() for _ in range(3)]
        for other, command in zip(
            others, ("get q", "get q/open", "get q"), strict=True
        ):
            self.assertEqual(other.ask(f"{command}/t=5000"), [])
        self.cluster.log.clear()
        self.cluster.make("q", b"a", b"b", b"c")
        self.assertEqual(others[0].replies(), value("q/t=5000", "a"))
        self.assertEqual(others[1].replies(), value("q/open/t=5000", "b"))
        self.assertEqual(others[2].replies(), value("q/t=5000", "c"))
        self.assertNotIn("get q", self.cluster.log)
        self.assertEqual(others[1].ask("get q/close"), ["END"])
        self.assertEqual((self.cluster.held(), self.cluster.bodies("q")), ([], []))

    def test_givenPeek(self) -> None:
        """Who only looks leaves it to the next."""
        self.cluster.make("q")
        other = self.front.client()
        self.assertEqual(self.ask("get q/peek/t=5000"), [])
        self.assertEqual(other.ask("get q/t=5000"), [])
        self.cluster.make("q", b"a")
        self.assertEqual(self.client.replies(), value("q/peek/t=5000", "a"))
        self.assertEqual(other.replies(), value("q/t=5000", "a"))

    def test_givenUnsure(self) -> None:
        """Nobody knows of what is not answered in time."""
        self.cluster.make("q")
        self.ask("get q/t=60000")
        self.cluster.make("q", b"a")
        self.cluster.settle()
        self.front.clock.advance(0)
        self.assertIn("ack", self.cluster.log)
        self.front.links[1].down()
        self.assertEqual(self.client.replies(), [f"SERVER_ERROR {UNANSWERED}"])

    def test_givenLost(self) -> None:
        """What is lost before its reader runs is looked for again."""
        self.cluster.make("q")
        self.ask("get q/t=60000")
        self.cluster.make("q", b"a")
        self.cluster.settle()
        self.front.links[1].down()
        self.assertEqual(self.client.replies(), value("q/t=60000", "a"))

    def test_givenNobody(self) -> None:
        """What nobody waits for any more goes back."""
        self.cluster.make("q")
        self.ask("get q/t=60000")
        self.client.session.block()
        self.cluster.make("q", b"a")
        self.cluster.settle()
        self.front.settle()
        self.assertEqual(self.cluster.bodies("q"), [b"a"])

    def test_givenGone(self) -> None:
        """What is given to one who goes before that runs has the next one."""
        self.cluster.make("q")
        other = self.front.client()
        self.ask("get q/t=60000")
        other.ask("get q/t=60000")
        self.cluster.make("q", b"a")
        self.cluster.settle()
        self.client.leave()
        self.assertEqual(other.replies(), value("q/t=60000", "a"))

    def test_givenPaused(self) -> None:
        """Of a queue whose reads are paused nothing is given."""
        self.begin(rules(paused=READS))
        self.cluster.make("q")
        self.ask("get q/t=60000")
        self.cluster.make("q", b"a")
        self.front.settle()
        self.assertEqual(self.cluster.held(), [])
        self.front.engine.policies.replace(Rules())
        self.assertEqual(self.client.replies(), value("q/t=60000", "a"))

    def test_pausedMeanwhile(self) -> None:
        """Nor when they are paused at that moment: it goes back."""
        self.cluster.make("q")
        self.ask("get q/t=60000")
        self.cluster.make("q", b"a")
        self.cluster.settle()
        self.front.engine.policies.replace(rules(paused=READS))
        self.front.settle()
        self.assertEqual(self.client.replies(), [])
        self.assertEqual(self.cluster.bodies("q"), [b"a"])

    def test_givenCounted(self) -> None:
        """Where deliveries are counted, nothing is delivered in vain."""
        self.begin(rules(max_deliveries=3))
        self.cluster.make("q")
        self.ask("get q/t=60000")
        self.cluster.make("q", b"a", b"b")
        self.assertEqual(self.client.replies(), value("q/t=60000", "a"))
        self.assertNotIn("nack", self.cluster.log)

    def test_looks(self) -> None:
        """Where nothing can be given, whoever waits looks from time to time."""
        with mock.patch.object(openreads, "MOST_WATCHED", 0):
            self.cluster.make("q")
            self.ask("get q/t=60000")
            self.cluster.make("q", b"a")
            self.front.settle()
            self.assertEqual(self.client.replies(), [])
            self.front.pass_(0.3)
            self.assertEqual(self.client.replies(), value("q/t=60000", "a"))

    def test_elsewhere(self) -> None:
        """What is set elsewhere, where no queue was, is found after a while."""
        self.assertEqual(self.ask("get q/t=5000"), [])
        self.cluster.make("q", b"x")
        self.front.pass_(0.4)
        self.assertEqual(self.client.replies(), value("q/t=5000", "x"))

    def test_over(self) -> None:
        """Its time is over some time, whatever it looked for meanwhile."""
        self.assertEqual(self.ask("get q/t=1000", "version")[:1], [])
        self.front.pass_(1.1)
        self.assertEqual(self.client.replies()[0], "END")

    def test_any(self) -> None:
        """One that waits for several queues has what comes in any."""
        self.cluster.make("b")
        self.assertEqual(self.ask("get a/any b/any/t=5000"), [])
        self.set2("b", "x")
        self.assertEqual(self.client.replies(), value("b/any/t=5000", "x"))

    def set2(self, queue: str, body: str) -> None:
        """Set a message by another client."""
        self.front.client().ask(f"set {queue} 0 0 {len(body)}", body)

    def test_gone(self) -> None:
        """Who is gone waits no longer, and the next one has it."""
        other, third = self.front.client(), self.front.client()
        for client in self.client, other, third:
            client.ask("get q/t=5000")
        self.client.leave()
        self.front.settle()
        self.set2("q", "x")
        self.assertEqual(other.replies(), value("q/t=5000", "x"))

    def test_goneMeanwhile(self) -> None:
        """So it is with one that looks at that moment."""
        self.cluster.make("q")
        self.cluster.stuck.add("q")
        self.client.ask("get q/t=5000", "set p 0 0 1", "x")
        self.client.leave()
        self.cluster.unstick()
        self.front.settle()
        self.assertEqual(self.front.engine.readers, 0)
        self.assertEqual(self.cluster.bodies("p"), [b"x"])

    def test_goneWoken(self) -> None:
        """And with one that was to look: the next one does."""
        other = self.front.client()
        self.client.ask("get q/t=5000")
        other.ask("get q/t=5000")
        self.cluster.make("q", b"x")
        self.front.engine._scheduler.wakeAll()
        self.client.leave()
        self.front.pass_(0.4)
        self.assertEqual(other.replies(), value("q/t=5000", "x"))

    def test_blocked(self) -> None:
        """Who does not read stands in no line; later it is where it was."""
        other = self.front.client()
        self.client.ask("get q/t=5000")
        other.ask("get q/t=5000")
        self.client.session.block()
        self.set2("q", "a")
        self.assertEqual(other.replies(), value("q/t=5000", "a"))
        self.set2("q", "b")
        self.client.session.unblock()
        self.assertEqual(self.client.replies(), value("q/t=5000", "b"))

    def test_blockedMeanwhile(self) -> None:
        """So it is with one that looks at that moment."""
        self.cluster.make("q")
        self.cluster.stuck.add("q")
        self.client.ask("get q/t=5000")
        self.client.session.block()
        self.cluster.unstick()
        self.front.settle()
        self.assertEqual(self.front.engine.readers, 0)
        self.set2("q", "b")
        self.client.session.unblock()
        self.assertEqual(self.client.replies(), value("q/t=5000", "b"))

    def test_blockedInLine(self) -> None:
        """And with one that has not begun; a second word of that changes nothing."""
        self.set2("q", "a")
        self.client.send("get q")
        self.client.session.block()
        self.assertEqual(self.client.replies(), [])
        self.client.session.unblock()
        self.client.session.unblock()
        self.assertEqual(self.client.replies(), value("q", "a"))

    def test_blockedIdle(self) -> None:
        """And with one that has nothing to do; gone, it cannot be blocked."""
        self.client.session.block()
        self.client.session.unblock()
        self.client.session.block()
        self.client.leave()
        self.client.session.block()
        self.assertFalse(self.client.session.blocked)

    def test_blockedInTurn(self) -> None:
        """And with one that is blocked by what is delivered before it in its turn."""
        self.set("q", "a")
        first = self.front.engine.session(self.client.session.block)
        first.submit(AddPart(first, Upload([b"q"]), b"x"))
        self.client.send("get q")
        self.assertEqual(self.client.replies(), [])
        self.client.session.unblock()
        self.assertEqual(self.client.replies(), value("q", "a"))

    def test_goneWithMuch(self) -> None:
        """One that could look, has too much to take, and goes, holds up nobody."""
        self.client.ask("get q/t=5000")
        self.client.session.block()
        self.client.session.outstanding.undelivered += UNDELIVERED_BYTES
        self.client.session.unblock()
        self.client.session.outstanding.undelivered -= UNDELIVERED_BYTES
        self.client.leave()
        self.front.settle()
        self.assertEqual(self.front.engine.readers, 0)

    def test_endWait(self) -> None:
        """Nobody is told twice that a wait is over."""
        self.client.session.hurry()
        self.client.ask("get q/t=5000")
        self.client.session.hurry()
        self.assertEqual(self.client.replies(), ["END"])

    def test_manyLines(self) -> None:
        """Of many lines a few look at a time."""
        clients = [self.front.client() for _ in range(120)]
        for number, client in enumerate(clients):
            client.ask(f"get q{number}/t=60000")
        self.cluster.log.clear()
        self.front.pass_(0.3)
        self.assertEqual(self.cluster.log.count("open"), 50)
        self.front.pass_(0.5)
        self.assertEqual(self.cluster.log.count("open"), 120)
        self.front.engine.policies.replace(Rules())
        self.front.settle()


class QueueTests(FrontTestCase):
    """Queues as a whole."""

    def test_told(self) -> None:
        """What waits, and what is open, is told of each queue; memq's own are not."""
        self.set("q", "a", "b", "c")
        self.ask("get q", "get q/open")
        self.assertEqual(self.ask("stats queue"), ["STAT q 3/1", "END"])
        told = self.ask("stats detail q")
        self.assertIn("STAT queue_q_items 1", told)
        self.assertIn("STAT queue_q_open_transactions 1", told)
        self.assertIn("STAT queues 1", self.ask("stats"))
        self.assertEqual(self.ask("stats detail none"), ["END"])

    def test_peeked(self) -> None:
        """The next message is told without taking it, where that is no delivery."""
        self.set("q", "a")
        self.assertIn("STAT bytes 1", self.ask("stats peek q"))
        self.assertEqual(self.ask("stats peek none"), ["END"])
        self.assertIn("head_bytes=1", self.ask("me q")[0])
        self.assertEqual(self.ask("get q"), value("q", "a"))
        self.begin(rules(max_deliveries=3, dead_letter="d"))
        self.assertEqual(self.ask("stats peek q"), [f"SERVER_ERROR {COUNTED}"])

    def test_lost(self) -> None:
        """Where a question is lost, the cluster's figures have to do."""
        self.set("q", "a")
        self.set("r", "a")
        self.cluster.stuck.add("q")
        self.client.send("stats queue")
        self.front.pass_(0.1)
        self.front.links[2].down()
        self.front.links[2].up()
        self.assertEqual(self.client.replies(), ["STAT q 0/0", "STAT r 1/0", "END"])

    def test_rules(self) -> None:
        """Rules are told, whoever sees to them, and so are pauses."""
        self.begin(rules(max_items=5))
        self.set("q", "a")
        self.set("p", "a")
        self.assertIn("STAT queue_q_max_items 5", self.ask("stats detail q"))
        self.ask("pause q reads", "pause p reads")
        self.assertIn("STAT queue_q_paused reads", self.ask("stats detail q"))
        self.assertIn("STAT queue_p_paused reads", self.ask("stats detail p"))

    def test_settings(self) -> None:
        """What needs nothing of the cluster is told without it."""
        self.front.teller.error = StoreError("nobody")
        self.assertEqual(self.ask("stats reset"), ["RESET"])
        self.assertEqual(self.front.teller.asked, 0)

    def test_toldWrong(self) -> None:
        """An error that nobody foresaw is told as one."""

        def _wrong(*_: object) -> None:
            raise ValueError("wrong")

        self.patch(self.front.factory.statistics.details, "head", _wrong)
        answer = self.ask("stats peek q")
        self.assertEqual(answer, ["SERVER_ERROR internal error"])
        self.flushLoggedErrors(ValueError)

    def test_slow(self) -> None:
        """A queue that answers late may have lost its leader: that is no length."""
        self.set("q", "a")
        self.set("r", "a")
        self.cluster.stuck.add("q")
        self.client.send("stats queue")
        self.front.pass_(0.5)
        self.cluster.unstick()
        self.assertEqual(self.client.replies(), ["STAT q 0/0", "STAT r 0/0", "END"])

    def test_refreshed(self) -> None:
        """Names and sums are known once somebody asked, and told without asking."""
        engine = self.front.engine
        self.set("q", "a", "b")
        self.ask("get q", "get q/open")
        self.failureResultOf(engine.refresh(False), StoreError)
        self.assertEqual(self.front.teller.asked, 0)
        version = self.successResultOf(engine.refresh(True))
        self.assertEqual(self.successResultOf(engine.refresh(False)), version)
        self.assertEqual(engine.names(), [b"q"])
        self.assertEqual(engine.sums([b"q"]), Sums(1, 0, 0, 0, 1, 0, 2, 1))
        self.assertEqual(engine.gone(), Totals())
        self.ask("get q/abort")
        self.assertEqual(engine.outcomes()[Outcome.ABORTED], 1)

    def test_state(self) -> None:
        """What is known of the nodes, and of what went wrong, is told."""
        engine, publisher = self.front.engine, self.front.publisher
        state = engine.cluster()
        self.assertEqual((state.nodes, state.running, state.toldAt), (3, 3, None))
        self.assertIsNone(engine.refusing)
        publisher.errors.append(Unsure())
        self.ask("set q 0 0 1", "a")
        publisher.isBlocked = True
        self.assertIn("memory", str(engine.refusing))
        self.assertIn("memory", " ".join(self.ask("stats")))
        self.front.clock.advance(100)
        self.front.teller.error = StoreError("nobody")
        self.assertIsNone(engine.cluster().nodes)
        self.assertEqual(engine.cluster().failed["unsure"], 1)
        for link in self.front.links:
            link.down()
        self.assertEqual(len(list(engine.troubles())), len(self.front.links))
        publisher.isBlocked = False
        self.assertIn("connected", str(engine.refusing))

    def test_toldMany(self) -> None:
        """Of many, what waits is told as the cluster's figures have it."""
        self.set("q", "a")
        self.patch(module, "LENGTHS", 0)
        self.assertEqual(self.ask("stats queue"), ["STAT q 0/0", "END"])

    def test_toldDeleted(self) -> None:
        """One that is deleted meanwhile is left out."""
        self.set("q", "a")
        self.set("p", "a")
        self.client.send("stats queue")
        self.front.clock.advance(0)
        del self.cluster.queues["q"]
        self.assertEqual(self.client.replies(), ["STAT p 1/0", "END"])

    def test_toldUnsure(self) -> None:
        """Where a queue does not answer, the cluster's figures have to do."""
        self.set("q", "a")
        self.cluster.stuck.add("q")
        self.client.send("stats queue")
        self.front.pass_(5.5)
        self.assertEqual(self.client.replies(), ["STAT q 0/0", "END"])

    def test_untold(self) -> None:
        """Where nobody tells, that is told, whoever asks."""
        self.front.factory.flushAllEnabled = True
        for error in StoreError("nobody"), ValueError("nobody"):
            self.front.teller.error = error
            told = self.ask("stats queue", "flush_all")
            (answer,) = set(told)
            self.assertTrue(answer.startswith("SERVER_ERROR "), answer)
            self.assertIn("nobody", answer)
        self.flushLoggedErrors(ValueError)

    def test_flushAll(self) -> None:
        """All queues are emptied; what one was not is told."""
        self.front.factory.flushAllEnabled = True
        self.set("q", "a", "b")
        self.set("p", "a")
        self.assertEqual(self.ask("flush_all"), ["OK"])
        self.assertEqual(self.ask("stats queue"), ["STAT p 1/1", "STAT q 2/2", "END"])
        self.client.send("flush_all")
        self.front.clock.advance(0)
        self.cluster.stuck.add("p")
        self.front.pass_(11)
        (answer,) = self.client.replies()
        self.assertEqual(answer, f"SERVER_ERROR {UNANSWERED}")

    def test_flushAllInTime(self) -> None:
        """Slow answers together take no longer than one; nothing more is asked then."""
        self.front.factory.flushAllEnabled = True
        for queue in "abc":
            self.set(queue, "1")
        self.cluster.stuck.update("abc")
        self.client.send("flush_all")
        self.front.pass_(4)
        self.cluster.unstick()
        self.cluster.stuck.update("bc")
        self.front.pass_(1.7)
        self.assertEqual(self.client.replies(), [])
        self.front.pass_(0.2)
        self.assertEqual(self.client.replies(), [f"SERVER_ERROR {UNANSWERED}"])
        self.cluster.unstick()
        self.front.pass_(1)
        self.assertEqual([], self.cluster.bodies("b"))
        self.assertEqual([b"1"], self.cluster.bodies("c"))
        self.assertEqual(self.ask("flush_all"), ["OK"])

    def test_deleteWithNodeDown(self) -> None:
        """What RabbitMQ deletes after five seconds, as a node is down, is told so."""
        self.set("q", "1")
        self.client.send("delete q")
        self.front.clock.advance(0)
        while self.cluster.log[-1] != "delete q":
            self.cluster.events.popleft()()
        (answer,) = self.cluster.events
        self.cluster.events.clear()
        # It holds up no other.
        other = self.front.client()
        told = other.ask("set p 0 0 1", "1", "flush p", "delete p")
        self.assertEqual(told, ["STORED", "END", "DELETED"])
        self.front.pass_(5.1)
        self.cluster.events.append(answer)
        self.front.settle()
        self.assertEqual(self.client.replies(), ["DELETED"])

    def test_deleteLost(self) -> None:
        """A delete that is lost with its connection is told so at once."""
        self.set("q", "1")
        self.client.send("delete q")
        self.front.clock.advance(0)
        while self.cluster.log[-1] != "delete q":
            self.cluster.events.popleft()()
        self.cluster.events.clear()
        link: Any = self.front.engine.asked.queues.link
        link.down()
        self.assertEqual(self.client.replies(), [f"SERVER_ERROR {UNANSWERED}"])

    def test_lateInTime(self) -> None:
        """So it is with all that one command asks."""
        queues, clock = self.front.engine.asked.queues, self.front.clock
        answers: list[object] = []

        def _steps() -> Steps:
            clock.advance(6)
            answers.append((yield lambda done: done("asked")))

        Course(queues.bounds.inTime(_steps(), 0.0), answers.append).goOn()
        self.assertEqual([str(each) for each in answers], [UNANSWERED])

    def test_delete(self) -> None:
        """What is deleted here may be made again."""
        self.set("q", "a")
        self.assertEqual(self.ask("delete q", "delete q"), ["DELETED", "NOT_FOUND"])
        noted = ["deleting q", "delete q", "deleted q", "forget q"]
        log = self.cluster.log
        self.assertEqual([each for each in log if each in noted][:4], noted)
        # As all other front ends do.
        self.assertIn("expect q", log)
        self.set("q", "b")

    def test_unanswered(self) -> None:
        """One that is not answered in time is told so."""
        self.cluster.stuck.add("q")
        self.client.send("delete q", "flush q")
        self.front.pass_(11)
        self.assertEqual(self.client.replies()[0], f"SERVER_ERROR {UNANSWERED}")
