"""Equal commands of one packet are taken in one run, as if each came by itself."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.logger import globalLogPublisher

from memq.connection.receiver import CommandReceiver
from memq.operations.base import JOINED
from memq.operations.outstanding import COMMAND_LOAD
from memq.operations.pushes import Push
from memq.test.support.harness import Harness, Transport
from memq.test.support.readers import rules
from memq.test.support.stepped import SteppedTestCase

if TYPE_CHECKING:
    from twisted.logger import ILogObserver

    from memq.test.support.harness import Client
    from memq.wire.text import Command, Set

GET = b"get q\r\n"


def put(
    body: bytes, key: bytes = b"q", words: bytes = b"", end: bytes = b"\r\n"
) -> bytes:
    """Return a set command."""
    return b"set %b 0 0 %d%b\r\n%b%b" % (key, len(body), words, body, end)


class Sink:
    """Note each command, however it comes, and how many came in each run.

    :ivar most: how many may join one.
    :ivar effects: after how many commands the receiver is paused, or closed.
    """

    receiver: CommandReceiver
    last: Command

    def __init__(self, most: int, effects: dict[int, str]) -> None:
        self.most = most
        self.effects = effects
        self.noted: list[object] = []
        self.runs: list[int] = []
        self.count = 0
        self.reserve = lambda command: None
        self.release = lambda: None
        self.addPart = self.beginBody = self.refuse = self.note
        self.abandonBody = lambda: self.note("abandon")
        self.executeInParts = self.executeWithBody
        self.executeAdd = self.executeWithBody

    def note(self, *details: object) -> None:
        """Note something that is no plain command."""
        # As text, since two errors that say the same are not equal.
        self.noted.append(repr(details))

    def execute(self, command: Command) -> None:
        """Note it; pause or close if its turn has come."""
        self.last = command
        self._carryOut(command)

    def executeWithBody(self, *details: Any) -> None:
        """Note it; pause or close if its turn has come."""
        self._carryOut(*details)

    def _carryOut(self, *details: object) -> None:
        self.note(*details)
        self.count += 1
        effect = self.effects.get(self.count)
        if effect == "close":
            self.receiver.close()
        elif effect == "pause":
            self.receiver.pauseProducing()

    def joinable(self, command: Command) -> int:
        """Return how many commands come before the next effect, or what is set."""
        before = [at - self.count - 1 for at in self.effects if at > self.count]
        return min([self.most, *before])

    def joinSets(self, command: Set, bodies: list[bytes]) -> None:
        """Note each."""
        self.runs.append(len(bodies))
        for body in bodies:
            self._carryOut(command, body, True)

    def joinGets(self, count: int) -> None:
        """Note each."""
        self.runs.append(count)
        for _ in range(count):
            self._carryOut(self.last)

    def allReceived(self) -> None:
        """Note it."""
        self.note("all")


def received(
    pieces: list[bytes], most: int = 100, effects: dict[int, str] | None = None
) -> Sink:
    """Return what comes of a stream in pieces; a receiver that is paused goes on."""
    sink = Sink(most, effects or {})
    receiver = CommandReceiver(cast("Any", sink), 100, Harness().statistics)
    sink.receiver = receiver
    receiver.makeConnection(Transport())
    for piece in pieces:
        receiver.dataReceived(piece)
        while receiver.paused and not receiver.closing:
            receiver.resumeProducing()
    return sink


#: The runs of a stream: how many joined at once, where as many may as are wanted.
RUNS: dict[str, tuple[bytes, list[int]]] = {
    "one set": (put(b"a"), []),
    "sets": (put(b"a") + put(b"b") + put(b"c"), [2]),
    "no bodies": (put(b"") * 4, [3]),
    "bodies that are sets": (put(put(b"a")) * 3, [2]),
    "bodies like the end": (put(b"\r\n") * 3, [2]),
    "bodies like a separator": (
        put(b"\r\nset q 0 0 24\r\n" + b"x" * 8) * 2 + put(b"y" * 24) * 2,
        [2],
    ),
    "LF alone": (b"set q 0 0 1\na\r\n" * 3, [2]),
    "another line end": (put(b"a") + b"set q 0 0 1\na\r\n" * 3, [2]),
    "CR LF behind LF": (
        b"set q 0 0 1\na\r\n" + put(b"a") + b"set q 0 0 1\na\r\n" * 3,
        [2],
    ),
    "a longer line": (put(b"a") + put(b"0123456789") * 2, [1]),
    "another queue": (put(b"a") * 3 + put(b"a", b"r") * 2, [1, 1]),
    "noreply": (put(b"a", words=b" noreply") * 3 + put(b"b"), [2]),
    "an option": (put(b"a", b"q/delay=5") * 3, [2]),
    "a bad end at first": (put(b"a", end=b"xx") + put(b"b") * 2, [1]),
    "a bad end of the last": (put(b"a") * 3 + put(b"b", end=b"xx"), [2]),
    "a bad end behind sets": (put(b"a") * 3 + put(b"b", end=b"xx") + GET, [2]),
    "part of a line": (put(b"a") * 3 + b"set q", [2]),
    "part of a body": (put(b"abc") * 3 + put(b"abc")[:-3], [2]),
    "too large": (put(b"x" * 101) * 3, []),
    "adds": (b"add q 0 0 1\r\n5\r\n" * 3, []),
    "one get": (GET, []),
    "gets": (GET * 5, [4]),
    "gets and a set": (GET * 5 + put(b"a"), [4]),
    "pairs of gets": ((GET * 2 + b"get r\r\n" * 2) * 2, [1, 1, 1, 1]),
    "a longer name": (GET + b"get qq\r\n" * 3, [2]),
    "part of a get": (GET * 3 + b"get q", [2]),
    "gets of several": (b"get q r\r\n" * 3, [2]),
    "meta sets": (b"ms q 1 k O1\r\na\r\n" * 3 + b"ms q 1 k O2\r\na\r\n", [1]),
    "meta sets that tell a number": (b"ms q 1 c\r\na\r\n" * 3, [2]),
    "quiet meta sets": (b"ms q 1 q\r\na\r\n" * 3, [2]),
    "meta gets": (b"mg q v f k\r\n" * 4 + b"mg q v f\r\n", [3]),
    "meta gets that take a look more": (b"mg q v h\r\n" * 3, []),
    "meta looks": (b"mg q k\r\n" * 3, []),
    "others": (b"version\r\n" * 3, []),
}


class RunTests(SteppedTestCase):
    """Runs of commands, which the receiver takes at once."""

    def test_runs(self) -> None:
        """Equal lines behind one are one run; what is told is the same without."""
        for name, (data, runs) in RUNS.items():
            sink = received([data])
            self.assertEqual(sink.runs, runs, name)
            self.assertEqual(sink.noted, received([data], most=0).noted, name)

    def test_most(self) -> None:
        """No more are joined than may be; the next one is taken by itself."""
        for data in put(b"a"), GET:
            self.assertEqual(received([data * 10], most=3).runs, [3, 3, 1])
            self.assertEqual(received([data * 9], most=3).runs, [3, 3])
            self.assertEqual(received([data * 3], most=0).runs, [])

    def test_effects(self) -> None:
        """A run ends before the command that pauses or closes."""
        for data in put(b"a"), GET:
            paused = received([data * 10], effects={1: "pause", 6: "pause"})
            self.assertEqual(paused.runs, [3, 3])
            self.assertEqual(paused.count, 10)
            closed = received([data * 10], effects={1: "pause", 4: "close"})
            self.assertEqual((closed.runs, closed.count), ([1], 4))

    def test_anyStream(self) -> None:
        """Any stream is told as if each command came by itself."""

        @settings(max_examples=150)
        @given(_cutStreams(), some.integers(0, 20), _effects)
        def check(pieces: list[bytes], most: int, effects: dict[int, str]) -> None:
            sink = received(pieces, most, effects)
            self.assertEqual(sink.noted, received(pieces, 0, effects).noted)

        check()


_KINDS = [data for data, _ in RUNS.values()]
#: Few commands of each kind, or more than are joined.
_commands = some.tuples(
    some.sampled_from([*_KINDS, put(b"a"), put(b"b"), GET]),
    some.sampled_from([1, 1, 2, 3, JOINED - 1, JOINED, JOINED + 1, 40]),
).map(lambda drawn: drawn[0] * drawn[1])
_effects = some.dictionaries(
    some.integers(1, 60), some.sampled_from(["pause", "pause", "close"]), max_size=6
)


@some.composite
def _cutStreams(draw: some.DrawFn) -> list[bytes]:
    """Return a stream in pieces."""
    stream = b"".join(draw(some.lists(_commands, max_size=5)))
    places = draw(some.lists(some.integers(0, len(stream)), max_size=4))
    return [stream[a:b] for a, b in pairwise([0, *sorted(places), len(stream)])]


class OneByOne(CommandReceiver):
    """A receiver that takes no runs."""

    def _joinable(self, command: object) -> int:
        return 0


class State(NamedTuple):
    """The state of a server that is seen after each piece."""

    asked: list[tuple[object, ...]]
    load: int
    counted: int
    paused: bool
    closed: bool
    commands: tuple[int, int]


class Situation(NamedTuple):
    """The situation that a server is in."""

    window: int = 1 << 20
    ruled: tuple[str, ...] = ()
    full: bool = False
    verbosity: int = 0


def _asked(operation: Any) -> tuple[object, ...]:
    names = ["queue", "size", "form", "exptime", "delay", "most"]
    if isinstance(operation, Push):
        names.append("messages")
    details = [getattr(operation, name, None) for name in names]
    return (type(operation), *details)


class Server:
    """A server with one client that watches it."""

    def __init__(self, receiver: type[CommandReceiver], situation: Situation) -> None:
        """Start it."""
        window, ruled, full, verbosity = situation
        self.harness = Harness(
            receiver=receiver,
            rules=rules(**{name: {"max_items": 5} for name in ruled}),
            maxBody=100,
            verbosity=verbosity,
        )
        self.harness.broker.budget.window = window
        if full:
            self.harness.fillDisk()
        self.client: Client = self.harness.connect()

    def send(self, piece: bytes) -> State:
        """Send something, and tell what it has changed before anything runs."""
        client = self.client
        client.send(piece)
        session, statistics = client.protocol.session, self.harness.statistics
        return State(
            [_asked(each) for each in session.inbox],
            session.outstanding.load,
            session.outstanding.counted,
            client.isPaused,
            client.isClosed,
            (statistics.setCommands, statistics.getCommands),
        )


def told(
    receiver: type[CommandReceiver],
    pieces: list[bytes],
    situation: Situation,
    settle: bool,
) -> object:
    """Return all that is seen of a server that gets a stream in pieces."""
    server = Server(receiver, situation)
    seen: list[object] = []
    for piece in pieces:
        seen.append(server.send(piece))
        if settle:
            server.harness.settle()
            seen.append(server.client.read())
    server.harness.settle()
    output = server.client.read()
    return seen, output, server.client.isClosed, server.harness.store.dump()


class JoiningTests(SteppedTestCase):
    """Operations that the commands of a connection make of a run."""

    def asked(self, data: bytes, **situation: Any) -> tuple[list[int], State]:
        """Return how many commands each operation is, and the rest."""
        server = Server(CommandReceiver, Situation(**situation))
        state = server.send(data)
        inbox = server.client.protocol.session.inbox
        return [operation.count for operation in inbox], state

    def test_operations(self) -> None:
        """Runs fill operations, unless a policy holds or commands are traced."""
        rest = [JOINED, JOINED, 8]
        cases: list[tuple[dict[str, Any], list[int]]] = [
            ({}, rest),
            ({"ruled": ("r",)}, rest),
            ({"ruled": ("q",)}, [1] * 40),
            ({"verbosity": 2}, rest),
        ]
        for situation, counts in cases:
            for data, commands in (put(b"a"), (40, 0)), (GET, (0, 40)):
                found, state = self.asked(data * 40, **situation)
                self.assertEqual((found, state.commands), (counts, commands))
                each = COMMAND_LOAD * len(counts)
                joined = COMMAND_LOAD * (40 - len(counts))
                self.assertEqual(state.load, each + joined + commands[0])

    def test_traced(self) -> None:
        """Each command of a run is traced, where commands are."""
        lines = self.logged(lambda: self.asked(put(b"a") * 3 + GET * 3, verbosity=2))
        self.assertEqual(len(lines), 6)

    def logged(self, call: Any) -> list[Any]:
        """Return what is traced during a call."""
        lines: list[Any] = []
        observer = cast("ILogObserver", lines.append)
        globalLogPublisher.addObserver(observer)
        try:
            call()
        finally:
            globalLogPublisher.removeObserver(observer)
        return [line for line in lines if "peer" in line]

    def test_window(self) -> None:
        """A run ends with the command that fills the window, and none behind it."""
        for data, size in (put(b"a" * 48), 48), (GET, 0):
            each = COMMAND_LOAD + size
            for count in range(1, 2 * JOINED):
                for window in (each * count - 1, each * count):
                    found, state = self.asked(data * 40, window=window)
                    self.assertEqual(sum(found), count)
                    self.assertEqual((state.load, state.paused), (each * count, True))

    def test_full(self) -> None:
        """Where the disk is full, each set of a run is refused."""
        server = Server(CommandReceiver, Situation(full=True))
        answer = server.client.talk(put(b"a") * 40)
        self.assertEqual(answer.count(b"SERVER_ERROR"), 40)

    def test_anyStream(self) -> None:
        """Operations, load, pauses, figures and replies are those of single ones."""
        situations = some.builds(
            Situation,
            window=some.sampled_from([4000, 9000, 20_000, 1 << 20]),
            ruled=some.sampled_from([(), (), ("q",), ("r",)]),
            full=some.sampled_from([False, False, False, True]),
            verbosity=some.sampled_from([0, 0, 0, 2]),
        )

        @settings(max_examples=60)
        @given(_cutStreams(), situations, some.booleans())
        def check(pieces: list[bytes], situation: Situation, settle: bool) -> None:
            self.assertEqual(
                told(CommandReceiver, pieces, situation, settle),
                told(OneByOne, pieces, situation, settle),
            )

        check()
