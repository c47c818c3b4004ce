"""The queues that there are, and their counts, in memory.

A store keeps one row a queue; the catalog is those rows, loaded at start, and
the only place where counts, ids and heads change.  What changes inside a
transaction is remembered as it was before, so that an abort puts everything
back: :meth:`Catalog.rollBack`.  A commit asks :meth:`Catalog.changes` for the
rows to write, once a queue and transaction, and ends with
:meth:`Catalog.settle`.

A row, as it stands on disk (big-endian):

    offset  size  field
    0       1     version of this layout: 1
    1       4     id of the queue; its messages are kept under it
    5       8     sequence number of the next message
    13      8     messages ever pushed
    21      8     messages ever taken
    29      n     options of the queue; none in version 1

This module does no I/O.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from memq.imemq import QueueCount
from memq.reads import AllReads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memq.message import Message
    from memq.reads import Reads

#: The version byte of the rows that this module writes.
VERSION = 1

_ROW = Struct(">BIQQQ")


class DamagedRow(Exception):
    """A row whose bytes are not what was once written."""


class Queue:
    """One queue's row, and where its first message is to be looked for.

    :ivar head: no message of the queue has a lower sequence number, but for those that
        its reads know of.
    :ivar reads: its open reads and what came of earlier ones; None when nothing is.
    :ivar closed: messages ever taken by an open read; they count as taken, too.
    :ivar returns: how often messages were given back and that was counted.
    """

    __slots__ = (
        "closed",
        "head",
        "id",
        "name",
        "nextSequence",
        "pushed",
        "reads",
        "returns",
        "taken",
    )

    def __init__(
        self,
        name: bytes,
        id: int,
        nextSequence: int = 0,
        pushed: int = 0,
        taken: int = 0,
    ) -> None:
        """Make the queue of a row, or a new one."""
        self.name = name
        self.id = id
        self.nextSequence = nextSequence
        self.pushed = pushed
        self.taken = taken
        self.closed = 0
        self.returns = 0
        self.head = 0
        self.reads: Reads | None = None

    @property
    def openReads(self) -> int:
        """Return how many messages are read openly; they are not taken yet."""
        return 0 if self.reads is None else len(self.reads.hidden)

    @property
    def ready(self) -> int:
        """Return how many messages a pop would find."""
        return self.pushed - self.taken - self.openReads

    def pack(self) -> bytes:
        """Return the row."""
        return _ROW.pack(VERSION, self.id, self.nextSequence, self.pushed, self.taken)


def unpackQueue(name: bytes, row: bytes) -> Queue:
    """Return the queue that a row describes.

    :raise DamagedRow: when it is of another size or version.
    """
    if len(row) != _ROW.size or row[0] != VERSION:
        raise DamagedRow(f"the row of queue {name!r} cannot be read: {row[:40].hex()}")
    _, id, nextSequence, pushed, taken = _ROW.unpack(row)
    return Queue(name, id, nextSequence, pushed, taken)


#: What a queue was before the transaction: None when there was no such queue.
_Before = tuple[Queue, int, int, int, int, int, int] | None


class Catalog:
    """All queues by name, with what the transaction under way has changed."""

    def __init__(self) -> None:
        """Make a catalog without queues."""
        self.queues: dict[bytes, Queue] = {}
        #: The id that the next new queue gets; never one that was in use.
        self.nextId = 1
        self._nextIdBefore = 1
        self._before: dict[bytes, _Before] = {}
        self._reads = AllReads()

    def load(
        self,
        queues: list[Queue],
        nextId: int,
        tries: dict[int, dict[int, int]] | None = None,
    ) -> None:
        """Start with the rows of a store and its persisted id counter.

        :param tries: how often messages were given back, by id of their queue and
            sequence number.
        """
        self.queues = {queue.name: queue for queue in queues}
        self.nextId = self._nextIdBefore = nextId
        self._before.clear()
        self._reads.load(queues, tries or {})

    def forPush(self, name: bytes) -> Queue:
        """Return a queue that is about to change, made if there is none."""
        queue = self.queues.get(name)
        if queue is None:
            self._before.setdefault(name, None)
            queue = self.queues[name] = Queue(name, self.nextId)
            self.nextId += 1
        elif name not in self._before:
            self._remember(queue)
        return queue

    def newQueue(self, name: bytes) -> Queue:
        """Return a queue that nobody sees before :meth:`show`.

        Its numbers go on where those of a queue of that name are.
        """
        there = self.queues.get(name)
        queue = Queue(name, self.nextId, there.nextSequence if there else 0)
        self.nextId += 1
        return queue

    def show(self, queue: Queue) -> None:
        """Let a new queue be the one of its name, instead of an empty one, if any."""
        there = self.queues.get(queue.name)
        if there is None:
            self._before.setdefault(queue.name, None)
        elif queue.name not in self._before:
            self._remember(there)
        self.queues[queue.name] = queue

    def forPop(self, name: bytes) -> Queue | None:
        """Return a queue that is about to change, None if it has nothing to take."""
        queue = self.queues.get(name)
        if queue is None or queue.pushed == queue.taken:
            return None
        if queue.reads is not None and not queue.ready:
            return None
        if name not in self._before:
            self._remember(queue)
        return queue

    def forRead(self, name: bytes) -> Queue | None:
        """Return a queue whose head and reads are about to change, None as above.

        Its row is not: who changes that as well asks for it by :meth:`forReturn`.
        """
        queue = self.queues.get(name)
        if queue is None or not queue.ready:
            return None
        self.readsOf(queue)
        return queue

    def readBy(self, name: bytes, message: Message) -> Queue | None:
        """Return the queue in which a message is read openly, None if it is not."""
        queue = self.queues.get(name)
        if queue is None or queue.id != message.queueId or queue.reads is None:
            return None
        return queue if message.sequence in queue.reads.hidden else None

    def readsOf(self, queue: Queue) -> Reads:
        """Return the reads of a queue, which may change, as may its head."""
        return self._reads.touch(queue, queue.name in self._before)

    def tries(self, message: Message) -> int:
        """Return how often a message was given back, and that was counted."""
        return self._reads.tries(message)

    def giveBack(self, queue: Queue, sequence: int) -> None:
        """Let a store find a message that was behind the head before."""
        if queue.reads is None:
            queue.head = min(queue.head, sequence)
        elif sequence < queue.head:
            self.readsOf(queue).giveBack(sequence)

    def forReturn(self, name: bytes, id: int) -> Queue | None:
        """Return the queue that a message came from, None if that is gone."""
        queue = self.queues.get(name)
        if queue is None or queue.id != id:
            return None
        if name not in self._before:
            self._remember(queue)
        return queue

    def remove(self, name: bytes) -> Queue | None:
        """Take a queue out and return it, None if there is none."""
        queue = self.queues.get(name)
        if queue is not None:
            if name not in self._before:
                self._remember(queue)
            if queue.reads is not None:
                self.readsOf(queue)
            del self.queues[name]
        return queue

    def empty(self, name: bytes) -> Queue | None:
        """Give a queue a new id, and return it as it was, None if there is none.

        Its messages stay under the old id, for the store to remove.  What was taken and
        is not delivered cannot come back, even if it was all that there was.
        """
        queue = self.queues.get(name)
        if queue is None:
            return None
        if name not in self._before:
            self._remember(queue)
        if queue.reads is not None:
            self.readsOf(queue)
        heir = Queue(name, self.nextId, queue.nextSequence, queue.pushed, queue.pushed)
        heir.closed, heir.returns = queue.closed, queue.returns
        self.nextId += 1
        self.queues[name] = heir
        return queue

    def _remember(self, queue: Queue) -> None:
        self._before[queue.name] = (
            queue,
            queue.nextSequence,
            queue.pushed,
            queue.taken,
            queue.closed,
            queue.returns,
            queue.head,
        )

    @property
    def newIds(self) -> bool:
        """Whether the transaction has used up ids."""
        return self.nextId != self._nextIdBefore

    def changes(self) -> Iterator[tuple[bytes, Queue | None]]:
        """Yield each name that was touched, and its queue, None if deleted."""
        get = self.queues.get
        for name in self._before:
            yield name, get(name)

    def settle(self) -> None:
        """Forget what was before: the transaction is committed."""
        self._before.clear()
        self._nextIdBefore = self.nextId
        if self._reads.touched:
            self._reads.settle(self.queues)

    def rollBack(self) -> None:
        """Put every queue back as it was before the transaction."""
        for name, before in self._before.items():
            if before is None:
                self.queues.pop(name, None)
                continue
            queue, *counts = before
            queue.nextSequence, queue.pushed, queue.taken = counts[:3]
            queue.closed, queue.returns, queue.head = counts[3:]
            self.queues[name] = queue
        self.nextId = self._nextIdBefore
        self._before.clear()
        self._reads.rollBack(self.queues)

    def counts(self) -> list[QueueCount]:
        """Return every queue's counts, sorted by name."""
        return [
            QueueCount(queue.name, queue.pushed, queue.taken)
            for _, queue in sorted(self.queues.items())
        ]

    def status(self) -> dict[str, int]:
        """Return how many queues there are, and how many messages wait in them."""
        return {"queues": len(self.queues), "messages": self.waiting()}

    def waiting(self) -> int:
        """Return how many messages wait in all queues."""
        return sum(queue.pushed - queue.taken for queue in self.queues.values())
