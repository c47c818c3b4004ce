"""Recorder: takes samples of the server always, and of queues while somebody asks.

A server that does nothing pays for a call every STEP seconds, which takes some
microseconds: nothing has changed, so nothing is added up.

Samples of a queue begin when somebody looks at it, and go on for WATCHED seconds after
that.  Of very many, those that somebody asked for last have samples, and then the
busiest ones.
"""

from __future__ import annotations

from functools import partial
from math import nan
from typing import TYPE_CHECKING, Any

from twisted.internet.task import Cooperator, SchedulerStopped
from twisted.logger import Logger

from memq.errors import QueueError
from memq.ratelimit import Rarely
from memq.web.history.ranking import ranked
from memq.web.history.series import SAMPLES, STEP, Series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from memq.broker.interfaces import IEngine
    from memq.figures import QueueDetail
    from memq.web.history.looker import Looker
    from memq.web.history.tallies import Tallies, Tally

#: Queues that have samples at most: 3 KB each.
MOST = 500
#: Seconds that samples of a queue are taken after somebody asked for it.
WATCHED = SAMPLES * STEP
#: Seconds for which others are asked, where queues are not kept here, after somebody
#: looked.
LOOKED = 30.0
#: Seconds that they are where it was only among the busiest.
BUSY = 60.0

_log = Logger()


