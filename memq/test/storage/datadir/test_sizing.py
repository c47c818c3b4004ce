"""Tests for memq.storage.datadir.sizing."""

from twisted.trial.unittest import SynchronousTestCase

from memq.storage.datadir.sizing import MEGABYTE, sizesFor


class SizesTests(SynchronousTestCase):
    """Space that memq uses of a file system beside the messages."""

    def test_large(self) -> None:
        """On a large disk: 128 MB of logs, 256 between checkpoints, 384 free."""
        total = 100 * 1024 * MEGABYTE
        for noSync, logFile in ((False, 32), (True, 64)):
            sizes = sizesFor(total, noSync)
            self.assertEqual(
                [size / MEGABYTE for size in sizes], [logFile, 16, 256, 384, 4, 16, 16]
            )

    def test_small(self) -> None:
        """On a small one they shrink, and 10 % are kept free."""
        self.assertEqual(
            list(sizesFor(320 * MEGABYTE, True)),
            [size * MEGABYTE for size in (10, 2.5, 20, 32, 2.5, 10, 16)],
        )

    def test_medium(self) -> None:
        """On one of 2 GB, as much is kept free as the logs may take."""
        self.assertEqual(
            sizesFor(2048 * MEGABYTE, False)[:4],
            (32 * MEGABYTE, 16 * MEGABYTE, 128 * MEGABYTE, 256 * MEGABYTE),
        )

    def test_aQuarter(self) -> None:
        """Logs, the log between checkpoints and what is free take at most 1/4."""
        for megabytes in (128, 256, 1024, 2048, 4096, 8192):
            for noSync, logs in ((False, 4), (True, 2)):
                total = megabytes * MEGABYTE
                sizes = sizesFor(total, noSync)
                used = logs * sizes.logFile + sizes.checkpointVolume + sizes.minFree
                self.assertLessEqual(used, total / 4)

    def test_roomForATurn(self) -> None:
        """A turn's log between two looks fits into a log file and the next."""
        for megabytes in (16, 64, 512, 1024, 100_000):
            sizes = sizesFor(megabytes * MEGABYTE, False)
            self.assertGreaterEqual(sizes.logFile, sizes.logFile // 4 + MEGABYTE)
            self.assertGreaterEqual(sizes.tableAhead, sizes.lookAfter + 2 * MEGABYTE)

    def test_rounded(self) -> None:
        """Log files are a multiple of what Berkeley DB would round them up to."""
        self.assertEqual(sizesFor(333_333_333, True).logFile % 65536, 0)

    def test_tiny(self) -> None:
        """Logs never get too small to work with."""
        sizes = sizesFor(1000, True)
        self.assertEqual(sizes.logFile, 2 * MEGABYTE)
        self.assertEqual((sizes.checkpointVolume, sizes.minFree), (MEGABYTE, 100))
