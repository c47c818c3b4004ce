"""Clients that misbehave do not hurt the others, and leave nothing behind."""

from __future__ import annotations

import contextlib
import os
import resource
from time import monotonic

from twisted.trial.unittest import TestCase

from memq.test.hostile import Scene, openFiles, readAll
from memq.test.servers import Server

MEGABYTE = 1024 * 1024
TIMED_OUT = b"CLIENT_ERROR body timed out\r\n"
TOO_MANY = b"SERVER_ERROR too many open connections\r\n"
#: A body that is not taken in parts, nor in one packet.
BODY = 60 * 1024


def processorSeconds(server: Server) -> float:
    """Return the seconds of processor time that a server has used."""
    with open(f"/proc/{server.pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class HostileTestCase(TestCase):
    """A server, and what is done to it."""

    timeout = 3600

    def start(self, *options: str) -> Server:
        """Start a server on a home of its own."""
        home = os.path.abspath(self.mktemp())
        server = Server(home, "--no-sync", *options).start()
        self.addCleanup(server.stop)
        return server

    def fill(self, server: Server, queue: bytes, size: int, count: int) -> None:
        """Put messages into a queue, and wait until they are stored."""
        one = b"set %b 0 0 %d noreply\r\n%b\r\n" % (queue, size, b"x" * size)
        with server.connect() as client:
            for _ in range(count):
                client.sendall(one)
            client.sendall(b"version\r\n")
            client.recv(100)


class StallTests(HostileTestCase):
    """Bodies and lines whose end does not come."""

    def test_lastByteMissing(self) -> None:
        """1000 bodies of 60 KiB that lack their last byte hold what they announced."""
        server = self.start()
        with Scene(self, server) as scene:
            crowd = scene.crowd(1000)
            crowd.send(b"set q 0 0 %d\r\n%b" % (BODY, b"x" * BODY))
            scene.waitFor(
                lambda: scene.figures()[b"bytes_reserved"] == b"%d" % (1000 * BODY)
            )
            scene.othersAreServed()
            self.assertLess(scene.growth(), 1000 * BODY + 40 * MEGABYTE)

    def test_largeBodiesThatDribble(self) -> None:
        """1000 bodies of 64 MiB, a few bytes at a time, hold a part each at most."""
        server = self.start("--max-body", "64M")
        with Scene(self, server) as scene:
            crowd = scene.crowd(1000)
            crowd.send(b"set q 0 0 %d\r\n%b" % (64 * MEGABYTE, b"x" * BODY))

            def dribble() -> None:
                for _ in range(10):
                    client = crowd.sockets.pop(0)
                    client.send(b"xx")
                    crowd.sockets.append(client)

            scene.othersAreServed(dribble)
            self.assertLess(scene.growth(), 160 * MEGABYTE)

    def test_oneByteAtATime(self) -> None:
        """A body that dribbles in takes no more than its size, and is stored."""
        server = self.start()
        body = b"x" * BODY
        with Scene(self, server) as scene:
            crowd = scene.crowd(20)
            crowd.send(b"set q 0 0 %d\r\n" % BODY)
            sent = iter(range(0, BODY, 20))

            def dribble() -> None:
                start = next(sent, BODY)
                crowd.send(body[start : start + 20])

            scene.othersAreServed(dribble)
            while (start := next(sent, BODY)) < BODY:
                crowd.send(body[start : start + 20])
            crowd.send(b"\r\nquit\r\n")
            self.assertEqual(crowd.replies(), [b"STORED\r\n"] * 20)
            self.assertLess(scene.growth(), 16 * MEGABYTE)

    def test_moreThanThereIsRoomFor(self) -> None:
        """Bodies beyond the room wait, those beyond that are refused and swallowed."""
        server = self.start("--max-buffered", "4M", "--body-timeout", "1")
        with Scene(self, server) as scene:
            crowd = scene.crowd(200)
            crowd.send(b"set q 0 0 65536\r\n" + b"x" * 65536)
            # 16 have room and 8 wait; the others are told when their body is over.
            scene.waitFor(lambda: scene.figures()[b"waiting_for_room"] == b"8")
            scene.othersAreServed()
            late = server.connect()
            # The first ones are given up: then others have room, and this one too.
            replies = crowd.replies()
            late.sendall(b"set late 0 0 65536\r\n")
            late.sendall(b"x" * 65536 + b"\r\nquit\r\n")
            self.assertEqual(readAll(late), b"STORED\r\n")
            late.close()
            self.assertEqual(replies, [TIMED_OUT] * 200)
            self.assertLess(scene.growth(), 24 * MEGABYTE)

    def test_linesWithoutEnd(self) -> None:
        """300 lines that do not end take 64 KiB each, and are told to be too long."""
        server = self.start()
        with Scene(self, server) as scene:
            crowd = scene.crowd(300)
            crowd.send(b"x" * 65536)
            scene.othersAreServed()
            crowd.send(b"xx")
            self.assertEqual(crowd.replies(), [b"CLIENT_ERROR line too long\r\n"] * 300)
            self.assertLess(scene.growth(), 300 * 2 * 65536)

    def test_bodyTimeout(self) -> None:
        """A body that stands still is given up; what was stored of it is removed."""
        server = self.start("--body-timeout", "0.5")
        with Scene(self, server) as scene, server.connect() as client:
            client.sendall(b"set q 0 0 1000000\r\n" + b"x" * 500_000)
            self.assertEqual(readAll(client), TIMED_OUT)
            self.assertEqual(scene.ask(b"get q\r\n"), b"END\r\n")
            scene.othersAreServed()
        with server.connect() as client:
            client.sendall(b"set q 0 0 9 noreply\r\n")
            self.assertEqual(readAll(client), b"")

    def test_idleTimeout(self) -> None:
        """With --idle-timeout a silent client is closed, and one that speaks is not."""
        server = self.start("--idle-timeout", "0.5")
        with Scene(self, server) as scene, server.connect() as client:
            closed = []
            client.setblocking(False)

            def look() -> bool:
                scene.ask(b"version\r\n")
                try:
                    closed.append(client.recv(1))
                except BlockingIOError:
                    return False
                return True

            scene.waitFor(look)
            self.assertEqual(closed, [b""])


class ReaderTests(HostileTestCase):
    """Clients that do not read what they asked for, or slowly."""

    def test_slowReader(self) -> None:
        """A slow reader of a big backlog takes no memory, and gets it all."""
        server = self.start()
        self.fill(server, b"large", MEGABYTE, 20)
        self.fill(server, b"small", 1000, 5_000)
        with Scene(self, server) as scene:
            crowd = scene.crowd(1, 4096)
            slow = crowd.sockets[0]
            slow.sendall(b"get large\r\n" * 20 + b"get small\r\n" * 5_000)
            slow.sendall(b"quit\r\n")
            got = []
            scene.othersAreServed(lambda: got.append(len(slow.recv(4096))))
            crowd.receiveMore()
            head = len(b"VALUE large 0 1048576\r\n") + len(b"\r\nEND\r\n")
            expected = 20 * (MEGABYTE + head)
            expected += 5_000 * (1000 + len(b"VALUE small 0 1000\r\n\r\nEND\r\n"))
            self.assertEqual(sum(got) + len(readAll(slow)), expected)
            self.assertLess(scene.growth(), 16 * MEGABYTE)

    def notReading(self, size: int, count: int, gets: int, clients: int) -> None:
        """Let clients ask for much, and read nothing of it."""
        server = self.start("--max-buffered", "16M")
        self.fill(server, b"q", size, count)
        with Scene(self, server) as scene:
            crowd = scene.crowd(clients, 4096)
            crowd.send(b"get q\r\n" * gets)
            scene.othersAreServed()
            self.assertLess(scene.growth(), 2 * 16 * MEGABYTE)
            crowd.close()
            # What was not sent goes back, in its old place.
            scene.waitFor(lambda: scene.figures()[b"bytes_buffered"] == b"0")

    def test_messagesNotRead(self) -> None:
        """100 clients that ask for 40 messages of 60 KiB and do not read get few."""
        self.notReading(BODY, 1500, 40, 100)

    def test_largeMessagesNotRead(self) -> None:
        """So with large messages."""
        self.notReading(MEGABYTE, 100, 4, 100)

    def test_namesNotRead(self) -> None:
        """Gets of 20,000 names each cost no more than the line that names them."""
        server = self.start("--max-buffered", "16M")
        self.fill(server, b"q", BODY, 600)
        line = (
            b"get " + b"q " * 200 + b" ".join(b"%02d" % (n % 99) for n in range(20000))
        )
        with Scene(self, server) as scene:
            crowd = scene.crowd(30, 4096)
            crowd.send(line + b"\r\n")
            scene.othersAreServed()
            self.assertLess(scene.growth(), 40 * MEGABYTE)

    def test_setsBehindGets(self) -> None:
        """Sets that wait behind gets that are not read hold what is their measure."""
        server = self.start("--max-buffered", "16M")
        self.fill(server, b"q", BODY, 1000)
        pair = b"get q\r\nset r 0 0 %d\r\n%b\r\n" % (BODY, b"x" * BODY)
        with Scene(self, server) as scene:
            crowd = scene.crowd(100, 4096)
            for _ in range(10):
                crowd.send(pair * 3)
            one = iter(crowd.sockets * 100)

            def sendMore() -> None:
                client = next(one)
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    client.sendall(pair)

            scene.othersAreServed(sendMore)
            self.assertLess(scene.growth(), 40 * MEGABYTE)


class FloodTests(HostileTestCase):
    """Much at once."""

    def test_tenThousandCommandsInAPacket(self) -> None:
        """10,000 commands sent in one go are answered, in order, others between."""
        server = self.start()
        with Scene(self, server) as scene:
            crowd = scene.crowd(10)
            request = b"".join(
                b"set q%d 0 0 1\r\nx\r\n" % (n % 7) for n in range(10000)
            )
            crowd.send(request + b"stats settings\r\n")
            scene.othersAreServed()
            for client in crowd.sockets:
                client.sendall(b"quit\r\n")
            for reply in crowd.replies():
                self.assertTrue(reply.startswith(b"STORED\r\n" * 10000 + b"STAT port "))
            self.assertLess(scene.growth(), 64 * MEGABYTE)

    def test_asMuchAsStatsCan(self) -> None:
        """Many stats of many queues, not read, take no memory."""
        server = self.start("--max-buffered", "16M")
        names = b"".join(b"set q%04d 0 0 1\r\nx\r\n" % n for n in range(3000))
        server.talk(names + b"quit\r\n")
        with Scene(self, server) as scene:
            scene.crowd(50, 4096).send(b"stats queue\r\n" * 500)
            scene.othersAreServed()
            self.assertLess(scene.growth(), 40 * MEGABYTE)

    def test_tenThousandConnections(self) -> None:
        """10,000 connections, or as many as this machine allows, are all served."""
        count = min(10_000, openFiles(10_300) - 300)
        server = self.start("--max-connections", str(count))
        with Scene(self, server) as scene:
            crowd = scene.crowd(count - 1)
            scene.othersAreServed()
            crowd.send(b"version\r\n")
            for client in crowd.sockets:
                self.assertTrue(client.recv(100).startswith(b"VERSION"))
            extra = scene.crowd(1)
            self.assertEqual(extra.replies(), [TOO_MANY])
            self.assertLess(scene.growth(), count * 32 * 1024)


class DescriptorTests(HostileTestCase):
    """More clients than the process may have files."""

    def test_moreThanFiles(self) -> None:
        """Who is too many is told so; others go on, and so does it when some leave."""
        server = self.start("--body-timeout", "1")
        with Scene(self, server) as scene:
            files = len(os.listdir(f"/proc/{server.pid}/fd"))
            limits = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(
                server.pid, resource.RLIMIT_NOFILE, (files + 150, limits[1])
            )
            crowd = scene.crowd(300)
            scene.othersAreServed()
            crowd.send(b"version\r\n")
            stalled = crowd.sockets[0]
            stalled.recv(100)
            busy = processorSeconds(server)
            began = monotonic()
            stalled.sendall(b"set q 0 0 9\r\n")
            self.assertEqual(readAll(stalled), TIMED_OUT)
            # Nothing but that happened in this second.
            self.assertLess(processorSeconds(server) - busy, (monotonic() - began) / 2)
            crowd.send(b"quit\r\n")
            told = [reply[:7] for reply in crowd.replies()[1:]]
            self.assertEqual(set(told), {b"VERSION", b"SERVER_"})
            self.assertGreater(told.count(b"VERSION"), 90)
            crowd.close()
            again = scene.crowd(50)
            again.send(b"version\r\nquit\r\n")
            for reply in again.replies():
                self.assertTrue(reply.startswith(b"VERSION"))
        lines = [line for line in server.log if "clients more" in line]
        self.assertEqual(len(lines), 1, server.log)
        self.assertLess(len(server.log), 20, server.log)
