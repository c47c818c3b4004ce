"""Extensions: the commands that MemcacheQ did not know, and the options behind a name.

Options stand behind a queue's name, each after a ``/``, as Kestrel and its heirs
have them: any client of memcached can say them in a key.  :mod:`memq.wire.text` comes
here only with a name that is none by itself, so that a plain set or get costs no more.
"""

from __future__ import annotations

from typing import NamedTuple

from memq.errors import (
    BadDelay,
    BadLine,
    BadWait,
    OptionsApart,
    OptionTwice,
    QueueError,
    TooManyQueues,
    UnknownOption,
)
from memq.wire.words import MAX_NUMBER, Refused, isName, number

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

#: Bits of a pause; by itself it has both.
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
    bits: int = READS | WRITES


class Resume(NamedTuple):
    """Stop nothing of a queue any more."""

    queue: bytes


class Reload(NamedTuple):
    """Read the configuration file again."""


class Monitor(NamedTuple):
    """Open up to ``most`` messages as they come, for so many ``seconds``."""

    queue: bytes
    seconds: int
    most: int = MOST


class Confirm(NamedTuple):
    """Close the oldest open reads, up to ``most``."""

    queue: bytes
    most: int


class Move(NamedTuple):
    """Move up to ``most`` messages from the head of a queue to the end of another."""

    queue: bytes
    target: bytes
    most: int = MAX_NUMBER


class Redrive(NamedTuple):
    """Move up to ``most`` dead letters of a queue to their first queues."""

    queue: bytes
    most: int = MAX_NUMBER


class DumpStats(NamedTuple):
    """Tell all figures of all queues, a block a queue."""


Extension = (
    Read
    | Reads
    | Add
    | Flush
    | Pause
    | Resume
    | Reload
    | Monitor
    | Confirm
    | Move
    | Redrive
    | DumpStats
)

#: The options of a command: the largest number behind "=", and the error of another.
_Options = dict[bytes, tuple[int, type[QueueError]]]

_FLAGS = (b"open", b"close", b"abort", b"peek")
_READ: _Options = {
    b"t=": (MAX_WAIT, BadWait),
    **dict.fromkeys(_FLAGS, (0, UnknownOption)),
}
_SET: _Options = {b"delay=": (MAX_DELAY, BadDelay)}

#: The options of a read that go together.
_TOGETHER = {
    frozenset(options.split())
    for options in (
        *(b"t=", b"open", b"open t=", b"close", b"close open", b"close open t="),
        *(b"abort", b"peek", b"peek t="),
    )
}


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


def parseReads(keys: list[bytes], withSequence: bool) -> Read | Reads | Refused:
    """Return what a get asks for of which a name is none by itself.

    The first thing that is wrong, from the left, is the error of the whole line.
    """
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
    flags = [flag in given for flag in _FLAGS]
    return Read._make([queue, key, given.get(b"t="), *flags, withSequence])


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
