"""Berkeley DB's binding: whichever of the two there is, and what its errors mean.

The only module that imports it.  berkeleydb is the newer name of bsddb3; they are one
author's, and alike in all that is used here.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

try:
    from berkeleydb import db
except ImportError as error:
    try:
        from bsddb3 import db
    except ImportError:
        # It is read by a person who has started one of memq's programs.
        raise SystemExit(
            f"memq: no binding of Berkeley DB ({error}): install Debian's "
            "python3-bsddb3, or the headers of Berkeley DB 5.3 (libdb5.3-dev) and with "
            "pip berkeleydb"
        ) from None

from memq.errors import DamagedStore, OutOfSpace, StoreError, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "ENVIRONMENT_FLAGS",
    "ERRORS",
    "FILE_MODE",
    "FULL",
    "LOG_ERRORS",
    "LOG_FLAGS",
    "StoreSettings",
    "closeEnvironment",
    "damageIn",
    "db",
    "openReadOnly",
    "scan",
    "setCache",
    "storeError",
]

ENVIRONMENT_FLAGS = (
    db.DB_CREATE
    | db.DB_RECOVER
    | db.DB_INIT_LOG
    | db.DB_INIT_MPOOL
    | db.DB_INIT_TXN
    | db.DB_THREAD
    # Regions in files turn a full disk into SIGBUS.
    | db.DB_PRIVATE
)
#: Errors that the binding raises: ENOMEM, another face of a full disk, as MemoryError.
ERRORS = (db.DBError, MemoryError)
#: Those of a log that cannot be read; the last one where an error is not told.
LOG_ERRORS = (*ERRORS, SystemError)
#: Flags to read the log and leave it as it is.
LOG_FLAGS = db.DB_CREATE | db.DB_INIT_LOG | db.DB_PRIVATE
FILE_MODE = 0o600
#: Errors of a full disk, or of a limit that is reached.  ENOMEM is another face of it:
#: all pages in memory are changed, and none can be written.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM)

#: Its words of a page whose checksum is wrong, of one that is not what it should be,
#: and of one that a file is too short for.
_DAMAGED_PAGE = re.compile(r"(\S+): pgin failed for page (\d+)")
_DAMAGED = re.compile(
    "checksum error|illegal page type|page format|DB_PAGE_NOTFOUND|"
    "unknown page type|invalid page type"
)


class StoreSettings(NamedTuple):
    """Settings of Berkeley DB, as the command line has them.

    :ivar cacheSize: bytes of pages kept in memory.
    :ivar logBuffer: bytes of log kept in memory between two flushes.
    :ivar pageSize: bytes of a page; only a new home takes it.  Pages larger
        than the 4096 bytes that disks write as one can tear in a power cut.
    :ivar noSync: commits go to the operating system at once, and ``flush`` is
        only needed against power cuts.
    :ivar logFile: bytes of a log file.  Each change of file syncs in the thread
        that commits, 26 to 42 ms on a slow disk, so few large ones are better.
    :ivar tableAhead: bytes that the table of messages is given ahead of need.
    :ivar leastFile: bytes of a file of messages below which what is left in it stays.
    :ivar wholeLog: recover from the first log file on, not from the last checkpoint,
        as a copy needs that was made while checkpoints were.
    :ivar leastPacked: the least messages that share a record; with 1 one alone is
        packed as well, with more than :data:`memq.storage.packed.MOST` none are.
    """

    cacheSize: int = 64 * 1024 * 1024
    logBuffer: int = 1024 * 1024
    pageSize: int = 4096
    noSync: bool = False
    logFile: int = 32 * 1024 * 1024
    tableAhead: int = 16 * 1024 * 1024
    leastFile: int = 16 * 1024 * 1024
    wholeLog: bool = False
    leastPacked: int = 2


def damageIn(words: str) -> str | None:
    """Return what is damaged by what Berkeley DB says; None when nothing is."""
    found = _DAMAGED_PAGE.search(words)
    if found:
        name = os.path.basename(found[1])
        return f"page {found[2]} of the file {name} is damaged"
    return f"a file is damaged: {words}" if _DAMAGED.search(words) else None


def storeError(
    error: Exception, named: Callable[[str], str] = lambda text: text
) -> StoreError:
    """Return what a Berkeley DB error means for the caller.

    :param named: puts the names that people know into its words.
    """
    code, *words = error.args or (None,)
    text = named(" ".join(str(word) for word in words)) or type(error).__name__
    if code in FULL:
        return OutOfSpace()
    damage = None if code == errno.EIO else damageIn(text)
    if damage is not None:
        return DamagedStore(f"the store cannot go on: {damage}")
    if code == errno.EIO or isinstance(error, db.DBRunRecoveryError):
        return StoreFailed(f"the store cannot go on: {text}")
    return StoreError(text)


def setCache(environment: Any, settings: StoreSettings) -> None:
    """Give an environment that is not open yet its cache."""
    gigabytes, rest = divmod(settings.cacheSize, 1024**3)
    environment.set_cachesize(gigabytes, rest, 1)


def openReadOnly(path: str, cacheSize: int = 0) -> Any:
    """Return a table that nobody changes, opened without an environment.

    :param cacheSize: bytes of its pages that are kept in memory, 0 for the default.
    :raise: Berkeley DB's errors (ERRORS); it is closed then.
    """
    table = db.DB()
    if cacheSize:
        table.set_cachesize(0, cacheSize)
    try:
        table.open(path, None, db.DB_BTREE, db.DB_RDONLY)
    except ERRORS:
        closeEnvironment(table)
        raise
    table.set_get_returns_none(2)
    return table


def scan(
    cursor: Any, first: bytes, prefix: bytes = b""
) -> Iterator[tuple[bytes, bytes]]:
    """Yield records from a key on, as far as their keys begin with a prefix.

    Each may be deleted by way of the cursor before the next one is asked for.
    """
    found = cursor.set_range(first)
    while found and found[0].startswith(prefix):
        yield found
        found = cursor.next()


def closeEnvironment(handle: Any) -> None:
    """Close an environment and all that is open in it, or a table alone.

    However damaged it is.
    """
    with suppress(*ERRORS):
        handle.close()