class Recorder:
    """Take samples.

    :ivar queues: the series of each queue that has one.
    """

    def __init__(
        self,
        clock: IReactorTime,
        broker: IEngine,
        tallies: Tallies,
        looker: Looker,
        refused: Callable[[], int],
        timeOfDay: Callable[[], float],
        isReady: Callable[[], bool],
    ) -> None:
        """Begin once :meth:`start` is called.

        :param refused: returns how many sets were refused since the start.
        :param timeOfDay: tells the time, in seconds since 1970-01-01 UTC.
        :param isReady: returns whether the queues can be looked at.
        """
        self._clock = clock
        self._broker = broker
        self._tallies = tallies
        self._looker = looker
        self._refused = refused
        self._timeOfDay = timeOfDay
        self._isReady = isReady
        self._steps = Cooperator(
            terminationPredicateFactory=lambda: lambda: True,
            scheduler=partial(clock.callLater, 0),
        )
        self._rarely = Rarely(clock.seconds)
        self._server = Series(("messages", "open", "waiters"), ("in", "out", "refused"))
        self.queues: dict[bytes, Series] = {}
        #: Until when samples of each are taken.
        self._until: dict[bytes, float] = {}
        #: When the last samples were taken, of the server and of queues.
        self._serverAt = self._queuesAt = timeOfDay()
        self._call: IDelayedCall | None = None
        self._due = 0.0
        #: When somebody looked last, by the clock.
        self._lookedAt = float("-inf")
        #: When the busiest were found last, by the clock.
        self._rankedAt = float("-inf")
        #: Whether a look at queues is under way.
        self._isLooking = False

    def start(self) -> None:
        """Begin to take samples."""
        self._due = self._clock.seconds()
        self._wait()

    def stop(self) -> None:
        """Take no more."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
        self._steps.stop()

    def server(self) -> dict[str, Any]:
        """Return the history of the server, as JSON has it; somebody looks."""
        self._lookedAt = self._clock.seconds()
        return _told(self._server, self._serverAt)

    def queue(self, name: bytes) -> dict[str, Any]:
        """Return the history of a queue, which is watched from now on, if it is not."""
        self.watch([name])
        return _told(self.queues[name], self._queuesAt)

    def watch(self, names: Iterable[bytes]) -> None:
        """Note that somebody looks at queues, which there are, or at none."""
        self._lookedAt = self._clock.seconds()
        self._keep(names, self._clock.seconds() + WATCHED)

    def busiest(self, names: Iterable[bytes]) -> None:
        """Note which queues are the busiest; they take no place of what is watched.

        :param names: MOST of them at most.
        """
        self._keep(names, self._clock.seconds() + BUSY)

    def rank(
        self,
        names: Sequence[bytes],
        incoming: Sequence[float],
        outgoing: Sequence[float],
    ) -> None:
        """Find the busiest of all queues, some at a time, and note them.

        Once some are found, it does so again for the next sample.

        :param incoming: messages a second that come into each; less than 0 for unknown.
        """
        if self._clock.seconds() - self._rankedAt < STEP:
            return
        steps = ranked(names, incoming, outgoing, self._cbRanked)
        done = self._steps.coiterate(steps)
        done.addErrback(lambda failure: failure.trap(SchedulerStopped))
        self._rarelyFails(done)

    def _cbRanked(self, names: Sequence[bytes]) -> None:
        if names:
            self._rankedAt = self._clock.seconds()
            self.busiest(names)

    def _keep(self, names: Iterable[bytes], until: float) -> None:
        for name in names:
            if name not in self.queues:
                if not self._hasPlace(until):
                    continue
                self.queues[name] = Series(("messages",), ("in", "out"))
            self._until[name] = max(until, self._until.get(name, 0.0))

    def _hasPlace(self, until: float) -> bool:
        """Make a place for one more; return False if all others matter more."""
        if len(self.queues) < MOST:
            return True
        name = min(self._until, key=self._until.__getitem__)
        if self._until[name] > until:
            return False
        self._forget(name)
        return True

    def _forget(self, name: bytes) -> None:
        del self.queues[name], self._until[name]

    def _wait(self) -> None:
        self._due += STEP
        left = max(0.0, self._due - self._clock.seconds())
        self._call = self._clock.callLater(left, self._sample)

    def _sample(self) -> None:
        self._wait()
        if not self._isReady():
            self._server.miss()
            self._missQueues()
            return
        now = self._clock.seconds()
        for name in [name for name, until in self._until.items() if until <= now]:
            self._forget(name)
        asks = now - self._lookedAt < LOOKED
        tallied = self._tallies.take(asks)
        self._rarelyFails(tallied.addCallback(self._cbTallied))
        fresh = self._broker.refresh(asks)
        self._rarelyFails(fresh.addCallbacks(self._cbFresh, self._ebUnknown))

    def _ebUnknown(self, failure: Failure) -> None:
        failure.trap(QueueError)
        self._missQueues()

    def _cbFresh(self, _: object) -> None:
        """Look at queues, of which something is known."""
        if self._isLooking or self._call is None:
            self._missQueues()
        elif self.queues:
            self._isLooking = True
            looked = self._looker.look(list(self.queues))
            looked.addCallbacks(self._cbLooked, self._ebLooked)
            self._rarelyFails(looked)

    def _rarelyFails(self, done: Deferred[Any]) -> None:
        done.addErrback(lambda failure: _log.failure("A sample failed", failure))

    def _cbTallied(self, tally: Tally) -> None:
        levels = _level(tally.messages), _level(tally.open), self._broker.readers
        self._server.add(tally.at, levels, (tally.set, tally.taken, self._refused()))
        self._serverAt = self._timeOfDay()

    def _cbLooked(self, found: dict[bytes, QueueDetail]) -> None:
        self._isLooking = False
        now = self._clock.seconds()
        self._queuesAt = self._timeOfDay()
        for name, series in self.queues.items():
            detail = found.get(name)
            if detail is None:
                series.miss()
            else:
                series.add(now, (detail.items,), (detail.pushed, detail.taken))

    def _ebLooked(self, failure: Failure) -> None:
        failure.trap(QueueError)
        self._isLooking = False
        self._missQueues()
        if count := self._rarely.count("look"):
            _log.warn(
                "{count} samples of queues are missing: {why}",
                count=count,
                why=failure.value,
            )

    def _missQueues(self) -> None:
        for series in self.queues.values():
            series.miss()


def _level(figure: int | None) -> float:
    return nan if figure is None else figure


def _told(series: Series, until: float) -> dict[str, Any]:
    return {"step": STEP, "until": until, **series.told()}
