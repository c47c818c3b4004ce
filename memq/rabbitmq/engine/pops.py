"""Pops and peeks: messages of one queue, each after the one before it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from memq.broker.session import sessionOf
from memq.errors import QueueError, StoreError
from memq.message import PART_SIZE, LargeBody, Message
from memq.operations.openreads.openmany import OPENED_AT_ONCE, OPENED_BYTES
from memq.operations.openreads.openread import OpenRead
from memq.operations.pops import Pop
from memq.policy.effective import PLAIN
from memq.rabbitmq.asking.base import UNREACHABLE
from memq.rabbitmq.asking.bounds import ASKED, TOO_LATE, ending, opening, taking

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memq.operations.base import Operation
    from memq.operations.openreads.closes import CloseRead
    from memq.operations.openreads.openmany import OpenMany
    from memq.operations.peeks import PeekMany
    from memq.policy.effective import EffectivePolicy
    from memq.rabbitmq.asking.bounds import Bounds
    from memq.rabbitmq.asking.spread import SpreadGets, SpreadOpenReads
    from memq.rabbitmq.course import Steps
    from memq.rabbitmq.engine.scheduler import Scheduler
    from memq.rabbitmq.engine.view import View
    from memq.rabbitmq.shared.inforce import FrontPolicies

#: Messages that a peek shows at most: nobody else can take them meanwhile.
PEEKED = 100
#: What is said of a peek at more.
TOO_MANY = f"a peek shows {PEEKED} messages at most here"


class _Taking:
    """A pop that is under way.

    Functions that name each other would be kept with the bodies until Python looks for
    cycles, which it does by the number of objects, not of bytes.

    :ivar most: how many messages it takes.
    :ivar until: when its time is over; ``since``, when it began.
    :ivar size: bytes that were taken.
    """

    __slots__ = (
        *("most", "operation", "policy", "scheduler"),
        *("since", "size", "until", "view"),
    )

    def __init__(
        self,
        operation: Pop,
        view: View,
        policy: EffectivePolicy | None,
        most: int,
        until: float,
        since: float,
        scheduler: Scheduler,
    ) -> None:
        self.operation, self.view, self.policy = operation, view, policy
        self.most, self.until, self.since = most, until, since
        self.scheduler = scheduler
        self.size = 0


class Pops:
    """Carries out plain gets."""

    def __init__(
        self,
        gets: SpreadGets,
        bounds: Bounds,
        count: Callable[[bytes, int], object],
        run: Callable[[Operation, View], object],
        failed: Callable[[], object],
        policies: FrontPolicies,
    ) -> None:
        """Begin with none.

        :param gets: take messages.
        :param bounds: says how long it may take.
        :param count: is told how many were taken of a queue.
        :param failed: is called for a get that is answered with an error.
        :param run: runs an operation.
        """
        self._gets = gets
        self._bounds = bounds
        self._count = count
        self._run = run
        self._failed = failed
        self._policies = policies

    def begin(
        self,
        operation: Pop,
        view: View,
        since: float,
        scheduler: Scheduler,
    ) -> None:
        """Take so many messages, one after the other: their order is the queue's.

        What comes after much is left to the rest, which waits until that is delivered.

        :param since: since when its time counts.
        :param scheduler: is told when they are there.
        """
        policy = operation.policy()
        most = operation.most if policy is None else 1
        if policy is not None and policy.readsArePaused:
            most = 0
        until = since + self._bounds.timeout + ASKED
        take = _Taking(operation, view, policy, most, until, since, scheduler)
        told = partial(self._cbFound, take)
        if not most:
            self._end(take)
        elif operation.spent is None and not self._bounds.spent(since):
            # It is answered in its own time.
            self._gets.get(operation.queue, told)
        elif self._bounds.isOver(operation):
            operation.fail(StoreError(TOO_LATE))
            scheduler.ended([operation])
        else:
            self._ask(take, told)

    def end(
        self,
        operation: Pop,
        view: View,
        since: float,
        scheduler: Scheduler,
        found: Any,
    ) -> None:
        """Go on with a plain get, whatever was found.

        :param since: see ``begin``; and for the others.
        """
        take = _Taking(operation, view, None, 1, 0.0, since, scheduler)
        self._cbFound(take, found)

    def _ask(self, take: _Taking, told: Callable[[Any], object]) -> None:
        another = taking(self._gets, take.operation.queue)
        self._bounds.askUntil(take.until, another, told)

    def _cbFound(self, take: _Taking, found: Any) -> None:
        several, operation = take.view.several, take.operation
        if found is not None:
            several.append(found)
        count = len(several)
        if isinstance(found, QueueError):
            # What was not asked for has taken nothing, and would not do better.
            self._failed()
            several += [found] * (take.most - count)
        elif found is not None and count < take.most:
            take.size += found.size
            if take.size < PART_SIZE:
                self._ask(take, partial(self._cbFound, take))
                return
            operation.client.goOn(operation.divide(count))
        self._end(take)

    def _end(self, take: _Taking) -> None:
        operation, view, policy = take.operation, take.view, take.policy
        queue, scheduler = operation.queue, take.scheduler
        messages = [each for each in view.several if isinstance(each, Message)]
        self._count(queue, len(messages))
        run = partial(self._run, operation, view)
        if operation.policy() == policy:
            run()
        else:
            # What is taken is given out, whatever has come meanwhile.
            self._policies.asOf(queue, policy, run)
        behind = self._behind(operation, take.since, scheduler)
        scheduler.ended([operation, *behind])

    def _behind(
        self, operation: Pop, since: float, scheduler: Scheduler
    ) -> list[Operation]:
        """Fail the pops behind one that was not answered in time, and return them.

        None of them was asked for.
        """
        ended: list[Operation] = []
        error = operation.results[-1]
        isLate = self._bounds.seconds() - since >= self._bounds.timeout
        if isLate and isinstance(error, QueueError):
            inbox = sessionOf(operation).inbox
            while inbox and isinstance(inbox[0], Pop):
                behind = inbox[0]
                scheduler.join(behind)
                behind.fail(StoreError(UNREACHABLE))
                ended.append(behind)
        return ended


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
        found = yield opening(openReads, queue)
        if not isinstance(found, Message):
            view.several += [] if found is None else [found]
            break
        numbers.append(found.sequence)
        if found.size > PART_SIZE:
            # Its body is not shown, and so not kept.
            found = found._replace(body=b"", large=LargeBody(0, found.size, 1))
        view.several.append(found)
    if numbers:
        ended = yield ending(openReads.giveBack, queue, numbers)
        if ended.error is not None:
            operation.fail(ended.error)
            return
    run(operation, view)


def openMany(
    operation: OpenMany,
    openReads: SpreadOpenReads,
    view: View,
    run: Callable[[Operation, View], object],
    isOver: Callable[[], bool],
) -> Steps:
    """Open messages one after the other, as many as one go may have.

    :param isOver: tells whether the time of the monitor is over: it ends then with what
        it has.
    """
    queue, size = operation.queue, 0
    room = operation.room(operation.policy() or PLAIN)
    most = 0 if operation.isOver else min(room, operation.most, OPENED_AT_ONCE)
    while len(view.several) < most and size < OPENED_BYTES and not isOver():
        found = yield opening(openReads, queue)
        if found is None:
            break
        view.several.append(found)
        if isinstance(found, QueueError):
            break
        size += found.size
    if not operation.client.gone:
        run(operation, view)
    # The queue is paused now, or the client is gone.
    numbers = numbersOf(view.several)
    if numbers:
        yield ending(openReads.giveBack, queue, numbers)


def numbersOf(several: Sequence[Message | QueueError | None]) -> list[int]:
    """Return the numbers of those that are messages."""
    return [each.sequence for each in several if isinstance(each, Message)]


def openBehind(close: CloseRead) -> OpenRead | None:
    """Return the open of the same command as a close; None without one."""
    inbox = sessionOf(close).inbox
    read = inbox[0] if inbox else None
    return read if type(read) is OpenRead and read.previous is close else None
