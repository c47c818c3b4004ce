"""Guarded commands: those of a user, each held to the rights before it does anything.

A command is held to the rights that its user has when it comes, and a body once more at
its end.  What is refused changes nothing, is answered in the words of its protocol, and
the connection goes on.  What goes on for longer, and would no longer be allowed by new
rights, ends with the connection; a tail shows what may be read at each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from memq.access.needs import allows
from memq.access.rights import ADMIN, READ, WRITE, Rights
from memq.commands.audited import Audited
from memq.commands.handlers import AUDITED
from memq.commands.protocol import Commands
from memq.wire import text as wire
from memq.wire.auth.refusals import NotAllowed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memq.commands.dialogue import Dialogue
    from memq.commands.host import CommandHost
    from memq.connection.connection import Connection
    from memq.errors import QueueError
    from memq.operations.base import Operation
    from memq.wire import extensions as dialect
    from memq.wire.forms import Form

_log = Logger()


class GuardedCommands(Commands):
    """Carry out the commands of a connection, as far as its user may."""

    rights: Rights

    def __init__(
        self, connection: Connection, host: CommandHost, rights: Rights
    ) -> None:
        super().__init__(connection, host)
        self.rights = rights

    def changeRights(self, rights: Rights) -> None:
        """Take others from now on; what is under way may end the connection."""
        before, self.rights = self.rights, rights
        hasLost = any(before[queue] & ~rights[queue] for queue in self._concerned())
        imports = self.connection.importing is not None
        if hasLost or (imports and not rights.server & ADMIN):
            _log.warn(
                "{client} is cut off: it has lost a right for what is under way",
                **self.connection.told,
            )
            self.connection.cutOff()

    def _concerned(self) -> Iterator[bytes]:
        """Yield the queues of what is under way."""
        session, getting = self.session, self.replies.getting
        command = self.connection.receiver.command
        if type(command) is wire.Set:
            yield command.queue
        yield from session.open or ()
        for operation in session.inbox:
            yield from _queuesOf(operation)
        if getting is not None:
            yield from getting.queues

    def reserve(self, command: wire.Set) -> QueueError | None:
        """Find room for a body that comes in pieces, unless it is thrown away."""
        if not self.rights[command.queue] & WRITE:
            self.host.noteNotAllowed(self.connection)
            return NotAllowed()
        return super().reserve(command)

    def executeWithBody(self, command: wire.Set, body: bytes, complete: bool) -> None:
        """Append a message."""
        if self.rights[command.queue] & WRITE or not complete:
            # super() takes some hundred instructions more.
            Commands.executeWithBody(self, command, body, complete)
        else:
            self._refuse(command)

    def executeInParts(self, command: wire.Set, complete: bool) -> None:
        """Append the message whose parts are kept, or forget them."""
        if self.rights[command.queue] & WRITE or not complete:
            super().executeInParts(command, complete)
        else:
            self.abandonBody()
            self._refuse(command)

    def executeAdd(self, command: dialect.Add, body: bytes, complete: bool) -> None:
        """Make a queue with a limit."""
        if self.rights[command.queue] & WRITE or not complete:
            super().executeAdd(command, body, complete)
        else:
            self._refuse(command)

    def execute(self, command: wire.Command) -> None:
        """Carry out a command that has no body."""
        if type(command) is wire.Get:
            rights = self.rights
            for queue in command.queues:
                if not rights[queue] & READ:
                    self._refuse(command)
                    return
            # As Commands has it, but for a call.
            if self._traces:
                self._trace(command)
            self._get(command)
        elif allows(self.rights, command):
            super().execute(command)
        else:
            self._refuse(command)

    def _refuse(self, command: Any) -> None:
        """Answer that it is not allowed; the audit is told if it manages something."""
        self.host.noteNotAllowed(self.connection)
        if self._traces:
            self._trace(command)
        verb = AUDITED.get(type(command))
        dialogue: Dialogue = self
        if verb is not None:
            dialogue = Audited(self, command, verb)
        dialogue.refuse(NotAllowed(), _formOf(command))


def _formOf(command: Any) -> Form:
    """Return the form of a command; of several reads, that of each."""
    form: Form = (command if hasattr(command, "form") else command.reads[0]).form
    return form


def _queuesOf(operation: Operation) -> Iterator[bytes]:
    """Yield the queues that an operation is about."""
    for part in getattr(operation, "parts", (operation,)):
        for name in ("queue", "target"):
            queue = getattr(part, name, None)
            if queue is not None:
                yield queue
