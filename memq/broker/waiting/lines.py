"""Wait queues: the lines of those that wait for messages, first come, first served.

A read joins the line of its queue, or of each of its queues; a *ticket*, the same in
all of them, says who came first.  It leaves all lines at once.  A read that is woken is
still before all that came later, until it runs: so a line has two parts, of reads that
wait and of reads that were woken and did not run yet.

Invariant: while a queue has a line, whoever comes anew joins it without a look.

A read may have to join without a look although nobody knows how many messages there
are: because woken ones are before it, or one that does not get to the end of what has
expired.  Then the line *owes* it a try, which it has once the woken ones have run.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from operator import attrgetter
from sys import maxsize
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from twisted.internet.interfaces import IReactorTime

    from memq.operations.reads import Read, Search

_ticket = attrgetter("ticket")

#: The place of reads that did not wait yet, in the order in which they run: the last.
_NEW = maxsize


class Line:
    """The line of a queue; both parts are in the order of tickets.

    :ivar waiting: the reads that wait.
    :ivar woken: those that were woken, and did not run since.
    """

    __slots__ = ("waiting", "woken")

    def __init__(self) -> None:
        self.waiting: list[Read] = []
        self.woken: list[Read] = []

    def first(self) -> int:
        """Return the ticket of the first."""
        return min(part[0].ticket or 0 for part in (self.waiting, self.woken) if part)


def _remove(reads: list[Read], read: Read) -> bool:
    """Take a read out of a part of a line; return whether it stood there."""
    place = bisect_left(reads, read.ticket, key=_ticket)
    for each in reads[place:]:
        # A line of names may have the same queue twice.
        if each is read:
            del reads[place]
            return True
        place += 1
    return False


class Lines:
    """The lines of all queues.

    :ivar queues: the queues that have one.
    """

    def __init__(self, clock: IReactorTime, onLate: Callable[[Read], None]) -> None:
        """Begin with none.

        :param onLate: called with each read whose time is over; it waits no longer.
        """
        self._clock = clock
        self._onLate = onLate
        self._lastTicket = 0
        self.queues: dict[bytes, Line] = {}
        #: How many of those that wait for a queue are to try once nobody is woken.
        self._owed: Counter[bytes] = Counter()
        #: The queues for which a read was stopped in this turn, with the first ticket.
        self._stopped: dict[bytes, int] = {}
        #: Of these, those of which nobody knows yet whether there is something.
        self._unsure: set[bytes] = set()

    def __iter__(self) -> Iterator[Read]:
        """Yield all that wait, in order; they may leave meanwhile."""
        yield from sorted(self._waiting(), key=_ticket)

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting())

    def _waiting(self) -> set[Read]:
        lines = self.queues.values()
        return {part.whole for line in lines for part in line.waiting}

    def waiters(self, queue: bytes) -> int:
        """Return how many wait for messages of a queue."""
        line = self.queues.get(queue)
        return 0 if line is None else len(line.waiting)

    # While a turn runs.

    def isBehind(self, read: Read) -> bool:
        """Return whether somebody else is before a read, which is to look now."""
        ticket = _NEW if read.ticket is None else read.ticket
        stopped = self._stopped.get(read.queue)
        if stopped is not None and (stopped < ticket or ticket == _NEW):
            read.isOwed = read.queue in self._unsure
            return True
        line = self.queues.get(read.queue)
        if line is None or line.first() > ticket:
            return False
        read.isOwed = bool(line.woken) or read.queue in self._owed
        return True

    def tries(self, read: Read) -> None:
        """Note that a read that was woken runs."""
        for part in read.parts:
            line = self.queues.get(part.queue)
            if line is not None and _remove(line.woken, part):
                self._tidy(part.queue, line)

    def stop(self, read: Search) -> None:
        """Note that a read found nothing in this turn, or does not know yet."""
        for queue, ticket, isUnsure in read.places():
            if isUnsure:
                self._unsure.add(queue)
            place = _NEW if ticket is None else ticket
            self._stopped[queue] = min(place, self._stopped.get(queue, place))

    def endTurn(self) -> None:
        """Note that no read of the turn is under way any more."""
        self._stopped.clear()
        self._unsure.clear()

    # Between turns.

    def enter(self, read: Read) -> None:
        """Give a read its place, if it has none, and so long as it may wait."""
        if read.ticket is None:
            self._lastTicket += 1
            now = self._clock.seconds()
            for part in {*read.parts, read}:
                part.ticket = self._lastTicket
                part.until = now + part.wait

    def join(self, read: Read) -> None:
        """Let a read wait: at the end of its lines, or where it was before."""
        self.enter(read)
        read.promised = None
        for part in read.parts:
            if part.wait:
                line = self._line(part.queue)
                insort(line.waiting, part, key=_ticket)
                if part.isOwed:
                    self._owed[part.queue] += 1
            part.isOwed, part.isLate = False, not part.wait
        self._setTimer(read)

    def _setTimer(self, read: Read) -> None:
        """Call when the first of a read's times is over."""
        until = min(part.until for part in read.parts if part.wait)
        left = max(0.0, until - self._clock.seconds())
        read.timer = self._clock.callLater(left, self._timeIsOver, read, until)

    def _timeIsOver(self, read: Read, until: float) -> None:
        read.timer = None
        if read.until <= until:
            self._removeAll(read)
            self._onLate(read)
            return
        for part in read.parts:
            if part.wait and part.until <= until:
                self._remove(part)
                part.wait, part.isLate = 0.0, True
        self._setTimer(read)

    def leave(self, read: Read) -> None:
        """Take a read out of its lines."""
        timer, read.timer = read.timer, None
        assert timer is not None
        timer.cancel()
        self._removeAll(read)

    def forget(self, read: Read) -> None:
        """Forget that a read was promised anything; it has its ticket yet."""
        read.promised = None

    def _removeAll(self, read: Read) -> None:
        for part in read.parts:
            self._remove(part)

    def _remove(self, part: Read) -> None:
        line = self.queues.get(part.queue)
        if line is not None and _remove(line.waiting, part):
            self._tidy(part.queue, line)

    def _tidy(self, queue: bytes, line: Line) -> None:
        if not line.waiting and not line.woken:
            del self.queues[queue]

    def _line(self, queue: bytes) -> Line:
        line = self.queues.get(queue)
        if line is None:
            line = self.queues[queue] = Line()
        return line

    def next(self, queue: bytes, count: int) -> list[Read]:
        """Take the first of a line out, so that they try, and return them."""
        line = self.queues.get(queue)
        reads: list[Read] = []
        while line is not None and line.waiting and len(reads) < count:
            read = line.waiting[0].whole
            self.leave(read)
            read.promised = queue
            reads.append(read)
        return reads

    def due(self) -> list[Read]:
        """Take those out to whom their line owes a try, and return them."""
        reads: list[Read] = []
        for queue in sorted(self._owed):
            line = self.queues.get(queue)
            if line is None or not line.woken:
                reads += self.next(queue, self._owed.pop(queue))
        return reads

    def woken(self, read: Read) -> None:
        """Note that a read is to try in the next turn."""
        if read.promised is None:
            read.promised = read.queue
        for part in read.parts:
            insort(self._line(part.queue).woken, part, key=_ticket)
