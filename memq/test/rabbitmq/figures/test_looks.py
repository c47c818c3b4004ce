"""Tests for memq.rabbitmq.figures.looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from memq.errors import StoreError
from memq.rabbitmq.errors import Untold
from memq.rabbitmq.figures.looks import FORGOTTEN, LATE, PATIENCE, Looks
from memq.rabbitmq.telling import Facts, ToldQueue

if TYPE_CHECKING:
    from memq.rabbitmq.figures.looks import Look

FACTS = Facts("4.0.5", 3, 3, False, True)


class Teller:
    """Answers when a test says so.

    :ivar asked: for queues; ``facted``, for facts, if these are not told at once.
    :ivar isQuick: whether they are.
    """

    def __init__(self) -> None:
        self.asked: list[Deferred[list[ToldQueue]]] = []
        self.facted: list[Deferred[Facts]] = []
        self.isQuick = True

    def queues(self) -> Deferred[list[ToldQueue]]:
        """Note it."""
        self.asked.append(Deferred())
        return self.asked[-1]

    def facts(self) -> Deferred[Facts]:
        """Note it."""
        if self.isQuick:
            return succeed(FACTS)
        self.facted.append(Deferred())
        return self.facted[-1]


class LooksTests(SynchronousTestCase):
    """Looks, and who shares them."""

    def setUp(self) -> None:
        """Begin with none."""
        self.clock = Clock()
        self.teller = Teller()
        self.looks = Looks(self.clock, self.teller)
        self.found: list[Look] = []

    def take(self, late: float = LATE, isExact: bool = False) -> Deferred[Any]:
        """Ask for a look, and note it."""
        return self.looks.take(late, isExact).addCallback(self.found.append)

    def tell(self, *names: str) -> None:
        """Answer the question that is under way."""
        queues = [ToldQueue(each, {}, 1, 0, 0) for each in names]
        self.teller.asked.pop(0).callback(queues)

    def names(self) -> list[list[bytes]]:
        """Return what those who asked were told since."""
        names = [list(each.queues) for each in self.found]
        self.found.clear()
        return names

    def test_shared(self) -> None:
        """Who asks while one is under way waits for it; who comes soon has it, too."""
        self.assertFalse(self.looks.isKnown())
        self.assertIsNone(self.looks.ago)
        self.take()
        self.take()
        self.assertEqual(len(self.teller.asked), 1)
        self.tell("q", "memq/own")
        self.assertEqual(self.names(), [[b"q"]] * 2)
        self.clock.advance(LATE)
        self.take()
        self.assertEqual(self.names(), [[b"q"]])
        self.assertTrue(self.looks.isKnown())
        self.assertEqual(self.looks.ago, LATE)

    def test_old(self) -> None:
        """Later another one is begun, and one that takes long serves longer."""
        self.take()
        self.clock.advance(1)
        self.tell()
        self.names()
        self.clock.advance(18)
        self.take()
        self.assertEqual(self.names(), [[]])
        self.clock.advance(2)
        self.take()
        self.tell("q")
        self.assertEqual(self.names(), [[b"q"]])

    def test_now(self) -> None:
        """Who needs it as it is now has one that began after the question."""
        self.take()
        self.take(0.0)
        self.tell("old")
        self.assertEqual(self.names(), [[b"old"]])
        self.tell("new")
        self.assertEqual(self.names(), [[b"new"]])

    def test_oldUnderWay(self) -> None:
        """One that has been under way for long serves nobody who wants a newer one."""
        self.take()
        self.clock.advance(2)
        self.take(1.0)
        self.tell("old")
        self.tell("new")
        self.assertEqual(self.names(), [[b"old"], [b"new"]])

    def test_exact(self) -> None:
        """What was made or deleted here is seen by those who have to see it."""
        self.looks.noteSet(b"q")
        self.take()
        self.tell("q")
        self.names()
        self.looks.noteSet(b"q")
        self.take(isExact=True)
        self.assertEqual(self.names(), [[b"q"]])
        self.looks.noteSet(b"new")
        self.take()
        self.assertEqual(self.names(), [[b"q"]])
        self.take(isExact=True)
        self.tell("q", "new")
        self.assertEqual(self.names(), [[b"q", b"new"]])
        self.looks.changed()
        self.take(isExact=True)
        self.assertEqual(len(self.teller.asked), 1)

    def test_untold(self) -> None:
        """Where nobody tells, all who wait are told so, and the next one asks again."""
        failed = [self.take(), self.take()]
        self.teller.asked.pop().errback(Untold("nobody"))
        for each in failed:
            self.failureResultOf(each, Untold)
        self.take()
        self.tell("q")
        self.assertEqual(self.names(), [[b"q"]])

    def test_silent(self) -> None:
        """A queue without a leader is left out; nothing is told if all have none."""
        dumb = ToldQueue("dumb", {}, 0, 0, 0, isLed=False)
        self.take()
        self.teller.asked.pop().callback([dumb, ToldQueue("q", {}, 1, 0, 0)])
        self.assertEqual([each.silent for each in self.found], [1])
        self.assertEqual(self.names(), [[b"q"]])
        self.clock.advance(LATE + 1)
        failed = self.take()
        self.teller.asked.pop().callback([dumb])
        self.failureResultOf(failed, Untold)

    def test_strange(self) -> None:
        """So it is with an error that nobody foresaw, which is logged."""
        failed = self.take()
        with capturedLogs() as events:
            self.teller.asked.pop().errback(ValueError("wrong"))
        self.failureResultOf(failed, Untold)
        self.assertIn("looked at", str(formatEvent(events[0])))
        self.flushLoggedErrors(ValueError)

    def test_late(self) -> None:
        """Nobody waits for longer than a command may take."""
        late = self.take()
        self.clock.advance(PATIENCE)
        self.failureResultOf(late, Untold)
        self.tell("q")
        self.assertTrue(self.looks.isKnown())


class FactsTests(SynchronousTestCase):
    """What nodes there are."""

    def setUp(self) -> None:
        """Begin with nothing known."""
        self.clock = Clock()
        self.teller = Teller()
        self.teller.isQuick = False
        self.looks = Looks(self.clock, self.teller)

    def test_facts(self) -> None:
        """They are asked for by the first who wants them, and told to the next one."""
        self.assertIsNone(self.looks.facts())
        self.teller.facted.pop().callback(FACTS)
        self.assertEqual(self.looks.facts(), FACTS)
        self.assertEqual(self.teller.facted, [])
        self.clock.advance(LATE)
        self.assertEqual(self.looks.facts(), FACTS)
        with capturedLogs() as events:
            self.teller.facted.pop().errback(StoreError("gone"))
            self.clock.advance(LATE)
            self.looks.facts()
            self.teller.facted.pop().errback(StoreError("gone"))
        self.assertEqual(len(events), 1)
        self.assertIn("gone", str(formatEvent(events[0])))
        self.clock.advance(FORGOTTEN - LATE)
        self.assertIsNone(self.looks.facts())

    def test_together(self) -> None:
        """A look at queues has facts beside it."""
        looked = self.looks.take()
        self.teller.asked.pop().callback([])
        self.assertNoResult(looked)
        self.teller.facted.pop().callback(FACTS)
        self.successResultOf(looked)
        self.assertEqual(self.looks.facts(), FACTS)

    def test_strangeFacts(self) -> None:
        """An error that nobody foresaw is logged."""
        self.looks.facts()
        self.teller.facted.pop().errback(ValueError("wrong"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
