"""The proof that a log has all that was synced, before a recovery changes anything.

A log that lost synced records must not pass for one that was never written: the marker
(:mod:`memq.storage.engine.marker`) points at a record that was synced, and a log that
does not have it any more was cut or replaced.  A recovery would lose what followed
without a word; so a home whose log has no such proof is refused.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from memq.errors import DamagedHome
from memq.storage.datadir.damage import ADVICE
from memq.storage.engine.binding import LOG_ERRORS, LOG_FLAGS, closeEnvironment, db
from memq.storage.engine.marker import Marker, logName, readMarker
from memq.storage.engine.verification import (
    checkFiles,
    refuseNewerPages,
    sayWhatFollows,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.storage.datadir.home import Home


def proveLog(home: Home, say: Callable[[str], None]) -> Marker | None:
    """Look for the marked record in the log of a home.

    :param say: is told, in a line, what stands behind the end of the log.
    :return: the marker; None where no store was ever opened.
    :raise memq.errors.DamagedHome: when the log was cut, damaged or replaced.
    """
    directory = home.directory
    marker = readMarker(directory)
    if marker is None:
        if home.isNew:
            return None
        raise DamagedHome(
            f"{os.path.join(directory, 'safe')} is missing, which tells how far the "
            f"log is safe; {ADVICE}"
        )
    checkFiles(directory, marker.file, say)
    if not _covers(directory, marker, say):
        raise DamagedHome(
            f"{os.path.join(directory, logName(marker.file))} does not have the record "
            f"that was synced at byte {marker.offset}: it is damaged or was replaced; "
            "restore the file, or start with --skip-damaged"
        )
    return marker


def _covers(directory: str, marker: Marker, say: Callable[[str], None]) -> bool:
    """Return whether the record is there; look at what follows it, too."""
    log = db.DBEnv()
    covered = False
    try:
        log.open(directory, LOG_FLAGS)
        with suppress(*LOG_ERRORS):
            found = log.log_cursor().set((marker.file, marker.offset))
            covered = found is not None and marker.covers(found[1])
        if covered:
            (file, offset), record = log.log_cursor().last()
            sayWhatFollows(directory, file, offset, len(record), say)
            if (file, offset) != (marker.file, marker.offset):
                refuseNewerPages(directory, (file, offset))
    finally:
        closeEnvironment(log)
    return covered
