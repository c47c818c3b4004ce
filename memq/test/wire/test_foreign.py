"""Foreign protocols are refused, and nothing of them is carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.logger import LogLevel, capturedLogs, formatEvent

from memq.connection.receiver import CommandReceiver
from memq.errors import UnknownCommand
from memq.ratelimit import LOG_INTERVAL
from memq.test.support.foreign.foreigners import FOREIGN, ORDERS, SIZED, UNSIZED
from memq.test.support.harness import Harness
from memq.test.support.sessions import GeneralPath
from memq.test.support.stepped import SteppedTestCase
from memq.test.wire.test_text import GrammarTestCase
from memq.wire.foreign import ADVICE, Foreign
from memq.wire.text import Refused, parse

if TYPE_CHECKING:
    from memq.test.support.harness import Client


class LineTests(GrammarTestCase):
    """Lines of other protocols."""

    def test_foreign(self) -> None:
        """The first line of another protocol that tells is known as such."""
        for name, data in FOREIGN:
            self.assertEqual(parse(data.partition(b"\n")[0]), Foreign(name), data)
            self.assertIn(name, ADVICE)

    def test_notForeign(self) -> None:
        """A line that only looks like it is none."""
        for line in (b"GET", b"hello", b"get HTTP", "队列".encode(), b"\x1b[A"):
            self.assertNotIsInstance(parse(line), Foreign)

    def test_bodies(self) -> None:
        """A command that may have a body closes, unless its end is known."""
        for lines, announced in ((UNSIZED, (None, True)), (SIZED, (44, False))):
            for line in lines:
                command = parse(line)
                assert isinstance(command, Refused)
                self.assertEqual((command.size, command.closes), announced, line)

    def test_withoutBody(self) -> None:
        """Commands of memcached's that have no body are an ERROR, numbers or not."""
        self.refused(
            UnknownCommand,
            *(b"touch q 0", b"incr q 1", b"gat 0 q", b"gats 0 q r", b"watch mutations"),
            *(b"misbehave", b"slabs reassign 1 2"),
            *(b"lru_crawler sleep 5", b"cache_memlimit 64", b"shutdown", b"hello"),
        )

    def test_noreply(self) -> None:
        """Those of them that know noreply are silent; to the others it is a word."""
        self.refused(
            UnknownCommand,
            *(b"touch q 0 noreply", b"touch q noreply", b"INCR q 1 noreply"),
            *(b"decr q x noreply", b"gat 0 q noreply", b"gats 0 q r noreply"),
            *(b"cache_memlimit 64 noreply", b"slabs reassign 1 2 noreply"),
            noreply=True,
        )
        self.refused(
            UnknownCommand,
            *(b"incr noreply", b"gat 0 noreply", b"watch noreply", b"incr q NOREPLY"),
        )

    def test_long(self) -> None:
        """The longest lines are known as quickly as others."""
        for line in (b"1" * 65_535 + b"x", b"x 1," * 16_000 + b"x", b"/ " * 32_000):
            parse(line)


