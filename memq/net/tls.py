"""TLS: a protocol between a transport and another protocol, on the standard library.

To the transport beneath it is the protocol, to the protocol above it is the transport.
The one above begins when the handshake is done, and not before: a client that is not
through holds no more than this and its handshake, see :mod:`memq.net.handshakes`.

Each write leaves at once, by one call of the library for a small one and one of the
transport; nothing is kept here.  So the buffer that can fill up is that of the
transport beneath, and it tells the producer above, which is registered there.  The
transport beneath answers all else that a transport is asked.

The end of what comes is a close_notify, or the end of the stream without one, which
many clients leave out: both are a half-close, as over plain TCP.  A command whose end
did not come is not carried out, so nobody gains by cutting the stream short.  A
close_notify is sent before each end from here, and nobody waits for an answer to it.

Twisted's own TLS needs memory that is writable and executable (a callback of cffi's, as
Debian 12 has it), which the unit forbids; and from 23.10 on it keeps small writes for a
round of the reactor.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocolFactory,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from zope.interface import directlyProvides, implementer, providedBy

from memq.net.certificates import reason
from memq.net.encrypted import RECORD, EncryptedTransport
from memq.net.handshakes import Handshakes
from memq.ratelimit import Rarely

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IAddress, IReactorTime
    from twisted.python.failure import Failure

#: Bytes of the largest record, with what is before it.
_WHOLE = RECORD + 5
#: How the first record begins: a handshake, of any version.
HELLO = b"\x16\x03"

_log = Logger()


@implementer(IHalfCloseableProtocol)
class TLSConnection(EncryptedTransport, Protocol):
    """One connection.

    :ivar above: the protocol that is served; None until the handshake is done.
    """

    transport: Any
    above: Any = None

    def __init__(self, factory: TLSFactory, address: IAddress | None) -> None:
        """Begin nothing yet."""
        super().__init__()
        self._factory = factory
        self._address = address
        #: What came before the handshake could begin.
        self._first = bytearray()
        self._isWaiting = False

    # The protocol of the transport beneath.

    def connectionMade(self) -> None:
        """Wait for what the client sends first."""
        beneath = self.transport
        # A secure transport is TCP's, and can do all that TCP's can.
        secure = (ISSLTransport,) if ITCPTransport.providedBy(beneath) else ()
        directlyProvides(self, providedBy(beneath), *secure)
        self._factory.provided.add(providedBy(self))
        self._factory.handshakes.arrive(self)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes of records; pass on what is in those that are whole."""
        if self._isRead and self._isOver:
            return
        if self._tls is None:
            self._takeFirst(data)
            return
        self._incoming.write(data)
        if self.above is None:
            self._shake()
        else:
            self._pass(self._tls)

    def _takeFirst(self, data: bytes) -> None:
        """Keep the first record until it is whole, then ask for a handshake."""
        first = self._first
        first += data
        if first[:2] != HELLO[: len(first)]:
            self._fail("it does not speak TLS")
            return
        if len(first) < _WHOLE and len(first) < 5 + int.from_bytes(first[3:5], "big"):
            return
        # A client says nothing more before it is answered.
        if len(first) > 2 * _WHOLE:
            self._fail("it says too much before it is answered")
        elif not self._isWaiting:
            if self._factory.handshakes.ask(self):
                self.begin()
            else:
                self._isWaiting = True
                self.transport.pauseProducing()

    def begin(self) -> None:
        """Begin the handshake with what the client sent first."""
        if self._isWaiting:
            self._isWaiting = False
            self.transport.resumeProducing()
        self._tls = self._factory.context().wrap_bio(
            self._incoming, self._outgoing, server_side=True
        )
        self._incoming.write(self._first)
        self._first = bytearray()
        self._shake()

    def _shake(self) -> None:
        assert self._tls is not None
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._break(error)
        else:
            self._flush()
            self._open(self._tls)

    def _open(self, tls: ssl.SSLObject) -> None:
        """Let the protocol above begin."""
        self._factory.handshakes.over(self)
        self.peerNames = namesOf(tls.getpeercert())
        chosen = tls.selected_alpn_protocol()
        self.negotiatedProtocol = None if chosen is None else chosen.encode("ascii")
        above = self._factory.wrapped.buildProtocol(self._address)
        if above is None:
            self.loseConnection()
            return
        self.above = above
        above.makeConnection(self)
        # What came with the end of the handshake.
        self._pass(tls)

    def _pass(self, tls: ssl.SSLObject) -> None:
        """Decrypt what has come, and pass it on in one piece."""
        pieces, error = self.decrypted(tls)
        if self._outgoing.pending:
            self._flush()
        if pieces and not self._isRead:
            self.above.dataReceived(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if isinstance(error, ssl.SSLZeroReturnError):
            self.readConnectionLost()
        elif error is not None:
            self._break(error)

    def _break(self, error: ssl.SSLError) -> None:
        """Tell the client what is wrong, where TLS has a word for it, and close."""
        self._flush()
        self._fail(f"TLS failed: {reason(error)}")

    def _fail(self, why: str) -> None:
        self._factory.noteFailed(why, self.peer)
        self._isRead = self._isOver = True
        self._first = bytearray()
        self._factory.handshakes.done(self)
        self.transport.loseConnection()

    def giveUp(self) -> None:
        """Cut off a client whose handshake takes too long."""
        if not self._isOver:
            self._factory.noteFailed("its handshake takes too long", self.peer)
        self._isRead = self._isOver = True
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End."""
        self._isRead = self._isOver = True
        self._factory.handshakes.over(self)
        # The library's memory is tens of kilobytes, and nobody needs it any more.
        self._tls = None
        self._first = bytearray()
        # They know each other, and would wait for the garbage collector.
        above, self.above = self.above, None
        if above is not None:
            above.connectionLost(reason)

    # Half-close.

    @property
    def owes(self) -> bool:
        """Whether the protocol above has still something to say, or to hear of."""
        half = IHalfCloseableProtocol(self.above, None)
        return half is not None and bool(getattr(half, "owes", True))

    def foreseeEnd(self) -> None:
        """Tell the protocol above that the client sends no more than is to be read."""
        foresee = getattr(self.above, "foreseeEnd", None)
        if foresee is not None:
            foresee()

    def readConnectionLost(self) -> None:
        """Tell the protocol above, once, that the client sends no more."""
        if self._isRead:
            return
        self._isRead = True
        half = IHalfCloseableProtocol(self.above, None)
        if half is None:
            self.loseConnection()
        else:
            half.readConnectionLost()

    def writeConnectionLost(self) -> None:
        """Tell the protocol above that the writing side is shut."""
        half = IHalfCloseableProtocol(self.above, None)
        if half is not None:
            half.writeConnectionLost()


@implementer(IProtocolFactory)
class TLSFactory:
    """Make a TLSConnection for each client, above which is another factory's protocol.

    :ivar wrapped: the other factory.
    :ivar context: returns the context of the next connection.
    :ivar handshakes: those that are under way.
    :ivar failures: how many connections failed, by why; for figures.
    """

    noisy = False

    def __init__(
        self,
        wrapped: IProtocolFactory,
        context: Callable[[], ssl.SSLContext],
        clock: IReactorTime,
        handshakes: Handshakes | None = None,
    ) -> None:
        """Take what is served.

        :param handshakes: those of all listeners; None for those of this one alone.
        """
        self.wrapped: Any = wrapped
        self.context = context
        self.handshakes = handshakes or Handshakes(clock)
        self.failures: dict[str, int] = {}
        #: What connections provide; kept, for it takes a while to be found out anew.
        self.provided: set[Any] = set()
        self._rarely = Rarely(clock.seconds)

    def doStart(self) -> None:
        """Begin to listen."""
        self.wrapped.doStart()

    def doStop(self) -> None:
        """End."""
        self.wrapped.doStop()

    def buildProtocol(self, addr: IAddress | None) -> TLSConnection:
        """Return the protocol of a connection."""
        return TLSConnection(self, addr)

    def noteFailed(self, why: str, peer: str) -> None:
        """Count a connection that failed; log the first one, then a line a minute."""
        self.failures[why] = self.failures.get(why, 0) + 1
        count = self._rarely.count(why)
        if count:
            _log.warn(
                "{peer} is closed on a port with TLS ({count} such): {why}",
                peer=peer,
                count=count,
                why=why,
            )


def namesOf(certificate: Any) -> tuple[str, ...]:
    """Return the names of a certificate that was verified: common ones, then DNS.

    :param certificate: as ``getpeercert`` returns it; None, or empty, for none.
    """
    if not certificate:
        return ()
    return tuple(
        f"CN={value}"
        for group in certificate.get("subject", ())
        for key, value in group
        if key == "commonName"
    ) + tuple(
        f"DNS:{value.lower()}"
        for kind, value in certificate.get("subjectAltName", ())
        if kind == "DNS"
    )
