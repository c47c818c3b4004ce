"""Recovery of a copy, and the meaning of one that fails."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from memq.errors import DamagedHome, HomeError, HomeGone, UnusableHome
from memq.storage.datadir.damage import ADVICE
from memq.storage.datadir.home import RIGHTS
from memq.storage.engine.binding import (
    ENVIRONMENT_FLAGS,
    ERRORS,
    FILE_MODE,
    FULL,
    LOG_ERRORS,
    LOG_FLAGS,
    closeEnvironment,
    db,
    setCache,
    storeError,
)
from memq.storage.engine.logfile import logName, logNumbers
from memq.storage.engine.verification import endOf, headlessFrom

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memq.storage.datadir.home import Home
    from memq.storage.engine.binding import StoreSettings

#: Errors that a restart may help against: no room, a disk that fails.
_PASSING = (*FULL, errno.EIO)


def whyNotOpened(home: Home, error: Exception) -> HomeError:
    """Return what to raise for an error that ended the opening of a store."""
    if isinstance(error, HomeGone):
        return UnusableHome(str(error))
    root = error.__cause__ or error
    code = root.args[0] if root.args else None
    words = str(error)
    if isinstance(root, ERRORS):
        words = f"Berkeley DB cannot open it: {storeError(root)}"
    words = f"--home {home.path}: {home.named(words)}"
    if code in _PASSING:
        return HomeError(words)
    if code in RIGHTS:
        return UnusableHome(words)
    where = _whereDamaged(home.directory)
    return DamagedHome(f"{words}{f'; {where}' if where else ''}; {ADVICE}")


def _whereDamaged(directory: str) -> str | None:
    """Return in words where the log cannot be read, although it goes on behind that."""
    found = _endBefore(directory)
    if found is None:
        return None
    file, end = found
    path = os.path.join(directory, logName(file))
    if end == 0:
        return f"{path} is missing or damaged, and the log goes on in later files"
    return (
        f"the log cannot be read from byte {end} of {path} on, and goes on later: that "
        f"file or {logName(file + 1)} is damaged or missing"
    )


def _endBefore(directory: str) -> tuple[int, int] | None:
    """Return where the log cannot be read on, although it goes on behind that.

    :return: file and byte; None when there is no such place.
    """
    if not logNumbers(directory):
        # Berkeley DB would make one.
        return None
    missing = headlessFrom(directory)
    if missing is not None:
        return missing, 0
    log = db.DBEnv()
    try:
        log.open(directory, LOG_FLAGS)
        cursor = log.log_cursor()
        found = cursor.last()
        place, end = endOf(_records(cursor))
    except LOG_ERRORS:
        # Not even the end of the log can be found; there is no place to name.
        return None
    finally:
        closeEnvironment(log)
    return None if place is None or place == found[0] else (place[0], end)


def cutLog(directory: str) -> str | None:
    """Cut off what follows a place where the log of a copy cannot be read on.

    :return: in words, where that was; None when there is no such place.
    """
    where = _whereDamaged(directory)
    found = _endBefore(directory)
    if found is None:
        return None
    file, end = found
    for number in logNumbers(directory):
        path = os.path.join(directory, logName(number))
        if number > file or (number == file and end == 0):
            os.unlink(path)
        elif number == file:
            os.truncate(path, end)
    return where


def _records(cursor: Any) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Yield the records of a log from the first on, as far as they can be read."""
    with suppress(*LOG_ERRORS):
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
