"""Many clients at once, through real sockets, against a real server.

MEMQ_TEST_MESSAGES says how many messages the exactly-once tests send, for a
longer run than the default.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from signal import SIGINT, SIGTERM, Signals
from time import monotonic
from typing import TYPE_CHECKING

from twisted.trial.unittest import TestCase

from memq.test.support.servers import Daemon, ended, started, together
from testkit.servers import PATIENCE
from testkit.wire import found, readAll, sets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testkit.servers import Server

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
        self.got: list[list[tuple[int, int]]] = [[] for _ in range(CONSUMERS)]

    def produce(self, producer: int) -> None:
        """Send messages to all queues in rotation, a few at a time."""
        queue = QUEUES[producer % len(QUEUES)]
        numbers = range(self._first, self._first + self._each)
        # The server may be stopped meanwhile.
        with contextlib.suppress(OSError), self._server.wire() as client:
            for start in range(0, len(numbers), PIPELINE):
                batch = [(producer, n) for n in numbers[start : start + PIPELINE]]
                self.unanswered.update(batch)
                client.send(sets(queue, *[b"%d %d" % message for message in batch]))
                for message in batch:
                    self.stored[message] += client.line() == b"STORED"

    def consume(self, consumer: int) -> None:
        """Get messages until the producers are done and the queue is empty."""
        queue = QUEUES[consumer % len(QUEUES)]
        mine = self.got[consumer]
        with contextlib.suppress(OSError), self._server.wire() as client:
            isEmpty = done = False
            while not (isEmpty and done):
                done = self._produced.is_set()
                client.send(b"get %b\r\n" % queue * PIPELINE)
                isEmpty = True
                for _ in range(PIPELINE):
                    value = client.value()
                    if value is not None:
                        isEmpty = False
                        producer, number = map(int, value.body.split())
                        mine.append((producer, number))

    def go(self) -> None:
        """Run all of them to their end."""
        with ThreadPoolExecutor(CONSUMERS) as pool:
            consuming = pool.map(self.consume, range(CONSUMERS))
            try:
                together(*[partial(self.produce, n) for n in range(PRODUCERS)])
            finally:
                self._produced.set()
            list(consuming)

    @contextlib.contextmanager
    def going(self) -> Iterator[None]:
        """Run all of them meanwhile, and to their end."""
        with ThreadPoolExecutor(1) as pool:
            going = pool.submit(self.go)
            yield
            going.result(PATIENCE)

    def counts(self) -> Counter[tuple[int, int]]:
        """Return how often each message was got."""
        return Counter(message for mine in self.got for message in mine)

    def isInOrder(self) -> bool:
        """Return whether each consumer got each producer's messages in order."""
        sent: list[dict[int, list[int]]] = [defaultdict(list) for _ in self.got]
        for numbers, mine in zip(sent, self.got, strict=True):
            for producer, number in mine:
                numbers[producer].append(number)
        return all(
            each == sorted(set(each)) for numbers in sent for each in numbers.values()
        )


