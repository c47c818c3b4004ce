"""The command ``memq``: subcommands that work on a home beside a server.

    memq export [--home HOME] [--output FILE] [QUEUE ...]
    memq import [--home HOME] [--append] [FILE]
    memq backup [--home HOME] DIR
    memq adopt [--dry-run] [--skip-damaged] DIR

``memq-adopt`` is ``memq adopt`` under its old name.

Mistakes go to standard error, in one line.  The exit status is 0 when all was done, 1
when something could not be, 2 for a mistake on the command line, 130 after Ctrl-C, 143
after SIGTERM.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from memq import __version__
from memq.admin import cli as admin
from memq.display import shownText
from memq.errors import StartError, StoreError
from memq.memcacheq import adoptcli

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints have one line."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.set_defaults(name=self.prog)

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, and exit with status 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")

    def tellVersion(self) -> None:
        """Have the option --version."""
        self.add_argument("--version", action="version", version=f"memq {__version__}")


def makeParser() -> argparse.ArgumentParser:
    """Return what parses the command line of ``memq``."""
    parser = _Parser(
        "memq", description="Export, import, back up or take over memq's queues."
    )
    parser.tellVersion()
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="{export,import,backup,adopt}"
    )
    admin.addCommands(commands.add_parser)
    adoptcli.addCommand(commands.add_parser)
    return parser


def makeAdoptParser() -> argparse.ArgumentParser:
    """Return what parses the command line of ``memq-adopt``."""
    parser = _Parser("memq-adopt", description=adoptcli.DESCRIPTION, allow_abbrev=False)
    parser.tellVersion()
    adoptcli.addArguments(parser)
    return parser


def run(makes: Callable[[], argparse.ArgumentParser] = makeParser) -> int:
    """Run ``memq`` as a process: SIGTERM ends it as Ctrl-C does, with status 143."""
    signal.signal(signal.SIGTERM, _stop)
    return main(parser=makes())


def runAdopt() -> int:
    """Run ``memq-adopt`` as a process."""
    return run(makeAdoptParser)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def main(
    arguments: Sequence[str] | None = None,
    parser: argparse.ArgumentParser | None = None,
) -> int:
    """Run a command of ``memq``, or of another parser; return its exit status."""
    options = (parser or makeParser()).parse_args(arguments)

    def tell(line: str) -> None:
        print(f"{options.name}: {shownText(line)}", file=sys.stderr, flush=True)

    try:
        status: int = options.run(options, tell)
        return status
    except (StartError, StoreError) as error:
        tell(" ".join(str(error).split()))
    except OSError as error:
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        tell(f"{where}{error.strerror or error}")
    except KeyboardInterrupt:
        return 130
    return 1
