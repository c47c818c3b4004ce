"""Delayed messages: the order in which they are due, and which queue has the next one.

A message that is not to be seen yet stands beside its queue, under an id of the
queue's own for that, in the order of their times: the upper bits of its number are the
time when it is due, the lower ones tell those of the same millisecond apart.  When it
is due, it moves to the end of the queue, as if it were pushed then; it is *ripe*.

Which queue is next is known by a heap with one entry for each queue that has delayed
messages: a number that none of them is below.  That may be lower than the first one, as
when a transaction was undone; who looks there finds the first one and notes it.

This module does no I/O.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from memq.storage.row import Queue
    from memq.storage.undo import UndoLog

#: Bits of a delayed message's number that tell those of one millisecond apart.
_BITS = 16
_LAST = (1 << _BITS) - 1
#: A number that no other one is above.
NEVER = (1 << 64) - 1


def firstAt(due: int) -> int:
    """Return the first number of a time."""
    return due << _BITS


def lastAt(due: int) -> int:
    """Return the last number of a time."""
    return due << _BITS | _LAST


def dueOf(sequence: int) -> int:
    """Return the time that a number is of."""
    return sequence >> _BITS


def freeNumber(due: int, highest: Callable[[int], int]) -> int:
    """Return a number behind all that are due at the same time.

    :param due: milliseconds since 1970-01-01 UTC; it is one more, or some, if there
        are 65536 of that time already.
    :param highest: tells the highest number that is in use up to one, or -1.
    """
    while True:
        found = highest(lastAt(due))
        if found < firstAt(due):
            return firstAt(due)
        if found < lastAt(due):
            return found + 1
        due += 1


#: Whose messages they are: the id that they are under, and the name of the queue.  An
#: id alone may belong to another queue when the transaction that gave it was undone.
_Whose = tuple[int, bytes]
#: A number that none of them is below, and whose they are.
_Entry = tuple[int, _Whose]


class Delays:
    """Which queue has the message that is due first."""

    def __init__(self, queues: Mapping[bytes, Queue], undo: UndoLog) -> None:
        """Know of no delayed message.

        :param queues: those that there are, always the same object.
        """
        self._queues = queues
        self._undo = undo
        self._heap: list[_Entry] = []
        #: The entries of the heap that count.
        self._entries: dict[_Whose, _Entry] = {}

    def __len__(self) -> int:
        """Return how many entries are held, those that do not count any more too."""
        return len(self._heap)

    def clear(self) -> None:
        """Know of none any more."""
        self._heap.clear()
        self._entries.clear()

    def add(self, queue: Queue, sequence: int) -> None:
        """Note a delayed message of a queue."""
        self._add((sequence, (queue.rest.delayId, queue.name)))

    def _add(self, entry: _Entry) -> None:
        there = self._entries.get(entry[1])
        if there is None or entry < there:
            self._entries[entry[1]] = entry
            heappush(self._heap, entry)

    def forget(self, queue: Queue) -> None:
        """Forget those of a queue, which are discarded."""
        entry = self._entries.pop((queue.rest.delayId, queue.name), None)
        if entry is not None:
            self._undo.add((self._add, entry))
        if len(self._heap) > 2 * len(self._entries) + 64:
            self._heap = list(self._entries.values())
            heapify(self._heap)

    def first(self) -> int:
        """Return a number that no delayed message is below, or NEVER."""
        heap, entries = self._heap, self._entries
        while heap and entries.get(heap[0][1]) != heap[0]:
            heappop(heap)
        return heap[0][0] if heap else NEVER

    def next(self) -> int | None:
        """Return when the next message is due, None when none is delayed."""
        number = self.first()
        return None if number == NEVER else dueOf(number)

    def take(self, last: int) -> tuple[Queue, int] | None:
        """Return a queue that may have delayed messages up to a number, or None.

        It is not returned again before :meth:`add`.

        :return: also the number from which on to look for them.
        """
        while self.first() <= last:
            entry = heappop(self._heap)
            number, whose = entry
            del self._entries[whose]
            self._undo.add((self._add, entry))
            id, name = whose
            queue = self._queues.get(name)
            if queue is not None and queue.rest.delayId == id:
                return queue, number
        return None

    def promote(
        self,
        prepare: Callable[[bytes], object],
        move: Callable[[Queue, int, int, int], tuple[int, int | None]],
        last: int,
        limit: int,
    ) -> list[bytes]:
        """Move messages up to a number to their queues, in the order of all numbers.

        :param prepare: is told the name of a queue that is about to change.
        :param move: moves messages of a queue to its end, from a number that none is
            below up to a last one, and at most so many; returns how many there were,
            and the number of the first one left, None if none is.
        """
        promoted: list[bytes] = []
        while len(promoted) < limit and (found := self.take(last)) is not None:
            queue, first = found
            prepare(queue.name)
            # Those of another queue may come before the rest of this one's.
            before = min(last, self.first())
            count, left = move(queue, first, before, limit - len(promoted))
            promoted += [queue.name] * count
            if left is not None:
                self.add(queue, left)
        return promoted
