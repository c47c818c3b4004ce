"""Delayed messages come when they are due, whatever happens meanwhile."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.stateful import precondition, rule
from twisted.trial.unittest import SynchronousTestCase

from memq.catalog import Catalog
from memq.delays import NEVER, Delays, dueOf, firstAt, freeNumber, lastAt
from memq.keys import KEY
from memq.memory import MemoryStore
from memq.test.delaytests import DelayMachine
from memq.test.storetests import dump, machineTest
from memq.test.test_bdb import BDBTestCase, crashed, runMachine, storeAt
from memq.test.test_rotation import make

if TYPE_CHECKING:
    from collections.abc import Callable


class NumberTests(SynchronousTestCase):
    """The numbers of delayed messages."""

    @given(some.integers(0, 2**47 - 1))
    def test_times(self, due: int) -> None:
        """A number is of its time, and in a u64."""
        for number in (firstAt(due), lastAt(due)):
            self.assertEqual(dueOf(number), due)
            self.assertLess(number, NEVER)

    @settings(deadline=None, max_examples=30)
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

    def test_gone(self) -> None:
        """A queue that is gone, or has a new id, is passed over."""
        catalog = Catalog()
        delays = Delays(catalog)
        for number, name in enumerate((b"gone", b"new", b"kept")):
            delays.add(catalog.forDelay(name), firstAt(number))
        catalog.remove(b"gone")
        catalog.empty(b"new")
        catalog.forDelay(b"new")
        self.assertEqual(delays.next(), 0)
        self.assertEqual(delays.take(lastAt(9)), (catalog.queues[b"kept"], firstAt(2)))
        self.assertIsNone(delays.take(lastAt(9)))
        self.assertIsNone(delays.next())

    def test_lower(self) -> None:
        """The lowest number of a queue counts, and comes once."""
        catalog = Catalog()
        delays = Delays(catalog)
        queue = catalog.forDelay(b"q")
        for number in (7, 5, 6):
            delays.add(queue, number)
        self.assertIsNone(delays.take(4))
        self.assertEqual(delays.take(5), (queue, 5))
        self.assertIsNone(delays.take(lastAt(9)))
        delays.rollBack()
        self.assertEqual(delays.first(), 5)
        delays.clear()
        self.assertIsNone(delays.next())


class MemoryModelTests(machineTest(MemoryStore, DelayMachine)):  # type: ignore[misc]
    """Any sequence of transactions with delayed messages."""


class DiskMachine(DelayMachine):
    """The machine that also restarts, crashes, and moves from file to file."""

    #: Names a directory.
    mktemp: Callable[[], str]

    @precondition(lambda self: not self.open)
    @rule()
    def restart(self) -> None:
        """Close and open again."""
        path = self.store._home.path
        self.store.close()
        self.store._home.release()
        self.store = storeAt(path)
        self.store.open()

    @rule()
    def crash(self) -> None:
        """Go on with what a kill after a flush leaves."""
        self.store.flush()
        old, self.store = self.store, crashed(self.store, type(self).mktemp())
        old.abort()
        old.close()
        old._home.release()
        self.open = False

    @precondition(lambda self: not self.open)
    @rule()
    def rotate(self) -> None:
        """Begin a move, or go on with it."""
        make(self.store)
        self.store.sweep(1)

    def teardown(self) -> None:
        """Let go of the home, too."""
        super().teardown()
        self.store._home.release()


class DiskModelTests(SynchronousTestCase):
    """Any sequence of transactions, moves, restarts and crashes."""

    def test_machine(self) -> None:
        """Messages ripen in their order, whatever happens in between."""
        runMachine(self, DiskMachine)


WAITING = """q 2/0
  0 0 b'10'
  1 0 b'20'
r 0/0
  later q 0 b'30'"""


class DiskTests(BDBTestCase):
    """What is on the disk of delayed messages."""

    def test_restart(self) -> None:
        """Rows and delayed messages outlive a restart, in their order."""
        store: Any = self.openStore()
        store.begin()
        for due in (30, 10, 20):
            store.pushDelayed(b"q", 0, b"%d" % due, due)
        store.setLimit(b"r", 7)
        store.setPaused(b"r", 2)
        store.countExpired(b"q", 3)
        store.commit()
        before = list(store.details())
        store = self.reopened(store)
        self.assertEqual(list(store.details()), before)
        self.assertEqual(store.nextDue(), 10)
        store.begin()
        self.assertEqual(store.ripen(25, 9), [b"q", b"q"])
        store.commit()
        self.assertEqual(dump(store), WAITING)
        store.flush()
        self.assertEqual(self.crashed(store).nextDue(), 30)

    def test_lost(self) -> None:
        """Delayed messages that are not there are waited for no longer."""
        store: Any = self.openStore()
        store.begin()
        store.pushDelayed(b"q", 0, b"x", 10)
        store.commit()
        id = store._catalog.queues[b"q"].rest.delayId
        store._messages.delete(KEY.pack(id, firstAt(10)))
        store = self.reopened(store)
        self.assertEqual(store.nextDue(), 0)
        store.begin()
        self.assertEqual(store.ripen(20, 5), [])
        store.commit()
        self.assertIsNone(store.nextDue())
        (detail,) = store.details()
        self.assertEqual(detail.delayed, 0)
