"""Tests for memq.ahead, and for what a store does with its files."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

from memq.ahead import fillAhead
from memq.errors import StoreError
from memq.marker import logName
from memq.test.storetests import dump
from memq.test.test_bdb import SMALL, BDBTestCase

if TYPE_CHECKING:
    from memq.bdb import BDBStore

#: Bytes of the tests' log files.
SIZE = SMALL.logFile


class FillTests(BDBTestCase):
    """One file of zeros."""

    def setUp(self) -> None:
        """Name it."""
        self.directory = self.mktemp()
        os.mkdir(self.directory)
        self.path = os.path.join(self.directory, logName(7))

    def test_zeros(self) -> None:
        """It has its size, holds nothing but zeros, and nothing is beside it."""
        size = 5 * SIZE // 2
        fillAhead(self.path, size)
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), bytes(size))
        self.assertEqual(os.listdir(self.directory), [logName(7)])

    def test_synced(self) -> None:
        """It is on the disk before it has its name."""
        synced: list[int] = []
        real = os.link
        self.patch(os, "fdatasync", lambda file: synced.append(os.fstat(file).st_size))

        def link(source: str, target: str) -> None:
            self.assertEqual(synced, [SIZE, 2 * SIZE])
            real(source, target)

        self.patch(os, "link", link)
        fillAhead(self.path, 2 * SIZE)
        self.assertTrue(os.path.exists(self.path))

    def test_there(self) -> None:
        """One that is there already is left as it is."""
        with open(self.path, "wb") as file:
            file.write(b"log")
        fillAhead(self.path, SIZE)
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), b"log")
        self.assertEqual(os.listdir(self.directory), [logName(7)])

    def test_noRoom(self) -> None:
        """One that cannot be filled is not there."""

        def fail(file: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        self.patch(os, "fdatasync", fail)
        self.assertRaises(OSError, fillAhead, self.path, SIZE)
        self.assertEqual(os.listdir(self.directory), [])


class StoreTests(BDBTestCase):
    """A store whose log goes on in files that were made ahead of need."""

    def setUp(self) -> None:
        """Open one."""
        self.store: Any = self.openStore()

    def logFile(self, number: int, store: BDBStore | None = None) -> str:
        """Return the path of a log file."""
        return os.path.join((store or self.store)._home.directory, logName(number))

    def push(self, files: float) -> None:
        """Log so much, in log files."""
        until = self.logged() + files * SIZE
        while self.logged() < until:
            self.fill(self.store, b"q", b"x" * 900)

    def logged(self) -> int:
        """Return the bytes of log, from the first one ever."""
        at = self.store._environment._logStat()
        return int(at["cur_file"] * SIZE + at["cur_offset"])

    def current(self, store: BDBStore | None = None) -> int:
        """Return the number of the log file that is written."""
        number: int = (store or self.store)._environment._logStat()["cur_file"]
        return number

    def test_small(self) -> None:
        """With little in the log there is none."""
        self.store.tidy()
        self.assertFalse(os.path.exists(self.logFile(2)))

    def test_noSync(self) -> None:
        """Without syncs that have to be quick there is none either."""
        self.store = self.openStore(SMALL._replace(noSync=True))
        self.push(0.5)
        self.store.tidy()
        self.assertFalse(os.path.exists(self.logFile(2)))

    def test_made(self) -> None:
        """With more in it there are two, and they are made once."""
        self.push(0.5)
        self.store.tidy()
        before = [os.stat(self.logFile(number)) for number in (2, 3)]
        self.assertEqual([stat.st_size for stat in before], [SIZE] * 2)
        self.assertFalse(os.path.exists(self.logFile(4)))
        self.store.tidy()
        after = [os.stat(self.logFile(number)) for number in (2, 3)]
        self.assertEqual(before, after)

    def test_noRoom(self) -> None:
        """With little room on the disk there is none."""
        self.push(0.5)
        self.patch(self.store._environment, "freeBytes", lambda: 3 * SIZE)
        self.store.tidy()
        self.assertFalse(os.path.exists(self.logFile(2)))

    def test_failed(self) -> None:
        """One that cannot be made is no harm, and is tried again."""

        def fail(file: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        self.push(0.5)
        patch = self.patch(os, "fdatasync", fail)
        error = self.assertRaises(StoreError, self.store.tidy)
        self.assertEqual(str(error), "out of disk space")
        patch.restore()
        self.store.tidy()
        self.assertTrue(os.path.exists(self.logFile(2)))

    def test_noLinks(self) -> None:
        """Where the file system knows no links it is said once, and that was it."""

        def fail(source: str, target: str) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        self.push(0.5)
        self.patch(os, "link", fail)
        error = self.assertRaises(StoreError, self.store.tidy)
        self.assertIn("not made ahead of need here", str(error))
        self.store.tidy()
        self.assertFalse(os.path.exists(self.logFile(2)))

    def test_used(self) -> None:
        """The log goes on in them, and all is there after a start."""
        self.push(0.5)
        self.store.tidy()
        before = os.stat(self.logFile(2)).st_ino
        self.push(1)
        self.store.flush()
        self.assertEqual(self.current(), 2)
        self.assertEqual(os.stat(self.logFile(2)).st_ino, before)
        whole = dump(self.store)
        self.assertEqual(dump(self.reopened(self.store)), whole)

    def test_crash(self) -> None:
        """After a crash with such files, used in part or not at all, all is there."""
        for filled in (0.5, 1.5, 2.5):
            self.push(filled)
            self.store.tidy()
            self.store.flush()
            whole = dump(self.store)
            at = self.current()
            crashed = self.crashed(self.store)
            self.assertEqual(dump(crashed), whole)
            self.assertGreaterEqual(self.current(crashed), at)
            self.fill(crashed, b"q", b"after")
            crashed.flush()
            again = self.crashed(crashed)
            self.assertEqual(dump(again), dump(crashed))

    def test_removed(self) -> None:
        """Log files that no recovery needs go, those made ahead stay."""
        self.push(2.5)
        self.store.tidy()
        self.store.checkpoint()
        self.store.removeLogs()
        current = self.current()
        there = [n for n in range(1, 99) if os.path.exists(self.logFile(n))]
        self.assertEqual(there, [current, current + 1, current + 2])
