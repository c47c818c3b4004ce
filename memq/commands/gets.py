"""Gets with options: a command becomes operations, what they find a reply.

The key stands in the reply as it was asked for, options included, since that is where
clients look for their answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.broker.waiting.anyread import AnyRead
from memq.commands.largevalues import renderValue
from memq.errors import QueueError
from memq.operations.openreads.aborts import AbortRead
from memq.operations.openreads.closes import CloseRead
from memq.operations.openreads.openread import OpenRead
from memq.operations.reads import Peek, Read, Take, Waits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memq.broker.session import Session
    from memq.commands.dialogue import Dialogue
    from memq.operations.base import Operation, Slice
    from memq.wire.extensions import Read as Command


def _asked(session: Session, command: Command, after: CloseRead | None = None) -> Read:
    """Return the read that a command asks for.

    :param after: what it closes before.
    """
    queue, wait = command.queue, (command.wait or 0) / 1000
    if command.open:
        return OpenRead(session, queue, wait, after=after, several=command.more)
    return (Peek if command.peek else Take)(session, queue, wait)


class Reader:
    """The reply to one command."""

    __slots__ = ("_command", "_dialogue", "_ended", "_form")

    def __init__(self, dialogue: Dialogue, command: Command) -> None:
        self._dialogue = dialogue
        self._command = command
        self._form = command.form
        self._ended = 0

    def run(self) -> None:
        """Ask for what the command says."""
        command = self._command
        session, queue = self._dialogue.session, command.queue
        if command.abort:
            number, delay = command.number, command.delay
            self._ask(AbortRead(session, queue, number=number, delay=delay))
            return
        closing = None
        if command.close:
            closing = CloseRead(session, queue, number=command.number)
            self._ask(closing)
            if not command.open:
                return
        self._dialogue.statistics.getCommands += 1
        self._ask(_asked(session, command, closing))

    def _ask(self, operation: Read | CloseRead | AbortRead) -> None:
        if isinstance(operation, Read):
            render: Callable[[Any], bytes] = self._renderFound
            operation.describes = self._form.describes
        else:
            render = self._renderEnded
        self._dialogue.session.submit(operation)
        self._dialogue.expect(operation, render)

    def _renderFound(self, read: Read) -> bytes:
        """Return the block of a message, or how a large one begins."""
        found = read.result
        if isinstance(found, QueueError):
            return self._renderError(found)
        if found is None:
            return self._form.none
        reply = renderValue(self._dialogue, self._command.key, found, self._form, read)
        read.seen()
        return reply

    def _renderError(self, error: QueueError) -> bytes:
        return self._dialogue.renderError(error, self._form)

    def _renderEnded(self, operation: CloseRead | AbortRead) -> bytes:
        """Return the reply to closing or aborting; nothing if an open follows."""
        operation.release()
        if self._command.open:
            return b""
        return self._renderRest(operation)

    def _renderRest(self, operation: CloseRead | AbortRead) -> bytes:
        if isinstance(operation.result, QueueError):
            return self._renderError(operation.result)
        self._ended += operation.result
        end = self._form.done if self._ended else self._form.none
        return renderRest(self._dialogue, operation, self._renderEnded, end)


class Line:
    """The reply to several commands of one line: VALUE blocks, then END or an error.

    They are carried out one behind the other, and none behind the first error.
    """

    __slots__ = ("_commands", "_dialogue", "_error", "_form", "_last", "_waits")

    def __init__(self, dialogue: Dialogue, commands: Sequence[Command]) -> None:
        self._dialogue = dialogue
        self._commands = commands
        self._form = commands[0].form
        self._waits = Waits()
        self._last: Read | CloseRead | AbortRead | None = None
        self._error: QueueError | None = None

    def run(self) -> None:
        """Ask for what they say."""
        dialogue = self._dialogue
        for command in self._commands:
            _Word(dialogue, command, self).run()
        dialogue.expect(dialogue.session.answered(b""), self._renderEnd)

    def chain(self, operation: Read | CloseRead | AbortRead) -> None:
        """Let an operation run only if that before it does not fail."""
        operation.previous = self._last
        self._last = operation
        if isinstance(operation, Read):
            operation.waits = self._waits
        else:
            operation.spent = self._waits.spent

    def fail(self, error: QueueError) -> None:
        """Note an error; those behind it fail with the same one."""
        self._error = error

    def _renderEnd(self, operation: Operation) -> bytes:
        if self._error is None:
            return self._form.done
        return self._dialogue.renderError(self._error, self._form)


class First:
    """The reply to a line of which one command is carried out: the first that can be.

    That is one VALUE block at most, with the key as it was asked for, and END.
    """

    __slots__ = ("_commands", "_dialogue", "_form")

    def __init__(self, dialogue: Dialogue, commands: Sequence[Command]) -> None:
        self._dialogue = dialogue
        self._commands = commands
        self._form = commands[0].form

    def run(self) -> None:
        """Ask for what they say."""
        dialogue = self._dialogue
        dialogue.statistics.getCommands += 1
        session = dialogue.session
        read = AnyRead([_asked(session, command) for command in self._commands])
        session.submit(read)
        dialogue.expect(read, self._render)

    def _render(self, read: AnyRead) -> bytes:
        """Return the block of a message, or how a large one begins."""
        found, part = read.result, read.found
        if isinstance(found, QueueError):
            return self._dialogue.renderError(found, self._form)
        if part is None:
            return self._form.none
        key = self._commands[read.parts.index(part)].key
        reply = renderValue(self._dialogue, key, found, self._form, part)
        part.seen()
        return reply


class _Word(Reader):
    """One of the commands of a line."""

    __slots__ = ("_line",)

    def __init__(self, dialogue: Dialogue, command: Command, line: Line) -> None:
        super().__init__(dialogue, command)
        # Another word of the line may follow.
        self._form = command.form.inner
        self._line = line

    def _ask(self, operation: Read | CloseRead | AbortRead) -> None:
        self._line.chain(operation)
        super()._ask(operation)

    def _renderError(self, error: QueueError) -> bytes:
        self._line.fail(error)
        return b""

    def _renderEnded(self, operation: CloseRead | AbortRead) -> bytes:
        operation.release()
        return self._renderRest(operation)


def renderRest(
    dialogue: Dialogue, part: Slice, render: Callable[[Any], bytes], end: bytes
) -> bytes:
    """Return the end of a reply, or nothing if ``render`` is to render a rest."""
    rest = part.follow()
    if rest is None:
        return end
    dialogue.goOn(rest, render)
    return b""
