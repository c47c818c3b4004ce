"""The place of a home: the directory that was opened, wherever it is moved.

Somebody may move, exchange or remove HOME/memq under a server, as a restore by hand
does when the stop is forgotten.  Its name leads to another directory then, or to none,
and what is opened by name from then on is in that one: log files with messages that
were told to be stored, and files that another server works on.

So the directory is kept open, and its files are reached by way of the descriptor
(``/proc/self/fd/N/log.0000000001``), which follows the directory.  All that is stored
until the exchange is noticed is where the rest is; the other directory is left alone.
``check`` notices it: it compares what the name leads to with what is open.  Where there
is no /proc, files are reached by name, and only the check is left.
"""

from __future__ import annotations

import errno
import os
from threading import Lock
from typing import TYPE_CHECKING

from memq.errors import HomeGone

if TYPE_CHECKING:
    from collections.abc import Callable

#: Where the system shows a process what it has open.
DESCRIPTORS = "/proc/self/fd"

#: Errors of a name that certainly leads nowhere.
_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
#: The system adds it to the name of a directory that was removed.
_REMOVED = " (deleted)"


class Place:
    """A directory that is held open, and files in it that have to stay.

    :ivar path: its name.
    :ivar way: a path that leads to it also when it has another name; ``path`` where
        there is no /proc.
    :ivar handle: its descriptor.
    """

    def __init__(self, path: str, descriptors: str = DESCRIPTORS) -> None:
        """Open the directory.

        :param descriptors: the directory of what this process has open.
        :raise OSError: when that cannot be.
        """
        self.path = path
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        self.handle = os.open(path, flags)
        self._link = os.path.join(descriptors, str(self.handle))
        self.way = self._link if self._isWay() else path
        #: By name, the descriptors of files that have to stay.
        self._files: dict[str, int] = {}

    def _isWay(self) -> bool:
        try:
            return os.path.samestat(os.stat(self._link), os.fstat(self.handle))
        except OSError:
            return False

    def keep(self, name: str, handle: int) -> None:
        """Let ``check`` see that a file stays what it is.

        :param handle: the descriptor that it is open with; the caller closes it.
        """
        self._files[name] = handle

    def check(self) -> OSError | None:
        """See whether the names lead to what is open.

        :return: why that cannot be told just now; None when all is well.
        :raise HomeGone: when one of them does not.
        """
        doubt = self._look(self.path, self.handle)
        for name, handle in self._files.items():
            doubt = doubt or self._look(os.path.join(self.path, name), handle)
        return doubt

    def _look(self, path: str, handle: int) -> OSError | None:
        try:
            # Some file systems number a file anew, but all that have it open alike.
            isThere = os.path.samestat(os.stat(path), os.fstat(handle))
        except OSError as error:
            if error.errno not in _NOWHERE:
                return error
            isThere = False
        if not isThere:
            raise self.gone(path)
        return None

    def gone(self, path: str) -> HomeGone:
        """Return the error that says that a path leads elsewhere, or nowhere."""
        where = "in the directory that was there before"
        if self.way != self.path:
            name = os.readlink(self._link)
            where = f"in {name}"
            if name.endswith(_REMOVED):
                where = "lost with the directory that was removed"
        return HomeGone(path, where)

    def named(self, text: str) -> str:
        """Return a text with the name of the directory in the place of the way."""
        return text if self.way == self.path else text.replace(self.way, self.path)

    def close(self) -> None:
        """Let go of it."""
        os.close(self.handle)


class KnownFiles:
    """Which files Berkeley DB has open, which shows nobody its descriptors.

    They can be exchanged by themselves: a copy that is put over a home (rsync) leaves
    the directory and the lock as they are.
    """

    def __init__(self) -> None:
        #: Device and inode, by path.
        self._files: dict[str, tuple[int, int]] = {}
        self._log: str | None = None
        self._looking = Lock()

    def add(self, path: str) -> None:
        """Know a file that was just opened.

        :raise OSError: when it is not there.
        """
        self._files[path] = _identity(path)

    def forget(self, path: str) -> None:
        """Forget a file, before it may be removed."""
        del self._files[path]

    def clear(self) -> None:
        """Forget all."""
        self._files.clear()
        self._log = None

    def findGone(self, log: Callable[[], str | None]) -> str | None:
        """Return the path of a file that is another one now, or not there.

        Invariant: log files are removed only after a call of this, so it looks for
        none that is done with.

        :param log: returns the path of the log file that was synced last, None before
            the first sync.
        """
        with self._looking:
            path = log()
            if path is not None and path != self._log:
                # It was in use until a moment ago, so nobody has removed it in order.
                old = self._log
                if old is not None and _isOther(old, self._files[old]):
                    return old
                if not self._logIs(path):
                    return path
            for path, identity in list(self._files.items()):
                # A file that was forgotten meanwhile may be removed by now.
                if _isOther(path, identity) and path in self._files:
                    return path
        return None

    def _logIs(self, path: str) -> bool:
        """Know the log file that is in use now; return whether it may be there."""
        if self._log is not None:
            self._files.pop(self._log, None)
        self._log = None
        try:
            self.add(path)
        except OSError as error:
            return error.errno not in _NOWHERE
        self._log = path
        return True


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _isOther(path: str, identity: tuple[int, int]) -> bool:
    """Return whether a path certainly does not lead to a file any more."""
    try:
        return _identity(path) != identity
    except OSError as error:
        return error.errno in _NOWHERE
