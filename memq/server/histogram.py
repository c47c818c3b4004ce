"""Histogram: how long something took, counted in classes of seconds.

The classes are those of the metric ``memq_sync_duration_seconds``.
"""

from __future__ import annotations

from bisect import bisect_left

#: The upper bound of each class but the last, which has none; in seconds.
BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Histogram:
    """Count durations.

    :ivar counts: how many there were in each class, one more than BOUNDS.
    :ivar sum: seconds of them all.
    """

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0

    def note(self, seconds: float) -> None:
        """Count one; from one thread at a time."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds
