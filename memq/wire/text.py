"""The grammar: a line becomes a command, a result becomes bytes of a reply.

:func:`parse` is given one line without its line end and returns a command; a line that
is refused becomes :class:`Refused`, which says how many bytes of body follow it on the
wire, so that the connection stays in step.  ``_PARSERS`` has every command with its
arguments and their limits; docs/protocol.md is the contract, and the tests are named
after its lines.  Commands that MemcacheQ did not know are records of
:mod:`memq.wire.extensions`, those of other protocols of :mod:`memq.wire.foreign`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

from memq.errors import BadLine, NotANumber, QueueError, UnknownCommand
from memq.wire import extensions as dialect
from memq.wire import foreign
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
#: room for a name, and a few megabytes in all.
KEPT_LINES = 8192
KEPT_LINE = 300

STORED = b"STORED\r\n"
NOT_STORED = b"NOT_STORED\r\n"
DELETED = b"DELETED\r\n"
NOT_FOUND = b"NOT_FOUND\r\n"
END = b"END\r\n"
OK = b"OK\r\n"
RESET = b"RESET\r\n"
ERROR = b"ERROR\r\n"


class Set(NamedTuple):
    """Append a message whose body of ``size`` bytes follows.

    :ivar exptime: as it was sent: 0, or seconds by memcached's rule.
    :ivar delay: seconds until the message can be seen.
    """

    queue: bytes
    flags: int
    size: int
    noreply: bool
    exptime: int = 0
    delay: int = 0


class Get(NamedTuple):
    """Take a message from each of some queues."""

    queues: tuple[bytes, ...]
    withSequence: bool


class Delete(NamedTuple):
    """Delete a queue."""

    queue: bytes
    noreply: bool = False


class FlushAll(NamedTuple):
    """Empty every queue, after a ``delay`` in seconds."""

    delay: int = 0
    noreply: bool = False


class Stats(NamedTuple):
    """Tell figures: all the server's, or those of a topic.

    :ivar topic: b"items" stands for all that memcached alone has.
    :ivar pattern: whose details; b"" for all queues'.  With b"peek", a queue's name.
    """

    topic: bytes = b""
    pattern: bytes = b""


class Version(NamedTuple):
    """Tell the version."""


class Verbosity(NamedTuple):
    """Answer OK; how much is logged is decided at start."""

    noreply: bool = False


class Checkpoint(NamedTuple):
    """Make a checkpoint now."""


class Archive(NamedTuple):
    """Remove log files that are not needed now."""


class Quit(NamedTuple):
    """Close the connection without a word."""


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
    | Refused
    | foreign.Foreign
    | dialect.Extension
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


#: Returns the command of a key, flags, bytes of body, noreply and exptime.
_MakeStorage = Callable[[bytes, int, int, bool, int], Set | dialect.Add | QueueError]


def _parseStorage(
    make: _MakeStorage | None, expected: int, words: list[bytes]
) -> Command:
    """Parse a command that a body follows.

    :param make: None when it is refused.
    :param expected: words of the line, but for noreply.
    """
    noreply = len(words) > 2 and words[-1] == NOREPLY
    if len(words) - noreply != expected:
        # With a blank in the name, say, another word stands where the size does.
        return unsized(UnknownCommand(), noreply=noreply)
    _, key, *numbers = words
    size = number(numbers[2], MAX_SIZE)
    if make is None:
        return unsized(UnknownCommand(), size, noreply)
    flags = number(numbers[0], MAX_FLAGS)
    exptime = number(numbers[1].removeprefix(b"-"), MAX_NUMBER)
    if size is None or flags is None or exptime is None:
        return unsized(BadLine(), size, noreply)
    if numbers[1].startswith(b"-"):
        exptime = -exptime
    command = make(key, flags, size, noreply, exptime)
    if isinstance(command, QueueError):
        return Refused(command, size, noreply)
    return command


def _set(
    key: bytes, flags: int, size: int, noreply: bool, exptime: int
) -> Set | QueueError:
    if isName(key):
        return Set(key, flags, size, noreply, exptime)
    delayed = dialect.parseDelay(key)
    if isinstance(delayed, QueueError):
        return delayed
    queue, delay = delayed
    return Set(queue, flags, size, noreply, exptime, delay)


def _add(
    key: bytes, _: int, size: int, noreply: bool, exptime: int
) -> dialect.Add | QueueError:
    if not isName(key):
        return BadLine()
    return (
        dialect.Add(key, size, noreply) if size <= dialect.MAX_DIGITS else NotANumber()
    )


def _parseGet(withSequence: bool, words: list[bytes]) -> Command:
    queues = words[1:]
    if not queues:
        return Refused(UnknownCommand())
    for queue in queues:
        if not isName(queue):
            return dialect.parseReads(queues, withSequence)
    return Get(tuple(queues), withSequence)


#: Topics of ``stats`` that memcached has of items in memory: here there are none.
_EMPTY_TOPICS = frozenset(
    b"cachedump conns extstore items malloc maps proxy proxybe proxyfuncs sizes "
    b"sizes_disable sizes_enable slabs".split()
)


def _parseStats(words: list[bytes]) -> Command:
    topic, rest = words[1] if len(words) > 1 else b"", words[2:]
    # The original ignores what stands behind "queue"; its clients rely on it.
    if topic == b"queue" or (topic in (b"", b"settings", b"reset") and not rest):
        return Stats(topic)
    if topic == b"detail" and len(rest) <= 1:
        # A pattern has the same bytes as what it matches.
        return Stats(topic, *rest) if all(map(isName, rest)) else Refused(BadLine())
    if topic == b"peek" and len(rest) == 1:
        return Stats(topic, *rest) if isName(rest[0]) else Refused(BadLine())
    if topic in _EMPTY_TOPICS:
        return Stats(b"items")
    return Refused(UnknownCommand())


def _parseCrawler(words: list[bytes]) -> Command:
    """Parse what memcached's own tool asks for to list all items."""
    if len(words) == 3 and words[1] == b"metadump":
        return Stats(b"items")
    return Refused(UnknownCommand())


