"""Holding: while a backup copies a home, no file goes that it may need.

A backup is another process.  It locks the directory of the home (flock, shared) as
long as it copies, and the server asks for the same lock, but alone, before it removes
log files or a file of messages.  It never waits for it: what stays now goes later.
The lock belongs to an open file, so a backup that dies lets go of it.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def held(directory: str) -> Iterator[None]:
    """Keep all files in a directory from being removed; for a backup.

    Waits for a removal that is under way, a checkpoint or two at most.

    :raise OSError: when the directory cannot be read.
    """
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


@contextmanager
def removing(directory: str) -> Iterator[bool]:
    """Tell whether files may be removed, and let no backup begin meanwhile.

    :raise OSError: when the directory cannot be read.
    """
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            allowed = True
        except BlockingIOError:
            allowed = False
        yield allowed
    finally:
        os.close(handle)
