"""What a catalog knows is told without a look at messages, by every store alike."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.interfaces import NOTHING_KEPT
from memq.storage.bdb.store import BDBStore
from memq.storage.indexed import Catalogued
from memq.storage.memory import MemoryStore


class CataloguedTests(SynchronousTestCase):
    """What there is to ask."""

    def setUp(self) -> None:
        """Make two queues, of which one is paused."""
        self.store = Catalogued()
        self.store.setLimit(b"r", 5)
        self.store.setPaused(b"q", 2)

    def test_told(self) -> None:
        """Queues are told by name, with their counts and settings."""
        store = self.store
        self.assertEqual(set(store.names()), {b"q", b"r"})
        self.assertEqual(list(store.counts()), [(b"q", 0, 0), (b"r", 0, 0)])
        self.assertEqual(store.status(), {"queues": 2, "messages": 0})
        self.assertEqual(store.settings(b"r"), (5, 0))
        self.assertEqual(store.settings(b"q"), (0, 2))
        self.assertTrue(store.hasSettings())

    def test_none(self) -> None:
        """A queue that is not there has nothing, and gets nothing by being asked."""
        store = self.store
        self.assertEqual(store.kept(b"s"), NOTHING_KEPT)
        self.assertEqual(store.settings(b"s"), (0, 0))
        self.assertIsNone(store.idleSince(b"s"))
        store.countExpired(b"s", 1)
        store.countDiscarded(b"s", 1)
        self.assertFalse(store.setPaused(b"s", 0))
        self.assertNotIn(b"s", store.names())

    def test_alike(self) -> None:
        """No store answers by itself what the catalog knows."""
        told = {name for name in vars(Catalogued) if not name.startswith("_")}
        self.assertEqual(told & set(vars(MemoryStore)), set())
        self.assertEqual(told & set(vars(BDBStore)), {"figures", "status"})
