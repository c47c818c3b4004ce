"""Peek: the next messages of a queue are shown, and stay where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.errors import QueueError
from memq.message import PART_SIZE
from memq.operations.peeks import Peeked, PeekMany, Shown

if TYPE_CHECKING:
    from memq.commands.dialogue import Dialogue
    from memq.wire.extensions import Peek as Command

#: Bodies that are not in parts are shown; how fast, the client says who reads them.
_SHOWN = Shown(PART_SIZE, 1 << 62)


class _Reply:
    """The reply to a peek: VALUE blocks, and then END or the first error."""

    def __init__(self, dialogue: Dialogue, command: Command) -> None:
        self._dialogue = dialogue
        self._queue = command.queue
        self._form = command.form
        self._error: QueueError | None = None

    def render(self, look: PeekMany) -> bytes:
        """Return the blocks of a slice, and the end behind the last one."""
        look.settle()
        if isinstance(look.result, QueueError):
            self._error = self._error or look.result
            return self._end()
        blocks = [self._block(each) for each in look.result]
        rest = look.follow()
        if rest is None:
            blocks.append(self._end())
        else:
            self._dialogue.goOn(rest, self.render)
        return b"".join(blocks)

    def _block(self, found: Peeked | QueueError) -> bytes:
        if isinstance(found, QueueError):
            # It is set aside when it is taken.
            self._error = self._error or found
            return b""
        message = found.message
        body = found.body if len(found.body) == found.size else None
        number = message.sequence
        return self._form.copy(self._queue, message.flags, body, found.size, number)

    def _end(self) -> bytes:
        if self._error is None:
            return self._form.none
        return self._dialogue.renderError(self._error, self._form)


def peek(dialogue: Dialogue, command: Command) -> None:
    """Look at the next messages of a queue."""
    look = PeekMany(dialogue.session, command.queue, command.most, _SHOWN)
    dialogue.session.submit(look)
    dialogue.expect(look, _Reply(dialogue, command).render)
