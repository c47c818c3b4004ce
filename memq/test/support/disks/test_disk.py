"""Tests for memq.test.support.disks.disk and memq.test.support.disks.diskfile."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from memq.test.support.disks.disk import Disk
from memq.test.support.disks.diskfile import PAGE
from testkit.systemcalls import moments, readCalls

#: As strace writes paths: of the directory, and of what is not in it.
HOME = "/h/memq"


def hexadecimal(data: str) -> str:
    """Return a string as strace writes it."""
    return "".join(f"\\x{byte:02x}" for byte in data.encode())


class DiskTestCase(SynchronousTestCase):
    """Has a disk that system calls happen to."""

    strict = True

    def setUp(self) -> None:
        """Begin with one file."""
        self.lines: list[str] = []
        self.files = {"old": b"old"}

    def call(self, name: str, *arguments: object, result: int = 0) -> None:
        """Let a call happen; strings are paths or data, in ``'`` names as they are."""
        words = [
            word[1:]
            if isinstance(word, str) and word.startswith("'")
            else f'"{hexadecimal(word)}"'
            if isinstance(word, str)
            else str(word)
            for word in arguments
        ]
        self.lines.append(f"1 {name}({', '.join(words)}) = {result}\n")

    def open(self, name: str, file: int, flags: str = "O_RDWR|O_CREAT") -> None:
        """Open a file in the directory."""
        path = f"{HOME}/{name}" if name else HOME
        self.call("openat", "'AT_FDCWD", path, f"'{flags}", result=file)

    def write(self, file: int, data: str, offset: int) -> None:
        """Write to a descriptor."""
        self.call("pwrite64", f"'{file}<>", data, len(data), offset, result=len(data))

    def sync(self, file: int) -> None:
        """Sync a descriptor."""
        self.call("fdatasync", f"'{file}<>")

    def disk(self) -> Disk:
        """Return the disk after all of that."""
        disk = Disk(HOME, self.strict, self.files)
        for moment, call in moments(readCalls(self.lines)):
            disk.take(moment, call)
        return disk

    def left(self) -> list[dict[str, bytes]]:
        """Return what power cuts may leave, as far as tries find it."""
        disk = self.disk()
        found = [disk.afterCut(Random(seed)) for seed in range(300)]
        return [left for n, left in enumerate(found) if left not in found[:n]]

    def assertLeft(self, *left: dict[str, bytes]) -> None:
        """Assert that this is what may be left, and nothing else."""
        found = self.left()
        self.assertEqual(
            sorted(map(repr, found)),
            sorted(repr(dict(sorted(x.items()))) for x in left),
        )


