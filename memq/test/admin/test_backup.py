"""A copy of a home that may be in use."""

from __future__ import annotations

import errno
import os
import shutil
from functools import partial
from typing import Any

from memq.admin import backup
from memq.admin.backup import PIECE, READS, makeBackup, readTwice
from memq.errors import HomeError
from memq.ratelimit import Progress
from memq.storage.datadir.home import Home
from memq.storage.engine.binding import db
from memq.test.storage.bdb.test_compaction import RotationTestCase, make
from memq.test.support.homes import SMALL, contents, dump


class BackupTestCase(RotationTestCase):
    """A store that has some of everything, and a place for copies."""

    def setUp(self) -> None:
        """Listen to what is told."""
        super().setUp()
        self.told: list[str] = []
        self.parent = os.path.abspath(self.mktemp())
        os.mkdir(self.parent)
        self.target = os.path.join(self.parent, "copy")

    def backUp(self) -> None:
        """Copy the home of the store, which is open."""
        home = Home(self.store.home.path)
        makeBackup(home, self.target, Progress(self.told.append, interval=0))

    def fillMuch(self) -> None:
        """Put many messages into a queue of their own."""
        self.fill(self.store, b"u", *[b"%d" % number * 9 for number in range(999)])

    def copied(self) -> set[str]:
        """Return the names of the files of the copy."""
        return set(os.listdir(os.path.join(self.target, "memq")))

    def refused(self) -> str:
        """Return why there is no copy; nothing is left of it."""
        before = os.listdir(self.parent)
        why = str(self.assertRaises(HomeError, self.backUp))
        self.assertEqual(os.listdir(self.parent), before)
        self.assertNotIn("\n", why)
        return why

    def opened(self) -> Any:
        """Return a store on the copy, as a server opens it."""
        store = self.storeAt(self.target)
        store.open()
        return store

    def assertCopied(self) -> None:
        """Assert that the copy has what the store had, and that no page is torn."""
        store = self.opened()
        self.assertEqual(dump(store), self.before)
        self.assertEqual(store.part(self.large.id, 1), b"two")
        store.close()
        store.home.release()
        for name in os.listdir(store.home.directory):
            if name.startswith(("messages", "queues")):
                path = os.path.join(store.home.directory, name)
                self.assertIsNone(db.DB().verify(path))
        shutil.rmtree(self.target)


class BackupTests(BackupTestCase):
    """Contents of a copy."""

    def test_open(self) -> None:
        """It has all that was flushed, checkpoint or not."""
        self.backUp()
        self.assertCopied()
        self.store.checkpoint()
        self.backUp()
        self.assertCopied()

    def test_closed(self) -> None:
        """So has the copy of a home that nobody uses, which does not change."""
        self.store.close()
        before = contents(self.store.home.path)
        self.backUp()
        self.assertEqual(contents(self.store.home.path), before)
        self.assertCopied()

    def test_killed(self) -> None:
        """So has one of a home that has to be recovered."""
        path = self.mktemp()
        shutil.copytree(self.store.home.path, path)
        makeBackup(Home(path), self.target, Progress(self.told.append))
        self.assertCopied()

    def test_files(self) -> None:
        """It has what a home has, no log but the last one, and the same rights."""
        for _ in range(60):
            self.fill(self.store, b"t", b"x" * 60_000)
        self.store.flush()
        self.backUp()
        logs = {name for name in self.copied() if name.startswith("log.")}
        others = {"VERSION", "lock", "messages", "queues", "safe"}
        self.assertEqual(self.copied() - logs, others)
        # The next one may be there, empty.
        self.assertIn(len(logs), (1, 2))
        self.assertEqual(os.stat(self.target).st_mode & 0o777, 0o750)
        self.assertEqual(os.stat(self.target + "/memq").st_mode & 0o777, 0o700)
        self.assertEqual(os.listdir(self.parent), ["copy"])
        self.assertRegex(self.told[0], r"^needs about [0-9.]+ MB; [0-9.]+ MB are free$")
        self.assertRegex(self.told[1], r"^[0-9.]+ MB of about [0-9.]+ MB, ")

    def test_rules(self) -> None:
        """Rules that were set online are copied, whatever stands in them."""
        with open(os.path.join(self.store.home.directory, "rules.toml"), "w") as file:
            file.write("[queue.q]\n")
        self.backUp()
        with open(os.path.join(self.target, "memq", "rules.toml")) as file:
            self.assertEqual(file.read(), "[queue.q]\n")
        self.assertCopied()

    def test_emptyDirectory(self) -> None:
        """It may take the place of an empty directory."""
        os.mkdir(self.target)
        self.backUp()
        self.assertCopied()

    def test_moving(self) -> None:
        """In the middle of a move, before it and behind it, all is there."""
        self.backUp()
        self.assertCopied()
        make(self.store)
        while self.store.hasGarbage():
            self.store.sweep(4)
            self.store.flush()
            self.backUp()
            self.assertCopied()
        self.store.tidy()
        self.store.flush()
        self.backUp()
        self.assertCopied()

    def test_keptLogs(self) -> None:
        """Logs of tables that are gone are not needed, kept or not."""
        for _ in range(3):
            self.move(self.store)
            self.store.tidy()
            while self.store.logged() < SMALL.logFile:
                self.fill(self.store, b"t", b"x" * 60_000)
            self.store.checkpoint()
        self.transact(partial(self.store.delete, b"t"))
        self.store.checkpoint()
        self.backUp()
        self.assertNotIn("log.0000000001", self.copied())
        self.assertCopied()

    def test_logsAhead(self) -> None:
        """Log files that have not begun, and files of other names, are left out."""
        directory = self.store.home.directory
        for number in (2, 3):
            with open(f"{directory}/log.{number:010}", "wb") as file:
                file.write(bytes(SMALL.logFile))
        for name in ("log.old", "messages.old", "ahead", "log.0000000004"):
            with open(os.path.join(directory, name), "wb"):
                pass
        self.backUp()
        self.assertEqual(len(self.copied()), 6)
        self.assertCopied()


