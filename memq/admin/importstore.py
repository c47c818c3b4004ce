"""RestoringStore: a store into which whole queues are brought back.

A queue is filled where nobody sees it, in as many transactions as it takes, and shown
by one more, with its counts.  Until then a tombstone stands for it, as for a body
whose parts still come: after a crash, the next server removes what is there.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.errors import StoreError
from memq.message import PART_SIZE, LargeBody, bodySize, packAny
from memq.storage.bdb.store import BDBStore
from memq.storage.engine.binding import ERRORS
from memq.storage.keys import DELIVERIES, DELIVERIES_ROW, ID, KEY, TOMBSTONE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memq.storage.row import Queue


class Item(NamedTuple):
    """A message to append.

    :ivar flags: the client's.
    :ivar time: when it was set, milliseconds since 1970-01-01 UTC.
    :ivar body: the body, or where it is.
    :ivar expires: milliseconds since 1970-01-01 UTC, 0 for never.
    :ivar deliveries: how often it was given back.
    :ivar due: when a delayed message is to be seen, as ``expires``; None for others.
    """

    flags: int
    time: int
    body: bytes | LargeBody
    expires: int = 0
    deliveries: int = 0
    due: int | None = None


#: Parts that one transaction adds.
_PARTS = 16


class RestoringStore(BDBStore):
    """A store whose queues can be filled unseen."""

    def find(self, name: bytes) -> Queue | None:
        """Return a queue, None when there is none of that name."""
        return self._index.queues.get(name)

    def newQueue(self, name: bytes) -> Queue:
        """Return a queue that nobody sees; durable with the next flush, or gone."""
        queue: Queue = self._transact(lambda: self._newQueue(name))
        return queue

    def _newQueue(self, name: bytes) -> Queue:
        queue = self._index.newQueue(name)
        self._addTombstone(ID.pack(queue.id))
        return queue

    def addBody(self, body: bytes) -> LargeBody:
        """Keep a large body in parts, for a message that is appended later."""
        id, parts = self.newBody(), -(-len(body) // PART_SIZE)
        for first in range(0, parts, _PARTS):
            numbers = range(first, min(first + _PARTS, parts))
            self._transact(partial(self._addParts, id, numbers, body))
        return LargeBody(id, len(body), parts)

    def _addParts(self, id: int, numbers: range, body: bytes) -> None:
        for number in numbers:
            start = number * PART_SIZE
            self.addPart(id, number, body[start : start + PART_SIZE])

    def fill(self, queue: Queue, items: Sequence[Item]) -> None:
        """Append messages to a queue that nobody sees, in a transaction."""
        self._transact(lambda: self._fill(queue, items))

    def _fill(self, queue: Queue, items: Sequence[Item]) -> None:
        if not queue.rest.delayId and any(item.due is not None for item in items):
            id = self._index.newId()
            queue.change(delayId=id)
            self._addTombstone(ID.pack(id))
        self._take(queue, items)

    def extend(self, name: bytes, items: Sequence[Item]) -> None:
        """Append messages to a queue that is there, or is made, in a transaction."""
        self._transact(lambda: self._extend(name, items))

    def _extend(self, name: bytes, items: Sequence[Item]) -> None:
        self._index.forPush(name)
        if any(item.due is not None for item in items):
            self._index.forDelay(name)
        self._take(self._index.queues[name], items)

    def _take(self, queue: Queue, items: Sequence[Item]) -> None:
        for item in items:
            record = packAny(item.flags, item.time, item.body, item.expires)
            if isinstance(item.body, LargeBody):
                self._removeTombstone(item.body)
            if item.due is not None:
                self._putDelayed(queue, item.due, record)
                continue
            key = KEY.pack(queue.id, queue.nextSequence)
            self._messages.put(key, record, self._transaction)
            if item.deliveries:
                deliveries = DELIVERIES_ROW.pack(item.deliveries)
                self._queues.put(DELIVERIES + key, deliveries, self._transaction)
            queue.nextSequence += 1
            queue.pushed += 1
            queue.bytes += bodySize(record)

    def show(
        self,
        queue: Queue,
        pushed: int,
        taken: int,
        limit: int = 0,
        paused: int = 0,
    ) -> None:
        """Let everybody see a queue that was filled, instead of an empty one, if any.

        That one's limit and pauses stay, and what it has counted.

        :param pushed: messages ever set, as ``stats queue`` will tell.
        :param taken: messages ever taken.
        :param limit: the most messages that may wait, 0 for any number.
        :param paused: what is paused: 1 reads, 2 writes, 3 both.
        """
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
        self._transact(lambda: self._show(queue))

    def _show(self, queue: Queue) -> None:
        for id in (queue.id, queue.rest.delayId):
            if id:
                self._queues.delete(TOMBSTONE + ID.pack(id), self._transaction)
        self._index.show(queue)

    def _transact(self, work: Callable[[], Any]) -> Any:
        """Do something in a transaction, and return what it returned.

        :raise memq.errors.StoreError: when it was undone instead.
        """
        self.begin()
        try:
            result = work()
        except (*ERRORS, StoreError) as error:
            self.abort()
            if isinstance(error, StoreError):
                raise
            raise self._environment.error(error) from error
        self.commit()
        return result
