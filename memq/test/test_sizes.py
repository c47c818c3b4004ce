"""Tests for memq.sizes."""

from twisted.trial.unittest import SynchronousTestCase

from memq.sizes import MEGABYTE, Sizes, sizesFor


class SizesTests(SynchronousTestCase):
    """What memq uses of a file system beside the messages."""

    def test_large(self) -> None:
        """On a large disk: 32 MB logs, 256 MB between checkpoints, 320 MB free."""
        self.assertEqual(
            sizesFor(100 * 1024 * MEGABYTE),
            Sizes(32 * MEGABYTE, 256 * MEGABYTE, 320 * MEGABYTE),
        )

    def test_small(self) -> None:
        """On a small one they shrink, and 10 % are kept free."""
        self.assertEqual(
            sizesFor(320 * MEGABYTE),
            Sizes(5 * MEGABYTE, 20 * MEGABYTE, 32 * MEGABYTE),
        )

    def test_medium(self) -> None:
        """On one of 2 GB, as much is kept free as the logs may take."""
        self.assertEqual(
            sizesFor(2048 * MEGABYTE),
            Sizes(32 * MEGABYTE, 128 * MEGABYTE, 192 * MEGABYTE),
        )

    def test_aQuarter(self) -> None:
        """Four logs, the log between checkpoints and what is free take at most 1/4."""
        for megabytes in (64, 256, 1024, 2048, 4096, 8192):
            total = megabytes * MEGABYTE
            sizes = sizesFor(total)
            used = 4 * sizes.logFile + sizes.checkpointVolume + sizes.minFree
            self.assertLessEqual(used, total / 4)

    def test_tiny(self) -> None:
        """Logs never get too small to work with."""
        self.assertEqual(sizesFor(1000), Sizes(MEGABYTE, MEGABYTE, 100))
