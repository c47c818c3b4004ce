"""The files of the log, looked at before Berkeley DB recovers them.

Berkeley DB takes the first record that it cannot read for the end of the log, wipes out
what follows, and says nothing.  What a power cut leaves of writes that were not synced
looks like that; so does damage.  They cannot be told apart behind the marker
(:mod:`memq.storage.engine.marker`), so there memq goes on, as it must after a power
cut, but says how many bytes it leaves behind.

What a power cut cannot leave is refused: a file is synced before the next one begins,
so none is missing, or without its head, while a later one has records; and the log is
synced before the pages that it tells of are written, so none is newer than the log.

A file begins with a record of 28 bytes (native byte order):

    offset  size  field
    0       4     place of the record before, in the file before
    4       4     bytes of this record, 28
    8       4     checksum of the bytes that follow, xor the two numbers before
    12      4     magic number
    16      12    version, bytes of a file, nothing
"""

from __future__ import annotations

import os
import re
from itertools import pairwise
from struct import Struct
from typing import TYPE_CHECKING

from memq.errors import DamagedHome
from memq.storage.datadir.files import syncFile
from memq.storage.engine.btreefile import DamagedFile, TreeFile, tablesIn
from memq.storage.engine.marker import logName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LOG = re.compile(r"log\.(\d{10})")
_HEAD = Struct("=IIIIIII")
_MAGIC = 0x40988
#: Bytes that Berkeley DB puts before each record.
_RECORD_HEAD = 12
_BLOCK = 1024 * 1024

ADVICE = "restore the file, or start with --skip-damaged"


def logNumbers(directory: str) -> list[int]:
    """Return the numbers of the log files that are there, in order."""
    found = map(_LOG.fullmatch, os.listdir(directory))
    return sorted(int(match[1]) for match in found if match)


def _head(directory: str, number: int) -> bytes:
    """Return the first bytes of a log file, none if there is nothing but zeros."""
    with open(os.path.join(directory, logName(number)), "rb") as file:
        return file.read(_HEAD.size).rstrip(b"\0")


def _isHead(head: bytes) -> bool:
    head = head.ljust(_HEAD.size, b"\0")
    before, size, says, magic, *_ = _HEAD.unpack(head)
    right = 0
    for byte in head[_RECORD_HEAD:]:
        right = right * 33 + byte & 0xFFFFFFFF
    return bool(magic == _MAGIC and says == right ^ before ^ size)


def checkFiles(
    directory: str, marked: int, say: Callable[[str], None] = lambda line: None
) -> None:
    """Look whether the files behind the marked one are there, and are log files.

    The last one that has anything may have got its head in part: then nothing can be
    read in it, and nothing in it was synced.  Berkeley DB would not start with that; so
    the head is wiped out.

    :param marked: the number of the file that the marker points into.
    :param say: is told what is wiped out.
    :raise DamagedHome: with the file that is missing or damaged.
    :raise OSError: when a file cannot be read.
    """
    if not _isHead(_head(directory, marked)):
        raise DamagedHome(
            f"{os.path.join(directory, logName(marked))} is damaged: it does not begin "
            f"as a log file; {ADVICE}"
        )
    heads = {
        number: _head(directory, number)
        for number in logNumbers(directory)
        if number > marked
    }
    last = max((number for number, head in heads.items() if head), default=marked)
    for number in range(marked + 1, last + 1):
        path = os.path.join(directory, logName(number))
        if number not in heads:
            raise DamagedHome(
                f"{path} is missing, and the log goes on in the next file: messages "
                f"would be lost; {ADVICE}"
            )
        if _isHead(heads[number]):
            continue
        if number < last:
            raise DamagedHome(
                f"{path} is damaged: it does not begin as a file of the log does, "
                f"and the log goes on in the next one; {ADVICE}"
            )
        with open(path, "r+b", buffering=0) as file:
            file.write(bytes(_HEAD.size))
        syncFile(path)
        say(
            f"{path} begins with {len(heads[number])} bytes that are no head of a log "
            "file, and is not read. A power cut leaves that; if there was none, it is "
            "damaged, and what was stored or taken last is missing"
        )


def sayWhatFollows(
    directory: str, file: int, offset: int, size: int, say: Callable[[str], None]
) -> None:
    """Say what stands behind the end of the log, if there is anything.

    :param file: the number of the file that the last record is in.
    :param offset: where it is.
    :param size: its bytes.
    :param say: is told.
    :raise OSError: when a file cannot be read.
    """
    end = offset + _RECORD_HEAD + size
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

    :param last: the place of that record.
    :raise DamagedHome: with the page.
    :raise OSError: when a table cannot be read.
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
                f"it has lost what was synced, or that page is damaged; {ADVICE}"
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
    heads = {number: _head(directory, number) for number in logNumbers(directory)}
    last = max((number for number, head in heads.items() if head), default=0)
    for before, number in pairwise(number for number in heads if number <= last):
        if number != before + 1:
            return before + 1
        if heads[number] and not _isHead(heads[number]):
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
        end = place[1] + _RECORD_HEAD + len(record)
    return place, end
