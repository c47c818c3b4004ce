"""Pops and peeks: messages of one queue, each after the one before it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from memq.errors import QueueError, StoreError
from memq.message import PART_SIZE, LargeBody, Message
from memq.operations.openreads.openmany import OPENED_AT_ONCE, OPENED_BYTES
from memq.policy.effective import PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memq.operations.base import Operation
    from memq.operations.openreads.openmany import OpenMany
    from memq.operations.peeks import PeekMany
    from memq.operations.pops import Pop
    from memq.rabbitmq.asking.spread import SpreadOpenReads
    from memq.rabbitmq.course import Steps
    from memq.rabbitmq.engine.view import View
    from memq.rabbitmq.shared.inforce import FrontPolicies

#: Messages that a peek shows at most: nobody else can take them meanwhile.
PEEKED = 100
#: What is said of a peek at more.
TOO_MANY = f"a peek shows {PEEKED} messages at most here"


class Pops:
    """Carries out plain gets."""

    def __init__(
        self,
        get: Callable[[bytes, Callable[[Any], object]], object],
        count: Callable[[bytes, int], object],
        run: Callable[[Operation, View], object],
        failed: Callable[[], object],
        policies: FrontPolicies,
    ) -> None:
        """Begin with none.

        :param get: takes a message.
        :param count: is told how many were taken of a queue.
        :param failed: is called for a get that is answered with an error.
        :param run: runs an operation.
        """
        self._get = get
        self._count = count
        self._run = run
        self._failed = failed
        self._policies = policies

    def begin(self, operation: Pop, view: View, ended: Callable[[], object]) -> None:
        """Take so many messages, one after the other: their order is the queue's.

        What comes after much is left to the rest, which waits until that is delivered.

        :param ended: called once, when they are there.
        """
        policy, queue = operation.policy(), operation.queue
        most = operation.most if policy is None else 1
        if policy is not None and policy.readsArePaused:
            most = 0
        size = 0

        def _end() -> None:
            messages = [each for each in view.several if isinstance(each, Message)]
            self._count(queue, len(messages))
            run = partial(self._run, operation, view)
            if operation.policy() == policy:
                run()
            else:
                # What is taken is given out, whatever has come meanwhile.
                self._policies.asOf(queue, policy, run)
            ended()

        def _cbFound(found: Any) -> None:
            nonlocal size
            if found is not None:
                view.several.append(found)
            count = len(view.several)
            if isinstance(found, QueueError):
                # What was not asked for has taken nothing, and would not do better.
                self._failed()
                view.several += [found] * (most - count)
                _end()
            elif found is None or count >= most:
                _end()
            else:
                size += found.size
                if size < PART_SIZE:
                    self._get(queue, _cbFound)
                    return
                operation.client.goOn(operation.divide(count))
                _end()

        if most:
            self._get(queue, _cbFound)
        else:
            _end()


def peekMany(
    operation: PeekMany,
    openReads: SpreadOpenReads,
    view: View,
    run: Callable[[Operation, View], object],
) -> Steps:
    """Look at messages: they are opened, and given back in their order."""
    if operation.most > PEEKED:
        operation.fail(StoreError(TOO_MANY))
        return
    queue = operation.queue
    numbers: list[int] = []
    while len(numbers) < operation.most and not operation.client.gone:
        found = yield partial(openReads.open, queue)
        if not isinstance(found, Message):
            view.several += [] if found is None else [found]
            break
        numbers.append(found.sequence)
        if found.size > PART_SIZE:
            # Its body is not shown, and so not kept.
            found = found._replace(body=b"", large=LargeBody(0, found.size, 1))
        view.several.append(found)
    if numbers:
        ended = yield partial(openReads.giveBack, queue, numbers)
        if ended.error is not None:
            operation.fail(ended.error)
            return
    run(operation, view)


def openMany(openReads: SpreadOpenReads, operation: OpenMany, view: View) -> Steps:
    """Open messages one after the other, as many as one go may have, into a view."""
    queue, size = operation.queue, 0
    room = operation.room(operation.policy() or PLAIN)
    most = 0 if operation.isOver else min(room, operation.most, OPENED_AT_ONCE)
    while len(view.several) < most and size < OPENED_BYTES:
        found = yield partial(openReads.open, queue)
        if found is None:
            break
        view.several.append(found)
        if isinstance(found, QueueError):
            break
        size += found.size
    if operation.client.gone:
        yield partial(openReads.giveBack, queue, numbersOf(view.several))


def numbersOf(several: Sequence[Message | QueueError | None]) -> list[int]:
    """Return the numbers of those that are messages."""
    return [each.sequence for each in several if isinstance(each, Message)]
