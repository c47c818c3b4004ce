"""Order of replies, bounds, ends; the replies themselves: test_sessions."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.address import IPv6Address, UNIXAddress
from twisted.internet.interfaces import ITCPTransport, IUNIXTransport
from twisted.logger import capturedLogs, formatEvent
from zope.interface import directlyProvides

from memq.broker.memorybudget import MAX_LOAD
from memq.operations.outstanding import COMMAND_LOAD
from memq.test.commands.test_protocol import (
    END,
    MAX_COMMANDS,
    NO_SPACE,
    STORED,
    ProtocolTestCase,
    put,
    value,
)
from memq.test.support.harness import Harness, Transport
from memq.test.support.sessions import VERSION
from memq.test.support.stepped import SteppedTestCase


class OrderTests(ProtocolTestCase):
    """Replies come in order, and when they are true."""

    def test_synced(self) -> None:
        """STORED and DELETED are not said, nor is a message given, before a sync."""
        for request, dump, reply in (
            (put(b"q", b"a"), "q 1/0: a", STORED),
            (b"get q\r\n", "q 1/1:", value(b"q", b"a") + END),
            (b"delete q\r\n", "", b"DELETED\r\n"),
        ):
            self.client.send(request)
            self.runTurns()
            self.assertEqual(self.store.dump(), dump)
            self.assertEqual(self.client.read(), b"")
            self.harness.flushPool.step()
            self.runTurns()
            self.assertEqual(self.store.journal[-1], "flush")
            self.assertEqual(self.client.read(), reply)

    def test_nothingChanged(self) -> None:
        """A command that changed nothing waits for no flush."""
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


class PauseTests(ProtocolTestCase):
    """Bounds of a connection."""

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
        self.assertEqual(self.client.protocol.outstanding.load, 0)

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
        """A client that does not read, with much under way, goes on after both."""
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
        """Commands that follow a line of HTTP are not carried out."""
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
        """One without a command under way is closed at once, if it is not already."""
        for request in (b"", b"quit\r\n"):
            client = self.harness.connect()
            client.talk(request)
            client.protocol.finish()
            self.assertTrue(client.isClosed)

    def test_stopProducing(self) -> None:
        """A transport that is done with its producer asks for nothing more."""
        self.client.transport.producer.stopProducing()
        self.assertEqual(self.client.talk(b"version\r\n"), VERSION)


class LostTests(ProtocolTestCase):
    """Connections that end before all is answered; open reads: test_openreads."""

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
        """The sets of a client that never read still count."""
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
        receiver = self.client.protocol.receiver
        self.client.leave()
        self.harness.settle()
        self.assertEqual(self.store.dump(), "")
        self.assertEqual(receiver.collected, b"")
        self.assertFalse(self.harness.factory.connections)


class LogTests(SteppedTestCase):
    """Log lines of what clients do."""

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
        self.assertIn("192.168.1.1:54321 set q flags=", lines[0])
        self.assertIn(" get q", lines[1])
        self.assertIn(" refused error=ERROR", lines[2])

    def test_peers(self) -> None:
        """A peer over IPv6 is named by address and port, a local one by its process."""
        for address, name in (
            (IPv6Address("TCP", "::1", 4000), "::1:4000"),
            (UNIXAddress(None), "a local client"),
        ):
            transport = Transport(peerAddress=address)
            [(_, line)] = self.logged(1, b"foo\r\n", transport)
            self.assertEqual(line, f"{name} is told: ERROR")
        for owner, name in (((7, 8), " (process 7, user 8)"), (None, "")):
            local: Any = Transport(peerAddress=UNIXAddress(None))
            local.owner = partial(next, iter([owner]))
            [(_, line)] = self.logged(1, b"foo\r\n", local)
            self.assertEqual(line, f"a local client{name} is told: ERROR")


class SocketTransport(Transport):
    """A transport that notes the options of its socket."""

    def __init__(self, *interfaces: Any) -> None:
        super().__init__()
        directlyProvides(self, *interfaces)
        self.socketOptions: dict[str, bool] = {}

        note = self.socketOptions.__setitem__
        self.setTcpNoDelay = partial(note, "no delay")
        self.setTcpKeepAlive = partial(note, "keep alive")


class SocketTests(SteppedTestCase):
    """The options of a connection's socket."""

    def test_options(self) -> None:
        """Over TCP replies are not held back, and dead clients are found.

        A UNIX socket has no such options, though Twisted's class says so.
        """
        for interfaces, options in (
            ([ITCPTransport], {"no delay": True, "keep alive": True}),
            ([ITCPTransport, IUNIXTransport], {}),
        ):
            transport = SocketTransport(*interfaces)
            Harness().connect(transport)
            self.assertEqual(transport.socketOptions, options)
