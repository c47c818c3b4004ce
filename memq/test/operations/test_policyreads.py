"""Reads of queues with rules: expiry, dead letters, open_timeout, and pauses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.broker.background.returns import RETURN_AGAIN
from memq.errors import OutOfSpace, StoreError
from memq.operations.base import MESSAGE_COST
from memq.operations.expiry import LOOK_COST
from memq.operations.queues import Pause, Resume
from memq.policy.rules import READS, WRITES, Rules
from memq.test.support.readers import RuledTestCase, rules

if TYPE_CHECKING:
    from memq.test.support.readers import Reader

#: Messages without a body that expire in one look.
MANY = LOOK_COST // MESSAGE_COST


class ExpiryTests(RuledTestCase):
    """Messages that expire a second after they were set."""

    def setUp(self) -> None:
        """Begin with an old message and a new one."""
        super().setUp()
        self.rule(max_age=1000)
        self.push(b"old")
        self.wait(0.5)
        self.push(b"new")
        self.wait(0.5)
        self.one = self.reader()

    def test_take(self) -> None:
        """A get takes the first one that has not expired, durably."""
        self.one.take()
        self.turn()
        self.assertEqual(self.one.told, [])
        self.flush()
        self.assertEqual(self.one.told, ["new"])
        self.assertEqual(self.store.dump(), "q 2/2:")
        self.assertEqual(self.detail().expired, 1)

    def test_open(self) -> None:
        """So does an open read; one that is open stays so whatever its age."""
        self.done(self.one.open())
        self.wait(5.0)
        self.done(self.reader().take())
        self.done(self.one.close())
        self.assertEqual(self.one.told, ["new", "1"])
        self.assertEqual((self.detail().expired, self.detail().closed), (1, 1))

    def test_openTooLong(self) -> None:
        """A message that goes back has expired by then, if it is too old."""
        self.done(self.one.open())
        self.wait(5.0)
        self.one.abort()
        self.done(self.one.take())
        self.assertEqual(self.one.told, ["new", "1", "None"])
        self.assertEqual(self.detail().expired, 2)

    def test_peek(self) -> None:
        """A look does not show what has expired."""
        self.done(self.one.peek())
        self.assertEqual(self.one.told, ["new"])
        self.assertEqual(self.store.dump(), "q 2/1: new")

    def test_nothingLeft(self) -> None:
        """When all have expired there is nothing."""
        self.wait(5.0)
        self.one.take()
        self.one.peek()
        self.done(self.one.open())
        self.assertEqual(self.one.told, ["None"] * 3)
        self.assertEqual(self.detail().expired, 2)

    def test_plain(self) -> None:
        """In a queue without rules nothing expires."""
        self.rule()
        self.done(self.one.take())
        self.assertEqual(self.one.told, ["old"])

    def test_waits(self) -> None:
        """A read that waits while everything expires gets the next message."""
        self.wait(5.0)
        self.done(self.one.take(9.0))
        self.assertEqual((self.one.told, self.store.dump()), ([], "q 2/2:"))
        self.push(b"next")
        self.assertEqual(self.one.told, ["next"])

    def test_expiresBetween(self) -> None:
        """A waiter that was woken for a message that expired keeps its place."""
        other = self.reader()
        self.wait(5.0)
        self.done(self.one.take(9.0))
        self.done(other.take(9.0))
        self.asker.push(b"a")
        self.turn()
        self.reactor.rightNow += 2.0
        self.settle()
        self.assertEqual(self.detail().expired, 3)
        self.push(b"b")
        self.assertEqual((self.one.told, other.told), (["b"], []))

    def test_moved(self) -> None:
        """With expired_to they move there, for those who wait."""
        self.rule(max_age=1000, expired_to=b"old")
        others = [self.reader() for _ in range(2)]
        for other in others:
            other.take(9.0, b"old")
        self.settle()
        self.done(self.one.take())
        self.assertEqual([reader.told for reader in others], [["old"], []])
        self.assertEqual(self.one.told, ["new"])
        self.assertEqual(self.store.dump(), "old 1/1:\nq 2/2:")

    def test_movedWhileWaiting(self) -> None:
        """So when the one that finds them goes on waiting."""
        self.rule(max_age=1000, expired_to=b"old")
        self.wait(5.0)
        other = self.reader()
        self.done(other.take(9.0, b"old"))
        self.done(self.one.take(9.0))
        self.assertEqual((self.one.told, other.told), ([], ["old"]))
        self.assertEqual(self.store.dump(), "old 2/1: new\nq 2/2:")

    def test_room(self) -> None:
        """The room of what is dropped is known to be free."""
        gains: list[int] = []
        self.patch(
            self.broker.room, "changed", lambda bytesFreed, _: gains.append(bytesFreed)
        )
        self.done(self.one.take())
        self.wait(5.0)
        self.one.take(1.0)
        self.push(b"abcd")
        self.wait(2.0)
        self.done(self.one.take(1.0))
        self.assertEqual(gains[0], 6)
        self.assertEqual(gains[-1], 4)

    def test_undone(self) -> None:
        """A turn that is undone moved nothing; the read then runs by itself."""
        self.rule(max_age=1000, expired_to=b"old")
        self.store.refuse("commit", StoreError("locks"), times=1)
        self.done(self.one.take())
        self.assertEqual(self.one.told, ["new"])
        self.assertEqual(self.store.dump(), "old 1/0: old\nq 2/2:")

    def test_noRoom(self) -> None:
        """A read that cannot move them away says so, and nothing is changed."""
        self.rule(max_age=1000, expired_to=b"old")
        self.store.refuse("push", OutOfSpace(), b"old")
        self.done(self.one.take(9.0))
        self.assertEqual(self.one.told, ["out of disk space"])
        self.assertEqual(self.store.dump(), "q 2/0: old new")


class ManyTests(RuledTestCase):
    """More expired messages than go at a time."""

    def setUp(self) -> None:
        """Have them, and one behind them that has not."""
        super().setUp()
        self.rule(max_age=1000)
        self.store.fill(b"q", *[b""] * (3 * MANY))
        self.wait(1.0)
        self.push(b"new")
        self.one, self.other = self.reader(), self.reader()

    def left(self) -> int:
        """Return how many are left."""
        detail = self.detail()
        return detail.pushed - detail.taken

    def test_slices(self) -> None:
        """A read goes on turn by turn, and others have their turns."""
        self.one.take()
        self.one.push(b"behind")
        self.turn()
        # Nobody is told anything, so nothing needs to be durable by now.
        self.assertEqual((self.left(), self.pool.pending), (2 * MANY + 1, 0))
        self.other.take(0.0, b"none")
        self.turn()
        self.flush()
        self.assertEqual(self.other.told, ["None"])
        self.settle()
        self.assertEqual(self.one.told, ["new", str(3 * MANY + 1)])
        self.assertEqual(self.store.dump(), f"q {3 * MANY + 2}/{3 * MANY + 1}: behind")

    def test_peek(self) -> None:
        """So do a look and an open read, whether they may wait or not."""
        self.done(self.one.peek(9.0))
        self.assertEqual(self.one.told, ["new"])
        self.store.fill(b"q", *[b""] * (3 * MANY))
        self.wait(1.0)
        self.push(b"newer")
        self.done(self.one.open())
        self.assertEqual(self.one.told, ["new", "newer"])

    def test_line(self) -> None:
        """Earlier waiters stand before those that come while it goes on."""
        self.wait(2.0)
        self.rule(max_age=1000, paused=READS)
        self.done(self.one.take(9.0))
        self.done(self.other.take(9.0))
        self.store.fill(b"q", *[b""] * (3 * MANY))
        self.wait(2.0)
        self.rule(max_age=1000)
        third = self.reader()
        third.take(9.0)
        self.turn()
        self.push(b"a", b"b", b"c")
        self.assertEqual(
            (self.one.told, self.other.told, third.told), (["a"], ["b"], ["c"])
        )

    def test_newcomer(self) -> None:
        """A read that comes behind an unfinished one does not get before it."""
        self.one.take(9.0)
        self.turn()
        self.other.take(9.0)
        third = self.reader()
        self.done(third.take(9.0))
        self.assertEqual((self.one.told, self.other.told), (["new"], []))
        self.push(b"a", b"b")
        self.assertEqual((self.other.told, third.told), (["a"], ["b"]))

    def test_undone(self) -> None:
        """A turn that is undone is run again one by one, and goes on."""
        self.store.refuse("commit", StoreError("locks"), times=1)
        self.one.take()
        self.one.push(b"behind")
        self.other.push(b"other")
        self.turn()
        self.assertEqual(self.left(), 2 * MANY + 2)
        self.settle()
        self.assertEqual(self.one.told[0], "new")
        self.assertEqual(len(self.other.told), 1)
        self.assertTrue(self.store.dump().endswith(": other behind"))

    def test_failed(self) -> None:
        """One whose part cannot be committed is told, and ends there."""
        self.store.refuse("commit", StoreError("locks"), times=2)
        self.done(self.one.take(5.0))
        self.assertEqual(self.one.told, ["locks"])
        self.assertEqual(self.left(), 3 * MANY + 1)

    def test_gone(self) -> None:
        """It ends with its client."""
        self.one.take()
        self.turn()
        self.one.leave()
        self.settle()
        self.assertEqual(self.left(), 2 * MANY + 1)

    def test_blocked(self) -> None:
        """It waits for a client that does not read, and holds up nobody."""
        self.one.take()
        self.turn()
        self.one.session.block()
        self.settle()
        self.assertEqual(self.left(), 2 * MANY + 1)
        self.one.session.unblock()
        self.settle()
        self.assertEqual(self.one.told, ["new"])


class DeadLetterTests(RuledTestCase):
    """Messages that may be given back twice."""

    def setUp(self) -> None:
        """Begin with two messages."""
        super().setUp()
        self.rule(max_deliveries=2, dead_letter=b"dead")
        self.push(b"a", b"b")
        self.one = self.reader()

    def abort(self) -> None:
        """Open the head, and give it back."""
        self.one.open()
        self.done(self.one.abort())

    def test_moved(self) -> None:
        """The second time it moves to dead_letter, for those who wait there."""
        other = self.reader()
        other.take(9.0, b"dead")
        self.abort()
        self.assertEqual(self.store.dump(), "q 2/0: a b")
        turns = self.broker.turns
        self.abort()
        self.assertEqual(self.broker.turns, turns + 2)
        self.assertEqual(other.told, ["a"])
        self.assertEqual(self.one.told, ["a", "1", "a", "1"])
        self.assertEqual(self.store.dump(), "dead 1/1:\nq 2/1: b")
        self.assertEqual((self.detail().returns, self.detail().discarded), (2, 0))
        self.assertEqual(self.detail().closed, 0)

    def test_dropped(self) -> None:
        """Without dead_letter it is dropped, and counted."""
        self.rule(max_deliveries=1)
        gains: list[int] = []
        self.patch(
            self.broker.room, "changed", lambda bytesFreed, _: gains.append(bytesFreed)
        )
        self.abort()
        self.assertEqual(self.store.dump(), "q 2/1: b")
        self.assertEqual((self.detail().discarded, gains), (1, [1]))

    def test_readerGone(self) -> None:
        """So when its reader is gone, unless it was never sent."""
        self.rule(max_deliveries=1, dead_letter=b"dead")
        self.done(self.one.open())
        self.one.leave()
        other = self.reader()
        other.open()
        self.turn()
        other.leave()
        self.settle()
        self.assertEqual(self.store.dump(), "dead 1/0: a\nq 2/1: b")

    def test_overdue(self) -> None:
        """So when its reader took too long."""
        self.rule(max_deliveries=1, dead_letter=b"dead", open_timeout=5.0)
        self.done(self.one.open())
        self.wait(5.0)
        self.assertEqual(self.store.dump(), "dead 1/0: a\nq 2/1: b")
        self.done(self.one.close())
        self.assertEqual(self.one.told, ["a", "0"])

    def test_notCounted(self) -> None:
        """When it cannot be moved it goes back all the same."""
        self.rule(max_deliveries=1, dead_letter=b"dead")
        self.store.refuse("push", OutOfSpace(), b"dead")
        self.abort()
        self.assertEqual(self.one.told, ["a", "1"])
        self.assertEqual((self.store.dump(), self.deliveries(0)), ("q 2/0: a b", 0))

    def test_deleted(self) -> None:
        """One whose queue is gone goes nowhere."""
        self.rule(max_deliveries=1, dead_letter=b"dead")
        self.one.open()
        self.asker.delete()
        self.settle()
        self.done(self.one.abort())
        self.assertEqual((self.one.told, self.store.dump()), (["a", "0"], ""))

    def test_undone(self) -> None:
        """A move that is undone is made again."""
        self.rule(max_deliveries=1, dead_letter=b"dead")
        self.done(self.one.open())
        self.store.refuse("commit", StoreError("locks"), times=1)
        self.done(self.one.abort())
        self.assertEqual(self.store.dump(), "dead 1/0: a\nq 2/1: b")

    def test_atStop(self) -> None:
        """The end of the server is nobody's fault: nothing moves."""
        self.rule(max_deliveries=1, dead_letter=b"dead")
        self.done(self.one.open())
        self.broker.stop()
        self.one.leave()
        self.settle()
        self.assertNotIn("dead", self.store.dump())


