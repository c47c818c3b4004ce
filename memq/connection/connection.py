"""Connection: one client, its transport, and the parts that serve it.

A receiver makes commands of bytes and hands them to an object that carries them out;
what these are answered leaves through the replies, in order.  The connection moves all
three: it sends what is ready, reads on or pauses, and ends.

The load of a connection is bounded: reading pauses when too many replies or bytes of
bodies are under way, and the session takes no more messages for a client that does not
read those it got.  How much is too much, the budget says, from what all connections
hold; so the ledger of each tells it what it holds.

Which commands there are, it does not know: see :mod:`memq.commands.protocol`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IPushProducer,
    ITCPTransport,
    IUNIXTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from zope.interface import implementer

from memq.access.admission import OPEN
from memq.broker.memorybudget import BodyReservation, Share
from memq.broker.session import BLOCKED
from memq.connection.gone import release
from memq.connection.packets import PacketReceiver
from memq.connection.receiver import CommandReceiver
from memq.connection.replies import Replies
from memq.display import shownText
from memq.wire.forms import PLAIN
from memq.wire.packets import REQUEST

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from memq.access.admission import AccessControl, Entry
    from memq.access.users import User
    from memq.connection.interfaces import Ending, Host, ITransport, Receiver
    from memq.connection.receiver import CommandSink
    from memq.errors import QueueError

#: The first byte of a connection in the binary protocol.
REQUEST_BYTE = bytes([REQUEST])


@implementer(IPushProducer)
class WriteGate:
    """Tell a connection when its transport's buffer is full, and when it is not."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def pauseProducing(self) -> None:
        """Note that the client does not read."""
        self._connection.block()

    def resumeProducing(self) -> None:
        """Note that it reads again."""
        self._connection.unblock()

    def stopProducing(self) -> None:
        """Do nothing: connectionLost follows."""


def isTCP(transport: object) -> bool:
    """Return whether a transport is TCP's."""
    # That of a UNIX socket says that it is, too, and refuses what it is asked.
    return ITCPTransport.providedBy(transport) and not IUNIXTransport.providedBy(
        transport
    )


