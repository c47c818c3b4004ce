"""The queue index: the queues that there are, and their counts, in memory.

A store keeps one row a queue; the index is those rows, loaded at start, and the only
place where counts, ids and heads change.  A queue that a transaction is about to change
is written to the undo log as it is, once: one snapshot instead of an entry for each
change, of which a set makes three.  A commit asks
:meth:`QueueIndex.changes` for the rows to write.

This module does no I/O.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from memq.figures import AS_THEY_ARE, NOTHING_KEPT, QueueCount
from memq.storage.delays import Delays
from memq.storage.figures.columns import inColumns
from memq.storage.figures.sums import Gone, Outcomes, addUp
from memq.storage.openreads import AllReads
from memq.storage.row import USED, Queue
from memq.storage.undo import UndoLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from memq.errors import QueueError
    from memq.figures import Columns, Heads, Kept, QueueDetail, Sums
    from memq.message import Message
    from memq.storage.openreads import Reads
    from memq.storage.row import Rest


class QueueIndex:
    """All queues by name, with what the transaction under way has changed."""

    def __init__(self, undo: UndoLog) -> None:
        self.queues: dict[bytes, Queue] = {}
        #: What queues have counted that are deleted, less what all had at the load.
        self.gone = Gone()
        self.outcomes = Outcomes(undo)
        #: The id that the next new queue gets; never one that was in use.
        self.nextId = 1
        #: Whether the transaction has used up ids.
        self.hasNewIds = False
        self._undo = undo
        #: Names of the queues whose rows the transaction has changed.
        self.changed: dict[bytes, None] = {}
        #: The step of USED that it is, in seconds, and from when until when, in ms.
        self._used = 0
        self._step = self._nextStep = 0
        self._reads = AllReads(undo, self.queues)
        self.isRead = self._reads.isRead

    def load(
        self,
        queues: list[Queue],
        nextId: int,
        deliveries: dict[int, dict[int, int]] | None = None,
    ) -> None:
        """Start with the rows of a store and its persisted id counter.

        :param deliveries: how often messages were given back, by id of their queue and
            sequence number.
        """
        self.queues.clear()
        self.queues.update({queue.name: queue for queue in queues})
        self.gone.restart(queues)
        self.nextId = nextId
        self._reads.load(queues, deliveries or {})

    def forPush(self, name: bytes) -> Queue:
        """Return a queue that is about to change, made if there is none."""
        queue = self.queues.get(name)
        if queue is None:
            queue = Queue(name, self.newId())
            self._add(queue)
        elif name not in self.changed:
            self._remember(queue)
        return queue

    def forDelay(self, name: bytes) -> Queue:
        """Return a queue that is about to get a delayed message, made if need be."""
        queue = self.forPush(name)
        if not queue.rest.delayId:
            queue.change(delayId=self.newId())
        return queue

    def forChange(self, name: bytes) -> Queue | None:
        """Return a queue that is about to change, None if there is none."""
        queue = self.queues.get(name)
        if queue is not None and name not in self.changed:
            self._remember(queue)
        return queue

    def newQueue(self, name: bytes) -> Queue:
        """Return a queue that nobody sees before :meth:`show`.

        Its numbers go on where those of a queue of that name are.
        """
        there = self.queues.get(name)
        return Queue(name, self.newId(), there.nextSequence if there else 0)

    def newId(self) -> int:
        """Return an id that nothing has yet."""
        id = self.nextId
        self._undo.add((self._setNextId, id, self.hasNewIds))
        self._setNextId(id + 1, True)
        return id

    def _setNextId(self, id: int, isNew: bool) -> None:
        self.nextId, self.hasNewIds = id, isNew

    def _add(self, queue: Queue) -> None:
        """Let there be a queue of a name that no other one has."""
        name = queue.name
        if name not in self.changed:
            self.changed[name] = None
            self._undo.add((self._removeNew, name))
        self.queues[name] = queue

    def _removeNew(self, name: bytes) -> None:
        self.queues.pop(name, None)
        self.changed.pop(name, None)

    def show(self, queue: Queue) -> None:
        """Let a new queue be the one of its name, instead of an empty one, if any."""
        self.forChange(queue.name)
        self._add(queue)

    def forPop(self, name: bytes) -> Queue | None:
        """Return a queue that is about to change, None if it has nothing to take."""
        queue = self.queues.get(name)
        if queue is None or queue.pushed == queue.taken:
            return None
        if queue.reads is not None and not queue.ready:
            return None
        if name not in self.changed:
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
        return self.queues[name] if self.isRead(name, message) else None

    def readsOf(self, queue: Queue) -> Reads:
        """Return the reads of a queue, which may change, as may its head."""
        return self._reads.touch(queue)

    def deliveries(self, message: Message) -> int:
        """Return how often a message was given back, and that was counted."""
        return self._reads.deliveries(message)

    def giveBack(self, queue: Queue, sequence: int) -> None:
        """Let a store find a message that was behind the head before."""
        if queue.reads is None:
            queue.head = min(queue.head, sequence)
        elif sequence < queue.head:
            self.readsOf(queue).giveBack(sequence)

    def forReturn(self, name: bytes, id: int) -> Queue | None:
        """Return the queue that a message came from, None if that is gone."""
        queue = self.queues.get(name)
        return None if queue is None or queue.id != id else self.forChange(name)

    def remove(self, name: bytes) -> Queue | None:
        """Take a queue out and return it, None if there is none."""
        queue = self.forChange(name)
        if queue is not None:
            if queue.reads is not None:
                self.readsOf(queue)
            del self.queues[name]
        return queue

    def empty(self, name: bytes) -> Queue | None:
        """Give a queue a new id, and return it as it was, None if there is none.

        Its messages stay under the old ids, for the store to remove.  A message taken
        and not delivered cannot come back, even if it was all that there was.
        """
        queue = self.remove(name)
        if queue is None:
            return None
        heir = Queue(name, self.newId(), queue.nextSequence, queue.pushed, queue.pushed)
        heir.lastUsed = queue.lastUsed
        heir.setRest(queue.rest._replace(delayId=0, delayed=0, delayedBytes=0))
        heir.closed = queue.closed
        self.queues[name] = heir
        return queue

    def _remember(self, queue: Queue) -> None:
        self.changed[queue.name] = None
        before = (
            queue.nextSequence,
            queue.pushed,
            queue.taken,
            queue.head,
            queue.packHead,
            queue.bytes,
            queue.closed,
            queue.rest,
        )
        self._undo.add((self._restore, queue, before))

    def _restore(
        self, queue: Queue, before: tuple[int, int, int, int, int, int, int, Rest]
    ) -> None:
        (
            queue.nextSequence,
            queue.pushed,
            queue.taken,
            queue.head,
            queue.packHead,
            queue.bytes,
            queue.closed,
            rest,
        ) = before
        queue.setRest(rest)
        queue.forgetHead()
        self.queues[queue.name] = queue
        self.changed.pop(queue.name, None)

    def changes(self, now: int) -> list[tuple[bytes, Queue | None]]:
        """Return each name that was touched, and its queue, None if deleted, once."""
        found = []
        if not self._step <= now < self._nextStep:
            self._step = now - now % (USED * 1000)
            self._nextStep = self._step + USED * 1000
            self._used = self._step // 1000
        used = self._used
        for name in self.changed:
            queue = self.queues.get(name)
            if queue is not None and queue.lastUsed != used:
                queue.use(used)
            found.append((name, queue))
        self.changed.clear()
        self.hasNewIds = False
        return found

    def names(self) -> list[bytes]:
        """Return the names of all queues."""
        return list(self.queues)

    def counts(self) -> list[QueueCount]:
        """Return every queue's counts, sorted by name."""
        return [
            QueueCount(queue.name, queue.pushed, queue.taken)
            for _, queue in sorted(self.queues.items())
        ]

    def setLimit(self, name: bytes, limit: int) -> bool:
        """Make a queue with a limit; return False if there is one of that name."""
        if name in self.queues:
            return False
        self.forPush(name).change(limit=limit)
        return True

    def setPaused(self, name: bytes, bits: int) -> bool:
        """Note what is paused; return False if there is no such queue in the end."""
        if not bits and name not in self.queues:
            return False
        self.forPush(name).change(paused=bits)
        return True

    def settings(self, name: bytes) -> tuple[int, int]:
        """Return limit and paused bits of a queue, 0 and 0 if there is none."""
        queue = self.queues.get(name)
        return (0, 0) if queue is None else (queue.rest.limit, queue.rest.paused)

    def idleSince(self, name: bytes) -> int | None:
        """Return when an empty queue was used last, None if it is not empty."""
        queue = self.queues.get(name)
        return None if queue is None or queue.kept.items else queue.lastUsed

    def kept(self, name: bytes) -> Kept:
        """Return what limits of a queue are about."""
        queue = self.queues.get(name)
        return NOTHING_KEPT if queue is None else queue.kept

    def hasSettings(self) -> bool:
        """Return whether any queue has a limit, or is paused."""
        return any(
            queue.rest.limit or queue.rest.paused for queue in self.queues.values()
        )

    def countExpired(self, name: bytes, number: int) -> None:
        """Count messages of a queue that expired, if there is such a queue."""
        queue = self.forChange(name)
        if queue is not None:
            queue.change(expired=queue.rest.expired + number)

    def countDiscarded(self, name: bytes, number: int) -> None:
        """Count messages of a queue that were discarded, if there is such a queue."""
        queue = self.forChange(name)
        if queue is not None:
            queue.change(discarded=queue.rest.discarded + number)

    def sums(self, names: Iterable[bytes]) -> Sums:
        """Return what some queues have together, of those that there are."""
        return addUp(filter(None, map(self.queues.get, names)))

    def waiting(self) -> int:
        """Return how many messages wait in all queues."""
        return sum(queue.pushed - queue.taken for queue in self.queues.values())

    def stored(self) -> int:
        """Return how many messages there are, those that are delayed as well."""
        return sum(
            queue.pushed - queue.taken + queue.rest.delayed
            for queue in self.queues.values()
        )


