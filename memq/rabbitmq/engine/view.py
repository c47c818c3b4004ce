"""View: a store in which there is what was fetched for one operation, and no more.

An operation runs on it as on any store, once all that it will ask for is there.  What
it sets is noted, and goes to the cluster afterwards.  What a cluster cannot keep, or is
not asked for yet, is an error with words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from memq.errors import StoreError
from memq.figures import NOTHING_KEPT
from memq.message import LargeBody, Message
from memq.rabbitmq.budget import OpenBodies
from memq.rabbitmq.figures.counts import RETURNS, Counts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from memq.errors import QueueError
    from memq.figures import Kept, Outcome
    from memq.message import Trace
    from memq.rabbitmq.figures.told import Told

#: What is said of something that no cluster is asked for.
NOT_KEPT = "queue servers do not keep that"

#: What is told of all queues.
_TELLS = "names", "counts", "detail", "details", "sums", "figures", "gone"


class NotFetched(Exception):
    """A question needs what was not fetched for it.

    :ivar queue: the one whose next message it needs; None for figures of all.
    """

    def __init__(self, queue: bytes | None = None) -> None:
        super().__init__(queue)
        self.queue = queue


class Put(NamedTuple):
    """A message that is to be set.

    :ivar place: which of the operation's messages it is, counted from 0.
    :ivar expires: when it expires, in ms since 1970-01-01 UTC; 0 for never.
    :ivar isDelayed: whether it cannot be seen before the operation's delay is over.
    """

    place: int
    queue: bytes
    flags: int
    body: bytes
    expires: int
    isDelayed: bool = False


class Parts:
    """Bodies that come in parts: they are in memory until their set is told."""

    def __init__(self) -> None:
        self._bodies: dict[int, list[bytes]] = {}
        self._last = 0

    def new(self) -> int:
        """Return an id for a body."""
        self._last += 1
        self._bodies[self._last] = []
        return self._last

    def add(self, body: int, data: bytes) -> None:
        """Keep its next part."""
        self._bodies[body].append(data)

    def whole(self, body: int) -> bytes:
        """Return it, and keep it no longer."""
        return b"".join(self._bodies.pop(body))

    def release(self, body: int) -> None:
        """Keep it no longer; it may be gone."""
        self._bodies.pop(body, None)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._bodies)


class View:
    """What one operation finds.

    :ivar found: the message at the head of each queue, or an error.
    :ivar several: more of them, of the one queue that the operation is about.
    :ivar closed: the numbers of open messages that were deleted.
    :ivar answers: what the cluster said of each queue as a whole.
    :ivar told: what it tells of all queues; None if it was not asked.
    :ivar asks: whether what is missing is fetched, and the operation run again.
    :ivar puts: what the operation has set.
    :ivar place: tells which of its messages it sets now.
    :ivar bodies: has those of messages that are open.
    :ivar loader: what an import asks.
    """

    loader: Any = None

    def __init__(
        self,
        number: Callable[[], int],
        parts: Parts,
        isOpen: Callable[[int], bool] = lambda _: False,
        counts: Counts | None = None,
        bodies: OpenBodies | None = None,
    ) -> None:
        """Begin with nothing.

        :param number: returns what the next message is counted as.
        :param parts: has the bodies that come in parts.
        :param isOpen: tells whether a message is open, by its number.
        :param counts: counts what becomes of messages.
        """
        self._tally = counts or Counts()
        self.bodies = bodies or OpenBodies(0)
        self.asks = False
        self._number = number
        self._parts = parts
        self._isOpen = isOpen
        self.found: dict[bytes, Message | QueueError | None] = {}
        self.several: list[Message | QueueError | None] = []
        self.closed: Collection[int] = ()
        self.answers: dict[bytes, int | None] = {}
        self.told: Told | None = None
        self.puts: list[Put] = []
        self.place: Callable[[], int] = lambda: 0

    def left(self) -> list[tuple[bytes, Message]]:
        """Return each message that the operation has not taken, with its queue."""
        found = self.found.items()
        return [(queue, each) for queue, each in found if isinstance(each, Message)]

    def __getattr__(self, name: str) -> Any:
        """Return what is told of all queues, or refuse what is not here."""
        if name in _TELLS:
            if self.told is not None:
                return getattr(self.told, name)
            if self.asks:
                raise NotFetched
        raise StoreError(f"{NOT_KEPT} ({name})")

    # What policies ask.

    def settings(self, queue: bytes) -> tuple[int, int]:
        """Return that nothing is kept of a queue."""
        return 0, 0

    def hasSettings(self) -> bool:
        """Return the same of all."""
        return False

    # Sets.

    def pushAll(
        self,
        queue: bytes,
        messages: list[tuple[int, bytes]],
        size: int | None = None,
        expires: int = 0,
    ) -> int:
        """Note messages."""
        first = self._number()
        for place, (flags, body) in enumerate(messages):
            self.puts.append(Put(place, queue, flags, body, expires))
        for _ in messages[1:]:
            self._number()
        return first

    def push(
        self,
        queue: bytes,
        flags: int,
        body: bytes,
        *,
        expires: int = 0,
        trace: Trace | None = None,
    ) -> int:
        """Note a message."""
        self.puts.append(Put(self.place(), queue, flags, body, expires))
        return self._number()

    def pushLarge(
        self,
        queue: bytes,
        flags: int,
        large: LargeBody,
        *,
        expires: int = 0,
        trace: Trace | None = None,
    ) -> int:
        """Note a message whose parts are there."""
        return self.push(queue, flags, self.whole(large), expires=expires)

    def pushDelayed(
        self,
        queue: bytes,
        flags: int,
        body: bytes | LargeBody,
        due: int,
        *,
        expires: int = 0,
        **_: object,
    ) -> None:
        """Note a message that is delayed."""
        whole = self.whole(body)
        self.puts.append(Put(self.place(), queue, flags, whole, expires, True))

    def kept(self, queue: bytes) -> Kept:
        """Return that nothing is there: the cluster itself refuses what is too much."""
        return NOTHING_KEPT

    def newBody(self) -> int:
        """Return an id for a body in parts."""
        return self._parts.new()

    def addPart(self, body: int, number: int, data: bytes) -> None:
        """Keep the next part."""
        self._parts.add(body, data)

    def whole(self, body: bytes | LargeBody) -> bytes:
        """Return a body that is there, perhaps in parts."""
        return body if isinstance(body, bytes) else self._parts.whole(body.id)

    def release(self, body: int) -> None:
        """Forget the parts of a body."""
        self._parts.release(body)

    # Gets and open reads.

    def pop(self, queue: bytes) -> Message | QueueError | None:
        """Return what was fetched of a queue, once."""
        return self.found.pop(queue, None)

    def openRead(self, queue: bytes) -> Message | QueueError | None:
        """Return it as well; it is open from now on."""
        found = self.found.pop(queue, None)
        if isinstance(found, Message):
            self.bodies.keep(found.sequence, found.body)
        return found

    def peek(self, queue: bytes) -> Message | QueueError | None:
        """Return it, and leave it; that it has expired is for the cluster to say."""
        if self.asks and queue not in self.found:
            raise NotFetched(queue)
        found = self.found.get(queue)
        return found._replace(expires=0) if isinstance(found, Message) else found

    def peekMany(
        self, queue: bytes, first: int, most: int, cost: int
    ) -> tuple[list[Message | QueueError | None], None]:
        """Return what was looked at; there is no more."""
        return self.several, None

    def part(self, body: int, number: int) -> bytes:
        """Return nothing: bodies are shown whole or not at all."""
        return b""

    def popAll(self, queue: bytes, most: int) -> list[Message | QueueError | None]:
        """Return all that was fetched."""
        several, self.several = self.several, []
        return several

    def openAll(
        self, queue: bytes, most: int, size: int
    ) -> list[Message | QueueError | None]:
        """Return all that was fetched, once; it is open from now on."""
        found = self.popAll(queue, most)
        for each in found:
            if isinstance(each, Message):
                self.bodies.keep(each.sequence, each.body)
        return found

    def forgetBodies(self, numbers: Iterable[int]) -> None:
        """Let the bodies go of messages that are not open any more."""
        for number in numbers:
            self.bodies.forget(number)

    def popRead(self, queue: bytes, message: Message) -> Message | None:
        """Return one that is tried later, if it was open still."""
        if message.sequence not in self.closed:
            return None
        self._tally.add(RETURNS, queue)
        return message

    def closeAll(self, queue: bytes, messages: Sequence[Message]) -> list[Message]:
        """Return those that were deleted."""
        return [each for each in messages if each.sequence in self.closed]

    def abortRead(self, queue: bytes, message: Message, count: bool) -> bool:
        """Return that it went back, whether it was given back or lost."""
        if count:
            self._tally.add(RETURNS, queue)
        return True

    def isRead(self, queue: bytes, message: Message) -> bool:
        """Return whether a message is open."""
        return self._isOpen(message.sequence)

    def deliveries(self, message: Message) -> int:
        """Return how often a message was given back, as its queue counts."""
        return 0 if message.trace is None else message.trace.counted

    def putBack(self, queue: bytes, message: Message) -> bool:
        """Return that it is on its way."""
        return True

    def countOutcome(self, outcome: Outcome, number: int = 1) -> None:
        """Count it."""
        self._tally.noteOutcome(outcome, number)

    # Queues.

    def delete(self, queue: bytes) -> bool:
        """Return whether a queue was deleted."""
        return self.answers.get(queue) is not None

    def setPaused(self, queue: bytes, paused: int) -> bool:
        """Return whether there is a queue that is paused or not now."""
        return self.answers.get(queue) is not None

    def setLimit(self, queue: bytes, limit: int) -> bool:
        """Return whether a queue was made."""
        return self.answers.get(queue) is not None

    def empty(self, queue: bytes) -> int:
        """Return how many messages were discarded."""
        return self.answers.get(queue) or 0
