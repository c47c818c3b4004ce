"""Open reads: messages that are read and kept, until they are closed or go back.

An open read hides its message from everyone else, until its reader closes it, which
deletes the message, or it goes back to its place: because the reader says so, or is
gone, or took too long.  The store does the hiding, in memory only, so that the end of
the process gives everything back; the client knows what it has open.  Only this module
writes :attr:`Opened.state`::

    ENDED --begin--> UNSEEN --see--> SEEN     only SEEN counts as delivered
                     UNSEEN <-unsee- SEEN
    ENDED <---------- end ---------- both     closed, or gone back
    ENDED --------- restore -------> as before: the turn that ended it is undone

A message that was given back too often leaves its queue instead, see
:mod:`memq.operations.expiry`.
"""

from __future__ import annotations

from collections import Counter, deque
from enum import Enum, auto
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from memq.errors import AlreadyOpen, QueueError, StoreFailed
from memq.message import Message
from memq.operations.base import MESSAGE_COST, Slice
from memq.operations.expiry import deadLetter, isWornOut
from memq.operations.reads import Read
from memq.policy.effective import PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from twisted.internet.interfaces import IDelayedCall

    from memq.interfaces import IQueueStore
    from memq.operations.base import Client, Operation
    from memq.policy.rule import Rule

#: Open reads that are closed, or go back, in one go: 250 took 1.2 ms.
ENDED_AT_ONCE = 250


class _Seen(Message):
    """A message whose body was handed to its reader, and is kept here no longer."""

    bytes = 0

    @property
    def size(self) -> int:
        """Return the bytes of the body that it had."""
        return self.bytes


class State(Enum):
    """Where an open read stands."""

    UNSEEN = auto()  # nothing of its message was sent, or that has not arrived
    SEEN = auto()  # its message began to be sent
    ENDED = auto()  # its client does not have it


