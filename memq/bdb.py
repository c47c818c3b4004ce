"""BDBStore: the queues in Berkeley DB.  The only module that imports it.

Theory of operation
===================

Everything lies in one transactional environment in HOME/memq/:

- ``messages``, a BTREE: key = id of the queue (u32) and sequence number (u64),
  both big-endian, so that a queue's messages stand together in their order;
  value = a record, see :mod:`memq.message`.  Large bodies are kept in parts,
  as if in a queue with the id 0: key = 0 (u32), id of the body (u64), number of
  the part (u32).
- ``queues``, a BTREE: key = name of the queue, value = its row, see
  :mod:`memq.catalog`.  Names have no byte below 0x21; the keys that begin with
  a zero byte are the store's own: the id counter, tombstones, and damaged
  records set aside.
- ``log.*``, Berkeley DB's write-ahead log, and ``safe``, the marker: position
  and CRC of a log record that was synced.  A log that does not have that record
  any more was cut or replaced, and recovery would lose what followed without a
  word; so the store refuses to open.

One thread runs all transactions, one at a time, so Berkeley DB keeps no locks:
what the other threads do to pages and the log is guarded by its latches.
A commit leaves its records in the log buffer (with no-sync: hands them to the
operating system); ``flush`` writes and syncs the log.  Rows are written by the
commit, once a queue, so counts are exact after any crash: they are in the same
transaction as the messages they count.

The head of a queue is found by a cursor that looks from the lowest sequence
number that may still be there; that number is a hint kept in memory only.  Within
a transaction, the next head of the same queue is the cursor's next record.

A tombstone is what the keys of messages begin with that nobody can read any more.
Deleting a queue removes its row and writes one; ``sweep`` removes the messages in
small transactions, and the tombstone with the last of them.  An id with a tombstone
is never given to another queue.  The parts of a body have one, too, as long as
no queue has their message: while they come in, so that a crash leaves nothing
behind, and from the pop on.  It is not swept before the body is released.

Settings that were measured to matter have their reason beside them below.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from struct import Struct
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple

from zope.interface import implementer

try:
    from berkeleydb import db
except ImportError:
    from bsddb3 import db

from memq.catalog import Catalog, DamagedRow, Queue, unpackQueue
from memq.errors import (
    DamagedMessage,
    HomeError,
    QueueError,
    StoreError,
    StoreFailed,
)
from memq.imemq import IQueueStore, QueueCount
from memq.marker import Marker, logName, readMarker, writeMarker
from memq.message import (
    DamagedRecord,
    packLarge,
    packPart,
    packRecord,
    unpackPart,
    unpackRecord,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memq.home import Home
    from memq.message import LargeBody, Message

__all__ = ["BDBStore", "StoreSettings", "db"]

_KEY = Struct(">IQ")
_packKey = _KEY.pack
_unpackKey = _KEY.unpack
_ID = Struct(">I")
_PART = Struct(">IQI")

_NEXT_ID = b"\0next-id"
_TOMBSTONE = b"\0deleted"
_DAMAGED = b"\0damaged"

_ENVIRONMENT_FLAGS = (
    db.DB_CREATE
    | db.DB_RECOVER
    | db.DB_INIT_LOG
    | db.DB_INIT_MPOOL
    | db.DB_INIT_TXN
    | db.DB_THREAD
    # Regions in files turn a full disk into SIGBUS.
    | db.DB_PRIVATE
)
#: What the binding raises: ENOMEM, another face of a full disk, as MemoryError.
_ERRORS = (db.DBError, MemoryError)
#: What it takes to read the log and leave it as it is.
_LOG_FLAGS = db.DB_CREATE | db.DB_INIT_LOG | db.DB_PRIVATE
_TABLE_FLAGS = db.DB_AUTO_COMMIT | db.DB_THREAD
_FILE_MODE = 0o600

#: The most bytes of messages that one slice of a sweep removes.
_SWEEP_BYTES = 1024 * 1024


class StoreSettings(NamedTuple):
    """What the command line says about Berkeley DB.

    :ivar cacheSize: bytes of pages kept in memory.
    :ivar logBuffer: bytes of log kept in memory between two flushes.
    :ivar pageSize: bytes of a page; only a new home takes it.  Pages larger
        than the 4096 bytes that disks write as one can tear in a power cut.
    :ivar noSync: commits go to the operating system at once, and ``flush`` is
        only needed against power cuts.
    :ivar logFile: bytes of a log file.  Each change of file syncs in the thread
        that commits, 26 to 42 ms on a slow disk, so few large ones are better.
    """

    cacheSize: int = 64 * 1024 * 1024
    logBuffer: int = 1024 * 1024
    pageSize: int = 4096
    noSync: bool = False
    logFile: int = 64 * 1024 * 1024


def _storeError(error: Exception) -> StoreError:
    """Return what a Berkeley DB error means for the caller."""
    code, *words = error.args or (None,)
    text = " ".join(str(word) for word in words) or type(error).__name__
    if code in (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM):
        return StoreError("out of disk space")
    if code == errno.EIO or isinstance(error, db.DBRunRecoveryError):
        return StoreFailed(f"the store cannot go on: {text}")
    return StoreError(text)


def _close(environment: Any) -> None:
    """Close an environment and all that is open in it, however damaged it is."""
    with suppress(*_ERRORS):
        environment.close()


@implementer(IQueueStore)
class BDBStore:
    """Keep all queues in one Berkeley DB environment."""

    def __init__(self, home: Home, settings: StoreSettings) -> None:
        """Remember where and how; :meth:`open` does the work.

        :param home: the directory, prepared and locked by the caller, who
            releases it after :meth:`close`.
        """
        self._home = home
        self._settings = settings
        self._commitFlags = (
            db.DB_TXN_WRITE_NOSYNC if settings.noSync else db.DB_TXN_NOSYNC
        )
        self._catalog = Catalog()
        #: What keys begin with that are to be removed, in order.
        self._deleted: dict[bytes, None] = {}
        self._deletedInTransaction: list[bytes] = []
        #: Ids of bodies count up from anywhere, so that none is met twice.
        self._lastBody = int.from_bytes(os.urandom(7), "big")
        self._environment: Any = None
        self._messages: Any = None
        self._queues: Any = None
        self._transaction: Any = None
        #: When the transaction began, as records tell it.
        self._now = 0
        self._cursor: Any = None
        #: The id of the queue whose next head is the cursor's next record, or 0.
        self._cursorIn = 0
        self._checkpointAt = (1, 0)
        #: What the store cannot come back from, once it has happened.
        self._failure: StoreFailed | None = None

    # Maintenance: any thread.

    def open(self) -> None:
        """Open the environment, recover it, and load the queues."""
        try:
            self._checkMarker()
            self._openEnvironment()
            self._messages = self._openTable("messages")
            self._queues = self._openTable("queues")
            self._load()
            self.checkpoint()
            if self._home.isNew:
                self._home.writeVersion()
        except HomeError:
            self._letGo()
            raise
        except _ERRORS as error:
            self._letGo()
            raise HomeError(
                f"--home {self._home.path}: Berkeley DB cannot open it: "
                f"{_storeError(error)}"
            ) from error
        except (DamagedRow, StoreError, OSError) as error:
            self._letGo()
            raise HomeError(f"--home {self._home.path}: {error}") from error

    def _checkMarker(self) -> None:
        """Look for the marked record before recovery changes anything.

        :raise HomeError: when the log was cut, damaged or replaced.
        """
        marker = readMarker(self._home.directory)
        if marker is None:
            return
        log = db.DBEnv()
        covered = False
        try:
            log.open(self._home.directory, _LOG_FLAGS)
            with suppress(*_ERRORS):
                found = log.log_cursor().set((marker.file, marker.offset))
                covered = found is not None and marker.covers(found[1])
        finally:
            _close(log)
        if not covered:
            path = os.path.join(self._home.directory, logName(marker.file))
            raise HomeError(
                f"{path} does not have the record that was synced at byte "
                f"{marker.offset}: it is damaged or was replaced; restore the file"
            )

    def _openEnvironment(self) -> None:
        settings = self._settings
        environment = self._environment = db.DBEnv()
        gigabytes, rest = divmod(settings.cacheSize, 1024**3)
        environment.set_cachesize(gigabytes, rest, 1)
        environment.set_lg_bsize(settings.logBuffer)
        environment.set_lg_max(max(settings.logFile, 4 * settings.logBuffer))
        environment.open(self._home.directory, _ENVIRONMENT_FLAGS, _FILE_MODE)

    def _openTable(self, name: str) -> Any:
        table = db.DB(self._environment)
        table.set_pagesize(self._settings.pageSize)
        table.set_flags(db.DB_CHKSUM)
        # Only a new home gets new tables: a lost one must not become an empty one.
        create = db.DB_CREATE if self._home.isNew else 0
        path = os.path.join(self._home.directory, name)
        if not create and not os.path.exists(path):
            raise HomeError(f"{path} is missing: restore it")
        table.open(name, None, db.DB_BTREE, _TABLE_FLAGS | create, _FILE_MODE)
        table.set_get_returns_none(2)
        return table

    def _load(self) -> None:
        queues: list[Queue] = []
        nextId = 1
        self._deleted.clear()
        cursor = self._queues.cursor()
        found = cursor.first()
        while found:
            key, value = found
            if key[0]:
                queues.append(unpackQueue(key, value))
            elif key == _NEXT_ID:
                (nextId,) = _ID.unpack(value)
            elif key.startswith(_TOMBSTONE):
                self._deleted[key[len(_TOMBSTONE) :]] = None
            found = cursor.next()
        cursor.close()
        self._catalog.load(queues, nextId)

    def _error(self, error: Exception) -> StoreError:
        """Return what to raise for an error, which may be the store's end."""
        meaning = _storeError(error)
        return self._fail(meaning) if isinstance(meaning, StoreFailed) else meaning

    def _fail(self, failure: StoreFailed) -> StoreFailed:
        """Return the failure that was the store's end, the first one.

        From then on Berkeley DB refuses everything.  Closed in order, or merely
        collected as garbage, it would write the log that clients were told is lost.
        """
        if self._failure is None:
            self._failure = failure
            with suppress(*_ERRORS):
                self._environment.set_flags(db.DB_PANIC_ENVIRONMENT, 1)
        return self._failure

    def _refuseAfterFailure(self) -> None:
        """Raise the failure that was for good, if there was one.

        After a sync that failed, the next one may report success although the
        bytes are lost; and what was told to have failed must not be made durable.
        """
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Make everything durable and close the environment.

        A store that has failed is left as a crash would leave it.
        """
        if self._queues is None:
            return
        try:
            if self._failure is None:
                self._checkpoint(self._environment)
        except _ERRORS as error:
            raise self._error(error) from error
        finally:
            self._letGo()

    def _letGo(self) -> None:
        """Close the environment, and with it the tables; the log has it all."""
        environment, self._environment = self._environment, None
        self._messages = self._queues = None
        if environment is not None:
            _close(environment)

    def flush(self) -> None:
        """Write and sync the log."""
        self._refuseAfterFailure()
        try:
            self._environment.log_flush()
        except _ERRORS as error:
            why = f"the log cannot be synced: {error.args[-1]}"
            raise self._fail(StoreFailed(why)) from error

    def checkpoint(self) -> None:
        """Write all changed pages, and move the marker."""
        self._refuseAfterFailure()
        try:
            self._checkpoint(self._environment)
        except _ERRORS as error:
            raise self._error(error) from error

    def _checkpoint(self, environment: Any) -> None:
        environment.txn_checkpoint(0)
        cursor = environment.log_cursor()
        (file, offset), record = cursor.last()
        cursor.close()
        # The record may have come after the checkpoint: sync it as well.
        environment.log_flush()
        try:
            writeMarker(self._home.directory, Marker.of(file, offset, record))
        except OSError as error:
            raise StoreError(f"the marker cannot be written: {error}") from error
        self._checkpointAt = (file, offset)

    def trickle(self, percent: int) -> int:
        """Write changed pages until this much of the cache is clean."""
        self._refuseAfterFailure()
        try:
            return int(self._environment.memp_trickle(percent))
        except _ERRORS as error:
            raise self._error(error) from error

    def removeLogs(self) -> int:
        """Remove the log files before the last checkpoint and the marker."""
        try:
            unused = map(os.fsdecode, self._environment.log_archive())
            # The marker stays behind when it could not be written.
            marked = logName(self._checkpointAt[0])
            names = [name for name in unused if name < marked]
            for name in names:
                os.remove(os.path.join(self._home.directory, name))
        except _ERRORS as error:
            raise self._error(error) from error
        except OSError as error:
            raise StoreError(f"a log file cannot be removed: {error}") from error
        return len(names)

    def logged(self) -> int:
        """Return the bytes of log since the last checkpoint."""
        try:
            at = self._environment.log_stat()
        except _ERRORS as error:
            raise self._error(error) from error
        file, offset = self._checkpointAt
        return int((at["cur_file"] - file) * at["lg_size"] + at["cur_offset"] - offset)

    def bytesOnDisk(self) -> int:
        """Return the size of all files in the directory."""
        size = 0
        with os.scandir(self._home.directory) as entries:
            for entry in entries:
                # Log files, and the next marker, go while this looks at them.
                with suppress(FileNotFoundError):
                    size += entry.stat().st_blocks * 512
        return size

    def freeBytes(self) -> int | None:
        """Return the room on the file system that a common user may fill."""
        room = os.statvfs(self._home.directory)
        return room.f_bavail * room.f_frsize

    # Transactions: one thread only.

    def begin(self) -> None:
        """Begin a transaction."""
        self._now = int(time() * 1000)
        try:
            self._transaction = self._environment.txn_begin()
        except _ERRORS as error:
            raise self._error(error) from error

    def commit(self) -> None:
        """Write the rows that changed, and commit."""
        try:
            self._closeCursor()
            self._writeRows()
            transaction, self._transaction = self._transaction, None
            transaction.commit(self._commitFlags)
        except _ERRORS as error:
            self.abort()
            raise self._error(error) from error
        self._deleted.update(dict.fromkeys(self._deletedInTransaction))
        self._deletedInTransaction.clear()
        self._catalog.settle()

    def _writeRows(self) -> None:
        catalog, transaction = self._catalog, self._transaction
        for name, queue in catalog.changes():
            if queue is not None:
                self._queues.put(name, queue.pack(), transaction)
            elif self._queues.exists(name, transaction):
                self._queues.delete(name, transaction)
        if catalog.newIds:
            self._queues.put(_NEXT_ID, _ID.pack(catalog.nextId), transaction)

    def abort(self) -> None:
        """Undo what was done since ``begin``."""
        self._deletedInTransaction.clear()
        self._catalog.rollBack()
        transaction, self._transaction = self._transaction, None
        try:
            self._closeCursor()
            # A commit that failed has ended its transaction already.
            if transaction is not None:
                transaction.abort()
        except _ERRORS as error:
            why = f"a transaction cannot be undone: {error}"
            raise self._fail(StoreFailed(why)) from error

    def _closeCursor(self) -> None:
        cursor, self._cursor = self._cursor, None
        self._cursorIn = 0
        if cursor is not None:
            cursor.close()

    def push(self, queue: bytes, flags: int, body: bytes) -> int:
        """Append a message."""
        return self._append(queue, packRecord(flags, self._now, body))

    def newBody(self) -> int:
        """Return the next id."""
        self._lastBody += 1
        return self._lastBody

    def addPart(self, body: int, number: int, data: bytes) -> None:
        """Keep a part, the first one with a tombstone."""
        try:
            if number == 0:
                self._entomb(_packKey(0, body))
            key = _PART.pack(0, body, number)
            self._messages.put(key, packPart(data), self._transaction)
        except _ERRORS as error:
            raise self._error(error) from error

    def pushLarge(self, queue: bytes, flags: int, large: LargeBody) -> int:
        """Append a message, and remove the tombstone of its body."""
        sequence = self._append(queue, packLarge(flags, self._now, large))
        self._exhume(large)
        return sequence

    def part(self, body: int, number: int) -> bytes:
        """Return a part."""
        self._refuseAfterFailure()
        try:
            record = self._messages.get(_PART.pack(0, body, number))
            if record is None:
                raise DamagedMessage(f"part {number} of a large body is not there")
            return unpackPart(record)
        except DamagedRecord as error:
            raise DamagedMessage(f"part {number} of a large body: {error}") from error
        except _ERRORS as error:
            raise self._error(error) from error

    def release(self, body: int) -> None:
        """Leave the parts to ``sweep``."""
        self._deleted[_packKey(0, body)] = None

    def _entomb(self, prefix: bytes) -> None:
        self._queues.put(_TOMBSTONE + prefix, b"", self._transaction)

    def _exhume(self, large: LargeBody) -> None:
        try:
            key = _TOMBSTONE + _packKey(0, large.id)
            self._queues.delete(key, self._transaction)
        except _ERRORS as error:
            raise self._error(error) from error

    def _append(self, queue: bytes, record: bytes) -> int:
        entry = self._catalog.forPush(queue)
        sequence = entry.nextSequence
        entry.nextSequence = sequence + 1
        entry.pushed += 1
        try:
            self._messages.put(_packKey(entry.id, sequence), record, self._transaction)
        except _ERRORS as error:
            raise self._error(error) from error
        return sequence

    def pop(self, queue: bytes) -> Message | QueueError | None:
        """Take the head, or set it aside when it is damaged."""
        entry = self._catalog.forPop(queue)
        if entry is None:
            return None
        try:
            cursor = self._cursor
            if cursor is None:
                cursor = self._cursor = self._messages.cursor(self._transaction)
            key, record = self._seek(cursor, entry)
            id, sequence = _unpackKey(key)
            message: Message | QueueError
            try:
                message = unpackRecord(id, sequence, record)
                if message.large is not None:
                    self._entomb(_packKey(0, message.large.id))
            except DamagedRecord as error:
                self._queues.put(_DAMAGED + key, record, self._transaction)
                message = DamagedMessage(f"message {sequence} of its queue: {error}")
            cursor.delete()
            self._cursorIn = id
        except _ERRORS as error:
            raise self._error(error) from error
        entry.taken += 1
        entry.head = sequence + 1
        return message

    def _seek(self, cursor: Any, entry: Queue) -> tuple[bytes, bytes]:
        """Return key and record of a queue's head, and leave the cursor on it."""
        found: tuple[bytes, bytes] | None
        if self._cursorIn == entry.id and cursor is self._cursor:
            found = cursor.next()
        else:
            found = cursor.set_range(_packKey(entry.id, entry.head))
        if found is None or not found[0].startswith(_ID.pack(entry.id)):
            raise StoreError(
                f"queue {entry.name!r} has lost messages: its counts say "
                f"{entry.pushed} set and {entry.taken} taken, but none is there"
            )
        return found

    def peek(self, queue: bytes) -> Message | QueueError | None:
        """Look at the head."""
        entry = self._catalog.queues.get(queue)
        if entry is None or entry.pushed == entry.taken:
            return None
        try:
            cursor = self._messages.cursor(self._transaction)
            try:
                key, record = self._seek(cursor, entry)
            finally:
                cursor.close()
        except _ERRORS as error:
            raise self._error(error) from error
        id, sequence = _unpackKey(key)
        try:
            return unpackRecord(id, sequence, record)
        except DamagedRecord as error:
            return DamagedMessage(f"message {sequence} of its queue: {error}")

    def putBack(self, queue: bytes, message: Message) -> bool:
        """Return a message to its old place."""
        entry = self._catalog.forReturn(queue, message.queueId)
        if entry is None:
            if message.large is not None:
                self.release(message.large.id)
            return False
        if message.large is None:
            record = packRecord(message.flags, message.time, message.body)
        else:
            record = packLarge(message.flags, message.time, message.large)
            self._exhume(message.large)
        key = _packKey(message.queueId, message.sequence)
        try:
            self._messages.put(key, record, self._transaction)
        except _ERRORS as error:
            raise self._error(error) from error
        entry.taken -= 1
        entry.head = min(entry.head, message.sequence)
        self._cursorIn = 0
        return True

    def setAside(self, message: Message) -> None:
        """Keep the record by itself, and its parts for good."""
        assert message.large is not None
        key = _DAMAGED + _packKey(message.queueId, message.sequence)
        record = packLarge(message.flags, message.time, message.large)
        self._exhume(message.large)
        try:
            self._queues.put(key, record, self._transaction)
        except _ERRORS as error:
            raise self._error(error) from error

    def delete(self, queue: bytes) -> bool:
        """Write a tombstone; the commit removes the row."""
        entry = self._catalog.remove(queue)
        if entry is None:
            return False
        self._discard(entry.id)
        return True

    def empty(self, queue: bytes) -> int:
        """Write a tombstone for the id that the queue had."""
        entry = self._catalog.empty(queue)
        if entry is None:
            return 0
        self._discard(entry.id)
        return entry.pushed - entry.taken

    def _discard(self, id: int) -> None:
        prefix = _ID.pack(id)
        try:
            self._entomb(prefix)
        except _ERRORS as error:
            raise self._error(error) from error
        self._deletedInTransaction.append(prefix)

    def isUnswept(self) -> bool:
        """Return whether there is something to sweep."""
        return bool(self._deleted)

    def sweep(self, limit: int) -> bool:
        """Remove some of what was deleted first."""
        if not self._deleted:
            return False
        prefix = next(iter(self._deleted))
        self.begin()
        try:
            done = self._remove(prefix, limit)
            tombstone = _TOMBSTONE + prefix
            # A body whose first part could not be kept has none.
            if done and self._queues.exists(tombstone, self._transaction):
                self._queues.delete(tombstone, self._transaction)
        except _ERRORS as error:
            self.abort()
            raise self._error(error) from error
        self.commit()
        if done:
            del self._deleted[prefix]
        return bool(self._deleted)

    def _remove(self, prefix: bytes, limit: int) -> bool:
        """Remove records whose keys begin so; return whether none is left."""
        cursor = self._cursor = self._messages.cursor(self._transaction)
        room = _SWEEP_BYTES
        found = cursor.set_range(prefix)
        while found and found[0].startswith(prefix):
            if limit == 0 or room <= 0:
                return False
            key, record = found
            if len(key) == _KEY.size:
                self._discardParts(key, record)
            cursor.delete()
            limit -= 1
            room -= len(record)
            found = cursor.next()
        return True

    def _discardParts(self, key: bytes, record: bytes) -> None:
        """Leave the parts of a message that is removed, if it has any, to sweep."""
        # What is damaged does not say what parts it has.
        with suppress(DamagedRecord):
            id, sequence = _unpackKey(key)
            large = unpackRecord(id, sequence, record).large
            if large is not None:
                prefix = _packKey(0, large.id)
                self._entomb(prefix)
                self._deletedInTransaction.append(prefix)

    def counts(self) -> Iterable[QueueCount]:
        """Return every queue's counts, sorted by name."""
        return self._catalog.counts()

    def status(self) -> dict[str, int]:
        """Return the queues, and what is set aside or still to be removed."""
        status = self._catalog.status()
        queues = sum(len(prefix) == _ID.size for prefix in self._deleted)
        status["queues_being_removed"] = queues
        return status
