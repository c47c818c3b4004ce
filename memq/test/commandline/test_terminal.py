"""Terminals, and progress meters with and without one."""

from __future__ import annotations

import io
import os
import sys
from typing import Any
from unittest.mock import Mock

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from memq.commandline import terminal
from memq.commandline.terminal import Bar, Meter, agrees, asks, shownBody, writeAll
from memq.errors import CommandError
from memq.test.support.commandline import Terminal, ticking
from memq.test.support.servers import started


class TextTests(SynchronousTestCase):
    """Foreign text."""

    def test_bodies(self) -> None:
        """Ends of lines and TABs stay; what drives a terminal does not."""
        for body, expected in (
            (b"a\n\tb", "a\n\tb"),
            (b"\x1b[2J\r\x07", "\\x1b[2J\\r\\x07"),
            (b"\xff\xc2\x9b", "\\xff\\x9b"),
            ("队列".encode(), "队列"),
        ):
            self.assertEqual(shownBody(body), expected)

    def test_agrees(self) -> None:
        """Only a yes is one."""
        err = io.StringIO()
        self.patch(sys, "stderr", err)
        for answer, expected in (
            ("y\n", True),
            (" YES\n", True),
            ("\n", False),
            ("no\n", False),
            ("", False),
        ):
            self.patch(sys, "stdin", io.StringIO(answer))
            self.assertEqual(agrees("delete q?"), expected)
        self.assertTrue(err.getvalue().startswith("delete q? [y/N] "))

    def test_asks(self) -> None:
        """A person is asked who can read the question and type."""
        for there, expected in (({0, 2}, True), ({0}, False), ({2, 1}, False)):
            self.patch(terminal, "isTerminal", there.__contains__)
            self.assertEqual(asks(), expected)

    def test_nobodyReads(self) -> None:
        """A pipe without a reader ends a command silently."""
        reading, writing = os.pipe()
        writeAll(writing, b"abc")
        self.assertEqual(os.read(reading, 9), b"abc")
        os.close(reading)
        error = self.assertRaises(CommandError, writeAll, writing, b"abc")
        self.assertEqual((str(error), error.status), ("", 141))
        os.close(writing)


class MeterTests(SynchronousTestCase):
    """Progress, without a terminal."""

    def test_lines(self) -> None:
        """It is a line a second, with rate, and time left where that is known."""
        said: list[str] = []
        clock = ticking(0, 0.5, 2, 2, 2.5, 4, 4, 8, 8)
        with Meter(said.append, clock, bar=False) as meter:
            meter.reach(5)
            meter.reach(100, 0.25)
            meter.reach(150, 0.3)
            meter.reach(400, None)
            meter.reach(800, 1.0)
        self.assertEqual(
            said,
            [
                "100 messages, 50/s, 6 s left",
                "400 messages, 100/s",
                "800 messages, 100/s, 0 s left",
            ],
        )

    def test_drawn(self) -> None:
        """A bar is drawn where standard error is a terminal, and nowhere else."""
        bars: list[float | None] = []

        def made(total: float | None) -> tuple[Any, int]:
            bars.append(total)
            return Mock(), 0

        self.patch(terminal, "_makeBar", made)
        for stream, drawn in ((0, []), (1, []), (2, [1.0])):
            self.patch(terminal, "isTerminal", stream.__eq__)
            said: list[str] = []
            with Meter(said.append, ticking(0, 2, 2)) as meter:
                meter.reach(100, 0.5)
            self.assertEqual(bars, drawn)
            lines = [] if drawn else ["100 messages, 50/s, 2 s left"]
            self.assertEqual(said, lines)


class BarTests(SynchronousTestCase):
    """Progress on a terminal."""

    def push(self, columns: int, **variables: Any) -> tuple[str, str]:
        """Push slowly on a terminal; return what is shown of a bar, and of all."""
        server = started(self)
        terminal = Terminal(
            *(server, "push", "q", "--lines", "--rate=10"),
            columns=columns,
            **variables,
        )
        # Those behind the first ten come after a second, and move the bar.
        for number in range(20):
            terminal.type(f"{number}\n")
        shown = terminal.waitFor(r"[1-9]\d* messages [^\r\n]*\d+/s").group()
        terminal.type("\x04")
        status, rest = terminal.end()
        self.assertEqual(status, 0)
        self.assertIn("memq push: 20 messages stored", rest)
        return shown, rest

    def test_narrow(self) -> None:
        """After a second there is a bar, which fits a terminal of 40 columns."""
        shown, rest = self.push(40)
        self.assertIn("━", shown)
        self.assertLessEqual(len(shown), 40)
        self.assertIn("\x1b[?25h", rest)

    def test_noColour(self) -> None:
        """It has no colours where NO_COLOR says so."""
        _, rest = self.push(80, NO_COLOR="1")
        self.assertNotRegex(rest, r"\x1b\[[\d;]*3[0-7][\d;]*m")


class FilledTests(SynchronousTestCase):
    """A bar that others fill."""

    def test_columns(self) -> None:
        """In 40 columns the count stands before the bar, the rest behind it."""
        shown = self.shown("1234 messages, 25000/s, 6 s left", 0.5)
        self.assertIn("1234 messages", shown)
        self.assertIn("25000/s, 6 s", shown)

    def test_unknown(self) -> None:
        """Nobody need know how much there is; without a word nothing is drawn."""
        self.assertIn("12 messages", self.shown("12 messages", None))
        bar = Bar()
        bar.stop()

    def shown(self, words: str, part: float | None) -> str:
        """Return what a terminal shows of a bar."""
        seen = io.StringIO()
        wide = Console(file=seen, force_terminal=True, width=40)
        self.patch(terminal, "console", lambda stderr: wide)
        bar = Bar()
        bar.draw(words, part)
        bar.draw(words, part)
        bar.stop()
        return seen.getvalue()
