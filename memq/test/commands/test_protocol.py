"""Sets and gets of a connection; the order of replies: test_connection."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.protocols.memcache import MemCacheProtocol
from twisted.test.iosim import FakeTransport, connect

from memq.broker.memorybudget import MAX_LOAD
from memq.broker.session import UNDELIVERED_BYTES
from memq.errors import DamagedMessage, StoreError, StoreFailed
from memq.operations.base import JOINED
from memq.operations.outstanding import COMMAND_LOAD
from memq.test.support.harness import Client, Harness
from memq.test.support.sessions import VERSION
from memq.test.support.stepped import SteppedTestCase

STORED = b"STORED\r\n"
END = b"END\r\n"
NO_SPACE = b"SERVER_ERROR out of disk space\r\n"


def put(queue: bytes, body: bytes) -> bytes:
    """Return a set command."""
    return b"set %b 0 0 %d\r\n%b\r\n" % (queue, len(body), body)


def value(queue: bytes, body: bytes) -> bytes:
    """Return the block of a message."""
    return b"VALUE %b 0 %d\r\n%b\r\n" % (queue, len(body), body)


#: Commands without a body that a connection may have under way.
MAX_COMMANDS = MAX_LOAD // COMMAND_LOAD


class ProtocolTestCase(SteppedTestCase):
    """A server with one client."""

    options: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        """Connect."""
        self.harness = Harness(**self.options)
        self.store = self.harness.store
        self.client = self.harness.connect()

    def asks(self, request: bytes, reply: bytes) -> None:
        """Check what the client is answered."""
        self.assertEqual(self.client.talk(request), reply)

    def runTurns(self) -> None:
        """Let the broker work, but nothing be flushed."""
        self.harness.reactor.advance(0)


class TwoClientsTestCase(ProtocolTestCase):
    """A server with two clients."""

    def setUp(self) -> None:
        """Connect the other one as well."""
        super().setUp()
        self.other = self.harness.connect()

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.harness.reactor.advance(seconds)
        self.harness.settle()


class StoreErrorTests(ProtocolTestCase):
    """Replies to a client when the store cannot do it."""

    options: ClassVar[dict[str, Any]] = {"flushAllEnabled": True}

    def refused(self, request: bytes) -> bytes:
        """Return the reply, and check that the log has what the client was told."""
        with capturedLogs() as events:
            answer = self.client.talk(request)
        errors = [
            formatEvent(event)
            for event in events
            if event["log_level"] == LogLevel.error
        ]
        self.assertEqual(errors, ["192.168.1.1:54321 is told: page 7 is bad"])
        return answer

    def test_set(self) -> None:
        """A set says why, and nothing is stored; the next one may succeed."""
        self.store.refuse("push", StoreError("page 7 is bad"), times=2)
        self.assertEqual(
            self.refused(put(b"q", b"a")), b"SERVER_ERROR page 7 is bad\r\n"
        )
        self.assertEqual(self.store.dump(), "")
        self.asks(put(b"q", b"b"), STORED)
        self.assertEqual(self.store.dump(), "q 1/0: b")

    def test_noreply(self) -> None:
        """With noreply it is only logged."""
        self.store.refuse("push", StoreError("page 7 is bad"))
        self.assertEqual(self.refused(b"set q 0 0 1 noreply\r\na\r\n"), b"")
        self.store.refuse("delete", StoreError("page 7 is bad"))
        self.assertEqual(self.refused(b"delete q noreply\r\n"), b"")

    def test_get(self) -> None:
        """A get never says END, and the message is still there."""
        self.store.fill(b"q", b"a")
        self.store.refuse("pop", StoreError("page 7 is bad"))
        self.assertEqual(self.refused(b"get q\r\n"), b"SERVER_ERROR page 7 is bad\r\n")
        self.store.forgive()
        self.asks(b"get q\r\n", value(b"q", b"a") + END)

    def test_damaged(self) -> None:
        """So where the message was damaged."""
        self.store.damaged[b"q"] = DamagedMessage("number 5")
        self.asks(b"get q\r\n", b"SERVER_ERROR damaged message set aside: number 5\r\n")

    def test_delete(self) -> None:
        """A delete that failed is no NOT_FOUND."""
        self.store.fill(b"q", b"a")
        self.store.refuse("delete", StoreError("page 7 is bad"))
        self.assertEqual(
            self.refused(b"delete q\r\n"), b"SERVER_ERROR page 7 is bad\r\n"
        )

    def test_flushAll(self) -> None:
        """A flush_all that failed is not OK."""
        self.store.fill(b"q", b"a")
        self.store.refuse("empty", StoreError("page 7 is bad"))
        self.assertEqual(
            self.refused(b"flush_all\r\n"), b"SERVER_ERROR page 7 is bad\r\n"
        )
        self.assertEqual(self.store.dump(), "q 1/0: a")

    def test_unforeseen(self) -> None:
        """An unforeseen error is an error of the server, and logged in full."""
        self.store.refuse("push", ZeroDivisionError(), b"q")
        self.asks(
            put(b"q", b"a") + put(b"r", b"b"),
            b"SERVER_ERROR internal error\r\n" + STORED,
        )
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_failed(self) -> None:
        """When the store cannot go on, all who wait are told, and closed."""
        self.store.fill(b"q", b"a")
        other = self.harness.connect()
        self.store.refuse("flush", StoreFailed("the disk is gone"))
        self.client.send(put(b"q", b"b") + b"get q\r\nversion\r\n")
        other.send(b"get q\r\n")
        self.harness.settle()
        failed = b"SERVER_ERROR the disk is gone\r\n"
        self.assertEqual(self.client.read(), failed * 2 + VERSION)
        self.assertEqual(other.read(), failed)
        self.assertTrue(self.client.isClosed)
        self.assertTrue(other.isClosed)

    def test_failedSilently(self) -> None:
        """A client that wants no reply is only closed."""
        self.store.refuse("flush", StoreFailed("the disk is gone"))
        self.asks(b"set q 0 0 1 noreply\r\na\r\n", b"")
        self.assertTrue(self.client.isClosed)


class FullDiskTests(ProtocolTestCase):
    """Less room than --min-free."""

    def setUp(self) -> None:
        """Let the disk be full."""
        super().setUp()
        self.store.fill(b"q", b"a")
        self.harness.fillDisk()

    def test_set(self) -> None:
        """A set is refused in its place; get and delete go on."""
        self.asks(
            b"get q\r\n" + put(b"q", b"b") + b"delete q\r\n",
            value(b"q", b"a") + END + NO_SPACE + b"DELETED\r\n",
        )
        self.assertEqual(self.store.dump(), "")

    def test_noreply(self) -> None:
        """With noreply a full disk refuses silently."""
        self.asks(b"set q 0 0 1 noreply\r\nb\r\n", b"")
        self.assertEqual(self.store.dump(), "q 1/0: a")

    def test_roomAgain(self) -> None:
        """When there is room again sets are taken."""
        self.harness.makeRoom()
        self.asks(put(b"q", b"b"), STORED)


class AttributeTests(ProtocolTestCase):
    """The attributes that a connection keeps."""

    def test_few(self) -> None:
        """A connection in use has no more attributes than Python finds fast."""
        self.client.talk(b"set q 0 0 2\r\nhi\r\nget q q\r\nget q/t=1\r\npause q\r\n")
        self.assertLessEqual(len(vars(self.client.protocol)), 29)


class JoinedTests(ProtocolTestCase):
    """Sets, or gets, that come in one packet one behind the other."""

    def test_together(self) -> None:
        """They are few operations, answered one by one and in order."""
        count = JOINED + 1
        bodies = [b"%d" % number for number in range(count)]
        self.client.send(b"".join([put(b"q", body) for body in bodies]))
        self.assertEqual(len(self.client.protocol.session.inbox), 2)
        self.asks(b"", STORED * count)
        self.client.send(b"get q\r\n" * (count + 1))
        self.assertEqual(len(self.client.protocol.session.inbox), 2)
        self.asks(b"", b"".join([value(b"q", body) + END for body in bodies]) + END)

    def test_between(self) -> None:
        """Whatever comes between them is answered between them."""
        for between, answer in (
            (b"version\r\n", VERSION),
            (b"get none\r\n", END),
            (b"get none none\r\n", END),
            (b"delete none\r\n", b"NOT_FOUND\r\n"),
            (b"add q 0 0 1\r\nx\r\n", b"CLIENT_ERROR not a number\r\n"),
        ):
            one = put(b"q", b"1") + between
            self.asks(
                one * 2 + b"get q\r\n", (STORED + answer) * 2 + value(b"q", b"1") + END
            )
            self.client.talk(b"delete q\r\n")

    def test_packets(self) -> None:
        """A command that comes in another packet is another operation."""
        for _ in range(2):
            self.client.send(put(b"q", b"1"))
        self.client.send(b"get q\r\n")
        self.client.send(b"get q\r\n")
        self.assertEqual(len(self.client.protocol.session.inbox), 4)

    def test_silently(self) -> None:
        """One with noreply among them has none."""
        silent = b"set q 0 0 1 noreply\r\n2\r\n"
        self.asks(put(b"q", b"1") + silent * 2 + put(b"q", b"3"), STORED * 2)
        self.assertEqual(self.store.dump(), "q 4/0: 1 2 2 3")

    def test_failed(self) -> None:
        """Each is told its own error."""
        self.store.refuse("push", StoreError("bad page"), b"q", b"2")
        self.store.refuse("push", StoreError("bad page"), b"q", b"4", times=2)
        self.asks(
            put(b"q", b"1") + put(b"q", b"2") + put(b"q", b"3"),
            STORED + b"SERVER_ERROR bad page\r\n" + STORED,
        )
        silent = b"set q 0 0 1 noreply\r\n4\r\n"
        self.asks(silent * 2, b"")
        self.assertEqual(self.store.dump(), "q 3/0: 1 3 4")
        self.assertEqual(self.client.talk(b"stats\r\n").count(b"set_hits 3\r\n"), 1)

    def test_lost(self) -> None:
        """A client that is gone during the flush gives all of them back."""
        self.store.fill(b"q", b"a", b"b", b"c")
        self.client.send(b"get q\r\n" * 4)
        self.runTurns()
        self.assertEqual(self.store.dump(), "q 3/3:")
        self.client.end()
        self.assertEqual(self.store.dump(), "q 3/0: a b c")


class MultiGetTests(ProtocolTestCase):
    """A get of several names."""

    def test_slices(self) -> None:
        """A get of 4,000 names asks for some at a time, and gives all in order."""
        names = [b"q%d" % number for number in range(4000)]
        for name in names:
            self.store.fill(name, b"body of " + name)
        self.client.send(b"get " + b" ".join(names) + b"\r\nversion\r\n")
        self.assertEqual(self.harness.broker.waiting, MAX_COMMANDS)
        self.asks(
            b"",
            b"".join([value(name, b"body of " + name) for name in names])
            + END
            + VERSION,
        )
        self.assertFalse(self.client.isPaused)

    def test_exactlyOneSlice(self) -> None:
        """A get of as many as fit at once still ends."""
        for count in range(MAX_COMMANDS - 1, MAX_COMMANDS + 2):
            self.asks(b"get" + b" q" * count + b"\r\nversion\r\n", END + VERSION)

    def test_large(self) -> None:
        """Of large messages no more is taken than a client may have undelivered."""
        names = [b"q%d" % number for number in range(40)]
        for name in names:
            self.store.fill(name, b"x" * (UNDELIVERED_BYTES // 16))
        self.client.send(b"get " + b" ".join(names) + b"\r\n")
        self.runTurns()
        self.assertEqual(self.store.status()["messages"], 24)
        self.harness.settle()
        self.assertEqual(self.client.read().count(b"VALUE"), 40)

    def test_error(self) -> None:
        """An error ends it, and messages behind the error stay where they were."""
        for name in (b"a", b"b", b"c"):
            self.store.fill(name, b"1", b"2")
        self.store.refuse("pop", StoreError("bad page"), b"b")
        self.asks(
            b"get a b c none b a\r\nversion\r\n",
            value(b"a", b"1") + b"SERVER_ERROR bad page\r\n" + VERSION,
        )
        self.assertEqual(self.store.dump(), "a 2/1: 2\nb 2/0: 1 2\nc 2/0: 1 2")
        self.assertEqual(self.client.protocol.session.outstanding.undelivered, 0)

    def test_damaged(self) -> None:
        """So where a message is damaged."""
        self.store.fill(b"a", b"1")
        self.store.fill(b"c", b"3")
        self.store.damaged[b"b"] = DamagedMessage("number 5")
        self.assertEqual(
            self.client.talk(b"gets a b c\r\n").split(b"\r\n")[1:],
            [b"1", b"SERVER_ERROR damaged message set aside: number 5", b""],
        )
        self.assertEqual(self.store.dump(), "a 1/1:\nc 1/0: 3")

    def test_errorInFirstSlice(self) -> None:
        """Names that were not asked for yet are not asked for any more."""
        names = [b"q%d" % number for number in range(3000)]
        self.store.fill(b"q2999", b"last")
        self.store.refuse("pop", StoreError("bad page"), b"q0")
        self.asks(b"get " + b" ".join(names) + b"\r\n", b"SERVER_ERROR bad page\r\n")
        self.assertEqual(self.store.dump(), "q2999 1/0: last")
        self.asks(b"get q2999\r\n", value(b"q2999", b"last") + END)

    def test_gone(self) -> None:
        """A client that leaves in its middle costs nothing."""
        names = [b"q%d" % number for number in range(3000)]
        for name in (b"q0", b"q500", b"q2999"):
            self.store.fill(name, b"1")
        self.client.send(b"get " + b" ".join(names) + b"\r\n")
        self.runTurns()
        self.client.end()
        self.assertEqual(self.store.dump(), "q0 1/0: 1\nq2999 1/0: 1\nq500 1/0: 1")


class TwistedClientTests(SteppedTestCase):
    """Twisted's own client of memcached."""

    def setUp(self) -> None:
        """Join a client and a server."""
        self.harness = Harness(flushAllEnabled=True)
        server = self.harness.factory.buildProtocol(None)
        self.client = MemCacheProtocol()
        self.patch(self.client, "callLater", self.harness.reactor.callLater)
        self.pump = connect(
            server,
            FakeTransport(server, isServer=True),
            self.client,
            FakeTransport(self.client, isServer=False),
        )

    def result(self, deferred: Any) -> Any:
        """Return what a call comes to."""
        moved = True
        while moved:
            moved = self.pump.flush()
            self.harness.settle()
        return self.successResultOf(deferred)

    def test_messages(self) -> None:
        """It sets, gets and deletes."""
        self.assertTrue(self.result(self.client.set(b"q", b"hello", flags=7)))
        self.assertTrue(self.result(self.client.set(b"q", b"world\r\nEND")))
        self.assertEqual(self.result(self.client.get(b"q")), (7, b"hello"))
        self.assertEqual(self.result(self.client.get(b"q")), (0, b"world\r\nEND"))
        self.assertEqual(self.result(self.client.get(b"q")), (0, None))
        self.assertTrue(self.result(self.client.delete(b"q")))
        self.assertFalse(self.result(self.client.delete(b"q")))

    def test_several(self) -> None:
        """It gets from several queues, with and without a sequence number."""
        for _ in range(2):
            for queue in (b"a", b"b"):
                self.result(self.client.set(queue, b"in " + queue))
        self.assertEqual(
            self.result(self.client.getMultiple([b"a", b"b", b"c"])),
            {b"a": (0, b"in a"), b"b": (0, b"in b"), b"c": (0, None)},
        )
        got = self.result(self.client.getMultiple([b"a", b"c"], withIdentifier=True))
        self.assertEqual(got[b"a"][::2], (0, b"in a"))

    def test_others(self) -> None:
        """It asks for the version and for figures, and empties."""
        version = self.result(self.client.version())
        self.assertEqual(b"VERSION %b\r\n" % version, VERSION)
        self.result(self.client.set(b"q", b"a"))
        self.assertEqual(self.result(self.client.stats(b"queue")), {b"q": b"1/0"})
        self.assertEqual(self.result(self.client.stats())[b"set_hits"], b"1")
        self.assertTrue(self.result(self.client.flushAll()))
        self.assertEqual(self.result(self.client.get(b"q")), (0, None))

    def test_pipelined(self) -> None:
        """It need not wait for replies."""
        sets = [self.client.set(b"q", b"%d" % number) for number in range(100)]
        gets = [self.client.get(b"q") for _ in range(100)]
        self.result(self.client.version())
        self.assertTrue(all(map(self.successResultOf, sets)))
        self.assertEqual(
            [self.successResultOf(each)[1] for each in gets],
            [b"%d" % number for number in range(100)],
        )


class ManyClientsTests(SteppedTestCase):
    """Clients beside each other."""

    def test_eachOnce(self) -> None:
        """Every message goes to one client, in order, and none is lost."""
        harness = Harness()
        clients: list[Client] = [harness.connect() for _ in range(20)]
        for number, client in enumerate(clients):
            for n in range(50):
                client.send(put(b"q", b"%d-%d" % (number, n)))
        for client in clients:
            client.send(b"get q\r\n" * 60)
        harness.settle()
        got = [client.read() for client in clients]
        for answer in got:
            self.assertTrue(answer.startswith(STORED * 50))
        bodies = [
            tuple(map(int, line.split(b"-")))
            for answer in got
            for line in answer.split(b"\r\n")
            if b"-" in line
        ]
        self.assertEqual(
            sorted(bodies), [(number, n) for number in range(20) for n in range(50)]
        )
        self.assertEqual(sum(answer.count(END) for answer in got), 20 * 60)
