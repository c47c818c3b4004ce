"""The command ``memq``: what is done to a home beside a server.

    memq export [--home HOME] [--output FILE] [QUEUE ...]
    memq import [--home HOME] [--append] [FILE]
    memq backup [--home HOME] DIR

Without --home it is the one of the configuration file that a server reads: the one
named by --config, or config.DEFAULT if that is there.

How far it is goes to standard error, about once a second, and so does what is wrong,
in one line.  The exit status is 0 when all was done, 1 when something could not be, 2
for a mistake on the command line, 130 after Ctrl-C, 143 after SIGTERM.

Whoever is root becomes the owner of the home, so that no file in it gets another owner,
which a server could not open.
"""

from __future__ import annotations

import argparse
import os
import signal
import stat
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, NoReturn, cast

from memq import __version__
from memq.admin.backup import makeBackup
from memq.admin.exporter import exportHome
from memq.admin.importer import Import
from memq.admin.progress import Progress
from memq.config.file import DEFAULT, findConfig
from memq.display import shownText
from memq.errors import HomeError, HomeHeld, StartError, StoreError
from memq.storage.bdb.store import BDBStore
from memq.storage.datadir.home import Home
from memq.storage.datadir.sizing import sizesFor
from memq.storage.engine.binding import StoreSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

DEFAULT_HOME = "/var/lib/memq"
#: Bytes that are read or written at a time.
_BUFFER = 1024 * 1024


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints have one line."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, and exit with status 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def makeParser() -> argparse.ArgumentParser:
    """Return what parses the command line."""
    parser = _Parser("memq", description="Export, import or back up memq's queues.")
    parser.add_argument("--version", action="version", version=f"memq {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="{export,import,backup}"
    )
    home = _Parser(add_help=False)
    home.add_argument(
        "--home",
        help="directory of the data (default: what the configuration file says, "
        f"else {DEFAULT_HOME})",
    )
    home.add_argument(
        "--config",
        metavar="FILE",
        help=f"the configuration file (default: {DEFAULT} when it is there)",
    )

    def add(name: str, does: str) -> _Parser:
        return commands.add_parser(
            name, parents=[home], help=does, description=does, allow_abbrev=False
        )

    export = add("export", "Write queues as lines of JSON; no server may run.")
    export.add_argument("--output", metavar="FILE", help="not to standard output")
    export.add_argument("queues", nargs="*", metavar="QUEUE", help="only these")
    read = add("import", "Read what export wrote; no server may run.")
    read.add_argument(
        "--append", action="store_true", help="also to queues that have messages"
    )
    read.add_argument("file", nargs="?", metavar="FILE", help="not standard input")
    backup = add("backup", "Copy a home, whether a server runs on it or not.")
    backup.add_argument("target", metavar="DIR", help="the copy; must not be there")
    return parser


def run() -> int:
    """Run the command as a process: SIGTERM ends it as Ctrl-C does, with status 143."""
    signal.signal(signal.SIGTERM, _stop)
    return main()


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status.

    :param arguments: the words after the command; None for this process's.
    """
    options = makeParser().parse_args(arguments)
    prefix = f"memq {options.command}: "

    def tell(line: str) -> None:
        print(prefix + shownText(line), file=sys.stderr, flush=True)

    progress = Progress(tell)
    commands = {"export": _export, "import": _import, "backup": _backup}
    try:
        options.home = _home(options)
        return commands[options.command](options, progress)
    except (StartError, StoreError) as error:
        tell(" ".join(str(error).split()))
    except OSError as error:
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        tell(f"{where}{error.strerror or error}")
    except KeyboardInterrupt:
        return 130
    return 1


def _home(options: argparse.Namespace) -> str:
    """Return where the home is.

    :raise memq.errors.ConfigError: when the configuration file does not tell.
    """
    home: str | None = options.home
    if home is None or options.config is not None:
        config = findConfig(options.config)
        if home is None:
            home = config.server.get("home", DEFAULT_HOME)
    return home


def _export(options: argparse.Namespace, progress: Progress) -> int:
    home = _existing(options.home)
    names = [os.fsencode(name) for name in options.queues]
    with _output(options.output) as output:
        _becomeOwner(home)
        with _locked(home, "`memq backup` copies it, and the copy can be exported"):
            complete = exportHome(home, names, output, progress)
    return 0 if complete else 1


def _import(options: argparse.Namespace, progress: Progress) -> int:
    home = Home(options.home)
    with _input(options.file) as lines:
        _becomeOwner(home)
        with _locked(home, "stop it first"):
            room = os.statvfs(home.directory)
            sizes = sizesFor(room.f_frsize * room.f_blocks, noSync=False)
            store = BDBStore(home, StoreSettings(logFile=sizes.logFile))
            store.open()
            work = Import(store, options.append, progress, sizes.checkpointVolume)
            try:
                work.run(lines)
            except BaseException:
                # Why it ends is more than that it cannot be closed either.
                with suppress(StoreError):
                    store.close()
                progress.tell(f"only {work.figures} are imported")
                raise
            store.close()
    progress.tell(f"imported {work.figures}")
    return 0


def _backup(options: argparse.Namespace, progress: Progress) -> int:
    makeBackup(_existing(options.home), options.target, progress)
    progress.tell(f"{options.target} is a copy of {options.home}, ready to start")
    return 0


def _existing(path: str) -> Home:
    """Return a home that is there.

    :raise memq.errors.HomeError: when there is none.
    """
    home = Home(path)
    if not os.path.exists(os.path.join(home.directory, "VERSION")):
        raise HomeError(f"--home {home.path}: there is no home of memq's")
    return home


@contextmanager
def _locked(home: Home, instead: str) -> Iterator[None]:
    """Hold a home.

    :param instead: what to do when a server does.
    :raise memq.errors.HomeError: when it cannot be had.
    """
    try:
        home.prepare()
    except HomeHeld as error:
        raise HomeError(f"{error}; {instead}") from None
    try:
        yield
    finally:
        home.release()


def _becomeOwner(home: Home) -> None:
    """Be the owner of a home that is there, if we may."""
    if os.geteuid() == 0 and os.path.isdir(home.directory):
        owner = os.stat(home.directory)
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)


@contextmanager
def _output(path: str | None) -> Iterator[BinaryIO]:
    """Open a file to write to, standard output without one; sync it at the end."""
    with _open(1 if path is None else path, "wb") as file:
        yield file
        file.flush()
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            os.fsync(file.fileno())


@contextmanager
def _input(path: str | None) -> Iterator[BinaryIO]:
    """Open a file to read from, standard input without one."""
    with _open(0 if path is None else path, "rb") as file:
        yield file


def _open(file: str | int, mode: str) -> BinaryIO:
    closefd = isinstance(file, str)
    # Whoever calls this closes it.
    return cast("BinaryIO", open(file, mode, _BUFFER, closefd=closefd))
