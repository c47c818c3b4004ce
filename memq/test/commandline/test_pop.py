"""The command memq pop."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from memq.commandline import pop
from memq.commandline.formats import Sink
from memq.commandline.pop import MOST, Opened, Pop, Taken
from memq.commandline.terminal import Meter
from memq.errors import CommandError
from memq.test.support.commandline import (
    Ended,
    Script,
    Terminal,
    command,
    ended,
    launched,
    signalled,
)
from memq.test.support.servers import started
from testkit.servers import PATIENCE

if TYPE_CHECKING:
    from memq.client.connection import Message


A, END = b"VALUE q 0 1\r\na\r\n", b"END\r\n"


class PopTests(SynchronousTestCase):
    """Messages that are taken from a server."""

    def setUp(self) -> None:
        """Have a server."""
        self.server = started(self)

    def pop(self, *words: str) -> Ended:
        """Pop from the queue q."""
        return command(self.server, "pop", "q", *words)

    def test_forms(self) -> None:
        """A body as it is, or with an end, or as a line of JSON; several are lines."""
        self.server.put(b"q", *[b"%d" % n for n in range(12)])
        self.server.ask(b"set q 7 0 1", b"\xff")
        for words, expected in (
            ((), b"0"),
            (("-n", "2"), b"1\n2\n"),
            (("--lines",), b"3\n"),
            (("-n2", "--null"), b"4\0" + b"5\0"),
            (("-0",), b"6\0"),
            (("--json",), b'{"body": "7"}\n'),
            (("--lossy",), b"8"),
            (("--lossy", "-n", "2"), b"9\n10\n"),
            (("--all", "--json"), b'{"body": "11"}\n{"base64": "/w==", "flags": 7}\n'),
        ):
            self.assertEqual(self.pop(*words), (0, expected, ""), words)
        self.assertEqual(self.server.counts(), {b"q": (13, 13)})

    def test_none(self) -> None:
        """Without a message the status says so; all of none are taken."""
        for words, status in (
            ((), 3),
            (("-n5",), 3),
            (("--lossy",), 3),
            (("--all",), 0),
        ):
            why = "memq pop: there is no queue q\n" if status else ""
            self.assertEqual(self.pop(*words), (status, b"", why))
        self.server.put(b"q", b"a")
        self.assertEqual(self.pop("-n5"), (0, b"a\n", ""))

    def test_why(self) -> None:
        """Why there is none is told in a line: it is empty, or paused for reads."""
        self.server.put(b"q", b"a")
        self.server.ask(b"set q/delay=100 0 0 1", b"b")
        for word, words in ((b"", ()), (b" reads", ("-n2",)), (b"", ("--lossy",))):
            self.server.ask(b"pause q" + word)
            why = "memq pop: queue q is paused for reads\n"
            self.assertEqual(self.pop(*words), (3, b"", why))
            self.server.ask(b"resume q")
        self.server.ask(b"pause q writes")
        self.assertEqual(self.pop(), (0, b"a", ""))
        why = "memq pop: no message of q waits: 0 open, 1 delayed\n"
        self.assertEqual(self.pop(), (3, b"", why))

    def test_many(self) -> None:
        """More than a batch come in their order, whichever way, no more than asked."""
        bodies = [b"%d" % n for n in range(4 * MOST)]
        self.server.put(b"q", *bodies)
        out = b""
        for words in (["-n1500"], ["-n1500", "--lossy"], ["--all"]):
            done = self.pop("--lines", *words)
            self.assertEqual(done.status, 0, done.err)
            out += done.out
        self.assertEqual(out.splitlines(), bodies)

    def test_wait(self) -> None:
        """It waits for a message, if there is none, no longer than it is told to."""
        for words in ((), ("--lossy",)):
            process = launched(self.server, "pop", "q", "--wait=60", *words)
            with self.server.wire() as wire:
                while wire.figures(b"detail q").get(b"queue_q_waiters") != b"1":
                    wire.ask(b"add q 0 0 1\r\n0")
            self.server.put(b"q", b"a")
            self.assertEqual(ended(process), (0, b"a", ""))
            none = "memq pop: no message of q waits: 0 open, 0 delayed\n"
            self.assertEqual(self.pop("--wait", "0.01", *words), (3, b"", none))

    def test_directory(self) -> None:
        """Each can become a file."""
        path = os.path.join(self.mktemp(), "out")
        self.server.put(b"q", b"a\n", b"")
        self.assertEqual(self.pop("--all", "--to", path), (0, b"", ""))
        self.assertEqual(sorted(os.listdir(path)), ["0000000001", "0000000002"])
        self.server.put(b"q", b"a")
        done = self.pop("--to", "/proc/none")
        self.assertEqual(done.status, 1)
        self.assertEqual(self.server.counts(), {b"q": (3, 2)})

    def test_brokenPipe(self) -> None:
        """Messages that nobody has read from the pipe go back."""
        bodies = [b"%d" % n for n in range(3 * MOST)]
        self.server.put(b"q", *bodies)
        process = launched(self.server, "pop", "q", "--all", "--lines")
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline(), b"0\n")
        # No more of the first batch is read than what a file of ours has buffered.
        process.stdout.close()
        self.assertEqual(process.wait(PATIENCE), 141)
        assert process.stderr is not None and process.stdin is not None
        self.assertEqual(process.stderr.read(), b"")
        process.stderr.close()
        process.stdin.close()
        left = self.server.take(b"q")
        self.assertEqual(left, bodies[-len(left) :])
        self.assertGreaterEqual(len(left), 2 * MOST)

    def test_interrupted(self) -> None:
        """Ctrl-C and SIGTERM end it, and what was not closed goes back."""
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            process = launched(self.server, "pop", "q", "--wait=inf")
            with self.server.wire() as wire:
                while wire.figures(b"detail q").get(b"queue_q_waiters") != b"1":
                    wire.ask(b"add q 0 0 1\r\n0")
            self.assertEqual(signalled(process, number), status)
            self.assertEqual(ended(process), (status, b"", ""))

    def test_lost(self) -> None:
        """A server that goes is told in a line."""
        process = launched(self.server, "pop", "q", "--wait=inf", "--all")
        with self.server.wire() as wire:
            while wire.figures(b"detail q").get(b"queue_q_waiters") != b"1":
                wire.ask(b"add q 0 0 1\r\n0")
        self.server.stop()
        done = ended(process)
        self.assertEqual(done.status, 1)
        self.assertIn("memq pop: the server closed the connection", done.err)

    def test_terminal(self) -> None:
        """On a terminal a body cannot drive it, and has an end."""
        self.server.put(b"q", b"a\x1b[31m\x9b\n\tb", "队".encode())
        terminal = Terminal(self.server, "pop", "q", "-n", "2")
        status, shown = terminal.end()
        self.assertEqual(status, 0)
        self.assertEqual(shown, "a\\x1b[31m\\x9b\r\n\tb\r\n队\r\n")

    def test_jsonOnTerminal(self) -> None:
        """JSON stays JSON there."""
        self.server.put(b"q", b"a\x1b")
        _, shown = Terminal(self.server, "pop", "q", "--json").end()
        self.assertEqual(json.loads(shown), {"body": "a\x1b"})


class Kept(Sink):
    """A sink that keeps messages in memory.

    :ivar settled: how many are in safe hands.
    """

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.settled = 0

    def write(self, message: Message) -> None:
        """Keep a message."""
        self.bodies.append(message.body)

    def settle(self) -> None:
        """Note how many there are."""
        self.settled = len(self.bodies)


class Parts(Meter):
    """A meter that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(print, bar=False)
        self.parts: list[float | None] = []

    def reach(self, messages: int, part: float | None = None) -> None:
        """Keep how much of all is done."""
        self.parts.append(part)