@implementer(IHalfCloseableProtocol)
class Connection(Protocol):
    """Serve one client.

    CPython 3.11 keeps up to 29 attributes of an instance in places that it knows
    beforehand; with one more, a command took 2,000 instructions more.

    :ivar receiver: makes commands of what comes in.
    :ivar replies: what is to be answered.
    :ivar outstanding: what is charged to the client.
    """

    transport: ITransport
    #: The import of the client; few have one.
    importing: Ending | None = None
    #: What the listener asks of its clients.
    admission = OPEN
    #: Who the client is, and how it came in; None for anybody.
    entry: Entry | None = None

    def __init__(
        self,
        host: Host,
        makeCommands: Callable[[Connection], CommandSink],
        receiver: type[CommandReceiver] = CommandReceiver,
    ) -> None:
        """Put the parts together.

        :param makeCommands: returns what carries out the commands of a connection.
        """
        self.host = host
        self._statistics = host.statistics
        self._budget = budget = host.broker.budget
        self.session = host.broker.session(self.deliver)
        self.outstanding = self.session.outstanding
        self.replies = Replies(self.session, budget, self._send, self.catchUp)
        self._commands = makeCommands(self)
        self.receiver: Receiver = receiver(
            self._commands, host.maxBody, host.statistics
        )
        #: The room for a body that comes in pieces.
        self._room: BodyReservation | None = None
        #: Whether operations are under way though the client is gone.
        self._lingers = False

    def connectionMade(self) -> None:
        """Begin."""
        self.receiver.makeConnection(self.transport)
        self.host.connected(self)
        if isTCP(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
            self.host.keepalive.begin(self.transport)
        self.transport.registerProducer(WriteGate(self), True)

    def dataReceived(self, data: bytes) -> None:
        """Take the first bytes, which tell the protocol; all others go past this."""
        if data.startswith(REQUEST_BYTE) and not self.receiver.closing:
            self.receiver = PacketReceiver(
                self._commands, self.host.maxBody, self._statistics
            )
            self.receiver.makeConnection(self.transport)
        # Not by a method, which would be a call more for each packet: 200 instructions.
        self.dataReceived = self.receiver.dataReceived  # type: ignore[method-assign]
        self.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End: what was taken for this client and not sent goes back."""
        self.host.disconnected(self)
        if self.replies.arrivals is not None:
            self.replies.arrivals.settle()
        self.receiver.connectionLost(reason)
        self.outstanding.unsent = 0
        if self.importing is not None:
            self.importing.end()
        self.session.leave()
        self.deliver()

    def foreseeEnd(self) -> None:
        """Remember what is sent until it has arrived: the client may be gone."""
        self.replies.foreseeEnd(self.transport)

    def readConnectionLost(self) -> None:
        """Answer what was asked, and close: the client sends no more."""
        if not hasattr(self.transport, "unacknowledged"):
            # Nobody would know what becomes of the answers.
            self.transport.abortConnection()
            return
        self.foreseeEnd()
        self.receiver.close()
        self.host.receivesNoMore(self)
        self.session.receiveNoMore()
        self.deliver()

    def writeConnectionLost(self) -> None:
        """Do nothing: what was sent last is on its way."""

    def giveUp(self, error: QueueError) -> None:
        """Answer a body that does not come an error, after all before it, and close.

        No command before it waits for a message any more.
        """
        command = self.receiver.command
        self._commands.refuse(error, PLAIN if command is None else command.form)
        self.session.hurry()
        self.deliver()

    def finish(self) -> None:
        """Take no more commands; close when those taken are answered, at once."""
        self.receiver.close()
        self.session.hurry()
        self.deliver()

    def hangUp(self) -> None:
        """Take no more commands; close when those taken are answered."""
        self.receiver.close()
        if self.session.mayWait:
            # Everything is dropped, but for the news that the client is gone.
            self.transport.resumeProducing()

    def block(self) -> None:
        """Take no more from a client that does not read what it is sent."""
        self.session.block()
        self._pause()

    def unblock(self) -> None:
        """Go on: the client reads again."""
        self.receiver.heard = True
        self.outstanding.unsent = 0
        self.session.unblock()
        self.deliver()

    @property
    def user(self) -> User | None:
        """Return who the client is; None for anybody."""
        return None if self.entry is None else self.entry.user

    @property
    def userName(self) -> str | None:
        """Return the name of its user as it can be shown; None for anybody."""
        return None if self.entry is None else shownText(self.entry.user.name)

    @property
    def told(self) -> dict[str, str | None]:
        """Return what an event of the log has of the client.

        :return: ``client`` for its words; ``peer`` and ``user`` by themselves.
        """
        peer, user = self.peer, self.userName
        client = peer if user is None else f"{peer} (user {user})"
        return {"client": client, "peer": peer, "user": user}

    def admitAgain(self, access: AccessControl) -> None:
        """Cut the client off if its listener asks who it is by now."""
        if not access.isOpen(self.admission):
            self.cutOff()

    def cutOff(self) -> None:
        """End the connection soon: its client may be the one that asks for that."""
        self.session.later(self.transport.abortConnection)

    @property
    def owes(self) -> bool:
        """Whether something is still to be answered, or has to arrive."""
        return self.replies.owes

    @property
    def isFinishing(self) -> bool:
        """Whether all is answered, and some of that still has to arrive."""
        arrivals = self.replies.arrivals
        return arrivals is not None and arrivals.isFinishing

    @property
    def hasLeft(self) -> bool:
        """Whether the client has ended the connection, if its transport knows that."""
        look = getattr(self.transport, "hasLeft", None)
        return look is not None and bool(look())

    @property
    def peer(self) -> str:
        """Return what the log calls the client."""
        address = self.transport.getPeer()
        if isinstance(address, IPv4Address | IPv6Address):
            return f"{address.host}:{address.port}"
        owner = getattr(self.transport, "owner", None)
        found = None if owner is None else owner()
        if found is None:
            return "a local client"
        return "a local client (process {}, user {})".format(*found)

    # Input.

    def reserve(self, size: int) -> bool:
        """Find room for a body that comes in pieces, or pause until there is.

        :return: False when the body is to be refused.
        """
        room = self._room = self._budget.reserve(size, self._cbRoom)
        if room is not None and room.isWaiting:
            self.receiver.pauseProducing()
        return room is not None

    def _cbRoom(self) -> None:
        # Not at once: somebody else is in the middle of giving it back.
        self.session.later(self.deliver)

    def hold(self) -> None:
        """Carry out nothing that comes behind, until ``release`` and ``deliver``."""
        # Room that there never is.
        self._room = BodyReservation(Share(0), 1, lambda: None)
        self.receiver.pauseProducing()

    def release(self) -> None:
        """Give that room back, or wait for it no longer."""
        room, self._room = self._room, None
        assert room is not None
        room.giveBack()

    def _pause(self) -> None:
        if not self.receiver.paused:
            self.receiver.pauseProducing()

    def _isFull(self) -> bool:
        return (
            self.outstanding.load >= self._budget.window
            or self.session.blocked
            or (self._room is not None and self._room.isWaiting)
        )

    def catchUp(self) -> None:
        """Send what is ready; read no more when that was too little."""
        self.deliver()
        if self._isFull():
            self._pause()

    def askForMore(self) -> None:
        """Ask for more of a get of many names, and read no more before all is asked."""
        self.replies.askForMore()
        if self.replies.getting is not None:
            self._pause()

    # Output.

    def deliver(self) -> None:
        """Send all replies that are ready, in order; then read on, or end."""
        if self.session.gone:
            self._giveBack()
            return
        replies, outstanding = self.replies, self.outstanding
        replies.drain()
        if outstanding.counted or outstanding.unsent:
            outstanding.report()
        if replies.getting is not None:
            self.askForMore()
        receiver = self.receiver
        if receiver.closing:
            if replies.isOver:
                self._end()
        elif receiver.paused:
            self._resume()

    def _resume(self) -> None:
        replies = self.replies
        if (
            replies.getting is None
            and not self._isFull()
            and not self.transport.disconnecting
        ):
            if replies.arrivals is not None:
                replies.arrivals.look()
            self.receiver.resumeProducing()

    def _end(self) -> None:
        arrivals = self.replies.arrivals
        if self.transport.disconnecting or (
            arrivals is not None and not arrivals.finish()
        ):
            return
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _send(self, data: bytes) -> None:
        self._statistics.bytesWritten += len(data)
        self.transport.write(data)
        if self.session.state is BLOCKED:
            # Some of it may have gone out; that is known when all of it has.
            self.outstanding.unsent += len(data)

    def _giveBack(self) -> None:
        """Give back what is done; note whether something is under way."""
        lingers = self.replies.giveBack()
        if lingers != self._lingers:
            self._lingers = lingers
            self.host.lingering += 1 if lingers else -1
        if not lingers:
            self.outstanding.clear()
            release(self)
