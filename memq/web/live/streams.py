"""Streams: the routes of what is live, ``/api/v1/events`` and ``/api/v1/log``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from twisted.web.server import NOT_DONE_YET

from memq.access.rights import SEE
from memq.web.api.access.permissions import rightsOf
from memq.web.api.names import named
from memq.web.http.inputs import Input, Refused
from memq.web.http.routes import Route
from memq.web.live.loglines import LogLines
from memq.web.live.ticks import QUEUES, Ticks
from memq.web.live.viewers import TYPE, Viewers

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from memq.logs.recent import RecentLines
    from memq.web.health import Readiness
    from memq.web.history.looker import Looker
    from memq.web.history.recorder import Recorder
    from memq.web.history.tallies import Tallies
    from memq.web.http.routes import Call
    from memq.web.live.ticks import Figures

#: Seconds after which somebody who found no place may ask again.
AGAIN = "5"


class Streams:
    """All that is live.

    :ivar routes: for the table.
    """

    def __init__(
        self,
        clock: IReactorTime,
        readiness: Readiness,
        sources: tuple[Tallies, Looker, Recorder],
        figures: Figures,
        recent: RecentLines,
        timeOfDay: Callable[[], float],
    ) -> None:
        """Begin with no viewer.

        :param timeOfDay: tells the time, in seconds since 1970-01-01 UTC.
        """
        self._readiness = readiness
        self._viewers = Viewers(clock)
        self._ticks = Ticks(clock, self._viewers, sources, figures, timeOfDay)
        self._lines = LogLines(clock, self._viewers, recent)
        self.routes = (
            Route("GET", "/api/v1/events", self._events, [Input("queues", bytes)]),
            Route("GET", "/api/v1/log", self._log),
        )

    def stop(self) -> None:
        """End them all."""
        self._ticks.stop()
        self._lines.stop()
        self._viewers.stop()

    def restart(self) -> None:
        """End them all; whoever comes again is asked again what may be told."""
        self._viewers.end()

    def _events(self, call: Call) -> Any:
        reasons = list(self._readiness.reasons(forWrites=False))
        if reasons:
            raise Refused(503, "; ".join(reasons), Retry_After=AGAIN)
        names = queuesOf(call.request.uri)
        rights = rightsOf(call)
        if rights is not None:
            # As if those that may not be seen were not there.
            names = [name for name in names if rights[name] & SEE]
        seesAll = rights is None or rights.seesAll
        return self._begin(
            call, lambda request: self._ticks.join(request, names, seesAll)
        )

    def _log(self, call: Call) -> Any:
        # Also while the server starts, or has failed: then it is wanted most.
        return self._begin(call, self._lines.join)

    def _begin(self, call: Call, join: Callable[[Any], None]) -> Any:
        request = call.request
        refusal = self._viewers.refusal()
        if refusal:
            raise Refused(503, refusal, Retry_After=AGAIN)
        if request.method == b"HEAD":
            request.setHeader(b"Content-Type", TYPE)
            request.finish()
        else:
            join(request)
        return NOT_DONE_YET


def queuesOf(uri: bytes) -> list[bytes]:
    """Return the names in ``queues=`` of a query: with commas between, each encoded.

    A comma within a name is ``%2C``.

    :raise Refused: when one is none, or there are too many.
    """
    names = []
    for part in uri.partition(b"?")[2].split(b"&"):
        key, _, value = part.partition(b"=")
        if value and unquote_to_bytes(key) == b"queues":
            names += [unquote_to_bytes(each) for each in value.split(b",")]
    if len(names) > QUEUES:
        raise Refused(
            400, f"queues may name {QUEUES} queues, and there are {len(names)}"
        )
    try:
        return [named(name) for name in names]
    except ValueError as error:
        raise Refused(400, f"each of queues {error}") from None
