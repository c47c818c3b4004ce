"""Many connections watched as one, on real sockets."""

from __future__ import annotations

import socket
import struct
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.main import CONNECTION_LOST
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from memq.net.poller import Poller
from memq.test.net.test_transport import MUCH, PATIENCE, Descriptors
from memq.test.support.stepped import SteppedTestCase


class Connection:
    """A connection that notes what it is told to do.

    :ivar heard: what it was told, in order.
    :ivar why: what doRead and doWrite return.
    :ivar arriving: whether what was sent may still arrive.
    """

    def __init__(self, ours: socket.socket, poller: Poller) -> None:
        ours.setblocking(False)
        self.socket = ours
        self.poller = poller
        self.fileno = ours.fileno
        self.heard: list[Any] = []
        self.why: Exception | None = None
        self.arriving = False

    def foreseeEnd(self) -> None:
        """Note it."""
        self.heard.append("foresee")

    def readConnectionLost(self, reason: Failure) -> None:
        """Note it, and be watched."""
        self.heard.append("half")
        self.poller.watchEnd(self)

    def isArriving(self) -> bool:
        """Return what the test says."""
        return self.arriving

    def doRead(self) -> Exception | None:
        """Note what came."""
        data = self.socket.recv(100)
        self.heard.append(data)
        return self.why if data else ConnectionDone()

    def doWrite(self) -> Exception | None:
        """Note it."""
        self.heard.append("write")
        return self.why

    def connectionLost(self, reason: Failure) -> None:
        """Note why."""
        self.heard.append(type(reason.value))


