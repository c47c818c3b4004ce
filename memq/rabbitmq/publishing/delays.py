"""Delays: messages that wait in a queue of their delay, and go on to their own.

For each delay there is a queue, ``memq/delay/SECONDS``, whose messages expire after it
and are dead letters then, by the queues' own names: RabbitMQ hands them on at least
once, and keeps them until their queue has confirmed them.  They come there by the
exchange of headers, which is always there, and keep the name of their own queue as
their routing key.  A message of a delay that has no queue yet is returned, as one of
any other queue is, and the queue is declared and bound.

Who hands a dead letter on does not look for a queue that is made only then.  So the
message's own queue is made before, on the word of two nodes: the one that publishes is
asked first.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from memq.rabbitmq.errors import QueueGone, Unreachable
from memq.rabbitmq.names import Name
from memq.rabbitmq.publishing.questions import EXCHANGE, Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.rabbitmq.publishing.lanes import Lane
    from memq.rabbitmq.publishing.making import Making
    from memq.rabbitmq.publishing.message import Message

#: The header by which a message comes to the queue of its delay.
HEADER = "d"


def rounded(delay: int) -> int:
    """Return a delay, rounded up to three digits: each has a queue."""
    unit: int = 10 ** max(0, len(str(delay)) - 3)
    return -(-delay // unit) * unit


class _Target(NamedTuple):
    """A queue that delayed messages want, and these, until it is there."""

    name: Name
    messages: list[Message]

    def isWanted(self) -> bool:
        """Return whether a message waits for it still."""
        return not all(message.isTold for message in self.messages)


class Delays:
    """Where delayed messages wait for their queues; see above."""

    def __init__(
        self,
        making: Making,
        known: set[str],
        lane: Callable[[Name, dict[str, str] | None], Lane],
    ) -> None:
        """Begin with none.

        :param making: makes queues.
        :param known: queues that have confirmed a message, and so were there.
        :param lane: returns the lane of a queue.
        """
        self._making = making
        self._known = known
        self._lane = lane
        #: Queues that are there though they have confirmed nothing here.
        self._found: set[str] = set()
        self._targets: dict[str, _Target] = {}

    def lane(self, delay: int) -> Lane:
        """Return the lane of a delay in seconds."""
        seconds = rounded(delay)
        arguments: dict[str, Any] = {
            "x-message-ttl": seconds * 1000,
            "x-dead-letter-exchange": "",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
        name = Name(f"memq/delay/{seconds}", arguments)
        return self._lane(name, {HEADER: str(seconds)})

    def add(self, message: Message, name: Name) -> None:
        """Send a message by its delay, when its own queue is there."""
        lane: Any = message.lane
        message.exchange, message.key = EXCHANGE, name.queue
        message.headers = {**(message.headers or {}), **lane.binding}
        message.expiration = None
        if name.queue in self._known or name.queue in self._found:
            lane.add(message)
            return
        target = self._targets.get(name.queue)
        if target is not None:
            target.messages.append(message)
            return
        target = self._targets[name.queue] = _Target(name, [message])
        told = partial(self._answered, target)
        self._making.make(name, told, target.isWanted)

    def forget(self, queue: str) -> None:
        """Take note that a queue was deleted from here."""
        self._found.discard(queue)

    def _answered(self, target: _Target, answer: Answer, why: str) -> None:
        """Send what waits for a queue that is there now, or tell that it is not."""
        del self._targets[target.name.queue]
        if answer in (Answer.THERE, Answer.MADE):
            self._found.add(target.name.queue)
        for message in target.messages:
            if answer is Answer.REFUSED:
                message.tell(Unreachable(f"the queue cannot be made ({why})"))
            elif answer is Answer.MISSING:
                message.tell(QueueGone())
            elif not message.isTold:
                lane: Any = message.lane
                message.lane = self._lane(lane.name, lane.binding)
                message.lane.add(message)
