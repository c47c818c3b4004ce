"""Real servers whose home is exchanged, moved or removed while they run.

Whatever happens to it, a server stores nothing more as soon as it sees that, and ends
with 78 and a line; what it told STORED before is in the directory that it had open, and
what has its name by then is left alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from glob import glob
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from memq.admin import backup
from memq.admin.backup import makeBackup
from memq.errors import HomeError, HomeGone, UnusableHome
from memq.memcacheq.adoption import Adoption
from memq.memcacheq.staging import Staging
from memq.ratelimit import Progress
from memq.storage.bdb.store import BDBStore
from memq.storage.datadir.home import Home
from memq.storage.engine.binding import db
from memq.test.support.homes import SMALL, BDBTestCase, Failing
from memq.test.support.servers import started
from testkit.wire import readAll, sets

if TYPE_CHECKING:
    from collections.abc import Callable

NO_FILE = db.DBError(2, "No such file or directory")
SET = sets(b"q", b"x" * 3000)
GONE = b"SERVER_ERROR the home was moved, exchanged or removed"


def state(path: str) -> dict[str, tuple[int, int, int]]:
    """Return what tells whether the files of a directory were touched."""
    found = {}
    for entry in os.scandir(path):
        status = entry.stat()
        found[entry.name] = status.st_ino, status.st_size, status.st_mtime_ns
    return found


class ExchangedTests(SynchronousTestCase):
    """Real servers, and what is done to their homes."""

    def setUp(self) -> None:
        """Start a server, and name what else there is."""
        self.home = os.path.abspath(self.mktemp())
        self.memq = os.path.join(self.home, "memq")
        self.old = self.memq + ".old"
        self.other = os.path.abspath(self.mktemp())
        self.server = started(self, home=self.home)
        self.stored = self.unanswered = 0

    def again(self, *options: str, home: str = "", before: str = "") -> None:
        """Stop the server, and start another one on the home, perhaps by a link."""
        self.server.stop()
        home = home or self.home
        self.server = started(self, *options, home=home, before=before)

    def moveAway(self) -> None:
        """Move the directory in the home."""
        os.rename(self.memq, self.old)

    def moveHome(self) -> None:
        """Move the home as a whole."""
        os.rename(self.home, self.home + ".old")

    def exchange(self, change: Callable[[], object]) -> str:
        """Change the home while a client sets, and return the line that ends it.

        :param change: done after some sets; they go on until one is refused.
        """
        with self.server.wire() as client:

            def set_() -> bytes:
                client.send(SET)
                return client.line()

            for _ in range(20):
                self.assertEqual(set_(), b"STORED")
            change()
            self.stored, self.unanswered = 20, 1
            # A set that comes when the connections are being closed is not answered.
            with contextlib.suppress(ConnectionError):
                while (answer := set_()) == b"STORED":
                    self.stored += 1
                self.assertEqual(answer, GONE)
                self.assertEqual(readAll(client.socket), b"")
        self.assertEqual(self.server.wait(), 78)
        lines = [line for line in self.server.log if " under this process" in line]
        self.assertEqual(len(lines), 1, "\n".join(self.server.log))
        return lines[0]

    def assertStored(self, directory: str) -> None:
        """All that was told to be stored, and no more, is in a directory.

        The last set, which was not answered STORED, may be there, too.
        """
        copy = os.path.abspath(self.mktemp())
        shutil.copytree(directory, os.path.join(copy, "memq"))
        server = started(self, home=copy)
        [(pushed, taken)] = server.counts().values()
        self.assertEqual(taken, 0)
        self.assertIn(pushed - self.stored, range(self.unanswered + 1))

    def test_restored(self) -> None:
        """Another home that gets its name is left alone."""
        self.server.stop()
        shutil.copytree(self.memq, self.other)
        self.again()
        before = state(self.other)

        def change() -> None:
            self.moveAway()
            os.rename(self.other, self.memq)

        self.assertIn(f"stored is in {self.old}", self.exchange(change))
        self.assertEqual(state(self.memq), before)
        self.assertStored(self.old)

    def test_moved(self) -> None:
        """A home that is moved as a whole has it all; no other one is made.

        So it is with what --no-sync tells at once.
        """
        for options in ((), ("--no-sync",)):
            self.again(*options)
            line = self.exchange(self.moveHome)
            self.assertIn(f"stored is in {self.home}.old/memq", line)
            self.assertFalse(os.path.lexists(self.home))
            self.assertStored(self.home + ".old/memq")
            shutil.rmtree(self.home + ".old")

    def test_link(self) -> None:
        """A link to the home that leads to another one counts as well."""
        self.server.stop()
        link = os.path.abspath(self.mktemp())
        os.symlink(self.home, link)
        shutil.copytree(self.home, self.other)
        before = state(os.path.join(self.other, "memq"))
        self.again(home=link)

        def change() -> None:
            os.symlink(self.other, link + ".new")
            os.replace(link + ".new", link)

        self.exchange(change)
        self.assertEqual(state(os.path.join(self.other, "memq")), before)
        self.assertStored(self.memq)

    def test_removed(self) -> None:
        """A home that is removed is not made again, and the line says so."""

        def change() -> None:
            self.moveAway()
            shutil.rmtree(self.old, ignore_errors=True)

        self.assertIn("lost with the directory that was removed", self.exchange(change))
        self.assertEqual(os.listdir(self.home), [])

    def test_lock(self) -> None:
        """So it is when only the lock is gone, which would let another server in."""
        lock = os.path.join(self.memq, "lock")
        line = self.exchange(lambda: os.unlink(lock))
        self.assertIn(f"{lock} was moved", line)
        self.assertFalse(os.path.lexists(lock))
        self.assertStored(self.memq)

    def replace(self, name: str) -> None:
        """Put a copy of a file over it."""
        path = os.path.join(self.memq, name)
        shutil.copyfile(path, path + ".new")
        os.replace(path + ".new", path)

    def test_lockReplaced(self) -> None:
        """So it is when the lock is another file."""
        self.exchange(lambda: self.replace("lock"))
        self.assertStored(self.memq)

    def test_table(self) -> None:
        """So it is when a copy is put over a table: what is open has no name then."""
        line = self.exchange(lambda: self.replace("messages"))
        self.assertIn(f"{self.memq}/messages was moved", line)

    def test_log(self) -> None:
        """So it is when somebody tidies up and removes the log."""
        logs = f"{self.memq}/log.*"
        line = self.exchange(lambda: list(map(os.unlink, glob(logs))))
        self.assertIn("/log.0000000001 was moved", line)

    def test_byName(self) -> None:
        """Without /proc the exchange is noticed all the same."""
        self.again(before=NO_PROC)
        line = self.exchange(self.moveAway)
        self.assertIn("in the directory that was there before", line)

    def test_stop(self) -> None:
        """A stop before it is noticed ends with 78 too, and marks nothing as whole."""
        self.again(before=NEVER)
        self.server.talk(SET + b"quit\r\n")
        self.stored = 1
        self.moveAway()
        os.mkdir(self.memq)
        self.assertEqual(self.server.stop(), 78)
        self.assertEqual(os.listdir(self.memq), [])
        self.assertStored(self.old)

    def test_blip(self) -> None:
        """A home moved and moved back within a moment is no matter."""
        self.again(before=NEVER)
        self.moveAway()
        stored = self.server.talk(SET + b"quit\r\n")
        os.rename(self.old, self.memq)
        self.assertEqual(stored, b"STORED\r\n")
        self.assertEqual(self.server.stop(), 0)
        self.stored = 1
        self.assertStored(self.memq)


class StoreTests(BDBTestCase):
    """A store whose home is another one by now."""

    def setUp(self) -> None:
        """Open one that has a message, and know where it is."""
        self.store: Any = self.openStore()
        self.fill(self.store, b"q", b"a")
        self.memq = self.store.home.directory

    def exchange(self) -> None:
        """Move the home, and put an empty one in its place."""
        os.rename(self.memq, self.memq + ".old")
        os.mkdir(self.memq)

    def failureOf(self, call: Callable[[], object]) -> HomeGone:
        """Return the error that a call fails with."""
        error = self.assertRaises(HomeGone, call)
        assert isinstance(error, HomeGone)
        return error

    def test_refused(self) -> None:
        """Nothing is marked and nothing removed, and the new home stays empty."""
        safe = os.path.join(self.memq, "safe")
        with open(safe, "rb") as file:
            before = file.read()
        self.exchange()
        for call in (self.store.checkpoint, self.store.removeLogs, self.store.tidy):
            self.assertRaises(HomeGone, call)
        self.assertRaises(HomeGone, self.store.close)
        self.assertEqual(os.listdir(self.memq), [])
        with open(os.path.join(self.memq + ".old", "safe"), "rb") as file:
            self.assertEqual(file.read(), before)

    def test_flush(self) -> None:
        """The old home's log is synced if it can be; if not, the exchange is why."""
        self.exchange()
        self.store.flush()
        environment = self.store.environment
        handle = environment.handle
        environment.handle = Failing(handle, NO_FILE, "log_flush")
        error = self.failureOf(self.store.flush)
        self.assertEqual(error.status, 78)
        environment.handle = handle

    def test_table(self) -> None:
        """A table that is another file is named as people know it."""
        table = os.path.join(self.memq, "queues")
        os.rename(table, table + ".old")
        error = self.failureOf(self.store.checkHome)
        self.assertTrue(str(error).startswith(f"{table} was moved"), str(error))
        os.rename(table + ".old", table)
        self.assertIsNone(self.store.checkHome())

    def test_start(self) -> None:
        """A start during which it happens is refused, and needs a person."""
        self.store.close()
        home = self.store.home
        again = BDBStore(home, SMALL)
        os.unlink(os.path.join(self.memq, "lock"))
        error = self.assertRaises(UnusableHome, again.open)
        self.assertIn("was moved", str(error))

    def test_adoption(self) -> None:
        """So is one that takes over what MemcacheQ left."""

        def gone(staging: Staging) -> None:
            raise HomeGone(self.memq, "in /h/old")

        self.patch(Staging, "adoption", gone)
        adoption = Adoption(self.store.home, self.store, lambda line: None)
        self.assertRaises(UnusableHome, adoption.run)

    def test_backup(self) -> None:
        """A backup during which it happens fails, and leaves nothing."""
        copyHome = backup._copyHome

        def copy(*arguments: Any) -> None:
            copyHome(*arguments)
            self.exchange()

        self.patch(backup, "_copyHome", copy)
        target = os.path.abspath(self.mktemp())
        home = Home(self.store.home.path)
        progress = Progress(lambda line: None)
        error = self.assertRaises(HomeError, makeBackup, home, target, progress)
        self.assertIn("was moved or exchanged meanwhile: try again", str(error))
        self.assertFalse(os.path.lexists(target))
        os.rmdir(self.memq)
        os.rename(self.memq + ".old", self.memq)


#: A system without /proc.
NO_PROC = """
from memq.storage.datadir import directory as place
place.Place.__init__.__defaults__ = ("/none",)
"""
#: A server that looks at its home when it stops, and not before.
NEVER = """
from memq.daemon import maintenance as upkeep
upkeep.HOME_INTERVAL = 0
upkeep.WATCH_INTERVAL = 3600.0
"""
