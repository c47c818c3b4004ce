"""Connections that have ended: all their parts are freed at once, by nobody's help."""

from __future__ import annotations

import gc
import weakref
from itertools import chain
from typing import TYPE_CHECKING, Any

from memq.access.admission import OPEN, Admission
from memq.access.authenticator import DELAY
from memq.access.secrets import PasswordHash
from memq.access.users import Users
from memq.connection.gone import GoneReceiver
from memq.connection.login import LOGIN_SECONDS
from memq.message import PART_SIZE
from memq.net.certificates import TLSSettings, load
from memq.net.tls import TLSFactory
from memq.server import entrances
from memq.test.access.test_needs import LINES, RESERVED
from memq.test.connection.test_arrivals import LastTransport
from memq.test.connection.test_login import ASKS, CHEAP, OPS, SHOP, plain, said
from memq.test.support.certificates import files
from memq.test.support.harness import Client, Harness
from memq.test.support.packets import request
from memq.test.support.stepped import SteppedTestCase
from memq.test.support.tlspeers import Pair
from memq.test.support.torture import told
from testkit.wire import sets

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.testing import StringTransport

PEER = Admission(ways=frozenset(["peer"]))
LARGE = b"x" * (3 * PART_SIZE)


def nothing(client: Client) -> None:
    """Let nothing happen between what is sent and the end."""


