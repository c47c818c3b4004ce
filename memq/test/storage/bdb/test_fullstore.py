"""The store in Berkeley DB when the disk is full, and what it has in reserve."""

from __future__ import annotations

import errno
import os
import resource
from typing import Any

from memq.errors import HomeError, OutOfSpace, StoreError
from memq.storage.engine import preallocation
from memq.storage.engine.binding import db
from memq.storage.engine.environment import Environment
from memq.storage.engine.logfile import logName
from memq.storage.engine.reservation import Reservation, hasRoom
from memq.test.support.homes import SMALL, BDBTestCase, dump, raising, refusing


class ReserveTests(BDBTestCase):
    """Room that is the store's before it needs it."""

    def setUp(self) -> None:
        """Open a store."""
        self.patch(preallocation, "TRANSACTION", 1000)
        self.store: Any = self.openStore()
        self.fill(self.store, b"q", b"1", b"2")

    def path(self, name: str) -> str:
        """Return the path of a file of the store."""
        return os.path.join(self.store.home.directory, name)

    def next(self) -> str:
        """Return the path of the next log file."""
        return self.path(logName(self.store.environment.position().file + 1))

    def log(self, queue: bytes) -> None:
        """Fill more than one log file."""
        for _ in range(5):
            self.fill(self.store, queue, *[b"x" * 60_000] * 10)

    def test_taken(self) -> None:
        """A look takes room for the log, for the next file of it, and for tables."""
        self.assertTrue(self.store.reserveSpace())
        self.assertTrue(hasRoom(self.path(logName(1)), SMALL.logFile))
        self.assertTrue(hasRoom(self.path("messages"), SMALL.tableAhead))
        self.assertTrue(hasRoom(self.path("queues"), SMALL.tableAhead // 16))
        with open(self.next(), "rb") as file:
            self.assertEqual(file.read(), bytes(SMALL.logFile))
        self.assertEqual(os.stat(self.next()).st_mode & 0o777, 0o600)

    def test_noSync(self) -> None:
        """With no-sync a large log file is not filled, which would take long."""
        large = 8 * 1024 * 1024
        self.store = self.openStore(SMALL._replace(noSync=True, logFile=large))
        self.patch(os, "fdatasync", None)
        self.store.reserveSpace()
        self.assertEqual(os.stat(self.next()).st_size, large)

    def test_noRoomForTheLog(self) -> None:
        """Without room for the next log file there is no room at all."""
        self.patch(os, "fdatasync", refusing(errno.ENOSPC))
        self.assertFalse(self.store.reserveSpace())
        self.assertFalse(os.path.exists(self.next()))

    def test_noRoomForTables(self) -> None:
        """So without room for the tables."""
        self.patch(Reservation, "hold", lambda *_: False)
        self.assertFalse(self.store.reserveSpace())

    def test_broken(self) -> None:
        """A disk that fails says so."""
        self.patch(os, "fdatasync", refusing(errno.EIO))
        error = self.assertRaises(StoreError, self.store.reserveSpace)
        self.assertIn("no room can be taken ahead of need", str(error))
        broken = db.DBError(errno.EINVAL, "a table")
        self.patch(Reservation, "reserveTables", raising(broken))
        error = self.assertRaises(StoreError, self.store.reserveSpace)
        self.assertIn("table", str(error))

    def test_short(self) -> None:
        """A next log file that Berkeley DB made gets its blocks, and stays."""
        with open(self.next(), "wb"):
            pass
        before = os.stat(self.next()).st_ino
        self.store.reserveSpace()
        self.assertTrue(hasRoom(self.next(), SMALL.logFile))
        self.assertEqual(os.stat(self.next()).st_ino, before)

    def test_limit(self) -> None:
        """A limit on the size of files is like a disk of that size."""
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_FSIZE, limits)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, limits[1]))
        self.assertLess(self.store.freeBytes(), 1 << 30)
        self.assertGreater(self.store.freeBytes(), 1 << 29)

    def test_usedAgain(self) -> None:
        """A log file that is done with becomes the next one, where there is none."""
        self.log(b"q")
        self.store.checkpoint()
        done = self.path(logName(self.store.environment.position().file - 1))
        before = os.stat(done).st_ino
        self.store.removeLogs()
        self.assertEqual(os.stat(self.next()).st_ino, before)
        with open(self.next(), "rb") as file:
            self.assertFalse(file.read().strip(b"\0"))
        whole = dump(self.store)
        self.log(b"r")
        self.store.flush()
        self.assertTrue(dump(self.crashed(self.store)).startswith(whole))

    def test_notUsedAgain(self) -> None:
        """Where there is a next one, it goes."""
        self.log(b"q")
        self.store.reserveSpace()
        before = os.stat(self.next()).st_ino
        self.store.checkpoint()
        self.store.removeLogs()
        self.assertEqual(os.stat(self.next()).st_ino, before)


