"""Meta protocol of memcached: lines become commands, whose forms write the replies.

``mg``, ``ms``, ``md``, ``me``, ``ma`` and ``mn`` are lines among those of the text
protocol.  Behind the key they have flags, words of which the first letter tells which
one it is.  A reply is two letters, and those of the flags that ask for something, in
their order.  The format is that of memcached's doc/protocol.txt.

A flag that makes no difference to a queue is taken; one that would is refused.
"""

from __future__ import annotations

from binascii import Error, a2b_base64
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.errors import (
    BadLine,
    BadToken,
    DuplicateFlag,
    InvalidFlag,
    InvalidMode,
    KeyNotDecoded,
    LongOpaque,
    Meaningless,
    NotOpen,
    NotStored,
    OpenUnseen,
    QueueError,
)
from memq.wire import extensions as dialect
from memq.wire.commands import Delete, Describe, Get, Noop, Set, deletion
from memq.wire.forms import Form
from memq.wire.words import (
    MAX_FLAGS,
    MAX_NUMBER,
    MAX_SIZE,
    Refused,
    isName,
    number,
    unsized,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from memq.message import Message
    from memq.wire.forms import Details

#: Bytes of the longest opaque.
MAX_OPAQUE = 32

#: The flags of each command that mean something, or make no difference.
_MG = frozenset("bkOqvsfcthluPL")
_MS = frozenset("bkOqscFTMIfhltuvPL")
_MD = frozenset("bkOqsfhltuvPL")
_ME = frozenset("b")
#: Those that memcached has as well, and that would make one.
_REFUSED = frozenset("CDEFIJMNRTcx")
#: The modes of a set that memcached has beside its usual one.
_MODES = frozenset((b"E", b"A", b"P", b"R"))
_USUAL = b"S"

#: The numbers that a reply tells of a message, by flag, and of those that
#: :class:`~memq.wire.forms.Details` has.
_OF_MESSAGE = {"s": "size", "f": "flags", "c": "sequence"}
_OF_DETAILS = {"h": "deliveries", "l": "age", "t": "left"}
_NUMBERS = _OF_MESSAGE | _OF_DETAILS


class _Line(NamedTuple):
    """A line that is understood, but for what its flags mean together.

    :ivar token: the key as it was sent.
    :ivar key: the same, decoded.
    :ivar flags: what stands behind the letter of each flag.
    """

    verb: str
    token: bytes
    key: bytes
    flags: dict[str, bytes]

    def echo(self, numbers: Container[str] = "", size: int | None = None) -> bytes:
        """Return what a reply repeats, with a ``%d`` for each flag of ``numbers``.

        :param size: what ``s`` is told, None where it is one of the numbers.
        """
        told = []
        for flag, word in self.flags.items():
            if flag == "k":
                key = self.token + b" b" if "b" in self.flags else self.token
                told.append(b" k" + key.replace(b"%", b"%%"))
            elif flag == "O":
                told.append(b" O" + word.replace(b"%", b"%%"))
            elif flag == "s" and size is not None:
                told.append(b" s%d" % size)
            elif flag in numbers:
                told.append(b" %b%%d" % flag.encode())
        return b"".join(told)

    @property
    def shown(self) -> str:
        """Return the command and its flags, for the log."""
        words = [flag.encode() + word for flag, word in self.flags.items()]
        flags = b" ".join(words).decode("utf-8", "backslashreplace")
        return f"{self.verb} {flags}".rstrip()


class MetaForm(Form):
    """The form of a command that shows no message."""

    __slots__ = ("_log",)

    way = "meta"

    def __init__(
        self, line: _Line, done: bytes, none: bytes, echo: bytes = b""
    ) -> None:
        """Make one.

        :param done: the letters that tell success, b"" for nothing.
        :param none: those that tell that there is nothing, b"" for nothing.
        :param echo: what is behind either.
        """
        told = {word: word + echo + b"\r\n" if word else b"" for word in (done, none)}
        super().__init__(told[done], told[none])
        self._log = line.shown

    def __str__(self) -> str:
        """Return the command and its flags."""
        return self._log

    def error(self, error: QueueError) -> bytes:
        """Return the reply that tells an error, quiet or not."""
        return self.none if isinstance(error, NotOpen) else super().error(error)


class SetForm(MetaForm):
    """The form of a set."""

    __slots__ = ("_echo",)

    def __init__(self, line: _Line, size: int) -> None:
        echo = line.echo(size=size) % ()
        super().__init__(line, b"" if "q" in line.flags else b"HD", b"", echo)
        self._echo = echo

    def error(self, error: QueueError) -> bytes:
        """Return the reply that tells an error, or that the queue refuses it."""
        if isinstance(error, NotStored):
            return b"NS%b\r\n" % self._echo
        return super().error(error)


class Numbered(SetForm):
    """The form of a set that is told the number of its message."""

    __slots__ = ("_told",)

    numbers = True

    def __init__(self, line: _Line, size: int) -> None:
        super().__init__(line, size)
        self._told = b"HD%b\r\n" % line.echo("c", size)

    def stored(self, number: int) -> bytes:
        """Return the reply with the number."""
        return self._told % number


class Figures(MetaForm):
    """The form of the figures of a queue: one line."""

    __slots__ = ("_token",)

    def __init__(self, line: _Line) -> None:
        super().__init__(line, b"", b"EN")
        self._token = line.token

    def figures(self, lines: bytes) -> bytes:
        """Return figures, each a word; none is of no queue."""
        return b"ME %b %b\r\n" % (self._token, lines) if lines else self.none


class MetaValues(MetaForm):
    """The form of a message, with its body or without."""

    __slots__ = ("_echo", "_get", "_names", "describes", "showsBody")

    def __init__(self, line: _Line) -> None:
        flags = line.flags
        self.showsBody = "v" in flags
        none = b"" if "q" in flags else b"EN"
        # A client that asks for a value takes nothing else for an answer.
        done = none if self.showsBody else b"HD"
        super().__init__(line, done, none, line.echo() % ())
        if not self.showsBody:
            self.tail = b""
        self.describes = not _OF_DETAILS.keys().isdisjoint(flags)
        self._names = [flag for flag in flags if flag in _NUMBERS]
        #: Returns the numbers of a message that needs no details; None for none.
        self._get: Callable[[Message], Any] | None = None
        if self._names and not self.describes:
            self._get = attrgetter(*[_OF_MESSAGE[name] for name in self._names])
        echo = line.echo(_NUMBERS)
        self._echo: bytes = echo if self._names else echo % ()

    def _flags(self, message: Message, details: Details | None) -> bytes:
        if self._get is not None:
            flags: bytes = self._echo % self._get(message)
            return flags
        if not self._names:
            return self._echo
        return self._echo % tuple(
            [
                getattr(details if name in _OF_DETAILS else message, _NUMBERS[name])
                for name in self._names
            ]
        )

    def head(
        self, key: bytes, message: Message, details: Details | None = None
    ) -> bytes:
        """Return the line."""
        flags = self._flags(message, details)
        if self.showsBody:
            return b"VA %d%b\r\n" % (message.size, flags)
        return b"HD%b\r\n" % flags

    def value(
        self, key: bytes, message: Message, details: Details | None = None
    ) -> bytes:
        """Return the line, and the body if that is asked for."""
        if not self.showsBody:
            return self.head(key, message, details)
        body, flags = message.body, self._flags(message, details)
        return b"VA %d%b\r\n%b\r\n" % (len(body), flags, body)


def _parseLine(
    verb: str, token: bytes, words: list[bytes], taken: frozenset[str]
) -> _Line | QueueError:
    """Understand a key and flags.

    :param taken: the flags that the command takes.
    """
    flags: dict[str, bytes] = {}
    for word in words:
        flag = word[:1].decode("latin-1")
        if flag in flags:
            return DuplicateFlag()
        if flag not in taken:
            return (
                Meaningless(b"flag " + word[:1]) if flag in _REFUSED else InvalidFlag()
            )
        flags[flag] = word[1:]
    if len(flags.get("O", b"")) > MAX_OPAQUE:
        return LongOpaque()
    key = token
    if "b" in flags:
        try:
            key = a2b_base64(token, strict_mode=True)
        except Error:
            return KeyNotDecoded()
    return _Line(verb, token, key, flags)


def _withoutBody(
    verb: str,
    taken: frozenset[str],
    make: Callable[[_Line], Any],
    words: list[bytes],
) -> Any:
    """Parse a command that no body follows.

    :param make: returns what a line asks for.
    """
    if len(words) < 2:
        return Refused(BadLine())
    line = _parseLine(verb, words[1], words[2:], taken)
    return Refused(line) if isinstance(line, QueueError) else make(line)


def _get(line: _Line) -> Get | dialect.Read | dialect.Reads | dialect.AnyOf | Refused:
    form = MetaValues(line)
    if form.showsBody and not form.describes and isName(line.key):
        return Get((line.key,), form)
    command = dialect.parseReads([line.key], form)
    if form.showsBody or not isinstance(command, dialect.Read):
        return command
    if command.open:
        return Refused(OpenUnseen())
    isLook = not (command.close or command.abort)
    return command._replace(peek=True) if isLook else command


def _delete(line: _Line) -> Delete | dialect.Close | Refused:
    isQuiet = "q" in line.flags
    words = (b"", b"") if isQuiet else (b"HD", b"NF")
    return deletion(line.key, MetaForm(line, *words, line.echo() % ()))


def _describe(line: _Line) -> Describe | Refused:
    return Describe(line.key, Figures(line)) if isName(line.key) else Refused(BadLine())


def _noop(words: list[bytes]) -> Noop | Refused:
    if len(words) > 1:
        return Refused(BadLine())
    return Noop(MetaForm(_Line("mn", b"", b"", {}), b"MN", b""))


def _arithmetic(words: list[bytes]) -> Refused:
    return Refused(Meaningless(b"ma"))


def _parseSet(words: list[bytes]) -> Set | Refused:
    """Parse ``ms <key> <size> <flag>*``; the size was a flag ``S<size>`` once."""
    flags = words[2:]
    size = None
    isOld = not (flags and flags[0].isdigit())
    if not isOld:
        size = number(flags.pop(0), MAX_SIZE)
    else:
        sizes = [flag[1:] for flag in flags if flag.startswith(b"S")]
        if len(sizes) == 1:
            size = number(sizes[0], MAX_SIZE)
    # With a blank in the key another word stands where the size does.
    if not all(flag[:1].isalpha() for flag in flags):
        size = None
    if size is None or isOld:
        return unsized(BadLine(), size)
    line = _parseLine("ms", words[1], flags, _MS)
    command = line if isinstance(line, QueueError) else _set(line, size)
    return Refused(command, size) if isinstance(command, QueueError) else command


def _set(line: _Line, size: int) -> Set | QueueError:
    given, key = line.flags, line.key
    mode = given.get("M", _USUAL)
    if mode != _USUAL:
        return Meaningless(b"mode " + mode) if mode in _MODES else InvalidMode()
    flags = number(given.get("F", b"0"), MAX_FLAGS)
    time = given.get("T", b"0")
    exptime = number(time.removeprefix(b"-"), MAX_NUMBER)
    if flags is None or exptime is None:
        return BadToken()
    if time.startswith(b"-"):
        exptime = -exptime
    delayed = (key, 0) if isName(key) else dialect.parseDelay(key)
    if isinstance(delayed, QueueError):
        return delayed
    tells = "c" in given and "q" not in given
    form = Numbered(line, size) if tells else SetForm(line, size)
    return Set(delayed[0], flags, size, form, exptime, delayed[1])


#: Words of a line, the command first, become a command.
PARSERS: dict[bytes, Callable[[list[bytes]], Any]] = {
    b"mg": partial(_withoutBody, "mg", _MG, _get),
    b"ms": _parseSet,
    b"md": partial(_withoutBody, "md", _MD, _delete),
    b"me": partial(_withoutBody, "me", _ME, _describe),
    b"ma": _arithmetic,
    b"mn": _noop,
}