class PollerTests(SteppedTestCase):
    """One poller and two connections."""

    def setUp(self) -> None:
        """Connect both, and read from them."""
        self.reactor: Any = Descriptors()
        self.poller = Poller(self.reactor)
        self.one, self.client = self.connect()
        self.other, self.otherClient = self.connect()
        self.poller.addReader(self.one)
        self.poller.addReader(self.other)

    def connect(self) -> tuple[Connection, socket.socket]:
        """Return a connection, and the other end of its socket."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = socket.create_connection(server.getsockname())
            ours, _ = server.accept()
        self.addCleanup(ours.close)
        self.addCleanup(client.close)
        client.settimeout(PATIENCE)
        return Connection(ours, self.poller), client

    def poll(self) -> None:
        """Do what the reactor does when the poller has something to read."""
        self.poller.doRead()

    def reset(self) -> None:
        """Let the first client be gone without a farewell."""
        linger = struct.pack("ii", 1, 0)
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.client.close()

    def test_interface(self) -> None:
        """It is something that a reactor reads from."""
        verifyObject(IReadDescriptor, self.poller)
        self.assertEqual(self.poller.logPrefix(), "poller")
        self.assertGreater(self.poller.fileno(), 0)

    def test_afterSweep(self) -> None:
        """What is asked for in a sweep is called once all were served.

        What is asked for then, or at any other time, comes in the next iteration.
        """
        served: list[int] = []

        def turn() -> None:
            served.append(len(self.one.heard) + len(self.other.heard))
            if len(served) == 1:
                self.poller.afterSweep(turn)

        def doRead() -> None:
            self.one.heard.append(self.one.socket.recv(100))
            self.poller.afterSweep(turn)

        self.patch(self.one, "doRead", doRead)
        self.client.send(b"x")
        self.otherClient.send(b"x")
        self.poll()
        self.assertEqual(served, [2])
        self.poll()
        self.reactor.advance(0)
        self.assertEqual(served, [2, 2])

    def test_afterSweepFails(self) -> None:
        """If that fails it is logged, and no connection is lost for it."""

        def doRead() -> None:
            self.one.socket.recv(100)
            self.poller.afterSweep(fail)

        def fail() -> None:
            raise ZeroDivisionError

        self.patch(self.one, "doRead", doRead)
        for _ in range(2):
            self.client.send(b"x")
            self.poll()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertEqual(self.one.heard, [])

    def test_registered(self) -> None:
        """The reactor knows it as long as it has connections."""
        self.assertEqual(self.reactor.readers, {self.poller})
        self.poller.removeReader(self.one)
        self.poller.addWriter(self.other)
        self.poller.removeReader(self.other)
        self.assertEqual(self.reactor.readers, {self.poller})
        self.poller.removeWriter(self.other)
        self.assertEqual(self.reactor.readers, set())
        self.poller.removeWriter(self.other)
        self.poller.addWriter(self.one)
        self.assertEqual(self.reactor.readers, {self.poller})

    def test_clock(self) -> None:
        """Timed calls are the reactor's."""
        heard: list[str] = []
        self.poller.callLater(0, heard.append, "called")
        self.reactor.advance(0)
        self.assertEqual(heard, ["called"])

    def test_read(self) -> None:
        """All that have something are read, and nobody else."""
        self.poll()
        self.client.sendall(b"hello")
        self.poll()
        self.assertEqual((self.one.heard, self.other.heard), ([b"hello"], []))
        self.client.sendall(b"again")
        self.otherClient.sendall(b"me too")
        self.poll()
        self.assertEqual(self.one.heard, [b"hello", b"again"])
        self.assertEqual(self.other.heard, [b"me too"])

    def test_write(self) -> None:
        """Who wants to write is told when that is possible, and not before."""
        self.one.socket.setblocking(False)
        with self.assertRaises(BlockingIOError):
            while True:
                self.one.socket.send(b"x" * MUCH)
        self.poller.addWriter(self.one)
        self.poll()
        self.assertEqual(self.one.heard, [])
        while not self.one.heard:
            self.client.recv(MUCH)
            self.poll()
        self.assertEqual(self.one.heard, ["write"])

    def test_both(self) -> None:
        """What is there is read before more is written."""
        self.poller.addWriter(self.one)
        self.client.sendall(b"hello")
        self.poll()
        self.assertEqual(self.one.heard, [b"hello", "write"])

    def test_lostInRead(self) -> None:
        """What was lost while it was read is not written to, and told once."""
        self.one.why = CONNECTION_LOST
        self.poller.addWriter(self.one)
        self.client.sendall(b"hello")
        self.poll()
        self.poll()
        self.assertEqual(self.one.heard, [b"hello", ConnectionLost])
        self.assertEqual(self.other.heard, [])

    def test_end(self) -> None:
        """What was sent before the end is read before the end is told."""
        self.client.sendall(b"bye")
        self.client.shutdown(socket.SHUT_WR)
        self.poll()
        self.assertEqual(self.one.heard, ["foresee", b"bye", "foresee"])
        self.one.heard.clear()
        self.poll()
        self.poll()
        self.assertEqual(self.one.heard, ["foresee", b"", "half"])
        self.one.heard.clear()
        self.reset()
        self.poll()
        self.assertEqual(self.one.heard, [ConnectionLost])

    def test_endInLoss(self) -> None:
        """One that is lost with its end is not written to any more."""

        def readConnectionLost(reason: Failure) -> None:
            self.poller.removeWriter(self.one)

        self.patch(self.one, "readConnectionLost", readConnectionLost)
        self.poller.addWriter(self.one)
        self.client.shutdown(socket.SHUT_WR)
        self.poll()
        self.assertEqual(self.one.heard, ["foresee", b""])

    def test_localEnd(self) -> None:
        """Where a client that has closed is told from one that sends no more, it is."""
        ours, client = socket.socketpair()
        self.addCleanup(ours.close)
        connection = Connection(ours, self.poller)
        self.poller.addReader(connection)
        client.close()
        self.poll()
        self.assertEqual(connection.heard, ["foresee", b"", ConnectionDone])

    def test_arrival(self) -> None:
        """When both directions are shut, each change is told, and only then."""
        self.one.arriving = True
        self.client.shutdown(socket.SHUT_WR)
        self.poller.removeReader(self.one)
        self.one.socket.send(b"x")
        self.one.socket.shutdown(socket.SHUT_WR)
        self.poller.watchArrival(self.one)
        self.poll()
        self.poll()
        self.assertEqual(self.one.heard, [])
        self.one.arriving = False
        self.reset()
        self.poller.forget(self.one)
        self.poller.watchArrival(self.one)
        self.poll()
        self.assertEqual(self.one.heard, [ConnectionLost])
        self.poller.forget(self.one)

    def test_endUnread(self) -> None:
        """One that is not read is told as well when it is gone."""
        self.poller.addWriter(self.one)
        self.poller.removeReader(self.one)
        self.reset()
        self.poll()
        self.assertEqual(self.one.heard, [ConnectionLost])

    def test_hungUp(self) -> None:
        """A socket that is shut in both directions is done."""
        with socket.socket() as unconnected:
            connection = Connection(unconnected, self.poller)
            # epoll reports such a socket as hung up, without anything to read.
            self.poller.addReader(connection)
            self.poll()
            self.assertEqual(connection.heard, [ConnectionDone])

    def test_failing(self) -> None:
        """One that raises is logged and lost, and the others go on."""

        def doRead() -> None:
            raise ZeroDivisionError

        self.patch(self.one, "doRead", doRead)
        self.client.sendall(b"hello")
        self.otherClient.sendall(b"hello")
        self.poll()
        self.assertEqual(self.one.heard, [ZeroDivisionError])
        self.assertEqual(self.other.heard, [b"hello"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.poll()
        self.assertEqual(self.one.heard, [ZeroDivisionError])

    def test_closedMeanwhile(self) -> None:
        """What one connection does to another one in the same round counts."""
        read: list[Connection] = []
        for each, victim in ((self.one, self.other), (self.other, self.one)):

            def doRead(each: Connection = each, victim: Connection = victim) -> None:
                read.append(each)
                self.poller.removeReader(victim)

            self.patch(each, "doRead", doRead)
        self.client.sendall(b"hello")
        self.otherClient.sendall(b"hello")
        self.poll()
        self.assertEqual(len(read), 1)

    def test_reactorEnds(self) -> None:
        """When the reactor ends, every connection is told."""
        self.poller.connectionLost(Failure(CONNECTION_LOST))
        self.assertEqual(self.one.heard, [ConnectionLost])
        self.assertEqual(self.other.heard, [ConnectionLost])
        self.assertEqual(self.reactor.readers, set())
