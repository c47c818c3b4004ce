"""StagingStore: the store, and queues in it that nobody sees until they are complete.

Taking over the queues of another program takes many transactions, and may be killed
between any two.  So messages are staged first: they are put under the ids of new
queues that have no row yet, and in the same transaction stands how far each old queue
was read.  Nothing of the old one is changed.  One last transaction gives all of the
queues their rows.  Before it, the old program still has everything; from it on, this
store has.

A queue that is here already keeps what it has.  Then what was staged moves behind that,
in transactions that take from the one place and put into the other.

Rows in the table of queues, as they stand on disk (big-endian).  Key ``adopting``
behind a zero byte, while something is being taken over:

    offset  size  field
    0       1     version of this layout: 1
    1       1     1 while messages are staged; when the queues are here, 2 if the old
                  files are to be removed, 3 if they are to be kept aside
    2       32    fingerprint of what is being taken over
    34      n     the old files in states 2 and 3, each: its bytes (u64), time of its
                  last change (u64, ns since 1970), bytes of its name (u16), name

Key ``staged`` behind a zero byte, and the name of a queue:

    offset  size  field
    0       1     version of this layout: 1
    1       4     id that its messages are under
    5       8     how many record numbers of the old queue were read
    13      8     how many messages were staged
    21      8     how many records could not be read
"""

from __future__ import annotations

from contextlib import contextmanager
from struct import Struct
from struct import error as FormatError
from typing import TYPE_CHECKING, NamedTuple

from memq.display import shownName
from memq.memcacheq.directory import OldFile
from memq.message import bodySize, packRecord
from memq.storage.bdb.store import BDBStore
from memq.storage.bdb.upgrade import countBytes
from memq.storage.engine.binding import ERRORS
from memq.storage.row import DamagedRow, Queue

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from memq.memcacheq.queuefile import OldMessage

VERSION = 1
_STAGING, _REMOVING, _KEEPING = 1, 2, 3

_ADOPTING = b"\0adopting"
_STAGED = b"\0staged"

_STATE = Struct(">BB32s")
_FILE = Struct(">QQH")
_ROW = Struct(">BIQQQ")
_KEY = Struct(">IQ")


class AdoptionState(NamedTuple):
    """What is being taken over, and how far that is.

    :ivar isTaken: whether the queues are here, and the old files can go.
    :ivar isKept: whether those are to be kept aside.
    :ivar fingerprint: of the old files; 32 bytes.
    :ivar files: the old files.
    """

    isTaken: bool
    isKept: bool
    fingerprint: bytes
    files: list[OldFile]


class Staged(NamedTuple):
    """How far a queue is staged.

    :ivar id: what its messages are under.
    :ivar offset: how many record numbers of the old queue were read.
    :ivar messages: how many messages were staged.
    :ivar damaged: how many records could not be read.
    """

    id: int
    offset: int = 0
    messages: int = 0
    damaged: int = 0


class Counts(NamedTuple):
    """What a queue's row is to say.

    :ivar pushed: messages ever set; also the next message's number.
    :ivar taken: messages ever taken.
    """

    pushed: int
    taken: int


def unpackState(row: bytes) -> AdoptionState:
    """Return what a row says.

    :raise memq.storage.row.DamagedRow: when it cannot be read.
    """
    files = []
    at = _STATE.size
    try:
        version, state, fingerprint = _STATE.unpack_from(row)
        while at < len(row):
            size, time, length = _FILE.unpack_from(row, at)
            at += _FILE.size + length
            files.append(OldFile(row[at - length : at], size, time))
    except FormatError:
        version = 0
    if version != VERSION or not _STAGING <= state <= _KEEPING or at != len(row):
        raise DamagedRow(f"the row of an adoption cannot be read: {row[:40].hex()}")
    return AdoptionState(state != _STAGING, state == _KEEPING, fingerprint, files)


def packState(state: AdoptionState) -> bytes:
    """Return the row."""
    code = _STAGING
    if state.isTaken:
        code = _KEEPING if state.isKept else _REMOVING
    return _STATE.pack(VERSION, code, state.fingerprint) + b"".join(
        _FILE.pack(size, time, len(name)) + name for name, size, time in state.files
    )


