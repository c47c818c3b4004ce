"""Lines: who waits for a message of which queue, first come, first served.

A read that waits stands in the line of its queue until a message may be there for it,
its time is over, or its client does not want it any more.  Whoever is next is taken
out of the line to try; one that finds nothing joins it again, in its old place.
Nothing is done for those that wait meanwhile.

It knows neither stores nor sessions; the broker says when to try.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from twisted.internet.interfaces import IReactorTime

    from memq.operations.reads import Read

_ticket = attrgetter("ticket")


class WaitQueues:
    """All reads that wait.

    :ivar queues: the queues that somebody waits for, each with its line.
    """

    __slots__ = ("_clock", "_lastTicket", "_onLate", "queues")

    def __init__(self, clock: IReactorTime, onLate: Callable[[Read], None]) -> None:
        """Begin with nobody.

        :param clock: tells when the time of a read is over.
        :param onLate: called with each read whose time is over; it waits no longer.
        """
        self._clock = clock
        self._onLate = onLate
        self._lastTicket = 0
        self.queues: dict[bytes, list[Read]] = {}

    def count(self, queue: bytes) -> int:
        """Return how many wait for a queue."""
        return len(self.queues.get(queue, ()))

    def __iter__(self) -> Iterator[Read]:
        """Yield everybody, those of a queue in order; they may leave meanwhile."""
        for line in list(self.queues.values()):
            yield from list(line)

    def join(self, read: Read) -> None:
        """Let a read wait: at the end of the line, or where it was before."""
        now = self._clock.seconds()
        if read.ticket is None:
            self._lastTicket += 1
            read.ticket = self._lastTicket
            read.until = now + read.wait
        read.isNext = False
        insort(self.queues.setdefault(read.queue, []), read, key=_ticket)
        read.timer = self._clock.callLater(
            max(0.0, read.until - now), self._timeIsOver, read
        )

    def _timeIsOver(self, read: Read) -> None:
        self._remove(read)
        self._onLate(read)

    def _remove(self, read: Read) -> None:
        line = self.queues[read.queue]
        del line[bisect_left(line, read.ticket, key=_ticket)]
        if not line:
            del self.queues[read.queue]
        read.timer = None

    def leave(self, read: Read) -> bool:
        """Take a read out of its line; return whether it stood there."""
        timer = read.timer
        if timer is None:
            return False
        timer.cancel()
        self._remove(read)
        return True

    def next(self, queue: bytes, count: int) -> list[Read]:
        """Take the first of a line out, so that they try, and return them."""
        reads = self.queues.get(queue, [])[:count]
        for read in reads:
            self.leave(read)
            read.isNext = True
        return reads
