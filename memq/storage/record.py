"""The records that a store keeps of messages, and the keys that they stand under.

A record, as it stands on disk (big-endian):

    offset  size  field
    0       1     version of this layout: 1
    1       4     flags, unsigned, given back to the client as they came
    5       8     time of the push, milliseconds since 1970-01-01 UTC
    13      4     CRC-32 (zlib's) of the body
    17      n     body

A body of more than PART_SIZE is kept in parts, and its record says which:

    offset  size  field
    0       1     version of this layout: 2
    1       4     flags
    5       8     time of the push
    13      8     id of the body
    21      8     bytes of the body
    29      4     number of its parts
    33      4     CRC-32 of the 33 bytes before

A message that expires has records of their own kinds, which say when:

    offset  size  field
    0       1     version of this layout: 3
    1       4     flags
    5       8     time of the push
    13      8     when it expires, milliseconds since 1970-01-01 UTC
    21      4     CRC-32 of the 21 bytes before and of the body
    25      n     body

    offset  size  field
    0       1     version of this layout: 4, the body is in parts
    1       4     flags
    5       8     time of the push
    13      8     when it expires
    21      8     id of the body
    29      8     bytes of the body
    37      4     number of its parts
    41      4     CRC-32 of the 41 bytes before

A message with a trace (:class:`memq.message.Trace`) has records of their own kinds,
which tell that:

    offset  size  field
    0       1     version of this layout: 6
    1       4     flags
    5       8     time of the push
    13      8     when it expires, 0 for never
    21      4     deliveries before it came to its queue
    25      4     deliveries of a dead letter in its queue, before it was retried later
    29      1     why it left its first queue: 1 deliveries, 2 expired, 0 it did not
    30      8     when it did, milliseconds since 1970-01-01 UTC, or 0
    38      1     bytes o of the name of that queue, or 0
    39      o     that name
    39+o    4     CRC-32 of the 39+o bytes before and of the body
    43+o    n     body

    offset  size  field
    0       1     version of this layout: 7, the body is in parts
    1       38+o  as above
    39+o    8     id of the body
    47+o    8     bytes of the body
    55+o    4     number of its parts
    59+o    4     CRC-32 of the 59+o bytes before

A part is a record as well:

    offset  size  field
    0       1     version of this layout: 1
    1       4     CRC-32 of the bytes that follow
    5       n     bytes of the body

To change the layout, give it the next version, keep reading the old ones, and
add a record of the old version to test_record.py.  This module never does
I/O and knows neither stores nor clients.
"""

from __future__ import annotations

from struct import Struct
from struct import error as FormatError
from zlib import crc32

from memq.message import LargeBody, Message, Reason, Trace

#: The key of a message: id of its queue, sequence number.  Key prefix of the parts of a
#: body: 0, id of the body.
KEY = Struct(">IQ")
#: Key prefix of a queue's messages: its id.
ID = Struct(">I")
#: The key of a part: 0, id of the body, number of the part.
PART = Struct(">IQI")

#: In the table of queues: the key of the id that the next queue gets; key prefixes of
#: tombstones, of damaged records, of how often a message that is in its queue was given
#: back: then id and sequence number, as in its own key; and of how far an import is:
#: then its token.
NEXT_ID = b"\0next-id"
TOMBSTONE = b"\0deleted"
DAMAGED = b"\0damaged"
DELIVERIES = b"\0tries"
IMPORT = b"\0import"
#: How often it was.
DELIVERIES_ROW = Struct(">I")

#: The version bytes of the records that this module writes.
VERSION = 1
LARGE_VERSION = 2
EXPIRING_VERSION = 3
EXPIRING_LARGE_VERSION = 4
PART_VERSION = 1
#: Of a record of several messages, see :mod:`memq.storage.packed`.
PACKED_VERSION = 5
TRACED_VERSION = 6
TRACED_LARGE_VERSION = 7

_HEADER = Struct(">BIQI")
packHeader = _HEADER.pack
_unpackHeader = _HEADER.unpack_from

_new = tuple.__new__

#: Bytes that a record has before its body.
HEADER_SIZE = _HEADER.size

_LARGE = Struct(">BIQQQI")
_EXPIRING = Struct(">BIQQ")
_EXPIRING_LARGE = Struct(">BIQQQQI")
#: The last field is the length of the name that follows.
_TRACED = Struct(">BIQQIIBQB")
_WHERE = Struct(">QQI")
_REASONS: dict[int, Reason | None] = {0: None} | {int(each): each for each in Reason}
_PART_HEAD = Struct(">BI")
_CRC = Struct(">I")

