"""Sizes that fit a file system: of log files, checkpoints and reserves.

Log files, the log between two checkpoints, and the room that is kept free for
draining and for a recovery are as large as suits a disk.  On a small file
system they shrink together, so that all of them take at most a quarter of it:
log files take a sixteenth, a checkpoint comes after another sixteenth of log,
and as much as both is kept free, or a tenth on the smallest ones.  A table is given a
32nd ahead of need, and a file stays that is not larger than a sixteenth.
"""

from __future__ import annotations

import os
from typing import NamedTuple

MEGABYTE = 1024 * 1024

GIGABYTE = 1024 * MEGABYTE
#: The least that is kept free, but for file systems of less than a gigabyte.
LEAST_FREE = 64 * MEGABYTE

#: All log files.  Each change to another one syncs where it must not take long:
#: with no-sync that is what was logged in a second, so there are two large ones.
#: Otherwise little waits for it, and there are four, one of them made ahead of need.
LOG_FILES = 128 * MEGABYTE
#: Log files are a multiple of this, so that Berkeley DB does not round their size up.
BLOCK = 65536
#: A log file has room for what may be logged between two looks at the disk.
LEAST_LOG = 2 * MEGABYTE
#: The largest --log-buffer.
MOST_BUFFERED = 16 * MEGABYTE
#: Log that a recovery reads at most, at about 7 ms a MB.
CHECKPOINT_VOLUME = 256 * MEGABYTE
#: Bytes that a table is given ahead of need.
TABLE_AHEAD = 16 * MEGABYTE
LEAST_AHEAD = 3 * MEGABYTE
#: Bytes of a file below which it stays: one that is not larger is soon needed again.
LEAST_FILE = 16 * MEGABYTE


class DiskSpace(NamedTuple):
    """The bytes of a file system.

    :ivar total: all of them.
    :ivar free: those that a common user may fill.
    """

    total: int
    free: int


def diskSpace(path: str) -> DiskSpace:
    """Return the space of the file system that a file is on."""
    found = os.statvfs(path)
    return DiskSpace(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)


class Sizes(NamedTuple):
    """Sizes that fit a file system, in bytes.

    :ivar logFile: size of a log file.
    :ivar logBuffer: the most of the log that is kept in memory; files are longer than
        four of it.
    :ivar checkpointVolume: log after which there is a checkpoint anyway.
    :ivar minFree: room below which sets are refused.
    :ivar lookAfter: what may be stored between two looks while little room is left; it
        is much less than a table is given, since a turn of the broker may add 2 MB.
    :ivar tableAhead: what a table is given ahead of need.
    :ivar leastFile: size of a file of messages that stays, however little is in it.
    """

    logFile: int
    logBuffer: int
    checkpointVolume: int
    minFree: int
    lookAfter: int
    tableAhead: int
    leastFile: int


def sizesFor(fileSystem: int, noSync: bool) -> Sizes:
    """Return the sizes for a file system of ``fileSystem`` bytes in all."""
    logFiles = min(LOG_FILES, fileSystem // 16)
    logFile = logFiles // (2 if noSync else 4) // BLOCK * BLOCK
    logFile = max(LEAST_LOG, logFile)
    volume = min(CHECKPOINT_VOLUME, max(MEGABYTE, fileSystem // 16))
    minFree = fileSystem // 10
    if fileSystem >= GIGABYTE:
        minFree = max(LEAST_FREE, logFiles + volume)
    ahead = max(LEAST_AHEAD, min(TABLE_AHEAD, fileSystem // 32))
    isSmall = fileSystem < GIGABYTE
    logBuffer = logFile // 4 if isSmall else MOST_BUFFERED
    leastFile = min(LEAST_FILE, fileSystem // 16)
    return Sizes(logFile, logBuffer, volume, minFree, ahead // 4, ahead, leastFile)
