"""Delayed messages come when they are due, whatever happens meanwhile."""

from __future__ import annotations

from bisect import bisect_right

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from memq.storage.delays import NEVER, Delays, dueOf, firstAt, freeNumber, lastAt
from memq.storage.index import QueueIndex
from memq.storage.undo import UndoLog


class NumberTests(SynchronousTestCase):
    """The numbers of delayed messages."""

    @given(some.integers(0, 2**47 - 1))
    def test_times(self, due: int) -> None:
        """A number is of its time, and in a u64."""
        for number in (firstAt(due), lastAt(due)):
            self.assertEqual(dueOf(number), due)
            self.assertLess(number, NEVER)

    @settings(max_examples=30)
    @given(
        some.lists(
            some.tuples(some.integers(0, 3), some.sampled_from([1, 65534, 65536])),
            max_size=5,
        ),
        some.integers(0, 3),
    )
    def test_free(self, full: list[tuple[int, int]], due: int) -> None:
        """A new one is free, behind all of its time, and as near to it as can be."""
        used = {firstAt(time) + n for time, count in full for n in range(count)}
        numbers = sorted(used)

        def highest(most: int) -> int:
            place = bisect_right(numbers, most)
            return numbers[place - 1] if place else -1

        found = freeNumber(due, highest)
        self.assertNotIn(found, used)
        self.assertLessEqual({*range(firstAt(due), found)}, used)


class HeapTests(SynchronousTestCase):
    """Which queue is next."""

    def setUp(self) -> None:
        """Begin with no queue."""
        self.undo = UndoLog()
        self.index = QueueIndex(self.undo)
        self.delays = Delays(self.index.queues, self.undo)

    def test_gone(self) -> None:
        """A queue that is gone, or has a new id, is passed over."""
        index, delays = self.index, self.delays
        for number, name in enumerate((b"gone", b"new", b"kept")):
            delays.add(index.forDelay(name), firstAt(number))
        index.remove(b"gone")
        index.empty(b"new")
        index.forDelay(b"new")
        self.assertEqual(delays.next(), 0)
        self.assertEqual(delays.take(lastAt(9)), (index.queues[b"kept"], firstAt(2)))
        self.assertIsNone(delays.take(lastAt(9)))
        self.assertIsNone(delays.next())

    def test_lower(self) -> None:
        """The lowest number of a queue counts, and comes once."""
        index, delays = self.index, self.delays
        queue = index.forDelay(b"q")
        for number in (7, 5, 6):
            delays.add(queue, number)
        self.assertIsNone(delays.take(4))
        self.assertEqual(delays.take(5), (queue, 5))
        self.assertIsNone(delays.take(lastAt(9)))
        self.undo.rollBack()
        self.assertEqual(delays.first(), 5)
        delays.clear()
        self.assertIsNone(delays.next())
