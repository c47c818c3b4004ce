"""Tests for memq.memcacheq.copy."""

from __future__ import annotations

import fcntl
import os
import shutil
from hashlib import sha256
from struct import pack
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from memq.errors import HomeError
from memq.memcacheq.copy import Copy, OldCount
from memq.memcacheq.directory import OldDirectory, findOld
from memq.memcacheq.queuefile import OldMessage
from memq.storage.engine.binding import db
from memq.test.support.foreign.memcacheqdirs import (
    MemcacheQ,
    overwrite,
    relabel,
    scratch,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def contents(path: str) -> dict[str, bytes]:
    """Return what is in each file of a directory."""
    found = {}
    for name in os.listdir(path):
        with open(os.path.join(path, name), "rb") as file:
            found[name] = sha256(file.read()).digest()
    return found


class CopyTestCase(SynchronousTestCase):
    """A directory of MemcacheQ's, and what is recovered of it."""

    def setUp(self) -> None:
        """Name the directory."""
        self.path = os.path.join(scratch(self), "home")
        self.copyPath = self.path + ".copy"
        self.log = os.path.join(self.path, "log.0000000001")

    def stopped(self) -> None:
        """Write a directory, and end in order."""
        old = self.running()
        old.stop()
        os.rename(old.path, self.path)

    def killed(self) -> None:
        """Write a directory, and be killed."""
        self.running().kill(self.path)

    def running(self) -> MemcacheQ:
        """Return a MemcacheQ that has made queues since its last checkpoint."""
        old = MemcacheQ(self.path + ".running")
        old.push(b"a", *(b"%d" % number for number in range(60)))
        old.checkpoint()
        old.pop(b"a", 45)
        old.push(b"memq", b"m")
        old.push(b"b", b"x", flags=-1)
        return old

    def old(self) -> OldDirectory:
        """Return the directory, as it is found."""
        old = findOld(self.path)
        assert old is not None
        return old

    def copied(self, tick: Callable[[int], None] = lambda size: None) -> Copy:
        """Return a finished copy, and see that the original is as it was."""
        before = contents(self.path)
        copy = Copy(self.old(), self.copyPath)
        copy.begin()
        copy.finish(tick)
        self.assertEqual(contents(self.path), before)
        return copy

    def bodies(self, copy: Copy, name: bytes) -> list[bytes]:
        """Return what is in a queue."""
        found = copy.queueFile(name).read()
        return [message.body for message in found if type(message) is OldMessage]

    def checkAll(self, isWhole: bool) -> Copy:
        """Copy, check that everything is there and how it was copied; return that."""
        copy = self.copied()
        self.assertEqual(copy.isWhole, isWhole)
        names = [queue.name for queue in copy.queues()]
        self.assertEqual(names, [b"a", b"b", b"memq"])
        self.assertEqual(self.bodies(copy, b"a"), [b"%d" % n for n in range(45, 60)])
        self.assertEqual(self.bodies(copy, b"b"), [b"x"])
        self.assertEqual(self.bodies(copy, b"memq"), [b"m"])
        self.assertEqual(copy.queueFile(b"a").first, 46)
        return copy


class EndTests(CopyTestCase):
    """The files that are copied depend on how MemcacheQ ended."""

    def test_stopped(self) -> None:
        """Only the list and the log are, when it was stopped."""
        self.stopped()
        copy = self.checkAll(isWhole=False)
        self.assertEqual(copy.bytes, 0)
        self.assertEqual(copy.queues()[0], OldCount(b"a", 60, 45))
        self.assertFalse(copy.hasRemoved(b"a"))

    def test_listNotClosed(self) -> None:
        """Nor is more, when the list alone was left open, as MemcacheQ does."""
        old = self.running()
        old.closeQueues()
        old.writeCounts()
        old.kill(self.path)
        copy = self.checkAll(isWhole=False)
        self.assertEqual(copy.queues()[0], OldCount(b"a", 60, 45))

    def test_killed(self) -> None:
        """Everything is, when it was killed."""
        self.killed()
        copy = self.checkAll(isWhole=True)
        self.assertGreater(copy.bytes, 0)
        self.assertFalse(copy.hasRemoved(b"a"))
        self.assertTrue(copy.hasRemoved(b"__dbq.a.0"), "drained, but not yet removed")
        copy.remove()
        self.assertFalse(os.path.exists(self.copyPath))
        copy.remove()

    def test_killedIdle(self) -> None:
        """Nothing more is, when nothing was changed after the last checkpoint."""
        old = self.running()
        old.checkpoint()
        old.kill(self.path)
        self.checkAll(isWhole=False)

    def test_recovered(self) -> None:
        """A directory that somebody has recovered is read where it is."""
        self.killed()
        MemcacheQ(self.path).stop()
        self.checkAll(isWhole=False)

    def test_manyLogs(self) -> None:
        """Of several log files, only the last one is copied."""
        old = MemcacheQ(self.path + ".running", logBytes=65536)
        old.push(b"a", *(b"%d" % number for number in range(2000)))
        old.kill(self.path)
        copy = self.copied()
        links = [e.name for e in os.scandir(self.copyPath) if e.is_symlink()]
        self.assertGreater(len(links), 1)
        self.assertTrue(all(name.startswith("log.") for name in links))
        self.assertEqual(self.bodies(copy, b"a"), [b"%d" % n for n in range(2000)])

    def test_noCheckpoint(self) -> None:
        """A log may have no checkpoint at all."""
        old = MemcacheQ(self.path + ".running")
        old.push(b"a", b"1")
        old.kill(self.path)
        self.assertEqual(self.bodies(self.copied(), b"a"), [b"1"])

    def test_withoutLog(self) -> None:
        """Without a log, files are taken as they are."""
        self.stopped()
        os.remove(self.log)
        self.checkAll(isWhole=False)

    def test_movedQueue(self) -> None:
        """The queue called memq is found where it was moved to."""
        for end in (self.stopped, self.killed):
            end()
            self.old().makeWay()
            self.checkAll(isWhole=end == self.killed)
            shutil.rmtree(self.path)
            shutil.rmtree(self.path + ".running", ignore_errors=True)


class RoomTests(CopyTestCase):
    """Copies share blocks where they can."""

    def test_clones(self) -> None:
        """No room is needed where the file system can clone."""
        self.killed()

        def ioctl(copy: object, request: int, original: int) -> int:
            self.assertEqual(request, 0x40049409)
            where = os.readlink(f"/proc/self/fd/{original}")
            shutil.copyfile(where, copy.name)  # type: ignore[attr-defined]
            return 0

        self.patch(fcntl, "ioctl", ioctl)
        self.assertEqual(self.checkAll(isWhole=True).bytes, 0)

    def test_told(self) -> None:
        """How much was copied is told."""
        self.killed()
        sizes: list[int] = []
        self.copied(sizes.append)
        old = self.old()
        queues = [name for name in old.data if name != b"queue.list"]
        self.assertEqual(sum(sizes), sum(file.size for file in old.look(queues)))


class RefusedTests(CopyTestCase):
    """Files not to be recovered or read are refused; the original is as it was."""

    def refused(self) -> str:
        """Return why the copy cannot be read."""
        before = contents(self.path)
        error = self.assertRaises(HomeError, lambda: self.copied().queues())
        why = str(error)
        self.assertEqual(contents(self.path), before)
        self.assertNotIn("\n", why)
        return why

    def test_recovery(self) -> None:
        """A recovery that fails names the log, and what to run."""
        self.killed()

        class Broken:
            def open(self, *arguments: object) -> None:
                raise db.DBError(22, "not today")

            def close(self) -> None:
                raise db.DBError(22, "not that either")

        self.patch(db, "DBEnv", Broken)
        why = self.refused()
        self.assertIn(f"{self.path}/log.0000000001: Berkeley DB 5.3 cannot", why)
        self.assertIn("not today", why)
        self.assertIn(f"run db_recover -h {self.path} of the version", why)

    def test_olderLog(self) -> None:
        """A log of an older version is tried, wholly, on a copy."""
        self.killed()
        overwrite(self.log, 16, pack("<I", 17))
        # Its checksum is that of the version it had.
        self.assertIn(f"{self.path}/log.0000000001: Berkeley DB 5.3", self.refused())
        self.assertTrue(os.path.exists(os.path.join(self.copyPath, "a")))

    def test_list(self) -> None:
        """A list that Berkeley DB cannot open is named."""
        self.killed()
        os.remove(self.log)
        os.truncate(os.path.join(self.path, "queue.list"), 100)
        self.assertIn(f"{self.path}/queue.list cannot be read: ", self.refused())

    def test_rows(self) -> None:
        """Rows that MemcacheQ did not write are no queues."""
        for key, row in ((b"\0", b"x" * 16), (b"q\0", b"x")):
            with MemcacheQ(self.path) as old:
                old.push(b"a", b"1")
                old.putRow(key, row)
            self.assertIn(f"{self.path}/queue.list is damaged", self.refused())
            shutil.rmtree(self.path)


class DamagedLogTests(CopyTestCase):
    """A log that is damaged before its end does not pass for a shorter one."""

    def damage(self, logBytes: int = 0) -> list[str]:
        """Damage the first log file in its middle, and return what is told."""
        old = MemcacheQ(self.path + ".running", logBytes=logBytes)
        old.push(b"a", *(b"%d" % number for number in range(500)))
        old.kill(self.path)
        self.assertEqual(self.copied().damage, [])
        overwrite(self.log, 40000, b"x" * 100)
        return self.copied().damage

    def test_middle(self) -> None:
        """It is told, with the file and the place."""
        (line,) = self.damage()
        self.assertIn(f"{self.path}/log.0000000001 is damaged at byte 39", line)

    def test_earlierFile(self) -> None:
        """When it is in an earlier file, the recovery fails."""
        error = self.assertRaises(HomeError, self.damage, logBytes=65536)
        self.assertIn("Berkeley DB 5.3 cannot recover a copy of it", str(error))

    def test_torn(self) -> None:
        """Bytes behind the end that are no record are what a torn write leaves."""
        old = MemcacheQ(self.path + ".running")
        old.push(b"a", b"1")
        old.kill(self.path)
        overwrite(self.log, 100000, os.urandom(2000))
        self.assertEqual(self.copied().damage, [])

    def test_oldest(self) -> None:
        """A log of before Berkeley DB 5.0 is taken only if nothing is in it alone."""
        old = self.running()
        old.kill(self.path)
        relabel(self.log, 16)
        why = str(self.assertRaises(HomeError, self.copied))
        self.assertIn("Berkeley DB 5.3 does not recover version 16; ", why)
        self.assertIn(f"run db_recover -h {self.path} of the version", why)
        shutil.rmtree(self.path)
        MemcacheQ(old.path).stop()
        os.rename(old.path, self.path)
        relabel(self.log, 16)
        self.checkAll(isWhole=False)

    def test_older(self) -> None:
        """A log of Berkeley DB 5.0 is recovered."""
        self.killed()
        relabel(self.log, 17)
        self.checkAll(isWhole=True)
