"""The marker: a log record that is known to be on disk.

``HOME/memq/safe`` holds one line: file number and offset of a record in Berkeley
DB's log, and the CRC-32 (zlib's) of its bytes, in decimal; spaces fill it up to
LINE_SIZE bytes.  It is written after that record was synced, at each checkpoint and
clean stop, over the one before: that takes no room, which a full disk does not have,
and a line is on the disk as a whole or not at all, since it is a part of one sector.
A log in which that record is not found has lost messages that were acknowledged.

The last checkpoint is that record, or stands before it: so it also tells a reader of a
home that is in use where a recovery would have to begin.
"""

from __future__ import annotations

import os
from typing import NamedTuple
from zlib import crc32

from memq.errors import DamagedHome, HomeError
from memq.storage.datadir.files import overwriteFile, readFile, replaceFile
from memq.storage.engine.logfile import Record, logName, readRecord

_NAME = "safe"
#: Bytes of the line: three numbers of up to 20 digits would fit.
LINE_SIZE = 64

#: Types of records: a table was opened or closed, or is open at a checkpoint; and a
#: checkpoint.  Neither changes a table.
_REGISTER = 2
_CHECKPOINT = 11


class Marker(NamedTuple):
    """Where a log record stands, and what it is.

    :ivar file: number of the log file, from 1.
    :ivar offset: bytes from the beginning of that file.
    :ivar crc: CRC-32 of the record.
    """

    file: int
    offset: int
    crc: int

    @classmethod
    def of(cls, file: int, offset: int, record: bytes) -> Marker:
        """Return the marker for a record of the log."""
        return cls(file, offset, crc32(record))

    def covers(self, record: bytes) -> bool:
        """Return whether this is the record that was marked."""
        return crc32(record) == self.crc


def writeMarker(directory: str, marker: Marker) -> None:
    """Write the marker and sync it.

    :raise OSError: when there is no room for it, or the disk fails.
    """
    line = f"{marker.file} {marker.offset} {marker.crc}".ljust(LINE_SIZE - 1) + "\n"
    path = os.path.join(directory, _NAME)
    if not overwriteFile(path, line.encode()):
        replaceFile(path, line.encode())


def readMarker(directory: str) -> Marker | None:
    """Return the marker, once the log file it points into was found long enough.

    :raise DamagedHome: when the marker cannot be read, or the log is cut before it.
    """
    path = os.path.join(directory, _NAME)
    line = readFile(path, 100)
    if line is None:
        return None
    words = line.split()
    if len(words) != 3 or not all(word.isdigit() for word in words):
        raise DamagedHome(
            f"{path} is damaged: it should hold three numbers; "
            "restore it, or start with --skip-damaged"
        )
    marker = Marker(*map(int, words))
    log = os.path.join(directory, logName(marker.file))
    size = os.stat(log).st_size if os.path.exists(log) else -1
    if size <= marker.offset:
        state = "is missing" if size < 0 else f"has {size} bytes only"
        raise DamagedHome(
            f"{log} {state}, but was synced up to byte {marker.offset}: "
            "messages would be lost; restore the file, or start with --skip-damaged"
        )
    return marker


def lastCheckpoint(directory: str, marker: Marker) -> tuple[int, int]:
    """Return file and offset from which on the tables may lack what is in the log.

    :param marker: the marker, written just behind a checkpoint.
    :raise memq.errors.HomeError: when the log is not as it was written.
    """
    file, offset = marker.file, marker.offset
    record = _recordAt(directory, file, offset)
    while record.type != _CHECKPOINT:
        file, offset = (file if offset else file - 1), record.before
        record = _recordAt(directory, file, offset)
    return record.covered


def isSettled(directory: str, marker: Marker) -> bool:
    """Return whether the tables of a home that nobody uses have all that is logged."""
    try:
        file, offset = lastCheckpoint(directory, marker)
        # The record logged just there may be a change; the tables have it.
        offset += _recordAt(directory, file, offset).size
        while (record := readRecord(directory, file, offset)) is not None:
            if record.type not in (_REGISTER, _CHECKPOINT):
                return False
            offset += record.size
        # A file that has begun is no end.
        return readRecord(directory, file + 1, 0) is None
    except HomeError:
        return False


def _recordAt(directory: str, file: int, offset: int) -> Record:
    record = readRecord(directory, file, offset)
    if record is None:
        path = os.path.join(directory, logName(file))
        raise HomeError(f"{path} has no record at byte {offset}: restore the file")
    return record
