"""The contract of IQueueStore: one suite, run on every store."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from memq.errors import DamagedMessage
from memq.interfaces import Kept, QueueDetail
from memq.message import LargeBody
from memq.storage.maintenance import IMaintainedStore
from memq.test.support.homes import details, dump
from memq.test.support.stepped import collect

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.message import Message

MEGABYTE = 1024 * 1024


class StoreContract:
    """What holds for every store; mixed into a test case."""

    store: Any

    def setUp(self: Any) -> None:
        """Open what makeStore, the test case's own, makes."""
        self.store = self.makeStore()
        self.store.open()

    def tearDown(self) -> None:
        """Close it, and let lost failures blame their own test."""
        self.store.close()
        collect()

    def transact(self, work: Callable[[], Any]) -> Any:
        """Do something in a transaction, and return what it returned."""
        self.store.begin()
        result = work()
        self.store.commit()
        return result

    def push(self, queue: bytes, *bodies: bytes) -> None:
        """Append messages in a transaction of their own."""
        self.transact(lambda: [self.store.push(queue, 0, body) for body in bodies])

    def pop(self, queue: bytes) -> Any:
        """Take a message in a transaction of its own."""
        return self.transact(lambda: self.store.pop(queue))

    def bodies(self, queue: bytes) -> list[bytes]:
        """Take all messages of a queue."""
        found = []
        while (message := self.pop(queue)) is not None:
            found.append(message.body)
        return found

    def test_interface(self: Any) -> None:
        """It provides the interface."""
        self.assertTrue(verifyObject(IMaintainedStore, self.store))

    def test_newStore(self: Any) -> None:
        """A new store has no queues, and nothing to sweep."""
        self.assertEqual(dump(self.store), "")
        self.assertEqual(self.store.status()["queues"], 0)
        self.assertFalse(self.store.hasGarbage())
        self.assertFalse(self.store.sweep(10))

    def test_order(self: Any) -> None:
        """Messages come out in the order in which they went in."""
        bodies = [b"%d" % number for number in range(300)]
        self.push(b"q", *bodies)
        self.assertEqual(self.bodies(b"q"), bodies)

    def test_runs(self: Any) -> None:
        """Runs of messages go in and come out as they would one by one."""
        store = self.store
        first = self.transact(lambda: store.pushAll(b"q", [(7, b"a"), (8, b"b")]))
        self.assertEqual(first, 0)
        self.assertEqual(self.transact(lambda: store.push(b"q", 9, b"c")), 2)
        self.push(b"r", b"x")
        self.assertEqual(self.transact(lambda: store.pushAll(b"q", [(1, b"d")])), 3)

        def take() -> list[Any]:
            one = store.pop(b"q")
            two = store.popAll(b"q", 2)
            other = store.popAll(b"r", 16)
            rest = store.popAll(b"q", 16)
            return [one, *two, *rest, *other]

        found = [(m.sequence, m.flags, m.body) for m in self.transact(take)]
        expected = [
            (0, 7, b"a"),
            (1, 8, b"b"),
            (2, 9, b"c"),
            (3, 1, b"d"),
            (0, 0, b"x"),
        ]
        self.assertEqual(found, expected)
        for queue in (b"q", b"none"):
            self.assertEqual(self.transact(lambda q=queue: store.popAll(q, 3)), [])
        self.assertEqual(list(store.counts()), [(b"q", 4, 4), (b"r", 1, 1)])

    def test_runsUndone(self: Any) -> None:
        """What is undone of them is as if it had never been."""
        self.push(b"q", b"a", b"b")
        before = dump(self.store)
        self.store.begin()
        self.store.pushAll(b"q", [(0, b"c"), (0, b"d")])
        self.store.pushAll(b"new", [(0, b"e")])
        self.store.popAll(b"q", 3)
        self.store.abort()
        self.assertEqual(dump(self.store), before)
        self.assertEqual(self.bodies(b"q"), [b"a", b"b"])

    def test_places(self: Any) -> None:
        """A push tells the message's place; places only go up."""
        self.push(b"q", b"0", b"1")
        self.pop(b"q")
        self.assertEqual(self.transact(lambda: self.store.push(b"q", 0, b"2")), 2)

    def test_message(self: Any) -> None:
        """A message has its flags, time, place and body."""
        sequence = self.transact(lambda: self.store.push(b"q", 4294967295, b"x"))
        message = self.pop(b"q")
        self.assertEqual(
            (message.sequence, message.flags, message.body),
            (sequence, 4294967295, b"x"),
        )
        self.assertGreater(message.time, 1_700_000_000_000)

    def test_bodies(self: Any) -> None:
        """Bodies are any bytes, from none to 64 MiB."""
        for body in (b"", b"\0", bytes(range(256)), b"\r\nEND\r\n", b"x" * MEGABYTE):
            self.push(b"q", body)
            self.assertEqual(self.pop(b"q").body, body)

    def test_largestBody(self: Any) -> None:
        """A body of 64 MiB comes back whole."""
        body = b"0123456789abcdef" * (4 * MEGABYTE)
        self.push(b"q", body)
        self.assertTrue(self.pop(b"q").body == body)

    def upload(self, *parts: bytes) -> LargeBody:
        """Add the parts of a body, each in a transaction of its own."""
        body = self.store.newBody()
        for number, data in enumerate(parts):
            self.transact(partial(self.store.addPart, body, number, data))
        return LargeBody(body, sum(map(len, parts)), len(parts))

    def pushLarge(self, queue: bytes, *parts: bytes) -> LargeBody:
        """Append a message whose body has these parts."""
        large = self.upload(*parts)
        self.transact(lambda: self.store.pushLarge(queue, 3, large))
        return large

    def sweepAll(self) -> None:
        """Remove all that nobody can read."""
        while self.store.hasGarbage():
            self.store.sweep(1)

    def test_parts(self: Any) -> None:
        """A body that came in parts is read in parts, until it is released."""
        large = self.pushLarge(b"q", b"one", b"two", b"three")
        self.push(b"q", b"small")
        message = self.pop(b"q")
        self.assertEqual((message.large, message.body, message.flags), (large, b"", 3))
        self.assertEqual(message.size, 11)
        self.assertFalse(self.store.hasGarbage())
        parts = [self.store.part(large.id, number) for number in range(3)]
        self.assertEqual(parts, [b"one", b"two", b"three"])
        self.store.release(large.id)
        self.store.release(large.id)
        self.sweepAll()
        self.assertEqual(self.bodies(b"q"), [b"small"])

    def test_partsAgain(self: Any) -> None:
        """A transaction with a part that was undone can be done again."""
        body = self.store.newBody()
        self.store.begin()
        self.store.addPart(body, 0, b"lost")
        self.store.abort()
        self.transact(lambda: self.store.addPart(body, 0, b"kept"))
        self.assertEqual(self.store.part(body, 0), b"kept")

    def test_undonePart(self: Any) -> None:
        """A part that is undone leaves those before it, however alike they are."""
        large = self.upload(b"same", b"other")
        self.store.begin()
        self.store.addPart(large.id, 2, b"same")
        self.store.abort()
        parts = [self.store.part(large.id, number) for number in range(2)]
        self.assertEqual(parts, [b"same", b"other"])

    def test_releaseWhatIsNotThere(self: Any) -> None:
        """A body of which nothing could be kept is released like any other."""
        body = self.store.newBody()
        self.store.begin()
        self.store.addPart(body, 0, b"lost")
        self.store.abort()
        self.store.release(body)
        self.sweepAll()
        kept = self.pushLarge(b"q", b"one")
        self.store.release(body)
        self.sweepAll()
        self.assertEqual(self.pop(b"q").large, kept)

    def test_putBackParts(self: Any) -> None:
        """A message with parts goes back with all of them."""
        large = self.pushLarge(b"q", b"one", b"two")
        self.push(b"q", b"small")
        message = self.pop(b"q")
        self.assertTrue(self.transact(lambda: self.store.putBack(b"q", message)))
        self.assertEqual(self.pop(b"q"), message)
        self.assertEqual(self.store.part(large.id, 1), b"two")

    def test_putBackPartsAfterDelete(self: Any) -> None:
        """If the queue is gone, so are they."""
        self.pushLarge(b"q", b"one")
        message = self.pop(b"q")
        self.transact(lambda: self.store.delete(b"q"))
        self.assertFalse(self.transact(lambda: self.store.putBack(b"q", message)))
        self.sweepAll()
        self.assertEqual(dump(self.store), "")

    def test_deleteParts(self: Any) -> None:
        """A deleted queue's bodies are removed with it, others stay."""
        self.pushLarge(b"q", b"one", b"two")
        self.push(b"q", b"small")
        kept = self.pushLarge(b"r", b"three")
        self.transact(lambda: self.store.delete(b"q"))
        self.sweepAll()
        self.assertEqual(self.store.part(kept.id, 0), b"three")

    def test_setAsideParts(self: Any) -> None:
        """A message with a damaged part can be kept out of the way."""
        self.pushLarge(b"q", b"one")
        message = self.pop(b"q")
        self.transact(lambda: self.store.setAside(message))
        self.sweepAll()
        self.assertEqual(dump(self.store), "q 1/1")

    def test_names(self: Any) -> None:
        """Queues keep apart, however alike their names are."""
        names = [b"q", b"q1", b"Q", b"..", b"messages", b"\xff" * 250, b"!"]
        for name in names:
            self.push(name, name)
        for name in names:
            self.assertEqual(self.bodies(name), [name])

    def test_popOfNothing(self: Any) -> None:
        """There is nothing in a queue that is empty, or is not there."""
        self.push(b"q", b"x")
        self.pop(b"q")
        self.assertIsNone(self.pop(b"q"))
        self.assertIsNone(self.pop(b"other"))
        self.assertEqual(dump(self.store), "q 1/1")

    def test_counts(self: Any) -> None:
        """Counts are sorted by name, and say how many went in and out."""
        self.push(b"b", b"1", b"2", b"3")
        self.push(b"a", b"1")
        self.pop(b"b")
        self.assertEqual(list(self.store.counts()), [(b"a", 1, 0), (b"b", 3, 1)])
        status = self.store.status()
        self.assertEqual((status["queues"], status["messages"]), (2, 3))
        del status["messages"]
        self.assertEqual(self.store.figures(), status)

    def test_sums(self: Any) -> None:
        """What queues have together is that of those that there are."""
        self.push(b"a", b"1", b"22")
        self.push(b"b", b"333", b"4444")
        self.pop(b"b")
        self.transact(lambda: self.store.countExpired(b"a", 5))
        self.transact(lambda: self.store.countDiscarded(b"b", 6))
        self.assertEqual(self.store.sums([b"a", b"none"]), (2, 3, 5, 0))
        self.assertEqual(self.store.sums([b"a", b"b"]), (3, 7, 5, 6))
        self.assertEqual(self.store.sums([]), (0, 0, 0, 0))

    def test_peek(self: Any) -> None:
        """A peek shows the head and leaves it there."""
        self.push(b"q", b"1", b"2")
        self.assertEqual(self.transact(lambda: self.store.peek(b"q")).body, b"1")
        self.assertEqual(self.bodies(b"q"), [b"1", b"2"])

    def test_peekAtNothing(self: Any) -> None:
        """A peek at an empty queue, or none, shows nothing."""
        self.push(b"q", b"1")
        self.pop(b"q")
        self.assertIsNone(self.transact(lambda: self.store.peek(b"q")))
        self.assertIsNone(self.transact(lambda: self.store.peek(b"other")))

    def test_putBack(self: Any) -> None:
        """Messages that are put back stand in their old places."""
        self.push(b"q", b"0", b"1", b"2", b"3", b"4")
        taken = [self.pop(b"q") for _ in range(4)]
        for message in (taken[2], taken[0], taken[3]):
            self.assertTrue(
                self.transact(lambda back=message: self.store.putBack(b"q", back))
            )
        self.assertEqual(dump(self.store).split("\n")[0], "q 5/1")
        self.assertEqual(self.bodies(b"q"), [b"0", b"2", b"3", b"4"])

    def test_putBackAfterDelete(self: Any) -> None:
        """A message whose queue was deleted goes with it, even into a new one."""
        self.push(b"q", b"old")
        message = self.pop(b"q")
        self.transact(lambda: self.store.delete(b"q"))
        self.assertFalse(self.transact(lambda: self.store.putBack(b"q", message)))
        self.push(b"q", b"new")
        self.assertFalse(self.transact(lambda: self.store.putBack(b"q", message)))
        self.assertEqual(self.bodies(b"q"), [b"new"])

    def openRead(self, queue: bytes) -> Any:
        """Hide the head of a queue in a transaction of its own."""
        return self.transact(lambda: self.store.openRead(queue))

    def closeRead(self, queue: bytes, message: Message) -> Any:
        """Take what is hidden in a transaction of its own."""
        return self.transact(lambda: self.store.closeRead(queue, message))

    def abortRead(self, queue: bytes, message: Message, count: bool = False) -> Any:
        """Give back what is hidden in a transaction of its own."""
        return self.transact(lambda: self.store.abortRead(queue, message, count))

    def test_openRead(self: Any) -> None:
        """What is read openly is hidden from all others, and not taken."""
        self.push(b"q", b"0", b"1", b"2")
        self.assertEqual(self.openRead(b"q").body, b"0")
        self.assertEqual(self.transact(lambda: self.store.peek(b"q")).body, b"1")
        self.assertEqual(self.openRead(b"q").body, b"1")
        self.assertEqual(dump(self.store), "q 3/0\n  2 0 b'2'")
        self.assertEqual(self.store.status()["messages"], 3)
        self.assertEqual(self.bodies(b"q"), [b"2"])
        for look in (self.store.peek, self.store.openRead, self.store.pop):
            self.assertIsNone(self.transact(partial(look, b"q")))
        self.assertEqual(self.transact(lambda: self.store.popAll(b"q", 5)), [])

    def test_openReadOfNothing(self: Any) -> None:
        """There is nothing to read in a queue that is empty, or is not there."""
        self.push(b"q", b"x")
        self.pop(b"q")
        self.assertIsNone(self.openRead(b"q"))
        self.assertIsNone(self.openRead(b"other"))
        self.assertEqual(dump(self.store), "q 1/1")

    def test_closeRead(self: Any) -> None:
        """A read that is closed has taken its message, once."""
        self.push(b"q", b"0", b"1")
        message = self.openRead(b"q")
        self.assertTrue(self.closeRead(b"q", message))
        self.assertFalse(self.closeRead(b"q", message))
        self.assertFalse(self.abortRead(b"q", message))
        self.assertEqual(dump(self.store), "q 2/1\n  1 0 b'1'")

    def test_closeWhatIsNotOpen(self: Any) -> None:
        """What is not hidden can be neither closed nor given back."""
        self.push(b"q", b"0", b"1")
        message = self.transact(lambda: self.store.peek(b"q"))
        for queue in (b"q", b"other"):
            self.assertFalse(self.closeRead(queue, message))
            self.assertFalse(self.abortRead(queue, message))
        self.assertEqual(self.bodies(b"q"), [b"0", b"1"])

    def test_abortRead(self: Any) -> None:
        """What is given back stands in its old place, before what came later."""
        self.push(b"q", b"0", b"1", b"2", b"3")
        reads = [self.openRead(b"q") for _ in range(3)]
        self.assertTrue(self.abortRead(b"q", reads[2]))
        self.assertEqual(self.transact(lambda: self.store.peek(b"q")).body, b"2")
        self.assertTrue(self.abortRead(b"q", reads[0]))
        self.assertFalse(self.abortRead(b"q", reads[0]))
        self.assertEqual(self.transact(lambda: self.store.peek(b"q")).body, b"0")
        self.assertEqual(dump(self.store), "q 4/0\n  0 0 b'0'\n  2 0 b'2'\n  3 0 b'3'")
        again = self.openRead(b"q")
        self.assertEqual(again, reads[0])
        self.assertTrue(self.abortRead(b"q", reads[1]))
        self.assertEqual(self.bodies(b"q"), [b"1", b"2", b"3"])
        self.assertTrue(self.abortRead(b"q", again))
        self.assertEqual(self.bodies(b"q"), [b"0"])

    def test_runsBesideReads(self: Any) -> None:
        """A run takes what was given back first, then the rest, and no hidden one."""
        self.push(b"q", *[b"%d" % n for n in range(8)])
        reads = [self.openRead(b"q") for _ in range(5)]
        for number in (3, 0, 2):
            self.abortRead(b"q", reads[number])
        taken = self.transact(lambda: self.store.popAll(b"q", 5))
        self.assertEqual([m.sequence for m in taken], [0, 2, 3, 5, 6])
        taken = self.transact(lambda: self.store.popAll(b"q", 5))
        self.assertEqual([m.sequence for m in taken], [7])
        self.assertEqual(dump(self.store), "q 8/6")

    def test_runsBesideReadsAtOnce(self: Any) -> None:
        """So within one transaction, whatever comes between."""
        store = self.store
        self.push(b"q", *[b"%d" % n for n in range(8)])
        store.begin()
        first = store.pop(b"q")
        reads = [store.openRead(b"q") for _ in range(3)]
        store.push(b"r", 0, b"r")
        self.assertEqual(store.pop(b"r").body, b"r")
        self.assertTrue(store.closeRead(b"q", reads[0]))
        self.assertTrue(store.abortRead(b"q", reads[2], False))
        taken = store.popAll(b"q", 2)
        self.assertTrue(store.putBack(b"q", first))
        self.assertTrue(store.abortRead(b"q", reads[1], False))
        taken += store.popAll(b"q", 9)
        store.commit()
        sequences = [message.sequence for message in taken]
        self.assertEqual(sequences, [3, 4, 0, 2, 5, 6, 7])
        self.assertEqual(dump(store), "q 8/8\nr 1/1")

    def test_putBackBesideReads(self: Any) -> None:
        """What was popped goes back to its old place beside what is hidden."""
        self.push(b"q", *[b"%d" % n for n in range(5)])
        taken = [self.pop(b"q"), self.openRead(b"q"), self.pop(b"q")]
        for message in (taken[2], taken[0]):
            self.transact(partial(self.store.putBack, b"q", message))
        self.assertEqual(self.bodies(b"q"), [b"0", b"2", b"3", b"4"])
        self.assertTrue(self.abortRead(b"q", taken[1]))
        self.assertEqual(self.bodies(b"q"), [b"1"])

    def test_putBackBeforeTheHead(self: Any) -> None:
        """So it does when what is hidden came before it."""
        self.push(b"q", b"0", b"1", b"2")
        taken = [self.pop(b"q"), self.pop(b"q")]
        self.transact(lambda: self.store.putBack(b"q", taken[0]))
        read = self.openRead(b"q")
        self.assertEqual(read.sequence, 0)
        self.transact(lambda: self.store.putBack(b"q", taken[1]))
        self.assertEqual(self.bodies(b"q"), [b"1", b"2"])
        self.assertTrue(self.closeRead(b"q", read))

    def test_deliveries(self: Any) -> None:
        """Givings back that count are counted as long as the message is there."""
        self.push(b"q", b"0", b"1")
        for isCounted in (True, False, True):
            message = self.openRead(b"q")
            self.abortRead(b"q", message, isCounted)
        self.assertEqual(self.store.deliveries(message), 2)
        other = self.openRead(b"q")
        self.assertEqual(self.store.deliveries(other), 2)
        self.assertEqual(self.store.deliveries(self.openRead(b"q")), 0)
        self.closeRead(b"q", other)
        self.assertEqual(self.store.deliveries(other), 0)

    def test_deliveriesForgotten(self: Any) -> None:
        """A pop forgets them, and so does a new queue of that name."""
        self.push(b"q", b"0", b"1")
        for _ in range(2):
            self.abortRead(b"q", self.openRead(b"q"), True)
            message = self.pop(b"q")
            self.assertEqual(self.store.deliveries(message), 0)
        self.push(b"q", b"2")
        message = self.openRead(b"q")
        self.abortRead(b"q", message, True)
        self.transact(lambda: self.store.empty(b"q"))
        self.assertEqual(self.store.deliveries(message), 0)

    def test_readsUndone(self: Any) -> None:
        """What is undone of open reads is as if it had never been."""
        store = self.store
        self.push(b"q", *[b"%d" % n for n in range(6)])
        reads = [self.openRead(b"q") for _ in range(3)]
        self.abortRead(b"q", reads[1], True)
        before = dump(store)
        for delete in (store.delete, store.empty):
            store.begin()
            store.pop(b"q")
            store.openRead(b"q")
            store.closeRead(b"q", reads[0])
            store.abortRead(b"q", reads[2], True)
            store.pop(b"q")
            store.push(b"new", 0, b"x")
            store.abortRead(b"new", store.openRead(b"new"), True)
            store.openRead(b"new")
            delete(b"q")
            store.abort()
            self.assertEqual(dump(store), before)
            self.assertFalse(store.hasGarbage())
            self.assertEqual([store.deliveries(m) for m in reads], [0, 1, 0])
        self.assertTrue(self.closeRead(b"q", reads[0]))
        self.assertTrue(self.abortRead(b"q", reads[2]))
        self.assertEqual(self.bodies(b"q"), [b"1", b"2", b"3", b"4", b"5"])
        self.assertEqual(dump(store), "q 6/6")

    def test_openReadUndone(self: Any) -> None:
        """A read that is undone has hidden nothing."""
        self.push(b"q", b"0", b"1")
        self.store.begin()
        message = self.store.openRead(b"q")
        self.store.abort()
        self.assertFalse(self.closeRead(b"q", message))
        self.assertEqual(self.bodies(b"q"), [b"0", b"1"])

    def test_readsOfWhatIsGone(self: Any) -> None:
        """What is hidden goes with its queue, when that is deleted or emptied."""
        for remove in (self.store.delete, self.store.empty):
            self.push(b"q", b"old", b"other")
            reads = [self.openRead(b"q"), self.openRead(b"q")]
            self.abortRead(b"q", reads[0], True)
            reads[0] = self.openRead(b"q")
            self.transact(partial(remove, b"q"))
            self.push(b"q", b"new")
            self.assertFalse(self.closeRead(b"q", reads[0]))
            self.assertFalse(self.abortRead(b"q", reads[1], True))
            self.sweepAll()
            self.assertEqual(self.bodies(b"q"), [b"new"])

    def test_readParts(self: Any) -> None:
        """A body in parts is readable while its message is read, and afterwards."""
        large = self.pushLarge(b"q", b"one", b"two")
        message = self.openRead(b"q")
        self.assertEqual(message.large, large)
        self.assertEqual(self.store.part(large.id, 0), b"one")
        self.abortRead(b"q", message, True)
        self.sweepAll()
        self.assertEqual(self.openRead(b"q"), message)
        self.assertEqual(self.store.part(large.id, 1), b"two")
        self.closeRead(b"q", message)
        self.assertEqual(self.store.part(large.id, 1), b"two")
        self.store.release(large.id)
        self.sweepAll()
        self.assertRaises(DamagedMessage, self.store.part, large.id, 0)

    def test_popPartsBesideReads(self: Any) -> None:
        """A body in parts that is taken beside an open read is released like others."""
        self.push(b"q", b"small")
        large = self.pushLarge(b"q", b"one")
        self.openRead(b"q")
        self.assertEqual(self.pop(b"q").large, large)
        self.assertEqual(self.store.part(large.id, 0), b"one")
        self.store.release(large.id)
        self.sweepAll()
        self.assertRaises(DamagedMessage, self.store.part, large.id, 0)

    def test_readPartsOfWhatIsGone(self: Any) -> None:
        """A body in parts goes with its queue, even while it is read."""
        large = self.pushLarge(b"q", b"one", b"two")
        message = self.openRead(b"q")
        self.transact(lambda: self.store.delete(b"q"))
        self.sweepAll()
        self.assertRaises(DamagedMessage, self.store.part, large.id, 1)
        self.assertFalse(self.closeRead(b"q", message))
        self.store.release(large.id)
        self.sweepAll()
        self.assertEqual(dump(self.store), "")

    def popRead(self, queue: bytes, message: Message) -> Any:
        """Take what is hidden, whole, in a transaction of its own."""
        return self.transact(lambda: self.store.popRead(queue, message))

    def test_popRead(self: Any) -> None:
        """What is read openly can be taken whole, by whoever knows its place."""
        self.push(b"q", b"0", b"1", b"2")
        whole = [self.openRead(b"q"), self.openRead(b"q")]
        self.abortRead(b"q", whole[0], True)
        self.openRead(b"q")
        reads = [message._replace(body=b"") for message in whole]
        self.assertIsNone(self.popRead(b"other", reads[0]))
        self.assertEqual(self.popRead(b"q", reads[0]), whole[0])
        self.assertIsNone(self.popRead(b"q", reads[0]))
        self.assertEqual(self.store.deliveries(reads[0]), 0)
        self.store.begin()
        self.assertEqual(self.store.popRead(b"q", reads[1]), whole[1])
        self.store.abort()
        self.assertEqual(dump(self.store), "q 3/1\n  2 0 b'2'")
        (detail,) = details(self.store)
        self.assertEqual((detail.open, detail.bytes, detail.items), (1, 2, 1))
        self.assertEqual((detail.taken, detail.closed, detail.returns), (1, 0, 2))
        self.assertTrue(self.abortRead(b"q", reads[1]))
        self.assertEqual(self.bodies(b"q"), [b"1", b"2"])

    def test_moveParts(self: Any) -> None:
        """A body in parts moves to another queue with its message."""
        store = self.store
        large = self.pushLarge(b"q", b"one", b"two")
        self.pushLarge(b"q", b"three")

        def movePopped() -> None:
            store.pushLarge(b"dead", 0, store.pop(b"q").large)

        def moveRead() -> None:
            message = store.openRead(b"q")
            store.pushLarge(b"dead", 0, store.popRead(b"q", message).large)

        self.transact(movePopped)
        self.transact(moveRead)
        self.sweepAll()
        self.assertEqual(self.pop(b"dead").large, large)
        self.assertEqual(store.part(large.id, 1), b"two")
        other = self.pop(b"dead").large
        self.assertEqual(store.part(other.id, 0), b"three")

    def test_discard(self: Any) -> None:
        """What is discarded lets its body go when that is committed, not before."""
        store = self.store
        large = self.pushLarge(b"q", b"one")
        self.push(b"q", b"small")
        store.begin()
        store.discard(store.pop(b"q"))
        store.abort()
        self.sweepAll()
        self.assertEqual(store.part(large.id, 0), b"one")

        def discard() -> None:
            for _ in range(2):
                store.discard(store.pop(b"q"))

        self.transact(discard)
        self.sweepAll()
        self.assertRaises(DamagedMessage, store.part, large.id, 0)
        self.assertEqual(dump(store), "q 2/2")

    def test_idleSince(self: Any) -> None:
        """An empty queue is idle since it was used last, one with messages is not."""
        store = self.store
        self.assertIsNone(store.idleSince(b"q"))
        self.push(b"q", b"x")
        self.assertIsNone(store.idleSince(b"q"))
        read = self.openRead(b"q")
        self.assertIsNone(store.idleSince(b"q"))
        self.closeRead(b"q", read)
        (detail,) = details(store)
        self.assertEqual(store.idleSince(b"q"), detail.lastUsed)
        self.transact(lambda: store.pushDelayed(b"q", 0, b"x", 5))
        self.assertIsNone(store.idleSince(b"q"))

    def test_queueNames(self: Any) -> None:
        """The names of all queues are told."""
        self.assertEqual(self.store.names(), [])
        self.push(b"r", b"x")
        self.push(b"q", b"x")
        self.transact(lambda: self.store.delete(b"r"))
        self.push(b"s", b"x")
        self.assertEqual(sorted(self.store.names()), [b"q", b"s"])

    def test_setAsideWhatWasRead(self: Any) -> None:
        """A message with a damaged part can be closed and kept out of the way."""
        self.pushLarge(b"q", b"one")
        message = self.openRead(b"q")

        def setAside() -> None:
            self.store.closeRead(b"q", message)
            self.store.setAside(message)

        self.transact(setAside)
        self.sweepAll()
        self.assertEqual(dump(self.store), "q 1/1")

    def test_delete(self: Any) -> None:
        """A deleted queue is gone at once; a push makes a new one."""
        self.push(b"q", b"1", b"2")
        self.assertTrue(self.transact(lambda: self.store.delete(b"q")))
        self.assertFalse(self.transact(lambda: self.store.delete(b"q")))
        self.assertEqual(dump(self.store), "")
        self.push(b"q", b"new")
        self.assertEqual(dump(self.store), "q 1/0\n  0 0 b'new'")

    def test_deleteWhatIsNew(self: Any) -> None:
        """A queue can be made, deleted and made again in one transaction."""
        self.store.begin()
        self.store.push(b"q", 0, b"1")
        self.assertTrue(self.store.delete(b"q"))
        self.store.commit()
        self.assertEqual(dump(self.store), "")
        self.store.begin()
        self.store.push(b"q", 0, b"1")
        self.store.delete(b"q")
        self.store.push(b"q", 0, b"2")
        self.store.commit()
        self.assertEqual(dump(self.store), "q 1/0\n  0 0 b'2'")

    def test_empty(self: Any) -> None:
        """An emptied queue stays, its messages counted as taken."""
        self.push(b"q", b"1", b"2", b"3")
        self.pop(b"q")
        self.assertEqual(self.transact(lambda: self.store.empty(b"q")), 2)
        self.assertEqual(dump(self.store), "q 3/3")
        self.assertEqual(self.transact(lambda: self.store.empty(b"q")), 0)
        self.assertEqual(self.transact(lambda: self.store.empty(b"other")), 0)
        self.push(b"q", b"4")
        self.assertEqual(dump(self.store), "q 4/3\n  3 0 b'4'")

    def test_emptyWhileTaken(self: Any) -> None:
        """What was taken before a queue was emptied, even its last, stays out."""
        for rest in ([], [b"2"]):
            self.push(b"q", b"1", *rest)
            message = self.pop(b"q")
            self.transact(lambda: self.store.empty(b"q"))
            back = self.transact(partial(self.store.putBack, b"q", message))
            self.assertFalse(back)
        self.assertEqual(dump(self.store), "q 3/3")

    def test_sweep(self: Any) -> None:
        """Deleted messages are removed a slice at a time, others are not."""
        self.push(b"q", *[b"x"] * 25)
        self.push(b"keep", b"k")
        self.push(b"r", b"y")
        self.transact(lambda: (self.store.delete(b"q"), self.store.delete(b"r")))
        slices = 0
        while self.store.hasGarbage():
            self.store.sweep(10)
            slices += 1
        self.assertGreaterEqual(slices, 3)
        self.assertEqual(dump(self.store), "keep 1/0\n  0 0 b'k'")

    def test_sweepLimit(self: Any) -> None:
        """A slice of a sweep removes no more messages than it is told."""
        self.push(b"q", *[b"x"] * 4)
        self.transact(lambda: self.store.delete(b"q"))
        self.assertEqual([self.store.sweep(3), self.store.sweep(3)], [True, False])
        self.push(b"q", *[b"x"] * 6)
        self.transact(lambda: self.store.delete(b"q"))
        self.assertTrue(self.store.sweep(3))
        while self.store.hasGarbage():
            self.store.sweep(3)
        self.assertFalse(self.store.sweep(3))

    def test_sweepOfNoMessages(self: Any) -> None:
        """A deleted queue that was empty is swept like any other."""
        self.push(b"q", b"x")
        self.pop(b"q")
        self.transact(lambda: self.store.delete(b"q"))
        self.assertTrue(self.store.hasGarbage())
        self.assertFalse(self.store.sweep(1))

    def test_sweepOfWhatWasEmptied(self: Any) -> None:
        """What was in an emptied queue is swept, what came after is not."""
        self.push(b"q", b"1", b"2")
        self.transact(lambda: self.store.empty(b"q"))
        self.push(b"q", b"3")
        while self.store.hasGarbage():
            self.store.sweep(1)
        self.assertEqual(dump(self.store), "q 3/2\n  2 0 b'3'")

    def test_unsweptOnceCommitted(self: Any) -> None:
        """Nothing of a deleted queue is removed before that is committed."""
        self.push(b"q", b"1")
        self.store.begin()
        self.store.delete(b"q")
        self.assertFalse(self.store.hasGarbage())
        self.store.abort()
        self.push(b"q", b"2")
        self.assertFalse(self.store.hasGarbage())
        self.assertFalse(self.store.sweep(10))
        self.assertEqual(dump(self.store), "q 2/0\n  0 0 b'1'\n  1 0 b'2'")
        self.transact(lambda: self.store.delete(b"q"))
        self.assertTrue(self.store.hasGarbage())
        self.assertFalse(self.store.sweep(10))
        self.push(b"q", b"3")
        self.assertFalse(self.store.hasGarbage())

    def test_abort(self: Any) -> None:
        """An abort leaves everything as it was, and can be repeated."""
        self.push(b"q", b"1", b"2")
        self.push(b"r", b"3")
        before = dump(self.store)
        for _ in range(2):
            self.store.begin()
            message = self.store.pop(b"q")
            self.store.push(b"q", 0, b"x")
            self.store.push(b"new", 0, b"y")
            self.store.pop(b"q")
            self.store.putBack(b"q", message)
            self.store.delete(b"r")
            self.store.push(b"r", 0, b"z")
            self.store.empty(b"q")
            self.store.abort()
            self.store.abort()
            self.assertEqual(dump(self.store), before)
            self.assertFalse(self.store.hasGarbage())

    def test_manyQueues(self: Any) -> None:
        """There may be ten thousand queues."""
        self.transact(
            lambda: [self.store.push(b"q%d" % n, 0, b"%d" % n) for n in range(10_000)]
        )
        self.assertEqual(self.store.status()["queues"], 10_000)
        self.assertEqual(self.pop(b"q7777").body, b"7777")

    def test_home(self: Any) -> None:
        """A store that nothing was done to is where it was."""
        self.assertIsNone(self.store.checkHome())

    def test_maintenance(self: Any) -> None:
        """Flush, checkpoint, trickle, log removal and tidying change nothing."""
        self.push(b"q", b"1")
        before = dump(self.store)
        self.store.flush()
        self.store.checkpoint()
        self.assertGreaterEqual(self.store.trickle(100), 0)
        self.assertGreaterEqual(self.store.removeLogs(), 0)
        self.assertEqual(self.store.tidy(), 0)
        self.assertFalse(self.store.hasGarbage())
        self.assertGreaterEqual(self.store.logged(), 0)
        self.assertGreaterEqual(self.store.bytesOnDisk(), 0)
        self.assertTrue(self.store.reserveSpace())
        self.assertNotEqual(self.store.freeBytes(), 0)
        self.assertEqual(dump(self.store), before)


