"""Many connections watched as one, on real sockets."""

from __future__ import annotations

import socket
import struct
from select import epoll, poll
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.main import CONNECTION_LOST
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from memq.net.poller import Poller
from memq.test.net.test_transport import MUCH, PATIENCE, Descriptors
from memq.test.support.stepped import SteppedTestCase

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


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
        self.reactor: Any = self.makeReactor()
        self.poller = Poller(self.reactor)
        self.one, self.client = self.connect()
        self.other, self.otherClient = self.connect()
        self.poller.addReader(self.one)
        self.poller.addReader(self.other)

    def makeReactor(self) -> Any:
        """Return one without an epoll of its own."""
        return Descriptors()

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

    def assertRegistered(self, expected: bool) -> None:
        """Assert whether the reactor knows the poller."""
        self.assertEqual(self.reactor.readers, {self.poller} if expected else set())

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
        """A call that is asked for in a sweep is made once all were served.

        A call asked for then, or at any other time, comes in the next iteration.
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
        self.assertRegistered(True)
        self.poller.removeReader(self.one)
        self.poller.addWriter(self.other)
        self.poller.removeReader(self.other)
        self.assertRegistered(True)
        self.poller.removeWriter(self.other)
        self.assertRegistered(False)
        self.poller.removeWriter(self.other)
        self.poller.addWriter(self.one)
        self.assertRegistered(True)

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
        """A writer is told when it can write, and not before."""
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
        """Bytes that are there are read before more are written."""
        self.poller.addWriter(self.one)
        self.client.sendall(b"hello")
        self.poll()
        self.assertEqual(self.one.heard, [b"hello", "write"])

    def test_lostInRead(self) -> None:
        """A connection lost while it was read is not written to, and told once."""
        self.one.why = CONNECTION_LOST
        self.poller.addWriter(self.one)
        self.client.sendall(b"hello")
        self.poll()
        self.poll()
        self.assertEqual(self.one.heard, [b"hello", ConnectionLost])
        self.assertEqual(self.other.heard, [])

    def test_end(self) -> None:
        """Bytes sent before the end are read before the end is told."""
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
        """A connection that is lost with its end is not written to any more."""

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
        """A connection that is not read is told as well when it is gone."""
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
        """A connection that raises is logged and lost, and the others go on."""

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
        """A change that one connection makes to another in the same round counts."""
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
        self.assertRegistered(False)


class Looping(Descriptors):
    """A reactor with an epoll of its own, that iterates when a test says so.

    :ivar own: a socket of its own; whatever is sent to it is kept in ``heard``.
    :ivar delays: how long each of its own iterations was to wait.
    :ivar onShutdown: what is called when it ends.
    """

    def __init__(self) -> None:
        super().__init__()
        self._poller = epoll()
        self.own, self.sender = socket.socketpair()
        self._poller.register(self.own, 1)
        self.addReader = self._addReader
        self.removeReader = self._removeReader
        self.heard: list[bytes] = []
        self.delays: list[float | None] = []
        self.onShutdown: list[Callable[[], object]] = []

    def _addReader(self, reader: Any) -> None:
        self._poller.register(reader.fileno(), 1)
        self.readers.add(reader)

    def _removeReader(self, reader: Any) -> None:
        self._poller.unregister(reader.fileno())
        self.readers.remove(reader)

    def addSystemEventTrigger(
        self, phase: str, event: str, call: Callable[[], object]
    ) -> None:
        """Keep what is to be done when it ends."""
        assert (phase, event) == ("during", "shutdown")
        self.onShutdown.append(call)

    def doIteration(self, delay: float | None) -> None:
        """Serve what is ready."""
        self.delays.append(delay)
        for number, _ in self._poller.poll(delay):
            if number == self.own.fileno():
                self.heard.append(self.own.recv(100))
            for reader in [each for each in self.readers if each.fileno() == number]:
                reader.doRead()

    def close(self) -> None:
        """Free its descriptors."""
        self._poller.close()
        self.own.close()
        self.sender.close()


class AboveTests(PollerTests):
    """The same poller, where it stands in for the reactor's iteration."""

    def makeReactor(self) -> Looping:
        """Return one with an epoll of its own."""
        reactor = Looping()
        self.addCleanup(reactor.close)
        return reactor

    def poll(self) -> None:
        """Do what the reactor's loop does."""
        self.reactor.doIteration(0)

    def assertRegistered(self, expected: bool) -> None:
        """Assert whether the poller stands in; then it is not among the readers."""
        self.assertEqual("doIteration" in vars(self.reactor), expected)
        self.poll()
        self.assertEqual(self.reactor.readers, set())

    def test_notCalled(self) -> None:
        """It stays among the readers of a reactor that calls only its own iteration."""
        for _ in range(2):
            self.client.sendall(b"hello")
            Looping.doIteration(self.reactor, 0)
        self.assertEqual(self.one.heard, [b"hello", b"hello"])
        self.assertEqual(self.reactor.readers, {self.poller})
        self.poller.removeReader(self.one)
        self.poller.removeReader(self.other)
        self.assertEqual(self.reactor.readers, set())
        self.assertNotIn("doIteration", vars(self.reactor))

    def test_reactorServed(self) -> None:
        """The reactor serves its own descriptors when one of them has something."""
        self.client.sendall(b"hello")
        self.poll()
        self.assertEqual((self.one.heard, self.reactor.delays), ([b"hello"], []))
        self.client.sendall(b"again")
        self.reactor.sender.send(b"own")
        self.poll()
        self.assertEqual(self.one.heard, [b"hello", b"again"])
        self.assertEqual((self.reactor.heard, self.reactor.delays), ([b"own"], [0]))

    def test_delays(self) -> None:
        """It waits as long as the reactor would: without an end, or not at all."""
        self.reactor.doIteration(0.001)
        self.reactor.doIteration(False)
        self.client.sendall(b"hello")
        self.reactor.doIteration(None)
        self.assertEqual(self.one.heard, [b"hello"])

    def test_endsInIteration(self) -> None:
        """When its last connection ends it goes, and the reactor is served as well."""
        self.poller.removeReader(self.other)
        self.one.why = CONNECTION_LOST
        self.client.sendall(b"hello")
        self.reactor.sender.send(b"own")
        self.poll()
        self.assertEqual(self.one.heard, [b"hello", ConnectionLost])
        self.assertEqual(self.reactor.heard, [b"own"])
        self.assertNotIn("doIteration", vars(self.reactor))
        self.poller.addReader(self.other)
        self.otherClient.sendall(b"hello")
        self.poll()
        self.assertEqual(self.other.heard, [b"hello"])

    def test_second(self) -> None:
        """A second poller is below the first, whichever of them ends before."""
        second = Poller(self.reactor)
        another, client = self.connect()

        def assertServed(*connections: Connection) -> None:
            self.client.sendall(b"hello")
            client.sendall(b"hello")
            self.poll()
            for connection in connections:
                self.assertEqual(connection.heard, [b"hello"])
                connection.heard.clear()

        self.poll()
        second.addReader(another)
        assertServed(self.one, another)
        second.removeReader(another)
        assertServed(self.one)
        second.addReader(another)
        self.poller.removeReader(self.one)
        self.poller.removeReader(self.other)
        another.socket.recv(100)
        assertServed(another)
        self.assertEqual(self.reactor.readers, {second})
        second.removeReader(another)
        self.assertEqual(self.reactor.readers, set())

    def test_shutdown(self) -> None:
        """The reactor tells its connections of its end, though they are not its own."""
        self.poll()
        [call] = self.reactor.onShutdown
        call()
        self.assertEqual(self.one.heard, [ConnectionLost])
        self.assertEqual(self.other.heard, [ConnectionLost])
        self.assertNotIn("doIteration", vars(self.reactor))

    def test_otherReactor(self) -> None:
        """A reactor that has a poll, and no epoll, has the poller among its readers."""
        reactor: Any = Descriptors()
        reactor._poller = poll()
        poller = Poller(reactor)
        connection, client = self.connect()
        poller.addReader(connection)
        self.assertEqual(reactor.readers, {poller})
        client.sendall(b"hello")
        poller.doRead()
        self.assertEqual(connection.heard, [b"hello"])
        poller.removeReader(connection)
        self.assertEqual(reactor.readers, set())


