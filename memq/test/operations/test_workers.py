"""What workers need: several open reads, each ended, extended and retried by itself."""

from __future__ import annotations

from memq.errors import NotOpen, OutOfSpace, StoreError, TooManyOpen
from memq.message import PART_SIZE, Message, Trace
from memq.operations.base import MESSAGE_COST, Upload
from memq.operations.openreads.aborts import SLICE_COST
from memq.operations.openreads.ending import ENDED_AT_ONCE
from memq.operations.pushes import PushLarge
from memq.operations.queues import Delete, Empty
from memq.operations.routing import SetRequest
from memq.test.support.readers import RuledTestCase

NOT_OPEN = NotOpen.reply.decode()
TOO_MANY = TooManyOpen.reply.decode()


class WorkerTestCase(RuledTestCase):
    """A worker with three of four messages open."""

    def setUp(self) -> None:
        """Open them."""
        super().setUp()
        self.reactor.advance(100.0)
        self.push(b"a", b"b", b"c", b"d")
        self.one, self.other = self.reader(), self.reader()
        self.openThree()

    def openThree(self) -> None:
        """Let the worker open three."""
        for _ in range(3):
            self.done(self.one.more())
        self.one.told.clear()

    def hears(self, *words: str) -> None:
        """Let all happen, and find that the worker was told so much."""
        self.settle()
        self.assertEqual(self.one.told, list(words))
        self.one.told.clear()

    def holds(self, dump: str, *numbers: int) -> None:
        """Find that so much can be read, and that the worker has these open."""
        self.assertEqual((self.store.dump(), self.one.numbers()), (dump, [*numbers]))


class MoreTests(WorkerTestCase):
    """One more open read beside others."""

    def test_more(self) -> None:
        """A client may have several open, the oldest first."""
        self.holds("q 4/0: d", 0, 1, 2)
        self.one.more()
        self.one.more()
        self.hears("d", "None")
        self.one.close()
        self.hears("1")
        self.holds("q 4/1:", 1, 2, 3)

    def test_plain(self) -> None:
        """Without more, one of them is enough to be refused."""
        self.one.open()
        self.hears("CLIENT_ERROR close current item first")

    def test_most(self) -> None:
        """A rule bounds them, a queue and connection; also for one that would wait."""
        self.rule(max_open=3)
        self.one.more(5.0)
        self.hears(TOO_MANY)
        self.done(self.other.more())
        self.assertEqual(self.other.told, ["d"])
        self.one.close(number=1)
        self.one.more()
        self.hears("1", "None")

    def test_fewer(self) -> None:
        """One that waits is told at once when a new rule leaves it no room."""
        self.done(self.one.more())
        self.one.told.clear()
        self.one.more(5.0)
        self.rule(max_open=5)
        self.hears()
        self.rule(max_open=4)
        self.hears(TOO_MANY)
        self.assertEqual(self.broker.waiters(b"q"), 0)

    def test_closeMore(self) -> None:
        """Closing one makes room for the next, in one turn."""
        self.rule(max_open=3)
        self.one.open(after=self.one.close(number=1), several=True)
        self.hears("1", "d")
        self.holds("q 4/1:", 0, 2, 3)

    def test_closeNone(self) -> None:
        """If that is not open, no other is opened."""
        self.one.open(after=self.one.close(number=7), several=True)
        self.hears(NOT_OPEN, NOT_OPEN)
        self.holds("q 4/0: d", 0, 1, 2)

    def test_undone(self) -> None:
        """An open that is undone is done again, behind the others."""
        self.store.refuse("commit", StoreError("no room"), times=1)
        self.one.more()
        self.hears("d")
        self.holds("q 4/0:", 0, 1, 2, 3)

    def test_many(self) -> None:
        """Each of thousands is found by its number in the same time, in any order."""
        count = 3000
        self.push(*[b"x"] * count)
        for _ in range(count):
            self.one.more()
        self.settle()
        numbers = self.one.numbers()
        self.assertEqual(numbers, [0, 1, 2, *range(3, count + 3)])
        for number in numbers[::-2]:
            self.one.close(number=number)
        self.settle()
        self.assertEqual(self.one.numbers(), numbers[1::2])


