"""Rebuild of tables from what could be read of damaged ones.

Keys stay as they are, so order, ids and sequence numbers do too, and it does not matter
in which order records come.  Counts are made to fit what is there: messages that are
missing count as taken.

Nothing is thrown away that cannot be put where it was: messages of a queue whose row is
gone go to a queue called ``unknown.ID``, and a large message with a part missing is set
aside, as a get would do.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.display import shownName
from memq.storage.bdb.compaction import ROW
from memq.storage.engine.binding import db
from memq.storage.packed import unpacked
from memq.storage.record import (
    DAMAGED,
    DELIVERIES,
    DELIVERIES_ROW,
    ID,
    KEY,
    NEXT_ID,
    PART,
    TOMBSTONE,
    DamagedRecord,
    bodySize,
    unpackPart,
    unpackRecord,
)
from memq.storage.row import DamagedRow, Queue, unpackQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from memq.message import LargeBody
    from memq.storage.engine.btreefile import Record
    from memq.storage.engine.environment import Environment

#: Records and bytes of them in one transaction, and bytes of log before a checkpoint.
_BATCH = 1000
_BATCH_BYTES = 1024 * 1024
_CHECKPOINT = 32 * 1024 * 1024


class _Row(NamedTuple):
    """A row as it was found; the better one of two with the same key is the larger."""

    isSound: bool
    lsn: tuple[int, int]
    value: bytes


def _largeOf(key: bytes, value: bytes) -> LargeBody | None:
    """Return what a record says of a body in parts, None if it has none."""
    if len(key) != KEY.size:
        return None
    try:
        id, sequence = KEY.unpack(key)
        return unpackRecord(id, sequence, value).large
    except DamagedRecord:
        # It stays where it is; a get sets it aside, and says so.
        return None


class Rebuild:
    """New tables in an environment.

    :ivar lost: a line for each thing that is not as it was.
    """

    def __init__(self, environment: Environment, pageSize: int) -> None:
        """Make the tables in an environment that is open and new."""
        self.lost: list[str] = []
        self._environment = environment
        self._queues = environment.openTable("queues", db.DB_CREATE, pageSize)
        self._messages = environment.openTable("messages", db.DB_CREATE, pageSize)
        self._rows: dict[bytes, _Row] = {}
        self._byId: dict[int, Queue] = {}
        self._byDelayId: dict[int, Queue] = {}
        self._nextId = 1
        #: The rows that are kept as they are: damaged records, tombstones, and how
        #: often messages were given back.
        self._others: dict[bytes, bytes] = {}
        self._large: dict[bytes, LargeBody] = {}
        self._parts: dict[int, set[int]] = {}
        self._counts: Counter[int] = Counter()
        self._bytes: Counter[int] = Counter()
        self._next: dict[int, int] = {}

    # First the table of queues.

    def addRow(self, record: Record, isSound: bool) -> None:
        """Take a row."""
        if record.value is None:
            self.lost.append(
                f"the row {shownName(record.key)} of the queues cannot be read"
            )
            return
        row = _Row(isSound, record.lsn, record.value)
        self._rows[record.key] = max(row, self._rows.get(record.key, row))

    def row(self, key: bytes) -> bytes | None:
        """Return a row that was taken."""
        row = self._rows.get(key)
        return None if row is None else row.value

    def closeRows(self) -> None:
        """Make queues of the rows, once all of them are taken."""
        rows = sorted(self._rows.items(), key=lambda item: item[1], reverse=True)
        for key, row in rows:
            if key == NEXT_ID and len(row.value) == ID.size:
                (self._nextId,) = ID.unpack(row.value)
            elif key.startswith((TOMBSTONE, DAMAGED, DELIVERIES)):
                self._others[key] = row.value
            elif key[:1] > b"\0":
                self._addQueue(key, row)
            elif key != ROW:
                self.lost.append(f"the row {shownName(key)} of the queues says nothing")

    def _addQueue(self, name: bytes, row: _Row) -> None:
        try:
            queue = unpackQueue(name, row.value)
        except DamagedRow as error:
            self.lost.append(str(error))
            return
        shown = shownName(name)
        delayId = queue.rest.delayId
        known = {*self._byId, *self._byDelayId}
        if queue.id == 0 or queue.id in known or delayId in {*known, queue.id}:
            self.lost.append(f"the row of queue {shown} has an id that is not its own")
            return
        if not row.isSound:
            self.lost.append(
                f"the row of queue {shown} stood on a damaged page; its name and "
                "counts may be wrong"
            )
        self._byId[queue.id] = queue
        if delayId:
            self._byDelayId[delayId] = queue

    # Then the messages.

    def isPlausible(self, record: Record) -> bool:
        """Return whether bytes of a damaged page are a message, or a part of one."""
        key, value = record.key, record.value
        if value is None:
            return False
        try:
            if len(key) == PART.size:
                unpackPart(value)
                return key.startswith(ID.pack(0))
            if len(key) != KEY.size:
                return False
            id, sequence = KEY.unpack(key)
            for _, single in unpacked(key, value):
                if single is value:
                    unpackRecord(id, sequence, value)
        except DamagedRecord:
            return False
        queue = self._byId.get(id)
        if queue is None:
            return id in self._byDelayId
        return bool(sequence < queue.nextSequence)

    def addMessages(self, records: Iterable[Record], say: Callable[[int], None]) -> int:
        """Put records into the new table that it lacks; return how many were looked at.

        :param say: is told how many there were, after each batch.
        """
        total = size = count = 0
        transaction = self._environment.begin()
        for key, value, _ in records:
            total += 1
            if value is None or self._messages.exists(key, transaction):
                continue
            if len(key) not in (KEY.size, PART.size):
                self.lost.append(f"the key {key.hex()} of a message says nothing")
                continue
            for single, record in self._unpacked(key, value):
                if not self._messages.exists(single, transaction):
                    self._messages.put(single, record, transaction)
                    self._note(single, record)
                    count, size = count + 1, size + len(record)
            if count >= _BATCH or size >= _BATCH_BYTES:
                transaction.commit(db.DB_TXN_NOSYNC)
                say(total)
                self._bound()
                transaction = self._environment.begin()
                count = size = 0
        transaction.commit(db.DB_TXN_NOSYNC)
        return total

    def _unpacked(self, key: bytes, record: bytes) -> list[tuple[bytes, bytes]]:
        """Return the records of messages that stand by themselves from now on."""
        if len(key) != KEY.size:
            return [(key, record)]
        id, sequence = KEY.unpack(key)
        queue = self._byId.get(id)
        try:
            return list(unpacked(key, record, queue.packHead if queue else 0))
        except DamagedRecord as error:
            self._others[DAMAGED + key] = record
            self.lost.append(
                f"messages up to {sequence} of {self._name(id)} are set aside: {error}"
            )
            return []

    def _bound(self) -> None:
        if self._environment.logged() >= _CHECKPOINT:
            self._environment.checkpoint()
            self._environment.removeLogs()

    def _note(self, key: bytes, value: bytes) -> None:
        if len(key) == KEY.size:
            self._bytes[KEY.unpack(key)[0]] += bodySize(value)
        large = _largeOf(key, value)
        if large is not None:
            self._large[key] = large

    # Then all of it is made to fit.

    def finish(self) -> None:
        """Write the table of queues."""
        self._count()
        transaction = self._environment.begin()
        self._setAside(transaction)
        self._nameUnknown()
        for queue in self._byId.values():
            self._fit(queue)
            self._queues.put(queue.name, queue.pack(), transaction)
        self._tidyTombstones()
        self._tidyTries(transaction)
        for key, value in self._others.items():
            self._queues.put(key, value, transaction)
        ids = [*self._byId, *self._byDelayId, *self._buried(), self._nextId - 1]
        self._queues.put(NEXT_ID, ID.pack(max(ids) + 1), transaction)
        transaction.commit(db.DB_TXN_NOSYNC)

    def _count(self) -> None:
        """Count what is in the new table, in the order of keys."""
        cursor = self._messages.cursor()
        found = cursor.set_range(b"", dlen=0, doff=0)
        while found:
            key = found[0]
            if len(key) == PART.size:
                _, body, number = PART.unpack(key)
                self._parts.setdefault(body, set()).add(number)
            else:
                id, sequence = KEY.unpack(key)
                self._counts[id] += 1
                self._next[id] = sequence + 1
            found = cursor.next(dlen=0, doff=0)
        cursor.close()

    def _setAside(self, transaction: Any) -> None:
        """Set aside large messages that have not all of their parts."""
        for key, large in list(self._large.items()):
            lacking = large.parts - len(self._parts.get(large.id, ()))
            if lacking:
                id, sequence = KEY.unpack(key)
                record = self._messages.get(key, txn=transaction)
                self._messages.delete(key, transaction)
                self._others[DAMAGED + key] = record
                self._counts[id] -= 1
                self._bytes[id] -= bodySize(record)
                self.lost.append(
                    f"message {sequence} of {self._name(id)} lacks {lacking} of its "
                    f"{large.parts} parts, and is set aside"
                )

    def _name(self, id: int) -> str:
        queue = self._byId.get(id) or self._byDelayId.get(id)
        return (
            f"the queue with the id {id}"
            if queue is None
            else f"queue {shownName(queue.name)}"
        )

    def _buried(self) -> set[int]:
        """Return the ids of queues that are deleted, and not removed yet."""
        size = len(TOMBSTONE) + ID.size
        keys = [key for key in self._others if key.startswith(TOMBSTONE)]
        return {ID.unpack(key[-ID.size :])[0] for key in keys if len(key) == size}

    def _nameUnknown(self) -> None:
        known = self._byId.keys() | self._byDelayId.keys() | self._buried()
        for id in sorted(self._counts.keys() - known):
            name = b"unknown.%d" % id
            names = {queue.name for queue in self._byId.values()}
            while name in names:
                name += b"x"
            count = self._counts[id]
            if count:
                self._byId[id] = Queue(name, id, self._next[id], count, 0)
                self.lost.append(
                    f"the row of the queue with the id {id} is gone: its {count} "
                    f"messages are in queue {shownName(name)}"
                )

    def _fit(self, queue: Queue) -> None:
        there = self._counts[queue.id]
        self._compare(queue, "messages", queue.pushed - queue.taken, there)
        if queue.rest.delayId:
            delayed = self._counts[queue.rest.delayId]
            self._compare(queue, "delayed messages", queue.rest.delayed, delayed)
            size = self._bytes[queue.rest.delayId]
            queue.change(delayed=delayed, delayedBytes=size)
        queue.bytes = self._bytes[queue.id]
        queue.packHead = 0
        queue.pushed = max(queue.pushed, there)
        queue.taken = queue.pushed - there
        queue.nextSequence = max(queue.nextSequence, self._next.get(queue.id, 0))

    def _compare(self, queue: Queue, what: str, told: int, there: int) -> None:
        name = shownName(queue.name)
        if there < told:
            self.lost.append(
                f"queue {name}: {told - there} of {told} {what} are missing"
            )
        elif there > told:
            self.lost.append(
                f"queue {name} has {there - told} {what} more than its "
                "row says: they may have been taken before"
            )

    def _tidyTombstones(self) -> None:
        """Let no tombstone stand over what is there, and one over each orphan."""
        aside = [
            _largeOf(key.removeprefix(DAMAGED), value)
            for key, value in self._others.items()
            if key.startswith(DAMAGED)
        ]
        used = {large.id for large in [*self._large.values(), *aside] if large}
        for id in [*self._byId, *self._byDelayId]:
            self._others.pop(TOMBSTONE + ID.pack(id), None)
        for body in used:
            self._others.pop(TOMBSTONE + KEY.pack(0, body), None)
        for body in self._parts.keys() - used:
            self._others.setdefault(TOMBSTONE + KEY.pack(0, body), b"")

    def _tidyTries(self, transaction: Any) -> None:
        """Forget how often messages were given back that are not there."""
        for key in [key for key in self._others if key.startswith(DELIVERIES)]:
            isThere = self._messages.exists(key.removeprefix(DELIVERIES), transaction)
            if not isThere or len(self._others[key]) != DELIVERIES_ROW.size:
                del self._others[key]
