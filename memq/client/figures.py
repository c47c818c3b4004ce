"""Figures of queues, as ``stats detail`` tells them, made into tables again."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from memq.wire.figures import FIGURES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from memq.client.connection import Connection

_PREFIX = b"queue_"
#: The first figures of a queue.  A name may end as a figure does, and a rule begin as
#: the name of another queue does; but no rules have these names, one after the other.
#: A front end of a cluster tells no age.
_FIRST = [
    [name.encode("ascii") for name in names]
    for names in (FIGURES[:4], (*FIGURES[:2], *FIGURES[3:5]))
]


class Figures(NamedTuple):
    """What is told of a queue: its figures, which are numbers, and its rules."""

    name: bytes
    numbers: dict[str, int]
    rules: dict[str, str]

    def number(self, name: str) -> int:
        """Return a figure, 0 if the server does not tell it."""
        return self.numbers.get(name, 0)


def details(connection: Connection, pattern: bytes = b"") -> Iterator[Figures]:
    """Yield the figures of the queues that match a pattern, sorted by name."""
    topic = b"detail " + pattern if pattern else b"detail"
    return collect(connection.figures(topic))


def detail(connection: Connection, queue: bytes) -> Figures:
    """Return the figures of a queue; of one that is not there all are 0."""
    found = Figures(queue, {}, {})
    # All are read: a name can be a pattern that others match.
    for figures in details(connection, queue):
        if figures.name == queue:
            found = figures
    return found


def collect(lines: Iterable[tuple[bytes, bytes]]) -> Iterator[Figures]:
    """Yield the figures of each queue.

    :param lines: names and values of ``stats detail``.
    """
    rest = iter(lines)
    ahead = deque(islice(rest, len(_FIRST[0])))
    figures = None
    prefix = b""
    while ahead:
        key, value = ahead[0]
        if key.endswith(_FIRST[0][0]) and _isFirst([each for each, _ in ahead]):
            if figures is not None:
                yield figures
            prefix = key.removesuffix(_FIRST[0][0])
            figures = Figures(prefix[len(_PREFIX) : -1], {}, {})
        if figures is not None:
            _add(figures, key.removeprefix(prefix).decode("utf-8"), value)
        ahead.popleft()
        ahead.extend(islice(rest, 1))
    if figures is not None:
        yield figures


def _isFirst(keys: list[bytes]) -> bool:
    """Return whether the figures of a queue begin with these keys."""
    prefix = keys[0].removesuffix(_FIRST[0][0])
    return any(keys == [prefix + name for name in first] for first in _FIRST)


def _add(figures: Figures, name: str, value: bytes) -> None:
    if name in FIGURES:
        figures.numbers[name] = int(value)
    else:
        figures.rules[name] = value.decode("utf-8", "surrogateescape")
