"""Queues: the list of them, page by page, and one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.web.api.access.permissions import mayTold, sightOf
from memq.web.api.pages import Pages
from memq.web.api.rates import Speeds
from memq.web.api.selection import ORDERS, Asked, cursor
from memq.web.http.inputs import Input, Refused, whole, word
from memq.web.http.places import Places
from memq.web.http.routes import Route, dumped
from memq.web.metrics.looks import Look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime

    from memq.operations.base import Operation
    from memq.web.api.errands import Errands
    from memq.web.api.figures import QueueRows
    from memq.web.api.selection import Selection
    from memq.web.api.snapshot import Snapshot, Snapshots
    from memq.web.http.routes import Call

#: Lists that are made at a time.
LISTS = 8
#: Bytes of the longest pattern: as many as a name has.
PATTERN = 250
#: Rows that are told in one go.
AT_ONCE = 50

_MISSING = "there is no queue of that name"


def missing() -> Refused:
    """Return what is told where there is no such queue."""
    return Refused(404, _MISSING)


def _pattern(text: bytes) -> bytes:
    """Return a pattern; a long one would take long to compile."""
    if 1 <= len(text) <= PATTERN:
        return text
    raise ValueError(f"must be a pattern of 1 to {PATTERN} bytes")


class Queues:
    """The routes of queues that change nothing.

    :ivar routes: for the table.
    """

    def __init__(
        self,
        clock: IReactorTime,
        errands: Errands,
        snapshots: Snapshots,
        rows: QueueRows,
        history: Callable[[bytes], dict[str, Any]],
    ) -> None:
        """Take where the figures are from.

        :param history: returns the history of a queue that there is.
        """
        self._clock = clock
        self._errands = errands
        self._snapshots = snapshots
        self._rows = rows
        self._history = history
        self._speeds = Speeds()
        self._pages = Pages(clock, self._pieces)
        self._places = Places(LISTS)
        query = (
            Input("match", _pattern, b"*"),
            Input("sort", word(*ORDERS), "name"),
            Input("order", word("asc", "desc")),
            Input("limit", whole(1, 1000), 100),
            Input("after", cursor),
        )
        once = (Input("history", word("1")),)
        self.routes = (
            Route("GET", "/api/v1/queues", self._list, query),
            Route("GET", "/api/v1/queues/{queue}", self._one, once),
        )

    def _list(self, call: Call) -> Deferred[Any]:
        self._errands.check()
        self._places.take(call.request)
        query = call.query
        order = query["order"] or ("asc" if query["sort"] == "name" else "desc")
        asked = Asked(
            query["match"],
            query["sort"],
            order == "desc",
            query["limit"],
            query["after"],
            sightOf(call),
        )
        return self._snapshots.look().addCallback(self._pages.page, asked)

    def _pieces(self, selection: Selection) -> Iterator[bytes]:
        """Yield the page, some rows at a time."""
        snapshot, places = selection.snapshot, selection.places
        head = {"total": selection.total, "next": selection.next, "at": snapshot.at}
        yield dumped(head).rstrip(b"}\n") + b',"queues":['
        for start in range(0, len(places), AT_ONCE):
            rows = [
                dumped(self._row(snapshot, place)).rstrip()
                for place in places[start : start + AT_ONCE]
            ]
            yield b"," * (start > 0) + b",".join(rows)
        yield b"]}\n"

    def _row(self, snapshot: Snapshot, place: int) -> dict[str, Any]:
        figures, rates = snapshot.figures(place), snapshot.ratesOf(place)
        return self._rows.tell(snapshot.names[place], figures, rates)

    def _one(self, call: Call) -> Deferred[dict[str, Any]]:
        names = [call.names["queue"]]
        done = self._errands.run(lambda session: Look(session, names))
        return done.addCallback(self._cbOne, call)

    def _cbOne(self, parts: Sequence[Operation], call: Call) -> dict[str, Any]:
        (details,) = [part.result.rows() for part in parts]
        if not details:
            raise missing()
        (detail,) = details
        now = self._clock.seconds()
        rates = self._speeds.note(detail.name, now, detail.pushed, detail.taken)
        told = self._rows.whole(detail, rates)
        told["may"] = mayTold(call, detail.name)
        if call.query["history"]:
            told["history"] = self._history(detail.name)
        return told
