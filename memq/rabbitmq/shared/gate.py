"""A gate: what an operation has to know of pauses is known before it is carried out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from memq.errors import StoreError
from memq.operations.moves import Move
from memq.operations.openreads.openmany import OpenMany
from memq.operations.openreads.openread import OpenRead
from memq.operations.pops import NamedPop, Pop
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


def _own(operation: Pop | OpenMany) -> Sequence[bytes]:
    return (operation.queue,)


def _parts(operation: Read) -> Sequence[bytes]:
    return [part.queue for part in operation.parts]


def _none(operation: Operation) -> Sequence[bytes]:
    return ()


class Gate:
    """Lets operations through, at once or later."""

    def __init__(self, pauses: Pauses, policies: Policies) -> None:
        """Stand before what asks the cluster."""
        self._pauses = pauses
        self._policies = policies
        #: What returns the queues of which a pause is something to an operation, by
        #: its class.
        self._queues: dict[type[Operation], Callable[[Any], Sequence[bytes]]] = {
            Push: self._reached,
            PushLarge: self._reached,
            Pop: _own,
            NamedPop: _own,
            OpenMany: _own,
            Move: lambda operation: (operation.target,),
        }

    def mayLook(self, part: Read) -> bool:
        """Return whether a read may find something."""
        if part.wait and not self._pauses.knows(part.queue):
            return False
        policy = part.policy()
        if policy is not None and policy.readsArePaused:
            return False
        if not isinstance(part, OpenRead):
            return True
        if part.several:
            return not part.hasMost()
        return not part.client.opened(part.queue)

    def _reached(self, operation: Push | PushLarge) -> Sequence[bytes]:
        return destinations(self._policies, operation.queue)

    def _of(self, operation: Operation) -> Callable[[Any], Sequence[bytes]]:
        """Return what returns the queues of others of its class as well."""
        found = _parts if isinstance(operation, Read) else _none
        self._queues[type(operation)] = found
        return found

    def isOpen(self, operation: Operation) -> bool:
        """Return whether an operation may be carried out at once."""
        queues = self._queues.get(type(operation)) or self._of(operation)
        return all(map(self._pauses.knows, queues(operation)))

    def wait(
        self, operation: Operation, done: Callable[[QueueError | None], object]
    ) -> None:
        """Let one through later that may not be carried out at once.

        :param done: called once, with None or with why it is not carried out.
        """
        knows = self._pauses.knows
        queues = self._queues[type(operation)](operation)
        unknown = {each for each in queues if not knows(each)}
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
        if isinstance(operation, (Push, PushLarge)):
            return Unreachable("the queue servers cannot be reached")
        return StoreError(UNREACHABLE)
