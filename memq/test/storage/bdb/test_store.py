"""BDBStore keeps the contract of a store, and survives what a disk survives."""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from hypothesis.stateful import precondition, rule
from twisted.trial.unittest import SynchronousTestCase

from memq.errors import OutOfSpace, StoreError, StoreFailed
from memq.storage.engine.binding import db
from memq.test.support.contract.machine import StoreMachine, machineTest
from memq.test.support.contract.queues import LONG
from memq.test.support.contract.whole import WholeContract
from memq.test.support.homes import (
    BROKEN,
    DEADLOCK,
    NO_MEMORY,
    NO_SPACE,
    PACKED,
    PANIC,
    SHARED,
    SMALL,
    BDBTestCase,
    Failing,
    crashed,
    dump,
    refusing,
    storeAt,
    withoutRoom,
)
from testkit.servers import runToEnd

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.storage.bdb.store import BDBStore


#: A verb of the store and its arguments.
PUSH = ("push", b"q", 0, b"x")


class BDBStoreTests(WholeContract, BDBTestCase):
    """The contract."""

    settings = SHARED


class PackedStoreTests(BDBStoreTests):
    """The contract, where every small message is packed."""

    settings = PACKED


class BDBMachine(StoreMachine):
    """The machine that also restarts and crashes."""

    settings = SHARED

    @precondition(lambda self: not self.open)
    @rule()
    def restart(self) -> None:
        """Close and open again."""
        self.committed.restart()
        path = self.store.home.path
        self.store.close()
        self.store.home.release()
        self.store = storeAt(path, self.settings)
        self.store.open()

    @rule()
    def crash(self) -> None:
        """Go on with what a kill after a flush leaves."""
        self.committed.restart()
        self.store.flush()
        old, self.store = self.store, crashed(self.store, type(self).mktemp())
        old.abort()
        old.close()
        old.home.release()
        self.open = False

    def teardown(self) -> None:
        """Let go of the home, too."""
        super().teardown()
        self.store.home.release()

    #: Names a directory.
    mktemp: Callable[[], str]


class BDBStoreModelTests(SynchronousTestCase):
    """Any sequence of transactions, restarts and crashes."""

    def test_machine(self) -> None:
        """Any sequence of transactions, restarts and crashes does as the model."""
        runMachine(self, BDBMachine)


class PackedModelTests(SynchronousTestCase):
    """The same where every small message is packed."""

    def test_machine(self) -> None:
        """No operation sees how a message is stored."""

        class Machine(BDBMachine):
            """The machine with packed records."""

            settings = PACKED

        runMachine(self, Machine)


def runMachine(case: SynchronousTestCase, machine: type[Any]) -> None:
    """Run a machine on homes below the test case's directory."""

    class Machine(machine):  # type: ignore[misc]
        """The machine, in this place."""

    Machine.mktemp = staticmethod(case.mktemp)
    machineTest(lambda: storeAt(case.mktemp(), Machine.settings), Machine)(
        "test_machine"
    ).debug()


