"""Moves: messages are opened here, set there, and closed when a majority has them.

So a message is lost by nothing.  It is in both queues for a moment, and stays so when
this process dies in between.  Some are on their way together; their order is kept.

A redrive opens all that there is, one after the other, for nobody can look past the
head of a queue.  What is to stay is held until all are looked at, without its body, and
goes back then: to the head, in its order.  It cannot go back before: it would be at the
head again, before what was not looked at, and be all that comes next.  So not more than
HELD messages are held: one more, and the redrive ends there, and says so.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from memq.config.values import MEGABYTE
from memq.errors import NotStored, QueueError, Refusing, StoreError
from memq.rabbitmq import names
from memq.rabbitmq.asking.base import UNREACHABLE, nameOf
from memq.rabbitmq.asking.bounds import ending, opening

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.message import Message
    from memq.operations.moves import Move, Redrive
    from memq.policy.effective import Policies
    from memq.rabbitmq.asking.queues import Queues
    from memq.rabbitmq.asking.spread import SpreadOpenReads
    from memq.rabbitmq.course import Steps
    from memq.rabbitmq.engine.sets import Publisher
    from memq.rabbitmq.shared.pauses import Pauses

#: Messages that are on their way together, and bytes of them at which no more are.
TOGETHER, TOGETHER_BYTES = 32, MEGABYTE
#: Messages that go back together.
BACK = 256
#: Messages that a redrive holds back from others at most, since they are to stay, but
#: for those on their way.
HELD = 500
#: What is said where there are more.
TOO_MANY = f"more than {HELD} messages stay: none behind them was looked at"


class Moves:
    """Carries out moves."""

    def __init__(
        self,
        publisher: Publisher,
        openReads: SpreadOpenReads,
        queues: Queues,
        policies: Policies,
        pauses: Pauses,
    ) -> None:
        """Begin with none."""
        self._publisher = publisher
        self._openReads = openReads
        self._queues = queues
        self._policies = policies
        self._pauses = pauses

    def move(self, operation: Move) -> Steps:
        """Move messages, as many as wait at first or fewer; return how many."""
        operation.result = count = 0
        if self._isPaused(operation, operation.target):
            return count
        found = yield partial(self._queues.length, operation.queue)
        if isinstance(found, QueueError):
            operation.fail(found)
            self._tell(operation, count)
            return count
        left = min(operation.most, found or 0)
        client = operation.client
        while left and not client.gone and not client.isStopping:
            moved, isOver = yield from self._moveSome(operation, min(left, TOGETHER))
            left -= moved
            count += moved
            if isOver or self._isPaused(operation, operation.target):
                break
        else:
            operation.isCut = left > 0
        self._tell(operation, count)
        return count

    def redrive(self, operation: Redrive) -> Steps:
        """Move dead letters, of those that wait at first; return how many."""
        count, stay = 0, list[int]()
        operation.result = 0
        found = yield partial(self._queues.length, operation.queue)
        if isinstance(found, QueueError):
            operation.fail(found)
            found = 0
        client, left = operation.client, found or 0
        while (
            not self._hasFailed(operation)
            and not client.gone
            and not client.isStopping
            and (most := min(left, TOGETHER, operation.most - count))
        ):
            looked, moved = yield from self._redriveSome(operation, most, stay)
            # None: others have taken what was there.
            left = left - looked if looked else 0
            count += moved
            isMore = left > 0 and count < operation.most
            if isMore and len(stay) > HELD and not self._hasFailed(operation):
                operation.fail(StoreError(TOO_MANY))
        operation.isCut = left > 0 and count < operation.most
        for place in range(0, len(stay), BACK):
            part = stay[place : place + BACK]
            yield from self._end(operation, self._openReads.giveBack, part)
        self._tell(operation, count)
        return count

    @staticmethod
    def _hasFailed(operation: Move | Redrive) -> bool:
        return isinstance(operation.result, QueueError)

    @staticmethod
    def _tell(operation: Move | Redrive, count: int) -> None:
        """Tell how many have moved, whether it failed or not."""
        error: object = operation.result
        if isinstance(error, QueueError):
            operation.fail(StoreError(f"{error}, moved {count}"))
        else:
            operation.result = count

    def _redriveSome(self, operation: Redrive, most: int, stay: list[int]) -> Steps:
        """Return how many were looked at, 0 at the end, and how many have moved.

        :param stay: gets the numbers of those that do not move.
        """
        letters: list[tuple[bytes, Message]] = []
        looked = size = 0
        while looked < most and size < TOGETHER_BYTES and len(stay) <= HELD:
            found = yield opening(self._openReads, operation.queue)
            if isinstance(found, QueueError):
                operation.fail(found)
            if found is None or isinstance(found, QueueError):
                break
            looked += 1
            origin = b"" if found.trace is None else found.trace.origin
            if origin in {b"", operation.queue} or not (
                yield from self._mayTake(operation, origin)
            ):
                stay.append(found.sequence)
            else:
                letters.append((origin, found))
                size += found.size
            if self._hasFailed(operation):
                break
        if self._hasFailed(operation):
            # To set them could take as long again.
            stay.extend(letter.sequence for _, letter in letters)
            return looked, 0
        errors = yield from self._setAll(letters)
        there: list[int] = []
        for (origin, letter), error in zip(letters, errors, strict=True):
            if error is None:
                there.append(letter.sequence)
            else:
                stay.append(letter.sequence)
                self._note(operation, origin, error)
        isClosed = yield from self._end(operation, self._openReads.close, there)
        return looked, len(there) if isClosed else 0

    def _mayTake(self, operation: Redrive, origin: bytes) -> Steps:
        """Return whether a queue may be given something, as far as pauses say."""
        if not self._pauses.knows(origin):
            unknown = yield partial(self._pauses.look, origin)
            if unknown is not None:
                operation.fail(StoreError(UNREACHABLE))
        return not self._hasFailed(operation) and not self._isPaused(operation, origin)

    def _isPaused(self, operation: Move | Redrive, target: bytes) -> bool:
        """Return whether a queue may be given nothing now, and note that."""
        policy = self._policies.of(target)
        if policy is None or not policy.writesArePaused:
            return False
        self._refuse(operation, target, Refusing.PAUSED)
        return True

    def _moveSome(self, operation: Move, most: int) -> Steps:
        """Return how many have moved, and whether no more will."""
        messages: list[Message] = []
        found, size = None, 0
        while len(messages) < most and size < TOGETHER_BYTES:
            found = yield opening(self._openReads, operation.queue)
            if found is None or isinstance(found, QueueError):
                break
            messages.append(found)
            size += found.size
        target = operation.target
        if isinstance(found, QueueError):
            # To set them could take as long again.
            operation.fail(found)
            numbers = [each.sequence for each in messages]
            yield from self._end(operation, self._openReads.giveBack, numbers)
            return 0, True
        errors = yield from self._setAll([(target, each) for each in messages])
        refused = [each for each, error in zip(messages, errors, strict=True) if error]
        if refused:
            self._note(operation, target, next(filter(None, errors)))
            numbers = [each.sequence for each in refused]
            yield from self._end(operation, self._openReads.giveBack, numbers)
        there = [each for each in messages if each not in refused]
        numbers = [each.sequence for each in there]
        isClosed = yield from self._end(operation, self._openReads.close, numbers)
        isFailed = self._hasFailed(operation)
        moved = len(there) if isClosed else 0
        return moved, isFailed or bool(refused) or found is None

    def _end(
        self,
        operation: Move | Redrive,
        call: Callable[..., object],
        numbers: list[int],
    ) -> Steps:
        """End open reads; return whether that is sure."""
        if not numbers:
            return True
        ended = yield ending(call, operation.queue, numbers)
        if ended.error is not None and not self._hasFailed(operation):
            operation.fail(ended.error)
        return ended.error is None

    def _note(
        self, operation: Move | Redrive, target: bytes, error: QueueError
    ) -> None:
        """Note why a message was not set."""
        if isinstance(error, NotStored):
            self._refuse(operation, target, Refusing.FULL)
        else:
            operation.fail(error)

    @staticmethod
    def _refuse(operation: Move | Redrive, target: bytes, cause: Refusing) -> None:
        operation.refusal = NotStored(operation.queue, target, cause)

    def _setAll(self, messages: list[tuple[bytes, Message]]) -> Steps:
        """Set messages; return what became of each."""
        errors = yield partial(self._set, messages)
        return [errors] * len(messages) if isinstance(errors, QueueError) else errors

    def _set(
        self, messages: list[tuple[bytes, Message]], done: Callable[[Any], object]
    ) -> None:
        """Set messages, each in a queue; what became of each is told when all are."""
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
        for place, (queue, message) in enumerate(messages):
            expires = message.expires
            headers = names.headers(message.flags, now, expires)
            rest = names.expiration(expires, now)
            told = partial(_cbTold, place)
            self._publisher.publish(nameOf(queue), message.body, headers, told, rest)
