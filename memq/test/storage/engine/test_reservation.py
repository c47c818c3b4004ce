"""Tests for memq.storage.engine.reservation."""

from __future__ import annotations

import ctypes
import errno
import os

from twisted.trial.unittest import SynchronousTestCase

from memq.storage.engine import reservation
from memq.storage.engine.reservation import Reservation, allocate, hasRoom


class ReserveTests(SynchronousTestCase):
    """Blocks that are a file's before it needs them."""

    def setUp(self) -> None:
        """Have a small file."""
        self.path = self.mktemp()
        with open(self.path, "wb") as file:
            file.write(b"log")
        self.reserve = Reservation(os.getcwd(), {}, 0)

    def test_hold(self) -> None:
        """A file is given blocks, and is as long, and holds the same, as before."""
        self.assertFalse(hasRoom(self.path, 1 << 20))
        self.assertTrue(self.reserve.hold(self.path, 1 << 20))
        self.assertTrue(hasRoom(self.path, 1 << 20))
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), b"log")

    def test_once(self) -> None:
        """Blocks that a file has are not reserved again."""
        self.reserve.hold(self.path, 1 << 20)
        self.patch(reservation, "_fallocate", None)
        self.assertTrue(self.reserve.hold(self.path, 1 << 20))

    def test_cutOff(self) -> None:
        """Blocks that were cut off are reserved again."""
        self.reserve.hold(self.path, 1 << 20)
        os.truncate(self.path, 1)
        self.assertFalse(hasRoom(self.path, 1 << 20))
        self.assertTrue(self.reserve.hold(self.path, 1 << 20))
        self.assertTrue(hasRoom(self.path, 1 << 20))

    def test_made(self) -> None:
        """A file that is missing is made, for its owner alone."""
        path = self.mktemp()
        allocate(path, 4096)
        stat = os.stat(path)
        self.assertEqual((stat.st_size, stat.st_mode & 0o777), (0, 0o600))

    def refusing(self, code: int) -> None:
        """Let the file system refuse with an error."""

        def refuse(*arguments: object) -> int:
            ctypes.set_errno(code)
            return -1

        self.patch(reservation, "_fallocate", refuse)

    def test_noRoom(self) -> None:
        """Where there are not so many, it says so, and asks again the next time."""
        for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            self.refusing(code)
            self.assertFalse(self.reserve.hold(self.path, 1 << 30))
            self.assertTrue(self.reserve.isPossible)

    def test_impossible(self) -> None:
        """Where the file system cannot do it, nothing is asked of it any more."""
        self.refusing(errno.EOPNOTSUPP)
        self.assertTrue(self.reserve.hold(self.path, 1 << 30))
        self.assertFalse(self.reserve.isPossible)
        self.patch(reservation, "_fallocate", None)
        self.assertTrue(self.reserve.hold(self.path, 1 << 40))

    def test_broken(self) -> None:
        """A disk that fails is another thing."""
        self.refusing(errno.EIO)
        error = self.assertRaises(OSError, self.reserve.hold, self.path, 1 << 30)
        self.assertEqual((error.errno, error.filename), (errno.EIO, self.path))
