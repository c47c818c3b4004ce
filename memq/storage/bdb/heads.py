"""Heads: messages are taken from their queues, or read openly.

The head of a queue is found by a cursor that looks from the lowest sequence number that
may still be there; that number is a hint kept in memory only.  Within a transaction,
the next head of the same queue is the cursor's next record.

A message that is read openly stays where it is, and is hidden in memory only, see
:mod:`memq.storage.openreads`.  A look from the head on does not meet it.  A queue
without open reads, as most are, is read the short way: ``popAll`` does it all by
itself.

A record that is damaged is set aside by the transaction that met it.
"""

from __future__ import annotations

from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from memq.display import shownName
from memq.errors import DamagedMessage, StoreError
from memq.storage.bdb.packs import damaged
from memq.storage.engine.binding import ERRORS, scan
from memq.storage.packed import PACKED, unpacked
from memq.storage.record import (
    DELIVERIES,
    DELIVERIES_ROW,
    ID,
    KEY,
    DamagedRecord,
    bodySize,
    isTraced,
    packMessage,
    unpackRecord,
)

if TYPE_CHECKING:
    from memq.errors import QueueError
    from memq.message import Message
    from memq.storage.bdb.tombstones import Tombstones
    from memq.storage.bdb.transaction import Transaction
    from memq.storage.index import QueueIndex
    from memq.storage.row import Queue

_packKey = KEY.pack
_unpackKey = KEY.unpack

#: The record found behind the last one: a key of no queue's.
_NOTHING = _packKey(0, 0), b""


def lost(queue: Queue) -> StoreError:
    """Return the error for a queue without the messages that it counts."""
    return StoreError(
        f"queue {shownName(queue.name)} has lost messages: its counts say "
        f"{queue.pushed} set and {queue.taken} taken, but none is there"
    )


