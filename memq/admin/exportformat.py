"""The format of an export: lines of JSON.

Version 1, in ASCII, each line an object; bytes are in base64, with padding:

    {"format": "memq export", "version": 1}                       the first line
    {"queue": B, "name": T, "set": N, "taken": N}                 a queue begins
    {"flags": N, "time": N, "crc": N, "body": B}                  one for each message
    {"messages": N, "damaged": N}                                 the queue ends
    {"queues": N}                                                 the last line

``queue`` is the name of the queue, ``name`` the same for a reader, if it is UTF-8.
``set`` and ``taken`` are its counts, as in ``stats queue``.  Messages come in their
order.  ``flags`` are the client's, ``time`` is when the message was set, milliseconds
since 1970-01-01 UTC, ``crc`` the CRC-32 (zlib's) of the body.  ``messages`` is how many
there were; ``damaged`` how many could not be read, and are not there: set less taken is
both together.  ``queues`` is how many queues there were.

``name``, ``time`` and ``crc`` may be missing.  A file without its last line is cut.

These are there only when they are not 0:

- of a queue, ``limit``, the most messages that may wait, ``paused``, which is 1 for
  reads, 2 for writes and 3 for both, and ``delayed``, how many more messages it has
  that are not due yet;
- of a message, ``expires``, a time like its ``time``, ``tries``, how often it was given
  back, and ``due``, the time from which on it is to be seen: it is a delayed one then,
  and comes after those that are not;
- of the end of a queue, ``delayed``, how many of these there were, which are not among
  its ``messages``.  If some could not be read they are among the ``damaged``.

A memq that does not know them refuses a queue with delayed messages, and reads others.

To change the format, give it the next version, and go on reading this one.

This module does no I/O.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from contextlib import suppress
from typing import Any, NamedTuple
from zlib import crc32

from memq.display import shownName
from memq.wire.text import Get, parse
from memq.wire.words import MAX_FLAGS

FORMAT = "memq export"
#: The version that this module writes.
VERSION = 1
#: Bytes of the largest body: the most that --max-body allows.
MAX_BODY = 64 * 1024 * 1024
#: Bytes of the longest line, with its end.
MAX_LINE = MAX_BODY // 3 * 4 + 1024

_MAX_COUNT = (1 << 64) - 1
_MAX_DELIVERIES = (1 << 32) - 1
#: Numbers of delayed messages are made of this and 16 bits more.
_MAX_DUE = (1 << 47) - 1


class BadExport(Exception):
    """A line that is not what an export has there; says why."""


class Begin(NamedTuple):
    """The first line."""


class QueueBegin(NamedTuple):
    """A queue, whose messages follow.

    :ivar queue: its name.
    :ivar pushed: messages ever set.
    :ivar taken: messages ever taken.
    :ivar delayed: messages that are not due yet.
    :ivar limit: the most messages that may wait, 0 for any number.
    :ivar paused: what is paused: 1 reads, 2 writes, 3 both.
    """

    queue: bytes
    pushed: int
    taken: int
    delayed: int = 0
    limit: int = 0
    paused: int = 0


class Body(NamedTuple):
    """A message.

    :ivar flags: the client's, a u32.
    :ivar time: when it was set, milliseconds since 1970-01-01 UTC; None if unknown.
    :ivar body: its body.
    :ivar expires: when it expires, as ``time``; 0 for never.
    :ivar deliveries: how often it was given back, a u32.
    :ivar due: when a delayed message is to be seen, as ``time``; None for others.
    """

    flags: int
    time: int | None
    body: bytes
    expires: int = 0
    deliveries: int = 0
    due: int | None = None


class QueueEnd(NamedTuple):
    """The end of a queue.

    :ivar messages: how many there were.
    :ivar damaged: how many more could not be read.
    :ivar delayed: how many delayed ones there were.
    """

    messages: int
    damaged: int
    delayed: int = 0


class End(NamedTuple):
    """The last line.

    :ivar queues: how many queues there were.
    """

    queues: int


Line = Begin | QueueBegin | Body | QueueEnd | End


def packLine(line: Line) -> bytes:
    """Return a line, with its end."""
    match line:
        case Begin():
            fields: dict[str, object] = {"format": FORMAT, "version": VERSION}
        case QueueBegin(queue, pushed, taken, delayed, limit, paused):
            fields = {"queue": b64encode(queue).decode()}
            with suppress(UnicodeDecodeError):
                fields["name"] = queue.decode()
            fields |= {"set": pushed, "taken": taken}
            fields |= _present(delayed=delayed, limit=limit, paused=paused)
        case Body(flags, time, body, expires, deliveries, due):
            fields = {"flags": flags}
            if time is not None:
                fields["time"] = time
            fields |= _present(expires=expires, tries=deliveries)
            if due is not None:
                fields["due"] = due
            fields |= {"crc": crc32(body), "body": b64encode(body).decode()}
        case QueueEnd(messages, damaged, delayed):
            fields = {"messages": messages, "damaged": damaged}
            fields |= _present(delayed=delayed)
        case _:
            fields = {"queues": line.queues}
    return json.dumps(fields).encode() + b"\n"


def _present(**fields: int) -> dict[str, object]:
    """Return those fields that are not 0."""
    return {key: value for key, value in fields.items() if value}


def parseLine(text: bytes) -> Line:
    """Return what a line says.

    :param text: the line, with its end.
    :raise BadExport: when it is cut, or says nothing that this version knows.
    """
    if not text.endswith(b"\n"):
        raise BadExport("the line is too long" if len(text) > MAX_LINE else "it is cut")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadExport(f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BadExport("not an object")
    if "body" in fields:
        return _parseBody(fields)
    if "queue" in fields:
        return _parseQueue(fields)
    if "messages" in fields:
        return QueueEnd(
            _count(fields, "messages"),
            _count(fields, "damaged"),
            _optional(fields, "delayed"),
        )
    if "queues" in fields:
        return End(_count(fields, "queues"))
    return _parseBegin(fields)


def _parseBegin(fields: dict[str, Any]) -> Begin:
    if fields.get("format") != FORMAT:
        raise BadExport("not a line that memq export writes")
    version = _count(fields, "version")
    if version != VERSION:
        raise BadExport(f"version {version}, and this memq reads version {VERSION}")
    return Begin()


def _parseQueue(fields: dict[str, Any]) -> QueueBegin:
    queue = _bytes(fields, "queue")
    # No home has a queue that no client can ask for.
    if parse(b"get " + queue) != Get((queue,), False):
        raise BadExport(f"{shownName(queue)} is no name of a queue")
    pushed, taken = _count(fields, "set"), _count(fields, "taken")
    if taken > pushed:
        raise BadExport(f"{taken} messages are taken, of {pushed}")
    return QueueBegin(
        queue,
        pushed,
        taken,
        _optional(fields, "delayed"),
        _optional(fields, "limit"),
        _optional(fields, "paused", 3),
    )


def _parseBody(fields: dict[str, Any]) -> Body:
    body = _bytes(fields, "body")
    if len(body) > MAX_BODY:
        raise BadExport(f"a body of {len(body)} bytes is too large")
    if "crc" in fields and _count(fields, "crc") != crc32(body):
        raise BadExport("the CRC of the body is wrong")
    time = _count(fields, "time") if "time" in fields else None
    return Body(
        _count(fields, "flags", MAX_FLAGS),
        time,
        body,
        _optional(fields, "expires"),
        _optional(fields, "tries", _MAX_DELIVERIES),
        _count(fields, "due", _MAX_DUE) if "due" in fields else None,
    )


def _optional(fields: dict[str, Any], key: str, most: int = _MAX_COUNT) -> int:
    return _count(fields, key, most) if key in fields else 0


def _count(fields: dict[str, Any], key: str, most: int = _MAX_COUNT) -> int:
    value = fields.get(key)
    if type(value) is not int or not 0 <= value <= most:
        raise BadExport(f'"{key}" is not a whole number from 0 to {most}')
    return value


def _bytes(fields: dict[str, Any], key: str) -> bytes:
    value = fields[key]
    try:
        return b64decode(value, validate=True)
    except (TypeError, ValueError):
        raise BadExport(f'"{key}" is not base64') from None
