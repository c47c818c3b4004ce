"""Queues as a whole: whether there is one, how long it is, emptied and deleted.

All goes over one channel, one after the other: these are rare.  A question about a
queue that is not there ends the channel, and the next one opens another.  So does one
that is not answered in time, as of a queue without a leader: its channel is left alone.
A delete has one of its own from the beginning, for it takes long while a node is down.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from memq.rabbitmq.asking.base import STEP, Deadlines, Request, isMissing, nameOf
from memq.rabbitmq.asking.bounds import Bounds

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from memq.rabbitmq.asking.base import ILink


class _Question(Request):
    """A question.

    :ivar ask: asks it on a channel, and takes what is called back.
    :ivar isSlow: whether it holds up no other, on a channel of its own.
    :ivar late: is called when its time is over.
    """

    __slots__ = ("ask", "isSlow", "late")

    def __init__(
        self,
        queue: bytes,
        done: Callable[[Any], object],
        ask: Callable[[Any, Callable[[Any], object]], object],
    ) -> None:
        super().__init__(queue, done)
        self.ask = ask
        self.isSlow = False
        self.late: Callable[[_Question], object] = lambda _: None

    def expire(self) -> None:
        """Let others be asked."""
        self.fail()
        self.late(self)


class Queues:
    """What is asked about queues as a whole.

    :ivar link: what it goes over; set before the first question.
    :ivar bounds: the time of operations that ask this and more.
    """

    link: ILink

    def __init__(self, clock: IReactorTime, timeout: float = 5.0) -> None:
        """Begin with none.

        :param timeout: seconds after which what is asked fails.
        """
        self.bounds = Bounds(clock, timeout)
        self._deadlines = Deadlines(clock, timeout)
        # While a node is down, RabbitMQ waits for it for 5 seconds, and deletes then.
        self._deletes = Deadlines(clock, timeout + 2 * STEP)
        self._line: deque[_Question] = deque()
        self._asked: _Question | None = None
        #: What is asked on channels that are left alone.
        self._alone: dict[Any, _Question] = {}
        self._amqp: Any = None
        self._isOpen = False

    def length(self, queue: bytes, done: Callable[[Any], object]) -> None:
        """Ask how many messages can be taken.

        :param done: called with the number, None without such a queue, or an error.
        """
        name = nameOf(queue).queue

        def _ask(amqp: Any, answer: Callable[[Any], object]) -> None:
            amqp.queue_declare(
                name,
                passive=True,
                callback=lambda frame: answer(frame.method.message_count),
            )

        self._add(_Question(queue, done, _ask))

    def empty(self, queue: bytes, done: Callable[[Any], object]) -> None:
        """Discard all messages that can be taken; see ``length``."""
        name = nameOf(queue).queue

        def _ask(amqp: Any, answer: Callable[[Any], object]) -> None:
            amqp.queue_purge(
                name, callback=lambda frame: answer(frame.method.message_count)
            )

        self._add(_Question(queue, done, _ask))

    def delete(self, queue: bytes, done: Callable[[Any], object]) -> None:
        """Delete a queue with all its messages.

        :param done: called with True, None if there was none, or an error.
        """
        name = nameOf(queue).queue

        def _delete(amqp: Any, answer: Callable[[Any], object]) -> None:
            amqp.queue_delete(name, callback=lambda _: answer(True))

        def _cbAsked(found: Any) -> None:
            # To delete one that is not there is silently well.
            if isinstance(found, int):
                question = _Question(queue, done, _delete)
                question.isSlow = True
                self._add(question, self._deletes)
            else:
                done(found)

        self.length(queue, _cbAsked)

    def _add(self, question: _Question, deadlines: Deadlines | None = None) -> None:
        (deadlines or self._deadlines).add(question)
        question.late = self._late
        self._line.append(question)
        self._goOn()

    def _goOn(self) -> None:
        while self._line and self._line[0].isOver:
            self._line.popleft()
        if self._asked is not None or not self._line or not self.link.isUp:
            return
        if self._amqp is None and not self.link.hasRoom():
            # All wait for an answer; the end of one goes on.
            return
        if self._amqp is None:
            self._amqp = self.link.channel(self._opened, self._closed)
        elif self._isOpen:
            question = self._asked = self._line.popleft()
            question.isSent = True

            amqp = self._amqp

            def _answer(found: Any) -> None:
                question.answer(found)
                if self._asked is question:
                    self._asked = None
                    self._goOn()
                else:
                    amqp.close()

            question.ask(self._amqp, _answer)
            if question.isSlow:
                self._late(question)

    def _opened(self, amqp: Any) -> None:
        self._isOpen = True
        self._goOn()

    def _late(self, question: _Question) -> None:
        """Leave the channel alone on which a question is not answered."""
        if self._asked is question:
            self._alone[self._amqp] = question
            self._amqp, self._isOpen, self._asked = None, False, None
            self._goOn()

    def _closed(self, amqp: Any, why: str) -> None:
        alone = self._alone.pop(amqp, None)
        if alone is not None:
            alone.fail()
            self._goOn()
            return
        self._amqp, self._isOpen = None, False
        question, self._asked = self._asked, None
        if question is not None and isMissing(why):
            question.answer(None)
        elif question is not None:
            question.fail()
        self._goOn()

    def linkUp(self) -> None:
        """Begin with what waits."""
        self._goOn()

    def linkDown(self, why: str) -> None:
        """Do nothing: the channel has told its end."""

    def linkBlocked(self, why: str | None) -> None:
        """Do nothing: nothing is set here."""
