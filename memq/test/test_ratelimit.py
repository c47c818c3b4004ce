"""Events that happen often are logged rarely."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.ratelimit import LOG_INTERVAL, Progress, Rarely


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


class ProgressTests(SynchronousTestCase):
    """Lines that tell how far something is."""

    def test_seconds(self) -> None:
        """However often something is reached, a line comes once a second."""
        now = 100.0
        lines: list[str] = []
        progress = Progress(lines.append, lambda: now)
        progress.tell("begun")
        for tenth in range(25):
            now = 100 + tenth / 10
            progress.reach(lambda tenth=tenth: f"{tenth}")  # type: ignore[misc]
        self.assertEqual(lines, ["begun", "10", "20"])
