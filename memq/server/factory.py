"""The factory of connections: it counts, bounds and ends them."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.logger import Logger

from memq.access.admission import OPEN, AccessControl
from memq.access.rights import Rights
from memq.access.users import Users
from memq.commands.access.guarded import GuardedCommands
from memq.commands.protocol import Commands
from memq.config.file import Config
from memq.config.reload import PolicyReloader
from memq.connection.connection import Connection
from memq.connection.login import LoginConnection
from memq.errors import TooManyConnections
from memq.logs.audit import Audit
from memq.ratelimit import Rarely
from memq.server.clients import Arrival, kill
from memq.server.entrances import Entrance, Strangers
from memq.server.telling import TellClients
from memq.server.timeouts import Keepalive
from memq.wire.foreign import ADVICE
from memq.wire.forms import PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IAddress

    from memq.access.admission import Admission
    from memq.broker.interfaces import IEngine
    from memq.commands.host import MaintenanceActions
    from memq.server.stats import Statistics


_log = Logger()


class _Refusal(Protocol):
    def connectionMade(self) -> None:
        """Tell a client that there are too many, and close."""
        assert self.transport is not None
        self.transport.write(PLAIN.error(TooManyConnections()))
        self.transport.loseConnection()


class FactorySettings(NamedTuple):
    """Settings of all connections.

    :ivar maxBody: bytes of the largest body, up to 64 MiB.
    :ivar maxConnections: how many may be open at a time.
    :ivar keepalive: seconds that a client's machine may say nothing, 0 for as long as
        the system lets it.
    :ivar flushAllEnabled: whether clients may empty all queues.
    :ivar verbosity: 1 logs errors that are told to clients, 2 commands too.
    :ivar hasRoom: tells whether the process may have one more connection.
    :ivar audit: is told who did what; None for one that writes to the log only.
    :ivar rules: reads the rules again, and changes those of clients; None for nothing
        but rules in memory, which no thread has to write down.
    :ivar access: knows the users; None for a server without.
    """

    maxBody: int = 1024 * 1024
    maxConnections: int = 1024
    keepalive: int = 0
    flushAllEnabled: bool = False
    verbosity: int = 0
    hasRoom: Callable[[], bool] = lambda: True
    audit: Audit | None = None
    rules: PolicyReloader | None = None
    access: AccessControl | None = None


class QueueFactory(ServerFactory):
    """Make a Connection for each client.

    :ivar connections: the connections that are open, in the order in which they came.
    :ivar last: those of them that receive no more, the oldest first.
    :ivar strangers: those whose clients have still to say who they are.
    :ivar lingering: those that are gone, and whose commands are still under way.  They
        count as open, or many that come and go at once could pile up any number.
    """

    noisy = False

    def __init__(
        self,
        broker: IEngine,
        maintenance: MaintenanceActions,
        statistics: Statistics,
        settings: FactorySettings,
    ) -> None:
        self.broker = broker
        self.maintenance = maintenance
        self.statistics = statistics
        self.maxBody = settings.maxBody
        self.maxConnections = statistics.maxConnections = settings.maxConnections
        self.keepalive = Keepalive(settings.keepalive)
        self.flushAllEnabled = settings.flushAllEnabled
        self.verbose = settings.verbosity >= 1
        self.traces = settings.verbosity >= 2
        self.connections: dict[Connection, Arrival] = {}
        self._ids = count(1)
        self.last: dict[Connection, None] = {}
        self.lingering = 0
        self.strangers = Strangers(broker.clock)
        self._hasRoom = settings.hasRoom
        self.audit = settings.audit or Audit(statistics.seconds)
        self.rules = settings.rules or PolicyReloader(
            Config(), maybeDeferred, broker.policies.replace, isRead=False
        )
        self._rarely = Rarely(statistics.seconds)
        self._empty: Deferred[None] | None = None
        self.access = settings.access or AccessControl(
            Users(), broker.clock, maybeDeferred
        )
        self.access.changed.append(self._admitAgain)
        statistics.authentications = self.access.authenticator.counts

    def through(self, admission: Admission) -> Entrance:
        """Return the factory of one listener, whose connections count here.

        :param admission: what the listener asks of its clients.
        """
        return Entrance(self, admission)

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """Return the protocol of a connection that is open to everybody."""
        return self.admit(OPEN)

    def admit(self, admission: Admission) -> Protocol:
        """Return the protocol of a connection, or one that refuses it."""
        isFull = len(self.connections) + self.lingering >= self.maxConnections
        if isFull and not self._makeRoom():
            self._noteRefused("--max-connections are open")
            return _Refusal()
        if not self._hasRoom():
            self._noteRefused("this process may open no more files (ulimit -n)")
            return _Refusal()
        if self.access.isOpen(admission):
            connection = Connection(self, partial(Commands, host=self))
        else:
            # Until it is known who it is.
            guarded = partial(GuardedCommands, host=self, rights=Rights())
            connection = LoginConnection(self, guarded)
        connection.admission = admission
        return connection

    def _admitAgain(self) -> None:
        """Give clients the rights that they have by now, or cut them off."""
        for connection in list(self.connections):
            connection.admitAgain(self.access)

    def _makeRoom(self) -> bool:
        """End the wait of a client that sends no more, and so may be gone.

        If there is none, the one ends that has taken longest to say who it is.

        :return: whether there was one; its connection is about to end.
        """
        for connection in self.last:
            if connection.session.isWaiting:
                del self.last[connection]
                connection.finish()
                return True
        return self.strangers.endOldest()

    def _noteRefused(self, why: str) -> None:
        """Log that clients are refused: the first one, then a line a minute."""
        self.statistics.rejected += 1
        count = self._rarely.count(why)
        if count:
            _log.warn(
                "{count} clients more than allowed are told so and closed: {why}",
                count=count,
                why=why,
            )

    def noteForeign(self, name: str, peer: str) -> None:
        """Log that clients speak another protocol: the first one, then a line a minute.

        :param name: which one, a key of ADVICE.
        """
        count = self._rarely.count(name)
        if count:
            _log.warn(
                "{peer} is closed ({count} such): it speaks {name}, and memq speaks "
                "memcached's protocols; {advice}",
                peer=peer,
                count=count,
                name=name,
                advice=ADVICE[name],
            )

    def noteNotAllowed(self, connection: Connection) -> None:
        """Log that users may not do that: the first one, then a line a minute."""
        self.access.notAllowed += 1
        count = self._rarely.count("not allowed")
        if count:
            _log.warn(
                "Commands refused, for which a user has no right: {count}, the last "
                "one of {client}; -v tells of each",
                count=count,
                **connection.told,
            )

    def connected(self, connection: Connection) -> None:
        """Count a connection in."""
        arrival = Arrival(next(self._ids), self.statistics.timeOfDay())
        self.connections[connection] = arrival
        self.statistics.totalConnections += 1
        self.statistics.connections = len(self.connections)

    def receivesNoMore(self, connection: Connection) -> None:
        """Note that all was received that its client sends."""
        self.last[connection] = None

    def disconnected(self, connection: Connection) -> None:
        """Count it out."""
        self.connections.pop(connection, None)
        self.last.pop(connection, None)
        self.statistics.connections = len(self.connections)
        if self._empty is not None and not self.connections:
            empty, self._empty = self._empty, None
            empty.callback(None)

    def clients(self) -> TellClients:
        """Return what tells of each connection."""
        return TellClients(self.connections)

    def kill(self, number: int) -> str | None:
        """Cut off the connection of an id, soon: it may be the one that asks.

        :return: its peer; None if there is no such connection.
        """
        for connection, arrival in self.connections.items():
            if arrival.id == number:
                self.broker.clock.callLater(0, kill, self.connections, number)
                return connection.peer
        return None

    def holds(self, queue: bytes) -> bool:
        """Return whether a message that was taken from a queue may go back to it."""
        if self.lingering:
            return True
        return any(connection.replies.holds(queue) for connection in self.connections)

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
