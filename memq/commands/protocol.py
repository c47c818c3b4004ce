"""Protocol: carries out the commands of one client, in whichever protocol they came.

A command becomes an operation of the session; its result, a reply.  Here are sets and
plain gets, which have to be fast; :mod:`memq.commands.handlers` has all others.

Sets that come in one packet, one behind the other, become one operation, and so do
gets: of what a command costs in Python, that saves a third.  A large body comes in
parts, each an operation without a reply.
"""

from __future__ import annotations

from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING

from twisted.logger import Logger

from memq.commands.dialogue import Dialogue
from memq.commands.handlers import VERBS, add
from memq.commands.largevalues import MultiGet, renderValue
from memq.display import shownCommand
from memq.errors import BadChunk, OutOfMemory, QueueError
from memq.message import Message
from memq.operations.base import JOINED, Upload
from memq.operations.outstanding import ALLOWANCE, COMMAND_LOAD
from memq.operations.pushes import PushLarge
from memq.operations.routing import SetRequest, destinations
from memq.wire import text as wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memq.commands.host import CommandHost
    from memq.connection.connection import Connection
    from memq.operations.pops import Pop
    from memq.operations.pushes import AddPart, Push
    from memq.wire import extensions as dialect
    from memq.wire.forms import Form

_log = Logger()

#: Stands for an upload where there is none.
_NO_UPLOAD = Upload()


