"""The next log file, filled with zeros before it is needed.

To sync what was appended to a file, the file system writes more than that: the file
has become longer, and takes new blocks.  What overwrites zeros that are on the disk
changes neither.  With 50 clients, that won 12 % of the synced sets and gets.

Berkeley DB takes a file that is there as it is, and at a recovery, zeros are the end
of the log, a whole file of them too.  (It can fill files by itself, but does so where
it changes to them, in the thread that commits.)
"""

from __future__ import annotations

import os
from contextlib import suppress

from memq.files import syncDirectory

#: What the file is called while it is being filled; no log file has such a name.
_UNFINISHED = "ahead"
#: Bytes that are written and synced at a time: a flush of the log waits for no more.
_SLICE = 1024 * 1024


def fillAhead(path: str, size: int) -> None:
    """Make a file of zeros, on the disk; no-op when there is a file of that name.

    :param path: its name, which it gets when it is complete.
    :param size: its bytes.
    :raise OSError: when there is no room, or the disk fails; nothing is left then.
    """
    unfinished = os.path.join(os.path.dirname(path), _UNFINISHED)
    try:
        with open(unfinished, "wb", buffering=0) as file:
            for start in range(0, size, _SLICE):
                file.write(bytes(min(_SLICE, size - start)))
                os.fdatasync(file.fileno())
        # Berkeley DB may have made it meanwhile: a rename would replace that one.
        with suppress(FileExistsError):
            os.link(unfinished, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(unfinished)
    syncDirectory(os.path.dirname(path))
