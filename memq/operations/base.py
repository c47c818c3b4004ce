"""Operations: requests of a client to the store, each an object with its result.

The broker runs operations inside its transactions, perhaps twice: when a turn is
undone, :meth:`Operation.undo` makes each as it was before it ran, and
:meth:`Operation.split` divides it into what can fail by itself.

Pushes that came together are one operation, and so are pops: what an operation
costs besides the store's work is then paid once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from memq.errors import QueueError
from memq.message import LargeBody, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from twisted.internet.interfaces import IDelayedCall

    from memq.errors import NotStored
    from memq.interfaces import IQueueStore
    from memq.operations.outstanding import Outstanding
    from memq.policy.effective import Policies


#: The cost of a message in a turn, besides the bytes of its body.
MESSAGE_COST = 1024

#: Commands of a kind that come together and become one operation, at most: with the
#: largest bodies that come whole, as much as a client may have undelivered anyway.
JOINED = 16

#: Bytes of the largest body that shares its page with others.
_SHARES_PAGE = 1000
#: Bytes that a larger one takes at most beside its own: the rest of a page, and a key.
_PAGE = 4200
#: Bytes that a message takes beside its body on a page that it shares.
_ITEM = 64


def roomFor(count: int, size: int) -> int:
    """Return about how many bytes of a file messages take, rather more than less.

    :param size: the bytes of all bodies.
    """
    if size <= _SHARES_PAGE * count:
        # Pages are not full.
        return size + size // 2 + _ITEM * count
    return size + _PAGE * count


class Client(Protocol):
    """The client of an operation, as far as operations know it.

    Its open reads are of memq.operations.openreads, which builds on this module.

    :ivar deliver: is called when operations of it are done.
    :ivar gone: whether it is there no more.
    :ivar sendsNoMore: whether nothing comes from it any more.
    :ivar outstanding: what is charged to it.
    :ivar open: the open reads of each queue, the oldest first; None before the first.
    :ivar openReads: how many they are.
    :ivar policies: what holds for which queue.
    """

    deliver: Callable[[], None]
    gone: bool
    sendsNoMore: bool
    outstanding: Outstanding
    open: dict[bytes, Any] | None
    openReads: int
    policies: Policies

    @property
    def isFull(self) -> bool:
        """Return whether the disk is too full to store anything."""

    @property
    def isStopping(self) -> bool:
        """Return whether the process is about to end."""

    def submit(self, operation: Operation) -> None:
        """Ask for an operation; it runs after those submitted before it."""

    def goOn(self, rest: Operation) -> None:
        """Let the rest of an operation run next."""

    def expectDue(self, due: int) -> None:
        """Note that a delayed message is due at a time, in ms since 1970."""

    def refused(self, error: QueueError) -> None:
        """Note that a set is refused."""

    def unrefused(self, error: NotStored) -> None:
        """Forget that: its turn is undone."""

    def release(self, body: Upload | LargeBody) -> None:
        """Ask to forget the parts of a body that no message has."""

    def setAside(self, message: Message) -> None:
        """Ask to keep a damaged message out of the way."""

    def giveBack(self, queue: bytes, message: Message) -> None:
        """Return a message to its old place that was taken and is not sent."""

    def putBack(self, queue: bytes, message: Message) -> None:
        """Return a message to its old place that was sent and has not arrived."""

    def opened(self, queue: bytes) -> Any:
        """Return the OpenReads of a queue, which are not to be changed."""

    def overdue(self, opened: Any) -> None:
        """Note that an open read took too long: it goes back."""

    def giveBackLater(self, opened: Sequence[Any]) -> None:
        """Note that open reads could not go back; they have to, some time."""

    def isBehind(self, read: Any) -> bool:
        """Return whether somebody else is before a read that may wait."""

    def tries(self, read: Any) -> None:
        """Note that a read runs that was promised a message."""

    def seconds(self) -> float:
        """Return the time, by a clock that is never set."""

    def after(self, seconds: float, call: Callable[[], None]) -> IDelayedCall:
        """Call something after so many seconds."""


class Spent:
    """The seconds that the operations of one command have taken, in all.

    Those between two of them, as while the client does not read, do not count.
    """

    __slots__ = ("_seconds", "_since")

    def __init__(self) -> None:
        self._seconds = self._since = 0.0

    def begin(self, now: float) -> float:
        """Note that one is begun; return since when the command's time counts."""
        self._since = now - self._seconds
        return self._since

    def end(self, now: float) -> None:
        """Note that it is carried out."""
        self._seconds = self.total(now)

    def total(self, now: float) -> float:
        """Return how many they are by now, while one is under way."""
        return now - self._since


