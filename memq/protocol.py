"""QueueProtocol: one client's connection, in the memcached text protocol.

Replies leave in the order of the commands.  Each command appends to ``_replies``
an operation and the function that will render its result; whenever operations
are done, all that stands ready at the front is sent in one write.  Sets that come
in one packet, one behind the other, become one operation, and so do gets: of what
a command costs in Python, that saves a third.

What a connection can pile up is bounded: reading pauses when too many replies
or bytes of bodies are under way, and the session takes no more messages for a
client that does not read those it got.  How much is too much, the budget says, from
what all connections hold; so each tells it what it holds itself.

A large body comes in parts, each an operation without a reply, and leaves in
parts as fast as the client reads them; nothing else is sent in between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IConsumer,
    IPushProducer,
    ITCPTransport,
    IUNIXTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from zope.interface import Attribute, implementer

from memq import dialect, wire
from memq.budget import ALLOWANCE, Room
from memq.errors import (
    BadChunk,
    OutOfSpace,
    QueueError,
    StoreError,
    StoreFailed,
)
from memq.framing import CommandReceiver
from memq.message import Message
from memq.opened import CloseRead
from memq.operations import (
    JOINED,
    AddPart,
    Ask,
    Operation,
    Pop,
    Push,
    PushLarge,
    Upload,
)
from memq.reader import Reader
from memq.reading import Read, Take, Taken
from memq.ruled import RuledPush, RuledPushLarge
from memq.values import LargeValue, MultiGet
from memq.verbs import VERBS, unknown
from memq.writer import Writer

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from memq.factory import QueueFactory

#: What a command counts that is under way, besides its body.
COMMAND_LOAD = 2048

_log = Logger()

#: Stands for an upload where there is none.
_NO_UPLOAD = Upload()

#: Makes the reply of what an operation has found.
Render = Callable[[Any], bytes]


@implementer(IPushProducer)
class _WriteGate:
    """Tell a connection when its transport's buffer is full, and when it is not."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: QueueProtocol) -> None:
        """Stand between a transport and this protocol."""
        self._protocol = protocol

    def pauseProducing(self) -> None:
        """Note that the client does not read."""
        self._protocol.block()

    def resumeProducing(self) -> None:
        """Note that it reads again."""
        self._protocol.unblock()

    def stopProducing(self) -> None:
        """Do nothing: connectionLost follows."""


class _ITransport(ITCPTransport, IConsumer, IPushProducer):
    """What a connection's transport provides."""

    disconnecting = Attribute("Whether loseConnection was called.")


