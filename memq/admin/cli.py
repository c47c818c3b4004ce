"""The subcommands export, import and backup of ``memq``, on its command line.

Whether a server runs on a home is told by the lock in it.  An export beside a server is
made of a copy (:func:`memq.admin.backup.copied`).

Without --home it is the one of the configuration file that a server reads: the one
named by --config, or file.DEFAULT if that is there.  How far it is goes to standard
error, about once a second.

Root becomes the owner of the home, so that no file in it gets another owner, which a
server could not open.
"""

from __future__ import annotations

import argparse
import os
import stat
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, cast

from memq.admin.backup import copied, makeBackup
from memq.admin.exporter import exportHome
from memq.admin.importer import Import
from memq.admin.online import refuseMissing, send, serverOf
from memq.client.address import addresses
from memq.client.identity import CHOICES, Identity, addIdentity
from memq.config.file import DEFAULT, findConfig
from memq.config.settings import OPTIONS
from memq.errors import CommandError, ConfigError, HomeError, HomeHeld, StoreError
from memq.ratelimit import Progress
from memq.storage.bdb.store import BDBStore
from memq.storage.datadir.home import Home
from memq.storage.datadir.sizing import diskSpace, sizesFor
from memq.storage.engine.binding import StoreSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memq.client.connection import Connection

DEFAULT_HOME = OPTIONS["home"].default
#: Bytes that are read or written at a time.
_BUFFER = 1024 * 1024


