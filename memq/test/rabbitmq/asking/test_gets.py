"""Tests for memq.rabbitmq.asking.gets."""

from __future__ import annotations

from typing import Any
from unittest import mock

from memq.config.values import MEGABYTE
from memq.message import Message
from memq.rabbitmq.asking import gets as module
from memq.rabbitmq.asking.base import STEP, UNANSWERED, UNREACHABLE
from memq.rabbitmq.asking.gets import CHANNELS, MISSING, SHORT, TOO_MUCH, Gets
from memq.rabbitmq.budget import FrontBudget
from memq.test.rabbitmq.asking.cases import AskingTestCase


class GetsTestCase(AskingTestCase):
    """A test of plain gets."""

    def setUp(self) -> None:
        """Begin with a link that is up, and a queue."""
        super().setUp()
        self.strays: list[tuple[bytes, bytes]] = []
        self.gets = Gets(self.clock, self.number, self.stray)
        self.link = self.connect(self.gets)

    def stray(self, queue: bytes, message: Message) -> None:
        """Note a message that nobody wants."""
        self.strays.append((queue, message.body))


class GetTests(GetsTestCase):
    """What a get finds."""

    def test_order(self) -> None:
        """Messages come in their order, then nothing."""
        self.cluster.make("jobs", b"a", b"b")
        for expected in b"a", b"b", None:
            self.assertEqual(self.told(self.gets.get, b"jobs"), [expected])

    def test_many(self) -> None:
        """Many at once have a channel each, up to a number; the others wait."""
        bodies = [b"%d" % each for each in range(CHANNELS + 8)]
        self.cluster.make("jobs", *bodies)
        for _ in bodies:
            self.gets.get(b"jobs", self.note)
        self.assertEqual(len(self.link.channels), CHANNELS)
        self.cluster.settle()
        self.assertEqual(sorted(self.answers), sorted(bodies))
        self.assertEqual(len(self.link.channels), CHANNELS)

    def test_fair(self) -> None:
        """Queues take turns: one that is asked much does not hold up another."""
        self.cluster.make("a", *[b"a"] * 100)
        self.cluster.make("b", b"b")
        for _ in range(CHANNELS + 20):
            self.gets.get(b"a", self.note)
        self.gets.get(b"b", self.note)
        self.cluster.settle()
        self.assertLess(self.answers.index(b"b"), CHANNELS + 2)

    def test_empty(self) -> None:
        """One empty answer is for all who had asked before it was sent."""
        self.cluster.make("jobs")
        for _ in range(CHANNELS + 8):
            self.gets.get(b"jobs", self.note)
        self.cluster.settle()
        self.assertEqual(self.answers, [None] * (CHANNELS + 8))
        self.assertLessEqual(self.cluster.log.count("get jobs"), CHANNELS + 1)

    def test_emptyForAll(self) -> None:
        """Those are told at once: nothing more is asked."""
        self.cluster.make("jobs")
        with mock.patch.object(module, "CHANNELS", 1):
            self.link.down()
            for _ in range(3):
                self.gets.get(b"jobs", self.note)
            self.link.up()
            self.cluster.settle()
        self.assertEqual(self.answers, [None] * 3)
        self.assertEqual(self.cluster.log.count("get jobs"), 1)

    def test_emptyBefore(self) -> None:
        """Who asks after it was sent is told by another one."""
        self.cluster.make("jobs")
        self.cluster.stuck.add("jobs")
        with mock.patch.object(module, "CHANNELS", 1):
            self.told(self.gets.get, b"jobs")
            self.gets.get(b"jobs", self.note)
            self.cluster.unstick()
            self.cluster.events.popleft()()
            self.assertEqual(self.answers, [None])
            self.cluster.make("jobs", b"x")
            self.cluster.settle()
        self.assertEqual(self.answers, [None, b"x"])

    def test_missing(self) -> None:
        """A queue that is not there is empty, and not asked about for a moment."""
        for _ in range(3):
            self.assertEqual(self.told(self.gets.get, b"jobs"), [None])
        self.assertEqual(self.cluster.log.count("get jobs"), 1)
        self.assertEqual(self.link.channels, [])
        self.cluster.make("jobs", b"x")
        self.assertEqual(self.told(self.gets.get, b"other"), [None])
        self.clock.advance(MISSING)
        self.assertEqual(self.told(self.gets.get, b"jobs"), [b"x"])

    def test_missingUntilSet(self) -> None:
        """Nor at all when something was set here."""
        self.told(self.gets.get, b"jobs")
        self.cluster.make("jobs", b"x")
        self.gets.isThere(b"jobs")
        self.assertEqual(self.told(self.gets.get, b"jobs"), [b"x"])

    def test_manyMissing(self) -> None:
        """What is remembered of that is bounded."""
        with mock.patch.object(module, "_MOST_MISSING", 1):
            for queue in b"a", b"b", b"a":
                self.assertEqual(self.told(self.gets.get, queue), [None])
        self.assertEqual(self.cluster.log.count("get a"), 2)


