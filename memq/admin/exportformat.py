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

The first line of an export that was made beside a running server has ``"live": true``,
too: it is the state of one moment, and the server went on from there.

``name``, ``time`` and ``crc`` may be missing.  A file without its last line is cut.

These are there only when they are not 0:

- of a queue, ``limit``, the most messages that may wait, ``paused``, which is 1 for
  reads, 2 for writes and 3 for both, and ``delayed``, how many more messages it has
  that are not due yet;
- of a message, ``expires``, a time like its ``time``, ``tries``, how often it was given
  back, and ``due``, the time from which on it is to be seen: it is a delayed one then,
  and comes after those that are not;
- of a message that was retried later, or is a dead letter, ``tries_before``, how often
  it was given back before it came to its queue; of a dead letter ``origin``, the queue
  that it was set to, in base64, ``reason``, why it left that, ``deliveries`` or
  ``expired``, ``since``, when, a time like the others, and ``tries_again``, how often
  it was given back in its queue before it was retried later;
- of the end of a queue, ``delayed``, how many of these there were, which are not among
  its ``messages``.  If some could not be read they are among the ``damaged``.

A memq that does not know them refuses a queue with delayed messages, and reads others:
a dead letter is a message like any other then.

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
from memq.message import Reason, Trace
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
    """The first line.

    :ivar live: whether a server was running.
    """

    live: bool = False


class QueueBegin(NamedTuple):
    """A queue, whose messages follow: its name, and its numbers as above."""

    queue: bytes
    pushed: int
    taken: int
    delayed: int = 0
    limit: int = 0
    paused: int = 0


class Body(NamedTuple):
    """A message, as above.

    :ivar time: None if unknown.
    :ivar deliveries: how often it was given back.
    :ivar due: None for a message that is not delayed.
    :ivar trace: what became of it before, None for nothing.
    """

    flags: int
    time: int | None
    body: bytes
    expires: int = 0
    deliveries: int = 0
    due: int | None = None
    trace: Trace | None = None


class QueueEnd(NamedTuple):
    """The end of a queue, as above."""

    messages: int
    damaged: int
    delayed: int = 0


class End(NamedTuple):
    """The last line, as above."""

    queues: int


Line = Begin | QueueBegin | Body | QueueEnd | End

#: Why a message left its first queue, by the words for that.
_REASONS = {each.name.lower(): each for each in Reason}

#: The default of a number that has to be there.
_NEEDED = object()


class _Number(NamedTuple):
    """A number of a line; it is not written when it is the default."""

    key: str
    most: int = _MAX_COUNT
    default: object = _NEEDED


#: The numbers of each line but the first, by the fields that have them; and those of a
#: trace, which is on the line of its message.
_NUMBERS: dict[type[Line | Trace], dict[str, _Number]] = {
    QueueBegin: {
        "pushed": _Number("set"),
        "taken": _Number("taken"),
        "delayed": _Number("delayed", default=0),
        "limit": _Number("limit", default=0),
        "paused": _Number("paused", 3, 0),
    },
    Body: {
        "flags": _Number("flags", MAX_FLAGS),
        "time": _Number("time", default=None),
        "expires": _Number("expires", default=0),
        "deliveries": _Number("tries", _MAX_DELIVERIES, 0),
        "due": _Number("due", _MAX_DUE, None),
    },
    Trace: {
        "deliveries": _Number("tries_before", _MAX_DELIVERIES, 0),
        "since": _Number("since", default=0),
        "again": _Number("tries_again", _MAX_DELIVERIES, 0),
    },
    QueueEnd: {
        "messages": _Number("messages"),
        "damaged": _Number("damaged"),
        "delayed": _Number("delayed", default=0),
    },
    End: {"queues": _Number("queues")},
}


