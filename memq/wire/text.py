"""The grammar: a line becomes a command, a result becomes bytes of a reply.

No I/O, no state, no Twisted: :func:`parse` is given one line without its line
end and returns a command; a line that is refused becomes :class:`Refused`,
which says how many bytes of body follow it on the wire, so that the connection
stays in step.  docs/protocol.md is the contract; the tests are named after its
lines.  What MemcacheQ did not know is in :mod:`memq.wire.extensions`, what is of other
protocols in :mod:`memq.wire.foreign`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import NamedTuple, Protocol

from memq.errors import BadLine, QueueError, UnknownCommand
from memq.wire import extensions as dialect
from memq.wire import foreign
from memq.wire.memcachedstats import EMPTY_TOPICS
from memq.wire.words import (
    MAX_FLAGS,
    MAX_NUMBER,
    MAX_SIZE,
    alone,
    isName,
    number,
    unsized,
)
from memq.wire.words import NOREPLY as _NOREPLY
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
    noreply: bool


class FlushAll(NamedTuple):
    """Empty every queue, after a ``delay`` in seconds."""

    delay: int
    noreply: bool


class Stats(NamedTuple):
    """Tell figures: all the server's, or those of a topic.

    :ivar topic: b"items" stands for all that memcached alone has.
    :ivar pattern: whose details; b"" for all queues'.
    """

    topic: bytes
    pattern: bytes = b""


class Version(NamedTuple):
    """Tell the version."""


class Verbosity(NamedTuple):
    """Answer OK; how much is logged is decided at start."""

    noreply: bool


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

_Parser = Callable[[list[bytes]], Command]


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


def _parseSet(words: list[bytes]) -> Command:
    count = len(words)
    noreply = count > 2 and words[-1] == _NOREPLY
    if count - noreply != 5:
        # With a blank in the name, say, another word stands where the size does.
        return unsized(UnknownCommand(), noreply=noreply)
    size = number(words[4], MAX_SIZE)
    queue = words[1]
    flags = number(words[2], MAX_FLAGS)
    exptime = number(words[3].removeprefix(b"-"), MAX_NUMBER)
    if size is None or flags is None or exptime is None:
        return unsized(BadLine(), size, noreply)
    if exptime and words[3].startswith(b"-"):
        exptime = -exptime
    if isName(queue):
        return Set(queue, flags, size, noreply, exptime)
    delayed = dialect.parseDelay(queue)
    if isinstance(delayed, QueueError):
        return Refused(delayed, size, noreply)
    queue, delay = delayed
    return Set(queue, flags, size, noreply, exptime, delay)


def _parseOtherStorage(expected: int, words: list[bytes]) -> Command:
    """Refuse a storage command, which has so many words and perhaps noreply."""
    count = len(words)
    noreply = count > 2 and words[-1] == _NOREPLY
    size = number(words[4], MAX_SIZE) if count - noreply == expected else None
    return unsized(UnknownCommand(), size, noreply)


def _names(words: list[bytes], withSequence: bool) -> Command:
    queues = tuple(words[1:])
    if not queues:
        return Refused(UnknownCommand())
    for queue in queues:
        if not isName(queue):
            return dialect.parseReads(words, withSequence)
    return Get(queues, withSequence)


def _parseGet(words: list[bytes]) -> Command:
    return _names(words, False)


def _parseGets(words: list[bytes]) -> Command:
    return _names(words, True)


def _parseDelete(words: list[bytes]) -> Command:
    count = len(words)
    noreply = count > 2 and words[-1] == _NOREPLY
    if count < 2 or count - noreply > 3:
        return Refused(UnknownCommand(), noreply=noreply)
    if not isName(words[1]):
        return Refused(BadLine(), noreply=noreply)
    return Delete(words[1], noreply)


def _parseFlushAll(words: list[bytes]) -> Command:
    noreply = words[-1] == _NOREPLY
    rest = words[1 : len(words) - noreply]
    if len(rest) > 1:
        return Refused(UnknownCommand(), noreply=noreply)
    delay = number(rest[0], MAX_SIZE) if rest else 0
    if delay is None:
        return Refused(BadLine(), noreply=noreply)
    return FlushAll(delay, noreply)


_TOPICS = (b"settings", b"reset")


def _parseStats(words: list[bytes]) -> Command:
    if len(words) == 1:
        return Stats(b"")
    # The original ignores what stands behind "queue"; its clients rely on it.
    if words[1] == b"queue" or (len(words) == 2 and words[1] in _TOPICS):
        return Stats(words[1])
    if words[1] == b"detail" and len(words) <= 3:
        # A pattern has the same bytes as what it matches.
        return Stats(*words[1:]) if all(map(isName, words[2:])) else Refused(BadLine())
    if words[1] in EMPTY_TOPICS:
        return Stats(b"items")
    return Refused(UnknownCommand())


def _parseCrawler(words: list[bytes]) -> Command:
    """Parse what memcached's own tool asks for to list all items."""
    if len(words) == 3 and words[1] == b"metadump":
        return Stats(b"items")
    return Refused(UnknownCommand())


def _parseVerbosity(words: list[bytes]) -> Command:
    noreply = words[-1] == _NOREPLY
    levels = words[1 : len(words) - noreply]
    if len(levels) > 1 or not (levels or noreply):
        return Refused(UnknownCommand(), noreply=noreply)
    if levels and number(levels[0], MAX_SIZE) is None:
        return Refused(BadLine(), noreply=noreply)
    return Verbosity(noreply)


_PARSERS: dict[bytes, _Parser] = {
    b"set": _parseSet,
    b"get": _parseGet,
    b"gets": _parseGets,
    b"delete": _parseDelete,
    b"flush_all": _parseFlushAll,
    b"stats": _parseStats,
    b"version": alone(Version()),
    b"verbosity": _parseVerbosity,
    b"quit": alone(Quit()),
    b"db_checkpoint": alone(Checkpoint()),
    b"db_archive": alone(Archive()),
    b"replace": partial(_parseOtherStorage, 5),
    b"append": partial(_parseOtherStorage, 5),
    b"prepend": partial(_parseOtherStorage, 5),
    b"cas": partial(_parseOtherStorage, 6),
    **foreign.PARSERS,
    b"lru_crawler": _parseCrawler,
    **dialect.PARSERS,
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


def formatVersion(version: str) -> bytes:
    """Return the reply to version: 1, then the first two numbers of memq's version.

    libmemcached breaks off with a server whose first number is not 1 to 255.

    :param version: three numbers with dots.
    """
    major, minor, _ = version.split(".")
    return f"VERSION 1.{major}.{minor}\r\n".encode("ascii")


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
    return "".join(lines).encode("utf-8", "surrogateescape")


class Count(Protocol):
    """How many messages a queue had set and taken, ever."""

    @property
    def name(self) -> bytes:
        """Return the queue."""

    @property
    def pushed(self) -> int:
        """Return how many were set."""

    @property
    def taken(self) -> int:
        """Return how many have left."""


def formatCounts(counts: Iterable[Count]) -> bytes:
    """Return the reply to stats queue: a line a queue, then END."""
    lines = [
        b"STAT %b %d/%d\r\n" % (count.name, count.pushed, count.taken)
        for count in counts
    ]
    return b"".join(lines) + END
