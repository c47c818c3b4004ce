"""What it means when Berkeley DB does not open a home, and a recovery of a copy."""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from memq.damage import ADVICE
from memq.environment import (
    ENVIRONMENT_FLAGS,
    ERRORS,
    FILE_MODE,
    FULL,
    LOG_FLAGS,
    closeEnvironment,
    db,
    setCache,
    storeError,
)
from memq.errors import DamagedHome, HomeError, UnusableHome
from memq.home import RIGHTS
from memq.logcheck import firstUnreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memq.environment import StoreSettings
    from memq.home import Home

#: What a restart may help against: no room, a disk that fails.
_PASSING = (*FULL, errno.EIO)


def whyNotOpened(home: Home, error: Exception) -> HomeError:
    """Return what to raise for an error that ended the opening of a store."""
    root = error.__cause__ or error
    code = root.args[0] if root.args else None
    words = str(error)
    if isinstance(root, ERRORS):
        words = f"Berkeley DB cannot open it: {storeError(root)}"
    words = f"--home {home.path}: {words}"
    if code in _PASSING:
        return HomeError(words)
    if code in RIGHTS:
        return UnusableHome(words)
    where = _whereDamaged(home.directory)
    return DamagedHome(f"{words}{f'; {where}' if where else ''}; {ADVICE}")


def _whereDamaged(directory: str) -> str | None:
    """Return where the log cannot be read, although it goes on behind that."""
    log = db.DBEnv()
    try:
        log.open(directory, LOG_FLAGS)
        cursor = log.log_cursor()
        last, _ = cursor.last()
        return firstUnreadable(directory, _records(cursor), last)
    except ERRORS:
        # Not even the end of the log can be found; there is no place to name.
        return None
    finally:
        closeEnvironment(log)


def _records(cursor: Any) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Yield the records of a log from the first on, as far as they can be read."""
    with suppress(*ERRORS):
        found = cursor.first()
        while found:
            yield found
            found = cursor.next()


def recoverFiles(directory: str, settings: StoreSettings) -> None:
    """Recover what lies in a directory, and leave all of it in the tables there.

    :raise: Berkeley DB's errors (ERRORS); the files are of no use then.
    """
    environment = db.DBEnv()
    try:
        setCache(environment, settings)
        environment.open(directory, ENVIRONMENT_FLAGS, FILE_MODE)
        environment.txn_checkpoint(0, 0, db.DB_FORCE)
    finally:
        closeEnvironment(environment)