def garbage() -> list[str]:
    """Return the types of what only the collector can free, and free it."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return sorted(type(each).__name__ for each in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.collect()


class GoneTestCase(SteppedTestCase):
    """A server without a garbage collector."""

    def setUp(self) -> None:
        """Make it."""
        self.patch(PasswordHash, "decoy", lambda: PasswordHash.of(b"-", CHEAP))
        self.harness = Harness()
        self.harness.access.replace(Users([SHOP, OPS]))
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)

    def begin(
        self,
        sent: bytes,
        meanwhile: Callable[[Client], object],
        admission: Admission,
        transport: Any,
    ) -> list[weakref.ref[Any]]:
        """Let a client connect, send and end; return its parts."""
        client = self.harness.connect(transport, admission)
        client.send(sent)
        meanwhile(client)
        protocol = client.protocol
        parts = [protocol, protocol.receiver, protocol._commands, client.transport]
        refs = [weakref.ref(each) for each in parts]
        client.leave()
        # As Twisted's own transports do at their end.
        client.transport.producer = None
        self.harness.clients.remove(client)
        return refs

    def check(
        self,
        sent: bytes = b"",
        meanwhile: Callable[[Client], object] = nothing,
        admission: Admission = OPEN,
        transport: StringTransport | None = None,
        then: Callable[[], object] = lambda: None,
    ) -> None:
        """Check that all of a client is freed at its end.

        :param meanwhile: is done before the end, and ``then`` behind it.
        """
        parts = self.begin(sent, meanwhile, admission, transport)
        del transport
        then()
        self.harness.settle()
        self.assertEqual([each() for each in parts], [None] * len(parts))
        self.assertEqual(garbage(), [])

    def settle(self, client: Client) -> None:
        """Let everything happen that was asked."""
        self.harness.settle()


class CommandTests(GoneTestCase):
    """Clients that anybody may be."""

    def test_silent(self) -> None:
        """A client that has said nothing."""
        self.check()

    def test_served(self) -> None:
        """One that is answered, in text and in packets, in order and by quit."""
        for sent in (
            sets(b"a", b"1", b"2") + b"get a\r\nget a\r\nget a\r\nstats\r\n",
            b"version\r\nquit\r\n",
            b"bad\r\nget " + b"x" * 3000,
            b"delete a\r\nrules\r\n",
            request("Version") + request("Get key=a"),
        ):
            self.check(sent, self.settle)

    def test_each(self) -> None:
        """One of each command, whether it is answered or still under way."""
        for line in chain.from_iterable((*LINES.values(), RESERVED)):
            sent = line.encode() + b"\r\n"
            for meanwhile in (nothing, self.settle):
                with told(line):
                    self.check(sent, meanwhile)

    def test_underWay(self) -> None:
        """One whose commands are under way when it is gone, and done later."""
        self.check(sets(b"a", b"1") + b"get a\r\ndelete b\r\n")
        self.assertEqual(self.harness.store.dump(), "a 1/0: 1")

    def test_bodies(self) -> None:
        """One in the middle of a body, small, in parts, or too large."""
        for sent in (
            b"set a 0 0 100\r\nabc",
            b"set a 0 0 %d\r\n%b" % (len(LARGE), LARGE[:-9]),
            b"set a 0 0 9999999\r\nabc",
            request("Set key=a value=abc")[:-1],
        ):
            self.check(sent, self.settle)

    def test_waits(self) -> None:
        """One that waits for a message, or for one of several queues."""
        self.check(b"get a/t=9000\r\nget b\r\n", self.settle)
        self.check(b"get a/t=9000/any b\r\n", self.settle)

    def test_opens(self) -> None:
        """One that has messages open: they are there for others."""
        self.check(
            sets(b"a", b"1", b"2") + b"get a/open\r\nget a/open\r\n", self.settle
        )
        self.assertEqual(self.harness.store.dump(), "a 2/0: 1 2")

    def test_largeReplies(self) -> None:
        """One that does not read a large body, or the answers to many names."""

        def stop(client: Client) -> None:
            client.stopReading()
            self.settle(client)

        stored = b"set a 0 0 %d\r\n%b\r\n" % (len(LARGE), LARGE)
        self.harness.connect().talk(stored)
        self.harness.clients.clear()
        garbage()
        self.check(b"get a\r\nversion\r\n", stop)
        names = b" ".join(b"%d" % number for number in range(3000))
        self.check(b"get %b\r\n" % names)

    def test_tails(self) -> None:
        """One that follows queues, and one whose tail has ended before it."""
        self.check(b"tail *\r\n", self.settle)

        def end(client: Client) -> None:
            self.settle(client)
            client.protocol.readConnectionLost()
            self.settle(client)

        self.check(b"tail *\r\n", end, transport=LastTransport())

    def test_halfClosed(self) -> None:
        """One that sends no more, and has not got what it is sent."""

        def end(client: Client) -> None:
            client.protocol.readConnectionLost()
            self.settle(client)

        self.check(sets(b"a", b"1") + b"get a\r\n", end, transport=LastTransport())
        self.assertEqual(self.harness.store.dump(), "a 1/0: 1")

    def test_refused(self) -> None:
        """One too many."""
        self.harness.factory.maxConnections = 0
        client = self.harness.connect()
        refused = weakref.ref(client.protocol)
        self.harness.clients.clear()
        del client
        self.assertIsNone(refused())

    def test_late(self) -> None:
        """What comes behind the end is dropped, and nobody is told of it."""
        client = self.harness.connect()
        client.talk(b"version\r\n")
        client.leave()
        protocol = client.protocol
        protocol.dataReceived(sets(b"a", b"1"))
        protocol.session.deliver()
        protocol.replies.send(b"x")
        self.harness.settle()
        self.assertEqual((client.read(), self.harness.store.dump()), (b"", ""))

    def test_receiver(self) -> None:
        """The receiver that is left takes nothing, and never goes on."""
        gone = GoneReceiver()
        gone.makeConnection(None)
        gone.dataReceived(b"x")
        gone.pauseProducing()
        gone.resumeProducing()
        gone.close()
        gone.connectionLost()
        self.assertTrue(gone.closing and gone.paused)
        self.assertEqual((gone.command, gone.missing), (None, 0))


class LoginTests(GoneTestCase):
    """Clients that have to say who they are."""

    def later(self) -> None:
        """Let time pass until each answer would be told."""
        self.harness.pass_(2 * DELAY)

    def test_silent(self) -> None:
        """A client that has said nothing, or half of it."""
        for sent in (b"", b"set auth 0 0 99\r\nshop x", plain(b"token")[:-3]):
            self.check(sent, admission=ASKS)

    def test_known(self) -> None:
        """One that is known, by whichever way, or not by any."""
        for sent in (said(b"token") + b"version\r\n", plain(b"token")):
            self.check(sent, self.settle, ASKS)
        self.check(admission=Admission("shop"))
        self.check(admission=PEER)

    def test_refused(self) -> None:
        """One that was refused."""

        def wait(client: Client) -> None:
            self.later()

        self.check(said(b"wrong"), wait, ASKS)

    def test_answer(self) -> None:
        """One whose answer is under way: compared, or to be told later."""
        self.check(said(b"wrong"), admission=ASKS, then=self.later)
        self.check(said(b"wrong"), self.settle, ASKS, then=self.later)
        self.check(said(b"password", b"ops"), admission=ASKS, then=self.later)

    def test_expired(self) -> None:
        """One whose time is over, in its turn and in line for it."""

        def wait(client: Client) -> None:
            self.harness.pass_(LOGIN_SECONDS)

        self.check(b"", wait, ASKS)
        self.patch(entrances, "HEARD", 0)
        self.harness = Harness()
        self.harness.access.replace(Users([SHOP]))
        garbage()
        self.check(b"", wait, ASKS)

    def test_inLine(self) -> None:
        """One that waits for its turn to be heard leaves the line."""
        self.patch(entrances, "HEARD", 0)
        self.harness = Harness()
        self.harness.access.replace(Users([SHOP]))
        garbage()
        parts = self.begin(said(b"token"), nothing, ASKS, None)
        # There was no turn since.
        self.assertEqual([each() for each in parts], [None] * len(parts))
        self.assertEqual(garbage(), [])


class TLSTests(GoneTestCase):
    """Clients over TLS."""

    def end(self, meanwhile: Callable[[Pair], object]) -> None:
        """Check that all of a client is freed at its end."""
        context = load(TLSSettings(*files().server)).context
        wrapped = self.harness.factory.through(ASKS)
        factory = TLSFactory(wrapped, lambda: context, self.harness.reactor)
        # What it provides is to be there already.
        other = Pair(factory)
        garbage()
        pair = Pair(factory)
        meanwhile(pair)
        parts = [weakref.ref(each) for each in (pair.server, pair.above) if each]
        pair.lose()
        pair.beneath.producer = None
        del pair
        self.harness.settle()
        self.assertEqual([each() for each in parts], [None] * len(parts))
        self.assertEqual(garbage(), [])
        other.lose()

    def test_handshake(self) -> None:
        """One whose handshake has not begun, is under way, or has failed."""
        self.end(lambda pair: None)
        self.end(lambda pair: pair.send(pair.hello()[:50]))
        self.end(lambda pair: pair.send(pair.hello()))
        self.end(lambda pair: pair.send(b"get q\r\n"))

    def test_open(self) -> None:
        """One that is through, and known or not."""
        self.end(lambda pair: pair.shake())

        def enter(pair: Pair) -> None:
            pair.shake()
            pair.say(said(b"token") + b"version\r\n")
            self.harness.settle()
            assert pair.hear()

        self.end(enter)
