"""Tests for memq.storage.datadir.home."""

from __future__ import annotations

import fcntl
import os
import pwd
import stat
from errno import ENOLCK

from twisted.trial.unittest import SynchronousTestCase

from memq.errors import HomeError
from memq.memcacheq.directory import MOVED, makeWay
from memq.storage.datadir import home as module
from memq.storage.datadir.home import FORMAT, Home
from memq.test.support.foreign.memcacheqdirs import MemcacheQ
from memq.test.support.homes import raising, refusing


def write(path: str, text: str = "") -> None:
    """Make a file."""
    with open(path, "w") as file:
        file.write(text)


class HomeTestCase(SynchronousTestCase):
    """A directory that may become a home."""

    def setUp(self) -> None:
        """Name a directory that does not exist, two levels deep."""
        self.path = os.path.abspath(os.path.join(self.mktemp(), "data", "memq"))

    def prepare(self, home: Home) -> None:
        """Prepare a home as a server does."""
        home.prepare(makeWay=makeWay)

    def prepared(self) -> Home:
        """Return a home that is held until the test is over."""
        home = Home(self.path)
        self.addCleanup(home.release)
        self.prepare(home)
        return home

    def refused(self) -> str:
        """Return why a home cannot be used, without the option's name."""
        home = Home(self.path)
        error = str(self.assertRaises(HomeError, self.prepare, home))
        option = f"--home {self.path}: "
        self.assertTrue(error.startswith(option), error)
        self.assertNotIn("\n", error)
        return error.removeprefix(option)


class HomeTests(HomeTestCase):
    """Conditions that a directory meets before a store is opened in it."""

    def test_made(self) -> None:
        """A home is made with its parents, closed to others."""
        home = self.prepared()
        self.assertEqual(home.directory, os.path.join(self.path, "memq"))
        self.assertTrue(home.isNew)
        modes = [stat.S_IMODE(os.stat(p).st_mode) for p in (home.path, home.directory)]
        self.assertEqual(modes, [0o750, 0o700])

    def test_relative(self) -> None:
        """A relative path does not change with the working directory."""
        home = Home("data")
        self.assertEqual(home.path, os.path.abspath("data"))

    def test_madeByTwo(self) -> None:
        """A directory that somebody else makes just now is as good."""
        makeDirectory = os.mkdir

        def mkdir(path: str, mode: int) -> None:
            makeDirectory(path, mode)
            makeDirectory(path, mode)

        self.patch(os, "mkdir", mkdir)
        self.prepared()

    def test_notADirectory(self) -> None:
        """A file in the way is named, and so is the user who met it."""
        os.makedirs(self.path)
        write(os.path.join(self.path, "memq"))
        user = pwd.getpwuid(os.geteuid()).pw_name
        self.assertEqual(
            self.refused(),
            f"cannot be used by user {user}: {self.path}/memq: Not a directory",
        )

    def test_userWithoutName(self) -> None:
        """A user without a name is called by the number."""
        write(os.path.dirname(os.path.dirname(self.path)))
        self.patch(os, "geteuid", lambda: 2**31 - 7)
        self.assertIn("cannot be used by user 2147483641: ", self.refused())

    def test_cannotLock(self) -> None:
        """A file system without locks is refused."""
        self.patch(fcntl, "flock", refusing(ENOLCK))
        self.assertTrue(self.refused().endswith(f"{self.path}: No locks available"))

    def test_held(self) -> None:
        """A second server is refused, and told who the first one is."""
        self.prepared()
        self.assertEqual(self.refused(), f"held by another server (pid {os.getpid()})")

    def test_heldByNobodyKnown(self) -> None:
        """The first one may not have said yet who it is, or only half of it."""
        home = self.prepared()
        for text in ("", "12", "\0\0\0", "a\nb\n", "9" * 5000):
            write(os.path.join(home.directory, "lock"), text)
            self.assertEqual(self.refused(), "held by another server (pid ?)")

    def test_released(self) -> None:
        """A home that was released can be held again, by whoever comes."""
        self.prepared().release()
        self.prepared()

    def test_staleLock(self) -> None:
        """The lock file of a server that died is no obstacle, whatever is in it.

        It may be the id of a process that lives: ids are used again.
        """
        os.makedirs(os.path.join(self.path, "memq"))
        lock = os.path.join(self.path, "memq", "lock")
        pids = "123456789\n", f"{os.getppid()}\n", "1\n"
        for text in (*pids, "\0" * 9000, "\xe4\n\n"):
            write(lock, text)
            home = self.prepared()
            with open(lock) as file:
                self.assertEqual(file.read(), f"{os.getpid()}\n")
            home.release()

    def test_pidAfterFork(self) -> None:
        """The process that goes on after a fork writes its own id, if it holds it."""
        Home(self.path).writePid()
        self.assertFalse(os.path.exists(self.path))
        home = self.prepared()
        self.patch(os, "getpid", lambda: 5)
        home.writePid()
        self.assertEqual(self.refused(), "held by another server (pid 5)")

    def test_unreadableParent(self) -> None:
        """A parent that may be written but not read is good enough."""
        self.patch(module, "syncDirectory", raising(PermissionError()))
        self.prepared()

    def test_parentsSynced(self) -> None:
        """Directories are made durably, from the top down."""
        synced: list[str] = []
        self.patch(module, "syncDirectory", synced.append)
        home = self.prepared()
        data = os.path.dirname(home.path)
        self.assertEqual(synced[-3:], [os.path.dirname(data), data, home.path])


