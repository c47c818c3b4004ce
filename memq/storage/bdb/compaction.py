"""Compaction: when little is left in a large file of messages, it moves to a new one.

Berkeley DB uses free pages again but does not give them back.  Its DB.compact cannot be
done in slices: each call that frees pages sorts all that are free (270 ms at 30,000),
and one page in use at the end of the file keeps the whole of it.

Theory of operation
===================

A row of the store's own says in which file the messages are and, while they move, in
which they were.  Two threads take turns:

- ``step`` is what the thread of the transactions does next, a slice at a time; None
  when there is nothing for it to do;
- ``tidy`` runs in another thread, about once a second, and does what blocks.  While
  there is a step it does nothing.

So it goes on:

1. ``tidy`` looks how large the file is.  If it is large,
2. steps find out how much is left in it (:mod:`memq.storage.occupancy`).  If that
   is little,
3. ``tidy`` makes the next file.  That is a transaction beside the others, but touches
   no page that they do.
4. A step writes the row.  From its commit on, what is put goes into the new file, and
   what is read is looked for in both (:mod:`memq.storage.bdb.union`).
5. Steps move the records as they are.  The last one writes the row once more.
6. ``tidy`` makes a checkpoint, so that nothing of the old file is unwritten; closes it;
   makes another, so that no recovery begins where it was open; and removes the file.

A crash before 4 or after 5 leaves a file that the row does not name.  The next start
removes it, behind a checkpoint.  In between, the next start goes on.  No number is used
twice within what a recovery reads, so that the pages of one file never get into
another.  Berkeley DB does not remove files here (DB.remove): killed within that, it
lost the messages.

The row, as it stands on disk (big-endian); no row means 0 and 0:

    offset  size  field
    0       1     version of this layout: 1
    1       4     number n of the file: ``messages.n``, or ``messages`` for 0
    5       4     number of the file that messages move from; the same when none do
"""

from __future__ import annotations

import os
import re
from contextlib import closing, suppress
from enum import Enum
from struct import Struct
from time import monotonic
from typing import TYPE_CHECKING, Any

from memq.errors import StoreError
from memq.storage.bdb.union import JoinedTable
from memq.storage.datadir.files import syncDirectory
from memq.storage.datadir.home import removing
from memq.storage.engine.binding import db, scan
from memq.storage.occupancy import SLICE_BYTES, Survey
from memq.storage.row import DamagedRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.storage.datadir.home import Home
    from memq.storage.engine.environment import Environment
    from memq.storage.undo import UndoLog

#: The key of the row, in the table of queues, and its version byte.
ROW = b"\0messages"
VERSION = 1

_ROW = Struct(">BII")
_FILE = re.compile(r"messages(?:\.([1-9][0-9]*))?")

#: Bytes of room that a move needs for each byte that is left: the copy may take two,
#: and putting and deleting log one each.  With less, a move could take the last bytes
#: of a disk, and a log that cannot be written is the end of the server.
ROOM = 4


def fileName(number: int) -> str:
    """Return the name of the file with a number."""
    return f"messages.{number}" if number else "messages"


def unpackRow(row: bytes | None) -> tuple[int, int]:
    """Return the number of the file, and of the one that messages move from.

    :raise memq.storage.row.DamagedRow: when it cannot be read.
    """
    if row is None:
        return 0, 0
    if len(row) != _ROW.size or row[0] != VERSION:
        raise DamagedRow(f"the row of the messages cannot be read: {row.hex()}")
    _, number, oldNumber = _ROW.unpack(row)
    return number, oldNumber


def isFileName(name: str) -> bool:
    """Return whether messages may be in a file of that name."""
    return _FILE.fullmatch(name) is not None


def filesOf(row: bytes | None) -> set[str] | None:
    """Return the names of the files that a row names, None when it cannot be read."""
    try:
        return set(map(fileName, unpackRow(row)))
    except DamagedRow:
        return None


class Task(Enum):
    """The part of a move that blocks."""

    #: See how large the file is.
    LOOK = "look"
    #: Make the next one.
    MAKE = "make"
    #: Remove the one that all messages have left.
    RETIRE = "retire"


