"""How long the reactor was held up."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from memq.web.metrics.lateness import STEP, Lateness


class LatenessTests(SynchronousTestCase):
    """Calls that come late."""

    def setUp(self) -> None:
        """Begin."""
        self.clock = Clock()
        self.lateness = Lateness(self.clock)
        self.lateness.start()

    def test_onTime(self) -> None:
        """A reactor that turns is not late."""
        self.clock.pump([STEP] * 5)
        self.assertEqual(self.lateness.take(), 0)

    def test_late(self) -> None:
        """The longest delay is told once."""
        for seconds in (STEP, 3 * STEP, 2 * STEP):
            self.clock.advance(seconds)
        self.assertAlmostEqual(self.lateness.take(), 2 * STEP)
        self.assertEqual(self.lateness.take(), 0)

    def test_now(self) -> None:
        """A delay is told while it goes on."""
        self.clock.rightNow = 5.0
        self.assertAlmostEqual(self.lateness.take(), 5.0 - STEP)

    def test_each(self) -> None:
        """What has to be done as often is done at each look."""
        calls: list[None] = []
        Lateness(self.clock, lambda: calls.append(None)).start()
        self.clock.pump([STEP] * 3)
        self.assertEqual(len(calls), 3)

    def test_stop(self) -> None:
        """Nobody looks any more in the end."""
        self.lateness.stop()
        self.clock.advance(STEP)
        self.assertEqual(self.clock.getDelayedCalls(), [])