class StagingStore(BDBStore):
    """A store that queues can be taken into; all by the thread of transactions.

    Every method here is a transaction of its own.
    """

    def adoption(self) -> AdoptionState | None:
        """Return how far something is taken over; None when nothing is.

        :raise memq.errors.StoreError: when it cannot be read.
        :raise memq.storage.row.DamagedRow: when what is read makes no sense.
        """
        with self._transacting():
            row = self._queues.get(_ADOPTING, None, self._transaction)
        return None if row is None else unpackState(row)

    def staged(self) -> dict[bytes, Staged]:
        """Return the queues that are staged.

        :raise memq.errors.StoreError: when they cannot be read.
        :raise memq.storage.row.DamagedRow: when what is read makes no sense.
        """
        rows: dict[bytes, Staged] = {}
        with self._transacting():
            cursor = self._cursor = self._queues.cursor(self._transaction)
            found = cursor.set_range(_STAGED)
            while found and found[0].startswith(_STAGED):
                key, row = found
                if len(row) != _ROW.size or row[0] != VERSION:
                    raise DamagedRow(
                        f"the row {shownName(key)} cannot be read: {row.hex()}"
                    )
                rows[key[len(_STAGED) :]] = Staged(*_ROW.unpack(row)[1:])
                found = cursor.next()
        return rows

    def beginAdoption(self, fingerprint: bytes) -> None:
        """Begin to take over, and discard what was staged before."""
        before = self.staged()
        with self._transacting():
            for name, staged in before.items():
                self._discard(staged.id)
                self._forget(name)
            state = AdoptionState(False, False, fingerprint, [])
            self._queues.put(_ADOPTING, packState(state), self._transaction)

    def stageQueue(self, queue: bytes) -> Staged:
        """Give a queue an id that its messages can be staged under."""
        with self._transacting():
            staged = Staged(self._index.nextId)
            self._index.nextId += 1
            self._write(queue, staged)
        return staged

    def stage(
        self, queue: bytes, staged: Staged, first: int, messages: Sequence[OldMessage]
    ) -> None:
        """Put messages, and remember how far the old queue was read.

        :param staged: how far that is when these are put.
        :param first: the number of the message with offset 0.
        """
        put, id = self._messages.put, staged.id
        with self._transacting():
            for offset, flags, body in messages:
                record = packRecord(flags, self._now, body)
                put(_KEY.pack(id, first + offset), record, self._transaction)
            self._write(queue, staged)

    def finishAdoption(
        self, counts: dict[bytes, Counts], files: list[OldFile], isKept: bool
    ) -> None:
        """Let all staged queues be seen.

        :param counts: what the row of each of them says; one that is left out moves
            like those that are here already.
        :param files: the old files, which can go from now on.
        :param isKept: whether they are to be kept aside.
        """
        staged = self.staged()
        state = self.adoption()
        assert state is not None
        state = AdoptionState(True, isKept, state.fingerprint, files)
        known = self._index.queues
        new = {
            name: Queue(name, staged[name].id, pushed, pushed, taken)
            for name, (pushed, taken) in counts.items()
            if name not in known
        }
        with self._transacting():
            for name, (_, taken) in counts.items():
                if name in new:
                    id = new[name].id
                    size = countBytes(self._messages, id, self._transaction)
                    new[name].bytes = size
                    new[name].use(self._now // 1000)
                    self._queues.put(name, new[name].pack(), self._transaction)
                    self._forget(name)
                else:
                    entry = self._index.forPush(name)
                    entry.pushed += taken
                    entry.taken += taken
            self._queues.put(_ADOPTING, packState(state), self._transaction)
        known.update(new)

    def mergeSome(self, queue: bytes, staged: Staged, limit: int) -> bool:
        """Move staged messages to the end of their queue.

        :param limit: the most that are moved.
        :return: whether there are more.
        """
        with self._transacting():
            entry = self._index.forPush(queue)
            cursor = self._cursor = self._messages.cursor(self._transaction)
            found = cursor.set_range(_KEY.pack(staged.id, 0))
            while found and _KEY.unpack(found[0][: _KEY.size])[0] == staged.id:
                if limit == 0:
                    return True
                cursor.delete()
                key = _KEY.pack(entry.id, entry.nextSequence)
                self._messages.put(key, found[1], self._transaction)
                entry.nextSequence += 1
                entry.pushed += 1
                entry.bytes += bodySize(found[1])
                limit -= 1
                found = cursor.next()
            self._forget(queue)
        return False

    def endAdoption(self) -> None:
        """Forget what was taken over."""
        with self._transacting():
            self._queues.delete(_ADOPTING, self._transaction)

    def _write(self, queue: bytes, staged: Staged) -> None:
        row = _ROW.pack(VERSION, *staged)
        self._queues.put(_STAGED + queue, row, self._transaction)

    def _forget(self, queue: bytes) -> None:
        self._queues.delete(_STAGED + queue, self._transaction)

    @contextmanager
    def _transacting(self) -> Iterator[None]:
        """Begin, and commit what was done, or undo it and raise."""
        self.begin()
        try:
            yield
        except ERRORS as error:
            self.abort()
            raise self._environment.error(error) from error
        except BaseException:
            self.abort()
            raise
        self.commit()
