"""Deliveries: what a channel holds of a queue, and the requests about that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from memq.errors import StoreError
from memq.rabbitmq.asking.base import Request

if TYPE_CHECKING:
    from collections.abc import Callable

LOST = "the open read is lost with its connection: the message went back"


class Ended(NamedTuple):
    """What came of ending some open reads.

    :ivar numbers: those that are ended, as they were asked for.
    :ivar error: why the others may not be.
    """

    numbers: frozenset[int]
    error: StoreError | None = None


class Open(Request):
    """An open that is asked for; ``channel`` is the only one that it may go over."""

    __slots__ = ("channel",)

    def __init__(self, queue: bytes, done: Callable[[Any], object]) -> None:
        super().__init__(queue, done)
        self.channel: Channel | None = None


class End(Request):
    """Open reads that are to end: it is answered with Ended.

    :ivar channels: those that have not answered yet.
    :ivar isLost: whether some went back.
    :ivar isChained: whether the open behind it tells, and nothing else does.
    :ivar numbers: those that were there.
    """

    __slots__ = ("channels", "isChained", "isLost", "numbers")

    def __init__(self, queue: bytes, done: Callable[[Any], object]) -> None:
        super().__init__(queue, done)
        self.channels: dict[Channel, None] = {}
        self.isChained = self.isLost = False
        self.numbers: set[int] = set()

    def fail(self) -> bool:
        """Answer that nobody knows."""
        why = StoreError("the queue servers did not answer: it may come again")
        return self.answer(Ended(frozenset(), why))

    def hasAnswered(self, channel: Channel, isLost: bool = False) -> None:
        """Note that a channel has answered, or is lost; it may have done so before."""
        if channel in self.channels:
            del self.channels[channel]
            self.isLost |= isLost
            self.answerIfOver()

    def answerIfOver(self) -> None:
        """Answer, once all channels have."""
        if not self.channels:
            error = StoreError(LOST) if self.isLost else None
            self.answer(Ended(frozenset() if error else frozenset(self.numbers), error))


class Consumer:
    """A consumer, to which the cluster gives one message.

    :ivar tag: its tag on the channel.
    :ivar isReady: whether the cluster has it.
    :ivar number: that of the message which it was given; 0 before.
    :ivar settling: what waits until its message is deleted; None without that.
    """

    __slots__ = ("channel", "isReady", "number", "settling", "tag")

    def __init__(self, channel: Channel, tag: str) -> None:
        self.channel = channel
        self.tag = tag
        self.isReady = False
        self.number = 0
        self.settling: Request | None = None


class Channel:
    """A channel with deliveries of one queue.

    :ivar consumers: those that the cluster has or is to have, by tag; a cancelled one
        until that is answered.
    :ivar isBounded: whether the cluster knows that each is given one message.
    :ivar opening: the open that is under way on it, None without one.
    :ivar held: the tags of deliveries that are not acknowledged, by number.
    :ivar ends: what waits for an answer that is not asked for yet.
    :ivar endsBefore: what waits for that to the open.
    :ivar endsSent: what waits for that to the declare.
    :ivar declared: when that was sent; None without one.
    """

    __slots__ = (
        "amqp",
        "consumers",
        "declared",
        "ends",
        "endsBefore",
        "endsSent",
        "held",
        "isBounded",
        "isOpen",
        "opening",
        "queue",
    )

    def __init__(self, queue: bytes) -> None:
        self.queue = queue
        self.amqp: Any = None
        self.isOpen = self.isBounded = False
        self.consumers: dict[str, Consumer] = {}
        self.opening: Open | None = None
        self.held: dict[int, int] = {}
        self.ends: list[End] = []
        self.endsBefore: list[End] = []
        self.endsSent: list[End] = []
        self.declared: float | None = None

    @property
    def isSpare(self) -> bool:
        """Whether it has nothing to do."""
        return self.isOpen and not (
            self.opening
            or self.held
            or self.ends
            or self.consumers
            or self.declared is not None
        )


def freeOne(wanted: Channel | None, channels: list[Channel]) -> Channel | None:
    """Return a channel that an open may go over; None if there is none now."""
    for channel in [wanted] if wanted in channels else channels:
        if channel is not None and channel.isOpen and channel.opening is None:
            return channel
    return None


class Watcher(Protocol):
    """Has consumers on channels."""

    def opened(self, channel: Channel) -> None:
        """Note that a channel is open."""

    def closed(self, channel: Channel, isGone: bool) -> None:
        """Note that a channel has ended, perhaps since there is no such queue."""

    def cancel(self, consumer: Consumer) -> None:
        """Let a consumer be given nothing more."""

    def linkUp(self) -> None:
        """Note that there is a connection."""