class FileTests(DiskTestCase):
    """Writes that are left."""

    def setUp(self) -> None:
        """Open the file."""
        super().setUp()
        self.open("old", 3)

    def test_unsynced(self) -> None:
        """An unsynced write is there or not; the file has the size of either moment."""
        self.write(3, "new!", 0)
        self.assertLeft(
            {"old": b"old"}, {"old": b"new"}, {"old": b"new!"}, {"old": b"old\0"}
        )

    def test_synced(self) -> None:
        """A synced write is there."""
        self.write(3, "new!", 0)
        self.sync(3)
        self.assertLeft({"old": b"new!"})

    def test_writtenMeanwhile(self) -> None:
        """A write that begins while a sync goes on is not synced by it."""
        self.lines += [
            "1 fsync(3<> <unfinished ...>\n",
            '2 pwrite64(3<>, "\\x4f", 1, 0) = 1\n',
            "1 <... fsync resumed>) = 0\n",
        ]
        self.assertLeft({"old": b"old"}, {"old": b"Old"})

    def test_underWay(self) -> None:
        """A write that goes on when a sync begins is not synced by it."""
        self.lines += [
            '2 pwrite64(3<>, "\\x4f", 1, 0 <unfinished ...>\n',
            "1 fsync(3<>) = 0\n",
            "2 <... pwrite64 resumed>) = 1\n",
        ]
        self.assertLeft({"old": b"old"}, {"old": b"Old"})

    def test_twoSyncs(self) -> None:
        """Two syncs at once make the same certain."""
        self.write(3, "new", 0)
        self.lines += [
            "1 fsync(3<> <unfinished ...>\n",
            "2 fsync(3<>) = 0\n",
            "1 <... fsync resumed>) = 0\n",
        ]
        self.assertLeft({"old": b"new"})

    def test_pages(self) -> None:
        """Each page is there or not by itself, as a whole, with all before it."""
        self.files = {"old": bytes(2 * PAGE)}
        self.write(3, "ab", PAGE - 1)
        self.write(3, "c", PAGE)
        left = {(x["old"][PAGE - 1], x["old"][PAGE]) for x in self.left()}
        self.assertEqual(left, {(a, b) for a in b"\0a" for b in b"\0bc"})

    def test_resized(self) -> None:
        """A change of the size happens or not, and what came after it only then."""
        self.write(3, "X", 0)
        self.call("ftruncate", "'3<>", 1)
        self.write(3, "Y", 0)
        self.assertLeft({"old": b"old"}, {"old": b"Xld"}, {"old": b"X"}, {"old": b"Y"})

    def test_truncated(self) -> None:
        """So when a file is opened or named for that."""
        self.open("old", 4, "O_WRONLY|O_CREAT|O_TRUNC")
        self.assertLeft({"old": b"old"}, {"old": b""})
        self.call("truncate", f"{HOME}/old", 5)
        self.assertIn({"old": b"old"}, self.left())
        self.assertEqual(bytes(self.disk().names["old"].now), bytes(5))

    def test_allocated(self) -> None:
        """A file that is given blocks is longer, unless it is said not to be."""
        self.call("fallocate", "'3<>", "'FALLOC_FL_KEEP_SIZE", 0, 9)
        self.call("fallocate", "'3<>", 0, 0, 2)
        self.call("fallocate", "'9<>", 0, 0, 5)
        self.assertLeft({"old": b"old"})
        self.call("fallocate", "'3<>", 0, 0, 5)
        self.assertLeft({"old": b"old"}, {"old": b"old\0\0"})

    def test_position(self) -> None:
        """Writes without an offset go on where the last one ended."""
        self.call("lseek", "'3<>", 1, "'SEEK_SET", result=1)
        for data in "bc":
            self.call("write", "'3<>", data, 1, result=1)
        self.sync(3)
        self.assertLeft({"old": b"obc"})

    def test_tornLog(self) -> None:
        """The last page of a log that was written may be torn after any byte."""
        self.open("log.1", 4)
        self.open("", 5)
        self.sync(5)
        self.write(4, "abc", 0)
        left = {x["log.1"] for x in self.left()}
        self.assertLessEqual({b"", b"abc", b"ab\0", b"a\0\0", bytes(3)}, left)

    def test_elsewhere(self) -> None:
        """Calls for other files are nothing to it."""
        self.call("open", "/elsewhere/old", "'O_RDWR", result=6)
        self.write(6, "new", 0)
        self.sync(6)
        self.call("lseek", "'6<>", 1, "'SEEK_SET", result=1)
        self.call("ftruncate", "'6<>", 0)
        self.call("truncate", "/elsewhere/old", 0)
        self.call("rename", "/elsewhere/old", "/elsewhere/new")
        self.call("link", "/elsewhere/old", "/elsewhere/new")
        self.call("unlink", "/elsewhere/new")
        self.call("unlink", f"{HOME}/none", result=-1)
        self.call("sendto", "'6<>", "abc", result=3)
        self.assertLeft({"old": b"old"})

    def test_closed(self) -> None:
        """A descriptor that is closed may be another file's next."""
        self.lines += [
            "1 close(3<> <unfinished ...>\n",
            f'2 openat(0<>, "{hexadecimal(HOME)}", O_RDONLY) = 3\n',
            "1 <... close resumed>) = 0\n",
        ]
        self.write(3, "x", 0)
        self.assertLeft({"old": b"old"})


class NameTests(DiskTestCase):
    """Names that are left."""

    def test_order(self) -> None:
        """Names come and go in their order, and the last ones may be missing."""
        self.call("link", f"{HOME}/old", f"{HOME}/a")
        self.call("rename", f"{HOME}/a", f"{HOME}/b")
        self.call("unlink", f"{HOME}/old")
        self.assertLeft(
            {"old": b"old"},
            {"old": b"old", "a": b"old"},
            {"old": b"old", "b": b"old"},
            {"b": b"old"},
        )

    def test_synced(self) -> None:
        """After a sync of the directory they are certain, once or twice."""
        self.open("", 3, "O_RDONLY|O_DIRECTORY")
        self.open("new", 4)
        self.lines += [
            "1 fsync(3<> <unfinished ...>\n",
            "2 fsync(3<>) = 0\n",
            "1 <... fsync resumed>) = 0\n",
        ]
        self.assertLeft({"old": b"old", "new": b""})

    def test_fileSynced(self) -> None:
        """POSIX does not promise the name of a file that was synced."""
        self.open("new", 4)
        self.sync(4)
        self.assertLeft({"old": b"old"}, {"old": b"old", "new": b""})

    def test_log(self) -> None:
        """It knows when the last sync of a log began that has ended."""
        self.open("log.1", 3)
        self.open("new", 4)
        self.sync(3)
        self.sync(4)
        self.lines.append("1 fsync(3<> <unfinished ...>\n")
        self.assertEqual(self.disk().synced, 4)


class LinuxTests(DiskTestCase):
    """A disk as the file systems of Linux make it."""

    strict = False

    def test_fileSynced(self) -> None:
        """The name of a file that was synced is there, with those before it."""
        self.open("before", 3)
        self.open("new", 4)
        self.open("after", 5)
        self.sync(4)
        self.assertLeft(
            {"old": b"old", "before": b"", "new": b""},
            {"old": b"old", "before": b"", "new": b"", "after": b""},
        )

    def test_oldFile(self) -> None:
        """A sync of another file says nothing of them."""
        self.open("new", 3)
        self.open("old", 4)
        self.sync(4)
        self.assertLeft({"old": b"old"}, {"old": b"old", "new": b""})
