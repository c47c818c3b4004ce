"""Connections that send at once, on real sockets."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import tempfile
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import directlyProvides, implementer

from memq.net.listeners import bindTCP, checkUNIX
from memq.net.poller import Poller
from memq.net.transport import ACCEPTS, EagerServer, EagerUNIXServer
from memq.test.support.harness import Harness
from memq.test.support.sessions import VERSION
from memq.test.support.stepped import SteppedReactor, SteppedTestCase

if TYPE_CHECKING:
    from collections.abc import Generator

#: Seconds that a real socket may take; nothing here waits for that long.
PATIENCE = 20.0
DONE, LOST = Failure(ConnectionDone()), Failure(ConnectionLost())
#: More than the kernel takes at once.
MUCH = 16 * 1024 * 1024


class Descriptors(SteppedReactor):
    """A reactor that knows who wants to read and write, and does neither.

    :ivar registrations: how often somebody asked to write.
    :ivar removals: how often somebody asked not to.
    :ivar ends: whose end is watched for, and which.
    """

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()
        self.registrations = 0
        self.removals = 0
        self.ends: dict[Any, str] = {}
        self.watchEnd = partial(self._watch, "end")
        self.watchArrival = partial(self._watch, "arrival")
        self.forget = self.ends.pop
        self.addReader = self.readers.add
        self.removeReader = self.readers.discard

    def _watch(self, what: str, connection: Any) -> None:
        self.ends[connection] = what

    def addWriter(self, writer: Any) -> None:
        """Count it."""
        self.registrations += 1
        self.writers.add(writer)

    def removeWriter(self, writer: Any) -> None:
        """Count it."""
        self.removals += 1
        self.writers.discard(writer)


class Gate:
    """A producer that notes when it is to stop and to go on."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.pauseProducing = partial(self.heard.append, "pause")
        self.resumeProducing = partial(self.heard.append, "resume")
        self.stopProducing = partial(self.heard.append, "stop")


