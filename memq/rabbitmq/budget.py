"""The memory of a front end: whole bodies are in it, on their way here and there.

A store keeps the parts of a large body as they come.  A cluster is sent a body when all
of it is there, and gives one out at once.  So a large body that comes reserves room for
all of itself and for what it is sent as, until the cluster has confirmed it; and so
much is asked for as there is room.  How large a message is, is known when it is there:
before, one counts as the queue's last ones do, or as the largest there may be.

An open read keeps no body once that is sent, but a later try needs it: the nodes cannot
delay what they have.  So there is room for those as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.broker.memorybudget import BodyReservation, Budget
from memq.config.values import MEGABYTE
from memq.message import PART_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

#: How often a body is in memory while it is sent: as it came, and in frames.
COPIES = 2
#: Queues of which the sizes are known.
_MOST_SIZES = 10_000
#: Bytes that a body takes beside its own.
_BESIDE = 150


class OpenBodies:
    """The bodies of messages that are open here, up to a limit: the oldest go first."""

    __slots__ = ("_bodies", "_limit", "_size")

    def __init__(self, limit: int) -> None:
        """Begin with none.

        :param limit: in bytes.
        """
        self._bodies: dict[int, bytes] = {}
        self._limit = limit
        self._size = 0

    def keep(self, number: int, body: bytes) -> None:
        """Keep a body, by the number of its message."""
        size = len(body) + _BESIDE
        if size <= self._limit:
            self._bodies[number] = body
            self._size += size
            while self._size > self._limit:
                self.forget(next(iter(self._bodies)))

    def find(self, number: int) -> bytes | None:
        """Return a body; None if it is not here."""
        return self._bodies.get(number)

    def forget(self, number: int) -> None:
        """Let a body go that may be here."""
        body = self._bodies.pop(number, None)
        if body is not None:
            self._size -= len(body) + _BESIDE


class FrontBudget(Budget):
    """The memory that all connections of a front end hold.

    :ivar opened: bodies of open messages, in an eighth of the limit beside it.
    """

    __slots__ = ("_asked", "_largest", "_sizes", "opened")

    def __init__(self, limit: int = 256 * MEGABYTE, largest: int = MEGABYTE) -> None:
        """Begin with nothing held.

        :param limit: in bytes.
        :param largest: bytes of the largest body that is set.
        """
        super().__init__(limit)
        self.opened = OpenBodies(limit // 8)
        self._largest = largest
        #: Bytes that may come of what is asked for.
        self._asked = 0
        self._sizes: dict[bytes, int] = {}

    def reserve(
        self, size: int, proceed: Callable[[], object]
    ) -> BodyReservation | None:
        """Return room for all of a body, and for what it is sent as."""
        if size <= PART_SIZE:
            return super().reserve(size, proceed)
        share = self.large
        size = min(size * COPIES, share.limit)
        if not share.admits(size) and self._bytesWaiting() + PART_SIZE > self._mayWait:
            return None
        return BodyReservation(share, size, proceed)

    def send(self, size: int) -> None:
        """Note that a large body is on its way to the cluster; less than 0: no more."""
        self.large.reserved += size * COPIES
        if size < 0:
            self.large.admitNext()

    # What is asked for.

    def ask(self, queue: bytes) -> int | None:
        """Return for how many bytes a message is asked for; None if there is no room.

        They count until ``found`` is called.  One may always be asked for, unless so
        much is held that clients have to take it first.
        """
        size = self._sizes.get(queue, self._largest)
        asked, most = self._asked, self._most - self.held
        if asked + size > most and (asked or most <= 0):
            return None
        self._asked = asked + size
        return size

    def found(self, queue: bytes, size: int, found: int | None = None) -> None:
        """Note that nothing more comes of what was asked for.

        :param size: what ``ask`` returned.
        :param found: the bytes of the message, if there was one.
        """
        self._asked -= size
        if found is not None:
            sizes, least = self._sizes, size - size // 8
            if len(sizes) >= _MOST_SIZES:
                sizes.clear()
            # It is forgotten slowly that there were larger ones.
            if found < least:
                found = max(found, min(least, self._largest))
            sizes[queue] = found
