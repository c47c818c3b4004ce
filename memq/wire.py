"""The grammar: a line becomes a command, a result becomes bytes of a reply.

No I/O, no state, no Twisted: :func:`parse` is given one line without its line
end and returns a command; a line that is refused becomes :class:`Refused`,
which says how many bytes of body follow it on the wire, so that the connection
stays in step.  docs/protocol.md is the contract; the tests are named after its
lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from memq.errors import BadLine, QueueError, UnknownCommand

if TYPE_CHECKING:
    from memq.imemq import QueueCount

#: Bytes of the longest line, its line end not counted.
MAX_LINE = 65_536
#: The largest number of bytes that a set line may announce.
MAX_SIZE = 2_147_483_645
#: The largest flags: a u32.
MAX_FLAGS = 4_294_967_295
#: How many lines are kept with their commands, and the bytes of the longest one:
#: room for a name, and a few megabytes in all.
KEPT_LINES = 8192
KEPT_LINE = 300
#: Digits of the longest number.
_MAX_DIGITS = 10

STORED = b"STORED\r\n"
DELETED = b"DELETED\r\n"
NOT_FOUND = b"NOT_FOUND\r\n"
END = b"END\r\n"
OK = b"OK\r\n"
RESET = b"RESET\r\n"
ERROR = b"ERROR\r\n"

_HTTP = (b"GET ", b"POST ", b"Host:")
_NOREPLY = b"noreply"

#: A queue name: "/" is kept for options, and no name has a blank or control byte.
_isName = re.compile(rb"[^\x00-\x20\x7f/]{1,250}").fullmatch


class Set(NamedTuple):
    """Append a message whose body of ``size`` bytes follows."""

    queue: bytes
    flags: int
    size: int
    noreply: bool


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
    """Tell figures: all the server's, or those of a topic."""

    topic: bytes


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


class Refused(NamedTuple):
    """Answer an error, and throw away a body of ``size`` bytes, None if none."""

    error: QueueError
    size: int | None = None
    noreply: bool = False


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
        return parser(words)
    return _parseOdd(line, [word for word in words if word])


#: The same for lines of up to KEPT_LINE bytes: clients say the same few again and
#: again, so the last ones are kept.
parseShort = lru_cache(KEPT_LINES)(parse)


def _parseOdd(line: bytes, words: list[bytes]) -> Command:
    """Parse a line with an unknown command, or with more than single spaces."""
    if line.startswith(_HTTP):
        return Quit()
    parser = _PARSERS.get(words[0]) if words else None
    return parser(words) if parser is not None else Refused(UnknownCommand())


def _number(word: bytes, most: int) -> int | None:
    """Return a word of digits as a number, None when it is none up to ``most``."""
    if not word.isdigit() or len(word) > _MAX_DIGITS:
        return None
    number = int(word)
    return number if number <= most else None


def _parseSet(words: list[bytes]) -> Command:
    count = len(words)
    noreply = count > 2 and words[-1] == _NOREPLY
    if count < 5:
        return Refused(UnknownCommand(), noreply=noreply)
    size = _number(words[4], MAX_SIZE)
    if count > 6 or (count == 6 and not noreply):
        return Refused(UnknownCommand(), size, noreply)
    queue = words[1]
    flags = _number(words[2], MAX_FLAGS)
    expires = words[3].removeprefix(b"-")
    if (
        size is None
        or flags is None
        or _number(expires, 10**_MAX_DIGITS) is None
        or not _isName(queue)
    ):
        return Refused(BadLine(), size, noreply)
    return Set(queue, flags, size, noreply)


def _parseOtherStorage(words: list[bytes]) -> Command:
    size = _number(words[4], MAX_SIZE) if len(words) > 4 else None
    return Refused(UnknownCommand(), size)


def _names(words: list[bytes], withSequence: bool) -> Command:
    queues = tuple(words[1:])
    if not queues:
        return Refused(UnknownCommand())
    for queue in queues:
        if not _isName(queue):
            return Refused(BadLine())
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
    if not _isName(words[1]):
        return Refused(BadLine(), noreply=noreply)
    return Delete(words[1], noreply)


def _parseFlushAll(words: list[bytes]) -> Command:
    noreply = words[-1] == _NOREPLY
    rest = words[1 : len(words) - noreply]
    if len(rest) > 1:
        return Refused(UnknownCommand(), noreply=noreply)
    delay = _number(rest[0], MAX_SIZE) if rest else 0
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
    return Refused(UnknownCommand())


def _parseVerbosity(words: list[bytes]) -> Command:
    noreply = words[-1] == _NOREPLY
    levels = words[1 : len(words) - noreply]
    if len(levels) > 1 or not (levels or noreply):
        return Refused(UnknownCommand(), noreply=noreply)
    if levels and _number(levels[0], MAX_SIZE) is None:
        return Refused(BadLine(), noreply=noreply)
    return Verbosity(noreply)


def _alone(command: Command) -> _Parser:
    """Return a parser for a command that is a word and nothing else."""

    def parseAlone(words: list[bytes]) -> Command:
        return command if len(words) == 1 else Refused(UnknownCommand())

    return parseAlone


_PARSERS: dict[bytes, _Parser] = {
    b"set": _parseSet,
    b"get": _parseGet,
    b"gets": _parseGets,
    b"delete": _parseDelete,
    b"flush_all": _parseFlushAll,
    b"stats": _parseStats,
    b"version": _alone(Version()),
    b"verbosity": _parseVerbosity,
    b"quit": _alone(Quit()),
    b"db_checkpoint": _alone(Checkpoint()),
    b"db_archive": _alone(Archive()),
    b"add": _parseOtherStorage,
    b"replace": _parseOtherStorage,
    b"append": _parseOtherStorage,
    b"prepend": _parseOtherStorage,
    b"cas": _parseOtherStorage,
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
    lines = [f"STAT {name} {figure}\r\n" for name, figure in figures]
    return "".join(lines).encode("utf-8", "surrogateescape") + END


def formatCounts(counts: Iterable[QueueCount]) -> bytes:
    """Return the reply to stats queue: a line a queue, then END."""
    lines = [
        b"STAT %b %d/%d\r\n" % (count.name, count.pushed, count.taken)
        for count in counts
    ]
    return b"".join(lines) + END
