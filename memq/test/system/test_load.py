"""Many clients at once, through real sockets, against a real server.

MEMQ_TEST_MESSAGES says how many messages the exactly-once tests send, for a
longer run than the default.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter, defaultdict
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM, Signals
from socket import SHUT_WR, socket
from time import monotonic

from twisted.trial.unittest import TestCase

from memq.test.system.test_twistd import Follower, waitForEnd
from testkit.servers import PATIENCE, TWISTD, Server, runToEnd

MESSAGES = int(os.environ.get("MEMQ_TEST_MESSAGES", "20000"))
PRODUCERS = 8
CONSUMERS = 8
QUEUES = [b"q%d" % number for number in range(4)]
#: Commands that a client of these tests sends before it reads the replies.
PIPELINE = 20

MEGABYTE = 1024 * 1024

#: Seconds that a flush takes once the disk is slow: two of them are more than clients
#: are given at the end.
SLOW_FLUSH = 2
#: Makes the disk slow as soon as there is a file of this name.
SLOW_DISK = """
import os, time
from memq.storage.engine.environment import Environment
flush = Environment.flush
def slowFlush(self):
    if os.path.exists({path!r}):
        print("a slow flush", flush=True)
        time.sleep({seconds})
    flush(self)
Environment.flush = slowFlush
"""


class Client:
    """A connection that reads replies line by line."""

    def __init__(self, server: Server) -> None:
        self._socket: socket = server.connect()
        self._file = self._socket.makefile("rb")

    def send(self, data: bytes) -> None:
        """Send as it is."""
        self._socket.sendall(data)

    def line(self) -> bytes:
        """Return the next line without its end; none at the end of the stream."""
        return self._file.readline().removesuffix(b"\r\n")

    def lines(self) -> list[bytes]:
        """Return all lines up to the end of the stream, however that comes."""
        lines: list[bytes] = []
        with contextlib.suppress(ConnectionError):
            lines += iter(self.line, b"")
        return lines

    def value(self) -> bytes | None:
        """Return the body that a get is answered, None if there was none."""
        line = self.line()
        if not line.startswith(b"VALUE "):
            return None
        return self.read(int(line.split()[3]))

    def read(self, size: int) -> bytes | None:
        """Return a body of so many bytes, None if it is cut short."""
        body = self._file.read(size + 2)
        return body[:-2] if self.line() == b"END" else None

    def close(self) -> None:
        """Disconnect."""
        self._file.close()
        self._socket.close()


class Run:
    """Producers and consumers at once, and what each was told."""

    def __init__(self, server: Server, first: int, messages: int) -> None:
        """Prepare to send ``messages`` in all, numbered from ``first``."""
        self._server = server
        self._first = first
        self._each = messages // PRODUCERS
        self._produced = threading.Event()
        #: (producer, number) of each message that was STORED, or may have been.
        self.stored: Counter[tuple[int, int]] = Counter()
        self.unanswered: Counter[tuple[int, int]] = Counter()
        #: (producer, number) of each message that was got, in order.
        self.got: list[list[tuple[bytes, int, int]]] = [[] for _ in range(CONSUMERS)]

    def produce(self, producer: int) -> None:
        """Send messages to all queues in rotation, a few at a time."""
        queue = QUEUES[producer % len(QUEUES)]
        numbers = range(self._first, self._first + self._each)
        # The server may be stopped meanwhile.
        with (
            contextlib.suppress(OSError),
            contextlib.closing(Client(self._server)) as client,
        ):
            for start in range(0, len(numbers), PIPELINE):
                batch = [(producer, n) for n in numbers[start : start + PIPELINE]]
                bodies = [b"%d %d" % message for message in batch]
                self.unanswered.update(batch)
                client.send(
                    b"".join(
                        b"set %b 0 0 %d\r\n%b\r\n" % (queue, len(body), body)
                        for body in bodies
                    )
                )
                replies = [client.line() for _ in batch]
                self.stored.update(batch[: replies.count(b"STORED")])

    def consume(self, consumer: int) -> None:
        """Get messages until the producers are done and the queue is empty."""
        queue = QUEUES[consumer % len(QUEUES)]
        mine = self.got[consumer]
        with (
            contextlib.suppress(OSError),
            contextlib.closing(Client(self._server)) as client,
        ):
            found = [b""]
            done = False
            while found or not done:
                done = self._produced.is_set()
                client.send(b"get %b\r\n" % queue * PIPELINE)
                bodies = [client.value() for _ in range(PIPELINE)]
                found = [body for body in bodies if body is not None]
                for body in found:
                    producer, number = map(int, body.split())
                    mine.append((queue, producer, number))

    def go(self) -> None:
        """Run all of them to their end."""
        threads = [
            threading.Thread(target=self.produce, args=[number])
            for number in range(PRODUCERS)
        ]
        consumers = [
            threading.Thread(target=self.consume, args=[number])
            for number in range(CONSUMERS)
        ]
        for thread in threads + consumers:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        self._produced.set()
        for thread in consumers:
            thread.join(PATIENCE)

    def counts(self) -> Counter[tuple[int, int]]:
        """Return how often each message was got."""
        return Counter(
            (producer, number) for mine in self.got for _, producer, number in mine
        )

    def isInOrder(self) -> bool:
        """Return whether each consumer got each producer's messages in order."""
        ordered = True
        for mine in self.got:
            last: dict[int, int] = defaultdict(lambda: -1)
            for _, producer, number in mine:
                ordered = ordered and number > last[producer]
                last[producer] = number
        return ordered


