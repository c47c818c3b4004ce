"""What is written over TLS, and when it has arrived."""

from __future__ import annotations

from twisted.internet.interfaces import (
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.testing import StringTransport

from memq.net.encrypted import BATCH, RECORD
from memq.net.tls import TLSConnection
from memq.test.net.tlsbase import TLSTestCase
from memq.test.support.tlspeers import Beneath, Pair

#: The largest body.
MUCH = 64 * 1024 * 1024
#: Where records end, and the batches in which they are made.
EDGES = sorted(
    size * many + around
    for size in (RECORD, BATCH)
    for many in (1, 2)
    for around in (-1, 0, 1)
)


class PassingTests(TLSTestCase):
    """What goes through."""

    def test_both(self) -> None:
        """Both sides are heard, and each write leaves at once as one."""
        pair = self.join()
        pair.say(b"version\r\n")
        self.assertEqual(pair.above.received, [b"version\r\n"])
        before = pair.beneath.writes
        pair.above.transport.write(b"VERSION 1\r\n")
        self.assertEqual(pair.beneath.writes, before + 1)
        self.assertEqual(pair.hear(), b"VERSION 1\r\n")
        pair.above.transport.writeSequence([b"a", b"b"])
        pair.above.transport.write(b"")
        self.assertEqual(pair.beneath.writes, before + 2)
        self.assertEqual(pair.hear(), b"ab")

    def test_bytes(self) -> None:
        """What comes byte by byte is taken, from the first one on."""
        pair = self.join(size=1)
        pair.say(b"get a\r\n", 1)
        self.assertEqual(pair.above.received, [b"get a\r\n"])

    def test_withFinish(self) -> None:
        """What comes with the end of the handshake is taken."""
        pair = Pair(self.factory)
        pair.send(pair.hello())
        pair.take()
        pair.tls.do_handshake()
        pair.say(b"early")
        self.assertEqual(self.received(pair), b"early")

    def test_packet(self) -> None:
        """All that a packet has comes in one piece, and the rest with the next one."""
        pair = self.join()
        for each in b"one", b"two", b"three":
            pair.tls.write(each)
        data = pair.outgoing.read()
        pair.send(data[:-1])
        self.assertEqual(pair.above.received, [b"onetwo"])
        pair.send(data[-1:])
        self.assertEqual(pair.above.received, [b"onetwo", b"three"])

    def test_edges(self) -> None:
        """Sizes at the edges of records go both ways."""
        pair = self.join()
        for size in EDGES:
            body = bytes(size - 1) + b"x"
            pair.say(body)
            self.assertEqual(self.received(pair), body)
            pair.above.received.clear()
            before = pair.beneath.writes
            pair.above.transport.write(body)
            self.assertEqual(pair.beneath.writes, before + 1)
            self.assertEqual(pair.hear(), body)

    def test_much(self) -> None:
        """64 MiB go both ways."""
        pair = self.join()
        body = bytes(MUCH - 1) + b"x"
        pair.say(body)
        # A comparison that fails would print them.
        self.assertTrue(self.received(pair) == body)
        pair.above.received.clear()
        pair.above.transport.write(body)
        self.assertTrue(pair.hear() == body)

    def test_backPressure(self) -> None:
        """The transport beneath tells the producer above, and is paused by it."""
        pair = self.join()
        producer = object()
        pair.above.transport.registerProducer(producer, True)
        self.assertIs(pair.beneath.producer, producer)
        pair.above.transport.unregisterProducer()
        pair.above.transport.pauseProducing()
        self.assertEqual(pair.beneath.producerState, "paused")

    def test_transport(self) -> None:
        """It is the transport that is beneath, and a secure one."""
        pair = self.join()
        transport = pair.above.transport
        self.assertTrue(ITCPTransport.providedBy(transport))
        self.assertTrue(ISSLTransport.providedBy(transport))
        self.assertEqual(transport.getPeer(), pair.beneath.getPeer())
        self.assertFalse(hasattr(transport, "owner"))
        self.assertFalse(hasattr(TLSConnection(self.factory, None), "owner"))
        self.assertFalse(transport.disconnecting)

    def test_otherTransport(self) -> None:
        """Where nobody tells what has arrived, nobody pretends to."""
        self.patch(Beneath, "unacknowledged", property())
        self.assertFalse(hasattr(self.join().above.transport, "unacknowledged"))
        server = self.factory.buildProtocol(None)
        server.makeConnection(StringTransport())
        self.assertFalse(ISSLTransport.providedBy(server))

    def test_factory(self) -> None:
        """The factory beneath begins and ends with it, and may let nobody in."""
        self.factory.doStart()
        self.assertEqual(self.wrapped.numPorts, 1)
        self.factory.doStop()
        self.assertEqual(self.wrapped.numPorts, 0)
        self.wrapped.buildProtocol = lambda address: None
        pair = Pair(self.factory)
        pair.shake()
        self.assertTrue(pair.beneath.disconnecting)
        self.assertTrue(pair.isTold())


class ArrivalTests(TLSTestCase):
    """What has arrived."""

    def test_arrivals(self) -> None:
        """A write has arrived when all its records have."""
        pair = self.join()
        transport = pair.above.transport
        pair.beneath.underWay = 7
        self.assertEqual(transport.unacknowledged(), 7)
        transport.keepLittle()
        transport.keepLittle()
        self.assertEqual(pair.beneath.said, ["keepLittle"] * 2)
        self.assertEqual(transport.unacknowledged(), 0)
        pair.beneath.clear()
        transport.write(b"a" * 10)
        first = len(pair.beneath.value())
        transport.write(b"b" * 20)
        both = len(pair.beneath.value())
        for underWay, left in (both, 30), (both - first + 1, 30), (1, 20), (0, 0):
            pair.beneath.underWay = underWay
            self.assertEqual(transport.unacknowledged(), left)
        transport.finishWriting()
        pair.beneath.underWay = 24
        self.assertEqual(transport.unacknowledged(), 0)

    def test_neverArrives(self) -> None:
        """What is written behind the end does not arrive."""
        pair = self.join()
        transport = pair.above.transport
        transport.keepLittle()
        transport.loseConnection()
        transport.write(b"lost")
        self.assertEqual(transport.unacknowledged(), 4)
