"""How long something took, in classes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.server.histogram import BOUNDS, Histogram


class HistogramTests(SynchronousTestCase):
    """Durations that are noted, and then sorted."""

    def test_classes(self) -> None:
        """A bound belongs to its class, and what is longer than all to the last."""
        histogram = Histogram()
        for _ in range(2):
            for seconds in (9.0, 0.0, *BOUNDS):
                histogram.note(seconds)
            histogram.sort()
        self.assertEqual(histogram.counts, [4, *[2] * 11, 2])
        self.assertAlmostEqual(histogram.sum, 2 * (9 + sum(BOUNDS)))

    def test_nothing(self) -> None:
        """There may be nothing to sort."""
        histogram = Histogram()
        histogram.sort()
        self.assertEqual((sum(histogram.counts), histogram.sum), (0, 0))
