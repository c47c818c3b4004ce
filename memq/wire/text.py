"""Text protocol of memcached: a line becomes a command, or is refused.

:func:`parse` is given one line without its line end and returns a command; a line that
is refused becomes :class:`Refused`, which says how many bytes of body follow it on the
wire, so that the connection stays in step.  ``_PARSERS`` has every command with its
arguments and their limits; docs/protocol.md is the contract, and the tests are named
after its lines.  Commands that MemcacheQ did not know are records of
:mod:`memq.wire.extensions` or :mod:`memq.wire.rules`, those of the meta protocol come
from :mod:`memq.wire.meta`, and lines of other protocols are :mod:`memq.wire.foreign`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

from memq.errors import BadLine, NotANumber, QueueError, UnknownCommand
from memq.wire import extensions as dialect
from memq.wire import foreign, meta
from memq.wire.commands import Archive as Archive
from memq.wire.commands import Checkpoint as Checkpoint
from memq.wire.commands import Claim as Claim
from memq.wire.commands import Delete as Delete
from memq.wire.commands import Describe as Describe
from memq.wire.commands import FlushAll as FlushAll
from memq.wire.commands import Get as Get
from memq.wire.commands import Noop as Noop
from memq.wire.commands import Quit as Quit
from memq.wire.commands import Set as Set
from memq.wire.commands import Stats as Stats
from memq.wire.commands import Verbosity as Verbosity
from memq.wire.commands import Version as Version
from memq.wire.commands import deletion
from memq.wire.forms import (
    CHANGES,
    DELETES,
    GETS,
    NUMBERED,
    SETS,
    TOUCHES,
    Form,
    spoken,
)
from memq.wire.imports import grammar as imports
from memq.wire.rules.grammar import RuleCommand, parseRule
from memq.wire.words import (
    MAX_FLAGS,
    MAX_NUMBER,
    MAX_SIZE,
    NOREPLY,
    isName,
    name,
    number,
    syntax,
    unsized,
)
from memq.wire.words import Refused as Refused

#: Bytes of the longest line, its line end not counted.
MAX_LINE = 65_536
#: How many lines are kept with their commands, and the bytes of the longest one:
#: room for a name, and 3 MB in all, up to 14 MB with the longest names and opaques.
KEPT_LINES = 8192
KEPT_LINE = 300


Command = (
    Set
    | Get
    | Delete
    | FlushAll
    | Stats
    | Version
    | Verbosity
    | Checkpoint
    | Archive
    | Quit
    | Noop
    | Claim
    | Describe
    | Refused
    | foreign.Foreign
    | dialect.Extension
    | imports.Begin
    | imports.Put
    | RuleCommand
)


def parse(line: bytes) -> Command:
    """Return the command that a line asks for.

    :param line: the line without its LF; one CR at the end is dropped.
    """
    line = line.removesuffix(b"\r")
    words = line.split(b" ")
    parser = _PARSERS.get(words[0])
    if parser is not None and b"" not in words:
        command = parser(words)
        # Anything else may be HTTP where there is a slash.
        if type(command) is Set or type(command) is Get or b"/" not in line:
            return command
    return _parseOdd(line, [word for word in words if word])


#: The same for lines of up to KEPT_LINE bytes: clients say the same few again and
#: again, so the last ones are kept.
parseShort = lru_cache(KEPT_LINES)(parse)


def _parseOdd(line: bytes, words: list[bytes]) -> Command:
    """Parse a line that is more than a command in lower case and plain words."""
    other = foreign.known(line)
    if other is not None:
        return other
    if not words:
        return Refused(UnknownCommand())
    parser = _PARSERS.get(words[0].lower())
    return foreign.parseUnknown(line, words) if parser is None else parser(words)


#: Returns the command of a key, flags, bytes of body, form and exptime.
_MakeStorage = Callable[[bytes, int, int, Form, int], Set | dialect.Add | QueueError]


def _parseStorage(
    make: _MakeStorage | None, expected: int, words: list[bytes]
) -> Command:
    """Parse a command that a body follows.

    :param make: None when it is refused.
    :param expected: words of the line, but for noreply.
    """
    noreply = len(words) > 2 and words[-1] == NOREPLY
    form = spoken(SETS, noreply)
    if len(words) - noreply != expected:
        # With a blank in the name, say, another word stands where the size does.
        return unsized(UnknownCommand(), form=form)
    _, key, *numbers = words
    size = number(numbers[2], MAX_SIZE)
    if make is None:
        return unsized(UnknownCommand(), size, form)
    flags = number(numbers[0], MAX_FLAGS)
    exptime = number(numbers[1].removeprefix(b"-"), MAX_NUMBER)
    if size is None or flags is None or exptime is None:
        return unsized(BadLine(), size, form)
    if numbers[1].startswith(b"-"):
        exptime = -exptime
    command = make(key, flags, size, form, exptime)
    if isinstance(command, QueueError):
        return Refused(command, size, form)
    return command


def _set(
    key: bytes, flags: int, size: int, form: Form, exptime: int
) -> Set | QueueError:
    if isName(key):
        return Set(key, flags, size, form, exptime)
    delayed = dialect.parseDelay(key)
    if isinstance(delayed, QueueError):
        return delayed
    queue, delay = delayed
    return Set(queue, flags, size, form, exptime, delay)


def _add(
    key: bytes, _: int, size: int, form: Form, exptime: int
) -> dialect.Add | QueueError:
    if not isName(key):
        return BadLine()
    isSmall = size <= dialect.MAX_LIMIT_SIZE
    return dialect.Add(key, size, form) if isSmall else NotANumber()


def _parseGet(form: Form, words: list[bytes]) -> Command:
    queues = words[1:]
    if not queues:
        return Refused(UnknownCommand())
    for queue in queues:
        if not isName(queue):
            return dialect.parseReads(queues, form)
    return Get(tuple(queues), form)


#: Topics of ``stats`` that are words by themselves.
_TOPICS = frozenset((b"", b"settings", b"reset", b"conns"))
#: Topics of ``stats`` that memcached has of items in memory: here there are none.
_EMPTY_TOPICS = frozenset(
    b"cachedump extstore items malloc maps proxy proxybe proxyfuncs sizes "
    b"sizes_disable sizes_enable slabs".split()
)


def parseStats(words: list[bytes]) -> Stats | Refused:
    """Return what is to be told.

    :param words: of the line, ``stats`` among them.
    """
    topic, rest = words[1] if len(words) > 1 else b"", words[2:]
    # The original ignores what stands behind "queue"; its clients rely on it.
    if topic == b"queue" or (topic in _TOPICS and not rest):
        return Stats(topic)
    if topic == b"detail" and len(rest) <= 1:
        # A pattern has the same bytes as what it matches.
        pattern = rest[0] if rest else b""
        isWrong = rest and not isName(pattern)
        return Refused(BadLine()) if isWrong else Stats(topic, pattern)
    if topic == b"peek" and len(rest) == 1:
        return Stats(topic, rest[0]) if isName(rest[0]) else Refused(BadLine())
    if topic in _EMPTY_TOPICS:
        return Stats(b"items")
    return Refused(UnknownCommand())


def _parseCrawler(words: list[bytes]) -> Command:
    """Parse what memcached's own tool asks for to list all items."""
    if len(words) == 3 and words[1] == b"metadump":
        return Stats(b"items")
    return Refused(UnknownCommand())