#: Bytes that a record of a message that expires has before its body.
EXPIRING_HEADER_SIZE = _EXPIRING.size + _CRC.size
#: Bytes of a record of a large body that expires.
_LONGEST = _EXPIRING_LARGE.size + _CRC.size


class DamagedRecord(Exception):
    """A record whose bytes are not what was once written."""


def packRecord(flags: int, time: int, body: bytes) -> bytes:
    """Return the record of a message."""
    return packHeader(VERSION, flags, time, crc32(body)) + body


def packExpiring(flags: int, time: int, body: bytes, expires: int) -> bytes:
    """Return the record of a message that expires.

    :param expires: when, milliseconds since 1970-01-01 UTC, 1 or more.
    """
    head = _EXPIRING.pack(EXPIRING_VERSION, flags, time, expires)
    return head + _CRC.pack(crc32(body, crc32(head))) + body


def packAny(
    flags: int,
    time: int,
    body: bytes | LargeBody,
    expires: int,
    trace: Trace | None = None,
) -> bytes:
    """Return the record of a message of whatever kind.

    :param expires: milliseconds since 1970-01-01 UTC, 0 for never.
    """
    if trace is not None:
        return _packTraced(flags, time, body, expires, trace)
    if isinstance(body, LargeBody):
        return packLarge(flags, time, body, expires)
    if expires:
        return packExpiring(flags, time, body, expires)
    return packRecord(flags, time, body)


def packMessage(message: Message) -> bytes:
    """Return the record that a message was in, or is to be in."""
    body = message.body if message.large is None else message.large
    return packAny(message.flags, message.time, body, message.expires, message.trace)


def bodySize(record: bytes) -> int:
    """Return the bytes of the body that a record is of, however damaged it is."""
    version = record[0] if record else 0
    if version == LARGE_VERSION and len(record) == _LARGE.size + _CRC.size:
        return int(_LARGE.unpack_from(record)[4])
    if version == EXPIRING_LARGE_VERSION and len(record) == _LONGEST:
        return int(_EXPIRING_LARGE.unpack_from(record)[5])
    if version == PACKED_VERSION:
        return max(0, len(record) - 19 - 12 * int.from_bytes(record[1:3], "big"))
    if isTraced(record):
        return _tracedSize(record)
    header = EXPIRING_HEADER_SIZE if version == EXPIRING_VERSION else HEADER_SIZE
    return max(0, len(record) - header)


def _tracedSize(record: bytes) -> int:
    nameEnd = _headOfTraced(record)
    if record[0] == TRACED_VERSION:
        return max(0, len(record) - nameEnd - _CRC.size)
    if len(record) == nameEnd + _WHERE.size + _CRC.size:
        return int(_WHERE.unpack_from(record, nameEnd)[1])
    return 0


def unpackRecord(queueId: int, sequence: int, record: bytes) -> Message:
    """Return the message that a record holds.

    :raise DamagedRecord: when the record is cut short, of an unknown version,
        or its body does not have the CRC that was written with it.
    """
    try:
        version, flags, time, crc = _unpackHeader(record)
    except FormatError:
        why = f"{len(record)} bytes are too few for a record"
        raise DamagedRecord(why) from None
    if version != VERSION:
        return _unpackOther(queueId, sequence, record)
    body = record[HEADER_SIZE:]
    if crc32(body) != crc:
        raise DamagedRecord(f"the CRC of a body of {len(body)} bytes is wrong")
    # The same as Message(), but for a call of Python's; every get comes through here.
    return _new(Message, (queueId, sequence, flags, time, body, None, 0, None))


def _unpackOther(queueId: int, sequence: int, record: bytes) -> Message:
    version = record[0]
    if version == EXPIRING_VERSION:
        return _unpackExpiring(queueId, sequence, record)
    if version in (LARGE_VERSION, EXPIRING_LARGE_VERSION):
        return _unpackLarge(queueId, sequence, record)
    if isTraced(record):
        return _unpackTraced(queueId, sequence, record)
    if version == PACKED_VERSION:
        raise DamagedRecord("a packed record whose fields are damaged")
    raise DamagedRecord(f"a record of unknown version {version}")


