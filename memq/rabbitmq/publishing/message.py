"""A message on its way, and what can become of it."""

from __future__ import annotations

from bisect import insort
from enum import Enum, auto
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol

from twisted.logger import Logger

from memq.rabbitmq.errors import Unreachable, Unsure

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from memq.errors import QueueError

_log = Logger()


class Fate(Enum):
    """What became of a message."""

    #: A majority has it.
    STORED = auto()
    #: There is no such queue.
    RETURNED = auto()
    #: The queue is full, or the channel has lost its leader.
    REFUSED = auto()
    #: It is too large, and its channel was closed for it.
    TOO_LARGE = auto()
    #: The channel was closed before: the node has not looked at it.
    UNSEEN = auto()
    #: Nobody knows.
    LOST = auto()


class Sender(Protocol):
    """Who sends a message, and hears what became of it; see the lanes."""

    queue: str

    def add(self, message: Message) -> None:
        """Send a message, or hold it if others wait."""

    def settled(self, message: Message, fate: Fate, why: str = "") -> None:
        """Take note of what became of a message that was sent."""

    def late(self) -> str:
        """Return why a message that waits was not sent in time, in words."""

    def prune(self) -> None:
        """Let go of messages that are held and were told."""


def place(due: deque[Message], message: Message) -> None:
    """Put a message among others in the order of deadlines."""
    insort(due, message, key=attrgetter("deadline"))


class Message:
    """A message on its way.

    :ivar exchange: where it is sent; with its routing key, that is a queue's name.
    :ivar number: the higher, the later it came.
    :ivar deadline: when it has to be told, in the seconds of the clock.
    :ivar told: is called once with None when it is stored, else with the error; None
        when it was.
    :ivar isSent: whether it is sent and not settled.
    :ivar makes: whether its queue is made for it.
    :ivar size: the bytes of its body, also when that is let go of.
    :ivar refusedAt: when it was refused first.
    """

    __slots__ = (
        "body",
        "deadline",
        "exchange",
        "expiration",
        "headers",
        "isSent",
        "key",
        "lane",
        "makes",
        "number",
        "refusedAt",
        "size",
        "told",
    )

    def __init__(
        self,
        lane: Sender,
        body: bytes,
        headers: dict[str, Any] | None,
        expiration: str | None,
        told: Callable[[QueueError | None], object],
        number: int,
        deadline: float,
    ) -> None:
        """Take what is to be sent."""
        self.lane, self.body, self.headers = lane, body, headers
        self.size = len(body)
        self.expiration = expiration
        self.told: Callable[[QueueError | None], object] | None = told
        self.number, self.deadline = number, deadline
        self.exchange, self.key = "", lane.queue
        self.isSent, self.makes = False, True
        self.refusedAt: float | None = None

    @property
    def isTold(self) -> bool:
        """Whether it was told what became of it."""
        return self.told is None

    def tell(self, error: QueueError | None) -> None:
        """Say what became of it, the first time only."""
        told = self.told
        if told is not None:
            self.told = None
            # It is kept until those before it are told, and keeps nothing itself.
            self.body, self.headers = b"", None
            try:
                told(error)
            except Exception:
                # Others are told, and the connection is kept, all the same.
                _log.failure("An error of who is told what became of a message")

    def expire(self) -> None:
        """Say that its time is over."""
        self.tell(Unsure() if self.isSent else Unreachable(self.lane.late()))
