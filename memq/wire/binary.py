"""memcached's binary protocol: a packet becomes a command, and has a form of reply.

:func:`parse` is given what stands before the value of a request, and returns the
command that the same words are in text; ``_KINDS`` has every opcode that is known.
Keys have the options that they have in text.  The layout of packets is in
:mod:`memq.wire.packets`.

Requests differ in their opaques, and else are often the same: so the command is made in
two steps, and the first one, all but the opaque, is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from memq.errors import BadLine, BadPacket, Meaningless, QueueError, UnknownCommand
from memq.wire import extensions as dialect
from memq.wire import text
from memq.wire.auth.refusals import AuthFailed
from memq.wire.auth.sasl import AUTH, LIST, PLAIN, STEP, SASLForm
from memq.wire.commands import (
    Claim,
    FlushAll,
    Get,
    Noop,
    Quit,
    Set,
    Verbosity,
    Version,
    deletion,
)
from memq.wire.forms import GETS, Form
from memq.wire.packets import (
    DONE,
    FLAGS_SIZE,
    KEPT_HEADS,
    NO_CAS,
    formatError,
    formatFigures,
    formatMissing,
    formatPacket,
    packCAS,
    packFirst,
    packShowing,
    readCAS,
    readHead,
)
from memq.wire.words import Refused, isName

if TYPE_CHECKING:
    from collections.abc import Sequence

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

#: Bytes of the longest one that is kept with what it means, CAS and extras included.
KEPT_REST = 300

_CAS_SIZE = 8
_SET_EXTRAS = Struct(">II")
_DELAY = Struct(">I")

#: Makes the command of an opaque.
Make = Callable[[bytes], text.Command]


class Packets(Form):
    """The form of the response to one request, or to several that were joined.

    Each response is written once, in the order of the requests, and has the opaque of
    its own.
    """

    __slots__ = ("_opaque", "_opcode", "_others")

    way = "binary"
    tail = b""

    # Not the one above: most of these live for a moment, and done and none are made.
    def __init__(self, opcode: int, opaque: bytes) -> None:
        self._opcode = opcode
        self._opaque = opaque
        #: Those of the responses after the next one, the last one first.
        self._others: list[bytes] | None = None

    def __str__(self) -> str:
        """Return the opcode, since several are the same command."""
        return f"opcode={self._opcode:02x}"

    def join(self, opaques: Sequence[bytes]) -> None:
        """Take the opaques of requests that say the same, and came behind it."""
        self._others = [*reversed(opaques)]

    def _next(self) -> bytes:
        """Return the opaque of the next response."""
        opaque = self._opaque
        if self._others:
            self._opaque = self._others.pop()
        return opaque

    # Made only when they are told: most requests need one of them, or none.

    @property
    def done(self) -> bytes:  # type: ignore[override]
        """Return the response when it is carried out."""
        return packFirst(self._opcode, DONE, 0, 0, 0) + self._next() + NO_CAS

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


class Stored(Packets):
    """The form of a set, which is told the number of its message."""

    __slots__ = ()

    numbers = True

    def stored(self, number: int) -> bytes:
        """Return the response that tells that a message is stored."""
        first = packFirst(self._opcode, DONE, 0, 0, 0)
        return first + self._next() + packCAS(number)


class QuietPackets(Packets):
    """The form of a request that is told errors only."""

    __slots__ = ()

    @property
    def done(self) -> bytes:  # type: ignore[override]
        """Return nothing."""
        self._next()
        return b""


class Found(Packets):
    """The form of what a get finds; a close or an abort finds nothing."""

    __slots__ = ("_first", "_key", "_size")

    def __init__(self, opcode: int, opaque: bytes, key: bytes) -> None:
        """Take what the response has of the request.

        :param key: the one that is to be in it, b"" for none.
        """
        self._opcode = opcode
        self._opaque = opaque
        self._key = key
        self._others = None
        #: How the last response began, and the bytes of its body: many are as large.
        self._first = b""
        self._size = -1

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
        shown = self._key
        first = packFirst(self._opcode, DONE, len(shown), FLAGS_SIZE, message.size)
        numbers = message.sequence, message.flags
        return packShowing(first, self._next(), *numbers) + shown

    def value(
        self, key: bytes, message: Message, details: Details | None = None
    ) -> bytes:
        """Return all of the response, faster than in general."""
        body, opaque, others = message.body, self._opaque, self._others
        if others:
            self._opaque = others.pop()
        if len(body) != self._size:
            self._size = size = len(body)
            opcode, keySize = self._opcode, len(self._key)
            self._first = packFirst(opcode, DONE, keySize, FLAGS_SIZE, size)
        shown = packShowing(self._first, opaque, message.sequence, message.flags)
        return shown + self._key + body


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


def _formOf(opcode: int) -> Callable[[bytes], Packets]:
    """Return what makes the form of a request of its opaque."""
    return partial(QuietPackets if opcode in _QUIET else Packets, opcode)


def _refused(head: Head, error: QueueError) -> Make:
    return lambda opaque: Refused(error, form=Packets(head.opcode, opaque))


def _set(head: Head, extras: bytes, key: bytes) -> Make:
    opcode, size = head.opcode, head.size - head.before
    kind = QuietPackets if opcode in _QUIET else Stored
    flags, exptime = _SET_EXTRAS.unpack(extras)
    delay = 0
    if not isName(key):
        delayed = dialect.parseDelay(key)
        if isinstance(delayed, QueueError):
            return _refused(head, delayed)
        key, delay = delayed
    return lambda opaque: Set(key, flags, size, kind(opcode, opaque), exptime, delay)


def _get(head: Head, extras: bytes, key: bytes) -> Make:
    opcode = head.opcode
    kind = QuietFound if opcode in _QUIET else Found
    shown = key if opcode in (GETK, GETKQ) else b""
    if isName(key):
        keys = (key,)
        return lambda opaque: Get(keys, kind(opcode, opaque, shown))
    read = dialect.parseReads([key], GETS)
    if not isinstance(read, dialect.Read):
        assert isinstance(read, Refused)
        return _refused(head, read.error)
    return lambda opaque: read._replace(form=kind(opcode, opaque, shown))


def _delete(head: Head, extras: bytes, key: bytes) -> Make:
    form = _formOf(head.opcode)
    return lambda opaque: deletion(key, form(opaque))


def _flush(head: Head, extras: bytes, key: bytes) -> Make:
    form, delay = _formOf(head.opcode), _DELAY.unpack(extras)[0] if extras else 0
    return lambda opaque: FlushAll(delay, form(opaque))


def _stat(head: Head, extras: bytes, key: bytes) -> Make:
    form = _formOf(head.opcode)
    words = [b"stats", *filter(None, key.split(b" "))]
    command = text.parseStats(words)
    return lambda opaque: command._replace(form=form(opaque))


def _plain(
    command: type[Noop] | type[Quit] | type[Verbosity] | type[Version],
) -> Callable[[Head, bytes, bytes], Make]:
    """Return what parses a request that has nothing but a form."""

    def parsePlain(head: Head, extras: bytes, key: bytes) -> Make:
        form = _formOf(head.opcode)
        return lambda opaque: command(form(opaque))

    return parsePlain


def _claim(head: Head, extras: bytes, key: bytes) -> Make:
    """Return what parses a request of SASL where nobody asks; its value has no use."""
    opcode = head.opcode
    if opcode != LIST and key.upper() != PLAIN:
        return lambda opaque: Refused(AuthFailed(), form=SASLForm(opcode, opaque))
    return lambda opaque: Claim(SASLForm(opcode, opaque))


class _Kind(NamedTuple):
    """A kind of request.

    :ivar parse: returns what makes the command of a header, extras and key.
    :ivar extras: how many bytes of extras there may be.
    :ivar keys: whether there may be a key, or may be none.
    :ivar hasValue: whether there may be a value.
    :ivar ignoresCAS: whether the CAS may be anything.
    """

    parse: Callable[[Head, bytes, bytes], Make]
    extras: tuple[int, ...] = (0,)
    keys: tuple[bool, ...] = (False,)
    hasValue: bool = False
    ignoresCAS: bool = True

    def admits(self, head: Head) -> bool:
        """Return whether a request may have what its header says."""
        return (
            head.extrasSize in self.extras
            and (head.keySize > 0) in self.keys
            and (self.hasValue or head.size == head.before)
        )


_KEY = (True,)
_KINDS: dict[int, _Kind] = {
    **dict.fromkeys((GET, GETQ, GETK, GETKQ), _Kind(_get, keys=_KEY)),
    **dict.fromkeys((SET, SETQ), _Kind(_set, (_SET_EXTRAS.size,), _KEY, True, False)),
    **dict.fromkeys((DELETE, DELETEQ), _Kind(_delete, keys=_KEY, ignoresCAS=False)),
    **dict.fromkeys((FLUSH, FLUSHQ), _Kind(_flush, (0, _DELAY.size))),
    **dict.fromkeys((QUIT, QUITQ), _Kind(_plain(Quit))),
    STAT: _Kind(_stat, keys=(True, False)),
    NOOP: _Kind(_plain(Noop)),
    VERSION: _Kind(_plain(Version)),
    LIST: _Kind(_claim),
    **dict.fromkeys((AUTH, STEP), _Kind(_claim, keys=_KEY, hasValue=True)),
    VERBOSITY: _Kind(_plain(Verbosity), (4,)),
}


def parse(first: bytes, rest: bytes) -> Make:
    """Return what makes the command that a request asks for, of its opaque.

    :param first: its header before the opaque, which is sound.
    :param rest: its CAS, extras and key; or less, where the key is longer than MAX_KEY.
    """
    head = readHead(first)
    kind = _KINDS.get(head.opcode)
    if kind is None:
        return _refused(head, UnknownCommand())
    if not kind.admits(head):
        return _refused(head, BadPacket())
    if head.keySize > MAX_KEY:
        return _refused(head, BadLine())
    if not kind.ignoresCAS and readCAS(rest):
        return _refused(head, Meaningless(b"cas"))
    extras = _CAS_SIZE + head.extrasSize
    return kind.parse(head, rest[_CAS_SIZE:extras], rest[extras:])


#: The same for short keys: clients say the same few again and again.
parseShort = lru_cache(KEPT_HEADS)(parse)