class TimeoutTests(RuledTestCase):
    """How long a read may be open."""

    def test_rule(self) -> None:
        """The rule says that which holds when it is opened."""
        self.rule(open_timeout=5.0)
        self.push(b"a")
        one = self.reader()
        self.done(one.open())
        self.rule(open_timeout=1.0)
        self.wait(4.0)
        self.assertEqual(self.detail().open, 1)
        self.wait(1.0)
        self.assertEqual((self.detail().open, self.detail().returns), (0, 1))
        self.done(one.open())
        self.wait(1.0)
        self.assertEqual(self.detail().returns, 2)

    def test_none(self) -> None:
        """Without one it may for ever; a rule that comes later is for later ones."""
        self.rule(max_age=1000)
        self.push(b"a", b"b")
        one, other = self.reader(), self.reader()
        self.done(one.open())
        self.rule(open_timeout=2.0)
        self.done(other.open())
        self.wait(99.0)
        self.assertEqual((self.detail().open, self.detail().returns), (1, 1))

    def test_sweptAway(self) -> None:
        """A message that goes back by itself while the disk is full is tried again."""
        self.rule(open_timeout=5.0, max_deliveries=1, dead_letter=b"dead")
        self.push(b"a")
        self.done(self.reader().open())
        self.store.refuse("push", OutOfSpace(), b"dead", times=2)
        self.store.refuse("abortRead", OutOfSpace(), times=1)
        self.wait(5.0)
        self.assertEqual(self.detail().open, 1)
        self.wait(RETURN_AGAIN)
        self.assertEqual(self.store.dump(), "dead 1/0: a\nq 1/1:")


