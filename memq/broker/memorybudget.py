"""Budget: how much memory all connections may have under way together.

One number, --max-buffered, is divided:

- A quarter is for bodies of up to PART_SIZE that come in pieces, and a quarter for
  larger ones, so that neither can starve the other.  A body reserves its room when
  its set line has come, before its first byte: all of it, but PART_SIZE at most, for
  no more than a part of a body is in memory before it is stored.
- Where there is no room the connection is not read from until its turn has come,
  first come, first served.  The bytes that it has sent by then are in memory as well,
  so an eighth is for those that wait.  When that is used up, too, the body is refused,
  and thrown away.
- The rest is for all else: commands that are not answered, messages that are not
  delivered, replies that clients do not read.  It is not handed out in advance.  Each
  connection may hold a sixteenth of what is free, up to MAX_LOAD, and always
  ALLOWANCE, with which it gets on command by command.  So nobody waits for anybody
  here: a client over the measure holds something itself, and goes on when that is
  done.  When there is no more than the allowance for anyone, a client that does not
  read has to go; memq.server.timeouts sees to that.

Pure bookkeeping: it knows no connections and no clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.config.settings import LEAST_LIMIT as LEAST_LIMIT
from memq.config.values import MEGABYTE
from memq.message import PART_SIZE
from memq.operations.outstanding import ALLOWANCE as ALLOWANCE

if TYPE_CHECKING:
    from collections.abc import Callable

#: The load that a connection can have before it is not read from any more: a command
#: counts as its body and COMMAND_LOAD, so that is 1024 commands, or 2 MiB.
MAX_LOAD = 2 * 1024 * 1024
#: The part of what is free that a connection may hold is one in so many.
FRACTION = 16


class BodyReservation:
    """Room for a body, reserved or waited for.

    :ivar isWaiting: whether there was no room yet.
    """

    __slots__ = ("_proceed", "_share", "isWaiting", "size")

    def __init__(self, share: Share, size: int, proceed: Callable[[], object]) -> None:
        """Take ``size`` bytes of a share, now or when there is room.

        :param proceed: called when waiting is over.
        """
        self._share = share
        self._proceed = proceed
        self.size = size
        self.isWaiting = False
        if share.admits(size):
            share.reserved += size
        else:
            self.isWaiting = True
            share.waiting[self] = None

    def admit(self) -> None:
        """Wait no longer: there is room."""
        self.isWaiting = False
        self._share.reserved += self.size
        self._proceed()

    def giveBack(self) -> None:
        """Let it go, or wait for it no longer."""
        if self.isWaiting:
            del self._share.waiting[self]
        else:
            self._share.reserved -= self.size
        self._share.admitNext()


class Share:
    """Room that is reserved before it is used, first come, first served.

    :ivar limit: bytes that there are; as much as the largest body asks for at least.
    :ivar reserved: bytes that are taken.
    :ivar waiting: who waits for room, in order.
    """

    __slots__ = ("limit", "reserved", "waiting")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.reserved = 0
        self.waiting: dict[BodyReservation, None] = {}

    def admits(self, size: int) -> bool:
        """Return whether there is room, and nobody waits for it."""
        return not self.waiting and self.reserved + size <= self.limit

    def admitNext(self) -> None:
        """Give those room that wait, as far as it goes."""
        while self.waiting:
            room = next(iter(self.waiting))
            if self.reserved + room.size > self.limit:
                break
            del self.waiting[room]
            room.admit()


class Budget:
    """The memory that all connections hold, and how much each may.

    :ivar limit: bytes in all.
    :ivar small: the room for bodies of up to PART_SIZE that come in pieces.
    :ivar large: the room for larger ones.
    :ivar held: bytes that connections hold otherwise.
    :ivar window: bytes that each of them may hold now.
    """

    __slots__ = ("_mayWait", "_most", "held", "large", "limit", "small", "window")

    def __init__(self, limit: int = 256 * MEGABYTE) -> None:
        """Begin with nothing held.

        :param limit: in bytes, LEAST_LIMIT at least.
        """
        self.limit = limit
        self.small = Share(limit // 4)
        self.large = Share(limit // 4)
        self._mayWait = limit // 8
        self._most = limit - limit // 4 * 2 - limit // 8
        self.held = 0
        self.count(0)

    def reserve(
        self, size: int, proceed: Callable[[], object]
    ) -> BodyReservation | None:
        """Return room for a body of ``size`` bytes that comes in pieces.

        :param proceed: called once if there is room later and none now.  It must not
            do more than to note that, for somebody else is at work.
        :return: None when too many wait already.
        """
        share = self.small if size <= PART_SIZE else self.large
        size = min(size, PART_SIZE)
        if not share.admits(size) and self._bytesWaiting() + size > self._mayWait:
            return None
        return BodyReservation(share, size, proceed)

    def _bytesWaiting(self) -> int:
        return PART_SIZE * self.waiting

    def count(self, more: int) -> None:
        """Note that connections hold so many bytes more, or fewer."""
        self.held += more
        free = self._most - self.held
        self.window = min(MAX_LOAD, max(ALLOWANCE, free // FRACTION))

    @property
    def isShort(self) -> bool:
        """Whether so little is left that nobody gets more than the least."""
        return self.window <= ALLOWANCE

    @property
    def reserved(self) -> int:
        """Return the bytes that are reserved for bodies."""
        return self.small.reserved + self.large.reserved

    @property
    def waiting(self) -> int:
        """Return how many connections wait for room."""
        return len(self.small.waiting) + len(self.large.waiting)
