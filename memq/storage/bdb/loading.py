"""Loading: a store that is opened reads its rows, and makes up for what is not in them.

Rows of version 1 do not tell the bytes of the bodies that wait.  They are counted
once, by reading all of them: 1 s for a million messages of 100 bytes.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.errors import DamagedHome
from memq.storage.engine.binding import scan
from memq.storage.record import (
    DELIVERIES,
    DELIVERIES_ROW,
    ID,
    KEY,
    NEXT_ID,
    TOMBSTONE,
    bodySize,
)
from memq.storage.row import UNCOUNTED, unpackQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from memq.storage.delays import Delays
    from memq.storage.index import QueueIndex
    from memq.storage.row import Queue


class Rows(NamedTuple):
    """The rows in the table of queues.

    :ivar queues: one for each row.
    :ivar nextId: the id that the next new queue gets.
    :ivar deliveries: how often messages were given back, by id of their queue and
        sequence number.
    :ivar tombstones: what the keys of messages begin with that are to be removed.
    """

    queues: list[Queue]
    nextId: int
    deliveries: dict[int, dict[int, int]]
    tombstones: list[bytes]


def readRows(table: Any) -> Rows:
    """Return what stands in the table of queues.

    :raise memq.storage.row.DamagedRow: when a row cannot be read.
    :raise: Berkeley DB's errors (ERRORS).
    """
    queues: list[Queue] = []
    nextId = 1
    deliveries: dict[int, dict[int, int]] = {}
    tombstones: list[bytes] = []
    with closing(table.cursor()) as cursor:
        for key, value in scan(cursor, b""):
            if key[0]:
                queues.append(unpackQueue(key, value))
            elif key == NEXT_ID:
                (nextId,) = ID.unpack(value)
            elif key.startswith(TOMBSTONE):
                tombstones.append(key[len(TOMBSTONE) :])
            elif key.startswith(DELIVERIES):
                id, sequence = KEY.unpack(key[len(DELIVERIES) :])
                (tries,) = DELIVERIES_ROW.unpack(value)
                deliveries.setdefault(id, {})[sequence] = tries
    return Rows(queues, nextId, deliveries, tombstones)


def findDelayed(messages: Any, queues: Iterable[Queue], delays: Delays) -> None:
    """Note which of the queues have delayed messages.

    :raise: Berkeley DB's errors (ERRORS).
    """
    delays.clear()
    with closing(messages.cursor(None)) as cursor:
        for queue in queues:
            if queue.rest.delayed:
                found = cursor.set_range(KEY.pack(queue.rest.delayId, 0))
                first = KEY.unpack(found[0][: KEY.size])[1] if found else 0
                delays.add(queue, first)


def refuseOld(directory: str, index: QueueIndex) -> None:
    """Refuse a home whose VERSION is gone.

    :raise memq.errors.DamagedHome: when there are queues, as in no new home.
    """
    if index.queues or index.nextId > 1:
        raise DamagedHome(
            f"{os.path.join(directory, 'VERSION')} is missing, and "
            "there are queues: bring that file back from a backup, or start with "
            "--skip-damaged"
        )


def countBytes(messages: Any, id: int, transaction: Any = None) -> int:
    """Return the bytes of all bodies under an id."""
    prefix = ID.pack(id)
    with closing(messages.cursor(transaction)) as cursor:
        return sum(bodySize(record) for _, record in scan(cursor, prefix, prefix))


def countUncounted(
    messages: Any, queues: Iterable[Queue], say: Callable[[str], None]
) -> None:
    """Count the bytes of the queues whose rows do not tell them.

    :param say: is told before it begins, for it may take long.
    """
    uncounted = [queue for queue in queues if queue.bytes == UNCOUNTED]
    if uncounted:
        waiting = sum(queue.pushed - queue.taken for queue in uncounted)
        say(f"The bytes of {waiting} messages of an older memq are counted, once")
    for queue in uncounted:
        queue.bytes = countBytes(messages, queue.id)
