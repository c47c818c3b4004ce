"""What is told of each queue, by ``stats detail`` and ``dump_stats``.

No I/O, no state, no Twisted: rows of figures become bytes of a reply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: What is told of a queue, in this order; docs/protocol.md says what each one is.
FIGURES = (
    "items",
    "bytes",
    "age",
    "total_items",
    "taken",
    "deleted",
    "expired",
    "discarded",
    "open_transactions",
    "waiters",
    "delayed",
    "deliveries",
    "refused_full",
    "refused_paused",
    "refused_fanout",
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


class QueueFigures(NamedTuple):
    """What is told of a queue.

    :ivar figures: a number for each of FIGURES.
    :ivar rules: names and values of the rules in force.
    """

    name: bytes
    figures: Sequence[int]
    rules: Iterable[tuple[str, object]] = ()

    def named(self) -> list[tuple[bytes, bytes]]:
        """Return names and values of the figures, and then of the rules."""
        figures = [*zip(FIGURES, self.figures, strict=True), *self.rules]
        return [(name.encode("ascii"), _told(value)) for name, value in figures]


def _told(value: object) -> bytes:
    return str(value).encode("utf-8", "surrogateescape")


def formatDetails(rows: Iterable[QueueFigures]) -> bytes:
    """Return what stats detail tells: a line a figure."""
    lines = [
        b"STAT queue_%b_%b %b\r\n" % (row.name, name, value)
        for row in rows
        for name, value in row.named()
    ]
    return b"".join(lines)


def formatKestrel(rows: Iterable[QueueFigures]) -> bytes:
    """Return what stats tells of each queue."""
    lines = [
        b"STAT queue_%b_%b %d\r\n" % (row.name, KESTREL[name], value)
        for row in rows
        for name, value in zip(FIGURES, row.figures, strict=True)
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
