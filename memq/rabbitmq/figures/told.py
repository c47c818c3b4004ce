"""Told: the figures of all queues, as the cluster has them, at one moment.

Names come from the nodes' management API, and so do the figures of open messages, which
are some seconds old there.  A command has it asked of each queue itself how many can be
taken, if there are not too many.  What was ever set and taken is counted here: other
processes set and take, too.  So what waits is right, and totals are those of this
process.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from memq.errors import QueueError
from memq.figures import Columns, QueueCount, QueueDetail, Sums, Totals
from memq.rabbitmq.figures.counts import PUSHED, TAKEN
from memq.rabbitmq.telling import ToldQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from memq.figures import Heads
    from memq.rabbitmq.asking.queues import Queues
    from memq.rabbitmq.figures.counts import Counts
    from memq.rabbitmq.figures.looks import Looks

    #: Yields what asks, and is sent what was answered.
    Steps = Generator[Callable[[Callable[[Any], object]], object], Any, Any]

#: Queues of which the length is asked: 100 take about 0.1 s.
LENGTHS = 100
#: Seconds after which an answer is that of a node which has not heard of the leader in
#: time, and says 0.
SLOW = 0.2
#: Seconds that one answer is waited for; after a slow one no more is asked.
PATIENCE = 1.0
#: What is told of a queue of which nothing was asked.
NOTHING = ToldQueue("", {}, 0, 0, 0)
#: Is not told in time.
UNKNOWN = object()
#: Seconds that names may be old for a command.
LATE = 1.0
#: The figures of a queue that no cluster tells, by the names of QueueDetail; "disk" for
#: all about the disk of a store.
LACKS = frozenset(("delayed", "expired", "discarded", "headTime", "lastUsed", "disk"))


class Told:
    """What is told of all queues, as a store tells it."""

    def __init__(
        self,
        queues: Mapping[bytes, ToldQueue],
        counts: Counts,
        held: Callable[[bytes], int],
        lengths: Mapping[bytes, int] | None = None,
    ) -> None:
        """Take the figures of each.

        :param counts: what this process has counted.
        :param held: returns how many messages of a queue it has open.
        :param lengths: how many messages can be taken, where that was asked.
        """
        self._queues = queues
        self._counts = counts
        self._held = held
        self._lengths = lengths or {}

    def names(self) -> list[bytes]:
        """Return the names of all."""
        return list(self._queues)

    def counts(self) -> list[QueueCount]:
        """Return how many messages came and went, sorted by name.

        The difference is what waits, whoever has set and taken the others.
        """
        details = self.details(sorted(self._queues)).rows()
        return [
            QueueCount(each.name, each.items + each.open + each.taken, each.taken)
            for each in details
        ]

    def detail(self, queue: bytes) -> QueueDetail | None:
        """Return the figures of a queue."""
        found = self._queues.get(queue)
        if found is None:
            return None
        ready = self._lengths.get(queue, found.ready)
        pushed, taken, closed, returns = self._counts.of(queue)
        # The cluster hears of those that were just opened some seconds later.
        opened = max(found.unacknowledged, self._held(queue))
        limit = found.arguments.get("x-max-length", 0)
        return QueueDetail(
            *(queue, ready, found.bytes, opened),
            *(0, pushed, taken, closed, 0, 0, returns, int(limit), 0, 0, 0),
        )

    def details(self, queues: Iterable[bytes], heads: Heads | None = None) -> Columns:
        """Return the figures of some queues, of those that there are."""
        found = [self.detail(each) for each in queues]
        return Columns.of([each for each in found if each is not None], len(found))

    def sums(self, queues: Iterable[bytes]) -> Sums:
        """Return what some have together.

        What this process has counted is told even if the queue is not known.
        """
        names = list(queues)
        found = self.details(names).rows()
        opened = sum(each.open for each in found)
        waiting = sum(each.items for each in found) + opened
        size = sum(each.bytes for each in found)
        counts = [self._counts.of(each) for each in names]
        pushed, taken = (sum(each[at] for each in counts) for at in (PUSHED, TAKEN))
        return Sums(waiting, size, 0, 0, opened, 0, pushed, taken)

    def gone(self) -> Totals:
        """Return what was counted of queues that are not there."""
        return self._counts.gone(self._queues)

    def figures(self) -> dict[str, int]:
        """Return how many there are."""
        return {"queues": len(self._queues)}


class Tellers:
    """Asks what is told.

    :ivar looks: have the names.
    :ivar counts: what this process has counted.
    """

    def __init__(
        self,
        clock: IReactorTime,
        looks: Looks,
        counts: Counts,
        queues: Queues,
        held: Callable[[bytes], int],
    ) -> None:
        """Ask nothing yet.

        :param held: returns how many messages of a queue are open here.
        :param queues: asks for the length of each queue.
        """
        self.looks, self.counts = looks, counts
        self._clock = clock
        self._queues = queues
        self._held = held

    def last(self) -> Told:
        """Return what was told last, if anything was; nobody is asked."""
        look = self.looks.last
        return self._told({} if look is None else look.queues)

    def _told(
        self,
        queues: Mapping[bytes, ToldQueue],
        lengths: Mapping[bytes, int] | None = None,
    ) -> Told:
        return Told(queues, self.counts, self._held, lengths)

    def ask(self, late: float = 0.0) -> Steps:
        """Return what is told, or an error.

        :param late: seconds that it may be old; with 0 it is as a client would see it.
        """
        look = yield partial(self._look, late)
        if isinstance(look, QueueError):
            return look
        queues = dict(look.queues)
        lengths: dict[bytes, int] = {}
        if late or len(queues) > LENGTHS:
            return self._told(queues)
        for name in list(queues):
            began = self._clock.seconds()
            length = yield partial(self._length, name)
            if self._clock.seconds() - began >= SLOW:
                break
            if length is None:
                # It was deleted meanwhile.
                del queues[name]
            elif isinstance(length, int):
                lengths[name] = length
        return self._told(queues, lengths)

    def named(self, queues: Iterable[bytes]) -> Told:
        """Return that there are some queues, and no more of them."""
        return self._told(dict.fromkeys(queues, NOTHING))

    def names(self) -> Steps:
        """Return the names of all queues, as they are now, or an error."""
        look = yield partial(self._look, None)
        return look if isinstance(look, QueueError) else list(look.queues)

    def _look(self, late: float | None, done: Callable[[Any], object]) -> None:
        """Ask for a look.

        :param late: None for one that begins now.
        """
        if late is None:
            asked = self.looks.take(0.0)
        else:
            asked = self.looks.take(late or LATE, isExact=not late)

        def _eb(failure: Failure) -> None:
            done(failure.value)

        asked.addCallbacks(done, _eb)

    def _length(self, queue: bytes, done: Callable[[Any], object]) -> None:
        """Ask for a length, for some time."""
        bound = self._clock.callLater(PATIENCE, done, UNKNOWN)

        def _answer(length: Any) -> None:
            if bound.active():
                bound.cancel()
                done(length)

        self._queues.length(queue, _answer)