class Compaction:
    """The file that messages are in, and how they get into another one.

    :ivar table: what messages are put into and looked for in; perhaps another one
        after each step.
    :ivar current: the file that they are put into, as a table.
    :ivar old: the one that they move from, or have left; None without one.
    :ivar step: takes a transaction and the most records to touch; raises Berkeley DB's
        errors.
    :ivar task: what ``tidy`` does next, while there is no step.
    """

    def __init__(
        self,
        environment: Environment,
        home: Home,
        queues: Any,
        undo: UndoLog,
        count: Callable[[], int],
        leastSize: int,
    ) -> None:
        """Take the parts.

        :param leastSize: bytes of a file below which it stays.
        """
        self._environment = environment
        self._home = home
        self._queues = queues
        self._undo = undo
        self._count = count
        self._leastSize = leastSize
        self.table: Any = None
        self.step: Callable[[Any, int], None] | None = None
        self.task = Task.LOOK
        self._number = self._oldNumber = 0
        self.current: Any = None
        self.old: Any = None
        #: The highest number that was used, and its file until the row names it.
        self._highest = 0
        self._made: Any = None
        self._tasks = {
            Task.LOOK: self._look,
            Task.MAKE: self._make,
            Task.RETIRE: self._retire,
        }

    def open(self, flags: int) -> None:
        """Open what the row names.

        :param flags: DB_CREATE in a new home.
        :raise memq.storage.row.DamagedRow: when the row cannot be read.
        :raise memq.errors.HomeError: when a file is not there.
        """
        self._number, self._oldNumber = unpackRow(self._queues.get(ROW))
        openTable = self._environment.openTable
        self.table = self.current = openTable(fileName(self._number), flags)
        pageSize = self.current.get_pagesize()
        self._survey = Survey(self._count, monotonic, pageSize, self._leastSize)
        if self._oldNumber != self._number:
            self.old = openTable(fileName(self._oldNumber), 0)
            self._join()

    def findStrays(self, remove: bool) -> None:
        """Know of files that a crash left behind.

        :param remove: whether they go; a checkpoint has to come before.
        :raise OSError: when that cannot be.
        """
        named = (fileName(self._number), fileName(self._oldNumber))
        for name in os.listdir(self._home.way):
            found = _FILE.fullmatch(name)
            if found:
                self._highest = max(self._highest, int(found[1] or 0))
                if remove and name not in named:
                    os.unlink(os.path.join(self._home.way, name))
        syncDirectory(self._home.way)

    def _join(self) -> None:
        self.table = JoinedTable(self.current, self.old)
        self.step = self._move

    # In a thread that may block.

    def tidy(self) -> int:
        """Do what blocks, unless there is a step to do.

        :return: bytes of files that were given back.
        :raise memq.errors.StoreError: when it failed; a later call tries again.
        """
        if self.step is not None:
            return 0
        self._environment.refuseAfterFailure()
        try:
            with self._environment.translated:
                return self._tasks[self.task]()
        except OSError as error:
            why = self._home.named(f"a file of messages: {error}")
            raise StoreError(why) from error

    def _look(self) -> int:
        """Let steps see how much is left in the file, if it is large."""
        if self._survey.isDue(os.stat(self._path(self._number)).st_size):
            self.step = self._begin
        return 0

    def _path(self, number: int) -> str:
        return os.path.join(self._home.way, fileName(number))

    def _make(self) -> int:
        """Make the next file, if there is room for what will be in it."""
        self.task = Task.LOOK
        self._survey.pause()
        environment = self._environment
        free = environment.freeBytes() if environment.reserveSpace() else 0
        if free < ROOM * self._survey.found:
            return 0
        self._highest += 1
        self._made = environment.openTable(
            fileName(self._highest),
            db.DB_CREATE | db.DB_EXCL,
            self.current.get_pagesize(),
        )
        syncDirectory(self._home.way)
        self.step = self._name
        return 0

    def _retire(self) -> int:
        """Remove the file that all messages have left, unless a backup copies it."""
        with removing(self._home.way) as allowed:
            return self._remove() if allowed else 0

    def _remove(self) -> int:
        self._environment.checkpoint()
        old, self.old = self.old, None
        if old is not None:
            self._environment.closeTable(old)
        self._environment.checkpoint()
        size = 0
        # It is gone already when only the sync has to be tried again.
        with suppress(FileNotFoundError):
            size = os.stat(self._path(self._oldNumber)).st_blocks * 512
            os.unlink(self._path(self._oldNumber))
        syncDirectory(self._home.way)
        self._oldNumber = self._number
        self.task = Task.LOOK
        return size

    # In the thread of the transactions.

    def _begin(self, transaction: Any, limit: int) -> None:
        """Begin to see how much is left."""
        self.step = self._walk if self._survey.begin() else None

    def _walk(self, transaction: Any, limit: int) -> None:
        """See some more of what is left."""
        with closing(self.current.cursor(transaction)) as cursor:
            hasMore = self._survey.walk(cursor, limit)
        if not hasMore:
            if self._survey.isWorthIt:
                self.task = Task.MAKE
            self.step = None

    def _name(self, transaction: Any, limit: int) -> None:
        """Name the new file and the old one."""
        self._putRow(transaction, self._highest, self._number)
        self._undo.afterCommit((self._named,))

    def _putRow(self, transaction: Any, number: int, old: int) -> None:
        self._queues.put(ROW, _ROW.pack(VERSION, number, old), transaction)

    def _named(self) -> None:
        self.old, self._oldNumber = self.current, self._number
        self.current, self._number = self._made, self._highest
        self._made = None
        self._join()

    def _move(self, transaction: Any, limit: int) -> None:
        """Move some records; when none is left, name the new file alone."""
        room = SLICE_BYTES
        with closing(self.old.cursor(transaction)) as cursor:
            for key, record in scan(cursor, b""):
                if limit <= 0 or room <= 0:
                    return
                self.current.put(key, record, transaction)
                cursor.delete()
                limit -= 1
                room -= len(record)
        self._putRow(transaction, self._number, self._number)
        self._undo.afterCommit((self._moved,))

    def _moved(self) -> None:
        self.table = self.current
        self.task = Task.RETIRE
        self.step = None