@dataclass
class Shelf:
    """What a queue should hold; ``epoch`` tells it from others of its name."""

    epoch: int
    pushed: int = 0
    taken: int = 0
    closed: int = 0
    returns: int = 0
    paused: int = 0
    messages: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    hidden: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    deliveries: dict[int, int] = field(default_factory=dict)
    #: When each is due, in this order, its flags and its body.
    delayed: list[tuple[int, int, bytes]] = field(default_factory=list)

    def append(self, flags: int, body: bytes) -> None:
        """Put a message at the end."""
        self.messages[self.pushed] = (flags, body)
        self.pushed += 1

    def detail(self, name: bytes) -> QueueDetail:
        """Return what the store should tell, without times."""
        there = [*self.messages.values(), *self.hidden.values()]
        return QueueDetail(
            name=name,
            items=len(self.messages),
            bytes=sum(len(body) for _, body in there),
            open=len(self.hidden),
            delayed=len(self.delayed),
            pushed=self.pushed,
            taken=self.taken,
            closed=self.closed,
            expired=0,
            discarded=0,
            returns=self.returns,
            limit=0,
            paused=self.paused,
            headTime=0,
            lastUsed=0,
        )

    def kept(self) -> Kept:
        """Return what it should keep."""
        detail = self.detail(b"")
        return Kept(
            detail.items + detail.open + detail.delayed,
            detail.bytes + sum(len(body) for _, _, body in self.delayed),
            detail.items,
            sum(len(body) for _, body in self.messages.values()),
        )


