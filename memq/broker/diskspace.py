"""Room: whether there is room for more messages, and how much may be stored unlooked.

Somebody looks at the disk about once a second.  In between, what is stored is counted:
the log, and the pages that tables take.  Before that could use up what is to be kept
free, the next look is asked for, and nothing more is stored until it has come.  Only
a look says that the disk is full, behind a checkpoint, which gives log files back.

A message taken out of a file makes room inside of it, which the disk does not show:
that is counted as well, with care, and only from the start of the server on.

It knows no store, and takes no time: the broker tells it what changes in each turn.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Free space has to grow by this part of --min-free, or MARGIN bytes if that is less,
#: before sets are taken again: nobody is served by a server that changes its mind.
SHARE = 8
MARGIN = 16 * 1024 * 1024
#: Looks for which it counts that a write had no room, although the disk shows some.
LOOKS = 10
#: Bytes, or twice what is to stay free if that is more, below which so little is left
#: that another program could take it between two looks.
NEAR = 1 << 30
#: More bytes than any disk has.
_UNBOUNDED = 1 << 59


class DiskEvent(Enum):
    """The events that a guard tells its observers."""

    #: ``isFull`` has changed.
    CHANGED = auto()
    #: ``isHeld`` has begun: a look is needed at once.
    HELD = auto()
    #: ``isHeld`` has ended.
    RELEASED = auto()


class DiskSpaceGuard:
    """Decide whether sets are taken, and when to look again.

    :ivar isFull: whether sets are refused.
    :ivar isHeld: whether nothing more may be stored before the next look.
    :ivar free: bytes that were free at the last look; None where nothing bounds them.
    :ivar inside: bytes that are free inside the files, as far as that is known.
    """

    def __init__(self) -> None:
        self.isFull = False
        self.isHeld = False
        self._observers: dict[DiskEvent, list[Callable[[], None]]] = {
            event: [] for event in DiskEvent
        }
        self.free: int | None = None
        self.inside = 0
        self.bound(0, 1 << 20, 1 << 20)
        #: Bytes that were logged, and that tables took, since the last look began.
        self._spent = 0
        #: The part of that which came before the look that is under way.
        self._spentBefore = 0
        #: What was spent before that.
        self._past = 0
        #: How much of it there may be.
        self._allowed = _UNBOUNDED
        #: For how many more looks there is no room, whatever they show.
        self._refused = 0

    def subscribe(self, event: DiskEvent, call: Callable[[], None]) -> None:
        """Let something be called at each event of a kind."""
        self._observers[event].append(call)

    def _tell(self, event: DiskEvent) -> None:
        for call in self._observers[event]:
            call()

    def bound(self, least: int, step: int, most: int) -> None:
        """Say what is to be kept.

        :param least: bytes that are to stay free, --min-free.
        :param step: bytes of log that may be spent between two looks in any case: the
            store has them in reserve.
        :param most: bytes that may be spent between two looks while little is left.
        """
        self.least = least
        self._step = step
        self._most = most
        self._near = max(NEAR, 2 * least)

    def look(self) -> None:
        """Note that a look begins: it sees what is spent by now."""
        self._spentBefore = self._spent

    def looked(self, free: int | None) -> None:
        """Take what the look has found.

        :param free: bytes that are free, None where nothing bounds them.
        """
        self.free = free
        self._spent -= self._spentBefore
        self._past += self._spentBefore
        self._spentBefore = 0
        self._allowed = _UNBOUNDED
        if free is not None:
            allowed = free - self.least // 2
            if free < self._near:
                allowed = min(allowed, self._most)
            self._allowed = max(allowed, self._step)
        if self._refused:
            self._refused -= 1
        self._decide()
        if self.isHeld:
            self.isHeld = False
            self._hold()
            if not self.isHeld:
                self._tell(DiskEvent.RELEASED)

    def changed(self, bytesFreed: int, logged: int) -> None:
        """Count what a turn has changed.

        :param bytesFreed: bytes that became free inside the files, less than 0 for what
            was taken.
        :param logged: bytes of log.
        """
        inside = self.inside + bytesFreed
        self.inside = max(0, inside)
        self._spent += logged + max(0, -inside)
        if self.isFull:
            if bytesFreed > 0:
                self._decide()
        elif inside <= 0 < inside - bytesFreed:
            # It was what was free inside that sets were taken for.
            self._decide()
        if self._spent >= self._allowed:
            self._hold()

    @property
    def spentEver(self) -> int:
        """Return the bytes spent since the start: more after each turn with changes."""
        return self._past + self._spent

    def left(self, most: int) -> int:
        """Return how much may be spent before the next look.

        :param most: bytes, what is returned when it is not less; 1 or more.
        """
        left = self._allowed - self._spent
        return most if left >= most else max(1, left)

    def _hold(self) -> None:
        if self._spent >= self._allowed and not self.isHeld:
            self.isHeld = True
            self._tell(DiskEvent.HELD)

    def exhausted(self) -> None:
        """Note that the disk had no room for something, whatever it shows."""
        self.inside = 0
        self._refused = LOOKS
        self._decide()

    def gaveBack(self) -> None:
        """Note that files became smaller: what was free inside, the disk shows now."""
        self.inside = 0

    def _decide(self) -> None:
        if self._refused:
            full = True
        elif self.free is None:
            full = False
        else:
            least = self.least
            if self.isFull:
                least += min(self.least // SHARE, MARGIN)
            full = self.free + self.inside < least
        if full != self.isFull:
            self.isFull = full
            self._tell(DiskEvent.CHANGED)