class Commands(Dialogue):
    """Carry out the commands of one connection."""

    def __init__(self, connection: Connection, host: CommandHost) -> None:
        super().__init__(connection, host)
        self._traces = host.traces
        self._budget = host.broker.budget
        self._policies = host.broker.policies
        #: The parts that came of a body.
        self._upload = _NO_UPLOAD

    # Input.

    def reserve(self, command: wire.Set) -> QueueError | None:
        """Find room for a body that comes in pieces, or pause until there is."""
        return None if self.connection.reserve(command.size) else OutOfMemory()

    def release(self) -> None:
        """Give that room back."""
        self.connection.release()

    def allReceived(self) -> None:
        """Send what needed no store."""
        replies = self.replies
        replies.pushes = replies.pops = None
        if self.outstanding.load > ALLOWANCE:
            self.outstanding.report()
        queue = replies.queue
        if not queue or queue[0][0].done:
            self.connection.deliver()

    def executeWithBody(self, command: wire.Set, body: bytes, complete: bool) -> None:
        """Append a message."""
        if self._traces:
            self._trace(command)
        self.statistics.setCommands += 1
        if not complete:
            self.refuse(BadChunk(), command.form)
            return
        queue, flags, size, form, exptime, delay = command
        replies, policies = self.replies, self._policies
        pushes = replies.pushes
        # Where a policy makes one set many, that is enough for an operation.
        if (
            pushes is not None
            and pushes.queue == queue
            and pushes.form is form
            and pushes.exptime == exptime
            and pushes.delay == delay
            and len(pushes.messages) < JOINED
            and not (policies.isActive and policies.of(queue) is not None)
        ):
            pushes.messages.append((flags, body))
            pushes.size += size
            outstanding = self.outstanding
            outstanding.load += size + COMMAND_LOAD
            if outstanding.load >= self._budget.window:
                self.connection.catchUp()
            return
        operation = self.session.push(queue, flags, body, form, exptime, delay)
        self.outstanding.load += size
        replies.expect(operation, self.renderPush)
        if not operation.done:
            replies.pushes = operation

    def joinable(self, command: wire.Set | wire.Get) -> int:
        """Return how many like the command just carried out can be joined to it.

        The one that fills the window is left out: it has to make the reading stop.
        """
        operation: Push | Pop | None
        if isinstance(command, wire.Set):
            queue, operation = command.queue, self.replies.pushes
            load = command.size + COMMAND_LOAD
        else:
            queue, operation = command.queues[0], self.replies.pops
            load = COMMAND_LOAD
        policies = self._policies
        if (
            operation is None
            or self._traces
            or (policies.isActive and policies.of(queue) is not None)
        ):
            return 0
        left = self._budget.window - 1 - self.outstanding.load
        return max(0, min(JOINED - operation.count, left // load))

    def joinSets(self, command: wire.Set, bodies: Sequence[bytes]) -> None:
        """Append messages with those of the last set."""
        count = len(bodies)
        self.statistics.setCommands += count
        pushes = self.replies.pushes
        assert pushes is not None
        pushes.messages += zip(repeat(command.flags), bodies, strict=False)
        pushes.size += count * command.size
        self.outstanding.load += count * (command.size + COMMAND_LOAD)

    def joinGets(self, count: int) -> None:
        """Ask for messages with that of the last get."""
        self.statistics.getCommands += count
        pops = self.replies.pops
        assert pops is not None
        pops.most += count
        self.outstanding.load += count * COMMAND_LOAD

    def beginBody(self, command: wire.Set) -> None:
        """Make ready for a body in parts."""
        self._upload = Upload(destinations(self._policies, command.queue))

    def addPart(self, data: bytes) -> None:
        """Keep a part."""
        self.outstanding.load += len(data)
        self.outstanding.report()
        self.expect(self.session.addPart(self._upload, data), self._ignorePart)

    def executeInParts(self, command: wire.Set, complete: bool) -> None:
        """Append the message whose parts are kept."""
        if self._traces:
            self._trace(command)
        self.statistics.setCommands += 1
        if not complete:
            self.abandonBody()
            self.refuse(BadChunk(), command.form)
            return
        asked = SetRequest(command.queue, command.exptime, command.delay)
        push = PushLarge(self.session, asked, command.flags, self._upload)
        self.session.submit(push)
        self.expect(push, partial(self.renderLargePush, command.form))

    def abandonBody(self) -> None:
        """Forget the parts that came."""
        self.session.release(self._upload)

    def executeAdd(self, command: dialect.Add, body: bytes, complete: bool) -> None:
        """Make a queue with a limit."""
        if self._traces:
            self._trace(command)
        add(self, command, body, complete)

    def execute(self, command: wire.Command) -> None:
        """Carry out a command that has no body."""
        if self._traces:
            self._trace(command)
        if type(command) is wire.Get:
            self._get(command)
        else:
            VERBS[type(command)](self, command)

    def _trace(self, command: wire.Command) -> None:
        told, shown = self.connection.told, shownCommand(command)
        _log.info("{client} {command}", **told, command=shown)

    def _get(self, command: wire.Get) -> None:
        queues, form = command.queues, command.form
        self.statistics.getCommands += len(queues)
        replies, policies = self.replies, self._policies
        if len(queues) > 1:
            replies.getting = MultiGet(self, queues, form)
            self.connection.askForMore()
            return
        pops = replies.pops
        if (
            pops is not None
            and pops.queue == queues[0]
            and pops.form is form
            and pops.most < JOINED
            and not (policies.isActive and policies.of(queues[0]) is not None)
        ):
            pops.most += 1
            outstanding = self.outstanding
            outstanding.load += COMMAND_LOAD
            if outstanding.load >= self._budget.window:
                self.connection.catchUp()
            return
        operation = self.session.pop(queues[0], form)
        replies.expect(operation, self._renderPop)
        replies.pops = operation

    # Output.

    def _ignorePart(self, operation: AddPart) -> bytes:
        self.outstanding.load -= len(operation.data)
        return b""

    def _renderPop(self, operation: Pop) -> bytes:
        """Return the reply of a get of one name; most find a message."""
        if operation.most > 1 or operation.rest is not None:
            return self._renderPops(operation)
        found, form = operation.results[0], operation.form
        if type(found) is Message and found.large is None:
            self.outstanding.undelivered -= len(found.body)
            self.statistics.getHits += 1
            return form.value(operation.queue, found, None)
        return self._renderOther(operation.queue, found, form)

    def _renderPops(self, operation: Pop) -> bytes:
        """Return the replies of several that are joined, as far as they can be sent."""
        queue, form = operation.queue, operation.form
        ready: list[bytes] = []
        append, value = ready.append, form.value
        size = hits = 0
        for found in operation.results:
            if type(found) is Message and found.large is None:
                size += len(found.body)
                hits += 1
                append(value(queue, found, None))
            else:
                append(self._renderOther(queue, found, form))
                if self.replies.sending is not None:
                    break
        outstanding = self.outstanding
        outstanding.undelivered -= size
        self.statistics.getHits += hits
        count = len(ready)
        outstanding.load -= COMMAND_LOAD * (count - 1)
        if count < operation.most:
            # The replies behind a body in parts wait until that is sent.
            self.replies.queue.appendleft((operation.after(count), self._renderPop))
        elif operation.rest is not None:
            self.replies.queue.appendleft((operation.rest, self._renderPop))
        return b"".join(ready)

    def _renderOther(
        self, queue: bytes, found: Message | QueueError | None, form: Form
    ) -> bytes:
        if found is None:
            return form.none
        if isinstance(found, QueueError):
            return self.renderError(found, form)
        return renderValue(self, queue, found, form)
