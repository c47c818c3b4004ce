"""A line about once a second."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.admin.progress import Progress, megabytes


class ProgressTests(SynchronousTestCase):
    """What is told, and when."""

    def test_seconds(self) -> None:
        """However often something is reached, a line comes once a second."""
        now = 100.0
        lines: list[str] = []
        progress = Progress(lines.append, lambda: now)
        for tenth in range(25):
            now = 100 + tenth / 10
            progress.reach(lambda tenth=tenth: f"{tenth}")  # type: ignore[misc]
        self.assertEqual(lines, ["10", "20"])

    def test_tell(self) -> None:
        """What is told comes at once."""
        lines: list[str] = []
        Progress(lines.append).tell("begun")
        self.assertEqual(lines, ["begun"])

    def test_megabytes(self) -> None:
        """Bytes are told as megabytes."""
        self.assertEqual(megabytes(1_550_000), "1.5 MB")
