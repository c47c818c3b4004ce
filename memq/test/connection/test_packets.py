"""Packets become the same commands however they come, and whatever is in them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.logger import capturedLogs, formatEvent

from memq.broker.memorybudget import LEAST_LIMIT, Budget
from memq.connection import packets
from memq.connection.packets import PacketReceiver
from memq.message import PART_SIZE
from memq.operations.base import JOINED
from memq.ratelimit import LOG_INTERVAL
from memq.test.server.test_timeouts import WatchTestCase
from memq.test.support.harness import Harness
from memq.test.support.packets import (
    HEADER,
    PROBE,
    PROBED,
    packet,
    request,
    response,
    shown,
    split,
)
from memq.test.support.sessions import VERSION
from memq.test.support.stepped import SteppedTestCase

if TYPE_CHECKING:
    from memq.test.support.fakes import FakeStore

SET = "extras=0000000000000000"

#: Requests of clients, whole and broken; random bytes come between.
_FRAGMENTS = [
    request(f"Set key=q {SET} value=hello"),
    request(f"SetQ key=q {SET} value=hello opaque=1"),
    request(f"SetQ key=q {SET} value=world opaque=2"),
    request(f"SetQ key=q {SET} value= opaque=3"),
    request(f"SetQ key=r/delay=x {SET} value=hello opaque=4"),
    request(f"Set key=q {SET} value=x*60 opaque=5"),
    request(f"Set key=q {SET} value=x cas=5"),
    request(f"Add key=q {SET} value=x"),
    *map(request, ("Get key=q", "GetQ key=q", "GetKQ key=q opaque=6", "GetK key=r")),
    *map(request, ("GetQ key=q opaque=7", "GetQ key=q opaque=8", "Get key=q/open")),
    *map(request, ("Delete key=q", "DeleteQ key=q opaque=9", "Stat key=queue")),
    *map(request, ("Noop opaque=10", "Quit", "Noop value=x", "Get", "0x77 value=abc")),
    b"\x80",
    b"version\r\n",
]
_streams = some.lists(
    some.sampled_from(_FRAGMENTS) | some.binary(max_size=3), max_size=14
).map(lambda fragments: PROBE + b"".join(fragments))


@some.composite
def _cutStreams(draw: some.DrawFn) -> list[bytes]:
    """Return a stream in pieces."""
    stream = draw(_streams)
    places = draw(some.lists(some.integers(1, len(stream)), max_size=10))
    cuts = [0, *sorted(places), len(stream)]
    return [stream[start:end] for start, end in pairwise(cuts) if start < end]


def _told(pieces: list[bytes]) -> tuple[bytes, bool, str]:
    """Return the output, whether it was closed, and what is stored then."""
    harness = Harness(maxBody=50)
    client = harness.connect()
    output = b"".join([client.talk(piece) for piece in pieces])
    return output, client.isClosed, harness.store.dump()


class CutTests(SteppedTestCase):
    """Where bytes are cut makes no difference."""

    def test_anyBytes(self) -> None:
        """Any bytes, cut anywhere, are answered as if they came whole."""

        @settings(max_examples=300)
        @given(_cutStreams())
        def check(pieces: list[bytes]) -> None:
            self.assertEqual(_told(pieces), _told([b"".join(pieces)]))

        check()

    def test_parts(self) -> None:
        """Bodies in parts, cut anywhere, are answered as if they came whole."""
        self.patch(packets, "PART_SIZE", 2)
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
            self.assertEqual(
                (client.read(), client.isClosed, harness.store.dump()),
                _told([b"".join(pieces)]),
            )

        check()


class FirstByteTests(SteppedTestCase):
    """The protocol of a connection."""

    def test_first(self) -> None:
        """The first byte chooses it, for good."""
        harness = Harness()
        binary, text = harness.connect(), harness.connect()
        self.assertEqual(binary.talk(PROBE), PROBED)
        self.assertEqual(text.talk(b"version\r\n"), VERSION)
        self.assertIsInstance(binary.protocol.receiver, PacketReceiver)
        with capturedLogs():
            self.assertEqual(binary.talk(b"version\r\n" + PROBE), b"")
            self.assertEqual(text.talk(PROBE + b"version\r\n"), b"")
        self.assertTrue(binary.isClosed)
        self.assertTrue(text.isClosed)

    def test_closing(self) -> None:
        """A connection that is about to end takes no commands in either."""
        harness = Harness()
        client = harness.connect()
        client.protocol.receiver.close()
        client.protocol.dataReceived(PROBE)
        self.assertEqual(client.talk(b""), b"")


class OutOfStepTests(SteppedTestCase):
    """Headers behind which nobody knows where the next packet begins."""

    broken = (
        b"\x81" + PROBE[1:],
        b"set q 0 0 1\r\nx\r\n" + bytes(20),
        HEADER.pack(0x80, 0x00, 5, 0, 0, 0, 4, 0, 0),
        HEADER.pack(0x80, 0x01, 1, 8, 0, 0, 8, 0, 0),
        HEADER.pack(0x80, 0x0A, 0xFFFF, 0xFF, 0, 0, 0x100FD, 0, 0),
    )

    def test_closes(self) -> None:
        """A packet out of step closes the connection, after earlier answers."""
        for header in self.broken:
            harness = Harness()
            client = harness.connect()
            sent = request(f"Set key=q {SET} value=x") + header
            with capturedLogs():
                got = client.talk(sent + request("Delete key=q"))
            self.assertEqual((shown(got), client.isClosed), (["Set"], True))
            self.assertEqual(harness.store.dump(), "q 1/0: x")

    def test_log(self) -> None:
        """One line a minute tells of it."""
        harness = Harness()
        with capturedLogs() as events:
            for header in self.broken * 2:
                harness.connect().talk(PROBE + header)
        [line] = [formatEvent(event) for event in events]
        self.assertIn("it speaks memcached's binary protocol out of step", line)
        harness.reactor.advance(LOG_INTERVAL)
        with capturedLogs() as events:
            harness.connect().talk(PROBE + self.broken[0])
        [line] = [formatEvent(event) for event in events]
        self.assertIn("(10 such)", line)


class HostileTests(SteppedTestCase):
    """Lengths that somebody has made up."""

    def setUp(self) -> None:
        """Connect."""
        self.harness = Harness(maxBody=1 << 20)
        self.client = self.harness.connect()

    def test_fourGigabytes(self) -> None:
        """A body of 4 GiB takes no memory, whatever the opcode, and is waited for."""
        for opcode, extras in ((0x00, 0), (0x01, 8), (0x11, 8), (0x77, 0)):
            client = self.harness.connect()
            client.talk(HEADER.pack(0x80, opcode, 1, extras, 0, 0, 0xFFFFFFFF, 0, 0))
            for _ in range(40):
                client.talk(b"x" * PART_SIZE)
            receiver = client.protocol.receiver
            self.assertEqual(receiver.missing, 0xFFFFFFFF - 40 * PART_SIZE)
            self.assertEqual(self.harness.broker.budget.reserved, 0)
            self.assertEqual(client.read(), b"")
            client.end()
        self.assertEqual(self.harness.store.dump(), "")

    def test_longKey(self) -> None:
        """A key that no name is as long as is thrown away as it comes."""
        data = request(f"Set key=n*65535 {SET} value=x*100000 opaque=3")
        told = [
            self.client.talk(data[start : start + 1000])
            for start in range(0, len(data), 1000)
        ]
        self.assertEqual({*told[:-1]}, {b""})
        self.assertEqual(
            told[-1],
            response("Set status=0004 value=bad\\scommand\\sline\\sformat opaque=3"),
        )
        self.assertEqual(self.client.talk(PROBE), PROBED)

    def test_commandsInBodies(self) -> None:
        """Requests in a body that is refused are not carried out."""
        self.harness.store.fill(b"jobs", b"precious")
        order = request("Delete key=jobs")
        for opcode, key, extras in (
            *((0x01, b"a b", b"\0" * 8), (0x02, b"q", b"\0" * 8), (0x00, b"q", b"")),
            *((0x0A, b"", b""), (0x99, b"q", b""), (0x01, b"n" * 2000, b"\0" * 8)),
        ):
            data = packet(opcode, key, order * 9, extras)
            for pieces in ([data], [data[:40], data[40:]], [data[:-1], data[-1:]]):
                got = b"".join([self.client.talk(piece) for piece in pieces])
                [status] = {head[5] for head, *_ in split(got)}
                self.assertNotEqual(status, 0)
        self.assertEqual(self.harness.store.dump(), "jobs 1/0: precious")

    def test_backwards(self) -> None:
        """A pipeline of requests that are never alike is answered in order."""
        words = [f"SetQ key=q{number} {SET} value=x" for number in range(40)]
        words += [f"GetKQ key=q{number} opaque={number}" for number in range(40)]
        got = self.client.talk(b"".join(map(request, words)) + PROBE)
        opaques = [head[7] for head, *_ in split(got)]
        self.assertEqual(opaques, [*range(40), 0xFFFFFFFF])


class BodyTests(WatchTestCase):
    """Bodies in pieces."""

    def begun(self, size: int, client: Any = None, quiet: bool = True) -> bytes:
        """Send all of a set but the last byte of its body, and return that."""
        words = f"{'SetQ' if quiet else 'Set'} key=q {SET} value=x*{size} opaque=9"
        data = request(words)
        (client or self.client).send(data[:-1])
        return data[-1:]

    def setUp(self) -> None:
        """Connect."""
        self.client = self.begin(Budget(LEAST_LIMIT))
        self.budget = self.harness.broker.budget

    def test_room(self) -> None:
        """A body that comes in pieces reserves room, and gives it back at its end."""
        last = self.begun(1000)
        self.assertEqual(self.budget.reserved, 1000)
        self.assertEqual(self.client.talk(last + PROBE), PROBED)
        self.assertEqual(self.budget.reserved, 0)

    def test_wholeParts(self) -> None:
        """A body of whole parts ends with the last of them."""
        last = self.begun(2 * PART_SIZE)
        self.assertEqual(self.client.talk(last + PROBE), PROBED)
        self.assertEqual(self.harness.store.counts(), [(b"q", 1, 0)])

    def test_leaves(self) -> None:
        """A client that leaves within a body gives it back, its parts as well."""
        for size in (1000, PART_SIZE, 3 * PART_SIZE + 5):
            client = self.harness.connect()
            self.begun(size, client)
            self.harness.settle()
            client.end()
            self.assertEqual(self.budget.reserved, 0)
            self.assertEqual(self.harness.store.parts, {})
        self.assertEqual(self.harness.store.dump(), "")

    def test_sendsNoMore(self) -> None:
        """A client that sends no more within a body is answered what was before."""
        self.client.transport.unacknowledged = lambda: 0
        self.client.transport.keepLittle = lambda: None
        self.client.send(PROBE)
        self.begun(1000)
        self.client.protocol.readConnectionLost()
        self.harness.settle()
        self.assertEqual(self.client.read(), PROBED)
        self.assertTrue(self.client.isClosed)
        self.assertEqual(self.budget.reserved, 0)

    def test_standsStill(self) -> None:
        """A body without a byte for --body-timeout is given up, quiet or not."""
        for quiet in (True, False):
            self.setUp()
            self.client.send(PROBE)
            self.begun(1000, quiet=quiet)
            self.harness.pass_(62)
            self.assertTrue(self.client.isClosed)
            word = "SetQ" if quiet else "Set"
            told = response(f"{word} status=0086 value=body\\stimed\\sout opaque=9")
            self.assertEqual(self.client.read(), PROBED + told)
            self.assertEqual(self.budget.reserved, 0)

    def test_thrownAway(self) -> None:
        """A body that is thrown away is given up in the same time."""
        self.client.send(request("0x77 value=x*1000")[:-1])
        self.harness.pass_(62)
        self.assertTrue(self.client.isClosed)

    def test_header(self) -> None:
        """A header in pieces is waited for, as half a line is in text."""
        self.client.send(PROBE[:9])
        self.harness.pass_(100)
        self.assertFalse(self.client.isClosed)
        self.assertEqual(self.client.talk(PROBE[9:]), PROBED)

    def test_waitsForRoom(self) -> None:
        """Without room a client is not read from until there is some."""
        others = [self.harness.connect() for _ in range(16)]
        for other in others:
            self.begun(PART_SIZE, other)
        last = self.begun(PART_SIZE)
        self.assertTrue(self.client.isPaused)
        others[0].end()
        self.assertFalse(self.client.isPaused)
        self.assertEqual(self.client.talk(last + PROBE), PROBED)

    def test_noRoom(self) -> None:
        """When too many wait for room, a set is refused, and its body thrown away."""
        clients = [self.harness.connect() for _ in range(64)]
        for client in clients:
            self.begun(PART_SIZE, client)
        last = self.begun(PART_SIZE)
        self.assertFalse(self.client.isPaused)
        told = "SetQ status=0082 value=out\\sof\\smemory\\sstoring\\sobject opaque=9"
        self.assertEqual(self.client.talk(last + PROBE), response(told) + PROBED)


class RunTests(SteppedTestCase):
    """Requests that say the same, but for their opaques."""

    def setUp(self) -> None:
        """Connect."""
        self.harness = Harness()
        self.store: FakeStore = self.harness.store
        self.client = self.harness.connect()

    def sets(self, count: int, word: str = "SetQ") -> bytes:
        """Return so many, the number of each its opaque and its body."""
        return b"".join(
            request(f"{word} key=q {SET} value={number:03} opaque={number}")
            for number in range(count)
        )

    def gets(self, count: int, word: str = "GetQ") -> bytes:
        """Return so many, the number of each its opaque."""
        return b"".join(
            request(f"{word} key=q opaque={number}") for number in range(count)
        )

    def test_joined(self) -> None:
        """Up to JOINED of one packet are one operation."""
        pushes: list[int] = []
        pushAll = self.store.pushAll

        def note(queue: bytes, messages: Any, size: int) -> int:
            pushes.append(len(messages))
            return pushAll(queue, messages, size)

        self.patch(self.store, "pushAll", note)
        for word in ("SetQ", "Set"):
            self.client.talk(self.sets(JOINED * 2 + 1, word))
            self.assertEqual(pushes, [JOINED, JOINED, 1])
            pushes.clear()

    def test_opaques(self) -> None:
        """Each get is answered with its own opaque, in order."""
        for word in ("Get", "GetQ", "GetKQ"):
            self.client.talk(self.sets(40))
            got = self.client.talk(self.gets(50, word) + PROBE)
            found = [
                (head[7], value) for head, _, _, value in split(got) if not head[5]
            ]
            expected = [(number, b"%03d" % number) for number in range(40)]
            self.assertEqual(found, [*expected, (0xFFFFFFFF, b"")])
            missed = [head[7] for head, *_ in split(got) if head[5]]
            self.assertEqual(missed, [*range(40, 50)] if word == "Get" else [])

    def test_loud(self) -> None:
        """Each set that is answered is, with its own opaque and number."""
        got = self.client.talk(self.sets(40, "Set"))
        told = [(head[7], head[8]) for head, *_ in split(got)]
        self.assertEqual(told, [(number, number) for number in range(40)])
        same = request(f"Set key=q {SET} value=x opaque=7") * 40
        got = self.client.talk(same)
        self.assertEqual([head[7] for head, *_ in split(got)], [7] * 40)

    def test_refused(self) -> None:
        """Of quiet sets that are refused, each is told with its own opaque."""
        self.harness.fillDisk()
        got = self.client.talk(self.sets(20))
        told = [(head[7], head[5]) for head, *_ in split(got)]
        self.assertEqual(told, [(number, 0x82) for number in range(20)])

    def test_large(self) -> None:
        """Each get has its own opaque also where a large body is found."""
        self.client.talk(self.sets(2))
        self.client.talk(request(f"SetQ key=q {SET} value=x*70000"))
        self.client.talk(self.sets(2))
        got = self.client.talk(self.gets(6) + PROBE)
        told = [(head[7], len(value)) for head, _, _, value in split(got)]
        expected = [(0, 3), (1, 3), (2, 70000), (3, 3), (4, 3), (0xFFFFFFFF, 0)]
        self.assertEqual(told, expected)

    def test_almostAlike(self) -> None:
        """Requests that differ in anything else are not taken for the same."""
        one = f"SetQ key=q {SET} value=abc"
        for other in (
            f"SetQ key=r {SET} value=abc",
            f"Set key=q {SET} value=abc",
            f"SetQ key=q {SET} value=abcd",
            "SetQ key=q extras=0000000100000000 value=abc",
            f"SetQ key=q {SET} value=abc cas=1",
            "GetQ key=q",
        ):
            got = []
            for cut in (False, True):
                client = Harness().connect()
                requests = [*map(request, (one, one, other, one, other, "Noop"))]
                pieces = requests if cut else [b"".join(requests)]
                got.append(b"".join(map(client.talk, pieces)))
                got.append(client.talk(request("GetQ key=q") * 9))
            self.assertEqual(got[:2], got[2:])


class AnswerTests(SteppedTestCase):
    """What becomes of answers."""

    def setUp(self) -> None:
        """Connect."""
        self.harness = Harness(verbosity=2)
        self.client = self.harness.connect()

    def test_wait(self) -> None:
        """Requests behind a wait are carried out after it."""
        with capturedLogs():
            sent = "Get key=q/t=1000 opaque=1", f"Set key=q {SET} value=x", "Noop"
            self.assertEqual(self.client.talk(b"".join(map(request, sent))), b"")
            self.harness.pass_(1.0)
            told = shown(self.client.read())
        self.assertEqual(
            told, ["Get value=b'not found' status='0001' opaque=1", "Set", "Noop"]
        )

    def test_served(self) -> None:
        """A wait is served by a client of either protocol."""
        with capturedLogs():
            self.client.talk(request("GetKQ key=q/t=1000 opaque=1"))
            other = self.harness.connect()
            other.talk(b"set q 7 0 2\r\nhi\r\n")
            told = self.client.read()
        expected = "GetKQ extras=00000007 key=q/t=1000 value=hi opaque=1"
        self.assertEqual(told, response(expected))

    def test_leaves(self) -> None:
        """A client that leaves gives back what it has open, and what was not sent."""
        other = self.harness.connect()
        with capturedLogs():
            other.talk(b"set q 0 0 1\r\na\r\nset q 0 0 1\r\nb\r\n")
            self.client.talk(request("Get key=q/open"))
            self.client.send(request("Get key=q"))
            self.client.end()
            told = other.talk(b"get q\r\nget q\r\n")
        self.assertEqual(
            told, b"VALUE q 0 1\r\na\r\nEND\r\nVALUE q 0 1\r\nb\r\nEND\r\n"
        )

    def test_comesLate(self) -> None:
        """Data that comes though it is not read is kept, or dropped behind the end."""
        with capturedLogs():
            self.assertEqual(self.client.talk(PROBE), PROBED)
            self.client.stopReading()
            for word in ("Noop", "Noop opaque=1"):
                self.client.protocol.dataReceived(request(word))
            self.assertEqual(self.client.read(), b"")
            self.client.startReading()
            self.assertEqual(shown(self.client.talk(b"")), ["Noop", "Noop opaque=1"])
            self.client.send(request("Quit"))
            self.client.protocol.dataReceived(request("Noop"))
            self.assertEqual(shown(self.client.talk(b"")), ["Quit"])

    def test_doesNotRead(self) -> None:
        """A client that does not read is not read from, and loses nothing."""
        with capturedLogs():
            self.client.talk(request(f"SetQ key=q {SET} value=x") * 5)
            self.client.stopReading()
            self.client.send(request("GetQ key=q") * 5 + PROBE)
            self.assertTrue(self.client.isPaused)
            self.client.startReading()
            got = self.client.talk(b"")
        self.assertEqual(len(shown(got)), 6)

    def test_traced(self) -> None:
        """With -vv each request is a line, joined or not, and each error."""
        words = f"SetQ key=q {SET} value=x", f"SetQ key=q {SET} value=y opaque=1"
        with capturedLogs() as events:
            self.client.talk(
                b"".join(map(request, (*words, "GetK key=q/open", "0x99")))
            )
        lines = [formatEvent(event).partition(" ")[2] for event in events]
        self.assertEqual(
            lines,
            [
                *["set q flags=0 size=1 opcode=11 exptime=0 delay=0"] * 2,
                "read q q/open open opcode=0c delay=0",
                "refused error=ERROR opcode=99",
                "is told: ERROR",
            ],
        )

    def test_counted(self) -> None:
        """Figures count as those of text do."""
        words = (
            *(f"SetQ key=q {SET} value=x", f"SetQ key=q {SET} value=y opaque=1"),
            *("GetQ key=q", "GetQ key=q opaque=2", "GetQ key=q", "Delete key=q"),
            "DeleteQ key=q",
        )
        sent = b"".join(map(request, words))
        with capturedLogs():
            got = self.client.talk(sent)
        figures = self.harness.statistics
        self.assertEqual((figures.setCommands, figures.setHits), (2, 2))
        self.assertEqual((figures.getCommands, figures.getHits), (3, 2))
        self.assertEqual((figures.deletes, figures.deleteMisses), (1, 1))
        self.assertEqual(figures.bytesRead, len(sent))
        self.assertEqual(figures.bytesWritten, len(got))
