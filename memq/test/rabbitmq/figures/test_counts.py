"""Tests for memq.rabbitmq.figures.counts."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.errors import StoreError
from memq.figures import Outcome, Totals
from memq.rabbitmq.errors import Unsure
from memq.rabbitmq.figures import counts as module
from memq.rabbitmq.figures.counts import CLOSED, PUSHED, RETURNS, TAKEN, Counts


class CountsTests(SynchronousTestCase):
    """What is counted."""

    def test_queues(self) -> None:
        """Of each queue, and of those that are not there."""
        counts = Counts()
        counts.add(PUSHED, b"q", 3)
        counts.add(TAKEN, b"q", 2)
        counts.add(CLOSED, b"q")
        counts.add(RETURNS, b"p")
        self.assertEqual(counts.of(b"q"), (3, 2, 1, 0))
        self.assertEqual(counts.of(b"none"), (0, 0, 0, 0))
        self.assertEqual(counts.gone([b"q", b"none"]), Totals(returns=1))
        counts.forget(b"q")
        counts.forget(b"none")
        self.assertEqual(counts.of(b"q"), (0, 0, 0, 0))
        self.assertEqual(counts.gone([b"q"]), Totals(3, 2, 1, returns=1))

    def test_bounded(self) -> None:
        """Of so many queues; what was counted of all goes on."""
        self.patch(module, "MOST", 1)
        counts = Counts()
        counts.add(PUSHED, b"q")
        counts.add(PUSHED, b"p")
        self.assertEqual((counts.of(b"q")[0], counts.of(b"p")[0]), (0, 1))
        self.assertEqual(counts.ever[PUSHED], 2)

    def test_failed(self) -> None:
        """Why sets failed, each by its reason."""
        counts = Counts()
        counts.noteFailed(Unsure())
        counts.noteFailed(StoreError("what else"))
        self.assertEqual((counts.failed["unsure"], counts.failed["error"]), (1, 1))

    def test_outcomes(self) -> None:
        """What became of open reads; of the rest it knows nothing."""
        counts = Counts()
        counts.noteOutcome(Outcome.ABORTED, 2)
        counts.noteOutcome(Outcome.DEAD_EXPIRED)
        self.assertEqual(counts.outcomes[Outcome.ABORTED], 2)
        self.assertNotIn(Outcome.DEAD_EXPIRED, counts.outcomes)
