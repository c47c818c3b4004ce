"""The command memq push."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from itertools import count

from twisted.trial.unittest import SynchronousTestCase

from memq.commandline import push
from memq.commandline.push import BATCH, Pace, Pipeline, batches
from memq.errors import CommandError
from memq.test.support.commandline import (
    Ended,
    Script,
    command,
    ended,
    launched,
    signalled,
    variables,
)
from memq.test.support.servers import started
from testkit.servers import PATIENCE

#: It is told of one message, whose reply may be on its way.
_ONE = (
    "memq push: (1 messages stored|0 messages stored, and perhaps 1 more"
    "|1 messages stored, and perhaps 1 more)\n"
)


class PushTests(SynchronousTestCase):
    """Messages of a command line, of files, of a stream."""

    def setUp(self) -> None:
        """Have a server."""
        self.server = started(self)

    def push(self, *words: str, stdin: bytes = b"") -> Ended:
        """Push to the queue q."""
        return command(self.server, "push", "q", *words, stdin=stdin)

    def pushed(self, *words: str, stdin: bytes = b"") -> list[bytes]:
        """Return the messages that a push has made, which has to end well."""
        done = self.push(*words, stdin=stdin)
        self.assertEqual((done.status, done.out), (0, b""), done.err)
        return self.server.take(b"q")

    def test_sources(self) -> None:
        """Words, standard input as one, and whatever ends in it."""
        self.assertEqual(self.pushed("a", "b\n", ""), [b"a", b"b\n", b""])
        self.assertEqual(self.pushed("--", "--lines"), [b"--lines"])
        self.assertEqual(self.pushed(os.fsdecode(b"\xff")), [b"\xff"])
        self.assertEqual(self.pushed(stdin=b"a\nb\0"), [b"a\nb\0"])
        self.assertEqual(self.pushed("--lines", stdin=b"a\n\nb"), [b"a", b"", b"b"])
        self.assertEqual(self.pushed("--null", stdin=b"a\nb\0c"), [b"a\nb", b"c"])
        self.assertEqual(self.pushed("--lines"), [])
        lines = b'{"body": "a"}\n{"base64": "/w==", "flags": 7}\n'
        self.assertEqual(self.pushed("--json", stdin=lines), [b"a", b"\xff"])

    def test_files(self) -> None:
        """Each file is a message."""
        paths = [os.path.abspath(self.mktemp()) for _ in range(2)]
        for path, body in zip(paths, (b"one\n", bytes(300_000)), strict=True):
            with open(path, "wb") as file:
                file.write(body)
        words = [word for path in paths for word in ("--file", path)]
        self.assertEqual(self.pushed(*words), [b"one\n", bytes(300_000)])
        with open(paths[0], "rb") as lines:
            done = ended(launched(self.server, "push", "q", "--lines", stdin=lines))
        self.assertEqual(done, (0, b"", "memq push: 1 messages stored\n"))
        done = self.push("--file", "/none/x")
        self.assertEqual(done.status, 1)
        self.assertIn("memq push: /none/x: No such file or directory\n", done.err)

    def test_options(self) -> None:
        """Flags and delays are kept; a rate is kept to."""
        self.assertEqual(self.push("--flags", "7", "a").status, 0)
        self.assertEqual(self.push("--delay", "1000", "b").status, 0)
        self.assertEqual(self.server.ask(b"get q"), b"VALUE q 7 1\r\na\r\nEND\r\n")
        detail = self.server.figures(b"detail q")
        self.assertEqual(detail[b"queue_q_delayed"], b"1")
        lines = b"".join(b"%d\n" % each for each in range(10))
        self.assertEqual(len(self.pushed("--rate=50", "--lines", stdin=lines)), 10)

    def test_stream(self) -> None:
        """Each line is stored when it comes, long before the end of the stream."""
        process = launched(self.server, "push", "q", "--lines")
        assert process.stdin is not None
        with self.server.wire() as wire:
            for body in (b"one", b"two"):
                process.stdin.write(body + b"\nrest")
                process.stdin.flush()
                found = wire.take(b"q/t=%d" % (PATIENCE * 1000))
                self.assertIn(body, found or b"")
        done = ended(process)
        self.assertEqual(done.err, "memq push: 3 messages stored\n")

    def test_refused(self) -> None:
        """Messages that are refused are counted, and the status says so."""
        self.server.ask(b"add q 0 0 1", b"5")
        lines = b"".join(b"%d\n" % each for each in range(3 * BATCH))
        done = self.push("--lines", stdin=lines)
        self.assertEqual(done.status, 3)
        self.assertRegex(
            done.err,
            r"^memq push: 5 messages stored, \d+ refused: the queue is full or paused, "
            r"or one that gets a copy is; message 6 was the first of these\n$",
        )
        self.assertEqual(self.server.take(b"q"), [b"0", b"1", b"2", b"3", b"4"])
        large = self.push(stdin=bytes(2 << 20))
        self.assertEqual(large.status, 3)
        self.assertIn("refused: SERVER_ERROR object too large for cache", large.err)

    def test_mistakes(self) -> None:
        """Mistakes are told in a line."""
        for words, stdin, status, said in (
            (("--lines", "a"), b"", 2, "TEXT, and messages from elsewhere: choose one"),
            (
                ("--json",),
                b"{",
                1,
                "0 messages stored\nmemq push: no message in JSON: {",
            ),
            (("--lines", "--null"), b"", 2, "argument --null/-0: not allowed with"),
            (("--flags", "x", "a"), b"", 2, "argument --flags: 'x' is no whole number"),
        ):
            done = self.push(*words, stdin=stdin)
            self.assertEqual((done.status, done.out), (status, b""), done.err)
            self.assertTrue(done.err.startswith(f"memq push: {said}"), done.err)

    def test_lost(self) -> None:
        """A server that is killed is told, with what is known to be stored."""
        process = launched(self.server, "push", "q", "--lines")
        assert process.stdin is not None
        process.stdin.write(b"one\n")
        process.stdin.flush()
        with self.server.wire() as wire:
            wire.take(b"q/t=%d/peek" % (PATIENCE * 1000))
        self.server.stop(signal.SIGKILL)
        done = ended(process, b"two\n")
        self.assertEqual(done.status, 1)
        self.assertRegex(
            done.err,
            f"^{_ONE}memq push: the server closed the connection",
        )

    def test_interrupted(self) -> None:
        """Ctrl-C ends it with 130, and tells what is stored."""
        process = launched(self.server, "push", "q", "--lines")
        assert process.stdin is not None
        process.stdin.write(b"one\n")
        process.stdin.flush()
        with self.server.wire() as wire:
            wire.take(b"q/t=%d" % (PATIENCE * 1000))
        self.assertEqual(signalled(process, signal.SIGINT), 130)
        self.assertRegex(ended(process).err, f"^{_ONE}$")

    def test_start(self) -> None:
        """It imports no Twisted, no store and no rich, however it ends."""
        code = (
            "import sys; from memq.cli import main; status = main(); "
            "print(*(n for n, m in sys.modules.items() if m and n in {'twisted', "
            "'rich', 'berkeleydb', 'bsddb3', 'zope.interface', 'memq.storage', "
            "'memq.config'})); "
            "sys.exit(status)"
        )
        for words in (["push", "q", "x"], ["pop", "q"], ["stat"], ["check", "--ready"]):
            done = subprocess.run(
                [sys.executable, "-c", code, *words],
                env=variables(self.server),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
                timeout=PATIENCE,
            )
            self.assertEqual(done.stdout.splitlines()[-1].removeprefix(b"x"), b"")


class PipelineTests(SynchronousTestCase):
    """Batches, and what is known of those on their way."""

    def test_batches(self) -> None:
        """A batch has so many messages, and so many bytes unless one alone has more."""
        self.patch(push, "_BYTES", 10)
        bodies = [b"1", b"2", b"3", b"12345678901", b"4", b"567890", b"7890"]
        found = list(batches(bodies, 2))
        self.assertEqual(
            found,
            [[b"1", b"2"], [b"3"], [b"12345678901"], [b"4", b"567890"], [b"7890"]],
        )
        self.assertEqual(list(batches([], 2)), [])

    def test_unknown(self) -> None:
        """What was sent and not answered is neither stored nor refused."""
        script = Script(self, b"STORED\r\n")
        with script.connection() as connection:
            pipeline = Pipeline(connection, b"q", 0)
            pipeline.put([b"a", b"b"])
            self.assertEqual((pipeline.stored, pipeline.unknown), (0, 2))
            self.assertRaises(CommandError, pipeline.settle)
            self.assertEqual((pipeline.stored, pipeline.unknown), (1, 1))

    def test_window(self) -> None:
        """Two batches are on their way at most."""
        script = Script(self, *(4 * [b"", b"STORED\r\n"]))
        with script.connection() as connection:
            pipeline = Pipeline(connection, b"q", 0)
            for number in range(4):
                pipeline.put([b"a"])
                self.assertEqual(pipeline.unknown, min(1, number + 1))
            pipeline.settle()
            self.assertEqual(pipeline.stored, 4)

    def test_pace(self) -> None:
        """A rate says how many go at a time, and when."""
        clock = count(0.0, 1.0)
        slept: list[float] = []
        pace = Pace(20, clock.__next__, slept.append)
        self.assertEqual(pace.most, 2)
        for _ in range(3):
            pace.keep(60)
        # At 1, 2 and 3 by the clock: due at 0, at 4 and at 7.
        self.assertEqual(slept, [2.0, 4.0])
