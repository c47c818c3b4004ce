"""Taps: those who watch get copies of what is set, once it is durable.

After a turn, while anybody watches, the sets among its operations are looked through.
The copies that somebody wants become an operation of the turn: so the same flush makes
them known.  A body is copied by reference, and the operation of its set has it as well
until it is answered.  What one who watches does with a copy is his own: he has to bound
what he keeps, and nobody waits for him.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from memq.errors import QueueError
from memq.operations.base import Operation
from memq.operations.pushes import Push, PushLarge
from memq.operations.routing import destinations

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Copy(NamedTuple):
    """A copy of a message that was set.

    :ivar queue: that it went to.
    :ivar body: None where that is kept in parts.
    :ivar size: the bytes of the body.
    :ivar number: its number in the queue; 0 where nobody knows, or it has none yet.
    """

    queue: bytes
    flags: int
    body: bytes | None
    size: int
    number: int


class Tap(Protocol):
    """One who watches."""

    def wants(self, queue: bytes) -> bool:
        """Return whether it wants copies of what is set to a queue."""

    def take(self, copies: list[Copy]) -> None:
        """Take copies that it wants, or drop them."""


class Copies(Operation):
    """The copies of a turn, by those who want them."""

    __slots__ = ("wanted",)

    def __init__(self, client: Any, wanted: dict[Tap, list[Copy]]) -> None:
        """Wait for the flush.

        :param client: hears of it.
        """
        super().__init__(client)
        self.wanted = wanted

    @property
    def count(self) -> int:
        """Return 0: it is no command."""
        return 0


class Taps:
    """Those who watch.

    :ivar watching: each; not to be changed from outside.
    """

    def __init__(self) -> None:
        self.watching: dict[Tap, None] = {}
        self._pending: deque[Copies] = deque()

    def add(self, tap: Tap) -> None:
        """Let one have copies from the next turn on."""
        self.watching[tap] = None

    def remove(self, tap: Tap) -> None:
        """Let one have no more; it may have gone before."""
        self.watching.pop(tap, None)

    def copy(self, operations: list[Operation]) -> None:
        """Add an operation that has the copies of the sets among others, if any.

        :param operations: those of a turn that is committed.
        """
        wanted: dict[Tap, list[Copy]] = {}
        for operation in operations:
            if isinstance(operation, Push | PushLarge):
                self._sort(operation, wanted)
        if wanted:
            copies = Copies(self, wanted)
            self._pending.append(copies)
            operations.append(copies)

    def _sort(self, push: Push | PushLarge, wanted: dict[Tap, list[Copy]]) -> None:
        queues = destinations(push.client.policies, push.queue)
        # Those who want the same have the same copies.
        made: dict[tuple[bytes, ...], list[Copy]] = {}
        for tap in self.watching:
            those = tuple([queue for queue in queues if tap.wants(queue)])
            if those and those not in made:
                made[those] = list(_copies(push, those))
            if those:
                wanted.setdefault(tap, []).extend(made[those])

    def deliver(self) -> None:
        """Hand out the copies that are durable, in order; the others are lost."""
        pending = self._pending
        while pending and pending[0].done:
            copies = pending.popleft()
            if copies.result is not None:
                continue
            for tap, those in copies.wanted.items():
                if tap in self.watching:
                    tap.take(those)


def _copies(push: Push | PushLarge, queues: Iterable[bytes]) -> Iterator[Copy]:
    """Yield a copy of each message that was stored, for each of some queues."""
    shown = dict(push.madeVisible())
    isDelayed = push.delay > 0
    there = [queue for queue in queues if isDelayed or shown.get(queue)]
    for flags, body, size, number in _stored(push):
        for queue in there:
            known = number if queue == push.queue else 0
            yield Copy(queue, flags, body, size, known)


def _stored(push: Push | PushLarge) -> Iterable[tuple[int, bytes | None, int, int]]:
    """Yield flags, body, size and number of each message that was stored."""
    if isinstance(push, PushLarge):
        if not isinstance(push.result, QueueError):
            yield push.flags, None, push.size, push.result
        return
    for (flags, body), result in zip(push.messages, push.results, strict=True):
        if not isinstance(result, QueueError):
            yield flags, body, len(body), result
