"""The web listens, or is tried again while the queues are served."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, capturedLogs, formatEvent

from memq.config.values import Address
from memq.server.histogram import Histogram
from memq.test.support.harness import Harness
from memq.test.support.stepped import SteppedTestCase
from memq.test.web.base import Reloads
from memq.web.history.series import STEP
from memq.web.metrics.lateness import Lateness
from memq.web.metrics.serverfigures import Sources
from memq.web.service import AGAIN, BACKLOG, WebService, WebSettings

WEB = Address("127.0.0.1", 22280)


class _Reactor(MemoryReactorClock):
    """A reactor whose ports may be in use, or fail in another way."""

    error: Exception | None = None

    def listenTCP(self, port: int, *args: Any, **kw: Any) -> Any:
        """Listen, if that can be."""
        if self.error is not None:
            raise self.error
        return super().listenTCP(port, *args, **kw)


class ServiceTestCase(SteppedTestCase):
    """Has a reactor without sockets."""

    def setUp(self) -> None:
        """Have no service yet."""
        self.reactor: Any = _Reactor()
        self.harness = Harness()

    def service(self, listen: Address | None, other: Address | None) -> WebService:
        """Return the service for two addresses."""
        sources = Sources(
            *(self.harness.broker, self.harness.statistics, Histogram(), Reloads()),
            Lateness(self.reactor),
            *(self.harness.factory.rules, self.harness.factory.audit),
            self.harness.factory,
        )
        settings = WebSettings(listen, other, socketMode=0o660)
        return WebService(self.reactor, sources, settings)

    def logged(self, service: WebService) -> list[str]:
        """Start a service; return what is logged."""
        with capturedLogs() as events:
            service.startService()
        return [formatEvent(event) for event in events]


class ListenTests(ServiceTestCase):
    """Addresses that can be had."""

    def test_listens(self) -> None:
        """It listens where it is told, and says so."""
        service = self.service(WEB, Address("::1", 1))
        lines = self.logged(service)
        self.assertEqual(len(lines), 2)
        self.assertTrue(lines[0].startswith("The web is on 127.0.0.1:"), lines)
        listening = [(port, at, many) for port, _, many, at in self.reactor.tcpServers]
        expected = [(22280, "127.0.0.1", BACKLOG), (1, "::1", BACKLOG)]
        self.assertEqual(listening, expected)
        self.assertEqual(len(service.sites), 2)
        service.stopService()

    def test_history(self) -> None:
        """It takes samples while it listens, once the server does."""
        service = self.service(WEB, None)
        self.logged(service)
        self.reactor.advance(STEP)
        service.readiness.settled()
        self.reactor.advance(STEP)
        service.stopService()
        self.reactor.advance(STEP)
        messages = service.recorder.server()["messages"]
        self.assertEqual(messages[-3:], [None, None, 0])

    def test_nowhere(self) -> None:
        """It may listen nowhere, and then nothing is looked at."""
        for settings, isOn in (
            (WebSettings(), False),
            (WebSettings(WEB), True),
            (WebSettings(metricsListen=WEB), True),
        ):
            self.assertIs(settings.isOn, isOn)
        service = self.service(None, None)
        self.assertEqual((self.logged(service), self.reactor.tcpServers), ([], []))
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        service.stopService()

    def test_stop(self) -> None:
        """At the end nothing is left that would be called, and ports stay."""
        service = self.service(WEB, None)
        service.startService()
        service.stopService()
        self.reactor.advance(1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(len(self.reactor.tcpServers), 1)


class BusyTests(ServiceTestCase):
    """Addresses that cannot be had."""

    def setUp(self) -> None:
        """Have a port that is in use."""
        super().setUp()
        error = OSError(98, "Address already in use")
        self.reactor.error = CannotListenError("127.0.0.1", 22280, error)
        self.web = self.service(WEB, None)

    def test_again(self) -> None:
        """It is said once, and tried again until it can be had."""
        (line,) = self.logged(self.web)
        self.assertIn("The web cannot be on 127.0.0.1:22280, and is tried again", line)
        self.assertIn("queues are served without it", line)
        self.assertIn("already in use", line)
        with capturedLogs() as events:
            self.reactor.pump([AGAIN] * 3)
            self.assertEqual(events, [])
            self.reactor.error = None
            self.reactor.advance(AGAIN)
        (event,) = events
        self.assertIn("The web is on", formatEvent(event))
        self.assertEqual(len(self.reactor.tcpServers), 1)
        self.web.stopService()

    def test_stop(self) -> None:
        """It is tried no more in the end."""
        self.web.startService()
        self.web.stopService()
        self.reactor.advance(AGAIN)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.reactor.tcpServers, [])

    def test_unforeseen(self) -> None:
        """An error that nobody foresaw is logged, and the queues are served."""
        self.reactor.error = ZeroDivisionError()
        with capturedLogs() as events:
            self.web.startService()
        self.assertEqual([each["log_level"] for each in events], [LogLevel.critical])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.web.stopService()


class SocketTests(ServiceTestCase):
    """UNIX sockets."""

    def setUp(self) -> None:
        """Have a place for one."""
        super().setUp()
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        self.path = os.path.join(directory, "web")
        self.web = self.service(Address(path=self.path), None)

    def test_listens(self) -> None:
        """It listens on a socket with permissions, in place of one left behind."""
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(self.path)
        self.assertEqual(self.logged(self.web), [f"The web is on unix:{self.path}"])
        ((path, _, _, mode, _),) = self.reactor.unixServers
        self.assertEqual((path, mode), (self.path, 0o660))
        (site,) = self.web.sites
        # No browser comes here, so it is no matter what the machine is called.
        self.assertTrue(site.knows([b"memq"]))
        self.web.stopService()

    def test_busy(self) -> None:
        """One that somebody serves is left, and tried again."""
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(self.path)
            other.listen()
            (line,) = self.logged(self.web)
            self.assertIn("in use by another server", line)
            self.assertTrue(stat.S_ISSOCK(os.stat(self.path).st_mode))
        self.reactor.advance(AGAIN)
        self.assertEqual(len(self.reactor.unixServers), 1)
        self.web.stopService()
