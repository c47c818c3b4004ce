"""Flusher: makes durable what the store has committed.

A flush goes to its thread, so that a slow disk holds up nobody who need not wait for
it.  One that takes less than the way there and back, which the last ones tell, stays in
the reactor's.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.threads import deferToThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.threadpool import ThreadPool

#: Seconds that a flush may take to be quick.
QUICK_FLUSH = 0.001
#: How many quick flushes in a row it takes to expect another one.
QUICK_IN_A_ROW = 8


class Flusher:
    """Flush a store, one flush at a time."""

    def __init__(
        self,
        reactor: Any,
        pool: ThreadPool,
        flush: Callable[[], None],
        seconds: Callable[[], float] = monotonic,
    ) -> None:
        """Begin with no flush that was quick.

        :param pool: one thread, for flushes alone.
        :param seconds: a clock that never goes back, in seconds.
        """
        self._reactor = reactor
        self._pool = pool
        self._flush = flush
        self._seconds = seconds
        #: How many flushes were quick since one was not.
        self._quick = 0

    def persist(self) -> Deferred[None]:
        """Return a Deferred that fires when all that is committed is durable."""
        if self._quick >= QUICK_IN_A_ROW:
            return execute(self._run)
        return deferToThreadPool(self._reactor, self._pool, self._run)

    def _run(self) -> None:
        began = self._seconds()
        self._flush()
        isQuick = self._seconds() - began < QUICK_FLUSH
        self._quick = self._quick + 1 if isQuick else 0