def _delete(queue: bytes, time: bytes = b"", noreply: bool = False) -> Delete:
    return Delete(queue, noreply)


def _verbosity(level: int = 0, noreply: bool = False) -> Verbosity:
    return Verbosity(noreply)


def _move(
    queue: bytes, target: bytes, most: int = MAX_NUMBER
) -> dialect.Move | Refused:
    if queue == target:
        return Refused(BadLine())
    return dialect.Move(queue, target, most)


_seconds = partial(number, most=dialect.MAX_SECONDS)
_messages = partial(number, most=dialect.MOST, least=1)
_anyMessages = partial(number, most=MAX_NUMBER, least=1)
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
    b"get": partial(_parseGet, False),
    b"gets": partial(_parseGet, True),
    b"delete": syntax(_delete, name, bytes, least=2, silentFrom=3),
    b"flush": syntax(dialect.Flush, name, least=2),
    b"flush_all": syntax(FlushAll, _large, silentFrom=2),
    b"pause": syntax(dialect.Pause, name, _stops, least=2),
    b"resume": syntax(dialect.Resume, name, least=2),
    b"monitor": syntax(dialect.Monitor, name, _seconds, _messages, least=3),
    b"confirm": syntax(dialect.Confirm, name, _messages, least=3),
    b"move": syntax(_move, name, name, _anyMessages, least=3),
    b"redrive": syntax(dialect.Redrive, name, _anyMessages, least=2),
    b"stats": _parseStats,
    b"dump_stats": syntax(dialect.DumpStats),
    b"version": syntax(Version),
    b"verbosity": syntax(_verbosity, _large, least=2, silentFrom=2),
    b"reload": syntax(dialect.Reload),
    b"db_checkpoint": syntax(Checkpoint),
    b"db_archive": syntax(Archive),
    b"quit": syntax(Quit),
    b"lru_crawler": _parseCrawler,
    **foreign.PARSERS,
}


def formatError(error: QueueError) -> bytes:
    """Return the reply that tells an error."""
    return error.reply + b"\r\n"


def formatHead(
    queue: bytes, flags: int, size: int, sequence: int | None = None
) -> bytes:
    """Return the line before the body of a message.

    :param queue: the name as it was asked for.
    :param size: bytes of the body.
    :param sequence: the fourth number, that gets adds.
    """
    if sequence is None:
        return b"VALUE %b %d %d\r\n" % (queue, flags, size)
    return b"VALUE %b %d %d %d\r\n" % (queue, flags, size, sequence)


def formatValue(
    queue: bytes, flags: int, body: bytes, end: bytes, sequence: int | None = None
) -> bytes:
    """Return the block of one message, and ``end``; see :func:`formatHead`."""
    if sequence is None:
        size = len(body)
        return b"VALUE %b %d %d\r\n%b\r\n%b" % (queue, flags, size, body, end)
    return b"%b%b\r\n%b" % (formatHead(queue, flags, len(body), sequence), body, end)


def formatMoved(count: int) -> bytes:
    """Return the reply to a move of so many messages."""
    return b"MOVED %d\r\n" % count


def formatVersion(version: str) -> bytes:
    """Return the reply to version: 1, then the first two numbers of memq's version.

    libmemcached breaks off with a server whose first number is not 1 to 255.

    :param version: three numbers with dots.
    """
    major, minor, _ = version.split(".")
    return f"VERSION 1.{major}.{minor}\r\n".encode("ascii")
