"""Environment: Berkeley DB's log, cache and recovery in one home.

After an error that nobody can come back from, everything is refused with that error,
and nothing that clients were told is lost becomes durable after all.  A disk that is
full is no such error: the log keeps what it could not write, and a later flush does.
"""

from __future__ import annotations

import errno
import os
import resource
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from memq.errors import (
    DamagedHome,
    DamagedStore,
    HomeError,
    HomeGone,
    OutOfSpace,
    StoreError,
    StoreFailed,
)
from memq.storage.datadir.backuplock import removing
from memq.storage.datadir.damage import ADVICE, noteDamage, refuseDamaged
from memq.storage.datadir.directory import KnownFiles
from memq.storage.datadir.files import syncFile
from memq.storage.engine.binding import (
    ENVIRONMENT_FLAGS,
    ERRORS,
    FILE_MODE,
    StoreSettings,
    closeEnvironment,
    db,
    setCache,
    storeError,
)
from memq.storage.engine.marker import Marker, logName, writeMarker
from memq.storage.engine.preallocation import LogPosition, LogsAhead, setBallastAside
from memq.storage.engine.proof import proveLog
from memq.storage.engine.reservation import Reserve

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.storage.datadir.home import Home

#: The table of queues is given this part of what that of messages is.
_QUEUES_SHARE = 16
#: Bytes of room without which a recovery that fails may have failed for want of it.
_RECOVERY_ROOM = 64 * 1024 * 1024
#: What a file system says that knows no links.
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP)


def _pages(table: Any) -> int:
    """Return how many pages a table has, written or not."""
    pages: int = table.stat(flags=db.DB_FAST_STAT)["pagecnt"]
    return pages


