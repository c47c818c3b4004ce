"""A port with TLS in memory, and the protocols above it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
)
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.logger import globalLogPublisher
from zope.interface import implementer

from memq.net.certificates import TLSSettings, load
from memq.net.encrypted import BATCH
from memq.net.tls import TLSFactory
from memq.test.support.certificates import files
from memq.test.support.stepped import SteppedReactor, SteppedTestCase
from memq.test.support.tlspeers import Pair

if TYPE_CHECKING:
    import ssl

    from twisted.python.failure import Failure


class Plain(Protocol):
    """Note what comes.

    :ivar ends: what ended, in order.
    """

    transport: Any

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.ends: list[str] = []

    def dataReceived(self, data: bytes) -> None:
        """Keep it."""
        self.received.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note it."""
        self.ends.append("lost")


@implementer(IHalfCloseableProtocol)
class Half(Plain):
    """Note the half-close, too, as memq's own connections do.

    :ivar owes: whether something is still to be said.
    """

    owes = False

    def foreseeEnd(self) -> None:
        """Note it."""
        self.ends.append("foreseen")

    def readConnectionLost(self) -> None:
        """Note it."""
        self.ends.append("read")

    def writeConnectionLost(self) -> None:
        """Note it."""
        self.ends.append("written")


class TLSTestCase(SteppedTestCase):
    """A port with TLS, above which is a protocol that notes what comes.

    :ivar lines: what was logged.
    """

    def setUp(self) -> None:
        """Make the factory."""
        self.clock = SteppedReactor()
        self.files = files()
        self.wrapped: Any = ServerFactory.forProtocol(Half)
        self.factory = self.serve(TLSSettings(*self.files.server))
        self.lines: list[str] = []

        def note(event: Any) -> None:
            self.lines.append(event["log_format"].format(**event))

        observer: Any = note
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def serve(self, settings: TLSSettings, *protocols: str) -> TLSFactory:
        """Return a factory with other settings."""
        self.context = load(settings, protocols).context
        return TLSFactory(self.wrapped, lambda: self.context, self.clock)

    def demand(self, word: str = "required") -> TLSFactory:
        """Return a factory that wants certificates of clients."""
        return self.serve(
            TLSSettings(*self.files.server, self.files.authority.path, word)
        )

    def join(self, context: ssl.SSLContext | None = None, size: int = BATCH) -> Pair:
        """Return a pair whose handshake is done."""
        pair = Pair(self.factory, context)
        pair.shake(size)
        assert pair.above is not None
        return pair

    def received(self, pair: Pair) -> bytes:
        """Return what the protocol above has got."""
        return b"".join(pair.above.received)
