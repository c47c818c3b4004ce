"""Flusher: makes durable what the store has committed.

A flush that takes less than the way to a thread and back stays in the reactor's, as the
last ones tell.  A slow flush is forgiven, since the next is most often quick; but after
two in a row, or one in four, or one that stalled, flushes go to their thread, so that
a slow disk holds up nobody who need not wait for it.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from twisted.internet.threads import deferToThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.python.threadpool import ThreadPool

#: Seconds that a flush may take to be quick, and that tell that the disk has stalled.
QUICK_FLUSH = 0.001
STALLED_FLUSH = 0.01
#: How many quick flushes in a row it takes to expect another one; and for how many of
#: them a slow one counts.
QUICK_IN_A_ROW = 8
SLOW = QUICK_IN_A_ROW // 2


class Flusher:
    """Flush a store, one flush at a time.

    :ivar onStall: is told how many seconds a flush took that stalled where all waited
        for it; in the reactor's thread.
    """

    def __init__(
        self,
        reactor: Any,
        pool: ThreadPool,
        flush: Callable[[], None],
        seconds: Callable[[], float] = monotonic,
        note: Callable[[float], object] | None = None,
    ) -> None:
        """Begin with no flush that was quick.

        :param pool: one thread, for flushes alone.
        :param seconds: a clock that never goes back, in seconds.
        :param note: is told how many seconds each flush took, in the flush's thread;
            None for nobody.
        """
        self._reactor = reactor
        self._pool = pool
        self._flush = flush
        self._seconds = seconds
        self._note = note
        #: Quick flushes less what the slow ones count, 0 to QUICK_IN_A_ROW.
        self._credit = 0
        self._isQuick = False
        #: What the last flush took that was not quick.
        self._last = 0.0
        self.onStall: Callable[[float], object] = lambda took: None

    def persist(self) -> Deferred[None] | None:
        """Make durable all that is committed.

        :return: None when it is; otherwise a Deferred that fires then.
        """
        if self._isQuick:
            self._run()
            if not self._isQuick:
                self.onStall(self._last)
            return None
        return deferToThreadPool(self._reactor, self._pool, self._run)

    def _run(self) -> None:
        began = self._seconds()
        self._flush()
        took = self._seconds() - began
        if self._note is not None:
            self._note(took)
        if took < QUICK_FLUSH:
            if self._credit < QUICK_IN_A_ROW:
                self._credit += 1
                self._isQuick = self._isQuick or self._credit == QUICK_IN_A_ROW
        else:
            self._last = took
            lost = SLOW if took < STALLED_FLUSH else QUICK_IN_A_ROW
            self._credit = max(0, self._credit - lost)
            self._isQuick = self._isQuick and self._credit > 0
