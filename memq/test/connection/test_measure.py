"""The bytes that a connection holds, and may hold."""

from __future__ import annotations

import re

from memq.broker.memorybudget import ALLOWANCE, LEAST_LIMIT, Budget
from memq.errors import StoreError
from memq.message import PART_SIZE
from memq.test.support.harness import Client, Harness
from memq.test.support.sessions import VERSION
from memq.test.support.stepped import SteppedTestCase

STORED = b"STORED\r\n"


def put(body: bytes, words: bytes = b"") -> bytes:
    """Return a set command."""
    return b"set q 0 0 %d%b\r\n%b\r\n" % (len(body), words, body)


class MeasureTestCase(SteppedTestCase):
    """A server with little memory."""

    def setUp(self) -> None:
        """Connect."""
        self.budget = Budget(LEAST_LIMIT)
        self.harness = Harness(budget=self.budget, maxBody=1 << 24)
        self.store = self.harness.store
        self.client = self.harness.connect()

    def tearDown(self) -> None:
        """Check that nothing is held when everybody has gone."""
        for client in self.harness.clients:
            client.leave()
        self.harness.settle()
        self.assertEqual((self.budget.held, self.budget.reserved), (0, 0))
        self.assertEqual(self.harness.factory.lingering, 0)
        super().tearDown()


class RoomTests(MeasureTestCase):
    """Bodies that come in pieces."""

    def occupy(self, count: int) -> list[Client]:
        """Let bodies begin to come that take a part's room each."""
        clients = [self.harness.connect() for _ in range(count)]
        for client in clients:
            client.send(b"set q 0 0 %d\r\nx" % PART_SIZE)
        return clients

    def test_whole(self) -> None:
        """A body that comes in one packet needs no room."""
        self.occupy(16)
        self.assertEqual(self.client.talk(put(b"hello")), STORED)

    def test_waits(self) -> None:
        """One for which there is no room is not read, until there is some."""
        clients = self.occupy(16)
        request = put(b"hello") + b"version\r\n"
        self.client.send(request[:-12])
        self.client.send(request[-12:])
        self.assertTrue(self.client.isPaused)
        self.harness.settle()
        self.assertTrue(self.client.isPaused)
        self.assertEqual(self.client.read(), b"")
        clients[3].leave()
        self.harness.settle()
        self.assertEqual(self.client.talk(b""), STORED + VERSION)

    def test_goneMeanwhile(self) -> None:
        """A client that leaves meanwhile is not waited for."""
        clients = self.occupy(18)
        self.assertEqual(self.budget.waiting, 2)
        clients[16].leave()
        self.assertEqual(self.budget.waiting, 1)
        clients[0].leave()
        clients[17].leave()
        self.harness.settle()
        self.assertEqual(self.budget.waiting, 0)

    def test_refused(self) -> None:
        """When too many wait, a body is thrown away, and that is told."""
        self.occupy(24)
        request = put(b"hello") + put(b"hello", b" noreply") + b"version\r\n"
        for start in range(0, len(request), 7):
            self.client.send(request[start : start + 7])
        answer = b"SERVER_ERROR out of memory storing object\r\n" + VERSION
        self.assertEqual(self.client.talk(b""), answer)

    def test_doesNotGrow(self) -> None:
        """Bytes that come singly are not kept singly."""
        self.client.send(b"set q 0 0 100\r\n")
        for _ in range(50):
            self.client.send(b"xy")
        self.assertEqual(len(self.client.protocol.receiver.collected), 100)
        self.assertEqual(self.client.talk(b"\r\n"), STORED)


class WindowTests(MeasureTestCase):
    """Commands under way."""

    def test_counted(self) -> None:
        """Commands under way count from the allowance on, until they are answered."""
        self.client.send(put(b"x" * 1000))
        self.assertEqual(self.budget.held, 0)
        self.client.send(put(b"x" * ALLOWANCE))
        self.assertGreater(self.budget.held, ALLOWANCE)
        self.assertEqual(self.client.talk(b""), STORED * 2)
        self.assertEqual(self.budget.held, 0)

    def test_pauses(self) -> None:
        """The more others hold, the earlier a connection is not read from."""
        for _ in range(2):
            self.client.send(put(b"x" * 50_000))
        self.assertTrue(self.client.isPaused)
        self.assertEqual(self.client.talk(b""), STORED * 2)
        self.assertFalse(self.client.isPaused)

    def test_gone(self) -> None:
        """Commands that a client leaves behind count until they are carried out."""
        self.client.send(put(b"x" * 50_000) + b"get q\r\nstats\r\n")
        self.client.leave()
        self.assertGreater(self.budget.held, 50_000)
        self.assertEqual(self.harness.factory.lingering, 1)
        self.harness.settle()
        self.assertEqual(self.budget.held, 0)
        self.assertEqual(self.harness.factory.lingering, 0)

    def test_lingeringIsConnected(self) -> None:
        """And it counts as a connection: many that come and go pile up nothing."""
        harness = Harness(maxConnections=1)
        client = harness.connect()
        client.send(put(b"x"))
        client.leave()
        self.assertIn(b"too many", harness.connect().read())
        harness.settle()
        self.assertEqual(harness.connect().talk(b"version\r\n"), VERSION)

    def test_notRead(self) -> None:
        """So does what the transport keeps for a client that does not read."""
        self.store.fill(b"q", b"x" * 60_000)
        real = self.client.transport.write

        def write(data: bytes) -> None:
            real(data)
            self.client.stopReading()

        self.patch(self.client.transport, "write", write)
        self.client.talk(b"get q\r\n")
        self.assertGreater(self.budget.held, 60_000)
        self.client.startReading()
        self.assertEqual(self.budget.held, 0)


