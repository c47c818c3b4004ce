"""Deletes: sets wait while their queue is deleted from here, and make it anew then.

A node that takes a message for a queue that is about to go may stand still in the
channel of all sets for seconds, and close their connection (541, on 3.10.8: channels
ask a queue whether they may set to it, and cannot hear that it is gone).  So what was
sent is settled first, what comes waits, and no node has both at a time from here.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from memq.rabbitmq.links.connections import Timer

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from memq.rabbitmq.publishing.lanes import Lane

#: Seconds that a delete waits for what is on its way to its queue.
SETTLING = 0.25


class Deletes:
    """Those that are under way."""

    def __init__(self, clock: IReactorTime) -> None:
        """Begin with none."""
        self._clock = clock
        self._queues: Counter[str] = Counter()

    def __contains__(self, queue: str) -> bool:
        """Return whether a queue is being deleted, by its name in RabbitMQ."""
        return queue in self._queues

    def begin(
        self, queue: str, lane: Lane | None, ready: Callable[[Any], object]
    ) -> None:
        """Let the lane of a queue hold what comes.

        :param ready: is called once, when nothing is on its way there, or soon.
        """
        self._queues[queue] += 1
        isReady = False

        def _ready() -> None:
            nonlocal isReady
            if not isReady:
                isReady = True
                Timer(bound).cancel()
                ready(None)

        bound = self._clock.callLater(SETTLING, _ready)
        if lane is None:
            _ready()
        else:
            lane.whenSettled(_ready)

    def end(self, queue: str, lane: Lane | None) -> None:
        """Let the lane go on, unless the queue is deleted once more."""
        self._queues[queue] -= 1
        if not self._queues[queue]:
            del self._queues[queue]
            if lane is not None:
                lane.flush()
