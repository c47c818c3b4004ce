"""Reserves disk blocks for the log and the tables before they need them.

Committed changes have to be written, whatever else fills the disk meanwhile.  So blocks
are given to files ahead of need, where nobody else can have them: to the log up to the
end of the file that it is in; to a table for the pages that it has in memory only, and
some more.  (The next log file is there already, see
:mod:`memq.storage.engine.preallocation`.)

A file does not become longer by that (fallocate with FALLOC_FL_KEEP_SIZE): Berkeley DB
sees nothing of it.  On file systems that cannot do it, a full disk is found out when it
is too late to keep some room back; what was acknowledged is safe all the same.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
from typing import TYPE_CHECKING, Any

from memq.storage.datadir.sizing import diskSpace
from memq.storage.engine.binding import db

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The table of queues is given this part of what that of messages is.
_QUEUES_SHARE = 16
#: Errors of a file system that is full.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: Give blocks to a file but leave its size (linux/falloc.h).
_KEEP_SIZE = 1
#: Errors of a file system that cannot.
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)

_fallocate = ctypes.CDLL(None, use_errno=True).fallocate64
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def allocate(path: str, size: int, isLonger: bool = False) -> None:
    """Give a file, made if it is missing, the blocks of its first ``size`` bytes.

    :param isLonger: whether it becomes as long, with zeros.
    :raise OSError: when there are not so many, or the file system cannot do it.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if _fallocate(file, 0 if isLonger else _KEEP_SIZE, 0, size) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), path)
    finally:
        os.close(file)


def hasRoom(path: str, size: int) -> bool:
    """Return whether a file has blocks for so many bytes."""
    return os.stat(path).st_blocks * 512 >= size


def _pages(table: Any) -> int:
    """Return how many pages a table has, written or not."""
    pages: int = table.stat(flags=db.DB_FAST_STAT)["pagecnt"]
    return pages


class Reservation:
    """Blocks for the files of one store, and the room beside them.

    :ivar isPossible: whether the file system can give blocks ahead.
    """

    def __init__(self, directory: str, tables: Mapping[Any, str], ahead: int) -> None:
        """Reserve nothing yet.

        :param ahead: bytes that the table of messages is given ahead of need.
        """
        self.isPossible = True
        self._directory = directory
        self._tables = tables
        self._tableAhead = ahead

    def reserveTables(self) -> bool:
        """Give each table blocks for pages that are only in memory, and some more.

        :return: whether there were enough.
        :raise OSError: when the disk fails.
        """
        held = list(map(self._reserveTable, self._tables))
        return all(held)

    def _reserveTable(self, table: Any) -> bool:
        path = self._tables[table]
        size = _pages(table) * table.get_pagesize()
        ahead = self._tableAhead
        if path.endswith("queues"):
            ahead //= _QUEUES_SHARE
        # It is half as much more, so that it is not done for every page.
        return self.hold(path, size + ahead, ahead // 2)

    def hold(self, path: str, size: int, more: int = 0) -> bool:
        """Give a file the blocks of its first ``size`` bytes; return whether it has.

        Berkeley DB cuts off what is free at the end of a file, and with it goes what
        the file was given: so that is looked at every time.

        :param more: bytes that it is given beside those, if it lacks any.
        :raise OSError: when the disk fails.
        """
        if not self.isPossible or hasRoom(path, size):
            return True
        try:
            allocate(path, size + more)
        except OSError as error:
            if error.errno in _FULL:
                return False
            if error.errno not in _UNSUPPORTED:
                raise
            self.isPossible = False
        return True

    def freeBytes(self) -> int:
        """Return the bytes that are left for a common user."""
        left = diskSpace(self._directory).free
        longest, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        if longest == resource.RLIM_INFINITY:
            return left
        # Room left in a file is as good as room left on the disk (ulimit -f).
        sizes = [table.get_pagesize() * _pages(table) for table in self._tables]
        return min(left, max(0, longest - max(sizes, default=0)))
