"""Rate limits: of log lines of a kind, of those that tell of progress, and of calls.

No I/O, no state, no Twisted.
"""

from __future__ import annotations

from collections import OrderedDict
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    #: Takes words, and how much of all is done, None if nobody knows.
    Draw = Callable[[str, float | None], object]

#: Seconds between two lines of the log that tell of things of a kind.
LOG_INTERVAL = 60.0
#: Seconds between two lines that tell how far a long piece of work is.
PROGRESS_INTERVAL = 1.0


class Rarely:
    """Count things by their kinds, which are few, and say when to log them."""

    __slots__ = ("_counts", "_loggedAt", "_seconds")

    def __init__(self, seconds: Callable[[], float]) -> None:
        """Begin with nothing.

        :param seconds: returns the time, by a clock that is never set.
        """
        self._seconds = seconds
        self._counts: dict[str, int] = {}
        self._loggedAt: dict[str, float] = {}

    def count(self, kind: str) -> int:
        """Count one; return how many to log now with it, or 0 to log nothing."""
        counted = self._counts.get(kind, 0) + 1
        now = self._seconds()
        loggedAt = self._loggedAt.get(kind)
        if loggedAt is not None and now - loggedAt < LOG_INTERVAL:
            self._counts[kind] = counted
            return 0
        self._loggedAt[kind] = now
        self._counts[kind] = 0
        return counted


class Progress:
    """Tell how far a long piece of work is, at most one line in an interval.

    Where something draws, it is drawn instead, ten times as often.
    """

    def __init__(
        self,
        tell: Callable[[str], object],
        seconds: Callable[[], float] = monotonic,
        interval: float = PROGRESS_INTERVAL,
        draw: Draw | None = None,
    ) -> None:
        """Begin to count the seconds.

        :param tell: takes a line, without its end.
        :param seconds: a clock that never goes back.
        :param draw: draws a bar; None where there is no terminal.
        """
        self.tell = tell
        self._draw = draw
        self._seconds = seconds
        self._interval = interval if draw is None else interval / 10
        self.begin()

    def begin(self) -> None:
        """Count the seconds anew: what comes now is another kind of work."""
        self._began = self._seconds()
        self._nextAt = self._began + self._interval

    def rate(self, count: int) -> float:
        """Return how many a second that is, from the start on."""
        return count / max(self._seconds() - self._began, 1e-6)

    def reach(self, line: Callable[[], str], part: float | None = None) -> bool:
        """Tell a line if the last one of these was an interval ago; say whether.

        :param part: how much of all is done, 0 to 1; None if nobody knows.
        """
        now = self._seconds()
        if now < self._nextAt:
            return False
        self._nextAt = now + self._interval
        words = line()
        if part:
            took = now - self._began
            words += f", {max(took / part - took, 0):.0f} s left"
        if self._draw is None:
            self.tell(words)
        else:
            self._draw(words, part)
        return True


class Later(Protocol):
    """Calls something in a later turn; a reactor does."""

    def callLater(self, delay: float, call: Callable[[], object], /) -> Any:
        """Call it after so many seconds."""


class EachTurn:
    """Let so many calls be made in a turn of the reactor, and others wait, in order.

    Clients that come, or whose time is over, all at once would hold up all others.
    """

    __slots__ = ("_clock", "_isForeseen", "_made", "_most", "_waiting")

    def __init__(self, clock: Later, most: int) -> None:
        """Begin with none.

        :param most: how many in a turn.
        """
        self._clock = clock
        self._most = most
        self._made = 0
        # Not a dict, which skips all that have left to find its first.
        self._waiting: OrderedDict[Callable[[], object], None] = OrderedDict()
        self._isForeseen = False

    def call(self, call: Callable[[], object]) -> bool:
        """Call something now, or in a later turn; return whether it was now.

        What waits already keeps its place, and is called once.
        """
        isNow = self._made < self._most and not self._waiting
        if isNow:
            self._made += 1
        else:
            self._waiting[call] = None
        self._foresee()
        if isNow:
            call()
        return isNow

    def leave(self, call: Callable[[], object]) -> None:
        """Make a call no more that may wait, so that it holds nothing and nobody."""
        self._waiting.pop(call, None)

    def _foresee(self) -> None:
        if not self._isForeseen:
            self._isForeseen = True
            self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._isForeseen = False
        self._made = min(self._most, len(self._waiting))
        if self._made:
            self._foresee()
        for _ in range(self._made):
            # One that is made may let others leave.
            if self._waiting:
                self._waiting.popitem(False)[0]()
