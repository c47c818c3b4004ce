"""Reads with options: those that wait, and those that leave the message where it is.

An open read hides its message from everyone else, until its reader closes it, which
deletes the message, or it goes back to its place: because the reader says so, or is
gone, or took too long.  The store does the hiding, in memory only, so that the end of
the process gives everything back; the session knows what it has open.

A read that may wait and finds nothing raises :class:`NothingYet`.  The broker then lets
it stand in a line, see :mod:`memq.waiting`, and runs it again when there is something;
what its client sent behind it is not run before.

What holds for the queue, a read asks when it runs.  Before it looks, messages go that
have expired; when those are many it is *unfinished*, raises NothingYet as well, whether
it may wait or not, and is run again in the next turn.  So are those that wait for the
same queue and come behind it, or they could get what it has made its way to.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from memq.errors import AlreadyOpen, QueueError, StoreFailed
from memq.message import Message
from memq.moving import bury, expire, isWornOut
from memq.operations import MESSAGE_COST, Operation
from memq.slices import Slice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from twisted.internet.interfaces import IDelayedCall

    from memq.imemq import IQueueStore
    from memq.plans import Plan
    from memq.rule import Rule
    from memq.session import Session

#: Open reads that are closed, or go back, in one go: 250 took 1.2 ms.
ENDED_AT_ONCE = 250


class NothingYet(Exception):
    """There is no message for a read yet, and it has time, or is unfinished."""

    def __init__(self, read: Read, cost: int = 0) -> None:
        """Say which, and what it has changed, as ``run`` returns it."""
        super().__init__()
        self.read = read
        self.cost = cost


class Read(Operation):
    """Look for one message; the result is that, an error, or None without any.

    :ivar wait: seconds to wait for a message, from when the read is first run.
    :ivar until: when they are over.
    :ivar ticket: tells who came first; None as long as it did not wait.
    :ivar timer: ends the waiting; None while it does not wait.
    :ivar isNext: whether it was taken out of its line, to try.
    :ivar isUnfinished: whether it did not get to the end of what has expired; nor did
        one before it.
    """

    __slots__ = (
        "_moved",
        "gain",
        "isNext",
        "isUnfinished",
        "queue",
        "ticket",
        "timer",
        "until",
        "wait",
    )

    outlivesSession = False
    #: Whether others do not find what it found.
    takes = True

    def __init__(self, session: Session, queue: bytes, wait: float = 0.0) -> None:
        """Remember where from."""
        super().__init__(session)
        self.gain = 0
        self.queue = queue
        self.wait = wait
        self.until = 0.0
        self.ticket: int | None = None
        self.timer: IDelayedCall | None = None
        self.isNext = self.isUnfinished = False
        #: The queue that expired messages moved to, and how many.
        self._moved: tuple[bytes, int] | None = None

    @property
    def message(self) -> Message | None:
        """Return what it found, if that is a message."""
        return self.result if type(self.result) is Message else None

    @property
    def effort(self) -> int:
        """Return what it counts: its message is to be sent."""
        message = self.message
        return MESSAGE_COST + (0 if message is None else len(message.body))

    def run(self, store: IQueueStore) -> int:
        """Look; raise NothingYet when there is nothing and there is time."""
        session = self.session
        self.gain = cost = 0
        self.isUnfinished = False
        self._moved = found = None
        if self.wait and self.takes:
            if self.ticket is None and session.isBehind(self):
                raise NothingYet(self)
            self.isUnfinished = session.isHeldUp(self)
            if self.isUnfinished:
                raise NothingYet(self)
        plan = self.plan()
        if plan is not None:
            cost = self._expire(store, plan)
        if plan is None or not (self.isUnfinished or plan.readsArePaused):
            found = self.find(store)
        if found is None and (self.wait or self.isUnfinished):
            raise NothingYet(self, cost)
        session.parked = None
        self.result = found
        if type(found) is Message:
            session.undelivered += found.size
            if found.large is not None:
                session.onDisk += found.size
        return cost + self.cost()

    def plan(self) -> Plan | None:
        """Return what holds for the queue."""
        plans = self.session.plans
        return plans.of(self.queue) if plans.isActive else None

    def _expire(self, store: IQueueStore, plan: Plan) -> int:
        """Let go what has expired; return what that changed."""
        expired = expire(store, self.queue, plan.rule, self.session.plans.now())
        self.gain = expired.freed
        self.isUnfinished = expired.isMore
        target = plan.rule.expiredTo
        self._moved = None if target is None else (target, expired.messages)
        return expired.cost

    def find(self, store: IQueueStore) -> Message | QueueError | None:
        """Return what there is."""
        raise NotImplementedError

    def cost(self) -> int:
        """Return what ``run`` returns: an error is that of a message set aside."""
        return MESSAGE_COST if isinstance(self.result, QueueError) else 0

    def undo(self) -> None:
        """Forget the message as well."""
        message = self.message
        if message is not None:
            self.session.forget(message)
        self._moved = None
        self.isUnfinished = False
        super().undo()

    def fail(self, error: QueueError) -> None:
        """Note that nothing could be found."""
        self.session.parked = None
        super().fail(error)

    def shown(self) -> Iterable[tuple[bytes, int]]:
        """Let the next one try, if it was to have a message and left it."""
        if self._moved is not None:
            yield self._moved
        if self.isUnfinished:
            # Then it is in line, and whoever is first there goes on.
            yield self.queue, 1
        elif self.isNext and not (self.takes and self.message is not None):
            yield self.queue, 1

    def seen(self) -> None:
        """Note that the message begins to be sent."""

    def sent(self) -> None:
        """Note that a body in parts was sent to its end."""
        self.unsent()

    def damaged(self) -> None:
        """Note that a part of the body is damaged."""
        self.unsent()

    def unsent(self) -> None:
        """Note that the message is not sent: its reader is gone."""
        if self.message is not None:
            self.session.forget(self.message)


class Peek(Read):
    """Look at the head of a queue."""

    __slots__ = ()

    takes = False

    def find(self, store: IQueueStore) -> Message | QueueError | None:
        """Look."""
        return store.peek(self.queue)

    def cost(self) -> int:
        """Return 0: nothing is set aside."""
        return 0


class Taken:
    """A message that was taken, and is to be sent."""

    __slots__ = ("_message", "_queue", "_session")

    def __init__(self, session: Session, queue: bytes, message: Message) -> None:
        """Remember for whom."""
        self._session = session
        self._queue = queue
        self._message = message

    def sent(self) -> None:
        """Let the parts of its body go: all were sent."""
        assert self._message.large is not None
        self._session.delivered(self._message.large)

    def damaged(self) -> None:
        """Keep it out of the way: a part is damaged."""
        self._session.setAside(self._message)

    def unsent(self) -> None:
        """Put it back: its reader is gone."""
        self._session.giveBack(self._queue, self._message)


class Take(Read):
    """Take the head of a queue."""

    __slots__ = ()

    @property
    def results(self) -> list[Message | QueueError | None]:
        """Return the result as that of a Pop."""
        return [self.result]

    def find(self, store: IQueueStore) -> Message | QueueError | None:
        """Take it."""
        return store.pop(self.queue)

    def cost(self) -> int:
        """Return what it changed."""
        message = self.message
        self.gain += 0 if message is None else message.size
        return 0 if self.result is None else self.effort

    def sent(self) -> None:
        """Let the parts go."""
        self._taken().sent()

    def damaged(self) -> None:
        """Keep it out of the way."""
        self._taken().damaged()

    def unsent(self) -> None:
        """Put it back."""
        if self.message is not None:
            self._taken().unsent()

    def _taken(self) -> Taken:
        assert self.message is not None
        return Taken(self.session, self.queue, self.message)


class _Seen(Message):
    """A message whose body was handed to its reader, and is kept here no longer."""

    bytes = 0

    @property
    def size(self) -> int:
        """Return the bytes of the body that it had."""
        return self.bytes


class Opened:
    """An open read.

    :ivar reader: the session that has it open.
    :ivar isSeen: whether its message began to be sent; what never was does not count
        as delivered.
    """

    __slots__ = ("_timeout", "_timer", "isSeen", "message", "queue", "reader")

    def __init__(
        self, reader: Session, queue: bytes, message: Message, timeout: float | None
    ) -> None:
        """Begin.

        :param timeout: seconds after which it goes back by itself; None for never.
        """
        self.reader = reader
        self.queue = queue
        self.message = message
        self.isSeen = False
        self._timeout = timeout
        self._timer: IDelayedCall | None = None

    def see(self) -> None:
        """Keep the body no longer."""
        self.isSeen = True
        if self.message.large is None:
            seen = _Seen(*self.message._replace(body=b""))
            seen.bytes = self.message.size
            self.message = seen

    @property
    def isOpen(self) -> bool:
        """Whether the session has it."""
        return self in self.reader.opened(self.queue)

    def keep(self, place: int | None = None) -> None:
        """Be one of the session's open reads: the last one, or in an old place."""
        reads = self.reader.open
        if reads is None:
            reads = self.reader.open = {}
        line = reads.setdefault(self.queue, deque())
        line.insert(len(line) if place is None else place, self)
        self.reader.openReads += 1
        if self._timeout is not None:
            self._timer = self.reader.after(self._timeout, self._overdue)

    def drop(self) -> int:
        """Be none of them any more; return the place."""
        reads = self.reader.open
        assert reads is not None
        line = reads[self.queue]
        place = line.index(self)
        del line[place]
        self.reader.openReads -= 1
        if not line:
            del reads[self.queue]
        self.forget()
        return place

    def forget(self) -> None:
        """Do not go back by itself."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _overdue(self) -> None:
        self._timer = None
        self.reader.overdue(self)


class OpenRead(Read):
    """Hide the head of a queue until it is closed or goes back.

    :ivar opened: the open read, None as long as there is none.
    """

    __slots__ = ("_after", "_several", "_timeout", "opened")

    def __init__(
        self,
        session: Session,
        queue: bytes,
        wait: float = 0.0,
        timeout: float | None = None,
        after: CloseRead | None = None,
        several: bool = False,
    ) -> None:
        """Remember where from.

        :param timeout: seconds after which it goes back by itself; None for what the
            queue's rule says.
        :param after: what has to succeed before, in whose place this one answers.
        :param several: whether there may be open ones already.
        """
        super().__init__(session, queue, wait)
        self.opened: Opened | None = None
        self._timeout = timeout
        self._after = after
        self._several = several

    def find(self, store: IQueueStore) -> Message | QueueError | None:
        """Open it."""
        found = store.openRead(self.queue)
        if type(found) is Message:
            timeout = self._timeout
            plan = self.plan()
            if timeout is None and plan is not None:
                timeout = plan.rule.openSeconds or None
            self.opened = Opened(self.session, self.queue, found, timeout)
            self.opened.keep()
        return found

    def run(self, store: IQueueStore) -> int:
        """Open it, unless there is an open one."""
        after = self._after
        if after is not None and isinstance(after.result, QueueError):
            self.fail(after.result)
            return 0
        if not self._several and self.session.opened(self.queue):
            self.fail(AlreadyOpen())
            return 0
        return super().run(store)

    def undo(self) -> None:
        """Forget the open read as well."""
        if self.opened is not None:
            self.opened.drop()
            self.opened = None
        super().undo()

    def seen(self) -> None:
        """From now on it is a delivery."""
        assert self.opened is not None
        self.opened.see()

    def damaged(self) -> None:
        """Close it, and keep it out of the way."""
        assert self.opened is not None
        self.session.forget(self.opened.message)
        self.session.submit(SetReadAside(self.session, self.opened))


class _Ending(Slice):
    """End open reads of a session, up to ENDED_AT_ONCE; the rest ends others."""

    __slots__ = ("_dropped", "queue")

    def __init__(self, session: Session, queue: bytes) -> None:
        """Remember which."""
        super().__init__(session)
        self.queue = queue
        #: What is open no longer, and its place before.
        self._dropped: list[tuple[Opened, int]] = []

    @property
    def goesOn(self) -> bool:
        """Whether there may be more."""
        return len(self._dropped) >= ENDED_AT_ONCE

    def drop(self, opened: Opened) -> None:
        """End one."""
        self._dropped.append((opened, opened.drop()))

    def undo(self) -> None:
        """Let them be open again."""
        super().undo()
        while self._dropped:
            opened, place = self._dropped.pop()
            opened.keep(place)


class CloseRead(_Ending):
    """Delete what is open, the oldest first; the result is how many that were.

    :ivar gain: the bytes of their bodies.
    :ivar closed: the messages that were deleted.
    """

    __slots__ = ("_most", "closed", "gain")

    def __init__(self, session: Session, queue: bytes, most: int = 1) -> None:
        """Remember which, and how many at most."""
        super().__init__(session, queue)
        self.gain = 0
        self._most = most
        self.closed: list[Message] = []

    def run(self, store: IQueueStore) -> int:
        """Delete them; what went back or was flushed meanwhile is not there."""
        self.closed = []
        most = 0 if self.isOver else self._most
        if most > ENDED_AT_ONCE and self.rest is None:
            self.divide(CloseRead(self.session, self.queue, most - ENDED_AT_ONCE))
        for _ in range(min(most, ENDED_AT_ONCE)):
            reads = self.session.opened(self.queue)
            if not reads:
                break
            message = reads[0].message
            self.drop(reads[0])
            if store.closeRead(self.queue, message):
                self.closed.append(message)
        self.result = len(self.closed)
        self.gain = sum([message.size for message in self.closed])
        return MESSAGE_COST * len(self.closed)

    def release(self) -> None:
        """Let the parts of bodies go; none is being sent any more."""
        for message in self.closed:
            if message.large is not None:
                self.session.release(message.large)

    def undo(self) -> None:
        """Forget them."""
        super().undo()
        self.closed = []


class AbortRead(_Ending):
    """Return what a session has open on a queue to its old place.

    What is worn out by that, as the queue's rule says, leaves the queue instead.  The
    result is how many went back or left.  When a store cannot count that, they go back
    all the same.

    :ivar session: who asks for it; the reader itself, or the broker.
    """

    __slots__ = ("_counts", "_only", "_reader", "_shown", "gain")

    def __init__(
        self, session: Session, queue: bytes, only: Opened | None = None
    ) -> None:
        """Remember which.

        :param only: the one of perhaps another session; None for all of this one.
        """
        super().__init__(session, queue)
        self._reader = session if only is None else only.reader
        self._only = only
        self._counts = True
        self.gain = 0
        #: How many messages are to be seen again, by queue.
        self._shown: dict[bytes, int] = {}

    def run(self, store: IQueueStore) -> int:
        """Give them back, and count that as deliveries."""
        plans = self.session.plans
        plan = plans.of(self.queue) if plans.isActive else None
        rule = None if plan is None else plan.rule
        self.gain = ended = 0
        self._shown = {}
        meant = [] if self.isOver else self._meant(ENDED_AT_ONCE)
        if len(meant) == ENDED_AT_ONCE and self.rest is None:
            self.divide(AbortRead(self.session, self.queue))
        for opened in meant:
            self.drop(opened)
            # Nobody had what was not sent to one that is gone.
            counts = self._counts and (opened.isSeen or not self._reader.gone)
            message = opened.message
            if rule is not None and counts and isWornOut(store, message, rule):
                ended += self._bury(store, message, rule)
            elif store.abortRead(self.queue, message, counts):
                ended += 1
                self._show(self.queue)
        self.result = ended
        return MESSAGE_COST * ended

    def _bury(self, store: IQueueStore, message: Message, rule: Rule) -> bool:
        found = bury(store, self.queue, message, rule)
        if isinstance(found, Message):
            if rule.deadLetter is None:
                self.gain += found.size
            else:
                self._show(rule.deadLetter)
        return found is not None

    def _show(self, queue: bytes) -> None:
        self._shown[queue] = self._shown.get(queue, 0) + 1

    def _meant(self, most: int | None = None) -> list[Opened]:
        only = self._only
        if only is not None:
            return [only] if only.isOpen else []
        return list(islice(self._reader.opened(self.queue), most))

    def shown(self) -> Iterable[tuple[bytes, int]]:
        """Tell what can be read again, here or there."""
        if type(self.result) is int:
            yield from self._shown.items()

    def fail(self, error: QueueError) -> None:
        """Try again later, unless the reader itself is there to do so."""
        super().fail(error)
        reader = self._reader
        if (self._only or reader.gone) and not isinstance(error, StoreFailed):
            reader.giveBackLater(self._meant())

    def apart(self) -> Iterator[Operation]:
        """Yield itself, and once more to go without being counted."""
        yield self
        failed = isinstance(self.result, QueueError)
        if failed and not isinstance(self.result, StoreFailed):
            self._counts = False
            yield self


class SetReadAside(_Ending):
    """Keep a message out of the way that is open and has a damaged part."""

    __slots__ = ("_opened",)

    def __init__(self, session: Session, opened: Opened) -> None:
        """Remember which."""
        super().__init__(session, opened.queue)
        self._opened = opened

    def run(self, store: IQueueStore) -> int:
        """Keep it, unless it is open no longer: its parts may be gone then."""
        opened = self._opened
        if not opened.isOpen:
            return 0
        self.drop(opened)
        if not store.closeRead(self.queue, opened.message):
            return 0
        store.setAside(opened.message)
        return MESSAGE_COST


class Empty(Operation):
    """Discard all messages of a queue; the result is how many."""

    __slots__ = ("queue",)

    def __init__(self, session: Session, queue: bytes) -> None:
        """Remember which."""
        super().__init__(session)
        self.queue = queue

    def run(self, store: IQueueStore) -> int:
        """Empty it."""
        self.result = store.empty(self.queue)
        return MESSAGE_COST if self.result else 0
