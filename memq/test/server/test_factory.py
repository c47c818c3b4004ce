"""The factory: the number of connections, and their end."""

from __future__ import annotations

from twisted.logger import capturedLogs, formatEvent

from memq.ratelimit import LOG_INTERVAL
from memq.test.support.harness import Harness
from memq.test.support.sessions import VERSION
from memq.test.support.stepped import SteppedTestCase

TOO_MANY = b"SERVER_ERROR too many open connections\r\n"


class ConnectionTests(SteppedTestCase):
    """The connections of a server."""

    def test_counted(self) -> None:
        """Connections are counted, those that are open and all there ever were."""
        harness = Harness()
        clients = [harness.connect() for _ in range(3)]
        clients[1].leave()
        self.assertEqual(harness.statistics.connections, 2)
        self.assertEqual(harness.statistics.totalConnections, 3)
        there = [clients[0].protocol, clients[2].protocol]
        self.assertEqual(list(harness.factory.connections), there)

    def test_tooMany(self) -> None:
        """One more than --max-connections is told so, and closed."""
        harness = Harness(maxConnections=2)
        first, _ = harness.connect(), harness.connect()
        third = harness.connect()
        self.assertEqual(third.read(), TOO_MANY)
        self.assertTrue(third.isClosed)
        third.leave()
        self.assertEqual(harness.statistics.totalConnections, 2)
        self.assertEqual(first.talk(b"version\r\n"), VERSION)

    def test_roomAgain(self) -> None:
        """When one leaves, the next is taken."""
        harness = Harness(maxConnections=1)
        harness.connect().leave()
        self.assertEqual(harness.connect().talk(b"version\r\n"), VERSION)

    def test_noFiles(self) -> None:
        """So is one for which the process has no descriptors to spare."""
        harness = Harness(hasRoom=lambda: False)
        self.assertEqual(harness.connect().read(), TOO_MANY)

    def test_logged(self) -> None:
        """The first that is refused is logged, and from then on one line a minute."""
        harness = Harness(maxConnections=0)
        with capturedLogs() as events:
            for _ in range(5):
                harness.connect()
            harness.reactor.advance(LOG_INTERVAL)
            harness.connect()
        self.assertEqual(
            [formatEvent(event) for event in events],
            [
                f"{count} clients more than allowed are told so and closed: "
                "--max-connections are open"
                for count in (1, 5)
            ],
        )


class EndTests(SteppedTestCase):
    """The end of all connections."""

    def setUp(self) -> None:
        """Start without any."""
        self.harness = Harness()

    def test_last(self) -> None:
        """It comes when the last connection is gone, at once if there is none."""
        self.successResultOf(Harness().factory.finish())
        clients = [self.harness.connect() for _ in range(3)]
        done = self.harness.factory.finish()
        for client in clients:
            self.assertNoResult(done)
            self.assertTrue(client.isClosed)
            client.leave()
        self.successResultOf(done)

    def test_answered(self) -> None:
        """A command that was taken is answered before."""
        client = self.harness.connect()
        client.send(b"set q 0 0 1\r\nx\r\n")
        done = self.harness.factory.finish()
        self.assertFalse(client.isClosed)
        self.assertEqual(client.talk(b""), b"STORED\r\n")
        self.assertTrue(client.isClosed)
        client.leave()
        self.successResultOf(done)

    def test_abort(self) -> None:
        """Those that do not end can be cut off."""
        client = self.harness.connect()
        client.send(b"set q 0 0 1\r\nx\r\n")
        self.harness.factory.finish()
        self.harness.factory.abort()
        self.assertTrue(client.transport.disconnected)
