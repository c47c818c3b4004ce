"""Sets that are more than appending: to queues with rules, and those with a delay.

What becomes of each message, :mod:`memq.operations.routing` decides when the operation
runs.

The queues that a body in parts goes to are fixed when its first part comes: it is kept
once for each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.errors import NotStored, QueueError
from memq.operations.base import MESSAGE_COST, Operation, Upload, roomFor
from memq.operations.routing import Effects, SetRequest, destinations, route

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from memq.interfaces import IQueueStore
    from memq.message import LargeBody
    from memq.operations.base import Client


class Push(Operation):
    """Append messages to a queue.

    :ivar messages: flags and body of each; more may join until it runs.
    :ivar size: the bytes of all bodies.
    :ivar noreply: whether the client wants to hear nothing of it.
    :ivar results: the sequence number of each, or why it was not appended; a range
        when all were.
    """

    __slots__ = ("bytesFreed", "messages", "noreply", "queue", "results", "size")

    def __init__(
        self, session: Client, queue: bytes, flags: int, body: bytes, noreply: bool
    ) -> None:
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
        self.bytesFreed = -roomFor(count, self.size)
        return MESSAGE_COST * count + self.size

    def split(self) -> Iterator[Operation]:
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

    def madeVisible(self) -> Iterable[tuple[bytes, int]]:
        """Tell how many were appended."""
        yield self.queue, sum(type(result) is int for result in self.results)


class AddPart(Operation):
    """Keep a part of a body."""

    __slots__ = ("bytesFreed", "data", "number", "upload")

    def __init__(self, session: Client, upload: Upload, data: bytes) -> None:
        super().__init__(session)
        self.bytesFreed = 0
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
        self.bytesFreed = -roomFor(1, len(self.data)) * upload.copies
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

    def madeVisible(self) -> Iterable[tuple[bytes, int]]:
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


class RuledPush(Push):
    """Append messages as plans have it, all of one queue and of one kind.

    :ivar asked: what is said of each of them.
    """

    __slots__ = ("_effects", "asked")

    def __init__(
        self, session: Client, asked: SetRequest, flags: int, body: bytes, noreply: bool
    ) -> None:
        super().__init__(session, asked.queue, flags, body, noreply)
        self.asked = asked
        #: None when they were appended as to any queue.
        self._effects: Effects | None = None

    def run(self, store: IQueueStore) -> int:
        """Append them, or some; refuse the others."""
        policies, asked = self.session.policies, self.asked
        if not asked.delay and policies.of(asked.queue) is None:
            return super().run(store)
        effects = self._effects = Effects()
        queues = destinations(policies, asked.queue)
        self.results = [
            route(
                store,
                self.session,
                asked,
                flags,
                [(queue, body) for queue in queues],
                effects,
            )
            for flags, body in self.messages
        ]
        for refusal in self._refusals():
            self.session.refused(refusal)
        self.bytesFreed = effects.bytesFreed
        return effects.cost

    def _refusals(self) -> list[NotStored]:
        return [each for each in self.results if isinstance(each, NotStored)]

    def split(self) -> Iterator[Operation]:
        """Yield a push for each message, and take over what came of it."""
        results: list[int | QueueError] = []
        effects = Effects()
        self.results, self._effects = results, effects
        for flags, body in self.messages:
            one = RuledPush(self.session, self.asked, flags, body, self.noreply)
            yield one
            results += one.results
            effects.shown.update(dict(one.madeVisible()))
            if one._effects is not None:
                effects.dropped += one._effects.dropped

    def undo(self) -> None:
        """Forget what it did."""
        for refusal in self._refusals():
            self.session.unrefused(refusal)
        super().undo()
        self._effects = None

    def madeVisible(self) -> Iterable[tuple[bytes, int]]:
        """Tell how many were appended where."""
        effects = self._effects
        return super().madeVisible() if effects is None else effects.shown.items()

    def release(self) -> None:
        """Let the parts go of what was dropped: that is told for good now."""
        effects, self._effects = self._effects, None
        if effects is not None:
            for large in effects.dropped:
                self.session.release(large)

    abandon = release


class RuledPushLarge(PushLarge):
    """Append a message whose parts are kept, as plans have it."""

    __slots__ = ("_asked", "_effects", "bytesFreed")

    def __init__(
        self, session: Client, asked: SetRequest, flags: int, upload: Upload
    ) -> None:
        super().__init__(session, asked.queue, flags, upload)
        self.bytesFreed = 0
        self._asked = asked
        self._effects = Effects()

    def run(self, store: IQueueStore) -> int:
        """Append it, if its body could be kept and no queue refuses it."""
        upload = self.upload
        effects = self._effects = Effects()
        if upload.error is not None:
            self.result = upload.error
            return 0
        queues = upload.queues or (self.queue,)
        places = zip(queues, upload.bodies(), strict=True)
        session = self.session
        self.result = route(store, session, self._asked, self.flags, places, effects)
        if isinstance(self.result, NotStored):
            session.refused(self.result)
        self.bytesFreed = effects.bytesFreed
        return effects.cost

    def undo(self) -> None:
        """Forget what it did."""
        if isinstance(self.result, NotStored):
            self.session.unrefused(self.result)
        super().undo()
        self._effects = Effects()

    def madeVisible(self) -> Iterable[tuple[bytes, int]]:
        """Tell where it was appended."""
        return self._effects.shown.items()

    def release(self) -> None:
        """Let the parts go of what was dropped, and those that no message has."""
        session, effects = self.session, self._effects
        if isinstance(self.result, QueueError):
            session.release(self.upload)
        else:
            effects.dropped += [
                body for body in self.upload.bodies() if body not in effects.used
            ]
        for large in effects.dropped:
            session.release(large)

    abandon = release
