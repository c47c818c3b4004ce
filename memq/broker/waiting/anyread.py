"""Reads of several queues, in order of priority: the first that has a message.

It is one operation, with a *part* for each queue, an ordinary read that never runs by
itself.  While it waits each part stands in the line of its queue, as long as its own
time lasts; they have one ticket, and leave their lines together.  When it is woken it
looks again, in order, at all queues for which its time is not over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import ref

from memq.operations.base import MESSAGE_COST
from memq.operations.reads import Read, WouldBlock

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from memq.interfaces import IQueueStore
    from memq.operations.reads import Taken

#: The cost of a part in a turn: a look is about an eighth of a message.
PART_COST = MESSAGE_COST // 8


class AnyRead(Read):
    """Look for one message in several queues; the result is that of one of its parts.

    :ivar queue: the queue of the part that looked last.
    :ivar found: the part that has found something; None without any.
    """

    __slots__ = ("__weakref__", "_parts", "found", "takes")

    def __init__(self, parts: Sequence[Read]) -> None:
        """Look in the queue of each of these, in order; they are of one kind."""
        self._parts = parts
        self.found: Read | None = None
        self.takes = parts[0].takes
        super().__init__(parts[0].client, parts[0].queue, self.wait)
        for part in parts:
            part.group = ref(self)

    @property
    def parts(self) -> Sequence[Read]:
        """Return the reads of one queue each."""
        return self._parts

    @property
    def wait(self) -> float:
        """Seconds to wait for a message: as long as the part that waits longest."""
        return max(part.wait for part in self._parts)

    @wait.setter
    def wait(self, seconds: float) -> None:
        """Let no part wait longer than that."""
        for part in self._parts:
            part.wait = min(part.wait, seconds)

    @property
    def source(self) -> Read | Taken:
        """Return what is told how its message is sent."""
        assert self.found is not None
        return self.found.source

    def places(self) -> Iterable[tuple[bytes, int | None, bool]]:
        """Yield what its parts do that wait, or are unfinished.

        Behind one that is unfinished it has not looked: nobody knows what is there.
        """
        isUnfinished = self.isUnfinished
        for part in self._parts:
            if part.wait or part.isUnfinished:
                for queue, ticket, isUnsure in part.places():
                    yield queue, ticket, isUnsure or isUnfinished

    @property
    def isUnfinished(self) -> bool:
        """Whether a part did not get to the end of what has expired."""
        return any(part.isUnfinished for part in self._parts)

    @property
    def idleCost(self) -> int:
        """Return what it counts: its message is to be sent, and each part looks."""
        return super().idleCost + PART_COST * len(self._parts)

    def run(self, store: IQueueStore) -> int:
        """Look until there is something; raise WouldBlock as each part does."""
        if self.promised is not None:
            self.client.tries(self)
        self._forget()
        self.bytesFreed = cost = 0
        isWaiting = False
        for part in self._parts:
            if part.isLate:
                continue
            self.queue = part.queue
            try:
                cost += part.run(store)
            except WouldBlock as nothing:
                cost += nothing.cost
                isWaiting = True
            self.bytesFreed += part.bytesFreed
            if part.result is not None:
                self.found, self.result = part, part.result
                return cost
            if part.isUnfinished:
                break
        if isWaiting:
            raise WouldBlock(self, cost)
        return cost

    def _forget(self) -> None:
        for part in self._parts:
            part.undo()
        self.found = self.result = None

    def undo(self) -> None:
        """Let each part forget what it has found."""
        self._forget()

    def madeVisible(self) -> Iterable[tuple[bytes, int]]:
        """Tell what moved; let the next one try, if it left what it was promised."""
        for part in self._parts:
            yield from part.madeVisible()
        yield from super().madeVisible()
