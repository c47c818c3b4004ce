"""Routes are found, guarded and answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import LogLevel, capturedLogs
from twisted.web.server import NOT_DONE_YET

from memq.access.rights import Rights
from memq.access.users import User
from memq.errors import OutOfSpace, StoreError
from memq.logs.audit import Actor
from memq.test.web.api.base import JSON
from memq.test.web.base import Visitor, WebTestCase
from memq.web.api.errands import refusal
from memq.web.http.inputs import Input, Refused, text
from memq.web.http.routes import Call, Route, Routes, Streamed, Terms
from memq.web.http.site import Page, Site

if TYPE_CHECKING:
    from memq.test.web.base import Reply


def _upper(piece: bytes) -> bytes:
    if piece.islower():
        return piece.upper()
    raise ValueError("must be small")


class RoutesTestCase(WebTestCase):
    """Has some routes."""

    def setUp(self) -> None:
        """Put them on a site."""
        super().setUp()
        self.calls: list[Call] = []
        self.answer: Any = {"a": "队"}
        self.isOff = False
        self.who: Any = None
        self.refused: Refused | None = None
        fields = (Input("to", text),)
        routes = [
            Route("GET", "/api/things", self._take, (Input("x", bytes),)),
            Route("GET", "/api/things/{thing}", self._take),
            Route("DELETE", "/api/things/{thing}", self._take, (), fields, True),
            Route("POST", "/api/things/{thing}/do", self._take, (), fields, True),
            Route("POST", "/api/free", self._take),
        ]
        root = Page()
        names = {"thing": _upper}
        terms = Terms(names, self._who, self._mayAct, self._check, refusal)
        root.putChild(b"api", Routes(self.harness.reactor, terms, routes))
        self.site = Site(root, self.harness.reactor, (), ())

    def _take(self, call: Call) -> Any:
        self.calls.append(call)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def _mayAct(self) -> None:
        if self.isOff:
            raise Refused(403, "off")

    def _who(self, request: Any) -> Any:
        if isinstance(self.who, Refused):
            raise self.who
        return self.who

    def _check(self, route: Route, call: Call) -> None:
        if self.refused is not None:
            raise self.refused

    def told(
        self, path: str, method: str = "GET", *lines: str, body: str = ""
    ) -> tuple[int, Any]:
        """Return status and JSON of a reply."""
        visitor = self.visitor()
        visitor.request(path, method, *lines, f"Content-Length: {len(body)}")
        reply = visitor.answer(method, body.encode())
        self.assertEqual(reply.headers["Content-Type"], "application/json")
        return reply.code, json.loads(reply.body)


class FindTests(RoutesTestCase):
    """Paths and methods."""

    def test_found(self) -> None:
        """A route is found by method and path; names in it are decoded."""
        self.assertEqual(self.told("/api/things?x=%ff"), (200, {"a": "队"}))
        self.assertEqual(self.told("/api/things/a%2fb%c3"), (200, {"a": "队"}))
        self.told("/api/things/q/do", "POST", JSON, body='{"to":"x"}')
        self.assertEqual(
            [(call.names, call.query, call.fields) for call in self.calls],
            [
                ({}, {"x": b"\xff"}, {}),
                ({"thing": b"A/B\xc3"}, {}, {}),
                ({"thing": b"Q"}, {}, {"to": "x"}),
            ],
        )

    def test_counted(self) -> None:
        """Replies are counted by path, without the names in it."""
        for path in ("/api/things/a", "/api/things/b", "/api/things", "/api/nothing"):
            self.told(path)
        self.told("/api/things", "PUT")
        self.assertEqual(
            self.site.counts,
            {
                ("/api/things/{thing}", 200): 2,
                ("/api/things", 200): 1,
                ("other", 404): 1,
                ("other", 405): 1,
            },
        )

    def test_nothing(self) -> None:
        """A path that is none is told so, whatever the method."""
        for path in ("/api", "/api/", "/api/x", "/api/things/a/b/c"):
            for method in ("GET", "POST", "PUT"):
                expected = 404, {"error": "there is nothing here"}
                self.assertEqual(self.told(path, method), expected, path)
        # An empty name is no name.
        self.assertEqual(self.told("/api/things/")[0], 400)

    def test_methods(self) -> None:
        """A method that a path has not is told which there are."""
        for path, method, allowed in (
            ("/api/things", "POST", "GET, HEAD"),
            ("/api/things/a", "PUT", "DELETE, GET, HEAD"),
            ("/api/things/a/do", "GET", "POST"),
            ("/api/things/a/do", "HEAD", "POST"),
            ("/api/free", "OPTIONS", "POST"),
            ("/api/free", "get", "POST"),
        ):
            reply = self.ask(path, method)
            self.assertEqual((reply.code, reply.headers["Allow"]), (405, allowed))

    def test_names(self) -> None:
        """A name that cannot be is told what is allowed."""
        expected = 400, {"error": "thing must be small"}
        self.assertEqual(self.told("/api/things/A"), expected)


class OrderTests(RoutesTestCase):
    """Each is refused for the first thing that is wrong."""

    def code(self, path: str, method: str, *lines: str) -> int:
        """Return the status of a reply, and check that nothing was done."""
        code = self.told(path, method, *lines)[0]
        self.assertEqual(self.calls, [])
        return code

    def test_order(self) -> None:
        """Host, site, path, method, type, whether it may be, names and fields."""
        evil, foreign = "Host: evil.example", "Sec-Fetch-Site: cross-site"
        path = "/api/things/A/do"
        self.isOff = True
        reply = self.ask(path, "POST", evil, foreign)
        self.assertEqual(reply.code, 421)
        self.assertEqual(self.code("/api/nothing", "POST", foreign), 403)
        self.assertEqual(self.code("/api/nothing", "POST"), 404)
        self.assertEqual(self.code(path, "GET"), 405)
        self.assertEqual(self.code(path, "POST"), 415)
        self.assertEqual(self.code(path, "POST", "Content-Type: text/plain"), 415)
        self.assertEqual(self.told(path, "POST", JSON), (403, {"error": "off"}))
        self.isOff = False
        self.assertEqual(self.code(path, "POST", JSON), 400)
        self.assertEqual(self.code("/api/things/a/do?x=1", "POST", JSON), 400)
        code = self.told("/api/things/a/do", "POST", JSON, body='{"x":1}')[0]
        self.assertEqual((code, self.calls), (400, []))

    def test_looking(self) -> None:
        """A page of another site may not even look."""
        for line in ("Sec-Fetch-Site: cross-site", "Origin: http://evil.example"):
            self.assertEqual(self.code("/api/things", "GET", line), 403)

    def test_own(self) -> None:
        """This site's pages may, and programs."""
        for line in (
            *("Sec-Fetch-Site: same-origin", "Origin: http://127.0.0.1:22280"),
            "X: y",
        ):
            found = self.told("/api/free", "POST", JSON, line)
            self.assertEqual(found, (200, {"a": "队"}))

    def test_off(self) -> None:
        """What is off is only what changes something."""
        self.isOff = True
        self.assertEqual(self.told("/api/things/a")[0], 200)
        self.assertEqual(self.told("/api/free", "POST", JSON)[0], 200)
        self.assertEqual(self.told("/api/things/a", "DELETE", JSON)[0], 403)


