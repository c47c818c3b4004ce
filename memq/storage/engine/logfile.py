"""Where a recovery has to begin: Berkeley DB's log files, read from outside.

Nobody but its server can open the log of a home that is in use, and to open it is to
run recovery.  So the little that a reader has to know is read from the files.

A record of the log, as Berkeley DB 5.3 writes it (in the machine's byte order):

    offset  size  field
    0       4     offset of the record before, in the file before at offset 0
    4       4     bytes of this record, these 12 included; 0 where the log ends
    8       4     checksum
    12      4     type of the record; the first record of a file has another number here
    16      4     transaction
    20      8     file and offset of the record before in that transaction
    28      8     of a checkpoint: file and offset; all that was logged before is in
                  the tables
"""

from __future__ import annotations

import os
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from memq.errors import HomeError
from memq.storage.engine.marker import logName

if TYPE_CHECKING:
    from memq.storage.engine.marker import Marker

_RECORD = Struct("=IIII12xII")
#: Bytes of the shortest record.
_LEAST = 16

#: Types of records: a table was opened or closed, or is open at a checkpoint; and a
#: checkpoint.  Neither changes a table.
_REGISTER = 2
_CHECKPOINT = 11


class Record(NamedTuple):
    """What has to be known of a record of the log.

    :ivar before: offset of the record before.
    :ivar size: its bytes.
    :ivar type: Berkeley DB's number for what it is.
    :ivar covered: of a checkpoint: file and offset, as above.
    """

    before: int
    size: int
    type: int
    covered: tuple[int, int]


def readRecord(directory: str, file: int, offset: int) -> Record | None:
    """Return the record at a place, None when the log ends there.

    :raise memq.errors.HomeError: when no record can be there.
    """
    path = os.path.join(directory, logName(file))
    try:
        with open(path, "rb") as log:
            data = os.pread(log.fileno(), _RECORD.size, offset)
    except FileNotFoundError:
        return None
    before, size, _, type, *covered = _RECORD.unpack(data.ljust(_RECORD.size, b"\0"))
    if size == 0:
        return None
    if size < _LEAST:
        raise HomeError(f"{path} is damaged at byte {offset}: that is no record")
    return Record(before, size, type, (covered[0], covered[1]))


def _recordAt(directory: str, file: int, offset: int) -> Record:
    """Return the record at a place.

    :raise memq.errors.HomeError: when none is there.
    """
    record = readRecord(directory, file, offset)
    if record is None:
        path = os.path.join(directory, logName(file))
        raise HomeError(f"{path} has no record at byte {offset}: restore the file")
    return record


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
    """Return whether the tables of a home that nobody uses have all that is logged.

    :param marker: the home's marker.
    """
    try:
        file, offset = lastCheckpoint(directory, marker)
        # What was logged just there may be a change; the tables have it.
        offset += _recordAt(directory, file, offset).size
        while (record := readRecord(directory, file, offset)) is not None:
            if record.type not in (_REGISTER, _CHECKPOINT):
                return False
            offset += record.size
        # A file that has begun is no end.
        return readRecord(directory, file + 1, 0) is None
    except HomeError:
        return False