class IndexedStore(ABC):
    """All that a store answers from its index alone; see IQueueStore."""

    peek: Callable[[bytes], Message | QueueError | None]

    def __init__(self) -> None:
        """Bind the index's methods, so that to ask a store is to ask its index."""
        self.undo = UndoLog()
        self.index = index = QueueIndex(self.undo)
        self.delays = Delays(index.queues, self.undo)
        self.countOutcome = index.outcomes.count
        self.outcomes = index.outcomes.told
        self.nextDue = self.delays.next
        self.names = index.names
        self.counts = index.counts
        self.sums = index.sums
        self.gone = index.gone.totals
        self.kept = index.kept
        self.idleSince = index.idleSince
        self.deliveries = index.deliveries
        self.isRead = index.isRead
        self.countExpired = index.countExpired
        self.countDiscarded = index.countDiscarded
        self.setLimit = index.setLimit
        self.setPaused = index.setPaused
        self.settings = index.settings
        self.hasSettings = index.hasSettings

    @abstractmethod
    def discardId(self, id: int) -> None:
        """Let all messages under an id be removed, once that is committed."""

    def delete(self, queue: bytes) -> bool:
        """Delete a queue; ``sweep`` removes its messages."""
        entry = self.index.remove(queue)
        if entry is not None:
            self._discardAll(entry)
            self.undo.afterCommit((self.index.gone.count, entry))
        return entry is not None

    def empty(self, queue: bytes) -> int:
        """Give a queue new ids; ``sweep`` removes what is under the old ones."""
        entry = self.index.empty(queue)
        if entry is None:
            return 0
        self._discardAll(entry)
        return entry.pushed - entry.taken + entry.rest.delayed

    def nextNumber(self, queue: bytes) -> int:
        """Return the number of the next message, 0 if there is no such queue."""
        entry = self.index.queues.get(queue)
        return 0 if entry is None else entry.nextSequence

    def _discardAll(self, entry: Queue) -> None:
        self.discardId(entry.id)
        if entry.rest.delayId:
            self.discardId(entry.rest.delayId)
            self.delays.forget(entry)

    def detail(self, queue: bytes) -> QueueDetail | None:
        """Return a queue's details, None if there is no such queue."""
        return next(iter(self.details([queue]).rows()), None)

    def details(self, queues: Iterable[bytes], heads: Heads = AS_THEY_ARE) -> Columns:
        """Return details of some; only heads that may have changed are looked at."""
        return inColumns(map(self.index.queues.get, queues), self.peek, heads)

    def status(self) -> dict[str, int]:
        """Return the figures, and how many messages wait in all queues."""
        return self.figures() | {"messages": self.index.waiting()}

    def figures(self) -> dict[str, int]:
        """Return how many queues there are."""
        return {"queues": len(self.index.queues)}
