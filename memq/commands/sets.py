"""Sets that are more than appending, and adds: a command becomes operations.

Sets that come in one packet, one behind the other, become one operation here as well,
if they say the same of their messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.errors import BadChunk, NotANumber, OutOfSpace, QueueError
from memq.operations.base import JOINED, Upload
from memq.operations.pushes import RuledPush, RuledPushLarge
from memq.operations.queues import AddQueue
from memq.operations.routing import SetRequest, destinations
from memq.wire import text as wire
from memq.wire.extensions import parseLimit

if TYPE_CHECKING:
    from memq.commands.protocol import QueueProtocol
    from memq.operations.base import Operation
    from memq.wire.extensions import Add


def _asked(command: wire.Set) -> SetRequest:
    return SetRequest(command.queue, command.exptime, command.delay)


class Writer:
    """Carry out such commands of a connection."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: QueueProtocol) -> None:
        self._protocol = protocol

    def set(self, command: wire.Set, body: bytes) -> None:
        """Append a message."""
        protocol = self._protocol
        asked = _asked(command)
        last = protocol.pushes
        if (
            type(last) is RuledPush
            and last.asked == asked
            and last.noreply is command.noreply
            and len(last.messages) < JOINED
        ):
            last.messages.append((command.flags, body))
            last.size += command.size
            protocol.joined(command.size)
            return
        session = protocol.session
        push = RuledPush(session, asked, command.flags, body, command.noreply)
        session.submitPush(push)
        protocol.expectPush(push, self._renderPush)
        # Plain sets join what is there without a look at its kind.  And where rules
        # make one set many, that is enough for an operation.
        policies = session.policies
        if policies.isActive and policies.of(command.queue) is None and not push.done:
            protocol.pushes = push

    def begin(self, command: wire.Set) -> Upload:
        """Return what is to have a body in parts."""
        return Upload(destinations(self._protocol.session.policies, command.queue))

    def setInParts(self, command: wire.Set, upload: Upload) -> None:
        """Append the message whose parts are kept."""
        session = self._protocol.session
        push = RuledPushLarge(session, _asked(command), command.flags, upload)
        session.submit(push)
        render = self._ignoreLarge if command.noreply else self._renderLarge
        self._protocol.expect(push, render)

    def add(self, command: Add, body: bytes, complete: bool) -> None:
        """Make a queue with a limit."""
        protocol = self._protocol
        session = protocol.session
        limit = parseLimit(body)
        if not complete:
            protocol.refuse(BadChunk(), command.noreply)
        elif limit is None:
            protocol.refuse(NotANumber(), command.noreply)
        elif session.isFull:
            protocol.refuse(OutOfSpace(), command.noreply)
        else:
            if limit:
                session.policies.activate()
            operation = AddQueue(session, command.queue, limit)
            session.submit(operation)
            render = protocol.renderNothing if command.noreply else self._renderAdd
            protocol.expect(operation, render)

    def _renderPush(self, push: RuledPush) -> bytes:
        push.release()
        return self._protocol.renderPush(push)

    def _renderLarge(self, push: RuledPushLarge) -> bytes:
        push.release()
        return self._renderStored(push)

    def _ignoreLarge(self, push: RuledPushLarge) -> bytes:
        self._renderLarge(push)
        return b""

    def _renderStored(self, operation: Operation) -> bytes:
        if isinstance(operation.result, QueueError):
            return self._protocol.renderRefused(operation.result)
        self._protocol.factory.statistics.setHits += 1
        return wire.STORED

    def _renderAdd(self, operation: AddQueue) -> bytes:
        if isinstance(operation.result, QueueError):
            return self._protocol.renderError(operation.result)
        return wire.STORED if operation.result else wire.NOT_STORED
