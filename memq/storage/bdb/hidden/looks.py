"""Looks: at many messages of a queue, but those that are hidden; nothing changes."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from memq.storage.bdb.heads import lost
from memq.storage.bdb.packs import damaged
from memq.storage.engine.binding import scan
from memq.storage.packed import unpacked
from memq.storage.record import ID, KEY, DamagedRecord, unpackRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memq.errors import QueueError
    from memq.message import Message
    from memq.storage.bdb.transaction import Transaction
    from memq.storage.index import QueueIndex


class Looks:
    """Looks, in the transaction under way; see IQueueStore."""

    def __init__(self, transaction: Transaction, index: QueueIndex) -> None:
        self._transaction = transaction
        self._index = index

    def peekMany(
        self, queue: bytes, first: int, most: int, limit: int
    ) -> tuple[list[Message | QueueError], int | None]:
        """Look at messages from a number on; below the first one given back is none."""
        found: list[Message | QueueError] = []
        entry = self._index.queues.get(queue)
        if entry is None or not entry.ready:
            return found, None
        reads, id, transaction = entry.reads, entry.id, self._transaction
        back = None if reads is None else reads.returned()
        first = max(first, head := entry.head if back is None else back)
        hidden = () if reads is None else reads.hidden
        with (
            transaction.translated,
            closing(transaction.messages.cursor(transaction.handle)) as cursor,
        ):
            transaction.packs.write()
            for key, record in scan(cursor, KEY.pack(id, first), ID.pack(id)):
                for sequence, size, each in _looked(key, record, first):
                    if sequence not in hidden:
                        found.append(each)
                    if (limit := limit - size - 1024) <= 0 or len(found) == most:
                        return found, sequence + 1
        if not found and first == head:
            raise lost(entry)
        return found, None


def _looked(
    key: bytes, record: bytes, first: int
) -> Iterator[tuple[int, int, Message | QueueError]]:
    """Yield what a record holds: number and bytes of each message, and the message.

    :param first: the number before which those of a packed record are left out.
    """
    try:
        for single, each in unpacked(key, record, first):
            id, sequence = KEY.unpack(single)
            try:
                yield sequence, len(each), unpackRecord(id, sequence, each)
            except DamagedRecord as error:
                yield sequence, len(each), damaged(single, error)
    except DamagedRecord as error:
        yield KEY.unpack(key)[1], len(record), damaged(key, error)