class OrderTests(SynchronousTestCase):
    """Words to a server, and their order."""

    def run_(self, script: Script, makes: type[Opened], wait: float = 0) -> Kept:
        """Pop all messages of the queue q; return what was kept."""
        sink = Kept()
        with script.connection() as connection, Meter(self.fail, bar=False) as meter:
            source = makes(connection, b"q")
            try:
                Pop(source, sink, 3, meter).run(wait)
            except CommandError as error:
                self.error = str(error)
        self.assertEqual(sink.settled, len(sink.bodies))
        return sink

    def test_closedLast(self) -> None:
        """A batch is closed when it is settled; the next one is asked for before."""
        script = Script(self, A + A + END, A + END, END, END)
        with patch.object(pop, "BATCH", 2):
            self.assertEqual(self.run_(script, Opened).bodies, [b"a"] * 3)
        self.assertEqual(
            script.sent,
            b"monitor q 0 2\r\nmonitor q 0 1\r\nconfirm q 2\r\nconfirm q 1\r\n",
        )

    def test_noneMayBeOpen(self) -> None:
        """Where no more may be open it goes on once those are closed."""
        script = Script(self, A + END, END, END, *2 * (A + END, END))
        with patch.object(pop, "BATCH", 2):
            self.assertEqual(self.run_(script, Opened).bodies, [b"a"] * 3)
        self.assertEqual(
            script.sent,
            b"monitor q 0 2\r\n" + 3 * b"monitor q 0 1\r\nconfirm q 1\r\n",
        )

    def test_error(self) -> None:
        """Messages before an error are closed, and then it is told."""
        script = Script(self, A + b"SERVER_ERROR damaged\r\n", END)
        self.assertEqual(self.run_(script, Opened).bodies, [b"a"])
        self.assertEqual(self.error, "the server answered: SERVER_ERROR damaged")
        self.assertEqual(script.sent, b"monitor q 0 3\r\nconfirm q 1\r\n")
        self.assertEqual(self.run_(Script(self, b"ERROR\r\n"), Opened).bodies, [])

    def test_errorBefore(self) -> None:
        """So are those that were asked for behind it."""
        script = Script(self, b"SERVER_ERROR damaged\r\n", A + END, END)
        with patch.object(pop, "BATCH", 2):
            self.assertEqual(self.run_(script, Opened).bodies, [b"a"])
        self.assertEqual(self.error, "the server answered: SERVER_ERROR damaged")

    def test_errorWaiting(self) -> None:
        """An error that a wait meets is told as well."""
        script = Script(self, END, b"SERVER_ERROR damaged\r\n")
        self.run_(script, Opened, wait=60)
        self.assertEqual(self.error, "the server answered: SERVER_ERROR damaged")

    def test_taken(self) -> None:
        """Lossy, each is asked for by its name, and there is nothing to close."""
        script = Script(self, A + END, A + END, END, END)
        with patch.object(pop, "BATCH", 2):
            self.assertEqual(self.run_(script, Taken).bodies, [b"a", b"a"])
        self.assertEqual(script.sent, b"get q q\r\n" + 3 * b"get q\r\n")

    def test_progress(self) -> None:
        """It tells how much is done of what was there, or was asked for."""
        for there, part in ((0, None), (4, 0.75), (2, 1.0), (9, 0.75)):
            script = Script(self, 3 * A + END)
            with script.connection() as connection:
                meter = Parts()
                moving = Pop(Taken(connection, b"q"), Kept(), 4, meter, there)
                self.assertRaises(CommandError, moving.run, 0)
            self.assertEqual(meter.parts, [part])

    def test_longNames(self) -> None:
        """No line is longer than the server reads."""
        script = Script(self, b"END\r\n")
        with script.connection() as connection:
            taken = Taken(connection, bytes(250))
            taken.ask(1000)
            self.assertEqual(list(taken.messages()), [])
        self.assertLess(len(script.sent), 65536)
        self.assertEqual(script.sent.count(b" "), 239)

    def test_waitEnded(self) -> None:
        """A wait that ends too early goes on: a server that stops ends it at once."""
        script = Script(self, b"END\r\n", b"END\r\n")
        self.run_(script, Opened, wait=60)
        self.assertIn("the server closed the connection", self.error)
        monitor, *waits, rest = script.sent.split(b"\r\n")
        self.assertEqual((monitor, rest), (b"monitor q 0 3", b""))
        for line in waits:
            self.assertRegex(line, rb"^get q/t=(60000|5\d\d\d\d)/open$")
