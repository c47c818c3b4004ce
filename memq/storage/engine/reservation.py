"""Room on the disk that is the store's before it needs it.

What is committed has to be written, whatever else fills the disk meanwhile.  So blocks
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

#: Give blocks to a file but leave its size (linux/falloc.h).
_KEEP_SIZE = 1
#: What a file system says that cannot.
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


class Reserve:
    """Give files their room ahead of need.

    :ivar isPossible: whether the file system can do it.
    """

    def __init__(self) -> None:
        self.isPossible = True

    def has(self, path: str, size: int) -> bool:
        """Return whether a file has the blocks of its first ``size`` bytes.

        Berkeley DB cuts off what is free at the end of a file, and with it goes what
        the file was given: so that is looked at every time.
        """
        return not self.isPossible or hasRoom(path, size)

    def hold(self, path: str, size: int) -> bool:
        """Give a file the blocks of its first ``size`` bytes; return whether it has.

        :raise OSError: when the disk fails.
        """
        if self.has(path, size):
            return True
        try:
            allocate(path, size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                return False
            if error.errno not in _UNSUPPORTED:
                raise
            self.isPossible = False
        return True
