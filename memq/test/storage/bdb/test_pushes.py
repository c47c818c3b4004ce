"""Delayed messages are on the disk, and come from there when they are due."""

from __future__ import annotations

from typing import Any

from memq.storage.delays import firstAt
from memq.storage.record import KEY
from memq.test.support.homes import BDBTestCase, details, dump

WAITING = """q 2/0
  0 0 b'10'
  1 0 b'20'
r 0/0
  later q 0 b'30'"""


class DiskTests(BDBTestCase):
    """Rows of delayed messages on the disk."""

    def test_restart(self) -> None:
        """Rows and delayed messages outlive a restart, in their order."""
        store: Any = self.openStore()
        with store.transaction.run():
            for due in (30, 10, 20):
                store.pushDelayed(b"q", 0, b"%d" % due, due)
            store.setLimit(b"r", 7)
            store.setPaused(b"r", 2)
            store.countExpired(b"q", 3)
        before = details(store)
        store = self.reopened(store)
        self.assertEqual(details(store), before)
        self.assertEqual(store.nextDue(), 10)
        with store.transaction.run():
            self.assertEqual(store.promoteDue(25, 9), [b"q", b"q"])
        self.assertEqual(dump(store), WAITING)
        store.flush()
        self.assertEqual(self.crashed(store).nextDue(), 30)

    def test_lost(self) -> None:
        """Delayed messages that are not there are waited for no longer."""
        store: Any = self.openStore()
        with store.transaction.run():
            store.pushDelayed(b"q", 0, b"x", 10)
        id = store.index.queues[b"q"].rest.delayId
        store.transaction.messages.delete(KEY.pack(id, firstAt(10)))
        store = self.reopened(store)
        self.assertEqual(store.nextDue(), 0)
        with store.transaction.run():
            self.assertEqual(store.promoteDue(20, 5), [])
        self.assertIsNone(store.nextDue())
        (detail,) = details(store)
        self.assertEqual(detail.delayed, 0)
