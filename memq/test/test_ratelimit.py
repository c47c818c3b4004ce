"""What happens often is logged rarely."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.ratelimit import LOG_INTERVAL, Rarely


class RarelyTests(SynchronousTestCase):
    """Things that are counted."""

    def test_count(self) -> None:
        """Each kind is logged at first, and after a minute with what came meanwhile."""
        now = 0.0
        rarely = Rarely(lambda: now)
        self.assertEqual([rarely.count("a") for _ in range(3)], [1, 0, 0])
        self.assertEqual(rarely.count("b"), 1)
        now += LOG_INTERVAL - 1
        self.assertEqual(rarely.count("a"), 0)
        now += 1
        self.assertEqual([rarely.count("a"), rarely.count("b")], [4, 1])
        self.assertEqual(rarely.count("a"), 0)
