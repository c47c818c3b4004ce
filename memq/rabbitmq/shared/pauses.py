"""Pauses: which queues are stopped, as the cluster keeps it, for all front ends.

A queue is paused for reads, or for writes, if the exchange of that has a binding with
its name: that survives all front ends, and a restart of all nodes.

What is known of a queue was asked of the cluster, and counts for FRESH seconds, unless
news of the queue come or the link is lost before; and only while something is answered
every LEASE seconds, for a link that carries nothing brings no news.  So a front end
holds to a pause as soon as it hears of it; one that was cut off for so long, before it
does anything with the queue; one that heard nothing, for whatever other cause, FRESH
seconds later.  What is used all the time is asked for before its time is over, so that
nobody waits for it.

TOGETHER queues are asked for at a time, and the others when these are answered: so an
answer is as new when it comes as a node is quick, however many wait for one.  A command
waits as long as the nodes go on answering, for a part of its time.

A node out of memory or disk space answers nothing here.  It lets nobody pause anything
either, and news are still heard: what was known last counts as long as that lasts.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from memq.policy.rule import READS, WRITES
from memq.rabbitmq.asking.base import Deadlines, Request, nameOf
from memq.rabbitmq.shared.news import News

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

#: The exchange of each kind of pause.
EXCHANGES = {READS: "memq/paused/reads", WRITES: "memq/paused/writes"}
#: What is told of a queue.
PAUSED = {READS: "reads paused", WRITES: "writes paused", READS | WRITES: "paused"}
RESUMED, DELETED, EMPTIED = "resumed", "deleted", "emptied"
#: The same of one that is about to be deleted.
DELETING = "deleting"
#: How a queue is paused by what is told.
_BITS = {kind: bits for bits, kind in PAUSED.items()}
#: Seconds for which an answer counts, and after which it is asked for again.
FRESH, AHEAD = 3.0, 1.5
#: Seconds without an answer to anything for which news would have been heard, and after
#: which something is asked.
LEASE, PING = 0.5, 0.2
#: Seconds that a node has for an answer, and after which one is left that gives none.
BOUND, SILENCE = 0.5, 2.0
#: How many queues are asked for at a time.
TOGETHER = 32
#: Seconds in which what has come is read.
MOMENT = 0.001
#: The part of a command's time that it waits until its queue is asked for, at most.
SHARE = 0.6
#: Queues of which the time of the answer is remembered.
MOST = 100_000


class _Wait(Request):
    """Something that needs to know of a queue.

    :ivar most: until when it waits at most.
    """

    __slots__ = ("late", "most")

    def __init__(
        self,
        queue: bytes,
        done: Callable[[Any], object],
        late: Callable[[_Wait], object],
        most: float,
    ) -> None:
        super().__init__(queue, done)
        self.late = late
        self.most = most

    def expire(self) -> None:
        """Look whether its time is over."""
        if not self.isOver:
            self.late(self)


class _Look:
    """A queue that is asked for.

    :ivar at: when that was sent; None if it stands in line for it, or nothing can be.
    :ivar bits: what was answered.
    :ivar left: how many answers are to come.
    :ivar isOld: whether news of the queue came since.
    """

    __slots__ = "at", "bits", "isOld", "left", "waits"

    def __init__(self) -> None:
        self.at: float | None = None
        self.bits = self.left = 0
        self.isOld = False
        self.waits: list[_Wait] = []


class _Change(Request):
    """A pause, or its end."""

    __slots__ = "bits", "kind"

    def __init__(
        self, queue: bytes, kind: str, bits: int, done: Callable[[Any], object]
    ) -> None:
        super().__init__(queue, done)
        self.kind = kind
        self.bits = bits


class Pauses:
    """All that is known and asked.

    :ivar news: what all goes over; it is the user of a link.
    :ivar changed: is called with what was done to which queue, here or elsewhere.
    :ivar active: is called when a queue is found to be paused.
    """

    def __init__(self, clock: IReactorTime, timeout: float = 5.0) -> None:
        """Know nothing yet.

        :param timeout: seconds after which a pause or its end fails, and that a
            command has which waits for an answer.
        """
        self.news = News(clock, self, tuple(EXCHANGES.values()))
        self.changed: Callable[[str, bytes], object] = lambda _, __: None
        self.active: Callable[[], object] = lambda: None
        self._clock = clock
        self._seconds = clock.seconds
        self._most = SHARE * timeout
        self._waits = Deadlines(clock, min(BOUND, self._most))
        self._deadlines = Deadlines(clock, timeout)
        #: When the last question was asked that is answered.
        self._heardAt = 0.0
        #: How many more queues can be asked for now, and those that are to be: for
        #: something that waits, and ahead of time.  Some are asked for already.
        self._room = TOGETHER
        self._urgent: deque[bytes] = deque()
        self._ahead: deque[bytes] = deque()
        #: When something was answered last, or first asked since.
        self._silentSince = 0.0
        #: When what is known of a queue was asked.
        self._askedAt: dict[bytes, float] = {}
        #: Those that are paused, or were when they were asked for last.
        self._bits: dict[bytes, int] = {}
        self._looks: dict[bytes, _Look] = {}
        #: What is to be done, in order.
        self._changes: dict[_Change, None] = {}

    # What is known.

    def bits(self, queue: bytes) -> int:
        """Return how a queue is paused, as far as that is known."""
        return self._bits.get(queue, 0)

    def knows(self, queue: bytes) -> bool:
        """Return whether that counts now; if not so for long any more, ask for it."""
        if self.news.isBlocked:
            return True
        askedAt = self._askedAt.get(queue)
        if askedAt is None:
            return False
        now = self._seconds()
        age, silence = now - askedAt, now - self._heardAt
        if age > AHEAD or silence > PING:
            self._lookAhead(queue)
        return age < FRESH and silence < LEASE

    def look(self, queue: bytes, done: Callable[[Any], object]) -> None:
        """Ask for a queue.

        :param done: called once with None when it is known, else with an error: then
            the cluster did not answer in time.
        """
        wait = _Wait(queue, done, self._late, self._seconds() + self._most)
        self._waits.add(wait)
        look = self._looks.get(queue)
        if look is None:
            look = self._looks[queue] = _Look()
        if look.at is None and not look.waits:
            self._urgent.append(queue)
        look.waits.append(wait)
        self._sendNext()

    def _lookAhead(self, queue: bytes) -> None:
        """Ask for a queue for which nobody waits."""
        if queue not in self._looks:
            self._looks[queue] = _Look()
            self._ahead.append(queue)
            self._sendNext()

    def _sendNext(self) -> None:
        """Ask for as many as can be asked for now."""
        while self._room and self.news.isReady and (self._urgent or self._ahead):
            queue = (self._urgent or self._ahead).popleft()
            look = self._looks.get(queue)
            if look is not None and look.at is None:
                if self._room == TOGETHER:
                    self._silentSince = self._seconds()
                self._room -= 1
                self._send(queue, look)

    def _send(self, queue: bytes, look: _Look) -> None:
        """Ask for a queue."""
        look.at = self._seconds()
        look.bits, look.left, look.isOld = 0, len(EXCHANGES), False
        name = nameOf(queue).queue
        for bit, exchange in EXCHANGES.items():
            self.news.ask(exchange, name, partial(self._cbTold, queue, look, bit))

    def _cbTold(self, queue: bytes, look: _Look, bit: int, isThere: bool) -> None:
        look.bits |= bit if isThere else 0
        look.left -= 1
        if look.left:
            return
        assert look.at is not None
        self._heardAt = max(self._heardAt, look.at)
        self._silentSince = self._seconds()
        if look.isOld:
            # A channel that is being closed takes no more: it is asked for on the next.
            look.at = None
            if self.news.isReady:
                self._send(queue, look)
            return
        self._room += 1
        del self._looks[queue]
        self._note(queue, look.at, look.bits)
        self._sendNext()
        for wait in look.waits:
            wait.answer(None)

    def _note(self, queue: bytes, at: float, bits: int) -> None:
        if len(self._askedAt) >= MOST:
            self._askedAt.clear()
        self._askedAt[queue] = at
        if bits:
            self._bits[queue] = bits
            self.active()
        else:
            self._bits.pop(queue, None)

    def _late(self, wait: _Wait) -> None:
        """See about one that waits, once what has come by now is read.

        A burst of questions takes the process itself some time.
        """
        self._clock.callLater(MOMENT, self._lateStill, wait)

    def _lateStill(self, wait: _Wait) -> None:
        """Let one wait on whose node has time yet; leave a node that says nothing."""
        if wait.isOver:
            return
        now, at = self._seconds(), self._looks[wait.queue].at
        silence = now - self._silentSince
        isLate = (silence if at is None else now - at) >= BOUND
        if not isLate and now < wait.most:
            self._waits.add(wait)
            return
        wait.fail()
        if self._room < TOGETHER and silence > SILENCE:
            self.news.link.leave("it tells nothing of pauses")

    # What is done.

    def pause(self, queue: bytes, bits: int, done: Callable[[Any], object]) -> None:
        """Stop reads, writes or both, besides what is stopped.

        :param done: called once with None when all have it, else with an error.
        """
        self._change(_Change(queue, PAUSED[bits], bits, done))

    def resume(self, queue: bytes, done: Callable[[Any], object]) -> None:
        """Stop nothing of a queue any more; see ``pause``."""
        self._change(_Change(queue, RESUMED, 0, done))

    def deleting(self, queue: bytes, done: Callable[[Any], object]) -> None:
        """Tell that a queue is about to be deleted.

        :param done: called once, when that was heard here, or after BOUND seconds.
        """
        if not self.news.isReady or self.news.isBlocked:
            done(None)
            return
        request = Request(queue, done)
        self._waits.add(request)
        self.news.tell(DELETING, queue, lambda: request.answer(None))

    def deleted(self, queue: bytes, done: Callable[[Any], object]) -> None:
        """Forget a queue that was deleted; see ``pause``.

        That goes on after ``done`` was called, until it is done.
        """
        if self.news.isBlocked:
            self._change(_Change(queue, DELETED, 0, lambda _: None))
            done(None)
        else:
            self._change(_Change(queue, DELETED, 0, done))

    def emptied(self, queue: bytes) -> None:
        """Tell that a queue was emptied."""
        if self.news.isReady:
            self.news.tell(EMPTIED, queue, lambda: None)

    def _change(self, change: _Change) -> None:
        self._deadlines.add(change)
        self._changes[change] = None
        if self.news.isReady:
            self._carryOut(change)

    def _carryOut(self, change: _Change) -> None:
        """Do all of it: what was done before may be done again."""
        change.isSent = True
        name = nameOf(change.queue).queue
        for bit, exchange in EXCHANGES.items():
            if change.bits & bit:
                self.news.bind(exchange, name)
            elif not change.bits:
                self.news.unbind(exchange, name)
        told = partial(self._cbChanged, change)
        self.news.after(partial(self.news.tell, change.kind, change.queue, told))

    def _cbChanged(self, change: _Change) -> None:
        del self._changes[change]
        change.answer(None)

    # What is heard.

    def heard(self, kind: str, queue: bytes) -> None:
        """Ask for a queue again before anything is done with it."""
        self._askedAt.pop(queue, None)
        look = self._looks.get(queue)
        if look is not None:
            look.isOld = True
        # This counts as long as nothing can be asked.
        bits = _BITS.get(kind)
        if bits is not None:
            self._bits[queue] = self.bits(queue) | bits
            self.active()
        elif kind in (RESUMED, DELETED):
            self._bits.pop(queue, None)
        self.changed(kind, queue)

    def newsUp(self) -> None:
        """Ask and do what waits for that still."""
        for change in list(self._changes):
            if change.isOver and change.kind != DELETED:
                del self._changes[change]
            else:
                self._carryOut(change)
        for queue, look in list(self._looks.items()):
            if all(wait.isOver for wait in look.waits):
                del self._looks[queue]
            else:
                self._urgent.append(queue)
        self._sendNext()

    def newsDown(self) -> None:
        """Know nothing any more."""
        self._askedAt.clear()
        self._room = TOGETHER
        self._urgent.clear()
        self._ahead.clear()
        for look in self._looks.values():
            look.at = None

    def newsBlocked(self) -> None:
        """Let nobody wait: what was known last counts."""
        for look in list(self._looks.values()):
            for wait in look.waits:
                wait.answer(None)
