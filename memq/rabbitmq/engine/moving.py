"""Moves: messages are opened here, set there, and closed when a majority has them.

So a message is lost by nothing.  It is in both queues for a moment, and stays so when
this process dies in between.  Some are on their way together; their order is kept.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from memq.errors import NotStored, QueueError, Refusing
from memq.rabbitmq import names
from memq.rabbitmq.asking.base import nameOf

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.message import Message
    from memq.operations.moves import Move
    from memq.policy.effective import Policies
    from memq.rabbitmq.asking.queues import Queues
    from memq.rabbitmq.asking.spread import SpreadOpenReads
    from memq.rabbitmq.course import Steps
    from memq.rabbitmq.engine.sets import Publisher

#: Messages that are on their way together.
TOGETHER = 32


class Moves:
    """Carries out moves."""

    def __init__(
        self,
        publisher: Publisher,
        openReads: SpreadOpenReads,
        queues: Queues,
        policies: Policies,
    ) -> None:
        """Begin with none."""
        self._publisher = publisher
        self._openReads = openReads
        self._queues = queues
        self._policies = policies

    def move(self, operation: Move) -> Steps:
        """Move messages, as many as wait at first or fewer; return how many."""
        operation.result = count = 0
        if self._isPaused(operation):
            return count
        found = yield partial(self._queues.length, operation.queue)
        if isinstance(found, QueueError):
            operation.fail(found)
            return count
        left = min(operation.most, found or 0)
        client = operation.client
        while left and not client.gone and not client.isStopping:
            moved, isOver = yield from self._moveSome(operation, min(left, TOGETHER))
            left -= moved
            count += moved
            if isOver or self._isPaused(operation):
                break
        else:
            operation.isCut = left > 0
        if not isinstance(operation.result, QueueError):
            operation.result = count
        return count

    def _isPaused(self, operation: Move) -> bool:
        """Return whether a move may set nothing now, and note that."""
        policy = self._policies.of(operation.target)
        if policy is None or not policy.writesArePaused:
            return False
        self._refuse(operation, Refusing.PAUSED)
        return True

    def _moveSome(self, operation: Move, most: int) -> Steps:
        """Return how many have moved, and whether no more will."""
        messages: list[Message] = []
        found = None
        while len(messages) < most:
            found = yield partial(self._openReads.open, operation.queue)
            if found is None or isinstance(found, QueueError):
                break
            messages.append(found)
        errors = (yield partial(self._set, operation.target, messages)) or []
        refused = [each for each, error in zip(messages, errors, strict=True) if error]
        if refused:
            yield from self._end(operation, self._openReads.giveBack, refused)
            self._note(operation, next(filter(None, errors)))
        there = [each for each in messages if each not in refused]
        if there:
            yield from self._end(operation, self._openReads.close, there)
        if isinstance(found, QueueError):
            operation.fail(found)
        isFailed = isinstance(operation.result, QueueError)
        return len(there), isFailed or bool(refused) or found is None

    def _end(
        self, operation: Move, call: Callable[..., object], messages: list[Message]
    ) -> Steps:
        numbers = [each.sequence for each in messages]
        ended = yield partial(call, operation.queue, numbers)
        if ended.error is not None:
            operation.fail(ended.error)

    def _note(self, operation: Move, error: QueueError) -> None:
        """Note why a message was not set."""
        if isinstance(error, NotStored):
            self._refuse(operation, Refusing.FULL)
        else:
            operation.fail(error)

    @staticmethod
    def _refuse(operation: Move, cause: Refusing) -> None:
        operation.refusal = NotStored(operation.queue, operation.target, cause)

    def _set(
        self, queue: bytes, messages: list[Message], done: Callable[[Any], object]
    ) -> None:
        """Set messages; what became of each is told when all are."""
        errors: list[QueueError | None] = [None] * len(messages)
        left = len(messages)
        if not left:
            done(errors)

        def _cbTold(place: int, error: QueueError | None) -> None:
            nonlocal left
            errors[place] = error
            left -= 1
            if not left:
                done(errors)

        now = self._policies.now()
        for place, message in enumerate(messages):
            expires = message.expires
            headers = names.headers(message.flags, now, expires)
            rest = names.expiration(expires, now)
            told = partial(_cbTold, place)
            self._publisher.publish(nameOf(queue), message.body, headers, told, rest)
