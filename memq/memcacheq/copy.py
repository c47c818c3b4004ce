"""Copy of MemcacheQ's files, recovered so that they can be read.

Berkeley DB recovers a directory in place.  That may fail, and then nobody knows what it
has changed; so it is never done to the original.  The files that are copied depend on
how MemcacheQ ended, which the log tells:

- It was stopped: all files of queues were closed, so they are whole, and are read where
  they are.  Only the list of queues, which it does not close, is copied and
  recovered, without the rest.
- It was killed: what is in the log may be nowhere else.  Everything is copied, and read
  from the copy.  Where the file system can do that, the copies share their blocks
  with the originals, and take no room.
- It was recovered since, or there is no log: all files are read where they are.

Recovery writes to the last log file only; of the others it gets a link.

Berkeley DB 5.3 recovers logs from version 17 on, which 5.0 writes.  It opens those from
14 to 16 as well, without an error, but then it left what was in them out; so these
are refused unless there is nothing to recover.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import closing, suppress
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from memq.errors import HomeError
from memq.memcacheq.directory import LIST, MOVED
from memq.memcacheq.log import End, hasMore, readEnd
from memq.memcacheq.queuefile import NUMBERS, DamagedQueue, QueueFile
from memq.memcacheq.staging import Counts
from memq.storage.engine.binding import (
    ERRORS,
    FILE_MODE,
    LOG_FLAGS,
    closeEnvironment,
    db,
    openReadOnly,
    storeError,
)
from memq.storage.engine.logfile import logName

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.memcacheq.directory import OldDirectory

_RECOVERY_FLAGS = LOG_FLAGS | db.DB_RECOVER | db.DB_INIT_MPOOL | db.DB_INIT_TXN

#: The oldest version of the log that is recovered.
_OLDEST = 17

_COUNTS = Struct("<qq")

#: Makes a file share another one's blocks (Linux).
_CLONE = 0x40049409
_COPY_BYTES = 8 * 1024 * 1024


class OldCount(NamedTuple):
    """Messages ever set and taken, by MemcacheQ's list, which may be behind."""

    name: bytes
    pushed: int
    taken: int


class Found(NamedTuple):
    """A queue of MemcacheQ's: what the list says of it, and its file."""

    listed: OldCount
    file: QueueFile

    @property
    def pushed(self) -> int:
        """Messages ever set, by record numbers, unless the list knows of more.

        Record numbers begin again; the list, seconds behind, tells how often they did.
        """
        last, behind = int(self.file.next) - 1, self.listed.pushed
        last += max(0, round((behind - last) / NUMBERS)) * NUMBERS
        if last < self.file.span:
            last += NUMBERS
        return max(last, behind)

    def counts(self, messages: int) -> Counts:
        """Return what its row is to say when it has so many messages."""
        taken = max(self.pushed - messages, self.listed.taken)
        return Counts(taken + messages, taken)


