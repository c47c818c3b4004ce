"""Actions on the server: its connections, and reading the rules again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.server.clients import AT_ONCE, figuresOf, kill
from memq.web.api.actions.noted import Outcome
from memq.web.api.names import shown
from memq.web.http.inputs import Input, Refused, whole
from memq.web.http.routes import Route, Streamed, dumped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twisted.internet.defer import Deferred

    from memq.server.clients import ClientFigures
    from memq.server.factory import QueueFactory
    from memq.web.api.actions.noted import Noted
    from memq.web.http.routes import Call

#: The greatest id of a connection.
_MOST = (1 << 63) - 1
#: Makes the id of a piece of a path.
connectionId = whole(1, _MOST)


class ServerActions:
    """The routes of connections, and of reloading.

    :ivar routes: for the table.
    """

    def __init__(self, noted: Noted, factory: QueueFactory) -> None:
        self._noted = noted
        self._factory = factory
        self._connections = factory.connections
        query = Input("limit", whole(1, 1000), 100), Input("after", whole(0, _MOST), 0)
        self.routes = (
            Route("GET", "/api/v1/connections", self._list, query),
            Route("DELETE", "/api/v1/connections/{id}", self._kill, acts=True),
            Route("POST", "/api/v1/reload", self._reload, acts=True),
        )

    def _list(self, call: Call) -> Streamed:
        return Streamed(self._pieces(call.query["after"], call.query["limit"]))

    def _pieces(self, after: int, limit: int) -> Iterator[bytes]:
        """Yield connections, some at a time."""
        yield b'{"total":%d,"connections":[' % len(self._connections)
        comma = b""
        while limit > 0:
            found = figuresOf(self._connections, after, min(limit, AT_ONCE))
            if not found:
                break
            limit -= len(found)
            after = found[-1].id
            yield comma + b",".join([dumped(_told(each)).rstrip() for each in found])
            comma = b","
        more = limit == 0 and figuresOf(self._connections, after, 1)
        yield b'],"next":%s}\n' % (b"%d" % after if more else b"null")

    def _kill(self, call: Call) -> Deferred[Any]:
        id = call.names["id"]

        def act() -> Outcome:
            peer = kill(self._connections, id)
            if peer is None:
                error = Refused(404, "there is no such connection")
                return Outcome("NOT_FOUND", error=error)
            return Outcome("OK", more={"client": peer})

        return self._noted.note(call, "kill", act, id=id)

    def _reload(self, call: Call) -> Deferred[Any]:
        def act() -> Deferred[Outcome]:
            done: Deferred[Any] = self._factory.rules.reload()
            return done.addCallback(lambda _: Outcome("OK"))

        return self._noted.note(call, "reload", act)


def _told(figures: ClientFigures) -> dict[str, Any]:
    waits = figures.waits
    return figures._asdict() | {"waits": None if waits is None else shown(waits)}
