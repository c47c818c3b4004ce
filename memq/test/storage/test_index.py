"""The catalog counts, and puts back what a transaction changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import example, given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from memq.figures import QueueCount
from memq.message import Message
from memq.storage.index import QueueIndex
from memq.storage.row import Queue
from memq.storage.undo import UndoLog

if TYPE_CHECKING:
    from collections.abc import Callable


def dump(index: QueueIndex) -> str:
    """Return all queues of a catalog, and its next id, as text."""
    lines = [dumpQueue(queue) for _, queue in sorted(index.queues.items())]
    return "\n".join([*lines, f"next id {index.nextId}"])


def dumpQueue(queue: Queue) -> str:
    """Return a queue as text, as it will be once the transaction is over."""
    head, hidden, deliveries, first = queue.head, dict[int, int](), {}, None
    if queue.reads is not None:
        hidden, deliveries = queue.reads.hidden, queue.reads.deliveries
        first = queue.reads.returned()
        if first is not None and not hidden:
            head, first = min(head, first), None
    words = [
        f"{queue.name!r} id {queue.id} next {queue.nextSequence}",
        f"{queue.pushed}/{queue.taken} head {head}",
    ]
    if queue.closed or queue.rest.returns:
        words.append(f"closed {queue.closed} returns {queue.rest.returns}")
    rest = queue.rest._replace(returns=0)
    if queue.bytes or any(rest):
        words.append(f"bytes {queue.bytes} {tuple(rest)}")
    if hidden:
        words.append(f"hidden {sorted(hidden)} first {first} ready {queue.ready}")
    if deliveries:
        words.append(f"tries {sorted(deliveries.items())}")
    return " ".join(words)


def push(index: QueueIndex, name: bytes) -> None:
    """Count a message in, as a store does."""
    queue = index.forPush(name)
    queue.nextSequence += 1
    queue.pushed += 1
    queue.bytes += 3


def pop(index: QueueIndex, name: bytes) -> None:
    """Count a message out, as a store does."""
    queue = index.forPop(name)
    if queue is not None:
        sequence = take(index, queue)
        if queue.reads is not None:
            index.readsOf(queue).forgetDeliveries(sequence)
        queue.taken += 1


def take(index: QueueIndex, queue: Queue) -> int:
    """Return the head's sequence number, and look behind it from now on."""
    if queue.reads is not None:
        returned = index.readsOf(queue).takeReturned()
        if returned is not None:
            return returned
    queue.head += 1
    return queue.head - 1


def putBack(index: QueueIndex, name: bytes) -> None:
    """Count a message in again, as a store does."""
    queue = index.forReturn(name, 1)
    if queue is not None and queue.taken and queue.reads is None:
        queue.taken -= 1
        index.giveBack(queue, 0)


def openRead(index: QueueIndex, name: bytes) -> None:
    """Hide a message, as a store does."""
    queue = index.forRead(name)
    if queue is not None:
        sequence = take(index, queue)
        index.readsOf(queue).hide(sequence, 3)


def endRead(index: QueueIndex, name: bytes) -> tuple[Queue, int] | None:
    """Hide a message no longer, if there is one, and return it."""
    queue = index.queues.get(name)
    if queue is None or not queue.openReads:
        return None
    sequence = min(index.readsOf(queue).hidden)
    assert index.readBy(name, Message(queue.id, sequence, 0, 0, b"")) is queue
    index.readsOf(queue).show(sequence)
    return queue, sequence


def closeRead(index: QueueIndex, name: bytes) -> None:
    """Count a message out that was hidden, as a store does."""
    found = endRead(index, name)
    if found is not None:
        queue, sequence = found
        index.forReturn(name, queue.id)
        index.readsOf(queue).forgetDeliveries(sequence)
        queue.taken += 1
        queue.closed += 1


def abortRead(index: QueueIndex, name: bytes) -> None:
    """Give a message back that was hidden, as a store does."""
    found = endRead(index, name)
    if found is not None:
        queue, sequence = found
        index.giveBack(queue, sequence)