def packLine(line: Line) -> bytes:
    """Return a line, with its end."""
    numbers = _written(line)
    fields: dict[str, object] = {}
    match line:
        case Begin(live):
            fields = {"format": FORMAT, "version": VERSION}
            fields |= {"live": True} if live else {}
        case QueueBegin(queue):
            fields = {"queue": b64encode(queue).decode()}
            with suppress(UnicodeDecodeError):
                fields["name"] = queue.decode()
            fields |= numbers
        case Body(body=body, trace=trace):
            fields = numbers
            if trace is not None:
                fields |= _writtenTrace(trace)
            fields |= {"crc": crc32(body), "body": b64encode(body).decode()}
        case _:
            fields |= numbers
    return json.dumps(fields).encode() + b"\n"


def _written(line: Line | Trace) -> dict[str, object]:
    """Return the numbers of a line, by their keys."""
    return {
        number.key: value
        for field, number in _NUMBERS.get(type(line), {}).items()
        if (value := getattr(line, field)) != number.default
    }


def _writtenTrace(trace: Trace) -> dict[str, object]:
    fields = _written(trace)
    if trace.reason is not None:
        fields["origin"] = b64encode(trace.origin).decode()
        fields["reason"] = trace.reason.name.lower()
    return fields


def parseLine(text: bytes) -> Line:
    """Return what a line says that stands here with its end.

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
        numbers = _numbers(Body, fields)
        return Body(body=_body(fields), **numbers, trace=_trace(fields))
    if "queue" in fields:
        return _parseQueue(fields)
    if "messages" in fields:
        return QueueEnd(**_numbers(QueueEnd, fields))
    if "queues" in fields:
        return End(**_numbers(End, fields))
    return _parseBegin(fields)


def _parseBegin(fields: dict[str, Any]) -> Begin:
    if fields.get("format") != FORMAT:
        raise BadExport("not a line that memq export writes")
    version = _count(fields, _Number("version"))
    if version != VERSION:
        raise BadExport(f"version {version}, and this memq reads version {VERSION}")
    return Begin(fields.get("live") is True)


def _parseQueue(fields: dict[str, Any]) -> QueueBegin:
    name = _name(fields, "queue")
    queue = QueueBegin(name, **_numbers(QueueBegin, fields))
    if queue.taken > queue.pushed:
        raise BadExport(f"{queue.taken} messages are taken, of {queue.pushed}")
    return queue


def _name(fields: dict[str, Any], key: str) -> bytes:
    name = _bytes(fields, key)
    # No home has a queue that no client can ask for.
    if parse(b"get " + name) != Get((name,)):
        raise BadExport(f"{shownName(name)} is no name of a queue")
    return name


def _trace(fields: dict[str, Any]) -> Trace | None:
    """Return what became of a message before, None for nothing."""
    trace = Trace(**_numbers(Trace, fields))
    if "origin" in fields:
        reason = _REASONS.get(str(fields.get("reason")))
        if reason is None:
            raise BadExport('"reason" is not one that this memq knows')
        trace = trace._replace(origin=_name(fields, "origin"), reason=reason)
    return None if trace == Trace(0) else trace


def _body(fields: dict[str, Any]) -> bytes:
    body = _bytes(fields, "body")
    if len(body) > MAX_BODY:
        raise BadExport(f"a body of {len(body)} bytes is too large")
    if "crc" in fields and _count(fields, _Number("crc")) != crc32(body):
        raise BadExport("the CRC of the body is wrong")
    return body


def _numbers(kind: type[Line | Trace], fields: dict[str, Any]) -> dict[str, Any]:
    return {field: _count(fields, each) for field, each in _NUMBERS[kind].items()}


def _count(fields: dict[str, Any], number: _Number) -> Any:
    key, most, default = number
    if key not in fields and default is not _NEEDED:
        return default
    value = fields.get(key)
    if type(value) is not int or not 0 <= value <= most:
        raise BadExport(f'"{key}" is not a whole number from 0 to {most}')
    return value


def _bytes(fields: dict[str, Any], key: str) -> bytes:
    try:
        return b64decode(fields[key], validate=True)
    except (TypeError, ValueError):
        raise BadExport(f'"{key}" is not base64') from None
