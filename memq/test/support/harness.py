"""A server without sockets, threads and time: all of it moves when told.

Everything is the real thing but the reactor and the pools, which are stepped,
the store, which is in memory and can be made to fail, and the transports.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from memq.access.admission import OPEN, AccessControl
from memq.access.users import Users
from memq.broker.broker import Broker
from memq.broker.diskspace import LOOKS
from memq.broker.sweeper import PolicySweeper
from memq.commands.access.guarded import GuardedCommands
from memq.commands.protocol import Commands
from memq.connection.connection import Connection
from memq.connection.receiver import CommandReceiver
from memq.daemon.maintenance import Maintenance, MaintenanceSettings
from memq.policy.effective import Policies
from memq.server.factory import FactorySettings, QueueFactory
from memq.server.slow import SlowCommands
from memq.server.stats import Statistics
from memq.server.timeouts import ConnectionTimeouts
from memq.test.support.fakes import FakeStore
from memq.test.support.stepped import SteppedPool, SteppedReactor

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred

    from memq.access.admission import Admission
    from memq.access.rights import Rights
    from memq.broker.memorybudget import Budget
    from memq.errors import StoreFailed
    from memq.policy.rules import Rules


class Transport(StringTransport):
    """A transport that takes nothing more once it is closed."""

    def write(self, data: bytes) -> None:
        """Take a reply."""
        assert not self.disconnecting, f"{data!r} comes after the end"
        super().write(data)


class QuickTransport(Transport):
    """A transport whose buffer is full at each write, and sent by the end of it."""

    def write(self, data: bytes) -> None:
        """Take a reply; say from within that there is room again."""
        super().write(data)
        producer: Any = self.producer
        producer.pauseProducing()
        producer.resumeProducing()


class Harness:
    """The parts of a server, put together as they are in a process.

    :ivar persist: flushes the store in a step of a pool, or does what a test says.
    :ivar onFailure: notes in ``failures`` that the store has failed for good, or so.
    :ivar timeOfDay: what a clock on the wall would say, in seconds since 1970.
    """

    def __init__(
        self,
        settings: MaintenanceSettings | None = None,
        receiver: type[CommandReceiver] = CommandReceiver,
        budget: Budget | None = None,
        timeouts: dict[str, float] | None = None,
        store: Any = None,
        rules: Rules | None = None,
        clock: Any = None,
        slow: float = 0.0,
        **options: Any,
    ) -> None:
        """Put them together.

        :param receiver: makes commands of what comes in.
        :param budget: how much all connections may hold; None for the usual one.
        :param timeouts: what Watch takes.
        :param store: what to keep the queues in instead of a FakeStore, open.
        :param rules: those that queues have; None for none.
        :param clock: calls the broker's turns; None for the stepped reactor.
        :param slow: seconds from which on a command is slow; 0 for none.
        :param options: what FactorySettings has.
        """
        self.reactor = SteppedReactor()
        self.timeOfDay = 0.0
        self.store: FakeStore = FakeStore() if store is None else store
        journal: list[str] = getattr(self.store, "journal", [])
        self.policies = Policies(self.store, rules, lambda: self.timeOfDay)
        self.failures: list[StoreFailed] = []
        self.onFailure: Callable[[StoreFailed], object] = self.failures.append
        self.persist: Callable[[], Deferred[None] | None] = self._flush
        self.broker = Broker(
            self.store,
            clock or self.reactor,
            budget,
            self.policies,
            persist=lambda: self.persist(),
            onFailure=lambda error: self.onFailure(error),
        )
        self.flushPool = SteppedPool("flushPool", journal.append)
        self.workPool = SteppedPool("workPool", journal.append)
        self.rulePool = SteppedPool("rulePool", journal.append)
        self.accessPool = SteppedPool("accessPool", journal.append)
        self.statistics = Statistics(
            self.reactor, self.broker, [("port", "22201")], lambda: self.timeOfDay
        )
        self.maintenance = Maintenance(
            self.reactor,
            self.store,
            self.broker,
            self.statistics,
            partial(deferToThreadPool, self.reactor, self.workPool),
            settings or MaintenanceSettings(),
        )
        self.access = AccessControl(
            Users(),
            self.reactor,
            partial(deferToThreadPool, self.reactor, self.workPool),
        )
        options.setdefault("access", self.access)
        self.factory = QueueFactory(
            self.broker,
            self.maintenance,
            self.statistics,
            FactorySettings(**options),
        )
        self.watch = ConnectionTimeouts(
            self.reactor,
            self.factory.connections,
            self.broker.budget,
            self.factory.keepalive,
            **(timeouts or {}),
        )
        self.sweeper = PolicySweeper(
            self.broker.session,
            self.broker.clock.callLater,
            self.broker.isHeld,
            self.factory.holds,
        )
        self.slow = SlowCommands(
            self.reactor, self.broker, self.factory.connections, slow
        )
        self._receiver = receiver
        self.clients: list[Client] = []

    def _flush(self) -> Deferred[None]:
        return deferToThreadPool(self.reactor, self.flushPool, self.store.flush)

    def fillDisk(self) -> None:
        """Let the disk be full."""
        self.broker.room.exhausted()

    def makeRoom(self) -> None:
        """Let the disk have room again."""
        for _ in range(LOOKS):
            self.broker.room.looked(None)

    def connect(
        self,
        transport: Any = None,
        admission: Admission = OPEN,
        rights: Rights | None = None,
    ) -> Client:
        """Return a new connection, by a listener that asks something or nothing.

        :param rights: those of its user; None without one.
        """
        protocol = self.factory.through(admission).buildProtocol(None)
        if rights is not None:
            guarded = partial(GuardedCommands, host=self.factory, rights=rights)
            protocol = Connection(self.factory, guarded, self._receiver)
        elif self._receiver is not CommandReceiver:
            commands = partial(Commands, host=self.factory)
            protocol = Connection(self.factory, commands, self._receiver)
        client = Client(self, protocol, transport or Transport())
        self.clients.append(client)
        return client

    def pass_(self, seconds: float) -> None:
        """Let time pass, on the wall as well, a second at most at a time."""
        while seconds > 0:
            step = min(1.0, seconds)
            self.timeOfDay += step
            self.reactor.advance(step)
            self.settle()
            seconds -= step

    def settle(self) -> None:
        """Let everything happen that can, but for time to pass."""
        moved = True
        while moved:
            # First, since it may be that somebody is read from again then.
            self.reactor.advance(0)
            moved = False
            for client in self.clients:
                moved |= client.receive()
            moved |= self.flushPool.step() or self.workPool.step()
        for client in self.clients:
            client.checkSettled()


class Client:
    """One connection, seen from its other end."""

    def __init__(self, harness: Harness, protocol: Any, transport: Any) -> None:
        self.harness = harness
        self.protocol = protocol
        self.transport = transport
        self._sent = b""
        protocol.makeConnection(transport)

    @property
    def isClosed(self) -> bool:
        """Whether the server has closed the connection."""
        return bool(self.transport.disconnecting)

    @property
    def isPaused(self) -> bool:
        """Whether the server does not read."""
        return bool(self.transport.producerState == "paused")

    def send(self, data: bytes) -> None:
        """Send; the server gets it at once, if it reads."""
        self._sent += data
        self.receive()

    def receive(self) -> bool:
        """Hand to the server what was sent; return whether it took something."""
        data = self._sent
        if not data or self.isPaused or self.isClosed:
            return False
        self._sent = b""
        self.protocol.dataReceived(data)
        return True

    def checkSettled(self) -> None:
        """Check that nothing is outstanding, if everything is answered."""
        protocol = self.protocol
        if not isinstance(protocol, Connection):
            return
        session = protocol.session
        if session.inbox or session.blocked:
            return
        if not protocol.replies.isOver:
            return
        ledger = session.outstanding
        assert ledger.isSettled, [getattr(ledger, name) for name in ledger.__slots__]

    def read(self) -> bytes:
        """Return what was answered since the last time."""
        data: bytes = self.transport.value()
        self.transport.clear()
        return data

    def talk(self, data: bytes) -> bytes:
        """Send, let everything happen, and return what was answered."""
        self.send(data)
        self.harness.settle()
        return self.read()

    def stopReading(self) -> None:
        """Leave the replies in the transport, so that it is full."""
        self.transport.producer.pauseProducing()

    def startReading(self) -> None:
        """Read again."""
        self.transport.producer.resumeProducing()

    def leave(self) -> None:
        """Disconnect."""
        self._sent = b""
        self.protocol.connectionLost(Failure(ConnectionDone()))

    def end(self) -> None:
        """Disconnect, and let happen what comes of it."""
        self.leave()
        self.harness.settle()