class VersionTests(HomeTestCase):
    """The format that a home is written in."""

    def setUp(self) -> None:
        """Make a home that is complete."""
        HomeTestCase.setUp(self)
        home = Home(self.path)
        home.prepare()
        self.version = os.path.join(home.directory, "VERSION")
        home.writeVersion()
        self.written = home.isNew
        home.release()

    def test_made(self) -> None:
        """A home with a VERSION is not new, from the moment it is written."""
        self.assertFalse(self.written)
        self.assertFalse(self.prepared().isNew)
        with open(self.version) as file:
            self.assertEqual(file.read(), f"{FORMAT}\n")

    def test_formats(self) -> None:
        """A home is read in each format, and tells which it is."""
        for format in range(1, FORMAT + 1):
            write(self.version, f"{format}\n")
            home = self.prepared()
            self.assertEqual(home.format, format)
            home.release()
        write(self.version, "1\n")
        home = self.prepared()
        home.writeVersion()
        self.assertEqual(home.format, FORMAT)
        home.release()
        self.assertEqual(self.prepared().format, FORMAT)

    def test_newer(self) -> None:
        """A home of a newer format is refused, and not held."""
        write(self.version, f"{FORMAT + 1}\n")
        for _ in range(2):
            self.assertEqual(
                self.refused(),
                f"written by a newer memq (format {FORMAT + 1}, and this one reads "
                f"{FORMAT}); start it "
                "with that one, or give another --home",
            )

    def test_damaged(self) -> None:
        """A VERSION that says nothing is refused."""
        for text in ("", "0\n", "one\n", "1" * 5000, "-1\n"):
            write(self.version, text)
            self.assertIn("which is no format of memq's", self.refused())


class MemcacheQTests(HomeTestCase):
    """A home that MemcacheQ left its files in."""

    def test_takenOver(self) -> None:
        """It is prepared like any other; a queue of that name makes way for memq."""
        old = MemcacheQ(self.path)
        old.push(b"memq", b"x")
        old.stop()
        self.assertTrue(os.path.isfile(os.path.join(self.path, "memq")))
        self.assertTrue(self.prepared().isNew)
        self.assertTrue(os.path.isdir(os.path.join(self.path, "memq")))
        self.assertIn(os.fsdecode(MOVED), os.listdir(self.path))

    def test_refused(self) -> None:
        """A home that cannot be taken over is refused at once, and left as it is."""
        for name in ("log.0000000001", "__db.001"):
            os.makedirs(self.path)
            write(os.path.join(self.path, "queue.list"))
            write(os.path.join(self.path, name), "x")
            if name == "log.0000000001":
                with open(os.path.join(self.path, name), "wb") as file:
                    file.write(bytes(12) + b"\x88\x09\x04\0\x13\0\0\0")
            self.assertEqual(
                self.refused(), f"{self.path}/queue.list is damaged: bring it back"
            )
            self.assertEqual(
                sorted(os.listdir(self.path)), sorted([name, "queue.list"])
            )
            os.rename(self.path, self.path + name)

    def test_queueOfThatName(self) -> None:
        """A file called queue.list alone is not MemcacheQ's."""
        os.makedirs(self.path)
        write(os.path.join(self.path, "queue.list"))
        write(os.path.join(self.path, "log.1"))
        self.prepared()
