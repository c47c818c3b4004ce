"""Tests for memq.rabbitmq.asking.openreads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest import mock

from memq.message import Message
from memq.rabbitmq.asking import openreads as module
from memq.rabbitmq.asking.base import STEP, UNANSWERED, UNREACHABLE
from memq.rabbitmq.asking.consumers import Consumers
from memq.rabbitmq.asking.deliveries import LOST, Channel, End, Ended
from memq.rabbitmq.asking.openreads import CHANNELS, PROMPT, TOO_MANY, OpenReads
from memq.test.rabbitmq.asking.cases import AskingTestCase

if TYPE_CHECKING:
    from collections.abc import Callable


class OpenReadsTestCase(AskingTestCase):
    """A test of open reads."""

    def setUp(self) -> None:
        """Begin with a link that is up, and a queue."""
        super().setUp()
        self.reads = OpenReads(self.clock, self.number)
        Consumers(self.clock, self.reads, lambda _: 0, lambda *_: None)
        self.link = self.connect(self.reads)
        self.cluster.make("jobs", b"a", b"b", b"c")
        self.ended: list[Ended] = []

    def opened(self, queue: bytes = b"jobs") -> int:
        """Open a message, and return its number."""
        found: list[Any] = []
        self.reads.open(queue, found.append)
        self.cluster.settle()
        self.assertIsInstance(found[0], Message)
        return int(found[0].sequence)

    def end(self, call: Callable[..., object], *numbers: int) -> list[Ended]:
        """End messages of the queue, and return what is answered by the cluster."""
        self.ended = []
        call(b"jobs", numbers, self.ended.append)
        self.cluster.settle()
        return self.ended

    def ok(self, *numbers: int) -> list[Ended]:
        """Return the answer that says that some are ended."""
        return [Ended(frozenset(numbers))]

    def failed(self) -> list[str]:
        """Return the errors that were answered."""
        self.assertTrue(all(not each.numbers for each in self.ended))
        return [str(each.error) for each in self.ended]


class OpenTests(OpenReadsTestCase):
    """What an open finds."""

    def test_open(self) -> None:
        """A message is open until it is closed; then it is gone."""
        number = self.opened()
        self.assertTrue(self.reads.holds(number))
        self.assertEqual(self.cluster.bodies("jobs"), [b"b", b"c"])
        self.assertEqual(self.end(self.reads.close, number), self.ok(number))
        self.assertFalse(self.reads.holds(number))
        self.link.down()
        self.assertEqual(self.cluster.bodies("jobs"), [b"b", b"c"])

    def test_empty(self) -> None:
        """Nothing is told as nothing, and so is a queue that is not there."""
        self.cluster.make("jobs")
        self.assertEqual(self.told(self.reads.open, b"jobs"), [None])
        self.assertEqual(self.told(self.reads.open, b"other"), [None])

    def test_many(self) -> None:
        """Many at once share some channels; all are of one queue."""
        bodies = [b"%d" % each for each in range(CHANNELS + 8)]
        self.cluster.make("jobs", *bodies)
        for _ in bodies:
            self.reads.open(b"jobs", self.note)
        self.cluster.settle()
        self.assertEqual(self.answers, bodies)
        self.assertLessEqual(len(self.link.channels), CHANNELS)
        self.link.down()
        self.assertEqual(sorted(self.cluster.bodies("jobs")), sorted(bodies))

    def test_overtaken(self) -> None:
        """One that finds a channel free needs no other that was asked for."""
        self.opened()
        self.reads.open(b"jobs", self.note)
        self.reads.open(b"jobs", self.note)
        self.cluster.settle()
        self.assertEqual(self.answers, [b"b", b"c"])
        self.assertEqual(len(self.link.channels), 2)

    def test_closeMany(self) -> None:
        """Those of several channels are told as ended when all have answered."""
        self.reads.open(b"jobs", self.note)
        self.reads.open(b"jobs", self.note)
        self.cluster.settle()
        self.assertEqual(self.end(self.reads.close, 1, 2), self.ok(1, 2))
        self.assertEqual(self.cluster.bodies("jobs"), [b"c"])

    def test_giveBack(self) -> None:
        """What is given back is the head again, before that is told."""
        number = self.opened()
        self.assertEqual(self.end(self.reads.giveBack, number), self.ok(number))
        self.assertEqual(self.cluster.bodies("jobs"), [b"a", b"b", b"c"])

    def test_exchange(self) -> None:
        """The next one tells that the one before is closed: nothing else is asked."""
        number = self.opened()
        self.cluster.log.clear()
        self.reads.exchange(b"jobs", number, self.ended.append, self.note)
        self.assertEqual(self.ended, [])
        self.cluster.settle()
        self.assertEqual((self.ended, self.answers), (self.ok(number), [b"b"]))
        self.assertEqual(self.cluster.log, ["ack", "open jobs"])

    def test_exchangeLost(self) -> None:
        """Where that is not open any more, the next one is opened all the same."""
        number = self.opened()
        self.link.down()
        self.link.up()
        self.reads.exchange(b"jobs", number, self.ended.append, self.note)
        self.cluster.settle()
        self.assertEqual((self.failed(), self.answers), ([LOST], [b"a"]))

    def test_exchangeLine(self) -> None:
        """It waits for its channel, and goes over another one when that is gone."""
        number = self.opened()
        self.cluster.stuck.add("jobs")
        self.told(self.reads.open, b"jobs")
        self.reads.exchange(b"jobs", number, self.ended.append, self.note)
        self.cluster.settle()
        self.assertEqual((self.ended, self.answers), ([], []))
        self.cluster.stuck.clear()
        self.link.channels[0].end("the node is gone")
        self.cluster.settle()
        self.assertEqual((self.failed(), self.answers), ([LOST], [b"b", b"c"]))

    def test_spare(self) -> None:
        """Channels that hold nothing are kept, but not many of them."""
        for each in range(4):
            self.cluster.make(str(each))
        with mock.patch.object(module, "SPARE", 2):
            for each in range(4):
                self.told(self.reads.open, b"%d" % each)
        self.assertEqual(len(self.link.channels), 2)
        self.assertEqual(self.told(self.reads.open, b"3"), [None])
        self.assertEqual(self.told(self.reads.open, b"0"), [None])
        self.assertEqual(self.cluster.log.count("close"), 2)

    def test_spareWhileClosing(self) -> None:
        """None is closed while the connection is: all end with it."""
        with mock.patch.object(module, "SPARE", 0):
            self.reads.close(b"jobs", [self.opened()], self.ended.append)
            self.link.isUp = False
            self.cluster.settle()
        self.assertEqual((len(self.ended), len(self.link.channels)), (1, 1))

    def test_manyQueues(self) -> None:
        """A connection has so many channels, one for each queue at least."""
        self.opened()
        self.cluster.make("more", b"x")
        with mock.patch.object(module, "MOST_CHANNELS", 1):
            self.assertEqual(self.told(self.reads.open, b"more"), [TOO_MANY])
            for _ in range(3):
                self.reads.open(b"jobs", self.note)
            self.cluster.settle()
        self.assertEqual(self.answers[1:], [b"b", b"c", None])

    def test_spareMakeRoom(self) -> None:
        """Where no more channels may be, those that hold nothing make room."""
        self.link.most = 3
        for each in range(7):
            self.cluster.make(str(each), b"%d" % each)
        for each in range(3):
            self.assertEqual(self.told(self.reads.open, b"x%d" % each), [None])
            self.cluster.make(f"x{each}")
            self.told(self.reads.open, b"x%d" % each)
        self.answers = []
        for each in range(3):
            self.reads.open(b"%d" % each, self.note)
        self.cluster.settle()
        self.assertEqual(self.answers, [b"0", b"1", b"2"])
        # None of these holds nothing.
        self.assertEqual(self.told(self.reads.open, b"3"), [TOO_MANY])
        self.assertEqual(len(self.link.channels), 3)

    def test_spareLost(self) -> None:
        """What waits for room is asked for on another link when this one is lost."""
        self.link.most = 1
        self.cluster.make("other", b"x")
        self.cluster.make("third", b"y")
        self.cluster.make("jobs")
        self.told(self.reads.open, b"jobs")
        self.reads.open(b"other", self.note)
        self.reads.open(b"third", self.note)
        self.link.down()
        self.link.up()
        self.cluster.settle()
        self.assertEqual(self.answers, [None, TOO_MANY, b"x"])


class BarrierTests(OpenReadsTestCase):
    """An acknowledgement counts when something behind it has come back."""

    def test_late(self) -> None:
        """An answer that comes late may be the node's own: it is asked again."""
        number = self.opened()
        self.cluster.stuck.add("jobs")
        self.end(self.reads.close, number)
        self.clock.advance(PROMPT)
        self.cluster.unstick()
        self.cluster.log.clear()
        self.cluster.settle()
        self.assertEqual(self.ended, self.ok(number))
        self.assertEqual(self.cluster.log, ["declare jobs"])

    def test_never(self) -> None:
        """Where none comes in time, the message may come again."""
        number = self.opened()
        self.cluster.stuck.add("jobs")
        self.end(self.reads.close, number)
        self.clock.pump([STEP] * 20)
        why = "the queue servers did not answer: it may come again"
        self.assertEqual(self.failed(), [why])
        self.cluster.unstick()
        self.cluster.settle()
        self.assertEqual(self.failed(), [why])

    def test_oneAtATime(self) -> None:
        """What is closed while one is asked for waits for the next one."""
        self.cluster.make("jobs", *[b"x"] * (CHANNELS * 2))
        with mock.patch.object(module, "CHANNELS", 1):
            numbers = [self.opened() for _ in range(3)]
        self.cluster.log.clear()
        self.reads.close(b"jobs", numbers[:1], self.ended.append)
        self.reads.close(b"jobs", numbers[1:2], self.ended.append)
        self.reads.close(b"jobs", numbers[2:], self.ended.append)
        self.cluster.settle()
        self.assertEqual(
            [ended for each in numbers for ended in self.ok(each)], self.ended
        )
        self.assertEqual(self.cluster.log.count("declare jobs"), 2)

    def test_chained(self) -> None:
        """A close is told with the open behind it, and by nothing before that."""
        with mock.patch.object(module, "CHANNELS", 1):
            number = self.opened()
            self.reads.open(b"jobs", self.note)
            self.reads.exchange(b"jobs", number, self.ended.append, self.note)
            self.cluster.log.clear()
            self.cluster.settle()
        self.assertEqual((self.ended, self.answers), (self.ok(number), [b"b", b"c"]))
        self.assertEqual(self.cluster.log, ["open jobs"])

    def test_chainedLost(self) -> None:
        """So it is not told as done if its channel ends before: it may come again."""
        with mock.patch.object(module, "CHANNELS", 1):
            number = self.opened()
            self.reads.open(b"jobs", self.note)
            self.reads.exchange(b"jobs", number, self.ended.append, self.note)
            while not self.answers:
                self.cluster.events.popleft()()
            self.assertNotIn("declare jobs", self.cluster.log)
            self.link.channels[0].end("the leader is gone")
            self.cluster.settle()
        self.assertEqual(self.failed(), [LOST])

    def test_chainedBeside(self) -> None:
        """Another close on its channel is asked for by itself."""
        with mock.patch.object(module, "CHANNELS", 1):
            one, other = self.opened(), self.opened()
            self.reads.open(b"jobs", self.note)
            self.reads.exchange(b"jobs", one, self.ended.append, self.note)
            self.reads.close(b"jobs", [other], self.ended.append)
            self.cluster.settle()
        self.assertEqual(self.ended, [*self.ok(other), *self.ok(one)])
        self.assertEqual(self.answers, [b"c", None])

    def test_chainedLate(self) -> None:
        """One whose open was not sent in time keeps no channel."""
        with mock.patch.object(module, "CHANNELS", 1):
            number = self.opened()
            self.cluster.stuck.add("jobs")
            self.reads.open(b"jobs", self.note)
            self.reads.exchange(b"jobs", number, self.ended.append, self.note)
            self.cluster.settle()
            self.clock.pump([STEP] * 21)
            self.assertEqual(self.answers, [UNANSWERED, UNREACHABLE])
            self.cluster.unstick()
            self.cluster.settle()
        self.assertEqual(len(self.failed()), 1)
        channel = self.reads.channelOf(b"jobs")
        self.assertTrue(channel is not None and channel.isSpare)

    def test_answeredTwice(self) -> None:
        """A channel that has answered is lost to nobody who waits for others, too."""
        end = End(b"jobs", self.ended.append)
        one, other = Channel(b"jobs"), Channel(b"jobs")
        end.channels, end.numbers = {one: None, other: None}, {1, 2}
        end.hasAnswered(one)
        end.hasAnswered(one, isLost=True)
        self.assertEqual(self.ended, [])
        end.hasAnswered(other)
        self.assertEqual(self.ended, self.ok(1, 2))

    def test_twice(self) -> None:
        """An open that ends with its channel twice is still asked for, or is over."""
        self.cluster.stuck.add("jobs")
        self.told(self.reads.open, b"jobs")
        self.clock.pump([STEP] * 20)
        self.link.down()
        self.assertEqual(self.answers, [UNANSWERED])
        self.link.up()
        self.cluster.settle()
        self.assertEqual(self.answers, [UNANSWERED])