@dataclass
class Model:
    """What a store should hold, and what was taken or read from which epoch of it."""

    shelves: dict[bytes, Shelf] = field(default_factory=dict)
    taken: list[tuple[bytes, int, Message]] = field(default_factory=list)
    read: list[tuple[bytes, int, Message]] = field(default_factory=list)

    def restart(self) -> None:
        """Show what is hidden."""
        self.read.clear()
        for shelf in self.shelves.values():
            shelf.messages.update(shelf.hidden)
            shelf.hidden.clear()

    def dump(self) -> str:
        """Return what :func:`dump` should say of the store."""
        lines = []
        for name, shelf in sorted(self.shelves.items()):
            lines.append(f"{name.decode('latin-1')} {shelf.pushed}/{shelf.taken}")
            lines += [
                f"  {sequence} {flags} {body!r}"
                for sequence, (flags, body) in sorted(shelf.messages.items())
            ]
        return "\n".join(lines)


class StoreMachine(RuleBasedStateMachine):
    """Any sequence of transactions, against dicts in memory."""

    #: Makes a store, not open.
    make: Callable[[], Any]

    def __init__(self) -> None:
        super().__init__()
        self.store = type(self).make()
        self.store.open()
        #: The store as committed, and as the transaction sees it.
        self.committed = Model()
        self.now = Model()
        self.open = False
        self.epochs = count()

    queues = some.sampled_from([b"a", b"b"])
    times = some.integers(0, 4)

    def begin(self) -> None:
        """Begin a transaction, if none is under way."""
        if not self.open:
            self.store.begin()
            self.now = deepcopy(self.committed)
            self.open = True

    def shelf(self, queue: bytes) -> Shelf:
        """Return a queue, made if need be, in the transaction."""
        self.begin()
        if queue not in self.now.shelves:
            self.now.shelves[queue] = Shelf(next(self.epochs))
        return self.now.shelves[queue]

    @rule(
        queue=queues,
        flags=some.integers(0, 2**32 - 1),
        body=some.binary(max_size=9),
        expires=times,
    )
    def push(self, queue: bytes, flags: int, body: bytes, expires: int) -> None:
        """Append."""
        shelf = self.shelf(queue)
        found = self.store.push(queue, flags, body, expires=expires)
        assert found == shelf.pushed
        shelf.append(flags, body)

    @rule(queue=queues, body=some.binary(max_size=3), due=times, expires=times)
    def pushDelayed(self, queue: bytes, body: bytes, due: int, expires: int) -> None:
        """Append later."""
        shelf = self.shelf(queue)
        self.store.pushDelayed(queue, 5, body, due, expires=expires)
        shelf.delayed.append((due, 5, body))
        shelf.delayed.sort(key=itemgetter(0))

    @rule(now=times, limit=some.integers(1, 4))
    def promoteDue(self, now: int, limit: int) -> None:
        """Append what is due."""
        self.begin()
        shelves = self.now.shelves
        due = sorted(due for shelf in shelves.values() for due, _, _ in shelf.delayed)
        expected = [each for each in due if each <= now][:limit]
        found = []
        for name in self.store.promoteDue(now, limit):
            time, flags, body = shelves[name].delayed.pop(0)
            shelves[name].append(flags, body)
            found.append(time)
        assert found == expected

    @rule(queue=queues, bits=some.integers(0, 3))
    def pause(self, queue: bytes, bits: int) -> None:
        """Pause."""
        self.begin()
        if self.store.setPaused(queue, bits):
            self.shelf(queue).paused = bits
        else:
            assert bits == 0
            assert queue not in self.now.shelves

    @rule(queue=queues)
    def pop(self, queue: bytes) -> None:
        """Look at the head, and take it."""
        self.begin()
        seen = self.store.peek(queue)
        message = self.store.pop(queue)
        assert seen == message
        shelf = self.now.shelves.get(queue)
        if shelf is None or not shelf.messages:
            assert message is None
            return
        head = min(shelf.messages)
        assert message.sequence == head
        assert (message.flags, message.body) == shelf.messages.pop(head)
        shelf.taken += 1
        shelf.deliveries.pop(head, None)
        self.now.taken.append((queue, shelf.epoch, message))

    @rule(queue=queues)
    def openRead(self, queue: bytes) -> None:
        """Hide the head."""
        self.begin()
        seen = self.store.peek(queue)
        message = self.store.openRead(queue)
        assert seen == message
        shelf = self.now.shelves.get(queue)
        if shelf is None or not shelf.messages:
            assert message is None
            return
        head = min(shelf.messages)
        assert message.sequence == head
        shelf.hidden[head] = shelf.messages.pop(head)
        assert (message.flags, message.body) == shelf.hidden[head]
        assert self.store.deliveries(message) == shelf.deliveries.get(head, 0)
        self.now.read.append((queue, shelf.epoch, message))

    def ended(self, number: int) -> tuple[bytes, Message, Shelf | None]:
        """Return a message that was read, and its shelf if that is there."""
        self.begin()
        read = self.now.read
        queue, epoch, message = read.pop(number % len(read))
        shelf = self.now.shelves.get(queue)
        there = shelf is not None and shelf.epoch == epoch
        return queue, message, shelf if there else None

    @precondition(lambda self: (self.now if self.open else self.committed).read)
    @rule(number=some.integers(0, 9))
    def closeRead(self, number: int) -> None:
        """Take a message that is hidden."""
        queue, message, shelf = self.ended(number)
        assert self.store.closeRead(queue, message) == (shelf is not None)
        if shelf:
            del shelf.hidden[message.sequence]
            shelf.deliveries.pop(message.sequence, None)
            shelf.taken += 1
            shelf.closed += 1
            assert not self.store.closeRead(queue, message)

    @precondition(lambda self: (self.now if self.open else self.committed).read)
    @rule(number=some.integers(0, 9), isCounted=some.booleans())
    def abortRead(self, number: int, isCounted: bool) -> None:
        """Give a message back that is hidden."""
        queue, message, shelf = self.ended(number)
        assert self.store.abortRead(queue, message, isCounted) == (shelf is not None)
        if shelf:
            sequence = message.sequence
            shelf.messages[sequence] = shelf.hidden.pop(sequence)
            shelf.deliveries[sequence] = shelf.deliveries.get(sequence, 0) + isCounted
            shelf.returns += isCounted
            assert not self.store.abortRead(queue, message, isCounted)

    @precondition(lambda self: (self.now if self.open else self.committed).taken)
    @rule(number=some.integers(0, 9))
    def putBack(self, number: int) -> None:
        """Return a message that was taken, perhaps in an earlier transaction."""
        self.begin()
        taken = self.now.taken
        queue, epoch, message = taken.pop(number % len(taken))
        shelf = self.now.shelves.get(queue)
        there = shelf is not None and shelf.epoch == epoch
        assert self.store.putBack(queue, message) == there
        if shelf is not None and there:
            shelf.messages[message.sequence] = (message.flags, message.body)
            shelf.taken -= 1

    @rule(queue=queues)
    def delete(self, queue: bytes) -> None:
        """Delete a queue."""
        self.begin()
        there = self.now.shelves.pop(queue, None) is not None
        assert self.store.delete(queue) == there

    @rule(queue=queues)
    def empty(self, queue: bytes) -> None:
        """Empty a queue; what was taken from it before cannot go back."""
        self.begin()
        shelf = self.now.shelves.get(queue)
        assert self.store.empty(queue) == (shelf.kept().items if shelf else 0)
        if shelf:
            self.now.shelves[queue] = Shelf(
                next(self.epochs),
                shelf.pushed,
                shelf.pushed,
                shelf.closed,
                shelf.returns,
                shelf.paused,
            )

    @precondition(lambda self: self.open)
    @rule()
    def commit(self) -> None:
        """Commit."""
        self.store.commit()
        self.committed = self.now
        self.open = False

    @precondition(lambda self: self.open)
    @rule()
    def abort(self) -> None:
        """Undo."""
        self.store.abort()
        self.open = False

    @precondition(lambda self: not self.open)
    @rule(limit=some.integers(1, 3))
    def sweep(self, limit: int) -> None:
        """Remove some of what was deleted."""
        assert self.store.sweep(limit) == self.store.hasGarbage()

    @precondition(lambda self: not self.open)
    @rule()
    def compare(self) -> None:
        """Find what the model says, and nothing else."""
        found = dump(self.store).partition("\n  later")[0]
        assert found == self.committed.dump()
        shelves = sorted(self.committed.shelves.items())
        told = [each._replace(headTime=0, lastUsed=0) for each in details(self.store)]
        assert told == [shelf.detail(name) for name, shelf in shelves]
        kept = [self.store.kept(name) for name, _ in shelves]
        assert kept == [shelf.kept() for _, shelf in shelves]

    @precondition(lambda self: not self.open)
    @rule()
    def next(self) -> None:
        """Tell when the next one is due, or earlier, but not again."""
        shelves = self.committed.shelves.values()
        times = [due for shelf in shelves for due, _, _ in shelf.delayed]
        first = min(times, default=None)
        told = Counter[int]()
        while (due := self.store.nextDue()) is not None and due != first:
            assert first is None or due < first
            told[due] += 1
            assert told[due] == 1
            self.store.begin()
            assert self.store.promoteDue(due, 1) == []
            self.store.commit()
        assert due == first

    def teardown(self) -> None:
        """Undo what is open, promote and remove all that is to be, and close."""
        self.store.abort()
        self.open = False
        self.compare()
        self.next()
        self.promoteDue(4, 1000)
        self.commit()
        self.compare()
        while self.store.hasGarbage():
            self.store.sweep(1)
        self.compare()
        self.store.close()


MACHINE_SETTINGS = settings(
    max_examples=100,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


def machineTest(
    make: Callable[[], Any], machine: type[Any] = StoreMachine
) -> type[SynchronousTestCase]:
    """Return a test case that runs the machine on stores that ``make`` makes."""

    class Machine(machine):  # type: ignore[misc]
        """The machine, on these stores."""

    Machine.make = staticmethod(make)
    case = Machine.TestCase
    case.settings = MACHINE_SETTINGS

    class MachineTests(SynchronousTestCase):
        """Any sequence of transactions does what the model says."""

        def test_machine(self) -> None:
            """Any sequence of transactions does what the model says."""
            case("runTest").runTest()

    return MachineTests