class BallastTests(BDBTestCase):
    """The next log file, at a start."""

    def setUp(self) -> None:
        """Have a home that was left by a crash, with such a file."""
        store: Any = self.openStore()
        self.fill(store, b"q", b"1")
        store.flush()
        store.reserveSpace()
        self.whole = dump(store)
        self.home = store.home.path
        store.environment.letGo()
        store.home.release()
        self.next = os.path.join(store.home.directory, logName(2))
        self.failures = 0

    def start(self, failures: int = 0, left: int = 0, settings: Any = SMALL) -> Any:
        """Open the store, where so many recoveries fail."""
        recover = Environment._recover

        def fail(environment: Environment) -> None:
            self.failures += 1
            if self.failures <= failures:
                raise db.DBRunRecoveryError(-30973, "PANIC")
            recover(environment)

        self.patch(Environment, "_recover", fail)
        if failures:
            self.patch(Environment, "freeBytes", lambda _: left)
        store = self.storeAt(self.home, settings)
        store.open()
        return store

    def test_kept(self) -> None:
        """It is kept, though a recovery would remove it."""
        # One of the two that there are, for they are small.
        second = self.next[:-1] + "3"
        before = [os.stat(path).st_ino for path in (self.next, second)]
        store = self.start()
        # A look comes before any transaction, as in a server.
        store.reserveSpace()
        self.assertIn(os.stat(self.next).st_ino, before)
        self.assertEqual(dump(store), self.whole)

    def test_ofAnotherSize(self) -> None:
        """A next log file that is too small for the log as it is now is made anew."""
        settings = SMALL._replace(logFile=2 * SMALL.logFile)
        self.start(settings=settings).reserveSpace()
        self.assertEqual(os.stat(self.next).st_size, settings.logFile)

    def test_givenUp(self) -> None:
        """Where a recovery has no room, it is given up, and there is another one."""
        ballast = os.path.join(os.path.dirname(self.next), "ballast")
        store = self.start(failures=1)
        self.assertEqual(dump(store), self.whole)
        self.assertFalse(os.path.exists(ballast))

    def test_noBallast(self) -> None:
        """Where there is none, a recovery is tried again all the same."""
        for number in (2, 3):
            os.unlink(os.path.join(os.path.dirname(self.next), logName(number)))
        self.assertEqual(dump(self.start(failures=1)), self.whole)

    def test_notEnough(self) -> None:
        """Where that is not enough, it is said how much is."""
        error = self.assertRaises(HomeError, self.start, 2)
        self.assertIn("the disk is full: make at least 64 MB of room", str(error))

    def test_somethingElse(self) -> None:
        """A recovery that had room and failed is not tried again."""
        error = self.assertRaises(HomeError, self.start, 1, 1 << 40)
        self.assertIn("PANIC", str(error))
        self.assertEqual(self.failures, 1)

    def test_checkpointWithoutRoom(self) -> None:
        """A start that has no room for a checkpoint goes on, and removes no file."""
        stray = os.path.join(os.path.dirname(self.next), "messages.7")
        with open(stray, "wb"):
            pass
        patch = self.patch(Environment, "checkpoint", raising(OutOfSpace()))
        store = self.start()
        self.assertEqual(dump(store), self.whole)
        self.assertTrue(os.path.exists(stray))
        new = self.makeStore()
        error = self.assertRaises(HomeError, new.open)
        self.assertIn("out of disk space", str(error))
        patch.restore()
