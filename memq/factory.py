"""QueueFactory: what the connections of a server share, and how many there may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Protocol, ServerFactory

from memq.errors import TooManyConnections
from memq.protocol import QueueProtocol
from memq.wire import formatError

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress

    from memq.broker import Broker
    from memq.statistics import Statistics
    from memq.upkeep import Upkeep


class _Refusal(Protocol):
    """Tell a client that there are too many, and close."""

    def connectionMade(self) -> None:
        """Say so."""
        assert self.transport is not None
        self.transport.write(formatError(TooManyConnections()))
        self.transport.loseConnection()


class QueueFactory(ServerFactory):
    """Make a QueueProtocol for each connection.

    :ivar connections: the connections that are open.
    """

    noisy = False

    def __init__(
        self,
        broker: Broker,
        upkeep: Upkeep,
        statistics: Statistics,
        *,
        maxBody: int = 1024 * 1024,
        maxConnections: int = 1024,
        flushAllEnabled: bool = False,
        verbosity: int = 0,
    ) -> None:
        """Remember what the protocols need.

        :param maxBody: bytes of the largest body, up to 64 MiB.
        :param maxConnections: how many may be open at a time.
        :param flushAllEnabled: whether clients may empty all queues.
        :param verbosity: 1 logs errors that are told to clients, 2 commands too.
        """
        self.broker = broker
        self.upkeep = upkeep
        self.statistics = statistics
        self.maxBody = maxBody
        self.maxConnections = maxConnections
        self.flushAllEnabled = flushAllEnabled
        self.verbose = verbosity >= 1
        self.traces = verbosity >= 2
        self.connections: set[QueueProtocol] = set()
        self._empty: Deferred[None] | None = None

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """Return the protocol of a connection, or one that refuses it."""
        if len(self.connections) >= self.maxConnections:
            return _Refusal()
        return QueueProtocol(self)

    def connected(self, protocol: QueueProtocol) -> None:
        """Count a connection in."""
        self.connections.add(protocol)
        self.statistics.totalConnections += 1
        self.statistics.connections = len(self.connections)

    def disconnected(self, protocol: QueueProtocol) -> None:
        """Count it out."""
        self.connections.discard(protocol)
        self.statistics.connections = len(self.connections)
        if self._empty is not None and not self.connections:
            empty, self._empty = self._empty, None
            empty.callback(None)

    def finish(self) -> Deferred[None]:
        """End every connection once its commands are answered; fires after the last."""
        for connection in list(self.connections):
            connection.finish()
        if not self.connections:
            return succeed(None)
        self._empty = Deferred()
        return self._empty

    def abort(self) -> None:
        """Cut off the connections that are left."""
        for connection in list(self.connections):
            connection.transport.abortConnection()
