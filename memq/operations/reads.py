"""Reads with options: one message is looked for, and may be waited for.

What is read is taken or only looked at; or it is kept open, see
:mod:`memq.operations.openreads`.

A read that may wait and finds nothing raises :class:`WouldBlock`.  The broker then lets
it stand in a line, see :mod:`memq.broker.rotation`, and runs it again when there is
something; what its client sent behind it is not run before.

What holds for the queue, a read asks when it runs.  Before it looks, messages go that
have expired; when those are many it is *unfinished*, raises WouldBlock as well, whether
it may wait or not, and is run again in the next turn.  So are those that wait for the
same queue and come behind it, or they could get what it has made its way to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.errors import QueueError
from memq.message import Message
from memq.operations.base import MESSAGE_COST, Operation
from memq.operations.expiry import expire

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.internet.interfaces import IDelayedCall

    from memq.interfaces import IQueueStore
    from memq.operations.base import Client
    from memq.policy.effective import EffectivePolicy


class WouldBlock(Exception):
    """There is no message for a read yet, and it has time, or is unfinished."""

    def __init__(self, read: Read, cost: int = 0) -> None:
        """Say which, and what it has changed, as ``run`` returns it."""
        super().__init__()
        self.read = read
        self.cost = cost


class Waits:
    """The waits of reads that are asked for together: all begin with the first one."""

    __slots__ = ("_began",)

    def __init__(self) -> None:
        self._began: float | None = None

    def left(self, seconds: float, now: float) -> float:
        """Return how much is left of a wait of so many ``seconds``."""
        if self._began is None:
            self._began = now
        return max(0.0, self._began + seconds - now)


class Read(Operation):
    """Look for one message; the result is that, an error, or None without any.

    :ivar after: what has to succeed before, or this one fails as it did; None for
        nothing.
    :ivar waits: what it shares with others of the same line until it runs; None if it
        is alone.
    :ivar wait: seconds to wait for a message, from when the read is first run.
    :ivar until: when they are over.
    :ivar ticket: tells who came first; None as long as it did not wait.
    :ivar timer: ends the waiting; None while it does not wait.
    :ivar isUnfinished: whether it did not get to the end of what has expired; nor did
        one before it.
    """

    __slots__ = (
        "_moved",
        "after",
        "bytesFreed",
        "isUnfinished",
        "queue",
        "ticket",
        "timer",
        "until",
        "wait",
        "waits",
    )

    outlivesSession = False
    #: Whether others do not find what it found.
    takes = True

    def __init__(self, session: Client, queue: bytes, wait: float = 0.0) -> None:
        super().__init__(session)
        self.bytesFreed = 0
        self.queue = queue
        self.wait = wait
        self.until = 0.0
        self.ticket: int | None = None
        self.timer: IDelayedCall | None = None
        self.isUnfinished = False
        self.after: Operation | None = None
        self.waits: Waits | None = None
        #: The queue that expired messages moved to, and how many.
        self._moved: tuple[bytes, int] | None = None

    @property
    def message(self) -> Message | None:
        """Return what it found, if that is a message."""
        return self.result if type(self.result) is Message else None

    @property
    def isWoken(self) -> bool:
        """Whether it has waited, and was promised a message."""
        return self.ticket is not None and self.timer is None

    @property
    def idleCost(self) -> int:
        """Return what it counts: its message is to be sent."""
        message = self.message
        return MESSAGE_COST + (0 if message is None else len(message.body))

    def run(self, store: IQueueStore) -> int:
        """Look; raise WouldBlock when there is nothing and there is time."""
        session = self.session
        after, waits = self.after, self.waits
        if after is not None and isinstance(after.result, QueueError):
            self.fail(after.result)
            return 0
        if waits is not None:
            self.wait = waits.left(self.wait, session.seconds())
            self.waits = None
        self.bytesFreed = cost = 0
        self.isUnfinished = False
        self._moved = found = None
        if self.wait and self.takes:
            if self.ticket is None and session.isBehind(self.queue):
                raise WouldBlock(self)
            self.isUnfinished = session.isHeldUp(self.queue)
            if self.isUnfinished:
                raise WouldBlock(self)
        policy = self.policy()
        if policy is not None:
            cost = self._expire(store, policy)
        if policy is None or not (self.isUnfinished or policy.readsArePaused):
            found = self.find(store)
        if found is None and (self.wait or self.isUnfinished):
            raise WouldBlock(self, cost)
        self.result = found
        if type(found) is Message:
            session.outstanding.charge(found)
        return cost + self.cost()

    def policy(self) -> EffectivePolicy | None:
        """Return what holds for the queue."""
        policies = self.session.policies
        return policies.of(self.queue) if policies.isActive else None

    def _expire(self, store: IQueueStore, policy: EffectivePolicy) -> int:
        """Let go what has expired; return what that changed."""
        expired = expire(store, self.queue, policy.rule, self.session.policies.now())
        self.bytesFreed = expired.freed
        self.isUnfinished = expired.isMore
        target = policy.rule.expiredTo
        self._moved = None if target is None else (target, expired.messages)
        return expired.cost

    def find(self, store: IQueueStore) -> Message | QueueError | None:
        """Return what there is."""
        raise NotImplementedError

    def cost(self) -> int:
        """Return what ``run`` returns: an error is that of a message set aside."""
        return MESSAGE_COST if isinstance(self.result, QueueError) else 0

    def abandon(self) -> None:
        """Give back the message, for the client is gone."""
        self.unsent()

    def undo(self) -> None:
        """Forget the message as well."""
        message = self.message
        if message is not None:
            self.session.outstanding.refund(message)
        self._moved = None
        self.isUnfinished = False
        super().undo()

    def madeVisible(self) -> Iterable[tuple[bytes, int]]:
        """Let the next one try, if it was to have a message and left it."""
        if self._moved is not None:
            yield self._moved
        if self.isUnfinished:
            # Then it is in line, and whoever is first there goes on.
            yield self.queue, 1
        elif self.isWoken and not (self.takes and self.message is not None):
            yield self.queue, 1

    def seen(self) -> None:
        """Note that the message begins to be sent."""

    def sent(self) -> None:
        """Note that a body in parts was sent to its end."""
        self.unsent()

    def leaves(self) -> None:
        """Note that it was sent to its end, and may not have arrived."""
        self.sent()

    def arrived(self) -> None:
        """Note that the message has arrived."""

    def lost(self) -> None:
        """Note that the message was sent and has not arrived."""

    def damaged(self) -> None:
        """Note that a part of the body is damaged."""
        self.unsent()

    def unsent(self) -> None:
        """Note that the message is not sent: its reader is gone."""
        if self.message is not None:
            self.session.outstanding.refund(self.message)


class Peek(Read):
    """Look at the head of a queue."""

    __slots__ = ()

    takes = False

    def find(self, store: IQueueStore) -> Message | QueueError | None:
        """Look."""
        return store.peek(self.queue)

    def cost(self) -> int:
        """Return 0: nothing is set aside."""
        return 0


class Taken:
    """A message that was taken, and is to be sent."""

    __slots__ = ("_message", "_session", "queue")

    def __init__(self, session: Client, queue: bytes, message: Message) -> None:
        self._session = session
        self.queue = queue
        self._message = message

    def sent(self) -> None:
        """Let the parts of its body go: all were sent."""
        self.leaves()
        self.arrived()

    def leaves(self) -> None:
        """Keep the parts of its body, which may not have arrived."""
        self._session.outstanding.refund(self._message)

    def arrived(self) -> None:
        """Let the parts of its body go, if it has any."""
        if self._message.large is not None:
            self._session.release(self._message.large)

    def lost(self) -> None:
        """Put it back: it was sent, and has not arrived."""
        self._session.putBack(self.queue, self._message)

    def damaged(self) -> None:
        """Keep it out of the way: a part is damaged."""
        self._session.setAside(self._message)

    def unsent(self) -> None:
        """Put it back: its reader is gone."""
        self._session.giveBack(self.queue, self._message)


class Take(Read):
    """Take the head of a queue."""

    __slots__ = ()

    @property
    def results(self) -> list[Message | QueueError | None]:
        """Return the result as that of a Pop."""
        return [self.result]

    def find(self, store: IQueueStore) -> Message | QueueError | None:
        """Take it."""
        return store.pop(self.queue)

    def cost(self) -> int:
        """Return what it changed."""
        message = self.message
        self.bytesFreed += 0 if message is None else message.size
        return 0 if self.result is None else self.idleCost

    def sent(self) -> None:
        """Let the parts go."""
        self._taken().sent()

    def leaves(self) -> None:
        """Keep the parts."""
        self._taken().leaves()

    def arrived(self) -> None:
        """Let the parts go, if there are any."""
        self._taken().arrived()

    def lost(self) -> None:
        """Put it back."""
        self._taken().lost()

    def damaged(self) -> None:
        """Keep it out of the way."""
        self._taken().damaged()

    def unsent(self) -> None:
        """Put it back."""
        if self.message is not None:
            self._taken().unsent()

    def _taken(self) -> Taken:
        assert self.message is not None
        return Taken(self.session, self.queue, self.message)
