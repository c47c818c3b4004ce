"""Server: what there is to know of it as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed

from memq.web.api.access.permissions import sightOf
from memq.web.api.figures import withoutTotals
from memq.web.http.inputs import Input, word
from memq.web.http.routes import Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.web.api.figures import ServerFigures
    from memq.web.api.snapshot import Snapshot, Snapshots
    from memq.web.health import Readiness
    from memq.web.history.tallies import Tallies, Tally
    from memq.web.http.routes import Call


class Server:
    """The route of the server.

    :ivar routes: for the table.
    """

    def __init__(
        self,
        snapshots: Snapshots,
        tallies: Tallies,
        figures: ServerFigures,
        readiness: Readiness,
        history: Callable[[], dict[str, Any]],
    ) -> None:
        """Take where the figures are from.

        :param snapshots: tell their figures when there is a new one.
        :param history: returns the history.
        """
        self._snapshots = snapshots
        self._tallies = tallies
        self._figures = figures
        self._readiness = readiness
        self._history = history
        query = [Input("history", word("1"))]
        self.routes = (Route("GET", "/api/v1/server", self._show, query),)

    def _show(self, call: Call) -> Deferred[dict[str, Any]]:
        told = self._look()
        if call.query["history"]:
            told.addCallback(lambda each: each | {"history": self._history()})
        if sightOf(call) is not None:
            told.addCallback(_ofSome)
        return told

    def _look(self) -> Deferred[dict[str, Any]]:
        # Why it is not ready is told here, and so this is told.
        if any(self._readiness.reasons(forWrites=False)):
            return succeed(self._figures.server(None))
        looked = self._snapshots.look().addCallback(self._cbSeen)
        return looked.addCallback(self._figures.server)

    def _cbSeen(self, snapshot: Snapshot) -> Deferred[Tally]:
        return self._tallies.take()


def _ofSome(told: dict[str, Any]) -> dict[str, Any]:
    """Return it for somebody who does not see all queues."""
    told = withoutTotals(told)
    if "history" in told:
        told["history"] = {
            name: [None] * len(each) if isinstance(each, list) else each
            for name, each in told["history"].items()
        }
    return told
