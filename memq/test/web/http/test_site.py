"""Requests within bounds, and what every reply says."""

from __future__ import annotations

import re

from twisted.logger import capturedLogs

from memq.test.web.base import WebTestCase
from memq.web.http.site import BODY, CONNECTIONS, HEADERS, IDLE_SECONDS
from memq.web.metrics import endpoints
from memq.web.page.files import readFiles

ALL = ("/", "/metrics", "/metrics/queues", "/healthz", "/readyz", "/none")


class ReplyTests(WebTestCase):
    """Replies to requests that are in order, and to others."""

    def test_headers(self) -> None:
        """Each reply has the headers that keep a browser within its bounds."""
        for path in ALL:
            for lines in ((), ("Host: evil.example",)):
                for method in ("GET", "HEAD", "POST"):
                    headers = self.ask(path, method, *lines).headers
                    for name, value in HEADERS.items():
                        kept = {value, "no-cache"} if path == "/" else {value}
                        self.assertIn(headers[name], kept)
                    self.assertNotIn("Server", headers)
                    self.assertIsNotNone(headers["Content-Type"])

    def test_nothing(self) -> None:
        """A path that leads nowhere is told so."""
        for path in (
            *("/none", "/metrics/", "/metrics/none", "/healthz/x", "/readyz/"),
            *(
                "/METRICS",
                "/%00",
                "/%",
                "//metrics",
                "/../metrics",
                "/metrics%2fqueues",
            ),
        ):
            reply = self.ask(path)
            self.assertEqual((reply.code, reply.text), (404, "there is nothing here\n"))

    def test_methods(self) -> None:
        """Nothing is done but to look."""
        for path in ALL:
            for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "X"):
                reply = self.ask(path, method)
                self.assertEqual(
                    (reply.code, reply.headers["Allow"]), (405, "GET, HEAD")
                )

    def test_head(self) -> None:
        """HEAD has the headers of GET, and no body, and leaves no line in the log."""
        lengths = []
        with capturedLogs() as events:
            for path in (*ALL, "/page/main.js", "/api/v1/queues"):
                get, head = self.ask(path), self.ask(path, "HEAD")
                self.assertEqual((get.code, head.body), (head.code, b""))
                for name in ("Content-Type", "Content-Length"):
                    self.assertEqual(get.headers[name], head.headers[name], path)
                lengths.append(head.headers["Content-Length"])
        self.assertEqual(events, [])
        self.assertGreater(len(set(lengths)), 3)

    def test_several(self) -> None:
        """A connection takes one request behind the other."""
        visitor = self.visitor()
        for path, code in (("/healthz", 200), ("/none", 404), ("/metrics", 200)):
            self.assertEqual(visitor.ask(path).code, code)
        visitor.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2)
        self.assertEqual(visitor.read().count(b"\r\n\r\nok\n"), 2)

    def test_turns(self) -> None:
        """It takes one of many in a turn, and none once the client is gone."""
        requests = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5
        visitor, leaving = self.visitor(), self.visitor()
        for each in visitor, leaving:
            each.send(requests)
            self.assertEqual(each.transport.value().count(b"\r\n\r\nok\n"), 1)
        leaving.leave()
        self.assertEqual(visitor.read().count(b"\r\n\r\nok\n"), 5)
        self.assertEqual(leaving.read().count(b"\r\n\r\nok\n"), 1)

    def test_counted(self) -> None:
        """Requests are counted by path and code, unknown paths as one."""
        for path in ("/readyz", "/none", "/nowhere", "/metrics?x=1"):
            self.ask(path)
        self.ask("/metrics", "POST")
        self.ask("/metrics", "GET", "Host: evil")
        expected = {
            "/metrics": {200: 1, 405: 1, 421: 1},
            "/readyz": {200: 1},
            "other": {404: 2},
        }
        self.checkSamples(
            {
                f'memq_http_requests_total{{path="{path}",code="{code}"}}': str(count)
                for path, codes in expected.items()
                for code, count in codes.items()
            }
        )


