"""Tables: a home that is open, and transactions on what it holds.

What lies in the tables is drawn in :mod:`memq.storage.bdb.store`; what is known of it
in memory is the catalog, the delays and the tombstones.  A transaction changes both.
Its commit writes the rows that changed, and settles what is in memory; an abort puts
both back.

One cursor of a transaction on the messages is kept until its end, for each next head.
"""

from __future__ import annotations

import os
from contextlib import suppress
from time import time
from typing import TYPE_CHECKING, Any, Protocol

from memq.errors import (
    DamagedHome,
    HomeError,
    OutOfSpace,
    StoreError,
    StoreFailed,
)
from memq.storage.bdb.compaction import Rotation
from memq.storage.bdb.loading import findDelayed, readRows, refuseOld
from memq.storage.bdb.tombstones import Tombstones, putTombstone, removeTombstone
from memq.storage.bdb.upgrade import countUncounted
from memq.storage.datadir.home import FORMAT
from memq.storage.delays import Delays
from memq.storage.engine.binding import ERRORS, db
from memq.storage.engine.environment import Environment
from memq.storage.engine.recovery import whyNotOpened
from memq.storage.indexed import Catalogued
from memq.storage.keys import ID, KEY, NEXT_ID
from memq.storage.row import DamagedRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.message import LargeBody
    from memq.storage.datadir.home import Home
    from memq.storage.engine.binding import StoreSettings

#: How many rows one transaction of an upgrade writes.
_ROWS = 1000


class Salvage(Protocol):
    """What makes a home whole of what can be read in a damaged one."""

    def look(self) -> None:
        """Look at everything, once a checkpoint has written it.

        :raise memq.errors.DamagedHome: when something is damaged.
        """

    def run(self, why: DamagedHome) -> None:
        """Make the home whole.

        :param why: what is damaged.
        :raise memq.errors.HomeError: when that cannot be.
        """


