"""Declares queues that are missing, if a second node says so too.

A node that stood still may go on with a record of its own of what queues there are, and
say of one full of messages that there is none.  Who then declares it makes a new, empty
one, which can win over the old one: acknowledged messages were lost so.  So before a
queue is declared, a node other than the one that said so is asked.

It has a link of its own, which never takes the node that publishes; a question waits
until there is another one.  Each question has a channel of its own, for the answer 404
ends it.  A node that does not answer in time is left.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from memq.rabbitmq.connections import Timer
from memq.rabbitmq.link import Link

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika.channel import Channel
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime

    from memq.rabbitmq.connections import Cluster
    from memq.rabbitmq.names import Name

#: Seconds that a node may take to answer.
BOUND = 2.0
#: What a queue is declared with, all but its type what an operator's policy may change.
#: Without a limit a message that goes back too often would be dropped (4.0), or go to
#: the end of the queue (3.10).
ARGUMENTS = {"x-queue-type": "quorum", "x-delivery-limit": 2**31 - 1}


#: The exchange of delays: it is always there, and sends a message to the queues that
#: are bound with what the message has in its headers.
EXCHANGE = "amq.headers"


class Answer(Enum):
    """What a second node says of a queue."""

    #: It is there: the first node is wrong, or was early.
    THERE = auto()
    #: It is not, and was not to be made.
    MISSING = auto()
    #: It was not, and is now.
    MADE = auto()
    #: The node can do neither.
    REFUSED = auto()


class _Question:
    """One question, asked again when the connection is lost meanwhile."""

    def __init__(
        self,
        declaring: Declaring,
        name: Name,
        isMade: bool,
        told: Callable[[Answer, str], object],
        binding: dict[str, str] | None,
    ) -> None:
        self._declaring, self._name, self._binding = declaring, name, binding
        self._isMade, self._told = isMade, told
        self._isMissing = self._isOver = False

    def ask(self, link: Link, clock: IReactorTime) -> None:
        """Ask the node that the link is up to."""
        self._node = link.node or ""
        self._bound = clock.callLater(BOUND, link.leave, "it does not answer", BOUND)
        self._link = link
        self._channel = link.channel(self._opened, self._closed)

    def _opened(self, channel: Channel) -> None:
        if self._isMissing:
            arguments = {**ARGUMENTS, **self._name.arguments}
            channel.queue_declare(
                self._name.queue, durable=True, arguments=arguments, callback=self._made
            )
        else:
            channel.queue_declare(self._name.queue, passive=True, callback=self._there)

    def _there(self, frame: Any) -> None:
        self._bind(Answer.THERE)

    def _made(self, frame: Any) -> None:
        self._bind(Answer.MADE)

    def _bind(self, answer: Answer) -> None:
        """Bind the queue, if it is to be; that may be done again and again."""

        def bound(_: Any) -> None:
            self._end(answer)
            self._channel.close()

        if self._binding is None:
            bound(None)
        else:
            arguments = {"x-match": "all", **self._binding}
            self._channel.queue_bind(
                self._name.queue, EXCHANGE, arguments=arguments, callback=bound
            )

    def _closed(self, channel: Channel, why: str) -> None:
        if self._isOver:
            return
        if not self._link.isUp:
            Timer(self._bound).cancel()
            self._isMissing = False
        elif not why.startswith("404 ") or self._isMissing:
            self._end(Answer.REFUSED, why)
        elif self._isMade:
            self._isMissing = True
            self._channel = self._link.channel(self._opened, self._closed)
        else:
            self._end(Answer.MISSING)

    def _end(self, answer: Answer, why: str = "") -> None:
        Timer(self._bound).cancel()
        self._isOver = True
        self._declaring.answered(self)
        self._told(answer, why or self._node)


class Declaring:
    """What asks and declares; see above."""

    def __init__(
        self,
        clock: IReactorTime,
        cluster: Cluster,
        first: Callable[[], str | None],
        randomly: Callable[[], float],
    ) -> None:
        """Begin nothing yet.

        :param first: returns the name of the node that is not asked.
        """
        self._clock, self._first = clock, first
        self._link = Link(clock, cluster, "declaring", self, randomly, first)
        self._questions: list[_Question] = []

    def start(self) -> None:
        """Begin to connect."""
        self._link.start()

    def stop(self) -> Deferred[None]:
        """End the connection; who asks is told nothing more."""
        return self._link.stop()

    def ask(
        self,
        name: Name,
        isMade: bool,
        told: Callable[[Answer, str], object],
        binding: dict[str, str] | None = None,
    ) -> None:
        """Ask whether a queue is there.

        :param isMade: whether to make it if it is not.
        :param told: is called once with the answer, and the name of the node; or why it
            refuses.
        :param binding: what the queue is bound to the exchange of delays with.
        """
        question = _Question(self, name, isMade, told, binding)
        self._questions.append(question)
        if self._link.isUp and self._link.node == self._first():
            self._link.leave("a second opinion is another node's", 0.0)
        elif self._link.isUp:
            question.ask(self._link, self._clock)

    def answered(self, question: _Question) -> None:
        """Forget a question."""
        self._questions.remove(question)

    # What the link tells.

    def linkUp(self) -> None:
        """Ask what waits."""
        for question in list(self._questions):
            question.ask(self._link, self._clock)

    def linkDown(self, why: str) -> None:
        """Wait: the questions are asked again."""

    def linkBlocked(self, why: str | None) -> None:
        """Go on: nothing is published here."""
