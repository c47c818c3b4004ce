"""Staging: queues of MemcacheQ's that nobody sees until all of them are complete.

Taking over the queues of another program takes many transactions, and may be killed
between any two.  So messages are staged first: they are put under the ids of new
queues that have no row yet (:mod:`memq.storage.bdb.bulkloader`), and in the same
transaction stands how far each old queue was read.  Nothing of the old one is changed.
One last transaction gives all of the queues their rows.  Before it, the old program
still has everything; from it on, this store has.

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

from struct import Struct
from struct import error as FormatError
from typing import TYPE_CHECKING, NamedTuple

from memq.display import shownName
from memq.memcacheq.directory import OldFile
from memq.storage.bdb.bulkloader import BulkLoader
from memq.storage.row import DamagedRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memq.memcacheq.queuefile import OldMessage
    from memq.storage.bdb.store import BDBStore

VERSION = 1
_STAGING, _REMOVING, _KEEPING = 1, 2, 3

_ADOPTING = b"\0adopting"
_STAGED = b"\0staged"

_STATE = Struct(">BB32s")
_FILE = Struct(">QQH")
_ROW = Struct(">BIQQQ")


class AdoptionState(NamedTuple):
    """How far an adoption is.

    :ivar isTaken: whether the queues are here, and the old files can go.
    :ivar isKept: whether those are to be kept aside.
    """

    isTaken: bool
    isKept: bool
    fingerprint: bytes
    files: list[OldFile]


class Staged(NamedTuple):
    """How far a queue is staged: the fields of its row, see above."""

    id: int
    offset: int = 0
    messages: int = 0
    damaged: int = 0


class Counts(NamedTuple):
    """Messages ever set, which is the next one's number, and ever taken."""

    pushed: int
    taken: int


def unpackState(row: bytes) -> AdoptionState:
    """Return what a row says; raise DamagedRow when it cannot be read."""
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


class Staging:
    """Takes queues into a store; all by the thread of transactions.

    Every method here is a transaction of its own.  It raises memq.errors.StoreError
    when the store fails, memq.storage.row.DamagedRow for a row that makes no sense.
    """

    def __init__(self, store: BDBStore) -> None:
        self._loader = BulkLoader(store)
        self._flush = store.flush

    def adoption(self) -> AdoptionState | None:
        """Return how far something is taken over; None when nothing is."""
        with self._loader.transacting():
            rows = [row for _, row in self._loader.rows(_ADOPTING)]
        return unpackState(rows[0]) if rows else None

    def staged(self) -> dict[bytes, Staged]:
        """Return the queues that are staged."""
        with self._loader.transacting():
            rows = dict(self._loader.rows(_STAGED))
        return {name: _unpack(name, row) for name, row in rows.items()}

    def beginAdoption(self, fingerprint: bytes) -> None:
        """Begin to take over, and discard what was staged before."""
        before = self.staged()
        with self._loader.transacting():
            for name, staged in before.items():
                self._loader.discard(staged.id)
                self._forget(name)
            self._writeState(AdoptionState(False, False, fingerprint, []))

    def stageQueue(self, queue: bytes) -> Staged:
        """Give a queue an id that its messages can be staged under."""
        with self._loader.transacting():
            staged = Staged(self._loader.newId())
            self._write(queue, staged)
        return staged

    def stage(
        self, queue: bytes, staged: Staged, first: int, messages: Sequence[OldMessage]
    ) -> None:
        """Put messages, and remember how far the old queue was read.

        :param staged: how far that is when these are put.
        :param first: the number of the message with offset 0.
        """
        with self._loader.transacting():
            self._loader.put(staged.id, first, messages)
            self._write(queue, staged)

    def finishAdoption(
        self, counts: dict[bytes, Counts], files: list[OldFile], isKept: bool
    ) -> AdoptionState:
        """Let all staged queues be seen, and return the state, which is on disk.

        :param counts: what the row of each of them says; one that is left out moves
            like those that are here already.
        :param files: the old files, which can go from now on.
        :param isKept: whether they are to be kept aside.
        """
        staged = self.staged()
        state = self.adoption()
        assert state is not None
        with self._loader.transacting():
            for name, (pushed, taken) in counts.items():
                if self._loader.find(name) is None:
                    self._loader.publishUnder(name, staged[name].id, pushed, taken)
                    self._forget(name)
                else:
                    self._loader.count(name, taken)
            state = AdoptionState(True, isKept, state.fingerprint, files)
            self._writeState(state)
        self._flush()
        return state

    def mergeSome(self, queue: bytes, staged: Staged, limit: int) -> bool:
        """Move so many messages to their queue's end; return whether there are more."""
        with self._loader.transacting():
            hasMore = self._loader.move(staged.id, queue, limit)
            if not hasMore:
                self._forget(queue)
        return hasMore

    def endAdoption(self) -> None:
        """Forget what was taken over."""
        with self._loader.transacting():
            self._loader.deleteRow(_ADOPTING)

    def _writeState(self, state: AdoptionState) -> None:
        self._loader.putRow(_ADOPTING, packState(state))

    def _write(self, queue: bytes, staged: Staged) -> None:
        self._loader.putRow(_STAGED + queue, _ROW.pack(VERSION, *staged))

    def _forget(self, queue: bytes) -> None:
        self._loader.deleteRow(_STAGED + queue)


def _unpack(name: bytes, row: bytes) -> Staged:
    if len(row) != _ROW.size or row[0] != VERSION:
        shown = shownName(_STAGED + name)
        raise DamagedRow(f"the row {shown} cannot be read: {row.hex()}")
    return Staged(*_ROW.unpack(row)[1:])
