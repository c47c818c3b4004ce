"""Rates are known from two looks."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.web.api.rates import KEPT, LEAST, MOST, UNKNOWN, Rates, Speeds


class SpeedTests(SynchronousTestCase):
    """Queues that are asked for one by one."""

    def setUp(self) -> None:
        """Have looked at one."""
        self.speeds = Speeds()
        self.assertEqual(self.speeds.note(b"q", 100.0, 10, 5), UNKNOWN)

    def test_rates(self) -> None:
        """They are what came and went in a second."""
        self.assertEqual(self.speeds.note(b"q", 102.0, 20, 6), Rates(5.0, 0.5))
        self.assertEqual(self.speeds.note(b"q", 105.0, 21, 6), Rates(0.333, 0.0))

    def test_soon(self) -> None:
        """Within a second, what was told is told again."""
        self.assertEqual(self.speeds.note(b"q", 100 + LEAST / 2, 99, 5), UNKNOWN)
        self.speeds.note(b"q", 101.0, 20, 5)
        self.assertEqual(self.speeds.note(b"q", 101.5, 99, 5), Rates(10.0, 0.0))

    def test_late(self) -> None:
        """After long they say nothing."""
        self.assertEqual(self.speeds.note(b"q", 101 + MOST, 20, 6), UNKNOWN)

    def test_fallen(self) -> None:
        """A counter that fell is of another queue."""
        self.assertEqual(self.speeds.note(b"q", 101.0, 0, 9), Rates(0.0, 4.0))

    def test_bounded(self) -> None:
        """That which was asked for longest ago is forgotten."""
        for number in range(1, KEPT):
            self.speeds.note(b"%d" % number, 100.0, 0, 0)
        self.speeds.note(b"q", 101.0, 11, 5)
        self.speeds.note(b"more", 101.0, 0, 0)
        self.assertEqual(self.speeds.note(b"q", 102.0, 12, 5), Rates(1.0, 0.0))
        self.assertEqual(self.speeds.note(b"1", 102.0, 9, 9), UNKNOWN)
        self.assertEqual(self.speeds.note(b"3", 102.0, 4, 2), Rates(2.0, 1.0))
