"""What it means that a home is not opened, and where its log is damaged."""

from __future__ import annotations

import errno
import os

from memq.errors import DamagedHome, HomeError, StoreError, UnusableHome
from memq.storage.engine.binding import db
from memq.storage.engine.logfile import logName
from memq.storage.engine.recovery import cutLog, whyNotOpened
from memq.test.storage.engine.test_verification import LogTestCase
from memq.test.support.disks.wrecks import flip
from memq.test.support.homes import BROKEN, NO_SPACE, PANIC, BDBTestCase


class WhyTests(BDBTestCase):
    """Which errors a restart may help against."""

    def test_classes(self) -> None:
        """Each error is of the class that has its exit status."""
        store = self.makeStore()
        caused = StoreError("out of disk space")
        caused.__cause__ = NO_SPACE
        for error, kind in (
            (NO_SPACE, HomeError),
            (BROKEN, HomeError),
            (caused, HomeError),
            (OSError(errno.EIO, "Input/output error"), HomeError),
            (OSError(errno.EROFS, "Read-only file system"), UnusableHome),
            (db.DBError(errno.EACCES, "Permission denied"), UnusableHome),
            (PANIC, DamagedHome),
            (StoreError("a row"), DamagedHome),
            (db.DBError(), DamagedHome),
        ):
            self.assertIs(type(whyNotOpened(store.home, error)), kind, error)


class CutTests(LogTestCase):
    """A log that cannot be read on is cut there, in a copy."""

    def cut(self) -> tuple[str | None, list[int]]:
        """Cut the log; return what is said, and which files are left."""
        directory = os.path.dirname(self.log(1))
        where = cutLog(directory)
        left = [n for n in range(1, 6) if os.path.exists(self.log(n))]
        return where, left

    def test_whole(self) -> None:
        """A log that can be read stays."""
        self.assertEqual(self.cut(), (None, [1, 2, 3, 4, 5]))

    def test_missing(self) -> None:
        """Behind a file that is missing nothing is left."""
        os.unlink(self.log(3))
        where, left = self.cut()
        self.assertEqual(left, [1, 2])
        self.assertIn(f"{self.log(3)} is missing or damaged", str(where))

    def test_head(self) -> None:
        """Nor behind one that is none."""
        flip(self.log(4), 13)
        self.assertEqual(self.cut()[1], [1, 2, 3])

    def test_middle(self) -> None:
        """A file that is damaged is cut where it is."""
        flip(self.log(4), 5000)
        where, left = self.cut()
        self.assertEqual(left, [1, 2, 3, 4])
        self.assertIn(f"{logName(5)} is damaged or missing", str(where))
        self.assertLess(os.path.getsize(self.log(4)), 5001)
        self.assertEqual(self.cut()[0], None)

    def test_first(self) -> None:
        """When the first file is none, there is no place to tell."""
        for number in range(2, 6):
            os.unlink(self.log(number))
        flip(self.log(1), 13)
        self.assertEqual(self.cut(), (None, [1]))

    def test_none(self) -> None:
        """Without a log there is none, and none is made."""
        for number in range(1, 6):
            os.unlink(self.log(number))
        self.assertEqual(self.cut(), (None, []))