class MeanwhileTests(BackupTestCase):
    """Changes of the home while it is copied."""

    def during(self, name: str, work: Any) -> None:
        """Do something before a file is copied."""
        real = backup.copyFile

        def copyFile(source: str, copy: str, copied: str) -> Any:
            if copied == name:
                work()
            return real(source, copy, copied)

        self.patch(backup, "copyFile", copyFile)

    def test_checkpoint(self) -> None:
        """A checkpoint between a table and the log leaves nothing out."""

        def work() -> None:
            self.fillMuch()
            self.store.checkpoint()
            self.assertEqual(self.store.removeLogs(), 0)
            self.before = dump(self.store)

        self.during("log.0000000001", work)
        self.backUp()
        self.assertCopied()

    def test_usualRecovery(self) -> None:
        """Recovered from that checkpoint on, the copy would lack messages."""

        def work() -> None:
            self.fillMuch()
            self.store.checkpoint()

        self.during("log.0000000001", work)
        usual = SMALL._replace(wholeLog=False)
        self.patch(backup, "StoreSettings", lambda wholeLog: usual)
        self.backUp()
        self.assertNotEqual(dump(self.opened()), dump(self.store))

    def test_move(self) -> None:
        """A move to another file, begun after the tables were copied, is in the log."""

        def work() -> None:
            self.move(self.store)
            self.assertEqual(self.store.tidy(), 0)
            self.store.flush()

        self.during("log.0000000001", work)
        self.backUp()
        messages = [name for name in self.copied() if "mess" in name]
        self.assertEqual(messages, ["messages.1"])
        self.assertCopied()

    def test_nextLog(self) -> None:
        """A log file that begins while the last one is copied is left out."""

        def work() -> None:
            while self.store.environment.position().file == 1:
                self.fill(self.store, b"u", b"x" * 60_000)
            self.store.flush()

        self.during("log.0000000001", work)
        self.backUp()
        store = self.opened()
        self.assertLessEqual({*self.before.splitlines()}, {*dump(store).splitlines()})

    def test_strayGone(self) -> None:
        """A file that a starting server removes is none that is needed."""
        make(self.store)
        self.store.close()
        stray = os.path.join(self.store.home.directory, "messages.1")
        self.during("messages", lambda: os.unlink(stray))
        self.backUp()
        self.assertCopied()

    def test_halfPage(self) -> None:
        """A table that ends within a page is copied to its last whole one."""
        self.store.close()
        path = os.path.join(self.store.home.directory, "messages")
        size = os.path.getsize(path)
        os.truncate(path, size + 1000)
        self.backUp()
        copy = os.path.join(self.target, "memq", "messages")
        self.assertEqual(os.path.getsize(copy), size)
        self.assertCopied()

    def test_tableWithoutPages(self) -> None:
        """A table that is just being made is whatever the log says."""
        for content in (b"", bytes(512)):
            path = os.path.join(self.store.home.directory, "messages.7")
            with open(path, "wb") as file:
                file.write(content)
            self.backUp()
            self.assertCopied()


