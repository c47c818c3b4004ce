"""What a session can ask of the store, each an object with its result.

The broker runs operations inside its transactions, perhaps twice: when a turn is
undone, :meth:`Operation.undo` makes each as it was before it ran.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.imemq import IQueueStore
    from memq.session import Session


class Operation:
    """Something that a session asks of the store, and what came of it.

    :ivar done: the result is final, and durable if it has to be.
    """

    __slots__ = ("done", "result", "session")

    #: Whether it is carried out although the client has gone.
    outlivesSession = True

    def __init__(self, session: Session) -> None:
        """Make an operation that has not run."""
        self.session = session
        self.done = False
        #: What ``run`` found; an error when it failed.
        self.result: Any = None

    def run(self, store: IQueueStore) -> int:
        """Run inside a transaction, and set ``result``.

        :return: 0 when nothing changed, else 1 + the bytes of body moved.
        """
        raise NotImplementedError

    def undo(self) -> None:
        """Forget a run whose transaction was undone."""
        self.result = None


class Push(Operation):
    """Append a message; the result is its sequence number."""

    __slots__ = ("body", "flags", "queue")

    def __init__(self, session: Session, queue: bytes, flags: int, body: bytes) -> None:
        """Take over the message."""
        self.session = session
        self.done = False
        self.result = None
        self.queue = queue
        self.flags = flags
        self.body = body

    def run(self, store: IQueueStore) -> int:
        """Append it."""
        self.result = store.push(self.queue, self.flags, self.body)
        return 1 + len(self.body)


class Pop(Operation):
    """Take a message; the result is it, or None if there is none."""

    __slots__ = ("queue",)

    outlivesSession = False

    def __init__(self, session: Session, queue: bytes) -> None:
        """Remember where from."""
        self.session = session
        self.done = False
        self.result = None
        self.queue = queue

    def run(self, store: IQueueStore) -> int:
        """Take it."""
        result = self.result = store.pop(self.queue)
        if result is None:
            return 0
        if isinstance(result, Message):
            size = len(result.body)
            self.session.undelivered += size
            return 1 + size
        return 1

    def undo(self) -> None:
        """Forget the message as well."""
        if isinstance(self.result, Message):
            self.session.undelivered -= len(self.result.body)
        self.result = None


class PutBack(Operation):
    """Return a message to its place; the result is whether there was one."""

    __slots__ = ("message", "queue")

    def __init__(self, session: Session, queue: bytes, message: Message) -> None:
        """Take over the message."""
        super().__init__(session)
        self.queue = queue
        self.message = message

    def run(self, store: IQueueStore) -> int:
        """Put it back."""
        self.result = store.putBack(self.queue, self.message)
        return 1


class Delete(Operation):
    """Delete a queue; the result is whether there was one."""

    __slots__ = ("queue",)

    def __init__(self, session: Session, queue: bytes) -> None:
        """Remember which."""
        super().__init__(session)
        self.queue = queue

    def run(self, store: IQueueStore) -> int:
        """Delete it."""
        self.result = store.delete(self.queue)
        return int(self.result)


class EmptyAll(Operation):
    """Empty every queue; the result is how many messages that discarded."""

    __slots__ = ()

    def run(self, store: IQueueStore) -> int:
        """Empty them."""
        self.result = sum(store.empty(count.name) for count in store.counts())
        return int(self.result > 0)


class Ask(Operation):
    """Ask the store something in its place among the others."""

    __slots__ = ("question",)

    outlivesSession = False

    def __init__(
        self, session: Session, question: Callable[[IQueueStore], object]
    ) -> None:
        """Remember the question; the result is its answer."""
        super().__init__(session)
        self.question = question

    def run(self, store: IQueueStore) -> int:
        """Ask."""
        self.result = self.question(store)
        return 0
