"""Slow commands: a line a second at most, with where the time of one of them went.

A clock for each command would cost every command something.  So only turns are timed,
and ten times a second one command is looked at that waits in line for its turn, and one
that waits to be synced: each is followed until it is done.  What takes longer than a
look is noticed; the times told are right to a tenth of a second.

Reads that wait for a message are left out, since they asked for it.  Two operations are
held at most, until the next look.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Protocol

from twisted.logger import Logger

from memq.display import shownName
from memq.operations.base import Ask
from memq.operations.imports.chunks import ImportOperation
from memq.operations.moves import Move, Redrive
from memq.operations.openreads.aborts import AbortRead
from memq.operations.openreads.closes import CloseRead
from memq.operations.openreads.openmany import OpenMany
from memq.operations.openreads.touches import TouchRead
from memq.operations.peeks import PeekMany
from memq.operations.pops import Pop
from memq.operations.pushes import AddPart, Push, PushLarge
from memq.operations.queues import AddQueue, Delete, Empty, EmptyAll, Pause, Resume
from memq.operations.reads import Read, Search

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from twisted.internet.interfaces import IReactorTime

    from memq.operations.base import Operation

#: Seconds between two looks, at most and at least.
STEP, LEAST_STEP = 0.1, 0.01
#: Seconds between two lines.
INTERVAL = 1.0
#: Seconds after which a command is told of that is still not done.
HANGS = 10.0
#: Seconds of a turn that are not worth to be told.
QUICK_TURN = 0.01

#: What clients call the operations.  Those that a whole turn may be slow of come first.
_WORDS: dict[type[Operation], str] = {
    EmptyAll: "flush_all",
    Delete: "delete",
    Empty: "flush",
    Move: "move",
    Redrive: "redrive",
    AddQueue: "add",
    Pause: "pause",
    Resume: "resume",
    AbortRead: "abort",
    CloseRead: "close",
    OpenMany: "monitor",
    TouchRead: "touch",
    PushLarge: "set",
    AddPart: "set",
    Push: "set",
    Pop: "get",
    Read: "get",
    ImportOperation: "import",
    PeekMany: "peek",
    Ask: "stats",
}
_RANKS = {kind: place for place, kind in enumerate(_WORDS)}

_log = Logger("slow")


class Client(Protocol):
    """A connection, as far as it has to be known here."""

    @property
    def session(self) -> object:
        """Return what its operations are told is their client."""

    @property
    def peer(self) -> str:
        """Return what the log calls it."""


class Watched(Protocol):
    """The broker, as far as it has to be known here."""

    longTurn: float
    onLongTurn: Callable[[float, list[Operation]], object]

    @property
    def flushing(self) -> Sequence[Operation]:
        """Return the operations that the flush under way is to cover."""

    @property
    def lastInLine(self) -> Operation | None:
        """Return the next operation of the client that stands last in line."""

    def isInLine(self, operation: Operation) -> bool | None:
        """Return whether it stands in line; None when its client does not read."""


class _Followed:
    """An operation, from when it was seen until it is done.

    :ivar since: when it was seen.
    :ivar line: seconds that it waited for its turn.
    :ivar turn: seconds of that turn.
    :ivar count: commands that were as slow as it.
    """

    __slots__ = ("count", "inLine", "isTold", "line", "operation", "since", "turn")

    def __init__(
        self, operation: Operation, since: float, inLine: bool = False
    ) -> None:
        self.operation = operation
        self.since = since
        self.inLine = inLine
        self.isTold = False
        self.line = self.turn = 0.0
        self.count = operation.count


class SlowCommands:
    """Look for slow commands."""

    def __init__(
        self,
        clock: IReactorTime,
        broker: Watched,
        clients: Iterable[Client],
        slow: float,
    ) -> None:
        """Begin once ``start`` is called.

        :param clients: those that are there now.
        :param slow: seconds from which on a command is slow; 0 for none.
        """
        self._clock = clock
        self._seconds = clock.seconds
        self._broker = broker
        self._clients = clients
        self._slow = slow
        self._step = max(LEAST_STEP, min(STEP, slow / 5))
        self._isRunning = False
        self._flushing: _Followed | None = None
        self._inLine: _Followed | None = None
        self._toldAt: float | None = None
        self._untold = 0

    def start(self) -> None:
        """Begin to look."""
        if self._slow:
            self._isRunning = True
            self._broker.onLongTurn = self._noteTurn
            self._broker.longTurn = QUICK_TURN
            self._clock.callLater(self._step, self._look)

    def stop(self) -> None:
        """Look no more."""
        self._isRunning = False
        self._broker.longTurn = inf

    def _noteTurn(self, began: float, operations: list[Operation]) -> None:
        """Note that a turn took long: no other was as long since the last look."""
        took = self._seconds() - began
        self._broker.longTurn = took
        if took < self._slow or not operations:
            return
        followed = _Followed(min(operations, key=_rank), began)
        followed.turn = took
        followed.count = sum(each.count for each in operations)
        self._flushing = followed

    def noteFlush(self, took: float) -> None:
        """Note that all had to wait for so many seconds until a flush was over."""
        flushing = self._broker.flushing
        if self._isRunning and took >= self._slow and flushing:
            self._flushing = _Followed(flushing[0], self._seconds() - took)
            self._flushing.count = sum(each.count for each in flushing)

    def _look(self) -> None:
        if not self._isRunning:
            return
        now = self._seconds()
        self._flushing = self._followed(self._flushing, now)
        self._inLine = self._followed(self._inLine, now)
        flushing, last = self._broker.flushing, self._broker.lastInLine
        if self._flushing is None and flushing:
            self._flushing = _Followed(flushing[0], now)
            self._flushing.count = sum(each.count for each in flushing)
        if self._inLine is None and last is not None and not _waits(last):
            self._inLine = _Followed(last, now, inLine=True)
        self._broker.longTurn = QUICK_TURN
        self._clock.callLater(self._step, self._look)

    def _followed(self, followed: _Followed | None, now: float) -> _Followed | None:
        """Look at an operation; return it if there will be more to see of it."""
        if followed is None or _waits(followed.operation):
            return None
        took = now - followed.since
        if followed.inLine:
            isInLine = self._broker.isInLine(followed.operation)
            if isInLine is None:
                return None
            followed.line = took
            if not isInLine:
                self._noteRun(followed)
        isDone = followed.operation.done
        if took >= (self._slow if isDone else max(HANGS, self._slow)):
            self._tell(followed, took)
        return None if isDone else followed

    def _noteRun(self, followed: _Followed) -> None:
        """Note that an operation has had its turn, which may have taken long."""
        followed.inLine = False
        if self._broker.longTurn > QUICK_TURN:
            followed.turn = min(self._broker.longTurn, followed.line)
            followed.line -= followed.turn

    def _tell(self, followed: _Followed, took: float) -> None:
        """Log that an operation was slow, once, if it may have a line now."""
        if followed.isTold:
            return
        followed.isTold = True
        now = self._seconds()
        if self._toldAt is not None and now - self._toldAt < INTERVAL:
            self._untold += followed.count
            return
        self._toldAt = now
        more, self._untold = self._untold + followed.count - 1, 0
        self._log(followed, took, more)

    def _log(self, followed: _Followed, took: float, more: int) -> None:
        operation = followed.operation
        queue = getattr(operation, "queue", None)
        peer = self._peer(operation)
        sync = max(0.0, took - followed.line - followed.turn)
        _log.warn(
            "{command} of {of} by {by} took {took:.1f} s{still}: {line:.1f} in line, "
            "{turn:.1f} in its turn, {sync:.1f} until it was synced{others}",
            command=_word(operation),
            of="no queue" if queue is None else shownName(queue),
            by=peer or "a client that has gone",
            still="" if operation.done else " so far",
            took=took,
            line=followed.line,
            turn=followed.turn,
            sync=sync,
            count=more,
            others=f"; {more} more were slow since this was last said" if more else "",
            peer=peer,
            queue=queue,
            ms=took * 1000,
            more={
                "line_ms": round(followed.line * 1000),
                "turn_ms": round(followed.turn * 1000),
                "sync_ms": round(sync * 1000),
                "more": more,
            },
        )

    def _peer(self, operation: Operation) -> str | None:
        for client in self._clients:
            if client.session is operation.client:
                return client.peer
        return None


def _rank(operation: Operation) -> int:
    return _RANKS.get(type(operation), len(_RANKS))


def _waits(operation: Operation) -> bool:
    """Return whether it may wait for a message."""
    return isinstance(operation, Search) and operation.wait > 0


def _word(operation: Operation) -> str:
    """Return what clients call an operation; memq's own work has its name here."""
    kinds = type(operation).__mro__
    known = (_WORDS[kind] for kind in kinds if kind in _WORDS)
    return next(known, kinds[0].__name__.lower())
