"""Tests for memq.net.tlsclient, beside a server in memory."""

from __future__ import annotations

import contextlib
import os
import ssl
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from memq.errors import ConfigError
from memq.net.tlsclient import TLSEndpoint, TLSFailed, clientContext
from memq.test.support.certificates import files

DONE = Failure(ConnectionDone())


class Transport(StringTransport):
    """What is beneath; it can be cut off."""

    def abortConnection(self) -> None:
        """Note it."""
        self.aborting = True


class Above(Protocol):
    """The protocol above.

    :ivar heard: what came, and how it ended.
    """

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def dataReceived(self, data: bytes) -> None:
        """Keep it."""
        self.heard.append(data)

    def connectionLost(self, reason: Failure = DONE) -> None:
        """Keep it."""
        self.heard.append(reason.value)


@implementer(IStreamClientEndpoint)
class Server:
    """A server, and the endpoint that connects to it.

    :ivar transport: the client's.
    :ivar connecting: what ``connect`` returns, None for a connection.
    """

    def __init__(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files().server)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.transport = Transport(peerAddress=IPv4Address("TCP", "127.0.0.1", 1))
        self.connecting: Deferred[Any] | None = None
        self.client: Any = None

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect."""
        if self.connecting is not None:
            return self.connecting
        self.client = protocolFactory.buildProtocol(self.transport.getPeer())
        self.client.makeConnection(self.transport)
        return succeed(self.client)

    def shake(self) -> None:
        """Make the handshake, as far as it goes."""
        for _ in range(3):
            self.take()
            with contextlib.suppress(ssl.SSLError):
                self.tls.do_handshake()
            self.give()

    def take(self) -> None:
        """Receive what the client has sent."""
        self._incoming.write(self.transport.value())
        self.transport.clear()

    def give(self, size: int = 1 << 20) -> None:
        """Let the client receive what was said, some bytes at a time."""
        data = self._outgoing.read()
        for at in range(0, len(data), size):
            self.client.dataReceived(data[at : at + size])


class TLSClientTests(SynchronousTestCase):
    """One connection."""

    def setUp(self) -> None:
        """Begin with a server that the client believes."""
        self.server = Server()

    def connect(
        self, host: str = "localhost", authority: str | None = None
    ) -> Deferred[Any]:
        """Connect, without a handshake."""
        context = clientContext(authority or files().authority.path)
        endpoint = TLSEndpoint(self.server, context, host)
        return endpoint.connect(Factory.forProtocol(Above))

    def open(self) -> Any:
        """Return the protocol above, after the handshake."""
        opened = self.connect()
        self.assertNoResult(opened)
        self.server.shake()
        return self.successResultOf(opened)

    def test_data(self) -> None:
        """What both say comes to the other one, in whatever pieces."""
        above = self.open()
        above.transport.write(b"hello")
        self.server.take()
        self.assertEqual(b"hello", self.server.tls.read())
        self.server.tls.write(b"welcome")
        self.server.give(1)
        self.assertEqual(b"welcome", b"".join(above.heard))

    def test_early(self) -> None:
        """What the server says with the end of the handshake is not lost."""
        opened = self.connect()
        self.server.take()
        with contextlib.suppress(ssl.SSLWantReadError):
            self.server.tls.do_handshake()
        self.server.give()
        self.server.take()
        self.server.tls.do_handshake()
        self.server.tls.write(b"first")
        self.server.give()
        self.assertEqual([b"first"], self.successResultOf(opened).heard)

    def test_name(self) -> None:
        """A certificate of another name is refused, and nothing is sent."""
        opened = self.connect("example.org")
        self.server.shake()
        self.assertTrue(self.server.transport.disconnecting)
        self.server.client.connectionLost(DONE)
        failure = self.failureResultOf(opened, TLSFailed)
        self.assertIn("hostname mismatch", failure.getErrorMessage())

    def test_authority(self) -> None:
        """So is one of an authority that is not believed."""
        opened = self.connect(authority=files().client[0])
        self.server.shake()
        self.server.client.connectionLost(DONE)
        failure = self.failureResultOf(opened, TLSFailed)
        self.assertIn("TLS failed: ", failure.getErrorMessage())

    def test_lost(self) -> None:
        """A connection that is lost in the handshake is a failure."""
        opened = self.connect()
        self.server.client.connectionLost(DONE)
        failure = self.failureResultOf(opened)
        self.assertIn("during the TLS handshake", failure.getErrorMessage())

    def test_refused(self) -> None:
        """A connection that is refused is one, too."""
        self.server.connecting = fail(ConnectionRefusedError())
        self.failureResultOf(self.connect(), ConnectionRefusedError)

    def test_cancel(self) -> None:
        """An attempt is cancelled before it is connected."""
        cancelled: list[Any] = []
        self.server.connecting = Deferred(cancelled.append)
        opened = self.connect()
        opened.cancel()
        self.assertEqual([self.server.connecting], cancelled)
        self.failureResultOf(opened)

    def test_cancelHandshake(self) -> None:
        """An attempt is cancelled in its handshake: the connection is cut off."""
        opened = self.connect()
        opened.cancel()
        self.assertTrue(self.server.transport.aborting)
        self.failureResultOf(opened)
        self.server.shake()
        self.server.client.connectionLost(DONE)

    def test_closed(self) -> None:
        """A server that says good-bye is answered; the protocol above hears the end."""
        above = self.open()
        with contextlib.suppress(ssl.SSLWantReadError):
            self.server.tls.unwrap()
        self.server.give()
        self.assertTrue(self.server.transport.disconnecting)
        self.server.client.connectionLost(DONE)
        self.assertEqual([DONE.value], above.heard)

    def test_rubbish(self) -> None:
        """What is no record ends the connection, with the reason."""
        above = self.open()
        self.server.client.dataReceived(b"GET / HTTP/1.0\r\n\r\n")
        self.assertTrue(self.server.transport.disconnecting)
        self.server.client.connectionLost(DONE)
        [error] = above.heard
        self.assertIsInstance(error, TLSFailed)


class ContextTests(SynchronousTestCase):
    """Which servers are believed."""

    def test_system(self) -> None:
        """Without a file it is those that the system believes; names are checked."""
        context = clientContext(None)
        self.assertTrue(context.check_hostname)
        self.assertEqual(ssl.TLSVersion.TLSv1_2, context.minimum_version)

    def test_missing(self) -> None:
        """A file that is not there is named."""
        error = self.assertRaises(ConfigError, clientContext, "/none/ca.pem")
        self.assertEqual("/none/ca.pem: No such file or directory", str(error))

    def test_rubbish(self) -> None:
        """So is one that has no certificate."""
        path = os.path.abspath(self.mktemp())
        with open(path, "w", encoding="ascii") as file:
            file.write("nothing")
        error = self.assertRaises(ConfigError, clientContext, path)
        self.assertIn(f"{path}: no certificate", str(error))
