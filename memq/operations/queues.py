"""Operations on queues as a whole: made, deleted, emptied, paused and resumed."""

from __future__ import annotations

from sys import maxsize
from typing import TYPE_CHECKING

from memq.operations.base import MESSAGE_COST, Operation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memq.interfaces import IQueueStore
    from memq.operations.base import Client


class _OnQueue(Operation):
    __slots__ = ("queue",)

    def __init__(self, client: Client, queue: bytes) -> None:
        super().__init__(client)
        self.queue = queue


class Delete(_OnQueue):
    """Delete a queue; the result is whether there was one."""

    __slots__ = ()

    def run(self, store: IQueueStore) -> int:
        """Delete it."""
        self.result = store.delete(self.queue)
        return MESSAGE_COST if self.result else 0


class Empty(_OnQueue):
    """Discard all messages of a queue; the result is how many."""

    __slots__ = ()

    def run(self, store: IQueueStore) -> int:
        """Empty it."""
        self.result = store.empty(self.queue)
        return MESSAGE_COST if self.result else 0


class EmptyAll(Operation):
    """Empty every queue; the result is how many messages that discarded."""

    __slots__ = ()

    def run(self, store: IQueueStore) -> int:
        """Empty them."""
        counts = list(store.counts())
        self.result = sum(store.empty(count.name) for count in counts)
        return MESSAGE_COST if counts else 0


class AddQueue(_OnQueue):
    """Make a queue with a limit; the result is whether there was none.

    :ivar limit: the most messages, 0 for any number.
    """

    __slots__ = ("limit",)

    def __init__(self, client: Client, queue: bytes, limit: int) -> None:
        super().__init__(client, queue)
        self.limit = limit

    def run(self, store: IQueueStore) -> int:
        """Make it."""
        if self.limit:
            self.client.policies.activate()
        self.result = store.setLimit(self.queue, self.limit)
        return MESSAGE_COST if self.result else 0


class Pause(_OnQueue):
    """Stop reads from a queue, writes to it, or both, besides what is stopped.

    :ivar bits: READS, WRITES or both.
    """

    __slots__ = ("bits",)

    def __init__(self, client: Client, queue: bytes, bits: int) -> None:
        """Remember which of READS and WRITES."""
        super().__init__(client, queue)
        self.bits = bits

    def run(self, store: IQueueStore) -> int:
        """Stop it; the queue is made if there is none."""
        self.client.policies.activate()
        _, paused = store.settings(self.queue)
        store.setPaused(self.queue, paused | self.bits)
        return MESSAGE_COST


class Resume(_OnQueue):
    """Stop nothing of a queue any more; the result is whether there is one."""

    __slots__ = ()

    def run(self, store: IQueueStore) -> int:
        """Let it go on."""
        self.result = store.setPaused(self.queue, 0)
        return MESSAGE_COST if self.result else 0

    def madeVisible(self) -> Iterable[tuple[bytes, int]]:
        """Let everybody try who waits: nobody knows how many messages there are."""
        if self.result is True:
            yield self.queue, maxsize
