"""Sets: each runs at once, and what it has set is sent to the cluster then."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from memq.errors import NotStored, QueueError, Refusing
from memq.operations.pushes import Push, PushLarge
from memq.rabbitmq import names
from memq.rabbitmq.asking.base import nameOf

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.operations.base import Operation
    from memq.policy.effective import Policies
    from memq.rabbitmq.engine.view import Put, View


class Publisher(Protocol):
    """Sets messages."""

    @property
    def isBlocked(self) -> bool:
        """Whether the nodes take no messages for now."""

    @property
    def unconfirmed(self) -> int:
        """How many messages are not told yet."""

    def publish(
        self,
        name: names.Name,
        body: bytes,
        headers: dict[str, Any] | None,
        told: Callable[[QueueError | None], object],
        expiration: str | None = None,
        delay: int = 0,
        *,
        makes: bool = True,
        spent: float = 0.0,
    ) -> object:
        """Set a message; ``told`` is called once, with None when a majority has it."""

    def make(self, name: names.Name, limit: int, told: Callable[[Any], object]) -> None:
        """Make a queue; ``told`` is called with whether it is new, or with an error."""

    def beginDelete(self, queue: str, ready: Callable[[Any], object]) -> object:
        """Hold what is set to a queue that is to be deleted from here."""

    def expectDelete(self, queue: str) -> object:
        """Hold what is set to a queue that some front end is about to delete."""

    def endDelete(self, queue: str) -> object:
        """Note that this is answered."""

    def forget(self, queue: str) -> object:
        """Note that a queue was deleted."""

    def emptied(self, queue: str) -> object:
        """Note that a queue has room again."""


class Sets:
    """Carries out sets.

    :ivar isSet: is told of each queue that was set to.
    """

    def __init__(
        self,
        publisher: Publisher,
        policies: Policies,
        isSet: Callable[[bytes], object],
        failed: Callable[[QueueError], object],
        run: Callable[[Operation, View], object],
        onWay: Callable[[int], object],
    ) -> None:
        """Begin with none.

        :param failed: is told why a message is not told as stored.
        :param run: runs an operation.
        :param onWay: is told how many bytes of large bodies are on their way to the
            cluster more, or fewer.
        """
        self._onWay = onWay
        self._publisher = publisher
        self._policies = policies
        self.isSet = isSet
        self._failed = failed
        self._run = run

    def begin(
        self,
        operation: Push | PushLarge,
        view: View,
        ended: Callable[[], object],
        spent: float = 0.0,
    ) -> None:
        """Run it on a view, and send what it has set.

        :param ended: called once, when all of that is told.
        :param spent: seconds of its time that are over.
        """
        if isinstance(operation, Push):
            view.place = lambda: len(operation.results)
        self._run(operation, view)
        failed = operation.result if isinstance(operation, PushLarge) else None
        puts = [] if isinstance(failed, QueueError) else view.puts
        if not puts:
            ended()
            return
        left = len(puts)
        size = 0
        if isinstance(operation, PushLarge):
            size = sum(len(put.body) for put in puts)
            self._onWay(size)

        def _cbTold(put: Put, error: QueueError | None) -> None:
            nonlocal left
            if error is None:
                self.isSet(put.queue)
            else:
                self.fail(operation, put.place, put.queue, error)
            left -= 1
            if not left:
                if size:
                    self._onWay(-size)
                ended()

        for put in puts:
            self._send(put, operation.delay, partial(_cbTold, put), spent)

    def _send(
        self,
        put: Put,
        delay: int,
        told: Callable[[QueueError | None], object],
        spent: float,
    ) -> None:
        now = self._policies.now()
        # What is delayed has no other time.
        expires = 0 if put.isDelayed else put.expires
        expiration = names.expiration(expires, now)
        headers = names.headers(put.flags, now, expires)
        self._publisher.publish(
            nameOf(put.queue),
            put.body,
            headers,
            told,
            expiration,
            delay if put.isDelayed else 0,
            spent=spent,
        )

    def fail(
        self, operation: Push | PushLarge, place: int, queue: bytes, error: QueueError
    ) -> None:
        """Note that a message is not set, in this queue at least.

        :param place: which of the operation's it is, counted from 0.
        """
        if isinstance(error, NotStored):
            error = NotStored(operation.queue, queue, Refusing.FULL)
            operation.client.refused(error)
        else:
            self._failed(error)
        if isinstance(operation, PushLarge):
            operation.result = error
            return
        results = list(operation.results)
        results[place] = error
        operation.results = results
