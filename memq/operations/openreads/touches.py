"""Touch: let an open read last longer than its queue's rule says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.errors import NotOpen
from memq.operations.base import Operation
from memq.policy.effective import PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.interfaces import IQueueStore
    from memq.operations.base import Client


class TouchRead(Operation):
    """Let the time of an open read begin anew; the result is True, or NotOpen.

    NotOpen is also for one whose time is over, though it did not go back yet; and for
    one that was flushed, which is open no more then.
    """

    __slots__ = ("_number", "_queue", "_seconds", "_undo")

    outlivesSession = False

    def __init__(self, client: Client, queue: bytes, number: int, seconds: int) -> None:
        """Remember which, by its number.

        :param seconds: after which it goes back; 0 for as long as the queue's rule says
            now, which is without an end where it says nothing.
        """
        super().__init__(client)
        self._queue = queue
        self._number = number
        self._seconds = seconds
        self._undo: Callable[[], None] | None = None

    def run(self, store: IQueueStore) -> int:
        """Set its timer anew: nothing changes in the store."""
        client = self.client
        reads = client.opened(self._queue)
        opened = reads.find(self._number)
        if opened is None or opened.isLate:
            self.result = NotOpen()
            return 0
        if not store.isRead(self._queue, opened.message):
            # It was flushed: who is told so could not end it, and may open the next.
            self._undo = opened.end()
            self.result = NotOpen()
            return 0
        rule = (client.policies.of(self._queue) or PLAIN).rule
        self._undo = opened.extend(self._seconds or rule.openSeconds)
        self.result = True
        return 0

    def undo(self) -> None:
        """Let its time be as before."""
        super().undo()
        undo, self._undo = self._undo, None
        if undo is not None:
            undo()
