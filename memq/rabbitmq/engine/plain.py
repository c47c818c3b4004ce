"""Plain sets and gets: one message of a queue of which nothing else is operation.

Most are so: there are no rules, the queue is not paused as far as that is known now,
and the command came by itself.  Then there is one thing to ask the cluster, in its own
time, and the operation need not run on a view.  All others, and what comes otherwise
than it was begun, are left to :mod:`memq.rabbitmq.engine.sets` and
:mod:`memq.rabbitmq.engine.pops`.  It is half of the instructions.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from memq.errors import QueueError
from memq.operations.pops import Pop
from memq.operations.pushes import Push
from memq.rabbitmq import names
from memq.rabbitmq.asking.base import nameOf
from memq.rabbitmq.figures.counts import TAKEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.message import Message
    from memq.operations.base import Operation
    from memq.rabbitmq.asking.spread import SpreadGets
    from memq.rabbitmq.engine.pops import Pops
    from memq.rabbitmq.engine.scheduler import Scheduler
    from memq.rabbitmq.engine.sets import Publisher, Sets
    from memq.rabbitmq.engine.view import View
    from memq.rabbitmq.figures.counts import Counts
    from memq.rabbitmq.shared.pauses import Pauses


class Plain:
    """Carries out plain sets and gets.

    :ivar scheduler: is told when they are; set before the first one.
    :ivar number: returns what the next message is counted as; set as well.
    """

    scheduler: Scheduler
    number: Callable[[], int]

    def __init__(
        self,
        publisher: Publisher,
        gets: SpreadGets,
        pauses: Pauses,
        counts: Counts,
        sets: Sets,
        pops: Pops,
        view: Callable[[], View],
        seconds: Callable[[], float],
    ) -> None:
        """Begin with none.

        :param sets: notes what is set, and what is not.
        :param pops: ends a get that is answered with an error, or by a queue that is
            not plain any more.
        :param view: returns one with nothing in it.
        :param seconds: tells the time, by a clock that is never set.
        """
        self._publisher, self._gets, self._pauses = publisher, gets, pauses
        self._counts = counts
        self._sets, self._pops = sets, pops
        self._view = view
        self._seconds = seconds

    def carries(
        self,
        operation: Any,
        unforeseen: Callable[[Operation, Exception], object],
    ) -> bool:
        """Begin to carry out an operation if it is plain; return whether it is.

        :param unforeseen: is called with an error that nobody foresaw.
        """
        kind = type(operation)
        if kind is Push:
            isPlain = not operation.delay and len(operation.messages) == 1
        else:
            isPlain = kind is Pop and operation.most == 1
        if (
            not isPlain
            or operation.client.policies.isActive
            or not self._pauses.knows(operation.queue)
        ):
            return False
        try:
            (self._set if kind is Push else self._get)(operation)
        except Exception as error:
            unforeseen(operation, error)
        return True

    def _get(self, pop: Pop) -> None:
        told = partial(self._cbFound, pop, self._seconds())
        self._gets.get(pop.queue, told)

    def _set(self, push: Push) -> None:
        number = self.number()
        push.results = range(number, number + 1)
        [(flags, body)] = push.messages
        headers = {names.FLAGS: flags, names.TIME: push.client.policies.now()}
        told = partial(self._cbSet, push)
        self._publisher.publish(nameOf(push.queue), body, headers, told)

    def _cbSet(self, push: Push, error: QueueError | None) -> None:
        if error is None:
            self._sets.isSet(push.queue)
        else:
            self._sets.fail(push, 0, push.queue, error)
        self.scheduler.ended([push])

    def _cbFound(
        self, pop: Pop, since: float, found: Message | QueueError | None
    ) -> None:
        client = pop.client
        if isinstance(found, QueueError) or client.policies.isActive:
            self._pops.end(pop, self._view(), since, self.scheduler, found)
            return
        pop.results = [found]
        if found is not None:
            client.outstanding.undelivered += len(found.body)
            self._counts.add(TAKEN, pop.queue)
        self.scheduler.ended([pop])
