"""What memq serves, served over TLS: queues, the page's HTTP, and real sockets."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.static import Data

from memq.net.certificates import TLSSettings, load
from memq.net.encrypted import RECORD
from memq.net.listeners import bindTCP
from memq.net.poller import Poller
from memq.net.tls import TLSFactory
from memq.test.support.certificates import files
from memq.test.support.harness import Harness
from memq.test.support.sessions import VERSION
from memq.test.support.stepped import SteppedReactor, SteppedTestCase
from memq.test.support.tlspeers import Pair
from memq.web.http.site import Site
from testkit.servers import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

#: Seconds that a real socket, or a process, may take; nothing here waits for that long.
PATIENCE = 30.0
#: Forbids memory that is writable and executable, as MemoryDenyWriteExecute does, where
#: the kernel knows that (Linux 6.3), and makes a handshake.
DENIED = """
import ctypes, sys
denied = ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)
from twisted.internet.protocol import Protocol, ServerFactory
from memq.net.certificates import TLSSettings, load
from memq.net.tls import TLSFactory
from memq.test.support.stepped import SteppedReactor
from memq.test.support import certificates, tlspeers
certificates.Files.__init__ = lambda files: None
files = certificates.files()
server, key, client, clientKey, path = sys.argv[1:]
files.authority = certificates.Authority.__new__(certificates.Authority)
files.authority.path = path
context = load(TLSSettings(server, key, path, "required")).context
wrapped = ServerFactory.forProtocol(Protocol)
factory = TLSFactory(wrapped, lambda: context, SteppedReactor())
pair = tlspeers.Pair(factory, files.clientContext(client, clientKey))
pair.shake()
print(denied in (0, -1), pair.tls.version(), *pair.server.peerNames)
"""


def serve(wrapped: Any, clock: Any, *protocols: str) -> TLSFactory:
    """Return a factory with a certificate for localhost."""
    context = load(TLSSettings(*files().server), protocols).context
    return TLSFactory(wrapped, lambda: context, clock)


class QueueTests(SteppedTestCase):
    """Queues over TLS."""

    def setUp(self) -> None:
        """Begin a server."""
        self.harness = Harness()
        self.factory = serve(self.harness.factory, self.harness.reactor)

    def join(self) -> Pair:
        """Return a client that is connected."""
        pair = Pair(self.factory)
        pair.shake()
        return pair

    def settle(self) -> None:
        """Let the server carry out what it was asked."""
        for _ in range(9):
            self.harness.reactor.iterate()
            self.harness.flushPool.step()

    def test_queue(self) -> None:
        """A message goes in and comes out."""
        pair = self.join()
        pair.say(b"set a 0 0 4\r\nbody\r\n")
        self.settle()
        self.assertEqual(pair.hear(), b"STORED\r\n")
        pair.say(b"get a\r\n")
        self.settle()
        self.assertEqual(pair.hear(), b"VALUE a 0 4\r\nbody\r\nEND\r\n")

    def test_counted(self) -> None:
        """A client counts when it is through, and one too many is told so."""
        waiting = Pair(self.factory)
        self.assertEqual(len(self.harness.factory.connections), 0)
        waiting.shake()
        self.assertEqual(len(self.harness.factory.connections), 1)
        self.harness.factory.maxConnections = 1
        other = self.join()
        self.assertEqual(other.hear(), b"SERVER_ERROR too many open connections\r\n")
        self.assertTrue(other.isTold())
        waiting.lose()
        self.assertEqual(len(self.harness.factory.connections), 0)

    def test_halfClose(self) -> None:
        """A client that sends no more hears all that it asked for, and the end."""
        pair = self.join()
        pair.tls.write(b"set a 0 0 4\r\nbody\r\nget a\r\n")
        pair.farewell()
        self.settle()
        self.assertEqual(pair.beneath.said[0], "keepLittle")
        answer = b"STORED\r\nVALUE a 0 4\r\nbody\r\nEND\r\n"
        self.assertEqual(pair.hear(), answer)
        self.assertTrue(pair.isTold())

    def test_lostAnswers(self) -> None:
        """A message that has not arrived goes back."""
        pair = self.join()
        pair.tls.write(b"set a 0 0 4\r\nbody\r\nget a\r\n")
        pair.farewell()
        # The end of the last record is never acknowledged.
        pair.beneath.underWay = 1
        self.settle()
        self.assertEqual(pair.beneath.said, ["keepLittle", "finishWriting"])
        # Nor is the record of the end, which has 24 bytes.
        pair.beneath.underWay = 24 + 1
        pair.lose()
        self.settle()
        again = self.join()
        again.say(b"get a\r\n")
        self.settle()
        self.assertEqual(again.hear(), b"VALUE a 0 4\r\nbody\r\nEND\r\n")


class SiteTests(SteppedTestCase):
    """The page's site over TLS."""

    def test_page(self) -> None:
        """A page is had, and its request is a secure one."""
        root = Resource()
        root.putChild(b"a", Data(b"the page", "text/plain"))
        clock = SteppedReactor()
        site = Site(root, clock, (), ("/a",))
        seen: list[bool] = []
        self.patch(
            Data, "render_GET", lambda data, request: self._see(seen, data, request)
        )
        pair = Pair(serve(site, clock, "http/1.1"))
        pair.shake()
        pair.say(b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n", 7)
        reply = pair.hear()
        self.assertIn(b"HTTP/1.1 200 OK\r\n", reply)
        self.assertIn(b"the page", reply)
        self.assertEqual(seen, [True])
        pair.farewell()
        self.assertTrue(pair.isTold())
        pair.lose()
        self.assertEqual(len(site.idle) + len(site.busy), 0)

    def _see(self, seen: list[bool], data: Any, request: Any) -> bytes:
        seen.append(request.isSecure())
        body: bytes = data.data
        return body


class SocketTests(TestCase):
    """Real sockets."""

    @inlineCallbacks
    def test_halfClose(self) -> Generator[Deferred[Any], Any, None]:
        """A client that sends no more is answered to the end."""
        from twisted.internet import reactor

        harness = Harness()
        [listener] = bindTCP("127.0.0.1", 0)
        factory: Any = serve(harness.factory, harness.reactor)
        port = yield listener.listen(Poller(reactor), factory)
        try:
            heard = yield deferToThread(
                converse, listener.address, b"version\r\n" * 9000
            )
        finally:
            yield port.stopListening()
        self.assertTrue(heard == VERSION * 9000)

    def test_denied(self) -> None:
        """The handshake needs no memory that is writable and executable."""
        found = files()
        run = subprocess.run(
            (
                *(sys.executable, "-c", DENIED),
                *(*found.server, *found.client, found.authority.path),
            ),
            check=False,
            capture_output=True,
            cwd=ROOT,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual(run.stderr, "")
        self.assertEqual(run.stdout, "True TLSv1.3 CN=Shop-1 DNS:shop-1\n")


def converse(address: tuple[str, int], data: bytes) -> bytes:
    """Return what a server answers to data and an end, up to its own end."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = files().clientContext()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    heard: list[bytes] = []
    with socket.create_connection(address, PATIENCE) as client:

        def step(call: Callable[[], Any]) -> Any:
            """Return what a call of the library does, once it has what it waits for."""
            while True:
                try:
                    return call()
                except ssl.SSLWantReadError:
                    client.sendall(outgoing.read())
                    received = client.recv(65536)
                    assert received, "the connection ended without a close_notify"
                    incoming.write(received)

        step(tls.do_handshake)
        for at in range(0, len(data), RECORD):
            tls.write(data[at : at + RECORD])
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.unwrap()
        with contextlib.suppress(ssl.SSLZeroReturnError):
            while True:
                heard.append(step(lambda: tls.read(RECORD)))
    return b"".join(heard)
