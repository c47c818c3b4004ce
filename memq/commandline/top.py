"""Top: a live table of the queues on a terminal, sorted and filtered by keys.

:class:`View` is what one sees, without a terminal; :func:`_top` joins it to one.
"""

from __future__ import annotations

import os
import select
import termios
import time
import tty
from contextlib import contextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from memq.client.figures import details
from memq.commandline.arguments import addCommand, connected, queueName, seconds
from memq.commandline.look import age, fitting, queueTable
from memq.commandline.terminal import console, isTerminal
from memq.display import numbered
from memq.errors import CommandError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from rich.console import Group
    from rich.live import Live

    from memq.client.connection import Connection
    from memq.client.figures import Figures
    from memq.commandline.arguments import Add, Tell


class Row(NamedTuple):
    """A queue at a moment: its figures, and messages a second since the last one."""

    name: bytes
    messages: int
    age: int
    incoming: float
    outgoing: float
    open: int
    waiters: int
    delayed: int


#: Stands for a figure that the server does not tell.
_UNTOLD = -1
#: The key that sorts by a column, the title and the field.
COLUMNS = {
    "m": ("messages", "messages"),
    "a": ("age", "age"),
    "i": ("in/s", "incoming"),
    "o": ("out/s", "outgoing"),
    "w": ("waiters", "waiters"),
    "e": ("open", "open"),
    "d": ("delayed", "delayed"),
}
_HELP = "n m a i o w e d sort  / filter  space stop  arrows  q quit"
_UP, _DOWN, _PAGE_UP, _PAGE_DOWN = "\x1b[A", "\x1b[B", "\x1b[5~", "\x1b[6~"
#: Lines that are no rows: the sums, the keys, and those around and in the table.
_OTHER_LINES = 6
#: Seconds from one look to the next for each queue: 100 times as long as the server is
#: busy with one of them.
_EACH = 0.001