class ServerTests(TestCase):
    """Promises that hold with many clients at once."""

    timeout = 600

    def assertExactlyOnce(self, run: Run) -> None:
        """Everything was stored, and got once."""
        self.assertEqual(sum(run.stored.values()), MESSAGES)
        self.assertEqual(run.counts(), run.stored)

    def runExactlyOnce(self, *options: str) -> None:
        """Let 8 producers and 8 consumers loose on 4 queues."""
        server = started(self, *options)
        run = Run(server, 0, MESSAGES)
        run.go()
        self.assertExactlyOnce(run)
        self.assertTrue(run.isInOrder())
        each = MESSAGES // len(QUEUES)
        self.assertEqual(server.counts(), dict.fromkeys(QUEUES, (each, each)))

    def test_exactlyOnce(self) -> None:
        """Every message is got once, in its producer's order; counts are exact."""
        self.runExactlyOnce()

    def test_exactlyOnceNoSync(self) -> None:
        """With --no-sync the same holds."""
        self.runExactlyOnce("--no-sync")

    @contextlib.contextmanager
    def loaded(self, server: Server) -> Iterator[Run]:
        """Give a run that is under way, and goes on until the server stops."""
        run = Run(server, 0, 50 * MESSAGES)
        with run.going():
            while sum(run.stored.values()) < MESSAGES // 10:
                server.ask(b"version")
            yield run

    def stopInTheMiddle(self, number: Signals) -> None:
        """Stop under load; after a restart nothing acknowledged is missing."""
        server = started(self)
        with self.loaded(server) as first:
            before = monotonic()
            self.assertEqual(server.stop(number), 0)
            self.assertLess(monotonic() - before, 5)
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
        server = started(self, before=before)
        with self.loaded(server) as first:
            with open(slow, "wb"):
                server.waitForLine("a slow flush")
            with server.connect() as last:
                last.sendall(sets(b"last", b"x"))
                began = monotonic()
                self.assertEqual(server.stop(), 0)
                self.assertGreater(monotonic() - began, SLOW_FLUSH / 2)
                told = readAll(last)
            self.assertNotIn("Traceback", "\n".join(server.log))
        os.unlink(slow)
        server.start()
        left = server.ask(b"get last", b"delete last")
        # A set that was answered is there; another one may be.
        self.assertIn(told, (b"", b"STORED\r\n"))
        self.assertTrue(left.startswith(b"VALUE last") or not told)
        self.checkRest(server, first)

    def test_secondServerUnderLoad(self) -> None:
        """Servers that want the same home are refused; nobody else notices."""
        server = started(self)
        load = Run(server, 0, MESSAGES)
        lines = len(server.log)
        with load.going():
            for _ in range(2):
                second = ended(server.home)
                self.assertEqual(second.returncode, 1)
                self.assertIn(f"(pid {server.pid})", second.stderr)
        self.assertExactlyOnce(load)
        self.assertEqual(server.log[lines:], [])

    def test_sighupUnderLoad(self) -> None:
        """The log file can be opened again and again; no client notices."""
        daemon = Daemon(self)
        load = Run(daemon.start(), 0, MESSAGES)
        with load.going():
            for _ in range(5):
                daemon.reopenLog()
        self.assertExactlyOnce(load)
        daemon.stop()

    def assertServed(self, server: Server) -> None:
        """Somebody else is served meanwhile."""
        told = server.ask(sets(b"s", b"x") + b"get s")
        self.assertEqual(told, b"STORED\r\n" + found(b"s", b"x"))

    def test_getOfAThousandLargeMessages(self) -> None:
        """A get of 1,000 messages of 1 MiB is sent in slices, others are served."""
        server = started(self, "--no-sync")
        body = b"x" * MEGABYTE
        names = [b"big%d" % number for number in range(1000)]
        for name in names:
            server.put(name, body)
        before = server.residentBytes()
        with server.wire() as greedy:
            head = greedy.ask(b"get " + b" ".join(names))
            self.assertEqual(head, b"VALUE big0 0 1048576")
            self.assertServed(server)
            greedy.body(MEGABYTE)
            for name in names[1:]:
                value = greedy.block()
                assert value is not None
                self.assertEqual(value[:2], (name, 0), server.log)
                self.assertTrue(value.body == body)
            self.assertIsNone(greedy.block())
        self.assertLess(server.residentBytes() - before, 64 * MEGABYTE)

    def test_pipelineThatDoesNotRead(self) -> None:
        """100,000 commands from a client that does not read cost no memory."""
        server = started(self, "--no-sync")
        before = server.residentBytes()
        bodies = [b"%0100d" % number for number in range(50_000)]
        request = b"".join(sets(b"hog", body) + b"get hog\r\n" for body in bodies)
        with server.wire() as hog:
            sender = threading.Thread(target=hog.send, args=[request])
            sender.start()
            self.assertServed(server)
            self.assertLess(server.residentBytes() - before, 32 * MEGABYTE)
            for body in bodies:
                value = b"STORED\r\n" + found(b"hog", body)
                self.assertEqual(hog.read(len(value)), value)
            sender.join(PATIENCE)
