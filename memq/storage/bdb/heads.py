"""Heads: messages are taken from their queues, or read openly.

The head of a queue is found by a cursor that looks from the lowest sequence number that
may still be there; that number is a hint kept in memory only.  Within a transaction,
the next head of the same queue is the cursor's next record.

A message that is read openly stays where it is, and is hidden in memory only, see
:mod:`memq.storage.openreads`.  Who looks from the head on does not meet it.  A queue
without open reads, as most are, is read the short way: ``popAll`` does it all by
itself.

A record that is damaged is set aside by the transaction that met it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.display import shownName
from memq.errors import DamagedMessage, StoreError
from memq.message import DamagedRecord, bodySize, packMessage, unpackRecord
from memq.storage.bdb.transaction import Tables
from memq.storage.engine.binding import ERRORS
from memq.storage.keys import DAMAGED as _DAMAGED
from memq.storage.keys import DELIVERIES as _DELIVERIES
from memq.storage.keys import DELIVERIES_ROW as _DELIVERIES_ROW
from memq.storage.keys import KEY as _KEY

if TYPE_CHECKING:
    from memq.errors import QueueError
    from memq.message import Message
    from memq.storage.row import Queue

_packKey = _KEY.pack
_unpackKey = _KEY.unpack

#: What is found behind the last record: a key of no queue's.
_NOTHING = _packKey(0, 0), b""


def _lost(queue: Queue) -> StoreError:
    return StoreError(
        f"queue {shownName(queue.name)} has lost messages: its counts say "
        f"{queue.pushed} set and {queue.taken} taken, but none is there"
    )


def _damaged(sequence: int, error: DamagedRecord) -> DamagedMessage:
    return DamagedMessage(f"message {sequence} of its queue: {error}")


class Heads(Tables):
    """Tables whose messages are taken from the heads of their queues."""

    def pop(self, queue: bytes) -> Message | QueueError | None:
        """Take the head, or set it aside when it is damaged."""
        found = self.popAll(queue, 1)
        return found[0] if found else None

    def popAll(self, queue: bytes, most: int) -> list[Message | QueueError | None]:
        """Take messages from the head, or set aside those that are damaged."""
        messages: list[Message | QueueError | None] = []
        entry = self._index.forPop(queue)
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
            size = 0
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
                try:
                    message = unpackRecord(id, sequence, record)
                    if message.large is None:
                        size += len(message.body)
                    else:
                        size += message.large.size
                        self._addTombstone(_packKey(0, message.large.id))
                    messages.append(message)
                except DamagedRecord as error:
                    size += bodySize(record)
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
                    self._index.readsOf(entry).hide(sequence, found.size)
                    return found
                if found.large is not None:
                    self._addTombstone(_packKey(0, found.large.id))
                entry.bytes -= found.size
            except DamagedRecord as error:
                self._index.forReturn(entry.name, id)
                entry.bytes -= bodySize(record)
                self._queues.put(_DAMAGED + key, record, self._transaction)
                found = _damaged(sequence, error)
            self._cursor.delete()
            self._forgetDeliveries(entry, sequence)
        except ERRORS as error:
            raise self._environment.error(error) from error
        entry.taken += 1
        return found

    def _findHead(self, entry: Queue) -> tuple[bytes, bytes]:
        """Move the cursor to the head, and what comes next behind it."""
        if self._cursor is None:
            self._cursor = self._messages.cursor(self._transaction)
        returned = self._index.readsOf(entry).takeReturned()
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

    def _forgetDeliveries(self, entry: Queue, sequence: int) -> None:
        if self._index.readsOf(entry).forgetDeliveries(sequence):
            key = _DELIVERIES + _packKey(entry.id, sequence)
            self._queues.delete(key, self._transaction)

    def peek(self, queue: bytes) -> Message | QueueError | None:
        """Look at the head."""
        entry = self._index.queues.get(queue)
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
        entry = self._index.forReturn(queue, message.queueId)
        if entry is None:
            if message.large is not None:
                self._tombstones.release(_packKey(0, message.large.id))
            return False
        record = packMessage(message)
        if message.large is not None:
            self._removeTombstone(message.large)
        key = _packKey(message.queueId, message.sequence)
        try:
            self._messages.put(key, record, self._transaction)
        except ERRORS as error:
            raise self._environment.error(error) from error
        entry.taken -= 1
        entry.bytes += message.size
        self._index.giveBack(entry, message.sequence)
        self._cursorIn = 0
        return True

    def openRead(self, queue: bytes) -> Message | QueueError | None:
        """Hide the head, or set it aside when it is damaged."""
        entry = self._index.forRead(queue)
        return None if entry is None else self._takeHead(entry, isKept=True)

    def closeRead(self, queue: bytes, message: Message) -> bool:
        """Take what is hidden."""
        entry = self._index.readBy(queue, message)
        if entry is None:
            return False
        self._index.forReturn(queue, entry.id)
        sequence = message.sequence
        try:
            if message.large is not None:
                self._addTombstone(_packKey(0, message.large.id))
            self._messages.delete(_packKey(entry.id, sequence), self._transaction)
            self._forgetDeliveries(entry, sequence)
        except ERRORS as error:
            raise self._environment.error(error) from error
        self._index.readsOf(entry).show(sequence)
        entry.taken += 1
        entry.bytes -= message.size
        entry.closed += 1
        return True

    def abortRead(self, queue: bytes, message: Message, count: bool) -> bool:
        """Show what is hidden."""
        entry = self._index.readBy(queue, message)
        if entry is None:
            return False
        if count:
            self._countTry(entry, message.sequence)
        self._index.readsOf(entry).show(message.sequence)
        self._index.giveBack(entry, message.sequence)
        return True

    def _countTry(self, entry: Queue, sequence: int) -> None:
        self._index.forReturn(entry.name, entry.id)
        deliveries = self._index.readsOf(entry).countDelivery(sequence)
        key = _DELIVERIES + _packKey(entry.id, sequence)
        try:
            self._queues.put(key, _DELIVERIES_ROW.pack(deliveries), self._transaction)
        except ERRORS as error:
            raise self._environment.error(error) from error
        entry.change(returns=entry.returns + 1)

    def popRead(self, queue: bytes, message: Message) -> Message | QueueError | None:
        """Take what is hidden and return it, or set it aside when it is damaged."""
        entry = self._index.readBy(queue, message)
        if entry is None:
            return None
        self._index.forReturn(queue, entry.id)
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
                    self._addTombstone(_packKey(0, found.large.id))
            except DamagedRecord as error:
                self._queues.put(_DAMAGED + key, record, self._transaction)
                found = _damaged(sequence, error)
            self._messages.delete(key, self._transaction)
            self._forgetDeliveries(entry, sequence)
        except ERRORS as error:
            raise self._environment.error(error) from error
        self._index.readsOf(entry).show(sequence)
        entry.taken += 1
        entry.bytes -= bodySize(record)
        entry.change(returns=entry.returns + 1)
        return found
