"""Tests for testkit.ledger: it complains when it must, and only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from testkit.account import Name
from testkit.ledger import Ledger, makeBody, readBody

if TYPE_CHECKING:
    from testkit.account import Get, Set

Q = b"q"


class BodyTests(SynchronousTestCase):
    """What messages are made of."""

    def test_roundTrip(self) -> None:
        """A body of any size says which message it is."""
        for size in (0, 60, 61, 62, 1000, 200_000):
            body = makeBody(Q, Name(3, 4), size)
            self.assertEqual(len(body), max(size, 61))
            self.assertEqual(readBody(Q, body), Name(3, 4))

    def test_wrong(self) -> None:
        """A body of another queue, cut, or with other bytes is seen."""
        body = makeBody(Q, Name(3, 4), 200_000)
        part = 64 * 1024
        swapped = body[part : 2 * part] + body[:part] + body[2 * part :]
        for wrong in (
            makeBody(b"p", Name(3, 4), 100),
            makeBody(Q, Name(3, 4), 61)[:-1],
            body[:part] * 3,
            swapped,
            b"q 3 x ".ljust(61, b"."),
            b"q x 4 ".ljust(61, b"."),
            b"",
        ):
            self.assertIsNone(readBody(Q, wrong))


class LedgerTestCase(SynchronousTestCase):
    """One queue, of which clients are told."""

    def setUp(self) -> None:
        """Begin with nothing."""
        self.ledger = Ledger()
        self.producer = self.ledger.producer()

    def sent(self, count: int = 1) -> list[Set]:
        """Send sets that are not answered."""
        return [self.ledger.set(Q, self.producer) for _ in range(count)]

    def stored(self, count: int = 1) -> list[Set]:
        """Send sets that are STORED."""
        messages = self.sent(count)
        for message in messages:
            self.ledger.isStored(message)
        return messages

    def give(self, message: Set, get: Get | None = None) -> None:
        """Answer a get with a message."""
        name = message.name
        body = makeBody(Q, name, 100)
        self.ledger.got(get or self.ledger.get(Q), name.number, body)

    def deleted(self) -> None:
        """Delete the queue."""
        self.ledger.isDeleted(self.ledger.delete(Q))

    def restart(self, pushed: int, taken: int) -> None:
        """Say what the counts are after a restart."""
        self.ledger.check({Q: (pushed, taken)})

    def right(self) -> None:
        """Expect no complaint."""
        self.assertEqual(self.ledger.complaints, [])

    def wrong(self, *words: str) -> None:
        """Expect these complaints."""
        complaints = self.ledger.complaints
        self.assertEqual(len(complaints), len(words), complaints)
        for complaint, part in zip(complaints, words, strict=True):
            self.assertIn(part, complaint)


class MessageTests(LedgerTestCase):
    """What is given out, lost, doubled, and in which order."""

    def test_allGiven(self) -> None:
        """What is STORED and given out once, in order, is right."""
        for message in self.stored(3):
            self.give(message)
        self.restart(3, 3)
        self.ledger.emptied(Q)
        self.right()
        figures = self.ledger.stored, self.ledger.given, self.ledger.gone
        self.assertEqual(figures, (3, 3, 0))

    def test_lost(self) -> None:
        """A message that is STORED and not there is missed, whatever counts say."""
        self.stored(3)
        self.restart(3, 0)
        self.ledger.emptied(Q)
        self.wrong("3 waiting", "lost 3, such as Name(producer=0, number=0)")

    def test_lostWithItsCount(self) -> None:
        """So is one that counts do not know of either."""
        self.give(self.stored()[0])
        self.stored()
        self.restart(1, 1)
        self.ledger.emptied(Q)
        self.wrong("1 set, not 2 to 2", "lost 1")

    def test_takenWithoutAnswer(self) -> None:
        """A message whose get was under way may be gone."""
        first, second = self.stored(2)
        self.ledger.get(Q)
        self.restart(2, 1)
        self.give(second)
        self.ledger.emptied(Q)
        self.right()
        self.assertEqual(self.ledger.gone, 1)
        self.give(first)
        self.wrong("given out or deleted before, or lost")

    def test_keptWithoutAnswer(self) -> None:
        """It may be there, too."""
        first, second = self.stored(2)
        self.ledger.get(Q)
        self.restart(2, 0)
        self.give(first)
        self.give(second)
        self.ledger.emptied(Q)
        self.right()

    def test_moreLostThanTaken(self) -> None:
        """No more may be gone than counts say."""
        self.stored(2)
        self.ledger.get(Q)
        self.restart(2, 1)
        self.ledger.emptied(Q)
        self.wrong("1 waiting", "lost 2")

    def test_lostFromTheMiddle(self) -> None:
        """What a get took without an answer is not behind what is left."""
        first, _, third = self.stored(3)
        self.ledger.get(Q)
        self.restart(3, 1)
        self.give(first)
        self.give(third)
        self.ledger.emptied(Q)
        self.wrong("Name(producer=0, number=1) from its middle")

    def test_setWithoutAnswer(self) -> None:
        """A set without its STORED may be there or not."""
        first, *_ = self.sent(3)
        self.restart(1, 0)
        self.give(first)
        self.ledger.emptied(Q)
        self.right()

    def test_notTwice(self) -> None:
        """What was given out does not come again."""
        (message,) = self.stored()
        self.give(message)
        self.give(message)
        self.wrong("given out or deleted before")

    def test_notTwiceAfterRestart(self) -> None:
        """Nor after a restart, when its queue was found to be empty before."""
        (message,) = self.stored()
        self.give(message)
        self.restart(1, 1)
        self.ledger.emptied(Q)
        self.restart(1, 1)
        self.give(message)
        self.wrong("given out or deleted before")

    def test_neverSet(self) -> None:
        """What nobody set is not given out."""
        body = makeBody(Q, Name(0, 5), 100)
        self.ledger.got(self.ledger.get(Q), 5, body)
        self.wrong("or never set")

    def test_order(self) -> None:
        """Nothing comes behind what was set later and given out before the get."""
        first, second = self.stored(2)
        self.give(second)
        self.give(first)
        self.wrong("gave Name(producer=0, number=0), after number 1")

    def test_orderAtTheSameTime(self) -> None:
        """Two gets at the same time may be answered in any order."""
        first, second = self.stored(2)
        gets = self.ledger.get(Q), self.ledger.get(Q)
        self.give(second, gets[1])
        self.give(first, gets[0])
        self.right()

    def test_orderOfOneClient(self) -> None:
        """Two gets of one client, sent together, may not."""
        first, second = self.stored(2)
        one = self.ledger.get(Q)
        other = self.ledger.get(Q, one)
        self.give(second, one)
        self.give(first, other)
        self.wrong("after number 1")

    def test_returned(self) -> None:
        """What a client took that left may come back to its place, once a get."""
        first, second, third = self.stored(3)
        self.ledger.cut(self.ledger.get(Q))
        self.give(third)
        self.give(first)
        self.right()
        self.give(second)
        self.wrong("after number 2")

    def test_goneFromTheMiddle(self) -> None:
        """Or it may be gone, from the middle as well."""
        first, _, third = self.stored(3)
        self.ledger.cut(self.ledger.get(Q))
        self.restart(3, 1)
        self.give(first)
        self.give(third)
        self.ledger.emptied(Q)
        self.right()

    def test_damaged(self) -> None:
        """Other bytes than were sent, or other flags, are seen."""
        (message,) = self.stored()
        self.ledger.got(self.ledger.get(Q), 0, makeBody(Q, message.name, 100)[1:])
        self.ledger.got(self.ledger.get(Q), 1, makeBody(Q, message.name, 100))
        self.wrong("99 bytes and flags 0: not what", "100 bytes and flags 1: not what")


class DeleteTests(LedgerTestCase):
    """Queues that are deleted."""

    def test_deleted(self) -> None:
        """What was there before a delete is gone, and the queue with it."""
        self.give(self.stored()[0])
        self.stored()
        self.deleted()
        self.ledger.check({})
        self.ledger.emptied(Q)
        self.right()

    def test_rowBack(self) -> None:
        """A deleted queue that is there again is seen."""
        self.give(self.stored()[0])
        self.deleted()
        self.restart(1, 1)
        self.wrong("1 set, not 0 to 0", "1 taken, not 0 to 0")

    def test_messageBack(self) -> None:
        """So is a deleted message."""
        (message,) = self.stored()
        self.deleted()
        self.give(message)
        self.wrong("given out or deleted before")

    def test_getBefore(self) -> None:
        """A get that was sent before the end of a delete may give what it deletes."""
        (message,) = self.stored()
        get = self.ledger.get(Q)
        self.deleted()
        self.give(message, get)
        self.right()

    def test_setBehind(self) -> None:
        """What is set behind a delete is there, and counts alone."""
        self.stored(2)
        self.deleted()
        (message,) = self.stored()
        self.restart(1, 0)
        self.give(message)
        self.ledger.emptied(Q)
        self.right()

    def test_setBehindIsLost(self) -> None:
        """It is missed when it is not."""
        self.stored()
        self.deleted()
        self.stored()
        self.ledger.check({})
        self.ledger.emptied(Q)
        self.wrong("0 set, not 1 to 1", "lost 1")

    def test_setMeanwhile(self) -> None:
        """What is set while a delete is under way may be deleted or not."""
        for counts in ({}, {Q: (1, 0)}):
            self.setUp()
            (message,) = self.sent()
            delete = self.ledger.delete(Q)
            self.ledger.isStored(message)
            self.ledger.isDeleted(delete)
            self.ledger.check(counts)
            for _ in counts:
                self.give(message)
            self.ledger.emptied(Q)
            self.right()

    def test_withoutAnswer(self) -> None:
        """A delete without its DELETED may have happened, with all that was there."""
        first, _ = self.stored(2)
        self.give(first)
        self.ledger.delete(Q)
        self.ledger.check({})
        self.ledger.emptied(Q)
        self.right()

    def test_withoutAnswerNotDone(self) -> None:
        """Or not, and then nothing may be missing."""
        self.stored(2)
        self.ledger.delete(Q)
        self.restart(2, 0)
        self.ledger.emptied(Q)
        self.wrong("2 waiting", "lost 2")

    def test_twoAtOnce(self) -> None:
        """Two deletes at the same time may both have deleted."""
        self.stored()
        one, other = self.ledger.delete(Q), self.ledger.delete(Q)
        self.ledger.isDeleted(other)
        (message,) = self.stored()
        self.ledger.isDeleted(one)
        self.restart(1, 0)
        self.give(message)
        self.ledger.emptied(Q)
        self.right()


class CountTests(LedgerTestCase):
    """What ``stats queue`` says."""

    def test_unknownQueue(self) -> None:
        """A queue that nobody used is seen."""
        self.ledger.check({b"other": (1, 0)})
        self.wrong("b'other' is there, and was never set")

    def test_emptyRow(self) -> None:
        """So is a queue that nothing was set to."""
        self.ledger.gotNothing(self.ledger.get(Q))
        self.restart(0, 0)
        self.wrong("is there, and counts nothing")

    def test_tooMany(self) -> None:
        """More than was sent or asked for is seen."""
        self.stored()
        self.ledger.gotNothing(self.ledger.get(Q))
        self.restart(2, 1)
        self.wrong("2 set, not 1 to 1", "1 taken, not 0 to 0")

    def test_exactAfterwards(self) -> None:
        """What counts once said of commands without an answer, they say again."""
        self.sent(2)
        self.restart(1, 0)
        self.right()
        self.restart(2, 0)
        self.wrong("2 set, not 1 to 1")

    def test_waiting(self) -> None:
        """What waits is what was set and not taken; all queues are known by name."""
        self.stored(3)
        self.ledger.get(Q)
        self.restart(3, 1)
        self.assertEqual(self.ledger.waiting(Q), 2)
        self.assertEqual(self.ledger.queues, [Q])
