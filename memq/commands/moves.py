"""Moves of messages between queues: move and redrive, answered once, with how many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.errors import QueueError
from memq.operations.moves import Move, Redrive
from memq.wire import text as wire

if TYPE_CHECKING:
    from memq.commands.dialogue import Dialogue
    from memq.wire import extensions as dialect


class Moved:
    """The reply to a move, which adds up what its slices have moved."""

    __slots__ = ("_count", "_dialogue")

    def __init__(self, dialogue: Dialogue, moving: Move | Redrive) -> None:
        self._dialogue = dialogue
        self._count = 0
        dialogue.session.submit(moving)
        dialogue.expect(moving, self._render)

    def _render(self, part: Move | Redrive) -> bytes:
        """Return the reply, or nothing while more is to move."""
        result: int | QueueError = part.result
        if isinstance(result, QueueError):
            return self._dialogue.renderError(result)
        self._count += result
        rest = part.follow()
        if rest is not None:
            self._dialogue.goOn(rest, self._render)
            return b""
        if part.refusal is not None and not self._count:
            return self._dialogue.renderError(part.refusal)
        return wire.formatMoved(self._count)


def move(dialogue: Dialogue, command: dialect.Move) -> None:
    """Move messages to the end of another queue."""
    _, target, most = command
    Moved(dialogue, Move(dialogue.session, command.queue, target, most))


def redrive(dialogue: Dialogue, command: dialect.Redrive) -> None:
    """Move dead letters to the ends of their first queues."""
    Moved(dialogue, Redrive(dialogue.session, command.queue, command.most))
