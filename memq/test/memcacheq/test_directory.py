"""Tests for memq.memcacheq.directory."""

from __future__ import annotations

import mmap
import os
from struct import pack

from twisted.trial.unittest import SynchronousTestCase

from memq.errors import HomeError
from memq.memcacheq.directory import LIST, MOVED, OldDirectory, findOld, mappedBy
from memq.test.support.foreign.memcacheqdirs import MemcacheQ, scratch


def write(path: str, data: bytes = b"") -> None:
    """Make a file."""
    with open(path, "wb") as file:
        file.write(data)


def head(magic: int, version: int = 0) -> bytes:
    """Return how a file of Berkeley DB begins."""
    return bytes(12) + pack("<II", magic, version)


class DirectoryTestCase(SynchronousTestCase):
    """A directory in which a MemcacheQ was stopped."""

    def setUp(self) -> None:
        """Make it."""
        self.path = os.path.join(scratch(self), "home")
        with MemcacheQ(self.path) as old:
            for name in (b"a", b"a.1", b"memq"):
                old.push(name, *(b"%d" % number for number in range(50)))

    def where(self, name: str) -> str:
        """Return the path of a file."""
        return os.path.join(self.path, name)

    def old(self) -> OldDirectory:
        """Return what is found."""
        old = findOld(self.path)
        assert old is not None
        return old

    def refused(self) -> str:
        """Return why the directory is refused."""
        return str(self.assertRaises(HomeError, findOld, self.path))


class FindTests(DirectoryTestCase):
    """MemcacheQ's files are known, and told from others."""

    def test_files(self) -> None:
        """Each file is found for what it is; what else is there is not MemcacheQ's."""
        write(self.where("nohup.out"), b"words")
        write(self.where("__db.80000012.0"))
        write(self.where("__db.001"))
        os.mkdir(self.where("memq.d"))
        os.symlink("a", self.where("link"))
        old = self.old()
        self.assertEqual(old.logs, [b"log.0000000001"])
        self.assertEqual(old.regions, [b"__db.001"])
        self.assertIn(b"__db.80000012.0", old.data)
        self.assertIn(LIST, old.data)
        for queue, names in (
            (b"a", {b"a", b"__dbq.a.0", b"__dbq.a.1"}),
            (b"a.1", {b"a.1", b"__dbq.a.1.0", b"__dbq.a.1.1"}),
            (b"memq", {b"memq", b"__dbq.memq.0", b"__dbq.memq.1"}),
        ):
            found = {name for name in old.data if old.queueOf(name) == queue}
            self.assertEqual(found, names)
            self.assertEqual(
                set(old.strays([b"a", b"a.1", b"memq", b"x"])) | names,
                set(old.strays(list({b"a", b"a.1", b"memq"} - {queue}))),
            )
        self.assertFalse({b"nohup.out", b"memq.d", b"link"} & set(old.data))

    def test_others(self) -> None:
        """No directory, an empty one and one of other files are not MemcacheQ's."""
        self.assertIsNone(findOld(self.where("nowhere")))
        self.assertIsNone(findOld(self.where("a")))
        os.mkdir(self.where("sub"))
        self.assertIsNone(findOld(self.where("sub")))
        write(self.where("sub/queue.list"), b"a list of mine")
        write(self.where("sub/log.0000000001"), b"a log of mine")
        self.assertIsNone(findOld(self.where("sub")))
        os.remove(self.where("sub/queue.list"))
        self.assertIsNone(findOld(self.where("sub")))

    def test_fingerprint(self) -> None:
        """It is the same until a MemcacheQ has worked."""
        before = self.old().fingerprint()
        write(self.where("nohup.out"), b"words")
        self.assertEqual(self.old().fingerprint(), before)
        MemcacheQ(self.path).stop()
        self.assertNotEqual(self.old().fingerprint(), before)


