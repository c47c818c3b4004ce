"""Clients that are silent for too long."""

from __future__ import annotations

from typing import Any

from memq.broker.memorybudget import LEAST_LIMIT, Budget
from memq.message import PART_SIZE
from memq.server.timeouts import Keepalive
from memq.test.support.harness import Client, Harness, Transport
from memq.test.support.sessions import VERSION
from memq.test.support.stepped import SteppedTestCase

TIMED_OUT = b"CLIENT_ERROR body timed out\r\n"


class RemoteTransport(Transport):
    """A transport to a machine of which a test says whether it is there.

    :ivar asked: how often the system asks it.
    :ivar heard: when something last came, None while it owes nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: tuple[int, int, int] | None = None
        self.heard: float | None = None
        self.seconds: Any = None

        self.setTcpNoDelay = self.setTcpKeepAlive = lambda enabled: None

    def askMachine(self, idle: int, interval: int, count: int) -> None:
        """Note it."""
        self.asked = idle, interval, count

    def silence(self) -> float | None:
        """Return for how long nothing came."""
        return None if self.heard is None else self.seconds() - self.heard


class WatchTestCase(SteppedTestCase):
    """A server that looks after its clients."""

    def begin(
        self, budget: Budget | None = None, keepalive: int = 0, **timeouts: float
    ) -> Client:
        """Start it, and return a client."""
        self.harness = Harness(
            timeouts=timeouts, budget=budget, maxBody=1 << 26, keepalive=keepalive
        )
        self.harness.watch.start()
        self.addCleanup(self.harness.watch.stop)
        return self.harness.connect()


class BodyTests(WatchTestCase):
    """--body-timeout."""

    def test_standsStill(self) -> None:
        """A body without a byte for that long is given up, and its room given back."""
        client = self.begin()
        budget = self.harness.broker.budget
        client.send(b"version\r\nset q 0 0 9\r\nhello")
        self.assertEqual(budget.reserved, 9)
        self.harness.pass_(60)
        self.assertFalse(client.isClosed)
        self.harness.pass_(2)
        self.assertTrue(client.isClosed)
        self.assertEqual(client.read(), VERSION + TIMED_OUT)
        self.assertEqual(budget.reserved, 0)

    def test_noreply(self) -> None:
        """A client that wants no reply is told nothing, and closed."""
        client = self.begin()
        client.send(b"set q 0 0 9 noreply\r\nhello")
        self.harness.pass_(62)
        self.assertTrue(client.isClosed)
        self.assertEqual(client.read(), b"")

    def test_dribbles(self) -> None:
        """A byte now and then is enough while nobody waits."""
        client = self.begin()
        client.send(b"set q 0 0 9\r\n")
        for _ in range(9):
            self.harness.pass_(50)
            client.send(b"x")
        self.harness.pass_(50)
        self.assertEqual(client.talk(b"\r\n"), b"STORED\r\n")
        self.harness.pass_(100)
        self.assertFalse(client.isClosed)

    def test_refusedBody(self) -> None:
        """A body that is thrown away is waited for no longer than another."""
        client = self.begin()
        client.send(b"add q 0 0 9\r\nhello")
        self.harness.pass_(62)
        self.assertTrue(client.isClosed)

    def test_off(self) -> None:
        """With 0, a body may stand still for ever."""
        client = self.begin(bodyTimeout=0)
        client.send(b"set q 0 0 9\r\n")
        self.harness.pass_(100)
        self.assertFalse(client.isClosed)
        self.assertEqual(self.harness.reactor.getDelayedCalls(), [])

    def test_whileOthersWait(self) -> None:
        """While others wait, a body has to get on by a part in that time."""
        slow = self.begin(Budget(LEAST_LIMIT))
        quick = self.harness.connect()
        clients = [slow, quick] + [self.harness.connect() for _ in range(14)]
        for client in clients:
            client.send(b"set q 0 0 999999\r\n")
        waits = self.harness.connect()
        waits.send(b"set late 0 0 70000\r\n" + b"x" * 100)
        self.assertTrue(waits.isPaused)
        for _ in range(61):
            slow.send(b"x")
            for client in clients[1:]:
                client.send(b"x" * (PART_SIZE // 50))
            self.harness.pass_(1)
        self.assertTrue(slow.isClosed)
        self.assertEqual([client.isClosed for client in clients[1:]], [False] * 15)
        self.assertFalse(waits.isPaused)
        self.assertEqual(waits.talk(b"x" * 69900 + b"\r\n"), b"STORED\r\n")

    def test_waitsForRoom(self) -> None:
        """The time that a connection waits for room does not count."""
        client = self.begin(Budget(LEAST_LIMIT))
        clients = [client] + [self.harness.connect() for _ in range(15)]
        for each in clients:
            each.send(b"set q 0 0 65536\r\n")
        waits = self.harness.connect()
        waits.send(b"set q 0 0 65536\r\nx")
        self.harness.pass_(62)
        self.assertTrue(client.isClosed)
        self.harness.pass_(55)
        self.assertFalse(waits.isClosed)
        self.harness.pass_(10)
        self.assertTrue(waits.isClosed)

    def test_brokenWatch(self) -> None:
        """A look that fails is told; the server goes on without."""
        client = self.begin()
        broken = self.patch(client.protocol, "receiver", None)
        self.harness.pass_(1)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        broken.restore()
        self.assertEqual(client.talk(b"version\r\n"), VERSION)


class ReaderTests(WatchTestCase):
    """Clients that do not read."""

    def test_stays(self) -> None:
        """A client that does not read may stay while there is room for its load."""
        client = self.begin()
        client.stopReading()
        self.harness.pass_(200)
        self.assertFalse(client.transport.disconnected)

    def test_short(self) -> None:
        """It is cut off when nobody gets more than the least any more."""
        client = self.begin()
        client.stopReading()
        self.harness.broker.budget.count(1 << 30)
        self.harness.pass_(60)
        self.assertFalse(client.transport.disconnected)
        self.harness.pass_(2)
        self.assertTrue(client.transport.disconnected)

    def test_readsSlowly(self) -> None:
        """A client that reads now and then is not."""
        client = self.begin()
        self.harness.broker.budget.count(1 << 30)
        for _ in range(5):
            client.stopReading()
            self.harness.pass_(50)
            client.startReading()
        self.assertFalse(client.transport.disconnected)

    def test_bodyBehind(self) -> None:
        """A body behind replies that are not read is given up like another."""
        client = self.begin()
        client.send(b"set q 0 0 9\r\n")
        client.stopReading()
        self.harness.pass_(62)
        self.assertEqual(self.harness.broker.budget.reserved, 0)


class WaitTests(WatchTestCase):
    """Clients that wait for a message and are not read from."""

    def test_gone(self) -> None:
        """A client that is gone waits no longer; its commands are carried out."""
        client = self.begin(Budget(LEAST_LIMIT))
        client.send(b"get q/t=3600000\r\n" + b"version\r\n" * 10_000)
        self.harness.pass_(2)
        self.assertTrue(client.isPaused)
        client.transport.hasLeft = lambda: False
        self.harness.pass_(100)
        self.assertEqual(client.read(), b"")
        client.transport.hasLeft = lambda: True
        self.harness.pass_(1)
        self.assertEqual(client.read(), b"END\r\n" + VERSION * 10_000)


class IdleTests(WatchTestCase):
    """--idle-timeout."""

    def test_silent(self) -> None:
        """A client that is silent for that long is closed, without a word."""
        client = self.begin(idleTimeout=10)
        other = self.harness.connect()
        for _ in range(4):
            self.harness.pass_(3)
            self.assertEqual(other.talk(b"version\r\n"), VERSION)
        self.assertTrue(client.isClosed)
        self.assertEqual(client.read(), b"")
        self.assertFalse(other.isClosed)

    def test_usually(self) -> None:
        """Without the option it may be silent as long as it likes."""
        client = self.begin()
        self.harness.pass_(1000)
        self.assertFalse(client.isClosed)

    def test_owed(self) -> None:
        """A client that waits for its reply is not silent."""
        client = self.begin(idleTimeout=10)
        client.send(b"set q 0 0 1\r\nx\r\n")
        self.harness.reactor.pump([1] * 20)
        self.assertFalse(client.isClosed)
        self.harness.settle()
        self.assertEqual(client.read(), b"STORED\r\n")

    def test_doesNotRead(self) -> None:
        """A client that does not read what it is owed is cut off."""
        client = self.begin(idleTimeout=10)
        client.stopReading()
        self.harness.pass_(12)
        self.assertTrue(client.transport.disconnected)

    def test_halfBody(self) -> None:
        """So is one in the middle of a body, when nothing else limits that."""
        client = self.begin(bodyTimeout=0, idleTimeout=10)
        client.send(b"set q 0 0 9\r\nhello")
        self.harness.pass_(12)
        self.assertTrue(client.isClosed)
        self.assertEqual(client.read(), b"")


class KeepaliveTests(WatchTestCase):
    """--keepalive."""

    def remote(self, seconds: int) -> Client:
        """Return a client of a server with that option, of which a test tells."""
        self.begin(keepalive=seconds, bodyTimeout=0.0)
        transport = RemoteTransport()
        transport.seconds = self.harness.reactor.seconds
        return self.harness.connect(transport)

    def test_asked(self) -> None:
        """A machine is asked so that it is all over after that time, or soon after."""
        for seconds, asked in ((60, (30, 10, 3)), (7, (4, 1, 3)), (1, (1, 1, 3))):
            transport = RemoteTransport()
            Keepalive(seconds).begin(transport)
            self.assertEqual(transport.asked, asked)
        transport = RemoteTransport()
        Keepalive(0).begin(transport)
        self.assertIsNone(transport.asked)
        Keepalive(60).begin(Transport())

    def test_vanished(self) -> None:
        """A machine that owes an answer for that long is cut off."""
        client = self.remote(60)
        self.harness.store.fill(b"q", b"a")
        client.talk(b"get q/open\r\n")
        self.harness.pass_(100)
        client.transport.heard = 100.0
        self.harness.pass_(59)
        self.assertFalse(client.transport.disconnected)
        self.harness.pass_(13)
        self.assertTrue(client.transport.disconnected)

    def test_answers(self) -> None:
        """A machine that answers, however late, may take as long as it likes."""
        client = self.remote(60)
        other = self.harness.connect()
        for _ in range(5):
            client.transport.heard = self.harness.reactor.seconds() - 100
            self.harness.pass_(50)
            client.transport.heard = None
            self.harness.pass_(50)
        self.assertFalse(client.transport.disconnected)
        self.assertEqual(other.talk(b"version\r\n"), VERSION)

    def test_off(self) -> None:
        """With 0 it is the system's business."""
        client = self.remote(0)
        client.transport.heard = 0.0
        self.harness.pass_(1000)
        self.assertFalse(client.transport.disconnected)
        self.assertEqual(self.harness.reactor.getDelayedCalls(), [])
