"""What a session can ask of the store, each an object with its result.

The broker runs operations inside its transactions, perhaps twice: when a turn is
undone, :meth:`Operation.undo` makes each as it was before it ran.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.message import LargeBody, Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.errors import QueueError
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

    def fail(self, error: QueueError) -> None:
        """Note that it could not be carried out."""
        self.result = error


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


class Upload:
    """A body that comes in parts, and what became of them.

    :ivar id: the id that the store gave it, None while it has none.
    :ivar parts: how many there are.
    :ivar size: the bytes of them all.
    :ivar error: why the body cannot be kept, None while it can.
    """

    __slots__ = ("error", "id", "parts", "size")

    def __init__(self) -> None:
        """Begin without parts."""
        self.id: int | None = None
        self.parts = 0
        self.size = 0
        self.error: QueueError | None = None


class AddPart(Operation):
    """Keep a part of a body."""

    __slots__ = ("data", "number", "upload")

    def __init__(self, session: Session, upload: Upload, data: bytes) -> None:
        """Take over the next part."""
        super().__init__(session)
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
        if upload.id is None:
            upload.id = store.newBody()
        store.addPart(upload.id, self.number, self.data)
        return 1 + len(self.data)

    def fail(self, error: QueueError) -> None:
        """Give up the body."""
        self.upload.error = error


class PushLarge(Operation):
    """Append a message whose parts are kept; the result is its sequence number."""

    __slots__ = ("flags", "queue", "upload")

    def __init__(
        self, session: Session, queue: bytes, flags: int, upload: Upload
    ) -> None:
        """Take over the message."""
        super().__init__(session)
        self.queue = queue
        self.flags = flags
        self.upload = upload

    def run(self, store: IQueueStore) -> int:
        """Append it, if its body could be kept."""
        id, parts, size = self.upload.id, self.upload.parts, self.upload.size
        if self.upload.error is not None:
            self.result = self.upload.error
            return 0
        assert id is not None
        self.result = store.pushLarge(
            self.queue, self.flags, LargeBody(id, size, parts)
        )
        return 1


class Release(Operation):
    """Let the parts of a body go that nobody will ask for."""

    __slots__ = ("body",)

    def __init__(self, session: Session, body: Upload | LargeBody) -> None:
        """Remember which; those of an upload may not be kept yet."""
        super().__init__(session)
        self.body = body

    def run(self, store: IQueueStore) -> int:
        """Let them go."""
        if self.body.id is not None:
            store.release(self.body.id)
        return 0


class SetAside(Operation):
    """Keep a message out of the way that has a damaged part."""

    __slots__ = ("message",)

    def __init__(self, session: Session, message: Message) -> None:
        """Take over the message."""
        super().__init__(session)
        self.message = message

    def run(self, store: IQueueStore) -> int:
        """Keep it."""
        store.setAside(self.message)
        return 1


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
            self.session.undelivered += result.size
            return 1 + len(result.body)
        return 1

    def undo(self) -> None:
        """Forget the message as well."""
        if isinstance(self.result, Message):
            self.session.undelivered -= self.result.size
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
