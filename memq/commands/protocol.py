"""QueueProtocol: one client's connection, in the memcached text protocol.

A command becomes an operation of the session; what that finds, a reply.  Here are sets
and gets, which have to be fast; what is more than appending or taking is handed on.

Sets that come in one packet, one behind the other, become one operation, and so do
gets: of what a command costs in Python, that saves a third.  A large body comes in
parts, each an operation without a reply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from memq.commands.gets import Reader
from memq.commands.handlers import VERBS
from memq.commands.largevalues import LargeValue, MultiGet
from memq.commands.sets import Writer
from memq.connection.connection import Connection
from memq.display import shownCommand
from memq.errors import BadChunk, OutOfSpace, QueueError
from memq.message import Message
from memq.operations.base import JOINED, Upload
from memq.operations.outstanding import COMMAND_LOAD
from memq.operations.reads import Taken
from memq.policy.effective import ActivePolicies, Policies
from memq.wire import extensions as dialect
from memq.wire import text as wire

if TYPE_CHECKING:
    from memq.commands.host import CommandCounters, CommandHost
    from memq.connection.pieces import Render
    from memq.operations.base import Operation
    from memq.operations.pops import Pop
    from memq.operations.pushes import AddPart, Push, PushLarge
    from memq.operations.reads import Read

_log = Logger()

#: Stands for an upload where there is none.
_NO_UPLOAD = Upload()


class QueueProtocol(Connection):
    """Carry out the commands of one connection.

    :ivar policies: what holds for which queue.
    :ivar pausing: the last pause that was asked for.
    """

    factory: CommandHost
    _statistics: CommandCounters

    def __init__(self, factory: CommandHost) -> None:
        """Make the protocol of a connection that is about to be made."""
        super().__init__(factory)
        self.policies: Policies | ActivePolicies = factory.broker.policies
        self.pausing: Operation | None = None
        self._traces = factory.traces
        #: What there is of the body that comes in parts.
        self._upload = _NO_UPLOAD

    # What comes in.

    def executeWithBody(self, command: wire.Set, body: bytes, complete: bool) -> None:
        """Append a message."""
        if self._traces:
            self._trace(command)
        self._statistics.setCommands += 1
        if not complete:
            self.refuse(BadChunk(), command.noreply)
            return
        queue, flags, size, noreply, _, delay = command
        if delay or self.policies.isActive:
            Writer(self).set(command, body)
            return
        pushes = self.pushes
        if (
            pushes is not None
            and pushes.queue == queue
            and pushes.noreply is noreply
            and len(pushes.messages) < JOINED
        ):
            pushes.messages.append((flags, body))
            pushes.size += size
            self.outstanding.load += size + COMMAND_LOAD
            if self.outstanding.load >= self._budget.window:
                self._catchUp()
            return
        operation = self.session.push(queue, flags, body, noreply)
        self.outstanding.load += size
        self.expect(operation, self.renderPush)
        if not operation.done:
            self.pushes = operation

    def joined(self, size: int) -> None:
        """Note that one more set joined ``pushes``, with a body of this size."""
        self.outstanding.load += size + COMMAND_LOAD
        if self.outstanding.load >= self._budget.window:
            self._catchUp()

    def expectPush(self, push: Push, render: Render) -> None:
        """Answer what comes of a set, after all replies before it."""
        self.outstanding.load += push.size
        self.expect(push, render)

    def beginBody(self, command: wire.Set) -> None:
        """Make ready for a body in parts."""
        isPlain = not self.policies.isActive
        self._upload = Upload() if isPlain else Writer(self).begin(command)

    def addPart(self, data: bytes) -> None:
        """Keep a part."""
        self.outstanding.load += len(data)
        self.outstanding.report()
        self.expect(self.session.addPart(self._upload, data), self._ignorePart)

    def executeInParts(self, command: wire.Set, complete: bool) -> None:
        """Append the message whose parts are kept."""
        if self._traces:
            self._trace(command)
        self._statistics.setCommands += 1
        if not complete:
            self.abandonBody()
            self.refuse(BadChunk(), command.noreply)
            return
        if command.delay or self.policies.isActive:
            Writer(self).setInParts(command, self._upload)
            return
        operation = self.session.pushLarge(command.queue, command.flags, self._upload)
        self.expect(
            operation,
            self._ignoreLargePush if command.noreply else self._renderLargePush,
        )

    def abandonBody(self) -> None:
        """Forget the parts that came."""
        self.session.release(self._upload)

    def executeAdd(self, command: dialect.Add, body: bytes, complete: bool) -> None:
        """Make a queue with a limit."""
        if self._traces:
            self._trace(command)
        Writer(self).add(command, body, complete)

    def execute(self, command: wire.Command) -> None:
        """Carry out a command that has no body."""
        if self._traces:
            self._trace(command)
        if type(command) is wire.Get:
            self._get(command)
        else:
            VERBS[type(command)](self, command)

    def _trace(self, command: wire.Command) -> None:
        _log.info("{peer} {command}", peer=self._peer(), command=shownCommand(command))

    def _get(self, command: wire.Get) -> None:
        queues = command.queues
        if self.policies.isActive and len(queues) == 1 and self.isRuled(queues[0]):
            Reader(self, dialect.plain(queues[0], command.withSequence)).run()
            return
        self._statistics.getCommands += len(queues)
        if len(queues) > 1 or command.withSequence:
            self._getting = MultiGet(self, queues, command.withSequence)
            self._askForMore()
            return
        pops = self._pops
        if pops is not None and pops.queue == queues[0] and pops.most < JOINED:
            pops.most += 1
            self.outstanding.load += COMMAND_LOAD
            if self.outstanding.load >= self._budget.window:
                self._catchUp()
            return
        operation = self.session.pop(queues[0])
        self.expect(operation, self._renderPop)
        self._pops = operation

    def mayWait(self) -> None:
        """Note that a read of this client is to wait.

        Other rules may hold by the time that something behind it runs.
        """
        if type(self.policies) is Policies:
            self.policies = ActivePolicies(self.policies)

    def noteForeign(self, name: str) -> None:
        """Log that the client speaks another protocol, whose ``name`` this is."""
        self.factory.noteForeign(name, self._peer())

    def isRuled(self, queue: bytes) -> bool:
        """Return whether a get may have to look at what holds for a queue."""
        policies, pausing = self.policies, self.pausing
        if type(policies) is ActivePolicies or (
            pausing is not None and not pausing.done
        ):
            # It may be this queue that is paused by the time that the get runs.
            return True
        return policies.isActive and policies.of(queue) is not None

    # What goes out.

    def renderPush(self, operation: Push) -> bytes:
        """Return the replies of sets."""
        results = operation.results
        count = len(results)
        self.outstanding.load -= operation.size + COMMAND_LOAD * (count - 1)
        if type(results) is not range:
            return self._renderRefused(operation)
        self._statistics.setHits += count
        return b"" if operation.noreply else wire.STORED * count

    def _renderRefused(self, operation: Push) -> bytes:
        """Return the replies of sets of which some failed."""
        replies = []
        for result in operation.results:
            if isinstance(result, QueueError):
                replies.append(self.renderRefused(result))
            else:
                self._statistics.setHits += 1
                replies.append(wire.STORED)
        return b"" if operation.noreply else b"".join(replies)

    def renderRefused(self, error: QueueError) -> bytes:
        """Return what a set is told that was refused."""
        if isinstance(error, OutOfSpace):
            # What queues refuse is counted by their operations.
            self.session.refused(error)
        return self.renderError(error)

    def _ignorePart(self, operation: AddPart) -> bytes:
        self.outstanding.load -= len(operation.data)
        return b""

    def _renderLargePush(self, operation: PushLarge) -> bytes:
        if isinstance(operation.result, QueueError):
            self.session.release(operation.upload)
            return self.renderRefused(operation.result)
        self._statistics.setHits += 1
        return wire.STORED

    def _ignoreLargePush(self, operation: PushLarge) -> bytes:
        self._renderLargePush(operation)
        return b""

    def _renderPop(self, operation: Pop) -> bytes:
        """Return the replies of gets of one name each; most find a message."""
        queue = operation.queue
        ready: list[bytes] = []
        append, format = ready.append, wire.formatValue
        size = hits = 0
        for found in operation.results:
            if type(found) is Message and found.large is None:
                body = found.body
                size += len(body)
                hits += 1
                append(format(queue, found.flags, body, wire.END))
            else:
                append(self._renderOther(queue, found))
                if self._sending is not None:
                    break
        self.outstanding.undelivered -= size
        self._statistics.getHits += hits
        count = len(ready)
        self.outstanding.load -= COMMAND_LOAD * (count - 1)
        if count < operation.most:
            # What is behind a body in parts waits until that is sent.
            self._replies.appendleft((operation.after(count), self._renderPop))
        elif operation.rest is not None:
            self._replies.appendleft((operation.rest, self._renderPop))
        return b"".join(ready)

    def _renderOther(self, queue: bytes, found: Message | QueueError | None) -> bytes:
        if found is None:
            return wire.END
        if isinstance(found, QueueError):
            return self.renderError(found)
        return self.renderValue(queue, found, wire.END)

    def renderValue(
        self,
        queue: bytes,
        message: Message,
        end: bytes = b"",
        withSequence: bool = False,
        read: Read | None = None,
    ) -> bytes:
        """Return the block of a message and its end, or how a large one begins.

        :param queue: the name as it was asked for.
        :param read: what found it, and is told how it went; None if it was taken.
        """
        self._statistics.getHits += 1
        sequence = message.sequence if withSequence else None
        if message.large is not None:
            source = read or Taken(self.session, queue, message)
            size = message.large.size
            head = wire.formatHead(queue, message.flags, size, sequence)
            self._sending = LargeValue(self, queue, message, head, end, source)
            return b""
        body = message.body
        self.outstanding.undelivered -= len(body)
        return wire.formatValue(queue, message.flags, body, end, sequence)
