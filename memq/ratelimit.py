"""Rate limit of lines: of log lines of a kind, and of those that tell of progress.

No I/O, no state, no Twisted.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds between two lines of the log that tell of things of a kind.
LOG_INTERVAL = 60.0
#: Seconds between two lines that tell how far a long piece of work is.
PROGRESS_INTERVAL = 1.0


class Rarely:
    """Count things by their kinds, which are few, and say when to log them."""

    __slots__ = ("_counts", "_loggedAt", "_seconds")

    def __init__(self, seconds: Callable[[], float]) -> None:
        """Begin with nothing.

        :param seconds: returns the time, by a clock that is never set.
        """
        self._seconds = seconds
        self._counts: dict[str, int] = {}
        self._loggedAt: dict[str, float] = {}

    def count(self, kind: str) -> int:
        """Count one; return how many to log now with it, or 0 to log nothing."""
        counted = self._counts.get(kind, 0) + 1
        now = self._seconds()
        loggedAt = self._loggedAt.get(kind)
        if loggedAt is not None and now - loggedAt < LOG_INTERVAL:
            self._counts[kind] = counted
            return 0
        self._loggedAt[kind] = now
        self._counts[kind] = 0
        return counted


class Progress:
    """Tell how far a long piece of work is, at most one line in an interval."""

    def __init__(
        self,
        tell: Callable[[str], object],
        seconds: Callable[[], float] = monotonic,
        interval: float = PROGRESS_INTERVAL,
    ) -> None:
        """Begin to count the seconds.

        :param tell: takes a line, without its end.
        :param seconds: a clock that never goes back.
        """
        self.tell = tell
        self._seconds = seconds
        self._interval = interval
        self._nextAt = seconds() + interval

    def reach(self, line: Callable[[], str]) -> bool:
        """Tell a line if the last one of these was an interval ago; say whether."""
        now = self._seconds()
        if now < self._nextAt:
            return False
        self._nextAt = now + self._interval
        self.tell(line())
        return True