class Operation:
    """Something that a client asks of the store, and what came of it.

    :ivar client: who asks for it.
    :ivar done: the result is final, and durable if it has to be.
    """

    __slots__ = ("client", "done", "result")

    #: Whether it is carried out although the client has gone.
    outlivesSession = True
    #: Bytes that ``run`` made free inside the files, less than 0 for what it took.
    bytesFreed = 0
    #: Seconds that figures of queues may be old which it tells; None if it tells none.
    staleness: float | None = None
    #: The part that was divided from it, whose reply follows its own.
    rest: Operation | None = None
    #: The operation that has to succeed before, or this one fails as that did.
    previous: Operation | None = None
    #: What it has in common with others of its command, where the time is bounded that
    #: these may take together; None where that is of no concern.
    spent: Spent | None = None

    def __init__(self, client: Client) -> None:
        self.client = client
        self.done = False
        #: The answer that ``run`` found; an error when it failed.
        self.result: Any = None

    @property
    def count(self) -> int:
        """Return how many commands it is."""
        return 1

    @property
    def idleCost(self) -> int:
        """Return what it counts in a turn when it changed nothing."""
        return MESSAGE_COST * self.count

    def run(self, store: IQueueStore) -> int:
        """Run inside a transaction, and set ``result``.

        :return: 0 when nothing changed, else what that counts in a turn: the bytes
            of body moved, and MESSAGE_COST for each message.
        """
        raise NotImplementedError

    def split(self) -> Iterator[Operation]:
        """Yield what can run, and fail, each by itself."""
        yield self

    def undo(self) -> None:
        """Forget a run whose transaction was undone."""
        self.result = None

    def fail(self, error: QueueError) -> None:
        """Note that it could not be carried out."""
        self.result = error

    def hasFailed(self) -> bool:
        """Fail, if what has to succeed before did; return whether that is so."""
        previous = self.previous
        if previous is None or not isinstance(previous.result, QueueError):
            return False
        self.result = previous.result
        return True

    def abandon(self) -> None:
        """Give back what was found, for the client is gone."""

    def madeVisible(self) -> Iterable[tuple[bytes, int]]:
        """Yield the queues that have messages now for those that wait; and how many.

        Asked only while somebody waits.
        """
        return ()


class Upload:
    """A body that comes in parts, and what became of them.

    :ivar queues: those that it is for, each of which gets one for itself.
    :ivar ids: the ids that the store gave these bodies, none before the first part.
    :ivar parts: how many there are.
    :ivar size: the bytes of them all, in one body.
    :ivar error: why the body cannot be kept, None while it can.
    """

    __slots__ = ("error", "ids", "parts", "queues", "size")

    def __init__(self, queues: Sequence[bytes] = ()) -> None:
        self.queues = queues
        self.ids: list[int] = []
        self.parts = 0
        self.size = 0
        self.error: QueueError | None = None

    def bodies(self) -> list[LargeBody]:
        """Return the bodies, once all parts came."""
        return [LargeBody(id, self.size, self.parts) for id in self.ids]


class Slice(Operation):
    """A part of what a command asks for, so that nobody waits for long.

    A slice that does not do all of it puts another one, its ``rest``, to the front of
    the inbox: so what the client sent behind the command runs behind that as well.  The
    rest finds nothing to do when the slice before it failed, or saw the end; a turn
    that is undone runs both again.

    :ivar rest: what does what is left; None before it ran, and for the last one.
    :ivar before: the one whose rest it is; None for the first one, and once it is known
        that this one is not in vain.
    """

    # Without __slots__, so that it can be mixed with what has some.
    rest: Slice | None = None
    before: Slice | None = None

    @property
    def hasMore(self) -> bool:
        """Whether something may be left; asked after it ran."""
        raise NotImplementedError

    @property
    def isOver(self) -> bool:
        """Whether the one before it was the last."""
        return self.before is not None and not self.before.hasMore

    def divide(self, rest: Slice) -> None:
        """Let the rest run next."""
        self.rest = rest
        rest.before = self
        if self.spent is not None:
            rest.spent = self.spent
        self.client.goOn(rest)

    def follow(self) -> Slice | None:
        """Return the rest, whose reply follows; None when there is nothing more.

        It is final then, and forgotten: its reply is made.
        """
        rest, self.rest = self.rest, None
        if rest is None or not self.hasMore:
            return None
        rest.before = None
        return rest


class Telling(Operation):
    """An operation whose answer is undelivered, as a message is, until it is given.

    :ivar size: bytes of the answer.
    """

    __slots__ = ("size",)

    outlivesSession = False

    def __init__(self, client: Client) -> None:
        """Begin with no answer."""
        super().__init__(client)
        self.size = 0

    def holds(self, size: int) -> None:
        """Note that so many bytes more are to be told."""
        self.size += size
        self.client.outstanding.undelivered += size

    def undo(self) -> None:
        """Forget the answer."""
        super().undo()
        self.settle()

    def abandon(self) -> None:
        """Forget the answer, for the client is gone."""
        self.settle()

    def settle(self) -> None:
        """Note that the answer is given, or will not be."""
        self.client.outstanding.undelivered -= self.size
        self.size = 0


class Ask(Telling):
    """Ask the store something in its place among the others."""

    __slots__ = ("question",)

    staleness = 0.0

    def __init__(
        self, client: Client, question: Callable[[IQueueStore], bytes]
    ) -> None:
        """Remember the question; the result is its answer."""
        super().__init__(client)
        self.question = question

    @property
    def idleCost(self) -> int:
        """Return what it counts: 10,000 queues in 200 KB took 4 ms to tell."""
        return MESSAGE_COST + 2 * self.size

    def run(self, store: IQueueStore) -> int:
        """Ask."""
        self.result = self.question(store)
        self.holds(len(self.result))
        return 0
