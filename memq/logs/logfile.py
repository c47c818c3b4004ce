"""Log files: where lines go, and that they can be opened again.

twistd takes its log observer from the application when there is one, and makes
its own otherwise.  memq gives it one wherever twistd would write to a file or
to standard output, so that SIGHUP can open the file again after logrotate
moved it away; what goes to syslog or to an observer of the user's choice stays
twistd's.

A log that cannot be written never stops the server.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from memq.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Mapping

_log = Logger()


class LogFile:
    """Where log lines go: a file known by its path, or an open descriptor.

    :ivar descriptor: of the open file.
    :ivar isJournal: whether systemd's journal is what reads it.
    """

    def __init__(
        self, descriptor: int, path: str | None = None, journal: str | None = None
    ) -> None:
        """Write to ``descriptor``; ``path`` is what ``reopen`` opens.

        :param journal: device and inode of the journal's stream, with a colon.
        """
        status = os.fstat(descriptor)
        self.isJournal = journal == f"{status.st_dev}:{status.st_ino}"
        self.descriptor = descriptor
        self._path = path

    @classmethod
    def open(
        cls, path: str, owner: tuple[int, int], option: str = "--logfile"
    ) -> LogFile:
        """Append to the file at ``path``; a new one is given to ``owner``.

        :param owner: uid and gid.
        :param option: what names the path, for the error.
        :raise memq.errors.StartError: when it cannot be opened.
        """
        path = os.path.abspath(path)
        try:
            return cls(_openToAppend(path, owner), path)
        except OSError as error:
            raise StartError(f"{option} {path}: {error.strerror}") from error

    def write(self, line: str) -> str:
        """Write a line, or some, without the last line end; lose it if need be.

        A full disk must not stop the queues: they tell their clients of it.

        :return: why it is lost; nothing when it is written.
        """
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        size = len(data)
        try:
            while data:
                data = data[os.write(self.descriptor, data) :]
        except OSError as error:
            if len(data) < size:
                self._takeBack(size - len(data))
            return error.strerror or str(error)
        return ""

    def _takeBack(self, size: int) -> None:
        """Remove the bytes of a line that broke off, where that can be done."""
        with suppress(OSError):
            end = os.lseek(self.descriptor, 0, os.SEEK_CUR)
            os.ftruncate(self.descriptor, end - size)

    @property
    def name(self) -> str:
        """Return its path, or what else it is known as."""
        return self._path or f"descriptor {self.descriptor}"

    def reopen(self, why: str, what: str = "the log file") -> None:
        """Go on in the file that has the path now; stay with the old on error.

        :param why: what asked for it, for the log.
        :param what: what it is, for the log.
        """
        if self._path is None:
            _log.info("{why}: this log has no file name to open again", why=why)
            return
        try:
            new = _openToAppend(self._path, None)
        except OSError as error:
            _log.warn(
                "{why}: {path} cannot be opened again: {error}; the old file is "
                "written on",
                why=why,
                path=self._path,
                error=error.strerror,
            )
            return
        os.dup2(new, self.descriptor, inheritable=False)
        os.close(new)
        _log.info("{why}: opened {what} again", why=why, what=what)

    def isMoved(self) -> bool:
        """Tell whether its path, if it has one, leads to another file by now."""
        if self._path is None:
            return False
        try:
            there = os.stat(self._path)
        except OSError:
            return True
        return not os.path.samestat(there, os.fstat(self.descriptor))

    def close(self) -> None:
        """Let go of the descriptor."""
        os.close(self.descriptor)


def chooseLog(
    twistd: Mapping[str, Any],
    toStandardError: bool,
    owner: tuple[int, int],
    journal: str | None = None,
) -> LogFile | None:
    """Return the log that the command line asks for.

    :param twistd: the options of twistd itself; empty when it is not twistd.
    :param toStandardError: whether --log-stderr was given.  A copy of the
        descriptor is kept, for a daemon's own is /dev/null.
    :param owner: uid and gid that the file gets if it is new.
    :param journal: the stream that systemd's journal reads, if it started this.
    :return: None when the log is not memq's.
    :raise memq.errors.StartError: when the file cannot be opened.
    """
    if "nodaemon" not in twistd or twistd["syslog"] or twistd["logger"]:
        return None
    path, foreground = twistd["logfile"], twistd["nodaemon"]
    if toStandardError:
        return LogFile(os.dup(2), journal=journal)
    if path == "-" and not foreground:
        # twistd itself says that a daemon cannot do that.
        return None
    if path == "-" or (foreground and not path):
        return LogFile(os.dup(1), journal=journal)
    return LogFile.open(path or "twistd.log", owner)


def _openToAppend(path: str, owner: tuple[int, int] | None) -> int:
    """Return the descriptor of a file, made if it is missing and given to ``owner``."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o640)
    except FileExistsError:
        return os.open(path, flags)
    # A sandbox may refuse to give a file to whoever has it already.
    if owner is not None and owner != (os.geteuid(), os.getegid()):
        os.fchown(descriptor, *owner)
    return descriptor
