"""The commands memq peek and memq stat."""

from __future__ import annotations

import csv
import io
import json
import signal
from argparse import Namespace

from twisted.trial.unittest import SynchronousTestCase

from memq.client.figures import Figures
from memq.commandline.look import COLUMNS, age, told
from memq.commandline.look import _text as text
from memq.test.support.commandline import (
    Ended,
    Terminal,
    command,
    ended,
    launched,
)
from memq.test.support.servers import started
from memq.wire.figures import FIGURES

HOSTILE = "\x9b31m".encode()


class AgeTests(SynchronousTestCase):
    """Ages."""

    def test_ages(self) -> None:
        """An age is short, in the largest unit that it fills."""
        for milliseconds, expected in (
            (0, "0s"),
            (59_999, "59s"),
            (90_000, "1.5m"),
            (3_599_000, "59m"),
            (3_600_000, "1.0h"),
            (86_400_000 * 12, "12d"),
        ):
            self.assertEqual(age(milliseconds), expected)


class UntoldTests(SynchronousTestCase):
    """Figures that a front end of a cluster does not tell."""

    def test_untold(self) -> None:
        """They are no numbers: a dash for a person, nothing for a program."""
        found = Figures(b"q", {"items": 5, "taken": 0}, {})
        self.assertEqual([told(found, each) for each in COLUMNS[:2]], ["5", "-"])
        lines = text([found], Namespace(json=False, csv=False)).splitlines()
        self.assertEqual(lines[1], b"q\t5\t\t\t\t\t\t0")
        lines = text([found], Namespace(json=False, csv=True)).splitlines()
        self.assertTrue(lines[1].startswith(b"q,5,,,,0,"))


class LookTests(SynchronousTestCase):
    """What is shown of a server's queues."""

    def setUp(self) -> None:
        """Have a server with queues."""
        self.server = started(self)
        self.server.put("队列".encode(), b"a", b"b")
        self.server.put(b"q", b"one\n", b"two")
        self.server.put(HOSTILE, b"a")

    def stat(self, *words: str) -> bytes:
        """Return what stat prints."""
        done = command(self.server, "stat", *words)
        self.assertEqual((done.status, done.err), (0, ""))
        return done.out

    def test_peek(self) -> None:
        """The next message is shown, and left where it is."""
        for words, expected in (
            (("q",), b"one\n"),
            (("q", "--json"), b'{"body": "one\\n", "number": 0}\n'),
        ):
            done = command(self.server, "peek", *words)
            self.assertEqual(done, Ended(0, expected, ""))
        none = Ended(3, b"", "memq peek: there is no queue none\n")
        self.assertEqual(command(self.server, "peek", "none"), none)
        self.server.ask(b"set later/delay=100 0 0 1", b"a")
        why = "memq peek: no message of later waits: 0 open, 1 delayed\n"
        self.assertEqual(command(self.server, "peek", "later"), Ended(3, b"", why))
        self.assertEqual(
            command(self.server, "peek", "q", "-n9"), Ended(0, b"one\n\ntwo\n", "")
        )
        self.server.put(b"q", b"x" * 70_000)
        done = command(self.server, "peek", "q", "-n3", "--json")
        self.assertEqual(done.out.count(b"\n"), 2)
        self.assertEqual(
            done.err,
            "memq peek: message 2 has 70000 bytes, and is shown with -n 1 only\n",
        )
        self.assertEqual(self.server.counts()[b"q"], (3, 0))

    def test_deadLetter(self) -> None:
        """Of a dead letter its first queue and the reason are told."""
        for pair in (b"max_deliveries 1", b"dead_letter dead"):
            self.assertEqual(self.server.ask(b"rule set r " + pair), b"OK\r\n")
        self.server.put(b"r", b"a")
        self.server.ask(b"get r/open", b"get r/abort")
        status, out, err = command(self.server, "peek", "dead")
        self.assertEqual((status, out), (0, b"a"))
        why = "message 0 is a dead letter of r, given back too often, since "
        self.assertRegex(err, rf"^memq peek: {why}\d+s\n$")

    def test_noMatch(self) -> None:
        """A pattern that no queue matches is told."""
        why = "memq stat: no queue matches none*\n"
        done = command(self.server, "stat", "none*")
        self.assertEqual(done, Ended(3, b"", why))

    def test_pipe(self) -> None:
        """In a pipe are names as they are, and TABs between columns."""
        rows = [line.split(b"\t") for line in self.stat().splitlines()]
        self.assertEqual(rows[0][:2], [b"queue", b"messages"])
        names = [HOSTILE, b"q", "队列".encode()]
        self.assertEqual([row[0] for row in rows[1:]], sorted(names))
        self.assertEqual([row[1] for row in rows[1:]], [b"2", b"1", b"2"])

    def test_programs(self) -> None:
        """JSON has all figures and the rules, CSV all figures; a pattern chooses."""
        line = json.loads(self.stat("--json", "q"))
        self.assertEqual(set(line), {"queue", "rules", *FIGURES})
        self.assertEqual((line["queue"], line["items"]), ("q", 2))
        rows = list(csv.DictReader(io.StringIO(self.stat("--csv", "队*").decode())))
        self.assertEqual([row["queue"] for row in rows], ["队列"])
        self.assertEqual(rows[0]["bytes"], "2")

    def test_watch(self) -> None:
        """It is printed again and again; nobody who reads any more ends it."""
        process = launched(self.server, "stat", "q", "--json", "--watch", "0.01")
        assert process.stdout is not None
        for _ in range(3):
            self.assertEqual(json.loads(process.stdout.readline())["queue"], "q")
        process.stdout.close()
        process.stdout = None
        self.assertEqual(ended(process), Ended(141, b"", ""))

    def test_table(self) -> None:
        """On a terminal it is a table, in which no name drives the terminal."""
        status, shown = Terminal(self.server, "stat", NO_COLOR="1").end()
        self.assertEqual(status, 0)
        self.assertIn("\\x9b31m", shown)
        lines = [line.rstrip() for line in shown.splitlines()]
        (row,) = (line for line in lines if "队列" in line)
        self.assertRegex(row, r"^ 队列 +2 +\d+s +0 +0 +0 +2 +0$")
        # The letters of that name take two cells each.
        widths = {len(line) + 2 * ("队列" in line) for line in lines if " 2 " in line}
        self.assertEqual(len(widths), 1)

    def test_csvOnTerminal(self) -> None:
        """Nor does one drive it in what is for programs."""
        _, shown = Terminal(self.server, "stat", "--csv").end()
        self.assertIn("\r\n\\x9b31m,1,1,", shown)

    def test_narrow(self) -> None:
        """A narrow terminal gets fewer columns."""
        _, shown = Terminal(self.server, "stat", columns=40).end()
        self.assertIn("age", shown)
        self.assertNotIn("taken", shown)

    def test_watchedTable(self) -> None:
        """A table is drawn in the place of the last one; Ctrl-C ends it."""
        terminal = Terminal(self.server, "stat", "--watch", "0.01")
        for _ in range(2):
            terminal.waitFor("队列 +2 ")
        terminal.interrupt()
        status, _ = terminal.end()
        self.assertEqual(status, 128 + signal.SIGINT)
