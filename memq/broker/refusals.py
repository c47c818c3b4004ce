"""Refusals: sets that were refused, counted by queue and reason, and told in the log.

A producer is answered NOT_STORED and perhaps does not look.  So an operator has to see
which queue refuses, and why.  The counts are this process's: they begin at 0 with it.

A client can make up any number of names, where a pattern has them paused, say.  So only
the queues that refused last are kept apart, and only a few a minute are named in the
log; the sums count all.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from twisted.logger import Logger

from memq.errors import NotStored, OutOfSpace, Refusing
from memq.ratelimit import LOG_INTERVAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.errors import QueueError

#: Queues whose counts are kept.
MOST_QUEUES = 10_000
#: Queues that are named in the log in LOG_INTERVAL, each once.
NAMED = 20
#: How many reasons there are; to ask takes half a microsecond.
_REASONS = len(Refusing)

_log = Logger()


class _Queue:
    """The sets that one queue refused.

    :ivar unlogged: how many sets since the last line of the log about it.
    """

    __slots__ = ("counts", "loggedAt", "unlogged")

    def __init__(self) -> None:
        self.counts = dict.fromkeys(Refusing, 0)
        self.loggedAt = -inf
        self.unlogged = 0


def _counted(error: NotStored) -> list[tuple[bytes, Refusing]]:
    """Return the queues that count a refused set, the one it named first."""
    counted = [(error.asked, error.reason)]
    if error.queue != error.asked:
        counted.append((error.queue, error.cause))
    return counted


class Refusals:
    """Count refused sets.

    :ivar sums: how many sets were refused for which reason, each counted once.
    :ivar diskFull: how many because the disk was full.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        """Begin with none.

        :param seconds: tells the time in seconds, and never goes back.
        """
        self._seconds = seconds
        #: Those that refused last stand at the end.
        self._queues: dict[bytes, _Queue] = {}
        #: When the current minute of the log began, and the queues named in it.
        self._began = -inf
        self._named = 0
        self.reset()

    def reset(self) -> None:
        """Let the sums begin at 0 again; what is told of each queue goes on."""
        self.sums = dict.fromkeys(Refusing, 0)
        self.diskFull = 0

    def note(self, error: QueueError) -> None:
        """Count a set that was refused, if that was for one of these reasons."""
        if isinstance(error, OutOfSpace):
            # The log says when the disk is full, and of no queue.
            self.diskFull += 1
        elif isinstance(error, NotStored):
            self.sums[error.reason] += 1
            asked, *_ = [self._count(*each) for each in _counted(error)]
            self._say(asked, error)

    def forget(self, error: NotStored) -> None:
        """Take a set back that was noted, for its turn is undone and runs again."""
        self.sums[error.reason] -= 1
        for queue, reason in _counted(error):
            found = self._queues.get(queue)
            if found is not None:
                found.counts[reason] -= 1
                found.unlogged -= found.unlogged > 0

    def of(self, queue: bytes) -> list[int]:
        """Return how many sets a queue refused, for each reason in its order."""
        found = self._queues.get(queue)
        return [0] * _REASONS if found is None else list(found.counts.values())

    def _count(self, queue: bytes, reason: Refusing) -> _Queue:
        found = self._queues.pop(queue, None) or _Queue()
        if len(self._queues) >= MOST_QUEUES:
            del self._queues[next(iter(self._queues))]
        self._queues[queue] = found
        found.counts[reason] += 1
        found.unlogged += 1
        return found

    def _say(self, queue: _Queue, error: NotStored) -> None:
        """Log which queue refuses, unless that was done a short while ago."""
        now = self._seconds()
        if now - queue.loggedAt < LOG_INTERVAL:
            return
        if now - self._began >= LOG_INTERVAL:
            self._began, self._named = now, 0
        if self._named > NAMED:
            return
        self._named += 1
        if self._named > NAMED:
            _log.warn("Sets are refused by more queues than are named in a minute")
            return
        _log.warn(
            "Sets are refused, {count} since this was last said of the queue: {why}",
            count=queue.unlogged,
            why=error.why,
        )
        queue.loggedAt, queue.unlogged = now, 0
