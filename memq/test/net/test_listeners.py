"""Listeners, on real sockets: what they let in, and what is refused."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from memq.errors import OptionError
from memq.net.listeners import (
    Listener,
    TCPListener,
    bindTCP,
    checkUNIX,
    parseEndpoint,
)
from memq.net.poller import Poller
from memq.net.transport import sendAtOnce

if TYPE_CHECKING:
    from collections.abc import Generator

    from twisted.internet.interfaces import IListeningPort


class Greeter(Protocol):
    """Say of what kind the connection is, and close it."""

    def connectionMade(self) -> None:
        """Say it."""
        assert self.transport is not None
        self.transport.write(type(self.transport).__name__.encode("ascii"))
        self.transport.loseConnection()


class Collector(Protocol):
    """Gather what a server says until it closes."""

    def __init__(self) -> None:
        self.data = b""
        self.closed: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        """Gather."""
        self.data += data

    def connectionLost(self, reason: Any = None) -> None:
        """Tell."""
        self.closed.callback(self.data)


class ListenTestCase(TestCase):
    """Real sockets, on ports that the system chooses."""

    timeout = 20

    def setUp(self) -> None:
        """Find the reactor."""
        from twisted.internet import reactor

        self.reactor: Any = reactor

    @inlineCallbacks
    def opened(
        self, listener: Listener
    ) -> Generator[Deferred[Any], Any, IListeningPort]:
        """Return the port of a listener, closed when the test is over."""
        self.addCleanup(listener.close)
        port: IListeningPort = yield listener.listen(
            Poller(self.reactor), Factory.forProtocol(Greeter)
        )
        self.addCleanup(port.stopListening)
        return port

    @inlineCallbacks
    def kindAt(self, client: str) -> Generator[Deferred[Any], Any, bytes]:
        """Return the kind of connection that a client's endpoint gets."""
        endpoint = clientFromString(self.reactor, client)
        collector = yield endpoint.connect(Factory.forProtocol(Collector))
        kind: bytes = yield collector.closed
        return kind


#: The refusal of a port that somebody else has.
IN_USE = "in use by another program on 127.0.0.1; stop that, or give another port"


class TCPTests(ListenTestCase):
    """A TCP port."""

    @inlineCallbacks
    def test_listens(self) -> Generator[Deferred[Any], Any, None]:
        """Clients get in, by IPv4 and IPv6, to connections that send at once.

        :: is every address, of IPv4 too.
        """
        for host, client in (
            ("127.0.0.1", "127.0.0.1"),
            ("::1", r"\:\:1"),
            ("::", "127.0.0.1"),
        ):
            [listener] = bindTCP(host, 0)
            port = yield self.opened(listener)
            kind = yield self.kindAt(f"tcp:{client}:{port.getHost().port}")
            self.assertEqual(kind, b"EagerServer")

    @inlineCallbacks
    def test_notYet(self) -> Generator[Deferred[Any], Any, None]:
        """A port that is bound and does not listen yet refuses clients."""
        [listener] = bindTCP("127.0.0.1", 0)
        self.addCleanup(listener.close)
        connecting = self.kindAt(f"tcp:127.0.0.1:{listener.address[1]}")
        yield self.assertFailure(connecting, ConnectionRefusedError)

    @inlineCallbacks
    def test_bothBound(self) -> Generator[Deferred[Any], Any, None]:
        """If two bound it before either listened, the second is told so then."""
        [first] = bindTCP("127.0.0.1", 0)
        [second] = bindTCP(*first.address)
        yield self.opened(first)
        error = yield self.assertFailure(self.opened(second), OptionError)
        self.assertEqual(str(error), f"--port {first.address[1]}: {IN_USE}")


class BindTests(SynchronousTestCase):
    """A mistake in an address is said before anything starts."""

    def test_refused(self) -> None:
        """It is named, with the option: in use, of another machine, or no name."""
        long = "a" * 64 + ".example"
        with socket.create_server(("127.0.0.1", 0)) as other:
            number = other.getsockname()[1]
            for host, port, why in (
                ("127.0.0.1", number, f"--port {number}: {IN_USE}"),
                ("192.0.2.1", 0, "--listen 192.0.2.1: must be an address of this"),
                ("no.invalid", 0, "--listen no.invalid: no such address: "),
                (long, 0, f"--listen {long}: no such address: not a name"),
            ):
                error = self.assertRaises(OptionError, bindTCP, host, port)
                self.assertTrue(str(error).startswith(why), error)

    def test_forbidden(self) -> None:
        """A port that needs more rights is named, with what the system says."""

        def bind(bound: socket.socket, address: Any) -> None:
            raise PermissionError(13, "Permission denied")

        self.patch(socket.socket, "bind", bind)
        error = self.assertRaises(OptionError, bindTCP, "127.0.0.1", 80)
        self.assertEqual(
            str(error), "--port 80: cannot listen on 127.0.0.1: Permission denied"
        )

    def named(self, *addresses: str) -> list[TCPListener]:
        """Bind a name that has some addresses."""
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))
            for address in addresses
        ]
        self.patch(socket, "getaddrinfo", lambda *a, **k: found)
        return bindTCP("some.name", 0)

    def test_name(self) -> None:
        """A name stands for each of its addresses."""
        bound = self.named("127.0.0.1", "127.0.0.2")
        for listener in bound:
            listener.close()
        hosts = [listener.address[0] for listener in bound]
        self.assertEqual(hosts, ["127.0.0.1", "127.0.0.2"])

    def test_allOrNone(self) -> None:
        """When one of them cannot be had, none is kept."""
        made: list[socket.socket] = []
        make = socket.socket

        def keep(*arguments: Any) -> socket.socket:
            made.append(make(*arguments))
            return made[-1]

        self.patch(socket, "socket", keep)
        self.assertRaises(OptionError, self.named, "127.0.0.1", "192.0.2.1")
        self.assertEqual([each.fileno() for each in made], [-1, -1])


