"""Verification of a log, before Berkeley DB recovers it and changes anything.

Berkeley DB takes the first record that it cannot read for the end of the log, wipes out
what follows, and says nothing.  Writes that were not synced look like that after a
power cut; so does damage.

Up to the marker (:mod:`memq.storage.engine.marker`), which points at a record that was
synced, nothing may be missing: a log that does not have that record was cut or
replaced, and the home is refused.  Behind it power cuts and damage cannot be told
apart, so there memq goes on, but says how many bytes it leaves behind.

A log that a power cut cannot leave is refused: a file is synced before the next one
begins, so none is missing, or without its head, while a later one has records; and the
log is synced before the pages that it tells of are written, so none is newer than the
log.
"""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING

from memq.errors import DamagedHome
from memq.storage.datadir.damage import ADVICE
from memq.storage.datadir.files import syncFile
from memq.storage.engine.binding import LOG_ERRORS, LOG_FLAGS, closeEnvironment, db
from memq.storage.engine.btreefile import DamagedFile, TreeFile, tablesIn
from memq.storage.engine.logfile import (
    FIRST_RECORD,
    RECORD_HEAD,
    isHead,
    logName,
    logNumbers,
    readHead,
)
from memq.storage.engine.marker import readMarker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memq.storage.datadir.home import Home
    from memq.storage.engine.marker import Marker

_BLOCK = 1024 * 1024
_RESTORE = "restore the file, or start with --skip-damaged"


def verifyLog(home: Home, say: Callable[[str], None]) -> Marker | None:
    """Look whether the log of a home has all that was synced.

    :param say: is told, in a line, what stands behind the end of the log.
    :return: the marker; None where no store was ever opened.
    :raise memq.errors.DamagedHome: when the log was cut, damaged or replaced.
    """
    directory = home.directory
    marker = readMarker(directory)
    if marker is None:
        if home.isNew:
            return None
        raise DamagedHome(
            f"{os.path.join(directory, 'safe')} is missing, which tells how far the "
            f"log is safe; {ADVICE}"
        )
    checkFiles(directory, marker.file, say)
    if not _covers(directory, marker, say):
        raise DamagedHome(
            f"{os.path.join(directory, logName(marker.file))} does not have the record "
            f"that was synced at byte {marker.offset}: it is damaged or was replaced; "
            f"{_RESTORE}"
        )
    return marker


def _covers(directory: str, marker: Marker, say: Callable[[str], None]) -> bool:
    """Return whether the marked record is there; look at what follows it, too."""
    log = db.DBEnv()
    covered = False
    try:
        log.open(directory, LOG_FLAGS)
        with suppress(*LOG_ERRORS):
            found = log.log_cursor().set((marker.file, marker.offset))
            covered = found is not None and marker.covers(found[1])
        if covered:
            (file, offset), record = log.log_cursor().last()
            sayWhatFollows(directory, file, offset, len(record), say)
            if (file, offset) != (marker.file, marker.offset):
                refuseNewerPages(directory, (file, offset))
    finally:
        closeEnvironment(log)
    return covered


def checkFiles(
    directory: str, marked: int, say: Callable[[str], None] = lambda line: None
) -> None:
    """Look whether the files behind the marked one are there, and are log files.

    The last one that has anything may have got its head in part: then nothing can be
    read in it, and nothing in it was synced.  Berkeley DB would not start with that; so
    the head is wiped out.

    One before the marked one that begins with zeros was left by a power cut under an
    older memq.  If it is the oldest, Berkeley DB does nothing again of the whole log,
    and says nothing; whether that was needed cannot be told.

    :param marked: the number of the file that the marker points into.
    :raise DamagedHome: with the file that is missing or damaged.
    """
    if not isHead(readHead(directory, marked)):
        raise DamagedHome(
            f"{os.path.join(directory, logName(marked))} is damaged: it does not begin "
            f"as a log file; {_RESTORE}"
        )
    numbers = logNumbers(directory)
    for number in numbers:
        if number < marked and not readHead(directory, number):
            say(
                f"{os.path.join(directory, logName(number))} begins with zeros, as a "
                "power cut could leave it under an older memq: after an unclean stop "
                "messages may be missing, or there twice, that the log tells of"
            )
    heads = {n: readHead(directory, n) for n in numbers if n > marked}
    last = max((number for number, head in heads.items() if head), default=marked)
    for number in range(marked + 1, last + 1):
        path = os.path.join(directory, logName(number))
        if number not in heads:
            raise DamagedHome(
                f"{path} is missing, and the log goes on in the next file: messages "
                f"would be lost; {_RESTORE}"
            )
        if isHead(heads[number]):
            continue
        if number < last:
            raise DamagedHome(
                f"{path} is damaged: it does not begin as a file of the log does, "
                f"and the log goes on in the next one; {_RESTORE}"
            )
        _wipeHead(path, len(heads[number]), say)


