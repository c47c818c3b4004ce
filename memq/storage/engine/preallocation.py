"""Preallocates write-ahead log files, filled with zeros.

Invariant: the next file is there, but on a full disk; of small files, that are soon
full, the next two.  Three things come of it:

Room: what overwrites zeros takes none, so the log has room on a full disk.  (Blocks
behind the end of a file would do as well, until a write fails: ext4 takes them back
then.)  The file is the store's ballast too: nothing is in it, so it can be given up
where a recovery has no room.  A recovery would remove it, so it has another name
meanwhile.

Speed: to sync what was appended to a file, the file system writes more than that, since
the file has become longer and takes new blocks.  With 50 clients, zeros that are there
won 12 % of the synced sets and gets.  (One file of 32 MB is made ahead: a second one
would add 32 MB to the 90 MB of an idle home.  With bodies of 4,000 bytes it was ready
11 of 13 times.)  Berkeley DB takes a file that is there as it is, and at a recovery,
zeros are the end of the log.  It can fill files by itself, but does so where it changes
to them, in the thread that commits.

Durable names: a file may be lost, whatever is synced in it, when its name is not on the
disk.  POSIX wants the directory synced for that, which Berkeley DB does not do where it
changes to another file.  (Linux's file systems do it by themselves for a file that is
new, but nothing promises that; and then a page could be on the disk whose log is lost.)
So what a transaction may log goes into files whose names were synced before it began.

Berkeley DB tells where the log ends in a dict of 25 entries, which took 3.4 us of a
lone set's 15.  So a look says how much may be logged before the next one, and each
transaction takes off of that what it logs at most.  Whatever is not bounded so, or logs
in another thread, has the next transaction look again.
"""

from __future__ import annotations

import os
from contextlib import suppress
from threading import Lock
from typing import IO, TYPE_CHECKING, NamedTuple

from memq.storage.datadir.files import syncDirectory
from memq.storage.engine.logfile import logName
from memq.storage.engine.reservation import allocate, hasRoom

if TYPE_CHECKING:
    from collections.abc import Callable

#: How many files are made ahead of need, of small ones.
FILES = 2
#: Bytes that a transaction logs at most, with what other threads log meanwhile: a turn
#: is 1 MiB, and what comes on top of it.
TRANSACTION = 4 * 1024 * 1024
#: How many log files have to fit into the room that is left before a second one, or a
#: name, is made.
ROOM = 4

#: Its names while it is being filled, and while a recovery runs; no log file has such
#: a name.
_UNFINISHED = "ahead"
_BALLAST = "ballast"
#: Bytes that are written and synced at a time: a flush of the log waits for no more.
_SLICE = 1024 * 1024
#: Bytes of a log file that is not worth the trouble of anything but zeros.
_SMALL = 4 * 1024 * 1024
_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY


class LogPosition(NamedTuple):
    """Where the log ends.

    :ivar file: number of the log file that is written.
    :ivar offset: bytes in it.
    :ivar size: bytes of a log file.
    """

    file: int
    offset: int
    size: int


