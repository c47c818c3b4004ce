"""Rotation: the sessions that may run, in order, and those whose reads wait.

Only this module writes :attr:`Session.state`::

              enqueue               ran, and wants more
       IDLE ----------> RUNNABLE ------------------------> BEHIND
        ^                |    |                              |
        +----------------+    | its read found nothing, or   |
        | ran, wants nothing  v the turn is to be undone     |
        |                 SUSPENDED <------------------------+
        |                     | wait                         |
        | its time is over    v        wake                  |
        +------------------ WAITING ---------> WOKEN --------+

- BEHIND and WOKEN go on from a turn as RUNNABLE does.  A session keeps its state while
  it runs: to write another one cost 100 instructions of a set's 57,400.
- A SUSPENDED session whose turn was undone is BEHIND.  One whose read goes on is WOKEN
  if that may wait, and RUNNABLE if not.
- ``wake`` makes a session HELD for which too much is undelivered, and ``enqueue`` that
  WOKEN, once it is not.
- ``block`` makes a session BLOCKED, wherever it stands, and ``unblock`` that IDLE, or
  HELD if its read has a place in line.
- ``leave`` makes one IDLE whose read waits; what its client has sent runs all the same.
- ``clear`` and ``release`` make all IDLE: they are told that the store has failed.

A read that finds nothing and may wait leaves the turn.  It stays at the head of its
inbox, and in the line of its queue, or of each of its queues, until a turn is committed
that made a message visible in one, or its time is over.  As many as there are messages
are *woken*: they leave all lines, their sessions run first in the next turn, and a read
that finds nothing then joins its lines again, in its old place.

Invariants, see memq.broker.waiting.lines:

- While a queue has waiters, waiting or woken, a read that comes anew joins behind them,
  without a look.
- While some wait, every ready message is promised to a woken read, or the line owes a
  try to those that wait, as soon as the woken ones have run.  A woken read that does
  not take what it was promised, for whatever reason, hands the promise on.
"""

from __future__ import annotations

from collections import deque
from operator import attrgetter
from sys import maxsize
from typing import TYPE_CHECKING, cast

from memq.broker.memorybudget import ALLOWANCE
from memq.broker.session import BLOCKED, IDLE, UNDELIVERED_BYTES, State, sessionOf
from memq.broker.waiting.lines import Lines
from memq.operations.pops import Pop
from memq.operations.reads import Read, WouldBlock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.internet.interfaces import IReactorTime

    from memq.broker.diskspace import DiskSpaceGuard
    from memq.broker.session import Session
    from memq.interfaces import IQueueStore
    from memq.operations.base import Operation
    from memq.operations.reads import Search

RUNNABLE, BEHIND, SUSPENDED = State.RUNNABLE, State.BEHIND, State.SUSPENDED
WAITING, WOKEN, HELD = State.WAITING, State.WOKEN, State.HELD

_ticket = attrgetter("ticket")