def _wipeHead(path: str, size: int, say: Callable[[str], None]) -> None:
    """Wipe out the part of a head that a log file got."""
    with open(path, "r+b", buffering=0) as file:
        file.write(bytes(FIRST_RECORD.size))
    syncFile(path)
    say(
        f"{path} begins with {size} bytes that are no head of a log "
        "file, and is not read. A power cut leaves that; if there was none, it is "
        "damaged, and what was stored or taken last is missing"
    )


def sayWhatFollows(
    directory: str, file: int, offset: int, size: int, say: Callable[[str], None]
) -> None:
    """Say what stands behind the end of the log, if there is anything."""
    end = offset + RECORD_HEAD.size + size
    for number in logNumbers(directory):
        if number < file:
            continue
        path = os.path.join(directory, logName(number))
        start = end if number == file else 0
        last = _lastByte(path, start)
        if last > start:
            say(
                f"{path}: no record can be read from byte {start} on, but "
                f"{last - start} bytes follow there. A kill or a power cut leaves that "
                "of what nobody was told yet (with --no-sync, of the last second); if "
                "there was none, the file is damaged, and what was stored or taken "
                "last is missing"
            )


def refuseNewerPages(directory: str, last: tuple[int, int]) -> None:
    """Look whether a page was changed after the last record of the log.

    Berkeley DB writes no page before the log that tells of its change is synced: so no
    power cut leaves that, and the log has lost what was synced.  With pages that do not
    fit together, Berkeley DB was seen to free the same pages for ever.
    """
    for name in tablesIn(directory):
        path = os.path.join(directory, name)
        try:
            table = TreeFile(path)
        except DamagedFile:
            # Berkeley DB will not open that either, and say why.
            continue
        try:
            newest, page = table.newest()
        finally:
            table.close()
        if newest > last:
            log = os.path.join(directory, logName(last[0]))
            raise DamagedHome(
                f"page {page} of {path} was changed at byte {newest[1]} of "
                f"{logName(newest[0])}, but the log ends at byte {last[1]} of {log}: "
                f"it has lost what was synced, or that page is damaged; {_RESTORE}"
            )


def _lastByte(path: str, start: int) -> int:
    """Return the place behind the last byte that is not zero, ``start`` if none is."""
    end = start
    with open(path, "rb") as file:
        file.seek(start)
        while block := file.read(_BLOCK):
            stripped = block.rstrip(b"\0")
            if stripped:
                end = start + len(stripped)
            start += len(block)
    return end


def headlessFrom(directory: str) -> int | None:
    """Return the number of the first log file that is missing, or has no head.

    The one with the lowest number is not looked at, nor those behind the last one that
    has anything: no log is in them yet.
    """
    heads = {number: readHead(directory, number) for number in logNumbers(directory)}
    last = max((number for number, head in heads.items() if head), default=0)
    for before, number in pairwise(number for number in heads if number <= last):
        if number != before + 1:
            return before + 1
        if heads[number] and not isHead(heads[number]):
            return number
    return None


def endOf(
    records: Iterator[tuple[tuple[int, int], bytes]],
) -> tuple[tuple[int, int] | None, int]:
    """Return the place of the last record that can be read, and where it ends.

    :param records: place and bytes of each record, as far as they can be read.
    """
    place, end = None, 0
    for place, record in records:
        end = place[1] + RECORD_HEAD.size + len(record)
    return place, end
