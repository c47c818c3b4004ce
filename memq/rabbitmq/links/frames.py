"""Frames: those of each set, get and close as bytes, there and back.

pika encodes and decodes everything, one object a frame and a callback a method; here is
what comes thousands of times a second, in one go each.  A frame is its kind, channel
and size, its payload, and END.

See "AMQP 0-9-1", 2.3.5 (frames), 4.2.5 (fields of methods) and 4.2.6.1 (headers).
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Any

from pika import BasicProperties
from pika.data import encode_table

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Kinds of frames, and what each ends with.
METHOD, HEADER, BODY = 1, 2, 3
END = b"\xce"
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
_NUMBERED = Struct(">LQB")
#: The beginning of a content header: class, a word that is not used, the bytes of the
#: body, and which properties there are.
_CONTENT = Struct(">HHQH")
_HEADERS, _MODE, _EXPIRATION, _MESSAGE_ID = 1 << 13, 1 << 12, 1 << 8, 1 << 7
#: Two headers with names of one character, and numbers of 64 bits ("l"): the bytes of
#: the table, and of each the name and the number.
_TWO = Struct(">L3sq3sq")
_TWO_BYTES = 22
#: A number, after its name and what says that it is one.
_NUMBER = Struct(">q")
_IS_NUMBER = ord("l")


def _short(text: str) -> bytes:
    """Return a text of up to 255 bytes, with how many these are."""
    data = text.encode()
    return bytes((len(data),)) + data


def _twoOf(headers: Mapping[str, Any]) -> bytes | None:
    """Return a table of two numbers with names of one character; None for others."""
    if len(headers) != 2:
        return None
    (first, one), (second, two) = headers.items()
    names = _namesOf(first, second)
    if type(one) is not int or type(two) is not int or names is None:
        return None
    return _TWO.pack(_TWO_BYTES, names[0], one, names[1], two)


@lru_cache(16)
def _namesOf(*names: str) -> list[bytes] | None:
    """Return names with their sizes and the kind of a number; None if one is long."""
    if any(len(name.encode()) != 1 for name in names):
        return None
    return [b"\x01%sl" % name.encode() for name in names]


def _table(headers: Mapping[str, Any]) -> bytes:
    """Return a table of headers."""
    table = _twoOf(headers)
    if table is None:
        pieces: list[bytes] = []
        encode_table(pieces, dict(headers))
        table = b"".join(pieces)
    return table


@lru_cache(4096)
def _publishing(channel: int, exchange: str, key: str) -> bytes:
    """Return the frame that says where a message goes."""
    method = b"".join((_NAMED.pack(PUBLISH, 0), _short(exchange), _short(key), b"\x01"))
    return START.pack(METHOD, channel, len(method)) + method + END


def publish(
    channel: int,
    exchange: str,
    key: str,
    body: bytes,
    messageId: str,
    headers: Mapping[str, Any] | None,
    expiration: str | None,
    most: int,
) -> bytes:
    """Return the frames of a mandatory, persistent message.

    :param expiration: milliseconds after which it is dropped; None for never.
    :param most: bytes that a frame may have.
    """
    which = _MODE | _MESSAGE_ID
    table = expires = b""
    if headers is not None:
        which |= _HEADERS
        table = _table(headers)
    if expiration is not None:
        which |= _EXPIRATION
        expires = _short(expiration)
    size = len(body)
    content = b"%s%s\x02%s%s" % (
        _CONTENT.pack(60, 0, size, which),
        table,
        expires,
        _short(messageId),
    )
    parts = [
        _publishing(channel, exchange, key),
        START.pack(HEADER, channel, len(content)),
        content,
        END,
    ]
    most -= OVERHEAD
    if 0 < size <= most:
        parts += START.pack(BODY, channel, size), body, END
        return b"".join(parts)
    for at in range(0, size, most):
        part = body[at : at + most]
        parts += START.pack(BODY, channel, len(part)), part, END
    return b"".join(parts)


def get(channel: int, queue: str, isTaken: bool) -> bytes:
    """Return the frame that asks for a message.

    :param isTaken: whether it is gone then, without an acknowledgement.
    """
    bits = b"\x01" if isTaken else b"\x00"
    method = _NAMED.pack(GET, 0) + _short(queue) + bits
    return START.pack(METHOD, channel, len(method)) + method + END


def ack(channel: int, tag: int) -> bytes:
    """Return the frame that acknowledges a message."""
    method = _NUMBERED.pack(ACK, tag, 0)
    return START.pack(METHOD, channel, len(method)) + method + END


def numbered(payload: bytes) -> tuple[int, bool]:
    """Return the number of a confirm or a found message, and the lowest of its bits."""
    _, number, bits = _NUMBERED.unpack_from(payload)
    return number, bool(bits & 1)


def content(payload: bytes) -> tuple[int, Mapping[str, Any]]:
    """Return how many bytes the body of a message has, and its headers."""
    _, _, size, which = _CONTENT.unpack_from(payload)
    if which & ~(_MODE | _EXPIRATION | _MESSAGE_ID) == _HEADERS:
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
