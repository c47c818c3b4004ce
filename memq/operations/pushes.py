"""Sets that are more than appending: to queues with rules, and those with a delay.

What becomes of each message, :mod:`memq.operations.routing` decides when the operation
runs.

The queues that a body in parts goes to are fixed when its first part comes: it is kept
once for each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.errors import NotStored, QueueError
from memq.operations.base import MESSAGE_COST, Operation, Push, PushLarge, Upload
from memq.operations.routing import Asked, Effects, land, reached

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from memq.interfaces import IQueueStore
    from memq.operations.base import Client


class RuledPush(Push):
    """Append messages as plans have it, all of one queue and of one kind.

    :ivar asked: what is said of each of them.
    """

    __slots__ = ("_effects", "asked")

    def __init__(
        self, session: Client, asked: Asked, flags: int, body: bytes, noreply: bool
    ) -> None:
        """Take over a message."""
        super().__init__(session, asked.queue, flags, body, noreply)
        self.asked = asked
        #: None when they were appended as to any queue.
        self._effects: Effects | None = None

    def run(self, store: IQueueStore) -> int:
        """Append them, or some; refuse the others."""
        plans, asked = self.session.plans, self.asked
        if not asked.delay and plans.of(asked.queue) is None:
            return super().run(store)
        effects = self._effects = Effects()
        queues = reached(plans, asked.queue)
        self.results = [
            land(
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
        self.gain = effects.gain
        return effects.cost

    def _refusals(self) -> list[NotStored]:
        return [each for each in self.results if isinstance(each, NotStored)]

    def apart(self) -> Iterator[Operation]:
        """Yield a push for each message, and take over what came of it."""
        results: list[int | QueueError] = []
        effects = Effects()
        self.results, self._effects = results, effects
        for flags, body in self.messages:
            one = RuledPush(self.session, self.asked, flags, body, self.noreply)
            yield one
            results += one.results
            effects.shown.update(dict(one.shown()))
            if one._effects is not None:
                effects.dropped += one._effects.dropped

    def undo(self) -> None:
        """Forget what it did."""
        for refusal in self._refusals():
            self.session.unrefused(refusal)
        super().undo()
        self._effects = None

    def shown(self) -> Iterable[tuple[bytes, int]]:
        """Tell how many were appended where."""
        effects = self._effects
        return super().shown() if effects is None else effects.shown.items()

    def release(self) -> None:
        """Let the parts go of what was dropped: that is told for good now."""
        effects, self._effects = self._effects, None
        if effects is not None:
            for large in effects.dropped:
                self.session.release(large)


class RuledPushLarge(PushLarge):
    """Append a message whose parts are kept, as plans have it."""

    __slots__ = ("_asked", "_effects", "gain")

    def __init__(
        self, session: Client, asked: Asked, flags: int, upload: Upload
    ) -> None:
        """Take over the message."""
        super().__init__(session, asked.queue, flags, upload)
        self.gain = 0
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
        self.result = land(store, session, self._asked, self.flags, places, effects)
        if isinstance(self.result, NotStored):
            session.refused(self.result)
        self.gain = effects.gain
        return effects.cost

    def undo(self) -> None:
        """Forget what it did."""
        if isinstance(self.result, NotStored):
            self.session.unrefused(self.result)
        super().undo()
        self._effects = Effects()

    def shown(self) -> Iterable[tuple[bytes, int]]:
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


class AddQueue(Operation):
    """Make a queue with a limit; the result is whether there was none."""

    __slots__ = ("_limit", "_queue")

    def __init__(self, session: Client, queue: bytes, limit: int) -> None:
        """Remember which."""
        super().__init__(session)
        self._queue = queue
        self._limit = limit

    def run(self, store: IQueueStore) -> int:
        """Make it."""
        self.result = store.setLimit(self._queue, self._limit)
        return MESSAGE_COST if self.result else 0
