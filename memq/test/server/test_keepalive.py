"""Clients whose machine has vanished."""

from __future__ import annotations

from typing import Any

from memq.server.keepalive import Keepalive
from memq.test.support.harness import Client, Harness, Transport
from memq.test.support.sessions import VERSION
from memq.test.support.stepped import SteppedTestCase


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

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Do nothing."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Do nothing."""

    def askMachine(self, idle: int, interval: int, count: int) -> None:
        """Note it."""
        self.asked = idle, interval, count

    def silence(self) -> float | None:
        """Return for how long nothing came."""
        return None if self.heard is None else self.seconds() - self.heard


class KeepaliveTests(SteppedTestCase):
    """--keepalive."""

    def begin(self, seconds: int) -> Client:
        """Return a client of a server with that option."""
        harness = self.harness = Harness(
            keepalive=seconds, timeouts={"bodyTimeout": 0.0}
        )
        harness.watch.start()
        self.addCleanup(harness.watch.stop)
        transport = RemoteTransport()
        transport.seconds = harness.reactor.seconds
        return harness.connect(transport)

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
        """One that owes an answer for that long is cut off."""
        client = self.begin(60)
        self.harness.store.fill(b"q", b"a")
        client.talk(b"get q/open\r\n")
        self.harness.pass_(100)
        client.transport.heard = 100.0
        self.harness.pass_(59)
        self.assertFalse(client.transport.disconnected)
        self.harness.pass_(13)
        self.assertTrue(client.transport.disconnected)

    def test_answers(self) -> None:
        """One that answers, however late, may take as long as it likes."""
        client = self.begin(60)
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
        client = self.begin(0)
        client.transport.heard = 0.0
        self.harness.pass_(1000)
        self.assertFalse(client.transport.disconnected)
        self.assertEqual(self.harness.reactor.getDelayedCalls(), [])
