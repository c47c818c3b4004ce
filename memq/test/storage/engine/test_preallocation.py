"""Tests for memq.storage.engine.preallocation, in a store as well."""

from __future__ import annotations

import errno
import os
from threading import RLock, Thread
from typing import TYPE_CHECKING, Any

from memq.errors import StoreError, StoreFailed
from memq.storage.datadir.files import syncDirectory
from memq.storage.engine import preallocation
from memq.storage.engine.binding import db
from memq.storage.engine.marker import logName
from memq.storage.engine.preallocation import IDLE, LogPosition, fillAhead
from memq.test.support.homes import SMALL, BDBTestCase, dump

if TYPE_CHECKING:
    from memq.storage.bdb.store import BDBStore

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


class AheadTestCase(BDBTestCase):
    """Has a store, and knows its log files."""

    def setUp(self) -> None:
        """Open one, and let it look."""
        self.patch(preallocation, "BUSY", SIZE // 4)
        self.patch(preallocation, "_SMALL", SIZE - 1)
        self.patch(preallocation, "TRANSACTION", SIZE // 8)
        self.store: Any = self.openStore()
        self.store.tidy()

    def logFile(self, number: int) -> str:
        """Return the path of a log file."""
        return os.path.join(self.store.home.directory, logName(number))

    def there(self) -> list[int]:
        """Return the numbers of the log files that are there."""
        return [n for n in range(1, 99) if os.path.exists(self.logFile(n))]

    def push(self, files: float) -> None:
        """Log so much, in log files."""
        until = self.logged() + files * SIZE
        while self.logged() < until:
            self.fill(self.store, b"q", b"x" * 900)

    def logged(self) -> int:
        """Return the bytes of log, from the first one ever."""
        at = self.store.environment._position()
        return int(at.file * SIZE + at.offset)

    def current(self, store: BDBStore | None = None) -> int:
        """Return the number of the log file that is written."""
        return (store or self.store).environment._position().file

    def busy(self, files: float = 0.5) -> None:
        """Log so much, and let it look."""
        self.push(files)
        self.store.tidy()

    def idle(self) -> None:
        """Let it look until that is enough."""
        for _ in range(IDLE):
            self.store.tidy()


class StoreTests(AheadTestCase):
    """A store whose log goes on in files that were filled ahead of need."""

    def test_little(self) -> None:
        """While little is logged there are none."""
        self.fill(self.store, b"q", b"x")
        self.store.tidy()
        self.assertEqual(self.there(), [1])

    def test_noSync(self) -> None:
        """Without syncs that have to be quick there are none either."""
        self.store = self.openStore(SMALL._replace(noSync=True))
        self.store.tidy()
        self.busy()
        self.assertEqual(self.there(), [1])

    def test_made(self) -> None:
        """While much is logged there are two, and they are made once."""
        self.busy()
        before = [os.stat(self.logFile(number)) for number in (2, 3)]
        self.assertEqual([stat.st_size for stat in before], [SIZE] * 2)
        self.assertEqual(self.there(), [1, 2, 3])
        self.busy(0.3)
        after = [os.stat(self.logFile(number)) for number in (2, 3)]
        self.assertEqual(before, after)

    def test_noRoom(self) -> None:
        """With little room on the disk there are none."""
        self.patch(self.store.environment._ahead, "_freeBytes", lambda: 3 * SIZE)
        self.busy()
        self.assertEqual(self.there(), [1])

    def test_failed(self) -> None:
        """One that cannot be made is no harm, and is tried again."""

        def fail(file: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch = self.patch(os, "fdatasync", fail)
        error = self.assertRaises(StoreError, self.busy)
        self.assertEqual(str(error), "out of disk space")
        patch.restore()
        self.busy(0.3)
        self.assertEqual(self.there(), [1, 2, 3])

    def test_noLinks(self) -> None:
        """Where the file system knows no links it is said once, and that was it."""

        def fail(source: str, target: str) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        self.patch(os, "link", fail)
        error = self.assertRaises(StoreError, self.busy)
        self.assertIn("not made ahead of need here", str(error))
        self.busy(0.3)
        self.assertEqual(self.there(), [1])

    def test_used(self) -> None:
        """The log goes on in them, and all is there after a start."""
        self.busy()
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
            self.busy(filled)
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

    def test_logsRemoved(self) -> None:
        """Log files that no recovery needs go, those made ahead stay."""
        self.busy(2.5)
        self.store.checkpoint()
        self.store.removeLogs()
        current = self.current()
        self.assertEqual(self.there(), [current, current + 1, current + 2])

    def test_idle(self) -> None:
        """When little is logged for some time, only the next stays."""
        self.busy()
        for _ in range(IDLE - 1):
            self.store.tidy()
            self.assertFalse(self.store.hasGarbage())
        self.store.tidy()
        self.assertTrue(self.store.hasGarbage())
        self.assertFalse(self.store.sweep(1))
        self.assertEqual(self.there(), [1, 2])
        self.store.tidy()
        self.assertFalse(self.store.hasGarbage())
        self.push(1)
        self.store.flush()
        self.assertEqual(self.there(), [1, 2])
        self.assertEqual(dump(self.crashed(self.store)), dump(self.store))

    def test_idleInTheLast(self) -> None:
        """So when one of them is in use: that one stays as well."""
        self.busy()
        self.busy(1)
        self.idle()
        self.store.sweep(1)
        self.assertEqual(self.current(), 2)
        self.assertEqual(self.there(), [1, 2, 3])

    def test_busyAgain(self) -> None:
        """When much is logged before that, they stay."""
        self.busy()
        self.idle()
        self.busy(0.3)
        self.assertFalse(self.store.hasGarbage())

    def test_loggedMeanwhile(self) -> None:
        """They do not go while another thread may write to the log, but later."""
        self.busy()
        self.idle()
        lock = self.store.environment._ahead.logging
        thread = Thread(target=lock.acquire)
        thread.start()
        thread.join()
        self.assertFalse(self.store.sweep(1))
        self.assertEqual(self.there(), [1, 2, 3])
        self.store.environment._ahead.logging = RLock()
        self.store.tidy()
        self.store.sweep(1)
        self.assertEqual(self.there(), [1, 2])

    def test_checkpoint(self) -> None:
        """A checkpoint, and a table that is opened or closed, are such writes."""
        environment = self.store.environment
        held: list[bool] = []
        lock = environment._ahead.logging

        class Noted:
            def __enter__(self) -> None:
                lock.acquire()

            def __exit__(self, *_: object) -> None:
                lock.release()
                held.append(True)

        environment._ahead.logging = Noted()
        self.store.checkpoint()
        table = environment.openTable("beside", db.DB_CREATE)
        self.assertIn(table, environment._tables)
        environment.closeTable(table)
        self.assertEqual(held, [True] * 3)
        self.assertNotIn(table, environment._tables)

    def test_stuck(self) -> None:
        """One that cannot be removed is told, and no harm."""

        def fail(path: str) -> None:
            raise OSError(errno.EACCES, "Permission denied")

        self.busy()
        self.idle()
        self.patch(os, "unlink", fail)
        self.assertRaises(StoreError, self.store.sweep, 1)


class NameTests(AheadTestCase):
    """The next log files, whose names are on the disk before anything is in them."""

    def setUp(self) -> None:
        """Note what log files there are at each sync of the directory."""
        super().setUp()
        self.push(0.1)
        self.syncs: list[list[int]] = []
        real = syncDirectory

        def sync(path: str) -> None:
            self.syncs.append(self.there())
            real(path)

        self.patch(preallocation, "syncDirectory", sync)

    def test_named(self) -> None:
        """Before a transaction that could reach the next file, that is there."""
        self.push(0.7)
        self.assertEqual(self.there(), [1])
        self.assertEqual(self.syncs, [])
        self.push(0.1)
        self.assertEqual(os.stat(self.logFile(2)).st_size, 0)
        self.assertEqual(self.syncs, [[1, 2]])
        self.push(0.5)
        self.assertEqual(self.current(), 2)
        self.store.flush()
        self.assertEqual(self.syncs, [[1, 2]])
        self.assertEqual(dump(self.crashed(self.store)), dump(self.store))

    def test_looked(self) -> None:
        """Where there was a look, nothing more is needed."""
        self.store.freeBytes()
        self.assertEqual(self.syncs, [[1, 2], [1, 2]])
        del self.syncs[:]
        self.push(1.2)
        self.store.flush()
        self.assertEqual(self.syncs, [])

    def test_small(self) -> None:
        """Of small ones there are always two, and they stay."""
        self.patch(preallocation, "_SMALL", SIZE)
        self.store.freeBytes()
        self.assertEqual(self.there(), [1, 2, 3])
        self.idle()
        self.assertFalse(self.store.hasGarbage())

    def test_flush(self) -> None:
        """A flush syncs the directory when the log is in a file whose name is not."""
        self.patch(self.store.environment._ahead, "_freeBytes", lambda: 0)
        self.push(1)
        self.assertEqual(self.syncs, [])
        self.store.flush()
        self.assertEqual(self.syncs, [[1, 2]])
        self.store.flush()
        self.assertEqual(self.syncs, [[1, 2]])

    def test_notWritten(self) -> None:
        """A file that the log will be in but is not made yet is no such file."""
        names = self.store.environment._ahead
        self.store.flush()
        self.patch(names, "_position", lambda: LogPosition(2, 30, SIZE))
        del self.syncs[:]
        self.store.flush()
        self.assertEqual(self.syncs, [])

    def test_flushFailed(self) -> None:
        """If that fails, nothing is told to be stored."""
        self.patch(self.store.environment._ahead, "_freeBytes", lambda: 0)
        self.push(1)
        self.failSync(errno.EIO)
        error = self.assertRaises(StoreFailed, self.store.flush)
        self.assertEqual(str(error), "the log cannot be synced: Input/output error")

    def failSync(self, code: int) -> None:
        """Let syncs of the directory fail."""

        def fail(path: str) -> None:
            raise OSError(code, os.strerror(code))

        self.patch(preallocation, "syncDirectory", fail)

    def test_failed(self) -> None:
        """If names cannot be synced, no transaction begins."""
        self.push(0.6)
        self.failSync(errno.EIO)
        self.assertRaises(StoreFailed, self.push, 0.4)
