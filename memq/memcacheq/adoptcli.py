"""The subcommand adopt of ``memq``: take over a directory of MemcacheQ's.

``memq adopt DIR`` does what the first start of memq on DIR would do, and serves nobody.
``memq adopt --dry-run DIR`` reads all of it and tells what is there, and what would be
refused; it writes to a directory of its own, below $TMPDIR, and removes that.
"""

from __future__ import annotations

import os
import tempfile
from signal import SIGINT, SIGTERM, signal
from typing import TYPE_CHECKING

from memq.display import megabytes, shownName, shownText
from memq.errors import HomeError, StartError
from memq.memcacheq.adoption import Adoption
from memq.memcacheq.copy import Copy, Found
from memq.memcacheq.directory import OldDirectory, findOld, makeWay
from memq.memcacheq.estimate import roomNeeded, storedBytes
from memq.memcacheq.queuefile import Damage
from memq.storage.bdb.store import BDBStore
from memq.storage.datadir.home import Home
from memq.storage.datadir.sizing import diskSpace, sizesFor
from memq.storage.engine.binding import StoreSettings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from memq.ratelimit import Draw


DESCRIPTION = (
    "Take over the queues of a directory that MemcacheQ wrote.  A first start of memq "
    "on it does the same."
)


def addCommands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the subcommand; ``options.run(options, tell)`` carries it out.

    :param add: ``add_parser`` of what add_subparsers returns.
    """
    does = "Take over the queues of MemcacheQ, or look at them."
    parser = add("adopt", help=does, description=DESCRIPTION, allow_abbrev=False)
    addArguments(parser)


def addArguments(parser: argparse.ArgumentParser) -> None:
    """Let a parser take what the command takes."""
    parser.add_argument(
        "--dry-run",
        "-n",
        action="store_true",
        help="show what is there, and change nothing",
    )
    parser.add_argument(
        "--skip-damaged",
        action="store_true",
        help="take what can be read, and list what could not",
    )
    parser.add_argument("directory", metavar="DIR", help="what MemcacheQ wrote")
    parser.set_defaults(run=_run, draw=None)


def _run(options: argparse.Namespace, tell: object) -> int:
    path = os.path.abspath(options.directory)
    try:
        old = _find(path)
        if options.dry_run:
            return int(_show(old))
        return int(not _adopt(path, options.skip_damaged, options.draw))
    except StartError as error:
        # There is no --home on this command line.
        raise StartError(str(error).removeprefix("--home ")) from None


def _find(path: str) -> OldDirectory:
    old = findOld(path)
    if old is None:
        raise HomeError(
            f"{path} is no directory of MemcacheQ's: there is no queue.list in it"
        )
    owner = os.stat(path).st_uid
    if os.geteuid() == 0 != owner:
        raise HomeError(f"{path} belongs to user {owner}: run this as that user")
    return old


def _say(line: str) -> None:
    print(shownText(line), flush=True)


def _adopt(path: str, skipDamaged: bool, draw: Draw | None) -> bool:
    """Take it over; return whether that is done."""
    home = Home(path)
    home.prepare(makeWay=makeWay)
    try:
        sizes = sizesFor(diskSpace(home.directory).total, noSync=False)
        store = BDBStore(home, StoreSettings(logFile=sizes.logFile))
        adoption = Adoption(
            home,
            store,
            _say,
            skipDamaged=skipDamaged,
            volume=sizes.checkpointVolume,
            draw=draw,
        )
        for number in (SIGINT, SIGTERM):
            signal(number, lambda *_: adoption.interrupt())
        store.open()
        try:
            return adoption.run()
        finally:
            store.close()
    finally:
        home.release()


def _show(old: OldDirectory) -> bool:
    """Print what is there; return whether something would be refused."""
    with tempfile.TemporaryDirectory(prefix="memq-adopt-") as directory:
        copy = Copy(old, os.path.join(directory, "copy"))
        copy.begin()
        free = diskSpace(directory).free
        if free < copy.bytes:
            raise HomeError(
                f"{directory}: MemcacheQ was killed, and to look at a recovered copy "
                f"needs {megabytes(copy.bytes)}, but there are {megabytes(free)}; set "
                "TMPDIR to a directory with more room"
            )
        copy.finish(lambda size: None)
        listed = copy.queues()
        queues, damage = copy.found(listed)
        shown = [_showQueue(found) for found in queues]
        messages = sum(messages for messages, _, _ in shown)
        size = sum(size for _, size, _ in shown)
        damage += [line for _, _, lines in shown for line in lines]
        need = roomNeeded(size, copy.bytes)
    _say(f"{len(listed)} queues with {messages} messages")
    _say(
        f"room needed: about {megabytes(need)}, there are "
        f"{megabytes(diskSpace(os.fsdecode(old.path)).free)}"
    )
    for line in damage:
        _say(f"refused without --skip-damaged: {line}")
    return bool(damage)


def _showQueue(found: Found) -> tuple[int, int, list[str]]:
    """Print a queue; return its messages, the bytes they take, and what is damaged."""
    messages = size = stored = 0
    damage = []
    name, file = found.listed.name, found.file
    for item in file.read():
        if isinstance(item, Damage):
            damage.append(f"{item.why}: {item.records} records")
            continue
        messages += 1
        size += len(item.body)
        stored += storedBytes(len(item.body))
    pushed, taken = found.counts(messages)
    counts = f"{pushed} set, {taken} taken, {messages} waiting, {size} bytes"
    _say(f"{shownName(name)}: {counts}")
    return messages, stored, damage