class FaultTests(OpenReadsTestCase):
    """Links that are lost, and answers that do not come."""

    def test_down(self) -> None:
        """What was open goes back, and a close of it is told so."""
        number = self.opened()
        self.link.down()
        self.assertFalse(self.reads.holds(number))
        self.assertEqual(self.cluster.bodies("jobs"), [b"a", b"b", b"c"])
        self.end(self.reads.close, number)
        self.assertEqual(self.failed(), [LOST])
        self.reads.linkBlocked("memory")

    def test_downMeanwhile(self) -> None:
        """A close that is under way is as unsure; an open is asked for again."""
        number = self.opened()
        self.cluster.stuck.add("jobs")
        self.end(self.reads.close, number)
        self.told(self.reads.open, b"jobs")
        self.link.down()
        self.assertEqual((self.failed(), self.answers), ([LOST], []))
        self.cluster.stuck.clear()
        self.link.up()
        self.cluster.settle()
        self.assertEqual(self.answers, [b"b"])

    def test_up(self) -> None:
        """What waits goes on with the next link."""
        self.link.down()
        self.reads.open(b"jobs", self.note)
        self.link.up()
        self.cluster.settle()
        self.assertEqual(self.answers, [b"a"])

    def test_deleted(self) -> None:
        """What was open in a queue that is deleted is gone, and told as nothing."""
        numbers = self.opened(), self.opened()
        del self.cluster.queues["jobs"]
        self.assertEqual(self.end(self.reads.close, numbers[0]), self.ok())
        self.end(self.reads.giveBack, numbers[1])
        self.assertEqual(self.failed(), [LOST])
        self.cluster.make("jobs", b"x")
        number = self.opened()
        del self.cluster.queues["jobs"]
        self.assertEqual(self.end(self.reads.giveBack, number), self.ok())

    def test_deletedMeanwhile(self) -> None:
        """An open that is under way then finds nothing."""
        self.cluster.stuck.add("jobs")
        self.told(self.reads.open, b"jobs")
        del self.cluster.queues["jobs"]
        self.cluster.unstick()
        self.cluster.settle()
        self.assertEqual(self.answers, [None])

    def test_unreachable(self) -> None:
        """Without a link an open is told so in time, and opens nothing later."""
        self.link.down()
        self.reads.open(b"jobs", self.note)
        self.clock.pump([STEP] * 20)
        self.assertEqual(self.answers, [UNREACHABLE])
        self.link.up()
        self.cluster.settle()
        self.assertEqual(self.cluster.bodies("jobs"), [b"a", b"b", b"c"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_late(self) -> None:
        """What comes for one that was told so goes back."""
        self.cluster.stuck.add("jobs")
        self.told(self.reads.open, b"jobs")
        self.clock.pump([STEP] * 20)
        self.assertEqual(self.answers, [UNANSWERED])
        self.cluster.unstick()
        self.cluster.settle()
        self.assertEqual(self.cluster.bodies("jobs"), [b"a", b"b", b"c"])
