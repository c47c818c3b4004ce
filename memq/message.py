"""A message, as it was taken from a queue or looked at.

The record that a store keeps of it is drawn in :mod:`memq.storage.record`.
"""

from __future__ import annotations

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


class Message(NamedTuple):
    """One message, as it was taken from a queue or looked at.

    :ivar queueId: the id of the queue that it stands in, a u32.
    :ivar sequence: its place in that queue, a u64; places are never used twice.
    :ivar flags: the client's flags, a u32.
    :ivar time: when it was pushed, milliseconds since 1970-01-01 UTC.
    :ivar body: the body, of any bytes, perhaps none.
    :ivar large: where the body is when it is kept in parts; ``body`` is empty then.
    :ivar expires: when it expires, milliseconds since 1970-01-01 UTC; 0 for never.
    """

    queueId: int
    sequence: int
    flags: int
    time: int
    body: bytes
    large: LargeBody | None = None
    expires: int = 0

    @property
    def size(self) -> int:
        """Return the bytes of the body, wherever it is."""
        return len(self.body) if self.large is None else self.large.size
