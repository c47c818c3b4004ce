"""BDBStore: the queues in tables of Berkeley DB.

Theory of operation
===================

Everything lies in one transactional environment in HOME/memq/:

- ``messages``, a BTREE: key = id of the queue (u32) and sequence number (u64),
  both big-endian, so that a queue's messages stand together in their order;
  value = a record, see :mod:`memq.message`.  Large bodies are kept in parts,
  as if in a queue with the id 0: key = 0 (u32), id of the body (u64), number of
  the part (u32).  When little is left in a large file, it moves to another one,
  ``messages.1`` and so on, see :mod:`memq.rotation`.
- ``queues``, a BTREE: key = name of the queue, value = its row, see
  :mod:`memq.row`.  Names have no byte below 0x21; the keys that begin with
  a zero byte are the store's own: the id counter, tombstones, damaged
  records set aside, how often messages were given back, and the row that names
  the file of the messages.
- ``log.*``, Berkeley DB's write-ahead log, and ``safe``, the marker, see
  :mod:`memq.environment`.

One thread runs all transactions, one at a time, so Berkeley DB keeps no locks:
what the other threads do to pages and the log is guarded by its latches.
A commit leaves its records in the log buffer (with no-sync: hands them to the
operating system); ``flush`` writes and syncs the log.  Rows are written by the
commit, once a queue, so counts are exact after any crash: they are in the same
transaction as the messages they count.

The head of a queue is found by a cursor that looks from the lowest sequence
number that may still be there; that number is a hint kept in memory only.  Within
a transaction, the next head of the same queue is the cursor's next record.

A message that is read openly stays where it is, and is hidden in memory only, see
:mod:`memq.reads`.  Who looks from the head on does not meet it.

Delayed messages stand in the table of messages under an id of their own for each queue,
by the time when they are due (:mod:`memq.delays`), until ``ripen`` moves them.

A tombstone is what the keys of messages begin with that nobody can read any more.
Deleting a queue removes its row and writes one; ``sweep`` removes the messages in
small transactions, and the tombstone with the last of them.  An id with a tombstone
is never given to another queue.  The parts of a body have one, too, as long as
no queue has their message: while they come in, so that a crash leaves nothing
behind, and from the pop on.  It is not swept before the body is released.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from time import time
from typing import TYPE_CHECKING, Any, Protocol

from zope.interface import implementer

from memq.binding import ERRORS, db
from memq.catalogued import Catalogued
from memq.delays import Delays, lastAt
from memq.delaytable import firstDelayed, moveRipe, putDelayed
from memq.environment import Environment
from memq.errors import (
    DamagedHome,
    DamagedMessage,
    HomeError,
    OutOfSpace,
    QueueError,
    StoreError,
    StoreFailed,
)
from memq.home import FORMAT
from memq.imemq import IQueueStore, QueueDetail
from memq.keys import DAMAGED as _DAMAGED
from memq.keys import ID as _ID
from memq.keys import KEY as _KEY
from memq.keys import NEXT_ID as _NEXT_ID
from memq.keys import PART as _PART
from memq.keys import TOMBSTONE as _TOMBSTONE
from memq.keys import TRIES as _TRIES
from memq.keys import TRIES_ROW as _TRIES_ROW
from memq.message import HEADER_SIZE as _HEADER_SIZE
from memq.message import VERSION as _VERSION
from memq.message import (
    DamagedRecord,
    Message,
    bodySize,
    packAny,
    packExpiring,
    packLarge,
    packMessage,
    packPart,
    packRecord,
    unpackPart,
    unpackRecord,
)
from memq.opening import whyNotOpened
from memq.rotation import Rotation
from memq.row import DamagedRow, Queue, unpackQueue
from memq.upgrade import countUncounted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memq.binding import StoreSettings
    from memq.home import Home
    from memq.message import LargeBody

_packKey = _KEY.pack
_unpackKey = _KEY.unpack

#: What is found behind the last record: a key of no queue's.
_NOTHING = _packKey(0, 0), b""

#: How many rows one transaction of an upgrade writes.
_ROWS = 1000

#: The most bytes of messages that one slice of a sweep removes.
_SWEEP_BYTES = 512 * 1024


def _lost(queue: Queue) -> StoreError:
    return StoreError(
        f"queue {queue.name!r} has lost messages: its counts say "
        f"{queue.pushed} set and {queue.taken} taken, but none is there"
    )


def _damaged(sequence: int, error: DamagedRecord) -> DamagedMessage:
    return DamagedMessage(f"message {sequence} of its queue: {error}")


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


@implementer(IQueueStore)
class BDBStore(Catalogued):
    """Keep all queues in one Berkeley DB environment."""

    def __init__(
        self,
        home: Home,
        settings: StoreSettings,
        say: Callable[[str], None] = lambda line: None,
        salvage: Salvage | None = None,
    ) -> None:
        """Remember where and how; :meth:`open` does the work.

        :param home: the directory, prepared and locked by the caller, who
            releases it after :meth:`close`.
        :param say: is told, in a line, what a person should know of a start.
        :param salvage: what to do with a damaged home; None to refuse it.
        """
        super().__init__()
        self._home = home
        self._say = say
        self._environment = Environment(home, settings, say)
        self._leastFile = settings.leastFile
        self._salvage = salvage
        self._delays = Delays(self._catalog)
        #: What keys begin with that are to be removed, in order.
        self._deleted: dict[bytes, None] = {}
        self._deletedInTransaction: list[bytes] = []
        #: Ids of bodies count up from anywhere, so that none is met twice.
        self._lastBody = int.from_bytes(os.urandom(7), "big")
        self._rotation: Rotation | None = None
        #: Always the rotation's table.
        self._messages: Any = None
        self._queues: Any = None
        self._transaction: Any = None
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
                self._catalog.stored,
                self._leastFile,
            )
            self._rotation.open(create)
            self._messages = self._rotation.table
            self._load()
            if self._home.isNew:
                self._refuseOld()
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

    def _refuseOld(self) -> None:
        """Refuse a home whose VERSION is gone.

        :raise DamagedHome: when there are messages, as in no new home.
        """
        if self._catalog.queues or self._catalog.nextId > 1:
            raise DamagedHome(
                f"{os.path.join(self._home.directory, 'VERSION')} is missing, and "
                "there are queues: bring that file back from a backup, or start with "
                "--skip-damaged"
            )

    def _upgrade(self) -> None:
        """Bring what an older memq wrote up to this one's format."""
        queues = self._catalog.queues
        old = [name for name, queue in queues.items() if not queue.lastUsed]
        countUncounted(self._messages, queues.values(), self._say)
        for name in old:
            queues[name].use(int(time()))
        if not self._home.isNew and self._home.format < FORMAT:
            self._home.writeVersion()
        # Without room for that, they are counted again at the next start.
        with suppress(OutOfSpace):
            for first in range(0, len(old), _ROWS):
                self.begin()
                for name in old[first : first + _ROWS]:
                    self._catalog.forPush(name)
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
        queues: list[Queue] = []
        nextId = 1
        tries: dict[int, dict[int, int]] = {}
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
            elif key.startswith(_TRIES):
                id, sequence = _unpackKey(key[len(_TRIES) :])
                (tries.setdefault(id, {})[sequence],) = _TRIES_ROW.unpack(value)
            found = cursor.next()
        cursor.close()
        self._catalog.load(queues, nextId, tries)
        self._delays.clear()
        for queue in queues:
            if queue.rest.delayed:
                first = firstDelayed(self._messages, queue.rest.delayId)
                self._delays.add(queue, first)

    def close(self) -> None:
        """Make everything durable and close the environment."""
        self._messages = self._queues = self._rotation = None
        self._environment.close()

    def flush(self) -> None:
        """Write and sync the log."""
        self._environment.flush()

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
        """Make the next log file, and the next one of messages, or remove the last."""
        assert self._rotation is not None
        self._environment.followLog()
        self._environment.makeLogsAhead()
        return self._rotation.tidy()

    def logged(self) -> int:
        """Return the bytes of log since the last checkpoint."""
        return self._environment.logged()

    def bytesOnDisk(self) -> int:
        """Return the size of all files in the directory."""
        return self._environment.bytesOnDisk()

    def freeBytes(self) -> int | None:
        """Return the room on the file system that a common user may fill."""
        return self._environment.freeBytes()

    # Transactions: one thread only.

    def begin(self) -> None:
        """Begin a transaction."""
        self._now = int(time() * 1000)
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
            self._deleted.update(dict.fromkeys(self._deletedInTransaction))
            self._deletedInTransaction.clear()
        if self._delays.taken:
            self._delays.settle()
        self._catalog.settle()

    def _writeRows(self) -> None:
        catalog, transaction = self._catalog, self._transaction
        for name, queue in catalog.changes(self._now):
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

    def push(self, queue: bytes, flags: int, body: bytes, *, expires: int = 0) -> int:
        """Append a message."""
        size = len(body)
        return self.pushAll(queue, [(flags, body)], size=size, expires=expires)

    def pushAll(
        self,
        queue: bytes,
        messages: list[tuple[int, Any]],
        *,
        size: int | None = None,
        expires: int = 0,
        pack: Callable[[int, int, Any], bytes] = packRecord,
    ) -> int:
        """Append messages.

        :param pack: makes a record of flags, time and what stands for the body.
        """
        if size is None:
            size = sum(len(body) for _, body in messages)
        if expires:
            pack = partial(packExpiring, expires=expires)
        entry = self._catalog.forPush(queue)
        id, first = entry.id, entry.nextSequence
        put, transaction, now = self._messages.put, self._transaction, self._now
        sequence = first
        try:
            for flags, body in messages:
                put(_packKey(id, sequence), pack(flags, now, body), transaction)
                sequence += 1
        except ERRORS as error:
            raise self._environment.error(error) from error
        entry.nextSequence = sequence
        entry.pushed += sequence - first
        entry.bytes += size
        return first

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
        except ERRORS as error:
            raise self._environment.error(error) from error

    def pushLarge(
        self, queue: bytes, flags: int, large: LargeBody, *, expires: int = 0
    ) -> int:
        """Append a message, and remove the tombstone of its body."""
        pack = partial(packLarge, expires=expires)
        sequence = self.pushAll(queue, [(flags, large)], size=large.size, pack=pack)
        self._exhume(large)
        return sequence

    def pushDelayed(
        self,
        queue: bytes,
        flags: int,
        body: bytes | LargeBody,
        due: int,
        *,
        expires: int = 0,
    ) -> None:
        """Keep a message under the id of those that are delayed."""
        entry = self._catalog.forDelay(queue)
        self._putDelayed(entry, due, packAny(flags, self._now, body, expires))
        if not isinstance(body, bytes):
            self._exhume(body)

    def _putDelayed(self, entry: Queue, due: int, record: bytes) -> None:
        id, transaction = entry.rest.delayId, self._transaction
        try:
            sequence = putDelayed(self._messages, transaction, id, due, record)
        except ERRORS as error:
            raise self._environment.error(error) from error
        entry.delay(1, bodySize(record))
        self._delays.add(entry, sequence)

    def nextDue(self) -> int | None:
        """Return when the next delayed message is due."""
        return self._delays.next()

    def ripen(self, now: int, limit: int) -> list[bytes]:
        """Move messages that are due."""
        ripe: list[bytes] = []
        last = lastAt(now)
        try:
            while len(ripe) < limit and (next := self._delays.take(last)) is not None:
                entry, first = next
                self._catalog.forChange(entry.name)
                before = min(last, self._delays.first())
                most = limit - len(ripe)
                count, left = moveRipe(
                    self._messages, self._transaction, entry, first, before, most
                )
                ripe += [entry.name] * count
                if left is not None:
                    self._delays.add(entry, left)
        except ERRORS as error:
            raise self._environment.error(error) from error
        return ripe

    def part(self, body: int, number: int) -> bytes:
        """Return a part."""
        self._environment.refuseAfterFailure()
        try:
            record = self._messages.get(_PART.pack(0, body, number))
            if record is None:
                raise DamagedMessage(f"part {number} of a large body is not there")
            return unpackPart(record)
        except DamagedRecord as error:
            raise DamagedMessage(f"part {number} of a large body: {error}") from error
        except ERRORS as error:
            raise self._environment.error(error) from error

    def release(self, body: int) -> None:
        """Leave the parts to ``sweep``."""
        self._deleted[_packKey(0, body)] = None

    def _entomb(self, prefix: bytes) -> None:
        self._queues.put(_TOMBSTONE + prefix, b"", self._transaction)

    def _exhume(self, large: LargeBody) -> None:
        try:
            key = _TOMBSTONE + _packKey(0, large.id)
            self._queues.delete(key, self._transaction)
        except ERRORS as error:
            raise self._environment.error(error) from error

    def pop(self, queue: bytes) -> Message | QueueError | None:
        """Take the head, or set it aside when it is damaged."""
        found = self.popAll(queue, 1)
        return found[0] if found else None

    def popAll(self, queue: bytes, most: int) -> list[Message | QueueError | None]:
        """Take messages from the head, or set aside those that are damaged."""
        messages: list[Message | QueueError | None] = []
        entry = self._catalog.forPop(queue)
        if entry is None:
            return messages
        if entry.reads is not None:
            return self._popBeside(entry, most)
        id = entry.id
        if most > 1:
            most = min(most, entry.pushed - entry.taken)
        cursorIn = self._cursorIn
        try:
            cursor = self._cursor
            if cursor is None:
                cursor = self._cursor = self._messages.cursor(self._transaction)
            # What the headers are is known beforehand, but for some records.
            size = -_HEADER_SIZE * most
            for _ in range(most):
                if cursorIn == id:
                    found = cursor.next()
                else:
                    found = cursor.set_range(_packKey(id, entry.head))
                    cursorIn = id
                key, record = found or _NOTHING
                foundId, sequence = _unpackKey(key)
                if foundId != id:
                    raise _lost(entry)
                size += len(record)
                try:
                    message = unpackRecord(id, sequence, record)
                    if record[0] != _VERSION:
                        size += message.size - len(record) + _HEADER_SIZE
                        if message.large is not None:
                            self._entomb(_packKey(0, message.large.id))
                    messages.append(message)
                except DamagedRecord as error:
                    size += bodySize(record) - len(record) + _HEADER_SIZE
                    self._queues.put(_DAMAGED + key, record, self._transaction)
                    messages.append(_damaged(sequence, error))
                cursor.delete()
        except ERRORS as error:
            raise self._environment.error(error) from error
        self._cursorIn = id
        entry.taken += most
        entry.bytes -= size
        entry.head = sequence + 1
        return messages

    def _popBeside(self, entry: Queue, most: int) -> list[Message | QueueError | None]:
        """Do what popAll does, in a queue that may have open reads."""
        most = min(most, entry.ready)
        return [self._takeHead(entry, isKept=False) for _ in range(most)]

    def _takeHead(self, entry: Queue, isKept: bool) -> Message | QueueError:
        """Take the head of a queue that may have open reads, or set it aside.

        :param isKept: hide a message that is not damaged, and leave it where it is.
        """
        found: Message | QueueError
        try:
            key, record = self._findHead(entry)
            id, sequence = _unpackKey(key)
            try:
                found = unpackRecord(id, sequence, record)
                if isKept:
                    self._catalog.readsOf(entry).hide(sequence, found.size)
                    return found
                if found.large is not None:
                    self._entomb(_packKey(0, found.large.id))
                entry.bytes -= found.size
            except DamagedRecord as error:
                self._catalog.forReturn(entry.name, id)
                entry.bytes -= bodySize(record)
                self._queues.put(_DAMAGED + key, record, self._transaction)
                found = _damaged(sequence, error)
            self._cursor.delete()
            self._forgetTries(entry, sequence)
        except ERRORS as error:
            raise self._environment.error(error) from error
        entry.taken += 1
        return found

    def _findHead(self, entry: Queue) -> tuple[bytes, bytes]:
        """Move the cursor to the head, and what comes next behind it."""
        if self._cursor is None:
            self._cursor = self._messages.cursor(self._transaction)
        returned = self._catalog.readsOf(entry).takeReturned()
        if returned is not None:
            self._cursorIn = 0
            key = _packKey(entry.id, returned)
            found = self._cursor.set_range(key)
            if not found or found[0] != key:
                raise _lost(entry)
            return found[0], found[1]
        if self._cursorIn == entry.id:
            found = self._cursor.next()
        else:
            found = self._cursor.set_range(_packKey(entry.id, entry.head))
        key, record = found or _NOTHING
        id, sequence = _unpackKey(key)
        if id != entry.id:
            raise _lost(entry)
        self._cursorIn = id
        entry.head = sequence + 1
        return key, record

    def _forgetTries(self, entry: Queue, sequence: int) -> None:
        if self._catalog.readsOf(entry).forgetTries(sequence):
            key = _TRIES + _packKey(entry.id, sequence)
            self._queues.delete(key, self._transaction)

    def peek(self, queue: bytes) -> Message | QueueError | None:
        """Look at the head."""
        entry = self._catalog.queues.get(queue)
        if entry is None or not entry.ready:
            return None
        returned = None if entry.reads is None else entry.reads.returned()
        head = entry.head if returned is None else returned
        try:
            cursor = self._messages.cursor(self._transaction)
            try:
                found = cursor.set_range(_packKey(entry.id, head))
            finally:
                cursor.close()
        except ERRORS as error:
            raise self._environment.error(error) from error
        key, record = found or _NOTHING
        id, sequence = _unpackKey(key)
        if id != entry.id:
            raise _lost(entry)
        try:
            return unpackRecord(id, sequence, record)
        except DamagedRecord as error:
            return _damaged(sequence, error)

    def putBack(self, queue: bytes, message: Message) -> bool:
        """Return a message to its old place."""
        entry = self._catalog.forReturn(queue, message.queueId)
        if entry is None:
            if message.large is not None:
                self.release(message.large.id)
            return False
        record = packMessage(message)
        if message.large is not None:
            self._exhume(message.large)
        key = _packKey(message.queueId, message.sequence)
        try:
            self._messages.put(key, record, self._transaction)
        except ERRORS as error:
            raise self._environment.error(error) from error
        entry.taken -= 1
        entry.bytes += message.size
        self._catalog.giveBack(entry, message.sequence)
        self._cursorIn = 0
        return True

    def openRead(self, queue: bytes) -> Message | QueueError | None:
        """Hide the head, or set it aside when it is damaged."""
        entry = self._catalog.forRead(queue)
        return None if entry is None else self._takeHead(entry, isKept=True)

    def closeRead(self, queue: bytes, message: Message) -> bool:
        """Take what is hidden."""
        entry = self._catalog.readBy(queue, message)
        if entry is None:
            return False
        self._catalog.forReturn(queue, entry.id)
        sequence = message.sequence
        try:
            if message.large is not None:
                self._entomb(_packKey(0, message.large.id))
            self._messages.delete(_packKey(entry.id, sequence), self._transaction)
            self._forgetTries(entry, sequence)
        except ERRORS as error:
            raise self._environment.error(error) from error
        self._catalog.readsOf(entry).show(sequence)
        entry.taken += 1
        entry.bytes -= message.size
        entry.closed += 1
        return True

    def abortRead(self, queue: bytes, message: Message, count: bool) -> bool:
        """Show what is hidden."""
        entry = self._catalog.readBy(queue, message)
        if entry is None:
            return False
        if count:
            self._countTry(entry, message.sequence)
        self._catalog.readsOf(entry).show(message.sequence)
        self._catalog.giveBack(entry, message.sequence)
        return True

    def _countTry(self, entry: Queue, sequence: int) -> None:
        self._catalog.forReturn(entry.name, entry.id)
        tries = self._catalog.readsOf(entry).countTry(sequence)
        key = _TRIES + _packKey(entry.id, sequence)
        try:
            self._queues.put(key, _TRIES_ROW.pack(tries), self._transaction)
        except ERRORS as error:
            raise self._environment.error(error) from error
        entry.change(returns=entry.returns + 1)

    def popRead(self, queue: bytes, message: Message) -> Message | QueueError | None:
        """Take what is hidden and return it, or set it aside when it is damaged."""
        entry = self._catalog.readBy(queue, message)
        if entry is None:
            return None
        self._catalog.forReturn(queue, entry.id)
        sequence = message.sequence
        key = _packKey(entry.id, sequence)
        found: Message | QueueError
        try:
            record = self._messages.get(key)
            if record is None:
                raise _lost(entry)
            try:
                found = unpackRecord(entry.id, sequence, record)
                if found.large is not None:
                    self._entomb(_packKey(0, found.large.id))
            except DamagedRecord as error:
                self._queues.put(_DAMAGED + key, record, self._transaction)
                found = _damaged(sequence, error)
            self._messages.delete(key, self._transaction)
            self._forgetTries(entry, sequence)
        except ERRORS as error:
            raise self._environment.error(error) from error
        self._catalog.readsOf(entry).show(sequence)
        entry.taken += 1
        entry.bytes -= bodySize(record)
        entry.change(returns=entry.returns + 1)
        return found

    def discard(self, message: Message) -> None:
        """Leave the parts to ``sweep``, once that is committed."""
        if message.large is not None:
            self._deletedInTransaction.append(_packKey(0, message.large.id))

    def setAside(self, message: Message) -> None:
        """Keep the record by itself, and its parts for good."""
        assert message.large is not None
        key = _DAMAGED + _packKey(message.queueId, message.sequence)
        self._exhume(message.large)
        try:
            self._queues.put(key, packMessage(message), self._transaction)
        except ERRORS as error:
            raise self._environment.error(error) from error

    def delete(self, queue: bytes) -> bool:
        """Write tombstones; the commit removes the row."""
        entry = self._catalog.remove(queue)
        if entry is None:
            return False
        self._discardAll(entry)
        return True

    def empty(self, queue: bytes) -> int:
        """Write tombstones for the ids that the queue had."""
        entry = self._catalog.empty(queue)
        if entry is None:
            return 0
        self._discardAll(entry)
        return entry.pushed - entry.taken + entry.rest.delayed

    def _discardAll(self, entry: Queue) -> None:
        self._discard(entry.id)
        if entry.rest.delayId:
            self._discard(entry.rest.delayId)
            self._delays.forget(entry)

    def _discard(self, id: int) -> None:
        prefix = _ID.pack(id)
        try:
            self._entomb(prefix)
        except ERRORS as error:
            raise self._environment.error(error) from error
        self._deletedInTransaction.append(prefix)

    def isUnswept(self) -> bool:
        """Return whether something is to be removed, or to be moved."""
        assert self._rotation is not None
        return (
            bool(self._deleted)
            or self._rotation.step is not None
            or self._environment.hasLogsToRemove
        )

    def sweep(self, limit: int) -> bool:
        """Remove some of what was deleted first; move messages when that is gone."""
        assert self._rotation is not None
        if self._environment.hasLogsToRemove:
            self._environment.removeLogsAhead()
        step = self._removeFirst if self._deleted else self._rotation.step
        if step is None:
            return False
        self.begin()
        try:
            settle = step(self._transaction, limit)
        except ERRORS as error:
            self.abort()
            raise self._environment.error(error) from error
        self.commit()
        settle()
        self._messages = self._rotation.table
        return self.isUnswept()

    def _removeFirst(self, transaction: Any, limit: int) -> Callable[[], object]:
        """Remove some of what was deleted first; return what to do after the commit."""
        prefix = next(iter(self._deleted))
        if not self._remove(self._messages, prefix, limit):
            return lambda: None
        if len(prefix) == _ID.size:
            self._closeCursor()
            if not self._remove(self._queues, _TRIES + prefix, limit):
                return lambda: None
        tombstone = _TOMBSTONE + prefix
        # A body whose first part could not be kept has none.
        if self._queues.exists(tombstone, transaction):
            self._queues.delete(tombstone, transaction)
        return lambda: self._deleted.pop(prefix)

    def _remove(self, table: Any, prefix: bytes, limit: int) -> bool:
        """Remove records whose keys begin so; return whether none is left."""
        cursor = self._cursor = table.cursor(self._transaction)
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

    def details(
        self, wanted: Callable[[bytes], bool] | None = None
    ) -> Iterator[QueueDetail]:
        """Yield every queue's details, sorted by name."""
        return self._catalog.details(self.peek, wanted)

    def detail(self, queue: bytes) -> QueueDetail | None:
        """Return a queue's details."""
        return self._catalog.detail(self.peek, queue)

    def status(self) -> dict[str, int]:
        """Return the queues, and what is set aside or still to be removed."""
        status = super().status()
        queues = sum(len(prefix) == _ID.size for prefix in self._deleted)
        status["queues_being_removed"] = queues
        return status
