"""Marks: how far imports are, kept on the cluster.

Each import has a queue of memq's own, by its token, with one message: a newer one
drives it out.  It tells the line that is imported for good and, while messages of a
chunk are being set, up to which line some may be there besides.  It is forgotten some
time after the import.
"""

from __future__ import annotations

from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.errors import ImportRefused, QueueError
from memq.message import Message
from memq.operations.imports.chunks import ROW
from memq.rabbitmq import names
from memq.rabbitmq.asking.base import nameOf
from memq.rabbitmq.asking.bounds import ending, opening

if TYPE_CHECKING:
    from memq.policy.effective import Policies
    from memq.rabbitmq.asking.queues import Queues
    from memq.rabbitmq.asking.spread import SpreadOpenReads
    from memq.rabbitmq.course import Steps
    from memq.rabbitmq.engine.sets import Publisher

#: What the names of these queues begin with; the token follows, in hexadecimal digits.
PREFIX = names.OWN + "import/"
#: Milliseconds without use after which a mark is forgotten.
KEPT = 14 * 24 * 3600 * 1000
#: What such a queue is declared with.
ARGUMENTS: dict[str, Any] = {
    "x-max-length": 1,
    "x-overflow": "drop-head",
    "x-expires": KEPT,
}
#: Looks for a mark that is not there, and seconds between two: another front end may
#: look at it, for some milliseconds.  If there is none then, a front end has died that
#: had made its queue.
LOOKS, STEP = 5, 0.2
#: Who has written it, the two lines, and whether the first is the last of all.
_MARK = Struct(">8sQQB")
#: What is said when somebody else writes the mark.
SAME = "another client imports the same"
#: What is said when the mark is none.
UNKNOWN = "the queue servers do not tell how far it is"


class Mark(NamedTuple):
    """How far an import is.

    :ivar owner: stands for the client that imports.
    :ivar line: the line up to which all is there.
    :ivar upTo: the line up to which messages may be there.
    :ivar isFinished: whether all is there.
    """

    owner: bytes
    line: int
    upTo: int
    isFinished: bool = False

    @property
    def isUnsure(self) -> bool:
        """Whether messages may be there behind the line."""
        return self.upTo > self.line

    def packed(self) -> bytes:
        """Return the body of its message."""
        return _MARK.pack(*self)

    @classmethod
    def unpack(cls, body: bytes) -> Mark | None:
        """Return the one of a message; None if that has none."""
        if len(body) != _MARK.size:
            return None
        owner, line, upTo, isFinished = _MARK.unpack(body)
        return cls(owner, line, upTo, bool(isFinished))

    def row(self) -> bytes:
        """Return the row that a store of its own would have."""
        return ROW.pack(0, self.line, self.isFinished)


class Marks:
    """Reads and writes marks."""

    def __init__(
        self,
        publisher: Publisher,
        openReads: SpreadOpenReads,
        queues: Queues,
        policies: Policies,
    ) -> None:
        """Begin with none."""
        self._publisher = publisher
        self._openReads = openReads
        self._queues = queues
        self._policies = policies

    def read(self, token: bytes) -> Steps:
        """Return the mark of an import, None without one, or an error."""
        queue = _queue(token)
        length = yield partial(self._queues.length, queue)
        if isinstance(length, QueueError):
            return length
        if length is None:
            # It may be made anew, if its time was over.
            self._publisher.forget(nameOf(queue).queue)
            return None
        found = yield opening(self._openReads, queue)
        for _ in range(LOOKS):
            if found is not None:
                break
            yield self._queues.bounds.pause(STEP)
            found = yield opening(self._openReads, queue)
        if not isinstance(found, Message):
            return found
        yield ending(self._openReads.giveBack, queue, [found.sequence])
        return Mark.unpack(found.body) or ImportRefused(UNKNOWN)

    def write(self, token: bytes, mark: Mark) -> Steps:
        """Write one; return an error if that is not sure."""
        name = names.Name(nameOf(_queue(token)).queue, ARGUMENTS)
        headers = names.headers(0, self._policies.now())
        publish = self._publisher.publish
        return (yield partial(publish, name, mark.packed(), headers))


def _queue(token: bytes) -> bytes:
    return f"{PREFIX}{token.hex()}".encode()
