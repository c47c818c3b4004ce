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
    BadNumber,
    BadWait,
    OptionsApart,
    OptionTwice,
    QueueError,
    TooManyQueues,
    UnknownOption,
)
from memq.wire.forms import CHANGES, DELETES, ENDS, GETS, PLAIN, SETS, TOUCHES, Form
from memq.wire.words import MAX_NUMBER, Refused, isName, number

#: Queues that one line names, at most, if one has options.
MAX_READS = 250
#: Milliseconds of the longest wait of a get.
MAX_WAIT = 3_600_000
#: Seconds of the longest delay of a set: a year.
MAX_DELAY = 31_536_000
#: Seconds after which a touched open read goes back, at most: a year.
MAX_TOUCH = MAX_DELAY
#: The largest number of a message: a u64.
MAX_SEQUENCE = (1 << 64) - 1
#: Seconds of the longest monitor.
MAX_SECONDS = 3600
#: Messages that one monitor opens, and one confirm deletes, at most.
MOST = 10_000
#: Bytes of the longest body of an add that is looked at.
MAX_LIMIT_SIZE = 20

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
    :ivar more: whether there may be open reads already, with ``open``.
    :ivar number: which open read is closed or goes back; None for the oldest one to
        close, and all to abort.
    :ivar delay: seconds until those can be seen that go back.
    :ivar any: whether it is read only if those of the line before it find nothing.
    """

    queue: bytes
    key: bytes
    wait: int | None
    open: bool
    close: bool
    abort: bool
    peek: bool
    form: Form = GETS
    more: bool = False
    number: int | None = None
    delay: int = 0
    any: bool = False


class Reads(NamedTuple):
    """Read from several queues; each but for its key as if it were alone."""

    reads: tuple[Read, ...]


class AnyOf(NamedTuple):
    """Read one message from the first of several queues that has one.

    :ivar reads: of each queue; but for that, the key and the wait they are the same.
    """

    reads: tuple[Read, ...]


class Close(NamedTuple):
    """Close the open read of a message, which deletes that."""

    queue: bytes
    number: int
    form: Form = DELETES


class Touch(NamedTuple):
    """Let an open read go back after so many ``seconds`` from now.

    :ivar seconds: 0 for as many as the queue's rule says, 1 to MAX_TOUCH for others.
    """

    queue: bytes
    number: int
    seconds: int
    form: Form = TOUCHES


class Add(NamedTuple):
    """Make a queue; its limit is a body of ``size`` bytes, which follows."""

    queue: bytes
    size: int
    form: Form = SETS


class Flush(NamedTuple):
    """Empty a queue."""

    queue: bytes
    form: Form = ENDS


class Pause(NamedTuple):
    """Stop reads from a queue, writes to it, or both: ``bits`` of READS and WRITES."""

    queue: bytes
    bits: int = READS | WRITES
    form: Form = CHANGES


class Resume(NamedTuple):
    """Stop nothing of a queue any more."""

    queue: bytes
    form: Form = CHANGES


class Reload(NamedTuple):
    """Read the configuration file again."""

    form: Form = CHANGES


class Monitor(NamedTuple):
    """Open up to ``most`` messages as they come, for so many ``seconds``."""

    queue: bytes
    seconds: int
    most: int = MOST
    form: Form = GETS


class Confirm(NamedTuple):
    """Close the oldest open reads, up to ``most``."""

    queue: bytes
    most: int
    form: Form = ENDS


class Tail(NamedTuple):
    """Show what is set from now on to the queues that match a pattern."""

    pattern: bytes
    form: Form = GETS


class Peek(NamedTuple):
    """Show up to ``most`` messages from the head of a queue, which stay there."""

    queue: bytes
    most: int = 1
    form: Form = GETS


class Kill(NamedTuple):
    """Cut off the connection that has a number."""

    number: int
    form: Form = CHANGES


class Move(NamedTuple):
    """Move up to ``most`` messages from the head of a queue to the end of another."""

    queue: bytes
    target: bytes
    most: int = MAX_NUMBER
    form: Form = PLAIN


class Redrive(NamedTuple):
    """Move up to ``most`` dead letters of a queue to their first queues."""

    queue: bytes
    most: int = MAX_NUMBER
    form: Form = PLAIN


class DumpStats(NamedTuple):
    """Tell all figures of all queues, a block a queue."""

    form: Form = ENDS


Extension = (
    Read
    | Reads
    | AnyOf
    | Close
    | Touch
    | Add
    | Flush
    | Pause
    | Resume
    | Reload
    | Monitor
    | Confirm
    | Tail
    | Peek
    | Kill
    | Move
    | Redrive
    | DumpStats
)

#: The options of a command: the largest number behind "=", and the error of another.
_Options = dict[bytes, tuple[int, type[QueueError]]]
#: The digits of these, at most: as many as a u64 has.
_OPTION_DIGITS = 20

_FLAGS = (b"open", b"close", b"abort", b"peek")
_NUMBER = MAX_SEQUENCE, BadNumber
_READ: _Options = {
    b"t=": (MAX_WAIT, BadWait),
    **dict.fromkeys((*_FLAGS, b"more", b"any"), (0, UnknownOption)),
    b"close=": _NUMBER,
    b"abort=": _NUMBER,
    b"delay=": (MAX_DELAY, BadDelay),
}
_OPENED: _Options = {b"open=": _NUMBER}
_SET: _Options = {b"delay=": (MAX_DELAY, BadDelay)}

#: The options of a read that go together.
_TOGETHER = {
    frozenset(options.split())
    for options in (
        *(b"t=", b"peek", b"peek t=", b"close", b"close="),
        *(b"abort", b"abort delay=", b"abort=", b"abort= delay="),
        *(
            before + b"open" + more + wait
            for before in (b"", b"close ", b"close= ")
            for more in (b"", b" more")
            for wait in (b"", b" t=")
        ),
        *(
            b"any" + kind + wait
            for kind in (b"", b" open", b" open more", b" peek")
            for wait in (b"", b" t=")
        ),
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
        value = number(word, most, digits=_OPTION_DIGITS) if equals else 0
        if value is None:
            return error()
        given[name] = value
    return queue, given


def plain(queue: bytes, form: Form) -> Read:
    """Return the command that a plain get of one queue is, as a read."""
    return Read(queue, queue, None, False, False, False, False, form)


def parseReads(keys: list[bytes], form: Form) -> Read | Reads | AnyOf | Refused:
    """Return what a get asks for of which a name is none by itself.

    The first thing that is wrong, from the left, is the error of the whole line.
    """
    if len(keys) > MAX_READS:
        hasOptions = any(b"/" in key for key in keys)
        return Refused(TooManyQueues() if hasOptions else BadLine())
    reads: list[Read] = []
    for key in keys:
        read = _parseRead(key, form)
        if isinstance(read, QueueError):
            return Refused(read)
        reads.append(read)
    if len(reads) == 1:
        return reads[0]
    if not any(read.any for read in reads):
        return Reads(tuple(reads))
    kinds = {read._replace(queue=b"", key=b"", wait=None) for read in reads}
    return AnyOf(tuple(reads)) if len(kinds) == 1 else Refused(OptionsApart())


def _parseRead(key: bytes, form: Form) -> Read | QueueError:
    if isName(key):
        return plain(key, form)
    found = _split(key, _READ)
    if isinstance(found, QueueError):
        return found
    queue, given = found
    if frozenset(given) not in _TOGETHER:
        return OptionsApart()
    sequence = given.get(b"close=", given.get(b"abort="))
    return Read(
        queue,
        key,
        given.get(b"t="),
        open=b"open" in given,
        close=b"close" in given or b"close=" in given,
        abort=b"abort" in given or b"abort=" in given,
        peek=b"peek" in given,
        form=form,
        more=b"more" in given,
        number=sequence,
        delay=given.get(b"delay=", 0),
        any=b"any" in given,
    )


def parseOpened(key: bytes) -> tuple[bytes, int] | QueueError:
    """Return the queue and the number of an open message: ``<queue>/open=<number>``.

    That is the key of commands about one open read, those that close or touch it.  The
    first thing that is wrong, from the left, is the error.
    """
    found = _split(key, _OPENED)
    if isinstance(found, QueueError):
        return found
    queue, given = found
    return (queue, given[b"open="]) if given else UnknownOption()


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
