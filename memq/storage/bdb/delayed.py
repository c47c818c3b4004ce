"""Delayed messages in a table of Berkeley DB: put, found first, and moved when ripe.

What is said of their numbers in :mod:`memq.storage.delays` holds here.  All functions
raise what the binding raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.message import bodySize
from memq.storage.delays import freeNumber
from memq.storage.keys import KEY

if TYPE_CHECKING:
    from memq.storage.row import Queue


def firstDelayed(messages: Any, id: int) -> int:
    """Return a number that none under an id is below.

    :param messages: the table.
    """
    cursor = messages.cursor(None)
    found = cursor.set_range(KEY.pack(id, 0))
    cursor.close()
    return int(KEY.unpack(found[0][: KEY.size])[1]) if found else 0


def putDelayed(
    messages: Any, transaction: Any, id: int, due: int, record: bytes
) -> int:
    """Put a message behind those that are due at the same time; return its number.

    :param messages: the table.
    :param id: what it is to be under.
    :param due: milliseconds since 1970-01-01 UTC.
    """
    cursor = messages.cursor(transaction)

    def highest(number: int) -> int:
        # No key stands between that of the number and this one.
        found = cursor.set_range(KEY.pack(id, number) + b"\0")
        found = cursor.prev() if found else cursor.last()
        if not found:
            return -1
        foundId, sequence = KEY.unpack(found[0][: KEY.size])
        return sequence if foundId == id else -1

    try:
        sequence = freeNumber(due, highest)
    finally:
        cursor.close()
    messages.put(KEY.pack(id, sequence), record, transaction)
    return sequence


def moveRipe(
    messages: Any, transaction: Any, queue: Queue, first: int, last: int, most: int
) -> tuple[int, int | None]:
    """Move messages of a queue from its delayed ones to its end, and count them.

    :param messages: the table.
    :param first: a number that no delayed message of the queue is below.
    :param last: the number up to which they are ripe.
    :param most: how many at most.
    :return: how many, and the number of the first one that is left, None if none is.
    """
    id = queue.rest.delayId
    count = size = 0
    left = None
    cursor = messages.cursor(transaction)
    try:
        found = cursor.set_range(KEY.pack(id, first))
        while found:
            key, record = found
            foundId, sequence = KEY.unpack(key[: KEY.size])
            if foundId != id:
                break
            if sequence > last or count == most:
                left = sequence
                break
            cursor.delete()
            key = KEY.pack(queue.id, queue.nextSequence)
            messages.put(key, record, transaction)
            queue.nextSequence += 1
            queue.pushed += 1
            size += bodySize(record)
            count += 1
            found = cursor.next()
    finally:
        cursor.close()
    queue.bytes += size
    if left is None:
        # There are no more, whatever the row says.
        queue.change(delayed=count, delayedBytes=size)
    queue.delay(-count, -size)
    return count, left
