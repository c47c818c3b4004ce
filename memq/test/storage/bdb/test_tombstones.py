"""Garbage is removed in slices, until nothing of it is left."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from memq.message import LargeBody
from memq.storage.bdb.tombstones import Tombstones
from memq.storage.record import DELIVERIES, ID, KEY, TOMBSTONE
from memq.storage.undo import UndoLog
from memq.test.support.homes import BDBTestCase


class TombstonesTests(BDBTestCase):
    """Garbage to be removed, in the tables of a store that does not look."""

    def setUp(self) -> None:
        """Make a queue with some messages, of which one has parts, and another one."""
        self.store: Any = self.openStore()
        self.fill(self.store, b"q", b"1", b"2")
        self.store.begin()
        self.store.addPart(7, 0, b"part")
        self.store.pushLarge(b"q", 0, LargeBody(7, 4, 1))
        read: Any = self.store.openRead(b"q")
        self.store.abortRead(b"q", read, True)
        self.store.commit()
        self.fill(self.store, b"other", b"3")
        self.undo = UndoLog()
        self.transaction = self.store.transaction
        self.tombstones = Tombstones(self.transaction, self.undo)

    def removeSome(self, limit: int) -> None:
        """Remove some in a transaction that is kept."""
        with self.transaction.run():
            self.tombstones.removeSome(limit)
        self.undo.commit()

    def keys(self) -> list[bytes]:
        """Return all keys of messages and parts."""
        found: list[bytes] = self.store.transaction.messages.keys()
        return found

    def own(self) -> list[bytes]:
        """Return the tombstones that stand in the table, and what of tries does."""
        keys: list[bytes] = self.store.transaction.queues.keys()
        return [key for key in keys if key.startswith((TOMBSTONE, DELIVERIES))]

    def test_slices(self) -> None:
        """No slice touches more than its limit; the tombstone goes with the last."""
        id, part = ID.pack(1), KEY.pack(0, 7)
        with self.transaction.run():
            self.transaction.addTombstone(id)
        self.tombstones.load([id])
        left = [len(self.keys())]
        while self.tombstones.left:
            self.removeSome(1)
            left.append(len(self.keys()))
            if part in self.tombstones.left:
                self.assertIn(TOMBSTONE + part, self.own())
        self.assertEqual([left[0], left[-1]], [5, 1])
        self.assertTrue(all(0 <= a - b <= 1 for a, b in pairwise(left)))
        self.assertEqual(self.own(), [])
        self.assertEqual(self.keys(), [KEY.pack(2, 0)])

    def test_undone(self) -> None:
        """New garbage is removed after the commit, and not at all after an abort."""
        for end, left in ((self.undo.rollBack, []), (self.undo.commit, [ID.pack(1)])):
            self.tombstones.discard(ID.pack(1))
            self.assertEqual(list(self.tombstones.left), [])
            end()
            self.assertEqual(list(self.tombstones.left), left)

    def test_inOrder(self) -> None:
        """Garbage goes in the order it came; ids of queues are told from bodies."""
        self.tombstones.load([ID.pack(3), ID.pack(1)])
        self.tombstones.release(KEY.pack(0, 9))
        self.tombstones.release(ID.pack(3))
        self.assertEqual(
            list(self.tombstones.left), [ID.pack(3), ID.pack(1), KEY.pack(0, 9)]
        )
        self.assertEqual(self.tombstones.queues, 2)

    def test_taken(self) -> None:
        """A tombstone can be taken away again."""
        transaction = self.transaction
        for change, isThere in (
            (transaction.addTombstone, True),
            (transaction.removeTombstone, False),
        ):
            with transaction.run():
                change(ID.pack(9))
                self.assertIs(transaction.hasTombstone(ID.pack(9)), isThere)
            self.assertEqual(TOMBSTONE + ID.pack(9) in self.own(), isThere)
