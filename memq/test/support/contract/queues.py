"""The contract of a store: queues as a whole, deleted, emptied and swept."""

from __future__ import annotations

from memq.storage.packed import SMALL
from memq.test.support.contract.base import StoreContract

#: A body that shares no record.
LONG = bytes(SMALL + 1)


class QueuesContract(StoreContract):
    """How queues come and go, and how what was in them does."""

    def test_delete(self) -> None:
        """A deleted queue is gone at once; a push makes a new one."""
        self.push(b"q", b"1", b"2")
        self.assertTrue(self.q.delete())
        self.assertFalse(self.q.delete())
        self.assertHolds("")
        self.push(b"q", b"new")
        self.assertHolds("q 1/0\n  0 0 b'new'")

    def test_deleteWhatIsNew(self) -> None:
        """A queue can be made, deleted and made again in one transaction."""
        with self.done() as store:
            store.push(b"q", 0, b"1")
            self.assertTrue(store.delete(b"q"))
        self.assertHolds("")
        with self.done() as store:
            store.push(b"q", 0, b"1")
            store.delete(b"q")
            store.push(b"q", 0, b"2")
        self.assertHolds("q 1/0\n  0 0 b'2'")

    def test_empty(self) -> None:
        """An emptied queue stays, its messages counted as taken."""
        self.push(b"q", b"1", b"2", b"3")
        self.q.pop()
        self.assertEqual(self.q.empty(), 2)
        self.assertHolds("q 3/3")
        self.assertEqual((self.q.empty(), self.none.empty()), (0, 0))
        self.push(b"q", b"4")
        self.assertHolds("q 4/3\n  3 0 b'4'")

    def test_emptyWhileTaken(self) -> None:
        """A message taken before its queue was emptied, even the last, stays out."""
        for rest in ([], [b"2"]):
            self.push(b"q", b"1", *rest)
            message = self.q.pop()
            self.q.empty()
            self.assertFalse(self.q.putBack(message))
        self.assertHolds("q 3/3")

    def test_sweep(self) -> None:
        """Deleted messages are removed a slice at a time, others are not."""
        self.push(b"q", *[LONG] * 25)
        self.push(b"keep", b"k")
        self.push(b"r", b"y")
        with self.done() as store:
            store.delete(b"q")
            store.delete(b"r")
        slices = 0
        while self.store.hasGarbage():
            self.store.sweep(10)
            slices += 1
        self.assertGreaterEqual(slices, 3)
        self.assertHolds("keep 1/0\n  0 0 b'k'")

    def test_sweepLimit(self) -> None:
        """A slice of a sweep removes no more records than it is told."""
        self.push(b"q", *[LONG] * 4)
        self.q.delete()
        self.assertEqual([self.store.sweep(3), self.store.sweep(3)], [True, False])
        self.push(b"q", *[LONG] * 6)
        self.q.delete()
        self.assertTrue(self.store.sweep(3))
        while self.store.hasGarbage():
            self.store.sweep(3)
        self.assertFalse(self.store.sweep(3))

    def test_sweepOfNoMessages(self) -> None:
        """A deleted queue that was empty is swept like any other."""
        self.push(b"q", b"x")
        self.q.pop()
        self.q.delete()
        self.assertTrue(self.store.hasGarbage())
        self.assertFalse(self.store.sweep(1))

    def test_sweepOfWhatWasEmptied(self) -> None:
        """Messages of an emptied queue are swept, later ones are not."""
        self.push(b"q", b"1", b"2")
        self.q.empty()
        self.push(b"q", b"3")
        self.sweepAll()
        self.assertHolds("q 3/2\n  2 0 b'3'")

    def test_unsweptOnceCommitted(self) -> None:
        """Nothing of a deleted queue is removed before that is committed."""
        self.push(b"q", b"1")
        with self.undone() as store:
            store.delete(b"q")
            self.assertFalse(store.hasGarbage())
        self.push(b"q", b"2")
        self.assertFalse(self.store.hasGarbage())
        self.assertFalse(self.store.sweep(10))
        self.assertHolds("q 2/0\n  0 0 b'1'\n  1 0 b'2'")
        self.q.delete()
        self.assertTrue(self.store.hasGarbage())
        self.assertFalse(self.store.sweep(10))
        self.push(b"q", b"3")
        self.assertFalse(self.store.hasGarbage())

    def test_many(self) -> None:
        """There may be ten thousand queues."""
        with self.done() as store:
            for number in range(10_000):
                store.push(b"q%d" % number, 0, b"%d" % number)
        self.assertEqual(self.store.status()["queues"], 10_000)
        self.assertEqual(self.on(b"q7777").pop().body, b"7777")

    def test_queueNames(self) -> None:
        """The names of all queues are told."""
        self.assertEqual(self.store.names(), [])
        self.push(b"r", b"x")
        self.push(b"q", b"x")
        self.r.delete()
        self.push(b"s", b"x")
        self.assertEqual(sorted(self.store.names()), [b"q", b"s"])

    def test_idleSince(self) -> None:
        """An empty queue is idle since it was used last, one with messages is not."""
        idleSince = self.store.idleSince
        self.assertIsNone(idleSince(b"q"))
        self.push(b"q", b"x")
        self.assertIsNone(idleSince(b"q"))
        read = self.q.openRead()
        self.assertIsNone(idleSince(b"q"))
        self.q.closeRead(read)
        self.assertEqual(idleSince(b"q"), self.store.detail(b"q").lastUsed)
        self.q.pushDelayed(0, b"x", 5)
        self.assertIsNone(idleSince(b"q"))
