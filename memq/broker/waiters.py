"""Parking: sessions whose first read waits for a message, on the broker's behalf.

A read that finds nothing and may wait leaves the turn, and its session is *parked*: it
stands in the line of a queue, see :mod:`memq.broker.waitqueues`, and in no rotation,
until a turn was committed that made a message visible there, or the time is over.  As
many as there are messages are *next*: their sessions stand at the front of the next
turn.

So while anybody stands in a line, its queue has no more messages than are to be had by
those that are next, and who comes anew goes to the end without a look.  For that to
hold, whoever is next and does not take a message, for whatever reason, hands that on.
"""

from __future__ import annotations

from sys import maxsize
from typing import TYPE_CHECKING

from memq.broker.session import sessionOf
from memq.broker.waitqueues import WaitQueues

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from memq.broker.session import Session
    from memq.operations.base import Operation
    from memq.operations.reads import Read


class BlockedReaders:
    """Park sessions, and let them go.

    :ivar reads: what found nothing in the turn under way, and is to be parked.
    :ivar unfinished: the queues that some of these have not made their way in.
    :ivar lines: where those stand that wait.
    """

    __slots__ = (
        "_enqueue",
        "_enqueueFirst",
        "_finish",
        "lines",
        "reads",
        "unfinished",
    )

    def __init__(
        self,
        clock: IReactorTime,
        enqueue: Callable[[Session], None],
        enqueueFirst: Callable[[Session], None],
        finish: Callable[[list[Operation]], None],
    ) -> None:
        """Begin with nobody.

        :param enqueue: puts a session into the rotation, if it may run.
        :param enqueueFirst: puts it at the front.
        :param finish: tells a session that operations are done.
        """
        self._enqueue = enqueue
        self._enqueueFirst = enqueueFirst
        self._finish = finish
        self.reads: list[Read] = []
        self.unfinished: set[bytes] = set()
        self.lines = WaitQueues(clock, self._end)

    def park(self) -> None:
        """Let the reads of a turn that found nothing stand in line.

        None of their sessions stands in the rotation.  One that does not wait is
        unfinished, and goes on in the next turn.
        """
        for read in self.take():
            session = sessionOf(read)
            session.inbox.appendleft(read)
            if read.wait:
                session.parked = read
                session.waits = True
                self.lines.join(read)
            else:
                self._enqueueFirst(session)

    def keep(self, read: Read) -> None:
        """Note that a read is to be parked at the end of the turn."""
        self.reads.append(read)
        if read.isUnfinished:
            self.unfinished.add(read.queue)

    def take(self) -> list[Read]:
        """Return what is to be parked, and forget it."""
        reads, self.reads = self.reads, []
        self.unfinished.clear()
        return reads

    def leave(self, session: Session) -> bool:
        """Let a session wait no longer; it loses its place.

        :return: whether it stood in a line, and so in no rotation.
        """
        read, session.parked = session.parked, None
        if read is None:
            return False
        wasNext, read.isNext = read.isNext, False
        if wasNext:
            self._wake(self.lines.next(read.queue, 1))
        else:
            self.lines.leave(read)
            session.waits = False
        read.ticket = None
        return not wasNext

    def end(self, read: Read) -> None:
        """Answer a read that stands in line, with nothing."""
        if self.lines.leave(read):
            self._end(read)

    def _end(self, read: Read) -> None:
        """Answer a read that was in line until now."""
        session = sessionOf(read)
        session.parked = None
        session.waits = False
        session.inbox.popleft()
        self._enqueue(session)
        self._finish([read])

    def endAll(self) -> None:
        """Answer everybody, and let nobody wait any more."""
        for read in self.lines:
            sessionOf(read).hurry()

    def release(self) -> None:
        """Let everybody stand in the rotation."""
        for read in self.lines:
            self.lines.leave(read)
            session = sessionOf(read)
            session.parked = None
            session.waits = False
            self._enqueue(session)

    def wakeFor(self, operations: list[Operation]) -> None:
        """Let as many be next as a turn made messages visible."""
        reads: list[Read] = []
        for operation in operations:
            for queue, count in operation.madeVisible():
                reads += self.lines.next(queue, count)
        self._wake(reads)

    def wakeAll(self) -> None:
        """Let everybody try: what held them up may hold no longer."""
        for queue in list(self.lines.queues):
            self._wake(self.lines.next(queue, maxsize))

    def _wake(self, reads: list[Read]) -> None:
        for read in reversed(reads):
            session = sessionOf(read)
            session.waits = False
            self._enqueueFirst(session)
