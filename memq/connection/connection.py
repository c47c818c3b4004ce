"""Connection: what a client is answered leaves in the order of its commands.

Each command appends to ``_replies`` an operation and the function that will render its
result; whenever operations are done, all that stands ready at the front is sent in one
write.

What a connection can pile up is bounded: reading pauses when too many replies
or bytes of bodies are under way, and the session takes no more messages for a
client that does not read those it got.  How much is too much, the budget says, from
what all connections hold; so each tells it what it holds itself.

A large body leaves in parts as fast as the client reads them; nothing else is sent in
between.

Which commands there are, it does not know: see :mod:`memq.commands.protocol`, which
builds on what is here, and adds to ``_load`` what bodies count.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from zope.interface import implementer

from memq.broker.memorybudget import ALLOWANCE, BodyReservation, Share
from memq.broker.session import BLOCKED
from memq.connection.arrivals import Arrivals
from memq.connection.gate import ITransport, WriteGate, isTCP, nameOf
from memq.connection.receiver import CommandReceiver
from memq.connection.unsent import giveBackAll
from memq.errors import OutOfSpace, QueueError, StoreError, StoreFailed
from memq.wire import text as wire

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from memq.connection.host import Host
    from memq.connection.pieces import PartialGet, Render, ValueInParts
    from memq.operations.base import Operation
    from memq.operations.pops import Pop
    from memq.operations.pushes import Push

#: What a command counts that is under way, besides its body.
COMMAND_LOAD = 2048

_log = Logger()


@implementer(IHalfCloseableProtocol)
class Connection(CommandReceiver):
    """Answer one client.

    CPython 3.11 keeps up to 29 attributes of an instance in places that it knows
    beforehand; with one more, a command took 2,000 instructions more.

    :ivar pushes: the last of the replies, if another set of the same packet may join.
    """

    transport: ITransport

    def __init__(self, factory: Host) -> None:
        super().__init__(factory.maxBody, factory.statistics)
        self.factory: Host = factory
        self.session = factory.broker.session(self.deliver, self._count)
        self._budget = factory.broker.budget
        self._statistics = factory.statistics
        #: What is to be answered, in order.
        self._replies: deque[tuple[Operation, Render]] = deque()
        #: What that counts as.
        self._load = 0
        #: Bytes that the transport keeps for a client that does not read.
        self._unsent = 0
        #: What the budget knows of that this connection holds.
        self._counted = 0
        #: The room for a body that comes in pieces.
        self._room: BodyReservation | None = None
        #: Whether operations are under way though the client is gone.
        self._lingers = False
        self.pushes: Push | None = None
        #: The same for gets.
        self._pops: Pop | None = None
        #: A get whose names have not all been asked for.
        self._getting: PartialGet | None = None
        #: The message whose body is being sent in parts.
        self._sending: ValueInParts | None = None

    def connectionMade(self) -> None:
        """Begin."""
        self.factory.connected(self)
        if isTCP(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
            self.factory.keepalive.begin(self.transport)
        self.transport.registerProducer(WriteGate(self), True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End: what was taken for this client and not sent goes back."""
        self.factory.disconnected(self)
        if isinstance(self._replies, Arrivals):
            self._replies.settle()
        super().connectionLost(reason)
        self._unsent = 0
        self.session.leave()
        self.deliver()

    def foreseeEnd(self) -> None:
        """Remember what is sent until it has arrived: the client may be gone."""
        if self.owes and not isinstance(self._replies, Arrivals):
            self._replies = Arrivals(self)
            self.transport.keepLittle()

    def readConnectionLost(self) -> None:
        """Answer what was asked, and close: the client sends no more."""
        if not hasattr(self.transport, "unacknowledged"):
            # What becomes of the answers would not be known.
            self.transport.abortConnection()
            return
        self.foreseeEnd()
        self.close()
        self.factory.receivesNoMore(self)
        self.session.receiveNoMore()
        self.deliver()

    def writeConnectionLost(self) -> None:
        """Do nothing: what was sent last is on its way."""

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
        """Whether something is still to be answered, or has to arrive."""
        replies = self._replies
        if replies or self._sending is not None:
            return True
        return isinstance(replies, Arrivals) and not replies.look()

    @property
    def isFinishing(self) -> bool:
        """Whether all is answered, and some of that still has to arrive."""
        replies = self._replies
        return isinstance(replies, Arrivals) and replies.isFinishing

    @property
    def replies(self) -> deque[tuple[Operation, Render]]:
        """Return what is to be answered, in order."""
        return self._replies

    @property
    def sending(self) -> ValueInParts | None:
        """Return the message whose body is being sent in parts."""
        return self._sending

    @property
    def hasLeft(self) -> bool:
        """Whether the client has ended the connection, if its transport knows that."""
        look = getattr(self.transport, "hasLeft", None)
        return look is not None and bool(look())

    def holds(self, queue: bytes) -> bool:
        """Return whether a message that was taken from a queue may go back to it."""
        sending = self._sending
        if sending is not None and sending.key.partition(b"/")[0] == queue:
            return True
        replies = self._replies
        if isinstance(replies, Arrivals) and replies.holds(queue):
            return True
        return any(
            getattr(operation, "queue", None) == queue for operation, _ in replies
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

    def hold(self) -> None:
        """Carry out nothing that comes behind, until ``release`` and ``deliver``."""
        # Room that there never is.
        self._room = BodyReservation(Share(0), 1, lambda: None)
        self.pauseProducing()

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

    # What is to be answered.

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
            self.hangUp()

    def hangUp(self) -> None:
        """Take no more commands; close when those taken are answered."""
        self.close()
        if self.session.mayWait:
            # What comes is dropped, but for the news that the client is gone.
            self.transport.resumeProducing()

    def _askForMore(self) -> None:
        """Ask for the messages of a get of many names, a slice at a time."""
        self.pushes = self._pops = None
        getting = self._getting
        while getting is not None and self._load < self._budget.window:
            self._replies.append(getting.ask())
            self._load += COMMAND_LOAD
            if getting.isOver:
                getting = self._getting = None
        if getting is not None and not self.paused:
            self.pauseProducing()

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
            if session.inbox:
                session.catchUp()
            if self._sending is None:
                break
        if self._counted or self._unsent:
            self._count()
        if self._getting is not None:
            self._askForMore()
        if self.closing:
            if not replies and self._sending is None:
                self._end()
        elif (
            self.paused
            and self._getting is None
            and not self._isFull()
            and not self.transport.disconnecting
        ):
            if isinstance(replies, Arrivals):
                replies.look()
            self.resumeProducing()

    def _end(self) -> None:
        """Close: everything is answered."""
        replies = self._replies
        if self.transport.disconnecting or (
            isinstance(replies, Arrivals) and not replies.finish()
        ):
            return
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def send(self, data: bytes) -> None:
        """Send; nothing else may be due before it."""
        self._statistics.bytesWritten += len(data)
        self.transport.write(data)
        if self.session.state is BLOCKED:
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
        self._replies.extend(giveBackAll(self.session, replies))
        self._linger(bool(self._replies))

    def _linger(self, lingers: bool) -> None:
        """Note whether something is under way for a client that is gone."""
        if lingers != self._lingers:
            self._lingers = lingers
            self.factory.lingering += 1 if lingers else -1
        if not lingers:
            self._load = 0
            self._count()

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
        return nameOf(self.transport.getPeer())
