"""Sums: what queues have together, and what was counted since the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.figures import Outcome, Sums, Totals
from memq.storage.row import NO_REST

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memq.storage.row import Queue
    from memq.storage.undo import UndoLog


def addUp(queues: Iterable[Queue]) -> Sums:
    """Return what queues have together."""
    pushed = taken = size = expired = discarded = openReads = delayed = 0
    for queue in queues:
        pushed += queue.pushed
        taken += queue.taken
        size += queue.bytes
        if queue.reads is not None:
            openReads += len(queue.reads.hidden)
        rest = queue.rest
        if rest is not NO_REST:
            expired += rest.expired
            discarded += rest.discarded
            delayed += rest.delayed
    messages = pushed - taken
    return Sums(
        *(messages, size, expired, discarded), *(openReads, delayed, pushed, taken)
    )


class Gone:
    """What deleted queues have counted, less what all had counted at the start.

    With what those count that there are, it is what was counted since the start.
    """

    def __init__(self) -> None:
        self._totals = Totals()

    def restart(self, queues: Iterable[Queue]) -> None:
        """Begin with the queues of a store that is opened."""
        pushed = taken = closed = expired = discarded = returns = 0
        # There may be a million.
        for queue in queues:
            pushed -= queue.pushed
            taken -= queue.taken
            closed -= queue.closed
            rest = queue.rest
            expired -= rest.expired
            discarded -= rest.discarded
            returns -= rest.returns
        self._totals = Totals(pushed, taken, closed, expired, discarded, returns)

    def count(self, queue: Queue) -> None:
        """Add what a queue has counted, whose deletion is committed."""
        there, rest = self._totals, queue.rest
        self._totals = Totals(
            there.pushed + queue.pushed,
            there.taken + queue.taken,
            there.closed + queue.closed,
            there.expired + rest.expired,
            there.discarded + rest.discarded,
            there.returns + rest.returns,
        )

    def leaveOut(self, queue: Queue) -> None:
        """Leave out what a queue had counted when it came from elsewhere."""
        there = self._totals
        self._totals = there._replace(
            pushed=there.pushed - queue.pushed, taken=there.taken - queue.taken
        )

    def totals(self) -> Totals:
        """Return the sums."""
        return self._totals


class Outcomes:
    """What became of messages since the start, as far as that is committed."""

    def __init__(self, undo: UndoLog) -> None:
        """Begin with nothing."""
        self._undo = undo
        self._counts = dict.fromkeys(Outcome, 0)

    def count(self, outcome: Outcome, number: int = 1) -> None:
        """Count messages, in the transaction under way."""
        self._counts[outcome] += number
        self._undo.add((self._uncount, outcome, number))

    def _uncount(self, outcome: Outcome, number: int) -> None:
        self._counts[outcome] -= number

    def told(self) -> dict[Outcome, int]:
        """Return the counts."""
        return dict(self._counts)
