"""Online: an import into the server that uses a home, or one that is named.

Which process uses a home stands in its lock, and a server tells its own number: so the
server that is found where the configuration says is known to be the right one.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from memq.admin.reading import ImportRefused
from memq.admin.sender import CHUNK_MESSAGES, Sender, newToken, tokenOf
from memq.client.address import addresses
from memq.client.connection import Connection, ServerRefused
from memq.client.figures import detail
from memq.client.identity import Identity
from memq.display import shownName
from memq.errors import CommandError, ConfigError, HomeError
from memq.wire.words import isName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import BinaryIO

    from memq.client.address import Address
    from memq.ratelimit import Progress
    from memq.storage.datadir.home import Home

#: Bytes of a name that have a meaning in a pattern.
_PATTERN = frozenset(b"*?[")


def serverOf(home: Home, places: Iterable[Address], identity: Identity) -> Connection:
    """Return a connection to the server that uses a home.

    :param places: where it may be.
    :param identity: who one is to it.
    :raise memq.errors.CommandError: when it is not there.
    """
    with open(os.path.join(home.directory, "lock"), "rb") as file:
        pid = file.read(20).strip()
    seen = []
    context = identity.context()
    for place in dict.fromkeys(places):
        try:
            connection = Connection(place.connect(context))
        except OSError as error:
            seen.append(f"{place}: {error.strerror or error}")
            continue
        # What does not answer as memq does is another server, too.
        with suppress(CommandError):
            identity.enter(connection)
            if dict(connection.figures()).get(b"pid") == pid:
                return connection
        connection.close()
        seen.append(f"{place}: another server")
    raise CommandError(
        f"--home {home.path}: a server uses it (pid {pid.decode('ascii', 'replace')}); "
        f"name that with --server: {'; '.join(seen)}"
    )


def refuseMissing(home: Home, names: Iterable[bytes], config: str | None) -> None:
    """See that the server that uses a home has queues of these names.

    Nothing is known of a server that is not found or says nothing, nor of a name that
    the server would take for a pattern or for several words.

    :param config: the configuration file, which says where the server is.
    :raise memq.errors.HomeError: when it has not.
    """
    plain = [name for name in names if isName(name) and not _PATTERN & set(name)]
    if not plain:
        return
    with (
        suppress(CommandError, ConfigError, OSError),
        serverOf(home, addresses(None, config=config), Identity({})) as connection,
    ):
        for name in plain:
            if not detail(connection, name).numbers:
                why = f"there is no queue {shownName(name)}"
                raise HomeError(f"--home {home.path}: {why}")


def send(
    connection: Connection,
    lines: BinaryIO,
    append: bool,
    resume: bool,
    progress: Progress,
) -> None:
    """Import an export into a server.

    :param append: whether queues that have messages are appended to.
    :param resume: whether to go on with an import of the same that was interrupted.
    :raise memq.errors.CommandError: when the server refuses it, or is gone.
    :raise memq.admin.reading.ImportRefused: when a line cannot be imported.
    """
    status = os.fstat(lines.fileno())
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    if resume and not size:
        raise CommandError("--resume needs a FILE", 2)
    token = tokenOf(lines) if size else newToken()
    part: Callable[[], float | None] = (
        (lambda: min(1.0, lines.tell() / size)) if size else lambda: None
    )
    with connection:
        sender = Sender(connection, append, progress, part)
        sender.begin(token, resume)
        if sender.isDone:
            progress.tell("all of that is imported already")
            return
        if sender.isUnsure:
            progress.tell(
                "the import broke off while messages were set: up to "
                f"{CHUNK_MESSAGES} behind line {sender.reached} may be there twice"
            )
        try:
            _run(sender, lines)
        except BaseException as error:
            isKnown = isinstance(error, ImportRefused | ServerRefused)
            progress.tell(_reached(sender, isKnown, bool(size)))
            raise
    progress.tell(f"imported {sender.figures}")


def _run(sender: Sender, lines: BinaryIO) -> None:
    try:
        sender.run(lines)
    except ImportRefused:
        # What was sent before that counts, if nothing else goes wrong.
        sender.settle()
        raise


def _reached(sender: Sender, isKnown: bool, isFile: bool) -> str:
    """Return what is imported, for a person."""
    what = f"up to line {sender.reached}" if sender.reached else "nothing"
    perhaps = "" if isKnown else ", perhaps more"
    isOpen = sender.reached or not isKnown
    how = "; --resume goes on behind that" if isFile and isOpen else ""
    return f"imported for good: {what}{perhaps}{how}"
