"""The figures of queues that a store tells.

Times are milliseconds since 1970-01-01 UTC unless it says seconds.
"""

from __future__ import annotations

from enum import Enum
from sys import maxsize
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class QueueCount(NamedTuple):
    """The row of a queue in ``stats queue``."""

    name: bytes
    #: Messages ever pushed.
    pushed: int
    #: Messages ever taken; the difference is the depth, with what is read openly.
    taken: int


class Kept(NamedTuple):
    """Figures of a queue's kept messages, which limits are about."""

    #: Messages: those that can be taken, are read openly, or are not due.
    items: int
    #: Of the bodies of all these.
    bytes: int
    #: Messages that can be taken, and the bytes of their bodies.
    ready: int
    readyBytes: int


#: Of a queue that is not there.
NOTHING_KEPT = Kept(0, 0, 0, 0)


class Sums(NamedTuple):
    """Sums of some queues."""

    #: Messages that wait in them, and the bytes of their bodies.
    messages: int
    bytes: int
    #: Messages that were too old, and that were discarded, ever.
    expired: int
    discarded: int
    #: Messages with an open read; those that are not due yet.
    open: int
    delayed: int
    #: Messages ever pushed, or due; ever taken.
    pushed: int
    taken: int


class Heads(NamedTuple):
    """How old it may be what is told of the heads of queues."""

    #: The time in seconds, by a clock that goes on, the same one always.
    now: float = 0.0
    #: Seconds for which a head that was looked at is told as it was.
    late: float = 0.0
    #: How many are looked at; it ends before the queue that needs another look.
    most: int = maxsize
    #: A time since which all queues were told, in ms since 1970; 0 for unknown.  A head
    #: that came later may be told as of then, for twice as long as ``late`` at most.
    since: int = 0


#: All are told as they are.
AS_THEY_ARE = Heads()
#: Queues of which each head is told as it is; of more, seconds for each queue that one
#: is told as it was, and the most.
FEW, LATE_EACH, LATE = 1000, 3e-3, 60.0


def lateness(count: int) -> float:
    """Return for how many seconds heads of so many queues are told as they were.

    To look at one that has changed takes longer than all else.
    """
    return 0.0 if count <= FEW else min(LATE, LATE_EACH * count)


class QueueDetail(NamedTuple):
    """The figures of a queue in ``stats detail``."""

    name: bytes
    #: Messages that can be taken.
    items: int
    #: Of the bodies of these, and of those with an open read.
    bytes: int
    #: Messages with an open read.
    open: int
    #: Messages that are not due yet.
    delayed: int
    #: Messages ever pushed, or due; ever taken.
    pushed: int
    taken: int
    #: Open reads ever closed.
    closed: int
    #: Messages that expired, and that were discarded.
    expired: int
    discarded: int
    #: Open reads ever given back.
    returns: int
    #: The most messages that may wait, 0 for any number.
    limit: int
    #: The commands that are paused: 1 reads, 2 writes, 3 both.
    paused: int
    #: When the head was set; 0 when there is none, or it is damaged.
    headTime: int
    #: Seconds, in steps of a minute.
    lastUsed: int


#: The columns of no queue.
_NOTHING: Sequence[Sequence[Any]] = [()] * len(QueueDetail._fields)


class Columns(NamedTuple):
    """The figures of some queues in columns.

    :ivar seen: of how many queues, of those that were asked for: to the end, or as
        many heads as may be looked at; with those that are not there.
    :ivar columns: the figures of those that there are, in the order of QueueDetail.
    """

    seen: int
    columns: Sequence[Sequence[Any]]

    @classmethod
    def of(cls, rows: Sequence[QueueDetail], seen: int) -> Columns:
        """Make columns of rows."""
        return cls(seen, list(zip(*rows, strict=True)) or _NOTHING)

    def joined(self, others: Columns) -> Columns:
        """Return these, and others behind them."""
        both = zip(self.columns, others.columns, strict=True)
        return Columns(self.seen + others.seen, [(*a, *b) for a, b in both])

    def rows(self) -> list[QueueDetail]:
        """Return the same queue by queue."""
        return list(map(QueueDetail._make, zip(*self.columns, strict=True)))


class Outcome(Enum):
    """Something that became of messages, of what is counted since the start."""

    #: Given back too often, or too old: it is in another queue.
    DEAD_DELIVERIES = "deliveries"
    DEAD_EXPIRED = "expired"
    #: Given back: by its reader, because that was gone, or took too long.
    ABORTED = "abort"
    DISCONNECTED = "disconnect"
    TIMED_OUT = "timeout"
    #: A record that was found damaged, and is set aside.
    DAMAGED = "damaged"


class Totals(NamedTuple):
    """Counters of queues together: what was ever done, by the names of QueueDetail."""

    pushed: int = 0
    taken: int = 0
    closed: int = 0
    expired: int = 0
    discarded: int = 0
    returns: int = 0


class LinkState(NamedTuple):
    """What is told of a connection to a cluster."""

    #: What it is for, in a word or two.
    purpose: str
    #: The node that it is connected to; None while there is none.
    node: str | None
    #: Whether that node takes no messages now.
    isBlocked: bool
    #: How many connections for this were lost since the start.
    lost: int


class ClusterState(NamedTuple):
    """What is known of the servers that keep the queues."""

    links: Sequence[LinkState]
    #: How many nodes there are, and how many of them run; None if nobody tells.
    nodes: int | None
    running: int | None
    version: str | None
    #: Sets that are under way.
    unconfirmed: int
    #: Sets of which it was not told that they are stored, by the reason.
    failed: Mapping[str, int]
    #: Gets that were answered with an error: each may have taken a message.
    failedGets: int
    #: Queues without a leader, of which nothing is known; None if nobody tells.
    silent: int | None
    #: When it was told what queues there are, in seconds since 1970; None for never.
    toldAt: float | None
