"""What all that ask a cluster have in common: requests that are answered in time.

A request is answered once, with what the cluster says or with an error at its deadline.
What the cluster says later finds nobody.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from twisted.logger import Logger

from memq.errors import StoreError
from memq.rabbitmq import names

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

#: Seconds between two looks at deadlines.
STEP = 0.25

_log = Logger()

UNREACHABLE = "the queue servers cannot be reached: nothing is done"
UNANSWERED = "the queue servers did not answer: it may be done or not"

#: The name of a queue in RabbitMQ, of those that were asked for last.
nameOf = lru_cache(4096)(names.encode)


class ILink(Protocol):
    """A connection that is made again whenever it is lost."""

    @property
    def isUp(self) -> bool:
        """Whether there is a connection."""

    def hasRoom(self, most: int = 2_047) -> bool:
        """Return whether another channel can be opened, and they are that many then."""

    def channel(
        self,
        opened: Callable[[Any], object],
        closed: Callable[[Any, str], object],
    ) -> Any:
        """Open a channel; ``closed`` is called at its end, with a code and words."""


def isMissing(why: str) -> bool:
    """Return whether a channel was closed because there is no such queue."""
    return why.startswith("404")


class Request:
    """Something that is asked, until it is answered.

    :ivar queue: the queue that it is about.
    :ivar isSent: whether the cluster may have done something of it.
    """

    __slots__ = ("_done", "isSent", "queue", "until")

    def __init__(self, queue: bytes, done: Callable[[Any], object]) -> None:
        """Begin.

        :param done: called once, with the answer or a QueueError.
        """
        self.queue = queue
        self._done: Callable[[Any], object] | None = done
        self.isSent = False
        self.until = 0.0

    @property
    def isOver(self) -> bool:
        """Whether it is answered."""
        return self._done is None

    def answer(self, found: Any) -> bool:
        """Answer it; return whether that was still to be done."""
        done, self._done = self._done, None
        if done is None:
            return False
        try:
            done(found)
        except Exception:
            # Others are answered, and the connection is kept, all the same.
            _log.failure("An error of who is answered")
        return True

    def fail(self) -> bool:
        """Answer that the cluster did not."""
        return self.answer(StoreError(UNANSWERED if self.isSent else UNREACHABLE))

    def expire(self) -> None:
        """Note that its time is over."""
        self.fail()


class Deadlines:
    """Requests that are answered with an error when their time is over.

    All have the same time, so that they stand in its order; they are looked at each
    STEP while there are any.
    """

    def __init__(self, clock: IReactorTime, timeout: float) -> None:
        """Begin with none.

        :param timeout: seconds that each has.
        """
        self._clock = clock
        self._timeout = timeout
        self._requests: deque[Request] = deque()
        self._isLooking = False

    def add(self, request: Request) -> None:
        """Watch one."""
        request.until = self._clock.seconds() + self._timeout
        self._requests.append(request)
        if not self._isLooking:
            self._next()

    def _next(self) -> None:
        if self._requests and not self._isLooking:
            self._isLooking = True
            self._clock.callLater(STEP, self._look)

    def _look(self) -> None:
        self._isLooking = False
        requests, now = self._requests, self._clock.seconds()
        while requests and (requests[0].isOver or requests[0].until <= now):
            requests.popleft().expire()
        self._next()
