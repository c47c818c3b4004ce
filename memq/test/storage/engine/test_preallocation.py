"""Tests for memq.storage.engine.preallocation, in a store as well."""

from __future__ import annotations

import errno
import os
from functools import partial
from typing import TYPE_CHECKING, Any

from memq.errors import StoreFailed
from memq.storage.datadir.files import syncDirectory
from memq.storage.engine import environment, preallocation
from memq.storage.engine.logfile import logName, logNumbers
from memq.storage.engine.preallocation import LogPosition, fillAhead
from memq.test.support.homes import SMALL, BDBTestCase, dump, push, refusing

#: Bytes of the tests' log files.
SIZE = SMALL.logFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.storage.engine.marker import Marker


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
        """A log file that is there already is left as it is."""
        with open(self.path, "wb") as file:
            file.write(b"log")
        fillAhead(self.path, SIZE)
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), b"log")
        self.assertEqual(os.listdir(self.directory), [logName(7)])

    def test_noRoom(self) -> None:
        """A log file that cannot be filled is not there."""
        self.patch(os, "fdatasync", refusing(errno.ENOSPC))
        self.assertRaises(OSError, fillAhead, self.path, SIZE)
        self.assertEqual(os.listdir(self.directory), [])


class PreallocationTestCase(BDBTestCase):
    """Has a store, and knows its log files."""

    def setUp(self) -> None:
        """Open one, whose log files count as large ones."""
        self.patch(preallocation, "_SMALL", SIZE - 1)
        self.patch(preallocation, "TRANSACTION", SIZE // 8)
        self.said: list[str] = []
        self.store: Any = self.openStore()
        self.environment = self.store.environment
        self.patch(self.environment, "say", self.said.append)
        self.preallocator = self.environment._preallocator
        self.directory = self.store.home.directory

    def logFile(self, number: int) -> str:
        """Return the path of a log file."""
        return os.path.join(self.directory, logName(number))

    def there(self) -> list[int]:
        """Return the numbers of the log files that are there."""
        return logNumbers(self.directory)

    def push(self, files: float) -> None:
        """Log so much, in log files."""
        until = self.logged() + files * SIZE
        while self.logged() < until:
            self.fill(self.store, b"q", b"x" * 900)

    def logged(self) -> int:
        """Return the bytes of log, from the first one ever."""
        at = self.environment.position()
        return int(at.file * SIZE + at.offset)

    def current(self) -> int:
        """Return the number of the log file that is written."""
        return int(self.environment.position().file)

    def leave(self, room: int) -> None:
        """Let so many bytes be free."""
        self.patch(self.preallocator, "_freeBytes", lambda: room)


class StoreTests(PreallocationTestCase):
    """A store whose log goes on in files that were filled ahead of need."""

    def test_made(self) -> None:
        """A look makes the next one, and makes it once."""
        self.assertEqual(self.there(), [1])
        self.assertTrue(self.store.reserveSpace())
        self.assertEqual(self.there(), [1, 2])
        before = os.stat(self.logFile(2))
        self.assertEqual(before.st_size, SIZE)
        self.push(0.3)
        self.assertTrue(self.store.reserveSpace())
        self.assertEqual(os.stat(self.logFile(2)), before)

    def test_small(self) -> None:
        """Of small ones there are two, unless there is little room."""
        self.patch(preallocation, "_SMALL", SIZE)
        self.leave(3 * SIZE)
        self.store.reserveSpace()
        self.assertEqual(self.there(), [1, 2])
        self.leave(4 * SIZE)
        self.store.reserveSpace()
        self.assertEqual(self.there(), [1, 2, 3])

    def test_failed(self) -> None:
        """A log file that cannot be made is no harm, and is tried again."""
        patch = self.patch(os, "fdatasync", refusing(errno.ENOSPC))
        self.assertFalse(self.store.reserveSpace())
        patch.restore()
        self.push(0.3)
        self.assertTrue(self.store.reserveSpace())
        self.assertEqual(self.there(), [1, 2])

    def test_noLinks(self) -> None:
        """Where the file system knows no links it is said once, and that was it."""
        self.patch(os, "link", refusing(errno.EPERM))
        for _ in range(2):
            self.assertTrue(self.store.reserveSpace())
        (line,) = self.said
        self.assertIn("not made ahead of need here", line)
        self.assertEqual(self.there(), [1])

    def test_used(self) -> None:
        """The log goes on in it, and all is there after a start."""
        self.store.reserveSpace()
        before = os.stat(self.logFile(2)).st_ino
        self.push(1)
        self.store.flush()
        self.assertEqual(self.current(), 2)
        self.assertEqual(os.stat(self.logFile(2)).st_ino, before)
        whole = dump(self.store)
        self.assertEqual(dump(self.reopened(self.store)), whole)

    def test_crash(self) -> None:
        """After a crash with such files, used in part or not at all, all is there."""
        self.patch(preallocation, "_SMALL", SIZE)
        for filled in (0.5, 1.5, 2.5):
            self.push(filled)
            self.store.reserveSpace()
            self.store.flush()
            whole = dump(self.store)
            at = self.current()
            crashed = self.crashed(self.store)
            self.assertEqual(dump(crashed), whole)
            self.assertGreaterEqual(crashed.environment.position().file, at)
            self.fill(crashed, b"q", b"after")
            crashed.flush()
            again = self.crashed(crashed)
            self.assertEqual(dump(again), dump(crashed))

    def test_crashBetweenNames(self) -> None:
        """A file that has another name yet, since a crash came between, stays as it is.

        Of each file of zeros that is made after that, the log is in no other one.
        """
        for name in "ahead", "ballast":
            self.push(1)
            self.store.flush()
            log = self.logFile(self.current())
            os.link(log, os.path.join(self.directory, name))
            with open(log, "rb") as file:
                before = file.read()
            self.assertTrue(self.store.reserveSpace())
            with open(log, "rb") as file:
                self.assertEqual(file.read(), before)
            self.assertEqual(os.stat(log).st_nlink, 1)
            self.assertFalse(os.path.samefile(log, self.logFile(self.current() + 1)))

    def test_twoNames(self) -> None:
        """After a kill that left a new file its old name, too, all is there."""
        self.store.reserveSpace()
        os.link(self.logFile(2), os.path.join(self.directory, "ahead"))
        self.store = self.reopened(self.store)
        self.environment = self.store.environment
        for _ in range(4):
            self.store.reserveSpace()
            self.push(0.7)
        self.store.flush()
        self.assertEqual(dump(self.crashed(self.store)), dump(self.store))

    def test_logsRemoved(self) -> None:
        """Log files that no recovery needs go, the one made ahead stays."""
        self.push(2.5)
        self.store.reserveSpace()
        self.store.checkpoint()
        self.store.removeLogs()
        current = self.current()
        self.assertEqual(self.there(), [current, current + 1])


class NameTests(PreallocationTestCase):
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
        self.store.reserveSpace()
        self.assertEqual(self.syncs, [[1, 2], [1, 2]])
        del self.syncs[:]
        self.push(1.2)
        self.store.flush()
        self.assertEqual(self.syncs, [])

    def test_flush(self) -> None:
        """A flush syncs the directory when the log is in a file whose name is not."""
        self.leave(0)
        self.push(1)
        self.assertEqual(self.syncs, [])
        self.store.flush()
        self.assertEqual(self.syncs, [[1, 2]])
        self.store.flush()
        self.assertEqual(self.syncs, [[1, 2]])

    def looks(self, *calls: Callable[[], object]) -> int:
        """Return how often it is asked, within some calls, where the log ends."""
        count = 0
        position = self.preallocator._position

        def counted() -> LogPosition:
            nonlocal count
            count += 1
            return position()

        patch = self.patch(self.preallocator, "_position", counted)
        for call in calls:
            call()
        patch.restore()
        return count

    def set(self) -> None:
        """Set a message, and flush."""
        self.fill(self.store, b"q", b"x")
        self.store.flush()

    def test_looks(self) -> None:
        """Only a transaction that might reach another file looks where the log ends."""
        self.store.reserveSpace()
        self.store.checkpoint()
        at = self.environment.position()
        self.assertEqual(self.looks(self.set), 1)
        most = (2 * SIZE - at.offset) // preallocation.TRANSACTION
        self.assertEqual(self.looks(*[self.set] * (most - 1)), 0)
        self.assertEqual(self.looks(self.set), 1)
        self.assertEqual(self.looks(self.set), 0)

    def test_looksAgain(self) -> None:
        """So does one after what is not bounded, and after what other threads log."""

        def setMany() -> None:
            self.store.begin()
            for number in range(40):
                self.store.push(b"%d" % number, 0, b"x")
            self.store.commit()

        def promote() -> None:
            self.store.begin()
            self.store.promoteDue(0, 10)
            self.store.commit()

        def sweep() -> None:
            self.fill(self.store, b"gone", b"x")
            self.store.begin()
            self.store.delete(b"gone")
            self.store.commit()
            self.store.sweep(100)

        self.store.reserveSpace()
        for work in setMany, promote, sweep, self.store.checkpoint:
            self.set()
            self.set()
            work()
            # And so does a flush meanwhile.
            self.assertEqual(self.looks(self.store.flush), 1, work)
            self.assertEqual(self.looks(self.set), 1, work)
            self.assertEqual(self.looks(self.set), 0, work)

    def test_notWritten(self) -> None:
        """A file that is not made yet has none of the log, but those before it have."""
        self.store.flush()
        for file, synced in ((2, 0), (3, 1)):
            at = partial(LogPosition, file, 30, SIZE)
            self.patch(self.preallocator, "_position", at)
            self.preallocator.lookAgain()
            self.store.flush()
            self.store.flush()
            self.assertEqual(self.syncs, [[1]] * synced)

    def test_started(self) -> None:
        """A start that goes on in the next file marks it once it has its name for good.

        The start took zeros out of the way, which had that name on the disk.
        """
        self.store.reserveSpace()
        while (room := SIZE - self.environment.position().offset) > 300:
            push(self.store, b"q", 0, b"x" * max(1, min(900, room - 1000)))
        self.assertEqual(self.current(), 1)
        self.store.flush()
        named: set[int] = set()
        marked: list[tuple[int, bool]] = []

        def sync(path: str) -> None:
            named.update(entry.inode() for entry in os.scandir(path))

        def mark(path: str, marker: Marker) -> None:
            file = os.stat(os.path.join(path, logName(marker.file))).st_ino
            marked.append((marker.file, file in named))

        self.patch(preallocation, "syncDirectory", sync)
        self.patch(environment, "writeMarker", mark)
        self.crashed(self.store)
        self.assertEqual(marked, [(2, True)])

    def test_recycled(self) -> None:
        """A file that is done with gets zeros once its old name is gone for good."""
        self.push(2.5)
        self.store.checkpoint()
        seen: list[list[int]] = []

        def fill(file: object, size: int) -> None:
            seen.extend((self.there(), self.syncs[-1]))

        self.patch(preallocation, "_fill", fill)
        self.store.removeLogs()
        self.assertEqual(seen, [[1, 3], [1, 3]])

    def test_flushFailed(self) -> None:
        """If that fails, nothing is told to be stored."""
        self.leave(0)
        self.push(1)
        self.patch(preallocation, "syncDirectory", refusing(errno.EIO))
        error = self.assertRaises(StoreFailed, self.store.flush)
        self.assertEqual(str(error), "the log cannot be synced: Input/output error")

    def test_failed(self) -> None:
        """If names cannot be synced, no transaction begins."""
        self.push(0.6)
        self.patch(preallocation, "syncDirectory", refusing(errno.EIO))
        self.assertRaises(StoreFailed, self.push, 0.4)
