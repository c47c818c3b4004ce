"""The broker: who gets which message, and when it may be told.

Each client has a :class:`Session`.  Its operations wait in the session's inbox, in
order.  When something waits, and all was read that was there to be read, the broker
runs a *turn*:

1. :mod:`memq.broker.rotation` says which sessions may run, and in which order.  A read
   that finds nothing and may wait leaves the turn, and costs nothing until there may be
   a message.
2. :mod:`memq.broker.turns` runs their operations in one transaction, and commits.
3. :mod:`memq.broker.groupcommit` flushes, and tells the sessions what is durable.

Between turns the store sweeps.  A session that does not read what it was sent, or for
which much is taken that is not delivered yet, is left out until it catches up.

When the disk is full, the turn that meets it is undone, and pushes are refused from
then on.  When the store fails for good, everybody who waits is told so, nothing is
acknowledged any more, and ``onFailure`` is called once.

The broker knows neither the wire nor how anything is stored.
"""

from __future__ import annotations

from functools import partial
from math import inf
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from zope.interface import implementer

from memq.broker.background.returns import DelayTimer, Returns
from memq.broker.diskspace import DiskEvent, DiskSpaceGuard
from memq.broker.groupcommit import GroupCommit, finish
from memq.broker.interfaces import IEngine
from memq.broker.memorybudget import Budget
from memq.broker.refusals import Refusals
from memq.broker.rotation import Rotation
from memq.broker.session import Session, State, sessionOf
from memq.broker.taps.taps import Taps
from memq.broker.turns import Turns, asQueueError
from memq.errors import StoreFailed
from memq.operations.outstanding import Outstanding
from memq.policy.effective import Policies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from twisted.internet.interfaces import IReactorTime

    from memq.figures import Outcome, Sums, Totals
    from memq.interfaces import IQueueStore
    from memq.message import LargeBody, Message
    from memq.operations.base import Operation
    from memq.operations.openreads.opened import Opened

#: The most messages that are swept, removed or moved, between two turns.
SWEEP_MESSAGES = 100
#: Seconds until a sweep that failed is tried again.
SWEEP_AGAIN = 60.0
#: The states of sessions that stand in the rotation.
MAY_RUN = (State.RUNNABLE, State.BEHIND, State.WOKEN)

_log = Logger()


def _ignore(began: float, operations: list[Operation]) -> None:
    """Do nothing."""