class TwistedTests(TestCase):
    """The needs of a poller from Twisted's own reactor that no interface promises."""

    timeout = PATIENCE

    @inlineCallbacks
    def test_above(self) -> Generator[Deferred[Any], Any, None]:
        """Its loop calls what stands in for its iteration, and its own in turn.

        Where this fails with a new Twisted, a poller is among its readers as with any
        other reactor: slower, and as right.
        """
        from twisted.internet import reactor as found

        reactor: Any = found
        self.assertIsInstance(reactor, EPollReactor)
        self.assertNotIn("doIteration", vars(reactor))
        poller = Poller(reactor)
        ours, client = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(client.close)
        connection = Connection(ours, poller)
        read: list[Deferred[bytes]] = []
        self.patch(connection, "doRead", lambda: read.pop().callback(ours.recv(100)))
        for said in (b"first", b"second"):
            poller.addReader(connection)
            self.assertIn(poller, reactor.getReaders())
            for _ in range(2):
                read.append(Deferred())
                came = read[0]
                # From a thread: the reactor is woken by a descriptor of its own.
                reactor.callInThread(reactor.callFromThread, client.sendall, said)
                self.assertEqual((yield came), said)
            self.assertNotIn(poller, reactor.getReaders())
            self.assertIn("doIteration", vars(reactor))
            poller.removeReader(connection)
            self.assertNotIn("doIteration", vars(reactor))