class View:
    """Rows, and what the keys have made of them.

    :ivar stopped: whether nothing is to be read anew.
    :ivar over: whether to quit.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._typed: str | None = None
        self._sort = "m"
        self._first = 0
        self._rows: list[Row] = []
        self._last: dict[bytes, tuple[int, int]] = {}
        self._lastAt = 0.0
        self.stopped = self.over = False

    @property
    def pattern(self) -> bytes:
        """The queues to ask for."""
        return os.fsencode(self._pattern)

    def take(self, found: Iterable[Figures], now: float) -> None:
        """Take the figures of a moment, in seconds."""
        took = now - self._lastAt
        last: dict[bytes, tuple[int, int]] = {}
        rows = []
        for each in found:
            counts = each.number("total_items"), each.number("taken")
            before = self._last.get(each.name, counts)
            incoming, outgoing = (
                max(0, new - old) / took
                for new, old in zip(counts, before, strict=True)
            )
            last[each.name] = counts
            row = Row(
                each.name,
                each.number("items"),
                each.numbers.get("age", _UNTOLD),
                incoming,
                outgoing,
                each.number("open_transactions"),
                each.number("waiters"),
                each.numbers.get("delayed", _UNTOLD),
            )
            rows.append(row)
        self._rows, self._last, self._lastAt = rows, last, now

    @property
    def pause(self) -> float:
        """Return the seconds at least to the next look, so that it costs others 1 %."""
        return _EACH * len(self._rows)

    def press(self, keys: str) -> None:
        """Do what one key says, or several letters that came at once."""
        if self._typed is not None:
            self._type(keys)
        elif keys == "/":
            self._typed = ""
        elif keys in (" ", "p"):
            self.stopped = not self.stopped
        elif keys in ("q", "\x03", ""):
            self.over = True
        elif keys in COLUMNS or keys == "n":
            self._sort = keys
        elif keys in (_UP, _DOWN, _PAGE_UP, _PAGE_DOWN):
            step = {_UP: -1, _DOWN: 1, _PAGE_UP: -10, _PAGE_DOWN: 10}[keys]
            self._first = max(0, min(len(self._rows) - 1, self._first + step))

    def _type(self, keys: str) -> None:
        typed = self._typed or ""
        if keys.startswith("\x1b"):
            self._typed = None
        elif keys in ("\r", "\n"):
            # A part of a name is a pattern as well.
            wild = not typed or any(each in typed for each in "*?[")
            self._pattern = typed if wild else f"*{typed}*"
            self._typed, self._first = None, 0
        elif keys in ("\x7f", "\b"):
            self._typed = typed[:-1]
        else:
            self._typed = typed + "".join(
                each for each in keys if each.isprintable() and each not in " /"
            )

    def rows(self) -> list[Row]:
        """Return the rows in their order, from the first one that is seen."""
        if self._sort == "n":
            rows = sorted(self._rows)
        else:
            field = attrgetter(COLUMNS[self._sort][1])
            rows = sorted(self._rows, key=field, reverse=True)
        return rows[self._first :]

    def drawn(self, width: int, height: int) -> Group:
        """Return what is seen on a terminal of so many letters and lines."""
        from rich.console import Group
        from rich.text import Text

        keys = fitting(list(COLUMNS), width)
        titles = [
            f"[u]{COLUMNS[key][0]}[/]" if key == self._sort else COLUMNS[key][0]
            for key in keys
        ]
        rows = [
            (row.name, [_cell(row, COLUMNS[key][1]) for key in keys])
            for row in self.rows()[: max(1, height - _OTHER_LINES)]
        ]
        return Group(
            Text(self._sums(), no_wrap=True, overflow="ellipsis"),
            queueTable(titles, rows),
            Text(self._footer(), no_wrap=True, overflow="ellipsis", style="dim"),
        )

    def _sums(self) -> str:
        rows = self._rows
        words = [
            *(["stopped"] if self.stopped else []),
            numbered(len(rows), "queue"),
            numbered(sum(row.messages for row in rows), "message"),
            f"in {sum(row.incoming for row in rows):.0f}/s",
            f"out {sum(row.outgoing for row in rows):.0f}/s",
        ]
        if self._pattern:
            words.append(self._pattern)
        return "  ".join(words)

    def _footer(self) -> str:
        return _HELP if self._typed is None else f"filter: {self._typed}_"


def _cell(row: Row, field: str) -> str:
    value = getattr(row, field)
    if value == _UNTOLD:
        return "-"
    if field == "age":
        return age(value)
    return f"{value:.0f}"


def addCommands(add: Add) -> None:
    """Add the subcommand."""
    parser = addCommand(add, "top", _top, "Watch the queues on a terminal.")
    parser.add_argument(
        "pattern", nargs="?", metavar="PATTERN", type=queueName, default=b""
    )
    parser.add_argument(
        "--interval",
        type=seconds,
        default=1.0,
        metavar="SECONDS",
        help="from one look to the next (default: 1)",
    )


@contextmanager
def _keys() -> Iterator[None]:
    """Get each key when it is pressed."""
    before = termios.tcgetattr(0)
    tty.setcbreak(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def _top(options: argparse.Namespace, tell: Tell) -> int:
    if not (isTerminal(0) and isTerminal(1)):
        raise CommandError("top needs a terminal: see memq stat --watch", 2)
    from rich.live import Live

    view = View(os.fsdecode(options.pattern))
    terminal = console()
    with connected(options) as connection, _keys():
        live = Live(console=terminal, screen=True, auto_refresh=False)
        with live:
            while not view.over:
                took = _look(view, connection)
                live.update(view.drawn(*terminal.size), refresh=True)
                # The server has as much time for others as for this.
                _listen(view, live, max(options.interval, took, view.pause))
    return 0


def _look(view: View, connection: Connection) -> float:
    """Read the figures, unless the view has stopped; return how long that took."""
    began = time.monotonic()
    if not view.stopped:
        view.take(details(connection, view.pattern), began)
    return time.monotonic() - began


def _listen(view: View, live: Live, wait: float) -> None:
    """Do what keys say, for so many seconds or until the pattern is another one."""
    until = time.monotonic() + wait
    pattern = view.pattern
    while not view.over and view.pattern == pattern:
        left = until - time.monotonic()
        if left <= 0 or not select.select([0], [], [], left)[0]:
            break
        view.press(os.read(0, 64).decode("utf-8", "replace"))
        live.update(view.drawn(*live.console.size), refresh=True)
