"""An error at opening a home is explained, and the damage in its log is found."""

from __future__ import annotations

import errno
import os

from memq.errors import DamagedHome, HomeError, StoreError, UnusableHome
from memq.storage.engine.binding import db
from memq.storage.engine.logfile import logName
from memq.storage.engine.recovery import cutLog, whyNotOpened
from memq.test.storage.engine.test_verification import LogTestCase
from memq.test.support.disks.wrecks import flip, snapshot
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

    def test_cut(self) -> None:
        """Behind a file that is missing, or is none, nothing is left."""
        for removed, flipped, left, why in (
            ([], 0, [1, 2, 3, 4, 5], None),
            ([3], 0, [1, 2], "{} is missing or damaged"),
            ([], 4, [1, 2, 3], "{} is missing or damaged"),
            # When the first file is none, there is no place to tell.
            ([2, 3, 4, 5], 1, [1], None),
            # Without a log there is none, and none is made.
            ([1, 2, 3, 4, 5], 0, [], None),
        ):
            self.path = snapshot(self.live, os.path.abspath(self.mktemp()))
            for number in (6, *removed):
                os.unlink(self.log(number))
            if flipped:
                flip(self.log(flipped), 13)
            where, found = self.cut()
            self.assertEqual(found, left)
            if why is None:
                self.assertIsNone(where)
            else:
                self.assertIn(why.format(self.log(len(left) + 1)), str(where))

    def test_middle(self) -> None:
        """A file that is damaged is cut where it is."""
        flip(self.log(4), 5000)
        where, left = self.cut()
        self.assertEqual(left, [1, 2, 3, 4])
        self.assertIn(f"{logName(5)} is damaged or missing", str(where))
        self.assertLess(os.path.getsize(self.log(4)), 5001)
        self.assertEqual(self.cut()[0], None)
