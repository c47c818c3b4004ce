"""Rate limit of log lines: the first of a kind, and then one a minute.

No I/O, no state, no Twisted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds between two lines of the log that tell of things of a kind.
LOG_INTERVAL = 60.0


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
