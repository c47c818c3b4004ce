"""Bytes become the same commands however they come."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as some

from memq.connection import receiver
from memq.connection.receiver import CommandReceiver
from memq.errors import LineTooLong
from memq.message import PART_SIZE
from memq.test.support.harness import Harness, Transport
from memq.test.support.sessions import VERSION, GeneralPath
from memq.test.support.stepped import SteppedTestCase
from memq.wire import text as wire

if TYPE_CHECKING:
    from memq.wire.extensions import Add

TOO_LONG = b"CLIENT_ERROR line too long\r\n"

#: Commands of clients, whole and broken; random bytes come between.
_FRAGMENTS = [
    b"set q 0 0 5\r\nhello\r\n",
    b"set q 1 0 3 noreply\r\nget\r\n",
    b"set q 0 0 0\n\r\n",
    b"set q 0 0 5\r\nhelloXX",
    b"set q x 0 5\r\nhello\r\n",
    b"set q 0 0 60\r\n" + b"set r 0 0 1\r\n" * 4 + b"\r\n",
    b"add q 0 0 9 9\r\n",
    b"get q\r\n",
    b"get  q r q\n",
    b"gets q\r\n",
    b"delete q\r\n",
    b"delete r noreply\r\n",
    b"stats queue\r\n",
    b"ms q 5 k q\r\nhello\r\n",
    b"ms q 3 c O1\r\nmg \r\n",
    b"ms q 5 T0 T0\r\nhello\r\n",
    b"mg q v k O1\r\nmn\r\n",
    b"mg q h\r\nme q\r\n",
    b"db_checkpoint\r\n",
    b"verbosity 1\r",
    b"flush_all\r\n",
    b"noreply",
    b"quit\r\n",
    b"GET / HTTP/1.1\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
]
_streams = some.lists(
    some.sampled_from(_FRAGMENTS) | some.binary(max_size=8), max_size=14
).map(b"".join)


@some.composite
def _cutStreams(draw: some.DrawFn) -> list[bytes]:
    """Return a stream in pieces."""
    stream = draw(_streams)
    places = draw(some.lists(some.integers(0, len(stream)), max_size=10))
    cuts = [0, *sorted(places), len(stream)]
    return [stream[start:end] for start, end in pairwise(cuts)]


def _told(pieces: list[bytes], general: bool = False) -> tuple[bytes, bool, str]:
    """Return the output, whether it was closed, and what is stored then."""
    harness = Harness(maxBody=50)
    if general:
        harness = Harness(receiver=GeneralPath, maxBody=50)
    client = harness.connect()
    output = b"".join([client.talk(piece) for piece in pieces])
    # Figures of "stats" tell of bytes and turns, which may differ.
    output = re.sub(rb"(STAT \w+) [^/\r]+\r", rb"\1\r", output)
    return output, client.isClosed, harness.store.dump()


class CutTests(SteppedTestCase):
    """Where bytes are cut makes no difference."""

    def test_anyBytes(self) -> None:
        """Any bytes, cut anywhere, are answered as if they came whole."""

        @settings(max_examples=300)
        @given(_cutStreams())
        def check(pieces: list[bytes]) -> None:
            whole = _told([b"".join(pieces)])
            self.assertEqual(_told(pieces), whole)
            self.assertEqual(_told(pieces, general=True), whole)

        check()

    def test_longLines(self) -> None:
        """So where lines, or bodies, are too long."""
        self.patch(receiver, "MAX_LINE", 12)
        self.patch(receiver, "KEPT_LINE", 12)
        self.patch(CommandReceiver, "MAX_LENGTH", 13)
        self.test_anyBytes()

    def test_parts(self) -> None:
        """So where bodies come in parts."""
        self.patch(receiver, "PART_SIZE", 2)
        self.test_anyBytes()

    def test_allAtOnce(self) -> None:
        """Pieces that come before any of them is answered make none either."""

        @settings(max_examples=100)
        @given(_cutStreams())
        def check(pieces: list[bytes]) -> None:
            harness = Harness(maxBody=50)
            client = harness.connect()
            for piece in pieces:
                client.send(piece)
            harness.settle()
            output = re.sub(rb"(STAT \w+) [^/\r]+\r", rb"\1\r", client.read())
            self.assertEqual(
                (output, client.isClosed, harness.store.dump()),
                _told([b"".join(pieces)]),
            )

        check()


class LongLineTests(SteppedTestCase):
    """The longest line has 65,536 bytes."""

    longest = b"get" + b" q" * 32_766 + b"q"

    def setUp(self) -> None:
        """Connect."""
        self.client = Harness().connect()

    def inPieces(self, data: bytes) -> bytes:
        """Send a few bytes at a time, and single ones at the end."""
        early, late = data[:-5], data[-5:]
        for start in range(0, len(early), 4999):
            self.client.send(early[start : start + 4999])
        return b"".join([self.client.talk(bytes([byte])) for byte in late])

    def test_longest(self) -> None:
        """A line of that many bytes is taken, whatever ends it."""
        self.assertEqual(len(self.longest), 65_536)
        for end in (b"\n", b"\r\n"):
            self.assertEqual(self.client.talk(self.longest + end), b"END\r\n")
            self.assertEqual(self.inPieces(self.longest + end), b"END\r\n")
        self.assertFalse(self.client.isClosed)

    def test_tooLong(self) -> None:
        """One more is answered an error, after all that came before, and closed.

        So it is when it comes in pieces.
        """
        for end in (b"\n", b"\r\n"):
            line = self.longest + b"x" + end
            for send in LongLineTests.sendWhole, LongLineTests.inPieces:
                self.client = Harness().connect()
                self.assertEqual(send(self, b"version\r\n" + line), VERSION + TOO_LONG)
                self.assertTrue(self.client.isClosed)

    def sendWhole(self, data: bytes) -> bytes:
        """Send all at once, and something behind it."""
        return self.client.talk(data + b"version\r\n")

    def test_noEnd(self) -> None:
        """A line that does not end is not waited for."""
        self.assertEqual(self.inPieces(b"x" * 65_537), b"")
        self.assertEqual(self.client.talk(b"x"), TOO_LONG)
        self.assertTrue(self.client.isClosed)

    def test_pending(self) -> None:
        """Nothing is taken behind it, though replies before it are still to come."""
        self.client.send(b"set q 0 0 1\r\nx\r\n")
        self.client.send(b"x" * 70_000)
        self.client.send(b"version\r\n")
        self.assertEqual(self.client.talk(b""), b"STORED\r\n" + TOO_LONG)

    def test_behindBody(self) -> None:
        """A line that stands behind a body in pieces is answered at once as well."""
        for request, answer in (
            (b"set q 0 0 5\r\nhel", b"STORED\r\n"),
            (b"replace q 0 0 5\r\nhel", b"ERROR\r\n"),
        ):
            self.client = Harness().connect()
            self.client.send(request)
            told = self.client.talk(b"lo\r\n" + b"x" * 70_000)
            self.assertEqual(told, answer + TOO_LONG)
            self.assertTrue(self.client.isClosed)


class Recorder:
    """Note what is received, but for gets of room."""

    receiver: CommandReceiver

    def __init__(self) -> None:
        self.noted: list[object] = []
        note = self.noted.append
        self.reserve = lambda command: None
        self.release = lambda: None
        self.addPart = note
        self.beginBody = lambda command: note("begin")
        self.abandonBody = lambda: note("abandon")
        self.allReceived = lambda: note("all")
        self.refuse = lambda error, form=None: note(error)
        self.execute = lambda command: note(type(command).__name__)
        self.executeInParts = lambda command, complete: note(complete)

    def executeWithBody(self, command: wire.Set, body: bytes, complete: bool) -> None:
        """Note it; some bodies close or pause."""
        self.noted.append(body)
        if body == b"close":
            self.receiver.close()
        elif body == b"pause":
            self.receiver.pauseProducing()

    def executeAdd(self, command: Add, body: bytes, complete: bool) -> None:
        """Note it."""
        self.noted.append((command.queue, body, complete))


def recorded(maxBody: int) -> tuple[CommandReceiver, Any]:
    """Return a receiver that is connected, and what notes what it receives."""
    sink: Any = Recorder()
    sink.receiver = CommandReceiver(sink, maxBody, Harness().statistics)
    sink.receiver.makeConnection(Transport())
    return sink.receiver, sink


class ReceiverTests(SteppedTestCase):
    """The buffers of a CommandReceiver."""

    def setUp(self) -> None:
        """Connect a receiver."""
        self.receiver, self.sink = recorded(100)
        self.transport: Any = self.receiver.transport

    def receive(self, data: bytes) -> list[object]:
        """Receive something, and return what came of it."""
        self.sink.noted.clear()
        self.receiver.dataReceived(data)
        return [*self.sink.noted]

    def test_all(self) -> None:
        """The end of a packet is told once, after its commands."""
        self.assertEqual(
            self.receive(b"version\r\nset q 0 0 1\r\nx\r\nget q\r\n"),
            ["Version", b"x", "Get", "all"],
        )

    def test_paused(self) -> None:
        """Bytes that come while it is paused wait for their turn."""
        data = b"set q 0 0 5\r\npause\r\nversion\r\nset q 0 0 2\r\nh"
        self.assertEqual(self.receive(data), [b"pause", "all"])
        self.assertEqual(self.receive(b"i\r\n"), [])
        self.receiver.resumeProducing()
        self.assertEqual(self.sink.noted, ["Version", b"hi", "all"])

    def test_longestLineBehindBody(self) -> None:
        """The longest line is told to be over, behind a body in pieces, too."""
        self.receive(b"set q 0 0 2\r\nh")
        noted = self.receive(b"i\r\n" + b"x" * wire.MAX_LINE + b"\r\n")
        self.assertEqual(noted, [b"hi", "Refused", "all"])

    def test_pausedByBodyInPieces(self) -> None:
        """So does what comes behind a body in pieces that made it pause."""
        self.assertEqual(self.receive(b"set q 0 0 5\r\npau"), ["all"])
        self.assertEqual(self.receive(b"se\r\nversion\r\nget"), [b"pause", "all"])
        self.receiver.resumeProducing()
        self.assertEqual(self.receive(b" q\r\n"), ["Get", "all"])

    def test_closed(self) -> None:
        """Bytes behind the command that closed it are dropped."""
        data = b"set q 0 0 5\r\nclose\r\nversion\r\n"
        self.assertEqual(self.receive(data), [b"close", "all"])
        self.assertEqual(self.transport.producerState, "paused")
        self.assertEqual(self.receiver.clearLineBuffer(), b"")

    def test_forgotten(self) -> None:
        """A body or a line that was under way is forgotten, closed or lost."""
        for data, missing in (
            (b"set q 0 0 50\r\n" + b"x" * 40, 12),
            # There is no room to give back for this one.
            (b"add q 0 0 5\r\n12", 5),
            (b"vers", 0),
        ):
            for end in CommandReceiver.close, CommandReceiver.connectionLost:
                self.setUp()
                self.receive(data)
                self.assertEqual(self.receiver.missing, missing)
                end(self.receiver)
                self.assertEqual(self.receiver.collected, b"")
                self.assertEqual(self.receiver.clearLineBuffer(), b"")
                self.assertTrue(self.receiver.closing)

    def test_tooLong(self) -> None:
        """A line that is too long is refused."""
        noted = self.receive(b"x" * 70_000)
        self.assertIsInstance(noted[0], LineTooLong)

    def test_thrownAway(self) -> None:
        """Of a body that is thrown away nothing is kept."""
        self.assertEqual(self.receive(b"set q 0 0 999\r\n"), ["all"])
        for _ in range(10):
            self.assertEqual(self.receive(b"x" * 100), [])
            self.assertLessEqual(len(self.receiver.collected), 2)
        self.assertEqual(self.receive(b"\n"), ["Refused", "all"])
        self.assertEqual(self.receiver.collected, b"")

    def test_add(self) -> None:
        """The body of an add is collected: whole, in pieces, with bytes to spare."""
        for line, body, expected in (
            (b"add q 0 0 3", b"100\r\n", (b"q", b"100", True)),
            (b"add q 0 0 0", b"\r\n", (b"q", b"", True)),
            (b"add q 0 0 20", b"1" * 20 + b"\r\n", (b"q", b"1" * 20, True)),
            (b"add q 0 0 3", b"10000", (b"q", b"100", False)),
            (b"add q 0 0 21", b"1" * 21 + b"\r\n", "Refused"),
        ):
            data = line + b"\r\n" + body
            self.assertEqual(
                self.receive(data * 2 + b"version\r\nget"),
                [expected, expected, "Version", "all"],
            )
            self.receive(b" q\r\n")
            noted: list[object] = []
            for byte in data:
                noted += self.receive(bytes([byte]))
            self.assertEqual([each for each in noted if each != "all"], [expected])
            self.assertEqual(self.receiver.collected, b"")


class PartsTests(SteppedTestCase):
    """How a body is divided into parts."""

    def receive(self, data: bytes, step: int) -> list[object]:
        """Return what comes of data that arrives in pieces."""
        receiver, sink = recorded(1 << 20)
        for start in range(0, len(data), step):
            receiver.dataReceived(data[start : start + step])
        return [each for each in sink.noted if each != "all"]

    def test_pieces(self) -> None:
        """However it arrives, parts have at most PART_SIZE and make up the body."""
        for size in (PART_SIZE + 1, 2 * PART_SIZE, 3 * PART_SIZE + 5):
            whole = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
            data = b"set q 0 0 %d\r\n%b\r\n" % (size, whole)
            for step in (999, PART_SIZE, PART_SIZE + 1, len(data) - 1, len(data)):
                first, *parts, last = self.receive(data, step)
                self.assertEqual((first, last), ("begin", True))
                self.assertTrue(all(1 <= len(p) <= PART_SIZE for p in parts))  # type: ignore[arg-type]
                self.assertTrue(b"".join(parts) == whole)  # type: ignore[arg-type]

    def test_noEnd(self) -> None:
        """A body without its line end is told as incomplete."""
        data = b"set q 0 0 70000\r\n" + bytes(70000) + b"xx"
        self.assertIs(self.receive(data, 5000)[-1], False)

    def test_abandoned(self) -> None:
        """A connection that ends within a body abandons it, once."""
        receiver, sink = recorded(1 << 20)
        receiver.dataReceived(b"set q 0 0 70000\r\nhello")
        receiver.close()
        receiver.connectionLost()
        self.assertEqual(sink.noted, ["begin", "all", "abandon"])
