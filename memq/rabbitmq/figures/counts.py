"""Counts: what this process has done with messages since its start, queue by queue.

A cluster does not count for long, and other processes set and take as well.  So these
are the figures of one front end; those of all front ends add up.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from memq.figures import Outcome, Totals
from memq.rabbitmq.errors import ClusterFull, Disagreed, QueueGone, Unreachable, Unsure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memq.errors import QueueError

#: Queues whose counts are kept: 200 bytes each.
MOST = 100_000
#: What is counted of a queue; the first two names are those of Sums, too.
PUSHED, TAKEN, CLOSED, RETURNS = range(4)
#: Of one that has none.
_NONE = (0, 0, 0, 0)

#: Why a message is not told as stored, by the error's class; others are "error".
_WHY: dict[type[BaseException], str] = {
    Unsure: "unsure",
    Unreachable: "unreachable",
    ClusterFull: "blocked",
    QueueGone: "gone",
    Disagreed: "disagreed",
}


class Counts:
    """Counts.

    :ivar ever: what was counted of all queues, by PUSHED, TAKEN, CLOSED and RETURNS.
    :ivar outcomes: what became of open reads.
    :ivar failed: sets that the cluster did not take, or perhaps not, by the reason.
    :ivar failedGets: gets that ended with an error: each may have taken a message.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.ever = [0, 0, 0, 0]
        given = Outcome.ABORTED, Outcome.DISCONNECTED, Outcome.TIMED_OUT
        self.outcomes: dict[Outcome, int] = dict.fromkeys(given, 0)
        self.failed: Counter[str] = Counter(dict.fromkeys((*_WHY.values(), "error"), 0))
        self.failedGets = 0
        self._queues: dict[bytes, list[int]] = {}

    def add(self, what: int, queue: bytes, number: int = 1) -> None:
        """Count messages of a queue."""
        self.ever[what] += number
        counts = self._queues.get(queue)
        if counts is None:
            if len(self._queues) >= MOST:
                self._queues.clear()
            counts = self._queues[queue] = [0, 0, 0, 0]
        counts[what] += number

    def noteFailed(self, error: QueueError) -> None:
        """Count a set of which it was not told that it is stored."""
        self.failed[_WHY.get(type(error), "error")] += 1

    def noteFailedGet(self) -> None:
        """Count a get that was answered with an error."""
        self.failedGets += 1

    def noteOutcome(self, outcome: Outcome, number: int = 1) -> None:
        """Count what became of open reads; the cluster counts the rest."""
        if outcome in self.outcomes:
            self.outcomes[outcome] += number

    def of(self, queue: bytes) -> tuple[int, ...]:
        """Return what is counted of a queue."""
        return tuple(self._queues.get(queue, _NONE))

    def forget(self, queue: bytes) -> None:
        """Note that a queue was deleted: the next one of its name is another one."""
        self._queues.pop(queue, None)

    def gone(self, queues: Iterable[bytes]) -> Totals:
        """Return what was counted of all queues but some."""
        left = list(self.ever)
        for queue in queues:
            for what, number in enumerate(self._queues.get(queue, ())):
                left[what] -= number
        pushed, taken, closed, returns = left
        return Totals(pushed, taken, closed, returns=returns)
