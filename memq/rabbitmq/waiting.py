"""Waiting: reads in their lines, and messages that were delivered for them.

The lines are those of a broker, see :mod:`memq.broker.waiting.lines`.  What is added:
consumers of the cluster are told whenever a line has changed, and what they are given
belongs to the read that waits longest, from then until it runs.  A read that does not
run hands it on to the next; without one it goes back to the head of its queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from memq.broker.waiting.lines import Lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.internet.interfaces import IReactorTime

    from memq.message import Message
    from memq.operations.reads import Read


class Watch(Protocol):
    """Has consumers of queues."""

    def note(self, queue: bytes) -> object:
        """Note that the number of those has changed that wait for a queue."""

    def isWatched(self, queue: bytes) -> bool:
        """Return whether what comes into a queue is given to who waits."""

    def look(self, queue: bytes) -> bool:
        """Return whether what comes into a queue is, or will be."""

    def giveBack(
        self, queue: bytes, numbers: Iterable[int], done: Callable[[Any], object]
    ) -> object:
        """Give open messages back to the head of their queue."""


class WatchedLines(Lines):
    """Lines of queues that have consumers.

    :ivar haveLooked: whether what was asked for a read is there: then nobody is before
        it.
    """

    def __init__(
        self, clock: IReactorTime, onLate: Callable[[Read], None], watch: Watch
    ) -> None:
        """Begin with none."""
        super().__init__(clock, onLate)
        self.haveLooked = False
        self._watch = watch
        #: What was delivered, by the read that it is for, with its queue.
        self._delivered: dict[Read, tuple[bytes, Message]] = {}

    def isBehind(self, read: Read) -> bool:
        """Return whether somebody else is before a read."""
        return not self.haveLooked and super().isBehind(read)

    def join(self, read: Read) -> None:
        """Let a read wait."""
        super().join(read)
        for part in read.parts:
            self._watch.note(part.queue)

    def _remove(self, part: Read) -> None:
        super()._remove(part)
        self._watch.note(part.queue)

    def deliver(self, queue: bytes, message: Message) -> list[Read]:
        """Return who has a message from now on; it goes back if there is nobody."""
        reads = self.next(queue, 1)
        for read in reads:
            self._delivered[read] = queue, message
        if not reads:
            self._watch.giveBack(queue, [message.sequence], lambda _: None)
        return reads

    def delivered(self, read: Read) -> tuple[bytes, Message] | None:
        """Return what was delivered for a read, once, and its queue."""
        return self._delivered.pop(read, None)

    def handOn(self, read: Read) -> list[Read]:
        """Return who is next, since a read that was promised a message does not run."""
        delivered = self.delivered(read)
        if delivered is not None:
            return self.deliver(*delivered)
        return [] if read.promised is None else self.next(read.promised, 1)
