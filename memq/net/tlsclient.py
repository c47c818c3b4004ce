"""TLS, as the one that connects: an endpoint over another endpoint.

The protocol above begins when the handshake is done and the server's certificate holds,
for the name that was connected to; else the attempt fails with the reason, and nothing
was sent.  Writes are as in :mod:`memq.net.encrypted`; :mod:`memq.net.tls` says why
Twisted's own TLS is not used.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from memq.errors import ConfigError
from memq.net.certificates import reason
from memq.net.encrypted import EncryptedTransport

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocolFactory


class TLSFailed(Exception):
    """A handshake that failed, or records that are none: why, in words."""


class TLSClient(EncryptedTransport, Protocol):
    """One connection.

    :ivar above: the protocol that speaks; None until the handshake is done.
    """

    transport: Any
    above: Any = None

    def __init__(self, endpoint: TLSEndpoint, wrapped: IProtocolFactory) -> None:
        """Begin nothing yet.

        :param wrapped: makes the protocol above.
        """
        super().__init__()
        self._endpoint, self._wrapped = endpoint, wrapped
        self._error: TLSFailed | None = None
        #: Fires with the protocol above, or with why there is none.
        self.opened: Deferred[Any] = Deferred(lambda _: self._cancel())

    def _cancel(self) -> None:
        self._isRead = True
        if self.transport is not None:
            self.transport.abortConnection()

    def connectionMade(self) -> None:
        """Shake hands."""
        self._tls = self._endpoint.context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=self._endpoint.host
        )
        self._shake(self._tls)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes of records; pass on what is in those that are whole."""
        if self._isRead:
            return
        assert self._tls is not None
        self._incoming.write(data)
        if self.above is None:
            self._shake(self._tls)
        else:
            self._pass(self._tls)

    def _shake(self, tls: ssl.SSLObject) -> None:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._break(error)
        else:
            self._flush()
            self.above = self._wrapped.buildProtocol(self.transport.getPeer())
            self.above.makeConnection(self)
            self.opened.callback(self.above)
            # What came with the end of the handshake.
            self._pass(tls)

    def _pass(self, tls: ssl.SSLObject) -> None:
        """Decrypt what has come, and pass it on in one piece."""
        pieces, error = self.decrypted(tls)
        self._flush()
        if pieces:
            self.above.dataReceived(b"".join(pieces))
        if isinstance(error, ssl.SSLZeroReturnError):
            self.loseConnection()
        elif error is not None:
            self._break(error)

    def _break(self, error: ssl.SSLError) -> None:
        """Tell the server what is wrong, where TLS has a word for it, and close."""
        self._flush()
        self._error = TLSFailed(f"TLS failed: {reason(error)}")
        self._isRead = self._isOver = True
        self.transport.loseConnection()

    def connectionLost(self, why: Failure = connectionDone) -> None:
        """Tell the protocol above, or who waits for one."""
        self._isRead = self._isOver = True
        failure = why if self._error is None else Failure(self._error)
        if self.above is not None:
            self.above.connectionLost(failure)
        elif not self.opened.called:
            if self._error is None:
                failure = Failure(ConnectionLost("during the TLS handshake"))
            self.opened.errback(failure)


@implementer(IStreamClientEndpoint)
class TLSEndpoint:
    """Connects over another endpoint.

    :ivar context: begins connections.
    :ivar host: the name, or address, that the certificate has to have.
    """

    def __init__(
        self, beneath: IStreamClientEndpoint, context: ssl.SSLContext, host: str
    ) -> None:
        """Take what connects."""
        self._beneath, self.context, self.host = beneath, context, host

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect, shake hands, and return the protocol above."""
        client = TLSClient(self, protocolFactory)
        factory = Factory.forProtocol(lambda: client)
        factory.noisy = False
        connecting = self._beneath.connect(factory)

        def failed(failure: Failure) -> None:
            if not client.opened.called:
                client.opened.errback(failure)

        def cancelled(failure: Failure) -> Failure:
            if failure.check(CancelledError):
                connecting.cancel()
            return failure

        connecting.addErrback(failed)
        return client.opened.addErrback(cancelled)


def clientContext(path: str | None) -> ssl.SSLContext:
    """Return a context that verifies servers.

    :param path: a PEM file with the authorities that are believed; None for those of
        the system.
    :raise memq.errors.ConfigError: if it cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as error:
        why = reason(error) if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(str(path), None, why or "cannot be read") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
