"""Packed records: small messages that came to a queue together, in one record.

It stands under the number of the last of them, so that a look for any of them finds it.
A packed record, as it stands on disk (big-endian):

    offset  size  field
    0       1     version of this layout: 5
    1       2     number n of its messages
    3       8     time of the push, milliseconds since 1970-01-01 UTC
    11      4     CRC-32 of the 11 bytes before
    15      4 n   flags of each message
            4 n   bytes of each body
            4 n   CRC-32 of each body
            4     CRC-32 of these 12 n bytes
                  the bodies

It is never changed.  The messages before the head of the queue are gone; while the head
is within such a record, the row of the queue tells where (:mod:`memq.storage.row`).
When one of its messages is opened or given back, the record is split: those that are
left get records of their own, in the same transaction.

A damaged body costs no other message; damage before the bodies costs all of them.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from struct import Struct, pack, unpack_from
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from memq.message import Message
from memq.storage.record import (
    KEY,
    PACKED_VERSION,
    VERSION,
    DamagedRecord,
    packHeader,
    packMessage,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The version byte of a packed record.
PACKED = bytes([PACKED_VERSION])
#: The most messages of a record, and the bytes that each has beside its body.
MOST, FIELDS = 64, 12
#: Bytes of a record that lies on a page with others, and of one that fills a page of
#: 4096 bytes.  One in between has a page of its own, and so would take more room.
ON_PAGE, PAGE = 960, 4000
#: The most bytes of a body, on average, for which a packed record is cheaper.
SMALL = 512

_HEAD = Struct(">cHQ")
_CRC = Struct(">I")
_START = _HEAD.size + _CRC.size

_new = tuple.__new__


class Pack(NamedTuple):
    """A packed record that was read.

    :ivar first: number of its first message.
    :ivar messages: each, or its own record where the body is damaged.
    :ivar ends: where the first body begins, and where each one ends.
    """

    first: int
    messages: list[Message | bytes]
    ends: list[int]


def packMessages(time: int, messages: list[tuple[int, bytes]]) -> bytes:
    """Return the record of messages, of which flags and body are given."""
    count = len(messages)
    flags, bodies = zip(*messages, strict=True)
    head = _HEAD.pack(PACKED, count, time)
    fields = pack(f">{3 * count}I", *flags, *map(len, bodies), *map(crc32, bodies))
    crcs = _CRC.pack(crc32(head)), _CRC.pack(crc32(fields))
    return b"".join((head, crcs[0], fields, crcs[1], *bodies))


def lengthOf(record: bytes) -> int:
    """Return how many messages a packed record has.

    :raise DamagedRecord: when it does not tell.
    """
    head = record[: _HEAD.size]
    if len(record) < _START or record[_HEAD.size : _START] != _CRC.pack(crc32(head)):
        raise DamagedRecord("the CRC of the head of a packed record is wrong")
    return int(_HEAD.unpack(head)[1])


def unpackMessages(queueId: int, last: int, record: bytes) -> Pack:
    """Return what a packed record holds.

    :param last: the number that it was found under.
    :raise DamagedRecord: when that is not told.
    """
    count = lengthOf(record)
    end = _START + FIELDS * count
    if record[end : end + _CRC.size] != _CRC.pack(crc32(record[_START:end])):
        raise DamagedRecord("the CRC of the fields of a packed record is wrong")
    time: int = _HEAD.unpack_from(record)[2]
    fields = unpack_from(f">{3 * count}I", record, _START)
    ends = list(accumulate(fields[count : 2 * count], initial=end + _CRC.size))
    bodies = [record[start:stop] for start, stop in pairwise(ends)]
    first = last - count + 1
    rows = zip(range(first, last + 1), fields, bodies, strict=False)
    messages: list[Message | bytes] = [
        _new(Message, (queueId, sequence, flags, time, body, None, 0, None))
        for sequence, flags, body in rows
    ]
    crcs = fields[2 * count :]
    if tuple(map(crc32, bodies)) != crcs:
        for at, body in enumerate(bodies):
            if crc32(body) != crcs[at]:
                messages[at] = packHeader(VERSION, fields[at], time, crcs[at]) + body
    return Pack(first, messages, ends)


def unpacked(key: bytes, record: bytes, head: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and records of the messages of a record, each by itself.

    :param head: the number before which those of a packed record are gone.
    :raise DamagedRecord: when that is damaged.
    """
    if record[:1] != PACKED:
        yield key, record
        return
    id, last = KEY.unpack(key)
    pack = unpackMessages(id, last, record)
    for sequence in range(max(head, pack.first), last + 1):
        each = pack.messages[sequence - pack.first]
        single = each if isinstance(each, bytes) else packMessage(each)
        yield KEY.pack(id, sequence), single
