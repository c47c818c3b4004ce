"""What a connection needs of the server that it belongs to.

The server is built on connections, and so above them: here is what these may know of
it.  memq.commands asks for more, see its ``host``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from memq.broker.broker import Broker


class Counters(Protocol):
    """What is counted of all connections."""

    bytesRead: int
    bytesWritten: int


class Watchdog(Protocol):
    """Notices that a client's machine has vanished."""

    def begin(self, transport: Any) -> None:
        """Watch the other end of a connection."""


class Host(Protocol):
    """The server.

    :ivar maxBody: bytes of the largest body.
    :ivar lingering: connections that are gone, and whose commands are under way.
    :ivar verbose: whether errors that clients are told are logged.
    """

    lingering: int

    @property
    def broker(self) -> Broker:
        """Return what runs operations."""

    @property
    def maxBody(self) -> int:
        """Return the bytes of the largest body."""

    @property
    def verbose(self) -> bool:
        """Return whether errors that clients are told are logged."""

    @property
    def statistics(self) -> Counters:
        """Return what is counted of all connections."""

    @property
    def keepalive(self) -> Watchdog:
        """Return what notices that a client's machine has vanished."""

    def connected(self, connection: Any) -> None:
        """Count a connection in."""

    def receivesNoMore(self, connection: Any) -> None:
        """Note that all was received that its client sends."""

    def disconnected(self, connection: Any) -> None:
        """Count a connection out."""
