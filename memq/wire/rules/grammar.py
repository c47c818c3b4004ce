"""Rules on a line: ``rule set``, ``rule try``, ``rule unset``, ``rule list`` and
``rule show`` become commands.

Keys and values are any words; memq.config knows what they mean.
"""

from __future__ import annotations

from typing import NamedTuple

from memq.errors import BadLine, UnknownCommand
from memq.wire.forms import CHANGES, ENDS, Form
from memq.wire.words import Refused, isName


class SetRule(NamedTuple):
    """Set keys of the online rule of a name or pattern.

    :ivar values: each key and its value, words with blanks between.
    """

    queue: bytes
    values: bytes
    form: Form = CHANGES


class TryRule(NamedTuple):
    """Tell which queues that would change, and what."""

    queue: bytes
    values: bytes
    form: Form = ENDS


class UnsetRule(NamedTuple):
    """Remove a key of an online rule, all of it without one."""

    queue: bytes
    key: bytes | None = None
    form: Form = CHANGES


class ListRules(NamedTuple):
    """Tell the online rules."""

    form: Form = ENDS


class ShowRule(NamedTuple):
    """Tell the rule of a queue, and where each value comes from."""

    queue: bytes
    form: Form = ENDS


RuleCommand = SetRule | TryRule | UnsetRule | ListRules | ShowRule


def parseRule(words: list[bytes]) -> RuleCommand | Refused:
    """Return what a line asks for that begins with ``rule``."""
    what = words[1].lower() if len(words) > 1 else b""
    rest = words[2:]
    if what == b"list" and not rest:
        return ListRules()
    if what in (b"set", b"try"):
        # A pattern, and then pairs.
        isRight = len(rest) > 2 and len(rest) % 2
    else:
        most = {b"unset": 2, b"show": 1}.get(what, 0)
        isRight = 1 <= len(rest) <= most
    if not isRight:
        return Refused(UnknownCommand())
    name = rest[0]
    if not isName(name):
        return Refused(BadLine())
    if what == b"show":
        return ShowRule(name)
    if what == b"unset":
        return UnsetRule(name, rest[1] if len(rest) > 1 else None)
    values = b" ".join(rest[1:])
    return SetRule(name, values) if what == b"set" else TryRule(name, values)