class RefusalTests(BackupTestCase):
    """When there is no copy."""

    def test_thereAlready(self) -> None:
        """A directory that is not empty is refused, and not overwritten."""
        os.mkdir(self.target)
        inside = os.path.join(self.target, "file")
        with open(inside, "w"):
            pass
        self.assertIn("something is there already", self.refused())
        os.rename(inside, self.parent + "/file")
        os.rmdir(self.target)
        os.rename(self.parent + "/file", self.target)
        self.assertIn("something is there already", self.refused())

    def test_nowhere(self) -> None:
        """A directory that is missing is not made: a disk may not be mounted."""
        self.target = os.path.join(self.parent, "missing", "copy")
        self.assertIn(f"there is no {self.parent}/missing", self.refused())

    def test_withinHome(self) -> None:
        """A copy within the home's own directory is refused."""
        self.target = os.path.join(self.store.home.directory, "copy")
        self.assertIn("that is within the home", self.refused())

    def test_noRoom(self) -> None:
        """Room that is missing is told before anything is copied."""
        real = os.statvfs

        def statvfs(path: str) -> Any:
            fields = list(real(path))
            fields[4] = 1
            return os.statvfs_result(fields)

        self.patch(os, "statvfs", statvfs)
        self.assertRegex(
            self.refused(), "^a copy needs about .* MB, and 0.0 MB are free$"
        )

    def test_notReady(self) -> None:
        """A home whose server has not made its first checkpoint has no copy yet."""
        os.unlink(os.path.join(self.store.home.directory, "safe"))
        self.assertIn("nothing to copy", self.refused())

    def test_ended(self) -> None:
        """Nothing is left when the system refuses something, or it is interrupted."""
        endings: list[BaseException] = [
            OSError(errno.EIO, "Input/output error"),
            KeyboardInterrupt(),
        ]

        def end(path: str) -> None:
            raise endings.pop(0)

        self.patch(backup, "syncDirectory", end)
        self.assertIn("Input/output error", self.refused())
        self.assertRaises(KeyboardInterrupt, self.backUp)
        self.assertEqual(os.listdir(self.parent), [])

    def test_torn(self) -> None:
        """A page that was torn all the same is noticed: it is in the log."""
        self.fillMuch()
        self.store.trickle(100)
        self.store.flush()
        real = backup.readTwice

        def readTwice(file: int, offset: int) -> bytes:
            piece = bytearray(real(file, offset))
            # A page of messages, with its end from another time.
            if len(piece) > 8 * 4096:
                piece[5 * 4096 + 2048 : 6 * 4096] = bytes(2048)
            return bytes(piece)

        self.patch(backup, "readTwice", readTwice)
        self.assertIn("the copy cannot be recovered, try again", self.refused())


class ReadingTests(BackupTestCase):
    """How a piece is read that changes."""

    def read(self, *found: bytes) -> bytes:
        """Return what is taken when these are found, one after the other."""
        self.left = [*found]
        self.patch(os, "pread", lambda file, size, offset: self.left.pop(0))
        return readTwice(0, 0)

    def test_changes(self) -> None:
        """A piece read twice the same is taken; a changing one, once it is still."""
        self.assertEqual(self.read(b"1", b"1"), b"1")
        self.assertEqual(self.read(b"1", b"2", b"3", b"3"), b"3")

    def test_always(self) -> None:
        """A piece that never stands still is taken in the end; its checksum tells."""
        pieces = [b"%d" % number for number in range(READS + 1)]
        self.assertEqual(self.read(*pieces), pieces[-1])
        self.assertEqual(self.left, [])

    def test_pieces(self) -> None:
        """A file of any length is copied as it is."""
        os.mkdir(self.parent + "/new")
        for size in (0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE):
            content = os.urandom(size)
            name = f"{size}"
            with open(os.path.join(self.parent, name), "wb") as file:
                file.write(content)
            sizes = [*backup.copyFile(self.parent, self.parent + "/new", name)]
            self.assertEqual(sum(sizes), size)
            with open(os.path.join(self.parent, "new", name), "rb") as file:
                self.assertEqual(file.read(), content)


class OwnerTests(BackupTestCase):
    """Whose the copy is."""

    def owners(self, user: int) -> list[Any]:
        """Return what is given away by a user."""
        given: list[Any] = []
        self.patch(os, "geteuid", lambda: user)
        self.patch(os, "chown", lambda *arguments: given.append(arguments))
        self.backUp()
        return given

    def test_root(self) -> None:
        """Root gives all of it to the owner of the home; others need not."""
        owner = os.stat(self.store.home.directory)
        given = self.owners(0)
        self.assertEqual({call[1:] for call in given}, {(owner.st_uid, owner.st_gid)})
        names = {os.path.basename(call[0]) for call in given}
        self.assertEqual(names - {""}, {*os.listdir(self.target + "/memq")} - {"copy"})
        shutil.rmtree(self.target)
        self.assertEqual(self.owners(1000), [])
