"""Scheduler: which session's operation is carried out next, and whose read waits.

An operation takes a while, so each session has its own under way: one at a time, in
order, but for sets, any number of which overlap.  Only this module writes
:attr:`memq.broker.session.Session.state` of an engine's sessions::

              enqueue             the turn                 nothing is left
       IDLE ----------> RUNNABLE ----------> SUSPENDED ------------------> IDLE
                                                 | its read finds nothing
                                                 v
                                              WAITING --wake--> HELD --> WOKEN

WOKEN goes on as RUNNABLE does.  SUSPENDED is one whose next operation has to wait for
what is under way.  ``block`` makes a session BLOCKED, wherever it stands; what is under
way goes on.

Reads that wait stand in lines, first come, first served, see
:mod:`memq.rabbitmq.waiting`.  What comes into a queue is given to them, whoever sets
it; where that cannot be, the first of a line looks again from time to time.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, cast

from memq.broker.groupcommit import finish
from memq.broker.session import IDLE, UNDELIVERED_BYTES, State, sessionOf
from memq.operations.base import Spent
from memq.operations.openreads.ending import Ending
from memq.operations.openreads.openmany import OpenMany
from memq.operations.pushes import AddPart, Push, PushLarge, Release
from memq.operations.reads import Read
from memq.rabbitmq.waiting import WatchedLines

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from memq.broker.session import Session
    from memq.message import Message
    from memq.operations.base import Operation
    from memq.rabbitmq.waiting import Watch

#: Seconds between two looks at lines.
STEP = 0.25
#: Lines of which the first read looks again each time: 200 questions a second in all.
LOOKS = 50

#: As names of this module, since the way through the class takes longer.
RUNNABLE, SUSPENDED = State.RUNNABLE, State.SUSPENDED
#: What may be under way beside others of its kind.
_OVERLAPPING = Push, PushLarge, AddPart, Release
#: What does a part of its command, and leaves the others to its rest.
_PARTS = OpenMany, Ending


class Scheduler:
    """Sessions, each where it stands.

    :ivar queues: the queues that reads wait for.
    :ivar lines: those of reads that wait.
    :ivar turns: how many turns there were.
    """

    def __init__(
        self,
        clock: IReactorTime,
        later: Callable[[Callable[[], None]], object],
        carry: Callable[[Operation], object],
        onEnded: Callable[[list[Operation]], object],
        watch: Watch,
    ) -> None:
        """Begin with none.

        :param later: calls a turn, once more has been read.
        :param carry: carries out an operation: sooner or later it calls ``ended`` with
            it, or ``wait``.
        :param onEnded: is told what is carried out, before its sessions are.
        :param watch: has consumers of queues that reads wait for.
        """
        self._clock = clock
        self._later = later
        self._carry = carry
        self._onEnded = onEnded
        self._watch = watch
        self.lines = self._lines = WatchedLines(clock, self._answer, watch)
        self.queues = self._lines.queues
        self.turns = 0
        self._ready: deque[Session] = deque()
        #: What is under way, by session, in order.
        self._running: dict[Session, list[Operation]] = {}
        #: Whose operation under way shares its time with others of its command.
        self._spending: dict[Session, Spent] = {}
        #: The session whose operations are being begun.
        self._current: Session | None = None
        self._isScheduled = self._isLooking = self._isEnding = False
        #: The queues that the next looks are for.
        self._next: deque[bytes] = deque()
        self._whenIdle: Callable[[], object] | None = None

    @property
    def readers(self) -> int:
        """How many reads wait for a message."""
        return len(self._lines)

    def waiters(self, queue: bytes) -> int:
        """Return how many reads wait for messages of a queue."""
        return self._lines.waiters(queue)

    @property
    def waiting(self) -> int:
        """Return how many commands are not answered, but for reads that wait."""
        running = (each for ready in self._running.values() for each in ready)
        inboxes = (each for session in self._ready for each in session.inbox)
        return sum(each.count for each in (*running, *inboxes))

    def first(self) -> list[Operation]:
        """Return the first operation under way, of some session; none if there is none.

        Few have been under way for longer.
        """
        return next(([running[0]] for running in self._running.values()), [])

    # Sessions that may run.

    def enqueue(self, session: Session, behind: bool = False) -> None:
        """Let a session run, if it has something that may."""
        if not session.inbox or self._hasMuch(session):
            return
        state = session.state
        if state is IDLE:
            session.state = RUNNABLE
            self._ready.append(session)
        elif state is State.HELD:
            session.state = State.WOKEN
            self._ready.appendleft(session)
            self._lines.woken(cast("Read", session.inbox[0]))
        else:
            return
        self._schedule()

    def enqueueFirst(self, session: Session) -> None:
        """Let a session run before all others, if it may."""
        if session.state is State.RUNNABLE:
            self._ready.remove(session)
            session.state = State.IDLE
        self.enqueue(session)
        self._ready.rotate(int(session.state is State.RUNNABLE))

    def _schedule(self) -> None:
        if not self._isScheduled:
            self._isScheduled = True
            self._later(self._turn)

    def _turn(self) -> None:
        self._isScheduled = False
        self.turns += 1
        ready, self._ready = self._ready, deque()
        for session in ready:
            # One before it may have blocked it, or let it wait no longer.
            if session.state is RUNNABLE or session.state is State.WOKEN:
                self._advance(session)
        self._checkIdle()

    def _advance(self, session: Session) -> None:
        """Begin as many operations of a session as may be under way together."""
        inbox = session.inbox
        session.state = SUSPENDED
        self._current = session
        while inbox and session.state is SUSPENDED:
            running = self._running.get(session)
            operation = inbox[0]
            if running and not self._overlap(running[-1], operation):
                break
            if self._hasMuch(session):
                break
            inbox.popleft()
            if running:
                running.append(operation)
            else:
                self._running[session] = [operation]
            self._carry(operation)
        self._current = None
        self._suspend(session)

    def begin(self, operation: Operation) -> float:
        """Return since when the time of an operation's command counts, from now on."""
        now, spent = self._clock.seconds(), operation.spent
        if spent is None:
            if not isinstance(operation, _PARTS):
                return now
            spent = operation.spent = Spent()
        self._spending[sessionOf(operation)] = spent
        return spent.begin(now)

    def join(self, operation: Operation) -> None:
        """Let the next operation of a session be under way beside what is so."""
        session = sessionOf(operation)
        session.inbox.remove(operation)
        self._running[session].append(operation)

    def alongside(self, operation: Operation) -> list[Operation]:
        """Return an operation, and what was joined to it."""
        if isinstance(operation, _OVERLAPPING):
            return [operation]
        return list(self._running[sessionOf(operation)])

    @staticmethod
    def _hasMuch(session: Session) -> bool:
        """Return whether its client has to take what there is before it has more."""
        most = UNDELIVERED_BYTES
        return session.outstanding.undelivered >= most and not session.gone

    @staticmethod
    def _overlap(first: Operation, second: Operation) -> bool:
        return isinstance(first, _OVERLAPPING) and isinstance(second, _OVERLAPPING)

    def _suspend(self, session: Session) -> None:
        """Let a session be where it can go on from, with what is under way or not."""
        if session.state is not SUSPENDED:
            return
        inbox = session.inbox
        running = self._running.get(session) if inbox else None
        if not running or self._overlap(running[-1], inbox[0]):
            session.state = IDLE

    def ended(self, operations: list[Operation]) -> None:
        """Note that operations of a session are carried out, and tell it."""
        session = sessionOf(operations[0])
        for operation in operations:
            self._leaves(operation, session)
        self._onEnded(operations)
        finish(operations)
        if self.queues:
            self._wakeFor(operations)
        if session is not self._current:
            if session.state is SUSPENDED:
                self._suspend(session)
            if session.inbox:
                self.enqueue(session, True)
        if self._whenIdle is not None:
            self._checkIdle()

    def _leaves(self, operation: Operation, session: Session) -> None:
        running = self._running[session]
        if self._spending and (spent := self._spending.pop(session, None)):
            spent.end(self._clock.seconds())
        if len(running) > 1:
            running.remove(operation)
        else:
            del self._running[session]

    # Sessions that may not.

    def block(self, session: Session) -> None:
        """Leave a session out, unless its client is gone."""
        if not session.gone:
            self._withdraw(session)
            session.state = State.BLOCKED

    def unblock(self, session: Session) -> None:
        """Let a session in again: a read that waited tries, in its old place."""
        if session.state is State.BLOCKED:
            session.state = State.SUSPENDED
            self._suspend(session)
            first = session.inbox[0] if session.inbox else None
            if isinstance(first, Read) and first.ticket is not None:
                self._wake([first])
        self.enqueue(session, True)

    def leave(self, session: Session) -> None:
        """Let a session wait no longer: its client is gone."""
        if session.isWaiting or session.state is State.BLOCKED:
            self._withdraw(session)
            session.state = State.SUSPENDED
            self._suspend(session)

    def _withdraw(self, session: Session) -> None:
        """Take a session out, wherever it stands, and hand its promise on."""
        state = session.state
        if session in self._ready:
            self._ready.remove(session)
        if state is State.WAITING:
            self._lines.leave(cast("Read", session.inbox[0]))
        elif state in (State.WOKEN, State.HELD):
            read = cast("Read", session.inbox[0])
            self._lines.tries(read)
            reads = self._lines.due()
            reads += self._lines.handOn(read)
            self._lines.forget(read)
            self._wake(reads)

    # Sessions whose reads wait.

    def wait(self, read: Read) -> None:
        """Let a read wait, which found nothing and has time."""
        session = sessionOf(read)
        self._leaves(read, session)
        if session.gone or self._isEnding:
            finish([read])
            self.enqueue(session, True)
            return
        session.inbox.appendleft(read)
        if session.state is State.BLOCKED:
            self._lines.enter(read)
        else:
            session.state = State.WAITING
            self._lines.join(read)
        self._lookLater()
        self._wake(self._lines.due())

    def _lookLater(self) -> None:
        if not self._isLooking and self._lines.queues:
            self._isLooking = True
            self._clock.callLater(STEP, self._look)

    def _look(self) -> None:
        """Let the first of some lines look again, where nothing is given to them."""
        self._isLooking = False
        if not self._next:
            self._next.extend(self._lines.queues)
        reads: list[Read] = []
        for _ in range(min(LOOKS, len(self._next))):
            queue = self._next.popleft()
            if not self._watch.look(queue):
                reads += self._lines.next(queue, 1)
        self._wake(reads)
        self._lookLater()

    def deliver(self, queue: bytes, message: Message) -> None:
        """Give a message, which is open, to the first of a line."""
        self._wake(self._lines.deliver(queue, message))

    def _wakeFor(self, done: list[Operation]) -> None:
        """Wake as many as operations made messages visible."""
        lines = self._lines
        reads = lines.due()
        for operation in done:
            for queue, count in operation.madeVisible():
                if queue in lines.queues and not self._watch.isWatched(queue):
                    reads += lines.next(queue, count)
        self._wake(reads)

    def _wake(self, reads: list[Read]) -> None:
        for read in reversed(reads):
            session = sessionOf(read)
            session.state = State.HELD
            self.enqueue(session)

    def wakeAll(self) -> None:
        """Let the first of all lines look: what held them up may hold no longer."""
        for queue in list(self._lines.queues):
            self.wake(queue)

    def wake(self, queue: bytes) -> None:
        """Let the first read look that waits for a queue."""
        self._watch.note(queue)
        self._wake(self._lines.next(queue, 1))

    def endWait(self, session: Session) -> None:
        """Answer the read that waits, with nothing."""
        if session.state is State.WAITING:
            read = cast("Read", session.inbox[0])
            self._lines.leave(read)
            self._answer(read)

    def _answer(self, read: Read) -> None:
        session = sessionOf(read)
        session.state = State.IDLE
        session.inbox.popleft()
        self.enqueue(session)
        finish([read])

    # The end.

    def drain(self, whenIdle: Callable[[], object]) -> None:
        """Let nobody wait any more.

        :param whenIdle: called, perhaps often, when nothing is under way.
        """
        self._whenIdle = whenIdle
        self._isEnding = True
        for read in list(self._lines):
            sessionOf(read).hurry()
        self._schedule()

    @property
    def isIdle(self) -> bool:
        """Whether nothing is under way, and nothing could be."""
        return not self._running and not self._ready

    def _checkIdle(self) -> None:
        if self._whenIdle is not None and self.isIdle:
            self._whenIdle()
