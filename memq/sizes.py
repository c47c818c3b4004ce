"""How much of a file system memq lets itself use beside the messages.

Log files, the log between two checkpoints, and the room that is kept free for
draining and for a recovery are as large as suits a disk.  On a small file
system they shrink together, so that all of them take less than a quarter of it:
10 % is kept free, a checkpoint comes after 6 % of log, and two log files take
another 6 %.
"""

from __future__ import annotations

from typing import NamedTuple

MEGABYTE = 1024 * 1024

#: Each change of log file syncs where it must not take long: few, large ones.
LOG_FILE = 64 * MEGABYTE
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
    logFile = min(LOG_FILE, max(MEGABYTE, fileSystem // 32))
    volume = min(CHECKPOINT_VOLUME, max(MEGABYTE, fileSystem // 16))
    minFree = min(2 * LOG_FILE + CHECKPOINT_VOLUME, fileSystem // 10)
    return Sizes(logFile, volume, minFree)
