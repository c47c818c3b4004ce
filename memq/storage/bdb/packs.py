"""Packs: packed records are written at the end of a transaction, and read at heads.

What a packed record is, :mod:`memq.storage.packed` tells.  The first message that a
transaction appends to a queue gets a record of its own when it comes alone, so that a
lone set costs what it did.

Invariant: only the head of a queue without open reads stands within a packed record.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from memq.errors import DamagedMessage
from memq.storage.packed import MOST, MOST_BYTES, PackedRecord, lengthOf, packMessages
from memq.storage.record import KEY, DamagedRecord, bodySize, packRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memq.errors import QueueError
    from memq.message import Message
    from memq.storage.bdb.transaction import Transaction
    from memq.storage.row import Queue
    from memq.storage.undo import UndoLog

_packKey = KEY.pack

#: How many records are kept that heads stand in: some 10 KiB each at most.
OPEN = 64


class Run:
    """Messages in a row that have no records yet."""

    __slots__ = ("first", "messages", "queue", "size")

    def __init__(self, queue: Queue, first: int) -> None:
        self.queue = queue
        self.first = first
        self.size = 0
        self.messages: list[tuple[int, bytes]] = []


class PackWriter:
    """The messages of the transaction under way that are to be packed.

    :ivar least: the least messages that share a record.
    :ivar runs: the messages that :meth:`write` is to write.
    """

    def __init__(self, undo: UndoLog, least: int) -> None:
        """Begin with nothing.

        :param least: the least messages that share a record.
        """
        self._undo = undo
        self.least = least
        self._most = MOST if least <= MOST else 1
        self.runs: list[Run] = []
        self._last: dict[Queue, Run] = {}

    def add(self, queue: Queue, messages: list[tuple[int, bytes]], size: int) -> None:
        """Take messages that get the next numbers of a queue.

        :param size: the bytes of their bodies.
        """
        first = queue.nextSequence
        run = self._last.get(queue)
        if run is None or run.first + len(run.messages) != first:
            if not self.runs:
                self._undo.add((self._forget,))
            run = self._last[queue] = Run(queue, first)
            self.runs.append(run)
        run.messages += messages
        run.size += size

    def _forget(self) -> None:
        self.runs.clear()
        self._last.clear()

    def write(self, table: Any, transaction: Any, now: int) -> None:
        """Put the messages into the table, as few records as may be.

        :param now: milliseconds since 1970-01-01 UTC.
        :raise: Berkeley DB's errors (ERRORS).
        """
        for run in self.runs:
            sequence = run.first
            for messages in self._shares(run):
                sequence += len(messages)
                record = self._record(now, messages)
                table.put(_packKey(run.queue.id, sequence - 1), record, transaction)
        self.runs.clear()
        self._last.clear()

    def _shares(self, run: Run) -> Iterator[list[tuple[int, bytes]]]:
        """Yield the messages of each record."""
        if run.size <= MOST_BYTES and len(run.messages) <= self._most:
            yield run.messages
            return
        some: list[tuple[int, bytes]] = []
        size = 0
        for message in run.messages:
            size += len(message[1])
            if some and (len(some) == self._most or size > MOST_BYTES):
                yield some
                some, size = [], len(message[1])
            some.append(message)
        yield some

    def _record(self, now: int, messages: list[tuple[int, bytes]]) -> bytes:
        if len(messages) < self.least:
            [(flags, body)] = messages
            return packRecord(flags, now, body)
        return packMessages(now, messages)


class OpenPacks:
    """The packed records that heads of queues stand within."""

    def __init__(self, transaction: Transaction, undo: UndoLog) -> None:
        self._transaction = transaction
        self._undo = undo
        #: By the id of their queue.  Any of them can be read again.
        self._packs: dict[int, PackedRecord] = {}

    def enter(self, queue: Queue, last: int, record: bytes) -> bool:
        """Let the head of a queue be within a packed record that was found there.

        :param queue: one that is about to change.
        :param last: the number that the record was found under.
        :return: False when the record is damaged: then it is one damaged message for
            the caller, and the others are counted as taken.
        """
        try:
            pack = PackedRecord(queue.id, last, record)
        except DamagedRecord:
            # One that does not tell counts as one: to believe that there are less
            # messages than there are would lose those.
            with suppress(DamagedRecord):
                gone = max(0, queue.head - (last + 1 - lengthOf(record)))
                queue.taken += lengthOf(record) - gone - 1
            queue.packHead = 0
            return False
        queue.head = queue.packHead = max(queue.head, pack.first)
        if len(self._packs) >= OPEN:
            self._packs.clear()
        self._packs[queue.id] = pack
        # It may have been put by this very transaction.
        self._undo.add((self._packs.pop, queue.id, None))
        return True

    def pop(self, queue: Queue, most: int) -> list[Message | QueueError | None]:
        """Take messages from the record that the head is within, and count them.

        :param queue: one that is about to change.
        :param most: how many at most.
        :return: the messages, none if the record is to be found and entered first; one
            that is damaged is set aside.
        :raise: Berkeley DB's errors (ERRORS).
        """
        pack = self._packs.get(queue.id)
        if pack is None:
            return []
        head, end = queue.head, min(queue.head + most, pack.last + 1)
        messages: list[Message | QueueError | None] = [*pack.messages(head, end)]
        if None in messages:
            for at, (key, record) in enumerate(pack.split(head, end)):
                if messages[at] is None:
                    self._transaction.setAside(key, record)
                    messages[at] = damagedMessage(key, record)
        queue.taken += end - head
        queue.bytes -= pack.bodyBytes(head, end)
        queue.head = queue.packHead = end
        if end > pack.last:
            self._remove(queue, pack)
        return messages

    def _remove(self, queue: Queue, pack: PackedRecord) -> None:
        transaction = self._transaction
        transaction.messages.delete(KEY.pack(queue.id, pack.last), transaction.handle)
        del self._packs[queue.id]
        queue.packHead = 0

    def split(self, queue: Queue) -> None:
        """Give the messages that are left of a record records of their own.

        :param queue: one whose head has entered the record.
        :raise: Berkeley DB's errors (ERRORS).
        """
        pack, transaction = self._packs[queue.id], self._transaction
        self._remove(queue, pack)
        for key, record in pack.split(queue.head, pack.last + 1):
            transaction.messages.put(key, record, transaction.handle)
        transaction.cursorIn = 0


def damagedMessage(key: bytes, record: bytes) -> DamagedMessage:
    """Return the error for a message whose body is damaged, by key and record."""
    why = f"the CRC of a body of {bodySize(record)} bytes is wrong"
    return DamagedMessage(f"message {KEY.unpack(key)[1]} of its queue: {why}")