class UndeliveredTests(MeasureTestCase):
    """Messages taken for clients."""

    def setUp(self) -> None:
        """Let four messages wait that are larger than what a client may hold."""
        super().setUp()
        self.bodies = [b"%d" % number * 60_000 for number in range(4)]
        self.store.fill(b"q", *self.bodies)
        self.budget.count(1 << 22)

    def tearDown(self) -> None:
        """Give back what was taken for this."""
        self.budget.count(-(1 << 22))
        super().tearDown()

    def expected(self, *bodies: bytes) -> bytes:
        """Return the replies to gets."""
        return b"".join(b"VALUE q 0 %d\r\n%b\r\nEND\r\n" % (len(b), b) for b in bodies)

    def test_singly(self) -> None:
        """Messages are taken one at a time when little is left, in order."""
        self.client.send(b"get q\r\n" * 6 + b"version\r\n")
        self.harness.reactor.iterate()
        self.assertEqual(self.client.protocol.session.outstanding.undelivered, 60_000)
        answer = self.client.talk(b"")
        self.assertTrue(
            answer == self.expected(*self.bodies) + b"END\r\n" * 2 + VERSION
        )
        self.assertEqual(self.client.protocol.outstanding.load, 0)

    def test_singlyAmongOthers(self) -> None:
        """So is what a client asks for that takes little at a time."""
        self.store.fill(b"r", *[b"%d" % number for number in range(9)])
        answer = self.client.talk(b"get r\r\n" * 10)
        bodies = re.findall(rb"VALUE r 0 1\r\n(\d)\r\nEND\r\n", answer)
        self.assertEqual(bodies, [b"%d" % number for number in range(9)])
        self.assertTrue(answer.endswith(b"END\r\nEND\r\n"))

    def test_leaves(self) -> None:
        """A client that leaves then gives back all taken for it, however divided.

        So it is when only some of it was carried out by then.
        """
        self.store.fill(b"r", b"a", b"b", b"c")
        for request in (b"get r\r\n" * 5, b"get q\r\n" * 4):
            client = self.harness.connect()
            client.send(request)
            self.harness.reactor.iterate()
            client.leave()
            self.harness.settle()
            first, second = self.store.dump().splitlines()
            self.assertTrue(first.startswith("q 4/0: 0"))
            self.assertEqual(second, "r 3/0: a b c")

    def test_answers(self) -> None:
        """Answers to stats are undelivered as well, until they are sent."""
        session = self.client.protocol.session
        self.client.send(b"stats\r\nstats queue\r\n")
        self.client.stopReading()
        self.harness.settle()
        self.assertEqual(session.outstanding.undelivered, 0)
        self.client.startReading()
        self.client.send(b"set q 0 0 1\r\nx\r\nstats\r\n")
        self.harness.reactor.iterate()
        self.assertGreater(session.outstanding.undelivered, 500)
        self.harness.settle()
        self.assertEqual(session.outstanding.undelivered, 0)

    def test_answersToNobody(self) -> None:
        """Those of a client that has gone are forgotten, however large."""
        for number in range(3000):
            self.store.fill(b"queue%d" % number, b"x")
        other = self.harness.connect()
        other.send(b"set q 0 0 1\r\nx\r\nstats queue\r\nset q 0 0 1\r\nx\r\n")
        self.harness.reactor.iterate()
        session = other.protocol.session
        self.assertGreater(session.outstanding.undelivered, ALLOWANCE)
        other.leave()
        self.harness.settle()
        self.assertEqual(session.outstanding.undelivered, 0)

    def test_answersOfAnotherTry(self) -> None:
        """A turn that is undone takes its answers with it."""
        self.store.refuse("push", StoreError("no room"), b"bad")
        answer = self.client.talk(b"stats queue\r\nset bad 0 0 1\r\nx\r\n")
        self.assertEqual(answer, b"STAT q 4/0\r\nEND\r\nSERVER_ERROR no room\r\n")
        self.assertEqual(self.client.protocol.session.outstanding.undelivered, 0)
