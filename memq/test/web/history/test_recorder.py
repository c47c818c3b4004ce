"""Samples of the server, and of queues that somebody looks at."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import capturedLogs, formatEvent

from memq.errors import StoreError
from memq.test.web.history.base import HistoryTestCase
from memq.web.history import recorder
from memq.web.history.recorder import BUSY, LOOKED, WATCHED, Recorder
from memq.web.history.series import SAMPLES, STEP


class RecorderTestCase(HistoryTestCase):
    """Has a recorder that has begun."""

    def setUp(self) -> None:
        """Begin."""
        super().setUp()
        self.isReady = True
        self.refused = 0
        self.recorder = Recorder(
            *(self.harness.reactor, self.harness.broker, self.tallies, self.looker),
            refused=lambda: self.refused,
            timeOfDay=lambda: self.harness.timeOfDay,
            isReady=lambda: self.isReady,
        )
        self.recorder.start()

    def tearDown(self) -> None:
        """End, and leave no call behind."""
        self.recorder.stop()
        self.recorder.stop()
        super().tearDown()

    def pass_(self, samples: int) -> None:
        """Let so many samples be taken."""
        self.harness.pass_(samples * STEP)


class ServerTests(RecorderTestCase):
    """The history of the server."""

    def last(self, name: str, count: int) -> list[float | None]:
        """Return the last samples of a figure."""
        samples: list[float | None] = self.recorder.server()[name]
        self.assertEqual(len(samples), SAMPLES)
        return samples[-count:]

    def test_sampled(self) -> None:
        """It has a sample every STEP seconds, and says when the last one was taken."""
        self.set(b"a", b"a", b"a")
        self.pass_(1)
        self.set(*[b"b"] * 5)
        self.client.talk(b"get a\r\n")
        self.client.talk(b"get a/open\r\n")
        self.client.send(b"get none/t=60000\r\n")
        self.refused = 10
        self.pass_(1)
        told = self.recorder.server()
        self.assertEqual(told["step"], STEP)
        self.assertEqual(told["until"], 1.6e9 + 2 * STEP)
        self.assertEqual(self.last("messages", 3), [None, 3, 6])
        self.assertEqual(self.last("open", 2), [0, 1])
        self.assertEqual(self.last("waiters", 2), [0, 1])
        self.assertEqual(self.last("in", 2), [None, 1])
        self.assertEqual(self.last("out", 2), [None, 0.2])
        self.assertEqual(self.last("refused", 2), [None, 2])
        self.client.leave()

    def test_unasked(self) -> None:
        """Others are asked only while somebody looks, and else nothing is known."""
        asked: list[bool] = []

        def _refresh(asks: bool) -> Deferred[object]:
            asked.append(asks)
            return succeed(None) if asks else fail(StoreError("nobody has asked"))

        self.patch(self.harness.broker, "refresh", _refresh)
        self.set(b"a")
        self.pass_(1)
        self.assertEqual(set(asked), {False})
        self.assertEqual(self.last("messages", 1), [None])
        self.recorder.watch([b"a"])
        self.pass_(1)
        self.assertTrue(asked[-1])
        self.assertEqual(self.last("messages", 2), [None, 1])
        self.assertEqual(self.recorder.queue(b"a")["messages"][-1], 1)
        self.harness.pass_(LOOKED)
        self.pass_(2)
        self.assertFalse(asked[-1])
        self.assertIsNone(self.recorder.queue(b"a")["messages"][-1])

    def test_askedAtTheEnd(self) -> None:
        """What is told after the end is of no use."""
        told: Deferred[object] = Deferred()
        self.recorder.watch([b"a"])
        self.patch(self.harness.broker, "refresh", lambda _: told)
        self.pass_(1)
        self.recorder.stop()
        told.callback(None)
        self.assertIsNone(self.recorder.queues[b"a"].told()["messages"][-1])

    def test_notReady(self) -> None:
        """A sample is unknown where the queues cannot be looked at."""
        self.recorder.watch([b"a"])
        self.pass_(1)
        self.isReady = False
        self.pass_(1)
        self.isReady = True
        self.pass_(1)
        self.assertEqual(self.last("messages", 3), [0, None, 0])

    def test_fails(self) -> None:
        """A mistake is logged, and the next sample taken."""
        self.pass_(1)
        with patch.object(self.tallies, "take", return_value=fail(ValueError())):
            self.pass_(1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.pass_(1)
        self.assertEqual(self.last("messages", 2), [0, 0])


class QueueTests(RecorderTestCase):
    """The history of queues."""

    def last(self, name: str, count: int, queue: bytes = b"a") -> list[float | None]:
        """Return the last samples of a figure."""
        samples: list[float | None] = self.recorder.queue(queue)[name]
        return samples[-count:]

    def test_sampled(self) -> None:
        """It begins when somebody asks."""
        self.set(b"a", b"a")
        self.pass_(2)
        self.assertEqual(self.last("messages", SAMPLES), [None] * SAMPLES)
        self.pass_(1)
        self.set(b"a")
        self.client.talk(b"get a\r\n")
        self.pass_(1)
        self.assertEqual(self.last("messages", 3), [None, 2, 2])
        self.assertEqual(self.last("in", 2), [None, 0.2])
        self.assertEqual(self.last("out", 2), [None, 0.2])
        until = self.recorder.queue(b"a")["until"]
        self.assertEqual(until, 1.6e9 + 4 * STEP)

    def test_gone(self) -> None:
        """A queue that is gone has no samples meanwhile."""
        self.set(b"a")
        self.recorder.watch([b"a"])
        self.pass_(1)
        self.client.talk(b"delete a\r\n")
        self.pass_(1)
        self.set(b"a")
        self.pass_(1)
        self.assertEqual(self.last("messages", 3), [1, None, 1])

    def test_forgotten(self) -> None:
        """Nobody asks for a while, and it is forgotten."""
        self.set(b"a", b"b", b"c")
        self.recorder.watch([b"a", b"b"])
        self.recorder.busiest([b"c", b"a"])
        self.harness.pass_(BUSY)
        self.assertEqual(list(self.recorder.queues), [b"a", b"b"])
        self.recorder.watch([b"b"])
        self.harness.pass_(WATCHED - BUSY)
        self.assertEqual(list(self.recorder.queues), [b"b"])
        self.harness.pass_(BUSY)
        self.assertEqual(list(self.recorder.queues), [])

    def test_most(self) -> None:
        """Of too many, those stay that somebody asked for last."""
        with patch.object(recorder, "MOST", 2):
            self.recorder.busiest([b"a", b"b"])
            self.harness.pass_(1)
            self.recorder.watch([b"c"])
            self.assertEqual(list(self.recorder.queues), [b"b", b"c"])
            self.recorder.watch([b"d"])
            self.recorder.busiest([b"e", b"c"])
            self.assertEqual(list(self.recorder.queues), [b"c", b"d"])
            self.recorder.watch([b"f"])
            self.assertEqual(list(self.recorder.queues), [b"d", b"f"])

    def test_ranked(self) -> None:
        """The busiest of all are found now and then, between what else there is."""
        self.recorder.rank([b"a", b"b"], [0.0, 1.0], [0.0, 1.0])
        self.assertEqual(list(self.recorder.queues), [])
        self.harness.settle()
        self.assertEqual(list(self.recorder.queues), [b"b"])
        self.recorder.rank([b"a", b"b"], [1.0, 1.0], [0.0, 1.0])
        self.harness.settle()
        self.assertEqual(list(self.recorder.queues), [b"b"])
        self.harness.pass_(STEP)
        self.recorder.rank([b"a", b"b"], [1.0, 1.0], [0.0, 1.0])
        self.recorder.stop()
        self.harness.settle()
        self.assertEqual(list(self.recorder.queues), [b"b"])

    def test_refused(self) -> None:
        """A look that fails is a sample that is missing, and logged now and then."""
        self.set(b"a")
        self.recorder.watch([b"a"])
        self.store.refuse("begin", StoreError("broken"), times=4)
        with capturedLogs() as events:
            self.pass_(2)
        lines = [line for line in map(formatEvent, events) if "samples" in line]
        self.assertEqual(lines, ["1 samples of queues are missing: broken"])
        self.pass_(1)
        self.assertEqual(self.last("messages", 3), [None, None, 1])

    def test_slow(self) -> None:
        """A look that takes too long is one sample, and the next one is missing."""
        self.set(b"a")
        self.recorder.watch([b"a"])
        slow: Deferred[Any] = Deferred()
        with patch.object(self.looker, "look", return_value=slow):
            self.pass_(2)
        slow.callback({})
        self.pass_(1)
        self.assertEqual(self.last("messages", 3), [None, None, 1])
