"""The contract of a store: figures of queues, limits and pauses."""

from __future__ import annotations

from unittest import mock

from memq.figures import Heads, Kept, Outcome, QueueDetail, Totals
from memq.test.support.contract.base import StoreContract
from memq.test.support.homes import details

#: Of what a queue has that nothing was done with.
NOTHING = QueueDetail(b"q", *[0] * 14)


class FiguresContract(StoreContract):
    """Counts, and settings that are kept beside messages."""

    def test_counts(self) -> None:
        """Counts are sorted by name, and say how many went in and out."""
        self.push(b"b", b"1", b"2", b"3")
        self.push(b"a", b"1")
        self.on(b"b").pop()
        self.assertEqual(list(self.store.counts()), [(b"a", 1, 0), (b"b", 3, 1)])
        status = self.store.status()
        self.assertEqual((status["queues"], status["messages"]), (2, 3))
        del status["messages"]
        self.assertEqual(self.store.figures(), status)

    def test_sums(self) -> None:
        """The sums of queues are those of the queues that there are."""
        self.push(b"q", b"1", b"22")
        self.push(b"r", b"333", b"4444")
        self.r.pop()
        self.q.countExpired(5)
        self.r.countDiscarded(6)
        nothing = 0, 0
        expected = 2, 3, 5, 0, *nothing, 2, 0
        self.assertEqual(self.store.sums([b"q", b"none"]), expected)
        expected = 3, 7, 5, 6, *nothing, 4, 1
        self.assertEqual(self.store.sums([b"q", b"r"]), expected)
        self.assertEqual(self.store.sums([]), (0,) * 8)
        self.q.openRead()
        self.r.pushDelayed(0, b"5", 1)
        expected = 3, 7, 5, 6, 1, 1, 4, 1
        self.assertEqual(self.store.sums([b"q", b"r"]), expected)

    def test_bytes(self) -> None:
        """The bytes of the bodies that wait are counted, wherever they are."""
        self.push(b"q", b"12345", b"")
        self.q.pushAll([(0, b"678"), (0, b"9")], size=4)
        self.q.push(0, b"0", expires=5)
        self.pushLarge(b"q", b"one", b"three")
        self.assertEqual(self.detail().bytes, 18)
        for rest in (13, 13, 10, 9, 8, 0):
            message = self.q.pop()
            self.assertEqual(self.detail().bytes, rest)
            self.q.putBack(message)
            self.assertEqual(self.detail().bytes, rest + message.size)
            self.q.pop()
        self.push(b"q", b"x")
        self.q.empty()
        self.assertEqual(self.detail().bytes, 0)

    def test_bytesOfReads(self) -> None:
        """Those of an open read count until it is closed."""
        self.push(b"q", b"12345", b"678")
        large = self.pushLarge(b"q", b"one", b"three")
        first, second = self.q.openRead(), self.q.openRead()
        self.assertEqual(self.detail()[1:4], (1, 16, 2))
        self.q.abortRead(second, True)
        self.assertEqual(self.detail()[1:4], (2, 16, 1))
        self.q.closeRead(first)
        self.assertEqual(self.detail()[1:4], (2, 11, 0))
        self.q.openRead()
        self.assertEqual(self.q.pop().large, large)
        detail = self.detail()
        self.assertEqual(detail[1:4], (0, 3, 1))
        self.assertEqual((detail.closed, detail.returns, detail.taken), (1, 1, 2))

    def test_kept(self) -> None:
        """A queue's kept messages are told: delayed and open ones, but not as ready."""

        def assertKept(*figures: int) -> None:
            self.assertEqual(self.store.kept(b"q"), Kept(*figures))

        assertKept(0, 0, 0, 0)
        self.push(b"q", b"12", b"345", b"6")
        self.delay(b"q", 50, b"12345", b"1234567")
        self.q.pushDelayed(0, self.upload(b"one", b"three"), 40)
        assertKept(6, 26, 3, 6)
        first, second = self.q.openRead(), self.q.openRead()
        assertKept(6, 26, 1, 1)
        self.promoteDue(50, 2)
        assertKept(6, 26, 3, 14)
        self.q.closeRead(first)
        self.q.abortRead(second, False)
        assertKept(5, 24, 4, 17)
        self.q.openRead()
        self.q.empty()
        assertKept(0, 0, 0, 0)
        self.assertIsNone(self.settle())

    def test_expiredAndDiscarded(self) -> None:
        """Expired and discarded messages are counted, where there is a queue."""
        self.push(b"q", b"x")
        for queue in (self.q, self.none):
            queue.countExpired(2)
            queue.countDiscarded(3)
        detail = self.detail()
        self.assertEqual((detail.expired, detail.discarded), (2, 3))
        self.assertEqual(len(list(self.store.counts())), 1)
        with self.undone() as store:
            store.countExpired(b"q", 1)
        self.assertEqual(self.detail(), detail)

    def test_details(self) -> None:
        """Details of a queue tell when its head was set, and when it was used."""
        self.push(b"r", b"x")
        self.push(b"q", b"x")
        self.q.pop()
        q, r = details(self.store)
        self.assertEqual((q.name, q.headTime, r.name), (b"q", 0, b"r"))
        for detail in (q, r):
            self.assertIn(r.headTime // 1000 - detail.lastUsed, range(-60, 60))
        self.assertIsNone(self.store.detail(b"none"))

    def test_heads(self) -> None:
        """The head's time is that of the message that a reader would find."""
        self.push(b"q", b"1")

        def check() -> None:
            head = self.q.peek()
            for _ in range(2):
                (found,) = self.store.details([b"q", b"none"]).rows()
                self.assertEqual(found.headTime, head.time if head else 0)

        check()
        self.push(b"q", b"2", b"3")
        message = self.q.pop()
        check()
        self.q.putBack(message)
        check()
        opened = self.q.openRead()
        check()
        self.q.abortRead(opened, True)
        check()
        self.q.closeRead(self.q.openRead())
        check()
        with self.undone() as store:
            store.pop(b"q")
            store.details([b"q"])
        check()
        self.bodies(b"q")
        check()

    def test_lateHeads(self) -> None:
        """A head may be told as it was, if it was looked at a short while ago."""
        self.push(b"q", b"1", b"2", b"3")
        self.push(b"none", b"1")
        self.bodies(b"none")
        seen = []

        def look(now: float, late: float) -> None:
            with mock.patch.object(self.store, "peek", wraps=self.store.peek) as peek:
                self.store.details([b"q", b"none"], Heads(now, late))
            seen.append(peek.call_count)

        look(10, 5)
        self.q.pop()
        look(14.9, 5)
        look(14.9, 0)
        self.q.pop()
        look(20, 5)
        self.assertEqual(seen, [1, 0, 1, 1])

    def test_nearlyKnownHeads(self) -> None:
        """A head that came since all was told may be told as of then for a while."""
        self.push(b"q", b"1")
        self.store.details([b"q"], Heads(10, 5))
        self.bodies(b"q")
        self.push(b"q", b"2", b"3")
        head = self.q.peek()
        assert head is not None
        with mock.patch.object(self.store, "peek", wraps=self.store.peek) as peek:
            told = []
            for now, late, since in ((11, 5, 7), (15, 5, 8), (22, 5, 9), (23, 5, 9)):
                found = self.store.details([b"q"], Heads(now, late, since=since))
                told.append((found.rows()[0].headTime, peek.call_count))
        self.assertEqual(told, [(7, 0), (7, 0), (head.time, 1), (head.time, 1)])
        self.q.pop()
        self.push(b"q", b"4")
        # One is left that was there.
        (found,) = self.store.details([b"q"], Heads(30, 5, since=24)).rows()
        self.assertNotEqual(found.headTime, 24)
        self.push(b"new", b"5")
        (found,) = self.store.details([b"new"], Heads(30, 5, since=24)).rows()
        self.assertEqual(found.headTime, 24)

    def test_headAsItIs(self) -> None:
        """A head is told as it is to who does not say the time, whoever looked late."""
        self.push(b"q", b"1", b"2")
        self.store.details([b"q"], Heads(10, 5))
        self.q.pop()
        head = self.q.peek()
        assert head is not None
        with mock.patch.object(self.store, "peek", wraps=self.store.peek) as peek:
            found = self.store.detail(b"q")
        assert found is not None
        self.assertEqual((found.headTime, peek.call_count), (head.time, 1))

    def test_someHeads(self) -> None:
        """Details end before the head that is one too many to look at."""
        for name in (b"a", b"b", b"c"):
            self.push(name, b"x")
        names, heads = [b"a", b"none", b"b", b"c"], Heads(most=2)
        found = self.store.details(names, heads)
        self.assertEqual((found.seen, list(found.columns[0])), (3, [b"a", b"b"]))
        rest = self.store.details(names[found.seen :], heads)
        both = found.joined(rest)
        self.assertEqual((both.seen, len(both.columns[0])), (4, 3))
        self.assertEqual(both.rows(), self.store.details(names, heads).rows())
        self.push(b"d", b"x")
        nothing = self.store.details([b"d"], Heads(most=0))
        self.assertEqual((nothing.seen, nothing.rows()), (0, []))

    def test_gone(self) -> None:
        """What was counted since the start is not forgotten with a queue."""
        self.assertEqual(self.store.gone(), Totals())
        self.push(b"q", b"1", b"2", b"3")
        self.q.closeRead(self.q.openRead())
        self.q.abortRead(self.q.openRead(), True)
        self.q.countExpired(4)
        self.q.countDiscarded(5)
        self.q.empty()
        with self.undone() as store:
            store.delete(b"q")
        self.assertEqual(self.store.gone(), Totals())
        self.q.delete()
        self.assertFalse(self.q.delete())
        self.assertEqual(self.store.gone(), (3, 3, 1, 4, 5, 1))

    def test_outcomes(self) -> None:
        """What became of messages is counted, unless its transaction is undone."""
        nothing = dict.fromkeys(Outcome, 0)
        self.assertEqual(self.store.outcomes(), nothing)
        self.store.begin()
        self.store.countOutcome(Outcome.ABORTED)
        self.store.countOutcome(Outcome.DEAD_EXPIRED, 5)
        self.store.commit()
        counted = nothing | {Outcome.ABORTED: 1, Outcome.DEAD_EXPIRED: 5}
        self.assertEqual(self.store.outcomes(), counted)
        with self.undone() as store:
            store.countOutcome(Outcome.ABORTED, 7)
        self.assertEqual(self.store.outcomes(), counted)

    def test_limit(self) -> None:
        """A queue can be made with a limit, which it keeps."""
        self.assertTrue(self.q.setLimit(5))
        self.assertFalse(self.q.setLimit(6))
        self.assertEqual(self.detail(), NOTHING._replace(limit=5))
        self.push(b"q", b"x")
        self.q.empty()
        self.assertEqual(self.detail().limit, 5)
        self.q.delete()
        self.assertTrue(self.q.setLimit(0))
        self.assertEqual(self.detail(), NOTHING)

    def test_paused(self) -> None:
        """A pause is kept, even of a queue that was not there."""
        self.assertFalse(self.q.setPaused(0))
        self.assertHolds("")
        for bits in (3, 1, 0):
            self.assertTrue(self.q.setPaused(bits))
            self.assertEqual(self.detail(), NOTHING._replace(paused=bits))
        self.q.delete()
        self.assertHolds("")

    def test_settings(self) -> None:
        """Limits and pauses are told, and whether any queue has some."""

        def assertTold(name: bytes, limit: int, paused: int, isAny: bool) -> None:
            told = (self.store.settings(name), self.store.hasSettings())
            self.assertEqual(told, ((limit, paused), isAny))

        self.push(b"q", b"x")
        assertTold(b"q", 0, 0, False)
        self.r.setLimit(5)
        assertTold(b"r", 5, 0, True)
        self.r.delete()
        assertTold(b"r", 0, 0, False)
        self.q.setPaused(2)
        assertTold(b"q", 0, 2, True)