class Silent(Protocol):
    """Say nothing."""

    lost: Any = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note why."""
        self.lost = reason.value


@implementer(IHalfCloseableProtocol)
class Quiet(Silent):
    """Say nothing, and note which half of the connection was closed.

    :ivar owes: whether it has still something to say.
    :ivar foreseen: how often it was told that the other end sends no more.
    """

    owes = False
    foreseen = 0

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.readConnectionLost = partial(self.ended.append, "read")
        self.writeConnectionLost = partial(self.ended.append, "write")

    def foreseeEnd(self) -> None:
        """Note it."""
        self.foreseen += 1


class EagerTests(SteppedTestCase):
    """A connection over TCP, without a reactor that would send anything later."""

    def setUp(self) -> None:
        """Connect two sockets."""
        self.reactor: Any = Descriptors()
        self.protocol = Quiet()
        ours, self.client = self.sockets()
        self.client.settimeout(PATIENCE)
        self.addCleanup(self.client.close)
        self.transport = self.connect(ours)
        self.addCleanup(ours.close)
        self.protocol.makeConnection(self.transport)

    def sockets(self) -> tuple[socket.socket, socket.socket]:
        """Return both ends of a connection on this machine."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = socket.create_connection(server.getsockname())
            ours, _ = server.accept()
        return ours, client

    def connect(self, ours: socket.socket) -> Any:
        """Return the transport of one end."""
        server: Any = None
        return EagerServer(
            ours, self.protocol, ("127.0.0.1", 1), server, 1, self.reactor
        )

    def received(self, size: int) -> bytes:
        """Return so many bytes from the other end."""
        data = b""
        while len(data) < size:
            data += self.client.recv(size - len(data))
        return data

    def drained(self, size: int) -> bytes:
        """Return so many bytes, while what is left is sent, until nothing is."""
        data = b""
        while self.reactor.writers:
            data += self.client.recv(1 << 20)
            self.assertIsNone(self.transport.doWrite())
        return data + self.received(size - len(data))

    def reset(self) -> None:
        """Let the peer be gone, in a way that the next attempt to send finds out."""
        linger = struct.pack("ii", 1, 0)
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.client.close()

    def test_hasLeft(self) -> None:
        """It tells whether the other end is gone or only sends no more, unread."""
        self.client.sendall(b"unread")
        self.assertFalse(self.transport.hasLeft())
        self.assertEqual(self.protocol.foreseen, 0)
        self.client.shutdown(socket.SHUT_WR)
        self.assertFalse(self.transport.hasLeft())
        self.assertEqual(self.protocol.foreseen, 1)
        self.reset()
        self.assertTrue(self.transport.hasLeft())

    def test_foreseeNot(self) -> None:
        """A protocol that does not care what arrives is not told of the end."""
        self.transport.protocol = Protocol()
        self.transport.foreseeEnd()
        self.assertEqual(self.protocol.foreseen, 0)

    def test_owesNothing(self) -> None:
        """A client that sends no more, and is owed nothing, is done."""
        self.transport.readConnectionLost(DONE)
        self.assertIsInstance(self.protocol.lost, ConnectionDone)
        self.assertEqual(self.protocol.ended, [])

    def test_halfClosed(self) -> None:
        """A client that is owed something gets it, and is watched until its end."""
        self.protocol.owes = True
        self.client.shutdown(socket.SHUT_WR)
        self.transport.readConnectionLost(DONE)
        self.assertEqual((self.protocol.lost, self.protocol.ended), (None, ["read"]))
        self.assertEqual(self.reactor.ends, {self.transport: "end"})
        self.transport.write(b"paid")
        self.assertEqual(self.received(4), b"paid")
        self.transport.connectionLost(LOST)
        self.assertEqual(self.reactor.ends, {})

    def test_restHalfClosed(self) -> None:
        """So does one that was not sent all that it is owed."""
        self.transport.write(b"x" * MUCH)
        self.client.shutdown(socket.SHUT_WR)
        self.transport.readConnectionLost(DONE)
        self.assertIsNone(self.protocol.lost)

    def test_noHalves(self) -> None:
        """A protocol that knows no half-closed connections has lost it."""
        other = self.transport.protocol = Silent()
        self.transport.readConnectionLost(DONE)
        self.assertIsInstance(other.lost, ConnectionDone)

    def test_unacknowledged(self) -> None:
        """Bytes the other end's system cannot take have not arrived, then or ever."""
        self.transport.keepLittle()
        self.transport.write(b"x" * MUCH)
        before = self.transport.unacknowledged()
        self.assertGreater(before, MUCH // 2)
        self.client.recv(MUCH)
        self.transport.abortConnection()
        self.transport.write(b"dropped")
        after = self.transport.unacknowledged()
        self.assertLessEqual(after, before + len(b"dropped"))
        self.reactor.advance(0)
        self.assertLessEqual(self.transport.unacknowledged(), after)
        self.assertGreater(self.transport.unacknowledged(), MUCH // 2)
        self.transport.connectionLost(LOST)
        self.assertGreater(self.transport.unacknowledged(), MUCH // 2)

    def test_finishWriting(self) -> None:
        """The end comes behind all that was written, and is told when that arrived."""
        self.client.shutdown(socket.SHUT_WR)
        self.transport.write(b"bye")
        self.transport.finishWriting()
        self.finished()
        self.assertEqual(self.received(3), b"bye")
        self.assertEqual(self.client.recv(1), b"")
        self.assertEqual(self.transport.unacknowledged(), 0)
        self.assertFalse(self.transport.isArriving())

    def finished(self) -> None:
        """Check how a TCP connection is finished."""
        self.assertEqual(self.reactor.ends, {self.transport: "arrival"})
        self.assertEqual(self.protocol.ended, ["write"])

    def test_atOnce(self) -> None:
        """Bytes written are sent before write returns, and nothing is registered."""
        for data in (b"hello", b"world"):
            self.transport.write(data)
            self.assertEqual(self.received(5), data)
        self.transport.writeSequence([b"hello", b" ", b"world"])
        self.assertEqual(self.received(11), b"hello world")
        self.assertEqual((self.reactor.registrations, self.reactor.removals), (0, 0))

    def test_rest(self) -> None:
        """Bytes that the kernel does not take are sent when the reactor says so."""
        data = os.urandom(MUCH // 16) * 16
        self.transport.write(data)
        self.assertEqual(self.reactor.writers, {self.transport})
        self.assertEqual(self.drained(len(data)), data)
        self.transport.write(b"more")
        self.assertEqual(self.received(4), b"more")
        self.assertEqual(self.reactor.writers, set())
        self.assertEqual(self.reactor.removals, 1)

    def test_order(self) -> None:
        """Bytes written while something is left come behind it."""
        self.transport.write(b"a" * MUCH)
        self.transport.write(b"b")
        self.assertEqual(self.reactor.writers, {self.transport})
        self.assertTrue(self.drained(MUCH + 1).endswith(b"ab"))

    def test_producer(self) -> None:
        """A producer is paused when much is left, and goes on when nothing is."""
        gate: Any = Gate()
        directlyProvides(gate, IPushProducer)
        self.transport.registerProducer(gate, True)
        self.transport.write(b"x" * MUCH)
        self.assertEqual(gate.heard, ["pause"])
        self.drained(MUCH)
        self.assertEqual(gate.heard, ["pause", "resume"])

    def test_lose(self) -> None:
        """A connection is closed by the reactor, after everything is sent, and once."""
        self.transport.write(b"bye")
        for _ in range(2):
            self.transport.loseConnection()
        self.assertEqual(self.reactor.readers, set())
        self.assertEqual(self.reactor.writers, {self.transport})
        why = self.transport.doWrite()
        self.assertIsInstance(why, ConnectionDone)
        self.transport.connectionLost(Failure(why))
        self.assertEqual(self.received(3), b"bye")
        self.assertEqual(self.client.recv(1), b"")
        self.transport.loseConnection()
        self.assertEqual(self.reactor.writers, set())

    def test_loseWithRest(self) -> None:
        """So one of which something is left."""
        self.transport.write(b"x" * MUCH)
        self.transport.loseConnection()
        count = 0
        why = None
        while why is None:
            count += len(self.client.recv(1 << 20))
            why = self.transport.doWrite()
        self.assertIsInstance(why, ConnectionDone)
        self.received(MUCH - count)

    def test_gone(self) -> None:
        """A peer that is gone is found by the reactor, not in the middle of a write."""
        self.reset()
        self.transport.write(b"hello")
        self.assertIsNone(self.protocol.lost)
        self.assertEqual(self.reactor.writers, {self.transport})
        why = self.transport.doWrite()
        self.assertIsInstance(why, ConnectionLost)
        self.transport.connectionLost(Failure(why))
        self.assertEqual(self.reactor.writers, set())
        self.transport.write(b"nobody")
        self.transport.loseConnection()
        self.assertEqual(self.reactor.writers, set())

    def test_abortIdle(self) -> None:
        """So one of which nothing was left: what comes after is not sent."""
        self.transport.write(b"before")
        self.transport.abortConnection()
        self.transport.write(b"after")
        self.reactor.advance(0)
        self.assertEqual(self.received(6), b"before")
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(self.client.recv(100), b"")

    def test_abort(self) -> None:
        """A connection that is cut off sends nothing more, and says so."""
        gate: Any = Gate()
        directlyProvides(gate, IPushProducer)
        self.transport.registerProducer(gate, True)
        self.transport.write(b"x" * MUCH)
        self.transport.abortConnection()
        self.transport.write(b"more")
        self.reactor.advance(0)
        self.assertIsInstance(self.protocol.lost, ConnectionAborted)
        self.assertEqual(gate.heard[-1], "stop")
        self.assertEqual(self.reactor.writers, set())


class EagerUNIXTests(EagerTests):
    """The same over a UNIX socket."""

    def sockets(self) -> tuple[socket.socket, socket.socket]:
        """Return both ends of one."""
        return socket.socketpair()

    def connect(self, ours: socket.socket) -> Any:
        """Return the transport of one end."""
        server: Any = None
        return EagerUNIXServer(ours, self.protocol, "", server, 1, self.reactor)

    def reset(self) -> None:
        """Let the peer be gone."""
        self.client.close()

    def test_owner(self) -> None:
        """The process at the other end is known, and its user, until the end."""
        self.assertEqual(self.transport.owner(), (os.getpid(), os.geteuid()))
        self.transport.connectionLost(DONE)
        self.assertIsNone(self.transport.owner())

    def finished(self) -> None:
        """Check how a UNIX socket's connection is finished: what is written arrived."""
        self.assertEqual(self.reactor.ends, {})
        self.assertIsInstance(self.transport.doWrite(), ConnectionDone)
        self.transport.connectionLost(DONE)


class Described:
    """A socket of which the system says what a test says."""

    def __init__(self, info: bytes) -> None:
        self._info = info

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        """Return the beginning."""
        return self._info[:size]


class LastBytesTests(EagerTests):
    """The last bytes that are sent over TCP, arrived or lost."""

    def closed(self) -> None:
        """Let the client ask, and be closed with the question."""
        self.client.send(b"get q\r\n", socket.MSG_MORE)
        self.client.close()
        self.transport.doRead()

    def gone(self) -> None:
        """Wait for what the other end's system answers to what it was sent."""
        looking = select.poll()
        looking.register(self.transport.socket, 0)
        self.assertTrue(looking.poll(PATIENCE * 1000))

    def test_reset(self) -> None:
        """Bytes that meet a client that has closed have not arrived, to the byte."""
        self.closed()
        self.assertEqual(self.transport.unacknowledged(), 0)
        self.transport.write(b"x" * 1000)
        self.gone()
        self.assertEqual(self.transport.unacknowledged(), 1000)
        self.assertFalse(self.transport.isArriving())
        self.transport.finishWriting()
        self.assertEqual(self.reactor.writers, {self.transport})
        self.transport.connectionLost(LOST)
        self.assertEqual(self.transport.unacknowledged(), 1000)

    def test_unread(self) -> None:
        """Bytes that arrived count, though the client closes and has not read them."""
        self.client.shutdown(socket.SHUT_WR)
        self.transport.write(b"x" * 1000)
        self.received(1)
        self.client.close()
        self.gone()
        self.assertEqual(self.transport.unacknowledged(), 0)

    def test_arriving(self) -> None:
        """It is not over as long as the client has no room for what was written."""
        self.client.shutdown(socket.SHUT_WR)
        self.transport.write(b"x" * (1 << 20))
        self.transport.finishWriting()
        self.assertEqual(self.protocol.ended, ["write"])
        self.assertTrue(self.transport.isArriving())
        self.received(1 << 20)
        self.assertEqual(self.client.recv(1), b"")
        self.assertFalse(self.transport.isArriving())

    def test_traffic(self) -> None:
        """The kernel counts what came and what arrived."""
        self.assertEqual(self.transport.traffic(), (0, 0))
        self.transport.write(b"hello")
        self.received(5)
        # This says that it has arrived, too.
        self.client.sendall(b"hi")
        looking = select.poll()
        looking.register(self.transport.socket, select.POLLIN)
        self.assertTrue(looking.poll(PATIENCE * 1000))
        self.assertEqual(self.transport.traffic(), (2, 5))
        self.transport.connectionLost(LOST)
        self.assertEqual(self.transport.traffic(), (None, None))

    def test_machine(self) -> None:
        """The machine is asked as it is said; one that is there is not silent."""
        ours = self.transport.socket
        self.transport.askMachine(30, 10, 3)
        options = socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT
        asked = [ours.getsockopt(socket.IPPROTO_TCP, option) for option in options]
        self.assertEqual(asked, [30, 10, 3])
        self.transport.write(b"hello")
        self.received(5)
        self.assertIsNone(self.transport.silence())
        for asked in ([1, 0], [0, 1]):
            info = bytes([0, 0, *asked]) + bytes(48) + struct.pack("II", 5000, 4000)
            self.transport.socket = Described(info)
            self.assertEqual(self.transport.silence(), 4.0)
        self.transport.socket = ours
        self.transport.connectionLost(LOST)
        self.assertIsNone(self.transport.silence())


class Talker(Protocol):
    """Send a request, and gather all that is answered until the server closes."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._answer: list[bytes] = []
        self.answered: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        """Send it."""
        assert self.transport is not None
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        """Gather."""
        self._answer.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell all of it."""
        self.answered.callback(b"".join(self._answer))


class WholeTests(TestCase):
    """A whole conversation, through the real reactor."""

    timeout = 60

    def setUp(self) -> None:
        """Make a server whose store needs no threads."""
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.harness = Harness(clock=self.reactor)
        self.harness.broker.durable = False

    @inlineCallbacks
    def test_order(self) -> Generator[Deferred[Any], Any, None]:
        """Much is answered in order, over TCP and over a UNIX socket."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = os.path.join(directory.name, "socket")
        [tcp] = bindTCP("127.0.0.1", 0)
        bodies = [bytes([65 + number]) * (1 << 18) for number in range(26)]
        request = b"".join(b"set q 0 0 %d\r\n%b\r\n" % (1 << 18, b) for b in bodies)
        request += b"get" + b" q" * 26 + b"\r\nversion\r\nquit\r\n"
        blocks = [b"VALUE q 0 %d\r\n%b\r\n" % (1 << 18, body) for body in bodies]
        expected = b"STORED\r\n" * 26 + b"".join(blocks) + b"END\r\n" + VERSION
        for listener, client in (
            (tcp, f"tcp:127.0.0.1:{tcp.address[1]}"),
            (checkUNIX(path, 0o700), f"unix:{path}"),
        ):
            port = yield listener.listen(Poller(self.reactor), self.harness.factory)
            self.addCleanup(port.stopListening)
            talker = Talker(request)
            yield connectProtocol(clientFromString(self.reactor, client), talker)
            self.assertTrue((yield talker.answered) == expected)

    @inlineCallbacks
    def test_fewAtATime(self) -> Generator[Deferred[Any], Any, None]:
        """Those who wait to be taken are taken a few at a time, others between."""
        [listener] = bindTCP("127.0.0.1", 0)
        port: Any = yield listener.listen(Poller(self.reactor), self.harness.factory)
        self.addCleanup(port.stopListening)
        clients = [
            socket.create_connection(("127.0.0.1", port.getHost().port), PATIENCE)
            for _ in range(2 * ACCEPTS + 1)
        ]
        for taken in (ACCEPTS, 2 * ACCEPTS, 2 * ACCEPTS + 1):
            port.doRead()
            self.assertEqual(len(self.harness.factory.connections), taken)
        for client in clients:
            client.close()
        yield self.harness.factory.finish()
