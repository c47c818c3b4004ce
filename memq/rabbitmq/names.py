"""Names: what a queue and a message are called in RabbitMQ, there and back.

A name of memq is bytes, one of RabbitMQ is UTF-8 of at most 255 bytes:

- UTF-8 stays as it is;
- ``%``, bytes that are no UTF-8 and the first one of a leading ``amq.``, which RabbitMQ
  keeps for itself, become ``%`` and two hexadecimal digits;
- what is longer than 255 bytes then becomes ``%%`` and its SHA-256; the whole name goes
  along as the queue's argument NAME_ARGUMENT;
- what is memq's own has a ``/`` in it, which no queue of a client has.

What a pattern matches is told to RabbitMQ by a regular expression, of Erlang's kind,
for the bytes of its names.

A message has its flags and the time when it was set in headers: other programs may set
messages without them.  What became of a dead letter stands in headers of RabbitMQ's,
or of memq's own where a front end has set it again.
"""

from __future__ import annotations

import codecs
import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.message import Message, Reason, Trace
from memq.policy.patterns import BYTES, STAR, meet, parts

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

#: The argument of a queue with a long name.
NAME_ARGUMENT = "memq-name"
#: Bytes of the longest name.
LONGEST = 255
#: The headers of a message: the client's flags, and milliseconds since 1970-01-01 UTC.
FLAGS, TIME = "f", "t"
#: The header of one that expires: when, in the same.  How long it had when it was set
#: is a property of its own, by which its queue goes.
EXPIRES = "e"
#: Headers of what is set again, see memq.message.Trace: how often it was given back in
#: its queue before; how often in others; its first queue, why it left that, and when.
TRIES, BEFORE, ORIGIN, REASON, SINCE = "n", "b", "o", "r", "s"
#: The header that a queue itself adds: how often the message was given back.
DELIVERIES = "x-delivery-count"
#: The headers of a dead letter: the queues that it left, the last first; the first one.
DEATHS, FIRST_DEATH = "x-death", "x-first-death-queue"
#: What the names of queues begin with that are memq's own.
OWN = "memq/"
#: The largest flags, and the largest time.
MOST_FLAGS, MOST_TIME = (1 << 32) - 1, (1 << 62) - 1

_REASONS = {"delivery_limit": Reason.DELIVERIES, "expired": Reason.EXPIRED}
_RESERVED = "amq."
#: Matches what stands for one byte, whichever that is.
_ANY = b"(?:[^%/]|%[0-9a-f]{2})"
_NOT_RESERVED = rb"(?!amq\.)"
#: Bytes that an escape has behind its sign: only there can a star be cut wrongly.
_WITHIN = frozenset(b"0123456789abcdef")
#: What is behind the last part of a pattern.
_END: frozenset[int] = frozenset()
#: What an expression has an escape for.
_SPECIAL = re.compile(rb"[\\^$.|?*+()\[{]")


class Name(NamedTuple):
    """The name of a queue in RabbitMQ.

    :ivar queue: the name.
    :ivar arguments: what the queue is declared with because of it.
    """

    queue: str
    arguments: Mapping[str, str]