class RecoveryTests(BDBTestCase):
    """Messages and counts after the end of a process, whatever end it was."""

    def test_restart(self) -> None:
        """Messages and counts outlive a clean stop."""
        store = self.openStore()
        self.fill(store, b"q", b"1", b"2")
        with store.transaction.run():
            store.pop(b"q")
        before = dump(store)
        again = self.reopened(store)
        self.assertEqual(dump(again), before)
        self.assertEqual(again.gone(), (-2, -1, 0, 0, 0, 0))
        self.assertEqual(before, "q 2/1\n  1 0 b'2'")

    def test_crash(self) -> None:
        """A flushed message outlives a kill, counts included; nothing else is there."""
        store = self.openStore()
        self.fill(store, b"q", b"1", b"2")
        store.flush()
        self.fill(store, b"q", b"3")
        self.assertEqual(dump(self.crashed(store)), "q 2/0\n  0 0 b'1'\n  1 0 b'2'")

    def test_noSyncIsWithTheSystem(self) -> None:
        """With no-sync a commit alone outlives a kill of the process."""
        path = os.path.abspath(self.mktemp())
        script = (
            "import os, signal\n"
            "from memq.test.support.homes import *\n"
            f"store = storeAt({path!r}, SMALL._replace(noSync=True))\n"
            "store.open()\n"
            "store.begin(); store.push(b'q', 0, b'x'); store.commit()\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        process = runToEnd(sys.executable, "-c", script)
        self.assertEqual(process.returncode, -signal.SIGKILL, process.stderr)
        store = self.storeAt(path)
        store.open()
        self.assertEqual(dump(store), "q 1/0\n  0 0 b'x'")

    def test_sweepGoesOn(self) -> None:
        """The removal of a deleted queue goes on after a crash."""
        store = self.openStore()
        self.fill(store, b"q", *[LONG] * 50)
        self.fill(store, b"keep", b"k")
        with store.transaction.run():
            store.delete(b"q")
        store.sweep(20)
        store.flush()
        again = self.crashed(store)
        self.assertTrue(again.hasGarbage())
        while again.hasGarbage():
            again.sweep(20)
        self.assertEqual(dump(again), "keep 1/0\n  0 0 b'k'")
        self.assertFalse(self.reopened(again).hasGarbage())

    def test_idsAreNotUsedAgain(self) -> None:
        """A queue that is made again does not see messages of the deleted one."""
        store = self.openStore()
        self.fill(store, b"q", *[b"old"] * 10)
        with store.transaction.run():
            store.delete(b"q")
        again = self.reopened(store)
        self.fill(again, b"q", b"new")
        self.assertEqual(dump(again), "q 1/0\n  0 0 b'new'")

    def test_putBackOutlivesARestart(self) -> None:
        """A message that was put back is the head after a restart, too."""
        store = self.openStore()
        self.fill(store, b"q", b"1", b"2")
        with store.transaction.run():
            message: Any = store.pop(b"q")
        with store.transaction.run():
            store.putBack(b"q", message)
        self.assertEqual(dump(self.reopened(store)), "q 2/0\n  0 0 b'1'\n  1 0 b'2'")

    def readAndGiveBack(self, store: BDBStore, queue: bytes, times: int) -> Any:
        """Give the head of a queue back some times, and leave it open then."""
        with store.transaction.run():
            message: Any = store.openRead(queue)
            for _ in range(times):
                store.abortRead(queue, message, True)
                store.openRead(queue)
        return message

    def test_openReadsAreBack(self) -> None:
        """An openly read message is there again after any end, for all to see."""
        store = self.openStore()
        self.fill(store, b"q", b"1", b"2")
        store.flush()
        message = self.readAndGiveBack(store, b"q", 0)
        self.assertEqual(dump(store), "q 2/0\n  1 0 b'2'")
        expected = "q 2/0\n  0 0 b'1'\n  1 0 b'2'"
        for again in (self.crashed(store), self.reopened(store)):
            self.assertEqual(dump(again), expected)
            again.begin()
            self.assertFalse(again.closeRead(b"q", message))
            again.abort()

    def test_openReadsLogNothing(self) -> None:
        """To read openly and to give back uncounted writes next to nothing."""
        store = self.openStore()
        self.fill(store, b"q", *[LONG] * 100)
        before = store.logged()
        with store.transaction.run():
            reads: list[Any] = [store.openRead(b"q") for _ in range(100)]
        with store.transaction.run():
            for message in reads:
                store.abortRead(b"q", message, False)
        self.assertLess(store.logged() - before, 200)

    def test_triesOutliveARestart(self) -> None:
        """How often a message was given back is known after any end."""
        store = self.openStore()
        self.fill(store, b"q", b"1", b"2")
        message = self.readAndGiveBack(store, b"q", 3)
        store.flush()
        for again in (self.crashed(store), self.reopened(store)):
            self.assertEqual(again.deliveries(message), 3)
            self.assertEqual(self.readAndGiveBack(again, b"q", 1), message)
            self.assertEqual(again.deliveries(message), 4)

    def deliveries(self, store: Any) -> int:
        """Return of how many messages a home says how often they were given back."""
        keys: list[bytes] = store.transaction.queues.keys()
        return sum(key.startswith(b"\0tries") for key in keys)

    def test_triesGo(self) -> None:
        """That is forgotten with the message, by a pop and a close and a sweep."""
        store = self.openStore()
        self.fill(store, b"q", *[b"x"] * 9)
        message: Any
        for number in range(8):
            message = self.readAndGiveBack(store, b"q", 2)
            self.assertEqual(message.sequence, number)
        self.assertEqual(self.deliveries(store), 8)
        again = self.reopened(store)
        with again.transaction.run():
            again.pop(b"q")
            message = again.openRead(b"q")
            again.closeRead(b"q", message)
        self.assertEqual(self.deliveries(again), 6)
        with again.transaction.run():
            again.delete(b"q")
        again.sweep(5)
        again = self.reopened(again)
        while again.hasGarbage():
            again.sweep(2)
        self.assertEqual(self.deliveries(again), 0)
        self.assertFalse(self.reopened(again).hasGarbage())

    def test_largeSlices(self) -> None:
        """A slice of a sweep ends early when the messages are large."""
        store = self.openStore()
        self.fill(store, b"q", *[b"x" * 700_000] * 5)
        with store.transaction.run():
            store.delete(b"q")
        for _ in range(4):
            self.assertTrue(store.sweep(100))
        self.assertFalse(store.sweep(100))


class FailureTests(BDBTestCase):
    """Berkeley DB's errors become those of the store."""

    def setUp(self) -> None:
        """Make a store with one message."""
        self.store: Any = self.openStore()
        self.fill(self.store, b"q", b"1")
        self.before = dump(self.store)

    def failing(self, part: str, error: Exception, *names: str) -> None:
        """Let methods of a table or a transaction fail until ``mend``."""
        self._replace(self.store.transaction, part, error, *names)

    def failingEnvironment(self, error: Exception, *names: str) -> None:
        """Let methods of Berkeley DB's environment fail until ``mend``."""
        self._replace(self.store.environment, "handle", error, *names)

    def _replace(self, owner: Any, part: str, error: Exception, *names: str) -> None:
        real = getattr(owner, part)
        setattr(owner, part, Failing(real, error, *names))
        self.mend: Callable[[], None] = lambda: setattr(owner, part, real)

    def assertFails(
        self, work: Callable[[], object], error: type[StoreError], words: str
    ) -> None:
        """Assert that work in a transaction fails so, and leaves no trace."""
        raised = self.assertRaises(error, self.transact, work)
        self.assertIs(type(raised), error)
        self.assertIn(words, str(raised))
        self.store.abort()
        self.mend()
        self.assertEqual(dump(self.store), self.before)

    def transact(self, work: Callable[[], Any]) -> Any:
        """Do something in a transaction, and return what it returned."""
        self.store.begin()
        result = work()
        self.store.commit()
        return result

    def test_delayWithoutRoom(self) -> None:
        """So does a delayed message, when it is put and when it is ripe."""
        for delay in (
            lambda: self.store.pushDelayed(b"q", 0, b"2", 10),
            lambda: self.store.promoteDue(10, 5),
        ):
            self.failing("messages", NO_SPACE, "put")
            self.assertFails(delay, OutOfSpace, "out of disk space")
            self.transact(lambda: self.store.pushDelayed(b"q", 0, b"2", 10))
            self.before = dump(self.store)

    def test_refused(self) -> None:
        """A call Berkeley DB refuses fails alone, says why, and leaves no trace."""
        store = self.store
        store.begin()
        message = store.pop(b"q")
        store.abort()
        full, dead = (OutOfSpace, "out of disk space"), (StoreError, "deadlock")
        quota = db.DBError(errno.EDQUOT, "BDB0001 unable to allocate")
        for part, verb, error, (name, *arguments), (kind, words) in (
            # There are four errors that a full disk shows itself by.
            ("messages", "put", NO_SPACE, PUSH, full),
            ("messages", "put", quota, PUSH, full),
            ("messages", "put", NO_MEMORY, PUSH, full),
            ("messages", "put", db.DBError(errno.ENOMEM, "BDB0001"), PUSH, full),
            ("messages", "put", DEADLOCK, PUSH, dead),
            ("messages", "put", db.DBError(), PUSH, (StoreError, "DBError")),
            # The commit cannot write its rows.
            ("queues", "put", NO_SPACE, PUSH, full),
            ("messages", "cursor", DEADLOCK, ("pop", b"q"), dead),
            ("messages", "cursor", DEADLOCK, ("peek", b"q"), dead),
            ("messages", "cursor", DEADLOCK, ("openRead", b"q"), dead),
            ("messages", "put", DEADLOCK, ("putBack", b"q", message), dead),
            # It cannot write its tombstone.
            ("queues", "put", DEADLOCK, ("delete", b"q"), dead),
        ):
            self.failing(part, error, verb)
            self.assertFails(partial(getattr(store, name), *arguments), kind, words)

    def test_popReadFails(self) -> None:
        """A message that cannot be taken out of the table stays hidden."""

        def popRead() -> None:
            message = self.store.openRead(b"q")
            self.failing("messages", DEADLOCK, "delete")
            self.store.popRead(b"q", message)

        self.assertFails(popRead, StoreError, "deadlock")

    def test_commitFails(self) -> None:
        """With no-sync a commit that cannot be written is undone, for good."""
        store = self.openStore(SMALL._replace(noSync=True))
        self.fill(store, b"q", b"1", b"2")
        before = dump(store)
        store.begin()
        store.pop(b"q")
        store.push(b"q", 0, b"3")
        store.push(b"new", 0, b"4")
        with withoutRoom():
            self.assertRaises(StoreError, store.commit)
        self.assertEqual(dump(store), before)
        store.abort()
        self.assertEqual(dump(store), before)
        self.fill(store, b"new", b"5")
        self.assertEqual(dump(self.crashed(store)), f"new 1/0\n  0 0 b'5'\n{before}")

    def test_popBesideReadsFails(self) -> None:
        """So does a pop in a queue that has open reads."""
        self.transact(lambda: self.store.openRead(b"q"))
        self.fill(self.store, b"q", b"2")
        self.before = dump(self.store)
        self.failing("messages", DEADLOCK, "cursor")
        self.assertFails(lambda: self.store.pop(b"q"), StoreError, "deadlock")

    def test_readsFail(self) -> None:
        """So do open reads, whatever they need."""
        store = self.store
        message = self.transact(partial(store.openRead, b"q"))
        self.before = dump(store)
        self.failing("messages", DEADLOCK, "delete")
        close = partial(store.closeRead, b"q", message)
        self.assertFails(close, StoreError, "deadlock")
        self.failing("queues", NO_SPACE, "put")
        back = partial(store.abortRead, b"q", message, True)
        self.assertFails(back, OutOfSpace, "out of disk space")
        self.assertEqual(store.deliveries(message), 0)
        self.transact(close)
        self.assertEqual(dump(store), "q 1/1")

    def test_sweepFails(self) -> None:
        """A sweep that fails can be tried again."""
        self.transact(lambda: self.store.delete(b"q"))
        self.failing("messages", DEADLOCK, "cursor")
        self.assertRaises(StoreError, self.store.sweep, 10)
        self.mend()
        self.assertFalse(self.store.sweep(10))

    def test_beginFails(self) -> None:
        """A transaction that cannot begin says why."""
        self.failingEnvironment(PANIC, "txn_begin")
        error = self.assertRaises(StoreFailed, self.store.begin)
        self.assertIn("PANIC", str(error))

    def test_abortFails(self) -> None:
        """A transaction that cannot be undone is the store's end."""
        self.store.begin()
        self.store.push(b"q", 0, b"x")
        self.failing("handle", PANIC, "abort")
        self.assertRaises(StoreFailed, self.store.abort)
        self.assertEqual(list(self.store.counts()), [(b"q", 1, 0)])
        self.mend()
        self.assertRaises(StoreFailed, self.store.flush)

    def test_maintenanceFails(self) -> None:
        """Upkeep that fails once can be tried again."""
        self.failingEnvironment(
            NO_SPACE, "txn_checkpoint", "memp_trickle", "log_archive"
        )
        self.assertRaises(StoreError, self.store.checkpoint)
        self.assertRaises(StoreError, self.store.trickle, 50)
        self.assertRaises(StoreError, self.store.removeLogs)
        self.mend()
        self.failingEnvironment(NO_SPACE, "log_stat")
        self.assertRaises(StoreError, self.store.logged)
        self.mend()
        self.store.checkpoint()

    def test_markerFails(self) -> None:
        """A checkpoint whose marker cannot be written has failed."""
        self.patch(os, "pwrite", refusing(errno.ENOSPC))
        error = self.assertRaises(StoreError, self.store.checkpoint)
        self.assertIn("the marker cannot be written", str(error))
        error = self.assertRaises(StoreError, self.store.close)
        self.assertIn("the marker cannot be written", str(error))

    def test_closeFails(self) -> None:
        """A close that fails says why, and is over."""
        self.failingEnvironment(NO_SPACE, "txn_checkpoint")
        self.assertRaises(StoreError, self.store.close)
        self.store.close()

    def test_flushAgain(self) -> None:
        """A flush without room keeps its changes, and the next one writes them."""
        store = self.store
        store.flush()
        self.fill(store, b"q", b"2", b"3")
        with withoutRoom():
            self.assertRaises(OutOfSpace, store.flush)
            self.assertRaises(OutOfSpace, store.flush)
        self.assertEqual(dump(self.crashed(store)), self.before)
        self.fill(store, b"q", b"4")
        store.flush()
        self.assertEqual(dump(self.crashed(store)), dump(store))

    def test_syncFails(self) -> None:
        """After a sync that failed nothing is made durable any more."""
        self.failingEnvironment(BROKEN, "log_flush")
        error = self.assertRaises(StoreFailed, self.store.flush)
        self.assertIn("the log cannot be synced: Input/output error", str(error))
        self.mend()
        self.assertRaises(StoreFailed, self.store.flush)
        self.assertRaises(StoreFailed, self.store.checkpoint)
        self.assertRaises(StoreFailed, self.store.trickle, 50)
        error = self.assertRaises(StoreFailed, self.store.begin)
        self.assertIn("the log cannot be synced: Input/output error", str(error))

    def test_whatFailedDoesNotComeBack(self) -> None:
        """Changes that failed to sync are not there later, whatever ends the store."""
        for end in ("close", "garbage"):
            store: Any = self.openStore()
            self.fill(store, b"q", b"1", b"2")
            store.flush()
            before = dump(store)
            with store.transaction.run():
                store.pop(b"q")
                store.push(b"q", 0, b"3")
            self._replace(store.environment, "handle", BROKEN, "log_flush")
            self.assertRaises(StoreFailed, store.flush)
            self.mend()
            if end == "close":
                store.close()
            else:
                store.transaction.messages = store.transaction.queues = (
                    store.environment.handle
                ) = None
                gc.collect()
            store.home.release()
            again = self.storeAt(store.home.path)
            again.open()
            self.assertEqual(dump(again), before)

    def test_ioErrorIsForGood(self) -> None:
        """An input/output error anywhere is the store's end."""
        self.failing("messages", BROKEN, "put")
        push = partial(self.store.push, b"q", 0, b"x")
        self.assertRaises(StoreFailed, self.transact, push)
        self.assertRaises(StoreFailed, self.store.flush)
        self.assertRaises(StoreFailed, self.store.abort)


class UpkeepTests(BDBTestCase):
    """Checkpoints, logs and sizes."""

    def test_logged(self) -> None:
        """The log grows with what is written, and a checkpoint starts anew."""
        store = self.openStore()
        before = store.logged()
        self.fill(store, b"q", b"x" * 100_000)
        self.assertGreater(store.logged(), before + 100_000)
        store.checkpoint()
        self.assertLess(store.logged(), 10_000)

    def test_checkpointWhileBusy(self) -> None:
        """The record that a marker points at is on disk, however new it is."""
        store: Any = self.openStore()
        environment = store.environment.handle

        def logCursor() -> Any:
            self.fill(store, b"q", b"committed after the checkpoint")
            return environment.log_cursor()

        store.environment.handle = Failing(environment, NO_SPACE)
        store.environment.handle.log_cursor = logCursor
        store.checkpoint()
        store.environment.handle = environment
        self.assertEqual(
            dump(self.crashed(store)), "q 1/0\n  0 0 b'committed after the checkpoint'"
        )

    def test_removeLogs(self) -> None:
        """A checkpoint makes log files superfluous, and they are removed."""
        store = self.openStore()
        for _ in range(5):
            self.fill(store, b"q", *[b"x" * 100_000] * 10)
        store.checkpoint()
        size = store.bytesOnDisk()
        self.assertGreaterEqual(store.removeLogs(), 4)
        self.assertLess(store.bytesOnDisk(), size)
        self.assertEqual(store.removeLogs(), 0)
        self.assertEqual(self.reopened(store).status()["messages"], 50)

    def test_removeLogsBehindTheMarker(self) -> None:
        """A log file that the marker points into stays, whatever else failed."""
        store = self.openStore()
        for _ in range(5):
            self.fill(store, b"q", *[b"x" * 100_000] * 10)
        patch = self.patch(os, "pwrite", refusing(errno.ENOSPC))
        self.assertRaises(StoreError, store.checkpoint)
        self.assertEqual(store.removeLogs(), 0)
        patch.restore()
        self.assertEqual(self.crashed(store).status()["messages"], 50)
        store.checkpoint()
        self.assertGreaterEqual(store.removeLogs(), 4)

    def test_removeLogsFails(self) -> None:
        """A log file that cannot be removed is named."""
        store = self.openStore()
        for _ in range(2):
            self.fill(store, b"q", *[b"x" * 100_000] * 10)
        store.checkpoint()
        self.patch(os, "remove", refusing(errno.EACCES))
        error = self.assertRaises(StoreError, store.removeLogs)
        self.assertIn("log.0000000001", str(error))

    def test_bytesOnDisk(self) -> None:
        """The size is that of the files; one that is gone meanwhile has none."""
        store = self.openStore()
        size = store.bytesOnDisk()
        self.assertGreater(size, 0)
        os.symlink("nowhere", os.path.join(store.home.directory, "gone"))
        self.assertEqual(store.bytesOnDisk(), size)

    def test_trickle(self) -> None:
        """A trickle writes pages that were changed."""
        store = self.openStore()
        self.fill(store, b"q", *[b"x" * 1000] * 200)
        self.assertGreater(store.trickle(100), 0)

    def test_trickleSyncs(self) -> None:
        """They are on the disk then; a disk that fails at it is the store's end."""
        store = self.openStore()
        self.fill(store, b"q", *[b"x" * 1000] * 200)
        self.patch(os, "fdatasync", refusing(errno.EIO))
        self.assertRaises(StoreFailed, store.trickle, 100)
        self.assertRaises(StoreFailed, store.begin)

    def test_pageSize(self) -> None:
        """A new home gets the page size that was asked for, and keeps it."""
        store = self.openStore(SMALL._replace(pageSize=8192))
        self.assertEqual(store.transaction.messages.get_pagesize(), 8192)
        self.assertEqual(self.reopened(store).transaction.messages.get_pagesize(), 8192)

    def test_freeBytes(self) -> None:
        """The room is the file system's."""
        self.assertGreater(self.openStore().freeBytes() or 0, 0)
