"""Retries: open messages that are given back, at once or for a later try.

The nodes cannot delay a message that they have.  So it is set again, delayed, and
deleted when a majority has that: it is lost by nothing, and comes twice if this process
dies in between.  How often it was tried goes along in its headers, and so does where a
dead letter is from.

The nodes do not see those tries.  Where they are bounded, the last one is the end of
the message: it is set as a dead letter here, or let go.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from memq.errors import QueueError, StoreError
from memq.message import Message, Reason
from memq.operations.base import MESSAGE_COST
from memq.operations.openreads.aborts import SLICE_COST
from memq.policy.effective import PLAIN
from memq.rabbitmq import names
from memq.rabbitmq.asking.base import nameOf
from memq.rabbitmq.asking.bounds import ending
from memq.rabbitmq.asking.deliveries import LOST, Ended
from memq.rabbitmq.course import together

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.message import Trace
    from memq.operations.openreads.aborts import AbortRead
    from memq.operations.openreads.opened import Opened
    from memq.policy.effective import Policies
    from memq.rabbitmq.asking.queues import Queues
    from memq.rabbitmq.asking.spread import SpreadOpenReads
    from memq.rabbitmq.course import Steps
    from memq.rabbitmq.engine.sets import Publisher
    from memq.rabbitmq.engine.view import View

#: What is said when a body is not here any more.
NOT_HERE = "the message is too long ago or too large for a later try here"


class Retries:
    """Carries out aborts."""

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

    def abort(self, operation: AbortRead, view: View) -> Steps:
        """Give back what an abort means; return why that is not done, if it is not.

        :param view: the operation is to run on it then.
        """
        meant = [] if operation.isOver else operation.targets()
        if meant and operation.delay:
            return (yield from self._delay(operation, _slice(meant), view))
        if meant:
            numbers = [each.number for each in meant]
            # Whatever is answered: what is lost goes back as well.
            yield ending(self._openReads.giveBack, operation.queue, numbers)
            view.forgetBodies(numbers)
        return None

    def _delay(self, operation: AbortRead, meant: list[Opened], view: View) -> Steps:
        queue = operation.queue
        there = [each for each in meant if self._openReads.holds(each.number)]
        messages: list[Message] = []
        for opened in there:
            message = _whole(opened, view)
            if message is None:
                return StoreError(NOT_HERE)
            messages.append(message)
        length = yield partial(self._queues.length, queue)
        if isinstance(length, QueueError):
            return length
        # Those of a queue that was deleted are gone with it.
        if length is not None:
            sets = [partial(self._set, operation, each) for each in messages]
            errors = yield partial(together, sets)
            if isinstance(errors, QueueError):
                return errors
            pairs = list(zip(there, errors, strict=True))
            numbers = [each.number for each, error in pairs if error is None]
            ended = Ended(frozenset())
            if numbers:
                ended = yield ending(self._openReads.close, queue, numbers)
            view.closed = ended.numbers
            left = [error for _, error in pairs if error is not None]
            failure = ended.error or next(iter(left), None)
            if failure is not None:
                _end([each for each, error in pairs if error is None], view)
                return failure
        view.forgetBodies(each.number for each in meant)
        if len(there) < len(meant):
            _end(meant, view)
            return StoreError(LOST)
        return None

    def _set(
        self,
        operation: AbortRead,
        message: Message,
        told: Callable[[QueueError | None], object],
    ) -> None:
        """Delay one, or let it be a dead letter if it was tried often enough."""
        rule = self._policies.rules.of(operation.queue) or PLAIN.rule
        tries = 1 if message.trace is None else message.trace.counted + 1
        if 0 < rule.maxDeliveries <= tries:
            target, now = rule.deadLetter, self._policies.now()
            if target is None:
                told(None)
                return
            trace = _buried(message, operation.queue, tries, now)
            headers = names.headers(message.flags, now, 0, trace)
            self._publisher.publish(nameOf(target), message.body, headers, told)
            return
        retried = message.retried(tries)
        headers = names.headers(message.flags, message.time, 0, retried)
        name, delay = nameOf(operation.queue), operation.delay
        self._publisher.publish(name, message.body, headers, told, None, delay)


def _slice(meant: list[Opened]) -> list[Opened]:
    """Return those that an abort delays in one go."""
    first, cost = [], 0
    for opened in meant:
        if cost >= SLICE_COST:
            break
        first.append(opened)
        cost += MESSAGE_COST + opened.message.size
    return first


def _whole(opened: Opened, view: View) -> Message | None:
    """Return an open message with its body; None if that is not here any more."""
    message = opened.message
    body = view.bodies.find(opened.number) if message.size else b""
    return None if body is None else Message(*message)._replace(body=body)


def _buried(message: Message, queue: bytes, tries: int, now: int) -> Trace:
    """Return the trace that a message has as a dead letter."""
    trace = message.buried(queue, Reason.DELIVERIES, tries, now)
    before = message.trace
    if before is not None and before.deliveries < 0:
        # Nobody knows how often it was tried in other queues.
        trace = trace._replace(deliveries=-1)
    return trace


def _end(several: list[Opened], view: View) -> None:
    """Let open reads be none any more."""
    view.forgetBodies(each.number for each in several)
    for opened in several:
        if opened.isOpen:
            opened.end()
