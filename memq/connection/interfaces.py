"""Interfaces: what a connection needs of its server, its transport, and its commands.

These are built on connections, and so above them: here is what connections may know of
them.  memq.commands asks for more of the server, see its ``host``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from zope.interface import Attribute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.python.failure import Failure

    from memq.access.admission import AccessControl
    from memq.broker.interfaces import IEngine
    from memq.operations.base import Operation

#: Makes the reply of what an operation has found.
Render = Callable[[Any], bytes]


class Witness(ABC):
    """Makes a reply as any Render, and has to know what came of the operation anyway.

    It is called, or told that nobody is there to get the reply; of an operation with a
    rest, so is the render of that.
    """

    __slots__ = ()

    @abstractmethod
    def __call__(self, operation: Any) -> bytes:
        """Make the reply."""

    @abstractmethod
    def abandon(self, operation: Operation) -> None:
        """Note that it is done, and that the client is gone."""

    @abstractmethod
    def look(self, operation: Operation) -> None:
        """Note that it is done, and that the reply has to wait for the client."""


class ITransport(ITCPTransport, IConsumer, IPushProducer):
    """The transport of a connection."""

    disconnecting = Attribute("Whether loseConnection was called.")

    def keepLittle() -> None:
        """Let the system keep little that has not arrived."""


class Source(Protocol):
    """Where a message came from that is sent; it is told what became of that."""

    @property
    def queue(self) -> bytes:
        """Return the queue that it was taken from."""

    def sent(self) -> None:
        """Note that all of a body in parts was sent."""

    def leaves(self) -> None:
        """Note that it was sent to its end, and may not have arrived."""

    def arrived(self) -> None:
        """Note that the message has arrived."""

    def lost(self) -> None:
        """Note that the message was sent and has not arrived."""

    def damaged(self) -> None:
        """Note that a part of the body is damaged."""

    def unsent(self) -> None:
        """Note that not all of it is sent: its reader is gone."""


class ValueInParts(Protocol):
    """A message whose body is being sent in parts.

    :ivar key: the name of its queue, as it was asked for.
    :ivar source: is told whether the message was sent.
    """

    key: bytes
    source: Any

    @property
    def left(self) -> int:
        """Return how many bytes are to be sent, but for the last part and the end."""

    def send(self) -> bool:
        """Send as many parts as the client takes; return whether that was all."""

    def giveBack(self) -> None:
        """Put the message back: its reader is gone."""


class PartialGet(Protocol):
    """A get of many names, which is asked for a slice at a time."""

    @property
    def queues(self) -> Sequence[bytes]:
        """Return the names that were not asked for so far."""

    @property
    def isOver(self) -> bool:
        """Return whether all was asked for."""

    def ask(self) -> tuple[Operation, Render]:
        """Ask for the next slice; return its operation, and what renders that."""


class Receiver(Protocol):
    """Makes commands of what a client sends.

    :ivar command: the one whose body is being received, None if none is.
    :ivar paused: whether it keeps what comes, unread.
    :ivar closing: whether no more commands are taken, for good.
    :ivar heard: whether anything came since somebody set it to False.
    """

    command: Any
    paused: bool
    closing: bool
    heard: bool

    @property
    def missing(self) -> int:
        """Return how many bytes of a body are still to come."""

    def makeConnection(self, transport: Any) -> None:
        """Take the transport, which is paused and resumed."""

    def dataReceived(self, data: bytes) -> None:
        """Take what came."""

    def pauseProducing(self) -> None:
        """Take no more for now, and read no more."""

    def resumeProducing(self) -> None:
        """Go on with what was kept, and read on."""

    def close(self) -> None:
        """Take no more commands, and forget what came of the next one."""

    def connectionLost(self, reason: Failure) -> None:
        """Forget what came of the next command."""


class Counters(Protocol):
    """Counters of all connections."""

    bytesRead: int
    bytesWritten: int


class Watchdog(Protocol):
    """Notices that a client's machine has vanished."""

    def begin(self, transport: Any) -> None:
        """Watch the other end of a connection."""


class Ending(Protocol):
    """Something that a client has begun, and that goes on for several commands."""

    def end(self) -> None:
        """End it: the client is gone."""


class Strangers(Protocol):
    """Connections of clients that have still to say who they are."""

    def hear(self, call: Callable[[], object]) -> bool:
        """Call this now, or in a later turn of the reactor; return whether now."""

    def leave(self, call: Callable[[], object]) -> None:
        """Call this no more, which may wait for its turn."""

    def add(self, connection: Any) -> None:
        """Take one more, at the cost of the one that has taken longest."""

    def remove(self, connection: Any) -> None:
        """Forget one that is known, or gone."""


class Host(Protocol):
    """The server.

    :ivar broker: runs operations.
    :ivar maxBody: bytes of the largest body.
    :ivar lingering: connections that are gone, and whose commands are under way.
    :ivar traces: whether each command is logged.
    """

    broker: IEngine
    maxBody: int
    lingering: int
    traces: bool

    @property
    def statistics(self) -> Counters:
        """Return what is counted of all connections."""

    @property
    def access(self) -> AccessControl:
        """Return what knows the users."""

    @property
    def strangers(self) -> Strangers:
        """Return what bounds the number of unknown clients."""

    @property
    def keepalive(self) -> Watchdog:
        """Return what notices that a client's machine has vanished."""

    def connected(self, connection: Any) -> None:
        """Count a connection in."""

    def receivesNoMore(self, connection: Any) -> None:
        """Note that all was received that its client sends."""

    def disconnected(self, connection: Any) -> None:
        """Count a connection out."""