class NumberTests(WorkerTestCase):
    """One of several, by its number."""

    def test_close(self) -> None:
        """Any one can be closed, and that is durable before it is told."""
        self.one.close(number=1)
        self.turn()
        self.assertEqual(self.one.told, [])
        self.hears("1")
        self.holds("q 4/1: d", 0, 2)

    def test_abort(self) -> None:
        """Any one can go back, to its place, and is counted."""
        self.one.abort(1)
        self.hears("1")
        self.holds("q 4/0: b d", 0, 2)
        self.assertEqual((self.deliveries(1), self.deliveries(0)), (1, 0))

    def test_order(self) -> None:
        """Each goes to its own place, in whatever order they come back."""
        for number in (2, 0, 1):
            self.one.abort(number)
        self.hears("1", "1", "1")
        self.holds("q 4/0: a b c d")

    def test_notOpen(self) -> None:
        """A message that is not open is not closed, given back or touched."""
        self.one.close(number=0)
        self.settle()
        self.one.told.clear()
        for number in (0, 3, 99):
            self.one.close(number=number)
            self.one.abort(number)
            self.one.abort(number, 5)
            self.one.touch(number)
        self.hears(*[NOT_OPEN] * 12)
        self.holds("q 4/1: d", 1, 2)

    def test_others(self) -> None:
        """A message that another client has open is not ended or touched."""
        self.other.close(number=1)
        self.other.abort(1)
        self.done(self.other.touch(1))
        self.assertEqual(self.other.told, [NOT_OPEN] * 3)
        self.holds("q 4/0: d", 0, 1, 2)

    def test_flushed(self) -> None:
        """A flushed message is not there, and open no more once that is told."""
        self.other.submit(Empty(self.other.session, b"q"))
        self.settle()
        for number in (0, 1):
            self.one.touch(number, 9)
        self.one.close(number=0)
        self.one.abort(1)
        self.one.abort(2, 9)
        self.hears(*[NOT_OPEN] * 5)
        self.holds("q 4/4:")

    def test_flushedTouched(self) -> None:
        """A touch of what was flushed ends it, so that the next one can be opened."""
        self.other.submit(Empty(self.other.session, b"q"))
        self.settle()
        self.one.touch(1, 9)
        self.hears(NOT_OPEN)
        self.assertEqual(self.one.numbers(), [0, 2])

    def test_flushedUndone(self) -> None:
        """A touch of what was flushed leaves it open if it is undone."""
        self.other.submit(Empty(self.other.session, b"q"))
        self.settle()
        self.store.refuse("commit", StoreError("no room"), times=2)
        self.one.touch(1, 9)
        self.hears("no room")
        self.assertEqual(self.one.numbers(), [0, 1, 2])

    def test_madeAgain(self) -> None:
        """A new message with an old number is the one that is meant."""
        self.other.submit(Delete(self.other.session, b"q"))
        self.settle()
        self.push(b"new", b"newer")
        self.one.more()
        self.hears("new")
        self.assertEqual(self.one.numbers(), [1, 2, 0])
        self.one.close(number=0)
        self.hears("1")
        self.holds("q 2/1: newer", 1, 2)

    def test_madeAgainUndone(self) -> None:
        """If that is undone, what it stood for is there again."""
        self.other.submit(Delete(self.other.session, b"q"))
        self.settle()
        self.push(b"new")
        self.store.refuse("openRead", StoreError("bad page"))
        self.one.more()
        self.store.refuse("commit", StoreError("no room"), times=1)
        self.hears("bad page")
        self.assertEqual(self.one.numbers(), [0, 1, 2])
        self.store.forgive()
        self.store.refuse("commit", StoreError("no room"), times=1)
        self.one.more()
        self.hears("new")
        self.assertEqual(self.one.numbers(), [1, 2, 0])

    def test_undone(self) -> None:
        """Closing that is undone opens all again, each in its place."""
        self.store.refuse("commit", StoreError("no room"), times=5)
        for number in (1, 0, 2):
            self.one.close(number=number)
        self.one.abort(1)
        self.hears("no room", "no room", "no room", "1")
        self.holds("q 4/0: b d", 0, 2)

    def test_undoneToTheLast(self) -> None:
        """Closing that is undone opens all again, also if none was open any more."""
        self.store.refuse("closeRead", StoreError("bad page"), after=2)
        self.one.close(3)
        self.hears("bad page")
        self.holds("q 4/0: d", 0, 1, 2)
        self.one.more()
        self.hears("d")
        self.holds("q 4/0:", 0, 1, 2, 3)

    def test_large(self) -> None:
        """The parts of a large body go with it."""
        upload = Upload([b"q"])
        for part in (b"x" * PART_SIZE, b"yz"):
            self.asker.submit(self.asker.session.addPart(upload, part))
        asked = SetRequest(b"q", 0, 0)
        self.asker.submit(PushLarge(self.asker.session, asked, 0, upload))
        self.one.more()
        self.one.more()
        self.settle()
        closing = self.one.close(number=4)
        self.settle()
        closing.release()
        self.settle()
        self.assertEqual(self.store.parts, {})


