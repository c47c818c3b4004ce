"""A rule, that is, what holds for a queue, and the keys that say so in a file.

The parsers are those of settings.py and a few more of their kind: each returns the
value or raises ValueError with the words that say what is allowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from memq.config.options import (
    BYTES,
    DECIMAL,
    LIST,
    TEXT,
    TRUTH,
    WHOLE,
    Parser,
    number,
    oneOf,
    secondsUpTo,
    size,
)
from memq.config.toml import key
from memq.wire.words import isName

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Bits of ``Rule.paused``.
READS, WRITES = 1, 2
#: Seconds that anything may be set to: a year.
LONGEST = 31_536_000

#: What names have in common, up to what else they are without.
_ALLOWED = "1 to 250 bytes without blanks, control bytes"
_PATTERN = frozenset(b"*?[")
_PAUSED = {"no": 0, "reads": READS, "writes": WRITES, "both": READS | WRITES}
_OVERFLOW = {"reject": False, "drop-oldest": True}
_TRUTH = {"false": False, "true": True}


class Rule(NamedTuple):
    """What holds for one queue; by default, nothing does.

    :ivar maxItems: messages that may wait; 0 for any number.
    :ivar maxBytes: bytes of bodies that may wait; 0 for any number.
    :ivar dropOldest: whether a full queue drops its oldest messages to take a new one,
        and does not refuse that.
    :ivar maxAgeMs: milliseconds after which a message expires; 0 for never.
    :ivar honorExptime: whether messages expire when their sets say so.
    :ivar openSeconds: after which an open read is given back; 0 for never.
    :ivar maxDeliveries: how often a message is given back before it is dropped, or goes
        to ``deadLetter``; 0 for any number.
    :ivar deadLetter: the queue for these, which is another one; None for none.
    :ivar expiredTo: the queue for what has expired, which is another one too.
    :ivar fanout: the queues that a set goes to as well, by their own rules.
    :ivar fanoutOnly: whether it goes to them alone.  Never without any.
    :ivar paused: READS, WRITES, both or 0.
    :ivar idleSeconds: after which an empty queue is removed; 0 for never.
    :ivar reaches: with fanout, every queue that a set goes to in the end, each once:
        first this one, unless fanoutOnly, then the nearest.  Else nothing.
    """

    maxItems: int = 0
    maxBytes: int = 0
    dropOldest: bool = False
    maxAgeMs: int = 0
    honorExptime: bool = False
    openSeconds: float = 0.0
    maxDeliveries: int = 0
    deadLetter: bytes | None = None
    expiredTo: bytes | None = None
    fanout: tuple[bytes, ...] = ()
    fanoutOnly: bool = False
    paused: int = 0
    idleSeconds: float = 0.0
    reaches: tuple[bytes, ...] = ()

    def settings(self) -> list[tuple[str, str]]:
        """Return the keys that are in force, with their values as the file has them."""
        return [
            (name, each.show(getattr(self, each.field)))
            for name, each in KEYS.items()
            if getattr(self, each.field) != Rule._field_defaults[each.field]
        ]


class Key(NamedTuple):
    """A key that a [queue] table can have.

    :ivar field: of Rule.
    :ivar kinds: what it may be in a configuration file.
    :ivar parse: what makes the field's value of a text; of each element of a LIST.
    :ivar show: what makes a text of the value.
    """

    field: str
    kinds: tuple[type, ...]
    parse: Parser
    show: Callable[[Any], str] = str


def isPattern(name: bytes) -> bool:
    """Tell whether the name of a table has something of a pattern in it."""
    return not _PATTERN.isdisjoint(name)


def quoted(queue: bytes) -> str:
    """Return the name of a queue as text, in one line."""
    return key(queue.decode("utf-8", "backslashreplace"))


def tableName(text: str) -> bytes:
    """Return the name of a table: that of a queue, or a pattern.

    :raise ValueError: with what is allowed, when it is not.
    """
    name = text.encode()
    if isName(name):
        return name
    raise ValueError(f"must be named by a queue or a pattern, {_ALLOWED} and /")


def _target(text: str) -> bytes:
    """Return the name of a queue, given as text."""
    name = text.encode()
    if isName(name) and not isPattern(name):
        return name
    raise ValueError(f"must be the name of a queue, {_ALLOWED}, /, *, ? and [")


def _targetOrNone(text: str) -> bytes | None:
    """Return the name of a queue, given as text; None for an empty one."""
    if text == "":
        return None
    try:
        return _target(text)
    except ValueError as error:
        raise ValueError(f'{error}; or "" for none') from None


def _choice(words: Mapping[str, Any]) -> Parser:
    """Return a parser of words that stand for values."""
    allowed = oneOf(*words)
    return lambda text: words[allowed(text)]


def _word(words: Mapping[str, Any]) -> Callable[[Any], str]:
    """Return what makes the word of a value."""
    return {value: word for word, value in words.items()}.__getitem__


def _milliseconds(text: str) -> int:
    """Return the milliseconds of some seconds, given as text; not 0 unless they are."""
    seconds: float = _seconds(text)
    return max(round(seconds * 1000), int(seconds > 0))


def _plain(seconds: float) -> str:
    """Return seconds as text, without needless digits."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


_seconds = secondsUpTo(LONGEST)
_truth = _choice(_TRUTH)

#: What a [queue] table can have, under its name in the file.
KEYS = {
    "max_items": Key("maxItems", WHOLE, number(0, 9_999_999_999)),
    "max_bytes": Key("maxBytes", BYTES, size(0, 1 << 40)),
    "overflow": Key("dropOldest", TEXT, _choice(_OVERFLOW), _word(_OVERFLOW)),
    "max_age": Key("maxAgeMs", DECIMAL, _milliseconds, lambda ms: _plain(ms / 1000)),
    "honor_exptime": Key("honorExptime", TRUTH, _truth, _word(_TRUTH)),
    "open_timeout": Key("openSeconds", DECIMAL, _seconds, _plain),
    "max_deliveries": Key("maxDeliveries", WHOLE, number(0, 1_000_000)),
    "dead_letter": Key("deadLetter", TEXT, _targetOrNone, bytes.decode),
    "expired_to": Key("expiredTo", TEXT, _targetOrNone, bytes.decode),
    "fanout": Key("fanout", LIST, _target, lambda names: b",".join(names).decode()),
    "fanout_only": Key("fanoutOnly", TRUTH, _truth, _word(_TRUTH)),
    "paused": Key("paused", TEXT, _choice(_PAUSED), _word(_PAUSED)),
    "remove_when_idle": Key("idleSeconds", DECIMAL, _seconds, _plain),
}
