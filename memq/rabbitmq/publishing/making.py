"""Making: a queue is made where there is none, on the word of two nodes.

The node that publishes is asked first.  What it says counts for ASSENT seconds: the
queue may have been made since, and a second node that stood still know nothing of it.

Others are told while a queue is made: a node knows it some moments before it can give
anything out, and 3.10.8 closes the connection that asks for a message then.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from memq.rabbitmq.publishing.questions import Answer, Question

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from memq.rabbitmq.names import Name
    from memq.rabbitmq.publishing.declaring import Declaring
    from memq.rabbitmq.publishing.questions import Questions

#: Seconds for which a node's word counts that there is no such queue.
ASSENT = 2.0


class Making:
    """What makes queues; see above."""

    def __init__(
        self,
        clock: IReactorTime,
        questions: Questions,
        declaring: Declaring,
        known: set[str],
        noted: Callable[[Name, bool], object],
    ) -> None:
        """Begin with none.

        :param questions: those over the link that publishes.
        :param known: queues that have confirmed a message: none of these is made.
        :param noted: is called with each that is made, and whether that begins.
        """
        self._noted = noted
        self._seconds = clock.seconds
        self._questions, self._declaring = questions, declaring
        self._known = known

    def make(
        self,
        name: Name,
        told: Callable[[Answer, str], object],
        isWanted: Callable[[], bool],
    ) -> None:
        """Make a queue if there is none.

        :param told: is called once with the answer, and the name of the node; or why it
            refuses.
        :param isWanted: returns whether anybody waits for it still.
        """

        def _cbFirst(answer: Answer, why: str) -> None:
            if answer is Answer.MISSING:
                again = partial(self.make, name, told, isWanted)
                now = self._seconds()
                self.second(name, now, partial(_cbSecond, again), isWanted)
            else:
                told(answer, why)

        def _cbSecond(again: Callable[[], object], answer: Answer, why: str) -> None:
            if answer is Answer.STALE:
                again()
            else:
                told(answer, why)

        self._questions.ask(Question(name, _cbFirst, isWanted))

    def second(
        self,
        name: Name,
        assentedAt: float,
        told: Callable[[Answer, str], object],
        isWanted: Callable[[], bool],
        mayMake: Callable[[], bool] = lambda: True,
        binding: dict[str, str] | None = None,
    ) -> None:
        """Ask a second node, and make the queue if that does not know it either.

        :param assentedAt: when the first one has said so.
        :param mayMake: returns whether it may be made, then.
        """
        isMade = False

        def _word() -> Answer:
            nonlocal isMade
            if name.queue in self._known or not mayMake():
                return Answer.MISSING
            if self._seconds() - assentedAt > ASSENT:
                return Answer.STALE
            isMade = True
            self._noted(name, True)
            return Answer.MADE

        def _cbTold(answer: Answer, why: str) -> None:
            if isMade:
                self._noted(name, False)
            told(answer, why)

        asked = Question(name, _cbTold, isWanted, word=_word, binding=binding)
        self._declaring.ask(asked)
