"""Messages tell what became of them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.message import Message, Reason, Trace

FRESH = Message(1, 2, 0, 0, b"x")
DEAD = Trace(3, b"work", Reason.EXPIRED, 1000)


class TraceTests(SynchronousTestCase):
    """Traces of messages that are retried later, and of dead letters."""

    def test_retried(self) -> None:
        """A message that is retried again and again has one count."""
        once = FRESH._replace(trace=FRESH.retried(2))
        self.assertEqual(once.trace, Trace(2))
        self.assertEqual(once.retried(5), Trace(5))
        self.assertEqual(Trace(5).counted, 5)

    def test_retriedDeadLetter(self) -> None:
        """A dead letter that is retried keeps where it came from; both counts stand."""
        trace = FRESH._replace(trace=DEAD).retried(2)
        self.assertEqual(trace, DEAD._replace(again=2))
        self.assertEqual((DEAD.counted, trace.counted), (0, 2))

    def test_buried(self) -> None:
        """A dead letter tells the queue that it left, why, when, and its deliveries."""
        for before in (None, Trace(2)):
            message = FRESH._replace(trace=before)
            trace = message.buried(b"work", Reason.EXPIRED, 3, 1000)
            self.assertEqual(trace, DEAD)

    def test_buriedAgain(self) -> None:
        """A dead letter that is one again has its first queue, and all deliveries."""
        message = FRESH._replace(trace=DEAD._replace(again=2))
        trace = message.buried(b"failed", Reason.DELIVERIES, 4, 2000)
        self.assertEqual(trace, DEAD._replace(deliveries=7))