class FaultTests(GetsTestCase):
    """Links that are lost, and answers that do not come."""

    def test_down(self) -> None:
        """What is under way may have taken one; what waits goes on with the next."""
        self.cluster.make("jobs", b"x")
        self.assertEqual(self.told(self.gets.get, b"jobs"), [b"x"])
        self.cluster.stuck.add("jobs")
        self.told(self.gets.get, b"jobs")
        self.told(self.gets.get, b"other")
        self.answers = []
        self.link.down()
        self.assertEqual(self.answers, [UNANSWERED])
        self.gets.get(b"more", self.note)
        self.link.up()
        self.cluster.make("more", b"y")
        self.cluster.settle()
        self.assertEqual(self.answers, [UNANSWERED, b"y"])

    def test_downIdle(self) -> None:
        """A channel that waits for a get is gone with its link, and made again."""
        self.cluster.make("jobs", b"a", b"b")
        self.assertEqual(self.told(self.gets.get, b"jobs"), [b"a"])
        self.link.down()
        self.link.up()
        self.assertEqual(self.told(self.gets.get, b"jobs"), [b"b"])

    def test_downWhileOpening(self) -> None:
        """A channel that never was open is made again."""
        self.cluster.make("jobs", b"x")
        self.gets.get(b"jobs", self.note)
        self.link.down()
        self.link.up()
        self.cluster.settle()
        self.assertEqual(self.answers, [b"x"])
        self.gets.linkBlocked("memory")

    def test_unreachable(self) -> None:
        """Without a link a get is told so in time, and has taken nothing."""
        self.link.down()
        self.gets.get(b"jobs", self.note)
        self.clock.pump([STEP] * 20)
        self.assertEqual(self.answers, [UNREACHABLE])
        self.cluster.make("jobs", b"x")
        self.link.up()
        self.cluster.settle()
        self.assertEqual(self.cluster.bodies("jobs"), [b"x"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_late(self) -> None:
        """What comes for one that was told so is the next one's, or a stray."""
        self.cluster.make("jobs", b"a", b"b")
        self.cluster.stuck.add("jobs")
        self.gets.get(b"jobs", self.note)
        self.gets.get(b"jobs", self.note)
        self.cluster.settle()
        self.clock.pump([STEP] * 20)
        self.assertEqual(self.answers, [UNANSWERED] * 2)
        self.answers = []
        self.patch(module, "LATE", 0)
        with mock.patch.object(module, "CHANNELS", 2):
            self.gets.get(b"jobs", self.note)
        self.cluster.unstick()
        self.cluster.settle()
        self.assertEqual(self.answers, [b"a"])
        self.assertEqual(self.strays, [(b"jobs", b"b")])

    def test_fewChannels(self) -> None:
        """Where a node allows few channels, what has none waits for one."""
        self.cluster.make("jobs", b"a", b"b")
        self.link.most = 1
        for _ in range(3):
            self.gets.get(b"jobs", self.note)
        self.cluster.settle()
        self.assertEqual(self.answers, [b"a", b"b", None])
        self.assertEqual(len(self.link.channels), 1)

    def test_lateAlone(self) -> None:
        """One that is late holds up no other; its answer is the end of its channel."""
        self.cluster.make("jobs")
        self.cluster.make("other", b"x")
        self.cluster.stuck.add("jobs")
        with mock.patch.object(module, "CHANNELS", 1):
            self.told(self.gets.get, b"jobs")
            self.clock.advance(1)
            self.gets.get(b"other", self.note)
            self.clock.pump([STEP] * 16)
            self.cluster.settle()
            self.assertEqual(self.answers, [UNANSWERED, b"x"])
            self.cluster.unstick()
            self.cluster.settle()
        self.assertEqual(len(self.link.channels), 1)

    def test_over(self) -> None:
        """Who has been told already is not given anything."""
        self.link.down()
        self.gets.get(b"jobs", self.note)
        self.clock.pump([STEP] * 20)
        self.answers = []
        self.gets.giveAway(b"jobs", Message(0, 1, 0, 0, b"x"))
        self.assertEqual((self.answers, self.strays), ([], [(b"jobs", b"x")]))


class RoomTests(AskingTestCase):
    """Gets that wait until there is room for what they take."""

    def setUp(self) -> None:
        """Begin with a link that is up, and room for one message."""
        super().setUp()
        self.budget = FrontBudget(1024 * MEGABYTE, 400 * MEGABYTE)
        stray: Any = None
        self.gets = Gets(self.clock, self.number, stray, room=self.budget)
        self.connect(self.gets)
        self.cluster.make("q", *(b"%d" % number for number in range(9)))

    def test_waits(self) -> None:
        """The second one is asked for when it is known how large the first one was."""
        for _ in range(3):
            self.gets.get(b"q", self.note)
        for _ in range(3):
            self.cluster.events.popleft()()
        self.assertEqual(self.cluster.log.count("get q"), 1)
        self.cluster.settle()
        self.assertEqual(self.answers, [b"0", b"1", b"2"])

    def test_tooMuch(self) -> None:
        """While clients do not take what there is, nothing is asked for."""
        self.budget.count(1024 * MEGABYTE)
        for _ in range(2):
            self.gets.get(b"q", self.note)
        self.cluster.settle()
        self.clock.pump([SHORT] * 102)
        self.assertIn(TOO_MUCH, self.answers)
        self.assertEqual(len(self.answers), 2)
        self.budget.count(-1024 * MEGABYTE)
        self.clock.pump([SHORT] * 2)
        self.assertEqual(self.told(self.gets.get, b"q"), [b"0"])

    def test_tooMuchLater(self) -> None:
        """So it is for one that has a channel at once."""
        self.assertEqual(self.told(self.gets.get, b"q"), [b"0"])
        self.budget.count(1024 * MEGABYTE)
        self.assertEqual(self.told(self.gets.get, b"q"), [])
        self.budget.count(-1024 * MEGABYTE)
        self.clock.pump([SHORT] * 2)
        self.cluster.settle()
        self.assertEqual(self.answers, [b"1"])
