"""Gate: what a connection and its transport tell each other."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IConsumer,
    IPushProducer,
    ITCPTransport,
    IUNIXTransport,
)
from zope.interface import Attribute, implementer


class Sender(Protocol):
    """What sends to a transport."""

    def block(self) -> None:
        """Note that the other end does not read."""

    def unblock(self) -> None:
        """Note that it reads again."""


@implementer(IPushProducer)
class WriteGate:
    """Tell a connection when its transport's buffer is full, and when it is not."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Sender) -> None:
        """Stand between a transport and this connection."""
        self._connection = connection

    def pauseProducing(self) -> None:
        """Note that the client does not read."""
        self._connection.block()

    def resumeProducing(self) -> None:
        """Note that it reads again."""
        self._connection.unblock()

    def stopProducing(self) -> None:
        """Do nothing: connectionLost follows."""


class ITransport(ITCPTransport, IConsumer, IPushProducer):
    """What a connection's transport provides."""

    disconnecting = Attribute("Whether loseConnection was called.")

    def keepLittle() -> None:
        """Let the system keep little that has not arrived."""


def isTCP(transport: object) -> bool:
    """Return whether a transport is TCP's."""
    # That of a UNIX socket says that it is, too, and refuses what it is asked.
    return ITCPTransport.providedBy(transport) and not IUNIXTransport.providedBy(
        transport
    )


def nameOf(address: object) -> str:
    """Return what the log calls the client at an address."""
    if isinstance(address, IPv4Address | IPv6Address):
        return f"{address.host}:{address.port}"
    return "a local client"
