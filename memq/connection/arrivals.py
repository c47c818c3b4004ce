"""Arrivals: what a client that sends no more is answered, until it has arrived.

Such a client waits for its answers, or it is gone: over TCP both look the same until
something is sent to it.  One that is gone resets the connection then, and what its
system did not acknowledge was not read.  So each message that is sent from then on is
remembered until it is acknowledged, or goes back.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from memq.connection.pieces import Held
from memq.message import Message
from memq.operations.base import Operation
from memq.operations.pops import Pop
from memq.operations.reads import Read, Taken

if TYPE_CHECKING:
    from memq.connection.pieces import Render, Source, ValueInParts


class Answering(Protocol):
    """A connection, as far as its arrivals know it."""

    @property
    def transport(self) -> Any:
        """Return what its replies are written to."""

    @property
    def replies(self) -> deque[tuple[Operation, Render]]:
        """Return what is to be answered, in order."""

    @property
    def sending(self) -> ValueInParts | None:
        """Return the message whose body is being sent in parts."""


class Arrivals(deque[tuple[Operation, "Render"]]):
    """Replies, in order, that note where in the stream each message ends.

    :ivar isFinishing: whether everything is written.
    """

    def __init__(self, connection: Answering) -> None:
        """Take the place of a connection's replies.

        What was sent before is not waited for.
        """
        super().__init__(connection.replies)
        self._connection = connection
        self._transport: Any = connection.transport
        #: The bytes rendered so far, and of those the messages that may come back, each
        #: with its end.
        self._position = 0
        self._sent: deque[tuple[int, Source]] = deque()
        #: Bodies whose last part is being rendered.
        self._leaving: list[Source] = []
        self.isFinishing = False
        self._hold()

    def _hold(self) -> None:
        """Hear of the end of a body that is sent in parts, if there is one."""
        value = self._connection.sending
        if value is not None:
            self._position += value.left
            value.source = Held(value.source, self._leaving)

    def popleft(self) -> tuple[Operation, Render]:
        """Return the next reply, of one message; its render notes what it is."""
        operation, render = super().popleft()
        if not operation.done:
            return operation, render
        if isinstance(operation, Pop) and operation.most > 1:
            self.appendleft((operation.after(1), render))
            operation = operation.first()
        return operation, partial(self._render, render)

    def _render(self, render: Render, operation: Operation) -> bytes:
        reply = render(operation)
        self._position += len(reply)
        for source in self._leaving:
            self._sent.append((self._position, source))
        self._leaving.clear()
        if self._connection.sending is not None:
            self._hold()
        elif reply:
            found = _sourceOf(operation)
            if found is not None:
                self._sent.append((self._position, found))
        return reply

    def look(self) -> bool:
        """Forget what has arrived; return whether all has that was written.

        All that is rendered has to be written.
        """
        value = self._connection.sending
        left = 0 if value is None else value.left
        arrived = self._position - left - self._transport.unacknowledged()
        sent = self._sent
        while sent and sent[0][0] <= arrived:
            sent.popleft()[1].arrived()
        return not sent

    def settle(self) -> None:
        """Give back what has not arrived: the connection has ended."""
        self.look()
        while self._sent:
            self._sent.popleft()[1].lost()

    def finish(self) -> bool:
        """Return whether nothing is to be waited for; begin to wait if there is."""
        if self.isFinishing:
            return False
        self.isFinishing = not self.look()
        if self.isFinishing:
            self._transport.unregisterProducer()
            self._transport.finishWriting()
        return not self.isFinishing

    def holds(self, queue: bytes) -> bool:
        """Return whether a message that was sent may go back to a queue."""
        return any(source.queue == queue for _, source in self._sent)


def _sourceOf(operation: Operation) -> Source | None:
    """Return what a reply's message came from, if it has one."""
    if isinstance(operation, Read):
        return operation if operation.message is not None else None
    if isinstance(operation, Pop) and isinstance(operation.results[0], Message):
        return Taken(operation.session, operation.queue, operation.results[0])
    return None
