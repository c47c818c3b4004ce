"""A message, as it was taken from a queue or looked at.

The record that a store keeps of it is drawn in :mod:`memq.storage.record`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

#: Bytes of the largest body that is kept in one record, and of a usual part.
#: Storing a part takes the reactor's thread less than a millisecond.
PART_SIZE = 65536


class LargeBody(NamedTuple):
    """Where a body is that is kept in parts.

    :ivar id: its id, a u64; no other body in the store has it.
    :ivar size: its bytes.
    :ivar parts: into how many parts it is divided, counted from 0.
    """

    id: int
    size: int
    parts: int


class Reason(IntEnum):
    """Why a message left the queue that it was set to; its value stands on disk."""

    #: It was given back too often.
    DELIVERIES = 1
    #: It was too old.
    EXPIRED = 2


class Trace(NamedTuple):
    """What became of a message before it came to the queue in which it stands.

    A message that is retried later has no origin; a dead letter has one, and keeps
    that, the reason and the time when it becomes a dead letter again.

    :ivar deliveries: how often it was given back before, a u32: of a dead letter, in
        other queues than this one; -1 when queue servers do not tell.
    :ivar origin: the queue that it was set to, if that is another one; or empty.
    :ivar reason: why it left that one; None without an origin.
    :ivar since: when it did, milliseconds since 1970-01-01 UTC; 0 without an origin.
    :ivar again: how often a dead letter was given back in this queue before it was
        retried later, a u32.
    """

    deliveries: int
    origin: bytes = b""
    reason: Reason | None = None
    since: int = 0
    again: int = 0

    @property
    def counted(self) -> int:
        """Return how many deliveries count in the queue in which the message stands."""
        return self.again if self.origin else self.deliveries


class Message(NamedTuple):
    """One message, as it was taken from a queue or looked at.

    :ivar queueId: the id of the queue that it stands in, a u32.
    :ivar sequence: its place in that queue, a u64; places are never used twice.
    :ivar flags: the client's flags, a u32.
    :ivar time: when it was pushed, milliseconds since 1970-01-01 UTC.
    :ivar body: the body, of any bytes, perhaps none.
    :ivar large: where the body is when it is kept in parts; ``body`` is empty then.
    :ivar expires: when it expires, milliseconds since 1970-01-01 UTC; 0 for never.
    :ivar trace: what became of it before; None for most messages.
    """

    queueId: int
    sequence: int
    flags: int
    time: int
    body: bytes
    large: LargeBody | None = None
    expires: int = 0
    trace: Trace | None = None

    @property
    def size(self) -> int:
        """Return the bytes of the body, wherever it is."""
        return len(self.body) if self.large is None else self.large.size

    def retried(self, deliveries: int) -> Trace:
        """Return the trace that it has when it is retried later, in the same queue.

        :param deliveries: how often it was given back, as its store tells.
        """
        trace = self.trace
        if trace is None or not trace.origin:
            return Trace(deliveries)
        return trace._replace(again=deliveries)

    def buried(self, queue: bytes, reason: Reason, deliveries: int, now: int) -> Trace:
        """Return the trace that it has as a dead letter, in another queue.

        :param queue: the one that it leaves.
        :param deliveries: how often it was given back there.
        :param now: milliseconds since 1970-01-01 UTC.
        """
        trace = self.trace
        if trace is None or not trace.origin:
            return Trace(deliveries, queue, reason, now)
        return trace._replace(deliveries=trace.deliveries + deliveries, again=0)
