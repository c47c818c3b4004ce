"""Moves: messages go to the end of another queue, because an operator says so.

A move takes messages from the head of a queue.  A redrive takes dead letters, wherever
they stand in a queue, and puts each at the end of its first one; messages without an
origin stay where they are, and each is looked at once.  Both are about what is there
when they begin, so that neither goes on for ever beside those who set messages.

Each slice is atomic, so a message is in one of both queues at any moment.  A move never
loses or drops anything: what its target has no room for, or does not take because it is
paused, stays where it is.  The message is a new one there: its age and its deliveries
count from 0, and it has no trace.  Large bodies go with it and are not copied.

A slice is bounded as a look at what has expired is, and there is one in a turn: so
nobody waits for more than that (it puts off its rest, as a read does that is
unfinished).  It ends with its client, and with the server: what has moved until then
has moved.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING

from twisted.logger import Logger

from memq.display import shownName
from memq.errors import NotStored, OutOfSpace, QueueError, Refusing
from memq.message import Message
from memq.operations.base import JOINED, MESSAGE_COST, Slice
from memq.operations.expiry import LOOK_COST, NOTHING, expire, hasExpired, mayExpire
from memq.operations.reads import Search, WouldBlock
from memq.operations.routing import isRoom
from memq.policy.effective import PLAIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from memq.interfaces import IQueueStore
    from memq.operations.base import Client
    from memq.policy.effective import EffectivePolicy

_log = Logger()


class MoveCut(QueueError):
    """The server stops in the middle of a move."""

    def __init__(self, moved: int) -> None:
        """Tell how many messages have moved."""
        super().__init__(moved)
        self.reply = b"SERVER_ERROR the server is stopping, moved %d" % moved


class _Moving(Slice, Search, ABC):
    """Move some messages; the result is how many, an error when that failed.

    :ivar most: how many move at most, in it and its rest.
    :ivar refusal: why messages stay that were to move, None when none do.
    :ivar isCut: whether some may stay because the server stops.
    """

    rest: _Moving | None

    def __init__(self, client: Client, queue: bytes, most: int) -> None:
        """Begin.

        :param most: how many messages move at most.
        """
        super().__init__(client)
        self.queue = queue
        self.most = most
        self._isFirst = True
        #: Whether it is to wait for the next turn.
        self._isEarly = False
        self.bytesFreed = 0
        self.refusal: NotStored | None = None
        self.isCut = False
        self._hasMore = False
        self._cost = 0
        self.expired = NOTHING
        #: How many have moved, by the queue where they are now.
        self._moved: Counter[bytes] = Counter()

    @property
    def hasMore(self) -> bool:
        """Whether something may be left."""
        return self._hasMore and type(self.result) is int

    def run(self, store: IQueueStore) -> int:
        """Move some; raise WouldBlock when another slice was in this turn."""
        self._reset()
        if self._isEarly:
            self._isEarly = False
            raise WouldBlock(self)
        self.result = 0
        if self.isOver or self.client.isStopping:
            self.isCut = True
            return 0
        if self.client.isFull:
            self.fail(OutOfSpace())
            return 0
        self._moveSome(store)
        self.result = self._moved.total()
        self._hasMore = self._hasMore and self.result < self.most
        if self._hasMore:
            self._goOn()
        return self._cost

    def _goOn(self) -> None:
        """Let the rest run next; it is there already when a turn was undone."""
        if self.rest is None:
            self.divide(self._another())
        rest = self.rest
        assert rest is not None
        rest.most = self.most - self.result
        rest._isFirst = False
        rest._isEarly = True

    @abstractmethod
    def _another(self) -> _Moving:
        """Return one that goes on behind this one."""

    @abstractmethod
    def _moveSome(self, store: IQueueStore) -> None:
        """Move messages, and note whether there are more."""

    def _reset(self) -> None:
        self.bytesFreed = self._cost = 0
        self.refusal = None
        self.isCut = self._hasMore = False
        self.expired = NOTHING
        self._moved = Counter()

    def undo(self) -> None:
        """Forget what has moved."""
        super().undo()
        self._reset()

    def _of(self, queue: bytes) -> EffectivePolicy:
        policies = self.client.policies
        return (policies.of(queue) if policies.isActive else None) or PLAIN

    def _refuses(self, store: IQueueStore, queue: bytes, size: int) -> bool:
        """Return whether a queue takes no message of so many bytes now."""
        policy = self._of(queue)
        if policy is PLAIN:
            return False
        if policy.writesArePaused:
            cause = Refusing.PAUSED
        else:
            kept = store.kept(queue)
            if isRoom(policy, kept.items + 1, kept.bytes + size):
                return False
            cause = Refusing.FULL
        self.refusal = NotStored(self.queue, queue, cause)
        return True

    def _put(
        self, store: IQueueStore, queue: bytes, messages: Sequence[Message]
    ) -> None:
        """Append messages that were taken to a queue, in their order."""
        for (isLarge, expires), some in groupby(messages, _kind):
            if isLarge:
                for each in some:
                    assert each.large is not None
                    store.pushLarge(queue, each.flags, each.large, expires=expires)
            else:
                bodies = [(each.flags, each.body) for each in some]
                store.pushAll(queue, bodies, None, expires)
        self._moved[queue] += len(messages)
        self._cost += sum(MESSAGE_COST + len(each.body) for each in messages)

    def madeVisible(self) -> Iterable[tuple[bytes, int]]:
        """Tell where messages are now."""
        yield from self.expired.moved()
        yield from self._moved.items()


def _kind(message: Message) -> tuple[bool, int]:
    """Return what messages share that are appended together."""
    return message.large is not None, message.expires


class Move(_Moving):
    """Move messages from the head of a queue to the end of another one.

    :ivar target: the other one.
    """

    def __init__(self, client: Client, queue: bytes, target: bytes, most: int) -> None:
        """Begin.

        :param target: another queue.
        """
        super().__init__(client, queue, most)
        self.target = target

    def _another(self) -> Move:
        return Move(self.client, self.queue, self.target, self.most)

    def _moveSome(self, store: IQueueStore) -> None:
        rule = self._of(self.queue).rule
        now = self.client.policies.now()
        if self._isFirst:
            self.most = min(self.most, store.kept(self.queue).ready)
        self.expired = expired = expire(store, self.queue, rule, now)
        self._cost, self.bytesFreed = expired.cost, expired.freed
        isBound = mayExpire(rule) or self._of(self.target) is not PLAIN
        while self._cost < LOOK_COST and (left := self.most - self._moved.total()):
            if isBound:
                head = store.peek(self.queue)
                if isinstance(head, Message):
                    if hasExpired(head, rule, now):
                        break
                    if self._refuses(store, self.target, head.size):
                        return
            found = store.popAll(self.queue, 1 if isBound else min(JOINED, left))
            if not found:
                return
            self._put(store, self.target, list(self._whole(found)))
        self._hasMore = True

    def _whole(self, found: Iterable[Message | QueueError | None]) -> Iterator[Message]:
        """Yield messages, and log each that is damaged and is set aside."""
        for each in found:
            if isinstance(each, Message):
                yield each
            else:
                self._cost += MESSAGE_COST
                queue = shownName(self.queue)
                _log.error("In queue {queue}, to move: {why}", queue=queue, why=each)


class Redrive(_Moving):
    """Move dead letters of a queue, each to the end of its first one."""

    def __init__(self, client: Client, queue: bytes, most: int) -> None:
        """Begin."""
        super().__init__(client, queue, most)
        #: The numbers from which on, and before which, there are some.
        self._next = self._end = self._reached = 0

    @property
    def idleCost(self) -> int:
        """Return what it counts: it may have looked at many."""
        return LOOK_COST

    def _another(self) -> Redrive:
        return Redrive(self.client, self.queue, self.most)

    def _moveSome(self, store: IQueueStore) -> None:
        queue = self.queue
        rule = self._of(queue).rule
        now = self.client.policies.now()
        if self._isFirst:
            self._end = store.nextNumber(queue)
        letters, self._reached = store.deadLetters(
            queue, self._next, self._end, LOOK_COST
        )
        for letter in letters:
            assert letter.trace is not None
            origin = letter.trace.origin
            if self._moved.total() == self.most:
                break
            if origin == queue or hasExpired(letter, rule, now):
                continue
            if not self._refuses(store, origin, letter.size):
                store.takeOut(queue, letter)
                self._put(store, origin, [letter])
        self._hasMore = self._reached < self._end

    def _goOn(self) -> None:
        super()._goOn()
        rest = self.rest
        assert isinstance(rest, Redrive)
        rest._next, rest._end = self._reached, self._end