def _unpackExpiring(queueId: int, sequence: int, record: bytes) -> Message:
    size = _EXPIRING.size
    head, body = record[:size], record[EXPIRING_HEADER_SIZE:]
    if record[size:EXPIRING_HEADER_SIZE] != _CRC.pack(crc32(body, crc32(head))):
        raise DamagedRecord(
            f"the CRC of a message that expires, of {len(body)} bytes, is wrong"
        )
    _, flags, time, expires = _EXPIRING.unpack(head)
    return Message(queueId, sequence, flags, time, body, None, expires)


def packLarge(flags: int, time: int, large: LargeBody, expires: int = 0) -> bytes:
    """Return the record of a message whose body is kept in parts.

    :param expires: milliseconds since 1970-01-01 UTC, 0 for never.
    """
    if expires:
        version = EXPIRING_LARGE_VERSION
        head = _EXPIRING_LARGE.pack(version, flags, time, expires, *large)
    else:
        head = _LARGE.pack(LARGE_VERSION, flags, time, *large)
    return head + _CRC.pack(crc32(head))


def _unpackLarge(queueId: int, sequence: int, record: bytes) -> Message:
    expires = 0
    layout = _LARGE if record[0] == LARGE_VERSION else _EXPIRING_LARGE
    head, crc = record[: layout.size], record[layout.size :]
    if crc != _CRC.pack(crc32(head)):
        raise DamagedRecord("the CRC of a record of a large body is wrong")
    _, flags, time, *where = layout.unpack(head)
    if layout is _EXPIRING_LARGE:
        expires, *where = where
    return Message(queueId, sequence, flags, time, b"", LargeBody(*where), expires)


def isTraced(record: bytes) -> bool:
    """Return whether a record is that of a message with a trace."""
    return bool(record) and record[0] in (TRACED_VERSION, TRACED_LARGE_VERSION)


def _packTraced(
    flags: int, time: int, body: bytes | LargeBody, expires: int, trace: Trace
) -> bytes:
    """Return the record of a message with a trace."""
    isLarge = isinstance(body, LargeBody)
    head = _TRACED.pack(
        TRACED_LARGE_VERSION if isLarge else TRACED_VERSION,
        flags,
        time,
        expires,
        trace.deliveries,
        trace.again,
        trace.reason or 0,
        trace.since,
        len(trace.origin),
    )
    head += trace.origin
    if isinstance(body, LargeBody):
        head += _WHERE.pack(*body)
        return head + _CRC.pack(crc32(head))
    return head + _CRC.pack(crc32(body, crc32(head))) + body


def _headOfTraced(record: bytes) -> int:
    """Return where the name ends in a record, or would end if it was not cut short."""
    size = _TRACED.size
    # The name's length is the last byte before it.
    return size + (record[size - 1] if len(record) >= size else 0)


def _unpackTraced(queueId: int, sequence: int, record: bytes) -> Message:
    isLarge = record[0] == TRACED_LARGE_VERSION
    nameEnd = _headOfTraced(record)
    crcAt = nameEnd + (_WHERE.size if isLarge else 0)
    bodyAt = crcAt + _CRC.size
    head, body = record[:crcAt], record[bodyAt:]
    if record[crcAt:bodyAt] != _CRC.pack(crc32(body, crc32(head))):
        raise DamagedRecord("the CRC of a message with a trace is wrong")
    fields = _TRACED.unpack_from(record)
    _, flags, time, expires, deliveries, again, reason, since, _ = fields
    large = LargeBody(*_WHERE.unpack_from(record, nameEnd)) if isLarge else None
    if (isLarge and body) or reason not in _REASONS:
        raise DamagedRecord("a message with a trace has fields of no known meaning")
    origin = record[_TRACED.size : nameEnd]
    trace = Trace(deliveries, origin, _REASONS[reason], since, again)
    return Message(queueId, sequence, flags, time, body, large, expires, trace)


def packPart(data: bytes) -> bytes:
    """Return the record of a part."""
    return _PART_HEAD.pack(PART_VERSION, crc32(data)) + data


def unpackPart(record: bytes) -> bytes:
    """Return the bytes of a part.

    :raise DamagedRecord: when they are not what was once written.
    """
    data = record[_PART_HEAD.size :]
    if record[: _PART_HEAD.size] != _PART_HEAD.pack(PART_VERSION, crc32(data)):
        raise DamagedRecord(f"the CRC of a part of {len(data)} bytes is wrong")
    return data
