"""Histogram: how long something took, counted in classes of seconds.

To sort a duration into its class takes 1,400 instructions, and to keep it 100.  So they
are kept, and sorted some at a time, where nobody waits for that.
"""

from __future__ import annotations

from bisect import bisect_right

#: The upper bound of each class but the last, which has none; in seconds.
BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Histogram:
    """Count durations.

    :ivar note: keeps one, in seconds, from any thread; it is counted by ``sort``.
    :ivar counts: how many there were in each class, one more than BOUNDS.
    :ivar sum: seconds of them all.
    """

    def __init__(self) -> None:
        self._noted: list[float] = []
        self.note = self._noted.append
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0

    def sort(self) -> None:
        """Count what was noted; often enough, for it is in memory until then."""
        count = len(self._noted)
        taken = sorted(self._noted[:count])
        del self._noted[:count]
        self.sum += sum(taken)
        below = 0
        for number, bound in enumerate((*BOUNDS, float("inf"))):
            upTo = bisect_right(taken, bound)
            self.counts[number] += upTo - below
            below = upTo
