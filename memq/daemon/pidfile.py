"""The pid file: names the server's process, and guards nothing.

The home's lock is the guard.  So an old pid file keeps no server from starting, and
where it cannot be written the server goes without.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from contextlib import suppress


class PidFile:
    """A file with the id of this process, as long as the server runs."""

    def __init__(self, path: str) -> None:
        """Name the file.

        :param path: where it is; empty for none, and then nothing here does anything.
        """
        self.path = path
        self._text = b""
        self._file: int | None = None

    def write(self) -> None:
        """Put a file in the place of whatever file or symbolic link is there.

        A link is not followed: others may have made it, and this may be root.

        :raise OSError: when that cannot be; what was there stays.
        """
        if not self.path:
            return
        with suppress(FileNotFoundError):
            mode = os.lstat(self.path).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
                raise OSError(errno.EEXIST, "there is something that is no file")
        self._text = b"%d\n" % os.getpid()
        directory, name = os.path.split(self.path)
        file, beside = tempfile.mkstemp(prefix=f"{name}.", dir=directory)
        try:
            os.write(file, self._text)
            os.fchmod(file, 0o644)
            os.replace(beside, self.path)
        except OSError:
            os.close(file)
            os.unlink(beside)
            raise
        self._file = file

    def remove(self) -> None:
        """Remove the file, unless another process has put its own there.

        Where it may not be removed, by the user that the server became, it is emptied.

        :raise OSError: when neither can be.
        """
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            if os.pread(file, len(self._text) + 1, 0) == self._text:
                self._unlink(file)
        finally:
            os.close(file)

    def _unlink(self, file: int) -> None:
        try:
            if os.path.samestat(os.fstat(file), os.lstat(self.path)):
                os.unlink(self.path)
        except OSError:
            os.ftruncate(file, 0)
