"""What tests of the web share: a site without sockets, and replies taken apart."""

from __future__ import annotations

import gzip
from http.client import HTTPResponse
from io import BytesIO
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from memq.config.values import Address
from memq.server.histogram import Histogram
from memq.test.support.harness import Harness
from memq.test.support.stepped import SteppedTestCase
from memq.web.metrics.lateness import Lateness
from memq.web.metrics.serverfigures import Sources
from memq.web.service import WebService, WebSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.web.http.site import Site


class Reloads:
    """The rules were read, well."""

    isCurrent = True
    readAt = 7.0


class Reply:
    """A reply, taken apart.

    :ivar code: the status.
    :ivar body: without gzip.
    """

    def __init__(self, data: bytes, method: str) -> None:
        socket: Any = self
        self._data = data
        response = HTTPResponse(socket, method=method)
        response.begin()
        self.code = response.status
        self.headers = response.headers
        self.body = response.read()
        if self.headers["Content-Encoding"] == "gzip":
            self.body = gzip.decompress(self.body)

    def makefile(self, mode: str) -> BytesIO:
        """Return what a socket would be read from."""
        return BytesIO(self._data)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def samples(self) -> dict[str, str]:
        """Return the value of each line of metrics, as it is told."""
        lines = [line for line in self.text.splitlines() if line[0] != "#"]
        return dict(line.rsplit(" ", 1) for line in lines)


class _Transport(StringTransport):
    def __init__(self, gone: Callable[[], None]) -> None:
        super().__init__()
        self._gone = gone

    def abortConnection(self) -> None:
        """End as a socket does, at once."""
        self._gone()


class Visitor:
    """A connection to a site."""

    def __init__(self, harness: Harness, site: Site, address: Any = None) -> None:
        self._harness = harness
        self.transport: Any = _Transport(self.leave)
        self.transport.peerAddr = address or self.transport.peerAddr
        self.channel: Any = site.buildProtocol(None)
        self.isGone = self.channel is None
        if not self.isGone:
            self.channel.makeConnection(self.transport)

    def leave(self) -> None:
        """Be gone, as a socket is."""
        if not self.isGone:
            self.isGone = True
            producer = self.transport.producer
            if producer is not None:
                producer.stopProducing()
            self.channel.connectionLost(Failure(ConnectionDone()))

    def send(self, data: bytes) -> None:
        """Send, and let nothing happen."""
        self.channel.dataReceived(data)

    def request(self, path: str, method: str = "GET", *lines: str) -> None:
        """Send a request with further headers."""
        if not any(line.lower().startswith("host:") for line in lines):
            lines = ("Host: 127.0.0.1:22280", *lines)
        head = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""])
        self.send(head.encode())

    def read(self) -> bytes:
        """Return what came since the last time."""
        self._harness.settle()
        data: bytes = self.transport.value()
        self.transport.clear()
        return data

    def ask(self, path: str, method: str = "GET", *lines: str) -> Reply:
        """Send a request, and return the reply."""
        self.request(path, method, *lines)
        return self.answer(method)

    def answer(self, method: str, body: bytes = b"") -> Reply:
        """Send the body of a request, and return the reply."""
        self.send(body)
        return Reply(self.read(), method)


class WebTestCase(SteppedTestCase):
    """Has a web, whose listeners listen nowhere."""

    settings: ClassVar[dict[str, Any]] = {}
    options: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        """Put it together."""
        self.harness = Harness(**self.options)
        self.harness.timeOfDay = 1.6e9
        self.store = self.harness.store
        self.syncs = Histogram()
        self.reloads = Reloads()
        self.lateness = Lateness(self.harness.reactor)
        self.backup: float | None = None
        self.certificateEnds: float | None = None
        sources = Sources(
            *(self.harness.broker, self.harness.statistics, self.syncs),
            *(self.reloads, self.lateness),
            *(self.harness.factory.rules, self.harness.factory.audit),
            self.harness.factory,
            lastBackup=lambda: self.backup,
            certificateEnds=lambda: self.certificateEnds,
        )
        listen = Address("127.0.0.1", 22280)
        settings = WebSettings(listen, **self.settings)
        self.web = WebService(self.harness.reactor, sources, settings)
        self.site, *_ = self.web.sites
        self.web.readiness.settled()

    def visitor(self) -> Visitor:
        """Return somebody who is connected, until the test ends."""
        visitor = Visitor(self.harness, self.site)
        self.addCleanup(visitor.leave)
        return visitor

    def ask(self, path: str, method: str = "GET", *lines: str) -> Reply:
        """Return the reply to a request of a new connection."""
        return self.visitor().ask(path, method, *lines)

    def samples(self, *lines: str) -> dict[str, str]:
        """Return what /metrics tells."""
        return self.ask("/metrics", "GET", *lines).samples()

    def checkSamples(self, expected: dict[str, str]) -> None:
        """Check some of what /metrics tells."""
        found = self.samples()
        self.assertEqual({name: found.get(name) for name in expected}, expected)

    def push(self, queue: bytes, *bodies: bytes) -> None:
        """Put messages into a queue."""
        self.store.fill(queue, *bodies)
