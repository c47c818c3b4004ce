"""QueueProtocol: one client's connection, in the memcached text protocol.

Replies leave in the order of the commands.  Each command appends to ``_replies``
an operation and the function that will render its result; whenever operations
are done, all that stands ready at the front is sent in one write.

What a connection can pile up is bounded: reading pauses when too many replies
or bytes of bodies are under way, and the session takes no more messages for a
client that does not read those it got.

A large body comes in parts, each an operation without a reply, and leaves in
parts as fast as the client reads them; nothing else is sent in between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
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

from memq import __version__, wire
from memq.errors import (
    BadChunk,
    BadLine,
    DamagedMessage,
    FlushAllDisabled,
    QueueError,
    StoreError,
    StoreFailed,
    UnknownCommand,
)
from memq.framing import CommandReceiver
from memq.message import Message
from memq.operations import (
    AddPart,
    Ask,
    Delete,
    EmptyAll,
    Operation,
    Pop,
    Push,
    PushLarge,
    Upload,
)

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from memq.factory import QueueFactory

#: Replies under way at which a connection is not read from any more.
MAX_REPLIES = 1024
#: Bytes of bodies under way at which a connection is not read from any more.
MAX_BYTES = 2 * 1024 * 1024

#: Parts of a body that are sent before others have their turn.
PARTS_AT_ONCE = 16

_log = Logger()

#: Stands for an upload where there is none.
_NO_UPLOAD = Upload()

_Render = Callable[[Any], bytes]


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


class _ITransport(ITCPTransport, IConsumer):
    """What a connection's transport provides."""

    disconnecting = Attribute("Whether loseConnection was called.")


