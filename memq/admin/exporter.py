"""Export of a home, queue by queue, from tables that nobody changes.

The home is locked as a server would, so none can start.  If the last process in it was
killed, a store opens it first and closes it, which recovers it; in a home that was
closed in order, nothing changes.  Then the tables are read without an environment:
what a damaged page does to that ends a table that is opened again at once, and is not
written into a log.

A message that cannot be read is told, and left out.  A page has up to a hundred; so
behind one that cannot be read, the next one that can be read is looked for.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.admin.exportformat import Begin, Body, End, QueueBegin, QueueEnd, packLine
from memq.display import megabytes, numbered, shownName
from memq.errors import HomeError
from memq.storage.bdb.compaction import ROW, fileName, unpackRow
from memq.storage.bdb.store import BDBStore
from memq.storage.bdb.union import JoinedTable
from memq.storage.delays import NEVER, dueOf
from memq.storage.engine.binding import (
    ERRORS,
    StoreSettings,
    closeEnvironment,
    openReadOnly,
)
from memq.storage.engine.marker import isSettled, readMarker
from memq.storage.packed import unpacked
from memq.storage.record import (
    DELIVERIES,
    DELIVERIES_ROW,
    KEY,
    PART,
    DamagedRecord,
    unpackPart,
    unpackRecord,
)
from memq.storage.row import DamagedRow, Queue, unpackQueue

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from memq.message import LargeBody
    from memq.ratelimit import Progress
    from memq.storage.datadir.home import Home

#: Bytes of pages of a table that are kept in memory.
_CACHE = 16 * 1024 * 1024


class Unreadable(NamedTuple):
    """Messages from a first to a last number, not all of which need be there."""

    first: int
    last: int
    why: str


def settle(home: Home) -> None:
    """Recover a home, which is held, if its last process did not end in order."""
    marker = readMarker(home.directory)
    if marker is None or not isSettled(home.directory, marker):
        store = BDBStore(home, StoreSettings())
        store.open()
        store.close()


class OfflineReader:
    """The tables of a home that nobody changes."""

    def __init__(self, home: Home) -> None:
        """Open the tables of a home that is locked and settled.

        :raise memq.errors.HomeError: when one cannot be opened.
        """
        self._directory, self._way = home.directory, home.way
        self._opened: list[Any] = []
        self._messages: Any = None
        #: How often messages were given back, by queue and number; see ``queues``.
        self._deliveries: dict[tuple[int, int], int] = {}
        try:
            self._queues = self._openTable("queues")
            self._files = unpackRow(self._queues.get(ROW))
            self._openMessages()
        except (*ERRORS, DamagedRow) as error:
            self.close()
            raise HomeError(f"{self._directory}: {home.named(str(error))}") from error

    def _openTable(self, name: str) -> Any:
        table = openReadOnly(os.path.join(self._way, name), _CACHE)
        self._opened.append(table)
        return table

    def _openMessages(self) -> None:
        new, old = self._files
        self._messages = self._openTable(fileName(new))
        if old != new:
            self._messages = JoinedTable(self._messages, self._openTable(fileName(old)))

    def close(self) -> None:
        """Close the tables, however damaged they are."""
        while self._opened:
            closeEnvironment(self._opened.pop())

    def queues(self) -> list[Queue]:
        """Return the queues, sorted by name."""
        found = []
        try:
            cursor = self._queues.cursor()
            row = cursor.first()
            while row:
                # A zero byte is the first one of what is the store's own.
                if row[0][0]:
                    found.append(unpackQueue(*row))
                elif row[0].startswith(DELIVERIES):
                    id, sequence = KEY.unpack(row[0][len(DELIVERIES) :])
                    (self._deliveries[id, sequence],) = DELIVERIES_ROW.unpack(row[1])
                row = cursor.next()
            cursor.close()
        except (*ERRORS, DamagedRow) as error:
            raise HomeError(f"{self._directory}: queues: {error}") from error
        return found

    def messages(self, queue: Queue) -> Iterator[Body | Unreadable]:
        """Yield the messages of a queue in their order, and what cannot be read.

        Those that are delayed come last.
        """
        for _, found in self._under(queue.id, queue.packHead, queue.nextSequence):
            yield found
        if queue.rest.delayId:
            for number, found in self._under(queue.rest.delayId, 0, NEVER):
                if isinstance(found, Body):
                    yield found._replace(due=dueOf(number))
                else:
                    yield found

    def _under(
        self, id: int, sequence: int, end: int
    ) -> Iterator[tuple[int, Body | Unreadable]]:
        """Yield what is under an id from a number on and below the end."""
        while sequence < end:
            try:
                for number, record in self._records(id, sequence):
                    sequence = number
                    yield number, self._message(id, number, record)
                    sequence += 1
                return
            except ERRORS as error:
                self._reopen()
                readable = self._behind(id, sequence, end)
                why = str(error.args[-1]).rpartition(" -- ")[2]
                yield sequence, Unreadable(sequence, readable - 1, why)
                sequence = readable

    def _records(self, id: int, begin: int) -> Iterator[tuple[int, bytes]]:
        cursor = self._messages.cursor(None)
        found = cursor.set_range(KEY.pack(id, begin))
        while found:
            foundId, sequence = KEY.unpack(found[0])
            if foundId != id:
                break
            try:
                for key, record in unpacked(found[0], found[1], begin):
                    yield KEY.unpack(key)[1], record
            except DamagedRecord:
                yield sequence, found[1]
            found = cursor.next()
        cursor.close()

    def _message(self, id: int, sequence: int, record: bytes) -> Body | Unreadable:
        try:
            message = unpackRecord(id, sequence, record)
            body = message.body
            if message.large is not None:
                body = self._largeBody(message.large)
            deliveries = self._deliveries.get((id, sequence), 0)
            return Body(
                message.flags,
                message.time,
                body,
                message.expires,
                deliveries,
                trace=message.trace,
            )
        except DamagedRecord as error:
            return Unreadable(sequence, sequence, str(error))

    def _largeBody(self, large: LargeBody) -> bytes:
        parts = []
        for number in range(large.parts):
            record = self._messages.get(PART.pack(0, large.id, number))
            if record is None:
                raise DamagedRecord(f"part {number} of its body is not there")
            parts.append(unpackPart(record))
        return b"".join(parts)

    def _reopen(self) -> None:
        """Open the messages again, which an error has made useless."""
        self.close()
        self._queues = self._openTable("queues")
        self._openMessages()

    def _behind(self, id: int, sequence: int, end: int) -> int:
        """Return a number from which on messages can be read again.

        Damage is that of a page, mostly, so no message between can be read.
        """
        low, step = sequence, 1
        while low + step < end and not self._isReadable(id, low + step):
            low += step
            step *= 2
        high = min(low + step, end)
        while high - low > 1:
            middle = (low + high) // 2
            if self._isReadable(id, middle):
                high = middle
            else:
                low = middle
        return high

    def _isReadable(self, id: int, sequence: int) -> bool:
        try:
            next(self._records(id, sequence), None)
        except ERRORS:
            self._reopen()
            return False
        return True


def exportHome(
    home: Home,
    names: Sequence[bytes],
    output: BinaryIO,
    progress: Progress,
    copyOf: str | None = None,
) -> bool:
    """Write what is in a home, tell what cannot be read, and return whether all was.

    :param home: prepared and locked.
    :param names: which queues, all if there are none.
    :param copyOf: the home of a running server of which this is a copy; None if it is
        none.
    :raise memq.errors.StartError: when the home cannot be opened, or has no such queue.
    """
    settle(home)
    reader = OfflineReader(home)
    try:
        queues = reader.queues()
        there = {queue.name for queue in queues}
        for name in names:
            if name not in there:
                raise HomeError(
                    f"--home {copyOf or home.path}: there is no queue {shownName(name)}"
                )
        wanted = [queue for queue in queues if queue.name in names or not names]
        return _Export(reader, output, progress).run(wanted, copyOf is not None)
    finally:
        reader.close()


class _Export:
    """Writes queues, and counts."""

    def __init__(
        self, reader: OfflineReader, output: BinaryIO, progress: Progress
    ) -> None:
        self._reader = reader
        self._output = output
        self._progress = progress
        self._messages = self._bytes = self._damaged = 0
        #: How many messages there are by the counts of their queues, 1 or more.
        self._total = 1

    def run(self, queues: Sequence[Queue], isLive: bool) -> bool:
        """Write queues; return whether all of their messages could be read."""
        counts = (each.pushed - each.taken + each.rest.delayed for each in queues)
        self._total = max(1, sum(counts))
        self._progress.begin()
        self._output.write(packLine(Begin(isLive)))
        for queue in queues:
            self._writeQueue(queue)
        self._output.write(packLine(End(len(queues))))
        self._output.flush()
        self._progress.tell(
            f"exported {numbered(len(queues), 'queue')}, {self._figures()}"
        )
        if self._damaged:
            self._progress.tell(f"{self._damaged} messages could not be read")
        return not self._damaged

    def _figures(self) -> str:
        return f"{self._messages} messages, {megabytes(self._bytes)}"

    def _reached(self) -> str:
        return f"{self._figures()}, {self._progress.rate(self._messages):.0f}/s"

    def _writeQueue(self, queue: Queue) -> None:
        write = self._output.write
        rest = queue.rest
        counts = queue.pushed, queue.taken, rest.delayed, rest.limit, rest.paused
        write(packLine(QueueBegin(queue.name, *counts)))
        count = delayed = 0
        for found in self._reader.messages(queue):
            if isinstance(found, Unreadable):
                self._tellUnreadable(queue, found)
                continue
            write(packLine(found))
            if found.due is None:
                count += 1
            else:
                delayed += 1
            self._messages += 1
            self._bytes += len(found.body)
            self._progress.reach(self._reached, self._messages / self._total)
        # Its counts differ from the messages that are there by those that are damaged.
        damaged = queue.pushed - queue.taken + rest.delayed - count - delayed
        write(packLine(QueueEnd(count, damaged, delayed)))
        self._damaged += damaged

    def _tellUnreadable(self, queue: Queue, what: Unreadable) -> None:
        which = f"message {what.first}"
        if what.last != what.first:
            which = f"messages from {what.first} to {what.last}"
        self._progress.tell(
            f"queue {shownName(queue.name)}: {which} cannot be read: {what.why}"
        )
