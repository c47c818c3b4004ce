"""Deletes: sets wait while their queue is deleted, and make it anew then.

A node that takes a message for a queue that is about to go may stand still in the
channel of all sets for seconds, and close their connection (541, on 3.10.8: channels
ask a queue whether they may set to it, and cannot hear that it is gone).  So what was
sent is settled first, and what comes waits.

Front ends that do not delete it hear that it is about to be, and that it is: they hold
what comes as well, for HOLD seconds at most.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from memq.rabbitmq.links.connections import Timer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twisted.internet.interfaces import IReactorTime

    from memq.rabbitmq.publishing.lanes import Lane

#: Seconds that a delete waits for what is on its way to its queue, at least and most:
#: others have heard of it some milliseconds later, and have something on its way, too.
SOON, SETTLING = 0.05, 0.25
#: Seconds that others wait for the end of one.
HOLD = 1.0


class Deletes:
    """Those that are under way.

    :ivar queues: how often each queue is being deleted; not to be changed elsewhere.
    """

    def __init__(self, clock: IReactorTime, lanes: Mapping[str, Lane]) -> None:
        """Begin with none.

        :param lanes: those of queues, by their names in RabbitMQ.
        """
        self._clock = clock
        self._lanes = lanes
        self.queues: Counter[str] = Counter()
        #: Until when deletes are waited for that were heard of.
        self._expected: dict[str, Timer] = {}

    def begin(self, queue: str, ready: Callable[[Any], object]) -> None:
        """Hold what comes for a queue.

        :param ready: is called once, when nothing is on its way there, or soon.
        """
        self.queues[queue] += 1
        isReady = False

        def _ready() -> None:
            nonlocal isReady
            if not isReady:
                isReady = True
                bound.cancel()
                ready(None)

        def _settle() -> None:
            lane = self._lanes.get(queue)
            if lane is None:
                _ready()
            else:
                lane.whenSettled(_ready)

        bound = Timer(self._clock.callLater(SETTLING, _ready))
        self._clock.callLater(SOON, _settle)

    def end(self, queue: str) -> None:
        """Let its lane go on, unless it is deleted once more."""
        self.queues[queue] -= 1
        if not self.queues[queue]:
            del self.queues[queue]
            if queue in self._lanes:
                self._lanes[queue].flush()

    def expect(self, queue: str) -> None:
        """Hold what comes for a queue that is about to be deleted, somewhere."""
        self.queues[queue] += 1
        self.over(queue)
        call = self._clock.callLater(HOLD, self.over, queue)
        self._expected[queue] = Timer(call)

    def over(self, queue: str) -> None:
        """Let its lane go on that was held for that: it is deleted, or nobody tells."""
        bound = self._expected.pop(queue, None)
        if bound is not None:
            bound.cancel()
            self.end(queue)
