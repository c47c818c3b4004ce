"""Commands of memcached as records, the same in all of its protocols.

Commands that memcached does not have are records of :mod:`memq.wire.extensions`.  Each
has the form of its replies.
"""

from __future__ import annotations

from typing import NamedTuple

from memq.errors import QueueError
from memq.wire import extensions as dialect
from memq.wire.forms import CHANGES, DELETES, ENDS, GETS, PLAIN, SETS, Form
from memq.wire.words import Refused, isName


class Set(NamedTuple):
    """Append a message whose body of ``size`` bytes follows.

    :ivar exptime: as it was sent: 0, or seconds by memcached's rule.
    :ivar delay: seconds until the message can be seen.
    """

    queue: bytes
    flags: int
    size: int
    form: Form = SETS
    exptime: int = 0
    delay: int = 0


class Get(NamedTuple):
    """Take a message from each of some queues."""

    queues: tuple[bytes, ...]
    form: Form = GETS


class Delete(NamedTuple):
    """Delete a queue."""

    queue: bytes
    form: Form = DELETES


class FlushAll(NamedTuple):
    """Empty every queue, after a ``delay`` in seconds."""

    delay: int = 0
    form: Form = CHANGES


class Stats(NamedTuple):
    """Tell figures: all the server's, or those of a topic.

    :ivar topic: b"items" stands for all that memcached alone has.
    :ivar pattern: whose details; b"" for all queues'.
    """

    topic: bytes = b""
    pattern: bytes = b""
    form: Form = ENDS


class Version(NamedTuple):
    """Tell the version."""

    form: Form = PLAIN


class Verbosity(NamedTuple):
    """Answer OK; how much is logged is decided at start."""

    form: Form = CHANGES


class Checkpoint(NamedTuple):
    """Make a checkpoint now."""

    form: Form = CHANGES


class Archive(NamedTuple):
    """Remove log files that are not needed now."""

    form: Form = CHANGES


class Quit(NamedTuple):
    """Close the connection; in text, without a word."""

    form: Form = PLAIN


class Noop(NamedTuple):
    """Answer, once all before it is answered."""

    form: Form


class Claim(NamedTuple):
    """Say who the client is, though that is known, or nobody asks."""

    form: Form


class Describe(NamedTuple):
    """Tell the figures of a queue, and of its next message."""

    queue: bytes
    form: Form


def deletion(key: bytes, form: Form) -> Delete | dialect.Close | Refused:
    """Return what a delete of a key is: of a queue, or of an open message of it."""
    if isName(key):
        return Delete(key, form)
    found = dialect.parseOpened(key)
    if isinstance(found, QueueError):
        return Refused(found, form=form)
    return dialect.Close(*found, form)
