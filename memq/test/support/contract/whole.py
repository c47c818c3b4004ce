"""The contract of a store, all of it."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from memq.storage.maintenance import IMaintainedStore
from memq.test.support.contract.delays import DelaysContract
from memq.test.support.contract.figures import FiguresContract
from memq.test.support.contract.messages import MessagesContract
from memq.test.support.contract.openreads import OpenReadsContract
from memq.test.support.contract.parts import PartsContract
from memq.test.support.contract.queues import QueuesContract
from memq.test.support.contract.traces import TracesContract
from memq.test.support.homes import dump


class WholeContract(
    MessagesContract,
    PartsContract,
    OpenReadsContract,
    DelaysContract,
    TracesContract,
    QueuesContract,
    FiguresContract,
):
    """Promises of every store; mixed into a test case."""

    def test_interface(self) -> None:
        """It provides the interface."""
        self.assertTrue(verifyObject(IMaintainedStore, self.store))

    def test_newStore(self) -> None:
        """A new store has no queues, nothing to sweep, and is where it was."""
        self.assertHolds("")
        self.assertEqual(self.store.status()["queues"], 0)
        self.assertFalse(self.store.hasGarbage())
        self.assertFalse(self.store.sweep(10))
        self.assertIsNone(self.store.checkHome())

    def test_maintenance(self) -> None:
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
        self.assertHolds(before)
