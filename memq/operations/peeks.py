"""Peeks: a look at many messages of a queue, which changes nothing.

Messages are told in the order in which they would be taken; those that are open or
delayed are left out, and those that have expired are not, as long as they are there.
It goes on in slices, so it is about what is there when each one runs.

Of a body at most a beginning is told, and of all bodies at most so many bytes: what one
look holds is bounded, whatever it finds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from memq.errors import QueueError
from memq.operations.base import Slice, Telling
from memq.operations.expiry import LOOK_COST

if TYPE_CHECKING:
    from memq.interfaces import IQueueStore
    from memq.message import Message
    from memq.operations.base import Client


class Shown(NamedTuple):
    """How much of bodies is told.

    :ivar each: bytes of a body at most, 0 to PART_SIZE.
    :ivar total: bytes of all of them.
    """

    each: int = 0
    total: int = 0


#: Nothing of any.
HIDDEN = Shown()


class Peeked(NamedTuple):
    """A message that was looked at.

    :ivar message: without its body.
    :ivar size: the bytes of its body.
    :ivar deliveries: how often it was given back.
    :ivar body: what is told of its body, from the beginning on.
    """

    message: Message
    size: int
    deliveries: int
    body: bytes


class PeekMany(Slice, Telling):
    """Look at messages; the result is a list of Peeked, or an error for a damaged one.

    Those of the rest come in its own result, see Slice.  What it holds is charged to
    the client until ``settle``.
    """

    rest: PeekMany | None

    def __init__(
        self,
        client: Client,
        queue: bytes,
        most: int,
        shown: Shown = HIDDEN,
        first: int = 0,
    ) -> None:
        """Begin.

        :param most: how many messages at most, 1 or more.
        :param first: the number from which on they are looked for.
        """
        super().__init__(client)
        self.queue = queue
        self._most = most
        self._shown = shown
        self._first = first
        #: Where to go on; None when there is no more.
        self._reached: int | None = None

    @property
    def most(self) -> int:
        """How many messages are told at most."""
        return self._most

    @property
    def idleCost(self) -> int:
        """Return what it counts: it may have looked at many."""
        return LOOK_COST

    @property
    def hasMore(self) -> bool:
        """Whether something may be left."""
        return isinstance(self.result, list) and self._reached is not None

    def run(self, store: IQueueStore) -> int:
        """Look at some."""
        self.result = []
        self._reached = None
        if self.isOver:
            return 0
        found, reached = store.peekMany(self.queue, self._first, self._most, LOOK_COST)
        for each in found:
            told = each if isinstance(each, QueueError) else self._peeked(store, each)
            self.result.append(told)
        most = self._most - len(found)
        if reached is not None and most > 0:
            self._reached = reached
            self._goOn(reached, most)
        return 0

    def _peeked(self, store: IQueueStore, message: Message) -> Peeked:
        most = max(0, min(self._shown.each, self._shown.total - self.size))
        body, large = message.body, message.large
        if large is not None and most:
            body = store.part(large.id, 0)
        body = body[:most]
        self.holds(len(body))
        deliveries = store.deliveries(message)
        return Peeked(message._replace(body=b""), message.size, deliveries, body)

    def _goOn(self, first: int, most: int) -> None:
        """Let the rest run next; it is there already when a turn was undone."""
        if self.rest is None:
            self.divide(PeekMany(self.client, self.queue, most))
        rest = self.rest
        assert rest is not None
        rest._first, rest._most = first, most
        rest._shown = self._shown._replace(total=self._shown.total - self.size)