@implementer(IEngine)
class Broker:
    """Run the sessions' operations in turns, and tell when they are durable.

    :ivar durable: whether results wait for ``persist`` before they are told.
    :ivar failure: the error for which the store has failed for good; None without one.
    :ivar isStopping: whether the process is about to end, and open reads with it.
    :ivar taps: has those who get copies of what is set.
    :ivar room: tells whether pushes are refused because the disk is too full.
    :ivar longTurn: seconds after which a turn is told of.
    :ivar onLongTurn: is told when it began, and what is done.
    """

    lacks: frozenset[str] = frozenset()

    def __init__(
        self,
        store: IQueueStore,
        clock: IReactorTime,
        budget: Budget | None = None,
        policies: Policies | None = None,
        *,
        persist: Callable[[], Deferred[None] | None] = lambda: None,
        later: Callable[[Callable[[], None]], object] | None = None,
        durable: bool = True,
        onFailure: Callable[[StoreFailed], object] = lambda error: None,
    ) -> None:
        """Make a broker over a store that the caller opens and closes.

        :param budget: says how much may be undelivered; None for the usual one.
        :param policies: what holds for which queue; None for no rules.
        :param persist: makes durable what is committed, at once, or when the Deferred
            that it returns has fired.
        :param later: calls a turn, once more has been read; None for the clock.
        :param onFailure: called once, with the error, when the store has failed for
            good.
        """
        self._store = store
        self.clock = clock
        self._onFailure = onFailure
        self.policies = policies or Policies(store)
        self.budget = budget or Budget()
        self.durable = durable
        self.isStopping = False
        self.refusals = Refusals(clock.seconds)
        self.room = DiskSpaceGuard()
        later = later or partial(clock.callLater, 0)
        self._rotation = Rotation(clock, self.room, partial(later, self._turn), finish)
        self._turns = Turns(store, self._rotation, self.room, self.budget, self.fail)
        self._commits = GroupCommit(clock, persist, self.room, self.fail)
        self._returns = Returns(self.session, clock.callLater)
        self._delays = DelayTimer(
            self.session, store, clock.callLater, self.policies.now
        )
        self.taps = Taps()
        self.failure: StoreFailed | None = None
        self.longTurn = inf
        self.onLongTurn: Callable[[float, list[Operation]], object] = _ignore
        self._seconds = clock.seconds
        #: Whether those that were waiting when the disk became full are refused.
        self._areRefused = False
        #: When sweeping may go on, by the clock; 0 for at once.
        self._sweepsFrom = 0.0
        self._idle: Deferred[None] | None = None
        self.room.subscribe(DiskEvent.RELEASED, self._rotation.schedule)
        # Nobody may be in the middle of something.
        self.policies.subscribe(lambda: clock.callLater(0, self._rotation.wakeAll))

    def session(self, deliver: Callable[[], None]) -> Session:
        """Return a session for a new client.

        :param deliver: called when operations of the session are done.
        """
        outstanding = Outstanding(self.budget.count)
        return Session(self, self._rotation, deliver, outstanding)

    def start(self) -> None:
        """Begin with what needs no client, once the store is open."""
        self.policies.look()
        self._delays.start()
        self.sweep()

    def sweep(self) -> None:
        """Let the store sweep between turns, if it has something to sweep.

        Turns notice by themselves; so this is for when there may be none: at the start,
        and after ``tidy``.
        """
        if self.clock.seconds() >= self._sweepsFrom and self._store.hasGarbage():
            self._rotation.schedule()

    @property
    def refusing(self) -> str | None:
        """Why no set is taken for now."""
        return "the disk is full" if self.room.isFull else None

    def troubles(self) -> Iterator[str]:
        """Yield nothing: the store either serves or has failed."""
        return iter(())

    def cluster(self) -> None:
        """Return that all is kept here."""

    @property
    def turns(self) -> int:
        """How many turns there were."""
        return self._turns.number

    @property
    def flushes(self) -> int:
        """How many flushes there were."""
        return self._commits.flushes

    @property
    def waiting(self) -> int:
        """How many commands have not been told their result yet."""
        rotation = self._rotation
        operations = self._commits.operations
        for session in (*rotation.new, *rotation.behind):
            operations += session.inbox
        return sum(operation.count for operation in operations)

    @property
    def flushing(self) -> Sequence[Operation]:
        """The operations that the flush under way is to cover."""
        return self._commits.flushing

    @property
    def lastInLine(self) -> Operation | None:
        """The next operation of the session that stands last in the rotation."""
        sessions = self._rotation.new or self._rotation.behind
        inbox = sessions[-1].inbox if sessions else None
        return inbox[0] if inbox else None

    def isInLine(self, operation: Operation) -> bool | None:
        """Return whether one that was the next of its session is so, and may run.

        :return: None when it is, and its session is left out; False when it has run.
        """
        session = sessionOf(operation)
        if not session.inbox or session.inbox[0] is not operation:
            return False
        return session.state in MAY_RUN or None

    @property
    def readers(self) -> int:
        """How many reads wait for a message, whichever queue they wait for."""
        return len(self._rotation.lines)

    def waiters(self, queue: bytes) -> int:
        """Return how many reads wait for messages of a queue."""
        return self._rotation.lines.waiters(queue)

    def isHeld(self, queue: bytes) -> bool:
        """Return whether a queue is waited for, or a message may go back to it."""
        return self._returns.isPending or queue in self._rotation.lines.queues

    # Figures without a turn.  They may be ahead of what is durable by one.

    def refresh(self, asks: bool) -> Deferred[object]:
        """Return that all is known."""
        return succeed(None)

    def names(self) -> list[bytes]:
        """Return the names of all queues."""
        return self._store.names()

    def sums(self, queues: Sequence[bytes]) -> Sums:
        """Return what some queues have together, of those that there are."""
        return self._store.sums(queues)

    def gone(self) -> Totals:
        """Return what queues have counted that were deleted; see IQueueStore."""
        return self._store.gone()

    def outcomes(self) -> Mapping[Outcome, int]:
        """Return what became of messages since the start."""
        return self._store.outcomes()

    # Calls of sessions.

    def expectDue(self, due: int) -> None:
        """Note that a delayed message is due at a time, in ms since 1970."""
        self._delays.expect(due)

    def putBack(self, queue: bytes, message: Message) -> None:
        """Return a message to its old place: its reader is gone."""
        self._returns.putBack(queue, message)

    def giveBack(self, opened: Opened) -> None:
        """Return an open read to its old place: its reader took too long."""
        self._returns.giveBack(opened)

    def giveBackLater(self, opened: Sequence[Opened]) -> None:
        """Return open reads of which that could not be done now."""
        self._returns.giveBackLater(opened)

    def part(self, large: LargeBody, number: int) -> bytes:
        """Return a part of a message that was popped.

        :raise memq.errors.QueueError: when that cannot be had.
        """
        try:
            return self._store.part(large.id, number)
        except StoreFailed as error:
            self.fail(error)
            raise

    # The end.

    def stop(self) -> None:
        """Note that the process is about to end: what is open then is forgotten."""
        self.isStopping = True

    def drain(self) -> Deferred[None]:
        """Return a Deferred that fires when nothing waits any more.

        Nothing is swept any further; the next start goes on with it.
        """
        self.stop()
        self._sweepsFrom = inf
        self._delays.stop()
        self._idle = Deferred()
        self._commits.drain(self._rotation.schedule)
        self._rotation.endAll()
        self._returns.end()
        self._rotation.schedule()
        return self._idle

    def fail(self, error: StoreFailed) -> None:
        """Tell everybody who waits that the store has failed for good."""
        if self.failure is not None:
            return
        self.failure = error
        self._commits.lose(error)
        self._rotation.release()
        self._rotation.schedule()
        self._onFailure(error)

    def end(self, error: StoreFailed) -> None:
        """Fail when the flush under way is over, or soon at the latest.

        The store itself works: so what that flush makes durable is told as it is.
        Those whose turn comes meanwhile are told the error.
        """
        self._commits.end(error)

    # Turns.

    def _turn(self) -> None:
        rotation = self._rotation
        rotation.isScheduled = False
        if self.room.isFull is not self._areRefused or rotation.refused:
            self._refusePushes()
        if self.failure is not None:
            self._refuseAll(self.failure)
        elif self.room.isHeld:
            # A look at the disk is under way, and goes on from here.
            return
        elif rotation.new or rotation.behind:
            began = self._seconds()
            operations, changed = self._turns.run()
            if self._seconds() - began > self.longTurn:
                self.onLongTurn(began, operations)
            if self.taps.watching:
                self.taps.copy(operations)
            if self.failure is not None or not changed or not self.durable:
                finish(operations)
            # Without anything to be told, the next flush will do.
            elif operations:
                self._commits.add(operations)
        # The turn may have used up what is free to use.
        mayGoOn = self.failure is None and not self.room.isHeld
        # A store that was not opened, at the end of a start that failed, is not asked.
        maySweep = mayGoOn and (
            not self._sweepsFrom or self.clock.seconds() >= self._sweepsFrom
        )
        sweeping = maySweep and self._store.hasGarbage() and self._sweep()
        if rotation.new or rotation.behind or sweeping:
            rotation.schedule()
        elif self._idle is not None and not self._commits.operations:
            idle, self._idle = self._idle, None
            idle.callback(None)

    def _refusePushes(self) -> None:
        """Tell those that the disk has no room for; all, when it has become full."""
        rotation = self._rotation
        if self.room.isFull and not self._areRefused:
            for session in (*rotation.new, *rotation.behind):
                rotation.refused += session.refusePushes()
        self._areRefused = self.room.isFull
        refused, rotation.refused = rotation.refused, []
        finish(refused)

    def _refuseAll(self, error: StoreFailed) -> None:
        operations = self._rotation.clear()
        for operation in operations:
            operation.fail(error)
        finish(operations)

    def _sweep(self) -> bool:
        """Sweep some messages; return whether to go on."""
        store = self._store
        try:
            before = store.logged()
            hasMore = store.sweep(SWEEP_MESSAGES)
            self.room.changed(0, max(0, store.logged() - before))
            return hasMore
        except StoreFailed as error:
            self.fail(error)
        except Exception as error:
            self._sweepsFrom = self.clock.seconds() + SWEEP_AGAIN
            why = asQueueError(error)
            _log.error("Room is not given back before the next try: {why}", why=why)
        return False
