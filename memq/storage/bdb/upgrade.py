"""What an older memq did not keep, made up for when its home is opened.

Rows of version 1 do not tell the bytes of the bodies that wait.  They are counted
once, by reading all of them: 1 s for a million messages of 100 bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.message import bodySize
from memq.storage.keys import KEY
from memq.storage.row import UNCOUNTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from memq.storage.row import Queue


def countBytes(messages: Any, id: int, transaction: Any = None) -> int:
    """Return the bytes of all bodies under an id.

    :param messages: the table.
    """
    total = 0
    cursor = messages.cursor(transaction)
    try:
        found = cursor.set_range(KEY.pack(id, 0))
        while found and KEY.unpack(found[0])[0] == id:
            total += bodySize(found[1])
            found = cursor.next()
    finally:
        cursor.close()
    return total


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