class LeaveTests(WorkerTestCase):
    """A worker that is gone, or about to go."""

    def test_gone(self) -> None:
        """All of it goes back to its places, and what it sent before counts."""
        self.one.close(number=1)
        self.one.abort(2, 5)
        self.one.leave()
        self.settle()
        self.assertEqual(self.store.dump(), "q 4/2: a d")
        self.wait(5.0)
        self.assertEqual(self.store.dump(), "q 5/2: a d c")
        self.assertEqual(self.reactor.calls, [])

    def test_touched(self) -> None:
        """A touch of a client that is gone is not carried out."""
        self.one.touch(1, 5)
        self.one.leave()
        self.settle()
        self.holds("q 4/0: a b c d")
        self.assertEqual(self.reactor.calls, [])

    def test_sendsNoMore(self) -> None:
        """A message that it waits to end by number does not go back before that."""
        self.one.take(50.0)
        self.one.take(50.0)
        self.one.close(number=0)
        self.one.abort(2, 60)
        self.settle()
        self.one.session.receiveNoMore()
        self.settle()
        self.assertEqual(self.one.told, ["d", "b", "1", "1"])
        self.assertEqual(self.detail().delayed, 1)


class TouchTests(WorkerTestCase):
    """Open reads that last longer."""

    def setUp(self) -> None:
        """Let them go back after ten seconds."""
        super().setUp()
        self.one.abort()
        self.settle()
        self.rule(open_timeout=10.0)
        self.openThree()

    def test_again(self) -> None:
        """The time begins anew, for one of them."""
        self.wait(6.0)
        self.one.touch(1)
        self.hears("True")
        self.wait(6.0)
        self.holds("q 4/0: a c d", 1)
        self.wait(4.0)
        self.holds("q 4/0: a b c d")

    def test_seconds(self) -> None:
        """A touched one lasts for so many seconds, more or less than the rule says."""
        self.one.touch(0, 100)
        self.one.touch(2, 1)
        self.hears("True", "True")
        self.wait(1.0)
        self.holds("q 4/0: c d", 0, 1)
        self.wait(98.0)
        self.holds("q 4/0: b c d", 0)
        self.wait(1.0)
        self.holds("q 4/0: a b c d")

    def test_noRule(self) -> None:
        """Without a rule it goes back after what was said; with 0, not by itself."""
        self.rule()
        self.one.touch(0)
        self.one.touch(1, 20)
        self.hears("True", "True")
        self.wait(30.0)
        self.holds("q 4/0: b c d", 0)

    def test_noFlush(self) -> None:
        """It needs no flush: nothing changes on disk."""
        self.one.touch(1)
        self.turn()
        self.assertEqual((self.one.told, self.pool.pending), (["True"], 0))

    def test_late(self) -> None:
        """A message whose time is over cannot be touched, though it is not back yet."""
        self.store.refuse("abortRead", StoreError("bad page"))
        self.wait(10.0)
        self.one.touch(1)
        self.hears(NOT_OPEN)
        self.one.close(number=1)
        self.hears("1")

    def test_undone(self) -> None:
        """A touch that is undone is done once."""
        self.wait(6.0)
        self.store.refuse("commit", StoreError("no room"), times=1)
        self.one.touch(1)
        self.hears("True")
        self.assertEqual(len(self.reactor.calls), 3)
        self.wait(9.0)
        self.assertEqual(self.one.numbers(), [1])

    def test_undoneNotOpen(self) -> None:
        """A touch of a message that is not open is undone, and then told once."""
        self.store.refuse("commit", StoreError("no room"), times=1)
        self.one.touch(9)
        self.hears(NOT_OPEN)

    def test_failed(self) -> None:
        """A touch that cannot be done leaves the time as it is."""
        self.wait(6.0)
        self.store.refuse("commit", StoreError("no room"), times=2)
        self.one.touch(1)
        self.hears("no room")
        self.wait(4.0)
        self.holds("q 4/0: a b c d")

    def test_restored(self) -> None:
        """Closing that fails leaves the time as it is."""
        self.wait(6.0)
        self.store.refuse("closeRead", StoreError("bad page"))
        self.one.close(number=1)
        self.hears("bad page")
        self.wait(4.0)
        self.holds("q 4/0: a b c d")


