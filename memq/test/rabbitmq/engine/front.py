"""Front: a server over a fake cluster, put together as it is in a process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import fail, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from memq.errors import NotStored, Refusing
from memq.figures import LinkState
from memq.rabbitmq.asking.consumers import Consumers
from memq.rabbitmq.asking.gets import Gets
from memq.rabbitmq.asking.openreads import OpenReads
from memq.rabbitmq.asking.queues import Queues
from memq.rabbitmq.asking.spread import SpreadGets, SpreadOpenReads
from memq.rabbitmq.engine.engine import Asked, Engine
from memq.rabbitmq.errors import QueueGone
from memq.rabbitmq.shared.pauses import Pauses
from memq.rabbitmq.telling import Facts, ToldQueue
from memq.server.factory import FactorySettings, QueueFactory
from memq.server.stats import Statistics
from memq.test.rabbitmq.fakes import FakeCluster, FakeLink

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred

    from memq.errors import QueueError
    from memq.policy.rules import Rules
    from memq.rabbitmq.names import Name


class FakePublisher:
    """Sets messages in a fake cluster.

    :ivar limits: how many messages queues have at most; 0 for any number.
    :ivar errors: what becomes of the next ones instead; None for nothing else.
    :ivar expirations: what was said of each that expires.
    :ivar delays: the seconds of each that is delayed.
    :ivar isBlocked: whether it takes none.
    :ivar unconfirmed: how many are not told.
    :ivar spent: the seconds of its time that were over of the last one.
    """

    def __init__(self, clock: Clock, cluster: FakeCluster) -> None:
        self._clock = clock
        self._cluster = cluster
        self.isBlocked = False
        self.unconfirmed = 0
        self.spent = 0.0
        self.limits: dict[str, int] = {}
        self.errors: list[QueueError | None] = []
        self.expirations: list[str] = []
        self.delays: list[int] = []

    def publish(
        self,
        name: Name,
        body: bytes,
        headers: dict[str, Any] | None,
        told: Callable[[QueueError | None], object],
        expiration: str | None = None,
        delay: int = 0,
        *,
        makes: bool = True,
        spent: float = 0.0,
    ) -> None:
        """Set a message, soon."""
        self.spent = spent
        if delay:
            self.delays.append(delay)
        if expiration is not None:
            self.expirations.append(expiration)
        error = self.errors.pop(0) if self.errors else None
        queue = name.queue

        def _answer() -> None:
            nonlocal error
            if queue not in self._cluster.queues and not makes:
                error = error or QueueGone()
            elif self._isFull(queue):
                error = error or NotStored(b"", b"", Refusing.FULL)
            if error is None:
                queues = self._cluster.queues
                if queue not in queues:
                    self._cluster.make(queue)
                message = headers, body
                if delay:
                    self._clock.callLater(delay, queues[queue].append, message)
                else:
                    if name.arguments.get("x-overflow") == "drop-head":
                        queues[queue].clear()
                    queues[queue].append(message)
                    self._cluster.stir(queue)
            told(error)

        self._cluster.ask("set", queue, _answer)

    def _isFull(self, queue: str) -> bool:
        limit = self.limits.get(queue, 0)
        return bool(limit) and len(self._cluster.queues[queue]) >= limit

    def make(self, name: Name, limit: int, told: Callable[[Any], object]) -> None:
        """Make a queue, soon."""
        error = self.errors.pop(0) if self.errors else None
        queue = name.queue

        def _answer() -> None:
            isNew = queue not in self._cluster.queues
            if error is None and isNew:
                self._cluster.make(queue)
                self.limits[queue] = limit
            told(isNew if error is None else error)

        self._cluster.ask("make", queue, _answer)

    def emptied(self, queue: str) -> None:
        """Note that a queue has room again."""
        self._cluster.log.append(f"room {queue}")

    def beginDelete(self, queue: str, ready: Callable[[Any], object]) -> None:
        """Note that a queue is deleted."""
        self._cluster.log.append(f"deleting {queue}")
        ready(None)

    def expectDelete(self, queue: str) -> None:
        """Note that some front end is about to delete a queue."""
        self._cluster.log.append(f"expect {queue}")

    def endDelete(self, queue: str) -> None:
        """Note that this is answered."""
        self._cluster.log.append(f"deleted {queue}")

    def forget(self, queue: str) -> None:
        """Note that a queue was deleted."""
        self._cluster.log.append(f"forget {queue}")


class FakeTeller:
    """Tells of all queues.

    :ivar error: what is told instead.
    :ivar asked: how often queues were asked for.
    :ivar nodes: what is told of the nodes.
    """

    def __init__(self, front: Front) -> None:
        self._front = front
        self.error: Exception | None = None
        self.asked = 0
        self.nodes = Facts("4.0", 3, 3, False, True)

    def queues(self) -> Deferred[list[ToldQueue]]:
        """Return what is told of each, some time ago."""
        self.asked += 1
        if self.error is not None:
            return fail(self.error)
        queues = self._front.cluster.queues
        held = self._front.cluster.held()
        told = [ToldQueue(each, {}, 0, held.count(each), 0) for each in queues]
        return succeed([*told, ToldQueue("memq/own", {}, 0, 0, 0)])

    def facts(self) -> Deferred[Facts]:
        """Return what is told of the nodes."""
        return succeed(self.nodes) if self.error is None else fail(self.error)


class FakeStartable(FakeLink):
    """A link that is started and stopped."""

    def states(self) -> list[LinkState]:
        """Return its state."""
        name = type(self.user).__name__.lower()
        return [LinkState(name, "node" if self.isUp else None, False, 0)]

    def start(self) -> None:
        """Connect."""
        self.up()

    def stop(self) -> Deferred[None]:
        """Disconnect."""
        self.down()
        return succeed(None)


class Client:
    """A connection to it, seen from its other end."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self.transport: Any = StringTransport()
        self.protocol: Any = front.factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    @property
    def session(self) -> Any:
        """Return its session."""
        return self.protocol.session

    def send(self, *lines: str) -> None:
        """Send lines."""
        self.protocol.dataReceived(b"".join(each.encode() + b"\r\n" for each in lines))

    def replies(self) -> list[str]:
        """Return the lines that came since, once all is answered."""
        self._front.settle()
        data = self.transport.value()
        self.transport.clear()
        return list(data.decode().split("\r\n")[:-1])

    def ask(self, *lines: str) -> list[str]:
        """Send lines, and return what is answered."""
        self.send(*lines)
        return self.replies()

    def leave(self) -> None:
        """Be gone."""
        self.protocol.connectionLost(None)


