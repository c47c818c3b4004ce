"""A directory that MemcacheQ wrote: known by its files, and left as it is.

MemcacheQ keeps in one directory (its -H):

    queue.list          BTREE of Berkeley DB: name of each queue, and its counts
    <name>              DB_QUEUE of Berkeley DB, see memq/memcacheq/queuefile.py
    __dbq.<name>.<n>    its extents
    log.<10 digits>     the environment's log
    __db.<3 digits>     its regions, mapped by a running MemcacheQ, which locks nothing
    __db.<hex>.<hex>    a file that was being removed

A queue may have the name ``memq``, and memq's own directory has it, too.  So that file
is renamed, to a name with spaces, which no queue has.

Nothing here asks Berkeley DB.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from contextlib import suppress
from hashlib import sha256
from struct import Struct
from typing import NamedTuple

from memq.errors import HomeError
from memq.memcacheq.queuefile import MAGIC
from memq.storage.datadir.files import syncDirectory
from memq.storage.engine.btreefile import BTREE_MAGIC
from memq.storage.engine.logfile import LOG_MAGIC, LOG_NAME

LIST = b"queue.list"
#: Where the file of the queue ``memq`` is moved to.
MOVED = b"memq (a queue of MemcacheQ)"

_REGION = re.compile(rb"__db\.[0-9]{3}")
_REMOVED = re.compile(rb"__db\.[0-9a-f]+\.[0-9a-f]+")
_EXTENT = re.compile(rb"__dbq\.(.+)\.([0-9]+)", re.DOTALL)

#: Berkeley DB writes at byte 12 a magic number, and of a log file its version.
_MAGIC = Struct("<12xII")
#: The versions of log files that Berkeley DB 5.3 reads.
_OLDEST_LOG, _NEWEST_LOG = 14, 19


class OldFile(NamedTuple):
    """A file as it was: its bytes, and its last change, in ns since 1970."""

    name: bytes
    size: int
    time: int


class OldDirectory:
    """A directory that MemcacheQ wrote.

    :ivar logs: the names of its log files, in their order.
    :ivar data: those of its tables, extents and of what was being removed.
    :ivar logVersion: the version of its last log file; None when there is none.
    """

    def __init__(self, path: bytes) -> None:
        """See which files there are."""
        self.path = path
        self.logs: list[bytes] = []
        self.regions: list[bytes] = []
        self.data: list[bytes] = []
        self.logVersion: int | None = None
        for name in sorted(os.listdir(path)):
            if not stat.S_ISREG(os.lstat(self.where(name)).st_mode):
                continue
            if LOG_NAME.fullmatch(os.fsdecode(name)):
                self.logs.append(name)
            elif _REGION.fullmatch(name):
                self.regions.append(name)
            elif self._isData(name):
                self.data.append(name)

    def _isData(self, name: bytes) -> bool:
        if name == LIST or _EXTENT.fullmatch(name) or _REMOVED.fullmatch(name):
            return True
        return self._magic(name)[0] == MAGIC

    def where(self, name: bytes) -> bytes:
        """Return the path of a file."""
        return os.path.join(self.path, name)

    def words(self, name: bytes) -> str:
        """Return the path of a file, for a person."""
        return os.fsdecode(self.where(name))

    def _magic(self, name: bytes) -> tuple[int, int]:
        """Return what stands where Berkeley DB has a magic number and a version."""
        with open(self.where(name), "rb") as file:
            head = file.read(_MAGIC.size)
        magic, version = _MAGIC.unpack(head.ljust(_MAGIC.size, b"\0"))
        return magic, version

    def mainFile(self, queue: bytes) -> bytes:
        """Return the name of the file of a queue."""
        return MOVED if queue == b"memq" and MOVED in self.data else queue

    def check(self) -> bool:
        """Return whether MemcacheQ wrote this.

        :raise memq.errors.HomeError: when it did, or may have, and its messages
            cannot be taken over as it is; it names the file, and says what to do.
        """
        isBerkeley = bool(self.regions) or any(
            self._magic(name)[0] == LOG_MAGIC for name in self.logs
        )
        try:
            magic = self._magic(LIST)[0]
        except FileNotFoundError:
            if not isBerkeley:
                return False
            raise HomeError(
                f"{self.words(LIST)} is missing, but files of Berkeley DB are there: "
                "this is no directory of queues, or its list was lost; bring the list "
                "back, or take another directory"
            ) from None
        if magic != BTREE_MAGIC:
            if not isBerkeley:
                return False
            raise HomeError(f"{self.words(LIST)} is damaged: bring it back")
        self._refuseRunning()
        self._refuseLogs()
        return True

    def _refuseRunning(self) -> None:
        pid = mappedBy([self.where(name) for name in self.regions])
        if pid is not None:
            raise HomeError(
                f"{self.words(self.regions[0])} is in use by process {pid}: stop that "
                "MemcacheQ first"
            )

    def _refuseLogs(self) -> None:
        directory = os.fsdecode(self.path)
        for name in self.logs:
            magic, version = self._magic(name)
            # The last one may have been made just before the end.
            if magic == 0 and name == self.logs[-1]:
                continue
            if magic != LOG_MAGIC:
                raise HomeError(f"{self.words(name)} is damaged: bring it back")
            self.logVersion = version
            if not _OLDEST_LOG <= version <= _NEWEST_LOG:
                raise HomeError(
                    f"{self.words(name)} is a log of version {version}, and Berkeley "
                    f"DB 5.3 reads {_OLDEST_LOG} to {_NEWEST_LOG}: run db_recover -h "
                    f"{directory} of the version that wrote it, move the log files "
                    "elsewhere, and try again"
                )
        if self.regions and not self.logs:
            raise HomeError(
                f"{self.words(b'log.*')} are missing, but {self.words(self.regions[0])}"
                " is there: bring the log files back"
            )
        config = self.where(b"DB_CONFIG")
        with suppress(FileNotFoundError), open(config, "rb") as file:
            if re.search(rb"^\s*set_(lg|data)_dir", file.read(65536), re.MULTILINE):
                raise HomeError(
                    f"{os.fsdecode(config)} names other directories: move their files "
                    "here, and remove set_lg_dir and set_data_dir from it"
                )

    def queueOf(self, name: bytes) -> bytes:
        """Return the name of the queue that a data file belongs to."""
        extent = _EXTENT.fullmatch(name)
        if extent:
            return extent[1]
        return b"memq" if name == MOVED else name

    def strays(self, queues: list[bytes]) -> list[bytes]:
        """Return the names of data files that belong to none of some queues.

        A file that was being removed when MemcacheQ was killed is not among them.
        """
        known = {LIST, *queues}
        return [
            name
            for name in self.data
            if self.queueOf(name) not in known and not _REMOVED.fullmatch(name)
        ]

    def look(self, names: list[bytes]) -> list[OldFile]:
        """Return files as they are now; those that are gone are left out."""
        files = []
        for name in names:
            with suppress(FileNotFoundError):
                found = os.lstat(self.where(name))
                files.append(OldFile(name, found.st_size, found.st_mtime_ns))
        return files

    def fingerprint(self) -> bytes:
        """Return what tells whether a MemcacheQ has worked on it; 32 bytes."""
        return sha256(repr(self.look(self.logs + self.data)).encode()).digest()

    def makeWay(self) -> None:
        """Move the file of a queue called ``memq``, durably.

        The directory itself is locked meanwhile, so two servers cannot do it at once.

        :raise memq.errors.HomeError: when there are two of it.
        """
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            queue, moved = self.where(b"memq"), self.where(MOVED)
            if not os.path.isfile(queue):
                return
            if os.path.exists(moved):
                raise HomeError(
                    f"{os.fsdecode(queue)} was moved to {os.fsdecode(moved)} once, and "
                    "both are there: remove the one that is of no use"
                )
            os.rename(queue, moved)
            os.fsync(directory)
        finally:
            os.close(directory)

    def remove(self, files: list[OldFile], aside: str | None = None) -> None:
        """Remove files, the list of queues last, or move them to the directory aside.

        :param files: as they were when what is in them was taken over.
        :raise memq.errors.HomeError: when one was changed since; it stays.
        """
        directory = os.fsdecode(self.path)
        for file in sorted(files, key=lambda file: file.name == LIST):
            if file.name == LIST:
                # While it is there, a start knows whose the other files are.
                syncDirectory(directory)
            if self.look([file.name]) not in ([], [file]):
                raise HomeError(
                    f"{self.words(file.name)} was changed after its messages were "
                    "taken over; move it elsewhere"
                )
            with suppress(FileNotFoundError):
                if aside is None:
                    os.unlink(self.where(file.name))
                else:
                    target = os.path.join(os.fsencode(aside), file.name)
                    os.rename(self.where(file.name), target)
        if aside is not None:
            syncDirectory(aside)
        syncDirectory(directory)


def findOld(path: str) -> OldDirectory | None:
    """Return the directory at a path if MemcacheQ wrote it.

    :raise memq.errors.HomeError: when its messages cannot be taken over as it is.
    """
    if not os.path.isdir(path):
        return None
    old = OldDirectory(os.fsencode(path))
    return old if old.check() else None


def mappedBy(paths: list[bytes], processes: bytes = b"/proc") -> int | None:
    """Return the id of a process that has mapped one of some files.

    A process whose maps may not be read counts as one that has not.
    """
    wanted = {}
    for path in paths:
        found = os.stat(path)
        device = b"%02x:%02x" % (os.major(found.st_dev), os.minor(found.st_dev))
        wanted[b"%d" % found.st_ino] = device, os.path.realpath(path)
    for pid in filter(bytes.isdigit, os.listdir(processes) if wanted else []):
        # Processes end while this looks at them.
        with (
            suppress(OSError),
            open(os.path.join(processes, pid, b"maps"), "rb") as maps,
        ):
            for line in maps:
                words = line.rstrip(b"\n").split(None, 5)
                device, name = wanted.get(words[4], (b"", b""))
                # Some file systems tell another device here than elsewhere.
                if device and (words[3] == device or words[5:] == [name]):
                    return int(pid)
    return None


def makeWay(path: str) -> None:
    """See whether what MemcacheQ wrote can be taken over, if it wrote anything.

    That is done when the store is open (memq/memcacheq/adoption.py).  MemcacheQ's queue
    ``memq`` has a file that stands in the way of HOME/memq, and gets another name here.

    :param path: HOME.
    :raise HomeError: when it cannot; nothing is changed then.
    """
    old = findOld(path)
    if old is not None:
        old.makeWay()
