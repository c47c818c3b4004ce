"""Log files that are there before they are needed.

A file may be lost, whatever is synced in it, when its name is not on the disk.  POSIX
wants the directory synced for that, which Berkeley DB does not do where it changes to
a new log file.  Linux's file systems do so by themselves for a file that is new, but
nothing promises it; and then a page could be on the disk whose log is lost.  So
whatever a transaction may log is logged in files that were there before it began,
empty, with their names synced.

While much is logged, they are filled with zeros as well.  To sync what was appended to
a file, the file system writes more than that: the file has become longer, and takes
new blocks.  What overwrites zeros that are on the disk changes neither.  With 50
clients, that won 12 % of the synced sets and gets.

Berkeley DB takes a file that is there as it is, and at a recovery, zeros are the end
of the log, a whole file of them too, and an empty file.  (It can fill files by itself,
but does so where it changes to them, in the thread that commits.)

What is filled goes when little is logged.  Nobody may remove or empty a file that
Berkeley DB changes to at that moment: so that is done in the thread of the
transactions, and not while another thread may write to the log, which ``logging``
tells.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from memq.files import syncDirectory
from memq.marker import logName

if TYPE_CHECKING:
    from collections.abc import Callable

#: How many log files are filled ahead of need: what is logged in a second at most.
FILES = 2
#: Bytes that a transaction logs at most: a turn is 1 MiB, and what comes on top of it.
TRANSACTION = 4 * 1024 * 1024
#: How many log files have to fit into the room that is left before that.
ROOM = 4
#: Bytes of log between two looks, from which on it is much: a client alone, that waits
#: for each reply, logs less and gains nothing.
BUSY = 2 * 1024 * 1024
#: Looks in a row that find little, after which the files go.
IDLE = 5

#: What a file is called while it is being filled; no log file has such a name.
_UNFINISHED = "ahead"
#: Bytes that are written and synced at a time: a flush of the log waits for no more.
_SLICE = 1024 * 1024
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY
_MODE = 0o600


class LogPosition(NamedTuple):
    """Where the log ends.

    :ivar file: number of the log file that is written.
    :ivar offset: bytes in it.
    :ivar size: bytes of a log file.
    """

    file: int
    offset: int
    size: int


def _reach(at: LogPosition, growth: int) -> int:
    """Return the last log file that a transaction may reach after so many bytes."""
    return at.file + (at.offset + growth + TRANSACTION) // at.size


class LogsAhead:
    """The log files that no log is in yet.

    :ivar logging: held by whoever may write to the log in another thread than that of
        the transactions.
    :ivar areSuperfluous: whether files are filled, and little is logged.
    :ivar fills: whether files are filled at all while much is logged.
    """

    def __init__(
        self,
        directory: str,
        position: Callable[[], LogPosition],
        freeBytes: Callable[[], int],
        fills: bool,
    ) -> None:
        """Know of none.

        :param directory: where log files are.
        :param position: tells where the log ends.
        :param freeBytes: tells the room that is left.
        """
        self._directory = directory
        self._position = position
        self._freeBytes = freeBytes
        self.logging = Lock()
        self.areSuperfluous = False
        self.fills = fills
        self._loggedBefore: int | None = None
        self._idle = 0
        #: The last log file whose name is on the disk for certain.
        self._named = 0

    def tidy(self) -> None:
        """Make files, filled if much is logged; about once a second, in another thread.

        :raise OSError: when that failed; they are made when they are needed, then.
        """
        at = self._position()
        logged = at.file * at.size + at.offset
        before, self._loggedBefore = self._loggedBefore, logged
        growth = 0 if before is None else logged - before
        with self.logging:
            if self.fills and growth >= BUSY:
                self._idle = 0
                self.areSuperfluous = False
                self._name(at, 0, self._fill(at))
            else:
                self._idle += 1
                filled = any(map(self._isFilled, self._next(at.file)))
                self.areSuperfluous = filled and self._idle >= IDLE
                # As much may be logged until the next look.
                self._name(at, growth)

    def _path(self, number: int) -> str:
        return os.path.join(self._directory, logName(number))

    def _next(self, file: int) -> range:
        """Return the numbers of the files that are filled ahead of one."""
        return range(file + 1, file + 1 + FILES)

    def _isFilled(self, number: int) -> bool:
        path = self._path(number)
        return os.path.exists(path) and os.path.getsize(path) > 0

    def _fill(self, at: LogPosition) -> int:
        """Fill files, and return the last one that is there."""
        for number in self._next(at.file):
            if self._freeBytes() < ROOM * at.size:
                return number - 1
            fillAhead(self._path(number), at.size)
        return number

    def _name(self, at: LogPosition, growth: int, least: int = 0) -> None:
        """Make names up to where the log may be after so many bytes."""
        last = max(least, _reach(at, growth))
        # Without that room, a file could not be written anyway.
        if last > self._named and self._freeBytes() >= at.size:
            for number in range(at.file + 1, last + 1):
                # Filled, or Berkeley DB was quicker.
                with suppress(FileExistsError):
                    os.close(os.open(self._path(number), _NEW, _MODE))
            self._syncNames(last)

    def _syncNames(self, last: int) -> None:
        syncDirectory(self._directory)
        self._named = max(self._named, last)

    def prepare(self) -> None:
        """Make the names that the next transaction needs, if ``tidy`` did not yet.

        :raise OSError: when that failed, but not for want of room: a file whose name
            could not be made may fit in all the same when it is needed.
        """
        try:
            self._name(self._position(), 0)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise

    def syncNames(self) -> None:
        """Make durable the names of the files that the log is in, if they are not yet.

        :raise OSError: when that failed.
        """
        file = self._position().file
        if file > self._named:
            # Berkeley DB makes a file only when it writes to it.
            if not os.path.exists(self._path(file)):
                file -= 1
            if file > self._named:
                self._syncNames(file)

    def remove(self) -> None:
        """Remove or empty what is filled; in the thread of the transactions.

        :raise OSError: when that failed.
        """
        self.areSuperfluous = False
        if not self.logging.acquire(blocking=False):
            # There is another look in a second.
            return
        try:
            at = self._position()
            needed = _reach(at, 0)
            # The last one first, so that a crash leaves no gap.
            for number in reversed(self._next(at.file)):
                with suppress(FileNotFoundError):
                    if number > needed:
                        self._named = min(self._named, number - 1)
                        os.unlink(self._path(number))
                    else:
                        os.truncate(self._path(number), 0)
        finally:
            self.logging.release()


def fillAhead(path: str, size: int) -> None:
    """Make a file of zeros, on the disk; no-op when there is a file of that name.

    :param path: its name, which it gets when it is complete.
    :param size: its bytes.
    :raise OSError: when there is no room, or the disk fails; nothing is left then.
    """
    if os.path.exists(path):
        return
    unfinished = os.path.join(os.path.dirname(path), _UNFINISHED)
    try:
        with open(unfinished, "wb", buffering=0) as file:
            for start in range(0, size, _SLICE):
                file.write(bytes(min(_SLICE, size - start)))
                os.fdatasync(file.fileno())
        # Berkeley DB may have made it meanwhile: a rename would replace that one.
        with suppress(FileExistsError):
            os.link(unfinished, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(unfinished)
    syncDirectory(os.path.dirname(path))
