"""memcached's binary protocol: a packet becomes a command, and has a form of reply.

:func:`parse` is given the header of a request and what stands before its value, and
returns the command that the same words are in text; ``_KINDS`` has every opcode that is
known.  Keys have the options that they have in text.  The layout of packets is in
:mod:`memq.wire.packets`.
"""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from memq.errors import BadLine, BadPacket, CasRefused, QueueError, UnknownCommand
from memq.wire import extensions as dialect
from memq.wire import text
from memq.wire.commands import (
    Delete,
    FlushAll,
    Get,
    Noop,
    Quit,
    Set,
    Verbosity,
    Version,
)
from memq.wire.forms import Form
from memq.wire.packets import (
    formatError,
    formatFigures,
    formatFound,
    formatMissing,
    formatPacket,
)
from memq.wire.words import Refused, isName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from memq.message import Message
    from memq.wire.forms import Details
    from memq.wire.packets import Head

#: Bytes of the longest key that is looked at: a name with all options is shorter.
MAX_KEY = 1024

GET = 0x00
SET = 0x01
DELETE = 0x04
QUIT = 0x07
FLUSH = 0x08
GETQ = 0x09
NOOP = 0x0A
VERSION = 0x0B
GETK = 0x0C
GETKQ = 0x0D
STAT = 0x10
SETQ = 0x11
DELETEQ = 0x14
QUITQ = 0x17
FLUSHQ = 0x18
VERBOSITY = 0x1B

_SET_EXTRAS = Struct(">II")
_DELAY = Struct(">I")


class Packets(Form):
    """The form of the response to one request, or to several that were joined.

    Each response is written once, in the order of the requests, and has the opaque of
    its own.
    """

    __slots__ = ("_opaque", "_opcode", "_others")

    def __init__(self, head: Head) -> None:
        self.tail = b""
        self._opcode = head.opcode
        self._opaque = head.opaque
        self._others: deque[bytes] | None = None

    def __str__(self) -> str:
        """Return the opcode, since several are the same command."""
        return f"opcode={self._opcode:02x}"

    def join(self, opaques: Iterable[bytes]) -> None:
        """Take the opaques of requests that say the same, and came behind it."""
        self._others = deque(opaques)

    def _next(self) -> bytes:
        """Return the opaque of the next response."""
        opaque = self._opaque
        if self._others:
            self._opaque = self._others.popleft()
        return opaque

    # Made only when they are told: most requests need one of them, or none.

    @property
    def done(self) -> bytes:  # type: ignore[override]
        """Return the response when it is carried out."""
        return formatPacket(self._opcode, self._next())

    @property
    def none(self) -> bytes:  # type: ignore[override]
        """Return the response when there is no queue."""
        return formatMissing(self._opcode, self._next())

    def error(self, error: QueueError) -> bytes:
        """Return the response that tells an error; no request is silent about it."""
        return formatError(self._opcode, self._next(), error)

    def figures(self, lines: bytes) -> bytes:
        """Return a response a figure, and one without any for another line."""
        return b"".join(formatFigures(self._opcode, self._opaque, lines))

    def version(self, numbers: bytes) -> bytes:
        """Return the response that tells a version."""
        return formatPacket(self._opcode, self._opaque, value=numbers)


class QuietPackets(Packets):
    """The form of a request that is told errors only."""

    __slots__ = ()

    @property
    def done(self) -> bytes:  # type: ignore[override]
        """Return nothing."""
        self._next()
        return b""


class Found(Packets):
    """The form of what a get finds; a close or an abort finds nothing.

    :param key: the one that the response has, b"" for none.
    """

    __slots__ = ("_key",)

    def __init__(self, head: Head, key: bytes) -> None:
        super().__init__(head)
        self._key = key

    @property
    def done(self) -> bytes:  # type: ignore[override]
        """Return the response when there is nothing to show."""
        return self.none

    @property
    def none(self) -> bytes:  # type: ignore[override]
        """Return the response when there is no message."""
        return formatMissing(self._opcode, self._next(), self._key)

    def head(
        self, key: bytes, message: Message, details: Details | None = None
    ) -> bytes:
        """Return all but the body."""
        _, sequence, flags, *_ = message
        size = message.size
        return formatFound(
            *(self._opcode, self._next(), self._key, flags, size, sequence)
        )

    def value(
        self, key: bytes, message: Message, details: Details | None = None
    ) -> bytes:
        """Return all of the response, faster than in general."""
        body = message.body
        sequence, flags, size = message.sequence, message.flags, len(body)
        return (
            formatFound(self._opcode, self._next(), self._key, flags, size, sequence)
            + body
        )


