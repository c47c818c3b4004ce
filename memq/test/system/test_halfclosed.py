"""Half-closed connections on real servers: who reads, and who is gone."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from signal import SIGKILL
from socket import MSG_MORE, SHUT_WR

from twisted.trial.unittest import TestCase

from testkit.servers import PATIENCE, Server

END = b"END\r\n"
VALUE = b"VALUE %b 0 %d\r\n%b\r\nEND\r\n"
#: A client that asks for something, says so, and waits to be killed.
_WORKER = (
    "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1])));"
    "s.sendall(sys.argv[2].encode() + b'\\r\\n'); print(flush=True); sys.stdin.read()"
)


def rest(client: socket.socket) -> bytes:
    """Send no more, and return all that is answered."""
    client.shutdown(SHUT_WR)
    return answers(client)


def answers(client: socket.socket) -> bytes:
    """Return all that a client is answered that sends no more."""
    with client:
        return b"".join(iter(lambda: client.recv(1 << 18), b""))


class HalfClosedTestCase(TestCase):
    """A server, over TCP and a UNIX socket."""

    def start(self, *options: str) -> Server:
        """Start it, with an empty home."""
        home = os.path.abspath(self.mktemp())
        server = Server(home, *options).start()
        self.addCleanup(server.stop)
        return server

    def ask(self, server: Server, request: bytes) -> bytes:
        """Return what a client is answered that sends no more."""
        client = server.connect()
        client.sendall(request)
        return rest(client)

    def fill(self, server: Server, count: int) -> list[bytes]:
        """Store so many messages; return their bodies."""
        bodies = [b"%06d" % number for number in range(count)]
        sets = b"".join(b"set q 0 0 6\r\n%b\r\n" % body for body in bodies)
        self.assertEqual(server.talk(sets + b"quit\r\n"), b"STORED\r\n" * count)
        return bodies

    def take(self, server: Server, count: int) -> list[bytes]:
        """Take so many messages, some of which may be on their way back."""
        blocks = server.talk(
            b"get q/t=%d\r\n" % (PATIENCE * 1000) * count + b"quit\r\n"
        )
        return blocks.split(b"\r\n")[1::3]


class AnswerTests(HalfClosedTestCase):
    """Clients that read to the end."""

    def test_everyTime(self) -> None:
        """60 of 60 are answered, whatever they asked for."""
        server = self.start()
        for _ in range(60):
            self.assertEqual(self.ask(server, b"set q 0 0 2\r\nhi\r\n"), b"STORED\r\n")
            self.assertEqual(self.ask(server, b"get q\r\n"), VALUE % (b"q", 2, b"hi"))
        self.assertEqual(server.counts(), {b"q": (60, 60)})

    def test_waits(self) -> None:
        """A read that waits is served when there is something."""
        server = self.start()
        client = server.connect()
        client.sendall(b"get q/t=50000\r\n")
        client.shutdown(SHUT_WR)
        self.fill(server, 1)
        self.assertEqual(answers(client), VALUE % (b"q/t=50000", 6, b"000000"))

    def test_pipeline(self) -> None:
        """Of a long pipeline all is answered, in order, and so are large bodies."""
        server = self.start("--no-sync")
        bodies = self.fill(server, 5000)
        blocks = b"".join(VALUE % (b"q", 6, body) for body in bodies)
        quiet = b"set r 0 0 2 noreply\r\nhi\r\n" * 5000
        large = bytes(1 << 20)
        kept = b"set l 0 0 %d\r\n%b\r\n" % (len(large), large)
        request = b"get q\r\n" * 5000 + quiet + kept + b"get l\r\n"
        expected = blocks + b"STORED\r\n" + VALUE % (b"l", len(large), large)
        self.assertTrue(self.ask(server, request) == expected)
        self.assertEqual(server.counts()[b"r"], (5000, 0))

    def test_stop(self) -> None:
        """A server that is stopped ends its wait, and ends in time."""
        server = self.start()
        client = server.connect()
        client.sendall(b"version\r\nget q/t=3600000\r\n")
        client.shutdown(SHUT_WR)
        self.assertTrue(client.recv(100).startswith(b"VERSION"))
        self.assertEqual(server.stop(), 0)
        self.assertEqual(client.recv(100), END)
        self.assertEqual(client.recv(100), b"")
        client.close()

    def test_local(self) -> None:
        """Over a UNIX socket it is the same, and who has closed is known at once."""
        # The names of trial's directories are too long for a socket.
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        path = os.path.join(directory, "socket")
        self.start("--socket", path).waitForLine("Listening on", 2)
        for wait in (b"", b"/t=5000"):
            local = socket.socket(socket.AF_UNIX)
            local.settimeout(PATIENCE)
            local.connect(path)
            local.sendall(b"get q%b\r\n" % wait)
            local.close()
        local = socket.socket(socket.AF_UNIX)
        local.settimeout(PATIENCE)
        local.connect(path)
        local.sendall(b"set q 0 0 2\r\nhi\r\nget q/t=50000\r\n")
        self.assertEqual(rest(local), b"STORED\r\n" + VALUE % (b"q/t=50000", 2, b"hi"))


class GoneTests(HalfClosedTestCase):
    """Clients that are gone, or are not."""

    def test_storm(self) -> None:
        """Of many that ask and close at once, and many that read, nothing is lost."""
        server = self.start()
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

        threads = [threading.Thread(target=each) for each in (close, read) * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(received), 800)
        self.assertEqual(sorted(received + self.take(server, 1200)), bodies)

    def test_killed(self) -> None:
        """Workers that are killed while they wait take no message with them."""
        server = self.start("--no-sync")
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
        waiter = server.connect()
        waiter.sendall(b"get q/t=3600000/open\r\n")
        self.fill(server, 1)
        self.assertTrue(waiter.recv(1000).startswith(b"VALUE q/t"))
        waiter.sendall(b"get q/close\r\n")
        self.assertEqual(waiter.recv(1000), END)
        waiter.close()
        details = server.talk(b"stats detail q\r\nquit\r\n")
        self.assertIn(b"STAT queue_q_deliveries 0\r\n", details)
        self.assertIn(b"STAT queue_q_deleted 1\r\n", details)
        self.assertEqual(server.counts(), {b"q": (1, 1)})

    def test_unread(self) -> None:
        """What has no room at a client that does not read goes back when it is gone."""
        server = self.start("--no-sync", "--max-body", "1M")
        size = 1 << 20
        for number in range(16):
            body = bytes([65 + number]) * size
            request = b"set q 0 0 %d\r\n%b\r\nquit\r\n" % (size, body)
            self.assertEqual(server.talk(request), b"STORED\r\n")
        client = server.connect()
        client.sendall(b"get q\r\n" * 16)
        client.shutdown(SHUT_WR)
        client.recv(1, socket.MSG_WAITALL)
        client.close()
        with server.connect() as other:
            other.sendall(b"get q/t=50000\r\n")
            head = other.recv(100, socket.MSG_WAITALL)
        # The first ones may have arrived, and nobody was there to read them.
        self.assertTrue(head.startswith(b"VALUE q/t=50000 0 %d\r\n" % size))
        self.assertGreater(server.counts()[b"q"][0] - server.counts()[b"q"][1], 6)

    def test_halfClosedThenReset(self) -> None:
        """One that waited half-closed and is gone by then hands on what it gets."""
        server = self.start()
        first = server.connect()
        first.sendall(b"get q/t=3600000\r\n")
        first.shutdown(SHUT_WR)
        first.close()
        second = server.connect()
        second.sendall(b"get q/t=3600000\r\n")
        self.fill(server, 1)
        self.assertTrue(second.recv(1000).startswith(b"VALUE q/t"))
        second.close()

    def test_options(self) -> None:
        """A machine that is asked in vain is known from the sockets' timers."""
        server = self.start("--keepalive", "600")
        with server.connect() as client:
            client.sendall(b"version\r\n")
            client.recv(100)
            # Either end's port alone may be that of somebody else's connection, too.
            ends = [client.getpeername()[1], client.getsockname()[1]]
            with open("/proc/net/tcp", "rb") as table:
                rows = [line.split() for line in table.read().splitlines()[1:]]
        [timer] = [
            row[5] for row in rows if [int(end[-4:], 16) for end in row[1:3]] == ends
        ]
        kind, jiffies = timer.split(b":")
        self.assertEqual(kind, b"02")
        self.assertLessEqual(int(jiffies, 16) / os.sysconf("SC_CLK_TCK"), 300)
