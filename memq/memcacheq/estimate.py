"""Estimate of the room that taking over queues of MemcacheQ's needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.memcacheq.queuefile import OldMessage
from memq.storage.datadir.sizing import MEGABYTE
from memq.storage.record import HEADER_SIZE

if TYPE_CHECKING:
    from memq.memcacheq.queuefile import QueueFile

#: The most log between two checkpoints, and how often that has to fit the disk.
VOLUME = 32 * MEGABYTE
VOLUMES = 2
#: How many messages are looked at to tell how large all of them are.
SAMPLES = 4096

#: Bytes that a record takes in a page beside itself: its key, and where both are.
_ENTRY = 12 + 16
_PAGE_HEAD = 26
_PAGE = 4096


def storedBytes(body: int) -> int:
    """Return how many bytes a message with a body of some bytes takes in the store."""
    record = HEADER_SIZE + body
    room = _PAGE - _PAGE_HEAD
    if record < room // 4 - 8:
        # Measured: 147 bytes for a body of 100, 275 for 200, 1375 for 900, which is one
        # record less in a page than would fit.
        return _PAGE // max(1, room // (record + _ENTRY) - 1) + 1
    return -(-record // room) * _PAGE + _ENTRY


def estimate(files: list[QueueFile], offsets: dict[bytes, int]) -> int:
    """Return about how many bytes messages will take, from some of them.

    :param offsets: how many records of each queue are staged already.
    """
    total = 0.0
    each = max(4, SAMPLES // max(1, len(files)))
    for file in files:
        begin = offsets.get(file.name, 0)
        left = file.span - begin
        sizes = [
            storedBytes(len(message.body))
            for offset in range(begin, file.span, max(1, left // each))
            for message in file.read(offset, offset + 1)
            if isinstance(message, OldMessage)
        ]
        mean = sum(sizes) / len(sizes) if sizes else storedBytes(file.recordBytes)
        total += mean * left
    return int(total)


def roomNeeded(messages: int, copied: int, volume: int = VOLUME) -> int:
    """Return how many bytes it takes to take over messages of so many bytes.

    :param copied: bytes that are copied to be recovered.
    :param volume: bytes of log between two checkpoints.
    """
    return copied + messages + min(VOLUMES * volume, 2 * messages) + MEGABYTE
