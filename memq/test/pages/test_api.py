"""docs/api.md tells every route, parameter, field and status as they are."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from memq.message import Reason, Trace
from memq.test.pages.pages import SKIP, readPage, tables
from memq.test.web.api.actions.base import ActionTestCase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memq.web.http.routes import Route

PATH = "docs/api.md"
#: Names of queues and of patterns that stand in examples.
NAMES = {"mail", "dead", "none", "paused", "99", "1", "mail.*"}
STREAM = "a stream"


def words(cell: str) -> list[str]:
    """Return what stands in a cell as code."""
    return re.findall(r"`([^`]*)`", cell)


class ApiPageTests(ActionTestCase):
    """docs/api.md against a server in memory."""

    skip = SKIP

    def setUp(self) -> None:
        """Have queues, a connection and dead letters."""
        super().setUp()
        self.client.talk(b"set mail 0 0 1\r\nx\r\n" * 3)
        self.client.talk(b"pause paused writes\r\n")
        trace = Trace(3, b"mail", Reason.DELIVERIES, 5)
        self.store.push(b"dead", 0, b"x", trace=trace)
        self.store.commit()

    def rows(self, *header: str) -> list[list[str]]:
        """Return the rows of the tables with a header."""
        found = [
            row
            for table in tables(readPage(PATH))
            if table.header == list(header)
            for row in table.rows
        ]
        self.assertTrue(found, header)
        return found

    def send(self, request: str, body: str) -> Any:
        """Send what two cells say, and return the reply."""
        method, target = words(request)[0].split(" ")
        path = target.removeprefix("/api/v1")
        self.assertNotEqual(path, target)
        fields = b"".join(each.encode() for each in words(body))
        return self.call(path, method, fields)

    def fields(self, head: str) -> list[str]:
        """Return the fields that a table lists."""
        return [name for row in self.rows("field", head) for name in words(row[0])]

    def expected(self, cell: str) -> set[str]:
        """Return the fields of an answer, as a cell tells them."""
        if cell == "nothing":
            return set()
        if cell.startswith(("the same", "the fields of the server")):
            names = self.fields("of the server")
        elif cell.startswith("the fields of a queue"):
            names = self.fields("of a queue")
        else:
            names = []
        return {*names, *words(cell)}

    def test_requests(self) -> None:
        """Each request is answered with these fields."""
        same: set[str] = set()
        for request, body, _, answer in self.rows(
            "request", "body", "what it does", "answer"
        ):
            if answer == STREAM:
                self.checkStream(words(request)[0])
                continue
            self.client.transport.abortConnection = lambda: None
            reply = self.send(request, body)
            self.assertEqual(reply.code, 200, (request, reply.text))
            told = set(json.loads(reply.body))
            if answer.startswith("the same"):
                self.assertEqual(told, {*same, *words(answer)}, request)
            else:
                self.assertEqual(told, self.expected(answer), request)
            same = told

    def test_guarded(self) -> None:
        """Each is refused to pages of other sites, and to other hosts."""
        rows = self.rows("request", "body", "what it does", "answer")
        for request, *_ in rows:
            method, target = words(request)[0].split(" ")
            for line, code in (
                ("Host: evil.example", 421),
                ("Origin: http://evil.example", 403),
                ("Sec-Fetch-Site: cross-site", 403),
            ):
                self.assertEqual(self.ask(target, method, line).code, code, request)
            if method != "GET":
                self.assertEqual(self.ask(target, method).code, 415, request)

    def checkStream(self, request: str) -> None:
        """Check that a request is answered with a stream."""
        visitor = self.visitor()
        method, target = request.split(" ")
        visitor.request(target, method)
        self.assertIn(b"Content-Type: text/event-stream", visitor.read())

    def test_complete(self) -> None:
        """Each route has a row, and each row a route."""
        listed = {
            self.route(words(row[0])[0])
            for row in self.rows("request", "body", "what it does", "answer")
        }
        self.assertEqual(listed, {f"{r.method} {r.path}" for r in self.routes()})

    def routes(self) -> list[Route]:
        """Return the table of routes."""
        return self.web._routes(self.harness.reactor)

    def route(self, request: str) -> str:
        """Return the route of an example."""
        method, target = request.split(" ")
        path = target.partition("?")[0]
        pieces = path.split("/")
        for place, piece in enumerate(pieces):
            if unquote(piece) in NAMES:
                kind = {"queues": "queue", "connections": "id", "rules": "pattern"}
                pieces[place] = f"{{{kind[pieces[place - 1]]}}}"
        return f"{method} {'/'.join(pieces)}"

    def check(self, header: Iterable[str], which: str) -> None:
        """Check that a table lists all inputs of routes, in their order."""
        listed = [(words(row[0])[0], words(row[1])[0]) for row in self.rows(*header)]
        found = [
            (f"{route.method} {route.path}", each.name)
            for route in self.routes()
            for each in getattr(route, which)
            if route.method != "PUT"
        ]
        self.assertEqual(sorted(listed), sorted(found))

    def test_parameters(self) -> None:
        """All parameters are listed."""
        header = "request", "parameter", "values", "if it is not given"
        self.check(header, "query")

    def test_fields(self) -> None:
        """All fields of requests are listed."""
        header = "request", "field", "values", "if it is not given"
        self.check(header, "fields")

    def test_answers(self) -> None:
        """All fields of answers are listed, in their order."""
        server = list(self.told("/server"))
        self.assertEqual(sorted(self.fields("of the server")), sorted(server))
        row = self.told("/queues")["queues"][0]
        self.assertEqual(sorted(self.fields("of a queue")), sorted(row))
        connection = self.told("/connections")["connections"][0]
        self.assertEqual(self.fields("of a connection"), list(connection))
        message = self.told("/queues/mail/messages")["messages"][0]
        self.assertEqual(self.fields("of a message"), [*message, "cut"])

    def test_refused(self) -> None:
        """Each request that is refused is, with these words."""
        for request, body, status, error in self.rows(
            "request", "body", "status", "`error`"
        ):
            reply = self.send(request, body)
            told = json.loads(reply.body)
            found = reply.code, told["error"]
            self.assertEqual(found, (int(status), error), request)

    def test_examples(self) -> None:
        """The commands in the beginning ask for what there is."""
        paths = re.findall(r"127\.0\.0\.1:22280(/api/v1/[a-z]+)", readPage(PATH))
        known = {route.path for route in self.routes()}
        self.assertEqual([path for path in paths if path not in known], [])
