"""Frames: those of each set, get and close as bytes, there and back.

pika encodes and decodes everything, one object a frame and a callback a method; here is
what comes thousands of times a second, in one go each.  A frame is its kind, channel
and size, its payload, and END.

See "AMQP 0-9-1", 2.3.5 (frames), 4.2.5 (fields of methods) and 4.2.6.1 (headers).
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct, error
from typing import TYPE_CHECKING, Any

from pika import BasicProperties
from pika.data import encode_table

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Kinds of frames, and what each ends with.
METHOD, HEADER, BODY = 1, 2, 3
END = b"\xce"
_END = END[0]
#: Bytes of a frame besides its payload.
OVERHEAD = 8
#: The beginning of a frame: kind, channel, bytes of the payload.
START = Struct(">BHL")
#: The beginning of a method's payload: its class and its number, which are told apart
#: together.
WHICH = Struct(">L")
PUBLISH, GET, GET_OK, GET_EMPTY, ACK, NACK = (
    60 << 16 | number for number in (40, 70, 71, 72, 80, 120)
)
#: Class, number and a word that is not used; the name of a queue or exchange follows.
_NAMED = Struct(">LH")
#: Class and number, a delivery's number, and bits.
NUMBERED = Struct(">LQB")
#: The beginning of a content header: class, a word that is not used, the bytes of the
#: body, and which properties there are.
_CONTENT = Struct(">HHQH")
_CLASS = b"\0\x3c\0\0"
_HEADERS, _MODE, _EXPIRATION, _MESSAGE_ID = 1 << 13, 1 << 12, 1 << 8, 1 << 7
_PLAIN_HAS = _HEADERS | _MODE | _MESSAGE_ID
#: Which properties there are, and the bytes of the table.
_PROPERTIES = Struct(">HL")
#: What a message has beside headers which is published here.
_BESIDE = _MODE | _MESSAGE_ID | _EXPIRATION
#: Of a plain message, whose headers are two numbers with names of one character: the
#: bytes of its body, its properties and the first name, a number, the second name, a
#: number, the mode and the size of its id, that, what comes before its body, and the
#: bytes of that again.
_PLAIN = Struct(">Q9sq3sq2s16s4sL")
#: The bytes of such a table, and of a content header with it, the mode and the id.
_TWO_BYTES, _PLAIN_BYTES = 22, 58
_MODE_AND_ID = b"\x02\x10"
#: The same of one that comes from a queue which tells that it was never given back: a
#: third header, before the mode.
_NEVER = b"\x10x-delivery-countl" + bytes(8)
_COUNTED = Struct(">Q9sq3sq28s16s4sL")
_COUNTED_MODE = _NEVER + _MODE_AND_ID
_COUNTED_TABLE, _COUNTED_BYTES = _TWO_BYTES + len(_NEVER), _PLAIN_BYTES + len(_NEVER)
#: A number, after its name and what says that it is one.
_NUMBER = Struct(">q")
_IS_NUMBER = ord("l")


def _short(text: str) -> bytes:
    """Return a text of up to 255 bytes, with how many these are."""
    data = text.encode()
    return bytes((len(data),)) + data


@lru_cache(16)
def _namesOf(*names: str) -> tuple[bytes, bytes] | None:
    """Return what tells two names, before their numbers; None if one is long."""
    if any(len(name.encode()) != 1 for name in names):
        return None
    first, second = (b"\x01%sl" % name.encode() for name in names)
    return _PROPERTIES.pack(_PLAIN_HAS, _TWO_BYTES) + first, second


@lru_cache(16)
def _namesIn(told: bytes, second: bytes, table: int) -> tuple[str, str] | None:
    """Return such names as texts, of a table of so many bytes; None for others."""
    names = chr(told[-2]), chr(second[-2])
    expected = _namesOf(*names)
    if expected is None or second != expected[1]:
        return None
    first = expected[0][_PROPERTIES.size :]
    return names if told == _PROPERTIES.pack(_PLAIN_HAS, table) + first else None


@lru_cache(4096)
def _around(channel: int) -> tuple[bytes, bytes, bytes]:
    """Return how a plain message's header begins, here and of a queue that counts.

    And what follows it.
    """
    plain, counted = (
        START.pack(HEADER, channel, size) + _CLASS
        for size in (_PLAIN_BYTES, _COUNTED_BYTES)
    )
    return plain, counted, END + START.pack(BODY, channel, 0)[:3]


def _table(headers: Mapping[str, Any]) -> bytes:
    """Return a table of headers."""
    pieces: list[bytes] = []
    encode_table(pieces, dict(headers))
    return b"".join(pieces)


@lru_cache(4096)
def _publishing(channel: int, exchange: str, key: str) -> bytes:
    """Return the frame that says where a message goes."""
    method = b"".join((_NAMED.pack(PUBLISH, 0), _short(exchange), _short(key), b"\x01"))
    return START.pack(METHOD, channel, len(method)) + method + END


@lru_cache(4096)
def _plainly(channel: int, exchange: str, key: str) -> tuple[bytes, bytes]:
    """Return what comes before the size of a plain message, and before its body."""
    header, _, begin = _around(channel)
    return _publishing(channel, exchange, key) + header, begin


def publish(
    channel: int,
    exchange: str,
    key: str,
    body: bytes,
    number: int,
    headers: Mapping[str, Any] | None,
    expiration: str | None,
    most: int,
) -> bytes:
    """Return the frames of a mandatory, persistent message.

    :param number: what a return of it is told by, as its message id in 16 digits.
    :param expiration: milliseconds after which it is dropped; None for never.
    :param most: bytes that a frame may have.
    """
    size, messageId = len(body), b"%016d" % number
    most -= OVERHEAD
    if headers is not None and len(headers) == 2 and expiration is None:
        (first, one), (second, two) = headers.items()
        names = _namesOf(first, second)
        if names is not None and type(one) is type(two) is int and 0 < size <= most:
            told, name = names
            before, begin = _plainly(channel, exchange, key)
            header = _PLAIN.pack(
                size, told, one, name, two, _MODE_AND_ID, messageId, begin, size
            )
            return b"".join((before, header, body, END))
    which = _MODE | _MESSAGE_ID
    table = expires = b""
    if headers is not None:
        which |= _HEADERS
        table = _table(headers)
    if expiration is not None:
        which |= _EXPIRATION
        expires = _short(expiration)
    content = b"%s%s\x02%s\x10%s" % (
        _CONTENT.pack(60, 0, size, which),
        table,
        expires,
        messageId,
    )
    parts = [
        _publishing(channel, exchange, key),
        START.pack(HEADER, channel, len(content)),
        content,
        END,
    ]
    for at in range(0, size, most):
        part = body[at : at + most]
        parts += START.pack(BODY, channel, len(part)), part, END
    return b"".join(parts)


@lru_cache(4096)
def get(channel: int, queue: str, isTaken: bool) -> bytes:
    """Return the frame that asks for a message.

    :param isTaken: whether it is gone then, without an acknowledgement.
    """
    bits = b"\x01" if isTaken else b"\x00"
    method = _NAMED.pack(GET, 0) + _short(queue) + bits
    return START.pack(METHOD, channel, len(method)) + method + END


def ack(channel: int, tag: int) -> bytes:
    """Return the frame that acknowledges a message."""
    method = NUMBERED.pack(ACK, tag, 0)
    return START.pack(METHOD, channel, len(method)) + method + END


def numbered(payload: bytes) -> tuple[int, bool]:
    """Return the number of a confirm or a found message, and the lowest of its bits."""
    _, number, bits = NUMBERED.unpack_from(payload)
    return number, bool(bits & 1)


def found(
    data: bytes, at: int, number: int
) -> tuple[int, Mapping[str, int], bytes] | None:
    """Return where a plain message ends whose header begins at a place, and what it is.

    That is its headers and its body.  None if not all of it is there, if it is in
    several frames or otherwise than it is published here, or if anything is wrong.

    :param number: its channel's.
    """
    plain, counted, begin = _around(number)
    if data.startswith(counted, at):
        form, mode, table = _COUNTED, _COUNTED_MODE, _COUNTED_TABLE
    elif data.startswith(plain, at):
        form, mode, table = _PLAIN, _MODE_AND_ID, _TWO_BYTES
    else:
        return None
    at += len(plain)
    body = at + form.size
    try:
        size, told, one, name, two, kind, _, begins, left = form.unpack_from(data, at)
        isEnded = data[body + size] == _END
    except (error, IndexError):
        return None
    names = _namesIn(told, name, table)
    if names is None or kind != mode or begins != begin or left != size or not isEnded:
        return None
    end = body + size
    return end + 1, {names[0]: one, names[1]: two}, data[body:end]


def content(payload: bytes) -> tuple[int, Mapping[str, Any]]:
    """Return how many bytes the body of a message has, and its headers."""
    _, _, size, which = _CONTENT.unpack_from(payload)
    if which & ~_BESIDE == _HEADERS:
        found = _numbers(payload)
        if found is not None:
            return size, found
    properties = BasicProperties()
    properties.decode(payload[_CONTENT.size - 2 :])
    return size, properties.headers or {}


def _numbers(payload: bytes) -> Mapping[str, Any] | None:
    """Return the headers of a message if all are numbers; None if not."""
    at = _CONTENT.size + WHICH.size
    end = at + WHICH.unpack_from(payload, _CONTENT.size)[0]
    found = {}
    while at < end:
        kind = at + 1 + payload[at]
        if payload[kind] != _IS_NUMBER:
            return None
        found[payload[at + 1 : kind].decode()] = _NUMBER.unpack_from(payload, kind + 1)[
            0
        ]
        at = kind + 1 + _NUMBER.size
    return found
