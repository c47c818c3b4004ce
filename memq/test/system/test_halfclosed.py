"""Half-closed connections on real servers: who reads, and who is gone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from signal import SIGKILL
from socket import MSG_MORE, SHUT_WR

from twisted.trial.unittest import TestCase

from memq.test.support.servers import scratch, started, together
from testkit.servers import PATIENCE, Server
from testkit.wire import END, Wire, found, readAll, sets

#: A client that asks for something, says so, and waits to be killed.
_WORKER = (
    "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1])));"
    "s.sendall(sys.argv[2].encode() + b'\\r\\n'); print(flush=True); sys.stdin.read()"
)


def local(path: str) -> Wire:
    """Return a connection to a UNIX socket."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE)
    connection.connect(path)
    return Wire(connection)


class HalfClosedTestCase(TestCase):
    """A server, over TCP and a UNIX socket."""

    def ask(self, server: Server, request: bytes) -> bytes:
        """Return what a client is answered that sends no more."""
        with server.wire() as client:
            client.send(request)
            return client.rest()

    def fill(self, server: Server, count: int) -> list[bytes]:
        """Store so many messages; return their bodies."""
        bodies = [b"%06d" % number for number in range(count)]
        server.put(b"q", *bodies)
        return bodies


class AnswerTests(HalfClosedTestCase):
    """Clients that read to the end."""

    def test_everyTime(self) -> None:
        """60 of 60 are answered, whatever they asked for."""
        server = started(self)
        for _ in range(60):
            self.assertEqual(self.ask(server, sets(b"q", b"hi")), b"STORED\r\n")
            self.assertEqual(self.ask(server, b"get q\r\n"), found(b"q", b"hi"))
        self.assertEqual(server.counts(), {b"q": (60, 60)})

    def test_waits(self) -> None:
        """A read that waits is served when there is something."""
        server = started(self)
        with server.connect() as client:
            client.sendall(b"get q/t=50000\r\n")
            client.shutdown(SHUT_WR)
            self.fill(server, 1)
            self.assertEqual(readAll(client), found(b"q/t=50000", b"000000"))

    def test_pipeline(self) -> None:
        """Of a long pipeline all is answered, in order, and so are large bodies."""
        server = started(self, "--no-sync")
        bodies = self.fill(server, 5000)
        blocks = b"".join(found(b"q", body) for body in bodies)
        quiet = b"set r 0 0 2 noreply\r\nhi\r\n" * 5000
        large = bytes(1 << 20)
        request = b"get q\r\n" * 5000 + quiet + sets(b"l", large) + b"get l\r\n"
        expected = blocks + b"STORED\r\n" + found(b"l", large)
        self.assertTrue(self.ask(server, request) == expected)
        self.assertEqual(server.counts()[b"r"], (5000, 0))

    def test_stop(self) -> None:
        """A server that is stopped ends its wait, and ends in time."""
        server = started(self)
        with server.connect() as client:
            client.sendall(b"version\r\nget q/t=3600000\r\n")
            client.shutdown(SHUT_WR)
            self.assertTrue(client.recv(100).startswith(b"VERSION"))
            self.assertEqual(server.stop(), 0)
            self.assertEqual(readAll(client), END)

    def test_local(self) -> None:
        """Over a UNIX socket it is the same, and who has closed is known at once."""
        path = os.path.join(scratch(self), "socket")
        started(self, "--socket", path).waitForLine("Listening on", 2)
        for wait in (b"", b"/t=5000"):
            with local(path) as client:
                client.send(b"get q%b\r\n" % wait)
        with local(path) as client:
            client.send(sets(b"q", b"hi") + b"get q/t=50000\r\n")
            self.assertEqual(client.rest(), b"STORED\r\n" + found(b"q/t=50000", b"hi"))


class GoneTests(HalfClosedTestCase):
    """Clients that are gone, or are not."""

    def test_storm(self) -> None:
        """Of many that ask and close at once, and many that read, nothing is lost."""
        server = started(self)
        bodies = self.fill(server, 2000)
        received: list[bytes] = []

        def close() -> None:
            for _ in range(200):
                client = server.connect()
                # The question and the end are one packet.
                client.send(b"get q\r\n" * 3, MSG_MORE)
                client.close()

        def read() -> None:
            for _ in range(200):
                answer = self.ask(server, b"get q\r\nget q/t=0\r\n")
                received.extend(answer.split(b"\r\n")[1::3])

        together(close, read, close, read)
        self.assertEqual(len(received), 800)
        # Some of the rest may be on their way back.
        rest = server.ask(*[b"get q/t=%d" % (PATIENCE * 1000)] * 1200)
        self.assertEqual(sorted(received + rest.split(b"\r\n")[1::3]), bodies)

    def test_killed(self) -> None:
        """Workers that are killed while they wait take no message with them."""
        server = started(self, "--no-sync")
        waits = ("get q/t=3600000", "get q/t=3600000/open", "monitor q 3600")
        for number in range(30):
            worker = subprocess.Popen(
                [sys.executable, "-c", _WORKER, str(server.port), waits[number % 3]],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            with worker:
                assert worker.stdout is not None
                worker.stdout.readline()
                worker.send_signal(SIGKILL)
        with server.wire() as waiter:
            waiter.send(b"get q/t=3600000/open\r\n")
            self.fill(server, 1)
            self.assertIsNotNone(waiter.value())
            self.assertIsNone(waiter.take(b"q/close"))
        figures = server.figures(b"detail q")
        self.assertEqual(figures[b"queue_q_deliveries"], b"0")
        self.assertEqual(figures[b"queue_q_deleted"], b"1")
        self.assertEqual(server.counts(), {b"q": (1, 1)})

    def test_unread(self) -> None:
        """Messages with no room at a client that reads none go back when it is gone."""
        server = started(self, "--no-sync", "--max-body", "1M")
        size = 1 << 20
        server.put(b"q", *[bytes([65 + number]) * size for number in range(16)])
        with server.connect() as client:
            client.sendall(b"get q\r\n" * 16)
            client.shutdown(SHUT_WR)
            client.recv(1, socket.MSG_WAITALL)
        with server.wire() as other:
            head = other.ask(b"get q/t=50000")
        # The first ones may have arrived, and nobody was there to read them.
        self.assertEqual(head, b"VALUE q/t=50000 0 %d" % size)
        pushed, taken = server.counts()[b"q"]
        self.assertGreater(pushed - taken, 6)

    def test_halfClosedThenReset(self) -> None:
        """A half-closed waiter that is gone by then hands on the message it gets."""
        server = started(self)
        with server.connect() as first:
            first.sendall(b"get q/t=3600000\r\n")
            first.shutdown(SHUT_WR)
        with server.wire() as second:
            second.send(b"get q/t=3600000\r\n")
            self.fill(server, 1)
            self.assertIsNotNone(second.value())

    def test_options(self) -> None:
        """A machine that is asked in vain is known from the sockets' timers."""
        server = started(self, "--keepalive", "600")
        with server.wire() as client:
            client.ask(b"version")
            # Either end's port alone may be that of somebody else's connection, too.
            ends = [client.socket.getpeername()[1], client.socket.getsockname()[1]]
            with open("/proc/net/tcp", "rb") as table:
                rows = [line.split() for line in table.read().splitlines()[1:]]
        [timer] = [
            row[5] for row in rows if [int(end[-4:], 16) for end in row[1:3]] == ends
        ]
        kind, jiffies = timer.split(b":")
        self.assertEqual(kind, b"02")
        self.assertLessEqual(int(jiffies, 16) / os.sysconf("SC_CLK_TCK"), 300)
