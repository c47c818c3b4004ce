"""MemoryStore: the queues in memory, for ``--store=memory`` and for tests.

It keeps the store's contract, transactions included (storetests.py), and forgets
everything when the process ends.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from functools import partial
from itertools import count, islice
from operator import attrgetter
from time import time
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from memq.errors import DamagedMessage
from memq.figures import Outcome
from memq.message import Message
from memq.storage.delays import freeNumber, lastAt
from memq.storage.index import IndexedStore
from memq.storage.maintenance import IMaintainedStore
from memq.storage.openreads import OneByOne

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memq.errors import QueueError
    from memq.message import LargeBody, Trace
    from memq.storage.row import Queue

_sequence = attrgetter("sequence")


@implementer(IMaintainedStore)
class MemoryStore(OneByOne, IndexedStore):
    """Keep every queue in a deque."""

    def __init__(self, seconds: Callable[[], float] = time) -> None:
        super().__init__()
        self.seconds = seconds
        #: When the transaction began, as messages tell it.
        self._now = 0
        #: By id of a queue, and by the id of its delayed messages.
        self._messages: dict[int, deque[Message]] = {}
        #: Those that are read openly, by id of their queue and sequence number.
        self._hidden: dict[int, dict[int, Message]] = {}
        #: For ``sweep`` to free.
        self._deleted: list[deque[Message]] = []
        self.parts: dict[int, list[bytes]] = {}
        self._bodies = count(1)

    def begin(self) -> None:
        """Begin a transaction."""
        self._now = int(self.seconds() * 1000)

    def commit(self) -> None:
        """Keep what was done since ``begin``."""
        for _ in self.index.changes(self._now):
            pass
        self.undo.commit()

    def abort(self) -> None:
        """Undo what was done since ``begin``."""
        self.undo.rollBack()

    def push(self, queue: bytes, flags: int, body: bytes, **rest: Any) -> int:
        """Append a message."""
        return self._append(queue, flags, self._now, body, None, **rest)

    def pushAll(
        self,
        queue: bytes,
        messages: list[tuple[int, bytes]],
        size: int | None = None,
        expires: int = 0,
    ) -> int:
        """Append messages."""
        push = partial(self.push, queue, expires=expires)
        return min(push(flags, body) for flags, body in messages)

    def newBody(self) -> int:
        """Return the next id."""
        return next(self._bodies)

    def addPart(self, body: int, number: int, data: bytes) -> None:
        """Keep a part."""
        parts = self.parts.setdefault(body, [])
        parts[number:] = [data]
        self.undo.add((parts.pop,))

    def pushLarge(self, queue: bytes, flags: int, large: LargeBody, **rest: Any) -> int:
        """Append a message."""
        return self._append(queue, flags, self._now, b"", large, **rest)

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
        """Keep a message among those that are delayed."""
        entry = self.index.forDelay(queue)
        id = entry.rest.delayId
        messages = self._of(id)

        def highest(number: int) -> int:
            place = bisect_right(messages, number, key=_sequence)
            return messages[place - 1].sequence if place else -1

        sequence = freeNumber(due, highest)
        small, large = (body, None) if isinstance(body, bytes) else (b"", body)
        message = Message(
            id, sequence, flags, time or self._now, small, large, expires, trace
        )
        self._insert(message)
        entry.delay(1, message.size)
        self.delays.add(entry, sequence)

    def promoteDue(self, now: int, limit: int) -> list[bytes]:
        """Move messages that are due."""
        return self.delays.promote(
            self.index.forChange, self._promote, lastAt(now), limit
        )

    def _promote(
        self, entry: Queue, first: int, last: int, most: int
    ) -> tuple[int, int | None]:
        """Move delayed messages of a queue to its end; see Delays.promote."""
        messages = self._of(entry.rest.delayId)
        count = size = 0
        while messages and messages[0].sequence <= last and count < most:
            message = self._takeFirst(messages)
            self._append(entry.name, *message[2:])
            count += 1
            size += message.size
        entry.delay(-count, -size)
        return count, messages[0].sequence if messages else None

    def part(self, body: int, number: int) -> bytes:
        """Return a part."""
        parts = self.parts.get(body, [])
        if number >= len(parts):
            raise DamagedMessage(f"part {number} of a large body is not there")
        return parts[number]

    def release(self, body: int) -> None:
        """Forget the parts."""
        self.parts.pop(body, None)

    def _append(
        self,
        queue: bytes,
        flags: int,
        time: int,
        body: bytes,
        large: LargeBody | None,
        expires: int = 0,
        trace: Trace | None = None,
    ) -> int:
        entry = self.index.forPush(queue)
        sequence = entry.nextSequence
        entry.nextSequence = sequence + 1
        messages = self._of(entry.id)
        message = Message(entry.id, sequence, flags, time, body, large, expires, trace)
        messages.append(message)
        entry.pushed += 1
        entry.bytes += message.size
        self.undo.add((messages.pop,))
        return sequence

    def _of(self, id: int) -> deque[Message]:
        return self._messages.setdefault(id, deque())

    def _takeFirst(self, messages: deque[Message]) -> Message:
        message = messages.popleft()
        self.undo.add((messages.appendleft, message))
        return message

    def pop(self, queue: bytes) -> Message | QueueError | None:
        """Take the head."""
        entry = self.index.forPop(queue)
        if entry is None:
            return None
        message = self._takeFirst(self._messages[entry.id])
        entry.taken += 1
        entry.bytes -= message.size
        if entry.reads is not None:
            self.index.readsOf(entry).forgetDeliveries(message.sequence)
        return message

    def popAll(self, queue: bytes, most: int) -> list[Message | QueueError | None]:
        """Take messages from the head."""
        found: list[Message | QueueError | None] = []
        while len(found) < most and (one := self.pop(queue)) is not None:
            found.append(one)
        return found

    def peek(self, queue: bytes) -> Message | QueueError | None:
        """Look at the head."""
        entry = self.index.queues.get(queue)
        if entry is None or not entry.ready:
            return None
        return self._messages[entry.id][0]

    def peekMany(
        self, queue: bytes, first: int, most: int, limit: int
    ) -> tuple[list[Message | QueueError], int | None]:
        """Look at messages from a number on."""
        found: list[Message | QueueError] = []
        for message in self._from(queue, first):
            found.append(message)
            limit -= len(message.body) + 1024
            if limit <= 0 or len(found) == most:
                return found, message.sequence + 1
        return found, None

    def _from(self, queue: bytes, first: int) -> Iterator[Message]:
        entry = self.index.queues.get(queue)
        messages = self._of(0 if entry is None else entry.id)
        return islice(messages, bisect_left(messages, first, key=_sequence), None)

    def deadLetters(
        self, queue: bytes, first: int, end: int, limit: int
    ) -> tuple[list[Message], int]:
        """Look for messages that have an origin."""
        found: list[Message] = []
        for message in self._from(queue, first):
            if message.sequence >= end:
                break
            if limit <= 0:
                return found, message.sequence
            limit -= len(message.body) + 1024
            if message.trace is not None and message.trace.origin:
                found.append(message)
        return found, end

    def takeOut(self, queue: bytes, message: Message) -> None:
        """Take a message out of the middle."""
        entry = self.index.forReturn(queue, message.queueId)
        assert entry is not None
        self._remove(message)
        self.undo.add((self._insertAgain, message))
        entry.taken += 1
        entry.bytes -= message.size
        if entry.reads is not None:
            self.index.readsOf(entry).forgetDeliveries(message.sequence)

    def putBack(self, queue: bytes, message: Message) -> bool:
        """Return a message to its old place."""
        entry = self.index.forReturn(queue, message.queueId)
        if entry is None:
            self._forget(message)
            return False
        self._insert(message)
        entry.taken -= 1
        entry.bytes += message.size
        return True

    def _insert(self, message: Message) -> None:
        self._insertAgain(message)
        self.undo.add((self._remove, message))

    def _insertAgain(self, message: Message) -> None:
        messages = self._of(message.queueId)
        place = bisect_left(messages, message.sequence, key=_sequence)
        messages.insert(place, message)

    def _remove(self, message: Message) -> None:
        messages = self._of(message.queueId)
        del messages[bisect_left(messages, message.sequence, key=_sequence)]

    def openRead(self, queue: bytes) -> Message | QueueError | None:
        """Hide the head."""
        entry = self.index.forRead(queue)
        if entry is None:
            return None
        message = self._takeFirst(self._messages[entry.id])
        self.index.readsOf(entry).hide(message.sequence, message.size)
        self._hide(message)
        self.undo.add((self._show, message))
        return message

    def _hide(self, message: Message) -> None:
        self._hidden.setdefault(message.queueId, {})[message.sequence] = message

    def _show(self, message: Message) -> Message:
        return self._hidden[message.queueId].pop(message.sequence)

    def closeRead(self, queue: bytes, message: Message) -> bool:
        """Take what is hidden."""
        entry = self.index.readBy(queue, message)
        if entry is None:
            return False
        self._takeHidden(entry, message)
        entry.closed += 1
        return True

    def _endRead(self, entry: Queue, message: Message) -> Message:
        """Hide a message no longer; the caller's may have no body any more."""
        self.index.readsOf(entry).show(message.sequence)
        message = self._show(message)
        self.undo.add((self._hide, message))
        return message

    def _takeHidden(self, entry: Queue, message: Message) -> Message:
        self.index.forReturn(entry.name, entry.id)
        message = self._endRead(entry, message)
        self.index.readsOf(entry).forgetDeliveries(message.sequence)
        entry.taken += 1
        entry.bytes -= message.size
        return message

    def popRead(self, queue: bytes, message: Message) -> Message | QueueError | None:
        """Take what is hidden and return it."""
        entry = self.index.readBy(queue, message)
        if entry is None:
            return None
        message = self._takeHidden(entry, message)
        entry.change(returns=entry.rest.returns + 1)
        return message

    def abortRead(self, queue: bytes, message: Message, count: bool) -> bool:
        """Insert what is hidden in its old place."""
        entry = self.index.readBy(queue, message)
        if entry is None:
            return False
        if count:
            self.index.forReturn(queue, entry.id)
            self.index.readsOf(entry).countDelivery(message.sequence)
            entry.change(returns=entry.rest.returns + 1)
        self._insert(self._endRead(entry, message))
        return True

    def discard(self, message: Message) -> None:
        """Forget the parts, once that is committed."""
        self.undo.afterCommit((self._forget, message))

    def setAside(self, message: Message) -> None:
        """Forget it, and count it: nothing in memory is damaged."""
        self._forget(message)
        self.countOutcome(Outcome.DAMAGED)

    def _forget(self, message: Message) -> None:
        if message.large is not None:
            self.release(message.large.id)

    def discardId(self, id: int) -> None:
        """Leave messages to ``sweep``, those that are read openly as well."""
        messages = self._messages.pop(id, deque[Message]())
        hidden = self._hidden.pop(id, {})
        self.undo.add((self._bringBack, id, messages, hidden))
        discarded = [messages, deque(hidden.values())]
        self.undo.afterCommit((self._deleted.extend, discarded))

    def _bringBack(
        self, id: int, messages: deque[Message], hidden: dict[int, Message]
    ) -> None:
        self._messages[id], self._hidden[id] = messages, hidden

    def hasGarbage(self) -> bool:
        """Return whether messages of deleted queues are left."""
        return bool(self._deleted)

    def sweep(self, limit: int) -> bool:
        """Free some messages of deleted queues."""
        while self._deleted and limit > 0:
            messages = self._deleted[0]
            while messages and limit > 0:
                self._forget(messages.popleft())
                limit -= 1
            if not messages:
                del self._deleted[0]
        return bool(self._deleted)

    def _nothing(self) -> Any:
        """Do nothing: memory is neither recovered nor made durable, nor bounded."""

    open = close = flush = checkpoint = checkHome = freeBytes = _nothing

    def _none(self) -> int:
        """Return 0: there is no log, and no disk."""
        return 0

    removeLogs = tidy = logged = bytesOnDisk = _none

    def trickle(self, percent: int) -> int:
        """Write nothing."""
        return 0

    def reserveSpace(self) -> bool:
        """Return True: nothing is reserved."""
        return True
