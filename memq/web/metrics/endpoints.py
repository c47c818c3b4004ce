"""Metrics: the replies to ``/metrics`` and ``/metrics/queues``.

``/metrics`` is for a scraper: the server's figures, and those of each queue while they
are few.  ``/metrics/queues`` tells of any number of queues and nothing else, for a job
of its own: ``match=`` says which, by patterns, and ``figure=`` what of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import chain
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from twisted.web.server import NOT_DONE_YET

from memq.errors import QueueError
from memq.rabbitmq.errors import Untold
from memq.web.http.site import Page, say
from memq.web.http.streaming import Streamer, compressed
from memq.web.metrics.exposition import (
    OPENMETRICS,
    TEXT,
    Family,
    Sample,
    exposed,
    gauge,
    labels,
)
from memq.web.metrics.queuefigures import METRICS, Limit, queueFamilies
from memq.web.metrics.serverfigures import Sources, serverFamilies
from memq.web.metrics.survey import Rows, Surveyor, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from memq.web.health import Readiness
    from memq.web.metrics.survey import Picture

#: Replies at a time: each holds the figures of all its queues, 10 MB of 100,000.
REPLIES = 8
#: Values of ``match`` and of ``figure`` that a request may have.
VALUES = 32

_log = Logger()


def weight(header: bytes, name: bytes) -> float:
    """Return how much a type or a coding is wanted, 0 to 1, by a header's value.

    :param name: in small letters.
    """
    for part in header.lower().split(b","):
        word, *parameters = [each.strip() for each in part.split(b";")]
        if word == name:
            for parameter in parameters:
                if parameter.startswith(b"q="):
                    return _fraction(parameter[2:])
            return 1.0
    return 0.0


def _fraction(text: bytes) -> float:
    return float(text) if text.replace(b".", b"", 1).isdigit() else 0.0


class MetricsPage(Page, ABC):
    """What the two have in common: they take time, and may be long."""

    def __init__(
        self, clock: IReactorTime, surveyor: Surveyor, readiness: Readiness
    ) -> None:
        super().__init__()
        self._clock = clock
        self._readiness = readiness
        self._surveyor = surveyor
        #: Requests that are not answered.
        self._underWay: set[Any] = set()

    @abstractmethod
    def wanted(self, request: Any) -> Wanted | None:
        """Return the queues that are looked at; None if that cannot be."""

    @abstractmethod
    def families(self, request: Any, picture: Picture) -> Iterable[Family]:
        """Return what is told."""

    def show(self, request: Any) -> Any:
        """Look at the queues, then tell."""
        accept = request.getHeader(b"accept") or b""
        isOpen = weight(accept, b"application/openmetrics-text") > weight(
            accept, b"text/plain"
        )
        request.setHeader(b"Vary", b"Accept, Accept-Encoding")
        wanted = self.wanted(request)
        if wanted is None:
            return say(request, 400, f"there are {', '.join(METRICS)}")
        request.setHeader(b"Content-Type", OPENMETRICS if isOpen else TEXT)
        if request.method == b"HEAD":
            return b""
        reasons = list(self._readiness.own())
        if len(self._underWay) >= REPLIES:
            reasons.append("too many of these are under way")
        if reasons:
            return self._refuse(request, "\n".join(reasons))
        self._underWay.add(request)
        request.notifyFinish().addBoth(lambda _: self._underWay.discard(request))
        looked = self._surveyor.look(wanted)
        looked.addCallback(self._cbLooked, request, isOpen)
        looked.addErrback(self._ebLooked, request, isOpen)
        looked.addErrback(self._ebFailed, request)
        return NOT_DONE_YET

    def _refuse(self, request: Any, why: str) -> bytes:
        request.setHeader(b"Retry-After", b"1")
        return say(request, 503, why)

    def _cbLooked(self, picture: Picture, request: Any, isOpen: bool) -> None:
        if request in self._underWay:
            self._tell(request, self.families(request, picture), isOpen)

    def _tell(self, request: Any, families: Iterable[Family], isOpen: bool) -> None:
        pieces: Iterator[bytes] = exposed(families, isOpen)
        if weight(request.getHeader(b"accept-encoding") or b"", b"gzip"):
            request.setHeader(b"Content-Encoding", b"gzip")
            pieces = compressed(pieces)
        Streamer(self._clock, request, pieces).start()

    def _ebLooked(self, failure: Failure, request: Any, isOpen: bool) -> None:
        failure.trap(QueueError)
        if request in self._underWay:
            request.write(self._refuse(request, str(failure.value)))
            request.finish()

    def _ebFailed(self, failure: Failure, request: Any) -> None:
        # It was there a moment ago, for it was about to be told.
        _log.failure("Metrics could not be told", failure)
        request.loseConnection()


class Metrics(MetricsPage):
    """``/metrics``."""

    def __init__(
        self,
        clock: IReactorTime,
        surveyor: Surveyor,
        readiness: Readiness,
        sources: Sources,
        limit: Limit,
        own: Callable[[], Iterator[Family]],
    ) -> None:
        """Take what is told.

        :param own: returns the metrics of the web itself.
        """
        super().__init__(clock, surveyor, readiness)
        self._sources = sources
        self._limit = limit
        self._own = own

    def wanted(self, request: Any) -> Wanted:
        """Return the queues that are told one by one, if they are few."""
        return self._limit.wanted

    def _ebLooked(self, failure: Failure, request: Any, isOpen: bool) -> None:
        """Tell of the server alone where nobody tells of the queues."""
        if not failure.check(Untold):
            super()._ebLooked(failure, request, isOpen)
        elif request in self._underWay:
            told = [*serverFamilies(self._sources, None), *self._own()]
            self._tell(request, told, isOpen)

    def families(self, request: Any, picture: Picture) -> Iterable[Family]:
        """Return the metrics of the server, and of queues."""
        rows = self._limit.apply(picture.rows)
        scrape = [
            gauge(
                "memq_scrape_duration_seconds",
                "How long it took to look at the queues.",
                picture.seconds,
            ),
            gauge(
                "memq_queue_metrics_suppressed",
                "1 while too many queues match queue-metrics to be told, else 0.",
                int(self._limit.isSuppressed),
            ),
        ]
        # What is said of now is said at once, and not when its reader gets to it.
        told = [*serverFamilies(self._sources, picture), *self._own(), *scrape]
        return chain(told, queueFamilies(rows, (), self._sources.broker.lacks))


class QueueMetrics(MetricsPage):
    """``/metrics/queues``."""

    def wanted(self, request: Any) -> Wanted | None:
        """Return the queues that match; None if a figure is none."""
        figures = request.args.get(b"figure", [])
        patterns = request.args.get(b"match", [b"*"])
        known = {name.encode() for name in METRICS}
        if len(figures) > VALUES or len(patterns) > VALUES or set(figures) - known:
            return None
        return Wanted(tuple(patterns))

    def families(self, request: Any, picture: Picture) -> Iterable[Family]:
        """Return the figures that are asked for."""
        rows = picture.rows
        assert isinstance(rows, Rows)
        figures = [name.decode() for name in request.args.get(b"figure", [])]
        return queueFamilies(rows, figures)


def replies(counts: dict[tuple[str, int], int]) -> Family:
    """Return the metric of replies, by path and code."""
    samples = [
        Sample("_total", labels(path=path, code=str(code)), count)
        for (path, code), count in sorted(counts.items())
    ]
    return Family(
        "memq_http_requests", "counter", "Requests, since the start.", samples
    )