class QueueProtocol(CommandReceiver):
    """Carry out the commands of one connection."""

    transport: _ITransport

    def __init__(self, factory: QueueFactory) -> None:
        """Make the protocol of a connection that is about to be made."""
        super().__init__(factory.maxBody, factory.statistics)
        self.factory: QueueFactory = factory
        self.session = factory.broker.session(self.deliver, self._count)
        self._budget = factory.broker.budget
        self._plans = factory.broker.plans
        #: The last pause that was asked for.
        self.pausing: Operation | None = None
        self._statistics = factory.statistics
        self._traces = factory.traces
        #: What is to be answered, in order.
        self._replies: deque[tuple[Operation, Render]] = deque()
        #: What that counts as.
        self._load = 0
        #: Bytes that the transport keeps for a client that does not read.
        self._unsent = 0
        #: What the budget knows of that this connection holds.
        self._counted = 0
        #: The room for a body that comes in pieces.
        self._room: Room | None = None
        #: Whether operations are under way though the client is gone.
        self._lingers = False
        #: The last of the replies, if another set or get of the same packet may join.
        self.pushes: Push | None = None
        self._pops: Pop | None = None
        #: A get whose names have not all been asked for.
        self._getting: MultiGet | None = None
        #: What there is of the body that comes in parts.
        self._upload = _NO_UPLOAD
        #: The message whose body is being sent in parts.
        self._sending: LargeValue | None = None

    def connectionMade(self) -> None:
        """Begin."""
        self.factory.connected(self)
        # A UNIX socket's transport says that it is TCP's too, and refuses these.
        if ITCPTransport.providedBy(self.transport) and not IUNIXTransport.providedBy(
            self.transport
        ):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        self.transport.registerProducer(_WriteGate(self), True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End: what was taken for this client and not sent goes back."""
        self.factory.disconnected(self)
        super().connectionLost(reason)
        self._unsent = 0
        self.session.leave()
        self.deliver()

    def giveUp(self, error: QueueError) -> None:
        """Answer a body that does not come an error, after all before it, and close.

        What is before it waits for no message any more.
        """
        command = self.command
        self.refuse(error, command is not None and command.noreply)
        self.session.hurry()
        self.deliver()

    def finish(self) -> None:
        """Take no more commands; close when those taken are answered, at once."""
        self.close()
        self.session.hurry()
        self.deliver()

    def block(self) -> None:
        """Take no more from a client that does not read what it is sent."""
        self.session.block()
        if not self.paused:
            self.pauseProducing()

    def unblock(self) -> None:
        """Go on: the client reads again."""
        self.heard = True
        self._unsent = 0
        self.session.unblock()
        self.deliver()

    @property
    def owes(self) -> bool:
        """Whether something is still to be answered."""
        return bool(self._replies) or self._sending is not None

    def holds(self, queue: bytes) -> bool:
        """Return whether a message that was taken from a queue may go back to it."""
        sending = self._sending
        if sending is not None and sending.key.partition(b"/")[0] == queue:
            return True
        return any(
            getattr(operation, "queue", None) == queue for operation, _ in self._replies
        )

    # What comes in.

    def reserve(self, size: int) -> bool:
        """Find room for a body that comes in pieces, or pause until there is.

        :return: False when the body is to be refused.
        """
        room = self._room = self._budget.reserve(size, self._cbRoom)
        if room is not None and room.isWaiting:
            self.pauseProducing()
        return room is not None

    def _cbRoom(self) -> None:
        # Not at once: somebody else is in the middle of giving it back.
        self.session.later(self.deliver)

    def release(self) -> None:
        """Give that room back, or wait for it no longer."""
        room, self._room = self._room, None
        assert room is not None
        room.giveBack()

    def allReceived(self) -> None:
        """Send what needed no store."""
        self.pushes = self._pops = None
        if self._load > ALLOWANCE:
            self._count()
        replies = self._replies
        if not replies or replies[0][0].done:
            self.deliver()

    def executeWithBody(self, command: wire.Set, body: bytes, complete: bool) -> None:
        """Append a message."""
        if self._traces:
            self._trace(command)
        self._statistics.setCommands += 1
        if not complete:
            self.refuse(BadChunk(), command.noreply)
            return
        queue, flags, size, noreply, _, delay = command
        if delay or self._plans.isActive:
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
            self._load += size + COMMAND_LOAD
            if self._load >= self._budget.window:
                self._catchUp()
            return
        operation = self.session.push(queue, flags, body, noreply)
        self._load += size
        self.expect(operation, self.renderPush)
        if not operation.done:
            self.pushes = operation

    def joined(self, size: int) -> None:
        """Note that one more set joined ``pushes``, with a body of this size."""
        self._load += size + COMMAND_LOAD
        if self._load >= self._budget.window:
            self._catchUp()

    def expectPush(self, push: Push, render: Render) -> None:
        """Answer what comes of a set, after all replies before it."""
        self._load += push.size
        self.expect(push, render)

    def beginBody(self, command: wire.Set) -> None:
        """Make ready for a body in parts."""
        isPlain = not self._plans.isActive
        self._upload = Upload() if isPlain else Writer(self).begin(command)

    def addPart(self, data: bytes) -> None:
        """Keep a part."""
        self._load += len(data)
        self._count()
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
        if command.delay or self._plans.isActive:
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

    def execute(self, command: wire.Command) -> None:
        """Carry out a command that has no body."""
        if self._traces:
            self._trace(command)
        if type(command) is wire.Get:
            self._get(command)
        else:
            carryOut = VERBS.get(type(command), unknown)
            carryOut(self, command)

    def _trace(self, command: wire.Command) -> None:
        _log.info("{peer} {command}", peer=self._peer(), command=command)

    def expect(self, operation: Operation, render: Render) -> None:
        """Answer with what an operation will find, after all replies before it."""
        self.pushes = self._pops = None
        self._replies.append((operation, render))
        self._load += COMMAND_LOAD
        if self._load >= self._budget.window:
            self._catchUp()

    def goOn(self, rest: Operation, render: Render) -> None:
        """Answer with what the rest of an operation will find, before all others."""
        self._replies.appendleft((rest, render))
        self._load += COMMAND_LOAD

    def _catchUp(self) -> None:
        """Send what is ready; read no more when that was too little."""
        self.deliver()
        if self._isFull() and not self.paused:
            self.pauseProducing()

    def _isFull(self) -> bool:
        return (
            self._load >= self._budget.window
            or self.session.blocked
            or (self._room is not None and self._room.isWaiting)
        )

    def _count(self) -> None:
        """Tell the budget what this connection holds, if that is much."""
        session = self.session
        held = self._load + self._unsent + session.undelivered - session.onDisk
        if held <= ALLOWANCE:
            held = 0
        if held != self._counted:
            self._budget.count(held - self._counted)
            self._counted = held

    def answer(self, reply: bytes) -> None:
        """Answer with this, after all replies before it."""
        self.expect(self.session.answered(reply), self.renderBytes)

    def refuse(self, error: QueueError, noreply: bool = False) -> None:
        """Answer an error, after all replies before it."""
        render = self.renderNothing if noreply else self.renderBytes
        self.expect(self.session.answered(error), render)
        if error.closes:
            self.close()

    def _get(self, command: wire.Get) -> None:
        queues = command.queues
        if self._plans.isActive and len(queues) == 1 and self._isRuled(queues[0]):
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
            self._load += COMMAND_LOAD
            if self._load >= self._budget.window:
                self._catchUp()
            return
        operation = self.session.pop(queues[0])
        self.expect(operation, self._renderPop)
        self._pops = operation

    def _askForMore(self) -> None:
        """Ask for the messages of a get of many names, a slice at a time."""
        self.pushes = self._pops = None
        getting = self._getting
        while getting is not None and self._load < self._budget.window:
            queue = getting.next()
            operation: Operation
            if queue is not None:
                operation, render = self._askOne(queue), getting.render
            else:
                operation, render = self.session.answered(b""), getting.renderEnd
                getting = self._getting = None
            self._replies.append((operation, render))
            self._load += COMMAND_LOAD
        if getting is not None and not self.paused:
            self.pauseProducing()

    def _isRuled(self, queue: bytes) -> bool:
        """Return whether a get may have to look at what holds for a queue."""
        pausing = self.pausing
        if pausing is not None and not pausing.done:
            # It may be this queue that is paused by the time that the get runs.
            return True
        return self._plans.of(queue) is not None

    def _askOne(self, queue: bytes) -> Operation:
        """Ask for a message, as one of several."""
        if self._plans.isActive and self._isRuled(queue):
            take = Take(self.session, queue)
            self.session.submit(take)
            return take
        return self.session.pop(queue)

    def executeAdd(self, command: dialect.Add, body: bytes, complete: bool) -> None:
        """Make a queue with a limit."""
        if self._traces:
            self._trace(command)
        Writer(self).add(command, body, complete)

    # What goes out.

    def deliver(self) -> None:
        """Send all replies that are ready, in order."""
        session = self.session
        if session.gone:
            self._giveBackAll()
            return
        replies = self._replies
        while self._sending is None or self._sending.send():
            ready: list[bytes] = []
            while replies and replies[0][0].done and self._sending is None:
                operation, render = replies.popleft()
                self._load -= COMMAND_LOAD
                ready.append(render(operation))
            data = b"".join(ready)
            # What has no reply leaves nothing to send.
            if data:
                self.send(data)
            if session.inbox and not session.waits:
                session.catchUp()
            if self._sending is None:
                break
        if self._counted or self._unsent:
            self._count()
        if self._getting is not None:
            self._askForMore()
        if self.closing:
            done = not replies and self._sending is None
            if done and not self.transport.disconnecting:
                self.transport.unregisterProducer()
                self.transport.loseConnection()
        elif self.paused and self._getting is None and not self._isFull():
            self.resumeProducing()

    def send(self, data: bytes) -> None:
        """Send; nothing else may be due before it."""
        self._statistics.bytesWritten += len(data)
        self.transport.write(data)
        if self.session.blocked:
            # Some of it may have gone out; that is known when all of it has.
            self._unsent += len(data)

    def sent(self) -> None:
        """Note that a body that went in parts is sent."""
        self._sending = None

    def _giveBackAll(self) -> None:
        """Give back what is taken by now, whatever stands before it in the line."""
        if self._sending is not None:
            self._sending.giveBack()
        replies, self._replies = self._replies, deque()
        while replies:
            operation, render = replies.popleft()
            if not operation.done:
                self._replies.append((operation, render))
                continue
            self._giveBack(operation)
            if operation.rest is not None:
                replies.appendleft((operation.rest, render))
        self._linger(bool(self._replies))

    def _linger(self, lingers: bool) -> None:
        """Note whether something is under way for a client that is gone."""
        if lingers != self._lingers:
            self._lingers = lingers
            self.factory.lingering += 1 if lingers else -1
        if not lingers:
            self._load = 0
            self._count()

    def _giveBack(self, operation: Operation) -> None:
        """Put back, or forget, what nobody is there to receive."""
        if isinstance(operation, Pop):
            for message in operation.messages():
                self.session.giveBack(operation.queue, message)
        elif isinstance(operation, Read):
            operation.unsent()
        elif isinstance(operation, CloseRead | RuledPush | RuledPushLarge):
            operation.release()
        elif isinstance(operation, Ask):
            self.session.undelivered -= operation.size

    def renderPush(self, operation: Push) -> bytes:
        """Return the replies of sets."""
        results = operation.results
        count = len(results)
        self._load -= operation.size + COMMAND_LOAD * (count - 1)
        if type(results) is not range:
            return self._renderRefused(operation)
        self._statistics.setHits += count
        return b"" if operation.noreply else wire.STORED * count

    def _renderRefused(self, operation: Push) -> bytes:
        """Return the replies of sets of which some failed."""
        replies = []
        for result in operation.results:
            if isinstance(result, QueueError):
                replies.append(self.renderError(result))
            else:
                self._statistics.setHits += 1
                replies.append(wire.STORED)
        return b"" if operation.noreply else b"".join(replies)

    def _ignorePart(self, operation: AddPart) -> bytes:
        self._load -= len(operation.data)
        return b""

    def _renderLargePush(self, operation: PushLarge) -> bytes:
        if isinstance(operation.result, QueueError):
            self.session.release(operation.upload)
            return self.renderError(operation.result)
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
        self.session.undelivered -= size
        self._statistics.getHits += hits
        count = len(ready)
        self._load -= COMMAND_LOAD * (count - 1)
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
            self._sending = LargeValue(self, queue, message, end, source)
            return wire.formatHead(queue, message.flags, message.large.size, sequence)
        body = message.body
        self.session.undelivered -= len(body)
        return wire.formatValue(queue, message.flags, body, end, sequence)

    def renderBytes(self, operation: Operation) -> bytes:
        """Return a reply, or what tells an error."""
        reply: bytes | QueueError = operation.result
        return self.renderError(reply) if isinstance(reply, QueueError) else reply

    def renderNothing(self, operation: Operation) -> bytes:
        """Return nothing, for a command with noreply."""
        if isinstance(operation.result, QueueError):
            self.renderError(operation.result)
        return b""

    def renderError(self, error: QueueError) -> bytes:
        """Return the reply that tells an error, and log it."""
        # Those two are logged once for all.
        once = isinstance(error, StoreFailed | OutOfSpace)
        if isinstance(error, StoreError) and not once:
            _log.error("{peer} is told: {error}", peer=self._peer(), error=error)
        elif self.factory.verbose:
            _log.warn("{peer} is told: {error}", peer=self._peer(), error=error)
        if error.closes:
            self.close()
        return wire.formatError(error)

    def _peer(self) -> str:
        peer = self.transport.getPeer()
        if isinstance(peer, IPv4Address | IPv6Address):
            return f"{peer.host}:{peer.port}"
        return "a local client"
