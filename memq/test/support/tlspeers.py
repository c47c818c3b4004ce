"""A TLS client in memory, joined to a server's protocol."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import directlyProvides, providedBy

from memq.test.support.certificates import files

if TYPE_CHECKING:
    from memq.net.tls import TLSFactory

#: Bytes that a transport reads at once.
READ = 64 * 1024
DONE = Failure(ConnectionDone())


class Beneath(StringTransport):
    """The transport beneath a server's protocol; what is written stays here.

    :ivar underWay: bytes that have not arrived.
    :ivar writes: how many there were.
    :ivar said: what else it was asked, in order.
    """

    def __init__(self) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", "192.0.2.1", 4321))
        directlyProvides(self, providedBy(self), ITCPTransport)
        self.underWay = 0
        self.writes = 0
        self.said: list[str] = []

    def write(self, data: bytes) -> None:
        """Count it."""
        self.writes += 1
        super().write(data)

    def unacknowledged(self) -> int:
        """Return what a test says."""
        return self.underWay

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Do nothing."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Do nothing."""

    def keepLittle(self) -> None:
        """Note it."""
        self.said.append("keepLittle")

    def finishWriting(self) -> None:
        """Note it."""
        self.said.append("finishWriting")


class Pair:
    """A client and a server, joined when told.

    :ivar beneath: the server's transport.
    :ivar server: its protocol.
    :ivar tls: the client's side.
    """

    def __init__(
        self,
        factory: TLSFactory,
        context: ssl.SSLContext | None = None,
        resumed: ssl.SSLSession | None = None,
    ) -> None:
        """Connect; the client says nothing yet.

        :param context: the client's; None for one without a certificate.
        :param resumed: the session that the client goes on with.
        """
        self.beneath = Beneath()
        self.server: Any = factory.buildProtocol(self.beneath.getPeer())
        self._incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (context or files().clientContext()).wrap_bio(
            self._incoming,
            self.outgoing,
            server_hostname="localhost",
            session=resumed,
        )
        self.server.makeConnection(self.beneath)

    @property
    def above(self) -> Any:
        """Return the protocol that is served, None before it is."""
        return self.server.above

    def hello(self) -> bytes:
        """Return what the client says first."""
        with suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.outgoing.read()

    def shake(self, size: int = READ) -> None:
        """Make the handshake as far as both go; the client's errors are raised.

        :param size: bytes that go at once.
        """
        for _ in range(4):
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.carry(size)
            except ssl.SSLError:
                self.carry(size)
                raise
        self.carry(size)

    def carry(self, size: int = READ) -> None:
        """Carry what both have said, first what the client did."""
        self.send(self.outgoing.read(), size)
        self.take()

    def send(self, data: bytes, size: int = READ) -> None:
        """Let the server receive bytes, some at a time."""
        for at in range(0, len(data), size):
            self.server.dataReceived(data[at : at + size])

    def take(self) -> None:
        """Let the client receive what the server has sent."""
        self._incoming.write(self.beneath.value())
        self.beneath.clear()

    def say(self, data: bytes, size: int = READ) -> None:
        """Send what the client says."""
        view = memoryview(data)
        at = 0
        while at < len(view):
            at += self.tls.write(view[at:])
        self.send(self.outgoing.read(), size)

    def hear(self) -> bytes:
        """Return what the client has read since; stops at a close_notify."""
        self.take()
        heard: list[bytes] = []
        while True:
            try:
                piece = self.tls.read(READ)
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                piece = b""
            if not piece:
                return b"".join(heard)
            heard.append(piece)

    def isTold(self) -> bool:
        """Return whether the server has said that it sends no more, or fail."""
        self.take()
        with suppress(ssl.SSLZeroReturnError):
            return not self.tls.read(1)
        return True

    def farewell(self) -> None:
        """Say that the client sends no more."""
        with suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.send(self.outgoing.read())

    def lose(self) -> None:
        """End the connection beneath."""
        self.server.connectionLost(DONE)