class Front:
    """A server over a fake cluster.

    :ivar engine: what carries out its operations.
    """

    def __init__(
        self, rules: Rules | None = None, cluster: FakeCluster | None = None
    ) -> None:
        """Begin, connected.

        :param cluster: that of another one; None for one of its own.
        """
        self.clock = Clock()
        self.cluster = cluster or FakeCluster()
        self.links: list[FakeStartable] = []
        self.teller = FakeTeller(self)
        self.publisher = FakePublisher(self.clock, self.cluster)
        seconds = self.clock.seconds
        self.engine = Engine(self.clock, self._connect, rules=rules, timeOfDay=seconds)
        statistics = Statistics(self.clock, self.engine, (), self.clock.seconds)
        maintenance: Any = None
        settings = FactorySettings()
        self.factory = QueueFactory(self.engine, maintenance, statistics, settings)
        self.engine.start()

    def _connect(self, engine: Engine) -> tuple[Asked, list[FakeStartable]]:
        gets = Gets(self.clock, engine.number, engine.stray)
        reads = OpenReads(self.clock, engine.number)
        queues, pauses = Queues(self.clock), Pauses(self.clock)
        users = gets, reads, queues, pauses.news
        self.links = [FakeStartable(self.cluster, each) for each in users]
        consumers = Consumers(self.clock, reads, engine.wanted, engine.deliver)
        spread = SpreadGets([gets]), SpreadOpenReads([reads], [consumers])
        asked = Asked(self.publisher, *spread, queues, self.teller, pauses)
        return asked, self.links

    def client(self) -> Client:
        """Return a new connection."""
        return Client(self)

    def settle(self) -> None:
        """Let all happen that needs no time."""
        self.cluster.settleAt(self.clock)

    def pass_(self, seconds: float) -> None:
        """Let time pass, in small steps."""
        for _ in range(round(seconds / 0.05)):
            self.clock.advance(0.05)
            self.settle()


class FrontTestCase(SynchronousTestCase):
    """A test with a front and a client."""

    def setUp(self) -> None:
        """Begin with no queues."""
        self.begin()

    def begin(self, rules: Rules | None = None) -> None:
        """Begin, with some rules."""
        self.front = Front(rules)
        self.cluster = self.front.cluster
        self.client = self.front.client()
        self.ask = self.client.ask

    def set(self, queue: str, *bodies: str) -> None:
        """Set messages."""
        for body in bodies:
            stored = self.ask(f"set {queue} 0 0 {len(body)}", body)
            self.assertEqual(stored, ["STORED"])
