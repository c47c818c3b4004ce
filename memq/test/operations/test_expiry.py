"""Messages that expire, and those that were given back too often, leave their queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from memq.errors import DamagedMessage
from memq.message import LargeBody, Message, Reason, Trace
from memq.operations.base import MESSAGE_COST
from memq.operations.expiry import (
    LOOK_COST,
    Expired,
    deadLetter,
    expire,
    hasExpired,
    isWornOut,
    mayExpire,
)
from memq.policy.rules import Rule
from memq.test.support.fakes import FakeStore

if TYPE_CHECKING:
    from memq.errors import QueueError

AGE = Rule(maxAgeMs=1000)
MOVES = Rule(maxAgeMs=1000, expiredTo=b"old")


class AgeTests(SynchronousTestCase):
    """How old a message may be."""

    def test_maxAge(self) -> None:
        """By max_age it is too old that many milliseconds after its set."""
        message = Message(1, 0, 0, 5000, b"")
        self.assertFalse(hasExpired(message, AGE, 5999))
        self.assertTrue(hasExpired(message, AGE, 6000))
        self.assertFalse(hasExpired(message, AGE, 4000))
        self.assertFalse(hasExpired(message, Rule(), 1 << 60))

    def test_exptime(self) -> None:
        """By its exptime it is only where that is honored, and if it has one."""
        message = Message(1, 0, 0, 5000, b"", None, 6000)
        rule = Rule(honorExptime=True)
        self.assertFalse(hasExpired(message, rule, 5999))
        self.assertTrue(hasExpired(message, rule, 6000))
        self.assertFalse(hasExpired(message, Rule(), 6000))
        self.assertFalse(hasExpired(message._replace(expires=0), rule, 1 << 60))

    def test_both(self) -> None:
        """By age and exptime it expires at whichever comes first."""
        message = Message(1, 0, 0, 5000, b"", None, 5500)
        rule = Rule(honorExptime=True, maxAgeMs=1000)
        self.assertTrue(hasExpired(message, rule, 5500))
        self.assertTrue(hasExpired(message._replace(expires=9000), rule, 6000))

    def test_mayExpire(self) -> None:
        """Other rules do not let anything expire."""
        self.assertTrue(mayExpire(AGE))
        self.assertTrue(mayExpire(Rule(honorExptime=True)))
        self.assertFalse(mayExpire(Rule(openSeconds=1.0)))


class MovingTestCase(SynchronousTestCase):
    """A store whose messages are set at 0."""

    def setUp(self) -> None:
        """Make it."""
        self.store = FakeStore()

    def pushLarge(self) -> LargeBody:
        """Push a message to q whose body is in parts."""
        large = LargeBody(self.store.newBody(), 3, 1)
        self.store.addPart(large.id, 0, b"abc")
        self.store.pushLarge(b"q", 7, large)
        self.store.commit()
        return large

    def figures(self) -> tuple[int, int]:
        """Return how many messages of q have expired, and how many were discarded."""
        detail = self.store.detail(b"q")
        assert detail is not None
        return detail.expired, detail.discarded


class ExpireTests(MovingTestCase):
    """Messages that expire at the head of a queue."""

    def expire(self, rule: Rule = AGE, now: int = 1000) -> Expired:
        """Let it, and return what came of it."""
        found = expire(self.store, b"q", rule, now)
        self.store.commit()
        return found

    def test_dropped(self) -> None:
        """All that is too old at the head is dropped, and counted."""
        self.store.fill(b"q", b"a", b"bcd")
        self.store.seconds = lambda: 0.5
        self.store.begin()
        self.store.fill(b"q", b"e")
        self.assertEqual(self.expire(), Expired(2, 2 * MESSAGE_COST, 4, False))
        self.assertEqual(self.store.dump(), "q 3/2: e")
        self.assertEqual(self.figures(), (2, 0))

    def test_nothing(self) -> None:
        """Where nothing is too old, or there, nothing is changed."""
        self.assertEqual(self.expire(), Expired())
        self.store.fill(b"q", b"a")
        self.assertEqual(self.expire(now=999), Expired())
        self.assertEqual(self.expire(Rule()), Expired())
        self.assertEqual(self.store.dump(), "q 1/0: a")

    def test_moved(self) -> None:
        """With expired_to it moves there, and never expires by its old exptime."""
        self.store.push(b"q", 7, b"abc", expires=5)
        self.store.commit()
        rule = Rule(honorExptime=True, expiredTo=b"old")
        self.assertEqual(
            self.expire(rule, 5), Expired(1, MESSAGE_COST + 3, target=b"old")
        )
        message = self.store.pop(b"old")
        assert isinstance(message, Message)
        self.assertEqual((message.flags, message.body), (7, b"abc"))
        self.assertEqual(message.expires, 0)
        self.assertEqual(message.trace, Trace(0, b"q", Reason.EXPIRED, 5))
        self.assertEqual(self.figures(), (1, 0))

    def test_movedAfterDeliveries(self) -> None:
        """It tells how often it was given back before, and is counted anew."""
        self.store.push(b"q", 0, b"a", trace=Trace(2))
        message = self.store.openRead(b"q")
        assert isinstance(message, Message)
        self.store.abortRead(b"q", message, True)
        self.store.commit()
        self.expire(MOVES)
        found = self.store.peek(b"old")
        assert isinstance(found, Message)
        self.assertEqual(found.trace, Trace(3, b"q", Reason.EXPIRED, 1000))
        self.assertEqual(self.store.deliveries(found), 0)

    def test_movedLarge(self) -> None:
        """A body in parts goes with it."""
        large = self.pushLarge()
        self.expire(MOVES)
        message = self.store.pop(b"old")
        assert isinstance(message, Message)
        self.assertEqual((message.flags, message.large), (7, large))
        self.assertEqual(message.trace, Trace(0, b"q", Reason.EXPIRED, 1000))
        self.assertEqual(self.store.part(large.id, 0), b"abc")

    def test_droppedLarge(self) -> None:
        """A large message that is dropped lets its parts go."""
        large = self.pushLarge()
        self.assertEqual(self.expire().freed, 3)
        self.assertRaises(DamagedMessage, self.store.part, large.id, 0)

    def test_damaged(self) -> None:
        """A damaged head stays for whoever takes it."""
        self.store.fill(b"q", b"a")
        self.patch(self.store, "peek", lambda queue: DamagedMessage("number 0"))
        self.assertEqual(self.expire(), Expired())

    def test_many(self) -> None:
        """Of many, some go at a time, by number or by bytes."""
        most = LOOK_COST // MESSAGE_COST
        self.store.fill(b"q", *[b""] * (most + 1))
        self.assertEqual(self.expire(), Expired(most, LOOK_COST, 0, True))
        self.assertEqual(self.expire(), Expired(1, MESSAGE_COST, 0, False))
        self.store.fill(b"q", *[bytes(LOOK_COST)] * 2)
        found = self.expire(MOVES)
        self.assertEqual((found.messages, found.isMore), (1, True))


class BuryTests(MovingTestCase):
    """Messages that were given back too often."""

    def opened(self) -> Message:
        """Return the head of q, open."""
        message = self.store.openRead(b"q")
        self.store.commit()
        assert isinstance(message, Message)
        return message

    def test_wornOut(self) -> None:
        """It is worn out when this time makes it as often as the rule allows."""
        self.store.fill(b"q", b"a")
        told = []
        for _ in range(3):
            message = self.opened()
            rules = [Rule(), *[Rule(maxDeliveries=most) for most in (1, 2, 3)]]
            told.append([isWornOut(self.store, message, rule) for rule in rules])
            self.store.abortRead(b"q", message, True)
            self.store.commit()
        self.assertEqual(
            told,
            [
                [False, True, False, False],
                [False, True, True, False],
                [False, True, True, True],
            ],
        )

    def deadLetter(self, rule: Rule) -> Message | QueueError | None:
        """Bury the head of q, of which the reader has no body any more."""
        message = self.opened()._replace(body=b"")
        found = deadLetter(self.store, b"q", message, rule, 7000)
        self.store.commit()
        return found

    def test_moved(self) -> None:
        """It moves to dead_letter, whole."""
        self.store.fill(b"q", b"a", b"b")
        found = self.deadLetter(Rule(deadLetter=b"dead"))
        assert isinstance(found, Message)
        self.assertEqual(found.body, b"a")
        self.assertEqual(self.store.dump(), "dead 1/0: a\nq 2/1: b")
        self.assertEqual(self.figures(), (0, 0))
        dead = self.store.peek(b"dead")
        assert isinstance(dead, Message)
        self.assertEqual(dead.trace, Trace(1, b"q", Reason.DELIVERIES, 7000))

    def test_movedAgain(self) -> None:
        """A dead letter that is one again keeps its first queue, and why it left it."""
        trace = Trace(3, b"work", Reason.EXPIRED, 5000)
        self.store.push(b"q", 0, b"a", trace=trace)
        self.store.commit()
        self.deadLetter(Rule(deadLetter=b"dead"))
        dead = self.store.peek(b"dead")
        assert isinstance(dead, Message)
        self.assertEqual(dead.trace, trace._replace(deliveries=4))

    def test_movedLarge(self) -> None:
        """A body in parts goes with it."""
        large = self.pushLarge()
        self.deadLetter(Rule(deadLetter=b"dead"))
        self.assertEqual(self.store.part(large.id, 0), b"abc")

    def test_dropped(self) -> None:
        """Without dead_letter it is dropped, and counted."""
        large = self.pushLarge()
        self.assertIsNotNone(self.deadLetter(Rule()))
        self.assertEqual(self.store.dump(), "q 1/1:")
        self.assertEqual(self.figures(), (0, 1))
        self.assertRaises(DamagedMessage, self.store.part, large.id, 0)

    def test_gone(self) -> None:
        """A message that is not there any more, or damaged, does not go anywhere."""
        for refusal in (None, DamagedMessage("number 0")):
            self.store.fill(b"q", b"a")
            self.patch(self.store, "popRead", lambda *_, refusal=refusal: refusal)
            self.assertIs(self.deadLetter(Rule(deadLetter=b"dead")), refusal)
        self.assertEqual(self.store.names(), [b"q"])
