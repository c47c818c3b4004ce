"""How much of a file system memq lets itself use beside the messages.

Log files, the log between two checkpoints, and the room that is kept free for
draining and for a recovery are as large as suits a disk.  On a small file
system they shrink together, so that all of them take at most a quarter of it:
log files take a sixteenth, a checkpoint comes after another sixteenth of log,
and as much as both is kept free, or a tenth on the smallest ones.
"""

from __future__ import annotations

from typing import NamedTuple

MEGABYTE = 1024 * 1024

GIGABYTE = 1024 * MEGABYTE
#: The least that is kept free, but for file systems of less than a gigabyte.
LEAST_FREE = 64 * MEGABYTE

#: What log files take.  Each change to another one syncs where it must not take long:
#: with no-sync that is what was logged in a second, so there are two large ones.
#: Otherwise little waits for it, and there are four, two of them made ahead of need.
LOG_FILES = 128 * MEGABYTE
#: What a recovery reads at most, at about 7 ms a MB.
CHECKPOINT_VOLUME = 256 * MEGABYTE


class Sizes(NamedTuple):
    """What fits a file system, in bytes.

    :ivar logFile: size of a log file.
    :ivar checkpointVolume: log after which there is a checkpoint anyway.
    :ivar minFree: room below which sets are refused.
    """

    logFile: int
    checkpointVolume: int
    minFree: int


def sizesFor(fileSystem: int, noSync: bool) -> Sizes:
    """Return the sizes for a file system of ``fileSystem`` bytes in all."""
    logFiles = min(LOG_FILES, fileSystem // 16)
    logFile = max(MEGABYTE, logFiles // (2 if noSync else 4))
    volume = min(CHECKPOINT_VOLUME, max(MEGABYTE, fileSystem // 16))
    minFree = fileSystem // 10
    if fileSystem >= GIGABYTE:
        minFree = max(LEAST_FREE, logFiles + volume)
    return Sizes(logFile, volume, minFree)