class Rotation:
    """Sessions, each where it stands.

    :ivar isScheduled: whether a turn is to come; it says itself that it has.
    :ivar new: sessions that may run and come anew.
    :ivar behind: sessions that have had a share and want more.
    :ivar lines: the reads that wait, and those that were woken.
    :ivar awaited: the queues that these wait for.
    :ivar blocked: the reads that found nothing in this turn.
    :ivar refused: pushes that the full disk has no room for, not told yet.
    :ivar undelivered: bytes undelivered at which a session is left out.
    """

    def __init__(
        self,
        clock: IReactorTime,
        room: DiskSpaceGuard,
        askTurn: Callable[[], object],
        finish: Callable[[list[Operation]], None],
    ) -> None:
        """Begin with none.

        :param askTurn: called when a session may run: there is to be a turn soon.
        :param finish: tells sessions that operations are done.
        """
        self._room = room
        self._askTurn = askTurn
        self._finish = finish
        self.isScheduled = False
        self.new: deque[Session] = deque()
        self.behind: deque[Session] = deque()
        self.lines = Lines(clock, self._answer)
        self.awaited = self.lines.queues
        self.blocked: list[Search] = []
        self.refused: list[Operation] = []
        self.undelivered = UNDELIVERED_BYTES

    def schedule(self) -> None:
        """Let there be a turn soon."""
        if not self.isScheduled:
            self.isScheduled = True
            self._askTurn()

    # Sessions that may run.

    def enqueue(self, session: Session, behind: bool = False) -> None:
        """Let a session run, if it has something that may; once is enough.

        :param behind: whether it has had its share already.
        """
        if not session.inbox:
            return
        if session.outstanding.undelivered >= self.undelivered and not session.gone:
            return
        state = session.state
        if state is IDLE and behind:
            session.state = BEHIND
            self.behind.append(session)
        elif state is IDLE:
            session.state = RUNNABLE
            self.new.append(session)
        elif state is HELD:
            session.state = WOKEN
            self.new.appendleft(session)
            self.lines.woken(cast("Read", session.inbox[0]))
        else:
            return
        if self._room.isFull:
            self.refused += session.refusePushes()
        if not self.isScheduled:
            self.isScheduled = True
            self._askTurn()

    def enqueueFirst(self, session: Session) -> None:
        """Let a session run before all others, if it may."""
        self._remove(session)
        session.state = IDLE
        self.enqueue(session)
        # It stands last then; with too much undelivered, it stands nowhere.
        self.new.rotate(int(session.state is RUNNABLE))

    def _remove(self, session: Session) -> None:
        if session.state is BEHIND:
            self.behind.remove(session)
        elif session.state in (RUNNABLE, WOKEN):
            self.new.remove(session)

    def run(
        self,
        store: IQueueStore,
        operations: list[Operation],
        room: int,
        share: int,
        window: int,
    ) -> int:
        """Let each session run its share once, as long as there is room in the turn.

        Calls for each session in place of the loop's body cost 2,200 instructions of a
        set's 56,500.

        :param operations: each is added before it runs.
        :param room: what they may cost together.
        :param share: what a session's may cost, if not all may have more.
        :param window: bytes that a session may hold.
        :return: what those that changed something cost; about that much is logged.
        """
        new, behind = self.new, self.behind
        # Every second place is theirs; who joins them in this turn has had its go.
        others = len(behind)
        count = len(new) + others
        share = min(room, max(share, room // count))
        undelivered = self.undelivered = min(UNDELIVERED_BYTES, window)
        tight = undelivered < UNDELIVERED_BYTES
        changed = 0
        for place in range(count):
            if others and (place & 1 or not new):
                others -= 1
                session = behind.popleft()
            else:
                session = new.popleft()
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
                # The operations behind it wait with it.
                session.state = SUSPENDED
                self.keep(nothing.read)
                left -= operations.pop().idleCost + nothing.cost
                changed += nothing.cost
            except BaseException:
                session.state = SUSPENDED
                raise
            else:
                session.state = IDLE
                if inbox:
                    self.enqueue(session, True)
            if session.outstanding.undelivered > ALLOWANCE:
                session.outstanding.report()
            room -= share - left
            if room <= 0:
                break
        return changed

    def undo(self, operations: Iterable[Operation]) -> None:
        """Let the sessions of operations run no longer: their turn is undone."""
        for session in map(sessionOf, operations):
            if session.state is SUSPENDED:
                session.state = IDLE
                self.enqueue(session, True)

    def clear(self) -> list[Operation]:
        """Take all that could run now out of the inboxes, and return it."""
        operations: list[Operation] = []
        for session in (*self.new, *self.behind):
            if session.state is WOKEN:
                self.lines.tries(cast("Read", session.inbox[0]))
            session.state = IDLE
            operations += session.inbox
            session.inbox.clear()
        self.new.clear()
        self.behind.clear()
        return operations

    # Sessions that may not.

    def block(self, session: Session) -> None:
        """Leave a session out, unless its client is gone: that one reads no more.

        Nobody is to wait for a client that does not read; so it stands in no line, and
        what it was promised goes to the next one.
        """
        if not session.gone:
            self._withdraw(session)
            session.state = BLOCKED

    def unblock(self, session: Session) -> None:
        """Let a session in again: a read that waited tries, in its old place."""
        if session.state is BLOCKED:
            session.state = IDLE
            first = session.inbox[0] if session.inbox else None
            if isinstance(first, Read) and first.ticket is not None:
                self._wake([first])
        self.enqueue(session, True)

    def leave(self, session: Session) -> None:
        """Let a session wait no longer: its client is gone."""
        if session.state not in (RUNNABLE, BEHIND):
            self._withdraw(session)

    def _withdraw(self, session: Session) -> None:
        """Take a session out, wherever it stands, and hand its promise on."""
        isWaiting, state = session.isWaiting, session.state
        self._remove(session)
        session.state = IDLE
        if isWaiting:
            read = cast("Read", session.inbox[0])
            if state is WAITING:
                self.lines.leave(read)
            else:
                self.lines.tries(read)
                reads = self.lines.due()
                if read.promised is not None:
                    reads += self.lines.next(read.promised, 1)
                self._wake(reads)
            self.lines.forget(read)

    # Sessions whose reads wait.

    def keep(self, read: Search) -> None:
        """Note that a read is to wait once the turn is committed."""
        self.blocked.append(read)
        self.lines.stop(read)

    def takeBlocked(self) -> list[Search]:
        """Return the reads of the turn that are to wait, and forget them."""
        blocked, self.blocked = self.blocked, []
        self.lines.endTurn()
        return blocked

    def wait(self) -> None:
        """Let the reads of the turn that found nothing wait, or go on in the next."""
        goOn: list[Read] = []
        for read in self.takeBlocked():
            session = sessionOf(read)
            session.inbox.appendleft(read)
            if not isinstance(read, Read) or not read.wait:
                self.enqueueFirst(session)
                continue
            self._remove(session)
            session.state = WAITING
            if read.isUnfinished:
                self.lines.enter(read)
                goOn.append(read)
            else:
                self.lines.join(read)
        self._wake(goOn)

    def endWait(self, session: Session) -> None:
        """Answer the read that waits, with nothing."""
        if session.state is WAITING:
            read = cast("Read", session.inbox[0])
            self.lines.leave(read)
            self._answer(read)

    def _answer(self, read: Read) -> None:
        session = sessionOf(read)
        session.state = IDLE
        session.inbox.popleft()
        self.enqueue(session)
        self._finish([read])

    def endAll(self) -> None:
        """Answer all reads that wait, and let none wait any more."""
        for read in self.lines:
            sessionOf(read).hurry()

    def release(self) -> None:
        """Let all sessions run whose reads wait."""
        for read in self.lines:
            self.lines.leave(read)
            session = sessionOf(read)
            session.state = IDLE
            self.enqueue(session)

    def wakeFor(self, done: list[Operation], blocked: list[Search]) -> None:
        """Wake as many as a turn made messages visible."""
        lines = self.lines
        for operation in done:
            if isinstance(operation, Read) and operation.promised is not None:
                # It may have been over before it looked.
                lines.tries(operation)
        reads = lines.due()
        for operation in (*done, *blocked):
            for queue, count in operation.madeVisible():
                reads += lines.next(queue, count)
        self._wake(reads)

    def wakeAll(self) -> None:
        """Wake all: what held them up may hold no longer."""
        reads: list[Read] = []
        for queue in list(self.awaited):
            reads += self.lines.next(queue, maxsize)
        self._wake(reads)

    def _wake(self, reads: list[Read]) -> None:
        for read in sorted(reads, key=_ticket, reverse=True):
            session = sessionOf(read)
            session.state = HELD
            self.enqueue(session)
