"""Reads with options: each looks for one message, and may wait for it.

A read takes the message or only looks at it; :mod:`memq.operations.openreads` keeps it.

A read that may wait and finds nothing raises :class:`WouldBlock`.  The broker then lets
it stand in a line, see :mod:`memq.broker.rotation`, and runs it again when there is
something; what its client sent behind it is not run before.

Each asks for the policy of its queue when it runs.  Before it looks, messages go that
have expired; when those are many it is *unfinished*, raises WouldBlock as well, whether
it may wait or not, and is run again in the next turn.  So are those that wait for the
same queue and come behind it, or they could get what it has made its way to.

First come, first served: a read that may wait and takes something does not look while
somebody is before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.errors import QueueError
from memq.message import Message
from memq.operations.base import MESSAGE_COST, Operation, Spent
from memq.operations.expiry import NOTHING, expire, secondsLeft
from memq.wire.forms import Details

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from weakref import ref

    from twisted.internet.interfaces import IDelayedCall

    from memq.interfaces import IQueueStore
    from memq.operations.base import Client
    from memq.operations.expiry import Expired
    from memq.policy.effective import EffectivePolicy, Policies


class WouldBlock(Exception):
    """There is no message for a read yet, and it has time, or is unfinished."""

    def __init__(self, read: Search, cost: int = 0) -> None:
        """Say which, and what it has changed, as ``run`` returns it."""
        super().__init__()
        self.read = read
        self.cost = cost


class Search(Operation):
    """Look for messages at the head of a queue, behind those that have expired.

    :ivar wait: seconds to wait for a message, from when it is first run.
    :ivar expired: what has expired before the message.
    """

    __slots__ = ("bytesFreed", "expired", "queue")

    outlivesSession = False
    wait = 0.0

    queue: bytes
    bytesFreed: int
    expired: Expired

    @property
    def isUnfinished(self) -> bool:
        """Whether it did not get to the end of what has expired."""
        return self.expired.isMore

    def places(self) -> Iterable[tuple[bytes, int | None, bool]]:
        """Yield each queue in which others are behind it, once it raised WouldBlock.

        :return: the queue, the ticket, 0 before all others, and whether it does not
            know yet if there is something.
        """
        yield self.queue, 0, True

    def policy(self) -> EffectivePolicy | None:
        """Return what holds for the queue."""
        policies = self.client.policies
        return policies.of(self.queue) if policies.isActive else None

    def expire(self, store: IQueueStore, policy: EffectivePolicy) -> None:
        """Let go what has expired; raise WouldBlock when that takes another turn."""
        now = self.client.policies.now()
        self.expired = expired = expire(store, self.queue, policy.rule, now)
        self.bytesFreed = expired.freed
        if expired.isMore:
            raise WouldBlock(self, expired.cost)

    def madeVisible(self) -> Iterable[tuple[bytes, int]]:
        """Tell what moved; let those go on that are in line, if it has to."""
        yield from self.expired.moved()
        if self.isUnfinished and not self.wait:
            yield self.queue, 1


def describe(store: IQueueStore, policies: Policies, queue: bytes) -> Details | None:
    """Return what a queue knows of its next message; None if there is none."""
    head = store.peek(queue)
    if not isinstance(head, Message):
        return None
    now = policies.now()
    policy = policies.of(queue)
    left = -1 if policy is None else secondsLeft(head, policy.rule, now)
    return Details(store.deliveries(head), max(0, now - head.time) // 1000, left)


class Waits:
    """The waits of reads that are asked for together: all begin with the first one.

    :ivar spent: the seconds that the reads take, without their waits.
    """

    __slots__ = ("_began", "spent")

    def __init__(self) -> None:
        self._began: float | None = None
        self.spent = Spent()

    def left(self, seconds: float, now: float) -> float:
        """Return how much is left of a wait of so many ``seconds``."""
        if self._began is None:
            self._began = now
        return max(0.0, self._began + seconds - now)


class Read(Search):
    """Look for one message; the result is that, an error, or None without any.

    :ivar waits: what it shares with others of the same line until it runs; None if it
        is alone.
    :ivar describes: whether it finds out what the queue knows of the message.
    :ivar details: that, once it has run.
    :ivar until: when its wait is over.
    :ivar ticket: tells who came first; None as long as it did not wait.
    :ivar timer: ends the waiting; None while it does not wait.
    :ivar promised: the queue of which it was promised a message, when it was woken.
    :ivar isOwed: whether it did not look, and is to try again soon.
    :ivar isLate: whether its time is over, and others of its group still wait.
    :ivar group: the read of several queues that it is a part of, and that knows it;
        None if it is alone.
    """

    __slots__ = (
        "describes",
        "details",
        "group",
        "isLate",
        "isOwed",
        "previous",
        "promised",
        "ticket",
        "timer",
        "until",
        "wait",
        "waits",
    )

    #: Whether others do not find what it found, and whether that is open then.
    takes = True
    opens = False

    def __init__(self, client: Client, queue: bytes, wait: float = 0.0) -> None:
        super().__init__(client)
        self.bytesFreed = 0
        self.queue = queue
        self.wait = wait
        self.until = 0.0
        self.ticket: int | None = None
        self.timer: IDelayedCall | None = None
        self.promised: bytes | None = None
        self.isOwed = False
        self.isLate = False
        self.group: ref[Read] | None = None
        self.previous: Operation | None = None
        self.waits: Waits | None = None
        self.describes = False
        self.details: Details | None = None
        self.expired = NOTHING

    @property
    def spent(self) -> Spent | None:  # type: ignore[override]
        """Return what it has in common with others of the same line, if it has."""
        return None if self.waits is None else self.waits.spent

    @property
    def message(self) -> Message | None:
        """Return what it found, if that is a message."""
        return self.result if type(self.result) is Message else None

    @property
    def whole(self) -> Read:
        """Return the operation: itself, unless it is one of several parts."""
        return (self.group and self.group()) or self

    @property
    def parts(self) -> Sequence[Read]:
        """Return the reads of one queue each that stand in line for it: itself."""
        return (self,)

    def places(self) -> Iterable[tuple[bytes, int | None, bool]]:
        """Yield its queue, with its ticket if it waits."""
        if self.wait:
            yield self.queue, self.ticket, self.isUnfinished or self.isOwed
        else:
            yield from super().places()

    @property
    def idleCost(self) -> int:
        """Return what it counts: its message is to be sent."""
        message = self.message
        return MESSAGE_COST + (0 if message is None else len(message.body))

    def run(self, store: IQueueStore) -> int:
        """Look; raise WouldBlock when there is nothing and there is time."""
        client = self.client
        if self.promised is not None:
            client.tries(self)
        if self.hasFailed():
            return 0
        if self.waits is not None:
            self.wait = self.waits.left(self.wait, client.seconds())
            self.waits = None
        self.bytesFreed = 0
        self.expired = NOTHING
        found = None
        self.isOwed = False
        if self.wait and self.takes and client.isBehind(self):
            raise WouldBlock(self)
        policy = self.policy()
        if policy is not None:
            self.expire(store, policy)
        if policy is None or not policy.readsArePaused:
            if self.describes:
                self.details = describe(store, client.policies, self.queue)
            found = self.find(store)
        if found is None and self.wait:
            raise WouldBlock(self, self.expired.cost)
        self.result = found
        if type(found) is Message:
            client.outstanding.charge(found)
        return self.expired.cost + self.cost()

    def find(self, store: IQueueStore) -> Message | QueueError | None:
        """Return what there is."""
        raise NotImplementedError

    def cost(self) -> int:
        """Return what ``run`` returns: an error is that of a message set aside."""
        return MESSAGE_COST if isinstance(self.result, QueueError) else 0

    @property
    def source(self) -> Read | Taken:
        """Return what is told how its message is sent."""
        return self

    def abandon(self) -> None:
        """Give back the message, for the client is gone."""
        if self.message is not None:
            self.source.unsent()

    def undo(self) -> None:
        """Forget the message as well."""
        message = self.message
        if message is not None:
            self.client.outstanding.refund(message)
        self.expired = NOTHING
        super().undo()

    def madeVisible(self) -> Iterable[tuple[bytes, int]]:
        """Let the next one try, if it was to have a message and left it."""
        yield from super().madeVisible()
        if (
            self.promised is not None
            and not self.isUnfinished
            and not (self.takes and self.message and self.queue == self.promised)
        ):
            yield self.promised, 1

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
        assert self.message is not None
        self.client.outstanding.refund(self.message)


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

    __slots__ = ("_client", "_message", "queue")

    def __init__(self, client: Client, queue: bytes, message: Message) -> None:
        self._client = client
        self.queue = queue
        self._message = message

    def sent(self) -> None:
        """Let the parts of its body go: all were sent."""
        self.leaves()
        self.arrived()

    def leaves(self) -> None:
        """Keep the parts of its body, which may not have arrived."""
        self._client.outstanding.refund(self._message)

    def arrived(self) -> None:
        """Let the parts of its body go, if it has any."""
        if self._message.large is not None:
            self._client.release(self._message.large)

    def lost(self) -> None:
        """Put it back: it was sent, and has not arrived."""
        self._client.putBack(self.queue, self._message)

    def damaged(self) -> None:
        """Keep it out of the way: a part is damaged."""
        self._client.setAside(self._message)

    def unsent(self) -> None:
        """Put it back: its reader is gone."""
        self._client.giveBack(self.queue, self._message)


class Take(Read):
    """Take the head of a queue."""

    __slots__ = ()

    @property
    def source(self) -> Taken:
        """Return the message that was taken."""
        assert self.message is not None
        return Taken(self.client, self.queue, self.message)

    def find(self, store: IQueueStore) -> Message | QueueError | None:
        """Take it."""
        return store.pop(self.queue)

    def cost(self) -> int:
        """Return what it changed."""
        message = self.message
        self.bytesFreed += 0 if message is None else message.size
        return 0 if self.result is None else self.idleCost