class Environment:
    """Berkeley DB's environment in one home."""

    def __init__(
        self,
        home: Home,
        settings: StoreSettings,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Remember where and how; :meth:`open` does the work.

        :param home: the directory, prepared and locked.
        :param say: is told, in a line, what a person should know of the log.
        """
        self._say = say
        self._home = home
        #: Whether no store was ever opened here; known after ``open``.
        self.isNew = True
        self._settings = settings
        #: What to commit with; neither syncs, ``flush`` does that for many.
        self.commitFlags = (
            db.DB_TXN_WRITE_NOSYNC if settings.noSync else db.DB_TXN_NOSYNC
        )
        self._handle: Any = None
        self._checkpointAt = (1, 0)
        #: The number of the log file that the marker points into.
        self._markedIn = 0
        self._ahead = LogsAhead(
            home.way, self._position, self._bytesLeft, settings.noSync
        )
        self._reserve = Reserve()
        #: Whether log files are made ahead of need; a sync a second need not be quick.
        self._makesAhead = not settings.noSync
        #: The tables that are open, and their files.
        self._tables: dict[Any, str] = {}
        #: Which files these are, and which is the log's.
        self._known = KnownFiles()
        #: What the store cannot come back from, once it has happened.
        self._failure: StoreFailed | None = None

    def open(self) -> None:
        """Recover what a crash left behind.

        :raise HomeError: when the log was cut, damaged or replaced.
        """
        refuseDamaged(self._home.directory)
        marker = proveLog(self._home, self._say)
        self.isNew = self._home.isNew and marker is None
        if marker is not None:
            self._markedIn = marker.file
        ballast = setBallastAside(self._home.way)
        try:
            self._recover()
        except ERRORS:
            self.letGo()
            # Out of room within a recovery, Berkeley DB speaks of anything.
            if self._bytesLeft() > _RECOVERY_ROOM:
                raise
            self._recoverWithoutRoom(ballast)

    def _recoverWithoutRoom(self, ballast: str | None) -> None:
        """Recover once more, where the ballast was.

        :raise HomeError: when that is not room enough, either.
        """
        if ballast is not None:
            os.unlink(ballast)
        try:
            self._recover()
        except ERRORS as error:
            self.letGo()
            raise HomeError(
                f"--home {self._home.path}: Berkeley DB cannot recover it, and the "
                f"disk is full: make at least {_RECOVERY_ROOM // 2**20} MB of room, "
                f"and start again ({self._meaning(error)})"
            ) from error

    def _recover(self) -> None:
        settings = self._settings
        environment = self._handle = db.DBEnv()
        setCache(environment, settings)
        environment.set_lg_bsize(settings.logBuffer)
        environment.set_lg_max(max(settings.logFile, 4 * settings.logBuffer))
        flags = ENVIRONMENT_FLAGS
        if settings.wholeLog:
            flags = flags & ~db.DB_RECOVER | db.DB_RECOVER_FATAL
        environment.open(self._home.way, flags, FILE_MODE)

    def openTable(self, name: str, flags: int, pageSize: int = 0) -> Any:
        """Return a table, opened or, with DB_CREATE, made.

        :param name: that of its file.
        :param flags: for Berkeley DB, beside those that every table has.
        :param pageSize: bytes of a page if it is made, 0 for what the settings say.
        :raise HomeError: when it is not there.
        """
        table = db.DB(self._handle)
        table.set_pagesize(pageSize or self._settings.pageSize)
        table.set_flags(db.DB_CHKSUM)
        path = os.path.join(self._home.way, name)
        if not flags & db.DB_CREATE and not os.path.exists(path):
            raise DamagedHome(f"{self._home.named(path)} is missing: {ADVICE}")
        flags |= db.DB_AUTO_COMMIT | db.DB_THREAD
        with self._ahead.logging:
            table.open(name, None, db.DB_BTREE, flags, FILE_MODE)
        table.set_get_returns_none(2)
        self._tables[table] = path
        self._known.add(path)
        return table

    def closeTable(self, table: Any) -> None:
        """Close a table, whose pages a checkpoint has written."""
        # Before its file may go.
        self._known.forget(self._tables[table])
        with self._ahead.logging:
            table.close(db.DB_NOSYNC)
        del self._tables[table]

    def begin(self) -> Any:
        """Return a new transaction."""
        try:
            self._ahead.prepare()
            return self._handle.txn_begin()
        except (*ERRORS, OSError) as error:
            raise self.error(error) from error

    def error(self, error: Exception) -> StoreError:
        """Return what to raise for an error, which may be the store's end."""
        meaning = self._meaning(error)
        return self.fail(meaning) if isinstance(meaning, StoreFailed) else meaning

    def _meaning(self, error: Exception) -> StoreError:
        return storeError(error, self._home.named)

    def _refusal(self, what: str, error: Exception) -> StoreError:
        """Return what to raise where the store itself can go on."""
        return StoreError(self._home.named(f"{what}: {error}"))

    def checkHome(self) -> OSError | None:
        """See that the home is the one that the next start would find.

        :return: why that cannot be told just now; None when all is well.
        :raise memq.errors.HomeGone: when it is not; nothing more is to be told stored.
        """
        doubt = self._home.check()
        path = self._known.findGone(self._syncedLog)
        if path is not None:
            raise self._home.gone(path)
        return doubt

    def fail(self, failure: StoreFailed) -> StoreFailed:
        """Return the failure that was the store's end, the first one.

        From then on Berkeley DB refuses everything.  Closed in order, or merely
        collected as garbage, it would write the log that clients were told is lost.
        """
        if self._failure is None:
            try:
                self._home.check()
            except HomeGone as gone:
                # That is why.
                failure = gone
            if isinstance(failure, DamagedStore):
                failure = self._noted(failure)
            self._failure = failure
            with suppress(*ERRORS):
                self._handle.set_flags(db.DB_PANIC_ENVIRONMENT, 1)
        return self._failure

    def _noted(self, failure: DamagedStore) -> DamagedStore:
        """Write a failure down for the next start, and return it with advice."""
        words = f"{failure}; restore HOME/memq from a backup, or use --skip-damaged"
        try:
            noteDamage(self._home.way, failure)
        except OSError as error:
            words += f" (and it cannot be written down: {error})"
        noted = DamagedStore(words)
        # What there is to be done is no client's business.
        noted.reply = failure.reply
        return noted

    def refuseAfterFailure(self) -> None:
        """Raise the failure that was for good, if there was one.

        After a sync that failed, the next one may report success although the
        bytes are lost; and what was told to have failed must not be made durable.
        """
        if self._failure is not None:
            raise self._failure

    def _refuseAfterEnd(self) -> None:
        """Refuse that, and to mark or remove anything in a home that is another one."""
        self.refuseAfterFailure()
        self.checkHome()

    def close(self) -> None:
        """Make everything durable and close the environment.

        A store that has failed is left as a crash would leave it.
        """
        if self._handle is None:
            return
        try:
            if self._failure is None:
                self.checkHome()
                self._checkpoint(self._handle)
        except HomeGone as gone:
            raise self.fail(gone) from None
        except ERRORS as error:
            raise self.error(error) from error
        finally:
            self.letGo()

    def letGo(self) -> None:
        """Close the environment, and with it the tables; the log has it all."""
        environment, self._handle = self._handle, None
        self._known = KnownFiles()
        if environment is not None:
            closeEnvironment(environment)

    def flush(self) -> None:
        """Write and sync the log.

        :raise memq.errors.OutOfSpace: what could not be written is kept; a later flush
            writes it.
        """
        self.refuseAfterFailure()
        try:
            self._handle.log_flush()
            self._ahead.syncNames()
        except (*ERRORS, OSError) as error:
            meaning = self._meaning(error)
            if isinstance(meaning, OutOfSpace):
                raise meaning from error
            why = f"the log cannot be synced: {error.args[-1]}"
            raise self.fail(StoreFailed(self._home.named(why))) from error

    def checkpoint(self) -> None:
        """Write all changed pages, and move the marker."""
        self._refuseAfterEnd()
        try:
            with self._ahead.logging:
                self._checkpoint(self._handle)
        except ERRORS as error:
            raise self.error(error) from error

    def _checkpoint(self, environment: Any) -> None:
        environment.txn_checkpoint(0)
        self._checkpointAt = self._mark(environment)

    def followLog(self) -> None:
        """Move the marker into the file that is logged to, when that is another one.

        What was synced behind the marker has no proof: so it is not behind by more than
        a file and a second.

        :raise StoreError: when that failed; a later call tries again.
        """
        self._refuseAfterEnd()
        try:
            if self._position().file != self._markedIn:
                with self._ahead.logging:
                    self._mark(self._handle)
        except ERRORS as error:
            raise self.error(error) from error

    def _mark(self, environment: Any) -> tuple[int, int]:
        """Sync the log, and put the marker on its last record; return where that is."""
        cursor = environment.log_cursor()
        (file, offset), record = cursor.last()
        cursor.close()
        # It may have come after a checkpoint.
        environment.log_flush()
        try:
            writeMarker(self._home.way, Marker.of(file, offset, record))
        except OSError as error:
            raise self._refusal("the marker cannot be written", error) from error
        self._markedIn = file
        return file, offset

    def trickle(self, percent: int) -> int:
        """Write changed pages until this much of the cache is clean.

        They are synced as well, or the next checkpoint would find them all at once, and
        whoever syncs the log would wait behind that.
        """
        self.refuseAfterFailure()
        try:
            pages = int(self._handle.memp_trickle(percent))
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
            unused = map(os.fsdecode, self._handle.log_archive())
            # The marker stays behind when it could not be written.
            marked = logName(self._checkpointAt[0])
            names = [name for name in unused if name < marked]
            with removing(self._home.way) as allowed:
                if not allowed:
                    return 0
                if names and not self._ahead.hasNext():
                    # Once it is gone, somebody else may take the room for the next one.
                    self._ahead.useAgain(names[-1])
                for name in names:
                    with suppress(FileNotFoundError):
                        os.remove(os.path.join(self._home.way, name))
        except ERRORS as error:
            raise self.error(error) from error
        except OSError as error:
            raise self._refusal("a log file cannot be removed", error) from error
        return len(names)

    def makeLogsAhead(self) -> None:
        """Make the next log files ahead of need, while much is logged.

        :raise StoreError: when it failed; files are made when they are needed, then.
        """
        if not self._makesAhead:
            return
        try:
            self._ahead.tidy()
        except OSError as error:
            if error.errno in _NO_LINKS:
                self._makesAhead = False
                why = "log files are not made ahead of need here"
                raise self._refusal(why, error) from error
            raise self.error(error) from error

    @property
    def hasLogsToRemove(self) -> bool:
        """Whether there are log files that were made ahead and are not needed."""
        return self._ahead.areSuperfluous

    def removeLogsAhead(self) -> None:
        """Remove those; in the thread of the transactions.

        :raise StoreError: when it failed.
        """
        try:
            self._ahead.remove()
        except OSError as error:
            raise self.error(error) from error

    def _position(self) -> LogPosition:
        at = self._logStat()
        return LogPosition(at["cur_file"], at["cur_offset"], at["lg_size"])

    def _logStat(self) -> dict[str, int]:
        try:
            return cast("dict[str, int]", self._handle.log_stat())
        except ERRORS as error:
            raise self.error(error) from error

    def _syncedLog(self) -> str | None:
        # Berkeley DB makes the file that it is in only when it writes to it.
        file = self._logStat()["disk_file"]
        return self._logPath(file) if file else None

    def logged(self) -> int:
        """Return the bytes of log since the last checkpoint."""
        at = self._position()
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
        """Take the room that the log and the tables are about to need, from the disk.

        :return: the bytes that are left for a common user; 0 when they were too few.
        :raise memq.errors.StoreError: when the disk fails.
        """
        try:
            isHeld = self._holdRoom()
        except ERRORS as error:
            raise self.error(error) from error
        except OSError as error:
            raise self._refusal("no room can be taken ahead of need", error) from error
        return self._bytesLeft() if isHeld else 0

    def _holdRoom(self) -> bool:
        at = self._position()
        held = [self._reserve.hold(self._logPath(at.file), at.size)]
        held += map(self._holdTable, self._tables)
        try:
            self._ahead.makeNext()
        except OSError as error:
            if isinstance(storeError(error), OutOfSpace):
                return False
            raise
        return all(held)

    def _holdTable(self, table: Any) -> bool:
        """Take what the pages need that are only in memory, and what the settings say.

        It is half as much more, so that it is not done for every page.
        """
        path = self._tables[table]
        size = _pages(table) * table.get_pagesize()
        ahead = self._settings.tableAhead
        if path.endswith("queues"):
            ahead //= _QUEUES_SHARE
        if self._reserve.has(path, size + ahead):
            return True
        return self._reserve.hold(path, size + ahead + ahead // 2)

    def _logPath(self, number: int) -> str:
        return os.path.join(self._home.way, logName(number))

    def _bytesLeft(self) -> int:
        room = os.statvfs(self._home.way)
        left = room.f_bavail * room.f_frsize
        longest, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        if longest == resource.RLIM_INFINITY:
            return left
        # What is left in a file is as good as what is left on the disk (ulimit -f).
        sizes = [table.get_pagesize() * _pages(table) for table in self._tables]
        return min(left, max(0, longest - max(sizes, default=0)))
