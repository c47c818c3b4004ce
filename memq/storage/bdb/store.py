"""BDBStore: the queues in tables of Berkeley DB.

Theory of operation
===================

Everything lies in one transactional environment in HOME/memq/:

- ``messages``, a BTREE: key = id of the queue (u32) and sequence number (u64),
  both big-endian, so that a queue's messages stand together in their order;
  value = a record, see :mod:`memq.message`.  Large bodies are kept in parts,
  as if in a queue with the id 0: key = 0 (u32), id of the body (u64), number of
  the part (u32).  When little is left in a large file, it moves to another one,
  ``messages.1`` and so on, see :mod:`memq.storage.bdb.compaction`.
- ``queues``, a BTREE: key = name of the queue, value = its row, see
  :mod:`memq.storage.row`.  Names have no byte below 0x21; the keys that begin with
  a zero byte are the store's own: the id counter, tombstones, damaged
  records set aside, how often messages were given back, and the row that names
  the file of the messages.
- ``log.*``, Berkeley DB's write-ahead log, and ``safe``, the marker, see
  :mod:`memq.storage.engine.environment`.

One thread runs all transactions, one at a time, so Berkeley DB keeps no locks:
what the other threads do to pages and the log is guarded by its latches.
A commit leaves its records in the log buffer (with no-sync: hands them to the
operating system); ``flush`` writes and syncs the log.  Rows are written by the
commit, once a queue, so counts are exact after any crash: they are in the same
transaction as the messages they count.

How the head of a queue is found, with messages that are read openly before it, is told
in :mod:`memq.storage.bdb.heads`, what a transaction changes in
:mod:`memq.storage.bdb.transaction`.

Delayed messages stand in the table of messages under an id of their own for each queue,
by the time when they are due (:mod:`memq.storage.delays`); ``promoteDue`` moves them.

Deleting a queue removes its row and writes a tombstone; ``sweep`` removes the messages
in small transactions, see :mod:`memq.storage.bdb.tombstones`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from memq.errors import DamagedMessage
from memq.interfaces import IQueueStore
from memq.message import (
    DamagedRecord,
    bodySize,
    packAny,
    packExpiring,
    packLarge,
    packMessage,
    packPart,
    packRecord,
    unpackPart,
)
from memq.storage.bdb.delayed import moveRipe, putDelayed
from memq.storage.bdb.heads import Heads
from memq.storage.delays import lastAt
from memq.storage.engine.binding import ERRORS
from memq.storage.keys import DAMAGED as _DAMAGED
from memq.storage.keys import ID as _ID
from memq.storage.keys import KEY as _KEY
from memq.storage.keys import PART as _PART

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memq.interfaces import QueueDetail
    from memq.message import LargeBody, Message
    from memq.storage.row import Queue

_packKey = _KEY.pack


@implementer(IQueueStore)
class BDBStore(Heads):
    """Keep all queues in one Berkeley DB environment."""

    def push(self, queue: bytes, flags: int, body: bytes, *, expires: int = 0) -> int:
        """Append a message."""
        size = len(body)
        return self.pushAll(queue, [(flags, body)], size=size, expires=expires)

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
        entry = self._index.forPush(queue)
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
                self._addTombstone(_packKey(0, body))
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
        self._removeTombstone(large)
        return sequence

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
        self._tombstones.release(_packKey(0, body))

    def discard(self, message: Message) -> None:
        """Leave the parts to ``sweep``, once that is committed."""
        if message.large is not None:
            self._deletedInTransaction.append(_packKey(0, message.large.id))

    def setAside(self, message: Message) -> None:
        """Keep the record by itself, and its parts for good."""
        assert message.large is not None
        key = _DAMAGED + _packKey(message.queueId, message.sequence)
        self._removeTombstone(message.large)
        try:
            self._queues.put(key, packMessage(message), self._transaction)
        except ERRORS as error:
            raise self._environment.error(error) from error

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
        entry = self._index.forDelay(queue)
        self._putDelayed(entry, due, packAny(flags, self._now, body, expires))
        if not isinstance(body, bytes):
            self._removeTombstone(body)

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

    def promoteDue(self, now: int, limit: int) -> list[bytes]:
        """Move messages that are due."""
        ripe: list[bytes] = []
        last = lastAt(now)
        try:
            while len(ripe) < limit and (next := self._delays.take(last)) is not None:
                entry, first = next
                self._index.forChange(entry.name)
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

    def delete(self, queue: bytes) -> bool:
        """Write tombstones; the commit removes the row."""
        entry = self._index.remove(queue)
        if entry is None:
            return False
        self._discardAll(entry)
        return True

    def empty(self, queue: bytes) -> int:
        """Write tombstones for the ids that the queue had."""
        entry = self._index.empty(queue)
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
            self._addTombstone(prefix)
        except ERRORS as error:
            raise self._environment.error(error) from error
        self._deletedInTransaction.append(prefix)

    def hasGarbage(self) -> bool:
        """Return whether something is to be removed, or to be moved."""
        assert self._rotation is not None
        return bool(self._deleted) or self._rotation.step is not None

    def sweep(self, limit: int) -> bool:
        """Remove some of what was deleted first; move messages when that is gone."""
        assert self._rotation is not None
        step = self._removeSome if self._deleted else self._rotation.step
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
        return self.hasGarbage()

    def _removeSome(self, transaction: Any, limit: int) -> Callable[[], object]:
        return self._tombstones.removeSome(
            self._messages, self._queues, transaction, limit
        )

    def details(
        self, wanted: Callable[[bytes], bool] | None = None
    ) -> Iterator[QueueDetail]:
        """Yield every queue's details, sorted by name."""
        return self._index.details(self.peek, wanted)

    def detail(self, queue: bytes) -> QueueDetail | None:
        """Return a queue's details."""
        return self._index.detail(self.peek, queue)

    def status(self) -> dict[str, int]:
        """Return the queues, and what is set aside or still to be removed."""
        return super().status() | self._removals()

    def figures(self) -> dict[str, int]:
        """Return the same but the messages."""
        return super().figures() | self._removals()

    def _removals(self) -> dict[str, int]:
        return {"queues_being_removed": self._tombstones.queues}
