"""Routes: requests of an API, each told apart by its method and its path.

A path is divided at its slashes, and each piece is decoded by itself, so that a name in
it may have any bytes.  Before a route is carried out, it is certain, in this order:

1. No page of another site asks (403); that holds for every method.
2. There is the path (404), and the method for it (405).
3. What changes something says that its body is JSON (415).
4. It is known who asks, where somebody has to say so (401).
5. What changes something is on (403).
6. Names, parameters and fields are known and have allowed values (400).
7. Whoever asks has the right for it (403).

The host was looked at before all this, see :mod:`memq.web.http.site`.  Every reply is
JSON; one that is no success says why, in ``error``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from memq.logs.audit import Actor
from memq.web.http.gate import peerOf
from memq.web.http.guard import isForeign, isJson
from memq.web.http.inputs import Input, Refused, readBody, readQuery
from memq.web.http.streaming import Streamer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from memq.access.users import User

#: The method that is answered as GET is.
_HEAD = "HEAD"

_log = Logger()


class Streamed(NamedTuple):
    """An answer that is made piece by piece while it is sent; pieces of JSON."""

    pieces: Iterator[bytes]


class Made(NamedTuple):
    """An answer that is there as it is sent: JSON, with the end of its line."""

    body: bytes


class Call(NamedTuple):
    """A request for a route.

    :ivar request: for those who answer it by themselves, and return NOT_DONE_YET.
    :ivar names: the names in the path, by how the route calls them.
    :ivar query: the parameters, each of those that the route has.
    :ivar fields: the fields of the body, in the same way.
    :ivar user: who asks; None where nobody has to say so.
    """

    request: Any
    names: Mapping[str, Any]
    query: Mapping[str, Any]
    fields: Mapping[str, Any]
    user: User | None = None

    @property
    def actor(self) -> Actor:
        """Return how the audit calls whoever asks."""
        user = None if self.user is None else self.user.name
        return Actor(peerOf(self.request), "http", user)


class Route(NamedTuple):
    """Something that can be asked for.

    :ivar path: its pieces; one in braces is a name, as in ``/api/v1/queues/{queue}``.
    :ivar answer: returns what is told as JSON, a Deferred of that, Made, Streamed or
        NOT_DONE_YET; it raises Refused.
    :ivar acts: whether it changes something, and so may be off.
    """

    method: str
    path: str
    answer: Callable[[Call], Any]
    query: Sequence[Input] = ()
    fields: Sequence[Input] = ()
    acts: bool = False


class Terms(NamedTuple):
    """What all routes have in common.

    :ivar names: what makes the value of a name in a path, of its bytes; it raises
        ValueError with what is allowed.
    :ivar who: returns who makes a request, None where nobody has to say so, or a
        Deferred of that; it raises Refused.
    :ivar mayAct: raises Refused if things are not to be changed.
    :ivar check: raises Refused if whoever asks has not the right for a route.
    :ivar refusal: returns what is told of an error; None if nobody foresaw it.
    """

    names: Mapping[str, Callable[[bytes], Any]]
    who: Callable[[Any], User | Deferred[User | None] | None]
    mayAct: Callable[[], None]
    check: Callable[[Route, Call], None]
    refusal: Callable[[BaseException], Refused | None]


class Routes(Resource):
    """All routes below one path."""

    isLeaf = True

    def __init__(
        self, clock: IReactorTime, terms: Terms, routes: Sequence[Route]
    ) -> None:
        """Take them; of two for the same path, only the methods differ."""
        super().__init__()
        self._clock = clock
        self._terms = terms
        self.routes = routes
        self._paths: dict[tuple[bytes, ...], dict[str, Route]] = {}
        for route in routes:
            pieces = tuple(route.path.encode().split(b"/")[1:])
            self._paths.setdefault(pieces, {})[route.method] = route

    def render(self, request: Any) -> Any:
        """Answer a request."""
        answer: Any
        try:
            route, pieces = self._route(request)
            who = self._terms.who(request)
            if isinstance(who, Deferred):
                answer = who.addCallback(self._carryOut, request, route, pieces)
            else:
                answer = self._carryOut(who, request, route, pieces)
        except Exception as error:
            return self._tell(request, self._refused(error))
        if isinstance(answer, Deferred):
            self._answerLater(request, answer)
            return NOT_DONE_YET
        return self._tell(request, answer)

    def _carryOut(
        self, user: User | None, request: Any, route: Route, pieces: dict[str, bytes]
    ) -> Any:
        """Return the answer of a route, once it is certain that it may be given.

        :raise Refused: when it may not.
        """
        if route.acts:
            self._terms.mayAct()
        names = {name: self._name(name, piece) for name, piece in pieces.items()}
        query = readQuery(request.args, route.query)
        body = request.content.read() if route.method != "GET" else b""
        call = Call(request, names, query, readBody(body, route.fields), user)
        self._terms.check(route, call)
        return route.answer(call)

    def _answerLater(self, request: Any, answer: Deferred[Any]) -> None:
        # A reply cannot be sent to somebody who is gone.
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)
        answer.addErrback(self._ebAnswer)
        answer.addCallback(self._cbAnswer, request, gone)
        answer.addErrback(self._ebSent, request)

    def _ebSent(self, failure: Failure, request: Any) -> None:
        _log.failure("A reply could not be sent", failure)
        request.loseConnection()

    def _ebAnswer(self, failure: Failure) -> Refused:
        error = failure.value
        assert error is not None
        return self._refused(error, failure)

    def _cbAnswer(self, answer: object, request: Any, gone: list[object]) -> None:
        if gone:
            return
        body = self._tell(request, answer)
        if body is not NOT_DONE_YET:
            request.setHeader(b"Content-Length", b"%d" % len(body))
            request.write(body)
            request.finish()

    def _route(self, request: Any) -> tuple[Route, dict[str, bytes]]:
        """Return what is asked for, and the pieces of its path that are names.

        :raise Refused: when there is no such thing, or a page of another site asks.
        """
        if isForeign(request.requestHeaders):
            raise Refused(403, "a page of another site may not ask for this")
        methods, pieces = self._find([*request.prepath, *request.postpath])
        method = request.method.decode("ascii", "replace")
        route = methods.get("GET" if method == _HEAD else method)
        if route is None:
            heads = [_HEAD] if "GET" in methods else []
            allowed = ", ".join(sorted([*methods, *heads]))
            raise Refused(405, f"only {allowed}", Allow=allowed)
        request.place = route.path
        if route.method != "GET" and not isJson(request.requestHeaders):
            raise Refused(415, "the Content-Type must be application/json")
        return route, pieces

    def _find(
        self, given: Sequence[bytes]
    ) -> tuple[Mapping[str, Route], dict[str, bytes]]:
        """Return the routes of a path, and the pieces that are names."""
        for pieces, methods in self._paths.items():
            if len(pieces) != len(given):
                continue
            pairs = list(zip(pieces, given, strict=True))
            names = {a[1:-1].decode(): b for a, b in pairs if a[:1] == b"{"}
            if all(a == b or a[:1] == b"{" for a, b in pairs):
                return methods, names
        raise Refused(404, "there is nothing here")

    def _name(self, name: str, piece: bytes) -> Any:
        try:
            return self._terms.names[name](piece)
        except ValueError as error:
            raise Refused(400, f"{name} {error}") from None

    def _tell(self, request: Any, answer: object) -> Any:
        """Return the body of a reply, or NOT_DONE_YET."""
        if answer is NOT_DONE_YET:
            return answer
        request.setHeader(b"Content-Type", b"application/json")
        if isinstance(answer, Refused):
            for name, value in answer.headers.items():
                request.setHeader(name.replace("_", "-"), value)
            request.setResponseCode(answer.code)
            return dumped({"error": str(answer)})
        if isinstance(answer, Made):
            return answer.body
        if not isinstance(answer, Streamed):
            return dumped(answer)
        if request.method == _HEAD.encode():
            return b""
        Streamer(self._clock, request, answer.pieces).start()
        return NOT_DONE_YET

    def _refused(self, error: BaseException, failure: Failure | None = None) -> Refused:
        """Return what is told of an error; one that nobody foresaw is logged."""
        if isinstance(error, Refused):
            return error
        refused = self._terms.refusal(error)
        if refused is None:
            _log.failure("A request could not be answered", failure)
            refused = Refused(500, "internal error: see the log")
        return refused


def dumped(answer: object) -> bytes:
    """Return an answer as JSON."""
    text = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
    return f"{text}\n".encode()
