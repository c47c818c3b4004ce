"""The marker: a log record that is known to be on disk.

``HOME/memq/safe`` holds one line: file number and offset of a record in Berkeley
DB's log, and the CRC-32 (zlib's) of its bytes, in decimal; spaces fill it up to
LINE_SIZE bytes.  It is written after that record was synced, at each checkpoint and
clean stop, over the one before: that takes no room, which a full disk does not have,
and a line is on the disk as a whole or not at all, since it is a part of one sector.
A log in which that record is not found has lost messages that were acknowledged.
"""

from __future__ import annotations

import os
from typing import NamedTuple
from zlib import crc32

from memq.errors import DamagedHome
from memq.storage.datadir.files import overwriteFile, replaceFile

_NAME = "safe"
#: Bytes of the line: three numbers of up to 20 digits would fit.
LINE_SIZE = 64


def logName(file: int) -> str:
    """Return the name of a log file, which Berkeley DB makes of its number."""
    return f"log.{file:010}"


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

    :return: None when there is none.
    :raise DamagedHome: when the marker cannot be read, or the log is cut before it.
    """
    path = os.path.join(directory, _NAME)
    try:
        with open(path, "rb") as file:
            words = file.read(100).split()
    except FileNotFoundError:
        return None
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
