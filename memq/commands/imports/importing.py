"""Importing: the lines of an import become operations, each answered one line.

A connection has one import at a time.  Its chunks are pipelined: when one is refused,
so are all behind it.  What nobody sees of it goes with the connection, or when another
import begins on it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from memq.errors import BadLine, QueueError
from memq.logs.audit import Actor
from memq.operations.imports.chunks import (
    BeginImport,
    DiscardImport,
    ImportOperation,
    PutChunk,
)
from memq.wire.forms import PLAIN
from memq.wire.imports.items import BadItem, unpackItems

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.commands.dialogue import Dialogue
    from memq.wire.imports.grammar import Begin, Put


class Importing:
    """The import of one connection."""

    __slots__ = ("_append", "_last", "_session", "_token")

    def __init__(self, dialogue: Dialogue, command: Begin) -> None:
        """Begin it."""
        self._session = dialogue.session
        self._token = bytes.fromhex(command.token.decode("ascii"))
        self._append = command.append
        self._last: ImportOperation = BeginImport(self._session, self._token)
        self._submit(dialogue, self._last, partial(self._render, dialogue, 0))

    def put(self, dialogue: Dialogue, command: Put) -> None:
        """Import a chunk."""
        size = len(command.chunk.data)
        try:
            items = unpackItems(command.chunk.data)
        except BadItem:
            dialogue.refuse(BadLine(), command.form)
            return
        chunk = PutChunk(self._session, self._token, self._append, items)
        chunk.before, self._last = self._last, chunk
        dialogue.outstanding.load += size
        dialogue.outstanding.report()
        self._submit(dialogue, chunk, partial(self._render, dialogue, size))

    def end(self) -> None:
        """Let go what nobody sees."""
        discard = DiscardImport(self._session, self._token)
        discard.before = self._last
        self._session.submit(discard)

    def _submit(
        self,
        dialogue: Dialogue,
        operation: ImportOperation,
        render: Callable[[ImportOperation], bytes],
    ) -> None:
        self._session.submit(operation)
        dialogue.expect(operation, render)

    def _render(
        self, dialogue: Dialogue, size: int, operation: ImportOperation
    ) -> bytes:
        operation.forgetBefore()
        dialogue.outstanding.load -= size
        result = operation.result
        if isinstance(result, QueueError):
            return dialogue.renderError(result, PLAIN)
        if isinstance(operation, PutChunk) and operation.isLast:
            actor = Actor(dialogue.connection.peer, PLAIN.way)
            token = self._token.hex()
            dialogue.host.audit.note(actor, "import", None, "IMPORTED all", token=token)
        return b"IMPORTED %b\r\n" % result


def begin(dialogue: Dialogue, command: Begin) -> None:
    """Begin an import."""
    connection = dialogue.connection
    if connection.importing is not None:
        connection.importing.end()
    connection.importing = Importing(dialogue, command)


def put(dialogue: Dialogue, command: Put) -> None:
    """Import a chunk."""
    importing = dialogue.connection.importing
    if isinstance(importing, Importing):
        importing.put(dialogue, command)
    else:
        dialogue.refuse(BadLine(), command.form)