def killIfThere(pid: int) -> None:
    """Kill a daemon that a test has not ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, SIGKILL)


class ServerTests(TestCase):
    """What stays true with many clients at once."""

    timeout = 600

    def start(self, *options: str, before: str = "") -> Server:
        """Start a server on a home of its own."""
        home = self.mktemp()
        server = Server(os.path.abspath(home), *options, before=before).start()
        self.addCleanup(server.stop)
        return server

    def runExactlyOnce(self, *options: str) -> None:
        """Let 8 producers and 8 consumers loose on 4 queues."""
        server = self.start(*options)
        run = Run(server, 0, MESSAGES)
        run.go()
        self.assertEqual(sum(run.stored.values()), MESSAGES)
        self.assertEqual(run.counts(), run.stored)
        self.assertTrue(run.isInOrder())
        each = MESSAGES // len(QUEUES)
        self.assertEqual(server.counts(), dict.fromkeys(QUEUES, (each, each)))

    def test_exactlyOnce(self) -> None:
        """Every message is got once, in its producer's order; counts are exact."""
        self.runExactlyOnce()

    def test_exactlyOnceNoSync(self) -> None:
        """With --no-sync the same holds."""
        self.runExactlyOnce("--no-sync")

    def loaded(self, server: Server) -> tuple[Run, threading.Thread]:
        """Return a run that is under way, and goes on until the server stops."""
        first = Run(server, 0, 50 * MESSAGES)
        going = threading.Thread(target=first.go)
        going.start()
        with Client(server)._socket:
            while sum(first.stored.values()) < MESSAGES // 10:
                server.talk(b"version\r\nquit\r\n")
        return first, going

    def stopInTheMiddle(self, number: Signals) -> None:
        """Stop under load; after a restart nothing acknowledged is missing."""
        server = self.start()
        first, going = self.loaded(server)
        before = monotonic()
        self.assertEqual(server.stop(number), 0)
        self.assertLess(monotonic() - before, 5)
        going.join(PATIENCE)
        server.start()
        self.checkRest(server, first)

    def checkRest(self, server: Server, first: Run) -> None:
        """Take out all that is there, and find what was acknowledged."""
        rest = Run(server, 50 * MESSAGES, MESSAGES)
        rest.go()
        got = first.counts() + rest.counts()
        self.assertEqual(first.stored + rest.stored - got, Counter())
        self.assertEqual(got - first.unanswered - rest.unanswered, Counter())
        self.assertTrue(first.isInOrder())
        self.assertTrue(rest.isInOrder())
        counts = server.counts().values()
        self.assertEqual({pushed - taken for pushed, taken in counts}, {0})
        self.assertEqual(sum(taken for _, taken in counts), sum(got.values()))

    def test_sigtermUnderLoad(self) -> None:
        """SIGTERM under load loses nothing acknowledged, and ends with status 0."""
        self.stopInTheMiddle(SIGTERM)

    def test_sigintUnderLoad(self) -> None:
        """SIGINT under load does the same."""
        self.stopInTheMiddle(SIGINT)

    def test_slowFlushOnTheWayOut(self) -> None:
        """A disk that takes seconds at the end is waited for, and costs nothing."""
        slow = os.path.abspath(self.mktemp())
        before = SLOW_DISK.format(path=slow, seconds=SLOW_FLUSH)
        server = self.start(before=before)
        first, going = self.loaded(server)
        with open(slow, "wb"):
            server.waitForLine("a slow flush")
        last = Client(server)
        last.send(b"set last 0 0 1\r\nx\r\n")
        began = monotonic()
        self.assertEqual(server.stop(), 0)
        self.assertGreater(monotonic() - began, SLOW_FLUSH / 2)
        self.assertNotIn("Traceback", "\n".join(server.log))
        going.join(PATIENCE)
        told = last.lines()
        last.close()
        os.unlink(slow)
        server.start()
        found = server.talk(b"get last\r\ndelete last\r\nquit\r\n")
        # What was told is there; what was not may be.
        self.assertIn(told, ([], [b"STORED"]))
        self.assertTrue(found.startswith(b"VALUE last") or not told)
        self.checkRest(server, first)

    def test_secondServerUnderLoad(self) -> None:
        """Servers that want the same home are refused; nobody else notices."""
        server = self.start()
        load = Run(server, 0, MESSAGES)
        going = threading.Thread(target=load.go)
        going.start()
        lines = len(server.log)
        command = ("-n", "--pidfile=", "memq", "--home", server.home, "-p0")
        for _ in range(2):
            second = runToEnd(*TWISTD, *command)
            self.assertEqual(second.returncode, 1)
            self.assertIn(f"(pid {server.pid})", second.stderr)
        going.join(PATIENCE)
        self.assertEqual(sum(load.stored.values()), MESSAGES)
        self.assertEqual(load.counts(), load.stored)
        self.assertEqual(server.log[lines:], [])

    def test_sighupUnderLoad(self) -> None:
        """The log file can be opened again and again; no client notices."""
        path, log = (os.path.abspath(self.mktemp()) for _ in range(2))
        server = Server(path)
        started = runToEnd(
            *TWISTD,
            *("--pidfile", f"{log}.pid", "--logfile", log),
            *("memq", "--port", "0", "--home", path),
        )
        self.assertEqual(started.returncode, 0, started.stderr)
        found = Follower(log).waitFor(r"Listening on 127\.0\.0\.1:(\d+)\n")
        server.port = int(found[1])
        with open(f"{log}.pid", encoding="ascii") as file:
            pid = int(file.read())
        self.addCleanup(killIfThere, pid)
        load = Run(server, 0, MESSAGES)
        going = threading.Thread(target=load.go)
        going.start()
        for number in range(5):
            os.rename(log, f"{log}.{number}")
            os.kill(pid, SIGHUP)
            Follower(log).waitFor("SIGHUP: opened the log file again")
        going.join(PATIENCE)
        self.assertEqual(sum(load.stored.values()), MESSAGES)
        self.assertEqual(load.counts(), load.stored)
        os.kill(pid, SIGTERM)
        waitForEnd(pid)
        Follower(log).waitFor("Stopped")

    def test_seedSession(self) -> None:
        """The session of old holds byte by byte, with a restart in its middle."""
        server = self.start()
        before = server.talk(
            b"set q4 0 0 5\r\nhello\r\nset q4 0 0 5\r\nworld\r\nstats queue\r\nquit\r\n"
        )
        self.assertEqual(before, b"STORED\r\nSTORED\r\nSTAT q4 2/0\r\nEND\r\n")
        self.assertEqual(server.stop(), 0)
        server.start()
        after = server.talk(b"get q4\r\nstats queue\r\nquit\r\n")
        self.assertEqual(
            after, b"VALUE q4 0 5\r\nhello\r\nEND\r\nSTAT q4 2/1\r\nEND\r\n"
        )

    def test_getOfAThousandLargeMessages(self) -> None:
        """A get of 1,000 messages of 1 MiB is sent in slices, others are served."""
        server = self.start("--no-sync")
        body = b"x" * MEGABYTE
        filler = Client(server)
        names = [b"big%d" % number for number in range(1000)]
        for name in names:
            filler.send(b"set %b 0 0 %d\r\n%b\r\n" % (name, len(body), body))
            self.assertEqual(filler.line(), b"STORED")
        before = server.residentBytes()
        greedy = Client(server)
        greedy.send(b"get " + b" ".join(names) + b"\r\n")
        self.assertEqual(greedy.line(), b"VALUE big0 0 1048576")
        self.assertEqual(
            server.talk(b"set s 0 0 1\r\nx\r\nget s\r\nquit\r\n"),
            b"STORED\r\nVALUE s 0 1\r\nx\r\nEND\r\n",
        )
        greedy._file.read(MEGABYTE + 2)
        for name in names[1:]:
            head = b"VALUE %b 0 1048576" % name
            self.assertEqual(greedy.line(), head, server.log)
            self.assertEqual(greedy._file.read(MEGABYTE + 2), body + b"\r\n")
        self.assertEqual(greedy.line(), b"END")
        self.assertLess(server.residentBytes() - before, 64 * MEGABYTE)
        greedy.close()
        filler.close()

    def test_pipelineThatDoesNotRead(self) -> None:
        """100,000 commands from a client that does not read cost no memory."""
        server = self.start("--no-sync")
        before = server.residentBytes()
        hog = Client(server)
        request = b"".join(
            b"set hog 0 0 100\r\n%b\r\nget hog\r\n" % (b"%0100d" % number)
            for number in range(50_000)
        )
        sender = threading.Thread(target=hog.send, args=[request])
        sender.start()
        self.assertEqual(
            server.talk(b"set s 0 0 1\r\nx\r\nget s\r\nquit\r\n"),
            b"STORED\r\nVALUE s 0 1\r\nx\r\nEND\r\n",
        )
        self.assertLess(server.residentBytes() - before, 32 * MEGABYTE)
        for number in range(50_000):
            self.assertEqual(hog.line(), b"STORED")
            self.assertEqual(hog.value(), b"%0100d" % number)
        sender.join(PATIENCE)
        hog.close()

    def test_tooManyConnections(self) -> None:
        """One connection more than allowed is told so, and closed."""
        server = self.start("--max-connections", "2")
        clients = [Client(server), Client(server)]
        for client in clients:
            client.send(b"version\r\n")
            self.assertIn(b"VERSION", client.line())
        extra = Client(server)
        self.assertEqual(extra.line(), b"SERVER_ERROR too many open connections")
        self.assertEqual(extra.line(), b"")
        for client in [*clients, extra]:
            client.close()

    def test_hangUpAfterSet(self) -> None:
        """A message whose client hangs up at once is stored all the same."""
        server = self.start()
        with server.connect() as client:
            client.sendall(b"set q 0 0 2\r\nhi\r\n")
            client.shutdown(SHUT_WR)
            # A reply, or the end of the connection: it was carried out by then.
            client.recv(100)
        self.assertEqual(
            server.talk(b"get q\r\nquit\r\n"), b"VALUE q 0 2\r\nhi\r\nEND\r\n"
        )
