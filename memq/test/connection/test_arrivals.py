"""Clients that send no more: they are answered, and what does not arrive goes back."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.interfaces import IHalfCloseableProtocol
from zope.interface.verify import verifyObject

from memq.errors import DamagedMessage, TooManyConnections
from memq.message import PART_SIZE
from memq.operations.openreads.openmany import OPENED_AT_ONCE
from memq.test.support.harness import Client, Harness, Transport
from memq.test.support.sessions import VERSION
from memq.test.support.stepped import SteppedTestCase
from memq.wire.forms import PLAIN

if TYPE_CHECKING:
    from memq.figures import QueueDetail


def value(body: bytes, key: bytes = b"q") -> bytes:
    """Return the answer to a get of one name."""
    return b"VALUE %b 0 %d\r\n%b\r\nEND\r\n" % (key, len(body), body)


class LastTransport(Transport):
    """A transport of which a test says what arrives.

    :ivar written: the bytes that were written.
    :ivar arrived: how many of them have arrived.
    :ivar isFinished: whether nothing more is to be written.
    """

    def __init__(self) -> None:
        super().__init__()
        self.written = self.arrived = 0
        self.isFinished = False

    def write(self, data: bytes) -> None:
        """Count."""
        assert not self.isFinished
        self.written += len(data)
        super().write(data)

    def keepLittle(self) -> None:
        """Do nothing: nothing is kept."""

    def unacknowledged(self) -> int:
        """Return how much has not arrived."""
        return self.written - self.arrived

    def finishWriting(self) -> None:
        """Note it."""
        self.isFinished = True


class LastTestCase(SteppedTestCase):
    """A client that will send no more."""

    options: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        """Connect it."""
        self.harness = Harness(**self.options)
        self.store = self.harness.store
        self.client = self.connect()
        self.transport = self.client.transport

    def connect(self) -> Client:
        """Return a client whose answers arrive when the test says so."""
        return self.harness.connect(LastTransport())

    def arrive(self, client: Client | None = None) -> None:
        """Let all that was written arrive."""
        transport = (client or self.client).transport
        transport.arrived = transport.written

    def fullAfterEachWrite(self) -> None:
        """Let the client read only when the test says so."""
        real = self.transport.write

        def write(data: bytes) -> None:
            real(data)
            self.client.stopReading()

        self.patch(self.transport, "write", write)

    def last(self, data: bytes, client: Client | None = None) -> bytes:
        """Send, and no more; return what is answered."""
        client = client or self.client
        client.send(data)
        client.protocol.foreseeEnd()
        client.protocol.readConnectionLost()
        self.harness.settle()
        return client.read()

    def lose(self, client: Client | None = None) -> None:
        """Let the connection end."""
        (client or self.client).leave()
        self.harness.settle()

    def large(self, parts: int = 3) -> bytes:
        """Store a body in parts; return its answer."""
        body = b"x" * (parts * PART_SIZE)
        other = self.harness.connect()
        other.talk(b"set q 0 0 %d\r\n%b\r\n" % (len(body), body))
        return value(body)

    def detail(self) -> QueueDetail:
        """Return what the store tells of the queue."""
        detail = self.store.detail(b"q")
        assert detail is not None
        return detail

    def parts(self) -> int:
        """Return how many bodies in parts there are, once all is swept."""
        self.harness.settle()
        return len(self.store.parts)


class AnswerTests(LastTestCase):
    """Answers."""

    def test_interface(self) -> None:
        """It is what Twisted asks whether it knows half-closed connections."""
        verifyObject(IHalfCloseableProtocol, self.client.protocol)

    def test_nothing(self) -> None:
        """When it asked for nothing, the connection is closed."""
        self.assertEqual(self.last(b""), b"")
        self.assertTrue(self.client.isClosed)

    def test_all(self) -> None:
        """All that came is answered, in order, and then the connection is closed."""
        sets = b"set q 0 0 1\r\na\r\nset q 0 0 1 noreply\r\nb\r\n"
        replies = self.last(sets + b"version\r\nstats queue\r\n")
        self.assertEqual(replies, b"STORED\r\n" + VERSION + b"STAT q 2/0\r\nEND\r\n")
        self.assertTrue(self.client.isClosed)

    def test_monitor(self) -> None:
        """Messages that are opened in one go, and did not arrive, were not seen."""
        bodies = [b"%03d" % number for number in range(OPENED_AT_ONCE + 5)]
        self.store.fill(b"q", *bodies)
        replies = self.last(b"monitor q 0\r\n")
        blocks = [value(body).removesuffix(b"END\r\n") for body in bodies]
        self.assertEqual(replies, b"".join(blocks) + b"END\r\n")
        self.transport.arrived = sum(map(len, blocks[:3]))
        self.lose()
        self.assertEqual((self.detail().items, self.detail().returns), (69, 3))

    def test_pieces(self) -> None:
        """A line that has no end is nothing, and a body is dropped at once."""
        body = b"set q 0 0 70000\r\n" + bytes(66000)
        for piece in (b"set q 0 0 1\r\nx", body, b"get"):
            client = self.connect()
            self.assertEqual(self.last(piece, client), b"")
            self.assertTrue(client.isClosed)
            self.assertEqual(self.harness.broker.budget.reserved, 0)
        self.assertEqual(self.parts(), 0)
        self.assertEqual(self.store.dump(), "")

    def test_elsewhere(self) -> None:
        """Where nobody tells what arrives, the connection ends as if both were shut."""
        client = self.harness.connect()
        client.send(b"get q/t=1000\r\n")
        client.protocol.readConnectionLost()
        self.assertTrue(client.transport.disconnected)

    def test_stop(self) -> None:
        """A server that stops lets it wait no longer."""
        self.assertEqual(self.last(b"get q/t=5000\r\nversion\r\n"), b"")
        self.harness.factory.finish()
        self.harness.settle()
        self.assertEqual(self.client.read(), b"END\r\n" + VERSION)
        self.assertTrue(self.client.isClosed)


class ArrivalTests(LastTestCase):
    """Messages, arrived or lost."""

    def setUp(self) -> None:
        """Fill a queue."""
        super().setUp()
        self.store.fill(b"q", b"a", b"b", b"c", b"d")

    def test_arrives(self) -> None:
        """When the answer has arrived the connection is closed, and not before."""
        self.assertEqual(self.last(b"get q\r\n"), value(b"a"))
        self.assertTrue(self.transport.isFinished)
        self.assertFalse(self.client.isClosed)
        self.client.protocol.deliver()
        self.arrive()
        self.lose()
        self.assertEqual(self.store.dump(), "q 4/1: b c d")

    def test_arrivedAtOnce(self) -> None:
        """When it has arrived by then, nothing is waited for."""
        self.patch(LastTransport, "unacknowledged", lambda _: 0)
        self.assertEqual(self.last(b"get q\r\n"), value(b"a"))
        self.assertTrue(self.client.isClosed)
        self.lose()
        self.assertEqual(self.store.dump(), "q 4/1: b c d")

    def test_lost(self) -> None:
        """Messages that did not arrive go back to their places, and only those."""
        for request in (b"get q\r\n" * 3, b"get q q q\r\n", b"gets q\r\n" * 3):
            self.setUp()
            answer = self.last(request)
            # The first one to its end, and all but a byte of the second.
            second = (
                b"\r\nb\r\nEND\r\n" if request[:7] == b"get q\r\n" else b"\r\nb\r\n"
            )
            self.transport.arrived = answer.index(second) + len(second) - 1
            self.lose()
            self.assertEqual(self.store.dump(), "q 4/1: b c d", request)

    def test_meta(self) -> None:
        """So do those that were asked for in the meta protocol; a look takes none."""
        for line in (b"mg q v k\r\n", b"mg q v h\r\n"):
            self.setUp()
            answer = self.last(line + b"mg q s\r\n" + line * 2 + b"mn\r\n")
            self.transport.arrived = answer.index(b"\r\nb\r\n") + 4
            self.lose()
            self.assertEqual(self.store.dump(), "q 4/1: b c d", line)

    def test_sentBefore(self) -> None:
        """A message sent before the end was known is gone, as from any client."""
        self.assertEqual(self.client.talk(b"get q\r\n"), value(b"a"))
        self.assertEqual(self.last(b"get q\r\n"), value(b"b"))
        self.lose()
        self.assertEqual(self.store.dump(), "q 4/1: b c d")

    def test_forgotten(self) -> None:
        """A connection that sends more than is under way keeps no arrived message."""
        self.store.fill(b"q", *[b"x"] * 3000)
        self.client.send(b"get q\r\n" * 1500)
        self.client.protocol.foreseeEnd()
        self.client.protocol.foreseeEnd()
        self.patch(LastTransport, "unacknowledged", lambda _: 0)
        self.client.send(b"get q\r\n" * 1500)
        self.harness.settle()
        self.assertEqual(len(self.client.protocol.replies.arrivals.unarrived), 952)
        self.assertFalse(self.client.protocol.owes)

    def test_foreseenOnly(self) -> None:
        """A client known to send no more is owed the messages that have not arrived."""
        self.client.send(b"get q\r\n")
        self.client.protocol.foreseeEnd()
        self.harness.settle()
        self.assertTrue(self.client.protocol.owes)
        self.assertFalse(self.transport.isFinished)
        self.lose()
        self.assertEqual(self.store.dump(), "q 4/0: a b c d")

    def test_underWay(self) -> None:
        """A message not taken before the connection ended is not taken, nor is more."""
        self.client.send(b"get q\r\nget q/t=9\r\nget q q\r\n")
        self.client.protocol.foreseeEnd()
        self.harness.reactor.iterate()
        self.lose()
        self.assertEqual(self.store.dump(), "q 4/0: a b c d")

    def test_errors(self) -> None:
        """Errors and empty answers bring nothing back."""
        self.store.damaged[b"r"] = DamagedMessage("rotten")
        answer = self.last(b"get r\r\nget s\r\nget r/t=9\r\nget s/t=0\r\nget r q\r\n")
        self.assertEqual(answer.count(b"rotten"), 3)
        self.lose()
        self.assertEqual(self.store.dump(), "q 4/0: a b c d")

    def test_holds(self) -> None:
        """Its queue is not taken for idle before the message has arrived."""
        self.last(b"get q\r\n")
        factory = self.harness.factory
        self.assertEqual((factory.holds(b"q"), factory.holds(b"r")), (True, False))
        self.assertEqual(self.client.protocol.replies.queue, deque())
        self.arrive()
        self.assertFalse(self.client.protocol.owes)
        self.assertFalse(factory.holds(b"q"))


class ReadTests(LastTestCase):
    """Reads with options."""

    def test_waits(self) -> None:
        """A client that waits is served, and the next one if it was gone."""
        self.assertEqual(self.last(b"get q/t=5000\r\n"), b"")
        other = self.harness.connect()
        other.send(b"get q/t=5000\r\n")
        self.harness.settle()
        self.harness.connect().talk(b"set q 0 0 1\r\nx\r\n")
        self.assertEqual(self.client.read(), value(b"x", b"q/t=5000"))
        self.assertEqual(other.read(), b"")
        self.lose()
        self.assertEqual(other.read(), value(b"x", b"q/t=5000"))
        self.assertEqual(self.detail().returns, 0)

    def test_waitArrives(self) -> None:
        """When it has arrived, it was taken."""
        self.last(b"get q/t=5000\r\n")
        self.harness.connect().talk(b"set q 0 0 1\r\nx\r\n")
        self.arrive()
        self.lose()
        self.assertEqual(self.store.dump(), "q 1/1:")

    def test_late(self) -> None:
        """Its wait ends as any other."""
        self.last(b"get q/t=5000\r\n")
        self.harness.pass_(5)
        self.assertEqual(self.client.read(), b"END\r\n")
        self.assertTrue(self.client.isClosed)

    def test_openWaits(self) -> None:
        """Nobody could close what is opened later: such waits end at once."""
        for read in (b"get q/open/t=5000\r\n", b"monitor q 5\r\n"):
            client = self.connect()
            client.send(read)
            self.harness.settle()
            self.assertEqual(self.last(b"", client), b"END\r\n")
            client = self.connect()
            self.assertEqual(
                self.last(b"version\r\n" + read, client), VERSION + b"END\r\n"
            )
            self.assertTrue(client.isClosed)

    def test_open(self) -> None:
        """A message that is there is opened, and goes back; it counts if it arrived."""
        self.store.fill(b"q", b"a")
        for arrives, deliveries in ((False, 0), (True, 1)):
            client = self.connect()
            answer = self.last(b"get q/open/t=9\r\n", client)
            self.assertEqual(answer, value(b"a", b"q/open/t=9"))
            if arrives:
                self.arrive(client)
            self.lose(client)
            self.assertEqual(self.detail().returns, deliveries)
            self.assertEqual(self.detail().open, 0)

    def test_monitor(self) -> None:
        """A monitor tells what is there."""
        self.store.fill(b"q", b"a", b"b")
        answer = self.last(b"monitor q 5\r\nconfirm q 1\r\n")
        blocks = value(b"a")[:-5] + value(b"b")
        self.assertEqual(answer, blocks + b"END\r\n")
        self.lose()
        self.assertEqual(self.store.dump(), "q 2/1: b")

    def test_peek(self) -> None:
        """A message that was only looked at is where it was."""
        self.store.fill(b"q", b"a")
        self.assertEqual(self.last(b"get q/peek\r\n"), value(b"a", b"q/peek"))
        self.lose()
        self.assertEqual(self.store.dump(), "q 1/0: a")

    def test_openBefore(self) -> None:
        """Its open read goes back before it waits for something else."""
        self.store.fill(b"q", b"a")
        self.client.talk(b"get q/open\r\n")
        self.last(b"get r/t=5000\r\n")
        self.assertEqual(self.detail().open, 0)
        self.assertEqual(self.detail().returns, 1)

    def test_closedLater(self) -> None:
        """Unless it has sent what closes that."""
        self.store.fill(b"q", b"a")
        self.client.talk(b"get q/open\r\n")
        self.last(b"get r/t=5000\r\nget q/close\r\n")
        self.assertEqual(self.detail().open, 1)
        self.harness.pass_(5)
        self.assertEqual(self.client.read(), b"END\r\nEND\r\n")
        self.assertEqual(self.store.dump(), "q 1/1:")

    def test_openWhileAnother(self) -> None:
        """Its open read goes back with the connection when nothing waits."""
        self.store.fill(b"q", b"a")
        self.client.talk(b"get q/open\r\n")
        self.last(b"version\r\n")
        self.assertEqual(self.detail().open, 1)
        self.lose()
        self.assertEqual(self.detail().open, 0)


class LargeTests(LastTestCase):
    """Bodies in parts."""

    def test_arrives(self) -> None:
        """The parts go when all of them have arrived."""
        for get in (b"get q\r\n", b"get q/t=0\r\n"):
            client = self.connect()
            answer = self.large()
            size = len(self.last(get, client))
            self.assertEqual(size, len(answer) + len(get) - len(b"get q\r\n"))
            self.assertEqual(self.parts(), 1)
            client.transport.arrived = client.transport.written - 1
            self.assertTrue(client.protocol.owes)
            client.transport.arrived += 1
            self.lose(client)
            self.assertEqual(self.parts(), 0)
        self.assertEqual(self.store.dump(), "q 2/2:")

    def test_lost(self) -> None:
        """A body that did not arrive goes back; the message before it has arrived."""
        self.store.fill(b"q", b"a")
        answer = self.large()
        small = value(b"a")
        self.assertEqual(self.last(b"get q\r\nget q\r\n"), small + answer)
        self.transport.arrived = len(small)
        self.lose()
        self.assertEqual(self.harness.connect().talk(b"get q\r\n"), answer)
        self.assertEqual(self.client.protocol.session.outstanding.undelivered, 0)

    def test_breaksOff(self) -> None:
        """So does one of which not all was written, and what arrived before stays."""
        self.store.fill(b"q", b"a")
        answer = self.large()
        self.fullAfterEachWrite()
        small = value(b"a")
        self.last(b"get q\r\nget q\r\n")
        self.client.startReading()
        self.transport.arrived = len(small)
        self.lose()
        self.assertEqual(self.harness.connect().talk(b"get q\r\n"), answer)
        self.assertEqual(self.store.dump(), "q 2/2:")

    def test_foreseenWithin(self) -> None:
        """It may be known in the middle of one that the client sends no more."""
        answer = self.large()
        self.store.fill(b"q", b"a")
        self.fullAfterEachWrite()
        self.client.send(b"get q\r\nget q\r\n")
        self.harness.settle()
        self.client.protocol.foreseeEnd()
        while self.transport.written < len(answer):
            self.client.startReading()
            self.harness.settle()
        self.transport.arrived = len(answer)
        self.lose()
        self.assertEqual(self.store.dump(), "q 2/1: a")

    def test_open(self) -> None:
        """An open read goes back, and is no delivery when it did not arrive."""
        self.large()
        for arrives in (False, True):
            client = self.connect()
            self.last(b"get q/open\r\n", client)
            if arrives:
                self.arrive(client)
            self.lose(client)
            self.assertEqual(self.detail().returns, int(arrives))

    def test_damaged(self) -> None:
        """A damaged body is set aside, as from any client."""
        self.large()

        def part(id: int, number: int) -> bytes:
            raise DamagedMessage("rotten")

        self.patch(self.store, "part", part)
        self.last(b"get q\r\n")
        self.assertTrue(self.transport.disconnecting)
        self.lose()
        self.assertEqual(self.store.dump(), "q 1/1:")


class ManyTests(LastTestCase):
    """Very many of them."""

    options: ClassVar[dict[str, Any]] = {
        "maxConnections": 2,
        "timeouts": {"idleTimeout": 10.0},
    }

    def test_room(self) -> None:
        """Those that wait make room, the oldest first, for they may be gone."""
        second = self.connect()
        self.last(b"get q/t=50000\r\n", second)
        self.last(b"get q/t=50000\r\n")
        third = self.connect()
        self.harness.settle()
        self.assertEqual(second.read(), b"END\r\n")
        self.assertEqual(self.client.read(), b"")
        self.lose(second)
        self.assertEqual(third.talk(b"version\r\n"), VERSION)

    def test_noRoom(self) -> None:
        """Those that are served do not."""
        self.store.fill(b"q", b"a")
        self.connect()
        self.last(b"get q\r\n")
        refused = self.connect()
        self.assertEqual(refused.read(), PLAIN.error(TooManyConnections()))

    def test_idle(self) -> None:
        """One of which nothing arrives is closed as one that does not read."""
        self.store.fill(b"q", b"a")
        self.harness.watch.start()
        self.addCleanup(self.harness.watch.stop)
        self.last(b"get q\r\n")
        self.harness.pass_(12)
        self.assertTrue(self.transport.disconnected)
        self.lose()
        self.assertEqual(self.store.dump(), "q 1/0: a")
