"""What a long command tells of itself: a line about once a second."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds between two lines.
INTERVAL = 1.0


def megabytes(size: int) -> str:
    """Return a number of bytes as a person reads it."""
    return f"{size / 1e6:.1f} MB"


class Progress:
    """Tell what was done so far."""

    def __init__(
        self,
        write: Callable[[str], object],
        seconds: Callable[[], float] = monotonic,
    ) -> None:
        """Begin to count the seconds.

        :param write: takes a line, without its end.
        :param seconds: a clock that never goes back.
        """
        self.tell = write
        self._seconds = seconds
        self._nextAt = seconds() + INTERVAL

    def reach(self, line: Callable[[], str]) -> None:
        """Tell a line if the last one of these was a second ago."""
        now = self._seconds()
        if now >= self._nextAt:
            self._nextAt = now + INTERVAL
            self.tell(line())