def countRead(index: QueueIndex, name: bytes) -> None:
    """Do so and count it."""
    found = endRead(index, name)
    if found is not None:
        queue, sequence = found
        index.forReturn(name, queue.id)
        index.readsOf(queue).countDelivery(sequence)
        queue.change(returns=queue.rest.returns + 1)
        index.giveBack(queue, sequence)


def delay(index: QueueIndex, name: bytes) -> None:
    """Count a delayed message, as a store does."""
    queue = index.forDelay(name)
    queue.delay(1, 2)


ACTIONS: tuple[Callable[[QueueIndex, bytes], object], ...] = (
    push,
    pop,
    putBack,
    openRead,
    closeRead,
    abortRead,
    countRead,
    QueueIndex.remove,
    QueueIndex.empty,
    # Another queue takes the place of one, as a store does that was filled.
    lambda index, name: index.show(index.newQueue(name)),
    delay,
    lambda index, name: index.setLimit(name, 5),
    lambda index, name: index.setPaused(name, 3),
    lambda index, name: index.countExpired(name, 1),
    lambda index, name: index.countDiscarded(name, 2),
)


class CatalogTests(SynchronousTestCase):
    """Queues, counts and transactions."""

    def setUp(self) -> None:
        """Make a catalog with a queue of two messages, one of them taken."""
        self.undo = UndoLog()
        self.index = QueueIndex(self.undo)
        self.index.load([Queue(b"old", 1, 2, 2, 1)], 2)

    def commit(self) -> None:
        """Do what a commit does."""
        list(self.index.changes(0))
        self.undo.commit()

    def test_forPushMakes(self) -> None:
        """A push makes a queue, with an id of its own."""
        self.assertEqual(self.index.forPush(b"new").id, 2)
        self.assertEqual(self.index.forPush(b"newer").id, 3)
        self.assertIs(self.index.forPush(b"new"), self.index.queues[b"new"])

    def test_forPopDoesNot(self) -> None:
        """A pop makes no queue, and finds none that is empty."""
        self.assertIsNone(self.index.forPop(b"new"))
        pop(self.index, b"old")
        self.assertIsNone(self.index.forPop(b"old"))
        self.assertNotIn(b"new", self.index.queues)

    def test_forReturn(self) -> None:
        """A message goes back only to the queue that it came from."""
        self.assertIsNotNone(self.index.forReturn(b"old", 1))
        self.assertIsNone(self.index.forReturn(b"old", 7))
        self.assertIsNone(self.index.forReturn(b"new", 1))

    def test_empty(self) -> None:
        """An emptied queue counts its messages as taken, under a new id."""
        before = self.index.empty(b"old")
        assert before is not None
        self.assertEqual((before.id, before.pushed - before.taken), (1, 1))
        self.assertEqual(dump(self.index), "b'old' id 2 next 2 2/2 head 0\nnext id 3")
        again = self.index.empty(b"old")
        assert again is not None
        self.assertEqual((again.id, again.pushed - again.taken), (2, 0))
        self.assertIsNone(self.index.empty(b"new"))

    def test_changes(self) -> None:
        """A commit is told each queue once, and which are gone."""
        push(self.index, b"new")
        push(self.index, b"new")
        self.index.remove(b"old")
        self.assertTrue(self.index.hasNewIds)
        changes = {name: each and each.pushed for name, each in self.index.changes(0)}
        self.assertEqual(changes, {b"new": 2, b"old": None})
        self.assertFalse(self.index.hasNewIds)
        self.assertEqual(list(self.index.changes(0)), [])

    def test_settle(self) -> None:
        """After a commit there is nothing to write, and nothing to undo."""
        push(self.index, b"new")
        self.commit()
        after = dump(self.index)
        self.assertEqual(list(self.index.changes(0)), [])
        self.assertFalse(self.index.hasNewIds)
        self.undo.rollBack()
        self.assertEqual(dump(self.index), after)

    def test_counts(self) -> None:
        """Counts are sorted by name."""
        push(self.index, b"a")
        self.assertEqual(
            self.index.counts(), [QueueCount(b"a", 1, 0), QueueCount(b"old", 2, 1)]
        )
        self.assertEqual(self.index.waiting(), 2)

    def test_openReads(self) -> None:
        """A message that is read openly is not ready, and not taken either."""
        openRead(self.index, b"old")
        queue = self.index.queues[b"old"]
        self.assertEqual((queue.openReads, queue.ready, queue.taken), (1, 0, 1))
        for find in (self.index.forRead, self.index.forPop):
            self.assertIsNone(find(b"old"))
        self.assertEqual(self.index.waiting(), 1)
        for stranger in (Message(1, 1, 0, 0, b""), Message(2, 0, 0, 0, b"")):
            self.assertIsNone(self.index.readBy(b"old", stranger))

    def test_openReadsWriteNoRow(self) -> None:
        """To read openly and to give back uncounted changes no row."""
        openRead(self.index, b"old")
        abortRead(self.index, b"old")
        self.assertEqual(list(self.index.changes(0)), [])
        openRead(self.index, b"old")
        countRead(self.index, b"old")
        self.assertEqual([name for name, _ in self.index.changes(0)], [b"old"])

    def test_tries(self) -> None:
        """Tries are told of the message that they are of, also after a start."""
        queue = Queue(b"q", 3, 2, 2, 0)
        self.index.load([queue, Queue(b"r", 4, 2, 2, 0)], 5, {3: {1: 7}, 9: {1: 8}})
        deliveries = [
            self.index.deliveries(Message(id, sequence, 0, 0, b""))
            for id, sequence in ((3, 1), (3, 0), (4, 1), (9, 1))
        ]
        self.assertEqual(deliveries, [7, 0, 0, 0])

    def test_nothingIsKept(self) -> None:
        """A queue without open reads and tries is as if there had never been any."""
        openRead(self.index, b"old")
        self.commit()
        self.assertIsNotNone(self.index.queues[b"old"].reads)
        abortRead(self.index, b"old")
        self.commit()
        self.assertEqual(dump(self.index), "b'old' id 1 next 2 2/1 head 0\nnext id 2")

    @example(
        [
            [(push, b"old")] * 3,
            [(openRead, b"old"), (openRead, b"old")],
            [(abortRead, b"old"), (pop, b"old"), (push, b"a")],
            [(openRead, b"a"), (countRead, b"old"), (push, b"old"), (openRead, b"old")],
            [(openRead, b"old"), (abortRead, b"old"), (openRead, b"old")],
            [(closeRead, b"old"), (abortRead, b"old"), (openRead, b"a")],
            [(pop, b"a"), (closeRead, b"a"), (putBack, b"a"), (pop, b"a")],
            [(push, b"b"), (openRead, b"b")],
            [(countRead, b"b")],
            [(pop, b"b"), (putBack, b"b")],
        ]
    )
    @given(
        some.lists(
            some.lists(
                some.tuples(
                    some.sampled_from(ACTIONS), some.sampled_from([b"old", b"a", b"b"])
                )
            )
        )
    )
    def test_rollBack(self, transactions: list[list[tuple[Any, bytes]]]) -> None:
        """Whatever a transaction did, rolling back leaves what was before."""
        self.setUp()
        for actions in transactions:
            before = dump(self.index)
            for _ in range(2):
                for action, name in actions:
                    action(self.index, name)
                after = dump(self.index)
                self.undo.rollBack()
                self.assertEqual(dump(self.index), before)
            for action, name in actions:
                action(self.index, name)
            self.commit()
            self.assertEqual(dump(self.index), after)

    def test_use(self) -> None:
        """The last use is noted once a minute, and when the clock was put back."""
        index = QueueIndex(UndoLog())
        noted = []
        for now in (1020, 1079, 1080, 1081, 1020, 1021):
            queue = index.forPush(b"q")
            list(index.changes(now * 1000 + 999))
            noted.append(queue.lastUsed)
        self.assertEqual(noted, [1020, 1020, 1080, 1080, 1020, 1020])

    def test_stored(self) -> None:
        """A delayed message is stored, and does not wait."""
        delay(self.index, b"old")
        self.assertEqual((self.index.waiting(), self.index.stored()), (1, 2))
