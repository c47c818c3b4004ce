"""Backup: a copy of a home that a server may be using, which starts as a home.

Theory of operation
===================

Berkeley DB's environment is private to the server, so the files are copied from
outside, while they change, and the log then makes one state of them:

1. The directory is held (:mod:`memq.storage.datadir.home`): from now on no log
   file goes, and no file of messages.
2. The marker is read.  It stands behind a checkpoint: all that was logged before a
   certain place was in the tables by then.  The log file of that place is the first
   one that the copy needs (:mod:`memq.storage.engine.marker`).
3. The tables are copied.  Each of their pages is some state since that checkpoint.  A
   table that is made meanwhile is in the log as a whole.
4. The log files are copied, to the last one that has begun by now.  Berkeley DB writes
   the log before a page, and before it begins the next file; so these have all that is
   in the pages, and all that was acknowledged before.  With no-sync that is in the
   system's hands, which is where the copy is read from.  Writes to the last
   file meanwhile are there or cut off, as after a crash.  Files that the server made
   ahead are zeros and are left out.
5. The format is read last: a server writes it down before there is anything of it.
6. Berkeley DB recovers the copy, from its first log file on.  A usual recovery begins
   at the last checkpoint in the log, and there may have been one since 2, which the
   pages copied before do not have.  The copy then gets a checkpoint and a marker.
7. The copy, complete and on the disk, gets its name.

Torn pages: Linux can read a page while it is half written.  So each piece is read until
it is twice the same.  A writer that stands still within a page for so long would
outwit that, and the page's checksum then does not fit.  No such page is missed: what
is written while we copy has changed since the checkpoint, so its changes are in the
log, and the recovery reads the page for them.  It fails, and so does the backup.

Pages that did not change since are the same bytes as in the home.

An export beside a server makes such a copy for itself, and exports that
(:func:`copied`): so what it writes is one state, that of the moment in which the last
log file was copied.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from struct import Struct
from tempfile import TemporaryDirectory, mkdtemp
from typing import TYPE_CHECKING

from memq.display import megabytes
from memq.errors import HomeError, HomeGone, StoreError
from memq.storage.bdb.compaction import isFileName
from memq.storage.bdb.store import BDBStore
from memq.storage.datadir.damage import RULES
from memq.storage.datadir.directory import Place
from memq.storage.datadir.files import syncDirectory
from memq.storage.datadir.home import Home, held
from memq.storage.datadir.sizing import diskSpace
from memq.storage.engine.binding import StoreSettings
from memq.storage.engine.logfile import logName, logNumbers, readRecord
from memq.storage.engine.marker import lastCheckpoint, readMarker, writeMarker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memq.ratelimit import Progress

#: Bytes that are read at a time.
PIECE = 128 * 1024
#: Bytes that are synced at a time: a server that syncs its log waits for no more.
SLICE = 1024 * 1024
#: How often a piece is read again that changes all the time.
READS = 100

#: Where a table says how large its pages are, in the machine's byte order.
_PAGE_SIZE_AT = 20
_PAGE_SIZE = Struct("=I")


def makeBackup(home: Home, target: str, progress: Progress) -> None:
    """Copy a home to a directory, which is a home then.

    :param home: not held by us; a server may hold it.
    :param target: a path where there is nothing, or an empty directory.
    :param progress: is told how far it is.
    :raise memq.errors.HomeError: when it cannot be; then there is no copy.
    """
    target = os.path.abspath(target)
    _refuseTarget(home, target)
    parent, name = os.path.split(target)
    try:
        unfinished = mkdtemp(prefix=f"{name}.unfinished-", dir=parent)
        try:
            _copyPlace(home, os.path.join(unfinished, "memq"), progress)
            progress.tell("all is copied; recovering the copy")
            _recover(unfinished)
            os.chmod(unfinished, 0o750)
            _giveAway(unfinished, home.directory)
            os.rename(unfinished, target)
            syncDirectory(parent)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise HomeError(f"backup to {target}: {error}") from error


@contextmanager
def copied(home: Home, directory: str, progress: Progress) -> Iterator[Home]:
    """Copy a home that a server may be using; the copy is locked, and goes in the end.

    :param directory: where to put it.
    :raise memq.errors.HomeError: when it cannot be copied.
    """
    try:
        place = TemporaryDirectory(prefix="memq-export-", dir=directory)
    except OSError as error:
        raise HomeError(f"--temporary {directory}: {error.strerror}") from None
    with place as path:
        target = os.path.join(path, "copy")
        makeBackup(home, target, progress)
        copy = Home(target)
        copy.prepare()
        try:
            yield copy
        finally:
            copy.release()


def _copyPlace(home: Home, copy: str, progress: Progress) -> None:
    """Copy what the name of a home leads to now, and see that it did all the time."""
    place = Place(home.directory)
    try:
        with held(place.way):
            _copyHome(place.way, copy, progress)
        place.check()
    except HomeGone:
        why = f"{home.directory} was moved or exchanged meanwhile: try again"
        raise HomeError(why) from None
    except HomeError as error:
        raise type(error)(place.named(str(error))) from error
    finally:
        place.close()


def _refuseTarget(home: Home, target: str) -> None:
    if os.path.lexists(target) and not (os.path.isdir(target) and _isEmpty(target)):
        raise HomeError(f"backup to {target}: something is there already")
    if not os.path.isdir(os.path.dirname(target)):
        raise HomeError(f"backup to {target}: there is no {os.path.dirname(target)}")
    if os.path.realpath(target).startswith(os.path.realpath(home.directory) + os.sep):
        raise HomeError(f"backup to {target}: that is within the home")


def _isEmpty(path: str) -> bool:
    with os.scandir(path) as entries:
        return next(entries, None) is None


def _copyHome(directory: str, copy: str, progress: Progress) -> None:
    """Copy all that HOME/memq needs, synced; its files stay while this goes on."""
    marker = readMarker(directory)
    if marker is None:
        raise HomeError(f"{directory} is not in use yet: there is nothing to copy")
    firstLog, _ = lastCheckpoint(directory, marker)
    tables = ["queues", *sorted(filter(isFileName, os.listdir(directory)))]
    total = _sizeOf(directory, tables, firstLog)
    _refuseSize(copy, total, progress)
    done = 0

    def shown() -> str:
        rate = megabytes(int(progress.rate(done)))
        return f"{megabytes(done)} of about {megabytes(total)}, {rate}/s"

    os.mkdir(copy, 0o700)
    for size in _copyFiles(directory, copy, tables, firstLog):
        done += size
        progress.reach(shown, min(1.0, done / max(1, total)))
    writeMarker(copy, marker)
    syncDirectory(copy)


def _sizeOf(directory: str, tables: list[str], firstLog: int) -> int:
    """Return about how many bytes a copy has."""
    logs = [logName(each) for each in logNumbers(directory) if each >= firstLog]
    names = [*set(tables).intersection(os.listdir(directory)), *logs]
    return sum(os.stat(os.path.join(directory, name)).st_size for name in names)


def _refuseSize(copy: str, size: int, progress: Progress) -> None:
    """Say how much room a copy needs, and refuse it where there is less."""
    free = diskSpace(os.path.dirname(copy)).free
    progress.tell(f"needs about {megabytes(size)}; {megabytes(free)} are free")
    if free < size:
        raise HomeError(
            f"a copy needs about {megabytes(size)}, and {megabytes(free)} are free"
        )


def _lastLog(directory: str) -> int:
    """Return the number of the last log file that has begun."""
    numbers = logNumbers(directory)
    return max(number for number in numbers if readRecord(directory, number, 0))


def _copyFiles(
    directory: str, copy: str, tables: list[str], firstLog: int
) -> Iterator[int]:
    """Copy files in the order of steps 3 to 5; yield the bytes of each piece."""
    for name in tables:
        yield from _copyTable(directory, copy, name)
    for number in range(firstLog, _lastLog(directory) + 1):
        yield from copyFile(directory, copy, logName(number))
    yield from copyFile(directory, copy, "VERSION")
    if os.path.exists(os.path.join(directory, RULES)):
        yield from copyFile(directory, copy, RULES)


def _copyTable(source: str, copy: str, name: str) -> Iterator[int]:
    """Copy a table, to its last whole page.

    A table that is gone was left by all messages, and went when a server started.
    """
    if not os.path.exists(os.path.join(source, name)):
        return
    yield from copyFile(source, copy, name)
    with open(os.path.join(copy, name), "r+b") as file:
        size = os.fstat(file.fileno()).st_size
        head = os.pread(file.fileno(), _PAGE_SIZE.size, _PAGE_SIZE_AT)
        if len(head) == _PAGE_SIZE.size and any(head):
            (pageSize,) = _PAGE_SIZE.unpack(head)
            os.truncate(file.fileno(), size - size % pageSize)


def copyFile(source: str, copy: str, name: str) -> Iterator[int]:
    """Copy a file and sync it; yield the bytes of each piece."""
    offset = 0
    with (
        open(os.path.join(source, name), "rb") as old,
        open(os.path.join(copy, name), "xb") as new,
    ):
        os.fchmod(new.fileno(), 0o600)
        # Bytes behind a short piece were written while we copied.
        size = PIECE
        while size == PIECE:
            piece = readTwice(old.fileno(), offset)
            new.write(piece)
            size = len(piece)
            offset += size
            if offset % SLICE < size:
                new.flush()
                os.fdatasync(new.fileno())
            yield size
        new.flush()
        os.fsync(new.fileno())


def readTwice(file: int, offset: int) -> bytes:
    """Return a piece of a file, as it was read twice in a row."""
    piece = os.pread(file, PIECE, offset)
    for _ in range(READS):
        again = os.pread(file, PIECE, offset)
        if again == piece:
            break
        piece = again
    return piece


def _recover(path: str) -> None:
    """Make one state of what was copied, with a checkpoint and a marker."""
    home = Home(path)
    home.prepare()
    try:
        store = BDBStore(home, StoreSettings(wholeLog=True))
        store.open()
        try:
            store.removeLogs()
        finally:
            store.close()
    except (HomeError, StoreError) as error:
        raise HomeError(f"the copy cannot be recovered, try again: {error}") from error
    finally:
        home.release()
    syncDirectory(home.directory)
    syncDirectory(path)


def _giveAway(path: str, model: str) -> None:
    if os.geteuid() != 0:
        return
    owner = os.stat(model)
    for directory, _, names in os.walk(path):
        for name in ("", *names):
            os.chown(os.path.join(directory, name), owner.st_uid, owner.st_gid)
