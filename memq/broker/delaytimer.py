"""Ripening: delayed messages move into their queues when they are due.

The broker is asked for that like for anything else, by a session of its own: some
messages a turn, so that nobody waits long when many are due at once.

When that is, the clock on the wall says, which can be set, and goes on while a machine
sleeps; the reactor's does not.  So it is looked at once a second, as long as anything
is delayed, or when something is due before that.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from twisted.logger import Logger

from memq.errors import OutOfSpace, QueueError, StoreFailed
from memq.operations.base import MESSAGE_COST, Operation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.internet.interfaces import IDelayedCall

    from memq.broker.broker import Broker
    from memq.interfaces import IQueueStore

#: Messages that are moved by one operation, at most: a session's share of a turn.
MOST = 64
#: Seconds until the clock is looked at again, at the latest.
LONGEST = 1.0
#: Seconds until it is tried again when that failed.
AGAIN = 60.0

_log = Logger()


class Ripen(Operation):
    """Move messages that are due; the result is the queue of each."""

    __slots__ = ()

    def run(self, store: IQueueStore) -> int:
        """Move some."""
        self.result = store.promoteDue(self.session.policies.now(), MOST)
        return MESSAGE_COST * len(self.result)

    def madeVisible(self) -> Iterable[tuple[bytes, int]]:
        """Tell which queues have more messages now."""
        found = () if isinstance(self.result, QueueError) else self.result
        return Counter(found).items()


class DelayTimer:
    """See to it that what is due is moved."""

    def __init__(self, broker: Broker, store: IQueueStore) -> None:
        """Take the broker, as one of its clients; :meth:`start` begins."""
        self._broker = broker
        self._store = store
        self._session = broker.session(self._cbDone)
        #: The operation under way.
        self._ripen: Ripen | None = None
        #: Looks again; None when nothing is delayed, or an operation is under way.
        self._timer: IDelayedCall | None = None
        #: When it does, or would do if it were not for LONGEST.
        self._due = 0
        self._isRunning = True

    def start(self) -> None:
        """Look what is due, and when the next one will be."""
        due = self._store.nextDue()
        if due is not None:
            self.expect(due)

    def stop(self) -> None:
        """Move nothing any more."""
        self._isRunning = False
        self._cancel()

    def expect(self, due: int) -> None:
        """Note that a message is due at a time, which may be over.

        :param due: milliseconds since 1970-01-01 UTC.
        """
        if self._ripen is None and (self._timer is None or due < self._due):
            self._wait(due)

    def _wait(self, due: int) -> None:
        """Look again at a time, or earlier."""
        self._due = due
        left = (due - self._broker.policies.now()) / 1000
        self._again(min(max(0.0, left), LONGEST))

    def _again(self, seconds: float) -> None:
        self._cancel()
        if self._isRunning:
            self._timer = self._broker.after(seconds, self._look)

    def _cancel(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _look(self) -> None:
        self._timer = None
        due = self._store.nextDue()
        if due is None:
            return
        if due > self._broker.policies.now():
            self._wait(due)
            return
        self._ripen = Ripen(self._session)
        self._session.submit(self._ripen)

    def _cbDone(self) -> None:
        promoteDue, self._ripen = self._ripen, None
        assert promoteDue is not None
        error = promoteDue.result
        if isinstance(error, StoreFailed):
            self.stop()
        elif isinstance(error, OutOfSpace):
            self._again(LONGEST)
        elif isinstance(error, QueueError):
            _log.error("Delayed messages stay so before the next try: {why}", why=error)
            self._again(AGAIN)
        else:
            self.start()