class Tables(Catalogued):
    """The tables of a home, kept up by any thread, changed by one."""

    def __init__(
        self,
        home: Home,
        settings: StoreSettings,
        say: Callable[[str], None] = lambda line: None,
        salvage: Salvage | None = None,
        seconds: Callable[[], float] = time,
    ) -> None:
        """Remember where and how; :meth:`open` does the work.

        :param home: the directory, prepared and locked by the caller, who
            releases it after :meth:`close`.
        :param say: is told, in a line, what a person should know of a start.
        :param salvage: what to do with a damaged home; None to refuse it.
        :param seconds: tells the time, in seconds since 1970-01-01 UTC.
        """
        super().__init__()
        self._home = home
        self._seconds = seconds
        self._say = say
        self._environment = Environment(home, settings, say)
        self._leastFile = settings.leastFile
        self._salvage = salvage
        self._delays = Delays(self._index)
        self._tombstones = Tombstones()
        #: Its own, for those who look often.
        self._deleted = self._tombstones.left
        self._deletedInTransaction = self._tombstones.new
        self._rotation: Rotation | None = None
        #: Always the rotation's table.
        self._messages: Any = None
        self._queues: Any = None
        self._transaction: Any = None
        #: Ids of bodies count up from anywhere, so that none is met twice.
        self._lastBody = int.from_bytes(os.urandom(7), "big")
        #: When the transaction began, as records tell it.
        self._now = 0
        self._cursor: Any = None
        #: The id of the queue whose next head is the cursor's next record, or 0.
        self._cursorIn = 0

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
            self._environment.letGo()
            self._salvage.run(error)
            self._open()

    def _open(self) -> None:
        if self._home.damage is not None:
            raise self._home.damage
        try:
            self._environment.open()
            # Only a new home gets new tables: a lost one must not become an empty one.
            create = db.DB_CREATE if self._environment.isNew else 0
            self._queues = self._environment.openTable("queues", create)
            self._rotation = Rotation(
                self._environment,
                self._home,
                self._queues,
                self._index.stored,
                self._leastFile,
            )
            self._rotation.open(create)
            self._messages = self._rotation.table
            self._load()
            if self._home.isNew:
                refuseOld(self._home.directory, self._index)
            self._upgrade()
            self._rotation.findStrays(self._checkpointAtOpen())
            if self._home.isNew:
                self._home.writeVersion()
        except HomeError:
            self._environment.letGo()
            raise
        except (*ERRORS, DamagedRow, StoreError, OSError) as error:
            self._environment.letGo()
            raise whyNotOpened(self._home, error) from error

    def _upgrade(self) -> None:
        """Bring what an older memq wrote up to this one's format."""
        queues = self._index.queues
        old = [name for name, queue in queues.items() if not queue.lastUsed]
        countUncounted(self._messages, queues.values(), self._say)
        for name in old:
            queues[name].use(int(self._seconds()))
        if not self._home.isNew and self._home.format < FORMAT:
            self._home.writeVersion()
        # Without room for that, they are counted again at the next start.
        with suppress(OutOfSpace):
            for first in range(0, len(old), _ROWS):
                self.begin()
                for name in old[first : first + _ROWS]:
                    self._index.forPush(name)
                self.commit()

    def _checkpointAtOpen(self) -> bool:
        """Make a checkpoint; return False when a full disk has no room for that.

        Everything is in the log, which recovery has found room to read.
        """
        try:
            self.checkpoint()
        except OutOfSpace:
            if self._home.isNew:
                raise
            return False
        return True

    def _load(self) -> None:
        rows = readRows(self._queues)
        self._index.load(rows.queues, rows.nextId, rows.deliveries)
        self._tombstones.load(rows.tombstones)
        findDelayed(self._messages, rows.queues, self._delays)

    def close(self) -> None:
        """Make everything durable and close the environment."""
        self._messages = self._queues = self._rotation = None
        self._environment.close()

    def flush(self) -> None:
        """Write and sync the log."""
        self._environment.flush()

    def checkHome(self) -> OSError | None:
        """See that the home is the one that the next start would find."""
        return self._environment.checkHome()

    def checkpoint(self) -> None:
        """Write all changed pages, and move the marker."""
        self._environment.checkpoint()

    def trickle(self, percent: int) -> int:
        """Write changed pages until this much of the cache is clean."""
        return self._environment.trickle(percent)

    def removeLogs(self) -> int:
        """Remove the log files before the last checkpoint and the marker."""
        return self._environment.removeLogs()

    def tidy(self) -> int:
        """Move the marker, and make the next file of messages or remove the last."""
        assert self._rotation is not None
        self._environment.followLog()
        return self._rotation.tidy()

    def logged(self) -> int:
        """Return the bytes of log since the last checkpoint."""
        return self._environment.logged()

    def bytesOnDisk(self) -> int:
        """Return the size of all files in the directory."""
        return self._environment.bytesOnDisk()

    def reserveSpace(self) -> bool:
        """Take the blocks that log and tables are about to need from the disk."""
        return self._environment.reserveSpace()

    def freeBytes(self) -> int | None:
        """Return the room on the file system that a common user may fill."""
        return self._environment.freeBytes()

    # Transactions: one thread only.

    def begin(self) -> None:
        """Begin a transaction."""
        self._now = int(self._seconds() * 1000)
        self._transaction = self._environment.begin()

    def commit(self) -> None:
        """Write the rows that changed, and commit."""
        try:
            self._closeCursor()
            self._writeRows()
            transaction, self._transaction = self._transaction, None
            transaction.commit(self._environment.commitFlags)
        except ERRORS as error:
            self.abort()
            raise self._environment.error(error) from error
        if self._deletedInTransaction:
            self._tombstones.settle()
        if self._delays.taken:
            self._delays.settle()
        self._index.settle()

    def _writeRows(self) -> None:
        index, transaction = self._index, self._transaction
        for name, queue in index.changes(self._now):
            if queue is not None:
                self._queues.put(name, queue.pack(), transaction)
            elif self._queues.exists(name, transaction):
                self._queues.delete(name, transaction)
        if index.newIds:
            self._queues.put(NEXT_ID, ID.pack(index.nextId), transaction)

    def abort(self) -> None:
        """Undo what was done since ``begin``."""
        self._tombstones.rollBack()
        self._index.rollBack()
        self._delays.rollBack()
        transaction, self._transaction = self._transaction, None
        try:
            self._closeCursor()
            # A commit that failed has ended its transaction already.
            if transaction is not None:
                transaction.abort()
        except ERRORS as error:
            why = f"a transaction cannot be undone: {error}"
            raise self._environment.fail(StoreFailed(why)) from error

    def _closeCursor(self) -> None:
        cursor, self._cursor = self._cursor, None
        self._cursorIn = 0
        if cursor is not None:
            cursor.close()

    def _addTombstone(self, prefix: bytes) -> None:
        """Write a tombstone; it raises what the binding raises."""
        putTombstone(self._queues, self._transaction, prefix)

    def _removeTombstone(self, large: LargeBody) -> None:
        """Remove the tombstone of a body, which a message has from now on."""
        try:
            prefix = KEY.pack(0, large.id)
            removeTombstone(self._queues, self._transaction, prefix)
        except ERRORS as error:
            raise self._environment.error(error) from error