def _asHex(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    wrong = error.object[error.start : error.end]
    return "".join(f"%{byte:02x}" for byte in wrong), error.end


codecs.register_error("memq-percent", _asHex)


def _whole(queue: bytes) -> str:
    """Return the name of a queue, however long it is."""
    whole = queue.replace(b"%", b"%25").decode("utf-8", "memq-percent")
    if whole.startswith(_RESERVED):
        whole = f"%{ord(whole[0]):02x}{whole[1:]}"
    return whole


def encode(queue: bytes) -> Name:
    """Return the name of a queue in RabbitMQ."""
    whole = _whole(queue)
    if len(whole.encode()) <= LONGEST:
        return Name(whole, {})
    return Name(f"%%{sha256(queue).hexdigest()}", {NAME_ARGUMENT: whole})


def decode(name: str, arguments: Mapping[str, Any]) -> bytes | None:
    """Return the name of a queue of RabbitMQ; None if it is no client's.

    :param arguments: those of the queue.
    """
    whole = arguments.get(NAME_ARGUMENT) if name.startswith("%%") else name
    queue = _queueOf(whole)
    # A queue has one name only.
    return queue if queue is not None and encode(queue).queue == name else None


def _queueOf(whole: object) -> bytes | None:
    """Return the queue of a whole name; None if it is none."""
    if not isinstance(whole, str) or "/" in whole:
        return None
    first, *others = whole.encode().split(b"%")
    try:
        parts = [bytes.fromhex(each[:2].decode("ascii")) + each[2:] for each in others]
    except ValueError:
        return None
    return b"".join([first, *parts])


def literal(name: str) -> str:
    """Return the regular expression of one name."""
    return _SPECIAL.sub(rb"\\\g<0>", name.encode()).decode()


def expression(pattern: bytes) -> str:
    """Return a regular expression for the names of the queues that a pattern matches.

    It has neither beginning nor end.  Of the names that are a digest only ``*`` matches
    all; others match none.
    """
    # The first byte may be that of a name that RabbitMQ keeps for itself: a queue with
    # such a name is no client's.
    isFirst = meet(pattern, _RESERVED.encode() + b"*")
    found = [_NOT_RESERVED] if isFirst else []
    there = parts(pattern)
    for part, behind in zip(there, [*there[1:], _END], strict=True):
        if part is STAR:
            isCut = behind is STAR or not behind.isdisjoint(_WITHIN)
            found.append((_ANY if isCut else b"[^/]") + b"*")
        else:
            found.append(_part(part, isFirst))
            isFirst = False
    return b"".join(found).decode("utf-8", "backslashreplace")


def _part(part: frozenset[int], isFirst: bool) -> bytes:
    """Return the expression of a part of a pattern that is no star."""
    if len(part) == 1 and max(part) > 0x7F:
        # The whole letter stands there.
        return bytes(part)
    missing = BYTES - part
    if not missing:
        return _ANY
    if len(missing) < len(part):
        return b"(?!%s)%s" % (_oneOf(missing, isFirst), _ANY)
    return _oneOf(part, isFirst)


def _oneOf(some: Collection[int], isFirst: bool) -> bytes:
    """Return the expression of one of some bytes."""
    plain = bytes(sorted(each for each in some if each != ord("%")))
    found = []
    if len(plain) == 1:
        found.append(_SPECIAL.sub(rb"\\\g<0>", plain))
    elif plain:
        found.append(b"[%s]" % b"".join(map(_inClass, plain)))
    escaped = {each for each in some if each > 0x7F or each == ord("%")}
    if isFirst:
        escaped.update({ord(_RESERVED[0])}.intersection(some))
    found += [b"%%%02x" % each for each in sorted(escaped)]
    if len(found) == 1:
        return found[0]
    # Without any, nothing matches.
    return b"(?:%s)" % b"|".join(found) if found else b"(?!)"


def _inClass(byte: int) -> bytes:
    letter = b"%c" % byte
    return letter if letter.isalnum() else b"\\x%02x" % byte


def headers(
    flags: int, time: int, expires: int = 0, trace: Trace | None = None
) -> dict[str, Any]:
    """Return the headers of a message.

    :param time: when it was set, in milliseconds since 1970-01-01 UTC.
    :param expires: when it expires, in the same; 0 for never.
    :param trace: what became of it before.
    """
    found: dict[str, Any] = {FLAGS: flags, TIME: time}
    if expires:
        found[EXPIRES] = expires
    if trace is not None:
        if trace.counted:
            found[TRIES] = trace.counted
        if trace.origin:
            found |= _left(trace)
    return found


def _left(trace: Trace) -> dict[str, Any]:
    """Return the headers that tell which queue a dead letter left first."""
    found: dict[str, Any] = {ORIGIN: _whole(trace.origin), SINCE: trace.since}
    if trace.deliveries >= 0:
        found[BEFORE] = trace.deliveries
    if trace.reason is not None:
        found[REASON] = int(trace.reason)
    return found


def expiration(expires: int, now: int) -> str | None:
    """Return after how many milliseconds a message expires, as its queue takes it."""
    return str(max(0, expires - now)) if expires else None


def message(number: int, headers: Mapping[str, Any] | None, body: bytes) -> Message:
    """Return a message as it was taken from a queue.

    :param number: what this process counts it as.
    :param headers: those that it has, if any.
    :return: its trace has how often it was given back, and where a dead letter is from.
    """
    found = headers or {}
    if len(found) == 2:
        flags, time = found.get(FLAGS), found.get(TIME)
        if (
            type(flags) is int
            and type(time) is int
            and 0 <= flags <= MOST_FLAGS
            and 0 <= time <= MOST_TIME
        ):
            # As most are.
            return Message(0, number, flags, time, body)
    flags = _within(found.get(FLAGS), MOST_FLAGS)
    time = _within(found.get(TIME), MOST_TIME)
    deliveries = _within(found.get(DELIVERIES), MOST_FLAGS)
    before = _within(found.get(TRIES), MOST_FLAGS)
    expires = _within(found.get(EXPIRES), MOST_TIME)
    death = None
    if DEATHS in found:
        # The queue that it left has let it have no end any more.
        death, expires = _death(found), 0
    # What it was tried before was in the queue that it has left.
    counted = deliveries if death is not None else deliveries + before
    trace = _origin(found, counted) if ORIGIN in found else None
    if trace is None and death is not None:
        trace = _died(death, counted)
    if trace is None and counted:
        trace = Trace(counted)
    return Message(0, number, flags, time, body, expires=expires, trace=trace)


def _origin(headers: Mapping[str, Any], counted: int) -> Trace | None:
    """Return the trace of a dead letter that was set again; None of what is none."""
    origin, number = _queueOf(headers[ORIGIN]), headers.get(REASON)
    if not origin:
        return None
    reason = Reason(number) if number in list(Reason) else None
    before = headers.get(BEFORE)
    tries = -1 if before is None else _within(before, MOST_FLAGS)
    return Trace(tries, origin, reason, _within(headers.get(SINCE), MOST_TIME), counted)


def _death(headers: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what is told of the first queue that a message left; None if it left none.

    A message that was delayed has left a queue of memq's own before.
    """
    told, first = headers[DEATHS], headers.get(FIRST_DEATH)
    deaths = told[::-1] if isinstance(told, list) else []
    deaths = [each for each in deaths if isinstance(each, dict)]
    # One that it left again stands at the beginning.
    deaths.sort(key=lambda each: each.get("queue") != first)
    others = (each for each in deaths if not str(each.get("queue")).startswith(OWN))
    return next(others, None)


def _died(death: Mapping[str, Any], counted: int) -> Trace | None:
    """Return the trace of a dead letter; None if nobody knows from where it is.

    Of a name that is a digest the headers do not tell the whole.
    """
    origin = decode(str(death.get("queue")), {})
    if origin is None:
        return None
    reason, since = _REASONS.get(str(death.get("reason"))), death.get("time")
    return Trace(-1, origin, reason, _moment(since), counted)


def _moment(time: object) -> int:
    """Return a time of a header in milliseconds since 1970-01-01 UTC; 0 for none."""
    if not isinstance(time, datetime):
        return 0
    # Versions of pika tell the zone, or do not; it is the same.
    return int(time.replace(tzinfo=UTC).timestamp() * 1000)


def _within(value: object, most: int) -> int:
    # pika has a class of its own for integers of 64 bits.
    return int(value) if isinstance(value, int) and 0 <= value <= most else 0
