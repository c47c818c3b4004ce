"""Pops: plain gets, which take messages from the head of a queue; and their way back.

Gets that came together are one operation, see :mod:`memq.operations.base`.  A pop asks
for the policy of its queue when it runs.  Where there is one, it takes a single message
and leaves the others to its rest, since each may have to let expired ones go first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.message import Message
from memq.operations.base import MESSAGE_COST, Operation
from memq.operations.expiry import NOTHING
from memq.operations.reads import Search

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from memq.errors import QueueError
    from memq.interfaces import IQueueStore
    from memq.operations.base import Client, Spent
    from memq.policy.effective import EffectivePolicy
    from memq.wire.forms import Form


class Pop(Search):
    """Take messages from a queue.

    :ivar form: how they are answered.
    :ivar most: how many; more may join until it runs.
    :ivar results: the message of each; None where there is none, or an error.
    :ivar rest: the pop that was divided from it, whose replies follow.
    """

    __slots__ = ("form", "most", "rest", "results")

    def __init__(self, client: Client, queue: bytes, form: Form, most: int = 1) -> None:
        self.client = client
        self.done = False
        self.queue = queue
        self.form = form
        self.most = most
        self.rest: Pop | None = None
        self.results: Sequence[Message | QueueError | None] = ()
        self.expired = NOTHING

    @property
    def count(self) -> int:
        """Return how many commands it is."""
        return self.most

    def run(self, store: IQueueStore) -> int:
        """Take them; raise WouldBlock when what has expired takes another turn."""
        client = self.client
        cost = freed = size = 0
        if client.policies.isActive and (policy := self.policy()) is not None:
            results = self._popOne(store, policy)
            cost, freed = self.expired.cost, self.expired.freed
        else:
            results = store.popAll(self.queue, self.most)
        self.results = results
        outstanding = client.outstanding
        for found in results:
            cost += MESSAGE_COST
            if type(found) is Message:
                cost += len(found.body)
                if found.large is None:
                    size += len(found.body)
                else:
                    size += found.size
                    outstanding.onDisk += found.size
        outstanding.undelivered += size
        self.bytesFreed = size + freed
        if len(results) < self.most:
            results += [None] * (self.most - len(results))
        return cost

    def _popOne(
        self, store: IQueueStore, policy: EffectivePolicy
    ) -> list[Message | QueueError | None]:
        """Take the first message that has not expired, if the policy lets it."""
        if self.most > 1:
            self.client.goOn(self.divide())
        self.expire(store, policy)
        return [] if policy.readsArePaused else store.popAll(self.queue, 1)

    def split(self) -> Iterator[Operation]:
        """Yield a pop for each message, and take over what came of it."""
        if self.most == 1 or self.policy() is not None:
            # It may have to go on in another turn.
            yield self
            return
        for _ in range(self.most):
            one = Pop(self.client, self.queue, self.form)
            yield one
            self.results = [*self.results, *one.results]

    def divide(self, count: int = 1) -> Pop:
        """Take some messages only, and return the pop that is to take the others."""
        self.rest = Pop(self.client, self.queue, self.form, self.most - count)
        self.most = count
        return self.rest

    def after(self, count: int) -> Pop:
        """Return what is left of a pop that is done, without its first results."""
        left = Pop(self.client, self.queue, self.form, self.most - count)
        left.results = self.results[count:]
        left.done = True
        return left

    def first(self) -> Pop:
        """Return what ``after(1)`` leaves out."""
        first = Pop(self.client, self.queue, self.form)
        first.results = self.results[:1]
        first.done = True
        return first

    def messages(self) -> Iterator[Message]:
        """Yield each message that was taken."""
        for found in self.results:
            if isinstance(found, Message):
                yield found

    def abandon(self) -> None:
        """Return the messages to their places, for the client is gone."""
        for message in self.messages():
            self.client.giveBack(self.queue, message)

    def undo(self) -> None:
        """Forget the messages as well."""
        for message in self.messages():
            self.client.outstanding.refund(message)
        self.results = ()
        self.expired = NOTHING

    def fail(self, error: QueueError) -> None:
        """Note that none could be taken."""
        self.results = [error] * self.most


class NamedPop(Pop):
    """Take a message for one of the several names of a get."""

    __slots__ = ("spent",)

    def __init__(self, client: Client, queue: bytes, form: Form, spent: Spent) -> None:
        super().__init__(client, queue, form)
        self.spent: Spent | None = spent


class PutBack(Operation):
    """Return a message to its place; the result is whether there was one."""

    __slots__ = ("message", "queue")

    def __init__(self, client: Client, queue: bytes, message: Message) -> None:
        super().__init__(client)
        self.queue = queue
        self.message = message

    def run(self, store: IQueueStore) -> int:
        """Put it back."""
        self.result = store.putBack(self.queue, self.message)
        return MESSAGE_COST + len(self.message.body)

    def madeVisible(self) -> Iterable[tuple[bytes, int]]:
        """Tell whether it is there again."""
        yield self.queue, int(self.result is True)


class SetAside(Operation):
    """Keep a message out of the way that has a damaged part."""

    __slots__ = ("message",)

    def __init__(self, client: Client, message: Message) -> None:
        super().__init__(client)
        self.message = message

    def run(self, store: IQueueStore) -> int:
        """Keep it."""
        store.setAside(self.message)
        return MESSAGE_COST
