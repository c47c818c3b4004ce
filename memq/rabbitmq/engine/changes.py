"""Changes: what is done to queues as a whole, and told to other front ends."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from memq.errors import QueueError
from memq.operations.queues import (
    AddQueue,
    Delete,
    Empty,
    EmptyAll,
    Pause,
    Resume,
)
from memq.rabbitmq.asking.base import nameOf
from memq.rabbitmq.figures.counts import TAKEN
from memq.rabbitmq.shared.pauses import DELETED, DELETING, EMPTIED

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.operations.base import Operation
    from memq.rabbitmq.asking.queues import Queues
    from memq.rabbitmq.asking.spread import SpreadGets, SpreadOpenReads
    from memq.rabbitmq.course import Steps
    from memq.rabbitmq.engine.sets import Publisher
    from memq.rabbitmq.engine.view import View
    from memq.rabbitmq.figures.told import Tellers
    from memq.rabbitmq.shared.pauses import Pauses


class Changes:
    """Carries them out.

    :ivar of: how each is asked of the cluster; what is answered is in a view then,
        unless an error is returned.
    """

    def __init__(
        self,
        publisher: Publisher,
        gets: SpreadGets,
        openReads: SpreadOpenReads,
        queues: Queues,
        pauses: Pauses,
        tellers: Tellers,
    ) -> None:
        """Begin with none."""
        self._publisher = publisher
        self._gets = gets
        self._openReads = openReads
        self._queues = queues
        self._pauses = pauses
        self._tellers = tellers
        self.of: dict[type[Operation], Callable[[Any, View], Steps]] = {
            AddQueue: self._add,
            Delete: self._delete,
            Empty: self._empty,
            EmptyAll: self._emptyAll,
            Pause: self._pause,
            Resume: self._resume,
        }

    def heard(self, kind: str, queue: bytes) -> None:
        """Take note of what is done, here or by another front end."""
        name = nameOf(queue).queue
        if kind in (DELETED, EMPTIED):
            self._publisher.emptied(name)
        if kind == DELETING:
            self._publisher.expectDelete(name)
            self._gets.hold(queue)
            self._openReads.hold(queue)
        if kind == DELETED:
            self._publisher.forget(name)
            self._gets.over(queue)
            self._openReads.over(queue)
            self._tellers.counts.forget(queue)
            self._tellers.looks.changed()

    def _add(self, operation: AddQueue, view: View) -> Steps:
        queue, limit = operation.queue, operation.limit
        isNew = yield partial(self._publisher.make, nameOf(queue), limit)
        if isinstance(isNew, QueueError):
            return isNew
        view.answers = {queue: 0 if isNew else None}
        return None

    def _pause(self, operation: Pause, view: View) -> Steps:
        queue = operation.queue
        isNew = yield partial(self._publisher.make, nameOf(queue), 0)
        if isinstance(isNew, QueueError):
            return isNew
        self._gets.isThere(queue)
        return (yield partial(self._pauses.pause, queue, operation.bits))

    def _resume(self, operation: Resume, view: View) -> Steps:
        queue = operation.queue
        found = yield partial(self._queues.length, queue)
        if isinstance(found, QueueError):
            return found
        view.answers = {queue: found}
        return (yield partial(self._pauses.resume, queue))

    def _delete(self, operation: Delete, view: View) -> Steps:
        queue = operation.queue
        name = nameOf(queue).queue
        yield partial(self._pauses.deleting, queue)
        yield partial(self._publisher.beginDelete, name)
        found = yield partial(self._queues.delete, queue)
        self._publisher.endDelete(name)
        self.heard(DELETED, queue)
        if isinstance(found, QueueError):
            return found
        view.answers = {queue: found}
        # There may be a pause without a queue: of one that was deleted otherwise.
        return (yield partial(self._pauses.deleted, queue))

    def _empty(self, operation: Empty, view: View) -> Steps:
        return (yield from self._emptyOne(operation.queue, view))

    def _emptyOne(self, queue: bytes, view: View) -> Steps:
        found = yield partial(self._queues.empty, queue)
        if isinstance(found, QueueError):
            return found
        self._pauses.emptied(queue)
        self._tellers.counts.add(TAKEN, queue, found or 0)
        view.answers[queue] = found
        return None

    def _emptyAll(self, operation: EmptyAll, view: View) -> Steps:
        """Empty all queues that there are now, one after the other."""
        names = yield from self._tellers.names()
        if isinstance(names, QueueError):
            return names
        for queue in names:
            error = yield from self._emptyOne(queue, view)
            if error is not None:
                return error
        view.told = self._tellers.named(names)
        return None
