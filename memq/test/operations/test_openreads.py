"""Open reads in the broker: opened, closed, and given back in every way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.broker.background.returns import RETURN_AGAIN
from memq.errors import DamagedMessage, OutOfSpace, StoreError, StoreFailed
from memq.message import PART_SIZE
from memq.operations.base import Upload
from memq.operations.openreads.closes import SetReadAside
from memq.operations.pushes import AddPart, PushLarge
from memq.operations.queues import Empty
from memq.operations.routing import SetRequest
from memq.test.support.readers import ReaderTestCase, RuledTestCase

if TYPE_CHECKING:
    from memq.operations.openreads.opened import Opened


class OpenTests(ReaderTestCase):
    """A message that is open."""

    def setUp(self) -> None:
        """Begin with three messages."""
        super().setUp()
        self.push(b"a", b"b", b"c")
        self.one, self.other = self.reader(), self.reader()

    def test_hidden(self) -> None:
        """It is there for nobody else, and not taken."""
        self.done(self.one.open())
        self.done(self.other.take())
        self.assertEqual((self.one.told, self.other.told), (["a"], ["b"]))
        self.assertEqual(self.store.dump(), "q 3/1: c")

    def test_noFlush(self) -> None:
        """To open it needs no flush: nothing changes on disk."""
        self.one.open()
        self.turn()
        self.assertEqual((self.one.told, self.pool.pending), (["a"], 0))

    def test_closed(self) -> None:
        """To close it deletes it, and that is told when it is durable."""
        self.done(self.one.open())
        self.one.close()
        self.turn()
        self.assertEqual(self.one.told, ["a"])
        self.flush()
        self.assertEqual(self.one.told, ["a", "1"])
        self.assertEqual(self.store.dump(), "q 3/1: b c")
        self.assertEqual(self.one.session.open, {})

    def test_aborted(self) -> None:
        """To abort it shows it again, at its old place, and counts that."""
        self.one.open()
        self.one.abort()
        self.turn()
        self.assertEqual(self.one.told, [])
        self.settle()
        self.assertEqual(self.one.told, ["a", "1"])
        self.assertEqual((self.store.dump(), self.deliveries(0)), ("q 3/0: a b c", 1))

    def test_nothing(self) -> None:
        """Where nothing is open there is nothing to close or abort."""
        self.one.close()
        self.one.abort()
        self.turn()
        self.assertEqual(self.one.told, ["0", "0"])

    def test_twice(self) -> None:
        """One client opens one of a queue; the next after closing."""
        self.one.open()
        self.one.open()
        self.one.close()
        self.done(self.one.open())
        self.assertEqual(
            self.one.told, ["a", "CLIENT_ERROR close current item first", "1", "b"]
        )

    def test_twiceWithTime(self) -> None:
        """That is said at once, even to one that would wait."""
        self.one.open()
        self.done(self.one.open(5.0))
        self.assertEqual(len(self.one.told), 2)

    def test_closeOpen(self) -> None:
        """Closing and opening are one turn."""
        self.done(self.one.open())
        turns = self.broker.turns
        self.done(self.one.open(after=self.one.close()))
        self.assertEqual(self.one.told, ["a", "1", "b"])
        self.assertEqual(self.broker.turns, turns + 1)

    def test_closeFailed(self) -> None:
        """If the one cannot be closed no other is opened."""
        self.done(self.one.open())
        self.store.refuse("closeRead", StoreError("bad page"))
        self.done(self.one.open(after=self.one.close()))
        self.assertEqual(self.one.told, ["a", "bad page", "bad page"])
        self.store.forgive()
        self.done(self.one.close())
        self.assertEqual(self.store.dump(), "q 3/1: b c")

    def test_closeUndone(self) -> None:
        """So when both are undone because of somebody else, and run again."""
        self.store.refuse("commit", StoreError("no room"), times=1)
        self.one.open()
        self.done(self.one.open(after=self.one.close()))
        self.assertEqual(self.one.told, ["a", "1", "b"])
        self.assertEqual(self.store.dump(), "q 3/1: c")

    def test_closeLost(self) -> None:
        """A read not synced in the end is told as failed, and open no longer."""
        self.one.open()
        self.one.close()
        self.turn()
        self.broker.fail(StoreFailed("gone"))
        self.assertEqual(self.one.told, ["gone", "gone"])
        self.assertEqual(self.one.session.open, {})

    def test_empty(self) -> None:
        """Where there is nothing, nothing is opened."""
        self.store.delete(b"q")
        self.store.commit()
        self.done(self.one.open())
        self.assertEqual(self.one.told, ["None"])
        self.assertIsNone(self.one.session.open)

    def test_waits(self) -> None:
        """One can wait for it; what waits behind is not woken for nothing."""
        self.other.open()
        self.other.pop(2)
        self.one.open(5.0)
        third = self.reader()
        self.done(third.open(5.0))
        self.done(self.other.abort())
        self.assertEqual((self.one.told, third.told), (["a"], []))
        self.done(self.one.abort())
        self.assertEqual(third.told, ["a"])
        self.assertEqual(self.deliveries(0), 2)

    def test_damaged(self) -> None:
        """A damaged message is told, after a flush, and not opened."""
        self.store.damaged[b"q"] = DamagedMessage("number 0")
        self.one.open()
        self.turn()
        self.assertEqual(self.one.told, [])
        self.settle()
        self.assertEqual(self.one.told, ["damaged message set aside: number 0"])
        self.assertIsNone(self.one.session.open)

    def test_bodyIsNotKept(self) -> None:
        """The body of an open message is not kept in memory; its size is known."""
        self.done(self.one.open())
        [opened] = self.one.session.opened(b"q")
        self.assertEqual((opened.message.body, opened.message.size), (b"", 1))
        self.assertEqual(self.one.session.outstanding.undelivered, 0)

    def test_gain(self) -> None:
        """Bytes that closing gives back are counted."""
        self.done(self.one.open())
        close = self.done(self.one.close())
        self.assertEqual(close.bytesFreed, 1)

    def test_effort(self) -> None:
        """An open read counts in a turn as what it moves."""
        self.push(b"x" * 5000)
        self.asker.pop(3)
        self.settle()
        read = self.one.open()
        self.assertEqual(read.idleCost, 1024)
        self.settle()
        self.assertEqual(read.idleCost, 6024)

    def test_flush(self) -> None:
        """Emptying a queue takes what is open as well; closing it is too late."""
        self.done(self.one.open())
        self.other.submit(Empty(self.other.session, b"q"))
        self.other.submit(Empty(self.other.session, b"none"))
        self.settle()
        self.assertEqual(self.other.told, ["3", "0"])
        self.one.close()
        self.done(self.one.take())
        self.assertEqual(self.one.told, ["a", "0", "None"])
        self.assertEqual(self.store.dump(), "q 3/3:")

    def test_flushedAbort(self) -> None:
        """So is giving it back."""
        self.done(self.one.open())
        self.other.submit(Empty(self.other.session, b"q"))
        self.settle()
        self.done(self.one.abort())
        self.assertEqual((self.one.told, self.store.dump()), (["a", "0"], "q 3/3:"))


class SeveralTests(ReaderTestCase):
    """Several that are open at a time, as of a monitor."""

    def setUp(self) -> None:
        """Open three of four."""
        super().setUp()
        self.push(b"a", b"b", b"c", b"d")
        self.one = self.reader()
        for _ in range(3):
            self.one.open(several=True)
        self.settle()
        self.assertEqual(self.one.told, ["a", "b", "c"])
        self.one.told = []

    def bodies(self) -> list[int]:
        """Return the sequence numbers of what is open."""
        return [each.message.sequence for each in self.one.session.opened(b"q")]

    def test_oldestFirst(self) -> None:
        """They are closed the oldest first, as many as there are."""
        self.done(self.one.close(2))
        self.assertEqual(self.bodies(), [2])
        self.done(self.one.close(5))
        self.assertEqual(self.one.told, ["2", "1"])
        self.assertEqual(self.store.dump(), "q 4/3: d")

    def test_allBack(self) -> None:
        """They go back together, each to its place."""
        self.done(self.one.abort())
        self.assertEqual(self.one.told, ["3"])
        self.assertEqual(self.store.dump(), "q 4/0: a b c d")

    def test_closeUndone(self) -> None:
        """When closing is undone they are open as before, in order."""
        self.store.refuse("closeRead", StoreError("bad page"), after=1)
        self.done(self.one.close(3))
        self.assertEqual((self.one.told, self.bodies()), (["bad page"], [0, 1, 2]))
        self.assertEqual(self.store.dump(), "q 4/0: d")

    def test_abortUndone(self) -> None:
        """So when giving back is."""
        self.store.refuse("abortRead", StoreError("bad page"))
        self.done(self.one.abort())
        self.assertEqual((self.one.told, self.bodies()), (["bad page"], [0, 1, 2]))
        self.assertEqual(self.store.dump(), "q 4/0: d")

    def test_oneOverdue(self) -> None:
        """One in the middle goes back alone; undone, it is there again."""
        middle = list(self.one.session.opened(b"q"))[1]
        self.store.refuse("commit", StoreError("no room"), times=1)
        self.one.session.overdue(middle)
        self.settle()
        self.assertEqual((self.bodies(), self.store.dump()), ([0, 2], "q 4/0: b d"))


class LeaveTests(ReaderTestCase):
    """A reader that is gone."""

    def setUp(self) -> None:
        """Let a client have one open."""
        super().setUp()
        self.push(b"a", b"b")
        self.one = self.reader()
        self.done(self.one.open())

    def test_back(self) -> None:
        """Its open message goes back, is counted, and is durable."""
        self.one.leave()
        self.turn()
        self.assertEqual((self.store.dump(), self.deliveries(0)), ("q 2/0: a b", 1))
        self.assertEqual(self.pool.pending, 1)
        self.settle()

    def test_first(self) -> None:
        """It goes back before anybody else gets something, even one that was before."""
        self.asker.pop()
        behind = self.reader()
        behind.pop()
        self.one.leave()
        self.settle()
        self.assertEqual((self.asker.told[2:], behind.told), (["a"], ["b"]))

    def test_inRotation(self) -> None:
        """So when it was asking for something itself."""
        self.asker.pop()
        self.one.pop()
        self.one.leave()
        self.settle()
        self.assertEqual(self.asker.told[2:], ["a"])

    def test_closedBefore(self) -> None:
        """A message that it had closed before it left is closed."""
        self.one.close()
        self.one.leave()
        self.settle()
        self.assertEqual(self.store.dump(), "q 2/1: b")

    def test_blocked(self) -> None:
        """A reader that did not read is no exception."""
        self.one.session.block()
        self.one.leave()
        self.settle()
        self.assertEqual(self.store.dump(), "q 2/0: a b")

    def test_neverSeen(self) -> None:
        """A message that it was never sent goes back without being counted."""
        other = self.reader()
        self.asker.push(b"c")
        other.open()
        self.turn()
        self.assertEqual((self.store.dump(), other.told), ("q 3/0: c", []))
        other.leave()
        self.turn()
        self.assertEqual((self.store.dump(), self.deliveries(1)), ("q 3/0: b c", 0))
        self.settle()

    def test_stopping(self) -> None:
        """When the server stops it is forgotten: the next start has it."""
        self.broker.stop()
        self.one.leave()
        self.settle()
        self.assertEqual(self.store.dump(), "q 2/0: b")
        self.assertEqual(self.deliveries(0), 0)

    def test_uncounted(self) -> None:
        """Where that cannot be counted it goes back all the same."""
        self.store.refuse("abortRead", OutOfSpace(), times=2)
        self.one.leave()
        self.settle()
        self.assertEqual((self.store.dump(), self.deliveries(0)), ("q 2/0: a b", 0))
        self.reactor.advance(RETURN_AGAIN)
        self.settle()
        self.assertEqual(self.reactor.calls, [])

    def test_again(self) -> None:
        """Where it cannot go back it does a while later."""
        self.store.refuse("abortRead", StoreError("bad page"), times=5)
        self.one.leave()
        for _ in range(3):
            self.settle()
            self.reactor.advance(RETURN_AGAIN)
        self.settle()
        self.assertEqual(self.store.dump(), "q 2/0: a b")

    def test_notAgain(self) -> None:
        """But not when the broker has ended, nor when the store has failed."""
        self.store.refuse("abortRead", StoreError("bad page"))
        self.one.leave()
        self.settle()
        self.broker.drain()
        self.reactor.advance(RETURN_AGAIN)
        self.settle()
        self.assertEqual(self.store.dump(), "q 2/0: b")

    def test_failed(self) -> None:
        """A store that has failed for good is not asked again."""
        self.broker.fail(StoreFailed("gone"))
        self.one.leave()
        self.settle()
        self.assertEqual(self.reactor.calls, [])


class TimeoutTests(RuledTestCase):
    """An open read that takes too long."""

    def setUp(self) -> None:
        """Open one with ten seconds of time."""
        super().setUp()
        self.rule(open_timeout=10.0)
        self.push(b"a", b"b")
        self.one = self.reader()
        self.done(self.one.open())

    def test_back(self) -> None:
        """It goes back by itself, which counts; to close it then deletes nothing."""
        self.reactor.advance(9.9)
        self.assertEqual(self.store.dump(), "q 2/0: b")
        self.reactor.advance(0.2)
        self.settle()
        self.assertEqual((self.store.dump(), self.deliveries(0)), ("q 2/0: a b", 1))
        self.done(self.one.close())
        self.assertEqual((self.one.told, self.store.dump()), (["a", "0"], "q 2/0: a b"))

    def test_closed(self) -> None:
        """A closed message does not go back by itself."""
        self.done(self.one.close())
        self.assertEqual(self.reactor.calls, [])

    def test_closedMeanwhile(self) -> None:
        """Nor one that is closed at the same time."""
        self.one.close()
        self.reactor.advance(10.0)
        self.settle()
        self.assertEqual(self.store.dump(), "q 2/1: b")

    def test_undone(self) -> None:
        """One whose closing failed does, after as long again."""
        self.store.refuse("closeRead", StoreError("bad page"))
        self.done(self.one.close())
        self.reactor.advance(10.0)
        self.settle()
        self.assertEqual(self.store.dump(), "q 2/0: a b")

    def test_neverOpened(self) -> None:
        """One whose opening was undone leaves nothing behind."""
        other = self.reader()
        self.store.refuse("openRead", StoreError("bad page"))
        self.done(other.open())
        self.assertEqual(other.told, ["bad page"])
        self.assertEqual(len(self.reactor.calls), 1)

    def test_openedAgain(self) -> None:
        """A message that is opened in the second attempt has its time once."""
        other = self.reader()
        self.store.refuse("commit", StoreError("no room"), times=1)
        self.done(other.open())
        self.assertEqual(other.told, ["b"])
        self.assertEqual(len(self.reactor.calls), 2)

    def test_gone(self) -> None:
        """One whose reader is gone does not go back twice."""
        self.one.leave()
        self.settle()
        self.assertEqual((self.deliveries(0), self.reactor.calls), (1, []))

    def test_stopping(self) -> None:
        """When the server stops nothing is left to be called."""
        self.broker.stop()
        self.one.leave()
        self.settle()
        self.assertEqual(self.reactor.calls, [])

    def test_again(self) -> None:
        """A message that cannot go back is tried again."""
        self.store.refuse("abortRead", StoreError("bad page"), times=3)
        self.reactor.advance(10.0)
        self.settle()
        self.assertEqual(self.store.dump(), "q 2/0: b")
        self.reactor.advance(RETURN_AGAIN)
        self.settle()
        self.assertEqual(self.store.dump(), "q 2/0: a b")

    def test_wakes(self) -> None:
        """A waiter has it then."""
        self.asker.pop()
        other = self.reader()
        self.done(other.take(60.0))
        self.reactor.advance(10.0)
        self.settle()
        self.assertEqual(other.told, ["a"])


class LargeTests(ReaderTestCase):
    """Open messages whose bodies are in parts."""

    def setUp(self) -> None:
        """Open one."""
        super().setUp()
        upload = Upload([b"q"])
        session = self.asker.session
        self.asker.submit(AddPart(session, upload, b"x" * PART_SIZE))
        self.asker.submit(AddPart(session, upload, b"y"))
        self.asker.submit(PushLarge(session, SetRequest(b"q"), 0, upload))
        self.one = self.reader()
        self.read = self.one.open()
        self.settle()

    def test_stays(self) -> None:
        """The parts stay until it is closed and they are let go."""
        close = self.done(self.one.close())
        large = close.closed[0].large
        assert large is not None
        self.assertEqual(self.one.session.part(large, 1), b"y")
        close.release()
        self.settle()
        self.assertEqual(self.store.parts, {})

    def test_aborted(self) -> None:
        """And when it goes back."""
        self.one.abort()
        other = self.reader()
        read = self.done(other.take())
        self.assertEqual(other.session.part(read.result.large, 1), b"y")

    def test_setAside(self) -> None:
        """One with a damaged part is closed, and kept out of the way."""
        self.one.submit(SetReadAside(self.one.session, self._opened()))
        self.settle()
        self.assertEqual(self.store.dump(), "q 1/1:")
        self.one.leave()
        self.settle()
        self.assertEqual(self.store.dump(), "q 1/1:")

    def _opened(self) -> Opened:
        [opened] = self.one.session.opened(b"q")
        return opened

    def test_notOpenAnyMore(self) -> None:
        """But not one that has gone back meanwhile."""
        opened = self._opened()
        self.one.abort()
        self.one.submit(SetReadAside(self.one.session, opened))
        self.settle()
        self.assertIn("q 1/0:", self.store.dump())

    def test_flushed(self) -> None:
        """Nor one whose queue was emptied: its parts are being removed."""
        self.patch(self.store, "setAside", self.fail)
        self.one.submit(Empty(self.one.session, b"q"))
        self.one.submit(SetReadAside(self.one.session, self._opened()))
        self.settle()
        self.assertEqual(self.store.dump(), "q 1/1:")