class PauseTests(RuledTestCase):
    """Queues that are paused for reads."""

    def setUp(self) -> None:
        """Begin with a message."""
        super().setUp()
        self.push(b"a")
        self.one, self.other = self.reader(), self.reader()

    def pause(self, bits: int = READS) -> None:
        """Pause q."""
        self.broker.policies.activate()
        self.asker.submit(Pause(self.asker.session, b"q", bits))
        self.settle()

    def resume(self, queue: bytes = b"q") -> None:
        """Let it go on."""
        self.asker.submit(Resume(self.asker.session, queue))
        self.settle()

    def told(self) -> list[str]:
        """Return what both were told."""
        return [*self.one.told, *self.other.told]

    def test_reads(self) -> None:
        """There is nothing for any read, until it is resumed."""
        self.pause()
        for read in (self.one.take, self.one.open, self.one.peek):
            read()
        self.settle()
        self.assertEqual(self.one.told, ["None"] * 3)
        self.resume()
        self.done(self.one.take())
        self.assertEqual(self.one.told[3:], ["a"])

    def test_waits(self) -> None:
        """Waiters go on waiting, whatever comes; resume serves them in order."""
        self.pause()
        self.done(self.one.take(9.0))
        self.done(self.other.take(9.0))
        self.push(b"b")
        self.assertEqual(self.told(), [])
        self.resume()
        self.assertEqual((self.one.told, self.other.told), (["a"], ["b"]))

    def test_waitsOn(self) -> None:
        """Resume wakes those for whom there is nothing, and they keep their place."""
        self.pause()
        for reader in (self.one, self.other):
            self.done(reader.take(9.0))
        self.resume()
        third = self.reader()
        self.done(third.take(9.0))
        self.push(b"b")
        self.assertEqual((self.told(), third.told), (["a", "b"], []))

    def test_late(self) -> None:
        """Its time goes on."""
        self.pause()
        self.done(self.one.take(1.0))
        self.wait(1.0)
        self.assertEqual(self.one.told, ["None"])

    def test_open(self) -> None:
        """An open message can be closed and aborted."""
        self.push(b"b")
        self.one.open()
        self.done(self.other.open())
        self.pause()
        self.one.close()
        self.done(self.other.abort())
        self.done(self.one.open(after=self.one.close()))
        self.assertEqual(self.one.told, ["a", "1", "0", "None"])
        self.assertEqual(self.other.told, ["b", "1"])

    def test_bits(self) -> None:
        """A pause is added to what is paused; a resume ends all of it."""
        self.pause(WRITES)
        self.assertEqual(self.detail().paused, WRITES)
        self.pause(READS)
        self.assertEqual(self.detail().paused, READS | WRITES)
        self.resume()
        self.assertEqual(self.detail().paused, 0)

    def test_writesOnly(self) -> None:
        """A queue that is paused for writes is read."""
        self.pause(WRITES)
        self.done(self.one.take())
        self.assertEqual(self.one.told, ["a"])

    def test_durable(self) -> None:
        """Either is told when it is durable."""
        self.broker.policies.activate()
        self.asker.submit(Pause(self.asker.session, b"q", READS))
        self.turn()
        self.assertEqual(self.asker.told, ["0"])
        self.flush()
        self.asker.submit(Resume(self.asker.session, b"q"))
        self.turn()
        self.assertEqual(self.asker.told, ["0", "None"])
        self.flush()
        self.assertEqual(self.asker.told, ["0", "None", "True"])

    def test_unknown(self) -> None:
        """A pause makes a queue, a resume does not."""
        self.done(self.one.take(9.0, b"r"))
        self.resume(b"r")
        self.assertEqual(self.asker.told[1:], ["False"])
        self.assertEqual(self.broker.waiters(b"r"), 1)
        self.asker.submit(Pause(self.asker.session, b"r", READS))
        self.settle()
        self.assertEqual(self.store.dump(), "q 1/0: a\nr 0/0:")

    def test_rule(self) -> None:
        """A rule pauses as well, and wakes those who wait when it is gone."""
        self.rule(paused=READS)
        waiting: list[Reader] = [self.one, self.other]
        for reader in waiting:
            self.done(reader.take(9.0))
        self.resume()
        self.assertEqual(self.told(), [])
        self.broker.policies.replace(Rules())
        self.settle()
        self.assertEqual(self.told(), ["a"])

    def test_ruleOfOther(self) -> None:
        """Nobody gets anything that is not for him when rules change."""
        self.done(self.one.take(9.0, b"r"))
        changes: list[dict[str, Any]] = [{"paused": READS}, {}]
        for values in changes:
            self.broker.policies.replace(rules(s=values))
            self.settle()
        self.assertEqual((self.told(), self.broker.waiters(b"r")), ([], 1))
