"""The row that a store keeps of a queue, and the queue in memory.

A row, as it stands on disk (big-endian):

    offset  size  field
    0       1     version of this layout: 2
    1       4     id of the queue; its messages are kept under it
    5       8     sequence number of the next message
    13      8     messages ever pushed
    21      8     messages ever taken
    29      8     bytes of the bodies that wait
    37      8     open reads ever closed
    45      8     messages that expired
    53      8     messages that were discarded
    61      8     open reads ever given back
    69      4     id that its delayed messages are kept under, 0 before the first one
    73      8     how many of those there are
    81      8     the most messages that may wait, 0 for any number
    89      1     what is paused: 1 reads, 2 writes, 3 both
    90      8     bytes of the bodies that are delayed
    98      8     time of its last use, seconds since 1970-01-01 UTC, in steps of USED

One of version 3 goes on; it is written as long as the head of the queue is within a
packed record (:mod:`memq.storage.packed`):

    106     8     sequence number of the head

One of version 1 ends before the bytes.  It is still read; the store then counts the
bytes (:mod:`memq.storage.bdb.loading`), and its last use is now.

This module does no I/O.
"""

from __future__ import annotations

from math import inf
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from memq.display import shownName
from memq.figures import Kept

if TYPE_CHECKING:
    from memq.storage.openreads import Reads

#: The version byte of the rows that this module writes.
VERSION = 2
PACK_VERSION = 3

#: By how many seconds the time of the last use may be early: a row changes less then.
USED = 60

#: Bytes of a queue whose row does not tell them.
UNCOUNTED = -1

_ROW_1 = Struct(">BIQQQ")
_HEAD = Struct(">BIQQQQQ")
_packHead = _HEAD.pack
_REST = Struct(">QQQIQQBQQ")
_PACK_HEAD = Struct(">Q")
_SIZE = _HEAD.size + _REST.size
_SIZES = {VERSION: _SIZE, PACK_VERSION: _SIZE + _PACK_HEAD.size}


class DamagedRow(Exception):
    """A row whose bytes are not what was once written."""


class Rest(NamedTuple):
    """The figures of a row that seldom change: kept, packed and put back as one.

    :ivar expired: messages that expired.
    :ivar discarded: messages that were discarded.
    :ivar returns: open reads ever given back.
    :ivar delayId: the id that delayed messages are kept under, 0 before the first one.
    :ivar delayed: how many of those there are.
    :ivar limit: the most messages that may wait, 0 for any number.
    :ivar paused: what is paused: 1 reads, 2 writes, 3 both.
    :ivar delayedBytes: of the bodies of delayed messages.
    """

    expired: int = 0
    discarded: int = 0
    returns: int = 0
    delayId: int = 0
    delayed: int = 0
    limit: int = 0
    paused: int = 0
    delayedBytes: int = 0


#: The rest of most queues.
NO_REST = Rest()
_NO_REST_PACKED = _REST.pack(*NO_REST, 0)

#: Messages of a queue that nobody has looked at.
UNSEEN = -1