class LogPreallocator:
    """Makes the log files that no log is in yet."""

    def __init__(
        self,
        directory: str,
        position: Callable[[], LogPosition],
        freeBytes: Callable[[], int],
        noSync: bool,
    ) -> None:
        """Make nothing yet.

        :param noSync: whether the log is synced once a second only.
        """
        self._directory = directory
        self._position = position
        self._freeBytes = freeBytes
        self._noSync = noSync
        #: Held while one is filled: a look and the removal of logs may meet.
        self._filling = Lock()
        #: The last log file whose name is on the disk for certain.
        self._named = 0
        #: Bytes from the end of what may have been logged to the end of that file, as
        #: of the last look; less than 0 when that is to be seen.  Only the thread of
        #: the transactions writes it.
        self._left = -1
        #: Whether that does not hold any more.
        self._isStale = True

    def makeNext(self) -> None:
        """Make the next file, if it is not there; in another thread.

        :raise OSError: when there is no room, or the disk fails.
        """
        with self._filling:
            at = self._position()
            self._make(at.file + 1, at.size)
            if not self.hasNext():
                # Berkeley DB made it, and may have it open.
                allocate(self._path(at.file + 1), at.size, isLonger=True)
            last = at.file + 1
            if at.size <= _SMALL and self._freeBytes() >= ROOM * at.size:
                # A small one is soon full, and then another one is needed at once.
                for last in range(at.file + 1, at.file + 1 + FILES):
                    self._make(last, at.size)
            self._syncNames(last)

    def hasNext(self) -> bool:
        """Return whether the next file is there, with all of its room."""
        at = self._position()
        path = self._path(at.file + 1)
        return os.path.exists(path) and hasRoom(path, at.size)

    def prepare(self) -> None:
        """Make the name that the next transaction may need, if it may need one.

        :raise OSError: when the disk fails.
        """
        self._left -= TRANSACTION
        if self._left < 0 or self._isStale:
            self._look()

    def lookAgain(self) -> None:
        """Let the next transaction look where the log ends; from any thread."""
        self._isStale = True

    def _look(self) -> None:
        # First, for another thread may log while this looks.
        self._isStale = False
        self._left = -1
        at = self._position()
        last = at.file + (at.offset + min(TRANSACTION, at.size)) // at.size
        # With less room, one that is done with is to take its place.
        if last > self._named and self._freeBytes() >= ROOM * at.size:
            # Berkeley DB may have been quicker.
            with suppress(FileExistsError):
                os.close(os.open(self._path(last), _NEW, 0o600))
            self._syncNames(last)
        self._left = (self._named + 1 - at.file) * at.size - at.offset - TRANSACTION

    def syncNames(self) -> None:
        """Make durable the names of all files that have some of the log.

        :raise OSError: when that failed.
        """
        if self._left >= 0 and not self._isStale:
            return
        file = self._position().file
        if file > self._named:
            # Berkeley DB makes a file only when it writes to it.
            self._syncNames(file if os.path.exists(self._path(file)) else file - 1)

    def _syncNames(self, last: int) -> None:
        if last > self._named:
            syncDirectory(self._directory)
            self._named = last

    def recycle(self, name: str) -> None:
        """Make a file that is done with the next one; no room is needed for that.

        :param name: that of the file, which goes whatever happens.
        :raise OSError: when the disk fails, or has no room after all.
        """
        with self._filling:
            at = self._position()
            unfinished = os.path.join(self._directory, _UNFINISHED)
            os.rename(os.path.join(self._directory, name), unfinished)
            # Berkeley DB redoes nothing where the first log file begins with zeros: so
            # that is not to be found under the old name.
            syncDirectory(self._directory)
            path = self._path(at.file + 1)
            _make(unfinished, path, _fill, at.size, "r+b")

    def _make(self, number: int, size: int) -> None:
        # With no-sync a sync need not be quick, and zeros would be half of what is
        # written.
        path = self._path(number)
        ballast = os.path.join(self._directory, _BALLAST)
        if os.path.exists(ballast):
            # It may be a file of the log, which has not lost this name.
            if hasRoom(ballast, size) and os.stat(ballast).st_nlink == 1:
                _name(ballast, path)
            else:
                os.unlink(ballast)
        isCheap = self._noSync and size > _SMALL
        fillAhead(path, size, _allocate if isCheap else _fill)

    def _path(self, number: int) -> str:
        return os.path.join(self._directory, logName(number))


def setBallastAside(directory: str) -> str | None:
    """Give a log file that no log is in another name, until the log is open.

    :return: the path that it has now, None when there is no such file.
    """
    ballast = os.path.join(directory, _BALLAST)
    # It may be another name of that file, and would hold its room.
    unfinished = os.path.join(directory, _UNFINISHED)
    if os.path.exists(unfinished):
        os.unlink(unfinished)
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if name.startswith("log.") and _isZero(path):
            os.replace(path, ballast)
    return ballast if os.path.exists(ballast) else None


def _isZero(path: str) -> bool:
    with open(path, "rb", buffering=0) as file:
        return not any(
            part.strip(b"\0") for part in iter(lambda: file.read(_SLICE), b"")
        )


def _fill(file: IO[bytes], size: int) -> None:
    """Write zeros over all of a file."""
    left = size
    while left:
        # On a disk that becomes full, less is written than was asked for.
        left -= file.write(bytes(min(_SLICE, left)))
        os.fdatasync(file.fileno())


def _allocate(file: IO[bytes], size: int) -> None:
    """Give a file its blocks, which read as zeros."""
    os.posix_fallocate(file.fileno(), 0, size)
    os.fsync(file.fileno())


def fillAhead(
    path: str, size: int, fill: Callable[[IO[bytes], int], None] = _fill
) -> None:
    """Make a file of zeros, on the disk; no-op when there is a file of that name.

    :param path: its name, which it gets when it is complete.
    :raise OSError: when there is no room, or the disk fails; nothing is left then.
    """
    if not os.path.exists(path):
        unfinished = os.path.join(os.path.dirname(path), _UNFINISHED)
        # One that is there may be a file of the log, which has not lost this name.
        with suppress(FileNotFoundError):
            os.unlink(unfinished)
        _make(unfinished, path, fill, size, "xb")


def _make(
    unfinished: str,
    path: str,
    fill: Callable[[IO[bytes], int], None],
    size: int,
    mode: str,
) -> None:
    """Fill a file, and give it its name unless there is one of that name."""
    try:
        with open(unfinished, mode, buffering=0, opener=_openPrivate) as file:
            fill(file, size)
    except OSError:
        with suppress(FileNotFoundError):
            os.unlink(unfinished)
        raise
    _name(unfinished, path)


def _name(file: str, path: str) -> None:
    """Give a file its name, unless there is one of that name; it goes then."""
    try:
        # Berkeley DB may have made one meanwhile: a rename would replace that.
        with suppress(FileExistsError):
            os.link(file, path)
    finally:
        os.unlink(file)
    syncDirectory(os.path.dirname(path))


def _openPrivate(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
