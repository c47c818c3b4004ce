"""Outputs: where the log and the audit go, and in which form.

The log may be twistd's, as with --syslog; the audit is in it all the same, and its file
is memq's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from memq.logs.audit import Audit, Target
from memq.logs.lines import LineObserver

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.logs.logfile import LogFile

_log = Logger()


class Outputs:
    """The files of a server's logs.

    :ivar observer: what writes the log; None when that is twistd's.
    """

    def __init__(
        self,
        log: LogFile | None,
        audit: LogFile | None = None,
        verbosity: int = 0,
        isJSON: bool = False,
    ) -> None:
        """Take the files.

        :param log: None when the log is twistd's.
        :param audit: of the audit alone; None for none.
        :param verbosity: how often -v was given.
        """
        self._log = log
        self._audit = audit
        self._isJSON = isJSON
        self.observer: LineObserver | None = None
        if log is not None:
            self.observer = LineObserver(log, verbosity, isJSON)
        elif isJSON:
            _log.warn("--log-format json: the log is twistd's, and its lines are text")

    def audit(self, seconds: Callable[[], float]) -> Audit:
        """Return the audit.

        :param seconds: returns the time, by a clock that is never set.
        """
        if self._audit is None:
            return Audit(seconds)
        write = LineObserver(self._audit, 0, self._isJSON).write
        return Audit(seconds, Target(self._audit.name, write))

    def reopen(self, why: str) -> None:
        """Go on in the files that have the paths now.

        :param why: what asked for it, for the log.
        """
        if self._log is None:
            _log.info(
                "{why}: the log is twistd's, there is nothing to open again", why=why
            )
        else:
            self._log.reopen(why, "the log file")
        if self._audit is not None:
            self._audit.reopen(why, "the audit's file")

    @property
    def areMoved(self) -> bool:
        """Whether the path of one leads to another file by now."""
        return any(
            each is not None and each.isMoved() for each in (self._log, self._audit)
        )
