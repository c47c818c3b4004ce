"""Many open reads in one go: what opens and closes them one by one, but faster.

Those that are not the usual ones are left to :mod:`memq.storage.bdb.heads`: messages
that were given back, and damaged ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.errors import DamagedMessage
from memq.message import Message
from memq.storage.packed import PACKED
from memq.storage.record import KEY, DamagedRecord, unpackRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memq.errors import QueueError
    from memq.storage.bdb.heads import Heads
    from memq.storage.bdb.transaction import Transaction
    from memq.storage.index import QueueIndex
    from memq.storage.row import Queue

_packKey = KEY.pack
_unpackKey = KEY.unpack


class Hidden:
    """Many open reads, in the transaction under way; see IQueueStore."""

    def __init__(
        self, transaction: Transaction, index: QueueIndex, heads: Heads
    ) -> None:
        self._transaction = transaction
        self._index = index
        self._heads = heads

    def openAll(self, queue: bytes, most: int, size: int) -> list[Message | QueueError]:
        """Hide messages from the head on."""
        found: list[Message | QueueError] = []
        while len(found) < most and size > 0:
            entry = self._index.forRead(queue)
            if entry is None:
                break
            some = self._openSome(entry, min(most - len(found), entry.ready), size)
            found += some
            last = some[-1]
            if not isinstance(last, Message) or last.large is not None:
                break
            size -= sum([len(message.body) for message in some])
        return found

    def _openSome(self, entry: Queue, most: int, size: int) -> list[Any]:
        """Hide one message or more, which are there."""
        reads = entry.reads
        assert reads is not None
        some: list[Any] = []
        if reads.returned() is None:
            with self._transaction.translated:
                try:
                    some = self._openRun(entry, most, size)
                except DamagedMessage as error:
                    # A shared record as a whole, which is set aside.
                    return [error]
            reads.hideAll({message.sequence: message.size for message in some})
        return some or [self._heads.openRead(entry.name)]

    def _openRun(self, entry: Queue, most: int, size: int) -> list[Message]:
        """Return messages that stand behind each other, and let the head be behind.

        :return: none when the head is none of the usual ones.
        :raise memq.errors.DamagedMessage: it is a shared record that is damaged.
        """
        transaction = self._transaction
        if transaction.packs.runs:
            transaction.packs.write()
        cursor = transaction.cursor or transaction.openCursor()
        transaction.cursorIn = 0
        id = entry.id
        found: list[Message] = []
        at = cursor.set_range(_packKey(id, entry.head))
        while at and len(found) < most and size > 0:
            key, record = at
            foundId, sequence = _unpackKey(key)
            isPacked = record[:1] == PACKED
            if foundId != id or (found and isPacked):
                break
            try:
                if isPacked:
                    return self._openPack(entry, key, record, most)
                message = unpackRecord(id, sequence, record)
            except DamagedRecord:
                break
            found.append(message)
            entry.head = sequence + 1
            size -= message.size
            if message.large is not None:
                break
            at = cursor.next()
        return found

    def _openPack(
        self, entry: Queue, key: bytes, record: bytes, most: int
    ) -> list[Message]:
        """Give messages of a packed record their own records; return the first ones."""
        packs = self._transaction.packs
        self._index.forReturn(entry.name, entry.id)
        packs.enter(entry, key, record)
        found: list[Message] = []
        for message in packs.split(entry)[:most]:
            if not isinstance(message, Message):
                break
            found.append(message)
        entry.head += len(found)
        return found

    def closeAll(self, queue: bytes, messages: Sequence[Message]) -> list[Message]:
        """Take those that are hidden."""
        index, transaction = self._index, self._transaction
        closed = [message for message in messages if index.isRead(queue, message)]
        if not closed:
            return closed
        entry = index.forChange(queue)
        assert entry is not None
        reads = index.readsOf(entry)
        with transaction.translated:
            delete, handle, id = (
                transaction.messages.delete,
                transaction.handle,
                entry.id,
            )
            for message in closed:
                if message.large is not None:
                    transaction.addTombstone(_packKey(0, message.large.id))
                delete(_packKey(id, message.sequence), handle)
        if reads.deliveries:
            for message in closed:
                self._heads.forget(entry, message.sequence)
        reads.showAll([message.sequence for message in closed])
        size = sum([message.size for message in closed])
        entry.bytes = max(0, entry.bytes - size)
        entry.taken += len(closed)
        entry.closed += len(closed)
        return closed