class UNIXTests(ListenTestCase):
    """A UNIX socket."""

    def setUp(self) -> None:
        """Choose a path that is short enough for a socket."""
        ListenTestCase.setUp(self)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, "socket")

    def refused(self) -> str:
        """Return why the path cannot be had."""
        error = str(self.assertRaises(OptionError, checkUNIX, self.path, 0o700))
        return error.removeprefix(f"--socket {self.path}: ")

    @inlineCallbacks
    def test_listens(self) -> Generator[Deferred[Any], Any, None]:
        """Clients with the right permissions get in, and are answered at once.

        When the server stops, the socket is gone.
        """
        port = yield self.opened(checkUNIX(self.path, 0o640))
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o640)
        kind = yield self.kindAt(f"unix:{self.path}")
        self.assertEqual(kind, b"EagerUNIXServer")
        yield maybeDeferred(port.stopListening)
        self.assertFalse(os.path.exists(self.path))

    @inlineCallbacks
    def test_relative(self) -> Generator[Deferred[Any], Any, None]:
        """A relative path does not change with the working directory."""
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(os.path.dirname(self.path))
        listener = checkUNIX("socket", 0o700)
        os.chdir("/")
        yield self.opened(listener)
        kind = yield self.kindAt(f"unix:{self.path}")
        self.assertEqual(kind, b"EagerUNIXServer")

    def test_stale(self) -> None:
        """A socket that a dead server left goes; until it listens, nothing is there."""
        for isStale in (False, True):
            if isStale:
                with socket.socket(socket.AF_UNIX) as dead:
                    dead.bind(self.path)
            checkUNIX(self.path, 0o700)
            self.assertFalse(os.path.exists(self.path))

    def test_inUse(self) -> None:
        """A socket that somebody serves is not."""
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(self.path)
            other.listen()
            self.assertEqual(self.refused(), "cannot listen: in use by another server")
        self.assertTrue(os.path.exists(self.path))

    def test_notASocket(self) -> None:
        """Any other file is left alone."""
        with open(self.path, "w"):
            pass
        self.assertEqual(self.refused(), "cannot listen: it exists and is not a socket")

    def test_noPath(self) -> None:
        """A directory that is not there is not made; a path may be too long."""
        for more, why in (
            ("/none/socket", "No such file or directory"),
            ("x" * 200, "AF_UNIX path too long"),
        ):
            self.path += more
            self.assertEqual(self.refused(), f"cannot listen: {why}")

    @inlineCallbacks
    def test_goneMeanwhile(self) -> Generator[Deferred[Any], Any, None]:
        """A failure after the check is told with the option."""
        listener = checkUNIX(self.path, 0o700)
        os.mkdir(self.path)
        error = yield self.assertFailure(self.opened(listener), OptionError)
        self.assertTrue(
            str(error).startswith(f"--socket {self.path}: cannot listen: "), error
        )


class EndpointTests(ListenTestCase):
    """One of Twisted's endpoints."""

    @inlineCallbacks
    def test_listens(self) -> Generator[Deferred[Any], Any, None]:
        """Clients get in; plain sockets send at once."""
        port = yield self.opened(
            parseEndpoint(self.reactor, "tcp:0:interface=127.0.0.1")
        )
        kind = yield self.kindAt(f"tcp:127.0.0.1:{port.getHost().port}")
        self.assertEqual(kind, b"EagerServer")

    def test_wrong(self) -> None:
        """A string that is none is shown, with what is wrong in it."""
        for description in ("bogus:1", "tcp:x", "tcp", "", "ssl:44:privateKey=/none"):
            error = self.assertRaises(
                OptionError, parseEndpoint, MemoryReactor(), description
            )
            start = f"--endpoint {description}: must be a Twisted server endpoint "
            self.assertTrue(str(error).startswith(start + "string ("), error)

    @inlineCallbacks
    def test_inUse(self) -> Generator[Deferred[Any], Any, None]:
        """An endpoint that cannot be had is told with the option."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            description = f"tcp:{other.getsockname()[1]}:interface=127.0.0.1"
            listener = parseEndpoint(self.reactor, description)
            error = yield self.assertFailure(self.opened(listener), OptionError)
        self.assertTrue(
            str(error).startswith(f"--endpoint {description}: cannot listen: "), error
        )


class SendAtOnceTests(SynchronousTestCase):
    """Which ports make connections that send at once."""

    def test_others(self) -> None:
        """A port that is no plain socket's stays as it is."""
        port: Any = object()
        poller: Any = None
        self.assertIs(sendAtOnce(port, poller), port)