def _delete(
    key: bytes, time: bytes = b"", form: Form = DELETES
) -> Delete | dialect.Close | Refused:
    """Return what a delete means: a queue, or with ``open=`` an open message of it.

    :param time: what memcached's first clients add to it; it says nothing.
    """
    return deletion(key, form)


def _touch(key: bytes, seconds: int, form: Form = TOUCHES) -> dialect.Touch | Refused:
    found = dialect.parseOpened(key)
    if isinstance(found, QueueError):
        return Refused(found, form=form)
    return dialect.Touch(*found, seconds, form)


_parseTouchRead = syntax(
    _touch, bytes, partial(number, most=dialect.MAX_TOUCH), least=3, silentFrom=4
)


def _parseTouch(words: list[bytes]) -> Command:
    """Parse a touch, which has a meaning for an open read only."""
    parser = foreign.PARSERS[b"touch"]
    if len(words) > 1 and b"/" in words[1]:
        parser = _parseTouchRead
    return parser(words)


def _verbosity(level: int = 0, form: Form = CHANGES) -> Verbosity:
    return Verbosity(form)


def _move(
    queue: bytes, target: bytes, most: int = MAX_NUMBER
) -> dialect.Move | Refused:
    if queue == target:
        return Refused(BadLine())
    return dialect.Move(queue, target, most)


_seconds = partial(number, most=dialect.MAX_SECONDS)
_messages = partial(number, most=dialect.MOST, least=1)
_anyMessages = partial(number, most=MAX_NUMBER, least=1)
_id = partial(number, most=dialect.MAX_SEQUENCE, digits=20)
_large = partial(number, most=MAX_SIZE)
_stops = {b"reads": dialect.READS, b"writes": dialect.WRITES}.get

#: Words of a line, the command first, become a command.
_PARSERS: dict[bytes, Callable[[list[bytes]], Command]] = {
    b"set": partial(_parseStorage, _set, 5),
    b"add": partial(_parseStorage, _add, 5),
    b"replace": partial(_parseStorage, None, 5),
    b"append": partial(_parseStorage, None, 5),
    b"prepend": partial(_parseStorage, None, 5),
    b"cas": partial(_parseStorage, None, 6),
    b"get": partial(_parseGet, GETS),
    b"gets": partial(_parseGet, NUMBERED),
    b"delete": syntax(_delete, bytes, bytes, least=2, silentFrom=3),
    b"flush": syntax(dialect.Flush, name, least=2),
    b"flush_all": syntax(FlushAll, _large, silentFrom=2),
    b"pause": syntax(dialect.Pause, name, _stops, least=2),
    b"resume": syntax(dialect.Resume, name, least=2),
    b"monitor": syntax(dialect.Monitor, name, _seconds, _messages, least=3),
    b"confirm": syntax(dialect.Confirm, name, _messages, least=3),
    b"tail": syntax(dialect.Tail, name, least=2),
    b"peek": syntax(dialect.Peek, name, _messages, least=2),
    b"kill": syntax(dialect.Kill, _id, least=2),
    b"move": syntax(_move, name, name, _anyMessages, least=3),
    b"redrive": syntax(dialect.Redrive, name, _anyMessages, least=2),
    b"stats": parseStats,
    b"dump_stats": syntax(dialect.DumpStats),
    b"version": syntax(Version),
    b"verbosity": syntax(_verbosity, _large, least=2, silentFrom=2),
    b"reload": syntax(dialect.Reload),
    b"rule": parseRule,
    b"db_checkpoint": syntax(Checkpoint),
    b"db_archive": syntax(Archive),
    b"quit": syntax(Quit),
    b"import": imports.parseImport,
    b"lru_crawler": _parseCrawler,
    **foreign.PARSERS,
    **meta.PARSERS,
    b"touch": _parseTouch,
}


def versionNumbers(version: str) -> bytes:
    """Return what version is answered: 1, and the first two numbers of memq's version.

    libmemcached breaks off with a server whose first number is not 1 to 255.

    :param version: three numbers with dots.
    """
    major, minor, _ = version.split(".")
    return f"1.{major}.{minor}".encode("ascii")
