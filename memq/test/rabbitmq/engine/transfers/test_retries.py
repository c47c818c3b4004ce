"""Tests for memq.rabbitmq.engine.transfers.retries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.message import Reason, Trace
from memq.policy.rules import Rules, Table
from memq.rabbitmq import names
from memq.rabbitmq.asking.base import UNANSWERED
from memq.rabbitmq.asking.deliveries import LOST
from memq.rabbitmq.engine.transfers.retries import NOT_HERE
from memq.rabbitmq.errors import Unsure
from memq.test.rabbitmq.engine.front import FrontTestCase

if TYPE_CHECKING:
    from memq.rabbitmq.budget import OpenBodies


def value(body: str, key: str = "q/open") -> list[str]:
    """Return the lines of a message."""
    return [f"VALUE {key} 0 {len(body)}", body, "END"]


class RetryTestCase(FrontTestCase):
    """A test with open messages."""

    def open(self, *bodies: str, rules: Rules | None = None) -> None:
        """Begin with open messages."""
        self.begin(rules)
        self.set("q", *bodies)
        for body in bodies:
            self.assertEqual(self.ask("get q/open/more"), value(body, "q/open/more"))
        self.cluster.log.clear()

    def trace(self, queue: str = "q") -> Trace | None:
        """Return what the only message of a queue tells."""
        ((headers, body),) = self.cluster.queues[queue]
        return names.message(1, headers, body).trace

    def refused(self, why: object) -> list[str]:
        """Return what is answered."""
        return [f"SERVER_ERROR {why}"]

    def bodies(self) -> OpenBodies:
        """Return those that are kept."""
        return self.front.engine.budget.opened

    def until(self, asked: str) -> None:
        """Let happen what does before something is asked."""
        self.front.clock.advance(0)
        while asked not in self.cluster.log:
            self.cluster.events.popleft()()
            self.front.clock.advance(0)


class RetryTests(RetryTestCase):
    """Messages that are tried later."""

    def test_later(self) -> None:
        """A message is set, delayed, and deleted when a majority has that."""
        self.open("a")
        self.front.clock.advance(3)
        self.assertEqual(self.ask("get q/abort/delay=5"), ["END"])
        asked = ["declare q", "set q", "ack", "declare q"]
        self.assertEqual(self.cluster.log[-4:], asked)
        self.assertEqual(self.front.publisher.delays, [5])
        self.assertEqual(self.ask("get q/open"), ["END"])
        self.front.pass_(5.1)
        self.assertEqual(self.trace(), Trace(1))
        self.assertEqual(self.cluster.queues["q"][0][0]["t"], 0)
        (head, *_) = self.ask("mg q/open v h")
        self.assertEqual(head, "VA 1 h1")
        self.ask("mg q/abort delay=1")

    def test_again(self) -> None:
        """How often it was tried goes along, each time."""
        self.open("a")
        for tries in range(3):
            self.ask("get q/abort/delay=1")
            self.front.pass_(1.1)
            self.assertEqual(self.trace(), Trace(tries + 1))
            self.assertEqual(self.ask("get q/open"), value("a"))
        self.ask("get q/abort")
        self.assertEqual(self.trace(), Trace(4))

    def test_several(self) -> None:
        """All that are open are tried later, empty ones as well; figures tell it."""
        self.open("a", "", "c")
        self.assertEqual(self.ask("get q/abort/delay=1"), ["END"])
        self.front.pass_(1.1)
        self.assertEqual(self.cluster.bodies("q"), [b"a", b"", b"c"])
        self.assertEqual(self.front.engine.counts.of(b"q"), (3, 0, 0, 3))

    def test_large(self) -> None:
        """A part of them at a time is on its way."""
        bodies = [str(each) * 100_000 for each in range(5)]
        self.open(*bodies)
        self.assertEqual(self.ask("get q/abort/delay=1"), ["END"])
        self.assertEqual(self.cluster.log.count("set q"), 5)
        sets = [each for each in self.cluster.log if each in ("set q", "ack")]
        self.assertEqual(sets[:4], ["set q"] * 3 + ["ack"])
        self.front.pass_(1.1)
        self.assertEqual(len(self.cluster.bodies("q")), 5)

    def test_number(self) -> None:
        """One is, by its number; what is not open is told so."""
        self.open("a", "b")
        number = max(self.bodies()._bodies)
        self.assertEqual(self.ask(f"get q/abort={number}/delay=1"), ["END"])
        refused = ["CLIENT_ERROR not open on this connection"]
        self.assertEqual(self.ask(f"get q/abort={number}/delay=1"), refused)
        self.front.pass_(1.1)
        self.assertEqual(self.cluster.bodies("q"), [b"b"])

    def test_nothing(self) -> None:
        """Without anything open nothing is asked."""
        self.assertEqual(self.ask("get q/abort/delay=1"), ["END"])
        self.assertNotIn("declare q", self.cluster.log)

    def test_body(self) -> None:
        """Without its body a message stays open, and that is told."""
        self.open("a", "b")
        self.bodies().forget(next(iter(self.bodies()._bodies)))
        self.assertEqual(self.ask("get q/abort/delay=1"), self.refused(NOT_HERE))
        self.assertEqual(self.cluster.log, [])
        self.assertEqual(self.ask("get q/abort"), ["END"])
        self.assertEqual(self.cluster.bodies("q"), [b"a", b"b"])

    def test_refused(self) -> None:
        """What the cluster does not take stays open; the others are tried later."""
        self.open("a", "b")
        self.front.publisher.errors = [Unsure()]
        self.assertEqual(self.ask("get q/abort/delay=1"), self.refused(Unsure()))
        self.assertEqual(self.ask("get q/abort"), ["END"])
        self.assertEqual(self.cluster.bodies("q"), [b"a"])
        self.front.pass_(1.1)
        self.assertEqual(self.cluster.bodies("q"), [b"a", b"b"])

    def test_silent(self) -> None:
        """When nothing is answered in time, that is told, and it stays open."""
        self.open("a")
        self.cluster.stuck.add("q")
        self.client.send("get q/abort/delay=1")
        self.front.pass_(6)
        self.assertEqual(self.client.replies(), self.refused(UNANSWERED))
        self.cluster.unstick()
        self.assertEqual(self.ask("get q/abort"), ["END"])
        self.assertEqual(self.cluster.bodies("q"), [b"a"])

    def test_setLate(self) -> None:
        """So it is when the set is not."""
        self.open("a")
        self.client.send("get q/abort/delay=1")
        self.until("declare q")
        self.cluster.stuck.add("q")
        self.cluster.events.popleft()()
        self.front.pass_(6)
        self.assertEqual(self.client.replies(), self.refused(UNANSWERED))

    def test_lost(self) -> None:
        """What went back with its connection is not set again."""
        self.open("a", "b")
        self.front.links[1].down()
        self.front.links[1].up()
        self.assertEqual(self.ask("get q/abort/delay=1"), self.refused(LOST))
        self.assertEqual(self.cluster.bodies("q"), [b"a", b"b"])
        self.assertEqual(self.ask("get q/abort/delay=1"), ["END"])

    def test_lostThen(self) -> None:
        """What is lost when it is set may come twice, and is told as lost."""
        self.open("a")
        self.client.send("get q/abort/delay=1")
        self.until("ack")
        self.front.links[1].down()
        self.front.links[1].up()
        self.assertEqual(self.client.replies(), self.refused(LOST))
        self.assertEqual(self.ask("get q/abort"), ["END"])

    def test_lostEnded(self) -> None:
        """It may have ended meanwhile, since its time was over."""
        self.open("a")
        self.client.send("get q/abort/delay=1")
        self.until("ack")
        next(iter(self.client.session.opened(b"q"))).end()
        self.front.links[1].down()
        self.assertEqual(self.client.replies(), self.refused(LOST))

    def test_deleted(self) -> None:
        """A queue that was deleted is not made again."""
        self.open("a")
        del self.cluster.queues["q"]
        self.assertEqual(self.ask("get q/abort/delay=1"), ["END"])
        self.assertEqual(self.front.publisher.delays, [])

    def test_gone(self) -> None:
        """It is done although its client is gone."""
        self.open("a")
        self.client.send("get q/abort/delay=1")
        self.client.leave()
        self.front.settle()
        self.front.pass_(1.1)
        self.assertEqual(self.cluster.bodies("q"), [b"a"])

    def test_close(self) -> None:
        """Bodies are kept as long as a message is open."""
        self.open("a")
        self.assertNotEqual(self.bodies()._bodies, {})
        self.ask("get q/close")
        self.assertEqual(self.bodies()._bodies, {})
        self.set("q", "b", "c")
        self.ask("monitor q 1 2")
        self.assertEqual(list(self.bodies()._bodies.values()), [b"b", b"c"])
        self.ask("get q/abort")
        self.assertEqual(self.bodies()._bodies, {})


def _rules(**values: Any) -> Rules:
    """Return a rule that bounds tries."""
    return Rules([Table(b"q", {"max_deliveries": 2, **values})])


class LastTryTests(RetryTestCase):
    """Messages that were tried often enough."""

    def test_deadLetter(self) -> None:
        """After the last try it is a dead letter, and tells all of it."""
        self.open("a", rules=_rules(dead_letter=b"dead"))
        self.ask("get q/abort/delay=1")
        self.front.pass_(1.1)
        self.assertEqual(self.ask("get q/open"), value("a"))
        self.assertEqual(self.ask("get q/abort/delay=1"), ["END"])
        self.assertEqual(self.front.publisher.delays, [1])
        self.assertEqual(self.cluster.bodies("q"), [])
        now = round(self.front.clock.seconds() * 1000)
        died = Trace(2, b"q", Reason.DELIVERIES, now)
        self.assertEqual(self.trace("dead"), died)
        # And so it is when it is tried later there.
        self.assertEqual(self.ask("get dead/open"), value("a", "dead/open"))
        self.ask("get dead/abort/delay=1")
        self.front.pass_(1.1)
        self.assertEqual(self.trace("dead"), died._replace(again=1))

    def test_letGo(self) -> None:
        """Without a queue for it, it is let go."""
        self.open("a", rules=_rules(max_deliveries=1))
        self.assertEqual(self.ask("get q/abort/delay=1"), ["END"])
        self.front.pass_(1.1)
        self.assertEqual(list(self.cluster.queues), ["q"])
        self.assertEqual(self.cluster.bodies("q"), [])

    def test_unknown(self) -> None:
        """How often one was tried that the nodes have moved, nobody knows."""
        self.begin(_rules(max_deliveries=1, dead_letter=b"dead"))
        self.cluster.make("q")
        self.cluster.bury("q", "first", b"a")
        self.ask("get q/open")
        self.assertEqual(self.ask("get q/abort/delay=1"), ["END"])
        trace = self.trace("dead")
        self.assertEqual(trace, Trace(-1, b"first", Reason.DELIVERIES))
