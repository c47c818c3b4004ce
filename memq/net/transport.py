"""Transports: they send at once.

Twisted's own register with the reactor and send on its next round: two
system calls to change the registration and a trip through the event loop before
each reply.  These try to send right away, and register only for what the kernel
did not take.  That won 20 to 40 % of throughput when it was measured.

They are taken a few at a time, and watched by a :class:`memq.net.poller.Poller`, which
wins another 20 %.

They can tell what has arrived at the other end's kernel.  A client that shuts down its
writing side looks like one that has closed the connection, until it is sent something
and resets it; what was not acknowledged then was never read.
"""

from __future__ import annotations

from fcntl import ioctl
from select import POLLERR, POLLHUP, POLLRDHUP, poll
from socket import (
    IPPROTO_TCP,
    SO_PEERCRED,
    SO_SNDBUF,
    SOL_SOCKET,
    TCP_INFO,
    TCP_KEEPCNT,
    TCP_KEEPIDLE,
    TCP_KEEPINTVL,
)
from struct import Struct, unpack
from termios import TIOCOUTQ
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IHalfCloseableProtocol

if TYPE_CHECKING:
    from twisted.internet.interfaces import IListeningPort
    from twisted.python.failure import Failure

    from memq.net.poller import Poller

#: Connections that are taken in one round of the reactor; each takes 0.1 ms.  With 40,
#: of a thousand that come at once, one in a hundred waited 230 ms, and 97 with these.
ACCEPTS = 100
#: Bytes that the kernel keeps for a client that sends no more, and about as many again:
#: each message among them is kept here as well, until it has arrived.
LAST_BUFFER = 64 * 1024

#: What SO_PEERCRED tells: process, user and group.
_CREDENTIALS = Struct("3i")
#: The state of a TCP connection of which nothing is left, as TCP_INFO begins with it.
_CLOSED = b"\x07"
#: Where TCP_INFO tells how often data, and questions, were sent again in vain; and how
#: many milliseconds ago data, and an acknowledgement, last came.
_UNANSWERED = slice(2, 4)
_LAST_HEARD = slice(52, 60)
#: Where TCP_INFO tells how many bytes were acknowledged, and how many came.
_TRAFFIC = slice(120, 136)


