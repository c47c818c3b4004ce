"""Look: the next message, and the figures of queues, at one moment or again and again.

In a pipe names are the bytes that they are, and columns end at a TAB.
"""

from __future__ import annotations

import csv
import io
import json
import time
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from memq.client.connection import END
from memq.client.figures import Figures, details
from memq.commandline.arguments import (
    REFUSED,
    addCommand,
    connected,
    queueName,
    seconds,
    whole,
)
from memq.commandline.formats import Sink
from memq.commandline.manage import nothing
from memq.commandline.terminal import console, isTerminal, shownBody, writeAll
from memq.display import shownName
from memq.wire.extensions import MOST
from memq.wire.figures import FIGURES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    from rich.table import Table

    from memq.client.connection import Connection, Message
    from memq.commandline.arguments import Add, Tell


_T = TypeVar("_T")


class Column(NamedTuple):
    """A column of a table of queues: its title, and the figure in it."""

    title: str
    figure: str


#: What the table of stat shows beside the name; a narrow one only the first of them.
COLUMNS = (
    Column("messages", "items"),
    Column("age", "age"),
    Column("open", "open_transactions"),
    Column("delayed", "delayed"),
    Column("waiters", "waiters"),
    Column("set", "total_items"),
    Column("taken", "taken"),
)
#: Letters of a terminal that has room for all columns, and how many others get.
_WIDE, _NARROW = 72, 3
#: Why a message became a dead letter, for a person.
_REASONS = {b"deliveries": "given back too often", b"expired": "too old"}
#: Seconds of a day, an hour and a minute, and their letters.
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))


def addCommands(add: Add) -> None:
    """Add the subcommands."""
    does = "Show the next message of a queue, or several, and leave them there."
    peek = addCommand(add, "peek", _peek, does, queues="")
    peek.add_argument(
        "-n",
        dest="count",
        type=whole(1, MOST),
        default=1,
        metavar="NUMBER",
        help=f"how many, at most, up to {MOST} (default: 1)",
    )
    peek.add_argument("--json", action="store_true", help="with its number and flags")
    does = "Show figures of the queues, or of those that match a pattern."
    stat = addCommand(add, "stat", _stat, does)
    stat.add_argument("pattern", nargs="?", metavar="PATTERN", type=queueName)
    form = stat.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="all, a queue a line")
    form.add_argument("--csv", action="store_true", help="all but the rules")
    stat.add_argument(
        "--watch", type=seconds, metavar="SECONDS", help="again after so long"
    )


def _peek(options: argparse.Namespace, tell: Tell) -> int:
    single = options.count == 1
    sink = Sink(1, b"\n" if options.json or not single else b"", options.json)
    number = 0
    with connected(options) as connection:
        if single:
            connection.send(b"gets %b/peek\r\n" % options.queue)
        else:
            connection.send(b"peek %b %d\r\n" % (options.queue, options.count))
        for message in _peeked(connection, tell):
            sink.write(message)
            number += 1
        sink.settle()
        if number:
            _tellOrigin(connection, options.queue, tell)
            return 0
        raise nothing(connection, options.queue)


def _tellOrigin(connection: Connection, queue: bytes, tell: Tell) -> None:
    """Tell where the next message comes from, if it is a dead letter."""
    told = dict(connection.figures(b"peek " + queue))
    if b"origin" in told:
        reason = _REASONS.get(told[b"reason"], told[b"reason"].decode())
        since = max(0, round(time.time() * 1000) - int(told[b"since"]))
        tell(
            f"message {told[b'number'].decode()} is a dead letter of "
            f"{shownName(told[b'origin'])}, {reason}, since {age(since)}"
        )


def _peeked(connection: Connection, tell: Tell) -> Iterator[Message]:
    """Yield messages that are shown; tell of those that are too large."""
    while (line := connection.line()) != END.rstrip():
        word, _, rest = line.partition(b" ")
        if word == b"LARGE":
            size, number = map(int, rest.split()[2:])
            tell(f"message {number} has {size} bytes, and is shown with -n 1 only")
        else:
            yield connection.shown(line)


def age(milliseconds: int) -> str:
    """Return an age in four letters or so."""
    whole = milliseconds // 1000
    for size, letter in _UNITS:
        if whole >= size:
            return (
                f"{whole / size:.1f}{letter}"
                if whole < 10 * size
                else (f"{whole // size}{letter}")
            )
    return f"{whole}s"


def told(figures: Figures, column: Column) -> str:
    """Return what stands in a column for a person; a dash for what is not told."""
    if column.figure not in figures.numbers:
        return "-"
    value = figures.number(column.figure)
    return age(value) if column.figure == "age" else str(value)


def fitting(columns: Sequence[_T], width: int) -> Sequence[_T]:
    """Return the columns for which a terminal has room."""
    return columns if width >= _WIDE else columns[:_NARROW]


def _stat(options: argparse.Namespace, tell: Tell) -> int:
    there = isTerminal(1)
    with connected(options) as connection:
        while True:
            found = list(details(connection, options.pattern or b""))
            if not found and options.pattern and options.watch is None:
                tell(f"no queue matches {shownName(options.pattern)}")
                return REFUSED
            if there and not options.json and not options.csv:
                _show(found, options.watch is not None)
            else:
                data = _text(found, options)
                writeAll(1, shownBody(data).encode("utf-8") if there else data)
            if options.watch is None:
                return 0
            time.sleep(options.watch)


def _show(found: Sequence[Figures], clear: bool) -> None:
    terminal = console()
    if clear:
        terminal.clear()
    columns = fitting(COLUMNS, terminal.width)
    titles = [column.title for column in columns]
    rows = [(each.name, [told(each, column) for column in columns]) for each in found]
    terminal.print(queueTable(titles, rows))


def queueTable(titles: Iterable[str], rows: Iterable[tuple[bytes, list[str]]]) -> Table:
    """Return a table of queues for a terminal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False)
    table.add_column("queue", ratio=1, no_wrap=True, overflow="ellipsis")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for name, cells in rows:
        table.add_row(Text(shownName(name)), *cells)
    return table


def _text(found: Sequence[Figures], options: argparse.Namespace) -> bytes:
    """Return figures as a program reads them."""
    if options.json:
        lines = [
            json.dumps({"queue": _name(each), **each.numbers, "rules": each.rules})
            for each in found
        ]
    elif options.csv:
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(("queue", *FIGURES))
        for each in found:
            rows.writerow(
                (_name(each), *(each.numbers.get(name, "") for name in FIGURES))
            )
        lines = text.getvalue().splitlines()
    else:
        lines = ["\t".join(["queue", *(column.title for column in COLUMNS)])]
        for each in found:
            cells = [str(each.numbers.get(column.figure, "")) for column in COLUMNS]
            lines.append("\t".join([_name(each), *cells]))
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


def _name(figures: Figures) -> str:
    return figures.name.decode("utf-8", "surrogateescape")
