"""What a connection does with commands and replies; what it says: test_sessions."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.internet.address import IPv6Address, UNIXAddress
from twisted.internet.interfaces import ITCPTransport, IUNIXTransport
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.protocols.memcache import MemCacheProtocol
from twisted.test.iosim import FakeTransport, connect
from zope.interface import directlyProvides

from memq.budget import MAX_LOAD
from memq.errors import DamagedMessage, StoreError, StoreFailed
from memq.operations import JOINED
from memq.protocol import COMMAND_LOAD
from memq.session import UNDELIVERED_BYTES
from memq.test.harness import Client, Harness, Transport
from memq.test.sessions import VERSION
from memq.test.stepped import SteppedTestCase

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

    def runTurns(self) -> None:
        """Let the broker work, but nothing be flushed."""
        self.harness.reactor.advance(0)


class OrderTests(ProtocolTestCase):
    """Replies come in order, and when they are true."""

    def test_stored(self) -> None:
        """STORED is not said before the message is synced."""
        self.client.send(put(b"q", b"a"))
        self.runTurns()
        self.assertEqual(self.store.dump(), "q 1/0: a")
        self.assertEqual(self.client.read(), b"")
        self.harness.flushPool.step()
        self.runTurns()
        self.assertEqual(self.store.journal[-1], "flush")
        self.assertEqual(self.client.read(), STORED)

    def test_taken(self) -> None:
        """A message is not given away before it is known to be taken."""
        self.store.fill(b"q", b"a")
        self.client.send(b"get q\r\n")
        self.runTurns()
        self.assertEqual(self.client.read(), b"")
        self.assertEqual(self.client.talk(b""), value(b"q", b"a") + END)

    def test_deleted(self) -> None:
        """Nor is DELETED said before."""
        self.store.fill(b"q", b"a")
        self.client.send(b"delete q\r\n")
        self.runTurns()
        self.assertEqual(self.client.read(), b"")
        self.assertEqual(self.client.talk(b""), b"DELETED\r\n")

    def test_nothingChanged(self) -> None:
        """What changed nothing waits for no flush."""
        self.client.send(b"get q\r\ndelete q\r\nstats queue\r\nversion\r\n")
        self.runTurns()
        self.assertEqual(self.client.read(), END + b"NOT_FOUND\r\n" + END + VERSION)
        self.assertEqual(self.harness.flushPool.pending, 0)

    def test_place(self) -> None:
        """But it keeps its place behind what does wait."""
        self.client.send(put(b"q", b"a"))
        self.runTurns()
        self.client.send(b"get other\r\nversion\r\nfoo\r\n")
        self.runTurns()
        self.assertEqual(self.client.read(), b"")
        self.assertEqual(self.client.talk(b""), STORED + END + VERSION + b"ERROR\r\n")

    def test_atOnce(self) -> None:
        """Without the store a reply is there before anything else happens."""
        self.client.send(b"version\r\nnonsense\r\n")
        self.assertEqual(self.client.read(), VERSION + b"ERROR\r\n")

    def test_oneWrite(self) -> None:
        """All that is ready leaves in one write."""
        writes: list[bytes] = []
        self.patch(self.client.transport, "write", writes.append)
        self.client.send(put(b"q", b"a") * 3 + b"get q\r\n")
        self.harness.settle()
        self.assertEqual(writes, [STORED * 3 + value(b"q", b"a") + END])

    def test_noSync(self) -> None:
        """With --no-sync nothing waits for a flush."""
        self.harness.broker.durable = False
        self.client.send(put(b"q", b"a") + b"get q\r\n")
        self.runTurns()
        self.assertEqual(self.client.read(), STORED + value(b"q", b"a") + END)
        self.assertEqual(self.harness.flushPool.pending, 0)

    def test_twoClients(self) -> None:
        """One client's slow replies do not hold up another's."""
        other = self.harness.connect()
        self.client.send(b"db_checkpoint\r\nget q\r\n")
        other.send(b"get q\r\n")
        self.runTurns()
        self.assertEqual(self.client.read(), b"")
        self.assertEqual(other.read(), END)
        self.assertEqual(self.client.talk(b""), b"OK\r\n" + END)


class StoreErrorTests(ProtocolTestCase):
    """What a client hears when the store cannot do it."""

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
        self.assertEqual(self.client.talk(put(b"q", b"b")), STORED)
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
        self.assertEqual(self.client.talk(b"get q\r\n"), value(b"q", b"a") + END)

    def test_damaged(self) -> None:
        """So where the message was damaged."""
        self.store.damaged[b"q"] = DamagedMessage("number 5")
        self.assertEqual(
            self.client.talk(b"get q\r\n"),
            b"SERVER_ERROR damaged message set aside: number 5\r\n",
        )

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
        """What nobody foresaw is an error of the server, and logged in full."""
        self.store.refuse("push", ZeroDivisionError(), b"q")
        self.assertEqual(
            self.client.talk(put(b"q", b"a") + put(b"r", b"b")),
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
        self.assertEqual(self.client.talk(b"set q 0 0 1 noreply\r\na\r\n"), b"")
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
        self.assertEqual(
            self.client.talk(b"get q\r\n" + put(b"q", b"b") + b"delete q\r\n"),
            value(b"q", b"a") + END + NO_SPACE + b"DELETED\r\n",
        )
        self.assertEqual(self.store.dump(), "")

    def test_noreply(self) -> None:
        """With noreply silently."""
        self.assertEqual(self.client.talk(b"set q 0 0 1 noreply\r\nb\r\n"), b"")
        self.assertEqual(self.store.dump(), "q 1/0: a")

    def test_roomAgain(self) -> None:
        """When there is room again sets are taken."""
        self.harness.makeRoom()
        self.assertEqual(self.client.talk(put(b"q", b"b")), STORED)


class JoinedTests(ProtocolTestCase):
    """Sets, or gets, that come in one packet one behind the other."""

    def test_together(self) -> None:
        """They are few operations, answered one by one and in order."""
        count = JOINED + 1
        bodies = [b"%d" % number for number in range(count)]
        self.client.send(b"".join([put(b"q", body) for body in bodies]))
        self.assertEqual(len(self.client.protocol.session.inbox), 2)
        self.assertEqual(self.client.talk(b""), STORED * count)
        self.client.send(b"get q\r\n" * (count + 1))
        self.assertEqual(len(self.client.protocol.session.inbox), 2)
        self.assertEqual(
            self.client.talk(b""),
            b"".join([value(b"q", body) + END for body in bodies]) + END,
        )

    def test_between(self) -> None:
        """Whatever comes between them is answered between them."""
        for between, answer in (
            (b"version\r\n", VERSION),
            (b"get none\r\n", END),
            (b"get none none\r\n", END),
            (b"delete none\r\n", b"NOT_FOUND\r\n"),
            (b"set q 0 0 1\r\nabc", b"CLIENT_ERROR bad data chunk\r\n"),
        ):
            one = put(b"q", b"1") + between
            self.assertEqual(
                self.client.talk(one * 2 + b"get q\r\n"),
                (STORED + answer) * 2 + value(b"q", b"1") + END,
            )
            self.client.talk(b"delete q\r\n")

    def test_packets(self) -> None:
        """What comes in another packet is another operation."""
        for _ in range(2):
            self.client.send(put(b"q", b"1"))
        self.client.send(b"get q\r\n")
        self.client.send(b"get q\r\n")
        self.assertEqual(len(self.client.protocol.session.inbox), 4)

    def test_silently(self) -> None:
        """One with noreply among them has none."""
        silent = b"set q 0 0 1 noreply\r\n2\r\n"
        self.assertEqual(
            self.client.talk(put(b"q", b"1") + silent * 2 + put(b"q", b"3")),
            STORED * 2,
        )
        self.assertEqual(self.store.dump(), "q 4/0: 1 2 2 3")

    def test_failed(self) -> None:
        """Each is told its own error."""
        self.store.refuse("push", StoreError("bad page"), b"q", b"2")
        self.store.refuse("push", StoreError("bad page"), b"q", b"4", times=2)
        self.assertEqual(
            self.client.talk(put(b"q", b"1") + put(b"q", b"2") + put(b"q", b"3")),
            STORED + b"SERVER_ERROR bad page\r\n" + STORED,
        )
        silent = b"set q 0 0 1 noreply\r\n4\r\n"
        self.assertEqual(self.client.talk(silent * 2), b"")
        self.assertEqual(self.store.dump(), "q 3/0: 1 3 4")
        self.assertEqual(self.client.talk(b"stats\r\n").count(b"set_hits 3\r\n"), 1)

    def test_lost(self) -> None:
        """A client that is gone during the flush gives all of them back."""
        self.store.fill(b"q", b"a", b"b", b"c")
        self.client.send(b"get q\r\n" * 4)
        self.runTurns()
        self.assertEqual(self.store.dump(), "q 3/3:")
        self.client.leave()
        self.harness.settle()
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
        self.assertEqual(
            self.client.talk(b""),
            b"".join([value(name, b"body of " + name) for name in names])
            + END
            + VERSION,
        )
        self.assertFalse(self.client.isPaused)

    def test_exactlyOneSlice(self) -> None:
        """A get of as many as fit at once still ends."""
        for count in range(MAX_COMMANDS - 1, MAX_COMMANDS + 2):
            self.assertEqual(
                self.client.talk(b"get" + b" q" * count + b"\r\nversion\r\n"),
                END + VERSION,
            )

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
        self.assertEqual(
            self.client.talk(b"get a b c none b a\r\nversion\r\n"),
            value(b"a", b"1") + b"SERVER_ERROR bad page\r\n" + VERSION,
        )
        self.assertEqual(self.store.dump(), "a 2/1: 2\nb 2/0: 1 2\nc 2/0: 1 2")
        self.assertEqual(self.client.protocol.session.undelivered, 0)

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
        self.assertEqual(
            self.client.talk(b"get " + b" ".join(names) + b"\r\n"),
            b"SERVER_ERROR bad page\r\n",
        )
        self.assertEqual(self.store.dump(), "q2999 1/0: last")
        self.assertEqual(
            self.client.talk(b"get q2999\r\n"), value(b"q2999", b"last") + END
        )

    def test_gone(self) -> None:
        """A client that leaves in its middle costs nothing."""
        names = [b"q%d" % number for number in range(3000)]
        for name in (b"q0", b"q500", b"q2999"):
            self.store.fill(name, b"1")
        self.client.send(b"get " + b" ".join(names) + b"\r\n")
        self.runTurns()
        self.client.leave()
        self.harness.settle()
        self.assertEqual(self.store.dump(), "q0 1/0: 1\nq2999 1/0: 1\nq500 1/0: 1")


class PauseTests(ProtocolTestCase):
    """What a connection can pile up is bounded."""

    def test_replies(self) -> None:
        """With too many replies under way it is not read from; nothing is lost."""
        self.client.send(put(b"q", b"x") * (MAX_COMMANDS + 10))
        self.assertTrue(self.client.isPaused)
        self.assertEqual(self.harness.broker.waiting, MAX_COMMANDS)
        self.client.send(b"get q\r\n")
        self.assertEqual(
            self.client.talk(b""),
            STORED * (MAX_COMMANDS + 10) + value(b"q", b"x") + END,
        )
        self.assertFalse(self.client.isPaused)

    def test_bytes(self) -> None:
        """So with too many bytes of bodies."""
        self.harness.broker.budget.window = 100 + 2 * COMMAND_LOAD
        self.client.send(put(b"q", b"x" * 60))
        self.assertFalse(self.client.isPaused)
        self.client.send(put(b"q", b"y" * 40) + put(b"q", b"z"))
        self.assertTrue(self.client.isPaused)
        self.assertEqual(self.harness.broker.waiting, 2)
        self.assertEqual(self.client.talk(b""), STORED * 3)
        self.client.send(put(b"q", b"x" * 60))
        self.assertFalse(self.client.isPaused)

    def test_gets(self) -> None:
        """So with too many gets."""
        self.client.send(b"get q\r\n" * (MAX_COMMANDS + 10))
        self.assertTrue(self.client.isPaused)
        self.assertEqual(self.harness.broker.waiting, MAX_COMMANDS)
        self.assertEqual(self.client.talk(b""), END * (MAX_COMMANDS + 10))
        self.assertFalse(self.client.isPaused)
        self.assertEqual(self.client.protocol._load, 0)

    def test_refusedBytes(self) -> None:
        """Bodies that were refused do not count for ever."""
        self.harness.fillDisk()
        for _ in range(5):
            body = b"x" * (MAX_LOAD // 4)
            self.assertEqual(self.client.talk(put(b"q", body)), NO_SPACE)
        self.assertFalse(self.client.isPaused)

    def test_answeredAtOnce(self) -> None:
        """Replies that need no store do not pile up at all."""
        self.patch(self.client.transport, "pauseProducing", self.fail)
        self.client.send(b"version\r\n" * (MAX_COMMANDS * 2))
        self.assertEqual(self.client.read(), VERSION * (MAX_COMMANDS * 2))
        self.assertFalse(self.client.isPaused)

    def test_notReading(self) -> None:
        """A client that does not read its replies gets nothing taken for it."""
        self.store.fill(b"q", b"a", b"b")
        self.client.send(b"get q\r\n")
        self.client.stopReading()
        self.client.send(b"get q\r\n")
        self.harness.settle()
        self.assertEqual(self.store.dump(), "q 2/0: a b")
        self.assertEqual(self.client.read(), b"")
        self.client.startReading()
        self.assertEqual(
            self.client.talk(b""), value(b"q", b"a") + END + value(b"q", b"b") + END
        )

    def test_notReadingIsNotRead(self) -> None:
        """It is not read from either, whatever it sends."""
        self.assertTrue(self.client.transport.streaming)
        self.client.stopReading()
        self.assertTrue(self.client.isPaused)
        self.assertEqual(self.client.talk(b"version\r\n"), b"")
        self.client.startReading()
        self.assertFalse(self.client.isPaused)
        self.assertEqual(self.client.talk(b""), VERSION)

    def test_notReadingHalfWay(self) -> None:
        """So when it stops in the middle of a packet."""
        write = self.client.transport.write

        def fullAfterwards(data: bytes) -> None:
            write(data)
            self.client.stopReading()

        self.patch(self.client.transport, "write", fullAfterwards)
        self.client.send(b"version\r\n" * (MAX_COMMANDS + 5))
        self.assertEqual(self.client.read(), VERSION * MAX_COMMANDS)
        self.client.startReading()
        self.assertEqual(self.client.read(), VERSION * 5)

    def test_sentAtOnce(self) -> None:
        """A transport that is full and empty again within a write changes nothing."""
        write = self.client.transport.write

        def sendAtOnce(data: bytes) -> None:
            write(data)
            self.client.stopReading()
            self.client.startReading()

        self.patch(self.client.transport, "write", sendAtOnce)
        count = MAX_COMMANDS * 2 + 7
        self.assertEqual(self.client.talk(b"version\r\n" * count), VERSION * count)
        self.assertEqual(
            self.client.talk(put(b"q", b"x") * count + b"get q\r\n"),
            STORED * count + value(b"q", b"x") + END,
        )

    def test_others(self) -> None:
        """Others are served meanwhile."""
        self.client.stopReading()
        self.client.send(b"get q\r\n")
        other = self.harness.connect()
        self.assertEqual(other.talk(put(b"q", b"a")), STORED)
        self.assertEqual(other.talk(b"get q\r\n"), value(b"q", b"a") + END)

    def test_pausedTwice(self) -> None:
        """One that does not read and has much under way goes on after both."""
        self.client.send(put(b"q", b"x") * (MAX_COMMANDS + 1))
        self.client.stopReading()
        self.harness.settle()
        self.assertEqual(self.store.dump(), "")
        self.client.startReading()
        self.assertTrue(self.client.isPaused)
        self.assertEqual(self.client.talk(b""), STORED * (MAX_COMMANDS + 1))


class EndTests(ProtocolTestCase):
    """How a connection ends."""

    def test_quit(self) -> None:
        """Quit closes when all before it is answered."""
        self.client.send(put(b"q", b"a") + b"quit\r\n")
        self.runTurns()
        self.assertFalse(self.client.isClosed)
        self.assertEqual(self.client.talk(b""), STORED)
        self.assertTrue(self.client.isClosed)
        self.assertIsNone(self.client.transport.producer)

    def test_web(self) -> None:
        """What follows a line of HTTP is not carried out."""
        self.client.talk(b"POST / HTTP/1.1\r\n" + put(b"q", b"a"))
        self.assertTrue(self.client.isClosed)
        self.assertEqual(self.store.dump(), "")

    def test_finish(self) -> None:
        """At the end what was taken is answered, and nothing more is taken."""
        self.client.send(put(b"q", b"a") + b"set q 0 0 5\r\nhel")
        self.client.protocol.finish()
        self.assertFalse(self.client.isClosed)
        self.assertEqual(self.client.talk(b"lo\r\nversion\r\n"), STORED)
        self.assertTrue(self.client.isClosed)
        self.assertEqual(self.store.dump(), "q 1/0: a")

    def test_finishMultiGet(self) -> None:
        """A get of many names that was taken is answered to its end."""
        names = b" ".join([b"q%d" % number for number in range(2000)])
        self.store.fill(b"q1999", b"last")
        self.client.send(b"get " + names + b"\r\nversion\r\n")
        self.client.protocol.finish()
        self.assertEqual(self.client.talk(b""), value(b"q1999", b"last") + END)
        self.assertTrue(self.client.isClosed)

    def test_finishIdle(self) -> None:
        """A connection without a command under way is closed at once."""
        self.client.protocol.finish()
        self.assertTrue(self.client.isClosed)

    def test_finishTwice(self) -> None:
        """To finish one that is closed already changes nothing."""
        self.client.talk(b"quit\r\n")
        self.client.protocol.finish()
        self.assertTrue(self.client.isClosed)

    def test_lostBeforeTurn(self) -> None:
        """A get whose client is gone before it ran takes nothing; a set counts."""
        self.store.fill(b"q", b"a")
        self.client.send(b"get q\r\n" + put(b"q", b"b") + b"gets q\r\nstats queue\r\n")
        self.client.leave()
        self.harness.settle()
        self.assertEqual(self.store.dump(), "q 2/0: a b")
        self.assertEqual(self.client.read(), b"")

    def test_lostDuringFlush(self) -> None:
        """A message whose client is gone before it is sent goes to its old place."""
        self.store.fill(b"q", b"a", b"b")
        self.client.send(b"get q\r\n" + put(b"q", b"c"))
        self.runTurns()
        self.assertEqual(self.store.dump(), "q 3/1: b c")
        self.client.leave()
        self.harness.settle()
        self.assertEqual(self.store.dump(), "q 3/0: a b c")

    def test_lostBehind(self) -> None:
        """So one that was only waiting for replies before it, without delay."""
        self.store.fill(b"q", b"a")
        self.client.send(b"db_checkpoint\r\nget q\r\n")
        self.runTurns()
        self.harness.flushPool.step()
        self.runTurns()
        self.assertEqual(self.store.dump(), "q 1/1:")
        self.client.leave()
        self.runTurns()
        self.assertEqual(self.store.dump(), "q 1/0: a")
        self.harness.settle()
        self.assertEqual(self.store.dump(), "q 1/0: a")

    def test_lostNotReading(self) -> None:
        """What was sent by a client that never read still counts."""
        self.store.fill(b"q", b"a")
        self.client.send(put(b"r", b"b") + b"get q\r\n")
        self.client.stopReading()
        self.harness.settle()
        self.assertEqual(self.store.dump(), "q 1/0: a")
        self.client.leave()
        self.harness.settle()
        self.assertEqual(self.store.dump(), "q 1/0: a\nr 1/0: b")

    def test_lostBodies(self) -> None:
        """Half a body of a client that is gone is forgotten."""
        self.client.send(b"set q 0 0 100\r\n" + b"x" * 50)
        self.client.leave()
        self.harness.settle()
        self.assertEqual(self.store.dump(), "")
        self.assertEqual(self.client.protocol._collected, b"")
        self.assertEqual(self.harness.factory.connections, set())

    def test_stopProducing(self) -> None:
        """A transport that is done with its producer asks for nothing more."""
        self.client.transport.producer.stopProducing()
        self.assertEqual(self.client.talk(b"version\r\n"), VERSION)


class LogTests(SteppedTestCase):
    """What is logged of what clients do."""

    def logged(
        self, verbosity: int, request: bytes, transport: Any = None
    ) -> list[tuple[str, str]]:
        """Return level and text of the events."""
        harness = Harness(verbosity=verbosity)
        with capturedLogs() as events:
            harness.connect(transport).talk(request)
        return [(event["log_level"].name, str(formatEvent(event))) for event in events]

    def test_quiet(self) -> None:
        """By default what clients do wrong is not."""
        self.assertEqual(self.logged(0, b"get \1\r\nget q\r\n"), [])

    def test_errors(self) -> None:
        """With -v every error that a client is told is, those with noreply too."""
        told = (
            "warn",
            "192.168.1.1:54321 is told: CLIENT_ERROR bad command line format",
        )
        self.assertEqual(
            self.logged(1, b"get \1\r\nget q\r\ndelete \1 noreply\r\n"), [told, told]
        )

    def test_commands(self) -> None:
        """With -vv every command is as well."""
        levels, lines = zip(
            *self.logged(2, put(b"q", b"a") + b"get q\r\nfoo\r\n"), strict=True
        )
        self.assertEqual(levels, ("info", "info", "info", "warn"))
        self.assertIn("192.168.1.1:54321 Set(queue=b'q'", lines[0])
        self.assertIn("Get(queues=(b'q',)", lines[1])
        self.assertIn("Refused(", lines[2])

    def test_ipv6(self) -> None:
        """A peer over IPv6 is named by its address and port."""
        transport = Transport(peerAddress=IPv6Address("TCP", "::1", 4000))
        [(_, line)] = self.logged(1, b"foo\r\n", transport)
        self.assertEqual(line, "::1:4000 is told: ERROR")

    def test_local(self) -> None:
        """One over a UNIX socket has no name."""
        transport = Transport(peerAddress=UNIXAddress(None))
        [(_, line)] = self.logged(1, b"foo\r\n", transport)
        self.assertEqual(line, "a local client is told: ERROR")


class SocketTransport(Transport):
    """A transport that notes the options of its socket."""

    def __init__(self, *interfaces: Any) -> None:
        """Claim to provide these interfaces."""
        super().__init__()
        directlyProvides(self, *interfaces)
        self.socketOptions: dict[str, bool] = {}

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Note it."""
        self.socketOptions["no delay"] = enabled

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Note it."""
        self.socketOptions["keep alive"] = enabled


class SocketTests(SteppedTestCase):
    """The options of a connection's socket."""

    def test_tcp(self) -> None:
        """Over TCP replies are not held back, and dead clients are found."""
        transport = SocketTransport(ITCPTransport)
        Harness().connect(transport)
        self.assertEqual(
            transport.socketOptions, {"no delay": True, "keep alive": True}
        )

    def test_unix(self) -> None:
        """A UNIX socket has no such options, though Twisted's class says so."""
        transport = SocketTransport(ITCPTransport, IUNIXTransport)
        Harness().connect(transport)
        self.assertEqual(transport.socketOptions, {})


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
