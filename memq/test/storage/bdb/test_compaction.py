"""Messages move to a new file, and nobody sees it."""

from __future__ import annotations

import errno
import os
import shutil
from functools import partial
from typing import TYPE_CHECKING, Any

from hypothesis.stateful import precondition, rule
from twisted.trial.unittest import SynchronousTestCase

from memq.errors import DamagedMessage, HomeError, StoreError, StoreFailed
from memq.message import LargeBody
from memq.storage import occupancy
from memq.storage.bdb import compaction as rotation
from memq.storage.bdb.compaction import Task
from memq.storage.bdb.store import BDBStore
from memq.storage.bdb.union import JoinedTable
from memq.test.storage.bdb.test_store import BDBMachine, runMachine
from memq.test.support.contract.whole import WholeContract
from memq.test.support.homes import (
    BROKEN,
    DEADLOCK,
    NO_SPACE,
    SMALL,
    BDBTestCase,
    Failing,
    dump,
    refusing,
    withoutRoom,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.storage.engine.binding import StoreSettings


def make(store: Any) -> None:
    """Let the next file be made at once, if nothing is under way."""
    compaction = store.compaction
    if compaction.step is None and compaction.task is Task.LOOK:
        compaction.task = Task.MAKE
        store.tidy()


def files(store: Any) -> list[str]:
    """Return the files in which messages are or were."""
    names = os.listdir(store.home.directory)
    return sorted(name for name in names if "mess" in name or "__db" in name)


class Scattered(JoinedTable):
    """Two tables that take turns in being the new one."""

    def put(self, key: bytes, record: bytes, transaction: Any) -> None:
        """Put a record into the one that did not get the last one."""
        super().put(key, record, transaction)
        self._new, self._old = self._old, self._new


class ScatteredStore(BDBStore):
    """A store that stays in the middle of a move, its records in both files."""

    def open(self) -> None:
        """Open, begin a move, and go no further."""
        super().open()
        rotation: Any = self.compaction
        make(self)
        self.sweep(1)
        both = Scattered(rotation.current, rotation.old)
        rotation.table = self.transaction.messages = both
        rotation.step = None


class ScatteredStoreTests(WholeContract, BDBTestCase):
    """The contract, in the middle of a move."""

    def makeStore(self, settings: StoreSettings | None = None) -> BDBStore:
        """Return a store that stays in the middle of a move."""
        store = ScatteredStore(super().makeStore().home, settings or self.settings)
        # Before the home is released.
        self.addCleanup(store.close)
        return store

    def test_scattered(self) -> None:
        """Each file has every other record."""
        for body in (b"1", b"2", b"3", b"4"):
            self.push(b"q", body)
        both = self.store.compaction.current, self.store.compaction.old
        self.assertEqual([len(table) for table in both], [2, 2])
        self.assertEqual(self.bodies(b"q"), [b"1", b"2", b"3", b"4"])


class RotatingMachine(BDBMachine):
    """The machine whose store moves again and again."""

    @precondition(lambda self: not self.open)
    @rule()
    def rotate(self) -> None:
        """Begin a move."""
        make(self.store)
        self.store.sweep(1)

    @precondition(lambda self: not self.open)
    @rule()
    def finish(self) -> None:
        """End it."""
        while self.store.hasGarbage():
            self.store.sweep(2)
        self.store.tidy()


class RotationModelTests(SynchronousTestCase):
    """The model."""

    def test_machine(self) -> None:
        """Any sequence of transactions, moves and crashes does as the model."""
        runMachine(self, RotatingMachine)


class RotationTestCase(BDBTestCase):
    """A store that has some of everything."""

    settings = SMALL

    def setUp(self) -> None:
        """Fill it, and remember what is in it."""
        self.store: Any = self.openStore(self.settings)
        self.fill(self.store, b"q", *[b"%d" % number for number in range(30)])
        self.fill(self.store, b"r", b"x" * 2000, b"")
        self.large = self.upload(self.store, b"one", b"two")
        self.transact(lambda: self.store.pushLarge(b"s", 0, self.large))
        self.transact(lambda: self.store.pop(b"q"))
        for due in (20, 10, 20):
            self.transact(partial(self.store.pushDelayed, b"later", due, b"", due))
        self.transact(lambda: self.store.push(b"later", 0, b"expires", expires=9))
        self.store.flush()
        self.before = dump(self.store)

    def transact(self, work: Callable[[], Any]) -> Any:
        """Do something in a transaction, and return what it returned."""
        with self.store.transaction.run():
            return work()

    def upload(self, store: Any, *parts: bytes) -> LargeBody:
        """Add the parts of a body."""
        body = store.newBody()
        for number, data in enumerate(parts):
            self.transact(partial(store.addPart, body, number, data))
        return LargeBody(body, sum(map(len, parts)), len(parts))

    def sweepAll(self, store: Any) -> int:
        """Move all there is to move; return in how many slices."""
        slices = 0
        while store.hasGarbage():
            store.sweep(10)
            slices += 1
        return slices

    def move(self, store: Any) -> None:
        """Move all messages to a new file, but for the removal of the old one."""
        make(store)
        self.sweepAll(store)

    def assertSame(self, store: Any, *names: str) -> None:
        """Assert that a store has what it had, in these files."""
        self.assertEqual(dump(store), self.before)
        self.assertEqual(store.part(self.large.id, 1), b"two")
        self.assertEqual(files(store), sorted(names))


class MoveTests(RotationTestCase):
    """One move after the other."""

    def test_move(self) -> None:
        """A move goes on in slices, and then the old file is removed."""
        make(self.store)
        self.assertTrue(self.store.hasGarbage())
        # One for the row, then 29, 2, 1 and 2 records.
        self.assertEqual(self.sweepAll(self.store), 5)
        self.assertSame(self.store, "messages", "messages.1")
        self.assertGreater(self.store.tidy(), 0)
        self.assertSame(self.store, "messages.1")
        self.assertEqual(self.store.tidy(), 0)

    def test_largeRecords(self) -> None:
        """A slice ends early when the records are large."""
        self.fill(self.store, b"t", *[b"x" * occupancy.SLICE_BYTES] * 3)
        make(self.store)
        self.assertEqual(self.sweepAll(self.store), 7)

    def test_again(self) -> None:
        """Each move goes to a file of its own, also after a restart."""
        for number in range(1, 4):
            self.move(self.store)
            self.store.tidy()
            self.assertSame(self.store, f"messages.{number}")
            self.store = self.reopened(self.store)
            self.assertSame(self.store, f"messages.{number}")

    def test_goesOn(self) -> None:
        """A move that a stop interrupts goes on with the next start."""
        make(self.store)
        self.store.sweep(10)
        self.store.sweep(10)
        self.store = self.reopened(self.store)
        self.assertTrue(self.store.hasGarbage())
        self.assertSame(self.store, "messages", "messages.1")
        self.sweepAll(self.store)
        self.store.tidy()
        self.assertSame(self.store, "messages.1")

    def test_meanwhile(self) -> None:
        """Messages come and go meanwhile, each in its place."""
        make(self.store)
        self.store.sweep(10)
        self.fill(self.store, b"q", b"new")
        head = self.transact(lambda: self.store.pop(b"q"))
        self.store.sweep(10)
        self.transact(lambda: self.store.putBack(b"q", head))
        large: Any = self.transact(lambda: self.store.pop(b"s"))
        self.sweepAll(self.store)
        self.transact(lambda: self.store.putBack(b"s", large))
        head, *rest = [self.transact(lambda: self.store.pop(b"q")) for _ in range(30)]
        self.assertEqual(head.body, b"1")
        self.assertEqual(rest[-1].body, b"new")
        self.assertEqual(self.store.part(self.large.id, 0), b"one")

    def test_damaged(self) -> None:
        """A damaged message is moved as it is, and set aside when it is met."""
        key = b"\0\0\0\1" + b"\0" * 7 + b"\1"
        self.store.transaction.messages.put(key, b"rotten")
        make(self.store)
        self.store.sweep(1)
        for _ in range(2):
            self.store.begin()
            self.assertIsInstance(self.store.peek(b"q"), DamagedMessage)
            self.assertIsInstance(self.store.pop(b"q"), DamagedMessage)
            self.assertEqual(self.store.pop(b"q").body, b"2")
            self.store.abort()
            self.sweepAll(self.store)

    def test_lost(self) -> None:
        """Counts without messages behind them are noticed in both files."""
        make(self.store)
        self.store.sweep(1)
        for number in range(1, 30):
            key = b"\0\0\0\1" + b"\0" * 7 + bytes([number])
            self.store.compaction.old.delete(key)
        self.store.begin()
        error = self.assertRaises(StoreError, self.store.pop, b"q")
        self.assertIn("queue q has lost messages", str(error))
        self.store.abort()

    def test_sweptFirst(self) -> None:
        """A deleted message is removed and not moved."""
        make(self.store)
        self.transact(lambda: self.store.delete(b"q"))
        self.assertTrue(self.store.sweep(1000))
        self.assertTrue(self.store.sweep(1))
        self.assertEqual(len(self.store.compaction.old), 9)

    def test_released(self) -> None:
        """The old file is let go of, or its room would not be given back."""
        self.move(self.store)
        self.store.tidy()
        names = os.listdir("/proc/self/fd")
        links = [f"/proc/self/fd/{name}" for name in names]
        opened = [os.readlink(link) for link in links if os.path.islink(link)]
        inside = [name for name in opened if name.startswith(self.store.home.path)]
        self.assertEqual([name for name in inside if "deleted" in name], [])

    def test_pageSize(self) -> None:
        """The new file has the pages of the old one, whatever the settings say."""
        path = self.store.home.path
        self.store.close()
        self.store.home.release()
        self.store = self.storeAt(path, SMALL._replace(pageSize=8192))
        self.store.open()
        self.move(self.store)
        self.assertEqual(self.store.transaction.messages.get_pagesize(), 4096)

    def test_row(self) -> None:
        """The row says in which file the messages are, and in which they were."""
        make(self.store)
        self.store.sweep(1)
        row = self.store.transaction.queues.get(b"\0messages")
        self.assertEqual(row, b"\1\0\0\0\1\0\0\0\0")
        self.sweepAll(self.store)
        row = self.store.transaction.queues.get(b"\0messages")
        self.assertEqual(row, b"\1\0\0\0\1\0\0\0\1")

    def test_rowDamaged(self) -> None:
        """A row that cannot be read is no reason to begin with an empty file."""
        for row in (b"\1", b"\2\0\0\0\1\0\0\0\1"):
            self.store.transaction.queues.put(b"\0messages", row)
            self.store.close()
            error = self.assertRaises(HomeError, self.store.open)
            self.assertIn(
                f"the row of the messages cannot be read: {row.hex()}", str(error)
            )
            self.store = self.openStore()

    def test_fileMissing(self) -> None:
        """A file that the row names and that is gone is missed."""
        make(self.store)
        self.store.sweep(1)
        self.store.close()
        for name in ("messages", "messages.1"):
            path = os.path.join(self.store.home.directory, name)
            os.rename(path, path + ".away")
            error = self.assertRaises(HomeError, self.store.open)
            self.assertIn(f"{path} is missing", str(error))
            os.rename(path + ".away", path)


class WhenTests(RotationTestCase):
    """When a move is worth it."""

    settings = SMALL._replace(leastFile=0)

    def setUp(self) -> None:
        """Have files looked at all the time."""
        super().setUp()
        self.patch(occupancy, "INTERVAL", 0)

    def look(self) -> bool:
        """Let the store look, and walk; return whether it wants to move."""
        self.store.tidy()
        self.sweepAll(self.store)
        return self.store.compaction.task is Task.MAKE

    def test_little(self) -> None:
        """When little was found twice, the next file is made."""
        self.patch(occupancy, "SHARE", 10)
        self.assertEqual([self.look(), self.look()], [False, True])
        self.store.tidy()
        self.sweepAll(self.store)
        self.store.tidy()
        self.assertSame(self.store, "messages.1")

    def test_much(self) -> None:
        """When there is more, it stays."""
        self.patch(occupancy, "SHARE", 0.2)
        self.assertEqual([self.look(), self.look()], [False, False])
        self.assertSame(self.store, "messages")

    def test_many(self) -> None:
        """When there are many messages, nobody even looks for how large they are."""
        self.patch(occupancy, "LEAST_MESSAGE", 1 << 20)
        self.store.tidy()
        self.assertFalse(self.store.sweep(1))
        self.assertSame(self.store, "messages")

    def test_smallFile(self) -> None:
        """A small file stays."""
        self.store = self.openStore(SMALL._replace(leastFile=1 << 20))
        self.store.tidy()
        self.assertFalse(self.store.hasGarbage())

    def test_noRoom(self) -> None:
        """A move does not begin when there is no room for it."""
        self.patch(occupancy, "SHARE", 10)
        self.look()
        self.look()
        environment = self.store.environment
        self.patch(environment, "freeBytes", lambda: 1000)
        self.store.tidy()
        self.assertFalse(self.store.hasGarbage())
        self.assertSame(self.store, "messages")


class KillTests(RotationTestCase):
    """A kill at any moment."""

    def setUp(self) -> None:
        """Have nothing copied yet."""
        super().setUp()
        self.copies: list[str] = []
        self.patches: list[Any] = []

    def copy(self) -> None:
        """Keep what a kill would leave now."""
        self.copies.append(os.path.abspath(self.mktemp()))
        shutil.copytree(self.store.home.path, self.copies[-1])

    def around(self, owner: Any, name: str) -> None:
        """Keep what a kill before and after each call of something would leave."""
        call = getattr(owner, name)

        def around(*arguments: Any) -> Any:
            self.copy()
            result = call(*arguments)
            self.copy()
            return result

        self.patches.append(self.patch(owner, name, around))

    def assertCopies(self) -> None:
        """Assert that each copy has what it should have, and can go on."""
        for patch in self.patches:
            patch.restore()
        for number, path in enumerate(self.copies):
            store = self.storeAt(path)
            store.open()
            self.assertEqual(dump(store), self.before, (number, files(store)))
            self.assertEqual(store.part(self.large.id, 1), b"two")
            self.assertEqual(len(files(store)), 2 if store.hasGarbage() else 1)
            self.sweepAll(store)
            store.tidy()
            self.move(store)
            store.tidy()
            self.assertEqual(len(files(store)), 1)
            again = self.reopened(store)
            self.assertEqual(dump(again), self.before, number)
            again.close()
            shutil.rmtree(path)

    def rotate(self, flush: Callable[[], None]) -> None:
        """Move all messages, and keep copies of each moment."""
        environment = self.store.environment
        for owner, name in (
            (environment, "openTable"),
            (environment, "checkpoint"),
            (rotation, "syncDirectory"),
            (os, "unlink"),
        ):
            self.around(owner, name)
        make(self.store)
        flush()
        self.copy()
        while self.store.hasGarbage():
            self.store.sweep(4)
            flush()
            self.copy()
        self.store.tidy()
        self.copy()
        self.assertGreater(len(self.copies), 25)

    def test_killed(self) -> None:
        """Whenever a kill comes, all messages are there, and the move goes on.

        It does not matter which steps are in the log on the disk already, nor how
        recent the last checkpoint is.
        """
        for upkeep in ("flush", None, "checkpoint"):
            self.rotate(getattr(self.store, upkeep) if upkeep else lambda: None)
            self.assertCopies()
            self.setUp()

    def test_whileItOpens(self) -> None:
        """A kill within the next start is as good."""
        make(self.store)
        self.store.flush()
        self.copy()
        (left,) = self.copies
        self.store = self.storeAt(left)
        self.around(os, "unlink")
        self.around(rotation, "syncDirectory")
        self.store.open()
        self.copies.remove(left)
        self.assertCopies()

    def test_numbers(self) -> None:
        """A file that a kill left behind lends its number to no other one."""
        make(self.store)
        self.store.flush()
        self.store = self.crashed(self.store)
        self.assertSame(self.store, "messages")
        self.move(self.store)
        self.assertSame(self.store, "messages", "messages.2")


class RefusalTests(RotationTestCase):
    """A step that fails is tried again."""

    def test_sliceWithoutRoom(self) -> None:
        """A slice for which there is no room is undone, and moves later."""
        store: Any = self.openStore(SMALL._replace(noSync=True))
        self.fill(store, b"q", *[b"%d" % number for number in range(30)])
        before = dump(store)
        make(store)
        # The row, and then records.
        for done in (1, 10):
            for _ in range(2):
                with withoutRoom():
                    self.assertRaises(StoreError, store.sweep, 10)
                self.assertEqual(dump(store), before)
                self.assertTrue(store.hasGarbage())
            self.assertEqual(dump(self.crashed(store)), before)
            store.sweep(done)
        self.sweepAll(store)
        store.tidy()
        self.assertEqual(dump(store), before)

    def test_sliceFails(self) -> None:
        """A slice that fails for another reason is undone as well."""
        make(self.store)
        self.store.sweep(1)
        self.assertEqual(self.store.tidy(), 0)
        moving = self.store.compaction
        for part, verb in (("old", "cursor"), ("current", "put")):
            real = getattr(moving, part)
            setattr(moving, part, Failing(real, DEADLOCK, verb))
            self.assertRaises(StoreError, self.store.sweep, 10)
            setattr(moving, part, real)
        self.assertSame(self.store, "messages", "messages.1")
        self.move(self.store)

    def test_sliceBreaks(self) -> None:
        """A disk that fails is the store's end, as anywhere."""
        make(self.store)
        self.store.sweep(1)
        moving = self.store.compaction
        moving.current = Failing(moving.current, BROKEN, "put")
        self.assertRaises(StoreFailed, self.store.sweep, 10)
        moving.step = None
        self.assertRaises(StoreFailed, self.store.tidy)

    def test_makeWithoutRoom(self) -> None:
        """A file that cannot be made leaves nothing, and is made later."""
        with withoutRoom():
            self.store.compaction.task = Task.MAKE
            self.assertRaises(StoreError, self.store.tidy)
        self.assertFalse(self.store.hasGarbage())
        self.assertSame(self.store, "messages")
        self.move(self.store)
        self.store.tidy()
        self.assertSame(self.store, "messages.2")

    def test_removalFails(self) -> None:
        """A removal that fails anywhere is tried again."""
        self.move(self.store)
        environment = self.store.environment
        checkpoint = environment.checkpoint
        fails = [True, False, True, False, False]

        def sometimes() -> None:
            if fails.pop(0):
                raise StoreError("out of disk space")
            checkpoint()

        patch = self.patch(environment, "checkpoint", sometimes)
        self.assertRaises(StoreError, self.store.tidy)
        self.assertRaises(StoreError, self.store.tidy)
        self.assertSame(self.store, "messages", "messages.1")
        self.assertGreater(self.store.tidy(), 0)
        self.assertSame(self.store, "messages.1")
        patch.restore()

    def test_closeFails(self) -> None:
        """A file that cannot be closed is removed all the same, the next time."""
        self.move(self.store)
        moving = self.store.compaction
        failing = Failing(moving.old, NO_SPACE, "close")
        tables = self.store.environment._tables
        tables[failing] = tables.pop(moving.old)
        moving.old = failing
        self.assertRaises(StoreError, self.store.tidy)
        self.assertGreater(self.store.tidy(), 0)
        self.assertSame(self.store, "messages.1")

    def test_syncFails(self) -> None:
        """So it is when only the directory could not be synced."""
        self.move(self.store)
        patch = self.patch(rotation, "syncDirectory", refusing(errno.EIO))
        self.assertRaises(StoreError, self.store.tidy)
        patch.restore()
        self.assertEqual(self.store.tidy(), 0)
        self.assertIs(self.store.compaction.task, Task.LOOK)

    def test_strayStays(self) -> None:
        """A start that cannot remove a stray file is refused, in one line."""
        make(self.store)
        self.store.close()
        patch = self.patch(os, "unlink", refusing(errno.EACCES))
        error = self.assertRaises(HomeError, self.store.open)
        self.assertIn("messages.1", str(error))
        patch.restore()
        self.store.open()
        self.assertSame(self.store, "messages")

    def test_otherFiles(self) -> None:
        """A file that merely has such a name is nobody's business."""
        names = ("messages.old", "messages.01", "messages.0", "old.messages")
        for name in names:
            with open(os.path.join(self.store.home.directory, name), "w"):
                pass
        self.store = self.reopened(self.store)
        self.assertSame(self.store, "messages", *names)
