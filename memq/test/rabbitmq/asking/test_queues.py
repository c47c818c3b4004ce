"""Tests for memq.rabbitmq.asking.queues."""

from __future__ import annotations

from memq.rabbitmq.asking.base import STEP, UNANSWERED, UNREACHABLE
from memq.rabbitmq.asking.queues import Queues
from memq.test.rabbitmq.asking.cases import AskingTestCase


class QueuesTests(AskingTestCase):
    """What is asked about queues as a whole."""

    def setUp(self) -> None:
        """Begin with a link that is up, and a queue."""
        super().setUp()
        self.queues = Queues(self.clock)
        self.link = self.connect(self.queues)
        self.cluster.make("jobs", b"a", b"b")

    def test_length(self) -> None:
        """The length of a queue is known, and that there is none."""
        self.assertEqual(self.told(self.queues.length, b"jobs"), [2])
        self.assertEqual(self.told(self.queues.length, b"other"), [None])
        self.assertEqual(self.told(self.queues.length, b"jobs"), [2])

    def test_empty(self) -> None:
        """A queue is emptied; it is told how many were there."""
        self.assertEqual(self.told(self.queues.empty, b"jobs"), [2])
        self.assertEqual(self.told(self.queues.empty, b"jobs"), [0])
        self.assertEqual(self.told(self.queues.empty, b"other"), [None])

    def test_delete(self) -> None:
        """A queue is deleted; one that is not there is told apart."""
        self.assertEqual(self.told(self.queues.delete, b"jobs"), [True])
        self.assertEqual(self.told(self.queues.delete, b"jobs"), [None])

    def test_inOrder(self) -> None:
        """Questions are asked one after the other."""
        self.queues.length(b"jobs", self.note)
        self.queues.empty(b"jobs", self.note)
        self.queues.length(b"jobs", self.note)
        self.cluster.settle()
        self.assertEqual(self.answers, [2, 2, 0])
        self.assertEqual(len(self.link.channels), 1)

    def test_raises(self) -> None:
        """An error of who is answered keeps others from nothing."""
        self.queues.length(b"jobs", lambda _: 1 // 0)
        self.queues.length(b"jobs", self.note)
        self.cluster.settle()
        self.assertEqual(self.answers, [2])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_down(self) -> None:
        """What is under way fails, what waits goes on with the next link."""
        self.cluster.stuck.add("jobs")
        self.told(self.queues.empty, b"jobs")
        self.queues.length(b"other", self.note)
        self.link.down()
        self.assertEqual(self.answers, [UNANSWERED])
        self.link.up()
        self.cluster.settle()
        self.assertEqual(self.answers, [UNANSWERED, None])
        self.queues.linkBlocked("memory")

    def test_downIdle(self) -> None:
        """A link that is lost while nothing is asked costs nothing."""
        self.assertEqual(self.told(self.queues.length, b"jobs"), [2])
        self.link.down()
        self.link.up()
        self.assertEqual(self.told(self.queues.length, b"jobs"), [2])

    def test_late(self) -> None:
        """One that is not answered in time holds up no other; its answer is dropped."""
        self.cluster.stuck.add("jobs")
        self.told(self.queues.empty, b"jobs")
        self.clock.advance(1)
        self.queues.length(b"other", self.note)
        self.clock.pump([STEP] * 16)
        self.cluster.settle()
        self.assertEqual(self.answers, [UNANSWERED, None])
        self.cluster.unstick()
        self.cluster.settle()
        self.assertEqual(self.answers, [UNANSWERED, None])
        self.assertEqual(self.link.channels, [])
        self.assertEqual(self.told(self.queues.length, b"jobs"), [0])

    def test_lateAndGone(self) -> None:
        """Nor does a channel that ends only then."""
        self.cluster.stuck.add("jobs")
        self.told(self.queues.empty, b"jobs")
        self.clock.pump([STEP] * 20)
        self.link.down()
        self.link.up()
        self.assertEqual(self.told(self.queues.length, b"other"), [None])

    def test_noRoom(self) -> None:
        """Where all channels wait for an answer, the first one lets others go on."""
        self.link.most = 2
        self.cluster.stuck.add("jobs")
        for _ in range(2):
            self.queues.empty(b"jobs", self.note)
            self.cluster.settle()
            self.clock.pump([STEP] * 20)
        self.queues.length(b"other", self.note)
        self.cluster.settle()
        self.assertEqual(self.answers, [UNANSWERED] * 2)
        self.cluster.unstick()
        self.cluster.settle()
        self.assertEqual(self.answers, [UNANSWERED] * 2 + [None])
        self.assertEqual(self.link.channels, [])

    def test_unreachable(self) -> None:
        """Without a link it is told so in time."""
        self.link.down()
        self.queues.length(b"jobs", self.note)
        self.clock.pump([STEP] * 20)
        self.assertEqual(self.answers, [UNREACHABLE])
        self.link.up()
        self.assertEqual(self.told(self.queues.length, b"jobs"), [2])