class QuietFound(Found):
    """The form of a get that is told only what it finds."""

    __slots__ = ()

    @property
    def none(self) -> bytes:  # type: ignore[override]
        """Return nothing."""
        self._next()
        return b""


#: The requests that say nothing when all is well, or there is nothing.
_QUIET = frozenset((GETQ, GETKQ, SETQ, DELETEQ, QUITQ, FLUSHQ))


def _formOf(head: Head) -> Packets:
    return QuietPackets(head) if head.opcode in _QUIET else Packets(head)


def _set(head: Head, extras: bytes, key: bytes) -> text.Command:
    form = _formOf(head)
    if head.cas:
        return Refused(CasRefused(), form=form)
    flags, exptime = _SET_EXTRAS.unpack(extras)
    size = head.size - head.before
    if isName(key):
        return Set(key, flags, size, form, exptime)
    delayed = dialect.parseDelay(key)
    if isinstance(delayed, QueueError):
        return Refused(delayed, form=form)
    queue, delay = delayed
    return Set(queue, flags, size, form, exptime, delay)


def _get(head: Head, extras: bytes, key: bytes) -> text.Command:
    kind = QuietFound if head.opcode in _QUIET else Found
    form = kind(head, key if head.opcode in (GETK, GETKQ) else b"")
    if isName(key):
        return Get((key,), form)
    read = dialect.parseReads([key], form)
    return read._replace(form=form) if isinstance(read, Refused) else read


def _delete(head: Head, extras: bytes, key: bytes) -> text.Command:
    form = _formOf(head)
    if head.cas:
        return Refused(CasRefused(), form=form)
    return Delete(key, form) if isName(key) else Refused(BadLine(), form=form)


def _flush(head: Head, extras: bytes, key: bytes) -> text.Command:
    return FlushAll(_DELAY.unpack(extras)[0] if extras else 0, _formOf(head))


def _stat(head: Head, extras: bytes, key: bytes) -> text.Command:
    words = [b"stats", *filter(None, key.split(b" "))]
    return text.parseStats(words)._replace(form=_formOf(head))


def _plain(
    command: type[Noop] | type[Quit] | type[Verbosity] | type[Version],
) -> Callable[[Head, bytes, bytes], text.Command]:
    """Return what makes a command that has a form and nothing else."""
    return lambda head, extras, key: command(_formOf(head))


class _Kind(NamedTuple):
    """A kind of request.

    :ivar make: returns the command of a header, extras and key.
    :ivar extras: how many bytes of extras there may be.
    :ivar keys: whether there may be a key, or may be none.
    :ivar hasValue: whether there may be a value.
    """

    make: Callable[[Head, bytes, bytes], text.Command]
    extras: tuple[int, ...] = (0,)
    keys: tuple[bool, ...] = (False,)
    hasValue: bool = False


_KEY = (True,)
_KINDS: dict[int, _Kind] = {
    **dict.fromkeys((GET, GETQ, GETK, GETKQ), _Kind(_get, keys=_KEY)),
    **dict.fromkeys((SET, SETQ), _Kind(_set, (_SET_EXTRAS.size,), _KEY, True)),
    **dict.fromkeys((DELETE, DELETEQ), _Kind(_delete, keys=_KEY)),
    **dict.fromkeys((FLUSH, FLUSHQ), _Kind(_flush, (0, _DELAY.size))),
    **dict.fromkeys((QUIT, QUITQ), _Kind(_plain(Quit))),
    STAT: _Kind(_stat, keys=(True, False)),
    NOOP: _Kind(_plain(Noop)),
    VERSION: _Kind(_plain(Version)),
    VERBOSITY: _Kind(_plain(Verbosity), (4,)),
}


def parse(head: Head, rest: bytes) -> text.Command:
    """Return the command that a request asks for.

    :param head: its header, which is sound.
    :param rest: the extras and the key; or less, where the key is longer than MAX_KEY.
    """
    kind = _KINDS.get(head.opcode)
    if kind is None:
        return Refused(UnknownCommand(), form=Packets(head))
    if (
        head.extrasSize not in kind.extras
        or (head.keySize > 0) not in kind.keys
        or not (kind.hasValue or head.size == head.before)
    ):
        return Refused(BadPacket(), form=Packets(head))
    if head.keySize > MAX_KEY:
        return Refused(BadLine(), form=Packets(head))
    return kind.make(head, rest[: head.extrasSize], rest[head.extrasSize :])
