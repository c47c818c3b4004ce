"""QueueProtocol: one client's connection, in the memcached text protocol.

A LineReceiver that changes into raw mode for a body that arrives in pieces.
Commands that are whole in the data at hand are taken from it directly, which is
what makes it fast; only what is left over, a line or a body in pieces, goes
through LineReceiver's buffers.  Both ways lead through the same grammar and the
same two methods, ``_execute`` and ``_executeWithBody``.

Replies leave in the order of the commands.  Each command appends to ``_replies``
an operation and the function that will render its result; whenever operations
are done, all that stands ready at the front is sent in one write.

What a connection can pile up is bounded: reading pauses when too many replies
or bytes of bodies are under way, and the session takes no more messages for a
client that does not read those it got.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from zope.interface import implementer

from memq import __version__, wire
from memq.broker import Ask, Delete, EmptyAll, Operation, Pop
from memq.errors import (
    BadChunk,
    BadLine,
    BodyTooLarge,
    FlushAllDisabled,
    LineTooLong,
    QueueError,
    StoreError,
    StoreFailed,
    UnknownCommand,
)
from memq.message import Message

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from memq.broker import Session
    from memq.factory import QueueFactory

#: Replies under way at which a connection is not read from any more.
MAX_REPLIES = 1024
#: Bytes of bodies under way at which a connection is not read from any more.
MAX_BYTES = 2 * 1024 * 1024

_CRLF = b"\r\n"
_CR = 13

_log = Logger()

_Render = Callable[[Operation], bytes]


@implementer(IPushProducer)
class _WriteGate:
    """Tell a session when its transport's buffer is full, and when it is not."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        """Stand between a transport and this session."""
        self._session = session

    def pauseProducing(self) -> None:
        """Note that the client does not read."""
        self._session.block()

    def resumeProducing(self) -> None:
        """Note that it reads again."""
        self._session.unblock()

    def stopProducing(self) -> None:
        """Do nothing: connectionLost follows."""


class _ITransport(ITCPTransport, IConsumer):
    """What a connection's transport provides."""


