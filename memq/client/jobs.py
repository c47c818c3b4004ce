"""Jobs: messages that one worker has open, one after the other, each by its number.

A message is opened with memcached's meta command ``mg``, whose reply tells beside its
number (``c``) how often it was given back (``h``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from memq.client.connection import refusal

if TYPE_CHECKING:
    from memq.client.connection import Connection

_MISS = b"EN"
_HIT = b"VA"


class Job(NamedTuple):
    """A message that is open.

    :ivar number: its number in the queue.
    :ivar tries: how often it was given back before.
    """

    number: int
    tries: int
    body: bytes


class Jobs:
    """The messages of a queue, as one connection opens them."""

    def __init__(self, connection: Connection, queue: bytes) -> None:
        self._connection, self._queue = connection, queue

    def next(self, milliseconds: int) -> Job | None:
        """Open the next message; None if none comes in time."""
        line = b"mg %b/t=%d/open v c h" % (self._queue, milliseconds)
        answer = self._connection.ask(line)
        if answer == _MISS:
            return None
        word, *rest = answer.split()
        if word != _HIT:
            raise refusal(answer)
        size, *flags = rest
        told = {flag[:1]: int(flag[1:]) for flag in flags}
        body = self._connection.body(int(size))
        return Job(told[b"c"], told[b"h"], body)

    def done(self, job: Job) -> bool:
        """Close a message, which deletes it; return whether it was open until now."""
        line = b"delete %b/open=%d" % (self._queue, job.number)
        return self._connection.ask(line) == b"DELETED"

    def touch(self, job: Job) -> None:
        """Begin to count its time anew."""
        self._connection.ask(b"touch %b/open=%d 0" % (self._queue, job.number))

    def later(self, job: Job, seconds: int) -> None:
        """Give a message back, to be seen again after so many seconds."""
        line = b"get %b/abort=%d/delay=%d" % (self._queue, job.number, seconds)
        self._connection.ask(line)
