"""The command memq tail."""

from __future__ import annotations

import argparse
from contextlib import contextmanager
from signal import SIGINT
from time import monotonic
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from memq.commandline.live.tail import Tail
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
    import subprocess
    from collections.abc import Iterator

    from testkit.servers import Server


@contextmanager
def begins(server: Server) -> Iterator[None]:
    """Wait until something that is launched meanwhile has been heard by a server."""
    end = monotonic() + PATIENCE
    with server.wire() as wire:
        before = int(wire.figures()[b"bytes_read"])
        yield
        while int(wire.figures()[b"bytes_read"]) == before + len(b"stats \r\n"):
            before += len(b"stats \r\n")
            assert monotonic() < end


class TailTests(SynchronousTestCase):
    """Copies of what is set to a server."""

    def setUp(self) -> None:
        """Have one."""
        self.server = started(self)

    def tail(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a tail that has begun."""
        with begins(self.server):
            process = launched(self.server, "tail", *words)
        self.addCleanup(process.kill)
        return process

    def test_forms(self) -> None:
        """A copy is a line with its queue, a body with an end, or a line of JSON."""
        for words, expected in (
            ((), b"q\ta\nr\tb\n"),
            (("--lines",), b"a\nb\n"),
            (("-0",), b"a\0b\0"),
            (
                ("--json",),
                b'{"queue": "q", "body": "a", "number": %d}\n'
                b'{"queue": "r", "body": "b", "number": %d}\n',
            ),
        ):
            process = self.tail("[qr]", "-n2", *words)
            self.server.put(b"q", b"a")
            self.server.put(b"none", b"c")
            self.server.put(b"r", b"b")
            done = ended(process)
            if words == ("--json",):
                expected = expected % (3, 3)
            self.assertEqual(done, Ended(0, expected, ""))
        self.assertEqual(self.server.counts()[b"q"], (4, 0))

    def test_stop(self) -> None:
        """A server that stops is told."""
        process = self.tail("q")
        self.server.stop()
        done = ended(process)
        self.assertEqual((done.status, done.out), (1, b""))
        self.assertIn("memq tail: the server stops", done.err)

    def test_interrupted(self) -> None:
        """Ctrl-C ends it."""
        process = self.tail("q")
        self.assertEqual(signalled(process, SIGINT), 130)

    def test_pattern(self) -> None:
        """It wants a pattern that names can match."""
        self.assertEqual(command(self.server, "tail").status, 2)
        self.assertEqual(command(self.server, "tail", "a b").status, 2)

    def test_terminal(self) -> None:
        """On a terminal nothing can drive it."""
        with begins(self.server):
            terminal = Terminal(self.server, "tail", "*", "-n1")
        self.server.put(b"q", b"a\x1b[31m")
        self.assertEqual(terminal.end(), (0, "q\ta\\x1b[31m\r\n"))


class ScriptTests(SynchronousTestCase):
    """What a server may say."""

    def run_(self, *answers: bytes) -> tuple[list[str], str]:
        """Return what is told, and the error in the end."""
        told: list[str] = []
        options = argparse.Namespace(pattern=b"q", count=9, json=True)
        script = Script(self, b"OK\r\n" + b"".join(answers))
        with script.connection() as connection:
            error = self.assertRaises(
                CommandError, Tail(options, told.append).run, connection
            )
        return told, str(error)

    def test_notShown(self) -> None:
        """What is not shown is told; so is an error."""
        told, error = self.run_(
            b"DROPPED 7\r\nLARGE q 0 70000 3\r\n", b"SERVER_ERROR gone\r\n"
        )
        self.assertEqual(
            told,
            [
                "7 messages came too fast and are not shown",
                "a message of 70000 bytes of q is not shown",
            ],
        )
        self.assertEqual(error, "the server answered: SERVER_ERROR gone")
