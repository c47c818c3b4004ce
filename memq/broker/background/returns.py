"""Background tasks of the broker: messages that go back, and delayed ones that are due.

Each asks the broker like any client, by a session of its own, so that it takes no more
of a turn than any of them.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

from twisted.logger import Logger, LogLevel

from memq.display import shownName
from memq.errors import OutOfSpace, QueueError, StoreFailed
from memq.operations.base import MESSAGE_COST, Operation
from memq.operations.openreads.aborts import AbortRead
from memq.operations.pops import PutBack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from twisted.internet.interfaces import IDelayedCall

    from memq.broker.session import Session
    from memq.interfaces import IQueueStore
    from memq.message import Message
    from memq.operations.openreads.opened import Opened

    #: Makes a session, given what is called when operations of it are done.
    Connect = Callable[[Callable[[], None]], Session]
    #: Calls something after so many seconds.
    After = Callable[[float, Callable[[], None]], IDelayedCall]

#: Messages that are moved by one operation, at most: a session's share of a turn.
MOST = 64
#: Seconds until the clock is looked at again, at the latest.
LONGEST = 1.0
#: Seconds until due messages are moved again when that failed.
MOVE_AGAIN = 60.0
#: Seconds until messages are given back again when that failed.
RETURN_AGAIN = 1.0

_log = Logger()


class Returns:
    """Give messages back whose readers are gone.

    A message that was taken and cannot go back is lost, and the log says so; an open
    read is only hidden until the next start, and it is tried again.
    """

    def __init__(self, connect: Connect, after: After) -> None:
        self._after = after
        self._session = connect(self._cbDone)
        self._puttingBack: deque[PutBack] = deque()
        #: Those for which the disk had no room.
        self._later: list[PutBack] = []
        self._isEnding = False

    @property
    def isPending(self) -> bool:
        """Whether there are messages that were taken and are not back yet."""
        return bool(self._puttingBack or self._later)

    def putBack(self, queue: bytes, message: Message) -> None:
        """Return a message that was taken to its old place."""
        operation = PutBack(self._session, queue, message)
        self._puttingBack.append(operation)
        self._session.submit(operation)

    def _cbDone(self) -> None:
        while self._puttingBack and self._puttingBack[0].done:
            operation = self._puttingBack.popleft()
            if isinstance(operation.result, OutOfSpace) and not self._isEnding:
                if not self._later:
                    self._after(RETURN_AGAIN, self._again)
                self._later.append(operation)
            elif isinstance(operation.result, QueueError):
                # Why the process ends stays the last critical line.
                ends = isinstance(operation.result, StoreFailed)
                _log.emit(
                    LogLevel.error if ends else LogLevel.critical,
                    "A message of queue {queue} was taken and never delivered: {why}",
                    queue=shownName(operation.queue),
                    why=operation.result,
                )

    def end(self) -> None:
        """Try again for the last time."""
        self._isEnding = True
        self._again()

    def _again(self) -> None:
        again, self._later = self._later, []
        for operation in again:
            self.putBack(operation.queue, operation.message)

    def giveBack(self, opened: Opened) -> None:
        """Return an open read to its old place."""
        self._session.submit(AbortRead(self._session, opened.queue, opened))

    def giveBackLater(self, opened: Sequence[Opened]) -> None:
        """Return open reads after a while, if they are open then."""

        def giveBack() -> None:
            if not self._isEnding:
                for each in opened:
                    self.giveBack(each)

        self._after(RETURN_AGAIN, giveBack)


class PromoteDue(Operation):
    """Move messages that are due; the result is the queue of each."""

    __slots__ = ()

    def run(self, store: IQueueStore) -> int:
        """Move some."""
        self.result = store.promoteDue(self.client.policies.now(), MOST)
        return MESSAGE_COST * len(self.result)

    def madeVisible(self) -> Iterable[tuple[bytes, int]]:
        """Tell which queues have more messages now."""
        found = () if isinstance(self.result, QueueError) else self.result
        return Counter(found).items()


class DelayTimer:
    """Move delayed messages into their queues when they are due.

    The clock on the wall says when that is; it can be set, and goes on while a machine
    sleeps, as the reactor's does not.  So it is looked at once a second while anything
    is delayed, or when something is due before that.
    """

    def __init__(
        self,
        connect: Connect,
        store: IQueueStore,
        after: After,
        now: Callable[[], int],
    ) -> None:
        """Begin once :meth:`start` is called.

        :param now: tells the time, in milliseconds since 1970-01-01 UTC.
        """
        self._store = store
        self._after = after
        self._now = now
        self._session = connect(self._cbDone)
        #: The operation under way.
        self._promotion: PromoteDue | None = None
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

    def expect(self, due: int) -> None:
        """Note that a message is due at a time, which may be over.

        To ask the store after each turn instead would cost 2,300 instructions of the
        159,000 of a single client's set.

        :param due: milliseconds since 1970-01-01 UTC.
        """
        if self._promotion is None and (self._timer is None or due < self._due):
            self._wait(due)

    def stop(self) -> None:
        """Move nothing any more."""
        self._isRunning = False
        self._cancel()

    def _wait(self, due: int) -> None:
        """Look again at a time, or earlier."""
        self._due = due
        left = (due - self._now()) / 1000
        self._again(min(max(0.0, left), LONGEST))

    def _again(self, seconds: float) -> None:
        self._cancel()
        if self._isRunning:
            self._timer = self._after(seconds, self._look)

    def _cancel(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _look(self) -> None:
        self._timer = None
        due = self._store.nextDue()
        if due is None:
            return
        if due > self._now():
            self._wait(due)
            return
        self._promotion = PromoteDue(self._session)
        self._session.submit(self._promotion)

    def _cbDone(self) -> None:
        promotion, self._promotion = self._promotion, None
        assert promotion is not None
        error = promotion.result
        if isinstance(error, StoreFailed):
            self.stop()
        elif isinstance(error, OutOfSpace):
            self._again(LONGEST)
        elif isinstance(error, QueueError):
            _log.error("Delayed messages stay so before the next try: {why}", why=error)
            self._again(MOVE_AGAIN)
        else:
            self.start()
