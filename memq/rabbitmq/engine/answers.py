"""Answers: operations that tell of queues, run on what they turn out to need.

Some need nothing of the cluster, most the figures of all queues, and a few the message
at the head of one.  So each is run, and again with what it has missed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from memq.broker.turns import asQueueError
from memq.errors import QueueError, StoreError
from memq.rabbitmq.asking.bounds import ending, opening
from memq.rabbitmq.engine.view import NotFetched, View

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.interfaces import IQueueStore
    from memq.operations.base import Operation
    from memq.rabbitmq.asking.spread import SpreadOpenReads
    from memq.rabbitmq.course import Steps
    from memq.rabbitmq.figures.told import Tellers

#: What is said of a look at a queue that counts deliveries.
COUNTED = "to look is a delivery here, and this queue has max_deliveries"


class Answers:
    """Fetches what tells, and runs it."""

    def __init__(
        self,
        tellers: Tellers,
        openReads: SpreadOpenReads,
        view: Callable[[], View],
        isCounted: Callable[[bytes], bool],
    ) -> None:
        """Begin with none.

        :param view: returns one with nothing in it.
        :param isCounted: returns whether deliveries of a queue are counted.
        """
        self._tellers = tellers
        self._openReads = openReads
        self._view = view
        self._isCounted = isCounted

    def tell(self, operation: Operation) -> Steps:
        """Run an operation on what it needs; it is not told of its end."""
        view = self._view()
        view.asks = True
        error: QueueError | None = None
        while True:
            try:
                operation.run(cast("IQueueStore", view))
                break
            except NotFetched as missing:
                error = yield from self._fetch(operation, missing.queue, view)
            except Exception as unforeseen:
                error = asQueueError(unforeseen)
            if error is not None:
                operation.undo()
                operation.fail(error)
                break
        for queue, message in view.left():
            yield ending(self._openReads.giveBack, queue, [message.sequence])

    def _fetch(self, operation: Operation, queue: bytes | None, view: View) -> Steps:
        """Fetch what is missing; return an error if that cannot be."""
        if queue is not None:
            if self._isCounted(queue):
                return StoreError(COUNTED)
            view.found[queue] = yield opening(self._openReads, queue)
            return None
        told = yield from self._tellers.ask(operation.staleness or 0.0)
        if isinstance(told, QueueError):
            return told
        view.told = told
        return None