class AnswerTests(RoutesTestCase):
    """What is told."""

    def start(self, method: str = "GET") -> Visitor:
        """Return somebody who waits for an answer."""
        visitor = self.visitor()
        visitor.request("/api/things", method)
        self.assertEqual(visitor.read(), b"")
        return visitor

    def test_head(self) -> None:
        """HEAD has the headers of GET."""
        self.answer = {"a": "b"}
        answers: tuple[Any, ...] = ({"a": "b"}, Streamed(iter([b"{}"])))
        for answer in answers:
            self.answer = answer
            reply = self.ask("/api/things", "HEAD")
            self.assertEqual((reply.code, reply.body), (200, b""))
            self.assertEqual(reply.headers["Content-Type"], "application/json")

    def test_headLater(self) -> None:
        """So it has when the answer takes time."""
        self.answer = Deferred()
        visitor = self.start("HEAD")
        self.answer.callback({"a": "b"})
        data = visitor.read()
        self.assertTrue(data.startswith(b"HTTP/1.1 200 OK\r\n"))
        self.assertTrue(data.endswith(b"\r\n\r\n"), data)

    def test_streamed(self) -> None:
        """An answer may come in pieces."""
        self.answer = Streamed(iter([b'{"a":', b'"b"', b"}"]))
        self.assertEqual(self.told("/api/things"), (200, {"a": "b"}))

    def test_later(self) -> None:
        """An answer may take time."""
        self.answer = Deferred()
        visitor = self.start()
        self.answer.callback({"a": 1})
        self.assertTrue(visitor.read().endswith(b'{"a":1}\n'))

    def test_self(self) -> None:
        """A route may answer by itself, at once or later."""
        for later in (False, True):
            self.answer = Deferred() if later else NOT_DONE_YET
            visitor = self.start()
            if later:
                self.answer.callback(NOT_DONE_YET)
            request = self.calls[-1].request
            request.write(b"x")
            request.finish()
            self.assertIn(b"x", visitor.read())

    def test_refused(self) -> None:
        """A refusal has its status, its words and its headers."""
        for answer in (
            Refused(503, "not now", Retry_After="1"),
            fail(Refused(503, "not now", Retry_After="1")),
        ):
            self.answer = answer
            reply: Reply = self.ask("/api/things")
            self.assertEqual((reply.code, reply.headers["Retry-After"]), (503, "1"))
            self.assertEqual(json.loads(reply.body), {"error": "not now"})

    def test_errors(self) -> None:
        """An error of the store has the status that fits."""
        self.answer = OutOfSpace()
        expected = 507, {"error": "out of disk space"}
        self.assertEqual(self.told("/api/things"), expected)
        self.answer = fail(StoreError("no"))
        self.assertEqual(self.told("/api/things"), (503, {"error": "no"}))

    def test_unforeseen(self) -> None:
        """An error that nobody foresaw is logged, and not told."""
        for answer in (ZeroDivisionError("secret"), fail(ZeroDivisionError("secret"))):
            self.answer = answer
            with capturedLogs() as events:
                found = self.told("/api/things")
            self.assertEqual(found, (500, {"error": "internal error: see the log"}))
            self.assertEqual([e["log_level"] for e in events], [LogLevel.critical])
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_gone(self) -> None:
        """Nothing is told to somebody who is gone."""
        for result in ({"a": 1}, StoreError("no")):
            self.answer = Deferred()
            visitor = self.start()
            visitor.leave()
            self.answer.callback(result)
            self.assertEqual(self.site.busy, set())

    def test_unsendable(self) -> None:
        """What cannot be told is logged."""
        self.answer = Deferred()
        visitor = self.start()
        self.answer.callback({"a": b"bytes"})
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.assertEqual(visitor.read(), b"")
        self.assertTrue(visitor.transport.disconnecting)

    def test_peer(self) -> None:
        """It is known who asks."""
        self.told("/api/things")
        actor = Actor("192.168.1.1:54321", "http")
        self.assertEqual(self.calls[0].actor, actor)
        visitor = Visitor(self.harness, self.site, UNIXAddress("/s"))
        self.addCleanup(visitor.leave)
        visitor.ask("/api/things")
        self.assertEqual(self.calls[1].actor, Actor("a local client", "http"))

    def test_user(self) -> None:
        """A user who is known later asks as one who is known at once."""
        self.who = Deferred()
        visitor = self.visitor()
        visitor.request("/api/things")
        self.assertEqual((visitor.read(), self.calls), (b"", []))
        self.who.callback(User("shop", Rights()))
        self.assertIn(b"200 OK", visitor.read())
        actor = Actor("192.168.1.1:54321", "http", "shop")
        self.assertEqual(self.calls[0].actor, actor)

    def test_unknown(self) -> None:
        """Whoever is not known, or later found not to be, is refused."""
        self.who = Refused(401, "who?", WWW_Authenticate="Basic")
        reply = self.ask("/api/things")
        self.assertEqual(
            (reply.code, reply.headers["WWW-Authenticate"]), (401, "Basic")
        )
        self.who = fail(self.who)
        reply = self.ask("/api/things")
        self.assertEqual(
            (reply.code, reply.headers["WWW-Authenticate"]), (401, "Basic")
        )
        self.assertEqual(self.calls, [])

    def test_right(self) -> None:
        """Whoever has not the right is refused, at once and later."""
        self.refused = Refused(403, "no right")
        for who in (None, succeed(None)):
            self.who = who
            self.assertEqual(self.told("/api/things"), (403, {"error": "no right"}))
        self.assertEqual(self.calls, [])
