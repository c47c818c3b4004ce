"""The catalog counts, and puts back what a transaction changed."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from memq.interfaces import QueueCount
from memq.message import Message
from memq.storage.index import Catalog
from memq.storage.row import Queue


def dump(catalog: Catalog) -> str:
    """Return all queues of a catalog, and its next id, as text."""
    lines = [dumpQueue(queue) for _, queue in sorted(catalog.queues.items())]
    return "\n".join([*lines, f"next id {catalog.nextId}"])


def dumpQueue(queue: Queue) -> str:
    """Return a queue as text, as it will be once the transaction is over."""
    head, hidden, tries, first = queue.head, dict[int, int](), {}, None
    if queue.reads is not None:
        hidden, tries = queue.reads.hidden, queue.reads.tries
        first = queue.reads.returned()
        if first is not None and not hidden:
            head, first = min(head, first), None
    words = [
        f"{queue.name!r} id {queue.id} next {queue.nextSequence}",
        f"{queue.pushed}/{queue.taken} head {head}",
    ]
    if queue.closed or queue.returns:
        words.append(f"closed {queue.closed} returns {queue.returns}")
    rest = queue.rest._replace(returns=0)
    if queue.bytes or any(rest):
        words.append(f"bytes {queue.bytes} {tuple(rest)}")
    if hidden:
        words.append(f"hidden {sorted(hidden)} first {first} ready {queue.ready}")
    if tries:
        words.append(f"tries {sorted(tries.items())}")
    return " ".join(words)


def push(catalog: Catalog, name: bytes) -> None:
    """Count a message in, as a store does."""
    queue = catalog.forPush(name)
    queue.nextSequence += 1
    queue.pushed += 1
    queue.bytes += 3


def pop(catalog: Catalog, name: bytes) -> None:
    """Count a message out, as a store does."""
    queue = catalog.forPop(name)
    if queue is not None:
        sequence = take(catalog, queue)
        if queue.reads is not None:
            catalog.readsOf(queue).forgetTries(sequence)
        queue.taken += 1


def take(catalog: Catalog, queue: Queue) -> int:
    """Return the head's sequence number, and look behind it from now on."""
    if queue.reads is not None:
        returned = catalog.readsOf(queue).takeReturned()
        if returned is not None:
            return returned
    queue.head += 1
    return queue.head - 1


def putBack(catalog: Catalog, name: bytes) -> None:
    """Count a message in again, as a store does."""
    queue = catalog.forReturn(name, 1)
    if queue is not None and queue.taken and queue.reads is None:
        queue.taken -= 1
        catalog.giveBack(queue, 0)


def openRead(catalog: Catalog, name: bytes) -> None:
    """Hide a message, as a store does."""
    queue = catalog.forRead(name)
    if queue is not None:
        sequence = take(catalog, queue)
        catalog.readsOf(queue).hide(sequence, 3)


def endRead(catalog: Catalog, name: bytes) -> tuple[Queue, int] | None:
    """Hide a message no longer, if there is one, and return it."""
    queue = catalog.queues.get(name)
    if queue is None or not queue.openReads:
        return None
    sequence = min(catalog.readsOf(queue).hidden)
    assert catalog.readBy(name, Message(queue.id, sequence, 0, 0, b"")) is queue
    catalog.readsOf(queue).show(sequence)
    return queue, sequence


def closeRead(catalog: Catalog, name: bytes) -> None:
    """Count a message out that was hidden, as a store does."""
    found = endRead(catalog, name)
    if found is not None:
        queue, sequence = found
        catalog.forReturn(name, queue.id)
        catalog.readsOf(queue).forgetTries(sequence)
        queue.taken += 1
        queue.closed += 1


def abortRead(catalog: Catalog, name: bytes) -> None:
    """Give a message back that was hidden, as a store does."""
    found = endRead(catalog, name)
    if found is not None:
        queue, sequence = found
        catalog.giveBack(queue, sequence)


