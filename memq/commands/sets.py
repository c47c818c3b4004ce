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
    from memq.commands.dialogue import Dialogue
    from memq.wire.extensions import Add


def _asked(command: wire.Set) -> SetRequest:
    return SetRequest(command.queue, command.exptime, command.delay)


class Writer:
    """Carry out such commands of a connection."""

    __slots__ = ("_dialogue",)

    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue

    def set(self, command: wire.Set, body: bytes) -> None:
        """Append a message."""
        dialogue = self._dialogue
        asked = _asked(command)
        replies = dialogue.replies
        last = replies.pushes
        if (
            type(last) is RuledPush
            and last.asked == asked
            and last.noreply is command.noreply
            and len(last.messages) < JOINED
        ):
            last.messages.append((command.flags, body))
            last.size += command.size
            replies.joined(command.size)
            return
        session = dialogue.session
        push = RuledPush(session, asked, command.flags, body, command.noreply)
        session.submitPush(push)
        dialogue.outstanding.load += push.size
        replies.expect(push, self._renderPush)
        # Plain sets join what is there without a look at its kind.  And where rules
        # make one set many, that is enough for an operation.
        policies = session.policies
        if policies.isActive and policies.of(command.queue) is None and not push.done:
            replies.pushes = push

    def begin(self, command: wire.Set) -> Upload:
        """Return what is to have a body in parts."""
        return Upload(destinations(self._dialogue.session.policies, command.queue))

    def setInParts(self, command: wire.Set, upload: Upload) -> None:
        """Append the message whose parts are kept."""
        session = self._dialogue.session
        push = RuledPushLarge(session, _asked(command), command.flags, upload)
        session.submit(push)
        render = self._ignoreLarge if command.noreply else self._renderLarge
        self._dialogue.expect(push, render)

    def add(self, command: Add, body: bytes, complete: bool) -> None:
        """Make a queue with a limit."""
        dialogue = self._dialogue
        session = dialogue.session
        limit = parseLimit(body)
        if not complete:
            dialogue.refuse(BadChunk(), command.noreply)
        elif limit is None:
            dialogue.refuse(NotANumber(), command.noreply)
        elif session.isFull:
            dialogue.refuse(OutOfSpace(), command.noreply)
        else:
            if limit:
                session.policies.activate()
            operation = AddQueue(session, command.queue, limit)
            session.submit(operation)
            render = dialogue.renderNothing if command.noreply else self._renderAdd
            dialogue.expect(operation, render)

    def _renderPush(self, push: RuledPush) -> bytes:
        push.release()
        return self._dialogue.renderPush(push)

    def _renderLarge(self, push: RuledPushLarge) -> bytes:
        push.release()
        return self._dialogue.renderStored(push)

    def _ignoreLarge(self, push: RuledPushLarge) -> bytes:
        self._renderLarge(push)
        return b""

    def _renderAdd(self, operation: AddQueue) -> bytes:
        if isinstance(operation.result, QueueError):
            return self._dialogue.renderError(operation.result)
        return wire.STORED if operation.result else wire.NOT_STORED
