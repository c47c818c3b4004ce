"""Arguments of the command line: its parser, and the kinds of values that it takes.

Exit statuses of all commands but ``check``: 0 when all was done, 1 when something
could not be, 2 for a mistake on the command line, 3 when the server refused what was
asked or had nothing, 130 after Ctrl-C, 141 when nobody reads standard output any more,
143 after SIGTERM.
"""

from __future__ import annotations

import argparse
import math
import os
import re
from typing import TYPE_CHECKING, Any, NoReturn

from memq.client.address import addresses
from memq.client.identity import Identity, addIdentity
from memq.display import shownText
from memq.wire.words import isName

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memq.client.connection import Connection

    Add = Callable[..., "Parser"]
    Tell = Callable[[str], None]
    Run = Callable[[argparse.Namespace, Tell], int]

#: Exit status: the server refused, or had nothing.
REFUSED = 3
#: What argparse says of words that it does not expect, and shows.
_TOO_MANY = re.compile(
    "(unrecognized arguments|ignored explicit argument).*", re.DOTALL
)


class Parser(argparse.ArgumentParser):
    """A parser whose complaints have one line.

    :ivar mistake: the exit status of a mistake.
    :ivar mixes: whether options may stand between other words.
    :ivar rest: the argument to which all words behind ``--`` belong, as they are.
    :ivar hides: whether a word that is too many may be a secret, and is not shown.
    """

    mistake = 2
    mixes = False
    rest = ""
    hides = False

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.set_defaults(name=self.prog, parser=self)

    def parse_args(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        namespace: argparse.Namespace | None = None,
    ) -> argparse.Namespace:
        """Parse words; what is left over is a mistake of the subcommand's."""
        options, rest = self.parse_known_args(args, namespace)
        if rest:
            complaining: Parser = options.parser
            complaining.error(f"unrecognized arguments: {' '.join(rest)}")
        return options

    def parse_known_args(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        namespace: argparse.Namespace | None = None,
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse words; a subcommand's parser is called by the one above it."""
        words = list(args or [])
        end = words.index("--") if "--" in words else None
        if not self.mixes or (end is not None and not self.rest):
            return super().parse_known_args(args, namespace)
        # It comes here again.
        self.mixes = False
        try:
            # argparse would lose the --, and any other one behind it.
            found = self.parse_known_intermixed_args(words[:end], namespace)
        finally:
            self.mixes = True
        if end is not None:
            before = getattr(found[0], self.rest)
            setattr(found[0], self.rest, [*before, *words[end + 1 :]])
        return found

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, and exit."""
        if self.hides:
            message = _TOO_MANY.sub(r"\1, which may be a secret", message)
        said = shownText(message)
        self.exit(self.mistake, f"{self.prog}: {said} (see {self.prog} --help)\n")


def addCommand(
    add: Add, name: str, run: Run, does: str, queues: str | None = None
) -> Parser:
    """Add a subcommand that speaks to a server; ``options.run(options, tell)`` runs it.

    :param add: ``add_parser`` of what add_subparsers returns.
    :param queues: None for no argument that names queues, "" for one queue, else as
        argparse's ``nargs``.
    """
    parser = add(name, help=does, description=does, allow_abbrev=False)
    parser.mixes = True
    parser.add_argument(
        "--server",
        metavar="ADDRESS",
        help="HOST:PORT or the path of a socket (default: $MEMQ_SERVER, else as the "
        "configuration file says, else /run/memq/memq.sock, else 127.0.0.1:22201)",
    )
    addIdentity(parser)
    if queues is not None:
        nargs = queues or None
        parser.add_argument("queue", metavar="QUEUE", type=queueName, nargs=nargs)
    parser.set_defaults(run=run)
    return parser


def connected(options: argparse.Namespace) -> Connection:
    """Return a connection to the server that is meant, which has let one in."""
    if not hasattr(options, "identity"):
        # All connections of a command have one, so that a password is typed once.
        options.identity = Identity(vars(options))
    identity: Identity = options.identity
    return identity.connect(addresses(options.server))


def queueName(text: str) -> bytes:
    """Return the name of a queue."""
    name = os.fsencode(text)
    if not isName(name):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a queue")
    return name


def whole(least: int, most: int) -> Callable[[str], int]:
    """Return what reads a whole number from ``least`` to ``most``."""

    def read(text: str) -> int:
        if text.isascii() and text.isdigit() and least <= int(text[:20]) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(
            f"{text!r} is no whole number from {least} to {most}"
        )

    return read


def seconds(text: str) -> float:
    """Return a number of seconds, 0 or more; ``inf`` is one."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not value >= 0 or math.isnan(value):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return value


#: How many messages.
count = whole(1, 10**15)