def countRead(catalog: Catalog, name: bytes) -> None:
    """Do so and count it."""
    found = endRead(catalog, name)
    if found is not None:
        queue, sequence = found
        catalog.forReturn(name, queue.id)
        catalog.readsOf(queue).countTry(sequence)
        queue.change(returns=queue.returns + 1)
        catalog.giveBack(queue, sequence)


def bring(catalog: Catalog, name: bytes) -> None:
    """Let another queue be the one of a name, as a store does that was filled."""
    catalog.show(catalog.newQueue(name))


def delay(catalog: Catalog, name: bytes) -> None:
    """Count a delayed message, as a store does."""
    queue = catalog.forDelay(name)
    queue.delay(1, 2)


def limit(catalog: Catalog, name: bytes) -> None:
    """Make a queue with a limit."""
    catalog.setLimit(name, 5)


def pause(catalog: Catalog, name: bytes) -> None:
    """Pause a queue."""
    catalog.setPaused(name, 3)


def expire(catalog: Catalog, name: bytes) -> None:
    """Count messages that expired, and some that were discarded."""
    catalog.countExpired(name, 1)
    catalog.countDiscarded(name, 2)


ACTIONS = (
    push,
    pop,
    putBack,
    openRead,
    closeRead,
    abortRead,
    countRead,
    Catalog.remove,
    Catalog.empty,
    bring,
    delay,
    limit,
    pause,
    expire,
)