class QueueProtocol(CommandReceiver):
    """Carry out the commands of one connection."""

    transport: _ITransport

    def __init__(self, factory: QueueFactory) -> None:
        """Make the protocol of a connection that is about to be made."""
        super().__init__(factory.maxBody)
        self.factory: QueueFactory = factory
        self.session = factory.broker.session(self._deliver)
        self._statistics = factory.statistics
        self._traces = factory.traces
        #: What is to be answered, in order.
        self._replies: deque[tuple[Operation, _Render]] = deque()
        #: Bytes of bodies that are in ``_replies``.
        self._bytes = 0
        #: A get whose names have not all been asked for.
        self._getting: _MultiGet | None = None
        #: What there is of the body that comes in parts.
        self._upload = _NO_UPLOAD
        #: The message whose body is being sent in parts.
        self._sending: _LargeValue | None = None

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
        self.session.leave()
        self._deliver()

    def finish(self) -> None:
        """Take no more commands; close when those taken are answered."""
        self.close()
        self._deliver()

    def block(self) -> None:
        """Take no more from a client that does not read what it is sent."""
        self.session.block()
        if not self.paused:
            self.pauseProducing()

    def unblock(self) -> None:
        """Go on: the client reads again."""
        self.session.unblock()
        self._deliver()

    # What comes in.

    def dataReceived(self, data: bytes) -> None:
        """Count the bytes, and take the commands in them."""
        self._statistics.bytesRead += len(data)
        super().dataReceived(data)

    def allReceived(self) -> None:
        """Send what needed no store."""
        self._deliver()

    def executeWithBody(self, command: wire.Set, body: bytes, complete: bool) -> None:
        """Append a message."""
        if self._traces:
            self._trace(command)
        self._statistics.setCommands += 1
        if not complete:
            self.refuse(BadChunk(), command.noreply)
            return
        self._bytes += len(body)
        operation = self.session.push(command.queue, command.flags, body)
        self._await(
            operation, self._ignorePush if command.noreply else self._renderPush
        )

    def beginBody(self) -> None:
        """Make ready for a body in parts."""
        self._upload = Upload()

    def addPart(self, data: bytes) -> None:
        """Keep a part."""
        self._bytes += len(data)
        self._await(self.session.addPart(self._upload, data), self._ignorePart)

    def executeInParts(self, command: wire.Set, complete: bool) -> None:
        """Append the message whose parts are kept."""
        if self._traces:
            self._trace(command)
        self._statistics.setCommands += 1
        if not complete:
            self.abandonBody()
            self.refuse(BadChunk(), command.noreply)
            return
        operation = self.session.pushLarge(command.queue, command.flags, self._upload)
        self._await(
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
            _COMMANDS[type(command)](self, command)

    def _trace(self, command: wire.Command) -> None:
        _log.info("{peer} {command}", peer=self._peer(), command=command)

    def _await(self, operation: Operation, render: _Render) -> None:
        """Answer with what an operation will find, after all replies before it."""
        replies = self._replies
        replies.append((operation, render))
        if len(replies) >= MAX_REPLIES or self._bytes >= MAX_BYTES:
            self._deliver()
            if self._isFull() and not self.paused:
                self.pauseProducing()

    def _isFull(self) -> bool:
        return (
            len(self._replies) >= MAX_REPLIES
            or self._bytes >= MAX_BYTES
            or self.session.blocked
        )

    def _answer(self, reply: bytes) -> None:
        """Answer with this, after all replies before it."""
        self._await(self.session.answered(reply), self._renderBytes)

    def refuse(self, error: QueueError, noreply: bool = False) -> None:
        """Answer an error, after all replies before it."""
        render = self._renderNothing if noreply else self._renderBytes
        self._await(self.session.answered(error), render)
        if error.closes:
            self.close()

    def _get(self, command: wire.Get) -> None:
        queues = command.queues
        self._statistics.getCommands += len(queues)
        if len(queues) == 1 and not command.withSequence:
            self._await(self.session.pop(queues[0]), self._renderGet)
        else:
            self._getting = _MultiGet(self, iter(queues), command.withSequence)
            self._askForMore()

    def _askForMore(self) -> None:
        """Ask for the messages of a get of many names, a slice at a time."""
        getting = self._getting
        while getting is not None and len(self._replies) < MAX_REPLIES:
            queue = getting.next()
            if queue is None:
                self._replies.append((self.session.answered(b""), getting.renderEnd))
                self._getting = None
                return
            self._replies.append((self.session.pop(queue), getting.render))
        if not self.paused:
            self.pauseProducing()

    def _delete(self, command: wire.Delete) -> None:
        operation = Delete(self.session, command.queue)
        self.session.submit(operation)
        render = self._renderNothing if command.noreply else self._renderDelete
        self._await(operation, render)

    def _flushAll(self, command: wire.FlushAll) -> None:
        if not self.factory.flushAllEnabled:
            self.refuse(FlushAllDisabled(), command.noreply)
        elif command.delay:
            self.refuse(BadLine(), command.noreply)
        else:
            operation = EmptyAll(self.session)
            self.session.submit(operation)
            render = self._renderNothing if command.noreply else self._renderOK
            self._await(operation, render)

    def _stats(self, command: wire.Stats) -> None:
        # In its place among the others, so that it sees what was sent before.
        operation = Ask(self.session, self.factory.statistics.asked(command.topic))
        self.session.submit(operation)
        self._await(operation, self._renderBytes)

    def _version(self, command: wire.Version) -> None:
        self._answer(wire.formatVersion(__version__))

    def _verbosity(self, command: wire.Verbosity) -> None:
        self._answer(b"" if command.noreply else wire.OK)

    def _checkpoint(self, command: wire.Checkpoint) -> None:
        self._answerLater(self.factory.upkeep.checkpoint())

    def _archive(self, command: wire.Archive) -> None:
        self._answerLater(self.factory.upkeep.removeLogs())

    def _answerLater(self, done: Deferred[None]) -> None:
        operation = Operation(self.session)
        self._await(operation, self._renderBytes)

        def answer(reply: bytes | QueueError) -> None:
            operation.result = reply
            operation.done = True
            self._deliver()

        def _ebFailed(failure: Failure) -> None:
            _log.failure("Maintenance that a client asked for failed", failure)
            answer(UnknownCommand())

        done.addCallback(lambda _: answer(wire.OK)).addErrback(_ebFailed)

    def _quit(self, command: wire.Quit) -> None:
        self.close()

    def _refused(self, command: wire.Refused) -> None:
        self.refuse(command.error, command.noreply)

    # What goes out.

    def _deliver(self) -> None:
        """Send all replies that are ready, in order."""
        if self.session.gone:
            self._giveBackAll()
            return
        replies = self._replies
        while self._sending is None or self._sending.send():
            ready: list[bytes] = []
            while replies and replies[0][0].done and self._sending is None:
                operation, render = replies.popleft()
                ready.append(render(operation))
            if ready:
                data = b"".join(ready)
                # What has no reply leaves nothing to send.
                if data:
                    self._send(data)
                self.session.catchUp()
            if self._sending is None:
                break
        if self._getting is not None:
            self._askForMore()
        if self.closing:
            done = not replies and self._sending is None
            if done and not self.transport.disconnecting:
                self.transport.unregisterProducer()
                self.transport.loseConnection()
        elif self.paused and self._getting is None and not self._isFull():
            self.resumeProducing()

    def _send(self, data: bytes) -> None:
        self._statistics.bytesWritten += len(data)
        self.transport.write(data)

    def _giveBackAll(self) -> None:
        """Give back what is taken by now, whatever stands before it in the line."""
        if self._sending is not None:
            self._sending.giveBack()
        replies, self._replies = self._replies, deque()
        for reply in replies:
            if reply[0].done:
                self._giveBack(reply[0])
            else:
                self._replies.append(reply)

    def _giveBack(self, operation: Operation) -> None:
        """Put a message back that nobody is there to receive."""
        if isinstance(operation, Pop) and isinstance(operation.result, Message):
            self.session.undelivered -= operation.result.size
            self.factory.broker.putBack(operation.queue, operation.result)

    def _renderPush(self, operation: Push) -> bytes:
        self._bytes -= len(operation.body)
        if isinstance(operation.result, QueueError):
            return self._renderError(operation.result)
        self._statistics.setHits += 1
        return wire.STORED

    def _ignorePart(self, operation: AddPart) -> bytes:
        self._bytes -= len(operation.data)
        return b""

    def _renderLargePush(self, operation: PushLarge) -> bytes:
        if isinstance(operation.result, QueueError):
            self.session.release(operation.upload)
            return self._renderError(operation.result)
        self._statistics.setHits += 1
        return wire.STORED

    def _ignoreLargePush(self, operation: PushLarge) -> bytes:
        self._renderLargePush(operation)
        return b""

    def _ignorePush(self, operation: Push) -> bytes:
        self._renderPush(operation)
        return b""

    def _renderGet(self, operation: Pop) -> bytes:
        message = operation.result
        if message is None:
            return wire.END
        if isinstance(message, QueueError):
            return self._renderError(message)
        return self._renderValue(operation, wire.END)

    def _renderValue(
        self, operation: Pop, end: bytes = b"", withSequence: bool = False
    ) -> bytes:
        """Return the block of a message and its end, or how a large one begins."""
        self._statistics.getHits += 1
        message: Message = operation.result
        queue = operation.queue
        sequence = message.sequence if withSequence else None
        if message.large is not None:
            self._sending = _LargeValue(self, queue, message, end)
            return wire.formatHead(queue, message.flags, message.large.size, sequence)
        body = message.body
        self.session.undelivered -= len(body)
        return wire.formatValue(queue, message.flags, body, sequence) + end

    def _renderDelete(self, operation: Operation) -> bytes:
        if isinstance(operation.result, QueueError):
            return self._renderError(operation.result)
        return wire.DELETED if operation.result else wire.NOT_FOUND

    def _renderOK(self, operation: Operation) -> bytes:
        if isinstance(operation.result, QueueError):
            return self._renderError(operation.result)
        return wire.OK

    def _renderBytes(self, operation: Operation) -> bytes:
        reply: bytes | QueueError = operation.result
        return self._renderError(reply) if isinstance(reply, QueueError) else reply

    def _renderNothing(self, operation: Operation) -> bytes:
        if isinstance(operation.result, QueueError):
            self._renderError(operation.result)
        return b""

    def _renderError(self, error: QueueError) -> bytes:
        if isinstance(error, StoreError) and not isinstance(error, StoreFailed):
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


class _MultiGet:
    """A get of several names: VALUE blocks, then END or the first error."""

    __slots__ = ("_error", "_protocol", "_queues", "_withSequence")

    def __init__(
        self, protocol: QueueProtocol, queues: Iterator[bytes], withSequence: bool
    ) -> None:
        """Begin to get a message from each of these queues."""
        self._protocol = protocol
        self._queues = queues
        self._withSequence = withSequence
        self._error: QueueError | None = None

    def next(self) -> bytes | None:
        """Return the next name to ask for, None when there is none."""
        return None if self._error is not None else next(self._queues, None)

    def render(self, operation: Pop) -> bytes:
        """Return the block of one message, which may be none."""
        found = operation.result
        if found is None:
            return b""
        if isinstance(found, QueueError):
            self._error = self._error or found
            return b""
        if self._error is not None:
            # The reply has ended in an error: this message must not be lost.
            self._protocol._giveBack(operation)
            return b""
        return self._protocol._renderValue(operation, withSequence=self._withSequence)

    def renderEnd(self, operation: Operation) -> bytes:
        """Return what ends the reply."""
        if self._error is None:
            return wire.END
        return self._protocol._renderError(self._error)


class _LargeValue:
    """A message that is being sent in parts, after its head."""

    __slots__ = (
        "_end",
        "_message",
        "_next",
        "_protocol",
        "_queue",
        "_setAside",
        "_waits",
    )

    def __init__(
        self, protocol: QueueProtocol, queue: bytes, message: Message, end: bytes
    ) -> None:
        """Begin with the first part.

        :param end: what comes after the block.
        """
        self._protocol = protocol
        self._queue = queue
        self._message = message
        self._end = end
        self._next = 0
        #: Whether the message has turned out to be damaged.
        self._setAside = False
        #: Whether others have their turn before it goes on.
        self._waits = False

    def send(self) -> bool:
        """Send as many parts as the client takes; return whether that was all."""
        protocol, large = self._protocol, self._message.large
        assert large is not None
        most = self._next + PARTS_AT_ONCE
        while not protocol.session.blocked and not self._waits:
            if self._next == large.parts:
                protocol._sending = None
                protocol._send(b"\r\n" + self._end)
                protocol.session.delivered(large)
                return True
            if self._next == most:
                self._waits = True
                protocol.session.later(self._goOn)
                break
            try:
                part = protocol.session.part(large, self._next)
            except QueueError as error:
                self._giveUp(error)
                break
            self._next += 1
            protocol._send(part)
        return False

    def _goOn(self) -> None:
        self._waits = False
        self._protocol._deliver()

    def _giveUp(self, error: QueueError) -> None:
        """Cut the connection: there is no other way to tell that no more will come."""
        protocol = self._protocol
        _log.error(
            "A message of {size} bytes of queue {queue!r} breaks off: {error}",
            size=self._message.size,
            queue=self._queue,
            error=error,
        )
        # Nothing of the next replies may follow: they would pass for the rest.
        self._waits = True
        if isinstance(error, DamagedMessage):
            self._setAside = True
            protocol.session.setAside(self._message)
        protocol.transport.abortConnection()

    def giveBack(self) -> None:
        """Put the message back, unless it is damaged: its reader is gone."""
        protocol = self._protocol
        protocol._sending = None
        if self._setAside:
            return
        protocol.session.undelivered -= self._message.size
        protocol.factory.broker.putBack(self._queue, self._message)


_COMMANDS: dict[type, Callable[[QueueProtocol, Any], None]] = {
    wire.Delete: QueueProtocol._delete,
    wire.FlushAll: QueueProtocol._flushAll,
    wire.Stats: QueueProtocol._stats,
    wire.Version: QueueProtocol._version,
    wire.Verbosity: QueueProtocol._verbosity,
    wire.Checkpoint: QueueProtocol._checkpoint,
    wire.Archive: QueueProtocol._archive,
    wire.Quit: QueueProtocol._quit,
    wire.Refused: QueueProtocol._refused,
}
