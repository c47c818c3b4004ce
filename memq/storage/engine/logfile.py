"""Log files of Berkeley DB: their names, and the heads of their records.

Nobody but its server can open the log of a home that is in use, and to open it is to
run recovery.  So the little that a reader has to know is read from the files.

A record, as Berkeley DB 5.3 writes it (in the machine's byte order):

    offset  size  field
    0       4     offset of the record before, in the file before at offset 0
    4       4     bytes of this record, these 12 included; 0 where the log ends
    8       4     checksum of the bytes that follow, xor the two numbers before
    12      4     type of the record; the first record of a file has another number here
    16      4     transaction
    20      8     file and offset of the record before in that transaction
    28      8     of a checkpoint: file and offset; all that was logged before is in
                  the tables

The first record of a file has 28 bytes: behind the checksum a magic number (4), the
version of the log (4), bytes of a file (4), nothing (4).
"""

from __future__ import annotations

import os
import re
from struct import Struct
from typing import NamedTuple

from memq.errors import HomeError

#: The name of a log file.
LOG_NAME = re.compile(r"log\.([0-9]{10})")
#: Stands behind the checksum of a file's first record.
LOG_MAGIC = 0x40988
#: Stands before each record.
RECORD_HEAD = Struct("=III")
#: The first record of a file.
FIRST_RECORD = Struct("=IIIIIII")

_RECORD = Struct("=IIII12xII")
#: Bytes of the shortest record.
_LEAST = 16


def logName(file: int) -> str:
    """Return the name of a log file, which Berkeley DB makes of its number."""
    return f"log.{file:010}"


def logNumbers(directory: str) -> list[int]:
    """Return the numbers of the log files that are there, in order."""
    found = map(LOG_NAME.fullmatch, os.listdir(directory))
    return sorted(int(match[1]) for match in found if match)


def recordChecksum(before: int, size: int, data: bytes) -> int:
    """Return the checksum of a record."""
    value = 0
    for byte in data:
        value = value * 33 + byte & 0xFFFFFFFF
    return value ^ before ^ size


def readHead(directory: str, number: int) -> bytes:
    """Return the first record of a log file, empty if there is nothing but zeros."""
    with open(os.path.join(directory, logName(number)), "rb") as file:
        return file.read(FIRST_RECORD.size).rstrip(b"\0")


def isHead(head: bytes) -> bool:
    """Return whether a log file begins as it should, by its first record."""
    head = head.ljust(FIRST_RECORD.size, b"\0")
    before, size, says, magic, *_ = FIRST_RECORD.unpack(head)
    right = recordChecksum(before, size, head[RECORD_HEAD.size :])
    return bool(magic == LOG_MAGIC and says == right)


class Record(NamedTuple):
    """A record of the log, as far as it has to be known.

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
