"""Progress of a long piece of work: at most one line in an interval."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from memq.storage.datadir.sizing import MEGABYTE

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds between two lines.
INTERVAL = 1.0


def megabytes(size: int) -> str:
    """Return a number of bytes as a person reads it."""
    return f"{size / MEGABYTE:.1f} MB"


class Progress:
    """Tell what was done so far."""

    def __init__(
        self,
        write: Callable[[str], object],
        seconds: Callable[[], float] = monotonic,
        interval: float = INTERVAL,
    ) -> None:
        """Begin to count the seconds.

        :param write: takes a line, without its end.
        :param seconds: a clock that never goes back.
        :param interval: seconds between two lines.
        """
        self.tell = write
        self._seconds = seconds
        self._interval = interval
        self._nextAt = seconds() + interval

    def reach(self, line: Callable[[], str]) -> bool:
        """Tell a line if the last one of these was an interval ago.

        :return: whether it was.
        """
        now = self._seconds()
        if now < self._nextAt:
            return False
        self._nextAt = now + self._interval
        self.tell(line())
        return True
