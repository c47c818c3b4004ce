"""Group commit: operations are told as done when a flush covers their turn.

A commit is not durable yet.  ``persist`` makes everything durable that was committed
before the call: at once, or it returns a Deferred that fires when that is done.  While
such a flush runs, turns go on being committed, and the next one covers them all.  An
operation that changed nothing needs no flush.

On a full disk what is committed stands: nothing of it is told, and the flush is tried
again until there is room.  Nothing else is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger

from memq.broker.turns import undo
from memq.errors import OutOfSpace, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from memq.broker.diskspace import DiskSpaceGuard
    from memq.operations.base import Client, Operation

#: Seconds until a flush is tried again on a full disk.
FULL_AGAIN = 1.0
#: Seconds that a flush under way is given when nothing is to be stored more.
ENDING = 0.5

_log = Logger()


def finish(operations: Iterable[Operation]) -> None:
    """Mark operations as done, and tell their sessions."""
    sessions: dict[Client, None] = {}
    for operation in operations:
        operation.done = True
        sessions[operation.client] = None
    for session in sessions:
        try:
            session.deliver()
        except Exception:
            _log.failure("A reply could not be delivered")


class GroupCommit:
    """Tell operations as done once they are durable.

    :ivar flushes: how many flushes there were.
    """

    def __init__(
        self,
        clock: IReactorTime,
        persist: Callable[[], Deferred[None] | None],
        room: DiskSpaceGuard,
        fail: Callable[[StoreFailed], None],
    ) -> None:
        """Begin with nothing committed.

        :param persist: makes durable what is committed.
        :param room: is told when the disk is full.
        :param fail: called when the store has failed for good.
        """
        self._clock = clock
        self._persist = persist
        self._room = room
        self._fail = fail
        self.flushes = 0
        #: Operations that wait for the next flush, and for the one under way.
        self._committed: list[Operation] = []
        self._flushing: list[Operation] = []
        #: The error for which only the flush under way is still to be told.
        self._ending: StoreFailed | None = None
        #: Called after each flush once the broker is to end.
        self._whenFlushed: Callable[[], None] | None = None

    @property
    def operations(self) -> list[Operation]:
        """Return the operations that are not told yet."""
        return [*self._flushing, *self._committed]

    @property
    def flushing(self) -> Sequence[Operation]:
        """Return the operations that wait for the flush under way."""
        return self._flushing

    def add(self, operations: list[Operation]) -> None:
        """Take operations that are committed, and flush unless a flush is under way."""
        self._committed += operations
        if not self._flushing:
            self._flush()

    def _flush(self) -> None:
        """Flush what is committed; on a full disk that is done again."""
        if not self._flushing:
            self._flushing, self._committed = self._committed, []
        self.flushes += 1
        ending = self._ending
        try:
            done = self._persist() if ending is None else fail(ending)
        except Exception:
            done = fail()
        if done is None:
            # A Deferred that has fired would be 21,000 instructions of 164,000.
            self._cbFlushed()
            return
        done.addCallbacks(self._cbFlushed, self._ebFlushed)
        done.addErrback(lambda failure: _log.failure("A flush went wrong", failure))

    def _cbFlushed(self, _: None = None) -> None:
        done, self._flushing = self._flushing, []
        if self._committed:
            # Most often it syncs in its thread while the replies are made here.
            self._flush()
        finish(done)
        if self._whenFlushed is not None:
            self._whenFlushed()

    def _ebFlushed(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, OutOfSpace):
            self._room.exhausted()
            if self._whenFlushed is None:
                self._clock.callLater(FULL_AGAIN, self._flushAgain)
                return
            error = StoreFailed(
                "the log cannot be written at the end: the disk is full"
            )
        if not isinstance(error, StoreFailed):
            _log.failure("The log could not be synced", failure)
            error = StoreFailed(f"the log cannot be synced: {error}")
        self._fail(error)

    def _flushAgain(self) -> None:
        if self._flushing:
            self._flush()

    def drain(self, whenFlushed: Callable[[], None]) -> None:
        """Wait for no room on the disk any longer.

        :param whenFlushed: called after each flush from now on.
        """
        self._whenFlushed = whenFlushed

    def end(self, error: StoreFailed) -> None:
        """Fail when the flush under way is over, or after ENDING at the latest."""
        if not self._flushing:
            self._fail(error)
        elif self._ending is None:
            self._ending = error
            self._clock.callLater(ENDING, self._fail, error)

    def lose(self, error: StoreFailed) -> None:
        """Tell all that are not told that they are lost."""
        lost = self.operations
        self._flushing, self._committed = [], []
        undo(lost)
        for operation in lost:
            operation.fail(error)
        finish(lost)
