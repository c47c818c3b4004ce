"""Moves put messages into other queues, a slice at a time, and lose none."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from memq.errors import DamagedMessage, NotStored, OutOfSpace, StoreError
from memq.message import LargeBody, Message, Reason, Trace
from memq.operations.moves import Move, Redrive
from memq.test.support.readers import RuledTestCase, rules

if TYPE_CHECKING:
    from collections.abc import Callable

#: Messages without a body that a slice moves.
SLICE = 100
MANY = 1 << 30


def dead(origin: bytes, since: int = 5) -> Trace:
    """Return the trace of a dead letter."""
    return Trace(3, origin, Reason.DELIVERIES, since)


class MovesTestCase(RuledTestCase):
    """A broker whose clients move messages."""

    def setUp(self) -> None:
        """Have a client."""
        super().setUp()
        self.client = self.reader()

    def move(self, most: int = MANY) -> Any:
        """Ask to move messages of q."""
        return self.asked(Move(self.client.session, b"q", b"r", most))

    def redrive(self, most: int = MANY) -> Any:
        """Ask to move dead letters of q to their first queues."""
        return self.asked(Redrive(self.client.session, b"q", most))

    def asked(self, moving: Any) -> Any:
        """Ask for something."""
        self.client.submit(moving)
        return moving

    def total(self, moving: Any) -> int:
        """Let it happen; return how many moved, in as many slices as it took."""
        self.settle()
        count = 0
        part: Any = moving
        self.slices = 0
        while part is not None:
            self.assertTrue(part.done)
            self.slices += 1
            count += part.result
            part = part.follow()
        return count

    def put(self, *letters: tuple[bytes, Trace | None], expires: int = 0) -> None:
        """Have messages in q, each with a trace."""
        for body, trace in letters:
            self.store.push(b"q", 7, body, expires=expires, trace=trace)
        self.store.commit()

    def damage(self) -> None:
        """Let messages be damaged whose body is bad."""

        def asFound(real: Callable[[bytes], Any], queue: bytes) -> Any:
            found = real(queue)
            isBad = isinstance(found, Message) and found.body == b"bad"
            return DamagedMessage("number 1") if isBad else found

        for verb in ("peek", "pop"):
            real = getattr(self.store, verb)
            self.patch(self.store, verb, partial(asFound, real))

    def heads(self, queue: bytes) -> Message:
        """Return the head of a queue."""
        message = self.store.peek(queue)
        assert isinstance(message, Message)
        return message

    def holds(self, *lines: str) -> None:
        """Assert what the store has."""
        self.assertEqual(self.store.dump(), "\n".join(lines))


class MoveTests(MovesTestCase):
    """From the head of a queue to the end of another one."""

    def test_all(self) -> None:
        """All messages go behind those that are there, in their order."""
        self.store.fill(b"r", b"x")
        self.store.fill(b"q", b"a", b"b", b"c")
        self.assertEqual(self.total(self.move()), 3)
        self.holds("q 3/3:", "r 4/0: x a b c")

    def test_most(self) -> None:
        """A move goes so far as it is told, and no farther than what was there."""
        self.store.fill(b"q", b"a", b"b", b"c")
        self.assertEqual(self.total(self.move(2)), 2)
        self.assertEqual(self.total(self.move(2)), 1)
        self.assertEqual(self.total(self.move()), 0)
        self.holds("q 3/3:", "r 3/0: a b c")

    def test_unknown(self) -> None:
        """A queue that is not there has nothing, and no target is made for it."""
        self.assertEqual(self.total(self.move()), 0)
        self.assertEqual(self.store.names(), [])

    def test_new(self) -> None:
        """A message is a new one in its queue: without a trace, and as young as others.

        Flags and the time when it expires stay.
        """
        self.put((b"a", dead(b"w")), expires=90_000)
        self.reactor.advance(50)
        self.total(self.move())
        found = self.heads(b"r")
        self.assertEqual((found.flags, found.body, found.trace), (7, b"a", None))
        self.assertEqual((found.time, found.expires), (50_000, 90_000))

    def test_large(self) -> None:
        """Large bodies go in their places among others, and are not copied."""
        self.store.fill(b"q", b"a")
        large = LargeBody(self.store.newBody(), 3, 1)
        self.store.addPart(large.id, 0, b"abc")
        self.store.pushLarge(b"q", 0, large)
        self.store.fill(b"q", b"b")
        self.assertEqual(self.total(self.move()), 3)
        self.assertEqual(
            [m.large for m in self.store.popAll(b"r", 9) if isinstance(m, Message)],
            [None, large, None],
        )
        self.assertEqual(self.store.part(large.id, 0), b"abc")

    def test_openAndDelayed(self) -> None:
        """Messages that are open, or not due, stay."""
        self.store.fill(b"q", b"a", b"b")
        self.store.pushDelayed(b"q", 0, b"later", 10_000)
        self.store.commit()
        other = self.reader()
        other.open()
        self.settle()
        self.assertEqual(self.total(self.move()), 1)
        other.abort()
        self.settle()
        self.assertEqual(self.detail().delayed, 1)
        self.holds("q 2/1: a", "r 1/0: b")

    def test_slices(self) -> None:
        """Of many, some go at a time, by number or by bytes."""
        self.store.fill(b"q", *[b""] * (2 * SLICE + 1))
        self.assertEqual(self.total(self.move()), 2 * SLICE + 1)
        # Messages are taken 16 at a time.
        self.assertEqual(self.slices, 2)
        self.store.fill(b"q", *[bytes(60_000)] * 40)
        self.assertEqual(self.total(self.move()), 40)
        self.assertEqual(self.slices, 3)

    def test_between(self) -> None:
        """Others are served between its slices, and find each message in one place."""
        self.store.fill(b"q", *[b"%d" % n for n in range(5 * SLICE)])
        moving = self.move()
        other = self.reader()
        other.take()
        seen = 0
        for _ in range(4):
            self.turn()
            counts = {
                name: pushed - taken for name, pushed, taken in self.store.counts()
            }
            seen += 0 < counts[b"q"] < 4 * SLICE
            self.assertGreaterEqual(sum(counts.values()), 5 * SLICE - 1)
        self.assertGreater(seen, 1)
        self.assertEqual(self.total(moving), 5 * SLICE - 1)
        # It came behind the first slice.
        self.assertEqual(other.told, ["112"])

    def test_setMeanwhile(self) -> None:
        """A move ends though messages are set as fast as they move."""
        self.store.fill(b"q", *[b"a"] * 3 * SLICE)
        moving = self.move()
        for _ in range(20):
            self.asker.push(*[b"b"] * SLICE)
            self.turn()
        self.assertEqual(self.total(moving), 3 * SLICE)

    def test_wakes(self) -> None:
        """Those who wait at the target get what comes, each one."""
        waiters = [self.waiter(b"r") for _ in range(3)]
        self.store.fill(b"q", b"a", b"b")
        self.assertEqual(self.total(self.move()), 2)
        self.assertEqual([each.told for each in waiters], [["a"], ["b"], []])
        waiters[2].leave()

    def test_undone(self) -> None:
        """Of a turn that is undone, a message has moved once or not at all."""
        self.store.fill(b"q", *[b"%d" % n for n in range(3 * SLICE)])
        self.store.refuse("commit", StoreError("once"), after=0, times=1)
        moving = self.move()
        self.assertEqual(self.total(moving), 3 * SLICE)
        moved = [f"{n}" for n in range(3 * SLICE)]
        self.holds("q 300/300:", "r 300/0: " + " ".join(moved))

    def test_failed(self) -> None:
        """A slice that fails is the last one; those before it have moved."""
        self.store.fill(b"q", *[b"%d" % n for n in range(3 * SLICE)])
        error = StoreError("no")
        self.store.refuse("push", error, b"r", b"150")
        moving = self.move()
        self.settle()
        rest = moving.follow()
        self.assertIs(rest.result, error)
        self.assertIsNone(rest.follow())
        counts = {name: pushed - taken for name, pushed, taken in self.store.counts()}
        self.assertEqual(counts, {b"q": 3 * SLICE - moving.result, b"r": moving.result})

    def test_failedLater(self) -> None:
        """Messages that a slice has moved stay there when the next slice fails."""
        self.store.fill(b"q", *[b"%d" % n for n in range(5 * SLICE)])
        self.store.refuse("push", StoreError("no"), b"r", b"150")
        moving = self.move()
        self.settle()
        self.assertEqual(moving.result, 112)
        rest = moving.follow()
        self.assertIsInstance(rest.result, StoreError)
        self.holds(
            "q 500/112: " + " ".join(map(str, range(112, 500))),
            "r 112/0: " + " ".join(map(str, range(112))),
        )

    def test_failedAgain(self) -> None:
        """A slice that fails when its turn is undone and run again is the last, too."""
        self.store.fill(b"q", *[b"%d" % n for n in range(5 * SLICE)])
        self.store.refuse("commit", StoreError("once"), times=1)
        self.store.refuse("push", StoreError("no"), b"r", b"50", after=1, times=1)
        moving = self.move()
        self.settle()
        self.assertIsInstance(moving.result, StoreError)
        self.assertIsNone(moving.follow())
        self.assertEqual(self.client.told, ["no"])
        self.assertEqual(self.detail().items, 5 * SLICE)

    def test_gone(self) -> None:
        """A client that leaves ends its move where it is."""
        self.store.fill(b"q", *[b""] * 5 * SLICE)
        self.move()
        self.turn()
        self.client.leave()
        self.settle()
        left, moved = self.detail().items, self.detail(b"r").items
        self.assertEqual(left + moved, 5 * SLICE)
        self.assertLess(moved, 3 * SLICE)

    def test_stop(self) -> None:
        """A server that stops ends a move, and tells how many have moved."""
        self.store.fill(b"q", *[b""] * 5 * SLICE)
        moving = self.move()
        self.turn()
        self.broker.drain()
        self.settle()
        self.assertEqual(self.total(moving), 112)
        self.assertEqual(self.detail(b"r").items, 112)

    def test_fullDisk(self) -> None:
        """A disk without room refuses it, and it does not begin."""
        self.store.fill(b"q", b"a")
        self.broker.room.exhausted()
        moving = self.move()
        self.settle()
        self.assertIsInstance(moving.result, OutOfSpace)
        self.assertIsNone(moving.follow())
        self.holds("q 1/0: a")

    def test_damaged(self) -> None:
        """A damaged message is set aside and told, and the others move."""
        self.store.fill(b"q", b"a", b"bad", b"c")
        self.damage()
        moving = self.move(3)
        [said] = self.said(self.settle)
        self.assertIn("In queue q, to move: ", said)
        self.assertEqual(moving.result, 2)
        self.holds("q 3/3:", "r 2/0: a c")


class RuledMoveTests(MovesTestCase):
    """Moves between queues that have rules."""

    def rules(self, **tables: dict[str, Any]) -> None:
        """Let queues have rules."""
        self.broker.policies.replace(rules(**tables))

    def test_full(self) -> None:
        """Messages that the target has no room for stay; it drops nothing for them."""
        self.store.fill(b"q", b"a", b"b", b"c")
        for overflow in (False, True):
            self.rules(r={"max_items": 2, "overflow": overflow})
            moving = self.move()
            self.assertEqual(self.total(moving), 2 - 2 * overflow)
            refusal = moving.refusal
            assert isinstance(refusal, NotStored)
            self.assertEqual(
                refusal.why, "queue r is full, and sets of q go there as well"
            )
            self.holds("q 3/2: c", "r 2/0: a b")

    def test_fullBytes(self) -> None:
        """Messages stay when their bytes are too many for the target."""
        self.rules(r={"max_bytes": 5})
        self.store.fill(b"q", b"abc", b"de", b"f")
        self.assertEqual(self.total(self.move()), 2)
        self.holds("q 3/2: f", "r 2/0: abc de")

    def test_pausedTarget(self) -> None:
        """A target that is paused for writes takes nothing."""
        self.rules(r={"paused": 2})
        self.store.fill(b"q", b"a")
        moving = self.move()
        self.assertEqual(self.total(moving), 0)
        self.assertIsNotNone(moving.refusal)
        self.holds("q 1/0: a")

    def test_pausedSource(self) -> None:
        """Reads that are paused stop no move: it is no client that reads."""
        self.rules(q={"paused": 3})
        self.store.fill(b"q", b"a")
        self.assertEqual(self.total(self.move()), 1)

    def test_expired(self) -> None:
        """Messages that have expired expire, and do not move."""
        self.rules(q={"max_age": 5000, "expired_to": b"old"})
        self.store.fill(b"q", *[b"%d" % n for n in range(SLICE + 1)])
        self.reactor.advance(5)
        self.store.begin()
        self.store.fill(b"q", b"new")
        waiter = self.waiter(b"old")
        # As many as there were: it is known first how many these are.
        self.assertEqual(self.total(self.move()), 1)
        self.assertEqual(self.detail().expired, SLICE + 1)
        self.assertEqual(self.detail(b"old").pushed, SLICE + 1)
        self.assertEqual(waiter.told, ["0"])
        self.assertEqual(self.heads(b"r").body, b"new")

    def test_expiresBehind(self) -> None:
        """An expired message behind one that has not expired does not move either."""
        self.rules(q={"honor_exptime": True})
        self.put((b"a", None))
        self.put((b"b", None), expires=1000)
        self.put((b"c", None))
        self.reactor.advance(1)
        self.assertEqual(self.total(self.move()), 2)
        self.assertEqual(self.slices, 2)
        self.holds("q 3/3:", "r 2/0: a c")

    def test_damaged(self) -> None:
        """A damaged head is set aside where each is looked at first."""
        self.rules(r={"max_items": 9})
        self.store.fill(b"q", b"a", b"bad", b"c")
        self.damage()
        moving = self.move()
        self.assertEqual(len(self.said(self.settle)), 1)
        self.assertEqual(moving.result, 2)
        self.holds("q 3/3:", "r 2/0: a c")


class RedriveTests(MovesTestCase):
    """Dead letters go to the ends of their first queues."""

    def test_all(self) -> None:
        """Each goes to its own, in order; those without an origin stay."""
        self.store.fill(b"w", b"x")
        self.put(
            (b"0", None),
            (b"1", dead(b"w")),
            (b"2", dead(b"v")),
            (b"3", Trace(2)),
            (b"4", dead(b"w")),
        )
        self.assertEqual(self.total(self.redrive()), 3)
        self.holds("q 5/3: 0 3", "v 1/0: 2", "w 3/0: x 1 4")
        self.assertIsNone(self.heads(b"v").trace)
        self.assertEqual(self.total(self.redrive()), 0)

    def test_most(self) -> None:
        """It moves as many as it is told."""
        self.put(*[(b"%d" % n, dead(b"w")) for n in range(3)])
        self.assertEqual(self.total(self.redrive(2)), 2)
        self.holds("q 3/2: 2", "w 2/0: 0 1")

    def test_own(self) -> None:
        """A dead letter that is in its first queue stays there."""
        self.put((b"a", dead(b"q")))
        self.assertEqual(self.total(self.redrive()), 0)
        self.holds("q 1/0: a")

    def test_unknown(self) -> None:
        """A queue that is not there has none."""
        self.assertEqual(self.total(self.redrive()), 0)

    def test_lookedAtOnce(self) -> None:
        """Those that stay are looked at once, a few at a time."""
        self.put(*[(b"", None)] * 3 * SLICE, (b"a", dead(b"w")))
        looked: list[int] = []
        real = self.store.deadLetters

        def deadLetters(queue: bytes, first: int, end: int, limit: int) -> Any:
            looked.append(first)
            return real(queue, first, end, limit)

        self.patch(self.store, "deadLetters", deadLetters)
        self.assertEqual(self.total(self.redrive()), 1)
        self.assertEqual(looked, [0, SLICE, 2 * SLICE, 3 * SLICE])

    def test_diesAgain(self) -> None:
        """Letters that come back to the queue meanwhile are left for the next time."""
        self.put(*[(b"", dead(b"w"))] * 2 * SLICE)
        moving = self.redrive()
        for _ in range(9):
            self.turn()
            self.put((b"again", dead(b"w")))
        self.assertEqual(self.total(moving), 2 * SLICE)
        self.assertEqual(self.detail().items, 9)

    def test_refused(self) -> None:
        """Those whose first queue takes none stay, and the others go."""
        self.broker.policies.replace(rules(full={"max_items": 1}, off={"paused": 2}))
        self.put(
            *[(b"%d" % n, dead(b"full")) for n in range(2)],
            (b"2", dead(b"off")),
            (b"3", dead(b"w")),
        )
        moving = self.redrive(3)
        self.assertEqual(self.total(moving), 2)
        self.assertIsNotNone(moving.refusal)
        self.holds("full 1/0: 0", "q 4/2: 1 2", "w 1/0: 3")

    def test_expired(self) -> None:
        """Those that have expired do not go back."""
        self.rule(max_age=1000)
        self.put((b"a", dead(b"w")))
        self.reactor.advance(1)
        self.assertEqual(self.total(self.redrive()), 0)

    def test_wakes(self) -> None:
        """Those who wait for one get it."""
        waiter = self.waiter(b"w")
        self.put((b"a", dead(b"w")))
        self.assertEqual(self.total(self.redrive()), 1)
        self.assertEqual(waiter.told, ["a"])

    def test_undone(self) -> None:
        """A turn that is undone is done again, and none is left out."""
        self.put(*[(b"%d" % n, dead(b"w")) for n in range(3 * SLICE)])
        self.store.refuse("commit", StoreError("once"), times=1)
        self.assertEqual(self.total(self.redrive()), 3 * SLICE)
        moved = [f"{n}" for n in range(3 * SLICE)]
        self.holds("q 300/300:", "w 300/0: " + " ".join(moved))

    def test_deleted(self) -> None:
        """A queue that is deleted in the middle has none left."""
        self.put(*[(b"", dead(b"w"))] * 5 * SLICE)
        moving = self.redrive()
        self.turn()
        self.asker.delete()
        self.assertLess(self.total(moving), 5 * SLICE)
        self.assertEqual(self.asker.told, ["True"])