class CarriedOutTests(SteppedTestCase):
    """Their effect: none."""

    def client(self, general: bool = False) -> tuple[Harness, Client]:
        """Return a server with a queue of jobs, and a client."""
        harness = Harness(receiver=GeneralPath) if general else Harness()
        harness.store.fill(b"jobs", b"precious")
        return harness, harness.connect()

    def ways(self, data: bytes) -> list[list[bytes]]:
        """Return ways in which the bytes may come."""
        pairs = [[data[:at], data[at:]] for at in range(1, min(len(data), 60))]
        return [[data], [bytes([byte]) for byte in data], *pairs]

    def nothing(self, data: bytes, *, isClosed: bool) -> None:
        """Assert that nothing is done, however it comes, and whether that closes."""
        for pieces in self.ways(data):
            for general in (False, True):
                harness, client = self.client(general)
                for piece in pieces:
                    client.send(piece)
                harness.settle()
                self.assertEqual(harness.store.dump(), "jobs 1/0: precious", pieces)
                self.assertEqual(client.isClosed, isClosed, pieces)

    def test_foreign(self) -> None:
        """Of another protocol nothing is carried out, and the connection is closed."""
        for _, data in FOREIGN:
            self.nothing(data, isClosed=True)

    def test_proxy(self) -> None:
        """So of the PROXY protocol's second version."""
        self.nothing(b"\r\n\r\n\0\r\nQUIT\n" + ORDERS, isClosed=True)

    def test_tooLong(self) -> None:
        """So of one whose first line is too long."""
        for general in (False, True):
            _, client = self.client(general)
            data = b"\x16" + b"x" * 70_000 + b"\r\n" + ORDERS
            self.assertEqual((client.talk(data), client.isClosed), (b"", True))

    def test_unsized(self) -> None:
        """Behind a line whose body nobody knows the end of, nothing is carried out."""
        for line in UNSIZED:
            self.nothing(line + b"\r\n" + ORDERS, isClosed=True)

    def test_sized(self) -> None:
        """A body whose end is known is thrown away, and what follows carried out."""
        for line in SIZED:
            for data in (line + b"\r\n" + ORDERS, line + b"\n" + ORDERS):
                self.nothing(data, isClosed=False)
                for pieces in self.ways(data + b"get jobs\r\n"):
                    harness, client = self.client()
                    for piece in pieces:
                        client.send(piece)
                    harness.settle()
                    self.assertIn(b"\r\nVALUE jobs 0 8\r\n", client.read())

    def test_longer(self) -> None:
        """A body that is longer than announced closes, refused or not."""
        for line in (
            *(b"set q 0 0 3", b"set q 0 0 3 noreply", b"SET q x 0 3", b"add q 0 0 3"),
            *(
                b"append q 0 0 3 noreply",
                b"ms q 3",
                b"ms q 3 q",
                b"ms q 3 ME",
                b"put 0 0 60 3",
                b"add q x 0 3",
            ),
            b"set q/x 0 0 3",
        ):
            self.nothing(line + b"\r\n12345" + ORDERS, isClosed=True)
            # Nor does it help to have a line end in the right place.
            self.nothing(line + b"\r\n\r\n\r" + ORDERS, isClosed=True)

    def test_tooLarge(self) -> None:
        """A body over --max-body is thrown away as announced, or closes."""
        for body, isClosed in ((b"x" * 60, False), (b"x" * 62, True)):
            for general in (False, True):
                receiver = GeneralPath if general else CommandReceiver
                harness = Harness(receiver=receiver, maxBody=50)
                client = harness.connect()
                told = client.talk(b"set q 0 0 60\r\n" + body + b"\r\n" + ORDERS)
                self.assertTrue(told.startswith(b"SERVER_ERROR object too large"))
                self.assertEqual(client.isClosed, isClosed)
                self.assertEqual("pwned" in harness.store.dump(), not isClosed)

    def test_anyBody(self) -> None:
        """Whatever the text of a message, and its length, it is text."""

        @settings(max_examples=60)
        @given(
            some.sampled_from(
                [
                    *(b"set q 0 0 %d", b"SET q x 0 %d", b"ms q %d"),
                    *(b"put 0 0 1 %d", b"pub q %d"),
                ]
            ),
            some.lists(
                some.sampled_from([b"delete jobs", b"flush jobs", b"", b"\r", b"END"])
            ).map(b"\r\n".join),
            some.integers(-3, 3),
        )
        def check(line: bytes, text: bytes, wrong: int) -> None:
            size = max(0, len(text) + wrong)
            harness, client = self.client()
            client.talk(line % size + b"\r\n" + text + b"\r\n")
            self.assertIn("jobs 1/0: precious", harness.store.dump())

        check()

    def test_behindWait(self) -> None:
        """A client that is closed behind a wait is noticed when it leaves."""
        for data in (
            *(b"\x80", b"set q 0 0\r\n", b"x" * 70_000, b"set q 0 0 1\r\nabc\r\n"),
        ):
            harness, client = self.client()
            client.talk(b"get none/t=1000\r\n" + data)
            self.assertFalse(client.isClosed)
            self.assertFalse(client.isPaused)
            self.assertEqual(client.talk(ORDERS), b"")
            harness.pass_(1.0)
            self.assertTrue(client.read().startswith(b"END\r\n"))
            self.assertTrue(client.isClosed)
            self.assertEqual(harness.store.dump(), "jobs 1/0: precious")


class LogTests(SteppedTestCase):
    """Lines of the log."""

    def lines(self, harness: Harness, *sent: bytes) -> list[str]:
        """Return what is logged when new clients send each something."""
        with capturedLogs() as events:
            for data in sent:
                harness.connect().talk(data)
        self.assertEqual({event["log_level"] for event in events}, {LogLevel.warn})
        return [formatEvent(event) for event in events]

    def test_line(self) -> None:
        """The line says who, what, and what to do."""
        [line] = self.lines(Harness(), b"GET / HTTP/1.1\r\n")
        self.assertEqual(
            line,
            "192.168.1.1:54321 is closed (1 such): it speaks HTTP, and memq speaks "
            "memcached's protocols; " + ADVICE["HTTP"],
        )

    def test_rarely(self) -> None:
        """There is one line a minute for each protocol, and it counts the others."""
        harness = Harness()
        lines = self.lines(harness, *[data for _, data in FOREIGN] * 3)
        self.assertEqual(len(lines), len({name for name, _ in FOREIGN}))
        harness.reactor.advance(LOG_INTERVAL)
        tls = [data for name, data in FOREIGN if name == "TLS"]
        [line] = self.lines(harness, *tls)
        self.assertIn(f"({3 * len(tls)} such): it speaks TLS", line)
