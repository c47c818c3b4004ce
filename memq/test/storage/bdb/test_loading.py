"""An opened store reads the rows that it wrote."""

from __future__ import annotations

from typing import Any

from memq.errors import DamagedHome
from memq.storage.bdb.loading import readRows, refuseOld
from memq.storage.index import QueueIndex
from memq.storage.record import ID
from memq.storage.row import DamagedRow
from memq.storage.undo import UndoLog
from memq.test.support.homes import BDBTestCase


class LoadingTests(BDBTestCase):
    """Rows in the table of queues."""

    def setUp(self) -> None:
        """Make a store with a queue that was deleted, and one that was read."""
        self.store: Any = self.openStore()
        self.fill(self.store, b"gone", b"1")
        self.fill(self.store, b"q", b"2", b"3")
        with self.store.transaction.run():
            self.store.delete(b"gone")
            read: Any = self.store.openRead(b"q")
            self.store.abortRead(b"q", read, True)

    def test_rows(self) -> None:
        """Each row is told as what it is."""
        queues, nextId, deliveries, tombstones = readRows(self.store.transaction.queues)
        (queue,) = queues
        self.assertEqual((queue.name, queue.pushed, queue.taken), (b"q", 2, 0))
        self.assertEqual((nextId, deliveries), (3, {2: {0: 1}}))
        self.assertEqual(tombstones, [ID.pack(1)])

    def test_damaged(self) -> None:
        """A row that cannot be read is no queue."""
        self.store.transaction.queues.put(b"q", b"garbage")
        error = self.assertRaises(DamagedRow, readRows, self.store.transaction.queues)
        self.assertIn("queue q", str(error))

    def test_refuseOld(self) -> None:
        """A home that seems new has no queues, and never had one."""
        index = QueueIndex(UndoLog())
        refuseOld("/home", index)
        index.load([], 2)
        error = self.assertRaises(DamagedHome, refuseOld, "/home", index)
        self.assertIn("/home/VERSION is missing", str(error))
