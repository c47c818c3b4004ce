"""Environment: Berkeley DB's log, cache and recovery in one home.

It opens and closes the environment and its tables, flushes the log, makes checkpoints
and moves the marker, and removes log files.  :mod:`memq.storage.engine.failstop` knows
what an error means for the store.  A disk that is full ends nothing: the log keeps
what it could not write, and a later flush does.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from memq.errors import (
    DamagedHome,
    HomeError,
    HomeGone,
    OutOfSpace,
    StoreError,
    StoreFailed,
)
from memq.storage.datadir.damage import ADVICE, refuseDamaged
from memq.storage.datadir.files import syncFile
from memq.storage.datadir.home import removing
from memq.storage.engine.binding import (
    ENVIRONMENT_FLAGS,
    ERRORS,
    FILE_MODE,
    StoreSettings,
    closeEnvironment,
    db,
    setCache,
)
from memq.storage.engine.failstop import FailStop
from memq.storage.engine.logfile import logName
from memq.storage.engine.marker import Marker, writeMarker
from memq.storage.engine.preallocation import (
    LogPosition,
    LogPreallocator,
    setBallastAside,
)
from memq.storage.engine.reservation import Reservation
from memq.storage.engine.verification import verifyLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.storage.datadir.home import Home

#: Bytes of room without which a recovery that fails may have failed for want of it.
_RECOVERY_ROOM = 64 * 1024 * 1024
#: Errors of a file system that knows no links.
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP)


class Environment:
    """Berkeley DB's environment in one home.

    :ivar handle: Berkeley DB's environment; None while it is not open.
    :ivar say: is told, in a line, what a person should know.
    :ivar isNew: whether no store was ever opened here; known after ``open``.
    :ivar commitFlags: what to commit with; neither syncs, ``flush`` does that for many.
    """

    def __init__(
        self,
        home: Home,
        settings: StoreSettings,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Remember where and how; :meth:`open` does the work.

        :param say: is told, in a line, what a person should know of the log.
        """
        self.isNew = True
        self.commitFlags = (
            db.DB_TXN_WRITE_NOSYNC if settings.noSync else db.DB_TXN_NOSYNC
        )
        self.say = say
        self._home = home
        self._settings = settings
        self.handle: Any = None
        self._checkpointAt = (1, 0)
        #: The number of the log file that the marker points into.
        self._markedIn = 0
        #: The tables that are open, and their files.
        self._tables: dict[Any, str] = {}
        self._reservation = Reservation(home.way, self._tables, settings.tableAhead)
        self._preallocator = LogPreallocator(
            home.way, self.position, self.freeBytes, settings.noSync
        )
        #: Whether the file system can do that.
        self._preallocates = True
        self._failStop = FailStop(home, self._syncedLog, self._panic)
        #: Called when something else than a plain turn has logged.
        self.lookAgain = self._preallocator.lookAgain
        self.error = self._failStop.error
        self.translated = self._failStop.translated
        self.fail = self._failStop.fail
        self.checkHome = self._failStop.checkHome
        self.refuseAfterFailure = self._failStop.refuse

    def open(self) -> None:
        """Recover what a crash left behind.

        :raise HomeError: when the log was cut, damaged or replaced.
        """
        refuseDamaged(self._home.directory)
        marker = verifyLog(self._home, self.say)
        self.isNew = self._home.isNew and marker is None
        if marker is not None:
            self._markedIn = marker.file
        ballast = setBallastAside(self._home.way)
        try:
            self._recover()
        except ERRORS:
            self.letGo()
            # Out of room within a recovery, Berkeley DB speaks of anything.
            if self.freeBytes() > _RECOVERY_ROOM:
                raise
            self._recoverWithoutRoom(ballast)

    def _recoverWithoutRoom(self, ballast: str | None) -> None:
        """Recover once more, where the ballast was."""
        if ballast is not None:
            os.unlink(ballast)
        try:
            self._recover()
        except ERRORS as error:
            self.letGo()
            why = self._failStop.meaning(error)
            raise HomeError(
                f"--home {self._home.path}: Berkeley DB cannot recover it, and the "
                f"disk is full: make at least {_RECOVERY_ROOM // 2**20} MB of room, "
                f"and start again ({why})"
            ) from error

    def _recover(self) -> None:
        settings = self._settings
        environment = self.handle = db.DBEnv()
        setCache(environment, settings)
        environment.set_lg_bsize(settings.logBuffer)
        environment.set_lg_max(max(settings.logFile, 4 * settings.logBuffer))
        flags = ENVIRONMENT_FLAGS
        if settings.wholeLog:
            flags = flags & ~db.DB_RECOVER | db.DB_RECOVER_FATAL
        environment.open(self._home.way, flags, FILE_MODE)

    def openTable(self, name: str, flags: int, pageSize: int = 0) -> Any:
        """Return a table, opened or, with DB_CREATE, made.

        :param flags: for Berkeley DB, beside those that every table has.
        :param pageSize: bytes of a page if it is made, 0 for what the settings say.
        :raise HomeError: when it is not there.
        """
        table = db.DB(self.handle)
        table.set_pagesize(pageSize or self._settings.pageSize)
        table.set_flags(db.DB_CHKSUM)
        path = os.path.join(self._home.way, name)
        if not flags & db.DB_CREATE and not os.path.exists(path):
            raise DamagedHome(f"{self._home.named(path)} is missing: {ADVICE}")
        flags |= db.DB_AUTO_COMMIT | db.DB_THREAD
        table.open(name, None, db.DB_BTREE, flags, FILE_MODE)
        self.lookAgain()
        table.set_get_returns_none(2)
        self._tables[table] = path
        self._failStop.files.add(path)
        return table

    def closeTable(self, table: Any) -> None:
        """Close a table, whose pages a checkpoint has written."""
        # Before its file may go.
        self._failStop.files.forget(self._tables[table])
        table.close(db.DB_NOSYNC)
        self.lookAgain()
        del self._tables[table]

    def begin(self) -> Any:
        """Return a new transaction."""
        try:
            self._preallocator.prepare()
            return self.handle.txn_begin()
        except (*ERRORS, OSError) as error:
            raise self.error(error) from error

    def _panic(self) -> None:
        with suppress(*ERRORS):
            self.handle.set_flags(db.DB_PANIC_ENVIRONMENT, 1)

    def _refusal(self, what: str, error: Exception) -> StoreError:
        """Return what to raise where the store itself can go on."""
        return StoreError(self._home.named(f"{what}: {error}"))

    def _refuseAfterEnd(self) -> None:
        """Refuse to mark or remove anything after a failure, or in another home."""
        self.refuseAfterFailure()
        self.checkHome()

    def close(self) -> None:
        """Make everything durable and close the environment.

        A store that has failed is left as a crash would leave it.
        """
        if self.handle is None:
            return
        try:
            with self.translated:
                if self._failStop.failure is None:
                    self.checkHome()
                    self._checkpoint()
        except HomeGone as gone:
            raise self.fail(gone) from None
        finally:
            self.letGo()

    def letGo(self) -> None:
        """Close the environment, and with it the tables; the log has it all."""
        environment, self.handle = self.handle, None
        self._failStop.files.clear()
        if environment is not None:
            closeEnvironment(environment)

    def flush(self) -> None:
        """Write and sync the log.

        :raise memq.errors.OutOfSpace: what could not be written is kept; a later flush
            writes it.
        """
        if self._failStop.failure is not None:
            raise self._failStop.failure
        try:
            self.handle.log_flush()
            self._preallocator.syncNames()
        except (*ERRORS, OSError) as error:
            meaning = self._failStop.meaning(error)
            if isinstance(meaning, OutOfSpace):
                raise meaning from error
            why = f"the log cannot be synced: {error.args[-1]}"
            raise self.fail(StoreFailed(self._home.named(why))) from error

    def checkpoint(self) -> None:
        """Write all changed pages, and move the marker."""
        self._refuseAfterEnd()
        with self.translated:
            self._checkpoint()

    def _checkpoint(self) -> None:
        try:
            self.handle.txn_checkpoint(0)
        finally:
            self.lookAgain()
        self._checkpointAt = self._mark()

    def followLog(self) -> None:
        """Move the marker into the file that is logged to, when that is another one.

        Nothing proves what was synced behind the marker: so it is not behind by more
        than a file and a second.

        :raise StoreError: when that failed; a later call tries again.
        """
        self._refuseAfterEnd()
        with self.translated:
            if self.position().file != self._markedIn:
                self._mark()

    def _mark(self) -> tuple[int, int]:
        """Sync the log, and put the marker on its last record; return where that is."""
        cursor = self.handle.log_cursor()
        (file, offset), record = cursor.last()
        cursor.close()
        # It may have come after a checkpoint.  The names count, too: a recovery makes
        # files, and the disk may still have the zeros that had their names before.
        self.flush()
        try:
            writeMarker(self._home.way, Marker.of(file, offset, record))
        except OSError as error:
            raise self._refusal("the marker cannot be written", error) from error
        self._markedIn = file
        return file, offset

    def trickle(self, percent: int) -> int:
        """Write changed pages until this much of the cache is clean.

        They are synced as well, or the next checkpoint would find them all at once, and
        a sync of the log would wait behind that.
        """
        self.refuseAfterFailure()
        try:
            pages = int(self.handle.memp_trickle(percent))
            if pages:
                for path in self._tables.values():
                    syncFile(path)
        except (*ERRORS, OSError) as error:
            raise self.error(error) from error
        return pages

    def removeLogs(self) -> int:
        """Remove the log files before the last checkpoint and the marker.

        None while a backup copies them.
        """
        self._refuseAfterEnd()
        try:
            unused = map(os.fsdecode, self.handle.log_archive())
            # The marker stays behind when it could not be written.
            marked = logName(self._checkpointAt[0])
            names = [name for name in unused if name < marked]
            with removing(self._home.way) as allowed:
                if not allowed:
                    return 0
                if names and not self._preallocator.hasNext():
                    # Once it is gone, somebody else may take the room for the next one.
                    self._preallocator.recycle(names[-1])
                for name in names:
                    with suppress(FileNotFoundError):
                        os.remove(os.path.join(self._home.way, name))
        except ERRORS as error:
            raise self.error(error) from error
        except OSError as error:
            raise self._refusal("a log file cannot be removed", error) from error
        return len(names)

    def position(self) -> LogPosition:
        """Return where the log ends."""
        at = self._logStat()
        return LogPosition(at["cur_file"], at["cur_offset"], at["lg_size"])

    def _logStat(self) -> dict[str, int]:
        # A context would cost a lone set 1 % more: each transaction asks this twice.
        try:
            return cast("dict[str, int]", self.handle.log_stat())
        except ERRORS as error:
            raise self.error(error) from error

    def _syncedLog(self) -> str | None:
        # Berkeley DB makes the file that it is in only when it writes to it.
        file = self._logStat()["disk_file"]
        return os.path.join(self._home.way, logName(file)) if file else None

    def logged(self) -> int:
        """Return the bytes of log since the last checkpoint."""
        at = self.position()
        file, offset = self._checkpointAt
        return (at.file - file) * at.size + at.offset - offset

    def bytesOnDisk(self) -> int:
        """Return the size of all files in the directory."""
        size = 0
        with os.scandir(self._home.way) as entries:
            for entry in entries:
                # Log files, and the next marker, go while this looks at them.
                with suppress(FileNotFoundError):
                    size += entry.stat().st_blocks * 512
        return size

    def freeBytes(self) -> int:
        """Return the bytes that are left for a common user."""
        return self._reservation.freeBytes()

    def reserveSpace(self) -> bool:
        """Take the room that the log and the tables are about to need, from the disk.

        :return: whether there was enough.
        :raise memq.errors.StoreError: when the disk fails.
        """
        try:
            at = self.position()
            path = os.path.join(self._home.way, logName(at.file))
            log = self._reservation.hold(path, at.size)
            tables = self._reservation.reserveTables()
            return self._preallocate() and log and tables
        except ERRORS as error:
            raise self.error(error) from error
        except OSError as error:
            raise self._refusal("no room can be taken ahead of need", error) from error

    def _preallocate(self) -> bool:
        """Make the next log files; return whether there was room."""
        try:
            if self._preallocates:
                self._preallocator.makeNext()
        except OSError as error:
            if error.errno in _NO_LINKS:
                self._preallocates = False
                self.say(f"log files are not made ahead of need here: {error}")
            elif isinstance(self._failStop.meaning(error), OutOfSpace):
                return False
            else:
                raise
        return True
