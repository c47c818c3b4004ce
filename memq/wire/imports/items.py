"""Items of an import: what a chunk is made of, as bytes and as records.

Each item is a byte that says which it is, and then (big-endian):

    Q   a queue begins    u64 set, u64 taken, u64 limit, u8 paused, u8 whether it
                          goes on with messages appended before, u8 bytes of its name,
                          and the name
    P   a part of a body  u32 bytes, and these
    M   a message         u32 flags, u64 time, u64 expires, u32 tries, u64 due (all bits
                          for none), u8 whether the parts before it are its body,
                          u8 whether it has a trace; the trace, if it has; u32 bytes of
                          its body, and these
    L   so far it is      u64 line
    E   the queue ends    u64 line
    F   all is there      u64 line

and a trace is u32 tries before, u64 since, u32 tries again, u8 reason (0 for none), u8
bytes of the name of its first queue, and that.  A line is the number of the last line
of the export that is imported then, from 1.  The numbers mean what they mean in an
export.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError
from typing import TYPE_CHECKING, NamedTuple

from memq.message import PART_SIZE, Reason, Trace
from memq.wire.words import isName

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUEUE = Struct(">QQQBBB")
_MESSAGE = Struct(">IQQIQBB")
_TRACE = Struct(">IQIBB")
_SIZE = Struct(">I")
_LINE = Struct(">Q")

#: Stands for the time when a message is due that is not delayed.
_NEVER = (1 << 64) - 1
#: Numbers of delayed messages are made of this and 16 bits more.
_MAX_DUE = (1 << 47) - 1


class BadItem(Exception):
    """Bytes that are no items."""


class QueueBegins(NamedTuple):
    """A queue, and its numbers.

    :ivar goesOn: whether its first messages were appended before.
    """

    name: bytes
    pushed: int
    taken: int
    limit: int = 0
    paused: int = 0
    goesOn: bool = False


class Part(NamedTuple):
    """A part of a body, 1 to PART_SIZE bytes."""

    data: bytes


class Item(NamedTuple):
    """A message.

    :ivar body: b"" if it came in parts.
    :ivar due: when a delayed message is to be seen; None for others.
    :ivar isLarge: whether the parts before it are its body.
    """

    flags: int
    time: int
    body: bytes
    expires: int = 0
    deliveries: int = 0
    due: int | None = None
    trace: Trace | None = None
    isLarge: bool = False


class Reached(NamedTuple):
    """The messages so far are whole, up to a line."""

    line: int


class QueueEnds(NamedTuple):
    """The queue is whole."""

    line: int


class Finished(NamedTuple):
    """All is whole."""

    line: int


AnyItem = QueueBegins | Part | Item | Reached | QueueEnds | Finished
_LINES: dict[bytes, type[Reached | QueueEnds | Finished]] = {
    b"L": Reached,
    b"E": QueueEnds,
    b"F": Finished,
}
_LETTERS = {kind: letter for letter, kind in _LINES.items()}


def packItem(item: AnyItem) -> bytes:
    """Return the bytes of an item."""
    match item:
        case Item():
            return _packMessage(item)
        case Part(data):
            return b"P" + _SIZE.pack(len(data)) + data
        case QueueBegins():
            return b"Q" + _QUEUE.pack(*item[1:], len(item.name)) + item.name
        case _:
            return _LETTERS[type(item)] + _LINE.pack(item.line)


def _packMessage(item: Item) -> bytes:
    flags, time, body, expires, deliveries, due, trace, isLarge = item
    time = min(time, _NEVER)
    due = _NEVER if due is None else due
    head = _MESSAGE.pack(
        flags, time, expires, deliveries, due, isLarge, trace is not None
    )
    if trace is not None:
        before, origin, reason, since, again = trace
        numbers = before, since, again, reason or 0, len(origin)
        head += _TRACE.pack(*numbers) + origin
    return b"M%b%b%b" % (head, _SIZE.pack(len(body)), body)


def unpackItems(data: bytes) -> list[AnyItem]:
    """Return the items that bytes are.

    :raise BadItem: when they are none.
    """
    try:
        return list(_Reader(data).items())
    except (StructError, IndexError, ValueError):
        raise BadItem from None


class _Reader:
    """Reads items; raises StructError, IndexError or ValueError where there is none."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def items(self) -> Iterator[AnyItem]:
        while self._at < len(self._data):
            letter = self._bytes(1)
            if letter == b"M":
                yield self._message()
            elif letter == b"P":
                yield Part(self._sized(1))
            elif letter == b"Q":
                yield self._queue()
            else:
                (line,) = self._numbers(_LINE)
                yield _LINES.get(letter, _noItem)(line)

    def _numbers(self, struct: Struct) -> tuple[int, ...]:
        found = struct.unpack_from(self._data, self._at)
        self._at += struct.size
        return found

    def _bytes(self, size: int) -> bytes:
        found = self._data[self._at : self._at + size]
        self._at += size
        if len(found) != size:
            raise ValueError
        return found

    def _sized(self, least: int) -> bytes:
        (size,) = self._numbers(_SIZE)
        if not least <= size <= PART_SIZE:
            raise ValueError
        return self._bytes(size)

    def _name(self, size: int) -> bytes:
        name = self._bytes(size)
        if not isName(name):
            raise ValueError
        return name

    def _queue(self) -> QueueBegins:
        pushed, taken, limit, paused, goesOn, size = self._numbers(_QUEUE)
        if taken > pushed or paused > 3:
            raise ValueError
        name = self._name(size)
        return QueueBegins(name, pushed, taken, limit, paused, bool(goesOn))

    def _message(self) -> Item:
        flags, time, expires, tries, due, isLarge, isTraced = self._numbers(_MESSAGE)
        trace = self._trace() if isTraced else None
        if _MAX_DUE < due < _NEVER:
            raise ValueError
        dueAt = None if due == _NEVER else due
        body = self._sized(0)
        if isLarge and body:
            raise ValueError
        return Item(flags, time, body, expires, tries, dueAt, trace, bool(isLarge))

    def _trace(self) -> Trace:
        before, since, again, number, size = self._numbers(_TRACE)
        if not number:
            if size:
                raise ValueError
            return Trace(before, b"", None, since, again)
        return Trace(before, self._name(size), Reason(number), since, again)


def _noItem(line: int) -> Reached:
    raise ValueError
