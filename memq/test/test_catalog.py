"""The catalog counts, and puts back what a transaction changed."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from memq.catalog import Catalog, DamagedRow, Queue, unpackQueue
from memq.imemq import QueueCount

#: A row of version 1: id 5, next sequence 9, 8 pushed, 3 taken.
VERSION_1 = bytes.fromhex(
    "01 00000005 0000000000000009 0000000000000008 0000000000000003"
)


def dump(catalog: Catalog) -> str:
    """Return all queues of a catalog, and its next id, as text."""
    lines = [
        f"{name!r} id {queue.id} next {queue.nextSequence} "
        f"{queue.pushed}/{queue.taken} head {queue.head}"
        for name, queue in sorted(catalog.queues.items())
    ]
    return "\n".join([*lines, f"next id {catalog.nextId}"])


def push(catalog: Catalog, name: bytes) -> None:
    """Count a message in, as a store does."""
    queue = catalog.forPush(name)
    queue.nextSequence += 1
    queue.pushed += 1


def pop(catalog: Catalog, name: bytes) -> None:
    """Count a message out, as a store does."""
    queue = catalog.forPop(name)
    if queue is not None:
        queue.taken += 1
        queue.head += 1


def putBack(catalog: Catalog, name: bytes) -> None:
    """Count a message in again, as a store does."""
    queue = catalog.forReturn(name, 1)
    if queue is not None and queue.taken:
        queue.taken -= 1
        queue.head = 0


def bring(catalog: Catalog, name: bytes) -> None:
    """Let another queue be the one of a name, as a store does that was filled."""
    catalog.show(catalog.newQueue(name))


ACTIONS = (push, pop, putBack, Catalog.remove, Catalog.empty, bring)


class RowTests(SynchronousTestCase):
    """The row's layout."""

    def test_layout(self) -> None:
        """A row of version 1 is what it was when it was first written."""
        self.assertEqual(Queue(b"q", 5, 9, 8, 3).pack(), VERSION_1)
        queue = unpackQueue(b"q", VERSION_1)
        self.assertEqual(
            (queue.name, queue.id, queue.nextSequence, queue.pushed, queue.taken),
            (b"q", 5, 9, 8, 3),
        )

    def test_damaged(self) -> None:
        """A row of another size or version is damaged, and its queue named."""
        for row in (b"", VERSION_1[:-1], VERSION_1 + b"x", b"\x02" + VERSION_1[1:]):
            error = self.assertRaises(DamagedRow, unpackQueue, b"q", row)
            self.assertIn("b'q'", str(error))


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
            name: queue and queue.pushed for name, queue in self.catalog.changes()
        }
        self.assertEqual(changes, {b"new": 2, b"old": None})
        self.assertTrue(self.catalog.newIds)

    def test_settle(self) -> None:
        """After a commit there is nothing to write, and nothing to undo."""
        push(self.catalog, b"new")
        self.catalog.settle()
        after = dump(self.catalog)
        self.assertEqual(list(self.catalog.changes()), [])
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

    @settings(deadline=None)
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