class Heads:
    """The heads of all queues, in the transaction under way; see IQueueStore."""

    def __init__(
        self, transaction: Transaction, index: QueueIndex, tombstones: Tombstones
    ) -> None:
        self._transaction = transaction
        self._index = index
        self._tombstones = tombstones

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
        transaction = self._transaction
        packs = transaction.packs
        count = size = 0
        try:
            if packs.runs:
                packs.write()
            if entry.packHead:
                messages = packs.pop(entry, most)
                if len(messages) == most:
                    return messages
            cursorIn = transaction.cursorIn
            cursor = transaction.cursor
            if cursor is None:
                cursor = transaction.openCursor()
            while len(messages) < most:
                if cursorIn == id:
                    found = cursor.next()
                else:
                    found = cursor.set_range(_packKey(id, entry.head))
                    cursorIn = id
                key, record = found or _NOTHING
                foundId, sequence = _unpackKey(key)
                if foundId != id:
                    raise lost(entry)
                try:
                    message = unpackRecord(id, sequence, record)
                    if message.large is None:
                        size += len(message.body)
                    else:
                        size += message.large.size
                        transaction.addTombstone(_packKey(0, message.large.id))
                    messages.append(message)
                except DamagedRecord as error:
                    if record[:1] == PACKED:
                        entry.taken += count
                        count = cursorIn = 0
                        left = most - len(messages)
                        messages += self._enter(entry, key, record, left)
                        # A damaged record may have been many messages.
                        most = min(most, len(messages) + entry.pushed - entry.taken)
                        continue
                    size += bodySize(record)
                    messages.append(self._setAside(key, record, error))
                count += 1
                entry.head = sequence + 1
                cursor.delete()
        except ERRORS as error:
            raise transaction.error(error) from error
        transaction.cursorIn = cursorIn
        entry.taken += count
        left = entry.bytes - size
        # Of a damaged packed record, bytes may be counted twice.
        entry.bytes = left if left > 0 else 0
        return messages

    def _enter(self, entry: Queue, key: bytes, record: bytes, most: int) -> list[Any]:
        """Take messages from a packed record, or what is said of it."""
        packs = self._transaction.packs
        try:
            packs.enter(entry, key, record)
        except DamagedMessage as error:
            return [error]
        return packs.pop(entry, most)

    def _popBeside(self, entry: Queue, most: int) -> list[Message | QueueError | None]:
        # In popAll, it would make cells of what each get reads: 450 instructions.
        return [self._popOne(entry) for _ in range(min(most, entry.ready))]

    def _popOne(self, entry: Queue) -> Message | QueueError:
        with self._transaction.translated:
            try:
                key, record = self._findHead(entry)
            except DamagedMessage as error:
                return error
            found = self._unpack(key, record)
            self._transaction.cursor.delete()
            self._count(entry, _unpackKey(key)[1], bodySize(record))
        return found

    def _unpack(self, key: bytes, record: bytes) -> Message | QueueError:
        """Return a message that leaves its queue, or set it aside."""
        try:
            id, sequence = _unpackKey(key)
            found = unpackRecord(id, sequence, record)
        except DamagedRecord as error:
            return self._setAside(key, record, error)
        if found.large is not None:
            self._transaction.addTombstone(_packKey(0, found.large.id))
        return found

    def _setAside(
        self, key: bytes, record: bytes, error: DamagedRecord
    ) -> DamagedMessage:
        self._transaction.setAside(key, record)
        return damaged(key, error)

    def _count(self, entry: Queue, sequence: int, size: int) -> None:
        """Count a message as taken, and forget how often it was given back."""
        self.forget(entry, sequence)
        entry.taken += 1
        entry.bytes = max(0, entry.bytes - size)

    def forget(self, entry: Queue, sequence: int) -> None:
        """Forget how often a message was given back that leaves its queue."""
        if self._index.readsOf(entry).forgetDeliveries(sequence):
            key = DELIVERIES + _packKey(entry.id, sequence)
            self._transaction.queues.delete(key, self._transaction.handle)

    def _findHead(self, entry: Queue) -> tuple[bytes, bytes]:
        """Move the cursor to the head, and what comes next behind it."""
        transaction = self._transaction
        packs = transaction.packs
        packs.write()
        cursor = transaction.cursor or transaction.openCursor()
        returned = self._index.readsOf(entry).takeReturned()
        if returned is not None:
            transaction.cursorIn = 0
            key = _packKey(entry.id, returned)
            found = cursor.set_range(key)
            if not found or found[0] != key:
                raise lost(entry)
            return found[0], found[1]
        if transaction.cursorIn == entry.id:
            found = cursor.next()
        else:
            found = cursor.set_range(_packKey(entry.id, entry.head))
        key, record = found or _NOTHING
        id, sequence = _unpackKey(key)
        if id != entry.id:
            raise lost(entry)
        if record[:1] == PACKED:
            self._index.forReturn(entry.name, id)
            packs.enter(entry, key, record)
            packs.split(entry)
            return self._findHead(entry)
        transaction.cursorIn = id
        entry.head = sequence + 1
        return key, record

    def peek(self, queue: bytes) -> Message | QueueError | None:
        """Look at the head."""
        entry = self._index.queues.get(queue)
        if entry is None or not entry.ready:
            return None
        returned = None if entry.reads is None else entry.reads.returned()
        head = entry.head if returned is None else returned
        transaction = self._transaction
        with (
            transaction.translated,
            closing(transaction.messages.cursor(transaction.handle)) as cursor,
        ):
            transaction.packs.write()
            key, record = cursor.set_range(_packKey(entry.id, head)) or _NOTHING
        id = _unpackKey(key)[0]
        if id != entry.id:
            raise lost(entry)
        try:
            key, record = next(unpacked(key, record, head))
            return unpackRecord(id, _unpackKey(key)[1], record)
        except DamagedRecord as error:
            return damaged(key, error)

    def deadLetters(
        self, queue: bytes, first: int, end: int, limit: int
    ) -> tuple[list[Message], int]:
        """Look for messages that have an origin; none of those is ever packed."""
        found: list[Message] = []
        entry = self._index.queues.get(queue)
        if entry is None:
            return found, end
        hidden = () if entry.reads is None else entry.reads.hidden
        id, transaction = entry.id, self._transaction
        with (
            transaction.translated,
            closing(transaction.messages.cursor(transaction.handle)) as cursor,
        ):
            for key, record in scan(cursor, _packKey(id, first), ID.pack(id)):
                sequence = _unpackKey(key)[1]
                if sequence >= end:
                    break
                if limit <= 0:
                    return found, sequence
                limit -= len(record) + 1024
                if sequence in hidden or not isTraced(record):
                    continue
                # A damaged message is left to whoever takes it.
                with suppress(DamagedRecord):
                    message = unpackRecord(id, sequence, record)
                    if message.trace is not None and message.trace.origin:
                        found.append(message)
        return found, end

    def takeOut(self, queue: bytes, message: Message) -> None:
        """Take a message, wherever it stands."""
        entry = self._index.forReturn(queue, message.queueId)
        assert entry is not None
        transaction = self._transaction
        key = _packKey(entry.id, message.sequence)
        with transaction.translated:
            if message.large is not None:
                transaction.addTombstone(_packKey(0, message.large.id))
            transaction.messages.delete(key, transaction.handle)
            if entry.reads is not None:
                self.forget(entry, message.sequence)
                entry.reads.forgetReturned(message.sequence)
        entry.taken += 1
        entry.bytes = max(0, entry.bytes - message.size)

    def putBack(self, queue: bytes, message: Message) -> bool:
        """Return a message to its old place."""
        entry = self._index.forReturn(queue, message.queueId)
        if entry is None:
            if message.large is not None:
                self._tombstones.release(_packKey(0, message.large.id))
            return False
        transaction = self._transaction
        if message.large is not None:
            transaction.claim(message.large)
        with transaction.translated:
            if entry.packHead:
                # The head leaves its packed record, and is the head still.
                head = entry.head
                with suppress(DamagedMessage):
                    self._findHead(entry)
                    entry.head = head
            key = _packKey(message.queueId, message.sequence)
            transaction.messages.put(key, packMessage(message), transaction.handle)
        entry.taken -= 1
        entry.bytes += message.size
        self._index.giveBack(entry, message.sequence)
        transaction.cursorIn = 0
        return True

    def openRead(self, queue: bytes) -> Message | QueueError | None:
        """Hide the head, or set it aside when it is damaged."""
        entry = self._index.forRead(queue)
        if entry is None:
            return None
        with self._transaction.translated:
            try:
                key, record = self._findHead(entry)
            except DamagedMessage as error:
                return error
            id, sequence = _unpackKey(key)
            try:
                found = unpackRecord(id, sequence, record)
            except DamagedRecord as error:
                self._index.forReturn(queue, id)
                lost = self._setAside(key, record, error)
                self._transaction.cursor.delete()
                self._count(entry, sequence, bodySize(record))
                return lost
        self._index.readsOf(entry).hide(sequence, found.size)
        return found

    def closeRead(self, queue: bytes, message: Message) -> bool:
        """Take what is hidden."""
        entry = self._index.readBy(queue, message)
        if entry is None:
            return False
        with self._transaction.translated:
            if message.large is not None:
                self._transaction.addTombstone(_packKey(0, message.large.id))
            self._takeHidden(entry, message.sequence, message.size)
        entry.closed += 1
        return True

    def _takeHidden(self, entry: Queue, sequence: int, size: int) -> None:
        self._index.forReturn(entry.name, entry.id)
        key = _packKey(entry.id, sequence)
        self._transaction.messages.delete(key, self._transaction.handle)
        self._index.readsOf(entry).show(sequence)
        self._count(entry, sequence, size)

    def abortRead(self, queue: bytes, message: Message, count: bool) -> bool:
        """Show what is hidden."""
        entry = self._index.readBy(queue, message)
        if entry is None:
            return False
        if count:
            self._countDelivery(entry, message.sequence)
        self._index.readsOf(entry).show(message.sequence)
        self._index.giveBack(entry, message.sequence)
        return True

    def _countDelivery(self, entry: Queue, sequence: int) -> None:
        self._index.forReturn(entry.name, entry.id)
        deliveries = self._index.readsOf(entry).countDelivery(sequence)
        key = DELIVERIES + _packKey(entry.id, sequence)
        row = DELIVERIES_ROW.pack(deliveries)
        with self._transaction.translated:
            self._transaction.queues.put(key, row, self._transaction.handle)
        entry.change(returns=entry.rest.returns + 1)

    def popRead(self, queue: bytes, message: Message) -> Message | QueueError | None:
        """Take what is hidden and return it, or set it aside when it is damaged."""
        entry = self._index.readBy(queue, message)
        if entry is None:
            return None
        key = _packKey(entry.id, message.sequence)
        with self._transaction.translated:
            record = self._transaction.messages.get(key)
            if record is None:
                raise lost(entry)
            found = self._unpack(key, record)
            self._takeHidden(entry, message.sequence, bodySize(record))
        entry.change(returns=entry.rest.returns + 1)
        return found
