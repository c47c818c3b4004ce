"""What MemcacheQ wrote, recovered in a copy, so that it can be read.

Berkeley DB recovers a directory in place.  That may fail, and then nobody knows what it
has changed; so it is never done to the original.  What is copied depends on how
MemcacheQ ended, which the log tells:

- It was stopped: all files of queues were closed, so they are whole, and are read where
  they are.  Only the list of queues, which it does not close, is copied and
  recovered, without the rest.
- It was killed: what is in the log may be nowhere else.  Everything is copied, and read
  from the copy.  Where the file system can do that, the copies share their blocks
  with the originals, and take no room.
- There is no log.  Somebody has recovered the directory and taken it away, as must be
  done with logs of an older Berkeley DB.  The files are read where they are.

Recovery writes to the last log file only; of the others it gets a link.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import closing, suppress
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.environment import ERRORS, db, storeError
from memq.errors import HomeError
from memq.memcacheqdir import LIST, LOG_VERSION, MOVED
from memq.memcacheqfile import QueueFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.memcacheqdir import OldDirectory

_LOG_FLAGS = db.DB_CREATE | db.DB_INIT_LOG | db.DB_PRIVATE
_RECOVERY_FLAGS = _LOG_FLAGS | db.DB_RECOVER | db.DB_INIT_MPOOL | db.DB_INIT_TXN

#: Records of the log: the type of each stands at its beginning (u32).
_TYPE = Struct("<I")
_REGISTER, _CHECKPOINT, _RECYCLE = 2, 11, 14
#: Of a checkpoint: where a recovery begins.
_BEGIN = Struct("<16xII")
#: Of a file that was opened or closed: which of both, and the length of its name; after
#: name and id, each with a length, its number in the log.
_OPENED = Struct("<16xII")
_LENGTH = Struct("<I")
_CLOSED = (2, 5)

_COUNTS = Struct("<qq")

#: Makes a file share another one's blocks (Linux).
_CLONE = 0x40049409
_COPY_BYTES = 8 * 1024 * 1024


class OldCount(NamedTuple):
    """What MemcacheQ's list says of a queue; it may be behind.

    :ivar name: of the queue.
    :ivar pushed: messages ever set.
    :ivar taken: messages ever taken.
    """

    name: bytes
    pushed: int
    taken: int


class Copy:
    """A copy of what is needed of an old directory.

    :ivar isWhole: whether the files of queues are in it as well.
    :ivar bytes: about how many bytes it takes when it is whole.
    """

    def __init__(self, old: OldDirectory, path: str) -> None:
        """Take the original, and the directory to make; an old one there is removed."""
        self._old = old
        self._path = path
        self.isWhole = False
        self.bytes = 0

    def begin(self) -> None:
        """Copy the list and the log, and see what else there is to copy.

        :raise OSError: when that cannot be.
        """
        self.remove()
        os.mkdir(self._path, 0o700)
        clones = self._copyFile(LIST, lambda size: None)
        for name in self._old.logs[:-1]:
            os.symlink(self._old.where(name), self._where(name))
        for name in self._old.logs[-1:]:
            self._copyFile(name, lambda size: None)
            self.isWhole = not self._wasStopped()
        if self.isWhole and not clones:
            names = self._old.data + self._old.logs
            found = (os.lstat(self._old.where(name)) for name in names)
            self.bytes = sum(file.st_blocks * 512 for file in found)

    def _where(self, name: bytes) -> bytes:
        return os.path.join(os.fsencode(self._path), name)

    def finish(self, tick: Callable[[int], None]) -> None:
        """Copy the rest if need be, and recover.

        :param tick: is told how many bytes were copied, often; may raise.
        :raise OSError: when a file cannot be copied.
        :raise memq.errors.HomeError: when it cannot be recovered.
        """
        if self.isWhole:
            for name in self._old.data:
                if name != LIST:
                    self._copyFile(name, tick)
        if self._old.logs:
            self._recover()

    def _recover(self) -> None:
        environment = db.DBEnv()
        try:
            environment.open(self._path, _RECOVERY_FLAGS, 0o600)
            environment.txn_checkpoint(0, 0, db.DB_FORCE)
        except ERRORS as error:
            directory = os.fsdecode(self._old.path)
            raise HomeError(
                f"{self._old.words(self._old.logs[-1])}: Berkeley DB 5.3 cannot recover"
                f" a copy of it: {storeError(error)}; {directory} is as it was: run "
                f"db_recover -h {directory} of the version that wrote it, and try again"
            ) from error
        finally:
            _close(environment)

    def remove(self) -> None:
        """Remove the copy, if there is one."""
        if os.path.lexists(self._path):
            shutil.rmtree(os.fsencode(self._path))

    def queues(self) -> list[OldCount]:
        """Return the queues, sorted by name, with the counts that the list has.

        :raise memq.errors.HomeError: when the list cannot be read.
        """
        table = db.DB()
        try:
            path = os.path.join(self._path, os.fsdecode(LIST))
            table.open(path, None, db.DB_BTREE, db.DB_RDONLY)
            rows = table.items()
        except ERRORS as error:
            raise HomeError(
                f"{self._old.words(LIST)} cannot be read: {storeError(error)}; bring "
                "it back"
            ) from error
        finally:
            _close(table)
        counts = []
        for key, row in rows:
            if not key[:-1] or len(row) != _COUNTS.size:
                raise HomeError(f"{self._old.words(LIST)} is damaged: bring it back")
            counts.append(OldCount(key.removesuffix(b"\0"), *_COUNTS.unpack(row)))
        return sorted(counts)

    def queueFile(self, queue: bytes) -> QueueFile:
        """Return the file of a queue, to be read.

        :raise memq.memcacheqfile.DamagedQueue: when it cannot be.
        :raise OSError: when the system does not let it be read.
        """
        if self.isWhole:
            return QueueFile(os.fsencode(self._path), queue)
        return QueueFile(self._old.path, queue, self._old.mainFile(queue))

    def hasRemoved(self, name: bytes) -> bool:
        """Return whether the recovery has removed a file, which a kill had left."""
        return self.isWhole and not os.path.exists(self._where(self.nameInside(name)))

    def fileOf(self, name: bytes) -> bytes:
        """Return the path of the copy of a file, or of itself if there is none."""
        copy = self._where(self.nameInside(name))
        return copy if os.path.exists(copy) else self._old.where(name)

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

    def _wasStopped(self) -> bool:
        """Return whether no file of a queue was open when the log ended."""
        if self._old.logVersion != LOG_VERSION:
            return False
        environment = db.DBEnv()
        try:
            environment.open(self._path, _LOG_FLAGS, 0o600)
            with closing(environment.log_cursor()) as cursor:
                return _isComplete(cursor)
        except ERRORS:
            # Recovery will say what is wrong.
            return False
        finally:
            _close(environment)


def _close(handle: Any) -> None:
    """Close a table or an environment, however damaged it is."""
    with suppress(*ERRORS):
        handle.close()


def _step(move: Callable[[], Any]) -> Any:
    """Move a cursor; None at the end, which the bindings tell in two ways."""
    try:
        return move()
    except db.DBNotFoundError:
        return None


def _typeOf(record: bytes) -> int:
    (kind,) = _TYPE.unpack_from(record)
    return int(kind)


def _isComplete(cursor: Any) -> bool:
    """Return whether all that a log says of queues is in their files.

    So it is when each file was closed, which writes it, or when nothing was changed
    after the last checkpoint had begun.
    """
    found = cursor.last()
    while found and _typeOf(found[1]) != _CHECKPOINT:
        found = _step(cursor.prev)
    found = cursor.set(_BEGIN.unpack_from(found[1])) if found else cursor.first()
    areOpen = set()
    isChanged = False
    while found:
        record = found[1]
        kind = _typeOf(record)
        if kind == _REGISTER:
            isClosed, name, number = _registered(record)
            if isClosed:
                areOpen.discard(number)
            elif name != LIST:
                areOpen.add(number)
        elif kind not in (_CHECKPOINT, _RECYCLE):
            isChanged = True
        found = _step(cursor.next)
    return not (areOpen and isChanged)


def _registered(record: bytes) -> tuple[bool, bytes, bytes]:
    """Return whether a file was closed, its name, and its number in the log."""
    what, size = _OPENED.unpack_from(record)
    end = _OPENED.size + size
    name = record[_OPENED.size : end].rstrip(b"\0")
    (size,) = _LENGTH.unpack_from(record, end)
    end += _LENGTH.size + size
    return what in _CLOSED, name, record[end : end + 4]
