"""The bulk loader: queues are filled where nobody sees them, and published at once.

To bring in whole queues takes many transactions, and a kill may come between any two.
So messages are put under the id of a queue that has no row yet, which one transaction
publishes, with its counts.  Until then something stands for the id in the table of
queues, so that nothing of it is lost or left for ever, written by the transaction that
gives the id:

- a tombstone, as for a body whose parts still come: after a crash, the next server
  removes what is there (``memq import``);
- or a row of the caller's own, which tells how far it is and to go on with it after a
  crash (taking over from MemcacheQ).

Invariant: each id under which there is a record has a queue's row, a tombstone, or a
caller's row.

What a running server is asked to import comes in transactions of its own, which it may
undo: then the memory is as it was, by the undo log.

Everything here is done by the thread of transactions.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from memq.message import PART_SIZE, LargeBody
from memq.storage.bdb.loading import countBytes
from memq.storage.engine.binding import scan
from memq.storage.record import (
    DELIVERIES,
    DELIVERIES_ROW,
    ID,
    IMPORT,
    KEY,
    bodySize,
    packAny,
    packRecord,
)
from memq.storage.row import Queue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from memq.message import Trace
    from memq.storage.bdb.store import BDBStore
    from memq.storage.row import Rest

#: Parts that one transaction adds.
_PARTS = 16


#: Rows of imports that are kept.
_IMPORTS = 64


class Item(NamedTuple):
    """A message to append.

    :ivar flags: the client's.
    :ivar time: when it was set, milliseconds since 1970-01-01 UTC.
    :ivar body: the body, or where it is.
    :ivar expires: milliseconds since 1970-01-01 UTC, 0 for never.
    :ivar deliveries: how often it was given back.
    :ivar due: when a delayed message is to be seen, as ``expires``; None for others.
    :ivar trace: what became of it before; None for nothing.
    """

    flags: int
    time: int
    body: bytes | LargeBody
    expires: int = 0
    deliveries: int = 0
    due: int | None = None
    trace: Trace | None = None


class BulkLoader:
    """Brings whole queues into a store; each method is a transaction or a part of one.

    :ivar transacting: a context that is a transaction, committed at its end, or undone.
    :ivar translated: a context in which Berkeley DB's errors become the store's.
    :ivar newId: returns an id that nothing has; a row of the caller's is to tell it.
    :ivar discard: lets what is under an id be removed, once that is committed.
    """

    def __init__(self, store: BDBStore) -> None:
        self._store = store
        self._index = store.index
        self._transaction = store.transaction
        self.transacting = store.transaction.run
        self.translated = store.transaction.translated
        self.newId = store.index.newId
        self.discard = store.discardId

    def find(self, name: bytes) -> Queue | None:
        """Return a queue, None when there is none of that name."""
        return self._index.queues.get(name)

    # Each of these is a transaction of its own.

    def newQueue(self, name: bytes) -> Queue:
        """Return a queue that nobody sees; durable with the next flush, or gone."""
        with self.transacting():
            return self.hide(name)

    def addBody(self, body: bytes) -> LargeBody:
        """Keep a large body in parts, for a message that is appended later."""
        id, parts = self._store.newBody(), -(-len(body) // PART_SIZE)
        for first in range(0, parts, _PARTS):
            with self.transacting():
                for number in range(first, min(first + _PARTS, parts)):
                    start = number * PART_SIZE
                    part = body[start : start + PART_SIZE]
                    self._store.addPart(id, number, part)
        return LargeBody(id, len(body), parts)

    def fill(self, queue: Queue, items: Sequence[Item]) -> None:
        """Append messages to a queue that nobody sees."""
        with self.transacting():
            self.putUnseen(queue, items)

    def extend(self, name: bytes, items: Sequence[Item]) -> None:
        """Append messages to a queue that is there, or is made."""
        with self.transacting():
            self.append(name, items)

    def publish(
        self, queue: Queue, pushed: int, taken: int, limit: int = 0, paused: int = 0
    ) -> None:
        """Let everybody see a queue that was filled, instead of an empty one, if any.

        That one's limit and pauses stay, and what it has counted.
        """
        with self.transacting():
            self.show(queue, pushed, taken, limit, paused)

    # These are parts of one.

    def hide(self, name: bytes) -> Queue:
        """Return a queue that nobody sees."""
        queue = self._index.newQueue(name)
        self._transaction.addTombstone(ID.pack(queue.id))
        return queue

    def putUnseen(self, queue: Queue, items: Sequence[Item]) -> dict[int, int]:
        """Append messages to a queue that nobody sees; return as ``_append`` does."""
        self._remember(queue)
        if not queue.rest.delayId and any(item.due is not None for item in items):
            id = self.newId()
            queue.change(delayId=id)
            self._transaction.addTombstone(ID.pack(id))
        return self._append(queue, items)

    def append(self, name: bytes, items: Sequence[Item]) -> None:
        """Append messages to a queue that is there, or is made."""
        isDelayed = any(item.due is not None for item in items)
        find = self._index.forDelay if isDelayed else self._index.forPush
        queue = find(name)
        self._setDeliveries(queue, self._append(queue, items))

    def _setDeliveries(self, queue: Queue, deliveries: dict[int, int]) -> None:
        if deliveries:
            self._index.readsOf(queue).setDeliveries(deliveries)

    def _remember(self, queue: Queue) -> None:
        """Let what is done to a queue that nobody sees be undone."""
        before = queue.nextSequence, queue.pushed, queue.taken, queue.bytes
        self._store.undo.add((_restore, queue, before, queue.closed, queue.rest))

    def _append(self, queue: Queue, items: Sequence[Item]) -> dict[int, int]:
        """Append messages; return how often some were given back, by their numbers."""
        deliveries: dict[int, int] = {}
        for item in items:
            record = packAny(item.flags, item.time, item.body, item.expires, item.trace)
            if isinstance(item.body, LargeBody):
                self._transaction.claim(item.body)
            if item.due is not None:
                self._store.delayed.put(queue, item.due, record)
                continue
            if item.deliveries:
                key = DELIVERIES + KEY.pack(queue.id, queue.nextSequence)
                self.putRow(key, DELIVERIES_ROW.pack(item.deliveries))
                deliveries[queue.nextSequence] = item.deliveries
            self._appendRecord(queue, record)
        return deliveries

    def show(
        self,
        queue: Queue,
        pushed: int,
        taken: int,
        limit: int = 0,
        paused: int = 0,
        deliveries: dict[int, int] | None = None,
    ) -> None:
        """Let everybody see a queue that was filled; see ``publish``.

        :param deliveries: what ``putUnseen`` has returned, of all messages; None where
            the store is closed before anybody asks.
        """
        self._remember(queue)
        queue.pushed, queue.taken = pushed, taken
        rest = queue.rest
        there = self.find(queue.name)
        if there is None:
            queue.change(limit=limit, paused=paused)
        else:
            kept = there.rest._replace(
                delayId=rest.delayId,
                delayed=rest.delayed,
                delayedBytes=rest.delayedBytes,
            )
            queue.setRest(kept)
            queue.closed = there.closed
        for id in filter(None, (queue.id, queue.rest.delayId)):
            self._transaction.removeTombstone(ID.pack(id))
        self._index.show(queue)
        self._setDeliveries(queue, deliveries or {})
        if queue.rest.delayed:
            # It may have been looked for and not found, before it was there.
            self._store.delays.add(queue, 0)
        if there is None:
            # Its messages were set and taken elsewhere.
            self._store.undo.afterCommit((self._index.gone.leaveOut, queue))

    def discardUnseen(self, queue: Queue) -> None:
        """Let a queue go that nobody has seen."""
        self._store.discardId(queue.id)
        if queue.rest.delayId:
            self._store.discardId(queue.rest.delayId)
            self._store.delays.forget(queue)

    def importRow(self, token: bytes) -> bytes | None:
        """Return the row of an import, None if there is none."""
        transaction = self._transaction
        row: bytes | None = transaction.queues.get(
            IMPORT + token, None, transaction.handle
        )
        return row

    def setImportRow(self, token: bytes, row: bytes) -> None:
        """Write the row of an import; forget others where there are many.

        :param row: rows that are less go first.
        """
        if self.importRow(token) is None:
            rows = sorted((row, token) for token, row in self.rows(IMPORT))
            for _, old in rows[: max(0, len(rows) + 1 - _IMPORTS)]:
                self.deleteRow(IMPORT + old)
        self.putRow(IMPORT + token, row)

    # These are parts of one, for callers with rows of their own.

    def put(self, id: int, first: int, items: Iterable[tuple[int, int, bytes]]) -> None:
        """Put messages under an id.

        :param items: of each, how far its number is from the first one, flags and body.
        """
        transaction = self._transaction
        for offset, flags, body in items:
            record = packRecord(flags, transaction.now, body)
            key = KEY.pack(id, first + offset)
            transaction.messages.put(key, record, transaction.handle)

    def publishUnder(self, name: bytes, id: int, pushed: int, taken: int) -> None:
        """Let everybody see what was put under an id, as a queue that is not there.

        :param pushed: messages ever set; also the next message's number.
        """
        transaction = self._transaction
        queue = Queue(name, id, pushed, pushed, taken)
        queue.bytes = countBytes(transaction.messages, id, transaction.handle)
        self._index.show(queue)

    def count(self, name: bytes, taken: int) -> None:
        """Count messages in and out of a queue, which is made if it is not there."""
        queue = self._index.forPush(name)
        queue.pushed += taken
        queue.taken += taken

    def move(self, id: int, name: bytes, limit: int) -> bool:
        """Move messages under an id to the end of a queue, which is made if need be.

        :return: whether there are more.
        """
        transaction = self._transaction
        queue = self._index.forPush(name)
        cursor = transaction.cursor or transaction.openCursor()
        for _, record in scan(cursor, ID.pack(id), ID.pack(id)):
            if limit == 0:
                return True
            cursor.delete()
            self._appendRecord(queue, record)
            limit -= 1
        return False

    def _appendRecord(self, queue: Queue, record: bytes) -> None:
        transaction = self._transaction
        key = KEY.pack(queue.id, queue.nextSequence)
        transaction.messages.put(key, record, transaction.handle)
        queue.nextSequence += 1
        queue.pushed += 1
        queue.bytes += bodySize(record)

    def rows(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows whose keys begin so: the rest of each key, and the row."""
        transaction = self._transaction
        with closing(transaction.queues.cursor(transaction.handle)) as cursor:
            for key, row in scan(cursor, prefix, prefix):
                yield key[len(prefix) :], row

    def putRow(self, key: bytes, row: bytes) -> None:
        """Write a row of the caller's."""
        self._transaction.queues.put(key, row, self._transaction.handle)

    def deleteRow(self, key: bytes) -> None:
        """Remove one that is there."""
        self._transaction.queues.delete(key, self._transaction.handle)


def _restore(
    queue: Queue, before: tuple[int, int, int, int], closed: int, rest: Rest
) -> None:
    """Make a queue that nobody sees as it was."""
    queue.nextSequence, queue.pushed, queue.taken, queue.bytes = before
    queue.closed = closed
    queue.setRest(rest)
