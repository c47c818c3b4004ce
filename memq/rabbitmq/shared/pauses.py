"""Pauses: which queues are stopped, as the cluster keeps it, for all front ends.

A queue is paused for reads, or for writes, if the exchange of that has a binding with
its name: that survives all front ends, and a restart of all nodes.  The exchange SOME
has one as well for each queue that is paused, from before that until after: so one
question tells that none is, which is all that has to be known mostly.  What binds it
does so once more when the pause is there, and what ends a pause asks then whether there
is one again: two who do both at once leave it right.  Perhaps a binding of SOME is left
over when a process or a node dies: then each queue is asked for.

What is known of a queue was asked of the cluster, and counts for FRESH seconds, unless
news of the queue come or the link is lost before; and only while something is answered
every LEASE seconds, for a link that carries nothing brings no news.  So a front end
holds to a pause as soon as it hears of it; one that was cut off for so long, before it
does anything with the queue; one that heard nothing, for whatever other cause, FRESH
seconds later.  What is used all the time is asked for before its time is over, so that
nobody waits for it.

A node out of memory or disk space answers nothing here.  It lets nobody pause anything
either, and news are still heard: what was known last counts as long as that lasts.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from memq.policy.rule import READS, WRITES
from memq.rabbitmq.asking.base import Deadlines, Request, nameOf
from memq.rabbitmq.shared.looks import ANY, BOUND, Looks
from memq.rabbitmq.shared.news import News

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

#: The exchange of each kind of pause.
EXCHANGES = {READS: "memq/paused/reads", WRITES: "memq/paused/writes"}
#: That of all of them.
SOME = "memq/paused"
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
#: Queues of which the time of the answer is remembered.
MOST = 100_000


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
        exchanges = dict.fromkeys(EXCHANGES.values(), "direct") | {SOME: "fanout"}
        self.news = News(clock, self, exchanges)
        self.changed: Callable[[str, bytes], object] = lambda _, __: None
        self.active: Callable[[], object] = lambda: None
        self._seconds = clock.seconds
        told = self._told
        self._looks = Looks(clock, self.news, EXCHANGES, SOME, told, timeout)
        self._telling = Deadlines(clock, BOUND)
        self._deadlines = Deadlines(clock, timeout)
        #: When it was asked whether there is any pause, if there was none; and when one
        #: was heard of last.  None if nothing counts that was heard.
        self._noneAt: float | None = None
        self._someAt: float | None = None
        #: When what is known of a queue was asked.
        self._askedAt: dict[bytes, float] = {}
        #: Those that are paused, or were when they were asked for last.
        self._bits: dict[bytes, int] = {}
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
        askedAt = self._noneAt
        key = queue if askedAt is None else ANY
        if askedAt is None:
            askedAt = self._askedAt.get(queue)
        if askedAt is None:
            return False
        now = self._seconds()
        age, silence = now - askedAt, now - self._looks.heardAt
        if age > AHEAD or silence > PING:
            self._looks.ahead(key)
            self._lookForNone(now)
        return age < FRESH and silence < LEASE

    def look(self, queue: bytes, done: Callable[[Any], object]) -> None:
        """Ask for a queue.

        :param done: called once with None when it is known, else with an error: then
            the cluster did not answer in time.
        """
        self._lookForNone(self._seconds())
        self._looks.wait(ANY if self._someAt is None else queue, queue, done)

    def _lookForNone(self, now: float) -> None:
        """Ask from time to time whether there is no pause any more."""
        if self._someAt is not None and now - self._someAt > FRESH:
            self._looks.ahead(ANY)

    def _told(self, key: bytes, at: float, bits: int) -> bool:
        """Take note of an answer; return whether it is one for who waits for it."""
        if key != ANY:
            self._note(key, at, bits)
            return True
        now, someAt = self._seconds(), self._someAt
        # A node may be the last to know of a pause that was heard of.
        if not bits and (someAt is None or now - someAt > FRESH):
            self._noneAt, self._someAt = at, None
            self._askedAt.clear()
            self._bits.clear()
            return True
        self._noneAt = None
        self._someAt = now if bits else someAt
        return False

    def _note(self, queue: bytes, at: float, bits: int) -> None:
        if len(self._askedAt) >= MOST:
            self._askedAt.clear()
        self._askedAt[queue] = at
        if bits:
            self._bits[queue] = bits
            self.active()
        else:
            self._bits.pop(queue, None)

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
        self._telling.add(request)
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
        if change.bits:
            self.news.bind(SOME, name)
        for bit, exchange in EXCHANGES.items():
            if change.bits & bit:
                self.news.bind(exchange, name)
            elif not change.bits:
                self.news.unbind(exchange, name)
        if change.bits:
            self.news.bind(SOME, name)
        else:
            self.news.unbind(SOME, name)
            for exchange in EXCHANGES.values():
                self.news.ask(exchange, name, partial(self._cbStill, name))
        told = partial(self._cbChanged, change)
        self.news.after(partial(self.news.tell, change.kind, change.queue, told))

    def _cbStill(self, name: str, isThere: bool) -> None:
        """Note whether somebody has paused a queue meanwhile."""
        if isThere and self.news.isReady:
            self.news.bind(SOME, name)

    def _cbChanged(self, change: _Change) -> None:
        del self._changes[change]
        change.answer(None)

    # What is heard.

    def heard(self, kind: str, queue: bytes) -> None:
        """Ask for a queue again before anything is done with it."""
        self._askedAt.pop(queue, None)
        self._looks.outdate(queue)
        # This counts as long as nothing can be asked.
        bits = _BITS.get(kind)
        if bits is not None:
            self._noneAt, self._someAt = None, self._seconds()
            self._looks.outdate(ANY)
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
        self._looks.up()

    def newsDown(self) -> None:
        """Know nothing any more."""
        self._askedAt.clear()
        self._noneAt = self._someAt = None
        self._looks.down()

    def newsBlocked(self) -> None:
        """Let nobody wait: what was known last counts."""
        self._looks.letGo()
