"""Needed rights: of each command, topic of ``stats`` and route of the API.

A test compares these tables with those of commands and routes: a new one has to be
here.  Where one is missing all the same, nobody but an admin may.

Rules act as the server: a set needs no right for the queues that it is handed on to.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.access.rights import ADMIN, MANAGE, MONITOR, READ, SEE, WRITE
from memq.wire import commands as wire
from memq.wire import extensions as dialect
from memq.wire import foreign
from memq.wire.imports import grammar as imports
from memq.wire.rules.grammar import ListRules, SetRule, ShowRule, TryRule, UnsetRule
from memq.wire.words import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from memq.access.rights import Rights

    Names = Callable[[str], Iterable[bytes]]


class Need(NamedTuple):
    """A right that something needs.

    :ivar right: a bit; of the server if there is no ``field``.
    :ivar field: what has the name of the queue, or several.
    :ivar filters: whether it is for everybody, but tells of those queues only for which
        somebody has the right.
    """

    right: int
    field: str = ""
    filters: bool = False


Needs = tuple[Need, ...]

_FREE: Needs = ()
_ADMIN = (Need(ADMIN),)
_MONITOR = (Need(MONITOR),)
_WRITE = (Need(WRITE, "queue"),)
_READ = (Need(READ, "queue"),)
_MANAGE = (Need(MANAGE, "queue"),)
_SEE = (Need(SEE, "queue"),)
_SEEN = (Need(SEE, filters=True),)

#: What each command needs.  That of Stats stands in TOPICS.
COMMANDS: Mapping[type, Needs] = MappingProxyType(
    {
        wire.Set: _WRITE,
        dialect.Add: _WRITE,
        wire.Get: (Need(READ, "queues"),),
        dialect.Read: _READ,
        dialect.Reads: (Need(READ, "reads"),),
        dialect.AnyOf: (Need(READ, "reads"),),
        dialect.Close: _READ,
        dialect.Touch: _READ,
        dialect.Peek: _READ,
        dialect.Monitor: _READ,
        dialect.Confirm: _READ,
        dialect.Tail: (Need(READ, filters=True),),
        wire.Delete: _MANAGE,
        dialect.Flush: _MANAGE,
        dialect.Pause: _MANAGE,
        dialect.Resume: _MANAGE,
        dialect.Move: (*_MANAGE, Need(WRITE, "target")),
        # Dead letters go back to where they were once set.
        dialect.Redrive: _MANAGE,
        wire.Describe: _SEE,
        ShowRule: _SEE,
        dialect.DumpStats: _SEEN,
        ListRules: _MONITOR,
        # A rule can hand on the messages of any queue to any other.
        SetRule: _ADMIN,
        TryRule: _ADMIN,
        UnsetRule: _ADMIN,
        imports.Begin: _ADMIN,
        imports.Put: _ADMIN,
        wire.FlushAll: _ADMIN,
        wire.Checkpoint: _ADMIN,
        wire.Archive: _ADMIN,
        dialect.Reload: _ADMIN,
        dialect.Kill: _ADMIN,
        wire.Stats: _FREE,
        wire.Version: _FREE,
        wire.Verbosity: _FREE,
        wire.Quit: _FREE,
        wire.Noop: _FREE,
        wire.Claim: _FREE,
        Refused: _FREE,
        foreign.Foreign: _FREE,
    }
)

#: What each topic of ``stats`` needs.
TOPICS: Mapping[bytes, Needs] = MappingProxyType(
    {
        b"": _FREE,
        b"items": _FREE,
        b"queue": _SEEN,
        b"detail": _SEEN,
        # It tells of the next message, and shows nothing of its body.
        b"peek": (Need(SEE, "pattern"),),
        b"settings": _MONITOR,
        b"conns": _MONITOR,
        b"reset": _ADMIN,
    }
)

_QUEUE = "/api/v1/queues/{queue}"
#: What each route of the API needs: fields are names in its path, or in its body.
ROUTES: Mapping[tuple[str, str], Needs] = MappingProxyType(
    {
        ("GET", "/api/v1/me"): _FREE,
        ("POST", "/api/v1/login"): _FREE,
        ("DELETE", "/api/v1/login"): _FREE,
        ("GET", "/api/v1/server"): _FREE,
        ("GET", "/api/v1/queues"): _SEEN,
        ("GET", "/api/v1/events"): _SEEN,
        ("GET", _QUEUE): _SEE,
        ("GET", f"{_QUEUE}/messages"): _READ,
        ("POST", f"{_QUEUE}/messages"): _WRITE,
        ("POST", f"{_QUEUE}/pause"): _MANAGE,
        ("POST", f"{_QUEUE}/resume"): _MANAGE,
        ("POST", f"{_QUEUE}/flush"): _MANAGE,
        ("POST", f"{_QUEUE}/move"): (*_MANAGE, Need(WRITE, "to")),
        ("POST", f"{_QUEUE}/redrive"): _MANAGE,
        ("DELETE", _QUEUE): _MANAGE,
        ("GET", "/api/v1/log"): _MONITOR,
        ("GET", "/api/v1/connections"): _MONITOR,
        ("GET", "/api/v1/rules"): _MONITOR,
        ("DELETE", "/api/v1/connections/{id}"): _ADMIN,
        ("PUT", "/api/v1/rules/{pattern}"): _ADMIN,
        ("DELETE", "/api/v1/rules/{pattern}"): _ADMIN,
        ("POST", "/api/v1/reload"): _ADMIN,
    }
)


def needsOf(command: Any) -> Needs:
    """Return what a command needs."""
    if type(command) is wire.Stats:
        return TOPICS.get(command.topic, _ADMIN)
    return COMMANDS.get(type(command), _ADMIN)


def allows(rights: Rights, command: Any) -> bool:
    """Return whether rights are enough for a command, for each queue that it names."""
    return areEnough(
        rights, needsOf(command), lambda field: _names(getattr(command, field))
    )


def areEnough(rights: Rights, needs: Needs, names: Names) -> bool:
    """Return whether rights are enough.

    :param names: returns the queues that a field names.
    """
    for right, field, filters in needs:
        if field:
            if not all(rights[queue] & right for queue in names(field)):
                return False
        elif not filters and not rights.server & right:
            return False
    return True


def _names(value: Any) -> Iterable[bytes]:
    """Return the queues in a field of a command: a name, names, or reads."""
    if isinstance(value, bytes):
        return (value,)
    return [each if isinstance(each, bytes) else each.queue for each in value]