class _SendsAtOnce(tcp.Connection):
    """Mix into a stream transport, before it in the order of bases."""

    #: The Poller that watches the socket.
    reactor: Any
    #: Whether the last attempt to send left nothing behind.
    _sentAll = False
    #: Whether the reactor was asked to say when more can be sent.
    _registered = False
    _aborted = False

    #: Whether the other end sends no more, and its end is waited for.
    _isLast = False
    #: Bytes that were not acknowledged when the connection ended; those dropped here.
    _lost = 0
    _dropped = 0

    def hasLeft(self) -> bool:
        """Return whether the connection has ended, whatever is still to be read.

        When the other end only sends no more, the protocol is told so.
        """
        looking = poll()
        looking.register(self.socket, POLLRDHUP)
        events = sum(event for _, event in looking.poll(0))
        if events:
            self.foreseeEnd()
        return bool(events & (POLLHUP | POLLERR))

    def foreseeEnd(self) -> None:
        """Tell the protocol that the other end sends no more than is to be read."""
        foresee = getattr(self.protocol, "foreseeEnd", None)
        if foresee is not None:
            foresee()

    def readConnectionLost(self, reason: Failure) -> None:
        """Let a protocol that owes something pay; otherwise this is the end."""
        protocol: Any = IHalfCloseableProtocol(self.protocol, None)
        if protocol is not None and (protocol.owes or self._registered):
            self._isLast = True
            self.reactor.watchEnd(self)
            super().readConnectionLost(reason)
        else:
            self.connectionLost(reason)

    def keepLittle(self) -> None:
        """Let the kernel keep little that has not arrived."""

    def unacknowledged(self) -> int:
        """Return how many bytes, of those written, have not arrived."""
        if not hasattr(self, "socket"):
            return self._lost
        buffered = len(self.dataBuffer) - self.offset + self._tempDataLen
        return self._dropped + buffered + self._underWay()

    def _underWay(self) -> int:
        # Data that is written to a UNIX socket is with the other end.
        return 0

    def finishWriting(self) -> None:
        """Close when everything has arrived, and then only tell of the end."""
        self.loseConnection()

    def isArriving(self) -> bool:
        """Return whether that is still to be seen, though both directions are shut."""
        return False

    def connectionLost(self, reason: Failure) -> None:
        """Remember what has not arrived."""
        if self._isLast:
            self._isLast = False
            self.reactor.forget(self)
        if hasattr(self, "socket"):
            self._lost = self.unacknowledged()
        super().connectionLost(reason)

    def write(self, data: bytes) -> None:
        """Send data, or what the kernel takes of it; the rest is buffered."""
        if self._aborted:
            self._dropped += len(data)
            return
        # A transport that is not registered has nothing buffered.
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

    def keepLittle(self) -> None:
        """Let the kernel keep little that has not arrived."""
        self.socket.setsockopt(SOL_SOCKET, SO_SNDBUF, LAST_BUFFER)

    def askMachine(self, idle: int, interval: int, count: int) -> None:
        """Ask whether the other end's machine is there, when nothing came for a while.

        :param idle: seconds after which it is asked first.
        :param interval: seconds after which it is asked again.
        :param count: how often it is asked before the connection ends.
        """
        for option, value in (
            (TCP_KEEPIDLE, idle),
            (TCP_KEEPINTVL, interval),
            (TCP_KEEPCNT, count),
        ):
            self.socket.setsockopt(IPPROTO_TCP, option, value)

    def silence(self) -> float | None:
        """Return the seconds since anything came of the other end's machine.

        :return: None when it has been asked nothing, or the connection has ended.
        """
        if not hasattr(self, "socket"):
            return None
        info = self.socket.getsockopt(IPPROTO_TCP, TCP_INFO, _LAST_HEARD.stop)
        # A client that does not read is asked less and less often; so that it has said
        # nothing for long means something only while it owes an answer.
        if not any(info[_UNANSWERED]):
            return None
        heard: tuple[int, int] = unpack("II", info[_LAST_HEARD])
        return min(heard) / 1000

    def traffic(self) -> tuple[int | None, int | None]:
        """Return the bytes that came, and those that have arrived at the other end.

        :return: None for each when the connection has ended.
        """
        if not hasattr(self, "socket"):
            return None, None
        info = self.socket.getsockopt(IPPROTO_TCP, TCP_INFO, _TRAFFIC.stop)
        sent, received = unpack("QQ", info[_TRAFFIC])
        return received, sent

    def _underWay(self) -> int:
        # It stays what it was when the connection was reset.
        size: int
        [size] = unpack("i", ioctl(self.socket, TIOCOUTQ, bytes(4)))
        # The end of what is sent counts as a byte.
        return max(0, size - self._writeDisconnected)

    def finishWriting(self) -> None:
        """Close when everything has arrived, and then only tell of the end."""
        self.loseWriteConnection()

    def _closeWriteConnection(self) -> None:
        super()._closeWriteConnection()
        self.reactor.watchArrival(self)

    def isArriving(self) -> bool:
        """Return whether that is still to be seen, though both directions are shut."""
        state = self.socket.getsockopt(IPPROTO_TCP, TCP_INFO, 1)
        return self._writeDisconnected and state != _CLOSED


class EagerUNIXServer(_SendsAtOnce, unix.Server):
    """A UNIX socket's connection that sends at once."""

    def owner(self) -> tuple[int, int] | None:
        """Return the process that has connected, and its user, while it is there."""
        # Twisted forgets the socket when it is closed.
        if not hasattr(self, "socket"):
            return None
        found = self.socket.getsockopt(SOL_SOCKET, SO_PEERCRED, _CREDENTIALS.size)
        pid, user, _ = _CREDENTIALS.unpack(found)
        return pid, user


def sendAtOnce(port: IListeningPort, poller: Poller) -> IListeningPort:
    """Make connections of a port send at once, where they are plain sockets.

    :param poller: watches them.
    """
    server: Any
    if isinstance(port, unix.Port):
        server = EagerUNIXServer
    elif isinstance(port, tcp.Port):
        server = EagerServer
    else:
        return port

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
