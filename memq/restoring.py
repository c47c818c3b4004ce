"""RestoringStore: a store into which whole queues are brought back.

A queue is filled where nobody sees it, in as many transactions as it takes, and shown
by one more, with its counts.  Until then a tombstone stands for it, as for a body
whose parts still come: after a crash, the next server removes what is there.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from memq.bdb import BDBStore
from memq.binding import ERRORS
from memq.errors import StoreError
from memq.imemq import QueueCount
from memq.keys import ID, KEY, TOMBSTONE
from memq.message import PART_SIZE, LargeBody, packLarge, packRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memq.catalog import Queue

#: A message to append: flags, time, and the body or where it is.
Item = tuple[int, int, bytes | LargeBody]

#: Parts that one transaction adds.
_PARTS = 16


class RestoringStore(BDBStore):
    """A store whose queues can be filled unseen."""

    def find(self, name: bytes) -> QueueCount | None:
        """Return the counts of a queue, None when there is none of that name."""
        queue = self._catalog.queues.get(name)
        if queue is None:
            return None
        return QueueCount(name, queue.pushed, queue.taken)

    def newQueue(self, name: bytes) -> Queue:
        """Return a queue that nobody sees; durable with the next flush, or gone."""
        queue: Queue = self._transact(lambda: self._newQueue(name))
        return queue

    def _newQueue(self, name: bytes) -> Queue:
        queue = self._catalog.newQueue(name)
        self._entomb(ID.pack(queue.id))
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
        self._transact(lambda: self._append(queue, items))

    def extend(self, name: bytes, items: Sequence[Item]) -> None:
        """Append messages to a queue that is there, or is made, in a transaction."""
        self._transact(lambda: self._append(self._catalog.forPush(name), items))

    def _append(self, queue: Queue, items: Sequence[Item]) -> None:
        sequence = queue.nextSequence
        for flags, time, body in items:
            if isinstance(body, LargeBody):
                record = packLarge(flags, time, body)
                self._exhume(body)
            else:
                record = packRecord(flags, time, body)
            key = KEY.pack(queue.id, sequence)
            self._messages.put(key, record, self._transaction)
            sequence += 1
        queue.nextSequence = sequence
        queue.pushed += len(items)

    def show(self, queue: Queue, pushed: int, taken: int) -> None:
        """Let everybody see a queue that was filled, instead of an empty one, if any.

        :param pushed: messages ever set, as ``stats queue`` will tell.
        :param taken: messages ever taken.
        """
        self._transact(lambda: self._show(queue, pushed, taken))

    def _show(self, queue: Queue, pushed: int, taken: int) -> None:
        tombstone = TOMBSTONE + ID.pack(queue.id)
        self._queues.delete(tombstone, self._transaction)
        queue.pushed, queue.taken = pushed, taken
        self._catalog.show(queue)

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