class Copy:
    """A copy of what is needed of an old directory.

    :ivar isWhole: whether the files of queues are in it as well.
    :ivar bytes: about how many bytes it takes when it is whole.
    :ivar damage: what is wrong with the log, if anything is.
    """

    def __init__(self, old: OldDirectory, path: str) -> None:
        """Take the original, and the directory to make; an old one there is removed."""
        self._old = old
        self._path = path
        self.isWhole = False
        self.bytes = 0
        self.damage: list[str] = []
        self._isRecovered = True

    def begin(self) -> None:
        """Copy the list and the log, and see what else there is to copy.

        :raise memq.errors.HomeError: when it will not be recovered.
        """
        self.remove()
        os.mkdir(self._path, 0o700)
        clones = self._copyFile(LIST, lambda size: None)
        for name in self._old.logs[:-1]:
            os.symlink(self._old.where(name), self._where(name))
        for name in self._old.logs[-1:]:
            self._copyFile(name, lambda size: None)
            self._seeEnd()
        if self.isWhole and not clones:
            names = self._old.data + self._old.logs
            found = (os.lstat(self._old.where(name)) for name in names)
            self.bytes = sum(file.st_blocks * 512 for file in found)

    def _seeEnd(self) -> None:
        end = End()
        environment = db.DBEnv()
        # The recovery is to say its errors.
        with suppress(*ERRORS):
            environment.open(self._path, LOG_FLAGS, FILE_MODE)
            with closing(environment.log_cursor()) as cursor:
                end = readEnd(cursor)
        closeEnvironment(environment)
        self._isRecovered = end.listIsComplete and not end.isKilled
        self.isWhole = end.isKilled
        version = self._old.logVersion
        if not self._isRecovered and version is not None and version < _OLDEST:
            raise self._refusal(f"Berkeley DB 5.3 does not recover version {version}")
        if end.file:
            self._lookBehind(end)

    def _lookBehind(self, end: End) -> None:
        """See whether the log goes on behind what is taken for its end."""
        # Where it is damaged in an earlier file, recovery fails.
        name = os.fsencode(logName(end.file))
        if hasMore(self._old.where(name), end.offset):
            self.damage.append(
                f"{self._old.words(name)} is damaged at byte {end.offset}, and what "
                "follows cannot be recovered"
            )

    def _refusal(self, why: str) -> HomeError:
        directory = os.fsdecode(self._old.path)
        return HomeError(
            f"{self._old.words(self._old.logs[-1])}: {why}; {directory} is as it was: "
            f"run db_recover -h {directory} of the version that wrote it, and try again"
        )

    def _where(self, name: bytes) -> bytes:
        return os.path.join(os.fsencode(self._path), name)

    def finish(self, tick: Callable[[int], None]) -> None:
        """Copy the rest if need be, and recover.

        :param tick: is told how many bytes were copied, often; may raise.
        :raise memq.errors.HomeError: when it cannot be recovered.
        """
        if self.isWhole:
            for name in self._old.data:
                if name != LIST:
                    self._copyFile(name, tick)
        if not self._isRecovered:
            self._recover()

    def _recover(self) -> None:
        environment = db.DBEnv()
        try:
            environment.open(self._path, _RECOVERY_FLAGS, FILE_MODE)
            environment.txn_checkpoint(0, 0, db.DB_FORCE)
        except ERRORS as error:
            why = f"Berkeley DB 5.3 cannot recover a copy of it: {storeError(error)}"
            raise self._refusal(why) from error
        finally:
            closeEnvironment(environment)

    def remove(self) -> None:
        """Remove the copy, if there is one."""
        if os.path.lexists(self._path):
            shutil.rmtree(os.fsencode(self._path))

    def queues(self) -> list[OldCount]:
        """Return the queues, sorted by name, with the counts that the list has.

        :raise memq.errors.HomeError: when the list cannot be read.
        """
        try:
            table = openReadOnly(os.path.join(self._path, os.fsdecode(LIST)))
            try:
                rows = table.items()
            finally:
                closeEnvironment(table)
        except ERRORS as error:
            raise HomeError(
                f"{self._old.words(LIST)} cannot be read: {storeError(error)}; bring "
                "it back"
            ) from error
        counts = []
        for key, row in rows:
            if not key[:-1] or len(row) != _COUNTS.size:
                raise HomeError(f"{self._old.words(LIST)} is damaged: bring it back")
            counts.append(OldCount(key.removesuffix(b"\0"), *_COUNTS.unpack(row)))
        return sorted(counts)

    def queueFile(self, queue: bytes) -> QueueFile:
        """Return the file of a queue; raise DamagedQueue when it cannot be read."""
        if self.isWhole:
            return QueueFile(os.fsencode(self._path), queue)
        return QueueFile(self._old.path, queue, self._old.mainFile(queue))

    def found(self, listed: list[OldCount]) -> tuple[list[Found], list[str]]:
        """Return the queues that can be read, and what is wrong with all the others."""
        found = []
        why = self.damage + self.strays(listed)
        for count in listed:
            try:
                found.append(Found(count, self.queueFile(count.name)))
            except DamagedQueue as error:
                why.append(str(error))
        return found, why

    def strays(self, listed: list[OldCount]) -> list[str]:
        """Return what to say of queues that are not in the list.

        MemcacheQ lists a queue when it makes the file.  So what the list has is older
        than what the files have: perhaps the log, in which it was, was lost.
        """
        old = self._old
        names = old.strays([count.name for count in listed])
        files = {old.queueOf(name): name for name in names if not self.hasRemoved(name)}
        return [
            f"{old.words(name)} is of a queue that is not in {os.fsdecode(LIST)}"
            for name in files.values()
        ]

    def hasRemoved(self, name: bytes) -> bool:
        """Return whether the recovery has removed a file, which a kill had left."""
        return self.isWhole and not os.path.exists(self._where(self.nameInside(name)))

    @staticmethod
    def nameInside(name: bytes) -> bytes:
        """Return the name that the log knows a file by."""
        return b"memq" if name == MOVED else name

    def _copyFile(self, name: bytes, tick: Callable[[int], None]) -> bool:
        """Copy a file; return whether it shares the original's blocks."""
        source, target = self._old.where(name), self._where(self.nameInside(name))
        with open(source, "rb") as original, open(target, "wb") as copy:
            try:
                fcntl.ioctl(copy, _CLONE, original.fileno())
                return True
            except OSError:
                pass
            while size := os.sendfile(
                copy.fileno(), original.fileno(), None, _COPY_BYTES
            ):
                tick(size)
        return False
