"""BDBStore: the queues in tables of Berkeley DB.

Theory of operation
===================

Everything lies in one transactional environment in HOME/memq/:

- ``messages``, a BTREE: key = id of the queue (u32) and sequence number (u64),
  both big-endian, so that a queue's messages stand together in their order;
  value = a record, see :mod:`memq.message`.  Large bodies are kept in parts,
  as if in a queue with the id 0: key = 0 (u32), id of the body (u64), number of
  the part (u32).  When little is left in a large file, it moves to another one,
  ``messages.1`` and so on, see :mod:`memq.storage.bdb.compaction`.
- ``queues``, a BTREE: key = name of the queue, value = its row, see
  :mod:`memq.storage.row`.  Names have no byte below 0x21; the keys that begin with
  a zero byte are the store's own: the id counter, tombstones, damaged
  records set aside, how often messages were given back, and the row that names
  the file of the messages.
- ``log.*``, Berkeley DB's write-ahead log, and ``safe``, the marker, see
  :mod:`memq.storage.engine.environment`.

One thread runs all transactions, one at a time, so Berkeley DB keeps no locks:
what the other threads do to pages and the log is guarded by its latches.
A commit leaves its records in the log buffer (with no-sync: hands them to the
operating system); ``flush`` writes and syncs the log.  Rows are written by the
commit, once a queue, so counts are exact after any crash: they are in the same
transaction as the messages they count.

A store is put together of parts, each of which holds what it needs: the transaction
under way (:mod:`memq.storage.bdb.transaction`), in which work the ends of the queues,
large bodies and delayed messages (:mod:`memq.storage.bdb.pushes`) and the heads
(:mod:`memq.storage.bdb.heads`); the tombstones, which ``sweep`` works off
(:mod:`memq.storage.bdb.tombstones`); and the compaction.  All of them write to one undo
log (:mod:`memq.storage.undo`).

Deleting a queue removes its row and writes a tombstone; ``sweep`` removes the messages
in small transactions.
"""

from __future__ import annotations

from contextlib import suppress
from time import time
from typing import TYPE_CHECKING, Protocol

from zope.interface import implementer

from memq.errors import DamagedHome, HomeError, OutOfSpace, StoreError
from memq.storage.bdb.bulkloader import BulkLoader
from memq.storage.bdb.compaction import Compaction
from memq.storage.bdb.heads import Heads
from memq.storage.bdb.hidden.looks import Looks
from memq.storage.bdb.hidden.many import Hidden
from memq.storage.bdb.loading import countUncounted, findDelayed, readRows, refuseOld
from memq.storage.bdb.pushes import Bodies, Delayed, Pushes
from memq.storage.bdb.tombstones import Tombstones
from memq.storage.bdb.transaction import Transaction
from memq.storage.datadir.home import FORMAT
from memq.storage.engine.binding import ERRORS, db
from memq.storage.engine.environment import Environment
from memq.storage.engine.recovery import whyNotOpened
from memq.storage.index import IndexedStore
from memq.storage.maintenance import IMaintainedStore
from memq.storage.record import ID
from memq.storage.row import DamagedRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.storage.datadir.home import Home
    from memq.storage.engine.binding import StoreSettings

#: How many rows one transaction of an upgrade writes.
_ROWS = 1000


class Salvage(Protocol):
    """Makes a home whole of what can be read in a damaged one."""

    def look(self) -> None:
        """Look at everything, once a checkpoint has written it.

        :raise memq.errors.DamagedHome: when something is damaged.
        """

    def run(self, why: DamagedHome) -> None:
        """Make the home whole, or raise a HomeError."""


