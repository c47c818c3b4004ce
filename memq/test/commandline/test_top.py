"""The command memq top."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from memq.client.figures import Figures
from memq.commandline.top import View
from memq.test.support.commandline import Terminal, command
from memq.test.support.servers import started

if TYPE_CHECKING:
    from collections.abc import Iterator


def queue(name: str, items: int, **numbers: int) -> Figures:
    """Return the figures of a queue."""
    return Figures(
        name.encode(), {"items": items, "age": 0, "delayed": 0, **numbers}, {}
    )


class ViewTests(SynchronousTestCase):
    """Rows, keys and what is drawn, without a terminal."""

    def setUp(self) -> None:
        """Have a view of three queues."""
        self.view = View("")
        self.view.take(
            [
                queue("a", 5, age=1000, total_items=5, waiters=3),
                queue("b", 7, age=90_000, total_items=10, taken=3),
                queue("队列", 6, open_transactions=2, delayed=9),
            ],
            10.0,
        )

    def names(self) -> list[str]:
        """Return the queues in their order."""
        return [row.name.decode() for row in self.view.rows()]

    def drawn(self, width: int = 80, height: int = 24) -> list[str]:
        """Return the lines that are drawn."""
        console = Console(width=width, height=height, no_color=True)
        with console.capture() as capture:
            console.print(self.view.drawn(width, height))
        return [line.rstrip() for line in capture.get().splitlines()]

    def press(self, *keys: str) -> None:
        """Press keys."""
        for key in keys:
            self.view.press(key)

    def test_sorted(self) -> None:
        """Keys sort by columns, the largest first, or by name."""
        self.assertEqual(self.names(), ["b", "队列", "a"])
        for key, first in (("a", "b"), ("w", "a"), ("e", "队列"), ("d", "队列")):
            self.press(key)
            self.assertEqual(self.names()[0], first)
        self.press("n")
        self.assertEqual(self.names(), ["a", "b", "队列"])

    def test_rates(self) -> None:
        """Messages a second are those between two looks; a new queue has none."""
        self.assertEqual({row.incoming for row in self.view.rows()}, {0})
        now = [queue("a", 5, total_items=15, taken=4), queue("new", 1, total_items=100)]
        self.view.take(now, 12.0)
        rates = [(row.incoming, row.outgoing) for row in self.view.rows()]
        self.assertEqual(rates, [(5, 2), (0, 0)])
        # A queue that was deleted meanwhile counts anew.
        self.view.take([queue("a", 1, total_items=1)], 13.0)
        self.assertEqual(self.view.rows()[0].incoming, 0)

    def test_pause(self) -> None:
        """With very many queues, looks are further apart."""
        self.view.take([queue(f"{number}", 1) for number in range(2500)], 11.0)
        self.assertEqual(self.view.pause, 2.5)

    def test_filter(self) -> None:
        """A part of a name is typed, or a pattern; Escape leaves it as it was."""
        self.press("/", "wo", "\x7f", "x", " ")
        self.assertIn("filter: wx_", self.drawn()[-1])
        self.press("\r")
        self.assertEqual(self.view.pattern, b"*wx*")
        self.press("/", "q", "\x1b")
        self.assertEqual(self.view.pattern, b"*wx*")
        self.press("/", "q?", "\n")
        self.assertEqual(self.view.pattern, b"q?")
        self.press("/", "\r")
        self.assertEqual(self.view.pattern, b"")

    def test_moved(self) -> None:
        """Arrows move, no further than there are rows."""
        for key, expected in (
            ("\x1b[B", ["队列", "a"]),
            ("\x1b[6~", ["a"]),
            ("\x1b[A", ["队列", "a"]),
            ("\x1b[5~", ["b", "队列", "a"]),
            ("\x1b[C", ["b", "队列", "a"]),
        ):
            self.press(key)
            self.assertEqual(self.names(), expected)

    def test_untold(self) -> None:
        """A figure that the server does not tell is a dash."""
        self.view.take([Figures(b"q", {"items": 5}, {})], 1e6)
        (row,) = (line for line in self.drawn() if line.startswith(" q "))
        self.assertRegex(row, r"^ q +5 +- +0 +0 +0 +0 +-$")

    def test_stopped(self) -> None:
        """Space stops it and lets it go on; q ends it."""
        self.press(" ")
        self.assertTrue(self.view.stopped)
        self.assertIn("stopped", self.drawn()[0])
        self.press("p")
        self.assertFalse(self.view.stopped)
        self.press("q")
        self.assertTrue(self.view.over)

    def test_drawn(self) -> None:
        """Wide letters take two cells, and every line fits, however narrow it is."""
        lines = self.drawn()
        self.assertEqual(lines[0], "3 queues  18 messages  in 0/s  out 0/s")
        (row,) = (line for line in lines if "队列" in line)
        self.assertRegex(row, r"^ 队列 +6 +0s +0 +0 +0 +2 +9$")
        (other,) = (line for line in lines if line.startswith(" b "))
        self.assertEqual(len(row) + 2, len(other))
        for width in (20, 40, 80):
            self.assertTrue(all(len(line) <= width for line in self.drawn(width)))
        self.assertNotIn("waiters", "".join(self.drawn(40)))

    def test_height(self) -> None:
        """There are no more rows than fit."""
        for height in (7, 24):
            self.assertLessEqual(len(self.drawn(80, height)), height)
        self.assertFalse(any(line.startswith(" a ") for line in self.drawn(80, 7)))


class TopTests(SynchronousTestCase):
    """A real terminal, and none."""

    def watched(self, columns: int) -> Iterator[Terminal]:
        """Yield a terminal on which top runs; end it well."""
        self.server = started(self)
        self.server.put("队列".encode(), b"a", b"b")
        self.server.put(b"other\x9b", b"c")
        terminal = Terminal(
            *(self.server, "top", "--interval=0.05"), columns=columns, lines=12
        )
        yield terminal
        terminal.type("q")
        status, shown = terminal.end()
        self.assertEqual(status, 0)
        # The screen of before is there again, and the cursor.
        self.assertIn("\x1b[?1049l", shown)
        self.assertIn("\x1b[?25h", shown)

    def test_live(self) -> None:
        """Figures change by themselves, and keys are followed, wide or narrow."""
        for columns in (40, 80):
            for terminal in self.watched(columns):
                terminal.waitFor("2 queues  3 messages")
                terminal.waitFor("队列 +2 ")
                self.server.put("队列".encode(), b"c")
                terminal.waitFor("队列 +3 ")
                terminal.type("/")
                terminal.waitFor("filter: _")
                terminal.type("oth")
                terminal.waitFor("filter: oth_")
                terminal.type("\r")
                terminal.waitFor("1 queue  1 message ")
                terminal.type(" ")
                # It is drawn for the key, and then without a look at the server.
                for _ in range(2):
                    terminal.waitFor("stopped")

    def test_noTerminal(self) -> None:
        """Without a terminal it says what there is instead."""
        server = started(self)
        done = command(server, "top")
        self.assertEqual(
            done, (2, b"", "memq top: top needs a terminal: see memq stat --watch\n")
        )

    def test_lost(self) -> None:
        """When the server goes, the terminal is as it was, and a line says why."""
        server = started(self)
        terminal = Terminal(server, "top", "--interval=0.05")
        terminal.waitFor("0 queues")
        server.stop()
        status, shown = terminal.end()
        self.assertEqual(status, 1)
        _, _, after = shown.partition("\x1b[?1049l")
        self.assertIn("memq top: the server closed the connection", after)
