"""Abort: give back what a client has open, to its old place or for a later try.

A message that was given back too often leaves its queue instead, see
:mod:`memq.operations.expiry`.

A *later try* is a message that leaves its place and is delayed, in one transaction: so
a server that is killed has it among the delayed ones, or, as everything open, in its
old place.  Its age goes on, and so does the count of its deliveries, in its trace.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from memq.errors import NotOpen, OutOfSpace, QueueError, StoreFailed
from memq.figures import Outcome
from memq.message import Message
from memq.operations.base import MESSAGE_COST, roomFor
from memq.operations.expiry import deadLetter, isWornOut
from memq.operations.openreads.ending import ENDED_AT_ONCE, Ending
from memq.policy.effective import PLAIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from memq.interfaces import IQueueStore
    from memq.operations.base import Client, Operation
    from memq.operations.openreads.opened import Opened
    from memq.policy.rule import Rule

#: The cost of one slice at which it ends; one message is always in it.
SLICE_COST = ENDED_AT_ONCE * MESSAGE_COST


class AbortRead(Ending):
    """Give back what a client has open.

    A message that is worn out by that, by the queue's rule, leaves it instead.  The
    result is how many went back or left.  When a store cannot count that, they go back
    all the same; but none that is to be tried later, unless that is durable.  The
    client is the reader itself, or the broker.

    With a number the result is 1, or NotOpen.

    :ivar delay: seconds until they can be seen.
    """

    __slots__ = (
        "_counts",
        "_hasMore",
        "_only",
        "_reader",
        "_shown",
        "bytesFreed",
        "delay",
    )

    def __init__(
        self,
        client: Client,
        queue: bytes,
        only: Opened | None = None,
        number: int | None = None,
        delay: int = 0,
    ) -> None:
        """Remember which: ``only`` one, of any client, or all of this one.

        :param number: with it, only the one of that number.
        :param delay: seconds until they can be seen; 0 to go back to their places.
        """
        super().__init__(client, queue, number)
        self._reader = client if only is None else only.reader
        self._only = only
        self.delay = delay
        self._counts = True
        self._hasMore = False
        self.bytesFreed = 0
        #: How many messages are to be seen again, by queue.
        self._shown: Counter[bytes] = Counter()

    @property
    def hasMore(self) -> bool:
        """Whether there may be more."""
        return self._hasMore

    def run(self, store: IQueueStore) -> int:
        """Give them back, and count that as deliveries."""
        self.bytesFreed = 0
        self._hasMore = False
        self._shown = Counter()
        if self.hasFailed():
            return 0
        meant = [] if self.isOver else self.targets()
        if meant and self.delay and self.client.isFull:
            self.fail(OutOfSpace())
            return 0
        rule = (self.client.policies.of(self.queue) or PLAIN).rule
        ended = cost = done = 0
        for opened in meant:
            if cost >= SLICE_COST:
                break
            done += 1
            # Nobody had what was not sent to one that is gone.
            counts = self._counts and (opened.isSeen or not self._reader.gone)
            self.end(opened)
            if self._return(store, opened.message, rule, counts):
                if counts or self.delay:
                    store.countOutcome(self._why())
                ended += 1
                cost += MESSAGE_COST + (opened.message.size if self.delay else 0)
        self._hasMore = done < len(meant) or done == ENDED_AT_ONCE
        if self._hasMore and self.rest is None:
            self.divide(AbortRead(self.client, self.queue, delay=self.delay))
        self.result = ended
        if self.number is not None and not ended:
            self.result = NotOpen()
        return cost

    def _why(self) -> Outcome:
        """Return for which reason they are given back."""
        reader = self._reader
        if reader.gone or (self._only and reader.sendsNoMore):
            return Outcome.DISCONNECTED
        return Outcome.ABORTED if self._only is None else Outcome.TIMED_OUT

    def _return(
        self, store: IQueueStore, message: Message, rule: Rule, counts: bool
    ) -> bool:
        """Let one go to where it belongs; return whether it was still there."""
        if counts and isWornOut(store, message, rule):
            return self._deadLetter(store, message, rule)
        if self.delay:
            return self._tryLater(store, message)
        if not store.abortRead(self.queue, message, counts):
            return False
        self._shown[self.queue] += 1
        return True

    def _deadLetter(self, store: IQueueStore, message: Message, rule: Rule) -> bool:
        now = self.client.policies.now()
        found = deadLetter(store, self.queue, message, rule, now)
        if isinstance(found, Message):
            if rule.deadLetter is None:
                self.bytesFreed += found.size
            else:
                self._shown[rule.deadLetter] += 1
        return found is not None

    def _tryLater(self, store: IQueueStore, message: Message) -> bool:
        """Delay one; it is not lost if it is damaged, but set aside."""
        deliveries = store.deliveries(message) + 1
        found = store.popRead(self.queue, message)
        if isinstance(found, Message):
            due = self.client.policies.now() + self.delay * 1000
            store.pushDelayed(
                self.queue,
                found.flags,
                found.body if found.large is None else found.large,
                due,
                expires=found.expires,
                trace=found.retried(deliveries),
                time=found.time,
            )
            if found.large is None:
                self.bytesFreed += found.size - roomFor(1, found.size)
            self.client.expectDue(due)
        return found is not None

    def targets(self) -> list[Opened]:
        """Return those that it is to end now."""
        only = self._only
        if only is None:
            return self.meant(self._reader, ENDED_AT_ONCE)
        return [only] if only.isOpen else []

    def madeVisible(self) -> Iterable[tuple[bytes, int]]:
        """Tell what can be read again, here or there."""
        if type(self.result) is int:
            yield from self._shown.items()

    def fail(self, error: QueueError) -> None:
        """Try again later, unless the reader itself is there to do so."""
        super().fail(error)
        reader = self._reader
        if (self._only or reader.gone) and not isinstance(error, StoreFailed):
            reader.giveBackLater(self._all())

    def _all(self) -> list[Opened]:
        only = self._only
        return [only] if only is not None else list(self._reader.opened(self.queue))

    def split(self) -> Iterator[Operation]:
        """Yield itself, and once more to go without being counted."""
        yield self
        failed = isinstance(self.result, QueueError)
        if failed and not self.delay and not isinstance(self.result, StoreFailed):
            self._counts = False
            yield self
