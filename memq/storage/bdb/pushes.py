"""Pushes: messages are put behind their queues, in parts, or until they are due.

A large body comes in parts before its message, which nobody can read without it.  So
its first part comes with a tombstone, and the message removes that
(:mod:`memq.storage.bdb.tombstones`).

A delayed message stands under an id of its queue's own for those, by the time when it
is due; what is said of their numbers in :mod:`memq.storage.delays` holds here.
"""

from __future__ import annotations

import os
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from memq.errors import DamagedMessage
from memq.storage.delays import freeNumber, lastAt
from memq.storage.engine.binding import ERRORS, scan
from memq.storage.packed import SMALL
from memq.storage.record import (
    ID,
    KEY,
    PART,
    DamagedRecord,
    bodySize,
    packAny,
    packExpiring,
    packMessage,
    packPart,
    packRecord,
    unpackPart,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.message import LargeBody, Message, Trace
    from memq.storage.bdb.tombstones import Tombstones
    from memq.storage.bdb.transaction import Transaction
    from memq.storage.delays import Delays
    from memq.storage.index import QueueIndex
    from memq.storage.row import Queue

_packKey = KEY.pack


class Pushes:
    """The ends of all queues, in the transaction under way; see IQueueStore."""

    def __init__(self, transaction: Transaction, index: QueueIndex) -> None:
        self._transaction = transaction
        self._index = index

    def push(
        self,
        queue: bytes,
        flags: int,
        body: bytes,
        *,
        expires: int = 0,
        trace: Trace | None = None,
    ) -> int:
        """Append a message."""
        if trace is None:
            return self.pushAll(queue, [(flags, body)], len(body), expires)
        pack = partial(packAny, expires=expires, trace=trace)
        return self.pushAll(queue, [(flags, body)], len(body), pack=pack)

    def pushAll(
        self,
        queue: bytes,
        messages: list[tuple[int, Any]],
        size: int | None = None,
        expires: int = 0,
        pack: Callable[[int, int, Any], bytes] = packRecord,
    ) -> int:
        """Append messages.

        Python calls this fastest when nothing is given by name.

        :param pack: makes a record of flags, time and what stands for the body.
        """
        if size is None:
            size = sum(len(body) for _, body in messages)
        if expires:
            pack = partial(packExpiring, expires=expires)
        isChanged = queue in self._index.changed
        entry = self._index.forPush(queue)
        id, first = entry.id, entry.nextSequence
        transaction = self._transaction
        packs, count = transaction.packs, len(messages)
        put, handle, now = transaction.messages.put, transaction.handle, transaction.now
        sequence = first
        try:
            if (
                (count >= packs.least or isChanged)
                and size <= SMALL * count
                and pack is packRecord
            ):
                packs.add(entry, messages)
                sequence += count
            else:
                for flags, body in messages:
                    put(_packKey(id, sequence), pack(flags, now, body), handle)
                    sequence += 1
        except ERRORS as error:
            raise transaction.error(error) from error
        entry.nextSequence = sequence
        entry.pushed += sequence - first
        entry.bytes += size
        return first

    def pushLarge(
        self,
        queue: bytes,
        flags: int,
        large: LargeBody,
        *,
        expires: int = 0,
        trace: Trace | None = None,
    ) -> int:
        """Append a message, and remove the tombstone of its body."""
        pack = partial(packAny, expires=expires, trace=trace)
        sequence = self.pushAll(queue, [(flags, large)], size=large.size, pack=pack)
        self._transaction.claim(large)
        return sequence


class Bodies:
    """The large bodies, whose parts stand in the table of messages; see IQueueStore."""

    def __init__(
        self,
        transaction: Transaction,
        tombstones: Tombstones,
        refuseAfterFailure: Callable[[], None],
    ) -> None:
        self._transaction = transaction
        self._tombstones = tombstones
        self._refuseAfterFailure = refuseAfterFailure
        #: Ids count up from anywhere, so that none is met twice.
        self._last = int.from_bytes(os.urandom(7), "big")

    def newBody(self) -> int:
        """Return the next id."""
        self._last += 1
        return self._last

    def addPart(self, body: int, number: int, data: bytes) -> None:
        """Keep a part, the first one with a tombstone."""
        transaction = self._transaction
        with transaction.translated:
            if number == 0:
                transaction.addTombstone(_packKey(0, body))
            key = PART.pack(0, body, number)
            transaction.messages.put(key, packPart(data), transaction.handle)

    def part(self, body: int, number: int) -> bytes:
        """Return a part."""
        self._refuseAfterFailure()
        with self._transaction.translated:
            record = self._transaction.messages.get(PART.pack(0, body, number))
        if record is None:
            raise DamagedMessage(f"part {number} of a large body is not there")
        try:
            return unpackPart(record)
        except DamagedRecord as error:
            raise DamagedMessage(f"part {number} of a large body: {error}") from error

    def release(self, body: int) -> None:
        """Leave the parts to ``sweep``."""
        self._tombstones.release(_packKey(0, body))

    def discard(self, message: Message) -> None:
        """Leave the parts to ``sweep``, once that is committed."""
        if message.large is not None:
            self._tombstones.discard(_packKey(0, message.large.id))

    def setAside(self, message: Message) -> None:
        """Keep the record by itself, and its parts for good."""
        assert message.large is not None
        self._transaction.claim(message.large)
        with self._transaction.translated:
            key = _packKey(message.queueId, message.sequence)
            self._transaction.setAside(key, packMessage(message))


class Delayed:
    """The delayed messages of all queues, in the transaction under way."""

    def __init__(
        self, transaction: Transaction, index: QueueIndex, delays: Delays
    ) -> None:
        self._transaction = transaction
        self._index = index
        self._delays = delays

    def pushDelayed(
        self,
        queue: bytes,
        flags: int,
        body: bytes | LargeBody,
        due: int,
        *,
        expires: int = 0,
        trace: Trace | None = None,
        time: int = 0,
    ) -> None:
        """Keep a message under the id of those that are delayed."""
        entry = self._index.forDelay(queue)
        time = time or self._transaction.now
        self.put(entry, due, packAny(flags, time, body, expires, trace))
        if not isinstance(body, bytes):
            self._transaction.claim(body)

    def put(self, queue: Queue, due: int, record: bytes) -> None:
        """Put a message behind those that are due at the same time.

        :raise memq.errors.StoreError: the transaction has to be aborted.
        """
        id, transaction = queue.rest.delayId, self._transaction
        with transaction.translated:
            sequence = self._freeNumber(id, due)
            transaction.messages.put(KEY.pack(id, sequence), record, transaction.handle)
        queue.delay(1, bodySize(record))
        self._delays.add(queue, sequence)

    def _freeNumber(self, id: int, due: int) -> int:
        transaction = self._transaction
        with closing(transaction.messages.cursor(transaction.handle)) as cursor:

            def highest(number: int) -> int:
                # No key stands between that of the number and this one.
                found = cursor.set_range(KEY.pack(id, number) + b"\0")
                found = cursor.prev() if found else cursor.last()
                if not found:
                    return -1
                foundId, sequence = KEY.unpack(found[0][: KEY.size])
                return sequence if foundId == id else -1

            return freeNumber(due, highest)

    def promoteDue(self, now: int, limit: int) -> list[bytes]:
        """Move messages that are due to the ends of their queues."""
        # The cost of a turn does not tell how large they are.
        self._transaction.lookAgain()
        with self._transaction.translated:
            return self._delays.promote(
                self._index.forChange, self._move, lastAt(now), limit
            )

    def _move(
        self, queue: Queue, first: int, last: int, most: int
    ) -> tuple[int, int | None]:
        """Move delayed messages of a queue to its end; see Delays.promote."""
        messages, handle = self._transaction.messages, self._transaction.handle
        id = queue.rest.delayId
        count = size = 0
        left = None
        with closing(messages.cursor(handle)) as cursor:
            for key, record in scan(cursor, KEY.pack(id, first), ID.pack(id)):
                _, sequence = KEY.unpack(key)
                if sequence > last or count == most:
                    left = sequence
                    break
                cursor.delete()
                messages.put(KEY.pack(queue.id, queue.nextSequence), record, handle)
                queue.nextSequence += 1
                queue.pushed += 1
                size += bodySize(record)
                count += 1
        queue.bytes += size
        if left is None:
            # There are no more, whatever the row says.
            queue.change(delayed=count, delayedBytes=size)
        queue.delay(-count, -size)
        return count, left
