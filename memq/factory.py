"""QueueFactory: what the connections of a server share, and how many there may be."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.logger import Logger

from memq.errors import TooManyConnections
from memq.protocol import QueueProtocol
from memq.wire import formatError

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IAddress

    from memq.broker import Broker
    from memq.connection import Connection
    from memq.statistics import Statistics
    from memq.upkeep import Upkeep


#: Seconds between two lines of the log that say that clients are refused.
LOG_INTERVAL = 60.0

_log = Logger()


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
    :ivar lingering: those that are gone, and whose commands are still under way.  They
        count as open, or many that come and go at once could pile up any number.
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
        hasRoom: Callable[[], bool] = lambda: True,
        reload: Callable[[], None] = lambda: None,
    ) -> None:
        """Remember what the protocols need.

        :param maxBody: bytes of the largest body, up to 64 MiB.
        :param maxConnections: how many may be open at a time.
        :param flushAllEnabled: whether clients may empty all queues.
        :param verbosity: 1 logs errors that are told to clients, 2 commands too.
        :param hasRoom: tells whether the process may have one more connection.
        :param reload: reads the rules again; may raise memq.errors.ConfigError.
        """
        self.broker = broker
        self.upkeep = upkeep
        self.statistics = statistics
        self.maxBody = maxBody
        self.maxConnections = statistics.maxConnections = maxConnections
        self.flushAllEnabled = flushAllEnabled
        self.verbose = verbosity >= 1
        self.traces = verbosity >= 2
        self.connections: set[Connection] = set()
        self.lingering = 0
        self._hasRoom = hasRoom
        self.reload = reload
        #: The clients that were refused, and when that was last logged.
        self._refused = 0
        self._loggedAt = -inf
        self._empty: Deferred[None] | None = None

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """Return the protocol of a connection, or one that refuses it."""
        if len(self.connections) + self.lingering >= self.maxConnections:
            self._noteRefused("--max-connections are open")
            return _Refusal()
        if not self._hasRoom():
            self._noteRefused("this process may open no more files (ulimit -n)")
            return _Refusal()
        return QueueProtocol(self)

    def _noteRefused(self, why: str) -> None:
        """Log that clients are refused: the first one, then a line a minute."""
        self._refused += 1
        self.statistics.rejected += 1
        now = self.statistics.seconds()
        if now - self._loggedAt >= LOG_INTERVAL:
            _log.warn(
                "{count} clients more than allowed are told so and closed: {why}",
                count=self._refused,
                why=why,
            )
            self._loggedAt = now
            self._refused = 0

    def connected(self, connection: Connection) -> None:
        """Count a connection in."""
        self.connections.add(connection)
        self.statistics.totalConnections += 1
        self.statistics.connections = len(self.connections)

    def disconnected(self, connection: Connection) -> None:
        """Count it out."""
        self.connections.discard(connection)
        self.statistics.connections = len(self.connections)
        if self._empty is not None and not self.connections:
            empty, self._empty = self._empty, None
            empty.callback(None)

    def holds(self, queue: bytes) -> bool:
        """Return whether a message that was taken from a queue may go back to it."""
        if self.lingering:
            return True
        return any(connection.holds(queue) for connection in self.connections)

    def finish(self) -> Deferred[None]:
        """End every connection once its commands are answered; fires after the last.

        Nothing is waited for any more, and what they have open is forgotten.
        """
        self.broker.stop()
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
