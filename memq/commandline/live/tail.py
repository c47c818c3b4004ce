"""Tail: copies of the messages that are set from now on.

What the server drops because they are not read in time, or does not show because they
are too large, is told on standard error.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from memq.client.connection import END, Message, refusal
from memq.commandline.arguments import addCommand, connected, count, queueName
from memq.commandline.formats import LINE, NUL, packMessage
from memq.commandline.terminal import isTerminal, shownBody, writeAll
from memq.display import queueLabel, shownName
from memq.errors import CommandError

if TYPE_CHECKING:
    import argparse

    from memq.client.connection import Connection
    from memq.commandline.arguments import Add, Tell


def addCommands(add: Add) -> None:
    """Add the subcommand."""
    does = "Show copies of what is set to queues from now on; it stays where it is."
    parser = addCommand(add, "tail", _tail, does)
    parser.add_argument("pattern", metavar="PATTERN", type=queueName)
    parser.add_argument(
        "-n",
        dest="count",
        type=count,
        default=math.inf,
        metavar="NUMBER",
        help="how many, at most",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="each as a line of JSON")
    form.add_argument("--lines", action="store_true", help="a line end behind bodies")
    form.add_argument("--null", "-0", action="store_true", help="a zero byte instead")


def _form(options: argparse.Namespace, message: Message) -> bytes:
    """Return a message as it is shown."""
    if options.json:
        return packMessage(message, queueLabel(message.key)) + LINE
    if options.lines or options.null:
        return message.body + (NUL if options.null else LINE)
    return b"%b\t%b\n" % (message.key, message.body)


class Tail:
    """Shows copies, one by one.

    :ivar shown: how many.
    """

    def __init__(self, options: argparse.Namespace, tell: Tell) -> None:
        self._options = options
        self._tell = tell
        self._isTerminal = isTerminal(1)
        self.shown = 0

    def run(self, connection: Connection) -> None:
        """Show copies, as many as there are to be."""
        connection.ask(b"tail " + self._options.pattern)
        while self.shown < self._options.count:
            self._next(connection)

    def _next(self, connection: Connection) -> None:
        line = connection.line()
        word, *rest = line.split()
        if word == b"VALUE":
            self._show(connection.shown(line))
        elif word == b"LARGE":
            name = shownName(rest[0])
            self._tell(f"a message of {int(rest[2])} bytes of {name} is not shown")
        elif word == b"DROPPED":
            self._tell(f"{int(rest[0])} messages came too fast and are not shown")
        elif line == END.rstrip():
            raise CommandError("the server stops")
        else:
            raise refusal(line)

    def _show(self, message: Message) -> None:
        data = _form(self._options, message)
        if self._isTerminal:
            data = shownBody(data).encode("utf-8")
        writeAll(1, data)
        self.shown += 1


def _tail(options: argparse.Namespace, tell: Tell) -> int:
    with connected(options) as connection:
        Tail(options, tell).run(connection)
    return 0
