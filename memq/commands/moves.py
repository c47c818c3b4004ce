"""Moves of messages between queues: move and redrive, answered once, with how many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.errors import QueueError
from memq.operations.moves import Move, MoveCut, Redrive

if TYPE_CHECKING:
    from memq.commands.dialogue import Dialogue
    from memq.wire import extensions as dialect
    from memq.wire.forms import Form


class Moved:
    """The reply to a move, which adds up what its slices have moved."""

    __slots__ = ("_count", "_dialogue", "_form")

    def __init__(self, dialogue: Dialogue, moving: Move | Redrive, form: Form) -> None:
        self._dialogue = dialogue
        self._form = form
        self._count = 0
        dialogue.session.submit(moving)
        dialogue.expect(moving, self._render)

    def _render(self, part: Move | Redrive) -> bytes:
        """Return the reply, or nothing while more is to move."""
        result: int | QueueError = part.result
        if isinstance(result, QueueError):
            return self._dialogue.renderError(result, self._form)
        self._count += result
        rest = part.follow()
        if rest is not None:
            self._dialogue.goOn(rest, self._render)
            return b""
        if part.isCut:
            return self._dialogue.renderError(MoveCut(self._count), self._form)
        if part.refusal is not None and not self._count:
            return self._dialogue.renderError(part.refusal, self._form)
        return self._form.moved(self._count)


def move(dialogue: Dialogue, command: dialect.Move) -> None:
    """Move messages to the end of another queue."""
    queue, target, most, form = command
    Moved(dialogue, Move(dialogue.session, queue, target, most), form)


def redrive(dialogue: Dialogue, command: dialect.Redrive) -> None:
    """Move dead letters to the ends of their first queues."""
    queue, most, form = command
    Moved(dialogue, Redrive(dialogue.session, queue, most), form)
