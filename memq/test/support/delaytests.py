"""More of the contract of IQueueStore: delays, expiry, and what rows say of queues."""

from __future__ import annotations

from functools import partial
from typing import Any

from memq.errors import DamagedMessage
from memq.interfaces import Kept, QueueDetail
from memq.test.support.homes import details, dump
from memq.test.support.storetests import StoreContract

#: Of what a queue has that nothing was done with.
NOTHING = QueueDetail(b"q", *[0] * 14)


class WholeContract(StoreContract):
    """What holds for every store, all of it; mixed into a test case."""

    def detail(self, queue: bytes = b"q") -> QueueDetail:
        """Return the details of a queue, without times."""
        found = self.store.detail(queue)
        detail: QueueDetail = found._replace(headTime=0, lastUsed=0)
        return detail

    def delay(self, queue: bytes, due: int, *bodies: bytes) -> None:
        """Keep messages until a time."""
        push = partial(self.store.pushDelayed, queue, 7)
        self.transact(lambda: [push(body, due) for body in bodies])

    def promoteDue(self, now: int, limit: int = 100) -> Any:
        """Append what is due, in a transaction."""
        return self.transact(lambda: self.store.promoteDue(now, limit))

    def settle(self) -> int | None:
        """Return when the next message is due, once nothing is told too early."""
        due: int | None = self.store.nextDue()
        while due is not None and not self.promoteDue(due):
            later = self.store.nextDue()
            assert later is None or later > due
            due = later
        return due

    def test_expires(self: Any) -> None:
        """A message carries when it expires, out and in again."""
        store = self.store
        large = self.upload(b"one", b"two")
        self.transact(lambda: store.push(b"q", 1, b"a", expires=5))
        self.transact(lambda: store.pushAll(b"q", [(2, b"b"), (3, b"")], expires=6))
        self.transact(lambda: store.pushLarge(b"q", 4, large, expires=7))
        self.push(b"q", b"c")
        messages = [self.pop(b"q") for _ in range(5)]
        found = [(m.flags, m.body, m.large, m.expires) for m in messages]
        self.assertEqual(
            found,
            [
                (1, b"a", None, 5),
                (2, b"b", None, 6),
                (3, b"", None, 6),
                (4, b"", large, 7),
                (0, b"c", None, 0),
            ],
        )
        for message in messages:
            self.transact(partial(store.putBack, b"q", message))
        self.assertEqual([self.pop(b"q") for _ in range(5)], messages)

    def test_bytes(self: Any) -> None:
        """The bytes of the bodies that wait are counted, wherever they are."""
        store = self.store
        self.push(b"q", b"12345", b"")
        self.transact(lambda: store.pushAll(b"q", [(0, b"678"), (0, b"9")], size=4))
        self.transact(lambda: store.push(b"q", 0, b"0", expires=5))
        self.pushLarge(b"q", b"one", b"three")
        self.assertEqual(self.detail().bytes, 18)
        for rest in (13, 13, 10, 9, 8, 0):
            message = self.pop(b"q")
            self.assertEqual(self.detail().bytes, rest)
            self.transact(partial(store.putBack, b"q", message))
            self.assertEqual(self.detail().bytes, rest + message.size)
            self.pop(b"q")
        self.push(b"q", b"x")
        self.transact(lambda: store.empty(b"q"))
        self.assertEqual(self.detail().bytes, 0)

    def test_bytesOfReads(self: Any) -> None:
        """Those of an open read count until it is closed."""
        store = self.store
        self.push(b"q", b"12345", b"678")
        large = self.pushLarge(b"q", b"one", b"three")
        first = self.transact(lambda: store.openRead(b"q"))
        second = self.transact(lambda: store.openRead(b"q"))
        self.assertEqual(self.detail()[1:4], (1, 16, 2))
        self.transact(lambda: store.abortRead(b"q", second, True))
        self.assertEqual(self.detail()[1:4], (2, 16, 1))
        self.transact(lambda: store.closeRead(b"q", first))
        self.assertEqual(self.detail()[1:4], (2, 11, 0))
        self.transact(lambda: store.openRead(b"q"))
        self.assertEqual(self.pop(b"q").large, large)
        self.assertEqual(self.detail()[1:4], (0, 3, 1))
        detail = self.detail()
        self.assertEqual((detail.closed, detail.returns, detail.taken), (1, 1, 2))

    def test_delayed(self: Any) -> None:
        """A delayed message is not seen, and not counted, before it is ripe."""
        self.delay(b"q", 50, b"later")
        self.assertEqual(dump(self.store), "q 0/0\n  later q 7 b'later'")
        self.assertEqual(self.detail(), NOTHING._replace(delayed=1))
        self.assertEqual(self.store.nextDue(), 50)
        self.assertEqual(self.promoteDue(49), [])
        self.assertEqual(self.store.nextDue(), 50)
        self.push(b"q", b"now")
        self.assertEqual(self.promoteDue(50), [b"q"])
        self.assertIsNone(self.store.nextDue())
        self.assertEqual(dump(self.store), "q 2/0\n  0 0 b'now'\n  1 7 b'later'")
        self.assertEqual(self.detail(), NOTHING._replace(items=2, bytes=8, pushed=2))

    def test_delayedWhole(self: Any) -> None:
        """What is ripe has the flags, the time and the rest that it came with."""
        store = self.store
        large = self.upload(b"one", b"two")
        store.begin()
        store.pushDelayed(b"q", 5, large, 60, expires=90)
        store.pushDelayed(b"q", 6, b"small", 50, expires=80)
        store.push(b"q", 0, b"")
        store.commit()
        now = self.pop(b"q").time
        self.sweepAll()
        self.assertEqual(self.promoteDue(60), [b"q", b"q"])
        found = [self.pop(b"q") for _ in range(2)]
        self.assertEqual(
            [(m.flags, m.body, m.large, m.time, m.expires) for m in found],
            [(6, b"small", None, now, 80), (5, b"", large, now, 90)],
        )
        self.assertEqual(store.part(large.id, 1), b"two")

    def test_dueOrder(self: Any) -> None:
        """Messages ripen in the order of their times, then in that of the pushes."""
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

    def test_sameTime(self: Any) -> None:
        """Those of one time keep their order, even when some of them are ripe."""
        self.delay(b"q", 10, b"1", b"2", b"3")
        self.assertEqual(self.promoteDue(10, 2), [b"q", b"q"])
        self.delay(b"q", 10, b"4")
        self.delay(b"q", 11, b"5")
        self.delay(b"q", 10, b"6")
        self.promoteDue(11)
        self.assertEqual(self.bodies(b"q"), [b"1", b"2", b"3", b"4", b"6", b"5"])

    def test_ripenUndone(self: Any) -> None:
        """What is undone of all that is done again as if it were the first time."""
        self.delay(b"q", 10, b"1", b"2")
        both = dump(self.store)
        for _ in range(2):
            self.store.begin()
            self.store.pushDelayed(b"new", 0, b"x", 5)
            self.assertEqual(self.store.promoteDue(10, 2), [b"new", b"q"])
            self.store.delete(b"q")
            self.store.abort()
            self.assertEqual(self.detail(), NOTHING._replace(delayed=2))
            self.assertEqual(dump(self.store), both)
        self.assertEqual(self.settle(), 10)
        self.assertEqual(self.bodies(b"q"), [b"1", b"2"])

    def test_idAgain(self: Any) -> None:
        """An id that was given back by an abort is another queue's without harm."""
        self.store.begin()
        self.store.pushDelayed(b"a", 0, b"x", 5)
        self.store.abort()
        self.delay(b"b", 10, b"y")
        self.assertEqual(self.settle(), 10)
        self.assertEqual(self.bodies(b"b"), [b"y"])

    def test_discardDelayed(self: Any) -> None:
        """Delayed messages go with their queue, whether it is deleted or emptied."""
        self.delay(b"q", 10, b"1")
        self.delay(b"r", 10, b"2")
        self.push(b"r", b"3")
        self.assertTrue(self.transact(lambda: self.store.delete(b"q")))
        self.assertEqual(self.transact(lambda: self.store.empty(b"r")), 2)
        self.sweepAll()
        self.assertIsNone(self.settle())
        self.assertEqual(dump(self.store), "r 1/1")
        self.delay(b"r", 10, b"4")
        self.assertEqual(self.promoteDue(10), [b"r"])
        self.assertEqual(self.bodies(b"r"), [b"4"])

    def test_discardOften(self: Any) -> None:
        """However often that happens, nothing is left to be looked at."""
        for _ in range(200):
            self.delay(b"q", 10, b"1")
            self.transact(lambda: self.store.empty(b"q"))
        self.delay(b"q", 20, b"2")
        self.assertEqual(self.settle(), 20)
        self.assertLess(len(self.store.delays), 100)

    def test_discardDelayedParts(self: Any) -> None:
        """So do their parts."""
        large = self.upload(b"one")
        self.transact(lambda: self.store.pushDelayed(b"q", 0, large, 10))
        self.transact(lambda: self.store.delete(b"q"))
        self.sweepAll()
        self.assertRaises(DamagedMessage, self.store.part, large.id, 0)

    def test_limit(self: Any) -> None:
        """A queue can be made with a limit, which it keeps."""
        set_ = self.store.setLimit
        self.assertTrue(self.transact(lambda: set_(b"q", 5)))
        self.assertFalse(self.transact(lambda: set_(b"q", 6)))
        self.assertEqual(self.detail(), NOTHING._replace(limit=5))
        self.push(b"q", b"x")
        self.transact(lambda: self.store.empty(b"q"))
        self.assertEqual(self.detail().limit, 5)
        self.transact(lambda: self.store.delete(b"q"))
        self.assertTrue(self.transact(lambda: set_(b"q", 0)))
        self.assertEqual(self.detail(), NOTHING)

    def test_oneDetail(self: Any) -> None:
        """A queue's details are told by its name; None if there is no such queue."""
        self.push(b"q", b"abc")
        self.push(b"r", b"x")
        detail = self.store.detail
        names = [detail(name).name for name in (b"q", b"r")]
        self.assertEqual(names, [b"q", b"r"])
        self.assertIsNone(detail(b"none"))

    def test_paused(self: Any) -> None:
        """What is paused is kept, even of a queue that was not there."""
        pause = self.store.setPaused
        self.assertFalse(self.transact(lambda: pause(b"q", 0)))
        self.assertEqual(dump(self.store), "")
        for bits in (3, 1, 0):
            self.assertTrue(self.transact(lambda bits=bits: pause(b"q", bits)))
            self.assertEqual(self.detail(), NOTHING._replace(paused=bits))
        self.transact(lambda: self.store.delete(b"q"))
        self.assertEqual(dump(self.store), "")

    def test_kept(self: Any) -> None:
        """What a queue keeps is told: delayed and open ones too, but not as ready."""
        store = self.store
        self.assertEqual(store.kept(b"q"), Kept(0, 0, 0, 0))
        self.push(b"q", b"12", b"345", b"6")
        self.delay(b"q", 50, b"12345", b"1234567")
        large = self.upload(b"one", b"three")
        self.transact(lambda: store.pushDelayed(b"q", 0, large, 40))
        self.assertEqual(store.kept(b"q"), Kept(6, 26, 3, 6))
        first = self.transact(lambda: store.openRead(b"q"))
        second = self.transact(lambda: store.openRead(b"q"))
        self.assertEqual(store.kept(b"q"), Kept(6, 26, 1, 1))
        self.promoteDue(50, 2)
        self.assertEqual(store.kept(b"q"), Kept(6, 26, 3, 14))
        self.transact(lambda: store.closeRead(b"q", first))
        self.transact(lambda: store.abortRead(b"q", second, False))
        self.assertEqual(store.kept(b"q"), Kept(5, 24, 4, 17))
        self.transact(lambda: store.openRead(b"q"))
        self.transact(lambda: store.empty(b"q"))
        self.assertEqual(store.kept(b"q"), Kept(0, 0, 0, 0))
        self.assertIsNone(self.settle())

    def test_settings(self: Any) -> None:
        """Limits and pauses are told, and whether any queue has some."""
        store = self.store
        self.push(b"q", b"x")
        self.assertEqual((store.settings(b"q"), store.hasSettings()), ((0, 0), False))
        self.transact(lambda: store.setLimit(b"l", 5))
        self.assertEqual((store.settings(b"l"), store.hasSettings()), ((5, 0), True))
        self.transact(lambda: store.delete(b"l"))
        self.assertEqual((store.settings(b"l"), store.hasSettings()), ((0, 0), False))
        self.transact(lambda: store.setPaused(b"q", 2))
        self.assertEqual((store.settings(b"q"), store.hasSettings()), ((0, 2), True))

    def test_expiredAndDiscarded(self: Any) -> None:
        """What expires and what is discarded is counted, where there is a queue."""
        store = self.store
        self.push(b"q", b"x")
        for name in (b"q", b"none"):
            self.transact(lambda name=name: store.countExpired(name, 2))
            self.transact(lambda name=name: store.countDiscarded(name, 3))
        detail = self.detail()
        self.assertEqual((detail.expired, detail.discarded), (2, 3))
        self.assertEqual(len(list(store.counts())), 1)
        store.begin()
        store.countExpired(b"q", 1)
        store.abort()
        self.assertEqual(self.detail(), detail)

    def test_times(self: Any) -> None:
        """Details tell when the head was set, and when the queue was used."""
        self.push(b"b", b"x")
        self.push(b"a", b"x")
        self.pop(b"a")
        a, b = details(self.store)
        self.assertEqual((a.name, a.headTime, b.name), (b"a", 0, b"b"))
        for detail in (a, b):
            self.assertIn(b.headTime // 1000 - detail.lastUsed, range(-60, 60))
