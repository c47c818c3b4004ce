"""The grammar of what MemcacheQ did not know: options behind a name, more commands.

Options stand behind a queue's name, each after a ``/``, as Kestrel and its heirs
have them: any client of memcached can say them in a key.  :mod:`memq.wire.text` comes
here only with a name that is none by itself, or with a command of this module, so
that a plain set or get costs no more for it.

No I/O, no state, no Twisted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from memq.errors import (
    BadDelay,
    BadLine,
    BadWait,
    NotANumber,
    OptionsApart,
    OptionTwice,
    QueueError,
    TooManyQueues,
    UnknownCommand,
    UnknownOption,
)
from memq.wire.words import (
    MAX_FLAGS,
    MAX_NUMBER,
    MAX_SIZE,
    NOREPLY,
    Refused,
    alone,
    isName,
    number,
    unsized,
)

if TYPE_CHECKING:
    from collections.abc import Callable

#: Queues that one line names, at most, if one has options.
MAX_READS = 250
#: Milliseconds of the longest wait of a get.
MAX_WAIT = 3_600_000
#: Seconds of the longest delay of a set: a year.
MAX_DELAY = 31_536_000
#: Seconds of the longest monitor.
MAX_SECONDS = 3600
#: Messages that one monitor opens, and one confirm deletes, at most.
MOST = 10_000
#: Bytes of the longest body that may be a number.
MAX_DIGITS = 20

#: What a pause stops; both by itself.
READS = 1
WRITES = 2


class Read(NamedTuple):
    """Read from a queue in another way than plain taking.

    :ivar key: the queue with its options, as it was asked for.
    :ivar wait: milliseconds to wait for a message; None not to wait.
    :ivar open: whether the message is to be kept until it is closed.
    :ivar close: whether the open read is done, before another is opened.
    :ivar abort: whether the open reads go back.
    :ivar peek: whether the message is left where it is.
    """

    queue: bytes
    key: bytes
    wait: int | None
    open: bool
    close: bool
    abort: bool
    peek: bool
    withSequence: bool


class Reads(NamedTuple):
    """Read from several queues; each but for its key as if it were alone."""

    reads: tuple[Read, ...]


class Add(NamedTuple):
    """Make a queue; its limit is a body of ``size`` bytes, which follows."""

    queue: bytes
    size: int
    noreply: bool = False


class Flush(NamedTuple):
    """Empty a queue."""

    queue: bytes


class Pause(NamedTuple):
    """Stop reads from a queue, writes to it, or both: ``bits`` of READS and WRITES."""

    queue: bytes
    bits: int


class Resume(NamedTuple):
    """Stop nothing of a queue any more."""

    queue: bytes


class Reload(NamedTuple):
    """Read the configuration file again."""


class Monitor(NamedTuple):
    """Open up to ``most`` messages as they come, for so many ``seconds``."""

    queue: bytes
    seconds: int
    most: int


class Confirm(NamedTuple):
    """Close the oldest open reads, up to ``most``."""

    queue: bytes
    most: int


class DumpStats(NamedTuple):
    """Tell all figures of all queues, a block a queue."""


Extension = (
    Read | Reads | Add | Flush | Pause | Resume | Reload | Monitor | Confirm | DumpStats
)

#: The options of a command: the largest number behind "=", and the error of another.
_Options = dict[bytes, tuple[int, type[QueueError]]]

_FLAG = (0, UnknownOption)
_READ: _Options = {
    b"t=": (MAX_WAIT, BadWait),
    b"open": _FLAG,
    b"close": _FLAG,
    b"abort": _FLAG,
    b"peek": _FLAG,
}
_SET: _Options = {b"delay=": (MAX_DELAY, BadDelay)}

#: The options of a read that go together.
_TOGETHER = frozenset(
    frozenset(options)
    for options in (
        [b"t="],
        [b"open"],
        [b"open", b"t="],
        [b"close"],
        [b"close", b"open"],
        [b"close", b"open", b"t="],
        [b"abort"],
        [b"peek"],
        [b"peek", b"t="],
    )
)


def _split(key: bytes, known: _Options) -> tuple[bytes, dict[bytes, int]] | QueueError:
    """Return the queue that a key names and the numbers of its options, 0 for none.

    The first thing that is wrong, from the left, is the error.
    """
    queue, *options = key.split(b"/")
    if not isName(queue):
        return BadLine()
    given: dict[bytes, int] = {}
    for option in options:
        name, equals, word = option.partition(b"=")
        name += equals
        if name not in known:
            return UnknownOption()
        if name in given:
            return OptionTwice()
        most, error = known[name]
        value = number(word, most) if equals else 0
        if value is None:
            return error()
        given[name] = value
    return queue, given


def plain(queue: bytes, withSequence: bool) -> Read:
    """Return the command that a plain get of one queue is, as a read."""
    return Read(queue, queue, None, False, False, False, False, withSequence)


def parseReads(words: list[bytes], withSequence: bool) -> Read | Reads | Refused:
    """Return what a get asks for of which a name is none by itself.

    The first thing that is wrong, from the left, is the error of the whole line.

    :param withSequence: whether the command is gets.
    """
    keys = words[1:]
    if len(keys) > MAX_READS:
        hasOptions = any(b"/" in key for key in keys)
        return Refused(TooManyQueues() if hasOptions else BadLine())
    reads: list[Read] = []
    for key in keys:
        read = _parseRead(key, withSequence)
        if isinstance(read, QueueError):
            return Refused(read)
        reads.append(read)
    return reads[0] if len(reads) == 1 else Reads(tuple(reads))


def _parseRead(key: bytes, withSequence: bool) -> Read | QueueError:
    if isName(key):
        return plain(key, withSequence)
    found = _split(key, _READ)
    if isinstance(found, QueueError):
        return found
    queue, given = found
    if frozenset(given) not in _TOGETHER:
        return OptionsApart()
    return Read(
        queue,
        key,
        given.get(b"t="),
        b"open" in given,
        b"close" in given,
        b"abort" in given,
        b"peek" in given,
        withSequence,
    )


def parseDelay(key: bytes) -> tuple[bytes, int] | QueueError:
    """Return the queue of a set whose name is none by itself, and its delay in s."""
    found = _split(key, _SET)
    if isinstance(found, QueueError):
        return found
    queue, given = found
    return queue, given[b"delay="]


def parseLimit(body: bytes) -> int | None:
    """Return the number that the body of an add is, None when it is none."""
    return number(body, MAX_NUMBER)


def _parseAdd(words: list[bytes]) -> Add | Refused:
    count = len(words)
    noreply = count > 2 and words[-1] == NOREPLY
    if count - noreply != 5:
        return unsized(UnknownCommand(), noreply=noreply)
    size = number(words[4], MAX_SIZE)
    expires = words[3].removeprefix(b"-")
    if (
        size is None
        or number(words[2], MAX_FLAGS) is None
        or number(expires, MAX_NUMBER) is None
        or not isName(words[1])
    ):
        return unsized(BadLine(), size, noreply)
    if size > MAX_DIGITS:
        return Refused(NotANumber(), size, noreply)
    return Add(words[1], size, noreply)


_PAUSES = {b"reads": READS, b"writes": WRITES}


def _parsePause(words: list[bytes]) -> Pause | Refused:
    count = len(words)
    if not 2 <= count <= 3:
        return Refused(UnknownCommand())
    bits = _PAUSES.get(words[2]) if count == 3 else READS | WRITES
    if bits is None or not isName(words[1]):
        return Refused(BadLine())
    return Pause(words[1], bits)


def _parseMonitor(words: list[bytes]) -> Monitor | Refused:
    count = len(words)
    if not 3 <= count <= 4:
        return Refused(UnknownCommand())
    seconds = number(words[2], MAX_SECONDS)
    most = number(words[3], MOST) if count == 4 else MOST
    if seconds is None or not most or not isName(words[1]):
        return Refused(BadLine())
    return Monitor(words[1], seconds, most)


def _parseConfirm(words: list[bytes]) -> Confirm | Refused:
    if len(words) != 3:
        return Refused(UnknownCommand())
    most = number(words[2], MOST)
    if not most or not isName(words[1]):
        return Refused(BadLine())
    return Confirm(words[1], most)


def _named(
    command: type[Flush] | type[Resume],
) -> Callable[[list[bytes]], Flush | Resume | Refused]:
    """Return a parser for a command that has a queue's name and nothing else."""

    def parseNamed(words: list[bytes]) -> Flush | Resume | Refused:
        if len(words) != 2:
            return Refused(UnknownCommand())
        return command(words[1]) if isName(words[1]) else Refused(BadLine())

    return parseNamed


#: Words of a line, the command first, become a command.
PARSERS: dict[bytes, Callable[[list[bytes]], Extension | Refused]] = {
    b"add": _parseAdd,
    b"flush": _named(Flush),
    b"pause": _parsePause,
    b"resume": _named(Resume),
    b"reload": alone(Reload()),
    b"monitor": _parseMonitor,
    b"confirm": _parseConfirm,
    b"dump_stats": alone(DumpStats()),
}
