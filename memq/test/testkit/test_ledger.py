"""Tests for testkit.ledger: it complains when it must, and only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from testkit.account import Name
from testkit.ledger import Ledger, makeBody, readBody

if TYPE_CHECKING:
    from testkit.account import Delete, Get, Set

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


#: What is shown, what happens, and parts of what the ledger complains of.
CASES: dict[str, tuple[str, ...]] = {
    "What is STORED and given out once, in order, is right.": (
        "stored 3; give 0; give 1; give 2; counts 3 3; emptied",
    ),
    "A message that is STORED and not there is missed, whatever counts say.": (
        "stored 3; counts 3 0; emptied",
        *("3 waiting", "lost 3, such as Name(producer=0, number=0)"),
    ),
    "So is one that counts do not know of either.": (
        "stored 1; give 0; stored 1; counts 1 1; emptied",
        *("1 set, not 2 to 2", "lost 1"),
    ),
    "A message whose get was under way may be gone, and does not come then.": (
        "stored 2; get; counts 2 1; give 1; emptied; right; give 0",
        "given out or deleted before, or lost",
    ),
    "It may be there, too.": ("stored 2; get; counts 2 0; give 0; give 1; emptied",),
    "No more may be gone than counts say.": (
        "stored 2; get; counts 2 1; emptied",
        *("1 waiting", "lost 2"),
    ),
    "What a get took without an answer is not behind what is left.": (
        "stored 3; get; counts 3 1; give 0; give 2; emptied",
        "Name(producer=0, number=1) from its middle",
    ),
    "A set without its STORED may be there or not.": (
        "sent 3; counts 1 0; give 0; emptied",
    ),
    "What was given out does not come again.": (
        "stored 1; give 0; give 0",
        "given out or deleted before",
    ),
    "Nor after a restart, when its queue was found to be empty before.": (
        "stored 1; give 0; counts 1 1; emptied; counts 1 1; give 0",
        "given out or deleted before",
    ),
    "Nothing comes behind what was set later and given out before the get.": (
        "stored 2; give 1; give 0",
        "gave Name(producer=0, number=0), after number 1",
    ),
    "Two gets at the same time may be answered in any order.": (
        "stored 2; get; get; give 1 1; give 0 0",
    ),
    "Two gets of one client, sent together, may not.": (
        "stored 2; get; getBehind; give 1 0; give 0 1",
        "after number 1",
    ),
    "What a client took that left may come back to its place, once a get.": (
        "stored 3; cut; give 2; give 0; right; give 1",
        "after number 2",
    ),
    "Or it may be gone, from the middle as well.": (
        "stored 3; cut; counts 3 1; give 0; give 2; emptied",
    ),
    "What was there before a delete is gone, and the queue with it.": (
        "stored 1; give 0; stored 1; delete; deleted 0; counts; emptied",
    ),
    "A deleted queue that is there again is seen.": (
        "stored 1; give 0; delete; deleted 0; counts 1 1",
        *("1 set, not 0 to 0", "1 taken, not 0 to 0"),
    ),
    "So is a deleted message.": (
        "stored 1; delete; deleted 0; give 0",
        "given out or deleted before",
    ),
    "A get that was sent before the end of a delete may give what it deletes.": (
        "stored 1; get; delete; deleted 0; give 0 0",
    ),
    "What is set behind a delete is there, and counts alone.": (
        "stored 2; delete; deleted 0; stored 1; counts 1 0; give 2; emptied",
    ),
    "It is missed when it is not.": (
        "stored 1; delete; deleted 0; stored 1; counts; emptied",
        *("0 set, not 1 to 1", "lost 1"),
    ),
    "What is set while a delete is under way may be deleted.": (
        "sent 1; delete; isStored 0; deleted 0; counts; emptied",
    ),
    "Or not.": ("sent 1; delete; isStored 0; deleted 0; counts 1 0; give 0; emptied",),
    "A delete without its DELETED may have happened, with all that was there.": (
        "stored 2; give 0; delete; counts; emptied",
    ),
    "Or not, and then nothing may be missing.": (
        "stored 2; delete; counts 2 0; emptied",
        *("2 waiting", "lost 2"),
    ),
    "Two deletes at the same time may both have deleted.": (
        "stored 1; delete; delete; deleted 1; stored 1; deleted 0; counts 1 0; give 1; "
        "emptied",
    ),
    "A queue that nothing was set to is seen.": (
        "get; nothing 0; counts 0 0",
        "is there, and counts nothing",
    ),
    "More than was sent or asked for is seen.": (
        "stored 1; get; nothing 0; counts 2 1",
        *("2 set, not 1 to 1", "1 taken, not 0 to 0"),
    ),
    "What counts once said of commands without an answer, they say again.": (
        "sent 2; counts 1 0; right; counts 2 0",
        "2 set, not 1 to 1",
    ),
}


class Story:
    """What clients of one queue send and are answered, a word for each step."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._producer = self.ledger.producer()
        self._messages: list[Set] = []
        self._gets: list[Get] = []
        self._deletes: list[Delete] = []

    def tell(self, steps: str) -> list[str]:
        """Take some steps, and return what the ledger complains of."""
        for step in steps.split("; "):
            name, *numbers = step.split()
            getattr(self, name)(*map(int, numbers))
        return self.ledger.complaints

    def sent(self, count: int) -> None:
        """Send sets that are not answered."""
        self._messages += [self.ledger.set(Q, self._producer) for _ in range(count)]

    def stored(self, count: int) -> None:
        """Send sets that are STORED."""
        self.sent(count)
        for message in self._messages[-count:]:
            self.ledger.isStored(message)

    def isStored(self, number: int) -> None:
        """Answer a set with STORED."""
        self.ledger.isStored(self._messages[number])

    def get(self) -> None:
        """Send a get."""
        self._gets.append(self.ledger.get(Q))

    def getBehind(self) -> None:
        """Send one together with the last one."""
        self._gets.append(self.ledger.get(Q, self._gets[-1]))

    def give(self, number: int, get: int | None = None) -> None:
        """Answer a get, a new one if none is named, with a message."""
        name = self._messages[number].name
        asked = self.ledger.get(Q) if get is None else self._gets[get]
        self.ledger.got(asked, name.number, makeBody(Q, name, 100))

    def nothing(self, number: int) -> None:
        """Answer a get with nothing."""
        self.ledger.gotNothing(self._gets[number])

    def cut(self) -> None:
        """Send a get, and leave before its answer."""
        self.ledger.cut(self.ledger.get(Q))

    def delete(self) -> None:
        """Send a delete."""
        self._deletes.append(self.ledger.delete(Q))

    def deleted(self, number: int) -> None:
        """Answer a delete."""
        self.ledger.isDeleted(self._deletes[number])

    def counts(self, *counts: int) -> None:
        """Say what the counts are after a restart, none if there is no queue."""
        self.ledger.check({Q: (counts[0], counts[1])} if counts else {})

    def emptied(self) -> None:
        """Say that the queue is empty."""
        self.ledger.emptied(Q)

    def right(self) -> None:
        """Expect no complaint so far."""
        assert not self.ledger.complaints, self.ledger.complaints


