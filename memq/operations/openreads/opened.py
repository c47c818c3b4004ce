"""Open read: a message that is read and kept, until it is closed or goes back.

An open read hides its message from everyone else, until its reader closes it, which
deletes the message, or it goes back to its place: because the reader says so, or is
gone, or took too long.  The store does the hiding, in memory only, so that the end of
the process gives everything back; the client knows what it has open.  Only this module
writes :attr:`Opened.state`::

    ENDED --begin--> UNSEEN --see--> SEEN     only SEEN counts as delivered
                     UNSEEN <-unsee- SEEN
    ENDED <---------- end ---------- both     closed, or gone back
    ENDED --------- restore -------> as before: the turn that ended it is undone

A client finds its open reads by number, or the oldest first, however many they are.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum, auto
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING

from memq.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from twisted.internet.interfaces import IDelayedCall

    from memq.operations.base import Client


class _Seen(Message):
    """A message whose body was handed to its reader, and is kept here no longer."""

    bytes = 0

    @property
    def size(self) -> int:
        """Return the bytes of the body that it had."""
        return self.bytes


_newSeen = tuple.__new__


class State(Enum):
    """Where an open read stands."""

    UNSEEN = auto()  # nothing of its message was sent, or that has not arrived
    SEEN = auto()  # its message began to be sent
    ENDED = auto()  # its client does not have it


class OpenReads:
    """The open reads of one client on one queue, the oldest first.

    Invariant: all have numbers of their own.  A queue that is deleted and made again
    counts from 0, so one of before may have the number of a new one; it ends then.
    """

    __slots__ = ("_byNumber", "_isSorted", "_last")

    def __init__(self) -> None:
        self._byNumber: OrderedDict[int, Opened] = OrderedDict()
        #: Whether they stand in the order of their places.
        self._isSorted = True
        #: The place of the one that was opened last.
        self._last = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._byNumber)

    def __iter__(self) -> Iterator[Opened]:
        """Yield them, the oldest first; none may end meanwhile."""
        if not self._isSorted:
            byPlace = sorted(self._byNumber.values(), key=_place)
            self._byNumber = OrderedDict((each.number, each) for each in byPlace)
            self._isSorted = True
        return iter(self._byNumber.values())

    def find(self, number: int) -> Opened | None:
        """Return the one of a message's number, None if there is none."""
        return self._byNumber.get(number)

    def nextPlace(self) -> int:
        """Return a place behind all others."""
        return self._last + 1

    def add(self, opened: Opened) -> None:
        """Let one be among them, where its place is."""
        self._byNumber[opened.number] = opened
        if opened.place > self._last:
            self._last = opened.place
        else:
            self._isSorted = False

    def remove(self, opened: Opened) -> None:
        """Let one be among them no longer."""
        del self._byNumber[opened.number]


#: The open reads of a client that has none.
NOTHING_OPEN = OpenReads()


class Opened:
    """An open read, which ``reader`` has.

    :ivar place: tells which is older, among those of a reader on a queue.
    """

    __slots__ = (
        "_due",
        "_isLate",
        "_timer",
        "message",
        "place",
        "queue",
        "reader",
        "state",
    )

    def __init__(
        self, reader: Client, queue: bytes, message: Message, timeout: float
    ) -> None:
        """Make one that goes back after ``timeout`` seconds, 0 for never."""
        self.reader = reader
        self.queue = queue
        self.message = message
        self.place = 0
        self.state = State.ENDED
        #: When its time is over, by the reader's clock; None for never.
        self._due = reader.seconds() + timeout if timeout else None
        self._isLate = False
        self._timer: IDelayedCall | None = None

    @property
    def number(self) -> int:
        """Return the number of its message."""
        return self.message.sequence

    @property
    def isOpen(self) -> bool:
        """Whether the client has it."""
        return self.state is not State.ENDED

    @property
    def isSeen(self) -> bool:
        """Whether it counts as a delivery if it goes back."""
        return self.state is State.SEEN

    @property
    def isLate(self) -> bool:
        """Whether its time is over: it is about to go back."""
        return self._isLate

    def begin(self) -> Callable[[], None]:
        """Be the last of the client's open reads; return what undoes that."""
        reads = self.reader.open
        line = None if reads is None else reads.get(self.queue)
        before = None if line is None else line.find(self.number)
        # Its queue is gone, and this one's has the same name.
        restore = None if before is None else before.end()
        self._join(State.UNSEEN)

        def undo() -> None:
            self.end()
            if restore is not None:
                restore()

        return undo

    def see(self) -> None:
        """Note that the message begins to be sent, and keep its body no longer."""
        if self.isOpen:
            self.state = State.SEEN
        if self.message.large is None:
            id, number, flags, time, body, _, expires, trace = self.message
            # A third of the time that _replace takes.
            seen = _newSeen(_Seen, (id, number, flags, time, b"", None, expires, trace))
            seen.bytes = len(body)
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
        line.remove(self)
        self.reader.openReads -= 1
        if not line:
            del reads[self.queue]
        self.forget()
        self.state = State.ENDED
        return partial(self._join, state)

    def extend(self, seconds: float) -> Callable[[], None]:
        """Go back after so many seconds from now, 0 for never; return what undoes that.

        It is open, and not late.
        """
        undo = partial(self._setDue, self._due)
        self._setDue(self.reader.seconds() + seconds if seconds else None)
        return undo

    def forget(self) -> None:
        """Do not go back by itself."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _join(self, state: State) -> None:
        self.state = state
        reads = self.reader.open
        if reads is None:
            reads = self.reader.open = {}
        line = reads.get(self.queue)
        if line is None:
            line = reads[self.queue] = OpenReads()
        self.place = self.place or line.nextPlace()
        line.add(self)
        self.reader.openReads += 1
        self._setDue(self._due)

    def _setDue(self, due: float | None) -> None:
        self._due = due
        self.forget()
        # The broker gives back what is late, and tries again by itself.
        if due is not None and self.isOpen and not self._isLate:
            left = max(0.0, due - self.reader.seconds())
            self._timer = self.reader.after(left, self._overdue)

    def _overdue(self) -> None:
        self._timer = None
        self._isLate = True
        self.reader.overdue(self)


_place = attrgetter("place")
