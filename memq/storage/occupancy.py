"""Survey: whether so little is left in a file that moving it is worth it.

Counts do not tell: messages may be large, parts of large bodies are records as well,
and what deleted queues left is counted nowhere.  So a walk goes through the records, in
slices, and is given up as soon as it has seen too much.  Only two walks in a row that
found little make a move worth it.

It knows no Berkeley DB, and is not called by two threads at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: A move has to give back all but this part of the file.  The new one may become twice
#: as large as what is in it (pages that were split are half full), so that with half of
#: it, a file could be moved again and again.
SHARE = 0.25
#: Seconds between two walks that find little.  A queue that fills and drains within
#: seconds uses its pages again; to move it each time would gain nothing.
INTERVAL = 5.0
#: Seconds without a walk when a move has begun or could not, and the least after a walk
#: that found too much.  It comes sooner when half of the messages are gone: there is
#: more reason then, and however a queue drains, each message is met about once.
PAUSE = 60.0
#: The part of the time that walks may take that found too much.
WALK_SHARE = 0.01
#: Bytes that the smallest message takes on a page, in a packed record.
LEAST_MESSAGE = 12
#: Bytes that a page needs for a record beside its key and itself.
_ITEM = 10
#: The most bytes of records that one slice reads or moves: 0.4 ms.
SLICE_BYTES = 64 * 1024


class Survey:
    """Find out how much is left in a file."""

    def __init__(
        self,
        count: Callable[[], int],
        seconds: Callable[[], float],
        pageSize: int,
        leastSize: int,
    ) -> None:
        """Begin with nothing known.

        :param leastSize: bytes of a file below which it stays: one that is not larger
            is soon needed again.
        """
        self._count = count
        self._seconds = seconds
        self._pageSize = pageSize
        self._leastSize = leastSize
        self._nextAt = 0.0
        #: Bytes that may be left, those found so far, and the key to go on from.
        self._budget = 0.0
        self.found = 0
        self._key = b""
        #: How many walks in a row found little.
        self._small = 0
        #: When the walk began, and with how many messages.
        self._beganAt = 0.0
        self._beganWith = 0
        #: Until when there is none, unless no more than so many messages are there.
        self._pausedUntil = 0.0
        self._pausedAbove = 0

    @property
    def isWorthIt(self) -> bool:
        """Whether a move is worth it."""
        return self._small > 1

    def isDue(self, size: int) -> bool:
        """Return whether it is time for a walk through a file of ``size`` bytes."""
        now = self._seconds()
        if now < self._nextAt:
            return False
        self._nextAt = now + INTERVAL
        self._budget = size * SHARE
        return size >= self._leastSize

    def begin(self) -> bool:
        """Begin a walk; return False if counts alone say that it is no use."""
        count, now = self._count(), self._seconds()
        paused = now < self._pausedUntil and count > self._pausedAbove
        if paused or count * LEAST_MESSAGE > self._budget:
            self._small = 0
            return False
        self._beganAt, self._beganWith = now, count
        self.found, self._key = 0, b""
        return True

    def walk(self, cursor: Any, limit: int) -> bool:
        """Add up some more records; return whether to go on.

        :param cursor: one over the file, closed by the caller.
        """
        room = SLICE_BYTES
        found = cursor.set_range(self._key)
        while found and limit > 0 and room > 0:
            key, record = found
            self.found += self._bytesOf(len(key) + len(record) + _ITEM)
            self._key = key + b"\0"
            limit -= 1
            room -= len(record)
            found = cursor.next()
        if self.found > self._budget:
            took = self._seconds() - self._beganAt
            self.pause(max(PAUSE, took / WALK_SHARE))
            return False
        if not found:
            self._small += 1
        return bool(found)

    def _bytesOf(self, size: int) -> int:
        """Return about how many bytes of pages a record takes."""
        page = self._pageSize
        # More than a quarter of a page is kept in pages of its own.
        return size if size <= page // 4 else -(-size // page) * page

    def pause(self, seconds: float = PAUSE) -> None:
        """Have no walk for so long, or until half of the messages are gone."""
        self._small = 0
        self._pausedUntil = self._seconds() + seconds
        self._pausedAbove = self._beganWith // 2
