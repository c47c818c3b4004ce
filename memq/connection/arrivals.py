"""Arrivals: the answers to a client that sends no more, until they have arrived.

Such a client waits for its answers, or it is gone: over TCP both look the same until
something is sent to it.  If it is gone, its system resets the connection then, and what
that did not acknowledge was not read.  So each message that is sent from then on is
remembered until it is acknowledged, or goes back.

Measured on Linux; the client, and what the server sees:

- closed, and is sent something: a reset; TIOCOUTQ still tells how many bytes were not
  acknowledged, until the socket is closed here;
- closed with bytes unread: a reset; what it had not read counts as acknowledged;
- reads to the end: TCP_INFO's state is "closed" once our own FIN is acknowledged;
- is sent nothing: nothing, until its system forgets the connection (60 s);
- closed a UNIX socket: EPOLLHUP at once; EPOLLRDHUP alone when it only sends no more.

So when all is written, the writing side is shut down, and the socket is watched until
its state is "closed".  A client that has read a message, whose system held back the
acknowledgement (40 ms at most), and that closes before the next one comes, makes the
message be given out again.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from memq.message import Message
from memq.operations.base import Operation
from memq.operations.pops import Pop
from memq.operations.reads import Read, Taken

if TYPE_CHECKING:
    from memq.connection.interfaces import Render, Source, ValueInParts


class Answering(Protocol):
    """The replies of a client, as far as its arrivals know them."""

    queue: deque[tuple[Operation, Render]]
    sending: ValueInParts | None


class Held:
    """The source of a body in parts, all of which are written before they arrive."""

    __slots__ = ("_leaving", "_source", "damaged", "unsent")

    def __init__(self, source: Source, leaving: list[Source]) -> None:
        """Take the place of a source.

        :param leaving: gets it when the last part is written.
        """
        self._source = source
        self._leaving = leaving
        self.damaged = source.damaged
        self.unsent = source.unsent

    def sent(self) -> None:
        """Note that all of it is written."""
        self._source.leaves()
        self._leaving.append(self._source)


class Arrivals(deque[tuple[Operation, "Render"]]):
    """Replies, in order, that note where in the stream each message ends.

    :ivar isFinishing: whether everything is written.
    :ivar unarrived: of the bytes that are rendered, the messages that may come back,
        each with its end.
    """

    def __init__(self, replies: Answering, transport: Any) -> None:
        """Take the place of what is to be answered.

        Nothing that was sent before is waited for.
        """
        super().__init__(replies.queue)
        self._replies = replies
        self._transport = transport
        #: The bytes rendered so far.
        self._position = 0
        self.unarrived: deque[tuple[int, Source]] = deque()
        #: Bodies whose last part is being rendered.
        self._leaving: list[Source] = []
        self.isFinishing = False
        self._hold()

    def _hold(self) -> None:
        """Hear of the end of a body that is sent in parts, if there is one."""
        value = self._replies.sending
        if value is not None:
            self._position += value.left
            value.source = Held(value.source, self._leaving)

    def popleft(self) -> tuple[Operation, Render]:
        """Return the next reply, of one message; its render notes what it is."""
        operation, render = super().popleft()
        if isinstance(operation, Pop) and operation.most > 1:
            self.appendleft((operation.after(1), render))
            operation = operation.first()
        return operation, partial(self._render, render)

    def _render(self, render: Render, operation: Operation) -> bytes:
        reply = render(operation)
        self._position += len(reply)
        for source in self._leaving:
            self.unarrived.append((self._position, source))
        self._leaving.clear()
        if self._replies.sending is not None:
            self._hold()
        elif reply:
            found = _sourceOf(operation)
            if found is not None:
                self.unarrived.append((self._position, found))
        return reply

    def look(self) -> bool:
        """Forget what has arrived; return whether all has that was written.

        All that is rendered has to be written.
        """
        value = self._replies.sending
        left = 0 if value is None else value.left
        arrived = self._position - left - self._transport.unacknowledged()
        unarrived = self.unarrived
        while unarrived and unarrived[0][0] <= arrived:
            unarrived.popleft()[1].arrived()
        return not unarrived

    def settle(self) -> None:
        """Give back what has not arrived: the connection has ended."""
        self.look()
        while self.unarrived:
            self.unarrived.popleft()[1].lost()

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
        return any(source.queue == queue for _, source in self.unarrived)


def _sourceOf(operation: Operation) -> Source | None:
    """Return what a reply's message came from, if it has one."""
    if isinstance(operation, Read):
        return operation.source if operation.message is not None else None
    if isinstance(operation, Pop) and isinstance(operation.results[0], Message):
        return Taken(operation.client, operation.queue, operation.results[0])
    return None