class RefusedTests(DirectoryTestCase):
    """A directory that cannot be taken over is refused in a line that names a file."""

    def test_noList(self) -> None:
        """Files of Berkeley DB without a list of queues are no queues."""
        os.remove(self.where("queue.list"))
        self.assertIn(f"{self.path}/queue.list is missing, but", self.refused())

    def test_badList(self) -> None:
        """A list that is none is named."""
        write(self.where("queue.list"), b"x")
        self.assertEqual(
            self.refused(), f"{self.path}/queue.list is damaged: bring it back"
        )

    def test_logs(self) -> None:
        """Logs that Berkeley DB 5.3 does not read are named, with what to run."""
        for version in (7, 13, 20, 24):
            write(self.where("log.0000000002"), head(0x040988, version))
            why = self.refused()
            self.assertIn(f"{self.path}/log.0000000002 is a log of version", why)
            self.assertIn(f"{version}, and Berkeley DB 5.3 reads 14 to 19: run", why)
            self.assertIn(f"db_recover -h {self.path} of the version", why)
            self.assertNotIn("\n", why)
        for version in (14, 16, 17, 18, 19):
            write(self.where("log.0000000002"), head(0x040988, version))
            self.assertEqual(self.old().logVersion, version)

    def test_noLog(self) -> None:
        """A log file that is none is named, but for one that was just begun."""
        write(self.where("log.0000000002"))
        self.assertEqual(self.old().logVersion, 19)
        write(self.where("log.0000000003"), head(0x040988, 19))
        self.assertIn(f"{self.path}/log.0000000002 is damaged", self.refused())

    def test_lostLogs(self) -> None:
        """Regions without logs are a MemcacheQ that did not end in order."""
        write(self.where("__db.001"))
        os.remove(self.where("log.0000000001"))
        self.assertIn(f"{self.path}/log.* are missing, but ", self.refused())
        os.remove(self.where("__db.001"))
        self.assertIsNone(self.old().logVersion)

    def test_elsewhere(self) -> None:
        """Files that were put elsewhere would be missed."""
        write(self.where("DB_CONFIG"), b"set_cachesize 0 1000000 1\n")
        self.old()
        write(self.where("DB_CONFIG"), b"# mine\n set_lg_dir /logs\n")
        self.assertIn(f"{self.path}/DB_CONFIG names other", self.refused())

    def test_running(self) -> None:
        """A directory that a process has mapped is left to it."""
        with open(self.where("__db.001"), "w+b") as file:
            file.truncate(4096)
            with mmap.mmap(file.fileno(), 4096):
                self.assertEqual(
                    self.refused(),
                    f"{self.path}/__db.001 is in use by process {os.getpid()}: stop "
                    "that MemcacheQ first",
                )
        self.old()

    def test_realOne(self) -> None:
        """The files that Berkeley DB maps are found."""
        with MemcacheQ(self.path, shared=True):
            self.assertIn(f"in use by process {os.getpid()}", self.refused())
        self.old()


class MappedTests(DirectoryTestCase):
    """The processes that have a file mapped are read from /proc."""

    def test_maps(self) -> None:
        """Processes that are gone are passed over, and so are other file systems."""
        path = self.where("a")
        found = os.stat(path)
        device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
        line = "7f00-7f01 rw-s 00000000 {} {} {}\n".format
        for where, inode, name, isMapped in (
            (device, found.st_ino, "/elsewhere/a", True),
            ("ee:ee", found.st_ino, os.path.realpath(path), True),
            ("ee:ee", found.st_ino, "/elsewhere/a", False),
            (device, found.st_ino + 1, os.path.realpath(path), False),
        ):
            processes = self.mktemp()
            os.makedirs(os.path.join(processes, "12"))
            os.makedirs(os.path.join(processes, "345"))
            os.makedirs(os.path.join(processes, "self"))
            text = line("00:00", 0, "") + line(where, inode, name)
            write(os.path.join(processes, "345", "maps"), text.encode())
            pid = mappedBy([path.encode()], os.fsencode(processes))
            self.assertEqual(pid, 345 if isMapped else None)
        self.assertIsNone(mappedBy([], b"/nowhere"))


class MakeWayTests(DirectoryTestCase):
    """The file of a queue called memq gives its name up."""

    def test_moved(self) -> None:
        """It is moved once, and still known as that queue's."""
        for _ in range(2):
            self.old().makeWay()
            old = self.old()
            self.assertFalse(os.path.exists(self.where("memq")))
            self.assertEqual(old.mainFile(b"memq"), MOVED)
            self.assertEqual(old.mainFile(b"a"), b"a")
            self.assertEqual(old.queueOf(MOVED), b"memq")

    def test_directory(self) -> None:
        """Memq's own directory stays."""
        self.old().makeWay()
        os.mkdir(self.where("memq"))
        self.old().makeWay()
        self.assertTrue(os.path.isdir(self.where("memq")))

    def test_both(self) -> None:
        """Neither of two such files is lost."""
        write(os.path.join(self.path, os.fsdecode(MOVED)), b"")
        error = self.assertRaises(HomeError, self.old().makeWay)
        self.assertIn("both are there", str(error))
        self.assertTrue(os.path.exists(self.where("memq")))


class RemoveTests(DirectoryTestCase):
    """Files are removed as they were when they were read, or not at all."""

    def test_removed(self) -> None:
        """A file that is gone already is no harm, and a file not named stays."""
        old = self.old()
        files = old.look([LIST, b"nothing", b"a"])
        self.assertEqual(len(files), 2)
        os.remove(self.where("a"))
        old.remove(files)
        self.assertNotIn(LIST, os.listdir(os.fsencode(self.path)))
        self.assertIn("a.1", os.listdir(self.path))

    def test_changed(self) -> None:
        """A file that was changed since is named, and so the list stays."""
        old = self.old()
        files = old.look([LIST, b"a"])
        write(self.where("a"), b"new")
        error = self.assertRaises(HomeError, old.remove, files)
        self.assertIn(f"{self.path}/a was changed after", str(error))
        self.assertTrue(os.path.exists(self.where("a")))
        self.assertTrue(os.path.exists(self.where("queue.list")))
