"""Told: the figures of all queues, as the cluster has them, at one moment.

Names come from the nodes' management API, and so do the figures of open messages, which
are some seconds old there.  How many can be taken is asked of each queue itself, if
there are not too many.  What was ever taken is counted here: other processes take, too.
So what waits is right, and totals are those of this process.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from memq.errors import QueueError, StoreError
from memq.figures import QueueCount, QueueDetail, Sums
from memq.rabbitmq import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from memq.rabbitmq.asking.queues import Queues
    from memq.rabbitmq.engine.course import Steps
    from memq.rabbitmq.telling import ToldQueue

#: Queues of which the length is asked: 100 take about 0.1 s.
LENGTHS = 100
#: Queues of which it is known how many messages were taken.
_MOST_TAKEN = 100_000


class Teller(Protocol):
    """Tells of all queues."""

    def queues(self) -> Deferred[list[ToldQueue]]:
        """Return what is told of each."""


class Told:
    """What is told of all queues, as a store tells it."""

    def __init__(self, details: Iterable[QueueDetail] = ()) -> None:
        """Take the figures of each."""
        self._details = {each.name: each for each in details}

    def names(self) -> list[bytes]:
        """Return the names of all."""
        return list(self._details)

    def counts(self) -> list[QueueCount]:
        """Return how many messages came and went, sorted by name."""
        found = self._details.values()
        return sorted(QueueCount(each.name, each.pushed, each.taken) for each in found)

    def detail(self, queue: bytes) -> QueueDetail | None:
        """Return the figures of a queue."""
        return self._details.get(queue)

    def sums(self, queues: Iterable[bytes]) -> Sums:
        """Return what some have together."""
        found = [self._details[each] for each in queues if each in self._details]
        opened = sum(each.open for each in found)
        waiting = sum(each.items for each in found) + opened
        taken = sum(each.taken for each in found)
        return Sums(waiting, 0, 0, 0, opened, 0, waiting + taken, taken)

    def figures(self) -> dict[str, int]:
        """Return how many there are."""
        return {"queues": len(self._details)}


class Tellers:
    """Asks what is told.

    :ivar taken: how many messages of each queue this process has taken.
    """

    def __init__(self, teller: Teller, queues: Queues) -> None:
        """Ask nothing yet.

        :param queues: asks for the length of each queue.
        """
        self._teller = teller
        self._queues = queues
        self.taken: Counter[bytes] = Counter()

    def count(self, queue: bytes, number: int) -> None:
        """Note that messages of a queue are taken for good."""
        if number:
            if len(self.taken) >= _MOST_TAKEN:
                self.taken.clear()
            self.taken[queue] += number

    def forget(self, queue: bytes) -> None:
        """Note that a queue was deleted."""
        self.taken.pop(queue, None)

    def ask(self) -> Steps:
        """Return what is told, or an error."""
        found = yield self._list
        if isinstance(found, QueueError):
            return found
        named = [(names.decode(each.name, each.arguments), each) for each in found]
        details = []
        for name, each in named:
            if name is None:
                continue
            ready = each.ready
            if len(named) <= LENGTHS:
                length = yield partial(self._queues.length, name)
                if length is None:
                    # It was deleted meanwhile.
                    continue
                ready = length if isinstance(length, int) else ready
            details.append(self._detail(name, ready, each.unacknowledged))
        return Told(details)

    def _list(self, done: Callable[[Any], object]) -> None:
        def _eb(failure: Failure) -> None:
            why = failure.getErrorMessage()
            error = failure.value
            done(error if isinstance(error, QueueError) else StoreError(why))

        self._teller.queues().addCallbacks(done, _eb)

    def _detail(self, name: bytes, ready: int, opened: int) -> QueueDetail:
        taken = self.taken[name]
        figures = (ready, 0, opened, 0, ready + opened + taken, taken)
        return QueueDetail(name, *figures, *[0] * 8)
