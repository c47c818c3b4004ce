"""Returns: messages that go back to their queues because their readers are gone.

The broker is asked for that like for anything else, by a session of its own.  What was
taken and cannot go back is lost, and said to be; what is read openly is only hidden
until the next start, and it is tried again.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from twisted.logger import Logger, LogLevel

from memq.display import shownName
from memq.errors import OutOfSpace, QueueError, StoreFailed
from memq.operations.openreads import AbortRead
from memq.operations.pops import PutBack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memq.broker.broker import Broker
    from memq.message import Message
    from memq.operations.openreads import Opened

#: Seconds until it is tried again.
AGAIN = 1.0

_log = Logger()


class Returns:
    """Give messages back."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._session = broker.session(self._cbDone)
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
                    self._broker.after(AGAIN, self._again)
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

        self._broker.after(AGAIN, giveBack)
