"""Rules of queues, as records, and the names of their fields in tables."""

from __future__ import annotations

from typing import NamedTuple

from memq.display import tomlKey

#: Bits of ``Rule.paused``.
READS, WRITES = 1, 2

#: Open reads that a connection has at most, on all queues together: so many hold about
#: 12 MB of memory.
MOST_OPEN = 10_000

_PATTERN = frozenset(b"*?[")


class Rule(NamedTuple):
    """The rule of one queue; by default, nothing holds for it.

    :ivar maxItems: messages that may wait; 0 for any number.
    :ivar maxBytes: bytes of bodies that may wait; 0 for any number.
    :ivar dropOldest: whether a full queue drops its oldest messages to take a new one,
        and does not refuse that.
    :ivar maxAgeMs: milliseconds after which a message expires; 0 for never.
    :ivar honorExptime: whether messages expire when their sets say so.
    :ivar openSeconds: after which an open read is given back; 0 for never.
    :ivar maxOpen: open reads of the queue that a connection has at most, if it asks for
        more than one; 0 for as many as it may have at all, which is MOST_OPEN.
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
    maxOpen: int = 0
    maxDeliveries: int = 0
    deadLetter: bytes | None = None
    expiredTo: bytes | None = None
    fanout: tuple[bytes, ...] = ()
    fanoutOnly: bool = False
    paused: int = 0
    idleSeconds: float = 0.0
    reaches: tuple[bytes, ...] = ()


#: The fields of a rule that a table can say, by the keys of the table.
FIELDS = {
    "max_items": "maxItems",
    "max_bytes": "maxBytes",
    "overflow": "dropOldest",
    "max_age": "maxAgeMs",
    "honor_exptime": "honorExptime",
    "open_timeout": "openSeconds",
    "max_open": "maxOpen",
    "max_deliveries": "maxDeliveries",
    "dead_letter": "deadLetter",
    "expired_to": "expiredTo",
    "fanout": "fanout",
    "fanout_only": "fanoutOnly",
    "paused": "paused",
    "remove_when_idle": "idleSeconds",
}


def isPattern(name: bytes) -> bool:
    """Tell whether the name of a table has something of a pattern in it."""
    return not _PATTERN.isdisjoint(name)


def quoted(queue: bytes) -> str:
    """Return the name of a queue as text, in one line."""
    return tomlKey(queue.decode("utf-8", "backslashreplace"))