@implementer(IMaintainedStore)
class BDBStore(IndexedStore):
    """Keep all queues in one Berkeley DB environment.

    The parts are public for those that are built on a store, as
    :class:`memq.storage.bdb.bulkloader.BulkLoader` is.

    :ivar home: the directory.
    :ivar compaction: moves the messages to a smaller file; None while closed.
    """

    def __init__(
        self,
        home: Home,
        settings: StoreSettings,
        say: Callable[[str], None] = lambda line: None,
        salvage: Salvage | None = None,
        seconds: Callable[[], float] = time,
    ) -> None:
        """Take where and how; :meth:`open` does the work.

        :param home: the directory, prepared and locked by the caller, who
            releases it after :meth:`close`.
        :param say: is told, in a line, what a person should know of a start.
        :param salvage: what to do with a damaged home; None to refuse it.
        """
        super().__init__()
        self.home = home
        self.say = say
        self._salvage = salvage
        self.seconds = seconds
        self._leastFile = settings.leastFile
        self.environment = Environment(home, settings, say)
        self.transaction = Transaction(
            self.environment, self.index, self.undo, seconds, settings.leastPacked
        )
        self.tombstones = Tombstones(self.transaction, self.undo)
        self.compaction: Compaction | None = None
        self._bindMaintenance()
        self._bind()

    def _bindMaintenance(self) -> None:
        environment = self.environment
        self.flush = environment.flush
        self.checkHome = environment.checkHome
        self.checkpoint = environment.checkpoint
        self.trickle = environment.trickle
        self.removeLogs = environment.removeLogs
        self.bytesOnDisk = environment.bytesOnDisk
        self.reserveSpace = environment.reserveSpace

    def _bind(self) -> None:
        """Put the parts together, and let their methods be the store's.

        They are bound once, so that no command pays for a call that only forwards.  All
        of the composition costs a set 300 instructions of 56,600.
        """
        transaction, index = self.transaction, self.index
        self.begin = transaction.begin
        self.commit = transaction.commit
        self.abort = transaction.abort
        pushes = Pushes(transaction, index)
        self.push = pushes.push
        self.pushAll = pushes.pushAll
        self.pushLarge = pushes.pushLarge
        self.bodies = bodies = Bodies(
            transaction, self.tombstones, self.environment.refuseAfterFailure
        )
        self.newBody = bodies.newBody
        self.addPart = bodies.addPart
        self.part = bodies.part
        self.release = bodies.release
        self.discard = bodies.discard
        self.setAside = bodies.setAside
        self.loader = BulkLoader(self)
        self.delayed = delayed = Delayed(transaction, index, self.delays)
        self.pushDelayed = delayed.pushDelayed
        self.promoteDue = delayed.promoteDue
        heads = Heads(transaction, index, self.tombstones)
        self.pop = heads.pop
        self.popAll = heads.popAll
        self.peek = heads.peek
        self.peekMany = Looks(transaction, index).peekMany
        self.deadLetters = heads.deadLetters
        self.takeOut = heads.takeOut
        self.putBack = heads.putBack
        self.openRead = heads.openRead
        self.closeRead = heads.closeRead
        hidden = Hidden(transaction, index, heads)
        self.openAll = hidden.openAll
        self.closeAll = hidden.closeAll
        self.abortRead = heads.abortRead
        self.popRead = heads.popRead

    # Maintenance: any thread.

    def open(self) -> None:
        """Open the environment, recover it, and load the queues."""
        if self._salvage is None:
            self._open()
            return
        try:
            self._open()
            self._salvage.look()
        except DamagedHome as error:
            self.environment.letGo()
            self._salvage.run(error)
            self._open()

    def _open(self) -> None:
        home, environment = self.home, self.environment
        if home.damage is not None:
            raise home.damage
        try:
            environment.open()
            self._openTables()
            self._load()
            if home.isNew:
                refuseOld(home.directory, self.index)
            self._upgrade()
            assert self.compaction is not None
            self.compaction.findStrays(self._checkpointAtOpen())
            if home.isNew:
                home.writeVersion()
        except HomeError:
            environment.letGo()
            raise
        except (*ERRORS, DamagedRow, StoreError, OSError) as error:
            environment.letGo()
            raise whyNotOpened(home, error) from error

    def _openTables(self) -> None:
        # Only a new home gets new tables: a lost one must not become an empty one.
        create = db.DB_CREATE if self.environment.isNew else 0
        queues = self.environment.openTable("queues", create)
        self.compaction = Compaction(
            self.environment,
            self.home,
            queues,
            self.undo,
            self.index.stored,
            self._leastFile,
        )
        self.compaction.open(create)
        self.transaction.queues = queues
        self.transaction.messages = self.compaction.table

    def _load(self) -> None:
        rows = readRows(self.transaction.queues)
        self.index.load(rows.queues, rows.nextId, rows.deliveries)
        self.tombstones.load(rows.tombstones)
        findDelayed(self.transaction.messages, rows.queues, self.delays)

    def _upgrade(self) -> None:
        """Bring what an older memq wrote up to this one's format."""
        queues = self.index.queues
        old = [name for name, queue in queues.items() if not queue.lastUsed]
        countUncounted(self.transaction.messages, queues.values(), self.say)
        for name in old:
            queues[name].use(int(self.seconds()))
        if not self.home.isNew and self.home.format < FORMAT:
            self.home.writeVersion()
        # Without room for that, they are counted again at the next start.
        with suppress(OutOfSpace):
            for first in range(0, len(old), _ROWS):
                with self.transaction.run():
                    for name in old[first : first + _ROWS]:
                        self.index.forPush(name)

    def _checkpointAtOpen(self) -> bool:
        """Make a checkpoint; return False when a full disk has no room for that.

        Everything is in the log, which recovery has found room to read.
        """
        try:
            self.environment.checkpoint()
        except OutOfSpace:
            if self.home.isNew:
                raise
            return False
        return True

    def close(self) -> None:
        """Make everything durable and close the environment."""
        self.compaction = None
        self.transaction.messages = self.transaction.queues = None
        self.environment.close()

    def tidy(self) -> int:
        """Move the marker, and make the next file of messages or remove the last."""
        assert self.compaction is not None
        self.environment.followLog()
        return self.compaction.tidy()

    def logged(self) -> int:
        """Return the bytes of log since the last checkpoint."""
        return self.environment.logged()

    def freeBytes(self) -> int | None:
        """Return the room on the file system that a common user may fill."""
        return self.environment.freeBytes()

    # Transactions: one thread only.

    def discardId(self, id: int) -> None:
        """Write a tombstone."""
        prefix = ID.pack(id)
        with self.transaction.translated:
            self.transaction.addTombstone(prefix)
        self.tombstones.discard(prefix)

    def hasGarbage(self) -> bool:
        """Return whether something is to be removed, or to be moved."""
        assert self.compaction is not None
        return bool(self.tombstones.left) or self.compaction.step is not None

    def sweep(self, limit: int) -> bool:
        """Remove some of what was deleted first; move messages when that is gone."""
        assert self.compaction is not None
        transaction = self.transaction
        if self.tombstones.left:
            with transaction.run():
                self.tombstones.removeSome(limit)
        elif (step := self.compaction.step) is not None:
            with transaction.run():
                step(transaction.handle, limit)
            transaction.messages = self.compaction.table
        return self.hasGarbage()

    def figures(self) -> dict[str, int]:
        """Return the queues, and how many are still to be removed."""
        return super().figures() | {"queues_being_removed": self.tombstones.queues}
