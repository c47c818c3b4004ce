"""Bounds: a command has one time, however many questions it asks.

It counts from when its operation is begun.  Where a command has several, one after the
other, they share it; what passes between them, as while a client does not read, does
not count.  A question that is not answered then is an
error to who asks, and no other is asked.  What ends open reads has a little longer, and
is sent in any case, so that nothing stays open.  A message that comes too late goes
back.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from memq.message import Message
from memq.rabbitmq.asking.base import STEP, Request
from memq.rabbitmq.asking.deliveries import End
from memq.rabbitmq.links.connections import Timer

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from memq.operations.base import Operation
    from memq.rabbitmq.asking.spread import SpreadGets, SpreadOpenReads
    from memq.rabbitmq.course import Ask, Steps

#: Seconds after its timeout that an operation waits for answers: most questions say
#: themselves why they fail, at a look a little later than their time.
ASKED = 1.5 * STEP
#: The same for the end of open reads, and for what has nothing to end.
LAST = 3 * STEP
#: Seconds in which nothing can be answered.
MOMENT = 0.001
#: What is said of what is not asked, since the time of its command is over.
TOO_LATE = "the queue servers took too long for what came before: nothing is done"


def _ignore(_: object) -> None:
    """Do nothing."""


class Question:
    """Something to ask that has a time of its own.

    :ivar late: is called with an answer that comes too late.
    :ivar isEnd: whether it ends open reads, and is answered with Ended.
    """

    __slots__ = ("ask", "isEnd", "late")

    def __init__(
        self,
        ask: Ask,
        late: Callable[[Any], object] = _ignore,
        isEnd: bool = False,
    ) -> None:
        """Take what asks it."""
        self.ask = ask
        self.late = late
        self.isEnd = isEnd

    def __call__(self, done: Callable[[Any], object]) -> None:
        """Ask it."""
        self.ask(done)


def opening(reads: SpreadOpenReads, queue: bytes) -> Question:
    """Return the question for a message, to open it."""

    def _late(found: Any) -> None:
        if isinstance(found, Message):
            reads.giveBack(queue, [found.sequence], _ignore)

    return Question(partial(reads.open, queue), _late)


def taking(gets: SpreadGets, queue: bytes) -> Question:
    """Return the question for a message, to take it."""

    def _late(found: Any) -> None:
        if isinstance(found, Message):
            gets.giveAway(queue, found)

    return Question(partial(gets.get, queue), _late)


def ending(call: Callable[..., object], queue: bytes, numbers: list[int]) -> Question:
    """Return the question that ends open reads."""
    return Question(partial(call, queue, numbers), isEnd=True)


class Bounds:
    """The time that operations have."""

    def __init__(self, clock: IReactorTime, timeout: float = 5.0) -> None:
        """Begin.

        :param timeout: seconds that an operation has.
        """
        self.seconds = clock.seconds
        self.timeout = timeout
        self._clock = clock

    def isOver(self, operation: Operation) -> bool:
        """Return whether the time of a command of several operations is over."""
        spent = operation.spent
        return spent is not None and spent.total(self.seconds()) >= self.timeout

    def spent(self, since: float) -> float:
        """Return how many seconds have passed since an operation was begun, if many."""
        seconds = self.seconds() - since
        return seconds if seconds > MOMENT else 0.0

    def pause(self, seconds: float) -> Ask:
        """Return what is answered so much later, for steps that wait."""
        return lambda done: self._clock.callLater(seconds, done, None)

    def inTime(
        self,
        steps: Steps,
        since: float,
        slack: float = ASKED,
        isWell: Callable[[], bool] = lambda: False,
    ) -> Steps:
        """Carry on steps that ask some things, in the time of one operation.

        :param since: when that was begun.
        :param slack: seconds that answers may take after the timeout.
        :param isWell: tells whether what has come so far counts, so that the next step
            has the whole time.
        """
        answer, isFirst = None, True
        while True:
            try:
                ask = steps.send(answer)
            except StopIteration as end:
                return end.value
            if not isFirst and isWell():
                since = self.seconds()
            question = ask if isinstance(ask, Question) else Question(ask)
            until = since + self.timeout + (LAST if question.isEnd else slack)
            if isFirst and question is ask and self.seconds() - since < MOMENT:
                # It is answered in its own time.
                answer = yield question
            else:
                answer = yield partial(self.askUntil, until, question)
            isFirst = False

    def askUntil(
        self, until: float, question: Question, done: Callable[[Any], object]
    ) -> None:
        """Ask something; ``done`` is called once, by then."""
        request = (End if question.isEnd else Request)(b"", done)
        request.isSent = True
        left = until - self.seconds()
        if left < MOMENT:
            if question.isEnd:
                question(_ignore)
            request.fail()
            return
        bound = Timer(self._clock.callLater(left, request.fail))

        def _cbAnswered(found: Any) -> None:
            bound.cancel()
            if not request.answer(found):
                question.late(found)

        question(_cbAnswered)
