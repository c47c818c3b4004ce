"""Importing: the lines of an import become operations, each answered one line.

A connection has one import at a time.  Its chunks are pipelined: when one is refused,
so are all behind it.  What nobody sees of it goes with the connection, or when another
import begins on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.connection.interfaces import Witness
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
    from memq.commands.dialogue import Dialogue
    from memq.operations.base import Operation
    from memq.wire.imports.grammar import Begin, Put


class Importing:
    """The import of one connection."""

    __slots__ = ("_append", "_last", "_session", "_token", "isRefused")

    def __init__(self, dialogue: Dialogue, command: Begin) -> None:
        """Begin it."""
        self._session = dialogue.session
        self._token = bytes.fromhex(command.token.decode("ascii"))
        self._append = command.append
        #: Whether the audit has the first refusal: those behind it are the same.
        self.isRefused = False
        self._last: ImportOperation = BeginImport(self._session, self._token)
        self._submit(dialogue, self._last, 0)

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
        self._submit(dialogue, chunk, size)

    def end(self) -> None:
        """Let go what nobody sees."""
        discard = DiscardImport(self._session, self._token)
        discard.before = self._last
        self._session.submit(discard)

    def _submit(
        self, dialogue: Dialogue, operation: ImportOperation, size: int
    ) -> None:
        self._session.submit(operation)
        dialogue.expect(operation, _Reply(dialogue, self, self._token, size))


class _Reply(Witness):
    """The reply to a line, which tells the audit of the end of an import.

    The end is the last chunk, or the first one that is refused.
    """

    __slots__ = ("_dialogue", "_importing", "_size", "_token")

    def __init__(
        self, dialogue: Dialogue, importing: Importing, token: bytes, size: int
    ) -> None:
        self._dialogue, self._importing = dialogue, importing
        self._token = token
        self._size = size

    def __call__(self, operation: ImportOperation) -> bytes:
        """Make the reply."""
        operation.forgetBefore()
        self._dialogue.outstanding.load -= self._size
        result = operation.result
        self._note(operation)
        if isinstance(result, QueueError):
            return self._dialogue.renderError(result, PLAIN)
        return b"IMPORTED %b\r\n" % result

    def abandon(self, operation: Operation) -> None:
        """Note the end, of which nobody hears."""
        self._note(operation)

    def look(self, operation: Operation) -> None:
        """Do nothing: its client reads, or is no import."""

    def _note(self, operation: Operation) -> None:
        result, error = operation.result, None
        chunk = operation if isinstance(operation, PutChunk) else None
        if isinstance(result, QueueError):
            wasRefused, self._importing.isRefused = self._importing.isRefused, True
            if wasRefused or chunk is None:
                # It is told already; of the begin its own line tells.
                return
            error = PLAIN.error(result).decode("utf-8", "backslashreplace").rstrip()
        elif result is None or chunk is None or not chunk.isLast:
            return
        connection = self._dialogue.connection
        actor = Actor(connection.peer, PLAIN.way, connection.userName)
        self._dialogue.host.audit.note(
            *(actor, "import", None, error or "IMPORTED all"),
            error=error,
            token=self._token.hex(),
        )


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
