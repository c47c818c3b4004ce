"""Viewers of a real server: sixteen, of which half stop reading; and the log."""

from __future__ import annotations

import json
import select
import socket
from functools import partial
from time import monotonic

from twisted.trial.unittest import SynchronousTestCase

from memq.test.support.servers import started
from memq.web.live.ticks import QUEUES
from memq.web.live.viewers import MOST
from testkit.servers import PATIENCE, Server

#: Ticks that those who read have to see.
TICKS = 3
#: Bytes that the server may grow by: a tick has 40 KB, a transport buffers 64 KB, and
#: the rest is what Python needs to make them.
GROWTH = 8 << 20


class Watcher:
    """A socket that asks for a stream.

    :ivar data: what it has read.
    """

    def __init__(self, place: str, path: str, buffer: int = 0) -> None:
        """Ask.

        :param buffer: bytes that the system keeps for who does not read.
        """
        host, _, port = place.rpartition(":")
        self.socket = socket.socket()
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect((host, int(port)))
        self.socket.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        self.data = b""

    def fileno(self) -> int:
        """Return its descriptor."""
        return self.socket.fileno()

    def read(self) -> bool:
        """Read what is there; return False at the end."""
        data = self.socket.recv(1 << 20)
        self.data += data
        return bool(data)

    def readAll(self) -> None:
        """Read to the end."""
        self.data += b"".join(iter(partial(self.socket.recv, 1 << 20), b""))

    def events(self, name: str) -> list[str]:
        """Return the data of each event of a name that has come whole."""
        pieces = self.data.decode().partition("\r\n\r\n")[2].split("\n\n")[:-1]
        begin = f"event: {name}\ndata: "
        return [each[len(begin) :] for each in pieces if each.startswith(begin)]


def readUntil(watchers: list[Watcher], name: str, count: int) -> None:
    """Read from all until each has had so many events."""
    end = monotonic() + PATIENCE
    left = [each for each in watchers if len(each.events(name)) < count]
    while left:
        assert monotonic() < end, [each.data[-200:] for each in left]
        for each in select.select(left, [], [], 1)[0]:
            assert each.read(), each.data[-200:]
        left = [each for each in left if len(each.events(name)) < count]


class ViewersTests(SynchronousTestCase):
    """Sockets."""

    def watcher(self, place: str, path: str, buffer: int = 0) -> Watcher:
        """Return somebody who has asked, until the test ends."""
        watcher = Watcher(place, path, buffer)
        self.addCleanup(watcher.socket.close)
        return watcher

    def server(self, *options: str) -> tuple[Server, str]:
        """Return a server and where its web is."""
        server = started(self, "--web-listen=127.0.0.1:0", "--no-sync", *options)
        return server, server.waitForLine("The web is on ").rpartition(" ")[2]

    def test_halfStopReading(self) -> None:
        """Eight that do not read cost a bounded memory, and hold up nobody."""
        server, place = self.server()
        names = [b"%0100d" % number for number in range(QUEUES)]
        for name in names:
            server.put(name, b"x")
        path = "/api/v1/events?queues=" + b",".join(names).decode()
        readers = [self.watcher(place, path) for _ in range(MOST // 2)]
        readUntil(readers, "tick", 1)
        before = server.residentNow()
        stuck = [self.watcher(place, path, 4096) for _ in range(MOST // 2)]
        with server.wire() as wire:
            wire.send(b"get none\r\n")
            self.assertEqual(wire.line(), b"END")
        readUntil(readers, "tick", 1 + TICKS)
        self.assertLess(server.residentNow() - before, GROWTH)
        for reader in readers:
            tick = json.loads(reader.events("tick")[-1])
            self.assertEqual(len(tick["queues"]), QUEUES)
            self.assertEqual(tick["server"]["messages"], QUEUES)
        late = self.watcher(place, path)
        late.readAll()
        self.assertTrue(late.data.startswith(b"HTTP/1.0 503"), late.data)
        for each in stuck[:4]:
            each.socket.close()
        self.assertEqual(server.stop(), 0)
        self.assertEqual([line for line in server.log if "#error" in line], [])
        for reader in readers:
            reader.readAll()
            self.assertTrue(reader.data.endswith(b"\n\n"), reader.data[-100:])

    def test_log(self) -> None:
        """The log goes on, with commands if it has them, but with no body."""
        server, place = self.server("-v")
        watcher = self.watcher(place, "/api/v1/log")
        readUntil([watcher], "line", 3)
        server.put(b"q", b"a secret", b"x" * 70_000 + b"a secret")
        server.talk(b"delete q\r\nquit\r\n")
        end = monotonic() + PATIENCE
        while not any("delete q" in each for each in watcher.events("line")):
            self.assertLess(monotonic(), end)
            watcher.read()
        lines = [json.loads(each) for each in watcher.events("line")]
        self.assertEqual(
            [each["number"] for each in lines], list(range(1, len(lines) + 1))
        )
        said = " ".join(each["text"] for each in lines)
        self.assertIn("The web is on", said)
        self.assertNotIn("secret", said)
        self.assertEqual(server.stop(), 0)
