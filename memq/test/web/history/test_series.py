"""Samples at equal intervals."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.web.history.series import SAMPLES, Series


class SeriesTests(SynchronousTestCase):
    """A level and a counter."""

    def setUp(self) -> None:
        """Have no sample."""
        self.series = Series(("depth",), ("in",))

    def last(self, name: str, count: int) -> list[float | None]:
        """Return the last samples of a figure."""
        return self.series.told()[name][-count:]

    def test_none(self) -> None:
        """Nothing is known before the first sample."""
        unknown = [None] * SAMPLES
        self.assertEqual(self.series.told(), {"depth": unknown, "in": unknown})

    def test_rates(self) -> None:
        """A counter is told as what it grew by in a second; the first one is not."""
        self.series.add(10.0, [5], [100])
        self.series.add(15.0, [7], [110])
        self.series.add(18.0, [6], [111])
        self.assertEqual(self.last("depth", 4), [None, 5, 7, 6])
        self.assertEqual(self.last("in", 4), [None, None, 2, 0.333])
        self.assertIsInstance(self.last("depth", 1)[0], int)

    def test_falls(self) -> None:
        """A counter that fell did not grow."""
        self.series.add(10.0, [5], [100])
        self.series.add(15.0, [5], [20])
        self.series.add(20.0, [5], [30])
        self.assertEqual(self.last("in", 2), [0, 2])

    def test_misses(self) -> None:
        """A sample that is missing is unknown, and so is what grew until the next."""
        self.series.add(10.0, [5], [100])
        self.series.miss()
        self.series.add(20.0, [6], [200])
        self.series.add(25.0, [6], [205])
        self.assertEqual(self.last("depth", 4), [5, None, 6, 6])
        self.assertEqual(self.last("in", 4), [None, None, None, 1])

    def test_wraps(self) -> None:
        """The oldest samples go, and memory does not grow."""
        for number in range(SAMPLES + 3):
            self.series.add(5.0 * number, [number], [5 * number])
        told = self.series.told()
        self.assertEqual(told["depth"], list(range(3, SAMPLES + 3)))
        self.assertEqual(told["in"], [1] * SAMPLES)
