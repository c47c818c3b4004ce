"""Connections: who is connected to a server, and how to be rid of one."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, NamedTuple

from memq.commandline.arguments import REFUSED, addCommand, connected, whole
from memq.commandline.look import age
from memq.commandline.terminal import console, isTerminal, writeAll
from memq.display import queueLabel, shownName, shownText

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from memq.commandline.arguments import Add, Tell

#: The largest id.
_MOST = (1 << 63) - 1
#: What is told of each: the title of the column, and the name of the figure.
_COLUMNS = {
    "id": "id",
    "peer": "addr",
    "user": "user",
    "since": "since",
    "protocol": "protocol",
    "open": "open",
    "unanswered": "outstanding",
    "received": "received",
    "sent": "sent",
    "waits": "waits",
}
#: Those that a narrow terminal has room for, and the letters of a wide one.
_NARROW, _WIDE = ("id", "peer", "user", "since", "open", "waits"), 110
#: How the peer of a UNIX socket begins.
_LOCAL = "a_local_client"
_RIGHT = {"id", "since", "open", "unanswered", "received", "sent"}


class Client(NamedTuple):
    """A connection: its id, and figures by the names that ``stats conns`` has."""

    id: int
    figures: dict[str, bytes]

    def text(self, name: str) -> str:
        """Return a figure as text; nothing where it is not told."""
        return self.figures.get(name, b"").decode("utf-8", "surrogateescape")


def addCommands(add: Add) -> None:
    """Add the subcommand."""
    does = "Show who is connected, or cut a connection off."
    parser = addCommand(add, "connections", _connections, does)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--json", action="store_true", help="all, a connection a line")
    what.add_argument(
        "--kill",
        type=whole(1, _MOST),
        metavar="ID",
        help="end that one; what it has open goes back",
    )


def collect(lines: Iterable[tuple[bytes, bytes]]) -> Iterator[Client]:
    """Yield the connections.

    :param lines: names and values of ``stats conns``.
    """
    client: Client | None = None
    for name, value in lines:
        id, _, figure = name.partition(b":")
        if client is None or client.id != int(id):
            if client is not None:
                yield client
            client = Client(int(id), {"id": id})
        client.figures[figure.decode("ascii")] = value
    if client is not None:
        yield client


def _connections(options: argparse.Namespace, tell: Tell) -> int:
    with connected(options) as connection:
        if options.kill is not None:
            if connection.ask(b"kill %d" % options.kill) == b"OK":
                return 0
            tell(f"there is no connection {options.kill}")
            return REFUSED
        found = list(collect(connection.figures(b"conns")))
    if options.json:
        lines = [json.dumps(_told(each)) for each in found]
    elif isTerminal(1):
        _show(found)
        return 0
    else:
        rows = [map(each.text, _COLUMNS.values()) for each in found]
        lines = ["\t".join(row) for row in (_COLUMNS, *rows)]
    text = "".join(f"{line}\n" for line in lines)
    writeAll(1, text.encode("utf-8", "surrogateescape"))
    return 0


def _told(client: Client) -> dict[str, object]:
    """Return what is told of a connection in JSON."""
    told: dict[str, object] = {}
    for name in _COLUMNS.values():
        value = client.figures.get(name)
        if value is None or name in ("addr", "user", "protocol"):
            told[name] = None if value is None else client.text(name)
        elif name == "waits":
            told[name] = queueLabel(value)
        else:
            told[name] = float(value) if name == "since" else int(value)
    return told


def _show(found: list[Client]) -> None:
    """Draw a table."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    terminal = console()
    titles = list(_COLUMNS) if terminal.width >= _WIDE else list(_NARROW)
    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False)
    for title in titles:
        table.add_column(
            title,
            justify="right" if title in _RIGHT else "left",
            ratio=1 if title == "waits" else None,
            min_width=8 if title == "waits" else None,
            no_wrap=True,
            overflow="ellipsis",
        )
    for client in found:
        table.add_row(*[Text(_cell(client, title)) for title in titles])
    terminal.print(table)


def _cell(client: Client, title: str) -> str:
    """Return what a person reads."""
    name = _COLUMNS[title]
    value = client.figures.get(name)
    if value is None:
        return ""
    if title == "since":
        return age(max(0, int((time.time() - float(value)) * 1000)))
    if title == "waits":
        return shownName(value)
    text = client.text(name)
    if text.startswith(_LOCAL):
        # A table has no room for all of: a_local_client_(process_7,_user_0)
        text = text.removeprefix(_LOCAL).strip("_()").replace("_", " ") or "local"
    return shownText(text)