class CatalogTests(SynchronousTestCase):
    """Queues, counts and transactions."""

    def setUp(self) -> None:
        """Make a catalog with a queue of two messages, one of them taken."""
        self.catalog = Catalog()
        self.catalog.load([Queue(b"old", 1, 2, 2, 1)], 2)

    def test_forPushMakes(self) -> None:
        """A push makes a queue, with an id of its own."""
        self.assertEqual(self.catalog.forPush(b"new").id, 2)
        self.assertEqual(self.catalog.forPush(b"newer").id, 3)
        self.assertIs(self.catalog.forPush(b"new"), self.catalog.queues[b"new"])

    def test_forPopDoesNot(self) -> None:
        """A pop makes no queue, and finds none that is empty."""
        self.assertIsNone(self.catalog.forPop(b"new"))
        pop(self.catalog, b"old")
        self.assertIsNone(self.catalog.forPop(b"old"))
        self.assertNotIn(b"new", self.catalog.queues)

    def test_forReturn(self) -> None:
        """A message goes back only to the queue that it came from."""
        self.assertIsNotNone(self.catalog.forReturn(b"old", 1))
        self.assertIsNone(self.catalog.forReturn(b"old", 7))
        self.assertIsNone(self.catalog.forReturn(b"new", 1))

    def test_empty(self) -> None:
        """An emptied queue counts its messages as taken, under a new id."""
        before = self.catalog.empty(b"old")
        assert before is not None
        self.assertEqual((before.id, before.pushed - before.taken), (1, 1))
        self.assertEqual(dump(self.catalog), "b'old' id 2 next 2 2/2 head 0\nnext id 3")
        again = self.catalog.empty(b"old")
        assert again is not None
        self.assertEqual((again.id, again.pushed - again.taken), (2, 0))
        self.assertIsNone(self.catalog.empty(b"new"))

    def test_changes(self) -> None:
        """A commit is told each queue once, and which are gone."""
        push(self.catalog, b"new")
        push(self.catalog, b"new")
        self.catalog.remove(b"old")
        changes = {
            name: queue and queue.pushed for name, queue in self.catalog.changes(0)
        }
        self.assertEqual(changes, {b"new": 2, b"old": None})
        self.assertTrue(self.catalog.newIds)

    def test_settle(self) -> None:
        """After a commit there is nothing to write, and nothing to undo."""
        push(self.catalog, b"new")
        self.catalog.settle()
        after = dump(self.catalog)
        self.assertEqual(list(self.catalog.changes(0)), [])
        self.assertFalse(self.catalog.newIds)
        self.catalog.rollBack()
        self.assertEqual(dump(self.catalog), after)

    def test_counts(self) -> None:
        """Counts are sorted by name."""
        push(self.catalog, b"a")
        self.assertEqual(
            self.catalog.counts(), [QueueCount(b"a", 1, 0), QueueCount(b"old", 2, 1)]
        )
        self.assertEqual(self.catalog.status(), {"queues": 2, "messages": 2})

    def test_openReads(self) -> None:
        """What is read openly is not ready, and not taken either."""
        openRead(self.catalog, b"old")
        queue = self.catalog.queues[b"old"]
        self.assertEqual((queue.openReads, queue.ready, queue.taken), (1, 0, 1))
        for find in (self.catalog.forRead, self.catalog.forPop):
            self.assertIsNone(find(b"old"))
        self.assertEqual(self.catalog.status()["messages"], 1)
        for stranger in (Message(1, 1, 0, 0, b""), Message(2, 0, 0, 0, b"")):
            self.assertIsNone(self.catalog.readBy(b"old", stranger))

    def test_openReadsWriteNoRow(self) -> None:
        """To read openly and to give back uncounted changes no row."""
        openRead(self.catalog, b"old")
        abortRead(self.catalog, b"old")
        self.assertEqual(list(self.catalog.changes(0)), [])
        openRead(self.catalog, b"old")
        countRead(self.catalog, b"old")
        self.assertEqual([name for name, _ in self.catalog.changes(0)], [b"old"])

    def test_tries(self) -> None:
        """Tries are told of the message that they are of, also after a start."""
        queue = Queue(b"q", 3, 2, 2, 0)
        self.catalog.load([queue, Queue(b"r", 4, 2, 2, 0)], 5, {3: {1: 7}, 9: {1: 8}})
        tries = [
            self.catalog.tries(Message(id, sequence, 0, 0, b""))
            for id, sequence in ((3, 1), (3, 0), (4, 1), (9, 1))
        ]
        self.assertEqual(tries, [7, 0, 0, 0])

    def test_nothingIsKept(self) -> None:
        """A queue without open reads and tries is as if there had never been any."""
        openRead(self.catalog, b"old")
        self.catalog.settle()
        self.assertIsNotNone(self.catalog.queues[b"old"].reads)
        abortRead(self.catalog, b"old")
        self.catalog.settle()
        self.assertEqual(dump(self.catalog), "b'old' id 1 next 2 2/1 head 0\nnext id 2")

    @settings(deadline=None)
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
    def test_rollBack(self, transactions: list[list[tuple[object, bytes]]]) -> None:
        """Whatever a transaction did, rolling back leaves what was before."""
        self.setUp()
        for actions in transactions:
            before = dump(self.catalog)
            for _ in range(2):
                for action, name in actions:
                    action(self.catalog, name)  # type: ignore[operator]
                after = dump(self.catalog)
                self.catalog.rollBack()
                self.assertEqual(dump(self.catalog), before)
            for action, name in actions:
                action(self.catalog, name)  # type: ignore[operator]
            self.catalog.settle()
            self.assertEqual(dump(self.catalog), after)

    def test_use(self) -> None:
        """The last use is noted once a minute, and when the clock was put back."""
        catalog = Catalog()
        noted = []
        for now in (1020, 1079, 1080, 1081, 1020, 1021):
            queue = catalog.forPush(b"q")
            list(catalog.changes(now * 1000 + 999))
            catalog.settle()
            noted.append(queue.lastUsed)
        self.assertEqual(noted, [1020, 1020, 1080, 1080, 1020, 1020])

    def test_stored(self) -> None:
        """What is delayed is stored, and does not wait."""
        delay(self.catalog, b"old")
        self.assertEqual((self.catalog.waiting(), self.catalog.stored()), (1, 2))