class Opened:
    """An open read, which ``reader`` has."""

    __slots__ = ("_timeout", "_timer", "message", "queue", "reader", "state")

    def __init__(
        self, reader: Client, queue: bytes, message: Message, timeout: float
    ) -> None:
        """Make one that goes back after ``timeout`` seconds, 0 for never."""
        self.reader = reader
        self.queue = queue
        self.message = message
        self.state = State.ENDED
        self._timeout = timeout
        self._timer: IDelayedCall | None = None

    @property
    def isOpen(self) -> bool:
        """Whether the client has it."""
        return self.state is not State.ENDED

    @property
    def isSeen(self) -> bool:
        """Whether it counts as a delivery if it goes back."""
        return self.state is State.SEEN

    def begin(self) -> None:
        """Be the last of the client's open reads."""
        self._join(State.UNSEEN)

    def see(self) -> None:
        """Note that the message begins to be sent, and keep its body no longer."""
        if self.isOpen:
            self.state = State.SEEN
        if self.message.large is None:
            seen = _Seen(*self.message._replace(body=b""))
            seen.bytes = self.message.size
            self.message = seen

    def unsee(self) -> None:
        """Note that what was sent of it did not arrive."""
        if self.isOpen:
            self.state = State.UNSEEN

    def end(self) -> Callable[[], None]:
        """Be open no longer; return what restores that, in the old place."""
        reads = self.reader.open
        assert reads is not None
        line, state = reads[self.queue], self.state
        place = line.index(self)
        del line[place]
        self.reader.openReads -= 1
        if not line:
            del reads[self.queue]
        self.forget()
        self.state = State.ENDED
        return partial(self._join, state, place)

    def forget(self) -> None:
        """Do not go back by itself."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _join(self, state: State, place: int | None = None) -> None:
        self.state = state
        reads = self.reader.open
        if reads is None:
            reads = self.reader.open = {}
        line = reads.setdefault(self.queue, deque())
        line.insert(len(line) if place is None else place, self)
        self.reader.openReads += 1
        if self._timeout:
            self._timer = self.reader.after(self._timeout, self._overdue)

    def _overdue(self) -> None:
        self._timer = None
        self.reader.overdue(self)


class OpenRead(Read):
    """Hide the head of a queue until it is closed or goes back.

    :ivar opened: the open read, None as long as there is none.
    """

    __slots__ = ("_several", "opened")

    def __init__(
        self,
        client: Client,
        queue: bytes,
        wait: float = 0.0,
        after: CloseRead | None = None,
        several: bool = False,
    ) -> None:
        """Remember where from.

        :param after: what has to succeed before, in whose place this one answers.
        :param several: whether there may be open ones already.
        """
        super().__init__(client, queue, wait)
        self.opened: Opened | None = None
        self.previous = after
        self._several = several

    def find(self, store: IQueueStore) -> Message | QueueError | None:
        """Open it."""
        found = store.openRead(self.queue)
        if type(found) is Message:
            timeout = (self.policy() or PLAIN).rule.openSeconds
            self.opened = Opened(self.client, self.queue, found, timeout)
            self.opened.begin()
        return found

    def run(self, store: IQueueStore) -> int:
        """Open it, unless there is an open one."""
        if self.client.sendsNoMore:
            # Nobody could close what comes later.
            self.wait = 0.0
        if self.hasFailed():
            return 0
        if not self._several and self.client.opened(self.queue):
            self.fail(AlreadyOpen())
            return 0
        return super().run(store)

    def undo(self) -> None:
        """Forget the open read as well."""
        if self.opened is not None:
            self.opened.end()
            self.opened = None
        super().undo()

    def seen(self) -> None:
        """From now on it is a delivery."""
        assert self.opened is not None
        self.opened.see()

    def lost(self) -> None:
        """Count it as no delivery."""
        assert self.opened is not None
        self.opened.unsee()

    def damaged(self) -> None:
        """Close it, and keep it out of the way."""
        assert self.opened is not None
        self.client.outstanding.refund(self.opened.message)
        self.client.submit(SetReadAside(self.client, self.opened))


class _Ending(Slice):
    """End open reads of a client, up to ENDED_AT_ONCE; the rest ends others."""

    __slots__ = ("_ended", "queue")

    def __init__(self, client: Client, queue: bytes) -> None:
        super().__init__(client)
        self.queue = queue
        #: For each that is open no longer, what restores that.
        self._ended: list[Callable[[], None]] = []

    @property
    def hasMore(self) -> bool:
        """Whether there may be more."""
        return len(self._ended) >= ENDED_AT_ONCE

    def release(self) -> None:
        """Let go what it has deleted."""

    def end(self, opened: Opened) -> None:
        """End one."""
        self._ended.append(opened.end())

    def undo(self) -> None:
        """Let them be open again."""
        super().undo()
        while self._ended:
            self._ended.pop()()


class CloseRead(_Ending):
    """Delete what is open, the oldest first; the result is how many that were.

    :ivar bytesFreed: the bytes of their bodies.
    :ivar closed: the messages that were deleted.
    """

    __slots__ = ("_most", "bytesFreed", "closed")

    def __init__(self, client: Client, queue: bytes, most: int = 1) -> None:
        super().__init__(client, queue)
        self.bytesFreed = 0
        self._most = most
        self.closed: list[Message] = []

    def run(self, store: IQueueStore) -> int:
        """Delete them; what went back or was flushed meanwhile is not there."""
        self.closed = []
        if self.hasFailed():
            return 0
        most = 0 if self.isOver else self._most
        if most > ENDED_AT_ONCE and self.rest is None:
            self.divide(CloseRead(self.client, self.queue, most - ENDED_AT_ONCE))
        for _ in range(min(most, ENDED_AT_ONCE)):
            reads = self.client.opened(self.queue)
            if not reads:
                break
            message = reads[0].message
            self.end(reads[0])
            if store.closeRead(self.queue, message):
                self.closed.append(message)
        self.result = len(self.closed)
        self.bytesFreed = sum([message.size for message in self.closed])
        return MESSAGE_COST * len(self.closed)

    def release(self) -> None:
        """Let the parts of bodies go; none is being sent any more."""
        for message in self.closed:
            if message.large is not None:
                self.client.release(message.large)

    abandon = release

    def undo(self) -> None:
        """Forget them."""
        super().undo()
        self.closed = []


class AbortRead(_Ending):
    """Return what a client has open on a queue to its old place.

    A message that is worn out by that, by the queue's rule, leaves it instead.  The
    result is how many went back or left.  When a store cannot count that, they go back
    all the same.  The client is the reader itself, or the broker.
    """

    __slots__ = ("_counts", "_only", "_reader", "_shown", "bytesFreed")

    def __init__(
        self, client: Client, queue: bytes, only: Opened | None = None
    ) -> None:
        """Remember which: ``only`` one, of any client, or all of this one."""
        super().__init__(client, queue)
        self._reader = client if only is None else only.reader
        self._only = only
        self._counts = True
        self.bytesFreed = 0
        #: How many messages are to be seen again, by queue.
        self._shown: Counter[bytes] = Counter()

    def run(self, store: IQueueStore) -> int:
        """Give them back, and count that as deliveries."""
        if self.hasFailed():
            return 0
        rule = (self.client.policies.of(self.queue) or PLAIN).rule
        self.bytesFreed = ended = 0
        self._shown = Counter()
        meant = [] if self.isOver else self._meant(ENDED_AT_ONCE)
        if len(meant) == ENDED_AT_ONCE and self.rest is None:
            self.divide(AbortRead(self.client, self.queue))
        for opened in meant:
            # Nobody had what was not sent to one that is gone.
            counts = self._counts and (opened.isSeen or not self._reader.gone)
            self.end(opened)
            message = opened.message
            if counts and isWornOut(store, message, rule):
                ended += self._deadLetter(store, message, rule)
            elif store.abortRead(self.queue, message, counts):
                ended += 1
                self._shown[self.queue] += 1
        self.result = ended
        return MESSAGE_COST * ended

    def _deadLetter(self, store: IQueueStore, message: Message, rule: Rule) -> bool:
        now = self.client.policies.now()
        found = deadLetter(store, self.queue, message, rule, now)
        if isinstance(found, Message):
            if rule.deadLetter is None:
                self.bytesFreed += found.size
            else:
                self._shown[rule.deadLetter] += 1
        return found is not None

    def _meant(self, most: int | None = None) -> list[Opened]:
        only = self._only
        if only is not None:
            return [only] if only.isOpen else []
        return list(islice(self._reader.opened(self.queue), most))

    def madeVisible(self) -> Iterable[tuple[bytes, int]]:
        """Tell what can be read again, here or there."""
        if type(self.result) is int:
            yield from self._shown.items()

    def fail(self, error: QueueError) -> None:
        """Try again later, unless the reader itself is there to do so."""
        super().fail(error)
        reader = self._reader
        if (self._only or reader.gone) and not isinstance(error, StoreFailed):
            reader.giveBackLater(self._meant())

    def split(self) -> Iterator[Operation]:
        """Yield itself, and once more to go without being counted."""
        yield self
        failed = isinstance(self.result, QueueError)
        if failed and not isinstance(self.result, StoreFailed):
            self._counts = False
            yield self


class SetReadAside(_Ending):
    """Keep a message out of the way that is open and has a damaged part."""

    __slots__ = ("_opened",)

    def __init__(self, client: Client, opened: Opened) -> None:
        super().__init__(client, opened.queue)
        self._opened = opened

    def run(self, store: IQueueStore) -> int:
        """Keep it, unless it is open no longer: its parts may be gone then."""
        opened = self._opened
        if not opened.isOpen:
            return 0
        self.end(opened)
        if not store.closeRead(self.queue, opened.message):
            return 0
        store.setAside(opened.message)
        return MESSAGE_COST
