"""Open reads: which messages are hidden, and which were given back, in memory.

A message that is read openly stays in its table, so that a server that dies gives all
of them back.  Until then its sequence number stands here, and nobody else finds it.

Theory of operation
===================

A store looks for the head of a queue from a number on, below which there is nothing;
behind that it knows nothing of open reads.  So each number that is hidden is below it.
A number given back is below it, too, while others there are hidden, and stands in a
list of its own, from which it is taken first.  When nothing is hidden any more, the
store looks from the lowest number of that list on, and the list is dropped.

How often a message was given back stands here as long as it is in its queue; the store
keeps that on disk as well.

A queue without all that has no :class:`Reads`, so that it costs nothing.  The undo log
undoes changes inside a transaction.

This module does no I/O.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from memq.errors import QueueError
    from memq.message import Message
    from memq.storage.undo import UndoLog


class Reads:
    """The open reads of one queue, and what came of earlier ones.

    :ivar hidden: sequence numbers of messages that are read openly, each with the
        bytes of its body.
    :ivar bytes: of all these.
    :ivar deliveries: how often messages that are in the queue were given back, by their
        sequence numbers; only those that were.
    """

    __slots__ = ("_returned", "_undo", "bytes", "deliveries", "hidden")

    def __init__(self, undo: UndoLog) -> None:
        self.hidden: dict[int, int] = {}
        self.bytes = 0
        self.deliveries: dict[int, int] = {}
        #: Numbers that were given back, each negated, so that the lowest is the last.
        self._returned: list[int] = []
        self._undo = undo

    def hide(self, sequence: int, size: int) -> None:
        """Hide a message."""
        self._hide(sequence, size)
        self._undo.add((self._show, sequence))

    def show(self, sequence: int) -> None:
        """Hide a message no longer, whether it is gone or given back."""
        size = self._show(sequence)
        self._undo.add((self._hide, sequence, size))

    def _hide(self, sequence: int, size: int) -> None:
        self.hidden[sequence] = size
        self.bytes += size

    def _show(self, sequence: int) -> int:
        size = self.hidden.pop(sequence)
        self.bytes -= size
        return size

    def hideAll(self, sizes: dict[int, int]) -> None:
        """Hide messages, of which the bytes of each are given."""
        self._hideAll(sizes)
        self._undo.add((self._showAll, sizes))

    def showAll(self, sequences: Iterable[int]) -> None:
        """Hide messages no longer that are hidden."""
        hidden = self.hidden
        sizes = {sequence: hidden[sequence] for sequence in sequences}
        self._showAll(sizes)
        self._undo.add((self._hideAll, sizes))

    def _hideAll(self, sizes: dict[int, int]) -> None:
        self.hidden.update(sizes)
        self.bytes += sum(sizes.values())

    def _showAll(self, sizes: dict[int, int]) -> None:
        for sequence in sizes:
            del self.hidden[sequence]
        self.bytes -= sum(sizes.values())

    def giveBack(self, sequence: int) -> None:
        """Let a message be found below where the store looks."""
        insort(self._returned, -sequence)
        self._undo.add((self._remove, sequence))

    def _remove(self, sequence: int) -> None:
        del self._returned[bisect_left(self._returned, -sequence)]

    def takeReturned(self) -> int | None:
        """Return the first one of those, which is found no longer, None without any."""
        if not self._returned:
            return None
        sequence = -self._returned.pop()
        self._undo.add((insort, self._returned, -sequence))
        return sequence

    def forgetReturned(self, sequence: int) -> None:
        """Forget one of those, if it is one: it is taken in another way."""
        if -sequence in self._returned:
            self._remove(sequence)
            self._undo.add((insort, self._returned, -sequence))

    def returned(self) -> int | None:
        """Return the first one of those, None without any."""
        return -self._returned[-1] if self._returned else None

    def countDelivery(self, sequence: int) -> int:
        """Count that a message was given back; return how often it was now."""
        before = self.deliveries.get(sequence)
        if before is None:
            self.deliveries[sequence] = 1
            self._undo.add((self.deliveries.pop, sequence))
            return 1
        self._set(sequence, before + 1)
        self._undo.add((self._set, sequence, before))
        return before + 1

    def _set(self, sequence: int, deliveries: int) -> None:
        self.deliveries[sequence] = deliveries

    def setDeliveries(self, deliveries: dict[int, int]) -> None:
        """Note how often messages were given back that have just come."""
        self.deliveries.update(deliveries)
        for sequence in deliveries:
            self._undo.add((self.deliveries.pop, sequence))

    def forgetDeliveries(self, sequence: int) -> bool:
        """Forget how often a message was given back; return whether it ever was."""
        deliveries = self.deliveries.pop(sequence, None)
        if deliveries is None:
            return False
        self._undo.add((self._set, sequence, deliveries))
        return True

    def settle(self, head: int) -> int:
        """Drop the list of what was given back, if nothing is hidden any more.

        :return: from where on it has to look now.
        """
        if self.hidden or not self._returned:
            return head
        head = min(head, -self._returned[-1])
        self._returned.clear()
        return head


class OneByOne:
    """Many open reads of a store that has no faster way than one by one."""

    openRead: Callable[[bytes], Message | QueueError | None]
    closeRead: Callable[[bytes, Message], bool]

    def openAll(self, queue: bytes, most: int, size: int) -> list[Message | QueueError]:
        """Hide messages."""
        found: list[Message | QueueError] = []
        while len(found) < most and size > 0:
            one = self.openRead(queue)
            if one is None:
                break
            found.append(one)
            if not isinstance(one, tuple) or one.large is not None:
                break
            size -= one.size
        return found

    def closeAll(self, queue: bytes, messages: Iterable[Message]) -> list[Message]:
        """Take those that are hidden."""
        return [message for message in messages if self.closeRead(queue, message)]


class Queue(Protocol):
    """A queue, as far as open reads know it.

    :ivar head: the number from which on the store looks for its messages.
    :ivar reads: its open reads; None without any.
    """

    id: int
    name: bytes
    head: int
    reads: Reads | None


class AllReads:
    """The open reads of all queues."""

    def __init__(self, undo: UndoLog, queues: Mapping[bytes, Queue]) -> None:
        """Begin with none.

        :param queues: those that there are, always the same object.
        """
        self._undo = undo
        self._queues = queues
        self._byId: dict[int, Reads] = {}
        #: Ids of the queues that may have changed since the transaction began.
        self._touched: set[int] = set()

    def load(
        self, queues: Iterable[Queue], deliveries: dict[int, dict[int, int]]
    ) -> None:
        """Start with how often messages were given back, by ids of their queues."""
        self._byId.clear()
        for queue in queues:
            if queue.id in deliveries:
                queue.reads = self._byId[queue.id] = Reads(self._undo)
                queue.reads.deliveries = deliveries[queue.id]

    def touch(self, queue: Queue) -> Reads:
        """Return the reads of a queue that are about to change, made if there are none.

        The head may change as well.
        """
        if queue.id not in self._touched:
            self._touched.add(queue.id)
            self._undo.add((self._untouch, queue, queue.head))
            self._undo.afterCommit((self._settle, queue))
        if queue.reads is None:
            queue.reads = self._byId[queue.id] = Reads(self._undo)
        return queue.reads

    def isRead(self, name: bytes, message: Message) -> bool:
        """Return whether a message is read openly in a queue of that name."""
        queue = self._queues.get(name)
        if queue is None or queue.id != message.queueId or queue.reads is None:
            return False
        return message.sequence in queue.reads.hidden

    def deliveries(self, message: Message) -> int:
        """Return how often a message was given back."""
        before = 0 if message.trace is None else message.trace.counted
        reads = self._byId.get(message.queueId)
        if reads is None:
            return before
        return before + reads.deliveries.get(message.sequence, 0)

    def _untouch(self, queue: Queue, head: int) -> None:
        queue.head = head
        self._touched.remove(queue.id)
        self._dropIf(queue, isGone=False)

    def _settle(self, queue: Queue) -> None:
        """Let the store look for what was given back, once nothing is hidden."""
        self._touched.remove(queue.id)
        queue.head = self._byId[queue.id].settle(queue.head)
        self._dropIf(queue, isGone=self._queues.get(queue.name) is not queue)

    def _dropIf(self, queue: Queue, isGone: bool) -> None:
        """Drop the reads of a queue that say nothing any more."""
        reads = self._byId[queue.id]
        if isGone or not (reads.hidden or reads.deliveries):
            queue.reads = None
            del self._byId[queue.id]
