"""Ticks: the server and the queues that viewers have in view, once a second.

Each queue is looked at once, and told as JSON once, for all viewers.  Viewers are told
one by one, other work of the reactor between them: a hundred queues take 2 ms.  A
second that comes before all are told is left out.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.task import Cooperator, SchedulerStopped
from twisted.logger import Logger

from memq.errors import QueueError
from memq.ratelimit import Rarely
from memq.web.api.figures import withoutTotals
from memq.web.live.viewers import event
from memq.web.metrics.survey import NoSurvey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from memq.figures import QueueDetail
    from memq.web.history.looker import Looker
    from memq.web.history.recorder import Recorder
    from memq.web.history.tallies import Tallies, Tally
    from memq.web.live.viewers import Viewer, Viewers

#: Seconds between two ticks.
STEP = 1.0
#: Queues that a viewer may ask for.
QUEUES = 100
#: Seconds that have to be over before a queue's rates are told anew.
LEAST = 0.5

_log = Logger()


class Figures(NamedTuple):
    """How figures are told.

    :ivar server: returns what is told of the server.
    :ivar row: returns what is told of a queue, with the messages a second that came and
        that left; None for unknown.
    """

    server: Callable[[Tally], dict[str, Any]]
    row: Callable[[QueueDetail, float | None, float | None], dict[str, Any]]


class _Seen(NamedTuple):
    """The counters of a queue when it was seen, and its rates until then."""

    at: float
    set: int
    taken: int
    incoming: float | None = None
    outgoing: float | None = None


class _Tick:
    """What is told at a time, to those who are in it."""

    def __init__(self, viewers: Mapping[Viewer, Sequence[bytes]]) -> None:
        self.viewers = viewers
        #: For those who see all queues, and for the others.
        self.heads: dict[bool, bytes] = {}
        self.rows: dict[bytes, bytes] = {}

    @property
    def names(self) -> list[bytes]:
        """Return the queues that they ask for, each once."""
        wanted = self.viewers.values()
        return list(dict.fromkeys(name for names in wanted for name in names))


class Ticks:
    """Tell viewers."""

    def __init__(
        self,
        clock: IReactorTime,
        viewers: Viewers,
        sources: tuple[Tallies, Looker, Recorder],
        figures: Figures,
        timeOfDay: Callable[[], float],
    ) -> None:
        """Begin with no viewer.

        :param timeOfDay: tells the time, in seconds since 1970-01-01 UTC.
        """
        self._clock = clock
        self._viewers = viewers
        self._tallies, self._looker, self._recorder = sources
        self._figures = figures
        self._timeOfDay = timeOfDay
        self._rarely = Rarely(clock.seconds)
        #: One step an iteration of the reactor.
        self._steps = Cooperator(
            terminationPredicateFactory=lambda: lambda: True,
            scheduler=partial(clock.callLater, 0),
        )
        #: The queues that each viewer asks for.
        self._wanted: dict[Viewer, Sequence[bytes]] = {}
        #: Those who were not told anything yet.
        self._new: dict[Viewer, Sequence[bytes]] = {}
        self._seen: dict[bytes, _Seen] = {}
        self._isBusy = False
        self._call: IDelayedCall | None = None
        self._due = 0.0

    def join(self, request: Any, names: Sequence[bytes], seesAll: bool = True) -> None:
        """Answer a request with ticks, the first one at once.

        :param names: QUEUES at most; those that there are not are left out.
        :param seesAll: whether it is told what all queues have together.
        """
        viewer = self._viewers.admit(request)
        viewer.seesAll = seesAll
        self._wanted[viewer] = self._new[viewer] = names
        if self._call is None:
            self._due = self._clock.seconds()
            self._wait()
        if not self._isBusy:
            self._tellNew()

    def stop(self) -> None:
        """Tell nobody any more."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
        self._steps.stop()

    def _wait(self) -> None:
        now = self._clock.seconds()
        self._due = max(self._due + STEP, now)
        self._call = self._clock.callLater(self._due - now, self._second)

    def _second(self) -> None:
        self._call = None
        self._wanted = {
            viewer: names for viewer, names in self._wanted.items() if not viewer.isGone
        }
        wanted = {name for names in self._wanted.values() for name in names}
        self._seen = {name: seen for name, seen in self._seen.items() if name in wanted}
        if not self._wanted:
            return
        self._wait()
        ready = [viewer for viewer in self._wanted if viewer.isReady]
        if ready and not self._isBusy:
            self._tell({viewer: self._wanted[viewer] for viewer in ready})

    def _tellNew(self) -> None:
        new, self._new = self._new, {}
        if new:
            self._tell(new)

    def _tell(self, viewers: Mapping[Viewer, Sequence[bytes]]) -> None:
        tick = _Tick(viewers)
        self._isBusy = True
        told: Deferred[Any] = self._tallies.take()
        told.addCallback(self._cbTallied, tick)
        told.addCallback(self._cbLooked, tick)
        told.addErrback(self._ebTold)
        told.addCallback(self._cbTold)

    def _cbTallied(self, tally: Tally, tick: _Tick) -> Deferred[Any]:
        server = self._figures.server(tally)
        for seesAll in {viewer.seesAll for viewer in tick.viewers}:
            told = _dumped(server if seesAll else withoutTotals(server))
            head = b'{"at":%.3f,"server":%b,"queues":[' % (self._timeOfDay(), told)
            tick.heads[seesAll] = head
        return self._looker.look(tick.names)

    def _cbLooked(self, found: Mapping[bytes, QueueDetail], tick: _Tick) -> Any:
        self._recorder.watch(found)
        return self._steps.coiterate(self._tellEach(tick, found))

    def _tellEach(
        self, tick: _Tick, found: Mapping[bytes, QueueDetail]
    ) -> Iterator[None]:
        """Tell one viewer at each step."""
        now = self._clock.seconds()
        for viewer, names in tick.viewers.items():
            for name in names:
                if name in found and name not in tick.rows:
                    tick.rows[name] = self._row(found[name], now)
            told = [tick.rows[name] for name in names if name in tick.rows]
            head = tick.heads[viewer.seesAll]
            viewer.send(event("tick", b"%b%b]}" % (head, b",".join(told))))
            yield None

    def _row(self, detail: QueueDetail, now: float) -> bytes:
        last = self._seen.get(detail.name)
        came, left = detail.pushed, detail.taken
        if last is None:
            last = self._seen[detail.name] = _Seen(now, came, left)
        elif now - last.at >= LEAST:
            last = self._seen[detail.name] = _Seen(
                now,
                came,
                left,
                *[
                    # A queue that was made anew begins with nothing.
                    round(max(0, count - before) / (now - last.at), 3)
                    for count, before in ((came, last.set), (left, last.taken))
                ],
            )
        return _dumped(self._figures.row(detail, last.incoming, last.outgoing))

    def _ebTold(self, failure: Failure) -> None:
        if failure.check(NoSurvey, SchedulerStopped):
            # The server is stopping.
            return
        count = self._rarely.count("tick")
        if not count:
            return
        if failure.check(QueueError):
            _log.warn(
                "{count} ticks are missing: {why}", count=count, why=failure.value
            )
        else:
            _log.failure("{count} ticks are missing", failure, count=count)

    def _cbTold(self, result: object) -> None:
        self._isBusy = False
        self._tellNew()


def _dumped(told: object) -> bytes:
    return json.dumps(told, separators=(",", ":")).encode()
