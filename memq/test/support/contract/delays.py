"""The contract of a store: messages that are kept until a time."""

from __future__ import annotations

from memq.test.support.contract.base import StoreContract
from memq.test.support.contract.figures import NOTHING
from memq.test.support.homes import dump


class DelaysContract(StoreContract):
    """How delayed messages become ready, in which order, and what discards them."""

    def test_delayed(self) -> None:
        """A delayed message is not seen, and not counted, before it is due."""
        self.delay(b"q", 50, b"later")
        self.assertHolds("q 0/0\n  later q 7 b'later'")
        self.assertEqual(self.detail(), NOTHING._replace(delayed=1))
        self.assertEqual(self.store.nextDue(), 50)
        self.assertEqual(self.promoteDue(49), [])
        self.assertEqual(self.store.nextDue(), 50)
        self.push(b"q", b"now")
        self.assertEqual(self.promoteDue(50), [b"q"])
        self.assertIsNone(self.store.nextDue())
        self.assertHolds("q 2/0\n  0 0 b'now'\n  1 7 b'later'")
        self.assertEqual(self.detail(), NOTHING._replace(items=2, bytes=8, pushed=2))

    def test_delayedWhole(self) -> None:
        """A due message has the flags, the time and the rest that it came with."""
        large = self.upload(b"one", b"two")
        with self.done() as store:
            store.pushDelayed(b"q", 5, large, 60, expires=90)
            store.pushDelayed(b"q", 6, b"small", 50, expires=80)
            store.push(b"q", 0, b"")
        now = self.q.pop().time
        self.sweepAll()
        self.assertEqual(self.promoteDue(60), [b"q", b"q"])
        found = [self.q.pop() for _ in range(2)]
        self.assertEqual(
            [(m.flags, m.body, m.large, m.time, m.expires) for m in found],
            [(6, b"small", None, now, 80), (5, b"", large, now, 90)],
        )
        self.assertEqual(self.parts(large), [b"one", b"two"])

    def test_dueOrder(self) -> None:
        """Messages are due in the order of their times, then in that of the pushes."""
        self.delay(b"a", 30, b"4", b"5")
        self.delay(b"b", 15, b"2")
        self.delay(b"a", 10, b"1")
        self.delay(b"b", 40, b"6")
        self.delay(b"a", 20, b"3")
        self.assertEqual(self.promoteDue(35, 2), [b"a", b"b"])
        self.assertEqual(self.store.nextDue(), 20)
        self.assertEqual(self.promoteDue(35), [b"a", b"a", b"a"])
        self.assertEqual(self.store.nextDue(), 40)
        self.assertEqual(self.promoteDue(40), [b"b"])
        self.assertEqual(self.bodies(b"a"), [b"1", b"3", b"4", b"5"])
        self.assertEqual(self.bodies(b"b"), [b"2", b"6"])

    def test_sameTime(self) -> None:
        """Those of one time keep their order, even when some of them are ready."""
        self.delay(b"q", 10, b"1", b"2", b"3")
        self.assertEqual(self.promoteDue(10, 2), [b"q", b"q"])
        self.delay(b"q", 10, b"4")
        self.delay(b"q", 11, b"5")
        self.delay(b"q", 10, b"6")
        self.promoteDue(11)
        self.assertEqual(self.bodies(b"q"), [b"1", b"2", b"3", b"4", b"6", b"5"])

    def test_promotionUndone(self) -> None:
        """An undone promotion is done again as if it were the first time."""
        self.delay(b"q", 10, b"1", b"2")
        both = dump(self.store)
        for _ in range(2):
            with self.undone() as store:
                store.pushDelayed(b"new", 0, b"x", 5)
                self.assertEqual(store.promoteDue(10, 2), [b"new", b"q"])
                store.delete(b"q")
            self.assertEqual(self.detail(), NOTHING._replace(delayed=2))
            self.assertHolds(both)
        self.assertEqual(self.settle(), 10)
        self.assertEqual(self.bodies(b"q"), [b"1", b"2"])

    def test_idAgain(self) -> None:
        """An id that was given back by an abort is another queue's without harm."""
        with self.undone() as store:
            store.pushDelayed(b"r", 0, b"x", 5)
        self.delay(b"q", 10, b"y")
        self.assertEqual(self.settle(), 10)
        self.assertEqual(self.bodies(b"q"), [b"y"])

    def test_discardDelayed(self) -> None:
        """Delayed messages go with their queue, whether it is deleted or emptied."""
        self.delay(b"q", 10, b"1")
        self.delay(b"r", 10, b"2")
        self.push(b"r", b"3")
        self.assertTrue(self.q.delete())
        self.assertEqual(self.r.empty(), 2)
        self.sweepAll()
        self.assertIsNone(self.settle())
        self.assertHolds("r 1/1")
        self.delay(b"r", 10, b"4")
        self.assertEqual(self.promoteDue(10), [b"r"])
        self.assertEqual(self.bodies(b"r"), [b"4"])

    def test_discardOften(self) -> None:
        """However often that happens, nothing is left to be looked at."""
        for _ in range(200):
            self.delay(b"q", 10, b"1")
            self.q.empty()
        self.delay(b"q", 20, b"2")
        self.assertEqual(self.settle(), 20)
        self.assertLess(len(self.store.delays), 100)
