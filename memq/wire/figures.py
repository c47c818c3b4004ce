"""Figures: the replies to ``stats`` and its topics, and to ``dump_stats``."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.wire.forms import END

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from memq.message import Message

#: The figures of a queue, in this order; docs/protocol.md says what each one is.
FIGURES = (
    *("items", "bytes", "age", "total_items", "taken", "deleted", "expired"),
    *("discarded", "open_transactions", "waiters", "delayed", "deliveries"),
    *("refused_full", "refused_paused", "refused_fanout"),
)

#: Of these, what Kestrel's clients read in ``stats``, and by which names.
KESTREL = {
    "items": b"items",
    "bytes": b"bytes",
    "total_items": b"total_items",
    "expired": b"expired_items",
    "age": b"age",
    "discarded": b"discarded",
    "waiters": b"waiters",
    "open_transactions": b"open_transactions",
}

#: What is told of a message, in this order; the last four of a dead letter only.
PEEKED = (
    *("number", "bytes", "flags", "age", "expires", "deliveries"),
    *("origin", "reason", "since", "deliveries_before"),
)

#: Figures of memcached's for what never happens to a queue.  Some tools give up when
#: one of memcached's is missing.
_NEVER = (
    *("cmd_touch", "cmd_meta", "get_flushed", "incr_misses", "incr_hits"),
    *("decr_misses", "decr_hits", "cas_misses", "cas_hits", "cas_badval"),
    *("touch_hits", "touch_misses", "reclaimed"),
    *("expired_unfetched", "evicted_unfetched", "conn_yields", "listen_disabled_num"),
    *("time_in_listen_disabled_us", "hash_power_level", "hash_bytes"),
    "hash_is_expanding",
)


class QueueFigures(NamedTuple):
    """The figures and rules of a queue.

    :ivar figures: a number for each of those that are known.
    :ivar rules: names and values of the rules in force.
    :ivar known: which of FIGURES these are.
    """

    name: bytes
    figures: Sequence[int]
    rules: Iterable[tuple[str, object]] = ()
    known: tuple[str, ...] = FIGURES

    def named(self) -> list[tuple[bytes, bytes]]:
        """Return names and values of the figures, and then of the rules."""
        figures = [*zip(self.known, self.figures, strict=True), *self.rules]
        return [(name.encode("ascii"), _told(value)) for name, value in figures]


def _told(value: object) -> bytes:
    return str(value).encode("utf-8", "surrogateescape")


def formatStats(figures: Iterable[tuple[str, object]]) -> bytes:
    """Return the reply to stats: a line a figure, then END."""
    return formatFigures(figures) + END


def formatFigures(figures: Iterable[tuple[str, object]]) -> bytes:
    """Return the lines of a reply to stats; _ stands for each blank of a value.

    Some tools give up at a line that has more than three words.
    """
    lines = [
        f"STAT {name} {str(figure).replace(' ', '_')}\r\n" for name, figure in figures
    ]
    return _told("".join(lines))


def formatCounts(counts: Iterable[tuple[bytes, int, int]]) -> bytes:
    """Return the reply to stats queue: name, messages set and taken, then END."""
    return b"".join([b"STAT %b %d/%d\r\n" % count for count in counts]) + END


def formatRowCounts(rows: Iterable[QueueFigures]) -> bytes:
    """Return the lines of the reply to stats queue, of some queues.

    The difference is what waits, whoever has set and taken the others.
    """
    lines = []
    for row in rows:
        figures = dict(zip(row.known, row.figures, strict=True))
        taken = figures["taken"]
        came = taken + figures["items"] + figures["open_transactions"]
        lines.append(b"STAT %b %d/%d\r\n" % (row.name, came, taken))
    return b"".join(lines)


@lru_cache(4)
def _detail(known: tuple[str, ...]) -> bytes:
    """Return the lines of figures, with a zero byte for the name, and figures open."""
    return "".join(f"STAT queue_\0_{name} %d\r\n" for name in known).encode()


def formatDetails(rows: Iterable[QueueFigures]) -> bytes:
    """Return what stats detail tells: a line a figure."""
    lines = []
    for row in rows:
        # All figures at once, then the name, in which no zero byte is, take a seventh:
        # there may be very many.
        told = _detail(row.known) % tuple(row.figures)
        lines.append(told.replace(b"\0", row.name))
        lines += [
            b"STAT queue_%b_%b %b\r\n" % (row.name, name.encode("ascii"), _told(value))
            for name, value in row.rules
        ]
    return b"".join(lines)


def formatMessage(message: Message, now: int, deliveries: int) -> bytes:
    """Return what stats peek tells of a message.

    :param now: milliseconds since 1970-01-01 UTC.
    :param deliveries: how often it was given back in its queue.
    """
    age, trace = max(0, now - message.time), message.trace
    told: list[object] = [message.sequence, message.size, message.flags, age]
    told += [message.expires, deliveries]
    if trace is not None and trace.reason is not None:
        origin = trace.origin.decode("utf-8", "surrogateescape")
        reason = trace.reason.name.lower()
        told += [origin, reason, trace.since]
        if trace.deliveries >= 0:
            told.append(trace.deliveries)
    return formatStats(zip(PEEKED, told, strict=False))


def formatKestrel(rows: Iterable[QueueFigures]) -> bytes:
    """Return what stats tells of each queue."""
    lines = [
        b"STAT queue_%b_%b %d\r\n" % (row.name, KESTREL[name], value)
        for row in rows
        for name, value in zip(row.known, row.figures, strict=True)
        if name in KESTREL
    ]
    return b"".join(lines)


def formatDump(rows: Iterable[QueueFigures]) -> bytes:
    """Return what dump_stats tells: a block a queue, as Kestrel has it."""
    lines: list[bytes] = []
    for row in rows:
        lines.append(b"queue '%b' {\r\n" % row.name)
        lines += [b"  %b=%b\r\n" % figure for figure in row.named()]
        lines.append(b"}\r\n")
    return b"".join(lines)


def memcachedFigures(known: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Yield memcached's own of ``stats``: what is known, then what never changes."""
    yield from known.items()
    yield "accepting_conns", 1
    for name in _NEVER:
        yield name, 0


def memcachedSettings(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield memcached's own of ``stats settings``, made of the command line's options.

    Each means what comes nearest to it here.
    """
    yield "maxconns", str(options["max-connections"])
    yield "tcpport", str(options["port"])
    yield "udpport", "0"
    yield "inter", options["listen"]
    yield "domain_socket", options["socket"] or "NULL"
    yield "verbosity", str(options["verbose"])
    yield "oldest", "0"
    yield "evictions", "off"
    yield "num_threads", "1"
    yield "item_size_max", str(options["max-body"])
    yield "idle_timeout", f"{options['idle-timeout']:g}"
    yield "flush_enabled", "yes" if options["enable-flush-all"] else "no"
    yield "cas_enabled", "no"
    yield "detail_enabled", "no"
    yield "dump_enabled", "no"
    yield "auth_enabled_sasl", "no"
    yield "auth_enabled_ascii", options["auth-file"] or "no"
    yield "binding_protocol", "auto-negotiate"
    yield "lru_crawler", "no"
