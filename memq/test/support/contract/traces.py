"""The contract of a store: what became of a message before goes where it goes."""

from __future__ import annotations

from memq.message import Message, Reason, Trace
from memq.test.support.contract.base import StoreContract

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
