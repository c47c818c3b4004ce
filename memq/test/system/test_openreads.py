"""Open reads and waiting reads on real servers: clients and servers that die."""

from __future__ import annotations

import os
import struct
from random import Random
from signal import SIGKILL
from socket import SO_LINGER, SOL_SOCKET
from typing import TYPE_CHECKING

from twisted.trial.unittest import TestCase

from testkit.mix import newSeed
from testkit.servers import Server

if TYPE_CHECKING:
    from socket import socket

END = b"END\r\n"
#: What a consumer does when it has a message open.
ENDS = ("close", "next", "leave", "reset", "unread")
#: Makes a socket end with a reset.
_RESET = struct.pack("ii", 1, 0)


class Consumer:
    """A client that opens messages of q and closes them.

    :ivar body: what it has open, None when that is nothing.
    :ivar hasLeft: whether it has disconnected.
    """

    def __init__(self, server: Server) -> None:
        self._socket: socket = server.connect()
        self._file = self._socket.makefile("rb")
        self.body: bytes | None = None
        self.hasLeft = False

    def send(self, line: bytes) -> None:
        """Send a line."""
        self._socket.sendall(line + b"\r\n")

    def take(self) -> bytes | None:
        """Return the body that is answered; None for END."""
        body = self.next()
        if body is not None:
            assert self._file.readline() == END
        return body

    def next(self) -> bytes | None:
        """Return the body of the next block that is answered; None for END."""
        line = self._file.readline()
        if line == END:
            return None
        size = int(line.split()[3])
        return self._file.read(size + 2)[:-2]

    def lines(self) -> list[bytes]:
        """Return the lines that are answered, up to END."""
        return list(iter(self._file.readline, END))

    def open(self, options: bytes = b"open") -> bytes | None:
        """Open a message."""
        self.send(b"get q/" + options)
        self.body = self.take()
        return self.body

    def close(self) -> None:
        """Close it; it is deleted then."""
        self.send(b"get q/close")
        assert self.take() is None
        self.body = None

    def end(self, how: str) -> list[bytes]:
        """Be done with what is open; return it if it was closed."""
        body = self.body
        assert body is not None
        if how == "close":
            self.close()
            return [body]
        if how == "next":
            self.open(b"close/open/t=1")
            return [body]
        if how == "unread":
            self.send(b"get q/abort\r\nget q/open")
        self.leave(how == "reset")
        return []

    def leave(self, suddenly: bool = False) -> None:
        """Disconnect."""
        if suddenly:
            self._socket.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
        self._file.close()
        self._socket.close()
        self.hasLeft = True


class OpenReadTests(TestCase):
    """What becomes of open reads."""

    def start(self, *options: str) -> Server:
        """Return a server with an empty home."""
        server = Server(os.path.abspath(self.mktemp()), *options).start()
        self.addCleanup(server.stop)
        return server

    def fill(self, server: Server, count: int) -> list[bytes]:
        """Send so many messages, some of them in parts; return their bodies."""
        bodies = [
            b"%d " % number * (20_000 if number % 10 == 5 else 1)
            for number in range(count)
        ]
        sets = [b"set q 0 0 %d\r\n%b\r\n" % (len(body), body) for body in bodies]
        answer = server.talk(b"".join(sets) + b"quit\r\n")
        self.assertEqual(answer, b"STORED\r\n" * count)
        return bodies

    def rest(self, server: Server) -> list[bytes]:
        """Take all that is left."""
        consumer = Consumer(server)
        found = list(iter(lambda: consumer.open(b"t=0"), None))
        consumer.leave()
        return found

    def test_clientsDie(self) -> None:
        """However clients end, each message is closed once, and none is lost."""
        random = Random(newSeed())
        server = self.start()
        bodies = self.fill(server, 300)
        consumers = [Consumer(server) for _ in range(10)]
        closed: list[bytes] = []
        while len(closed) < len(bodies):
            place = random.randrange(10)
            consumer = consumers[place]
            if consumer.body is None:
                consumer.open(b"open/t=1")
            else:
                closed += consumer.end(random.choice(ENDS))
            if consumer.hasLeft:
                consumers[place] = Consumer(server)
        for consumer in consumers:
            consumer.leave()
        self.assertEqual(sorted(closed), sorted(bodies))
        self.assertEqual(self.rest(server), [])
        self.assertEqual(server.counts(), {b"q": (300, 300)})

    def test_serverDies(self) -> None:
        """After a kill what was closed is gone, and what was open is in its place."""
        server = self.start()
        bodies = self.fill(server, 20)
        consumers = [Consumer(server) for _ in range(10)]
        for number, consumer in enumerate(consumers):
            self.assertEqual(consumer.open(), bodies[number])
        for consumer in consumers[::2]:
            consumer.close()
        consumers[1].send(b"get q/abort")
        self.assertIsNone(consumers[1].take())
        server.stop(SIGKILL)
        for consumer in consumers:
            consumer.leave()
        server.start()
        self.assertEqual(self.rest(server), bodies[1:10:2] + bodies[10:])

    def test_serverStops(self) -> None:
        """So after a stop, and whoever waits is answered at once."""
        server = self.start()
        bodies = self.fill(server, 3)
        opening, waiting = Consumer(server), Consumer(server)
        opening.open()
        waiting.send(b"get none/t=3600000\r\nget none/t=3600000/open")
        # It waits when this is answered.
        opening.send(b"get none/peek")
        self.assertIsNone(opening.take())
        self.assertEqual(server.stop(), 0)
        self.assertEqual([waiting.take(), waiting.take()], [None, None])
        for consumer in (opening, waiting):
            consumer.leave()
        server.start()
        self.assertEqual(self.rest(server), bodies)

    def test_batches(self) -> None:
        """Who takes many at a time closes what it says, and gives back the rest.

        Others are not kept waiting for it, and see in the figures what is going on.
        """
        server = self.start()
        bodies = self.fill(server, 300)
        batches, asking = Consumer(server), Consumer(server)
        batches.send(b"monitor q 3600 310")
        found = [batches.next() for _ in bodies]
        self.assertEqual(found, bodies)
        batches.send(b"confirm q 299")
        asking.send(b"dump_stats")
        told = asking.lines()
        self.assertIn(b"  open_transactions=300\r\n", told)
        self.assertIn(b"  waiters=1\r\n", told)
        more = self.fill(server, 10)
        self.assertEqual([batches.next() for _ in more], more)
        self.assertEqual([batches.take(), batches.take()], [None, None])
        asking.send(b"stats detail q")
        self.assertIn(b"STAT queue_q_open_transactions 11\r\n", asking.lines())
        batches.leave(suddenly=True)
        self.assertEqual(self.rest(server), [bodies[299], *more])
        asking.leave()

    def test_waiting(self) -> None:
        """Who waits has what comes, in order; one that is gone loses nothing."""
        server = self.start()
        waiting = [Consumer(server) for _ in range(5)]
        asking = Consumer(server)
        for consumer in waiting:
            consumer.send(b"get q/open/t=60000")
            asking.send(b"get none/peek")
            self.assertIsNone(asking.take())
        waiting[1].leave()
        waiting[3].leave(suddenly=True)
        asking.send(b"get none/peek")
        self.assertIsNone(asking.take())
        bodies = self.fill(server, 3)
        self.assertEqual([waiting[n].take() for n in (0, 2, 4)], bodies)
        for number in (0, 2, 4):
            waiting[number].leave()
        self.assertEqual(self.rest(server), bodies)
        asking.leave()
