"""The contract of a store: what became of a message before goes where it goes."""

from __future__ import annotations

from memq.message import Message, Reason, Trace
from memq.test.support.contract.base import StoreContract
from memq.test.support.homes import dump

DEAD = Trace(3, b"work", Reason.DELIVERIES, 1_700_000_000_000)
RETRIED = Trace(4)


class TracesContract(StoreContract):
    """Traces of messages, and the deliveries that they tell."""

    def traced(self) -> list[Message]:
        """Take three messages from q: small and large with a trace, and without."""
        large = self.upload(b"one", b"two")
        self.assertEqual(self.q.push(1, b"a", expires=5, trace=DEAD), 0)
        self.assertEqual(self.q.pushLarge(2, large, trace=RETRIED), 1)
        self.push(b"q", b"c")
        messages = [self.q.pop() for _ in range(3)]
        self.assertEqual(
            [(m.flags, m.body, m.large, m.expires, m.trace) for m in messages],
            [
                (1, b"a", None, 5, DEAD),
                (2, b"", large, 0, RETRIED),
                (0, b"c", None, 0, None),
            ],
        )
        return messages

    def test_trace(self) -> None:
        """A message carries its trace, out and in again."""
        messages = self.traced()
        for message in messages:
            self.assertTrue(self.q.putBack(message))
        self.assertEqual(self.q.peek(), messages[0])
        self.assertEqual([self.q.pop() for _ in range(3)], messages)

    def test_traceOfRun(self) -> None:
        """A message with a trace stands in its place between others of its turn."""
        with self.done() as store:
            store.pushAll(b"q", [(0, b"0"), (0, b"1")])
            store.push(b"q", 0, b"2", trace=DEAD)
            store.pushAll(b"q", [(0, b"3"), (0, b"4")])
        found = self.q.popAll(9)
        self.assertEqual([m.body for m in found], [b"0", b"1", b"2", b"3", b"4"])
        self.assertEqual([m.trace for m in found], [None, None, DEAD, None, None])

    def test_traceOfOpenRead(self) -> None:
        """An open message has its trace, and has it still when it is back or taken."""
        messages = self.traced()
        for message in messages:
            self.q.putBack(message)
        self.assertEqual([self.q.openRead() for _ in range(3)], messages)
        self.q.abortRead(messages[0], True)
        self.assertEqual(self.q.openRead(), messages[0])
        for message in messages:
            self.assertEqual(self.q.popRead(message._replace(body=b"")), message)

    def test_traceOfDelayed(self) -> None:
        """A delayed message has the trace and the time that it came with."""
        large = self.upload(b"one")
        with self.done() as store:
            store.pushDelayed(b"q", 1, b"a", 50, trace=RETRIED, time=1234)
            store.pushDelayed(b"q", 2, large, 60, expires=90, trace=DEAD)
        self.assertEqual(self.promoteDue(60), [b"q", b"q"])
        first, second = self.q.pop(), self.q.pop()
        self.assertEqual((first.time, first.trace), (1234, RETRIED))
        self.assertGreater(second.time, 1_700_000_000_000)
        self.assertEqual(second.large, large)
        self.assertEqual((second.expires, second.trace), (90, DEAD))

    def test_deliveriesCountOn(self) -> None:
        """Deliveries of a message that is retried count on, those of a dead letter not.

        Those of a dead letter that is retried are counted beside.
        """
        for trace, before in (
            (RETRIED, 4),
            (DEAD, 0),
            (DEAD._replace(again=2), 2),
            (None, 0),
        ):
            self.q.push(0, b"x", trace=trace)
            message = self.q.openRead()
            self.assertEqual(self.store.deliveries(message), before)
            self.q.abortRead(message, True)
            self.assertEqual(self.store.deliveries(self.q.peek()), before + 1)
            self.q.pop()
            self.assertEqual(self.store.deliveries(message), before)

    # Dead letters in the midst of others.

    def letters(self) -> list[Message]:
        """Have five messages in q, of which those with odd numbers are dead letters."""
        with self.done() as store:
            for number in range(5):
                trace = DEAD if number % 2 else None
                store.push(b"q", number, b"%d" % number, trace=trace)
        found, _ = self.found()
        self.assertEqual([(m.sequence, m.trace) for m in found], [(1, DEAD), (3, DEAD)])
        return found

    def found(
        self, first: int = 0, end: int = 99, limit: int = 99_999
    ) -> tuple[list[Message], int]:
        """Look for dead letters in q."""
        found: tuple[list[Message], int] = self.q.deadLetters(first, end, limit)
        return found

    def numbers(self, *where: int) -> tuple[list[int], int]:
        """Return the numbers of those that are found, and where to go on."""
        found, reached = self.found(*where)
        return [message.sequence for message in found], reached

    def test_deadLetters(self) -> None:
        """They are found from a number on and up to another, a few at a time."""
        self.letters()
        self.assertEqual(self.store.nextNumber(b"q"), 5)
        self.assertEqual(self.store.nextNumber(b"none"), 0)
        self.assertEqual(self.none.deadLetters(0, 9, 9999), ([], 9))
        self.assertEqual(self.numbers(0, 5), ([1, 3], 5))
        self.assertEqual(self.numbers(2, 5), ([3], 5))
        self.assertEqual(self.numbers(0, 3), ([1], 3))
        self.assertEqual(self.numbers(0, 5, 2048), ([1], 2))
        self.assertEqual(self.numbers(0, 5, 1), ([], 1))

    def test_noDeadLetters(self) -> None:
        """Those that were retried later are none, nor those that are open."""
        letters = self.letters()
        self.q.push(0, b"again", trace=RETRIED)
        first, second = self.q.openRead(), self.q.openRead()
        self.assertEqual(second, letters[0])
        self.assertEqual(self.numbers(), ([3], 99))
        self.q.abortRead(second, True)
        self.assertEqual(self.numbers(), ([1, 3], 99))
        self.q.abortRead(first, False)

    def test_takeOut(self) -> None:
        """One that is taken out leaves the others in their places, also when undone."""
        one, three = self.letters()
        before = dump(self.store)
        with self.undone() as store:
            store.takeOut(b"q", three)
            store.pop(b"q")
            store.takeOut(b"q", one)
        self.assertHolds(before)
        self.q.takeOut(three)
        self.assertHolds("q 5/1\n  0 0 b'0'\n  1 1 b'1'\n  2 2 b'2'\n  4 4 b'4'")
        self.assertEqual(self.detail().bytes, 4)
        self.q.takeOut(one)
        self.assertEqual(self.bodies(b"q"), [b"0", b"2", b"4"])

    def test_takeOutWithinATurn(self) -> None:
        """So it is among other changes of one turn."""
        self.letters()
        with self.done() as store:
            store.pushAll(b"q", [(0, b"5"), (0, b"6")])
            first = store.pop(b"q")
            found, _ = store.deadLetters(b"q", 0, 99, 99_999)
            for message in found:
                store.takeOut(b"q", message)
            taken = [first, *store.popAll(b"q", 2)]
            store.push(b"r", 0, b"x")
            taken += store.popAll(b"q", 9)
        self.assertEqual([m.body for m in taken], [b"0", b"2", b"4", b"5", b"6"])

    def test_takeOutOfTheReturned(self) -> None:
        """One that was given back is taken out as well, and its deliveries forgotten.

        Others stay open meanwhile.
        """
        letters = self.letters()
        reads = [self.q.openRead() for _ in range(3)]
        self.q.abortRead(reads[1], True)
        before = dump(self.store)
        with self.undone() as store:
            for message in letters:
                store.takeOut(b"q", message)
        self.assertHolds(before)
        self.assertEqual([self.store.deliveries(m) for m in letters], [1, 0])
        for message in letters:
            self.q.takeOut(message)
        self.assertEqual([self.store.deliveries(m) for m in letters], [0, 0])
        self.assertEqual(self.bodies(b"q"), [b"4"])
        self.q.abortRead(reads[0], False)
        self.q.abortRead(reads[2], False)
        self.assertEqual(self.bodies(b"q"), [b"0", b"2"])

    def test_takeOutLarge(self) -> None:
        """A body in parts can be another message's in the same transaction."""
        large = self.upload(b"one", b"two")
        self.q.pushLarge(3, large, trace=DEAD)
        [message], _ = self.found()
        with self.done() as store:
            store.takeOut(b"q", message)
            store.pushLarge(b"r", 3, large)
        self.sweepAll()
        self.assertEqual(self.r.pop().large, large)
        self.assertEqual(self.parts(large), [b"one", b"two"])
