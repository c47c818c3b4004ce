"""How much of a file system memq lets itself use beside the messages.

Log files, the log between two checkpoints, and the room that is kept free for
draining and for a recovery are as large as suits a disk.  On a small file
system they shrink together, so that all of them take at most a quarter of it:
four log files (two of them made ahead of need) take a sixteenth, a checkpoint comes
after a sixteenth of log, and that and two log files are kept free, or a tenth on the
smallest ones.
"""

from __future__ import annotations

from typing import NamedTuple

MEGABYTE = 1024 * 1024

GIGABYTE = 1024 * MEGABYTE
#: The least that is kept free, but for file systems of less than a gigabyte.
LEAST_FREE = 64 * MEGABYTE

#: Each change of log file syncs where it must not take long: few, large ones.
LOG_FILE = 32 * MEGABYTE
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


def sizesFor(fileSystem: int) -> Sizes:
    """Return the sizes for a file system of ``fileSystem`` bytes in all."""
    logFile = min(LOG_FILE, max(MEGABYTE, fileSystem // 64))
    volume = min(CHECKPOINT_VOLUME, max(MEGABYTE, fileSystem // 16))
    minFree = fileSystem // 10
    if fileSystem >= GIGABYTE:
        minFree = max(LEAST_FREE, 2 * logFile + volume)
    return Sizes(logFile, volume, minFree)
