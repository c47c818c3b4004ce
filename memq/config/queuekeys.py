"""The keys of a [queue] table: what a rule's fields are in a configuration file.

The parsers are those of the options and a few more of their kind: each returns the
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
from memq.policy.rule import FIELDS, READS, WRITES, Rule, isPattern
from memq.wire.words import isName

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Seconds that anything may be set to: a year.
LONGEST = 31_536_000

#: What names have in common, up to what else they are without.
_ALLOWED = "1 to 250 bytes without blanks, control bytes"
_PAUSED = {"no": 0, "reads": READS, "writes": WRITES, "both": READS | WRITES}
_OVERFLOW = {"reject": False, "drop-oldest": True}
_TRUTH = {"false": False, "true": True}


class Key(NamedTuple):
    """A key that a [queue] table can have; FIELDS has the field of Rule.

    :ivar kinds: what it may be in a configuration file.
    :ivar parse: what makes the field's value of a text; of each element of a LIST.
    :ivar show: what makes a text of the value.
    """

    kinds: tuple[type, ...]
    parse: Parser
    show: Callable[[Any], str] = str


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
    "max_items": Key(WHOLE, number(0, 9_999_999_999)),
    "max_bytes": Key(BYTES, size(0, 1 << 40)),
    "overflow": Key(TEXT, _choice(_OVERFLOW), _word(_OVERFLOW)),
    "max_age": Key(DECIMAL, _milliseconds, lambda ms: _plain(ms / 1000)),
    "honor_exptime": Key(TRUTH, _truth, _word(_TRUTH)),
    "open_timeout": Key(DECIMAL, _seconds, _plain),
    "max_deliveries": Key(WHOLE, number(0, 1_000_000)),
    "dead_letter": Key(TEXT, _targetOrNone, bytes.decode),
    "expired_to": Key(TEXT, _targetOrNone, bytes.decode),
    "fanout": Key(LIST, _target, lambda names: b",".join(names).decode()),
    "fanout_only": Key(TRUTH, _truth, _word(_TRUTH)),
    "paused": Key(TEXT, _choice(_PAUSED), _word(_PAUSED)),
    "remove_when_idle": Key(DECIMAL, _seconds, _plain),
}


def inForce(rule: Rule) -> list[tuple[str, str]]:
    """Return the keys that say what a rule has, with their values as text."""
    values = {name: getattr(rule, field) for name, field in FIELDS.items()}
    return [
        (name, KEYS[name].show(value))
        for name, value in values.items()
        if value != Rule._field_defaults[FIELDS[name]]
    ]
