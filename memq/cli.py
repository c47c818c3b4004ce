"""The command ``memq``: subcommands that speak to a server, or work on a home.

    memq push | pop | work | peek | tail | stat | top | move | redrive | flush
    memq delete | pause | resume | reload | rules | connections | check | user
    memq completion
    memq export [--home HOME] [--output FILE] [QUEUE ...]
    memq import [--home HOME] [--append] [FILE]
    memq backup [--home HOME] DIR
    memq adopt [--dry-run] [--skip-damaged] DIR
    memq rabbitmq-policies [--config FILE] [--vhost NAME]

``memq-adopt`` is ``memq adopt`` under its old name.

Only the module of the subcommand that is run is loaded: ``memq push`` starts in a
fraction of the time that the store takes to load.

Mistakes go to standard error, in one line; memq.commandline.arguments says which exit
statuses there are.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

from memq import __version__
from memq.commandline.arguments import Parser
from memq.display import shownText
from memq.errors import CommandError, StartError, StoreError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from types import FrameType

#: The module of each subcommand; its ``addCommands`` adds it, perhaps with others.
MODULES = {
    "push": "memq.commandline.push",
    "pop": "memq.commandline.pop",
    "work": "memq.commandline.work",
    "peek": "memq.commandline.look",
    "stat": "memq.commandline.look",
    "top": "memq.commandline.top",
    "tail": "memq.commandline.live.tail",
    "connections": "memq.commandline.live.connections",
    "move": "memq.commandline.manage",
    "redrive": "memq.commandline.manage",
    "flush": "memq.commandline.manage",
    "delete": "memq.commandline.manage",
    "pause": "memq.commandline.manage",
    "resume": "memq.commandline.manage",
    "reload": "memq.commandline.manage",
    "rules": "memq.commandline.rules.rules",
    "check": "memq.commandline.check",
    "user": "memq.commandline.users.users",
    "completion": "memq.completion",
    "export": "memq.admin.cli",
    "import": "memq.admin.cli",
    "backup": "memq.admin.cli",
    "adopt": "memq.memcacheq.adoptcli",
    "rabbitmq-policies": "memq.commandline.rules.policies",
}
#: The option that needs no subcommand.
_VERSION = "--version"


def _tellVersion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(_VERSION, action="version", version=f"memq {__version__}")


def makeParser(command: str | None = None) -> argparse.ArgumentParser:
    """Return what parses the command line of ``memq``.

    :param command: the one that will be parsed, or --version, which loads none; None
        if that is not known.
    """
    does = "Push, pop and look at messages, watch and manage queues, keep a home."
    parser = Parser("memq", description=does)
    _tellVersion(parser)
    parser.set_defaults(makeParser=makeParser)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    modules = [MODULES[command]] if command in MODULES else MODULES.values()
    for module in dict.fromkeys(() if command == _VERSION else modules):
        import_module(module).addCommands(commands.add_parser)
    return parser


def makeAdoptParser() -> argparse.ArgumentParser:
    """Return what parses the command line of ``memq-adopt``."""
    from memq.memcacheq import adoptcli

    parser = Parser("memq-adopt", description=adoptcli.DESCRIPTION, allow_abbrev=False)
    _tellVersion(parser)
    adoptcli.addArguments(parser)
    return parser


def run() -> int:
    """Run ``memq`` as a process: SIGTERM ends it as Ctrl-C does, with status 143."""
    signal.signal(signal.SIGTERM, _stop)
    return main()


def runAdopt() -> int:
    """Run ``memq-adopt`` as a process."""
    signal.signal(signal.SIGTERM, _stop)
    return main(parser=makeAdoptParser())


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


@contextmanager
def _drawing(options: argparse.Namespace) -> Iterator[None]:
    """Let a subcommand that can do so draw bars, where there is a terminal."""
    if not hasattr(options, "draw"):
        yield
        return
    # It takes time to load, and not each subcommand needs it.
    from memq.commandline.terminal import Bar, isTerminal

    bar = Bar()
    if isTerminal(2):
        options.draw = bar.draw
    try:
        yield
    finally:
        bar.stop()


def main(
    arguments: Sequence[str] | None = None,
    parser: argparse.ArgumentParser | None = None,
) -> int:
    """Run a command of ``memq``, or of another parser; return its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    named = (word for word in given if word == _VERSION or not word.startswith("-"))
    command = next(named, None)
    if parser is None:
        parser = makeParser(command)
        if command is not None and command not in (*MODULES, _VERSION):
            parser.error(f"there is no command {shownText(command)}")
    options = parser.parse_args(given)

    def tell(line: str) -> None:
        print(f"{options.name}: {shownText(line)}", file=sys.stderr, flush=True)

    try:
        with _drawing(options):
            status: int = options.run(options, tell)
        return status
    except CommandError as error:
        if words := str(error):
            tell(" ".join(words.split()))
        return error.status
    except (StartError, StoreError) as error:
        tell(" ".join(str(error).split()))
    except OSError as error:
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        tell(f"{where}{error.strerror or error}")
    except KeyboardInterrupt:
        return 130
    return 1
