"""A connection to one node of a cluster: pika's, on a transport of Twisted's.

Frames, channels and the heartbeat are pika's.  Its own adapter for Twisted is not used:
it takes a returned message for another one when several are under way (1.2.0, 1.4.4),
and imports the reactor.  :class:`AMQPConnection` is what pika asks of an adapter.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pika.connection
from pika.channel import MAX_CHANNELS
from pika.exceptions import AMQPError, AMQPHeartbeatTimeout
from twisted.internet import protocol
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.logger import Logger

from memq.rabbitmq.links import frames
from memq.rabbitmq.links.channel import Channel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import (
        IDelayedCall,
        IReactorTime,
        IStreamClientEndpoint,
    )
    from twisted.python.failure import Failure

    from memq.ratelimit import Rarely

_log = Logger()


class Node(NamedTuple):
    """One node of a cluster.

    :ivar name: its host and port, as people write it.
    :ivar endpoint: connects to it.
    """

    name: str
    endpoint: IStreamClientEndpoint


class Cluster(NamedTuple):
    """Where a cluster is, and who speaks to it.

    :ivar nodes: at least one.
    :ivar parameters: pika's, with credentials, virtual host and heartbeat.
    :ivar rarely: says when what links have in common is logged, such as that a node
        cannot be had; None for each link by itself.
    """

    nodes: Sequence[Node]
    parameters: Any
    rarely: Rarely | None = None


class Owner(Protocol):
    """Who hears of a connection; each call names it."""

    def opened(self, amqp: AMQPConnection) -> None:
        """Note that it is open."""

    def failed(self, amqp: AMQPConnection, error: BaseException) -> None:
        """Note that it ended before it was open."""

    def closed(self, amqp: AMQPConnection, error: BaseException) -> None:
        """Note that it ended, after it was open."""


def reasonOf(error: BaseException) -> str:
    """Return in one line why something of AMQP, or its connection, has ended."""
    code = getattr(error, "reply_code", None)
    if code is not None:
        return f"{code} {getattr(error, 'reply_text', '')}"
    words = " ".join(str(error).split())
    if isinstance(error, AMQPError):
        return f"{type(error).__name__}: {words}"
    return words or type(error).__name__


class Timer:
    """A delayed call, as pika cancels it: as often as it likes."""

    def __init__(self, call: IDelayedCall) -> None:
        """Take the call."""
        self._call = call

    def cancel(self) -> None:
        """Cancel it, if it is still to come."""
        with suppress(AlreadyCalled, AlreadyCancelled):
            self._call.cancel()


class AMQPConnection(pika.connection.Connection):  # type: ignore[misc]
    """A connection of pika's on a transport of Twisted's.

    What is written while something is received, or in one round of the reactor, is sent
    together.
    """

    def __init__(self, parameters: Any, clock: IReactorTime, owner: Owner) -> None:
        """Begin nothing yet.

        :param owner: hears of it.
        """
        self._clock = clock
        self.transport: Any = None
        self._error: BaseException | None = None
        #: What came of a frame whose end is to come.
        self._rest = b""
        #: What is to be sent; whether somebody sees to that, and has cut it off.
        self._written: list[bytes] = []
        self._isBusy = self._isCut = False
        super().__init__(
            parameters,
            owner.opened,
            owner.failed,
            owner.closed,
            internal_connection_workflow=False,
        )

    def begin(self, transport: Any) -> None:
        """Shake hands over a transport."""
        self.transport = transport
        self._on_stream_connected()

    def hasRoom(self, share: float) -> bool:
        """Return whether there are fewer channels than a share of what there may be.

        One that is closed counts until the node has said so.
        """
        most: int = self.params.channel_max or MAX_CHANNELS
        return len(self._channels) < most * share

    def receive(self, data: bytes) -> None:
        """Do what some bytes say."""
        self._isBusy = True
        try:
            self._receive(self._rest + data if self._rest else data)
        finally:
            self._isBusy = False
            if self._written:
                self.flush()

    def _receive(self, data: bytes) -> None:
        at, end, taken = 0, len(data), 0
        while end - at >= frames.OVERHEAD:
            kind, number, size = frames.START.unpack_from(data, at)
            begin, after = at + frames.START.size, at + size + frames.OVERHEAD
            if after > end and kind <= frames.BODY:
                break
            channel = self._channels.get(number)
            if channel is None or data[after - 1 : after] != frames.END:
                isTaken = False
            elif kind == frames.METHOD:
                (which,) = frames.WHICH.unpack_from(data, begin)
                if which == frames.GET_OK and channel.found is not None:
                    # Most messages come in one piece.
                    found = frames.found(data, after, number)
                    if found is not None:
                        _, tag, _ = frames.NUMBERED.unpack_from(data, begin)
                        after, headers, body = found
                        taken += after - at
                        at = after
                        tell, channel.found = channel.found, None
                        tell(tag, headers, body)
                        continue
                isTaken = channel.takes(which, data[begin : after - 1])
            else:
                isTaken = channel.isReceiving
                if isTaken:
                    channel.receive(kind, data[begin : after - 1])
            if isTaken:
                taken += after - at
            else:
                self._on_data_available(data[at:after])
            at = after
        self._rest = data[at:]
        self.bytes_received += taken

    def send(self, data: bytes) -> None:
        """Send some bytes, soon and with others."""
        if not self._written and not self._isBusy:
            self._clock.callLater(0, self.flush)
        self._written.append(data)

    def flush(self) -> None:
        """Send what was written."""
        written, self._written = self._written, []
        if written and self.transport is not None:
            self.transport.write(b"".join(written))

    def cut(self) -> bool:
        """Cut it off; return whether nobody has before: it is up until that is told."""
        wasCut, self._isCut = self._isCut, True
        if not wasCut:
            self.transport.abortConnection()
        return not wasCut

    def end(self, error: BaseException) -> None:
        """Note that the transport is lost."""
        self.transport = None
        # What the node has said before counts for more.
        if self._error is None:
            self._error = error
        self._on_stream_terminated(None)

    # What pika asks of an adapter.

    def _adapter_call_later(self, delay: float, callback: Callable[[], object]) -> Any:
        return Timer(self._clock.callLater(delay, callback))

    def _adapter_remove_timeout(self, timeout_id: Any) -> None:
        timeout_id.cancel()

    def _adapter_add_callback_threadsafe(self, callback: Callable[[], object]) -> None:
        raise NotImplementedError("no thread speaks AMQP")

    def _adapter_connect_stream(self) -> None:
        raise NotImplementedError("the endpoint connects")

    def _create_channel(
        self, channel_number: int, on_open_callback: Callable[[Any], object] | None
    ) -> Channel:
        return Channel(self, channel_number, on_open_callback)

    def _adapter_disconnect_stream(self) -> None:
        self.flush()
        if isinstance(self._error, AMQPHeartbeatTimeout):
            # Who stands still does not read what is still to be written.
            self.transport.abortConnection()
        else:
            self.transport.loseConnection()

    def _adapter_emit_data(self, data: bytes) -> None:
        self.send(data)


class AMQPProtocol(protocol.Protocol):
    """What Twisted asks of a protocol: bytes go to the connection, guarded."""

    def __init__(self, amqp: AMQPConnection) -> None:
        """Take the connection that speaks."""
        self.amqp = amqp

    def connectionMade(self) -> None:
        """Begin; small frames go at once (a close took 45 ms without, 5 with it)."""
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        self.amqp.begin(transport)

    def dataReceived(self, data: bytes) -> None:
        """Hand on what came; an error ends the connection."""
        try:
            self.amqp.receive(data)
        except Exception:
            _log.failure("An AMQP connection is cut off for an error")
            transport: Any = self.transport
            transport.abortConnection()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """Hand on the end."""
        assert reason.value is not None
        self.amqp.end(reason.value)
