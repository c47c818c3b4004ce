"""The transaction on the tables of a home, one at a time, of one thread.

The records in the tables are drawn in :mod:`memq.storage.bdb.store`; what is known of
them in memory is the index, the delays and the tombstones.  A transaction changes
both.  Its commit writes the rows that changed; an abort plays the undo log back.

One cursor of a transaction on the messages is kept until its end, for each next head.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from memq.errors import StoreFailed
from memq.figures import Outcome
from memq.storage.bdb.packs import Packs
from memq.storage.engine.binding import ERRORS
from memq.storage.record import DAMAGED, ID, KEY, NEXT_ID, TOMBSTONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memq.message import LargeBody
    from memq.storage.engine.environment import Environment
    from memq.storage.index import QueueIndex
    from memq.storage.undo import UndoLog


#: Changes of a turn that log little beside what its cost says; where there are more, to
#: look at the log's end costs next to nothing.
MANY = 32


class Transaction:
    """The transaction under way; the parts of a store work in it.

    :ivar queues: the table of queues; None while the store is closed.
    :ivar messages: the table of messages, which is perhaps another one after a commit.
    :ivar handle: Berkeley DB's transaction; None when none is under way.
    :ivar now: when it began, milliseconds since 1970-01-01 UTC.
    :ivar packs: what is to be packed.
    :ivar cursor: the cursor on the messages that is kept; None before the first head.
    :ivar cursorIn: the id of the queue whose next head is its next record, or 0.
    :ivar error: makes one of the store's errors of one of Berkeley DB's.
    :ivar translated: a context in which Berkeley DB's errors become the store's.
    :ivar lookAgain: called where more is logged than the cost of a turn tells.
    """

    def __init__(
        self,
        environment: Environment,
        index: QueueIndex,
        undo: UndoLog,
        seconds: Callable[[], float],
        leastPacked: int,
    ) -> None:
        self._environment = environment
        self._index = index
        self._undo = undo
        self._seconds = seconds
        self.error = environment.error
        self.translated = environment.translated
        self.lookAgain = environment.lookAgain
        self.packs = Packs(self, undo, leastPacked)
        self.queues: Any = None
        self.messages: Any = None
        self.handle: Any = None
        self.now = 0
        self.cursor: Any = None
        self.cursorIn = 0

    def begin(self) -> None:
        """Begin a transaction."""
        self.now = int(self._seconds() * 1000)
        self.handle = self._environment.begin()

    def commit(self) -> None:
        """Write the rows that changed, and commit."""
        try:
            if self.cursor is not None:
                self._closeCursor()
            if self.packs.runs:
                self.packs.write()
            self._writeRows()
            handle, self.handle = self.handle, None
            handle.commit(self._environment.commitFlags)
        except ERRORS as error:
            self.abort()
            raise self.error(error) from error
        if self._undo.commit() > MANY:
            self.lookAgain()

    def _writeRows(self) -> None:
        index, queues, handle = self._index, self.queues, self.handle
        if index.hasNewIds:
            queues.put(NEXT_ID, ID.pack(index.nextId), handle)
        for name, queue in index.changes(self.now):
            if queue is not None:
                queues.put(name, queue.pack(), handle)
            elif queues.exists(name, handle):
                queues.delete(name, handle)

    def abort(self) -> None:
        """Undo what was done since ``begin``."""
        self._undo.rollBack()
        handle, self.handle = self.handle, None
        try:
            if self.cursor is not None:
                self._closeCursor()
            # A commit that failed has ended its transaction already.
            if handle is not None:
                handle.abort()
        except ERRORS as error:
            why = f"a transaction cannot be undone: {error}"
            raise self._environment.fail(StoreFailed(why)) from error

    def openCursor(self) -> Any:
        """Return the cursor that is kept, which is not open yet."""
        self.cursor = self.messages.cursor(self.handle)
        return self.cursor

    def _closeCursor(self) -> None:
        cursor, self.cursor = self.cursor, None
        self.cursorIn = 0
        cursor.close()

    @contextmanager
    def run(self) -> Iterator[None]:
        """Begin, and commit what was done, or undo it.

        :raise memq.errors.StoreError: when it was undone for an error of Berkeley DB's.
        """
        self.begin()
        with self.translated:
            try:
                yield
            except BaseException:
                self.abort()
                raise
        self.commit()
        # This is no turn, which is bounded.
        self.lookAgain()

    def claim(self, large: LargeBody) -> None:
        """Remove the tombstone of a body, which a message has from now on.

        :raise memq.errors.StoreError: the transaction has to be aborted.
        """
        with self.translated:
            self.removeTombstone(KEY.pack(0, large.id))

    # The methods that follow raise what the binding raises.

    def setAside(self, key: bytes, record: bytes) -> None:
        """Keep a record that is damaged in no queue, under the key that it had."""
        self.queues.put(DAMAGED + key, record, self.handle)
        self._index.outcomes.count(Outcome.DAMAGED)

    def addTombstone(self, prefix: bytes) -> None:
        """Write a tombstone: nobody can read what has keys that begin so."""
        self.queues.put(TOMBSTONE + prefix, b"", self.handle)

    def removeTombstone(self, prefix: bytes) -> None:
        """Remove one that is there, because something can be read again, or is gone."""
        self.queues.delete(TOMBSTONE + prefix, self.handle)

    def hasTombstone(self, prefix: bytes) -> bool:
        """Return whether there is one."""
        return bool(self.queues.exists(TOMBSTONE + prefix, self.handle))
