"""Tombstones: which records nobody can read any more, and their removal in slices.

A tombstone is the key prefix of records that nobody can read any more: the id of a
queue that was deleted, or that of a body in parts.  It stands in the table of
queues until the last of the messages is removed, so that the next start goes on with
what a crash cut short.  An id with a tombstone is never given to another queue.

The parts of a body have one as long as no queue has their message: while they come in,
so that a crash leaves nothing behind, and from the pop on.  They stay until the body
is released.  So what may be removed now is noted in memory, too, in order.

All that touches a table raises what the binding raises.
"""

from __future__ import annotations

from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from memq.storage.engine.binding import scan
from memq.storage.record import DELIVERIES, ID, KEY, DamagedRecord, unpackRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memq.storage.bdb.transaction import Transaction
    from memq.storage.undo import UndoLog

#: The most bytes of messages that one slice removes: of packed records, 128 KiB took
#: 1.3 ms, and 512 KiB 4.6 ms, in as much time for all of 200,000.
_BYTES = 128 * 1024


class Tombstones:
    """Records that are to be removed.

    :ivar left: prefixes of keys that are to be removed, in order; always the same
        object, so that a store may look at it often.
    """

    def __init__(self, transaction: Transaction, undo: UndoLog) -> None:
        self._transaction = transaction
        self._undo = undo
        self.left: dict[bytes, None] = {}

    @property
    def queues(self) -> int:
        """How many ids of queues are among that."""
        return sum(len(prefix) == ID.size for prefix in self.left)

    def load(self, prefixes: Iterable[bytes]) -> None:
        """Start with what a store found; nothing can be read of it any more."""
        self.left.clear()
        self.left.update(dict.fromkeys(prefixes))

    def release(self, prefix: bytes) -> None:
        """Let something be removed, whatever becomes of the transaction under way."""
        self.left[prefix] = None

    def discard(self, prefix: bytes) -> None:
        """Let something be removed once the transaction under way is committed."""
        self._undo.afterCommit((self.release, prefix))

    def removeSome(self, limit: int) -> None:
        """Remove some of what is to be removed first; there has to be something."""
        transaction = self._transaction
        prefix = next(iter(self.left))
        if not self._remove(transaction.messages, prefix, limit):
            return
        if len(prefix) == ID.size and not self._remove(
            transaction.queues, DELIVERIES + prefix, limit
        ):
            return
        # A body whose first part could not be kept has none.
        if transaction.hasTombstone(prefix):
            transaction.removeTombstone(prefix)
        self._undo.afterCommit((self.left.pop, prefix))

    def _remove(self, table: Any, prefix: bytes, limit: int) -> bool:
        """Remove records whose keys begin so; return whether none is left."""
        room = _BYTES
        with closing(table.cursor(self._transaction.handle)) as cursor:
            for key, record in scan(cursor, prefix, prefix):
                if limit == 0 or room <= 0:
                    return False
                if len(key) == KEY.size:
                    self._discardParts(key, record)
                cursor.delete()
                limit -= 1
                room -= len(record)
        return True

    def _discardParts(self, key: bytes, record: bytes) -> None:
        """Leave the parts of a message that is removed, if it has any, for later."""
        # A damaged record does not say what parts it has.
        with suppress(DamagedRecord):
            id, sequence = KEY.unpack(key)
            large = unpackRecord(id, sequence, record).large
            if large is not None:
                prefix = KEY.pack(0, large.id)
                self._transaction.addTombstone(prefix)
                self.discard(prefix)
