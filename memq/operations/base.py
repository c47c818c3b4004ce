"""What a session can ask of the store, each an object with what came of it.

The broker runs operations inside its transactions, perhaps twice: when a turn is
undone, :meth:`Operation.undo` makes each as it was before it ran, and
:meth:`Operation.apart` divides it into what can fail by itself.

Pushes that came together are one operation, and so are pops: what an operation
costs besides the store's work is then paid once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from memq.message import LargeBody, Message

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from twisted.internet.interfaces import IDelayedCall

    from memq.errors import NotStored, QueueError
    from memq.interfaces import IQueueStore
    from memq.policy.effective import Plans


#: What a message counts in a turn, besides the bytes of its body.
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
    """The client of an operation, as far as operations know it: who asked for them.

    What it has open is of memq.operations.openreads, which builds on this module.

    :ivar deliver: is called when operations of it are done.
    :ivar gone: whether it is there no more.
    :ivar sendsNoMore: whether nothing comes from it any more.
    :ivar undelivered: bytes taken for it and not given to it yet.
    :ivar onDisk: those among them that are not in memory: large bodies.
    :ivar open: the open reads of each queue, the oldest first; None before the first.
    :ivar openReads: how many they are.
    :ivar parked: the read that waits for a message; None most of the time.
    """

    deliver: Callable[[], None]
    gone: bool
    sendsNoMore: bool
    undelivered: int
    onDisk: int
    open: dict[bytes, deque[Any]] | None
    openReads: int
    parked: Any

    @property
    def plans(self) -> Plans:
        """Return what holds for which queue."""

    def submit(self, operation: Operation) -> None:
        """Ask for an operation; it runs after those submitted before it."""

    def goOn(self, rest: Operation) -> None:
        """Let the rest of an operation run next."""

    def expectDue(self, due: int) -> None:
        """Note that a message is to be seen at a time, in ms since 1970."""

    def refused(self, error: QueueError) -> None:
        """Note that a set is refused."""

    def unrefused(self, error: NotStored) -> None:
        """Forget that: its turn is undone."""

    def release(self, body: Upload | LargeBody) -> None:
        """Ask to forget the parts of a body that no message has."""

    def delivered(self, large: LargeBody) -> None:
        """Note that all parts of a message were given out."""

    def forget(self, message: Message) -> None:
        """Note that a message that was taken will not be delivered."""

    def setAside(self, message: Message) -> None:
        """Ask to keep a damaged message out of the way."""

    def giveBack(self, queue: bytes, message: Message) -> None:
        """Return a message to its old place that was taken and is not sent."""

    def putBack(self, queue: bytes, message: Message) -> None:
        """Return a message to its old place that was sent and has not arrived."""

    def opened(self, queue: bytes) -> Sequence[Any]:
        """Return what is open on a queue, the oldest first."""

    def overdue(self, opened: Any) -> None:
        """Note that an open read took too long: it goes back."""

    def giveBackLater(self, opened: Sequence[Any]) -> None:
        """Note that open reads could not go back; they have to, some time."""

    def isBehind(self, queue: bytes) -> bool:
        """Return whether somebody else waits for a message of a queue."""

    def isHeldUp(self, queue: bytes) -> bool:
        """Return whether somebody else is about to get to a message of a queue."""

    def seconds(self) -> float:
        """Return the time, by a clock that is never set."""

    def after(self, seconds: float, call: Callable[[], None]) -> IDelayedCall:
        """Call something after so many seconds."""


class Operation:
    """Something that a session asks of the store, and what came of it.

    :ivar done: the result is final, and durable if it has to be.
    """

    __slots__ = ("done", "result", "session")

    #: Whether it is carried out although the client has gone.
    outlivesSession = True
    #: Bytes that ``run`` made free inside the files, less than 0 for what it took.
    gain = 0
    #: What was divided from it, and whose reply follows its own.
    rest: Operation | None = None

    def __init__(self, session: Client) -> None:
        """Make an operation that has not run."""
        self.session = session
        self.done = False
        #: What ``run`` found; an error when it failed.
        self.result: Any = None

    @property
    def count(self) -> int:
        """Return how many commands it is."""
        return 1

    @property
    def effort(self) -> int:
        """Return what it counts in a turn when it changed nothing."""
        return MESSAGE_COST * self.count

    def run(self, store: IQueueStore) -> int:
        """Run inside a transaction, and set ``result``.

        :return: 0 when nothing changed, else what that counts in a turn: the bytes
            of body moved, and MESSAGE_COST for each message.
        """
        raise NotImplementedError

    def apart(self) -> Iterator[Operation]:
        """Yield what can run, and fail, each by itself."""
        yield self

    def undo(self) -> None:
        """Forget a run whose transaction was undone."""
        self.result = None

    def fail(self, error: QueueError) -> None:
        """Note that it could not be carried out."""
        self.result = error

    def shown(self) -> Iterable[tuple[bytes, int]]:
        """Yield the queues that have messages now for those that wait; and how many.

        Asked only while somebody waits.
        """
        return ()


class Push(Operation):
    """Append messages to a queue.

    :ivar messages: flags and body of each; more may join until it runs.
    :ivar size: the bytes of all bodies.
    :ivar noreply: whether the client wants to hear nothing of it.
    :ivar results: the sequence number of each, or why it was not appended; a range
        when all were.
    """

    __slots__ = ("gain", "messages", "noreply", "queue", "results", "size")

    def __init__(
        self, session: Client, queue: bytes, flags: int, body: bytes, noreply: bool
    ) -> None:
        """Take over a message."""
        self.session = session
        self.done = False
        self.queue = queue
        self.messages = [(flags, body)]
        self.size = len(body)
        self.noreply = noreply
        self.results: range | list[int | QueueError] = []

    @property
    def count(self) -> int:
        """Return how many commands it is."""
        return len(self.messages)

    def run(self, store: IQueueStore) -> int:
        """Append them."""
        count = len(self.messages)
        first = store.pushAll(self.queue, self.messages, self.size)
        self.results = range(first, first + count)
        self.gain = -roomFor(count, self.size)
        return MESSAGE_COST * count + self.size

    def apart(self) -> Iterator[Operation]:
        """Yield a push for each message, and take over what came of it."""
        results: list[int | QueueError] = []
        self.results = results
        for flags, body in self.messages:
            one = Push(self.session, self.queue, flags, body, self.noreply)
            yield one
            results += one.results

    def undo(self) -> None:
        """Forget the results."""
        self.results = []

    def fail(self, error: QueueError) -> None:
        """Note that none was appended."""
        self.results = [error] * len(self.messages)

    def shown(self) -> Iterable[tuple[bytes, int]]:
        """Tell how many were appended."""
        yield self.queue, sum(type(result) is int for result in self.results)


class Upload:
    """A body that comes in parts, and what became of them.

    :ivar queues: those that it is for, each of which gets one for itself; none when
        it is for one queue, whatever that is.
    :ivar ids: the ids that the store gave these bodies, none before the first part.
    :ivar parts: how many there are.
    :ivar size: the bytes of them all, in one body.
    :ivar error: why the body cannot be kept, None while it can.
    """

    __slots__ = ("error", "ids", "parts", "queues", "size")

    def __init__(self, queues: Sequence[bytes] = ()) -> None:
        """Begin without parts."""
        self.queues = queues
        self.ids: list[int] = []
        self.parts = 0
        self.size = 0
        self.error: QueueError | None = None

    @property
    def copies(self) -> int:
        """Return how many bodies there are."""
        return len(self.queues) or 1

    def bodies(self) -> list[LargeBody]:
        """Return the bodies, once all parts came."""
        return [LargeBody(id, self.size, self.parts) for id in self.ids]


class AddPart(Operation):
    """Keep a part of a body."""

    __slots__ = ("data", "gain", "number", "upload")

    def __init__(self, session: Client, upload: Upload, data: bytes) -> None:
        """Take over the next part."""
        super().__init__(session)
        self.gain = 0
        self.upload = upload
        self.number = upload.parts
        self.data = data
        upload.parts += 1
        upload.size += len(data)

    def run(self, store: IQueueStore) -> int:
        """Keep it, unless an earlier part could not be kept."""
        upload = self.upload
        if upload.error is not None:
            return 0
        if not upload.ids:
            upload.ids = [store.newBody() for _ in range(upload.copies)]
        for id in upload.ids:
            store.addPart(id, self.number, self.data)
        self.gain = -roomFor(1, len(self.data)) * upload.copies
        return (MESSAGE_COST + len(self.data)) * upload.copies

    def fail(self, error: QueueError) -> None:
        """Give up the body."""
        self.upload.error = error


class PushLarge(Operation):
    """Append a message whose parts are kept; the result is its sequence number."""

    __slots__ = ("flags", "queue", "upload")

    def __init__(
        self, session: Client, queue: bytes, flags: int, upload: Upload
    ) -> None:
        """Take over the message."""
        super().__init__(session)
        self.queue = queue
        self.flags = flags
        self.upload = upload

    def run(self, store: IQueueStore) -> int:
        """Append it, if its body could be kept."""
        if self.upload.error is not None:
            self.result = self.upload.error
            return 0
        [large] = self.upload.bodies()
        self.result = store.pushLarge(self.queue, self.flags, large)
        return MESSAGE_COST

    def shown(self) -> Iterable[tuple[bytes, int]]:
        """Tell whether it was appended."""
        yield self.queue, int(type(self.result) is int)


class Release(Operation):
    """Let the parts of a body go that nobody will ask for."""

    __slots__ = ("body",)

    def __init__(self, session: Client, body: Upload | LargeBody) -> None:
        """Remember which; those of an upload may not be kept yet."""
        super().__init__(session)
        self.body = body

    def run(self, store: IQueueStore) -> int:
        """Let them go."""
        body = self.body
        for id in body.ids if isinstance(body, Upload) else [body.id]:
            store.release(id)
        return 0


class SetAside(Operation):
    """Keep a message out of the way that has a damaged part."""

    __slots__ = ("message",)

    def __init__(self, session: Client, message: Message) -> None:
        """Take over the message."""
        super().__init__(session)
        self.message = message

    def run(self, store: IQueueStore) -> int:
        """Keep it."""
        store.setAside(self.message)
        return MESSAGE_COST


class Pop(Operation):
    """Take messages from a queue.

    :ivar most: how many; more may join until it runs.
    :ivar results: the message of each; None where there is none, or an error.
    :ivar rest: the pop that was divided from it, whose replies follow.
    """

    __slots__ = ("gain", "most", "queue", "rest", "results")

    outlivesSession = False

    def __init__(self, session: Client, queue: bytes, most: int = 1) -> None:
        """Remember where from."""
        self.session = session
        self.done = False
        self.queue = queue
        self.most = most
        self.rest: Pop | None = None
        self.results: list[Message | QueueError | None] = []

    @property
    def count(self) -> int:
        """Return how many commands it is."""
        return self.most

    def run(self, store: IQueueStore) -> int:
        """Take them."""
        results = self.results = store.popAll(self.queue, self.most)
        cost = size = 0
        for found in results:
            cost += MESSAGE_COST
            if type(found) is Message:
                cost += len(found.body)
                if found.large is None:
                    size += len(found.body)
                else:
                    size += found.size
                    self.session.onDisk += found.size
        self.session.undelivered += size
        self.gain = size
        if len(results) < self.most:
            results += [None] * (self.most - len(results))
        return cost

    def apart(self) -> Iterator[Operation]:
        """Yield a pop for each message, and take over what came of it."""
        for _ in range(self.most):
            one = Pop(self.session, self.queue)
            yield one
            self.results += one.results

    def divide(self) -> Pop:
        """Take one message only, and return the pop that is to take the others."""
        self.rest = Pop(self.session, self.queue, self.most - 1)
        self.most = 1
        return self.rest

    def after(self, count: int) -> Pop:
        """Return what is left of a pop that is done, without its first results."""
        left = Pop(self.session, self.queue, self.most - count)
        left.results = self.results[count:]
        left.done = True
        return left

    def first(self) -> Pop:
        """Return what ``after(1)`` leaves out."""
        first = Pop(self.session, self.queue)
        first.results = self.results[:1]
        first.done = True
        return first

    def messages(self) -> Iterator[Message]:
        """Yield each message that was taken."""
        for found in self.results:
            if isinstance(found, Message):
                yield found

    def undo(self) -> None:
        """Forget the messages as well."""
        for message in self.messages():
            self.session.forget(message)
        self.results = []

    def fail(self, error: QueueError) -> None:
        """Note that none could be taken."""
        self.results = [error] * self.most


class PutBack(Operation):
    """Return a message to its place; the result is whether there was one."""

    __slots__ = ("message", "queue")

    def __init__(self, session: Client, queue: bytes, message: Message) -> None:
        """Take over the message."""
        super().__init__(session)
        self.queue = queue
        self.message = message

    def run(self, store: IQueueStore) -> int:
        """Put it back."""
        self.result = store.putBack(self.queue, self.message)
        return MESSAGE_COST + len(self.message.body)

    def shown(self) -> Iterable[tuple[bytes, int]]:
        """Tell whether it is there again."""
        yield self.queue, int(self.result is True)


class Delete(Operation):
    """Delete a queue; the result is whether there was one."""

    __slots__ = ("queue",)

    def __init__(self, session: Client, queue: bytes) -> None:
        """Remember which."""
        super().__init__(session)
        self.queue = queue

    def run(self, store: IQueueStore) -> int:
        """Delete it."""
        self.result = store.delete(self.queue)
        return MESSAGE_COST if self.result else 0


class Empty(Operation):
    """Discard all messages of a queue; the result is how many."""

    __slots__ = ("queue",)

    def __init__(self, session: Client, queue: bytes) -> None:
        """Remember which."""
        super().__init__(session)
        self.queue = queue

    def run(self, store: IQueueStore) -> int:
        """Empty it."""
        self.result = store.empty(self.queue)
        return MESSAGE_COST if self.result else 0


class EmptyAll(Operation):
    """Empty every queue; the result is how many messages that discarded."""

    __slots__ = ()

    def run(self, store: IQueueStore) -> int:
        """Empty them."""
        counts = list(store.counts())
        self.result = sum(store.empty(count.name) for count in counts)
        return MESSAGE_COST if counts else 0


class Ask(Operation):
    """Ask the store something in its place among the others.

    :ivar size: bytes of the answer, which is undelivered as a message is.
    """

    __slots__ = ("question", "size")

    outlivesSession = False

    def __init__(
        self, session: Client, question: Callable[[IQueueStore], bytes]
    ) -> None:
        """Remember the question; the result is its answer."""
        super().__init__(session)
        self.question = question
        self.size = 0

    @property
    def effort(self) -> int:
        """Return what it counts: 10,000 queues in 200 KB took 4 ms to tell."""
        return MESSAGE_COST + 2 * self.size

    def run(self, store: IQueueStore) -> int:
        """Ask."""
        self.result = self.question(store)
        self.size = len(self.result)
        self.session.undelivered += self.size
        return 0

    def undo(self) -> None:
        """Forget the answer."""
        super().undo()
        self.session.undelivered -= self.size
        self.size = 0
