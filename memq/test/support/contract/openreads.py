"""The contract of a store: open reads, which hide messages and give them back."""

from __future__ import annotations

from memq.test.support.contract.base import StoreContract
from memq.test.support.homes import dump


class OpenReadsContract(StoreContract):
    """Open, close, abort, and all else beside them."""

    def test_openRead(self) -> None:
        """An open message is hidden from all others, and not taken."""
        self.push(b"q", b"0", b"1", b"2")
        self.assertEqual(self.q.openRead().body, b"0")
        self.assertEqual(self.q.peek().body, b"1")
        self.assertEqual(self.q.openRead().body, b"1")
        self.assertHolds("q 3/0\n  2 0 b'2'")
        self.assertEqual(self.store.status()["messages"], 3)
        self.assertEqual(self.bodies(b"q"), [b"2"])
        for look in (self.q.peek, self.q.openRead, self.q.pop):
            self.assertIsNone(look())
        self.assertEqual(self.q.popAll(5), [])

    def test_closeRead(self) -> None:
        """A read that is closed has taken its message, once."""
        self.push(b"q", b"0", b"1")
        message = self.q.openRead()
        self.assertTrue(self.q.closeRead(message))
        self.assertFalse(self.q.closeRead(message))
        self.assertFalse(self.q.abortRead(message, False))
        self.assertHolds("q 2/1\n  1 0 b'1'")

    def test_openAll(self) -> None:
        """Many are opened as one by one: in order, so many, or up to a size."""
        self.push(b"q", *[b"%d" % n for n in range(9)])
        self.store.begin()
        self.store.pushAll(b"q", [(7, b"%d" % n) for n in range(9, 20)])
        self.store.commit()
        found = self.q.openAll(3, 100)
        self.q.abortRead(found[1], True)
        found[1:2] = [self.q.openAll(1, 100)[0]]
        found += self.q.openAll(100, 5)
        self.assertEqual(len(found), 8)
        found += self.q.openAll(4, 100) + self.q.openAll(100, 100)
        self.assertEqual([each.body for each in found], [b"%d" % n for n in range(20)])
        self.assertEqual(self.store.deliveries(found[1]), 1)
        self.assertEqual(self.q.openAll(1, 1), [])
        self.assertEqual(self.none.openAll(1, 1), [])
        self.assertHolds("q 20/0")
        self.assertEqual(self.q.closeAll(found[:5]), found[:5])
        self.assertEqual(self.q.closeAll(found[3:6]), found[5:6])
        self.assertEqual(self.q.closeAll(found[:6]), [])
        self.assertEqual(self.none.closeAll(found), [])
        for message in found[6:]:
            self.assertTrue(self.q.abortRead(message, False))
        self.assertEqual(self.bodies(b"q"), [b"%d" % n for n in range(6, 20)])
        detail = self.store.detail(b"q")
        self.assertEqual((detail.closed, detail.taken, detail.bytes), (6, 20, 0))

    def test_openAllUndone(self) -> None:
        """A transaction that is undone leaves all where they are, open or not."""
        self.store.begin()
        self.store.pushAll(b"q", [(0, b"%d" % n) for n in range(30)])
        self.store.commit()
        found = self.q.openAll(5, 100)
        self.store.begin()
        self.assertEqual(self.store.closeAll(b"q", found), found)
        self.assertEqual(len(self.store.openAll(b"q", 9, 100)), 9)
        self.store.abort()
        self.assertEqual(self.store.detail(b"q").open, 5)
        self.assertEqual(self.q.openAll(1, 100)[0].body, b"5")
        self.assertEqual(self.q.closeAll(found), found)

    def test_openAllLarge(self) -> None:
        """It ends with a body in parts, which stays readable when it is closed."""
        self.push(b"q", b"0")
        large = self.pushLarge(b"q", b"a", b"b")
        self.push(b"q", b"2")
        found = self.q.openAll(9, 1 << 30)
        self.assertEqual([each.body for each in found], [b"0", b""])
        self.q.closeAll(found)
        self.assertEqual(self.store.part(large.id, 0), b"a")
        self.assertEqual([each.body for each in self.q.openAll(9, 9)], [b"2"])

    def test_isRead(self) -> None:
        """It tells whether a message is open, in a queue of a name."""
        self.push(b"q", b"0", b"1")
        message = self.q.openRead()
        self.assertTrue(self.q.isRead(message))
        self.assertFalse(self.none.isRead(message))
        self.assertFalse(self.q.isRead(self.q.peek()))
        for end in (
            lambda each: self.q.abortRead(each, False),
            self.q.closeRead,
            lambda _: self.q.empty(),
        ):
            end(message)
            self.assertFalse(self.q.isRead(message))
            self.push(b"q", b"2")
            message = self.q.openRead()
            self.assertTrue(self.q.isRead(message))

    def test_closeWhatIsNotOpen(self) -> None:
        """A message that is not hidden can be neither closed nor given back."""
        self.push(b"q", b"0", b"1")
        message = self.q.peek()
        for queue in (self.q, self.none):
            self.assertFalse(queue.closeRead(message))
            self.assertFalse(queue.abortRead(message, False))
        self.assertEqual(self.bodies(b"q"), [b"0", b"1"])

    def test_abortRead(self) -> None:
        """A returned message stands in its old place, before later ones."""
        self.push(b"q", b"0", b"1", b"2", b"3")
        reads = [self.q.openRead() for _ in range(3)]
        self.assertTrue(self.q.abortRead(reads[2], False))
        self.assertEqual(self.q.peek().body, b"2")
        self.assertTrue(self.q.abortRead(reads[0], False))
        self.assertFalse(self.q.abortRead(reads[0], False))
        self.assertEqual(self.q.peek().body, b"0")
        self.assertHolds("q 4/0\n  0 0 b'0'\n  2 0 b'2'\n  3 0 b'3'")
        again = self.q.openRead()
        self.assertEqual(again, reads[0])
        self.assertTrue(self.q.abortRead(reads[1], False))
        self.assertEqual(self.bodies(b"q"), [b"1", b"2", b"3"])
        self.assertTrue(self.q.abortRead(again, False))
        self.assertEqual(self.bodies(b"q"), [b"0"])

    def test_runsBesideReads(self) -> None:
        """A run takes what was given back first, then the rest, and no hidden one."""
        self.push(b"q", *[b"%d" % n for n in range(8)])
        reads = [self.q.openRead() for _ in range(5)]
        for number in (3, 0, 2):
            self.q.abortRead(reads[number], False)
        for sequences in ([0, 2, 3, 5, 6], [7]):
            taken = self.q.popAll(5)
            self.assertEqual([m.sequence for m in taken], sequences)
        self.assertHolds("q 8/6")

    def test_runsBesideReadsAtOnce(self) -> None:
        """So within one transaction, whatever comes between."""
        self.push(b"q", *[b"%d" % n for n in range(8)])
        with self.done() as store:
            first = store.pop(b"q")
            reads = [store.openRead(b"q") for _ in range(3)]
            store.push(b"r", 0, b"r")
            self.assertEqual(store.pop(b"r").body, b"r")
            self.assertTrue(store.closeRead(b"q", reads[0]))
            self.assertTrue(store.abortRead(b"q", reads[2], False))
            taken = store.popAll(b"q", 2)
            self.assertTrue(store.putBack(b"q", first))
            self.assertTrue(store.abortRead(b"q", reads[1], False))
            taken += store.popAll(b"q", 9)
        self.assertEqual([m.sequence for m in taken], [3, 4, 0, 2, 5, 6, 7])
        self.assertHolds("q 8/8\nr 1/1")

    def test_putBackBesideReads(self) -> None:
        """A popped message goes back to its old place beside hidden ones."""
        self.push(b"q", *[b"%d" % n for n in range(5)])
        taken = [self.q.pop(), self.q.openRead(), self.q.pop()]
        for message in (taken[2], taken[0]):
            self.q.putBack(message)
        self.assertEqual(self.bodies(b"q"), [b"0", b"2", b"3", b"4"])
        self.assertTrue(self.q.abortRead(taken[1], False))
        self.assertEqual(self.bodies(b"q"), [b"1"])

    def test_putBackBeforeTheHead(self) -> None:
        """So it does when what is hidden came before it."""
        self.push(b"q", b"0", b"1", b"2")
        taken = [self.q.pop(), self.q.pop()]
        self.q.putBack(taken[0])
        read = self.q.openRead()
        self.assertEqual(read.sequence, 0)
        self.q.putBack(taken[1])
        self.assertEqual(self.bodies(b"q"), [b"1", b"2"])
        self.assertTrue(self.q.closeRead(read))

    def test_deliveries(self) -> None:
        """Givings back that count are counted as long as the message is there."""
        self.push(b"q", b"0", b"1")
        for isCounted in (True, False, True):
            message = self.q.openRead()
            self.q.abortRead(message, isCounted)
        self.assertEqual(self.store.deliveries(message), 2)
        other = self.q.openRead()
        self.assertEqual(self.store.deliveries(other), 2)
        self.assertEqual(self.store.deliveries(self.q.openRead()), 0)
        self.q.closeRead(other)
        self.assertEqual(self.store.deliveries(other), 0)

    def test_deliveriesForgotten(self) -> None:
        """A pop forgets them, and so does a new queue of that name."""
        self.push(b"q", b"0", b"1", b"2")
        for forget in (self.q.pop, self.q.pop, self.q.empty):
            message = self.q.openRead()
            self.q.abortRead(message, True)
            forget()
            self.assertEqual(self.store.deliveries(message), 0)

    def test_readsUndone(self) -> None:
        """An undone change of open reads is as if it had never been."""
        self.push(b"q", *[b"%d" % n for n in range(6)])
        reads = [self.q.openRead() for _ in range(3)]
        self.q.abortRead(reads[1], True)
        before = dump(self.store)
        for remove in (self.store.delete, self.store.empty):
            with self.undone() as store:
                store.pop(b"q")
                store.openRead(b"q")
                store.closeRead(b"q", reads[0])
                store.abortRead(b"q", reads[2], True)
                store.pop(b"q")
                store.push(b"new", 0, b"x")
                store.abortRead(b"new", store.openRead(b"new"), True)
                store.openRead(b"new")
                remove(b"q")
            self.assertHolds(before)
            self.assertFalse(store.hasGarbage())
            self.assertEqual([store.deliveries(m) for m in reads], [0, 1, 0])
        self.assertTrue(self.q.closeRead(reads[0]))
        self.assertTrue(self.q.abortRead(reads[2], False))
        self.assertEqual(self.bodies(b"q"), [b"1", b"2", b"3", b"4", b"5"])
        self.assertHolds("q 6/6")

    def test_openReadUndone(self) -> None:
        """A read that is undone has hidden nothing."""
        self.push(b"q", b"0", b"1")
        with self.undone() as store:
            message = store.openRead(b"q")
        self.assertFalse(self.q.closeRead(message))
        self.assertEqual(self.bodies(b"q"), [b"0", b"1"])

    def test_readsOfWhatIsGone(self) -> None:
        """A hidden message goes with its queue, when that is deleted or emptied."""
        for remove in (self.q.delete, self.q.empty):
            self.push(b"q", b"old", b"other")
            reads = [self.q.openRead(), self.q.openRead()]
            self.q.abortRead(reads[0], True)
            reads[0] = self.q.openRead()
            remove()
            self.push(b"q", b"new")
            self.assertFalse(self.q.closeRead(reads[0]))
            self.assertFalse(self.q.abortRead(reads[1], True))
            self.sweepAll()
            self.assertEqual(self.bodies(b"q"), [b"new"])

    def test_popRead(self) -> None:
        """An open message can be taken whole by its place alone."""
        self.push(b"q", b"0", b"1", b"2")
        whole = [self.q.openRead(), self.q.openRead()]
        self.q.abortRead(whole[0], True)
        self.q.openRead()
        reads = [message._replace(body=b"") for message in whole]
        self.assertIsNone(self.none.popRead(reads[0]))
        self.assertEqual(self.q.popRead(reads[0]), whole[0])
        self.assertIsNone(self.q.popRead(reads[0]))
        self.assertEqual(self.store.deliveries(reads[0]), 0)
        with self.undone() as store:
            self.assertEqual(store.popRead(b"q", reads[1]), whole[1])
        self.assertHolds("q 3/1\n  2 0 b'2'")
        detail = self.detail()
        self.assertEqual((detail.open, detail.bytes, detail.items), (1, 2, 1))
        self.assertEqual((detail.taken, detail.closed, detail.returns), (1, 0, 2))
        self.assertTrue(self.q.abortRead(reads[1], False))
        self.assertEqual(self.bodies(b"q"), [b"1", b"2"])
