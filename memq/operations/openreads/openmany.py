"""Open many messages of a queue in one go: one operation for some dozens of them.

It never waits for a message.  What an operation costs besides the store's work is paid
once for them all; each is an open read like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.errors import QueueError
from memq.message import Message
from memq.operations.base import MESSAGE_COST, Slice
from memq.operations.expiry import NOTHING, expire, hasExpired, mayExpire
from memq.operations.openreads import openread
from memq.operations.openreads.opened import Opened
from memq.operations.reads import Search, WouldBlock
from memq.policy.effective import PLAIN
from memq.policy.rule import MOST_OPEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memq.interfaces import IQueueStore
    from memq.operations.base import Client, Operation
    from memq.operations.expiry import Expired
    from memq.policy.effective import EffectivePolicy

#: Messages that are opened in one go, and bytes of their bodies at which that ends: as
#: much as a session's share of a turn.
OPENED_AT_ONCE, OPENED_BYTES = 64, 64 * 1024


class OpenMany(Slice, Search):
    """Open messages, up to ``most``; the result is an error, or None.

    It ends before where there are no more, or the connection has as many open as it
    may.

    :ivar most: how many.
    :ivar opened: what it opened, in order; only the last may have a body in parts.
    """

    rest: OpenMany | None

    def __init__(self, client: Client, queue: bytes, most: int) -> None:
        super().__init__(client)
        self.queue = queue
        self.most = most
        self.bytesFreed = 0
        self.expired: Expired = NOTHING
        self.opened: list[Opened] = []
        self._undo: list[Callable[[], None]] = []
        self._size = 0
        #: Whether it has met the end.
        self._isShort = False

    @property
    def hasMore(self) -> bool:
        """Whether something may be left."""
        return not self._isShort and len(self.opened) < self.most

    @property
    def isShort(self) -> bool:
        """Whether it has met the end, or an error, before ``most``."""
        return self._isShort

    @property
    def idleCost(self) -> int:
        """Return what it counts: its messages are to be sent."""
        return MESSAGE_COST * max(1, len(self.opened)) + self._size

    def run(self, store: IQueueStore) -> int:
        """Open some; raise WouldBlock when what has expired takes another turn."""
        if self.isOver:
            return 0
        policy = self.policy()
        room = self.room(policy or PLAIN)
        most = min(room, self.most, OPENED_AT_ONCE)
        self._isShort = room <= 0
        while len(self.opened) < most and self._size < OPENED_BYTES:
            now = self.client.policies.now()
            if policy is not None and not self._lookAt(store, policy, now):
                break
            left = most - len(self.opened), OPENED_BYTES - self._size
            found = store.openAll(self.queue, *left)
            if policy is not None:
                found = self._unexpired(store, policy, found, now)
            if not self._openAll(found, policy or PLAIN):
                break
        self._goOn()
        self.bytesFreed = self.expired.freed
        failed = isinstance(self.result, QueueError)
        return self.expired.cost + MESSAGE_COST * failed

    def room(self, policy: EffectivePolicy) -> int:
        """Return how many the client may open, 0 while the queue is paused."""
        client, most = self.client, policy.rule.maxOpen
        room = MOST_OPEN - client.openReads
        if policy.readsArePaused:
            return 0
        return min(room, most - len(client.opened(self.queue))) if most else room

    def _lookAt(self, store: IQueueStore, policy: EffectivePolicy, now: int) -> bool:
        """Let go what has expired; return whether the head may be opened."""
        found = expire(store, self.queue, policy.rule, now)
        self.expired = self.expired.plus(found)
        if found.isMore and not self.opened:
            raise WouldBlock(self, found.cost)
        return not found.isMore

    def _unexpired(
        self,
        store: IQueueStore,
        policy: EffectivePolicy,
        found: list[Message | QueueError],
        now: int,
    ) -> list[Message | QueueError]:
        """Return what the store has hidden, up to the first that has expired.

        That one and those behind it are shown again, to be looked at.
        """
        rule = policy.rule
        messages = [each for each in found if isinstance(each, Message)]
        if not mayExpire(rule):
            return found
        ages = (at for at, each in enumerate(messages) if hasExpired(each, rule, now))
        place = next(ages, None)
        if place is None:
            return found
        for message in reversed(messages[place:]):
            store.abortRead(self.queue, message, False)
        # An error is the last one, and is told.
        return [*messages[:place], *found[len(messages) :]]

    def _openAll(
        self, found: list[Message | QueueError], policy: EffectivePolicy
    ) -> bool:
        """Open what the store has hidden; return whether to look for more now."""
        client, seconds = self.client, policy.rule.openSeconds
        for message in found:
            if not isinstance(message, Message):
                self.result = message
                break
            opened = Opened(client, self.queue, message, seconds)
            self._undo.append(opened.begin())
            self.opened.append(opened)
            self._size += message.size
            client.outstanding.charge(message)
        self._isShort = not found or self.result is not None
        return not self._isShort and self.opened[-1].message.large is None

    def _goOn(self) -> None:
        """Leave what is left to the rest, which may be there from an earlier run."""
        left = self.most - len(self.opened)
        if self.rest is not None:
            self.rest.most = left
        elif self.hasMore:
            self.divide(OpenMany(self.client, self.queue, left))

    def split(self) -> Iterator[Operation]:
        """Yield an operation for each message, and take over what came of it."""
        if self.isOver or self.policy() is not None:
            # It may have to go on in another turn.
            yield self
            return
        for _ in range(min(self.most, OPENED_AT_ONCE)):
            one = OpenMany(self.client, self.queue, 1)
            yield one
            self.opened += one.opened
            self._undo += one._undo
            self._size += one._size
            self.result = one.result
            self._isShort = not one.opened
            if self._isShort:
                break
        self._goOn()

    def reads(self) -> Iterator[openread.OpenRead]:
        """Yield an open read that is done for each, which can be sent by itself."""
        for opened in self.opened:
            yield openread.OpenRead.of(opened)

    def undo(self) -> None:
        """Forget what it opened."""
        super().undo()
        self.abandon()
        while self._undo:
            self._undo.pop()()
        self.opened = []
        self.expired = NOTHING
        self._size = 0
        self._isShort = False

    def fail(self, error: QueueError) -> None:
        """Note that none could be opened."""
        super().fail(error)
        self._isShort = True

    def abandon(self) -> None:
        """Send none of them: the client is gone, and they go back with all it has."""
        for opened in self.opened:
            self.client.outstanding.refund(opened.message)
