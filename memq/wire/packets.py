"""Packets of memcached's binary protocol: the layout of requests and responses.

::

    0       magic: 80 in a request, 81 in a response (hexadecimal)
    1       opcode
    2-3     bytes of the key
    4       bytes of the extras
    5       data type, which is 0 and has no meaning
    6-7     status in a response; no meaning in a request
    8-11    bytes of all that follows the header: extras, key and value
    12-15   opaque: any four bytes, which come back in the response
    16-23   CAS: the number of a message in its queue, or 0

Numbers are big-endian.  The extras come first, then the key, then the value.  The draft
``protocol-binary`` of memcached has the format, and its server what that leaves open.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from memq.errors import (
    AlreadyOpen,
    BodyTimedOut,
    BodyTooLarge,
    FlushAllDisabled,
    NotOpen,
    NotStored,
    OutOfMemory,
    OutOfSpace,
    QueueError,
    TooManyOpen,
    UnknownCommand,
)
from memq.wire.auth.refusals import NotAllowed

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The first byte of a request, and of a response.
REQUEST = 0x80
RESPONSE = 0x81

#: Statuses of a response.
DONE = 0x0000
NOT_FOUND = 0x0001
TOO_LARGE = 0x0003
INVALID = 0x0004
NOT_STORED = 0x0005
FORBIDDEN = 0x0020
UNKNOWN = 0x0081
OUT_OF_MEMORY = 0x0082
INTERNAL = 0x0084
BUSY = 0x0085
TEMPORARY = 0x0086

#: Where the opaque of a packet begins, and where the CAS does, behind it.
OPAQUE, CAS = 12, 16
#: Bytes of a header.
HEADER_SIZE = 24
_FIRST = Struct(">BBHBBHI")
_CAS = Struct(">Q")
NO_CAS = bytes(_CAS.size)
#: Returns a CAS.
packCAS = _CAS.pack
#: How many beginnings of packets are kept, with what they mean.
KEPT_HEADS = 2048

_STATUSES: dict[type[QueueError], int] = {
    UnknownCommand: UNKNOWN,
    BodyTooLarge: TOO_LARGE,
    NotStored: NOT_STORED,
    OutOfMemory: OUT_OF_MEMORY,
    # Clients know no better word for it: they may try again.
    OutOfSpace: OUT_OF_MEMORY,
    FlushAllDisabled: FORBIDDEN,
    NotAllowed: FORBIDDEN,
    AlreadyOpen: BUSY,
    TooManyOpen: BUSY,
    NotOpen: NOT_FOUND,
    BodyTimedOut: TEMPORARY,
}
#: The words of errors whose line in text has none.
_WORDS = {b"ERROR": b"unknown command", b"NOT_STORED": b"not stored"}
_NOT_FOUND = b"not found"


class Head(NamedTuple):
    """The fields of a header before its opaque.

    :ivar size: bytes of all that follows the header.
    :ivar before: those of them that are before the value: extras and key.
    :ivar isSound: whether it is that of a request, and tells where that ends.
    """

    opcode: int
    keySize: int
    extrasSize: int
    size: int
    before: int
    isSound: bool


@lru_cache(KEPT_HEADS)
def readHead(first: bytes) -> Head:
    """Return what the bytes of a header before its opaque say."""
    magic, opcode, keySize, extrasSize, _, _, size = _FIRST.unpack(first)
    before = extrasSize + keySize
    isSound = magic == REQUEST and size >= before
    return Head(opcode, keySize, extrasSize, size, before, isSound)


def readCAS(rest: bytes) -> int:
    """Return the CAS, with which what is behind the opaque begins."""
    cas: int = _CAS.unpack_from(rest)[0]
    return cas


def statusOf(error: QueueError) -> int:
    """Return the status that tells an error."""
    status = _STATUSES.get(type(error))
    if status is not None:
        return status
    return INVALID if error.reply.startswith(b"CLIENT_ERROR") else INTERNAL


def wordsOf(error: QueueError) -> bytes:
    """Return the words that tell an error: those of its line in text."""
    reply = error.reply
    return _WORDS.get(reply) or reply.split(b"_ERROR ", 1)[-1]


@lru_cache(KEPT_HEADS)
def packFirst(
    opcode: int, status: int, keySize: int, extrasSize: int, valueSize: int
) -> bytes:
    """Return the header of a response before its opaque."""
    size = extrasSize + keySize + valueSize
    return _FIRST.pack(RESPONSE, opcode, keySize, extrasSize, 0, status, size)


def formatPacket(
    opcode: int,
    opaque: bytes,
    status: int = DONE,
    key: bytes = b"",
    value: bytes = b"",
) -> bytes:
    """Return a response without extras and CAS."""
    first = packFirst(opcode, status, len(key), 0, len(value))
    return b"%b%b%b%b%b" % (first, opaque, NO_CAS, key, value)


def formatError(opcode: int, opaque: bytes, error: QueueError) -> bytes:
    """Return the response that tells an error."""
    return formatPacket(opcode, opaque, statusOf(error), value=wordsOf(error))


def formatMissing(opcode: int, opaque: bytes, key: bytes = b"") -> bytes:
    """Return the response that tells that there is none.

    :param key: the one that was asked for, if the response is to have it, which stands
        in it instead of words.
    """
    value = b"" if key else _NOT_FOUND
    return formatPacket(opcode, opaque, NOT_FOUND, key, value)


_SHOWING = Struct(f">{OPAQUE}s{CAS - OPAQUE}sQI")
#: Returns what is before the key of a response that shows a message, of its header
#: before the opaque, that, the message's number, and its flags, which are the extras.
packShowing = _SHOWING.pack
#: Bytes of those extras.
FLAGS_SIZE = _SHOWING.size - HEADER_SIZE


def formatFigures(opcode: int, opaque: bytes, lines: bytes) -> Iterator[bytes]:
    """Yield the responses that tell lines of ``stats``, as they are in text.

    ``STAT <name> <value>`` is a packet with name and value; any other line, which ends
    them, is one that has neither.
    """
    for line in lines.split(b"\r\n")[:-1]:
        kind, *figure = line.split(b" ", 2)
        key, value = figure if kind == b"STAT" else (b"", b"")
        yield formatPacket(opcode, opaque, key=key, value=value)
