"""Directories as MemcacheQ writes them, made with Berkeley DB itself.

The layout and the options are MemcacheQ's (see memq/memcacheq/directory.py); bodies,
counts and ends are the test's.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from struct import pack, pack_into, unpack_from
from typing import TYPE_CHECKING, Any

from memq.storage.engine.binding import db

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase

_ENVIRONMENT = (
    db.DB_CREATE
    | db.DB_RECOVER
    | db.DB_INIT_LOG
    | db.DB_INIT_MPOOL
    | db.DB_INIT_TXN
    | db.DB_INIT_LOCK
)


def scratch(test: SynchronousTestCase) -> str:
    """Return a directory, in memory if there is such, since syncs take longest."""
    where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else test.mktemp()
    os.makedirs(where, exist_ok=True)
    path = tempfile.mkdtemp(prefix="memq-adopt-", dir=where)
    test.addCleanup(shutil.rmtree, path)
    return path


def overwrite(path: str, place: int, data: bytes) -> None:
    """Write over something in a file."""
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(data)


def packOld(name: bytes, flags: int, body: bytes) -> bytes:
    """Return the record of a message as MemcacheQ packs it, without padding."""
    suffix = b" %d %d\r\n" % (flags, len(body))
    head = pack("<iBB", len(body) + 2, len(suffix), len(name)) + b"??"
    return head + name + b"\0" + suffix + body + b"\r\n"


class MemcacheQ:
    """A running MemcacheQ, as far as its files are concerned.

    :ivar path: its directory.
    """

    def __init__(
        self,
        path: str,
        recordBytes: int = 200,
        extentPages: int = 2,
        logBytes: int = 0,
        shared: bool = False,
    ) -> None:
        """Start in a directory, which is made if it is missing.

        :param recordBytes: -B.
        :param extentPages: -E; 0 for no extents.
        :param logBytes: bytes of a log file, 0 for Berkeley DB's own idea.
        :param shared: whether its regions are files that it maps, as they really are.
        """
        self.path = path
        os.makedirs(path, exist_ok=True)
        self._recordBytes = recordBytes
        self._extentPages = extentPages
        self._environment: Any = db.DBEnv()
        if logBytes:
            self._environment.set_lg_max(logBytes)
            self._environment.set_lg_bsize(logBytes // 4)
        self._environment.open(path, _ENVIRONMENT | (0 if shared else db.DB_PRIVATE))
        self._list = self._open("queue.list", db.DB_BTREE)
        self._queues: dict[bytes, Any] = {}
        self._counts: dict[bytes, list[int]] = {}
        for key, row in self._list.items():
            name = key[:-1]
            counts = [
                int.from_bytes(row[:8], "little"),
                int.from_bytes(row[8:], "little"),
            ]
            self._counts[name] = counts

    def __enter__(self) -> MemcacheQ:
        """Work until the end, when it is stopped."""
        return self

    def __exit__(self, *error: object) -> None:
        """End in order."""
        self.stop()

    def _open(self, name: str, kind: int) -> Any:
        table = db.DB(self._environment)
        table.set_pagesize(4096)
        if kind == db.DB_QUEUE:
            table.set_re_len(self._recordBytes)
            table.set_re_pad(0x20)
            if self._extentPages:
                table.set_q_extentsize(self._extentPages)
        table.open(name, None, kind, db.DB_CREATE | db.DB_AUTO_COMMIT)
        return table

    def queue(self, name: bytes) -> Any:
        """Return the table of a queue, made and listed if it is missing."""
        if name not in self._queues:
            self._queues[name] = self._open(os.fsdecode(name), db.DB_QUEUE)
            self._counts.setdefault(name, [0, 0])
            self.list(name, *self._counts[name])
        return self._queues[name]

    def list(self, name: bytes, pushed: int, taken: int) -> None:
        """Write a row of the list."""
        self.putRow(name + b"\0", pack("<qq", pushed, taken))

    def putRow(self, key: bytes, row: bytes) -> None:
        """Write whatever into the list."""
        self._list.put(key, row)

    def forget(self, name: bytes) -> None:
        """Take a queue out of the list."""
        self._list.delete(name + b"\0")
        del self._counts[name]

    def push(self, name: bytes, *bodies: bytes, flags: int = 0) -> None:
        """Set messages."""
        for body in bodies:
            self.append(name, packOld(name, flags, body))

    def append(self, name: bytes, record: bytes) -> None:
        """Append a record, whatever is in it."""
        queue = self.queue(name)
        transaction = self._environment.txn_begin()
        queue.append(record, transaction)
        transaction.commit(db.DB_TXN_NOSYNC)
        self._counts[name][0] += 1

    def abortPush(self, name: bytes, body: bytes = b"never") -> None:
        """Begin to set a message, and give up."""
        transaction = self._environment.txn_begin()
        self.queue(name).append(packOld(name, 0, body), transaction)
        transaction.abort()

    def pop(self, name: bytes, count: int = 1) -> None:
        """Get messages, one each."""
        for _ in range(count):
            transaction = self._environment.txn_begin()
            found = self.queue(name).consume(transaction)
            transaction.commit(db.DB_TXN_NOSYNC)
            assert found is not None
            self._counts[name][1] += 1

    def checkpoint(self) -> None:
        """Write what was changed."""
        self._environment.txn_checkpoint(0, 0, db.DB_FORCE)

    def writeCounts(self) -> None:
        """Write the list, which is done every 30 seconds."""
        for name, counts in self._counts.items():
            self.list(name, *counts)

    def closeQueues(self) -> None:
        """Close the files of the queues, as at the end."""
        for queue in self._queues.values():
            queue.close()
        self._queues.clear()

    def stop(self) -> None:
        """End in order."""
        self.writeCounts()
        self.closeQueues()
        self._list.close()
        self._environment.close()

    def kill(self, path: str) -> None:
        """Leave at a path what is on disk when it is killed now; the log is there."""
        self._environment.log_flush()
        shutil.copytree(self.path, path)
        self.stop()


def setNumber(path: str, number: int) -> None:
    """Let an empty queue that nobody has open go on with a record number."""
    overwrite(path, 72, pack("<II", number, number))


def relabel(path: str, version: int) -> None:
    """Let a log file say that another version of Berkeley DB wrote it."""
    with open(path, "rb") as file:
        head = bytearray(file.read(28))
    pack_into("<I", head, 16, version)
    checksum = 0
    for byte in head[12:]:
        checksum = (checksum * 33 + byte) & 0xFFFFFFFF
    # As it is in the file: together with the first two numbers.
    before, size = unpack_from("<II", head)
    pack_into("<I", head, 8, checksum ^ before ^ size)
    overwrite(path, 0, bytes(head))
