"""Connections of a real server that have ended: the garbage collector finds nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from memq.test.support.certificates import files
from memq.test.support.servers import scratch
from testkit.servers import PATIENCE, Server
from testkit.strangers import TOKEN, configuration, hello, inPacket, inText, portsOf
from testkit.wire import cut

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Collects nothing but when it is told to, and says of what type each thing was.  What
#: is of no class of memq's or Twisted's is a thread pool's, which has circles of its
#: own for each call.
HELD = """
import gc, signal
def tell(*_):
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    types = [type(each) for each in gc.garbage]
    gc.set_debug(0)
    gc.garbage.clear()
    gc.collect()
    found = {each.__name__ for each in types if each.__module__ != "builtins"}
    print("GARBAGE", *sorted(found), flush=True)
gc.disable()
signal.signal(signal.SIGUSR2, tell)
"""
#: What clients say by the listener that asks nothing.
COMMANDS = [
    b"",
    b"set a 0 0 1\r\nx\r\nget a\r\nversion\r\n",
    b"set a 0 0 100\r\nx",
    b"set a 0 0 900000\r\n" + b"x" * 300_000,
    b"set b 0 0 1\r\nx\r\nget b/open\r\n",
    b"set c 0 0 900000\r\n" + b"x" * 900_000 + b"\r\nget c\r\n",
    b"get d/t=300\r\n",
    b"tail e\r\n",
    b"delete f\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x80\x0b" + bytes(22),
    b"quit\r\n",
]
#: By the one that wants to know who they are, over TLS as well.
LOGINS = [
    b"",
    b"set auth 0 0 16000\r\nshop x",
    inText(b"shop", TOKEN) + b"version\r\n",
    inPacket(b"shop", TOKEN),
    inText(b"shop", b"wrong"),
    inText(b"ops", b"wrong"),
]
REQUESTS = [
    b"",
    b"GET / HT",
    b"GET /healthz HTTP/1.1\r\n\r\n",
    b"GET /healthz HTTP/1.0\r\n\r\n",
    b"GET /metrics/queues HTTP/1.1\r\nAuthorization: Bearer %b\r\n\r\n" % TOKEN,
    b"GET /api/v1/queues HTTP/1.1\r\n\r\n",
    b"bad\r\n\r\n",
]


class GoneTests(SynchronousTestCase):
    """A server with TLS, users and a page."""

    def setUp(self) -> None:
        """Start it."""
        where = configuration(scratch(self), *files().server)
        home = os.path.join(scratch(self), "home")
        options = "--config", where, "--web-listen=127.0.0.1:0"
        self.server = Server(home, *options, before=HELD)
        self.addCleanup(self.server.stop)
        self.server.start()
        self.ports = portsOf(self.server)
        line = self.server.waitForLine("The web is on ")
        self.web = int(line.rpartition(":")[2])
        self.server.port = self.ports.free

    def connect(self, port: int) -> socket.socket:
        """Return a new connection."""
        self.server.port = port
        try:
            return self.server.connect()
        finally:
            self.server.port = self.ports.free

    def clients(self) -> Iterator[socket.socket]:
        """Yield clients in many states."""
        context = files().clientContext()
        for port, pieces in (
            (self.ports.free, COMMANDS),
            (self.ports.asks, LOGINS),
            (self.ports.secured, [b"", hello()[:50], hello(), b"get q\r\n"]),
            (self.web, REQUESTS),
        ):
            for piece in pieces:
                client = self.connect(port)
                client.sendall(piece)
                yield client
        for piece in LOGINS:
            plain = self.connect(self.ports.secured)
            client = context.wrap_socket(plain, server_hostname="localhost")
            client.sendall(piece)
            yield client

    def garbage(self, nth: int) -> str:
        """Return the types of what only the collector can free."""
        os.kill(self.server.pid, signal.SIGUSR2)
        return self.server.waitForLine("GARBAGE", nth).partition("GARBAGE")[2]

    def open(self) -> int:
        """Return how many sockets of connections the server has."""
        found = 0
        for name in os.listdir(f"/proc/{self.server.pid}/fd"):
            with contextlib.suppress(OSError):
                path = os.readlink(f"/proc/{self.server.pid}/fd/{name}")
                found += path.startswith("socket:")
        return found

    def test_states(self) -> None:
        """Clients that end in many states are freed, by a reset and by a close."""
        # What is made once, such as lazily imported modules.
        before = self.open()
        for nth, end in enumerate((cut, cut, socket.socket.close), 1):
            there = list(self.clients())
            self.server.ask(b"version")
            for client in there:
                end(client)
            deadline = time.monotonic() + PATIENCE
            while self.open() > before and time.monotonic() < deadline:
                time.sleep(0.01)
            found = self.garbage(nth)
            if nth > 1:
                self.assertEqual(found, "")
        self.assertNotIn("Traceback", "\n".join(self.server.log))
