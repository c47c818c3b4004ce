"""Tests for memq.sizes."""

from twisted.trial.unittest import SynchronousTestCase

from memq.sizes import MEGABYTE, Sizes, sizesFor


class SizesTests(SynchronousTestCase):
    """What memq uses of a file system beside the messages."""

    def test_large(self) -> None:
        """On a large disk: 128 MB of logs, 256 between checkpoints, 384 free."""
        total = 100 * 1024 * MEGABYTE
        for noSync, logFile in ((False, 32), (True, 64)):
            self.assertEqual(
                sizesFor(total, noSync),
                Sizes(logFile * MEGABYTE, 256 * MEGABYTE, 384 * MEGABYTE),
            )

    def test_small(self) -> None:
        """On a small one they shrink, and 10 % are kept free."""
        self.assertEqual(
            sizesFor(320 * MEGABYTE, True),
            Sizes(10 * MEGABYTE, 20 * MEGABYTE, 32 * MEGABYTE),
        )

    def test_medium(self) -> None:
        """On one of 2 GB, as much is kept free as the logs may take."""
        self.assertEqual(
            sizesFor(2048 * MEGABYTE, False),
            Sizes(32 * MEGABYTE, 128 * MEGABYTE, 256 * MEGABYTE),
        )

    def test_aQuarter(self) -> None:
        """Logs, the log between checkpoints and what is free take at most 1/4."""
        for megabytes in (64, 256, 1024, 2048, 4096, 8192):
            for noSync, logs in ((False, 4), (True, 2)):
                total = megabytes * MEGABYTE
                sizes = sizesFor(total, noSync)
                used = logs * sizes.logFile + sizes.checkpointVolume + sizes.minFree
                self.assertLessEqual(used, total / 4)

    def test_tiny(self) -> None:
        """Logs never get too small to work with."""
        self.assertEqual(sizesFor(1000, True), Sizes(MEGABYTE, MEGABYTE, 100))