def addCommands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the subcommands; ``options.run(options, tell)`` carries one out.

    :param add: ``add_parser`` of what add_subparsers returns.
    """
    home = argparse.ArgumentParser(add_help=False)
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

    def made(name: str, run: object, does: str) -> argparse.ArgumentParser:
        parser = add(
            name, parents=[home], help=does, description=does, allow_abbrev=False
        )
        # Whoever runs it may draw bars.
        parser.set_defaults(run=run, draw=None)
        return parser

    does = "Write queues as lines of JSON, whether a server runs on them or not."
    export = made("export", _export, does)
    export.add_argument("--output", metavar="FILE", help="not to standard output")
    export.add_argument(
        "--temporary",
        metavar="DIR",
        help="where the copy is made of which a running server's home is exported "
        "(default: where FILE is, else $TMPDIR)",
    )
    export.add_argument("queues", nargs="*", metavar="QUEUE", help="only these")
    does = "Read what export wrote, into a home or a running server."
    read = made("import", _import, does)
    read.add_argument(
        "--append", action="store_true", help="also to queues that have messages"
    )
    read.add_argument(
        "--server", metavar="ADDRESS", help="the server (default: the one of the home)"
    )
    addIdentity(read)
    read.add_argument(
        "--resume",
        action="store_true",
        help="go on with an import of FILE into a server that was interrupted",
    )
    read.add_argument("file", nargs="?", metavar="FILE", help="not standard input")
    backup = made("backup", _backup, "Copy a home, whether a server runs on it or not.")
    backup.add_argument("target", metavar="DIR", help="the copy; must not be there")


def _home(options: argparse.Namespace) -> Home:
    """Return the home that is meant."""
    path: str | None = options.home
    if path is None or options.config is not None:
        config = findConfig(options.config)
        if path is None:
            if config.server.get("store") == "rabbitmq":
                why = (
                    'store = "rabbitmq": its queues are on a cluster, in no home; '
                    "memq import --server and memq pop go by a front end"
                )
                raise ConfigError(str(config.path), None, why)
            path = config.server.get("home", DEFAULT_HOME)
    assert path is not None
    return Home(path)


def _export(options: argparse.Namespace, tell: Callable[[str], None]) -> int:
    home = _existing(options)
    names = [os.fsencode(name) for name in options.queues]
    progress = Progress(tell, draw=options.draw)
    with _opened(options.output, "wb", 1) as output, ExitStack() as ends:
        copyOf = None
        _becomeOwner(home)
        try:
            home.prepare()
            ends.callback(home.release)
        except HomeHeld as error:
            _becomeOneself()
            refuseMissing(home, names, options.config)
            tell(f"{error}: a copy is exported, which is its state of one moment")
            copyOf = home.path
            home = ends.enter_context(copied(home, _temporary(options), progress))
        complete = exportHome(home, names, output, progress, copyOf)
    return 0 if complete else 1


def _temporary(options: argparse.Namespace) -> str:
    """Return where a copy is made."""
    if options.temporary is not None:
        return str(options.temporary)
    if options.output is not None and os.path.isfile(options.output):
        return os.path.dirname(os.path.abspath(str(options.output)))
    return tempfile.gettempdir()


def _import(options: argparse.Namespace, tell: Callable[[str], None]) -> int:
    given = vars(options)
    identity = Identity(given)
    with _opened(options.file, "rb", 0) as lines:
        if options.server is not None:
            connection = identity.connect(addresses(options.server))
            _send(options, lines, connection, tell)
            return 0
        home = _home(options)
        _becomeOwner(home)
        try:
            home.prepare()
        except HomeHeld as error:
            _becomeOneself()
            places = addresses(None, config=options.config)
            connection = serverOf(home, places, identity)
            tell(f"{error}: importing into that server")
            _send(options, lines, connection, tell)
            return 0
        try:
            if options.resume:
                raise CommandError("--resume goes on in a server, and none runs", 2)
            if asked := [each.option for key, each in CHOICES.items() if given[key]]:
                why = f"{asked[0]} is said to a server, and none runs on {home.path}"
                raise CommandError(f"{why}: name one with --server", 2)
            _load(options, home, lines, tell)
        finally:
            home.release()
    return 0


def _send(
    options: argparse.Namespace,
    lines: BinaryIO,
    connection: Connection,
    tell: Callable[[str], None],
) -> None:
    """Import into a server."""
    progress = Progress(tell, draw=options.draw)
    send(connection, lines, options.append, options.resume, progress)


def _load(
    options: argparse.Namespace,
    home: Home,
    lines: BinaryIO,
    tell: Callable[[str], None],
) -> None:
    """Import into a home that is locked."""
    sizes = sizesFor(diskSpace(home.directory).total, noSync=False)
    store = BDBStore(home, StoreSettings(logFile=sizes.logFile))
    store.open()
    progress = Progress(tell, draw=options.draw)
    work = Import(store, options.append, progress, sizes.checkpointVolume)
    try:
        work.run(lines)
    except BaseException:
        # Why it ends is more than that it cannot be closed either.
        with suppress(StoreError):
            store.close()
        tell(f"only {work.figures} are imported")
        raise
    store.close()
    tell(f"imported {work.figures}")


def _backup(options: argparse.Namespace, tell: Callable[[str], None]) -> int:
    home = _existing(options)
    makeBackup(home, options.target, Progress(tell, draw=options.draw))
    tell(f"{options.target} is a copy of {home.path}, ready to start")
    try:
        home.noteBackup()
    except OSError as error:
        tell(f"metrics do not tell of this backup: {error}")
    return 0


def _existing(options: argparse.Namespace) -> Home:
    home = _home(options)
    try:
        os.stat(os.path.join(home.directory, "VERSION"))
    except PermissionError as error:
        why = f"{error.strerror}; run this as root or as the owner"
        raise HomeError(f"--home {home.path}: {why}") from None
    except OSError:
        raise HomeError(f"--home {home.path}: there is no home of memq's") from None
    return home


def _becomeOwner(home: Home) -> None:
    """Be the owner of a home that is there, if we may."""
    if os.geteuid() == 0 and os.path.isdir(home.directory):
        owner = os.stat(home.directory)
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)


def _becomeOneself() -> None:
    """Be who started it again: what is not in the home is nobody else's business."""
    if os.getuid() != os.geteuid():
        os.seteuid(os.getuid())
        os.setegid(os.getgid())


@contextmanager
def _opened(path: str | None, mode: str, standard: int) -> Iterator[BinaryIO]:
    """Open a file, or standard input or output without one; sync what is written."""
    place = standard if path is None else path
    with open(place, mode, _BUFFER, closefd=path is not None) as file:
        yield cast("BinaryIO", file)
        if mode == "wb":
            file.flush()
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                os.fsync(file.fileno())
