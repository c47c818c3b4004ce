"""Rates: messages a second, from two looks at the same counters."""

from __future__ import annotations

from typing import NamedTuple

#: Seconds that two looks are apart at least, and at most, for a rate to be told.
LEAST, MOST = 0.9, 60.0
#: Queues whose counters are kept.
KEPT = 1024


class Rates(NamedTuple):
    """Messages a second that come and go; None while it is not known."""

    incoming: float | None = None
    outgoing: float | None = None


UNKNOWN = Rates()


class _Look(NamedTuple):
    at: float
    pushed: int
    taken: int
    rates: Rates


class Speeds:
    """Rates of queues that are asked for one by one, of some at a time."""

    def __init__(self) -> None:
        self._looks: dict[bytes, _Look] = {}

    def note(self, name: bytes, at: float, pushed: int, taken: int) -> Rates:
        """Return the rates of a queue.

        :param at: when it was looked at, in seconds, by a clock that is never set.
        :param pushed: messages that ever came.
        :param taken: messages that ever left.
        """
        before = self._looks.pop(name, None)
        if before is not None and at - before.at < LEAST:
            # Too soon: what was told a moment ago still holds.
            self._looks[name] = before
            return before.rates
        rates = UNKNOWN
        if before is not None:
            rates = between(
                at - before.at, pushed - before.pushed, taken - before.taken
            )
        if len(self._looks) >= KEPT:
            del self._looks[next(iter(self._looks))]
        self._looks[name] = _Look(at, pushed, taken, rates)
        return rates


def between(seconds: float, pushed: int, taken: int) -> Rates:
    """Return the rates of so many messages; none when that is too long ago."""
    if not LEAST <= seconds <= MOST:
        return UNKNOWN
    return Rates(perSecond(pushed, seconds), perSecond(taken, seconds))


def perSecond(count: int, seconds: float) -> float:
    """Return a rate.

    It is 0 where a counter fell: a message went back, or the queue is another one.
    """
    return max(0.0, round(count / seconds, 3))