class LedgerTests(SynchronousTestCase):
    """What the ledger complains of."""

    def test_stories(self) -> None:
        """It complains of what is wrong in each, and of nothing else."""
        for words, (steps, *expected) in CASES.items():
            complaints = Story().tell(steps)
            self.assertEqual(len(complaints), len(expected), f"{words} {complaints}")
            for complaint, part in zip(complaints, expected, strict=True):
                self.assertIn(part, complaint, words)

    def test_figures(self) -> None:
        """It knows how many were stored, given out and gone, and what waits."""
        story = Story()
        story.tell("stored 3; get; counts 3 1")
        self.assertEqual(story.ledger.waiting(Q), 2)
        self.assertEqual(story.ledger.queues, [Q])
        story.tell("give 1; give 2; emptied; right")
        figures = story.ledger.stored, story.ledger.given, story.ledger.gone
        self.assertEqual(figures, (3, 2, 1))

    def test_unknown(self) -> None:
        """What nobody set is not given out, nor is there a queue that nobody used."""
        ledger = Ledger()
        ledger.check({b"other": (1, 0)})
        ledger.got(ledger.get(Q), 5, makeBody(Q, Name(0, 5), 100))
        other, never = ledger.complaints
        self.assertIn("b'other' is there, and was never set", other)
        self.assertIn("or never set", never)

    def test_damaged(self) -> None:
        """Other bytes than were sent, or other flags, are seen."""
        ledger = Ledger()
        name = ledger.set(Q, ledger.producer()).name
        for flags, cut in ((0, 1), (1, 0)):
            ledger.got(ledger.get(Q), flags, makeBody(Q, name, 100)[cut:])
        bytes_, flags_ = ledger.complaints
        self.assertIn("99 bytes and flags 0: not what", bytes_)
        self.assertIn("100 bytes and flags 1: not what", flags_)
