"""Connections that send at once.

Twisted's transports register with the reactor and send on its next round: two
system calls to change the registration and a trip through the event loop before
each reply.  These try to send right away, and register only for what the kernel
did not take.  That won 20 to 40 % of throughput when it was measured.

They are taken a few at a time, and watched by a :class:`memq.poller.Poller`, which
wins another 20 %.
"""

from __future__ import annotations

from select import POLLRDHUP, poll
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp, unix

from memq.poller import Poller

if TYPE_CHECKING:
    from twisted.internet.interfaces import IListeningPort


#: Connections that are taken in one round of the reactor; each takes 0.1 ms.  With 40,
#: of a thousand that come at once, one in a hundred waited 230 ms, and 97 with these.
ACCEPTS = 100


class _SendsAtOnce(tcp.Connection):
    """Mix into a stream transport, before it in the order of bases."""

    #: Whether the last attempt to send left nothing behind.
    _sentAll = False
    #: Whether the reactor was asked to say when more can be sent.
    _registered = False
    _aborted = False

    def hasLeft(self) -> bool:
        """Return whether the other end sends no more, whatever is still to be read."""
        looking = poll()
        looking.register(self.socket, POLLRDHUP)
        return bool(looking.poll(0))

    def write(self, data: bytes) -> None:
        """Send data, or what the kernel takes of it; the rest is buffered."""
        if self._aborted:
            return
        # What is not registered has nothing buffered.
        if self.connected and not (self._registered or self.disconnecting):
            # writeSomeData would do, for a microsecond more a reply.
            try:
                sent = self.socket.send(data)
            except OSError:
                # It shows again when what is buffered is sent.
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        super().write(data)

    def startWriting(self) -> None:
        """Send what is buffered; register only when some of it stays."""
        self._sentAll = False
        if self.doWrite() is not None or not self._sentAll:
            self._register()

    def _register(self) -> None:
        self._registered = True
        super().startWriting()

    def stopWriting(self) -> None:
        """Note that everything is sent."""
        self._sentAll = True
        if self._registered:
            self._registered = False
            super().stopWriting()

    def abortConnection(self) -> None:
        """Close in the reactor's next round, and send nothing until then."""
        self._aborted = True
        super().abortConnection()

    def loseConnection(self, *reason: Any) -> None:
        """Close when everything is sent; the reactor does it, in its next round."""
        super().loseConnection(*reason)
        if self.connected and self.disconnecting:
            self._register()


class EagerServer(_SendsAtOnce, tcp.Server):
    """A TCP connection that sends at once."""


class EagerUNIXServer(_SendsAtOnce, unix.Server):
    """A UNIX socket's connection that sends at once."""


def sendAtOnce(port: IListeningPort) -> IListeningPort:
    """Make connections of a port send at once, where they are plain sockets."""
    server: Any
    if isinstance(port, unix.Port):
        server = EagerUNIXServer
    elif isinstance(port, tcp.Port):
        server = EagerServer
    else:
        return port
    poller = Poller(port.reactor)

    def connect(*arguments: Any) -> Any:
        """Make the transport of a connection; the last argument is the reactor."""
        return server(*arguments[:-1], poller)

    accept = port.doRead

    def acceptSome() -> None:
        """Take those who wait, but not all at once: others are to be served."""
        # Twisted would take ever more of them, up to the whole backlog.
        port.numberAccepts = ACCEPTS
        accept()

    port.transport = connect  # type: ignore[assignment]
    port.doRead = acceptSome  # type: ignore[method-assign]
    return port
