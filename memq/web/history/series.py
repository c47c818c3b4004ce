"""Series: samples of some figures at equal intervals, in memory of a fixed size.

A figure is a *level*, which is kept as it was, or a *counter*, of which is kept by how
much it grew in a second.
"""

from __future__ import annotations

from array import array
from itertools import chain, repeat
from math import isnan, nan
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Seconds between two samples, and how many there are: ten minutes.
STEP = 5.0
SAMPLES = 120


class Series:
    """The samples of some figures, the oldest of which the next one replaces."""

    __slots__ = ("_before", "_columns", "_place", "counters", "levels")

    def __init__(self, levels: Sequence[str], counters: Sequence[str]) -> None:
        """Begin with none.

        :param levels: their names.
        :param counters: the names of what is told of them.
        """
        self.levels = levels
        self.counters = counters
        count = len(levels) + len(counters)
        self._columns = [array("d", repeat(nan, SAMPLES)) for _ in range(count)]
        #: Where the next sample goes, which is the oldest one.
        self._place = 0
        #: When the last sample was taken, and its counters; None when none is known.
        self._before: tuple[float, Sequence[int]] | None = None

    def add(self, now: float, levels: Sequence[float], counts: Sequence[int]) -> None:
        """Add a sample.

        :param now: when it is, in seconds.
        :param levels: in the order of their names, as ``counts``.
        """
        rates: Sequence[float] = [nan] * len(counts)
        if self._before is not None:
            then, before = self._before
            # What fell is of another queue of that name, or was put back.
            rates = [
                max(0, count - old) / (now - then)
                for count, old in zip(counts, before, strict=True)
            ]
        self._before = now, counts
        self._put(chain(levels, rates))

    def miss(self) -> None:
        """Add a sample that is not known."""
        self._before = None
        self._put(repeat(nan))

    def _put(self, values: Any) -> None:
        for column, value in zip(self._columns, values, strict=False):
            column[self._place] = value
        self._place = (self._place + 1) % SAMPLES

    def told(self) -> dict[str, list[float | None]]:
        """Return all samples of each figure, the oldest first; None for unknown."""
        place, names = self._place, chain(self.levels, self.counters)
        return {
            name: [_told(value) for value in column[place:] + column[:place]]
            for name, column in zip(names, self._columns, strict=True)
        }


def _told(value: float) -> float | None:
    """Return a figure as JSON has it: a whole number without a point."""
    if isnan(value):
        return None
    return int(value) if value.is_integer() else round(value, 3)
