"""Packed records: small messages that came to a queue together, in one record.

A record of its own costs a message more than its body does.  So plain messages of one
queue that one transaction appends share a record, which stands under the number of the
last of them: whoever looks for the head finds it from any number in it.

A packed record, as it stands on disk (big-endian):

    offset  size  field
    0       1     version of this layout: 5
    1       2     number n of its messages, 1 to MOST
    3       8     time of the push, milliseconds since 1970-01-01 UTC
    11      4     CRC-32 of the 11 bytes before
    15      4 n   flags of each message
            4 n   bytes of each body
            4 n   CRC-32 of each body
            4     CRC-32 of these 12 n bytes
                  the bodies

It is never written anew.  The messages before the head of the queue are gone, and the
row of the queue tells the head as long as that is within such a record
(:mod:`memq.storage.row`).  Whatever else happens to one of its messages, the record is
split first: the messages that are left get records of their own, in the same
transaction.

A body that is damaged costs no other message.  Damage before the bodies costs all
messages of the record.

This module does no I/O.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from itertools import count as numbers
from struct import Struct, pack, unpack_from
from typing import TYPE_CHECKING
from zlib import crc32

from memq.message import Message
from memq.storage.record import (
    KEY,
    PACKED_VERSION,
    VERSION,
    DamagedRecord,
    packHeader,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The version byte of the records that this module writes.
PACKED = bytes([PACKED_VERSION])
#: The most messages of a record, and bytes of their bodies.
MOST = 64
MOST_BYTES = 8192
#: The most bytes of a body, on average, for which a packed record is cheaper.
SMALL = 512

_HEAD = Struct(">cHQ")
_CRC = Struct(">I")
_FIELDS = 12
#: Where the fields of the messages begin.
_START = _HEAD.size + _CRC.size

_new = tuple.__new__


def packMessages(time: int, messages: list[tuple[int, bytes]]) -> bytes:
    """Return the record of messages.

    :param time: milliseconds since 1970-01-01 UTC.
    :param messages: flags and body of each, 1 to MOST.
    """
    count = len(messages)
    flags, bodies = zip(*messages, strict=True)
    head = _HEAD.pack(PACKED, count, time)
    fields = pack(f">{3 * count}I", *flags, *map(len, bodies), *map(crc32, bodies))
    crcs = _CRC.pack(crc32(head)), _CRC.pack(crc32(fields))
    return b"".join((head, crcs[0], fields, crcs[1], *bodies))


class PackedRecord:
    """What a packed record says.

    :ivar first: sequence number of its first message.
    :ivar last: of its last one.
    """

    __slots__ = (
        "_crcs",
        "_ends",
        "_flags",
        "_messages",
        "_queueId",
        "_record",
        "_time",
        "first",
        "last",
    )

    def __init__(self, queueId: int, last: int, record: bytes) -> None:
        """Read a record.

        :param queueId: the id of the queue that it was found in.
        :param last: the number that it was found under.
        :raise DamagedRecord: when its fields are not what was once written.
        """
        count = lengthOf(record)
        end = _START + _FIELDS * count
        if record[end : end + _CRC.size] != _CRC.pack(crc32(record[_START:end])):
            raise DamagedRecord("the CRC of the fields of a packed record is wrong")
        _, _, time = _HEAD.unpack_from(record)
        fields = unpack_from(f">{3 * count}I", record, _START)
        self._queueId = queueId
        self._record = record
        self._time = time
        self._flags = fields[:count]
        self._crcs = fields[2 * count :]
        sizes = fields[count : 2 * count]
        self._ends: list[int] = list(accumulate(sizes, initial=end + _CRC.size))
        self._messages: list[Message | None] = []
        self.first = last - count + 1
        self.last = last

    def messages(self, first: int, end: int) -> list[Message | None]:
        """Return messages, None for each whose body is damaged.

        :param first: the number of the first of them.
        :param end: the number behind the last.
        """
        if not self._messages:
            self._messages = self._readAll()
        return self._messages[first - self.first : end - self.first]

    def _readAll(self) -> list[Message | None]:
        id, record, time = self._queueId, self._record, self._time
        bodies = [record[start:end] for start, end in pairwise(self._ends)]
        rows = zip(numbers(self.first), self._flags, bodies, strict=False)
        messages: list[Message | None] = [
            _new(Message, (id, sequence, flags, time, body, None, 0))
            for sequence, flags, body in rows
        ]
        crcs = tuple(map(crc32, bodies))
        if crcs != self._crcs:
            for at, crc in enumerate(crcs):
                if crc != self._crcs[at]:
                    messages[at] = None
        return messages

    def bodyBytes(self, first: int, end: int) -> int:
        """Return the bytes of the bodies of messages."""
        return self._ends[end - self.first] - self._ends[first - self.first]

    def split(self, first: int, end: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and records of messages, each by itself.

        One whose body is damaged keeps the CRC that says so.
        """
        for at in range(first - self.first, end - self.first):
            body = self._record[self._ends[at] : self._ends[at + 1]]
            head = packHeader(VERSION, self._flags[at], self._time, self._crcs[at])
            yield KEY.pack(self._queueId, self.first + at), head + body


def lengthOf(record: bytes) -> int:
    """Return how many messages a packed record has.

    :raise DamagedRecord: when it does not tell.
    """
    head = record[: _HEAD.size]
    if len(record) < _START or record[_HEAD.size : _START] != _CRC.pack(crc32(head)):
        raise DamagedRecord("the CRC of the head of a packed record is wrong")
    return int(_HEAD.unpack(head)[1])


def unpacked(key: bytes, record: bytes, head: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and records of the messages of a record, each by itself.

    :param key: the key that the record was found under.
    :param record: a record of whatever kind.
    :param head: the number before which those of a packed record are gone.
    :raise DamagedRecord: when it is a packed record whose messages cannot be told.
    """
    if record[:1] != PACKED:
        yield key, record
        return
    id, last = KEY.unpack(key)
    pack = PackedRecord(id, last, record)
    yield from pack.split(max(head, pack.first), pack.last + 1)
