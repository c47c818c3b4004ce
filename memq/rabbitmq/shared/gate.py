"""A gate: what an operation has to know of pauses is known before it is carried out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from memq.errors import StoreError
from memq.operations.moves import Move
from memq.operations.openreads.openmany import OpenMany
from memq.operations.pops import Pop
from memq.operations.pushes import Push, PushLarge
from memq.operations.reads import Read
from memq.operations.routing import destinations
from memq.rabbitmq.asking.base import UNREACHABLE
from memq.rabbitmq.errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memq.errors import QueueError
    from memq.operations.base import Operation
    from memq.policy.effective import Policies
    from memq.rabbitmq.shared.pauses import Pauses

_SETS = Push, PushLarge


class Gate:
    """Lets operations through, at once or later."""

    def __init__(self, pauses: Pauses, policies: Policies) -> None:
        """Stand before what asks the cluster."""
        self._pauses = pauses
        self._policies = policies

    def _queues(self, operation: Any) -> Sequence[bytes]:
        """Return those of which a pause is something to an operation."""
        if isinstance(operation, _SETS):
            return destinations(self._policies, operation.queue)
        if isinstance(operation, Read):
            return [part.queue for part in operation.parts]
        if isinstance(operation, Move):
            return [operation.target]
        return [operation.queue] if isinstance(operation, (Pop, OpenMany)) else ()

    def pass_(
        self, operation: Operation, done: Callable[[QueueError | None], object]
    ) -> None:
        """Let an operation through.

        :param done: called once, with None or with why it is not carried out.
        """
        knows = self._pauses.knows
        unknown = {each for each in self._queues(operation) if not knows(each)}
        if not unknown:
            done(None)
            return
        error: QueueError | None = None

        def _cbKnown(queue: bytes, found: QueueError | None) -> None:
            nonlocal error
            error = error or found
            unknown.remove(queue)
            if not unknown:
                done(error and self._refusal(operation))

        for queue in list(unknown):
            self._pauses.look(queue, partial(_cbKnown, queue))

    @staticmethod
    def _refusal(operation: Operation) -> QueueError:
        if isinstance(operation, _SETS):
            return Unreachable("the queue servers cannot be reached")
        return StoreError(UNREACHABLE)
