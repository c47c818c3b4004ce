"""MemoryStore keeps the contract of a store."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from memq.storage.memory import MemoryStore
from memq.test.support.contract.machine import machineTest
from memq.test.support.contract.whole import WholeContract


class MemoryStoreTests(WholeContract, SynchronousTestCase):
    """The contract."""

    def makeStore(self) -> Any:
        """Return a store."""
        return MemoryStore()

    def test_time(self) -> None:
        """A message carries the time of its push, in milliseconds."""
        store = MemoryStore(seconds=lambda: 12.5)
        store.begin()
        store.push(b"q", 0, b"")
        message: Any = store.pop(b"q")
        self.assertEqual(message.time, 12500)


class MemoryStoreModelTests(machineTest(MemoryStore)):  # type: ignore[misc]
    """The model."""
