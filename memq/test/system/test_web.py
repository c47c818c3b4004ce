"""Real servers with a web: on a socket, on a port that is in use, beside a load."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from memq.test.support.servers import scratch, started, together
from testkit.servers import PATIENCE, Server
from testkit.wire import sets

if TYPE_CHECKING:
    from http.client import HTTPResponse

#: Queues that are made while there are scrapes, and in all.
QUEUES, MANY = 2_000, 10_000


class _Connection(http.client.HTTPConnection):
    """A connection to a UNIX socket."""

    def connect(self) -> None:
        """Connect to the path that stands where a host would."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self.host)


def _place(server: Server) -> str:
    return server.waitForLine("The web is on ").rpartition(" ")[2]


def _ask(place: str, path: str, **headers: str) -> tuple[int, str]:
    """Return status and body of a reply, which comes to its end."""
    connection = http.client.HTTPConnection(place, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers=headers)
        reply: HTTPResponse = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


class WebServersTests(SynchronousTestCase):
    """Servers as a person starts them."""

    def test_second(self) -> None:
        """A second server on the same port serves its queues, and says so once."""
        first = started(self, "--web-listen=127.0.0.1:0")
        place = _place(first)
        second = started(self, f"--web-listen={place}")
        line = second.waitForLine("The web cannot be on ")
        self.assertIn(place, line)
        self.assertIn("queues are served without it", line)
        second.put(b"q", b"x")
        self.assertIn(b"VALUE q 0 1\r\nx\r\n", second.ask(b"get q"))
        self.assertEqual(_ask(place, "/readyz"), (200, "ok\n"))
        second.stop()
        self.assertEqual(sum("The web" in line for line in second.log), 1)

    def test_metricsListen(self) -> None:
        """A second address has metrics and health as well."""
        web = ("--web-listen=", "--web-metrics-listen=127.0.0.1:0")
        place = _place(started(self, *web, "--web-hosts=memq.example"))
        for path in ("/metrics", "/metrics/queues", "/healthz", "/readyz"):
            self.assertEqual(_ask(place, path)[0], 200)
            self.assertEqual(_ask(place, path, Host="memq.example")[0], 200)
            self.assertEqual(_ask(place, path, Host="evil.example")[0], 421)

    def test_socket(self) -> None:
        """A UNIX socket has its permissions, and goes with the server."""
        path = os.path.join(scratch(self), "web")
        options = (f"--web-listen=unix:{path}", "--socket-mode=0666")
        server = started(self, *options)
        server.waitForLine(f"The web is on unix:{path}")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o666)
        connection = _Connection(path)
        self.addCleanup(connection.close)
        connection.request("GET", "/metrics", headers={"Host": "localhost"})
        reply = connection.getresponse()
        self.assertEqual(reply.status, 200)
        self.assertIn(b"\nmemq_queues 0\n", reply.read())
        server.stop()
        self.assertFalse(os.path.exists(path))

    def test_load(self) -> None:
        """Scrapes beside a load lose no message, and one sees each of 10,000 queues."""
        server = started(self, "--web-listen=127.0.0.1:0", "--no-sync")
        place = _place(server)
        names = [b"queue-%d" % number for number in range(QUEUES)]
        done: list[Any] = []

        def load() -> None:
            try:
                with server.wire() as wire:
                    for name in names:
                        wire.send(sets(name, b"x"))
                        self.assertEqual(wire.line(), b"STORED")
            finally:
                done.append(True)

        def scrape() -> None:
            last = 0.0
            while not done:
                _, text = _ask(place, "/metrics")
                (line,) = [
                    line
                    for line in text.splitlines()
                    if line.startswith("memq_messages_set_total ")
                ]
                self.assertGreaterEqual(float(line.split()[1]), last)
                last = float(line.split()[1])

        together(load, scrape, scrape)
        more = [b"queue-%d" % number for number in range(QUEUES, MANY)]
        server.talk(b"".join(sets(name, b"x") for name in more) + b"quit\r\n")
        names += more
        _, text = _ask(place, "/metrics/queues?figure=messages")
        told = {line for line in text.splitlines() if not line.startswith("#")}
        expected = {
            f'memq_queue_messages{{queue="{name.decode()}"}} 1' for name in names
        }
        self.assertEqual(told, expected)
        self.assertIn("memq_queue_metrics_suppressed 1", _ask(place, "/metrics")[1])
        server.waitForLine("queue-metrics")
        self.assertEqual(sum("queue-metrics" in line for line in server.log), 1)

    def test_stops(self) -> None:
        """A reader that takes nothing does not hold up the end."""
        server = started(self, "--web-listen=127.0.0.1:0", "--no-sync")
        host, _, port = _place(server).rpartition(":")
        for number in range(500):
            server.put(b"%0240d" % number, b"x")
        with socket.create_connection((host, int(port)), PATIENCE) as stuck:
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            head = b"GET /metrics/queues HTTP/1.1\r\nHost: localhost\r\n\r\n"
            stuck.sendall(head * 20)
            self.assertEqual(_ask(f"{host}:{port}", "/readyz")[0], 200)
            self.assertEqual(server.stop(), 0)

    def test_startsAndStops(self) -> None:
        """Scrapes all the while spoil neither a start nor a stop."""
        server = started(self, "--web-listen=127.0.0.1:0", "--no-sync")
        place = _place(server)
        for number in range(500):
            server.put(b"%d" % number, b"x")
        server.stop()
        again = Server(server.home, f"--web-listen={place}", "--no-sync")
        self.addCleanup(again.stop)
        codes: set[int] = set()
        isOver: list[bool] = []

        def scrape() -> None:
            while not isOver:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    codes.add(_ask(place, "/metrics")[0])

        def run() -> None:
            try:
                again.start()
                again.put(b"q", b"x")
                self.assertEqual(again.stop(), 0)
            finally:
                isOver.append(True)

        together(scrape, scrape, run)
        self.assertLessEqual(codes, {200, 503})
        self.assertEqual([line for line in again.log if "#error" in line], [])
        self.assertEqual([line for line in again.log if "#critical" in line], [])
