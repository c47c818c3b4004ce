"""Snapshot: the figures of all queues at one time, for all who look.

A survey is made only when somebody asks, and what it found is told for a second, or a
hundred times as long as the processor takes for one beside load, but ten seconds at
most: so viewers, however many, take 1 % of it with up to 25,000 queues.  What they have
in view is told by ticks meanwhile.
The counters of the one before it are kept, for rates.

All of it is in columns: 100,000 queues take 16 MB, and their names are the store's own.
"""

from __future__ import annotations

from array import array
from functools import partial
from itertools import repeat
from operator import sub, truediv
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.task import Cooperator

from memq.web.api.rates import LEAST, MOST, UNKNOWN, Rates, between
from memq.web.metrics.survey import Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from twisted.internet.interfaces import IReactorTime

    from memq.broker.interfaces import IEngine
    from memq.web.metrics.survey import Picture, Surveyor

#: Seconds that a snapshot is told at least, for each of its queues, which is a hundred
#: times what the processor takes for one that changes, and at most.
FRESH, FRESH_EACH, STALE = 1.0, 400e-6, 10.0
#: Queues that are worked at in one go, in half a millisecond.
AT_ONCE = 1024
#: The rate of a queue of which it is not known.
NO_RATE = -1.0

#: All queues, of which nobody needs labels.
_ALL = Wanted(areLabelled=False)


def inSlices(clock: IReactorTime) -> Cooperator:
    """Return what does one step of some work in each turn of the reactor."""
    return Cooperator(
        terminationPredicateFactory=lambda: lambda: True,
        scheduler=partial(clock.callLater, 0),
    )


class Snapshot(NamedTuple):
    """The figures of all queues.

    :ivar at: when that was, in seconds since 1970.
    :ivar names: in the order of the columns.
    :ivar columns: by the names of memq.web.metrics.survey.FIGURES.
    :ivar incoming: messages a second that come into each, or NO_RATE; and ``outgoing``.
    :ivar rates: of them all.
    """

    at: float
    picture: Picture
    names: Sequence[bytes]
    columns: dict[str, array[int]]
    incoming: array[float]
    outgoing: array[float]
    rates: Rates

    def figures(self, place: int) -> list[int]:
        """Return the figures of one."""
        return [column[place] for column in self.columns.values()]

    def ratesOf(self, place: int) -> Rates:
        """Return the rates of one."""
        incoming, outgoing = self.incoming[place], self.outgoing[place]
        if incoming < 0:
            return UNKNOWN
        return Rates(round(incoming, 3), round(outgoing, 3))


class _Before(NamedTuple):
    """What is kept of the last snapshot."""

    seconds: float
    picture: Picture
    names: Sequence[bytes]
    pushed: array[int]
    taken: array[int]


class Snapshots:
    """Make snapshots."""

    def __init__(
        self,
        clock: IReactorTime,
        broker: IEngine,
        surveyor: Surveyor,
        noted: Callable[[Snapshot], object] = lambda snapshot: None,
    ) -> None:
        """Begin with none.

        :param noted: is told of each.
        """
        self._clock = clock
        self._broker = broker
        self._surveyor = surveyor
        self._noted = noted
        self._slices = inSlices(clock)
        self._asking: list[Deferred[Snapshot]] = []
        self._last: Snapshot | None = None
        #: Until when, by the clock, that one is told.
        self._until = 0.0
        self._before: _Before | None = None

    def forget(self) -> None:
        """Tell the last one no more: something was changed."""
        self._last = None

    def look(self) -> Deferred[Snapshot]:
        """Return a snapshot; it fails as Surveyor.look does."""
        done: Deferred[Snapshot] = Deferred()
        if self._last is not None and self._clock.seconds() < self._until:
            done.callback(self._last)
            return done
        self._asking.append(done)
        if len(self._asking) == 1:
            looked = self._surveyor.look(_ALL).addCallback(self._cbLooked)
            looked.addBoth(self._cbOver)
        return done

    def _cbLooked(self, picture: Picture) -> Deferred[Snapshot]:
        rows = picture.rows
        assert rows is not None
        now = self._clock.seconds()
        incoming, outgoing = array("d"), array("d")
        before, taken = self._before, rows.columns["taken"]
        self._before = _Before(now, picture, rows.names, rows.columns["set"], taken)
        if before is None or not LEAST <= now - before.seconds <= MOST:
            rates = UNKNOWN
            incoming = array("d", [NO_RATE]) * len(rows.names)
            work: Iterator[None] = iter(())
            outgoing = incoming
        else:
            ever, then = picture.ever, before.picture.ever
            rates = between(
                now - before.seconds, ever.pushed - then.pushed, ever.taken - then.taken
            )
            work = _rates(before, self._before, incoming, outgoing)
        snapshot = Snapshot(
            self._broker.policies.seconds(),
            *(picture, rows.names, rows.columns, incoming, outgoing, rates),
        )
        done = self._slices.cooperate(work).whenDone()
        return done.addCallback(lambda _: self._keep(snapshot))

    def _keep(self, snapshot: Snapshot) -> Snapshot:
        fresh = min(max(FRESH, FRESH_EACH * len(snapshot.names)), STALE)
        self._last, self._until = snapshot, self._clock.seconds() + fresh
        self._noted(snapshot)
        return snapshot

    def _cbOver(self, outcome: Any) -> None:
        asking, self._asking = self._asking, []
        for each in asking:
            each.callback(outcome)


def _rates(
    before: _Before, now: _Before, incoming: array[float], outgoing: array[float]
) -> Iterator[None]:
    """Work out the rates of queues, some in each step."""
    seconds = now.seconds - before.seconds
    places: dict[bytes, int] = {}
    # Mostly each is where it was.
    areSame = before.names == now.names
    for start in range(0, 0 if areSame else len(before.names), AT_ONCE):
        some = before.names[start : start + AT_ONCE]
        places.update(zip(some, range(start, start + len(some)), strict=True))
        yield
    for start in range(0, len(now.names), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        for rates, new, old in (
            (incoming, now.pushed[part], before.pushed),
            (outgoing, now.taken[part], before.taken),
        ):
            if areSame and new == old[part]:
                # Nothing came and went, mostly.
                rates.frombytes(bytes(rates.itemsize * len(new)))
                continue
            thens: Iterable[int] = old[part]
            if not areSame:
                found = [places.get(name, -1) for name in now.names[part]]
                thens = [-1 if place < 0 else old[place] for place in found]
            elif min(grown := [*map(sub, new, thens)]) >= 0:
                rates.fromlist([*map(truediv, grown, repeat(seconds))])
                continue
            rates.fromlist(_perSecond(new, thens, seconds))
        yield


def _perSecond(
    counts: Iterable[int], thens: Iterable[int], seconds: float
) -> list[float]:
    """Return the rates of some counters; 0 where one fell, and NO_RATE without one.

    :param thens: what they were; less than 0 for none.
    """
    return [
        (now - then) / seconds if now > then >= 0 else 0.0 if then >= 0 else NO_RATE
        for now, then in zip(counts, thens, strict=True)
    ]