class HostTests(WebTestCase):
    """The name that a request is for."""

    settings = {"hosts": ["memq.example"]}  # noqa: RUF012 - as the base has it

    def test_known(self) -> None:
        """An address passes, as do localhost and a name that is configured."""
        for host in (
            *("127.0.0.1", "127.0.0.1:22280", "10.1.2.3:80", "[::1]", "[::1]:22280"),
            *("localhost", "LOCALHOST:1", "memq.example", "Memq.Example:22280"),
            *("localhost:", "0.0.0.0"),
        ):
            self.assertEqual(
                self.ask("/healthz", "GET", f"Host: {host}").code, 200, host
            )

    def test_unknown(self) -> None:
        """Any other name is refused, whatever is asked for."""
        for host in (
            *("evil.example", "evil.example:22280", "localhost.evil.example", "x"),
            *("127.0.0.1.evil.example", "127.0.0.1:x", "", ":22280", "1.2.3", "é"),
            *(
                "memq.example.",
                "a.memq.example",
                "[::1",
                "::1",
                "127.0.0.1, evil.example",
            ),
        ):
            for path in ("/healthz", "/metrics", "/none"):
                reply = self.ask(path, "GET", f"Host: {host}")
                self.assertEqual(reply.code, 421, host)
                self.assertIn("see hosts in [web]", reply.text)

    def test_everywhere(self) -> None:
        """So it is by each path that there is, with each method."""
        routes = self.web._routes(self.harness.reactor)
        paths = {*ALL, *(f"/page/{name}" for name in readFiles())}
        paths |= {re.sub("{.*?}", "1", route.path) for route in routes}
        self.assertGreater(len(paths), 40)
        for path in paths:
            for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
                reply = self.ask(path, method, "Host: evil.example")
                self.assertEqual(reply.code, 421, (method, path))

    def test_twice(self) -> None:
        """Two names are none."""
        lines = ("Host: 127.0.0.1", "Host: 127.0.0.1")
        self.assertEqual(self.ask("/healthz", "GET", *lines).code, 421)

    def test_none(self) -> None:
        """A request without a name is of no browser."""
        visitor = self.visitor()
        visitor.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        self.assertTrue(visitor.read().startswith(b"HTTP/1.0 200 OK\r\n"))


class BoundTests(WebTestCase):
    """Requests that ask for too much."""

    def answer(self, data: bytes) -> bytes:
        """Return the first line that answers something, which ends the connection."""
        visitor = self.visitor()
        visitor.send(data)
        answer = visitor.read()
        self.assertTrue(visitor.transport.disconnecting or visitor.isGone)
        return answer.partition(b"\r\n")[0]

    def test_heads(self) -> None:
        """Lines and headers are bounded, and have to be HTTP's."""
        host = b"Host: localhost\r\n"
        for data in (
            b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n",
            b"GET / HTTP/1.1\r\n" + host + b"A: b\r\n" * 501 + b"\r\n",
            b"GET / HTTP/1.1\r\n" + host + b"A: " + b"b" * 17_000 + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + host + b"no header\r\n\r\n",
            b"set q 0 0 1\r\nx\r\n",
            b"\x16\x03\x01\r\n\r\n",
        ):
            self.assertIn(self.answer(data), (b"HTTP/1.1 400 Bad Request", b""), data)

    def test_bodies(self) -> None:
        """A body that is too large is refused before it comes."""
        start = b"POST /metrics HTTP/1.1\r\nHost: localhost\r\n"
        for head in (
            b"Content-Length: %d\r\n\r\n" % (BODY + 1),
            b"Content-Length: 99999999999999999999\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n",
        ):
            for body in (b"", b"5\r\nhello\r\n0\r\n\r\n", b"x" * (BODY + 1)):
                line = self.answer(start + head + body)
                self.assertEqual(line, b"HTTP/1.1 413 Request Entity Too Large")

    def test_smallBody(self) -> None:
        """One that is not is thrown away."""
        visitor = self.visitor()
        visitor.request("/healthz", "GET", f"Content-Length: {BODY}")
        visitor.send(b"x" * (BODY - 1))
        self.assertEqual(visitor.read(), b"")
        visitor.send(b"x")
        self.assertTrue(visitor.read().endswith(b"\r\n\r\nok\n"))

    def test_idle(self) -> None:
        """A connection that sends nothing is given up, with or without a request."""
        quiet, slow, told = [self.visitor() for _ in range(3)]
        slow.send(b"GET /healthz HT")
        told.ask("/healthz")
        self.harness.pass_(IDLE_SECONDS - 1)
        self.assertFalse(quiet.isGone or slow.isGone or told.isGone)
        self.harness.pass_(1)
        self.assertTrue(quiet.isGone and slow.isGone and told.isGone)
        self.assertEqual((self.site.idle, self.site.busy), ({}, set()))


class ConnectionTests(WebTestCase):
    """Connections are bounded."""

    def test_oldest(self) -> None:
        """One more takes the place of that which has been idle for longest."""
        visitors = [self.visitor() for _ in range(CONNECTIONS)]
        visitors[0].ask("/healthz")
        self.assertEqual(self.ask("/healthz").code, 200)
        gone = [number for number, each in enumerate(visitors) if each.isGone]
        self.assertEqual(gone, [1])
        self.assertEqual(self.samples()["memq_http_connections"], str(CONNECTIONS))

    def test_full(self) -> None:
        """Where all are at work, it is closed."""
        self.patch(endpoints, "REPLIES", CONNECTIONS)
        self.harness.broker.room.isHeld = True
        visitors = [self.visitor() for _ in range(CONNECTIONS)]
        for each in visitors:
            # Each waits for a reply: the queues cannot be looked at now.
            each.request("/metrics")
        self.assertEqual((self.site.idle, len(self.site.busy)), ({}, CONNECTIONS))
        self.assertTrue(self.visitor().isGone)
        visitors[0].leave()
        self.assertFalse(self.visitor().isGone)
