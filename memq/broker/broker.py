"""The broker: who gets which message, and when it may be told.

Theory of operation
===================

Each client has a :class:`Session`.  What it asks for are :class:`Operation`
objects that wait in the session's inbox, in order.  Once a reactor iteration,
when something waits, the broker runs a *turn*: it takes operations from the
sessions in rotation, runs them in one transaction of the store, and commits.
The commit is not durable yet; ``persist``, given by the service, returns a
Deferred that fires when everything committed before the call is.  Then each
operation of the turn is done, and its session is told.

- While a flush runs, turns go on being committed; the next flush covers them
  all (group commit).
- An operation that changed nothing needs no flush of its own, only its place
  in the line.
- A turn is bounded in messages and bytes, and so is each session's share of
  it, so that nobody waits long behind somebody else's pipeline.  A session that
  wanted more than its share stands behind those that come anew, and every
  second place in a turn is theirs: among a thousand that want much, one that
  wants little waits for few.
- An operation that fails must not take others with it: the turn is undone, and
  its operations run again one by one, each in a transaction of its own.  A turn
  that met a lock error runs again in the same way.
- A session that is not reading what it was sent, or that has taken much which
  is not delivered yet, is left out of turns until it catches up.
- When little is left of the budget, that is earlier, and messages are taken singly.
- A message that was taken for a session that is gone goes back to its place.
- A read that finds nothing and may wait leaves the turn; its session is parked, and
  costs nothing until there may be a message, see :mod:`memq.broker.waiters`.
- When the disk is full, the turn that meets it is undone, and pushes are refused from
  then on.  Where only the flush meets it, what is committed stands: nothing of it is
  told, and the flush is tried again until there is room.  Nothing else is.
- When the store fails for good, everybody who waits is told so, nothing is
  acknowledged any more, and ``onFailure`` is called once.

The broker knows neither the wire nor how anything is stored.
"""

from __future__ import annotations

from collections import deque
from itertools import chain
from math import inf
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.logger import Logger

from memq.broker.delaytimer import DelayTimer
from memq.broker.diskspace import DiskSpaceGuard
from memq.broker.memorybudget import ALLOWANCE, Budget
from memq.broker.refusals import Refusals
from memq.broker.returns import Returns
from memq.broker.session import UNDELIVERED_BYTES, Session, sessionOf
from memq.broker.waiters import BlockedReaders
from memq.errors import OutOfSpace, QueueError, StoreFailed
from memq.operations.pops import Pop
from memq.operations.reads import WouldBlock
from memq.policy.effective import Policies

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from memq.interfaces import IQueueStore
    from memq.message import LargeBody, Message
    from memq.operations.base import Client, Operation
    from memq.operations.openreads import Opened
    from memq.operations.reads import Read

#: What a turn costs at most, about 10 ms of work: a message counts as its body and
#: MESSAGE_COST, so that is 1000 messages, or 1 MiB.
TURN_COST = 1024 * 1024
#: A session's share of a turn that others take part in.
SHARE = 64 * 1024
#: The most messages that are swept, removed or moved, between two turns.
SWEEP_MESSAGES = 100
#: Seconds until a sweep that failed is tried again.
SWEEP_AGAIN = 60.0
#: Seconds until a flush is tried again on a full disk.
FULL_AGAIN = 1.0
#: Seconds that a flush under way is given when nothing is to be stored more.
ENDING = 0.5

_log = Logger()


def _asQueueError(error: Exception) -> QueueError:
    """Return the error that a client is told; called while it is handled."""
    if isinstance(error, QueueError):
        return error
    _log.failure("An operation failed in a way that nobody foresaw")
    return QueueError()


def _undo(operations: list[Operation]) -> None:
    """Make operations as they were before they ran, the last one first."""
    for operation in reversed(operations):
        operation.undo()


