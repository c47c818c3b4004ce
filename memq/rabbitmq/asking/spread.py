"""Spreads: gets and open reads over several links, a queue's always over the same one.

A queue whose leader is gone may cost the connection over which it is asked for: then
only so many other queues are concerned.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from memq.message import Message
    from memq.rabbitmq.asking.consumers import Consumers
    from memq.rabbitmq.asking.deliveries import Ended
    from memq.rabbitmq.asking.gets import Gets
    from memq.rabbitmq.asking.openreads import OpenReads


class SpreadGets:
    """Plain gets; see :class:`memq.rabbitmq.asking.gets.Gets`."""

    def __init__(self, several: Sequence[Gets]) -> None:
        """Take those of each link."""
        self._several = several
        #: They have one memory of what was missing, so that one look tells of none.
        self._missing = several[0].missing
        for each in several:
            each.missing = self._missing
        #: Those of a queue, of the queues that were asked for last.
        self._of = lru_cache(4096)(self._find)

    def _find(self, queue: bytes) -> Gets:
        return self._several[crc32(queue) % len(self._several)]

    def get(self, queue: bytes, done: Callable[[Any], object]) -> None:
        """Take a message."""
        self._of(queue).get(queue, done)

    def hold(self, queue: bytes) -> None:
        """Ask nothing of a queue until it is deleted, or for some time."""
        self._of(queue).deleting.hold(queue)

    def over(self, queue: bytes) -> None:
        """Go on: it is deleted."""
        self._of(queue).deleting.over(queue)

    def isThere(self, queue: bytes) -> None:
        """Note that a queue is there."""
        if self._missing:
            self._of(queue).isThere(queue)

    def giveAway(self, queue: bytes, message: Message) -> None:
        """Give a message that was taken to whoever is next."""
        self._of(queue).giveAway(queue, message)


class SpreadOpenReads:
    """Open reads; see :class:`memq.rabbitmq.asking.openreads.OpenReads`.

    And what those have that wait: :class:`memq.rabbitmq.asking.consumers.Consumers`.
    """

    def __init__(
        self, several: Sequence[OpenReads], consumers: Sequence[Consumers]
    ) -> None:
        """Take those of each link."""
        self._several = several
        self._consumers = consumers

    def _of(self, queue: bytes) -> OpenReads:
        return self._several[crc32(queue) % len(self._several)]

    def hold(self, queue: bytes) -> None:
        """Ask nothing of a queue until it is deleted, or for some time."""
        self._of(queue).deleting.hold(queue)

    def over(self, queue: bytes) -> None:
        """Go on: it is deleted."""
        self._of(queue).deleting.over(queue)

    def holds(self, number: int) -> bool:
        """Return whether a message is open."""
        return any(each.holds(number) for each in self._several)

    def held(self, queue: bytes) -> int:
        """Return how many messages of a queue are open."""
        return self._of(queue).held(queue)

    def open(self, queue: bytes, done: Callable[[Any], object]) -> None:
        """Open a message."""
        self._of(queue).open(queue, done)

    def close(
        self, queue: bytes, numbers: Iterable[int], done: Callable[[Ended], object]
    ) -> None:
        """Delete open messages."""
        self._of(queue).close(queue, numbers, done)

    def giveBack(
        self, queue: bytes, numbers: Iterable[int], done: Callable[[Ended], object]
    ) -> None:
        """Give open messages back."""
        self._of(queue).giveBack(queue, numbers, done)

    def exchange(
        self,
        queue: bytes,
        number: int,
        closed: Callable[[Ended], object],
        done: Callable[[Any], object],
    ) -> None:
        """Delete an open message and open the next one."""
        self._of(queue).exchange(queue, number, closed, done)

    # What is given to those that wait.

    def _consumersOf(self, queue: bytes) -> Consumers:
        return self._consumers[crc32(queue) % len(self._consumers)]

    def note(self, queue: bytes) -> None:
        """Note that the number of those has changed that wait for a queue."""
        self._consumersOf(queue).note(queue)

    def isWatched(self, queue: bytes) -> bool:
        """Return whether what comes into a queue is given to who waits."""
        return self._consumersOf(queue).isWatched(queue)

    def look(self, queue: bytes) -> bool:
        """Return whether what comes into a queue is, or will be."""
        return self._consumersOf(queue).look(queue)

    def settle(
        self,
        queue: bytes,
        number: int,
        done: Callable[[Any], object],
        isCounted: bool = False,
    ) -> None:
        """Delete a message that was given to who waits."""
        self._consumersOf(queue).settle(queue, number, done, isCounted)
