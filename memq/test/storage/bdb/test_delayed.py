"""Delayed messages are on the disk, and come from there when they are due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis.stateful import precondition, rule
from twisted.trial.unittest import SynchronousTestCase

from memq.storage.delays import firstAt
from memq.storage.record import KEY
from memq.test.storage.bdb.test_compaction import make
from memq.test.storage.bdb.test_store import runMachine
from memq.test.support.delaytests import DelayMachine
from memq.test.support.homes import BDBTestCase, crashed, details, dump, storeAt

if TYPE_CHECKING:
    from collections.abc import Callable


class DiskMachine(DelayMachine):
    """The machine that also restarts, crashes, and moves from file to file."""

    #: Names a directory.
    mktemp: Callable[[], str]

    @precondition(lambda self: not self.open)
    @rule()
    def restart(self) -> None:
        """Close and open again."""
        path = self.store.home.path
        self.store.close()
        self.store.home.release()
        self.store = storeAt(path)
        self.store.open()

    @rule()
    def crash(self) -> None:
        """Go on with what a kill after a flush leaves."""
        self.store.flush()
        old, self.store = self.store, crashed(self.store, type(self).mktemp())
        old.abort()
        old.close()
        old.home.release()
        self.open = False

    @precondition(lambda self: not self.open)
    @rule()
    def rotate(self) -> None:
        """Begin a move, or go on with it."""
        make(self.store)
        self.store.sweep(1)

    def teardown(self) -> None:
        """Let go of the home, too."""
        super().teardown()
        self.store.home.release()


class DiskModelTests(SynchronousTestCase):
    """Any sequence of transactions, moves, restarts and crashes."""

    def test_machine(self) -> None:
        """Messages ripen in their order, whatever happens in between."""
        runMachine(self, DiskMachine)


WAITING = """q 2/0
  0 0 b'10'
  1 0 b'20'
r 0/0
  later q 0 b'30'"""


class DiskTests(BDBTestCase):
    """What is on the disk of delayed messages."""

    def test_restart(self) -> None:
        """Rows and delayed messages outlive a restart, in their order."""
        store: Any = self.openStore()
        store.begin()
        for due in (30, 10, 20):
            store.pushDelayed(b"q", 0, b"%d" % due, due)
        store.setLimit(b"r", 7)
        store.setPaused(b"r", 2)
        store.countExpired(b"q", 3)
        store.commit()
        before = details(store)
        store = self.reopened(store)
        self.assertEqual(details(store), before)
        self.assertEqual(store.nextDue(), 10)
        store.begin()
        self.assertEqual(store.promoteDue(25, 9), [b"q", b"q"])
        store.commit()
        self.assertEqual(dump(store), WAITING)
        store.flush()
        self.assertEqual(self.crashed(store).nextDue(), 30)

    def test_lost(self) -> None:
        """Delayed messages that are not there are waited for no longer."""
        store: Any = self.openStore()
        store.begin()
        store.pushDelayed(b"q", 0, b"x", 10)
        store.commit()
        id = store.index.queues[b"q"].rest.delayId
        store.transaction.messages.delete(KEY.pack(id, firstAt(10)))
        store = self.reopened(store)
        self.assertEqual(store.nextDue(), 0)
        store.begin()
        self.assertEqual(store.promoteDue(20, 5), [])
        store.commit()
        self.assertIsNone(store.nextDue())
        (detail,) = details(store)
        self.assertEqual(detail.delayed, 0)