class QueueProtocol(LineReceiver):
    """Carry out the commands of one connection."""

    transport: _ITransport
    delimiter = b"\n"
    #: LineReceiver counts a CR at the end of the line.
    MAX_LENGTH = wire.MAX_LINE + 1

    def __init__(self, factory: QueueFactory) -> None:
        """Make the protocol of a connection that is about to be made."""
        self.factory: QueueFactory = factory
        self.session = factory.broker.session(self._deliver)
        self._statistics = factory.statistics
        #: What is to be answered, in order.
        self._replies: deque[tuple[Operation, _Render]] = deque()
        #: Bytes of bodies that are in ``_replies``.
        self._bytes = 0
        #: A get whose names have not all been asked for.
        self._getting: _MultiGet | None = None
        #: The command whose body is being received, and what there is of it.
        self._command: wire.Set | wire.Refused | None = None
        self._chunks: list[bytes] = []
        self._missing = 0
        #: Whether the connection ends once ``_replies`` are sent.
        self._closing = False

    def connectionMade(self) -> None:
        """Begin."""
        self.factory.connected(self)
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        self.transport.registerProducer(_WriteGate(self.session), True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End: what was taken for this client and not sent goes back."""
        self.factory.disconnected(self)
        self._chunks = []
        self._getting = None
        self.session.leave()
        self._deliver()

    # What comes in.

    def dataReceived(self, data: bytes) -> None:
        """Take whole commands from the data; leave pieces to LineReceiver."""
        self._statistics.bytesRead += len(data)
        if self.line_mode and not self.paused:
            self._receive(self.clearLineBuffer() + data)
        else:
            super().dataReceived(data)

    def _receive(self, data: bytes) -> None:
        find = data.find
        length = len(data)
        start = 0
        while not self.paused:
            newline = find(b"\n", start)
            if newline < 0:
                break
            end = newline - (newline > start and data[newline - 1] == _CR)
            if end - start > wire.MAX_LINE:
                break
            command = self._parse(data[start:end])
            if type(command) is wire.Set or (
                type(command) is wire.Refused and command.size is not None
            ):
                body = newline + 1
                after = body + command.size  # type: ignore[operator]
                if after + 2 > length:
                    break
                start = after + 2
                complete = data[after:start] == _CRLF
                self._executeWithBody(command, data[body:after], complete)
            else:
                start = newline + 1
                self._execute(command)
        if start < length and not self._closing:
            super().dataReceived(data[start:])
        self._deliver()

    def lineReceived(self, line: bytes) -> None:
        """Carry out a line that came in pieces, or whose body does."""
        line = line.removesuffix(b"\r")
        if len(line) > wire.MAX_LINE:
            self.lineLengthExceeded(line)
            return
        command = self._parse(line)
        if isinstance(command, wire.Set | wire.Refused) and command.size is not None:
            self._command = command
            self._missing = command.size + 2
            self.setRawMode()
        else:
            self._execute(command)

    def rawDataReceived(self, data: bytes) -> None:
        """Collect a body, or throw it away; execute its command at its end."""
        command, missing = self._command, self._missing
        assert command is not None
        part = data[:missing]
        self._missing = missing = missing - len(part)
        if type(command) is wire.Set:
            self._chunks.append(part)
        if missing:
            return
        body = b"".join(self._chunks)
        self._chunks = []
        self._command = None
        self.setLineMode()
        self._executeWithBody(command, body[:-2], body.endswith(_CRLF))
        rest = data[len(part) :]
        if self.paused:
            super().dataReceived(rest)
        else:
            self._receive(rest)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line that is too long, and close."""
        self._refuse(LineTooLong())

    def _parse(self, line: bytes) -> wire.Command:
        command = wire.parse(line)
        if self.factory.traces:
            _log.info("{peer} {line!r}", peer=self._peer(), line=line[:1000])
        if type(command) is wire.Set and command.size > self.factory.maxBody:
            return wire.Refused(BodyTooLarge(), command.size, command.noreply)
        return command

    def finish(self) -> None:
        """Take no more commands; close when those taken are answered."""
        self._close()
        self._deliver()

    # Commands.

    def _executeWithBody(
        self, command: wire.Command, body: bytes, complete: bool
    ) -> None:
        """Carry out a command whose body has arrived.

        :param complete: whether the body was followed by CR LF.
        """
        if type(command) is not wire.Set:
            self._execute(command)
            return
        self._statistics.setCommands += 1
        if not complete:
            self._refuse(BadChunk(), command.noreply)
            return
        self._bytes += len(body)
        operation = self.session.push(command.queue, command.flags, body)
        self._await(
            operation, self._ignorePush if command.noreply else self._renderPush
        )

    def _execute(self, command: wire.Command) -> None:
        """Carry out a command without a body."""
        if type(command) is wire.Get:
            self._get(command)
        else:
            _COMMANDS[type(command)](self, command)

    def _await(self, operation: Operation, render: _Render) -> None:
        """Answer with what an operation will find, after all replies before it."""
        replies = self._replies
        replies.append((operation, render))
        if len(replies) >= MAX_REPLIES or self._bytes >= MAX_BYTES:
            self._deliver()
            if self._isFull() and not self.paused:
                self.pauseProducing()

    def _isFull(self) -> bool:
        return len(self._replies) >= MAX_REPLIES or self._bytes >= MAX_BYTES

    def _answer(self, reply: bytes) -> None:
        """Answer with this, after all replies before it."""
        self._await(self.session.answered(reply), self._renderBytes)

    def _refuse(self, error: QueueError, noreply: bool = False) -> None:
        render = self._renderNothing if noreply else self._renderBytes
        self._await(self.session.answered(error), render)
        if error.closes:
            self._close()

    def _close(self) -> None:
        """Take no more commands, and close when all replies are sent."""
        self._closing = True
        self.clearLineBuffer()
        self.setLineMode()
        if not self.paused:
            self.pauseProducing()

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
            self._refuse(FlushAllDisabled(), command.noreply)
        elif command.delay:
            self._refuse(BadLine(), command.noreply)
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
        self._close()

    def _refused(self, command: wire.Refused) -> None:
        self._refuse(command.error, command.noreply)

    # What goes out.

    def _deliver(self) -> None:
        """Send all replies that are ready, in order."""
        replies = self._replies
        ready: list[bytes] = []
        while replies and replies[0][0].done:
            operation, render = replies.popleft()
            if self.session.gone:
                self._giveBack(operation)
            else:
                ready.append(render(operation))
        if ready:
            data = b"".join(ready)
            self._statistics.bytesWritten += len(data)
            self.transport.write(data)
            self.session.catchUp()
        if self.session.gone:
            return
        if self._getting is not None:
            self._askForMore()
        if self._closing:
            if not replies:
                self.transport.unregisterProducer()
                self.transport.loseConnection()
        elif self.paused and self._getting is None and not self._isFull():
            self.resumeProducing()

    def _giveBack(self, operation: Operation) -> None:
        """Put a message back that nobody is there to receive."""
        if isinstance(operation, Pop) and isinstance(operation.result, Message):
            self.session.undelivered -= len(operation.result.body)
            self.factory.broker.putBack(operation.queue, operation.result)

    def _renderPush(self, operation: Operation) -> bytes:
        self._bytes -= len(operation.body)  # type: ignore[attr-defined]
        if isinstance(operation.result, QueueError):
            return self._renderError(operation.result)
        self._statistics.setHits += 1
        return wire.STORED

    def _ignorePush(self, operation: Operation) -> bytes:
        self._renderPush(operation)
        return b""

    def _renderGet(self, operation: Operation) -> bytes:
        message = operation.result
        if message is None:
            return wire.END
        if isinstance(message, QueueError):
            return self._renderError(message)
        return self._renderValue(operation) + wire.END

    def _renderValue(self, operation: Operation, withSequence: bool = False) -> bytes:
        self._statistics.getHits += 1
        _, sequence, flags, _, body = operation.result
        self.session.undelivered -= len(body)
        queue = operation.queue  # type: ignore[attr-defined]
        return wire.formatValue(queue, flags, body, sequence if withSequence else None)

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
            self._close()
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

    def render(self, operation: Operation) -> bytes:
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
        return self._protocol._renderValue(operation, self._withSequence)

    def renderEnd(self, operation: Operation) -> bytes:
        """Return what ends the reply."""
        if self._error is None:
            return wire.END
        return self._protocol._renderError(self._error)


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
