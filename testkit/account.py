"""The account of one queue: what was sent, given out and deleted, and what may be.

See :mod:`testkit.ledger`, which has one for each queue.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple


class Name(NamedTuple):
    """Which message one is."""

    producer: int
    number: int


class Set:
    """A set that was sent.

    :ivar storedAt: when that was told; 0 until then.
    :ivar unsure: whether a delete was under way with it.
    """

    __slots__ = ("name", "queue", "sentAt", "storedAt", "unsure")

    def __init__(self, queue: bytes, name: Name, sentAt: int) -> None:
        self.queue = queue
        self.name = name
        self.sentAt = sentAt
        self.storedAt = 0
        self.unsure = False


class Get(NamedTuple):
    """A get that was sent.

    :ivar floors: for each producer, the last number that had been given out by then;
        the same object for gets that were sent together, one behind the other.
    """

    queue: bytes
    sentAt: int
    floors: dict[int, int]


class Delete(NamedTuple):
    """A delete that was sent.

    :ivar pushed: how many messages had surely been set by then.
    :ivar taken: and taken.
    """

    queue: bytes
    sentAt: int
    pushed: int
    taken: int


class Count:
    """Between what and what one of a queue's counts must be.

    :ivar sure: how many surely happened.
    :ivar kept: of these, how many surely after the last delete that was answered.
    """

    def __init__(self) -> None:
        self.sure = 0
        self.kept = 0
        #: All that were sent, and how many were surely before the last delete.
        self._sent = 0
        self._before = 0
        #: When the last delete was answered.
        self._since = 0

    @property
    def most(self) -> int:
        """The most that it can be."""
        return self._sent - self._before

    def begin(self) -> None:
        """Note what is sent."""
        self._sent += 1

    def withdraw(self) -> None:
        """Note that something that was sent does not count."""
        self._sent -= 1

    def happened(self, sentAt: int) -> None:
        """Note that something happened that was sent then."""
        self.sure += 1
        self.kept += sentAt > self._since

    def deleted(self, before: int, now: int) -> None:
        """Note that it began anew, after so many of those that surely happened."""
        self._before = max(self._before, before)
        self.kept = 0
        self._since = now

    def isDeleted(self, before: int, value: int) -> bool:
        """Return whether a delete without an answer may have happened."""
        return value <= self._sent - before

    def know(self, value: int, now: int) -> None:
        """Note what it is; nothing is under way."""
        self.kept = self._sent = self.sure = value
        self._before = 0
        self._since = now


class Account:
    """The known state of a queue."""

    def __init__(self) -> None:
        self.pushed = Count()
        self.taken = Count()
        #: Messages that were sent and not given out yet.
        self.waiting: dict[Name, Set] = {}
        #: Messages that were deleted, and when that was told.
        self.dead: dict[Name, int] = {}
        #: For each producer, the last number given out, or surely deleted.
        self.floors: dict[int, int] = {}
        #: For each producer, the first number given out since the last start.
        self.first: dict[int, int] = {}
        #: Those that were not answered.
        self.deletes: set[Delete] = set()
        #: How many were taken by gets that were never answered.
        self.gone = 0
        #: How many may come back to their old place, and whether any might have.
        self.returning = 0
        self.isCut = False

    def kill(self, delete: Delete, now: int) -> None:
        """Note what is deleted for sure, and what may be."""
        for name, message in list(self.waiting.items()):
            if 0 < message.storedAt < delete.sentAt:
                del self.waiting[name]
                self.dead[name] = now
                _raise(self.floors, name)
            else:
                message.unsure = True

    def take(self, get: Get, name: Name) -> str | None:
        """Note that a message was given out; return what is wrong with that."""
        if not self.waiting.pop(name, None):
            diedAt = self.dead.pop(name, 0)
            if diedAt < get.sentAt:
                return "which was given out or deleted before, or lost, or never set"
        late = name.number <= get.floors.get(name.producer, -1)
        _raise(self.floors, name)
        _raise(get.floors, name)
        first = self.first.get(name.producer, name.number)
        self.first[name.producer] = min(first, name.number)
        if late and not self.returning:
            return f"after number {get.floors[name.producer]}"
        self.returning -= late
        return None

    def settle(self, pushed: int, taken: int, now: int) -> list[str]:
        """Note what the counts are when nothing is under way; return what is wrong."""
        rules = [("set", self.pushed, pushed), ("taken", self.taken, taken)]
        isDeleted = any(self.pushed.isDeleted(d.pushed, pushed) for d in self.deletes)
        self.deletes.clear()
        if isDeleted:
            for message in self.waiting.values():
                message.unsure = True
        wrong = []
        for words, rule, value in rules:
            least = 0 if isDeleted else rule.kept
            if not least <= value <= rule.most:
                wrong.append(f"{value} {words}, not {least} to {rule.most}")
        self.gone += max(0, taken - (0 if isDeleted else self.taken.kept))
        for _, rule, value in rules:
            rule.know(value, now)
        self.dead.clear()
        self.first.clear()
        return wrong

    def lost(self) -> list[Name]:
        """Return what was STORED, and is not there when nothing else is."""
        waiting = self.waiting.values()
        return [m.name for m in waiting if m.storedAt and not m.unsure]

    def isGap(self, name: Name) -> bool:
        """Return whether no get can have taken a message: an older one was there."""
        return not self.isCut and name.number > self.first.get(name.producer, inf)

    def empty(self) -> None:
        """Forget what was in the queue."""
        self.waiting.clear()
        self.floors.clear()
        self.gone = self.returning = 0
        self.isCut = False


def _raise(floors: dict[int, int], name: Name) -> None:
    floors[name.producer] = max(name.number, floors.get(name.producer, -1))