class Queue:
    """One queue's row, and where its first message is to be looked for.

    :ivar head: no message of the queue has a lower sequence number, but for those that
        its reads know of.
    :ivar packHead: the same, while that is within a packed record; else 0.
    :ivar bytes: of the bodies of all messages that were pushed and not taken.
    :ivar closed: messages ever taken by an open read; they count as taken, too.
    :ivar rest: what seldom changes.
    :ivar lastUsed: seconds since 1970-01-01 UTC, in steps of USED; 0 if unknown.
    :ivar reads: its open reads and what came of earlier ones; None when nothing is.
    :ivar end: how many had been pushed when its figures were told last; or UNSEEN.
    :ivar headTaken: messages taken when the first one was looked at; UNSEEN when it was
        not, or its time is known but nearly.  Plain numbers are no work for the garbage
        collector, as a record of them would be.
    :ivar headSeen: ``head`` at that time.
    :ivar headTime: when that message was set, in ms since 1970; 0 if it is damaged.
    :ivar headAt: when it was looked at, in seconds.
    """

    __slots__ = (
        "_packedRest",
        "bytes",
        "closed",
        "end",
        "head",
        "headAt",
        "headSeen",
        "headTaken",
        "headTime",
        "id",
        "lastUsed",
        "name",
        "nextSequence",
        "packHead",
        "pushed",
        "reads",
        "rest",
        "taken",
    )

    def __init__(
        self,
        name: bytes,
        id: int,
        nextSequence: int = 0,
        pushed: int = 0,
        taken: int = 0,
        size: int = 0,
        rest: Rest = NO_REST,
    ) -> None:
        self.name = name
        self.id = id
        self.nextSequence = nextSequence
        self.pushed = pushed
        self.taken = taken
        self.bytes = size
        self.closed = 0
        self.lastUsed = 0
        self.rest = NO_REST
        self._packedRest = _NO_REST_PACKED
        if rest is not NO_REST:
            self.setRest(rest)
        self.head = self.packHead = 0
        self.end = self.headTaken = UNSEEN
        self.headSeen = self.headTime = 0
        self.headAt = -inf
        self.reads: Reads | None = None

    @property
    def openReads(self) -> int:
        """Return how many messages are read openly; they are not taken yet."""
        return 0 if self.reads is None else len(self.reads.hidden)

    @property
    def ready(self) -> int:
        """Return how many messages a pop would find."""
        return self.pushed - self.taken - self.openReads

    @property
    def kept(self) -> Kept:
        """Return what limits are about."""
        rest = self.rest
        openBytes = 0 if self.reads is None else self.reads.bytes
        return Kept(
            self.pushed - self.taken + rest.delayed,
            self.bytes + rest.delayedBytes,
            self.ready,
            self.bytes - openBytes,
        )

    def forgetHead(self) -> None:
        """Forget that: what was seen is undone."""
        self.headTaken, self.headAt = UNSEEN, -inf

    def setRest(self, rest: Rest) -> None:
        """Give what seldom changes other values."""
        self.rest = rest
        self._packedRest = _REST.pack(*rest, self.lastUsed)

    def use(self, seconds: int) -> None:
        """Note when it was used."""
        self.lastUsed = seconds
        self.setRest(self.rest)

    def change(self, **fields: int) -> None:
        """Give fields of ``rest`` other values."""
        self.setRest(self.rest._replace(**fields))

    def delay(self, number: int, size: int) -> None:
        """Count delayed messages in, or out if there are less than none."""
        rest = self.rest
        self.change(
            delayed=rest.delayed + number, delayedBytes=rest.delayedBytes + size
        )

    def pack(self) -> bytes:
        """Return the row."""
        packHead = self.packHead
        head = _packHead(
            PACK_VERSION if packHead else VERSION,
            self.id,
            self.nextSequence,
            self.pushed,
            self.taken,
            self.bytes,
            self.closed,
        )
        if packHead:
            return head + self._packedRest + _PACK_HEAD.pack(packHead)
        return head + self._packedRest


def unpackQueue(name: bytes, row: bytes) -> Queue:
    """Return the queue that a row describes; its bytes may be UNCOUNTED.

    :raise DamagedRow: when it is of another size or version.
    """
    if row[:1] == b"\1" and len(row) == _ROW_1.size:
        _, id, nextSequence, pushed, taken = _ROW_1.unpack(row)
        size = UNCOUNTED if pushed != taken else 0
        return Queue(name, id, nextSequence, pushed, taken, size)
    if not row or len(row) != _SIZES.get(row[0]):
        shown = shownName(name)
        raise DamagedRow(f"the row of queue {shown} cannot be read: {row[:40].hex()}")
    version, id, nextSequence, pushed, taken, size, closed = _HEAD.unpack_from(row)
    *rest, lastUsed = _REST.unpack_from(row, _HEAD.size)
    queue = Queue(name, id, nextSequence, pushed, taken, size, Rest(*rest))
    queue.closed = closed
    queue.use(lastUsed)
    if version == PACK_VERSION:
        (queue.packHead,) = _PACK_HEAD.unpack_from(row, _SIZE)
        queue.head = queue.packHead
    return queue
