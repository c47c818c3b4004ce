"""Pushes: sets as operations on queues, with and without a policy.

An operation asks for the policy of its queue when it runs.  A set to a queue without
one is an append; :mod:`memq.operations.routing` carries out all others.  That look
costs a set 0.7 % of its instructions, and a get 0.4 % (50 clients, one command each).
Sets that came together are one operation, see :mod:`memq.operations.base`.

A large body comes in parts, each an operation of its own.  The queues that it goes to
are fixed when its first part comes: it is kept once for each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.errors import NotStored, QueueError
from memq.operations.base import MESSAGE_COST, Operation, Upload, roomFor
from memq.operations.routing import Effects, SetRequest, destinations, route

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from memq.interfaces import IQueueStore
    from memq.message import LargeBody
    from memq.operations.base import Client
    from memq.wire.forms import Form


class Push(Operation):
    """Append messages to a queue, as its policy has it.

    :ivar messages: flags and body of each; more may join until it runs.
    :ivar size: the bytes of all bodies.
    :ivar form: how they are answered.
    :ivar exptime: as it was sent with each of them.
    :ivar delay: seconds until they can be seen.
    :ivar results: the number of each in its queue, 0 for none, or why it was not
        appended; a range when all were appended as they are.
    """

    __slots__ = (
        "_effects",
        "bytesFreed",
        "delay",
        "exptime",
        "form",
        "messages",
        "queue",
        "results",
        "size",
    )

    def __init__(
        self,
        client: Client,
        queue: bytes,
        flags: int,
        body: bytes,
        form: Form,
        exptime: int = 0,
        delay: int = 0,
    ) -> None:
        self.client = client
        self.done = False
        self.queue = queue
        self.messages = [(flags, body)]
        self.size = len(body)
        self.form = form
        self.exptime = exptime
        self.delay = delay
        self.results: Sequence[int | QueueError] = ()
        #: None when they were appended as they are.
        self._effects: Effects | None = None

    @property
    def count(self) -> int:
        """Return how many commands it is."""
        return len(self.messages)

    def run(self, store: IQueueStore) -> int:
        """Append them, or some; refuse the others."""
        policies = self.client.policies
        if self.delay or (policies.isActive and policies.of(self.queue) is not None):
            return self._route(store)
        count = len(self.messages)
        first = store.pushAll(self.queue, self.messages, self.size)
        self.results = range(first, first + count)
        self.bytesFreed = -roomFor(count, self.size)
        return MESSAGE_COST * count + self.size

    def _route(self, store: IQueueStore) -> int:
        client, effects = self.client, Effects()
        asked = SetRequest(self.queue, self.exptime, self.delay)
        queues = destinations(client.policies, self.queue)
        results: list[int | QueueError] = []
        self.results, self._effects = results, effects
        for flags, body in self.messages:
            places = [(queue, body) for queue in queues]
            results.append(route(store, client, asked, flags, places, effects))
            if isinstance(results[-1], NotStored):
                client.refused(results[-1])
        self.bytesFreed = effects.bytesFreed
        return effects.cost

    def split(self) -> Iterator[Operation]:
        """Yield a push for each message, and take over what came of it."""
        results: list[int | QueueError] = []
        effects = Effects()
        self.results, self._effects = results, effects
        asked = self.form, self.exptime, self.delay
        for flags, body in self.messages:
            one = Push(self.client, self.queue, flags, body, *asked)
            yield one
            results += one.results
            effects.shown.update(dict(one.madeVisible()))
            if one._effects is not None:
                effects.dropped += one._effects.dropped

    def undo(self) -> None:
        """Forget what it did."""
        for result in self.results:
            if isinstance(result, NotStored):
                self.client.unrefused(result)
        self.results = ()
        self._effects = None

    def fail(self, error: QueueError) -> None:
        """Note that none was appended."""
        self.results = [error] * len(self.messages)

    def madeVisible(self) -> Iterable[tuple[bytes, int]]:
        """Tell how many were appended where."""
        if self._effects is not None:
            return self._effects.shown.items()
        return [(self.queue, sum(type(result) is int for result in self.results))]

    def release(self) -> None:
        """Let the parts go of what was dropped: that is told for good now."""
        effects, self._effects = self._effects, None
        if effects is not None:
            for large in effects.dropped:
                self.client.release(large)

    abandon = release


class AddPart(Operation):
    """Keep a part of a body."""

    __slots__ = ("bytesFreed", "data", "number", "upload")

    def __init__(self, client: Client, upload: Upload, data: bytes) -> None:
        super().__init__(client)
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
            upload.ids = [store.newBody() for _ in upload.queues]
        for id in upload.ids:
            store.addPart(id, self.number, self.data)
        copies = len(upload.queues)
        self.bytesFreed = -roomFor(1, len(self.data)) * copies
        return (MESSAGE_COST + len(self.data)) * copies

    def fail(self, error: QueueError) -> None:
        """Give up the body."""
        self.upload.error = error


class PushLarge(Operation):
    """Append a message whose parts are kept, as the policy of its queue has it.

    The result is its number in its queue when it was appended, 0 for none.

    :ivar upload: its body.
    """

    __slots__ = ("_asked", "_effects", "bytesFreed", "flags", "queue", "upload")

    def __init__(
        self, client: Client, asked: SetRequest, flags: int, upload: Upload
    ) -> None:
        super().__init__(client)
        self.bytesFreed = 0
        self.queue = asked.queue
        self._asked = asked
        self.flags = flags
        self.upload = upload
        self._effects = Effects()

    @property
    def size(self) -> int:
        """Return the bytes of the body."""
        return self.upload.size

    @property
    def delay(self) -> int:
        """Return the seconds until it can be seen."""
        return self._asked.delay

    def run(self, store: IQueueStore) -> int:
        """Append it, if its body could be kept and no queue refuses it."""
        client, upload = self.client, self.upload
        effects = self._effects = Effects()
        if upload.error is not None:
            self.result = upload.error
            return 0
        places = zip(upload.queues, upload.bodies(), strict=True)
        self.result = route(store, client, self._asked, self.flags, places, effects)
        if isinstance(self.result, NotStored):
            client.refused(self.result)
        self.bytesFreed = effects.bytesFreed
        return effects.cost

    def undo(self) -> None:
        """Forget what it did."""
        if isinstance(self.result, NotStored):
            self.client.unrefused(self.result)
        super().undo()
        self._effects = Effects()

    def madeVisible(self) -> Iterable[tuple[bytes, int]]:
        """Tell where it was appended."""
        return self._effects.shown.items()

    def release(self) -> None:
        """Let the parts go of what was dropped, and those that no message has."""
        client, effects = self.client, self._effects
        if isinstance(self.result, QueueError):
            client.release(self.upload)
        else:
            effects.dropped += [
                body for body in self.upload.bodies() if body not in effects.used
            ]
        for large in effects.dropped:
            client.release(large)

    abandon = release


class Release(Operation):
    """Let the parts of a body go that nobody will ask for."""

    __slots__ = ("body",)

    def __init__(self, client: Client, body: Upload | LargeBody) -> None:
        """Remember which; those of an upload may not be kept yet."""
        super().__init__(client)
        self.body = body

    def run(self, store: IQueueStore) -> int:
        """Let them go."""
        body = self.body
        for id in body.ids if isinstance(body, Upload) else [body.id]:
            store.release(id)
        return 0
