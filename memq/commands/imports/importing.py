"""Importing: the lines of an import become operations, each answered one line.

A connection has one import at a time.  Its chunks are pipelined: when one is refused,
so are all behind it.  What nobody sees of it goes with the connection, or when another
import begins on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.errors import BadLine, QueueError
from memq.operations.imports.chunks import (
    BeginImport,
    DiscardImport,
    ImportOperation,
    PutChunk,
)
from memq.wire.imports.items import BadItem, unpackItems

if TYPE_CHECKING:
    from memq.commands.dialogue import Dialogue
    from memq.wire.forms import Form
    from memq.wire.imports.grammar import Begin, Put


class Importing:
    """The import of one connection."""

    __slots__ = ("_append", "_dialogue", "_last", "_token")

    def __init__(self, dialogue: Dialogue, command: Begin) -> None:
        """Begin it."""
        self._dialogue = dialogue
        self._token = command.token
        self._append = command.append
        self._last: ImportOperation = BeginImport(dialogue.session, command.token)
        self._submit(self._last, command.form, 0)

    def put(self, command: Put) -> None:
        """Import a chunk."""
        dialogue = self._dialogue
        try:
            items = unpackItems(command.chunk.data)
        except BadItem:
            dialogue.refuse(BadLine(), command.form)
            return
        chunk = PutChunk(dialogue.session, self._token, self._append, items)
        chunk.before, self._last = self._last, chunk
        size = len(command.chunk.data)
        dialogue.outstanding.load += size
        dialogue.outstanding.report()
        self._submit(chunk, command.form, size)

    def end(self) -> None:
        """Let go what nobody sees."""
        discard = DiscardImport(self._dialogue.session, self._token)
        discard.before = self._last
        self._dialogue.session.submit(discard)

    def _submit(self, operation: ImportOperation, form: Form, size: int) -> None:
        def render(operation: ImportOperation) -> bytes:
            operation.forgetBefore()
            self._dialogue.outstanding.load -= size
            result = operation.result
            if isinstance(result, QueueError):
                return self._dialogue.renderError(result, form)
            return b"IMPORTED %b\r\n" % result

        self._dialogue.session.submit(operation)
        self._dialogue.expect(operation, render)


def begin(dialogue: Dialogue, command: Begin) -> None:
    """Begin an import."""
    if dialogue.importing is not None:
        dialogue.importing.end()
    dialogue.importing = importing = Importing(dialogue, command)
    dialogue.connection.atEnd = importing.end


def put(dialogue: Dialogue, command: Put) -> None:
    """Import a chunk."""
    if dialogue.importing is None:
        dialogue.refuse(BadLine(), command.form)
    else:
        dialogue.importing.put(command)