class Broker:
    """Run the sessions' operations in turns, and tell when they are durable."""

    def __init__(
        self,
        store: IQueueStore,
        clock: IReactorTime,
        budget: Budget | None = None,
        policies: Policies | None = None,
    ) -> None:
        """Make a broker over a store that the caller opens and closes.

        :param clock: calls the turns.
        :param budget: says how much may be undelivered; None for the usual one.
        :param policies: what holds for which queue; None for no rules.
        """
        self._store = store
        self.policies = policies or Policies(store)
        self._clock = clock
        self.budget = budget or Budget()
        #: Bytes undelivered at which a session is left out.
        self._undelivered = UNDELIVERED_BYTES
        #: Makes durable what is committed; the service gives its own.
        self.persist: Callable[[], Deferred[None]] = lambda: succeed(None)
        #: Called once, with the error, when the store has failed for good.
        self.onFailure: Callable[[StoreFailed], None] = lambda error: None
        #: Whether results wait for ``persist`` before they are told.
        self.durable = True
        #: Whether pushes are refused because the disk is too full.
        self.room = DiskSpaceGuard()
        self.room.onRelease = self._schedule
        self.turns = 0
        self.flushes = 0
        #: Sessions with operations that may run, in rotation: those that come anew,
        #: and those that have had a share and want more.
        self._waiting: deque[Session] = deque()
        self._behind: deque[Session] = deque()
        self._scheduled = False
        #: Whether those that were waiting when the disk became full are refused.
        self._areRefused = False
        self._refused: list[Operation] = []
        #: Operations that wait for the next flush, and for the one under way.
        self._committed: list[Operation] = []
        self._flushing: list[Operation] = []
        self._failure: StoreFailed | None = None
        #: Whether only the flush under way is still to be told.
        self._isEnding = False
        #: When sweeping may go on, by the clock.
        self._sweepsFrom = 0.0
        self._idle: Deferred[None] | None = None
        self._blocked = BlockedReaders(
            clock, self.enqueue, self.enqueueFirst, self._finish
        )
        #: The lines of those that wait for messages; empty most of the time.
        self._lines = self._blocked.lines.queues
        #: Whether the process is about to end, and open reads with it.
        self.isStopping = False
        self._returns = Returns(self)
        self.refusals = Refusals(clock.seconds)
        # Nobody may be in the middle of something.
        self.policies.onChange = lambda: self.later(self._blocked.wakeAll)
        self._ripening = DelayTimer(self, store)

    def session(self, deliver: Callable[[], None]) -> Session:
        """Return a session for a new client.

        :param deliver: called when operations of the session are done.
        """
        return Session(self, deliver)

    def sweep(self) -> None:
        """Let the store sweep between turns, if it has something to sweep.

        Turns notice by themselves; so this is for when there may be none: at the start,
        and after ``tidy``.
        """
        if self._clock.seconds() >= self._sweepsFrom and self._store.hasGarbage():
            self._schedule()

    def start(self) -> None:
        """Begin with what needs no client, once the store is open."""
        self.policies.look()
        self._ripening.start()
        self.sweep()

    def expectDue(self, due: int) -> None:
        """Note that a delayed message is due at a time, in ms since 1970."""
        self._ripening.expect(due)

    @property
    def waiting(self) -> int:
        """How many commands have not been told their result yet."""
        inboxes = [session.inbox for session in (*self._waiting, *self._behind)]
        return sum(
            operation.count
            for operation in chain(self._committed, self._flushing, *inboxes)
        )

    def enqueue(self, session: Session, behind: bool = False) -> None:
        """Put a session into the rotation, if it has something that may run.

        :param behind: whether it has had its share already.
        """
        undelivered = session.outstanding.undelivered
        if session.inbox and (
            session.gone or not (session.blocked or undelivered >= self._undelivered)
        ):
            session.waits = True
            (self._behind if behind else self._waiting).append(session)
            if self.room.isFull:
                self._refused += session.refusePushes()
            if not self._scheduled:
                self._schedule()

    def enqueueFirst(self, session: Session) -> None:
        """Put a session at the front of the rotation, if it may run."""
        self._leaveRotation(session)
        self.enqueue(session)
        if session.waits:
            self._waiting.rotate(1)

    def withdraw(self, session: Session) -> None:
        """Take a session out of the rotation, or out of the line where it waits.

        It loses its place there: nobody is to wait for a client that does not read.
        """
        if not self._blocked.leave(session):
            self._leaveRotation(session)

    def _leaveRotation(self, session: Session) -> None:
        if session.waits:
            session.waits = False
            behind = session in self._behind
            (self._behind if behind else self._waiting).remove(session)

    def isAwaited(self, queue: bytes) -> bool:
        """Return whether anybody stands in the line of a queue."""
        return queue in self._lines

    def isUnfinished(self, queue: bytes) -> bool:
        """Return whether a read of a queue that has run in this turn will go on."""
        return queue in self._blocked.unfinished

    def waiters(self, queue: bytes) -> int:
        """Return how many reads wait for messages of a queue."""
        return self._blocked.lines.count(queue)

    @property
    def isReturning(self) -> bool:
        """Whether messages that were taken are on their way back."""
        return self._returns.isPending

    def endWait(self, read: Read) -> None:
        """Answer a read that waits, with nothing."""
        self._blocked.end(read)

    def stop(self) -> None:
        """Note that the process is about to end: what is open then is forgotten."""
        self.isStopping = True

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

    def seconds(self) -> float:
        """Return the time, by a clock that is never set."""
        return self._clock.seconds()

    def later(self, call: Callable[[], None]) -> None:
        """Call something in the next reactor iteration."""
        self._clock.callLater(0, call)

    def after(self, seconds: float, call: Callable[[], None]) -> IDelayedCall:
        """Call something after so many seconds."""
        return self._clock.callLater(seconds, call)

    def drain(self) -> Deferred[None]:
        """Return a Deferred that fires when nothing waits any more.

        Nothing is swept any further; the next start goes on with it.
        """
        self.stop()
        self._sweepsFrom = inf
        self._ripening.stop()
        self._idle = Deferred()
        self._blocked.endAll()
        self._returns.end()
        self._schedule()
        return self._idle

    def fail(self, error: StoreFailed) -> None:
        """Tell everybody who waits that the store has failed for good."""
        if self._failure is not None:
            return
        self._failure = error
        lost = [*self._flushing, *self._committed]
        self._flushing, self._committed = [], []
        _undo(lost)
        for operation in lost:
            operation.fail(error)
        self._finish(lost)
        self._blocked.release()
        self._schedule()
        self.onFailure(error)

    def end(self, error: StoreFailed) -> None:
        """Fail when the flush under way is over, or after ENDING at the latest.

        The store itself works: so what that flush makes durable is told as it is.
        Those whose turn comes meanwhile are told the error.
        """
        if not self._flushing:
            self.fail(error)
        elif not self._isEnding:
            self._isEnding = True
            self.persist = lambda: fail(error)
            self._clock.callLater(ENDING, self.fail, error)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self.room.isFull != self._areRefused:
            self._refusePushes()
        if self._refused:
            refused, self._refused = self._refused, []
            self._finish(refused)
        if self._failure is not None:
            self._refuseWaiting(self._failure)
        elif self.room.isHeld:
            # A look at the disk is under way, and goes on from here.
            return
        elif self._waiting or self._behind:
            self._run()
        # The turn may have used up what is free to use.
        mayGoOn = self._failure is None and not self.room.isHeld
        sweeping = mayGoOn and self._sweep()
        if self._waiting or self._behind or sweeping:
            self._schedule()
        elif self._idle is not None and not (self._committed or self._flushing):
            idle, self._idle = self._idle, None
            idle.callback(None)

    def _refusePushes(self) -> None:
        """Refuse what waits to be stored, when the disk has become full."""
        self._areRefused = self.room.isFull
        if self._areRefused:
            for session in (*self._waiting, *self._behind):
                self._refused += session.refusePushes()

    def _run(self) -> None:
        store = self._store
        self.turns += 1
        operations: list[Operation] = []
        try:
            store.begin()
            logged = self._runTogether(operations)
            store.commit()
            changed = logged > 0
            if changed:
                bytesFreed = sum([operation.bytesFreed for operation in operations])
                for read in self._blocked.reads:
                    bytesFreed += read.bytesFreed
                self.room.changed(bytesFreed, logged)
        except Exception as error:
            operations += self._blocked.take()
            if not operations:
                # Not even the transaction began; nobody is to wait for that.
                operations = self._takeAll()
            # Whatever it was, it may concern one operation only.
            if isinstance(error, OutOfSpace):
                self.room.exhausted()
            else:
                _log.warn(
                    "A turn of {count} is undone and run again one by one: {error}",
                    count=sum(operation.count for operation in operations),
                    error=error,
                )
            changed = self._runApart(operations)
        stuck = self._blocked.reads
        if stuck:
            self._blocked.park()
        if self._lines:
            self._blocked.wakeFor([*operations, *stuck])
        if self._failure is not None or not changed or not self.durable:
            self._finish(operations)
        # Without anything to be told, the next flush will do.
        elif operations:
            self._committed += operations
            self._flush()

    def _runTogether(self, operations: list[Operation]) -> int:
        """Run a turn's worth of operations, each added to the list first.

        :return: what they cost, 0 when nothing changed; that is about what they log.
        """
        store = self._store
        waiting, behind = self._waiting, self._behind
        # Those that join them in this turn have had their go.
        others = len(behind)
        count = len(waiting) + others
        room = self.room.left(TURN_COST)
        share = min(room, max(SHARE, TURN_COST // count))
        changed = 0
        undelivered = min(UNDELIVERED_BYTES, self.budget.window)
        self._undelivered = undelivered
        tight = undelivered < UNDELIVERED_BYTES
        # Each session has one go a turn.
        for place in range(count):
            if others and (place & 1 or not waiting):
                others -= 1
                session = behind.popleft()
            else:
                session = waiting.popleft()
            inbox = session.inbox
            left = share
            try:
                while inbox and left > 0:
                    operation = inbox.popleft()
                    if tight and type(operation) is Pop and operation.most > 1:
                        inbox.appendleft(operation.divide())
                    operations.append(operation)
                    cost = operation.run(store)
                    left -= cost or operation.idleCost
                    changed += cost
                    if session.outstanding.undelivered >= undelivered:
                        break
            except WouldBlock as nothing:
                self._blocked.keep(nothing.read)
                left -= operations.pop().idleCost + nothing.cost
                changed += nothing.cost
                # What is behind it waits with it.
                inbox = deque()
            finally:
                session.waits = False
                if session.outstanding.undelivered > ALLOWANCE:
                    session.outstanding.report()
                if inbox:
                    self.enqueue(session, True)
            room -= share - left
            if room <= 0:
                break
        return changed

    def _runApart(self, operations: list[Operation]) -> bool:
        """Run operations again, each in its own transaction; some will fail."""
        store = self._store
        changed = False
        parked = self._blocked.reads
        #: By session, what does not run because a read before it waits.
        behind: dict[Session, list[Operation]] = {}
        try:
            store.abort()
            _undo(operations)
            for operation in operations:
                session = sessionOf(operation)
                if session in behind:
                    behind[session].append(operation)
                    continue
                for part in operation.split():
                    changed |= self._runAlone(part)
                if parked and parked[-1] is operation:
                    behind[session] = [operation]
        except StoreFailed as error:
            self._blocked.take()
            _undo(operations)
            for operation in operations:
                operation.fail(error)
            self.fail(error)
            return changed
        for session, (_, *rest) in behind.items():
            self._leaveRotation(session)
            session.inbox.extendleft(reversed(rest))
        waits = set(chain.from_iterable(behind.values()))
        operations[:] = [each for each in operations if each not in waits]
        return changed

    def _runAlone(self, operation: Operation) -> bool:
        """Run an operation in a transaction; return whether it changed anything."""
        store = self._store
        waits: list[Read] = []
        try:
            store.begin()
            try:
                cost = operation.run(store)
            except WouldBlock as nothing:
                cost, waits = nothing.cost, [nothing.read]
            store.commit()
            self.room.changed(operation.bytesFreed, cost)
        except StoreFailed:
            operation.undo()
            raise
        except Exception as error:
            if isinstance(error, OutOfSpace):
                self.room.exhausted()
            store.abort()
            operation.undo()
            operation.fail(_asQueueError(error))
            return False
        for read in waits:
            self._blocked.keep(read)
        return bool(cost)

    def _refuseWaiting(self, error: StoreFailed) -> None:
        operations = self._takeAll()
        for operation in operations:
            operation.fail(error)
        self._finish(operations)

    def _takeAll(self) -> list[Operation]:
        """Take all that could run now out of the inboxes."""
        operations: list[Operation] = []
        for session in (*self._waiting, *self._behind):
            session.waits = False
            operations += session.inbox
            session.inbox.clear()
        self._waiting.clear()
        self._behind.clear()
        return operations

    def _flush(self) -> None:
        """Flush what is committed, unless a flush is under way already."""
        if self._flushing:
            return
        self._flushing, self._committed = self._committed, []
        self._persist()

    def _persist(self) -> None:
        self.flushes += 1
        done = maybeDeferred(self.persist)
        done.addCallbacks(self._cbFlushed, self._ebFlushed)
        done.addErrback(lambda failure: _log.failure("A flush went wrong", failure))

    def _cbFlushed(self, _: None) -> None:
        done, self._flushing = self._flushing, []
        if self._committed:
            # Most often it syncs in its thread while the replies are made here.
            self._flush()
        self._finish(done)
        if self._idle is not None:
            self._schedule()

    def _ebFlushed(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, OutOfSpace):
            self.room.exhausted()
            if self._idle is None:
                self._clock.callLater(FULL_AGAIN, self._flushAgain)
                return
            error = StoreFailed(
                "the log cannot be written at the end: the disk is full"
            )
        if not isinstance(error, StoreFailed):
            _log.failure("The log could not be synced", failure)
            error = StoreFailed(f"the log cannot be synced: {error}")
        self.fail(error)

    def _flushAgain(self) -> None:
        if self._failure is None:
            self._persist()

    def _finish(self, operations: list[Operation]) -> None:
        """Mark operations as done, and tell their sessions."""
        sessions: dict[Client, None] = {}
        for operation in operations:
            operation.done = True
            sessions[operation.session] = None
        for session in sessions:
            try:
                session.deliver()
            except Exception:
                _log.failure("A reply could not be delivered")

    def _sweep(self) -> bool:
        """Sweep some messages; return whether to go on."""
        store = self._store
        now = self._clock.seconds()
        # A store that was not opened, at the end of a start that failed, is not asked.
        if now < self._sweepsFrom or not store.hasGarbage():
            return False
        try:
            before = store.logged()
            hasMore = store.sweep(SWEEP_MESSAGES)
            self.room.changed(0, max(0, store.logged() - before))
            return hasMore
        except StoreFailed as error:
            self.fail(error)
        except Exception as error:
            self._sweepsFrom = now + SWEEP_AGAIN
            why = _asQueueError(error)
            _log.error("Room is not given back before the next try: {why}", why=why)
        return False
