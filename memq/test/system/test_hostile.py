"""Clients that misbehave do not hurt the others, and leave nothing behind."""

from __future__ import annotations

import itertools
import os
import resource
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from twisted.trial.unittest import TestCase

from memq.test.support.foreign.foreigners import FOREIGN, ORDERS, SIZED, UNSIZED
from memq.test.support.load.hostile import Scene, staged
from memq.test.support.servers import scratch, started
from memq.test.support.torture import report, rounds
from testkit.waiters import openFiles
from testkit.wire import readAll, sets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memq.test.support.load.hostile import Crowd
    from testkit.servers import Server

MEGABYTE = 1024 * 1024
TIMED_OUT = b"CLIENT_ERROR body timed out\r\n"
TOO_MANY = b"SERVER_ERROR too many open connections\r\n"
#: A body that is not taken in parts, nor in one packet.
BODY = 60 * 1024
#: Less room for what clients hold than usual.
LITTLE = ("--no-sync", "--max-buffered", "8M")


def processorSeconds(server: Server) -> float:
    """Return the seconds of processor time that a server has used."""
    with open(f"/proc/{server.pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def begun(size: int, sent: int = BODY) -> bytes:
    """Return a set of a body of which only so many bytes come."""
    return b"set r 0 0 %d\r\n%b" % (size, b"x" * sent)


class HostileTestCase(TestCase):
    """A server, and what is done to it."""

    timeout = 3600

    @contextmanager
    def scene(self, limit: int, *options: str) -> Iterator[Scene]:
        """Give a scene at a new server that takes no more memory than a limit."""
        with staged(self, started(self, *options)) as scene:
            yield scene
            self.assertLess(scene.growth(), limit)

    def fill(self, server: Server, queue: bytes, size: int, count: int) -> None:
        """Put messages into a queue, and wait until they are stored."""
        one = b"set %b 0 0 %d noreply\r\n%b\r\n" % (queue, size, b"x" * size)
        with server.wire() as wire:
            for _ in range(count):
                wire.send(one)
            wire.ask(b"version")


class StallTests(HostileTestCase):
    """Bodies and lines whose end does not come."""

    def test_lastByteMissing(self) -> None:
        """1000 bodies of 60 KiB that lack their last byte hold what they announced."""
        with self.scene(1000 * BODY + 40 * MEGABYTE, "--no-sync") as scene:
            scene.crowd(1000).send(begun(BODY))
            scene.waitForFigure(b"bytes_reserved", 1000 * BODY)
            scene.othersAreServed()

    def test_largeBodiesThatDribble(self) -> None:
        """1000 bodies of 64 MiB, a few bytes at a time, hold a part each at most."""
        with self.scene(160 * MEGABYTE, "--no-sync", "--max-body", "64M") as scene:
            crowd = scene.crowd(1000)
            crowd.send(begun(64 * MEGABYTE))
            scene.othersAreServed(lambda: crowd.dribble(b"xx", 10))

    def test_oneByteAtATime(self) -> None:
        """A body that dribbles in takes no more than its size, and is stored."""
        body = b"x" * BODY
        with self.scene(16 * MEGABYTE, "--no-sync") as scene:
            crowd = scene.crowd(20)
            crowd.send(begun(BODY, 0))
            pieces = (body[start : start + 20] for start in range(0, BODY, 20))
            scene.othersAreServed(lambda: crowd.send(next(pieces, b"")))
            for piece in pieces:
                crowd.send(piece)
            crowd.send(b"\r\nquit\r\n")
            self.assertEqual(crowd.replies(), [b"STORED\r\n"] * 20)

    def test_moreThanThereIsRoomFor(self) -> None:
        """Bodies beyond the room wait, those beyond that are refused and swallowed."""
        options = ("--no-sync", "--max-buffered", "4M", "--body-timeout", "1")
        with self.scene(24 * MEGABYTE, *options) as scene:
            crowd = scene.crowd(200)
            crowd.send(begun(65536, 65536))
            # 16 have room and 8 wait; the others are told when their body is over.
            scene.waitForFigure(b"waiting_for_room", 8)
            scene.othersAreServed()
            late = scene.server.connect()
            # The first ones are given up: then others have room, and this one too.
            replies = crowd.replies()
            with late:
                late.sendall(sets(b"late", b"x" * 65536) + b"quit\r\n")
                self.assertEqual(readAll(late), b"STORED\r\n")
            self.assertEqual(replies, [TIMED_OUT] * 200)

    def test_linesWithoutEnd(self) -> None:
        """300 lines that do not end take 64 KiB each, and are told to be too long."""
        with self.scene(300 * 2 * 65536, "--no-sync") as scene:
            crowd = scene.crowd(300)
            crowd.send(b"x" * 65536)
            scene.othersAreServed()
            crowd.send(b"xx")
            self.assertEqual(crowd.replies(), [b"CLIENT_ERROR line too long\r\n"] * 300)

    def test_bodyTimeout(self) -> None:
        """A body that stands still is given up; what was stored of it is removed."""
        server = started(self, "--no-sync", "--body-timeout", "0.5")
        with staged(self, server) as scene:
            self.assertEqual(server.talk(begun(1_000_000, 500_000)), TIMED_OUT)
            self.assertIsNone(scene.polite.take(b"r"))
            scene.othersAreServed()
        self.assertEqual(server.talk(b"set r 0 0 9 noreply\r\n"), b"")

    def test_idleTimeout(self) -> None:
        """With --idle-timeout a silent client is closed, and one that speaks is not."""
        server = started(self, "--no-sync", "--idle-timeout", "0.5")
        with staged(self, server) as scene, server.connect() as client:
            closed = []
            client.setblocking(False)

            def look() -> bool:
                scene.polite.ask(b"version")
                try:
                    closed.append(client.recv(1))
                except BlockingIOError:
                    return False
                return True

            scene.waitFor(look)
            self.assertEqual(closed, [b""])


class ReaderTests(HostileTestCase):
    """Clients that do not read what they asked for, or slowly."""

    def startLocal(self, *options: str) -> Server:
        """Start a server with a UNIX socket alone."""
        self.path = os.path.join(scratch(self), "socket")
        return started(self, "--port", "0", "--socket", self.path, *options)

    def notRead(
        self, clients: int, request: bytes, limit: int = 24 * MEGABYTE, **queues: int
    ) -> Server:
        """Let clients ask and not read, with so many messages in queues; return it.

        :param limit: the most memory that may cost.
        """
        server = self.startLocal(*LITTLE)
        for queue, count in queues.items():
            size = MEGABYTE if queue == "large" else BODY
            self.fill(server, queue.encode(), size, count)
        with staged(self, server) as scene:
            scene.crowd(clients, self.path).send(request)
            scene.othersAreServed()
            self.assertLess(scene.growth(), limit)
            #: Bytes that were held at the end.
            self.held = int(scene.polite.figures()[b"bytes_buffered"])
        return server

    def test_slowReader(self) -> None:
        """A slow reader of a big backlog takes no memory, and gets it all."""
        server = self.startLocal("--no-sync")
        self.fill(server, b"large", MEGABYTE, 20)
        self.fill(server, b"small", 1000, 5_000)
        with staged(self, server) as scene:
            slow = scene.crowd(1, self.path).sockets[0]
            slow.sendall(b"get large\r\n" * 20 + b"get small\r\n" * 5_000)
            slow.sendall(b"quit\r\n")
            got = []
            scene.othersAreServed(lambda: got.append(len(slow.recv(4096))))
            rest = readAll(slow)
            self.assertLess(scene.growth(), 16 * MEGABYTE)
        large = len(b"VALUE large 0 1048576\r\n\r\nEND\r\n") + MEGABYTE
        small = len(b"VALUE small 0 1000\r\n\r\nEND\r\n") + 1000
        self.assertEqual(sum(got) + len(rest), 20 * large + 5_000 * small)

    def test_messagesNotRead(self) -> None:
        """100 clients that ask for 100 messages each and do not read get few."""
        self.notRead(100, b"get q\r\n" * 100, q=1500)
        # None came to its end, and all are still held.
        self.assertGreater(self.held, 4 * MEGABYTE)

    def test_largeMessagesNotRead(self) -> None:
        """So with messages of 1 MiB, of which each holds two parts at most."""
        limit = 150 * 2 * 65536 + 8 * MEGABYTE
        server = self.notRead(150, b"get large\r\n" * 5, limit, large=150)
        # All went back, in their old place.
        self.assertEqual(server.counts()[b"large"], (150, 0))

    def test_openNotRead(self) -> None:
        """So with messages that are opened, of which each holds one as it is sent."""
        request = b"get q/open\r\nget large/open\r\n" + b"get q/close/open\r\n" * 10
        limit = 100 * 2 * 65536 + 8 * MEGABYTE
        server = self.notRead(100, request, limit, q=300, large=100)
        # Messages that nobody closed went back.
        for queue, most in ((b"q", 300), (b"large", 100)):
            pushed, taken = server.counts()[queue]
            self.assertEqual(pushed, most)
            self.assertEqual(len(server.take(queue)), most - taken)

    def test_monitorNotRead(self) -> None:
        """So with monitors, which open no more than is read."""
        server = self.notRead(50, b"monitor q 3600\r\n", q=1500)
        self.assertEqual(len(server.take(b"q")), 1500)

    def test_namesNotRead(self) -> None:
        """A get of 20,000 names costs no more than the line that names them."""
        line = b"get " + b"q " * 200 + b"xx " * 20_000 + b"\r\n"
        self.notRead(50, line, q=400)

    def test_setsBehindGets(self) -> None:
        """Sets that wait behind gets that are not read are held to the same measure."""
        server = self.startLocal(*LITTLE)
        self.fill(server, b"q", BODY, 600)
        pair = b"get q\r\n" + sets(b"r", b"x" * BODY)
        with staged(self, server) as scene:
            crowd = scene.crowd(50, self.path)
            scene.othersAreServed(lambda: crowd.dribble(pair * 3, 1))
            self.assertLess(scene.growth(), 24 * MEGABYTE)

    def test_statsNotRead(self) -> None:
        """Many stats of many queues, not read, take no memory."""
        server = self.startLocal(*LITTLE)
        server.talk(
            b"".join(sets(b"q%04d" % n, b"x") for n in range(2000)) + b"quit\r\n"
        )
        with staged(self, server) as scene:
            scene.crowd(30, self.path).send(b"stats queue\r\n" * 500)
            scene.othersAreServed()
            self.assertLess(scene.growth(), 16 * MEGABYTE)


class FloodTests(HostileTestCase):
    """Much at once."""

    def test_tenThousandCommandsInAPacket(self) -> None:
        """10,000 commands sent in one go are answered, in order, others between."""
        with self.scene(64 * MEGABYTE, "--no-sync") as scene:
            crowd = scene.crowd(10)
            request = b"".join(sets(b"q%d" % (n % 7), b"x") for n in range(10_000))
            crowd.send(request + b"stats settings\r\n")
            scene.othersAreServed()
            for client in crowd.sockets:
                client.sendall(b"quit\r\n")
            expected = b"STORED\r\n" * 10_000 + b"STAT config "
            for reply in crowd.replies():
                self.assertTrue(reply.startswith(expected))

    def test_tenThousandConnections(self) -> None:
        """10,000 connections, or as many as this machine allows, are all served."""
        count = min(10_000, openFiles(10_300) - 300)
        options = ("--no-sync", "--max-connections", str(count))
        with self.scene(count * 32 * 1024, *options) as scene:
            crowd = scene.crowd(count - 1)
            scene.othersAreServed()
            crowd.send(b"version\r\n")
            for client in crowd.sockets:
                self.assertTrue(client.recv(100).startswith(b"VERSION"))
            self.assertEqual(scene.crowd(1).replies(), [TOO_MANY])


class WaitTests(HostileTestCase):
    """Clients that wait for what does not come."""

    def test_gone(self) -> None:
        """1000 that wait and leave, suddenly or not, take nothing that comes later."""
        with self.scene(24 * MEGABYTE, "--no-sync") as scene:
            for _ in range(3):
                crowd = scene.crowd(1000)
                crowd.send(b"get q/t=3600000/open\r\nget q/t=3600000\r\n")
                scene.othersAreServed()
                for client in crowd.sockets[::2]:
                    client.close()
                crowd.close()
            self.assertIsNone(scene.polite.take(b"q/peek"))
            self.fill(scene.server, b"q", 5, 10)
            self.assertEqual(len(scene.server.take(b"q")), 10)

    def test_muchBehind(self) -> None:
        """Data sent behind a wait is bounded, and goes with its client.

        They are not read from when they leave, and that is noticed all the same.
        """
        behind = sets(b"r", b"x" * BODY)
        with self.scene(32 * MEGABYTE, *LITTLE) as scene:
            scene.crowd(50).send(b"get q/t=3600000\r\n" + behind * 20)
            scene.crowd(50).send(b"monitor q 3600\r\n" + b"get q/peek\r\n" * 10_000)
            scene.othersAreServed()

    def test_flood(self) -> None:
        """10,000 waits of a millisecond, one behind another, harm nobody."""
        with self.scene(64 * MEGABYTE, "--no-sync") as scene:
            crowd = scene.crowd(20)
            crowd.send(b"get q/t=1\r\n" * 10_000)
            scene.othersAreServed()
            crowd.close()

    def test_waitsInALine(self) -> None:
        """Lines of many waits cost no more than so many reads, and end together."""
        words = b" ".join(b"q%d/t=3600000" % number for number in range(250))
        with self.scene(64 * MEGABYTE, "--no-sync") as scene:
            crowd = scene.crowd(100)
            crowd.send(b"get " + words + b"\r\n")
            scene.othersAreServed()
            crowd.close()
            scene.othersAreServed()


class DescriptorTests(HostileTestCase):
    """More clients than the process may have files."""

    def test_moreThanFiles(self) -> None:
        """A client too many is told so; others go on, as it does when some leave."""
        server = started(self, "--no-sync", "--body-timeout", "1")
        with staged(self, server) as scene:
            files = len(os.listdir(f"/proc/{server.pid}/fd"))
            limit = partial(resource.prlimit, server.pid, resource.RLIMIT_NOFILE)
            limit((files + 320, limit()[1]))
            crowd = scene.crowd(300)
            scene.othersAreServed()
            crowd.send(b"version\r\n")
            self.stall(server, crowd)
            crowd.send(b"quit\r\n")
            told = [reply[:7] for reply in crowd.replies()[1:]]
            self.assertEqual(set(told), {b"VERSION", b"SERVER_"})
            self.assertGreater(told.count(b"VERSION"), 90)
            crowd.close()
            again = scene.crowd(50)
            again.send(b"version\r\nquit\r\n")
            for reply in again.replies():
                self.assertTrue(reply.startswith(b"VERSION"))
        server.waitForLine("clients more")
        lines = [line for line in server.log if "clients more" in line]
        self.assertEqual(len(lines), 1, server.log)
        self.assertLess(len(server.log), 20, server.log)

    def stall(self, server: Server, crowd: Crowd) -> None:
        """See that a server is idle while one of the clients does not go on."""
        stalled = crowd.sockets[0]
        stalled.recv(100)
        busy, began = processorSeconds(server), monotonic()
        stalled.sendall(b"set q 0 0 9\r\n")
        self.assertEqual(readAll(stalled), TIMED_OUT)
        # Nothing but that happened in this second.
        self.assertLess(processorSeconds(server) - busy, (monotonic() - began) / 2)


class Session(NamedTuple):
    """Commands to a queue that nobody else uses.

    :ivar steps: the commands, what each is answered, and then how many messages have
        come, and how many of those have gone for certain.
    :ivar bodies: all bodies of it.
    :ivar isOpen: whether its messages are only gone when they are closed.
    """

    bodies: list[bytes]
    steps: tuple[tuple[bytes, bytes, int, int], ...]
    isOpen: bool = False


PLAIN = Session(
    [b"one", b"two", b"", b"three"],
    (
        (b"set NAME 0 0 3\r\none\r\n", b"STORED\r\n", 1, 0),
        (b"set NAME 7 0 3 noreply\r\ntwo\r\n", b"", 2, 0),
        (b"replace NAME 0 0 3\r\nbad\r\n", b"ERROR\r\n", 2, 0),
        (b"get NAME\r\n", b"VALUE NAME 0 3\r\none\r\nEND\r\n", 2, 0),
        (b"set NAME 0 0 0\r\n\r\n", b"STORED\r\n", 3, 0),
        (b"gets NAME\r\n", b"VALUE NAME 7 3 1\r\ntwo\r\nEND\r\n", 3, 0),
        (b"delete NAME\r\n", b"DELETED\r\n", 3, 3),
        (b"set NAME 0 0 5\r\nthree\r\n", b"STORED\r\n", 4, 3),
        (b"quit\r\n", b"", 4, 3),
    ),
)
OPEN = Session(
    [b"one", b"two", b"three"],
    (
        (b"set NAME 0 0 3\r\none\r\n", b"STORED\r\n", 1, 0),
        (b"get NAME/open\r\n", b"VALUE NAME/open 0 3\r\none\r\nEND\r\n", 1, 0),
        (b"set NAME 0 0 3 noreply\r\ntwo\r\n", b"", 2, 0),
        (
            b"gets NAME/close/open\r\n",
            b"VALUE NAME/close/open 0 3 1\r\ntwo\r\nEND\r\n",
            *(2, 1),
        ),
        (b"get NAME/t=0\r\n", b"END\r\n", 2, 1),
        (b"get NAME/abort\r\n", b"END\r\n", 2, 1),
        (b"get NAME/peek\r\n", b"VALUE NAME/peek 0 3\r\ntwo\r\nEND\r\n", 2, 1),
        (b"monitor NAME 0\r\n", b"VALUE NAME 0 3\r\ntwo\r\nEND\r\n", 2, 1),
        (b"confirm NAME 2\r\n", b"END\r\n", 2, 2),
        (b"set NAME 0 0 5\r\nthree\r\n", b"STORED\r\n", 3, 2),
        (b"monitor NAME 1 1\r\n", b"VALUE NAME 0 5\r\nthree\r\nEND\r\n", 3, 2),
        (b"flush NAME\r\n", b"END\r\n", 3, 3),
        (b"get NAME/close\r\n", b"END\r\n", 3, 3),
        (b"quit\r\n", b"", 3, 3),
    ),
    isOpen=True,
)


MEANINGLESS = b"CLIENT_ERROR flag E has no meaning for a queue\r\n"
SEVERAL = Session(
    [b"one", b"two", b"three"],
    (
        (b"SET NAME 0 0 3\r\none\r\n", b"STORED\r\n", 1, 0),
        (b"set NAME 0 0 3 noreply\r\ntwo\r\n", b"", 2, 0),
        (b"touch NAME 0 noreply\r\n", b"", 2, 0),
        (
            b"get NAME/open none NAME/peek\r\n",
            b"VALUE NAME/open 0 3\r\none\r\nVALUE NAME/peek 0 3\r\ntwo\r\nEND\r\n",
            *(2, 0),
        ),
        (b"ms NAME 13 E1\r\ndelete NAME\r\n\r\n", MEANINGLESS, 2, 0),
        (
            b"gets none/t=0 NAME/close NAME/open\r\n",
            b"VALUE NAME/open 0 3 1\r\ntwo\r\nEND\r\n",
            *(2, 1),
        ),
        (b"append NAME 0 0 13 noreply\r\ndelete NAME\r\n\r\n", b"", 2, 1),
        (b"get NAME/close/open none/t=0/open\r\n", b"END\r\n", 2, 2),
        (b"put 0 0 60 13\r\ndelete NAME\r\n\r\n", b"ERROR\r\n", 2, 2),
        (b"set NAME 0 0 5\r\nthree\r\n", b"STORED\r\n", 3, 2),
        (b"set NAME 0 0\r\n", b"ERROR\r\n", 3, 2),
        (b"delete NAME\r\n", b"", 3, 2),
    ),
    isOpen=True,
)


class CutTests(HostileTestCase):
    """Connections that end where they like."""

    def cutAtEveryByte(self, session: Session, *options: str) -> None:
        """Send each prefix of a session, and see what it left."""
        server = started(self, *options)
        whole = b"".join(sent for sent, *_ in session.steps)
        ends = list(itertools.accumulate(len(sent) for sent, *_ in session.steps))
        with staged(self, server) as scene:
            for cut in range(len(whole) + 1):
                name = b"%04d" % cut
                told = self.cut(server, whole[:cut].replace(b"NAME", name))
                # A message taken for it, and not sent, is back when nothing waits.
                scene.waitForFigure(b"waiting", 0)
                done = session.steps[: sum(end <= cut for end in ends)]
                replies = b"".join(reply for _, reply, *_ in done)
                self.assertTrue(replies.replace(b"NAME", name).startswith(told), told)
                come, gone = done[-1][2:] if done else (0, 0)
                if not session.isOpen:
                    # A client that left before a message was sent has not taken it.
                    gone = max(gone, told.count(b"VALUE"))
                left = session.bodies[gone:come]
                self.assertEqual(server.take(name), left, (cut, told))
            scene.othersAreServed()

    def cut(self, server: Server, data: bytes) -> bytes:
        """Send something and no more; return what is answered."""
        with server.wire() as client:
            client.send(data)
            return client.rest()

    def test_atEveryByte(self) -> None:
        """However much came of a session, exactly its whole commands were done."""
        self.cutAtEveryByte(PLAIN, "--no-sync")

    def test_atEveryByteSynced(self) -> None:
        """So when replies wait for the disk, and clients do not wait for them."""
        self.cutAtEveryByte(PLAIN)

    def test_atEveryByteOpen(self) -> None:
        """So with open reads: what was not closed is back in its place."""
        self.cutAtEveryByte(OPEN, "--no-sync")

    def test_atEveryByteOpenSynced(self) -> None:
        """So when the answers of those wait for the disk."""
        self.cutAtEveryByte(OPEN)

    def test_atEveryByteSeveral(self) -> None:
        """So with several reads a line, among bodies that are not to be obeyed."""
        self.cutAtEveryByte(SEVERAL, "--no-sync")

    def test_withinLargeBody(self) -> None:
        """A large body that is cut anywhere, gently or not, leaves nothing."""
        server = started(self, "--no-sync")
        request = sets(b"q", b"x" * 200_000)
        cuts = [*range(30), *range(30, len(request), 9973), len(request) - 1]
        with staged(self, server) as scene:
            for cut in cuts:
                self.assertEqual(self.cut(server, request[:cut]), b"")
                crowd = scene.crowd(1)
                crowd.send(request[:cut])
                crowd.close()
            scene.othersAreServed()
            self.assertIsNone(scene.polite.take(b"q"))


class LieTests(HostileTestCase):
    """Lengths that are not those of the bodies, and text that looks like commands."""

    def test_lies(self) -> None:
        """A body not as announced, or announced wrongly, closes its connection."""
        error = b"CLIENT_ERROR bad command line format\r\n"
        lies = {
            b"2\r\nlonger": b"CLIENT_ERROR bad data chunk\r\n",
            b"99\r\nshorter": TIMED_OUT,
            b"999999\r\nshorter": TIMED_OUT,
            b"-5\r\nhello": error,
            b"2147483645\r\nhello": TIMED_OUT,
            b"2147483646\r\nhello": error,
            b"99999999999999999999\r\nhello": error,
            b"5e0\r\nhello": error,
            b"0x5\r\nhello": error,
        }
        options = ("--no-sync", "--body-timeout", "0.5")
        with self.scene(8 * MEGABYTE, *options) as scene:
            clients = scene.crowd(len(lies))
            for client, lie in zip(clients.sockets, lies, strict=True):
                client.sendall(b"set q 0 0 %b\r\nquit\r\n" % lie)
            scene.othersAreServed()
            self.assertEqual(clients.replies(), list(lies.values()))
            self.assertIsNone(scene.polite.take(b"q"))

    def test_otherProtocols(self) -> None:
        """Clients of other protocols are closed at once; a line for each says so."""
        server = started(self, "--no-sync")
        with staged(self, server) as scene:
            for _, data in FOREIGN:
                crowd = scene.crowd(3)
                crowd.send(data)
                self.assertEqual(crowd.replies(), [b""] * 3, data)
                crowd.close()
            scene.othersAreServed()
            self.assertIsNone(scene.polite.take(b"pwned"))
        for name in {name for name, _ in FOREIGN}:
            server.waitForLine(f"it speaks {name},")
            lines = [line for line in server.log if f"it speaks {name}," in line]
            self.assertEqual(len(lines), 1, server.log)

    def test_text(self) -> None:
        """Behind whatever announces a body, none of its text is carried out."""
        server = started(self, "--no-sync")
        server.put(b"jobs", b"hi")
        with staged(self, server) as scene:
            for line in (*UNSIZED, *SIZED):
                for end in (b"\r\n", b"\n"):
                    server.talk(line + end + ORDERS + b"quit\r\n")
            scene.othersAreServed()
            counts = server.counts()
            self.assertEqual(counts[b"jobs"], (1, 0))
            self.assertNotIn(b"pwned", counts)


class RoundTests(HostileTestCase):
    """All of it, again and again, on one server."""

    def test_rounds(self) -> None:
        """After each round all is as it was before: descriptors, memory, messages."""
        options = (*LITTLE, "--cache-size", "8", "--body-timeout", "1")
        server = started(self, *options)
        resident: list[int] = []
        for number in rounds(2):
            with staged(self, server) as scene:
                self.round(server, scene)
            resident.append(server.residentNow())
            # The first one warms up what stays.
            grown = resident[-1] - resident[0]
            self.assertLess(grown, 24 * MEGABYTE, f"round {number}: {resident}")
        report(
            "hostileRounds", rounds=len(resident), first=resident[0], last=resident[-1]
        )

    def round(self, server: Server, scene: Scene) -> None:
        """Do everything once that clients should not."""
        self.fill(server, b"q", BODY, 200)
        self.fill(server, b"large", MEGABYTE, 5)

        def attack(count: int, data: bytes) -> Crowd:
            crowd = scene.crowd(count)
            crowd.send(data)
            return crowd

        bodies = attack(50, begun(BODY))
        large = attack(50, begun(MEGABYTE, 300_000))
        others = [
            attack(50, b"x" * 65_536),
            attack(20, b"get large\r\n" + b"get q\r\n" * 20),
            attack(50, b"get q/open\r\nget q/t=3600000\r\nmonitor large 3600 2\r\n"),
            attack(5, b"set s 0 0 1\r\nx\r\nget s\r\n" * 2000),
        ]
        scene.othersAreServed(lambda: large.dribble(b"x", 1))
        # Those wait until their time is over, or were told that there is no room.
        for reply in bodies.replies():
            self.assertEqual(reply, TIMED_OUT)
        for crowd in others:
            crowd.close()
        scene.waitForFigure(b"bytes_buffered", 0)
        for queue in (b"q", b"large", b"s"):
            server.take(queue)
