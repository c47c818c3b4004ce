"""Tests for memq.rabbitmq.asking.consumers."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest import mock

from memq.rabbitmq.asking import openreads as module
from memq.rabbitmq.asking.base import STEP, UNANSWERED
from memq.rabbitmq.asking.consumers import MOST, Consumers
from memq.rabbitmq.asking.openreads import OpenReads
from memq.test.rabbitmq.asking.cases import AskingTestCase

if TYPE_CHECKING:
    from memq.message import Message


class ConsumersTestCase(AskingTestCase):
    """A test of consumers."""

    def setUp(self) -> None:
        """Begin with a link that is up, and an empty queue."""
        super().setUp()
        self.reads = OpenReads(self.clock, self.number)
        self.wanted: dict[bytes, int] = {}
        self.consumers = Consumers(
            self.clock, self.reads, lambda queue: self.wanted.get(queue, 0), self.found
        )
        self.link = self.connect(self.reads)
        self.cluster.make("jobs")
        self.messages: list[Message] = []

    def found(self, queue: bytes, message: Message) -> None:
        """Note a message."""
        self.messages.append(message)
        self.wanted[queue] -= 1

    def want(self, count: int, queue: bytes = b"jobs") -> None:
        """Let so many wait."""
        self.wanted[queue] = count
        self.consumers.note(queue)
        self.settle()

    def settle(self) -> None:
        """Let all happen that needs no time."""
        self.cluster.settleAt(self.clock)

    def has(self, queue: str = "jobs") -> int:
        """Return how many consumers the cluster has that were given nothing."""
        return len(self.cluster.consumers.get(queue, ()))

    def given(self) -> int:
        """Return the number of a message that is given to one who waits."""
        self.want(1)
        self.cluster.make("jobs", b"x", b"y")
        self.settle()
        return self.messages[-1].sequence

    def settled(self, number: int, isCounted: bool = False) -> list[object]:
        """Return what is answered to who takes a message."""
        self.answers = []
        self.consumers.settle(b"jobs", number, self.note, isCounted)
        self.settle()
        return self.answers


class GivenTests(ConsumersTestCase):
    """What consumers are given."""

    def test_given(self) -> None:
        """Each is given one message, which is open."""
        self.want(2)
        self.assertEqual((self.has(), self.consumers.isWatched(b"jobs")), (2, True))
        self.cluster.make("jobs", b"a", b"b", b"c")
        self.settle()
        self.assertEqual([each.body for each in self.messages], [b"a", b"b"])
        self.assertEqual(self.cluster.held(), ["jobs", "jobs"])
        self.assertEqual(self.cluster.bodies("jobs"), [b"c"])
        self.assertFalse(self.consumers.isWatched(b"jobs"))

    def test_most(self) -> None:
        """There are no more than may be, and none too many."""
        self.want(MOST + 1)
        self.assertEqual(self.has(), MOST)
        self.want(1)
        self.assertEqual(self.has(), 1)
        self.want(0)
        self.assertEqual(self.has(), 0)

    def test_notYet(self) -> None:
        """One that is not wanted any more before its channel is open never comes."""
        self.wanted[b"jobs"] = 1
        self.consumers.look(b"jobs")
        self.want(0)
        self.assertNotIn("consume jobs", self.cluster.log)

    def test_endsOpen(self) -> None:
        """Who closes what was given is given nothing for that."""
        number = self.given()
        self.reads.close(b"jobs", [number], self.answers.append)
        self.settle()
        self.assertEqual(self.answers, [({number}, None)])
        self.assertEqual(self.cluster.bodies("jobs"), [b"y"])
        self.assertLess(
            self.cluster.log.index("cancel jobs"), self.cluster.log.index("ack")
        )

    def test_both(self) -> None:
        """What was opened as well on such a channel is closed by itself."""
        number = self.given()
        self.reads.open(b"jobs", self.messages.append)
        self.settle()
        other = self.messages[-1].sequence
        self.reads.giveBack(b"jobs", [other], self.answers.append)
        self.settle()
        self.assertNotIn("cancel jobs", self.cluster.log)
        self.assertTrue(self.reads.holds(number))


class SettleTests(ConsumersTestCase):
    """Who takes what was given."""

    def test_taken(self) -> None:
        """It is told so when the end of the consumer is."""
        number = self.given()
        self.assertEqual(self.settled(number), [True])
        self.assertEqual((self.has(), self.cluster.held()), (0, []))
        asked = self.cluster.log
        self.assertLess(asked.index("ack"), asked.index("cancel jobs"))
        self.assertNotIn("declare jobs", asked)

    def test_counted(self) -> None:
        """Where deliveries are counted, nothing is given in between."""
        number = self.given()
        self.assertEqual(self.settled(number, isCounted=True), [True])
        asked = self.cluster.log
        self.assertLess(asked.index("cancel jobs"), asked.index("ack"))
        self.assertIn("declare jobs", asked)

    def test_unanswered(self) -> None:
        """Without an answer in time nobody knows; a late one changes nothing."""
        number = self.given()
        self.cluster.stuck.add("jobs")
        self.settled(number)
        self.clock.pump([STEP] * 22)
        self.assertEqual(self.answers, [UNANSWERED])
        self.cluster.unstick()
        self.settle()
        self.assertEqual(len(self.answers), 1)

    def test_down(self) -> None:
        """When the connection is lost nobody knows, whether it was asked or not."""
        number = self.given()
        self.consumers.settle(b"jobs", number, self.note)
        self.link.down()
        self.assertEqual(self.answers, [UNANSWERED])
        self.link.up()
        number = self.given()
        self.link.isUp = False
        self.assertEqual(self.settled(number), [UNANSWERED])

    def test_deleted(self) -> None:
        """When the queue was deleted, there is nothing to take any more."""
        number = self.given()
        del self.cluster.queues["jobs"]
        tag = next(iter(self.link.channels[0].consumers))
        self.link.channels[0].cancelFromThere(tag)
        self.assertEqual(self.settled(number), [None])

    def test_deletedMeanwhile(self) -> None:
        """When it is at that moment, nobody knows: the answer tells nothing then."""
        number = self.given()
        tag = next(iter(self.link.channels[0].consumers))
        self.consumers.settle(b"jobs", number, self.note)
        for _ in range(2):
            self.link.channels[0].cancelFromThere(tag)
        self.settle()
        self.assertEqual(self.answers, [UNANSWERED])


class FaultTests(ConsumersTestCase):
    """Consumers that cannot be had, and those that are lost."""

    def test_missing(self) -> None:
        """A queue that is not there has one once somebody looks, and it is there."""
        self.want(1, b"new")
        self.assertEqual(self.cluster.log.count("consume new"), 1)
        self.want(2, b"new")
        self.assertEqual(self.cluster.log.count("consume new"), 1)
        self.assertTrue(self.consumers.look(b"new"))
        self.settle()
        self.cluster.make("new")
        self.consumers.look(b"new")
        self.settle()
        self.assertEqual(self.has("new"), 2)

    def test_madeHere(self) -> None:
        """Or once something was set there by this process."""
        self.want(1, b"new")
        self.cluster.make("new")
        self.assertFalse(self.consumers.isWatched(b"new"))
        self.settle()
        self.assertEqual(self.has("new"), 1)

    def test_madeMeanwhile(self) -> None:
        """That is not forgotten when the answer of before comes."""
        self.wanted[b"new"] = 1
        self.consumers.look(b"new")
        self.assertTrue(self.consumers.isWatched(b"new"))
        self.cluster.events.popleft()()
        self.cluster.events.popleft()()
        self.cluster.events.popleft()()
        self.cluster.make("new")
        self.settle()
        self.assertEqual(self.has("new"), 1)

    def test_down(self) -> None:
        """What is lost with a connection comes again with the next one."""
        self.want(2)
        self.link.down()
        self.settle()
        self.assertFalse(self.consumers.look(b"jobs"))
        self.link.up()
        self.settle()
        self.assertEqual(self.has(), 2)

    def test_closing(self) -> None:
        """While their connection is being closed, nothing is said on it."""
        self.want(2)
        self.link.isUp = False
        said = list(self.cluster.log)
        self.want(0)
        self.assertEqual((self.cluster.log, self.has()), (said, 2))

    def test_cancelled(self) -> None:
        """One that the cluster has cancelled is not asked for before somebody looks."""
        self.want(1)
        channel = self.link.channels[0]
        channel.cancelFromThere(next(iter(channel.consumers)))
        self.settle()
        self.assertEqual((self.has(), self.consumers.look(b"jobs")), (0, True))
        self.settle()
        self.assertEqual(self.has(), 1)

    def test_many(self) -> None:
        """Queues for which no channel can be had have none: whoever waits looks."""
        self.want(1)
        self.cluster.make("more")
        with mock.patch.object(module, "MOST_WATCHED", 1):
            self.want(1, b"more")
            self.assertFalse(self.consumers.look(b"more"))
        self.assertEqual(self.has("more"), 0)
