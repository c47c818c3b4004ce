"""The log: one line an event, in a file that can be opened again.

twistd takes its log observer from the application when there is one, and makes
its own otherwise.  memq gives it one wherever twistd would write to a file or
to standard output, so that SIGHUP can open the file again after logrotate
moved it away; what goes to syslog or to an observer of the user's choice stays
twistd's.

A line holds the time, where it comes from, its level, and the text.  A failure
adds its type and message to the line; its traceback follows, indented, when it
is critical (then it is a bug) or with -vv.  A log that cannot be written never
stops the server.

systemd's journal notes the time by itself.  So lines that go there have none, and
begin with the level in the form that it reads, sd-daemon(3).
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, eventAsText
from zope.interface import implementer

from memq.display import shownText
from memq.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The levels as syslog numbers them.
_PRIORITIES = {
    LogLevel.critical: 2,
    LogLevel.error: 3,
    LogLevel.warn: 4,
    LogLevel.info: 6,
    LogLevel.debug: 7,
}

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
    def open(cls, path: str, owner: tuple[int, int]) -> LogFile:
        """Append to the file at ``path``; a new one is given to ``owner``.

        :param owner: uid and gid.
        :raise memq.errors.StartError: when it cannot be opened.
        """
        path = os.path.abspath(path)
        try:
            return cls(_openToAppend(path, owner), path)
        except OSError as error:
            raise StartError(f"--logfile {path}: {error.strerror}") from error

    def write(self, line: str) -> None:
        """Write a line, or some, without the last line end; lose it if need be."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        # A full disk must not stop the queues: they tell their clients of it.
        with suppress(OSError):
            while data:
                data = data[os.write(self.descriptor, data) :]

    def reopen(self, why: str) -> None:
        """Go on in the file that has the path now; stay with the old on error.

        :param why: what asked for it, for the log.
        """
        if self._path is None:
            _log.info("{why}: this log has no file name to open again", why=why)
            return
        try:
            new = _openToAppend(self._path, None)
        except OSError as error:
            _log.warn(
                "{why}: {path} cannot be opened again: {error}; the log goes on "
                "in the old file",
                why=why,
                path=self._path,
                error=error.strerror,
            )
            return
        os.dup2(new, self.descriptor, inheritable=False)
        os.close(new)
        _log.info("{why}: opened the log file again", why=why)

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


@implementer(ILogObserver)
class LineObserver:
    """Write each event to a log file as one line."""

    def __init__(self, file: LogFile, verbosity: int) -> None:
        """Take the file, and how often -v was given.

        :param verbosity: from 2 on, debug events and all tracebacks are shown.
        """
        self._file = file
        self._verbosity = verbosity

    def __call__(self, event: LogEvent) -> None:
        """Write ``event``, unless it is one for -vv only."""
        if self._verbosity < 2 and event.get("log_level") is LogLevel.debug:
            return
        forJournal = self._file.isJournal
        line = formatLine(event, self._verbosity >= 2, timestamp=not forJournal)
        if forJournal:
            prefix = f"<{_PRIORITIES.get(event.get('log_level'), 6)}>"
            line = prefix + line.replace("\n", "\n" + prefix)
        self._file.write(line)


def formatLine(event: LogEvent, tracebacks: bool, timestamp: bool = True) -> str:
    """Return the line that says what happened.

    :param tracebacks: whether failures that are not critical show theirs.
    :param timestamp: whether it says when.
    """
    line = eventAsText(event, includeTraceback=False, includeTimestamp=timestamp)
    failure = event.get("log_failure")
    if failure is None:
        return shownText(line)
    line = shownText(f"{line} {failure.type.__name__}: {failure.getErrorMessage()}")
    if tracebacks or event.get("log_level") is LogLevel.critical:
        for row in failure.getTraceback().splitlines():
            line += "\n\t" + shownText(row)
    return line


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