class LaterTests(WorkerTestCase):
    """Messages that are to be tried again later."""

    def head(self) -> Message:
        """Return the head of q."""
        found = self.store.peek(b"q")
        assert isinstance(found, Message)
        return found

    def test_later(self) -> None:
        """It is unseen for so long, and then at the end, as old as it was."""
        self.wait(3.0)
        self.one.abort(1, 5)
        self.hears("1")
        self.holds("q 4/1: d", 0, 2)
        self.assertEqual((self.detail().delayed, self.detail().returns), (1, 1))
        self.wait(4.9)
        self.holds("q 4/1: d", 0, 2)
        self.wait(0.1)
        self.holds("q 5/1: d b", 0, 2)
        self.asker.pop()
        self.settle()
        self.assertEqual((self.head().time, self.head().trace), (100_000, Trace(1)))

    def test_durable(self) -> None:
        """It is told when that is durable."""
        self.one.abort(1, 5)
        self.turn()
        self.assertEqual((self.one.told, self.pool.pending), ([], 1))

    def test_all(self) -> None:
        """All that is open comes back in its order."""
        self.one.abort(delay=5)
        self.hears("3")
        self.wait(5.0)
        self.holds("q 7/3: d a b c")

    def test_counts(self) -> None:
        """Each try counts, however it ended; too many make it a dead letter."""
        self.rule(max_deliveries=3, dead_letter=b"dead")
        self.asker.pop()
        self.one.close()
        self.one.abort(2)
        self.one.abort(1, 5)
        self.hears("1", "1", "1")
        self.wait(5.0)
        self.asker.pop()
        self.settle()
        self.one.more()
        self.one.abort(4, 5)
        self.hears("b", "1")
        self.wait(5.0)
        self.one.more()
        self.one.abort(5, 5)
        self.hears("b", "1")
        self.assertEqual(self.store.dump(), "dead 1/0: b\nq 6/6:")
        self.assertEqual(self.detail().delayed, 0)

    def test_waiter(self) -> None:
        """A client that waits has it when it is due."""
        self.asker.pop()
        self.done(self.other.take(60.0))
        self.one.abort(0, 5)
        self.settle()
        self.wait(5.0)
        self.assertEqual(self.other.told, ["a"])

    def test_large(self) -> None:
        """A large body keeps its parts."""
        upload = Upload([b"q"])
        for part in (b"x" * PART_SIZE, b"yz"):
            self.asker.submit(self.asker.session.addPart(upload, part))
        asked = SetRequest(b"q", 0, 0)
        self.asker.submit(PushLarge(self.asker.session, asked, 7, upload))
        self.asker.pop()
        self.one.more()
        self.settle()
        self.one.abort(4, 5)
        self.settle()
        self.wait(5.0)
        head = self.head()
        assert head.large is not None
        self.assertEqual((head.flags, head.size), (7, PART_SIZE + 2))
        self.assertEqual(self.store.parts[head.large.id], [b"x" * PART_SIZE, b"yz"])

    def test_full(self) -> None:
        """A full disk refuses that, as a set; the message stays open."""
        self.broker.room.exhausted()
        self.one.abort(0, 5)
        self.one.abort(7, 5)
        self.hears("out of disk space", NOT_OPEN)
        self.holds("q 4/0: d", 0, 1, 2)
        self.one.abort(0)
        self.hears("1")

    def test_failed(self) -> None:
        """If it cannot be delayed it stays open, and does not go back instead."""
        self.store.refuse("pushDelayed", OutOfSpace())
        self.one.abort(0, 5)
        self.hears("out of disk space")
        self.holds("q 4/0: d", 0, 1, 2)

    def test_failedWhileWaiting(self) -> None:
        """A client that waits is not told of it."""
        self.asker.pop()
        self.done(self.other.take(60.0))
        self.store.refuse("pushDelayed", OutOfSpace())
        self.one.abort(0, 5)
        self.hears("out of disk space")
        self.assertEqual(self.other.told, [])

    def test_goneFailed(self) -> None:
        """Of a client that is gone it goes back."""
        self.store.refuse("pushDelayed", StoreError("bad page"))
        self.one.abort(0, 5)
        self.one.leave()
        self.settle()
        self.assertEqual(self.store.dump(), "q 4/0: a b c d")

    def test_damaged(self) -> None:
        """A damaged one is set aside."""
        self.store.popRead = lambda *_: StoreError("damaged")  # type: ignore[method-assign]
        self.one.abort(0, 5)
        self.hears("1")
        self.assertEqual((self.detail().delayed, self.one.numbers()), (0, [1, 2]))

    def test_slices(self) -> None:
        """Many large ones are delayed some at a time, and all are counted."""
        size = 60_000
        self.one.close(3)
        self.push(*[b"x" * size] * 12)
        for _ in range(13):
            self.one.more()
        self.settle()
        self.one.told.clear()
        aborting = self.one.abort(delay=5)
        self.settle()
        done = 1 + -(-(SLICE_COST - MESSAGE_COST - 1) // (MESSAGE_COST + size))
        self.assertEqual((aborting.result, self.one.told), (done, [str(done)]))
        self.assertTrue(aborting.hasMore)
        self.assertEqual((self.detail().delayed, self.one.numbers()), (13, []))

    def test_many(self) -> None:
        """Many small ones are delayed some at a time, and all are counted."""
        count = ENDED_AT_ONCE + 5
        self.push(*[b"x"] * count)
        for _ in range(count):
            self.one.more()
        self.settle()
        self.one.abort(delay=5)
        self.settle()
        self.assertEqual(self.detail().delayed, count + 3)
