"""A message, and the record that a store keeps of it.

A record, as it stands on disk (big-endian):

    offset  size  field
    0       1     version of this layout: 1
    1       4     flags, unsigned, given back to the client as they came
    5       8     time of the push, milliseconds since 1970-01-01 UTC
    13      4     CRC-32 (zlib's) of the body
    17      n     body

To change the layout, give it the next version, keep reading the old ones, and
add a record of the old version to test_message.py.  This module never does
I/O and knows neither stores nor clients.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple
from zlib import crc32

#: The version byte of the records that this module writes.
VERSION = 1

_HEADER = Struct(">BIQI")
_packHeader = _HEADER.pack
_unpackHeader = _HEADER.unpack_from

#: Bytes that a record has before its body.
HEADER_SIZE = _HEADER.size


class Message(NamedTuple):
    """One message, as it was taken from a queue or looked at.

    :ivar queueId: the id of the queue that it stands in, a u32.
    :ivar sequence: its place in that queue, a u64; places are never used twice.
    :ivar flags: the client's flags, a u32.
    :ivar time: when it was pushed, milliseconds since 1970-01-01 UTC.
    :ivar body: the body, of any bytes, perhaps none.
    """

    queueId: int
    sequence: int
    flags: int
    time: int
    body: bytes


class DamagedRecord(Exception):
    """A record whose bytes are not what was once written."""


def packRecord(flags: int, time: int, body: bytes) -> bytes:
    """Return the record of a message.

    :param flags: 0 to 4294967295.
    :param time: milliseconds since 1970-01-01 UTC.
    :param body: the body.
    """
    return _packHeader(VERSION, flags, time, crc32(body)) + body


def unpackRecord(queueId: int, sequence: int, record: bytes) -> Message:
    """Return the message that a record holds.

    :param queueId: the id of the queue that the record was found in.
    :param sequence: the place in that queue where it was found.
    :raise DamagedRecord: when the record is cut short, of an unknown version,
        or its body does not have the CRC that was written with it.
    """
    if len(record) < HEADER_SIZE:
        raise DamagedRecord(f"{len(record)} bytes are too few for a record")
    version, flags, time, crc = _unpackHeader(record)
    if version != VERSION:
        raise DamagedRecord(f"a record of unknown version {version}")
    body = record[HEADER_SIZE:]
    if crc32(body) != crc:
        raise DamagedRecord(f"the CRC of a body of {len(body)} bytes is wrong")
    return Message(queueId, sequence, flags, time, body)
