"""Packs: packed records in the transaction under way (:mod:`memq.storage.packed`).

The first message that a transaction appends to a queue has a record of its own when it
comes alone, so that a lone set costs what it did.

Invariant: only the head of a queue without open reads is within a packed record.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from memq.errors import DamagedMessage
from memq.storage.packed import (
    FIELDS,
    MOST,
    ON_PAGE,
    PAGE,
    Pack,
    lengthOf,
    packMessages,
    unpackMessages,
)
from memq.storage.record import (
    KEY,
    DamagedRecord,
    bodySize,
    packMessage,
    packRecord,
)

if TYPE_CHECKING:
    from memq.message import Message
    from memq.storage.row import Queue
    from memq.storage.undo import UndoLog

#: How many records are kept in memory that heads are within.
KEPT = 64

_packKey = KEY.pack


class Packs:
    """Messages that are to be packed, and the packed records that heads are within.

    :ivar least: the least messages that share a record.
    :ivar runs: by queue, the first number and the messages that have no record yet.
    """

    def __init__(self, transaction: Any, undo: UndoLog, least: int) -> None:
        # A Transaction, which is built on this.
        self._transaction = transaction
        self._undo = undo
        self.least = least
        self._most = MOST if least <= MOST else 1
        self.runs: dict[Queue, tuple[int, list[tuple[int, bytes]]]] = {}
        #: By the id of their queue.  Any of them can be read again.
        self._kept: dict[int, tuple[Pack, bytes]] = {}

    def add(self, queue: Queue, messages: list[tuple[int, bytes]]) -> None:
        """Take messages that get the next numbers of a queue."""
        first, run = self.runs.get(queue, (queue.nextSequence, None))
        if run is not None and first + len(run) != queue.nextSequence:
            self.write()
            run = None
        if run is None:
            if not self.runs:
                self._undo.add((self.runs.clear,))
            self.runs[queue] = queue.nextSequence, messages.copy()
        else:
            run += messages

    def write(self) -> None:
        """Put what was added, before anything of it is read.

        :raise: Berkeley DB's errors (ERRORS).
        """
        transaction = self._transaction
        for queue, (first, run) in self.runs.items():
            size = sum([len(body) for _, body in run])
            start = 0
            while start < len(run):
                some = run[
                    start : start + self._share(len(run) - start, size / len(run))
                ]
                if len(some) < self.least:
                    [(flags, body)] = some
                    record = packRecord(flags, transaction.now, body)
                else:
                    record = packMessages(transaction.now, some)
                start += len(some)
                key = _packKey(queue.id, first + start - 1)
                transaction.messages.put(key, record, transaction.handle)
        self.runs.clear()

    def _share(self, count: int, size: float) -> int:
        """Return how many of some messages are to share the next record.

        :param size: the bytes of a body, on average.
        """
        each = size + FIELDS
        pages = count * each / PAGE
        room = 2 * PAGE if pages >= 1.5 else PAGE if pages >= 0.75 else ON_PAGE
        return max(1, min(self._most, int(room // each)))

    def enter(self, queue: Queue, key: bytes, record: bytes) -> None:
        """Let the head of a queue be within a packed record that was found there.

        :param queue: one that is about to change.
        :raise memq.errors.DamagedMessage: it is damaged, and set aside as one message.
        """
        last: int = KEY.unpack(key)[1]
        try:
            pack = unpackMessages(queue.id, last, record)
        except DamagedRecord as error:
            self._setAside(queue, key, record)
            raise damaged(key, error) from None
        queue.head = queue.packHead = max(queue.head, pack.first)
        if len(self._kept) >= KEPT:
            self._kept.clear()
        self._kept[queue.id] = pack, key
        # It may have been put by this very transaction.
        self._undo.add((self._kept.pop, queue.id, None))

    def _setAside(self, queue: Queue, key: bytes, record: bytes) -> None:
        transaction = self._transaction
        transaction.setAside(key, record)
        transaction.messages.delete(key, transaction.handle)
        transaction.cursorIn = 0
        end = KEY.unpack(key)[1] + 1
        count = 1
        # To believe in fewer messages than there are would lose others.
        with suppress(DamagedRecord):
            count = end - max(queue.head, end - lengthOf(record))
        queue.taken += count
        queue.bytes = max(0, queue.bytes - bodySize(record))
        queue.head, queue.packHead = end, 0

    def pop(self, queue: Queue, most: int) -> list[Any]:
        """Take messages from the record that the head is within, and count them.

        :param queue: one that is about to change.
        :return: none when the record is to be found again and entered; an error for
            each that is damaged, which is set aside.
        :raise: Berkeley DB's errors (ERRORS).
        """
        kept = self._kept.get(queue.id)
        if kept is None:
            return []
        pack = kept[0]
        start = queue.head - pack.first
        messages: list[Any] = pack.messages[start : start + most]
        count = len(messages)
        if bytes in map(type, messages):
            for at, each in enumerate(messages):
                if type(each) is bytes:
                    key = _packKey(queue.id, queue.head + at)
                    self._transaction.setAside(key, each)
                    messages[at] = damaged(key, "the CRC of its body is wrong")
        queue.taken += count
        left = queue.bytes - pack.ends[start + count] + pack.ends[start]
        queue.bytes = left if left > 0 else 0
        queue.head = queue.packHead = queue.head + count
        if start + count == len(pack.messages):
            self._leave(queue)
        return messages

    def _leave(self, queue: Queue) -> None:
        key = self._kept.pop(queue.id)[1]
        self._transaction.messages.delete(key, self._transaction.handle)
        queue.packHead = 0

    def split(self, queue: Queue) -> list[Message | bytes]:
        """Give what is left of a record that was entered records of their own.

        :return: each message, or its record where its body is damaged.
        :raise: Berkeley DB's errors (ERRORS).
        """
        pack = self._kept[queue.id][0]
        left = pack.messages[queue.head - pack.first :]
        self._leave(queue)
        transaction = self._transaction
        # The cost of a turn does not tell that it logs all of these.
        transaction.lookAgain()
        for sequence, each in enumerate(left, queue.head):
            record = each if isinstance(each, bytes) else packMessage(each)
            key = _packKey(queue.id, sequence)
            transaction.messages.put(key, record, transaction.handle)
        transaction.cursorIn = 0
        return left


def damaged(key: bytes, why: object) -> DamagedMessage:
    """Return the error for what stands under a key."""
    return DamagedMessage(f"message {KEY.unpack(key)[1]} of its queue: {why}")
