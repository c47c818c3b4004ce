"""What a store is asked about its queues, and the catalog answers.

Every store keeps its queues in a :class:`memq.storage.index.QueueIndex`.  What that
knows or keeps by itself, without a look at any message, is here once for all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.storage.index import QueueIndex

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memq.interfaces import Kept, QueueCount, Sums
    from memq.message import Message


class Catalogued:
    """A store's queues, as far as they are in memory; see IQueueStore."""

    def __init__(self) -> None:
        self._index = QueueIndex()

    def names(self) -> list[bytes]:
        """Return the names of all queues."""
        return list(self._index.queues)

    def counts(self) -> Iterable[QueueCount]:
        """Return every queue's counts, sorted by name."""
        return self._index.counts()

    def kept(self, queue: bytes) -> Kept:
        """Return what is kept of a queue's messages."""
        return self._index.kept(queue)

    def idleSince(self, queue: bytes) -> int | None:
        """Return when an empty queue was used last."""
        return self._index.idleSince(queue)

    def deliveries(self, message: Message) -> int:
        """Return how often it was given back."""
        return self._index.deliveries(message)

    def countExpired(self, queue: bytes, number: int) -> None:
        """Count messages that expired."""
        self._index.countExpired(queue, number)

    def countDiscarded(self, queue: bytes, number: int) -> None:
        """Count messages that were discarded."""
        self._index.countDiscarded(queue, number)

    def setLimit(self, queue: bytes, limit: int) -> bool:
        """Make a queue with a limit."""
        return self._index.setLimit(queue, limit)

    def setPaused(self, queue: bytes, bits: int) -> bool:
        """Keep what of a queue is paused."""
        return self._index.setPaused(queue, bits)

    def settings(self, queue: bytes) -> tuple[int, int]:
        """Return limit and paused bits of a queue."""
        return self._index.settings(queue)

    def hasSettings(self) -> bool:
        """Return whether any queue has a limit, or is paused."""
        return self._index.hasSettings()

    def status(self) -> dict[str, int]:
        """Return how many queues and messages there are."""
        return self._index.status()

    def figures(self) -> dict[str, int]:
        """Return how many queues there are."""
        return {"queues": len(self._index.queues)}

    def sums(self, queues: Iterable[bytes]) -> Sums:
        """Return what some queues have together."""
        return self._index.sums(queues)
