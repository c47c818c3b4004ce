"""Questions about queues over a link: whether one is there, and to make it if not.

Each has a channel of its own, for the answer 404 ends it; so some are asked at once,
and the others wait.  What the link loses is asked again.  A question that nobody waits
for any more is not asked.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from memq.rabbitmq.links.connections import Timer

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika.channel import Channel
    from twisted.internet.interfaces import IReactorTime

    from memq.rabbitmq.links.link import Link
    from memq.rabbitmq.names import Name

#: How many are asked at once: a connection has 2,047 channels.
AT_ONCE = 8
#: Channels up to which they are asked; the others are for what publishes.
MOST_CHANNELS = 1_000
#: How many connections a question may cost.
LOSSES = 3
#: Seconds that a node may take to answer.
BOUND = 3.0
#: What a queue is declared with, all but its type what an operator's policy may change.
#: Without a limit a message that goes back too often would be dropped (4.0), or go to
#: the end of the queue (3.10).
ARGUMENTS = {"x-queue-type": "quorum", "x-delivery-limit": 2**31 - 1}
#: The exchange of delays: it is always there, and sends a message to the queues that
#: are bound with what the message has in its headers.
EXCHANGE = "amq.headers"


class Answer(Enum):
    """What a node says of a queue."""

    #: It is there.
    THERE = auto()
    #: It is not, and was not to be made.
    MISSING = auto()
    #: It was not, and is now.
    MADE = auto()
    #: It is not; what another node has said of it is too long ago to make it.
    STALE = auto()
    #: The node can do neither.
    REFUSED = auto()


class Question:
    """One question."""

    def __init__(
        self,
        name: Name,
        told: Callable[[Answer, str], object],
        isWanted: Callable[[], bool],
        *,
        word: Callable[[], Answer] = lambda: Answer.MISSING,
        binding: dict[str, str] | None = None,
    ) -> None:
        """Ask nothing yet.

        :param told: is called once with the answer, and the name of the node; or why it
            refuses.
        :param isWanted: returns whether anybody waits for it still.
        :param word: returns what is answered if the queue is not there; MADE makes it.
        :param binding: what it is bound to the exchange of delays with.
        """
        self._name, self._binding, self._word = name, binding, word
        self._told, self.isWanted = told, isWanted
        self._isMissing = self._isOver = False
        #: How often it lost its connection, and why the last time.
        self.losses, self.why = 0, "too late"

    def ask(self, questions: Questions, link: Link) -> None:
        """Ask the node that the link is up to."""
        self._questions, self._link = questions, link
        self._node = link.node or ""
        self._isMissing = False
        self._channel: Any = link.channel(self._opened, self._closed)

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
            self.end(answer)
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
            self._questions.go()
            return
        if not self._link.isUp:
            # It is asked again, but for what may be why the connection is closed.
            self.losses += 1
            self.why = why
        elif not why.startswith("404 ") or self._isMissing:
            self.end(Answer.REFUSED, why)
        elif (word := self._word()) is Answer.MADE:
            self._isMissing = True
            self._channel = self._link.channel(self._opened, self._closed)
        else:
            self.end(word)

    def end(self, answer: Answer, why: str = "") -> None:
        """Tell the answer."""
        self._isOver = True
        self._questions.answered(self)
        self._told(answer, why or self._node)

    def drop(self) -> None:
        """Tell that it is not asked any more."""
        self._told(Answer.REFUSED, self.why)


class Questions:
    """All that are asked over one link, whose user tells of its ups and downs."""

    def __init__(self, clock: IReactorTime, link: Link, *, isBounded: bool) -> None:
        """Begin with none.

        :param isBounded: whether a node is left that does not answer in time.
        """
        self._clock, self._link, self._isBounded = clock, link, isBounded
        self._waiting: deque[Question] = deque()
        #: Those that are asked, and what leaves the node.
        self._asked: dict[Question, Timer | None] = {}

    def ask(self, question: Question) -> None:
        """Ask a question, or let it wait."""
        self._waiting.append(question)
        self.go()

    def go(self) -> None:
        """Ask what waits, as far as may be."""
        while self._waiting and self._mayAsk():
            question = self._waiting.popleft()
            if question.isWanted() and question.losses < LOSSES:
                self._asked[question] = self._timer()
                question.ask(self, self._link)
            else:
                question.drop()

    def _mayAsk(self) -> bool:
        """Return whether another one may be asked now."""
        if not self._link.isUp or len(self._asked) >= AT_ONCE:
            return False
        return self._link.hasRoom(MOST_CHANNELS)

    def _timer(self) -> Timer | None:
        if not self._isBounded:
            return None
        leave = self._link.leave
        return Timer(self._clock.callLater(BOUND, leave, "it does not answer", BOUND))

    def answered(self, question: Question) -> None:
        """Forget a question, and ask the next one."""
        self._stop(self._asked.pop(question))
        self.go()

    @staticmethod
    def _stop(timer: Timer | None) -> None:
        if timer is not None:
            timer.cancel()

    def down(self) -> None:
        """Let all wait: the link is down."""
        asked, self._asked = self._asked, {}
        for timer in asked.values():
            self._stop(timer)
        self._waiting.extendleft(reversed(asked))
