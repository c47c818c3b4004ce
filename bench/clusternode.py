"""A queue server in memory, for bench.clustercosts: it speaks AMQP over strings.

It opens what a front end opens, knows of no pause, confirms all that is published
together, and has a message for every get.  Nothing is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pika import frame, spec
from pika.compat import long
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.testing import StringTransport
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocolFactory

#: Bytes of a frame at most.
_MOST = 131_072
#: The properties of a message, as a front end sets it and a quorum queue tells it.
_PROPERTIES = spec.BasicProperties(
    delivery_mode=2,
    message_id=f"{1:016}",
    headers={"f": long(0), "t": long(1_700_000_000_000), "x-delivery-count": long(0)},
)
_OFFERED = (
    "publisher_confirms",
    "basic.nack",
    "consumer_cancel_notify",
    "exchange_exchange_bindings",
)


class _Transport(StringTransport):
    """The front end's side of a connection."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Do nothing."""


@implementer(IStreamClientEndpoint)
class Node:
    """A node, which anybody can connect to.

    :ivar peers: its connections.
    """

    def __init__(self, body: bytes) -> None:
        """Begin with no connection.

        :param body: that of every message.
        """
        self.peers: list[Peer] = []
        self._body = body

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        """Connect to it."""
        protocol: Any = factory.buildProtocol(None)  # type: ignore[arg-type]
        peer = Peer(protocol, self._body)
        self.peers.append(peer)
        protocol.makeConnection(peer.transport)
        return succeed(protocol)


class Peer:
    """A connection, from the node's side."""

    def __init__(self, protocol: Any, body: bytes) -> None:
        """Take what speaks at the other end."""
        self.transport = _Transport()
        self._protocol = protocol
        self._says: list[bytes] = []
        #: How many were published on each channel that confirms.
        self._published: dict[int, int] = {}
        #: The message that comes: its publish and properties.
        self._publish: Any = None
        self._properties: Any = None
        self._body = body
        #: How many a node has confirmed of each of those channels.
        self._confirmed: dict[int, int] = {}

    def take(self) -> bool:
        """Read what was sent, and think of an answer; return whether there is one."""
        data = self.transport.value()
        self.transport.clear()
        while data:
            consumed, one = frame.decode_frame(data)
            data = data[consumed:]
            if isinstance(one, frame.ProtocolHeader):
                offered = {"capabilities": dict.fromkeys(_OFFERED, True)}
                self._say(0, spec.Connection.Start(0, 9, offered))
            elif isinstance(one, frame.Method):
                self._method(one.channel_number, one.method)
            elif isinstance(one, frame.Header):
                self._properties = one.properties
                self._ended(one.channel_number, not one.body_size)
            elif isinstance(one, frame.Body):
                self._ended(one.channel_number, True)
        for number, last in self._published.items():
            if last > self._confirmed[number]:
                self._confirmed[number] = last
                self._say(number, spec.Basic.Ack(last, True))
        return bool(self._says)

    def answer(self) -> None:
        """Say what it has thought of."""
        said, self._says = b"".join(self._says), []
        self._protocol.dataReceived(said)

    def _say(self, number: int, method: Any) -> None:
        self._says.append(frame.Method(number, method).marshal())

    def _ended(self, number: int, isWhole: bool) -> None:
        """Return what asks for a pause; there is none."""
        if isWhole and self._publish.exchange:
            asked = self._publish
            back = spec.Basic.Return(312, "NO_ROUTE", asked.exchange, asked.routing_key)
            self._say(number, back)
            self._says.append(frame.Header(number, 0, self._properties).marshal())

    def _method(self, number: int, method: Any) -> None:
        if isinstance(method, spec.Basic.Publish):
            self._publish = method
            if number in self._published:
                self._published[number] += 1
        elif isinstance(method, spec.Basic.Get):
            self._say(number, spec.Basic.GetOk(1, False, "", method.queue, 1))
            header = frame.Header(number, len(self._body), _PROPERTIES)
            self._says += header.marshal(), frame.Body(number, self._body).marshal()
        elif not getattr(method, "nowait", False):
            self._answerTo(number, method)

    def _answerTo(self, number: int, method: Any) -> None:
        """Answer what opens something."""
        if isinstance(method, spec.Confirm.Select):
            self._published[number] = self._confirmed[number] = 0
        if isinstance(method, spec.Connection.StartOk):
            self._say(number, spec.Connection.Tune(2047, _MOST, 0))
        elif isinstance(method, spec.Queue.Declare):
            self._say(number, spec.Queue.DeclareOk(method.queue or "own", 0, 0))
        elif isinstance(method, spec.Basic.Consume):
            self._say(number, spec.Basic.ConsumeOk(method.consumer_tag))
        elif not isinstance(method, spec.Connection.TuneOk):
            self._say(number, _OK[type(method)]())


_OK: dict[type, type] = {
    spec.Connection.Open: spec.Connection.OpenOk,
    spec.Channel.Open: spec.Channel.OpenOk,
    spec.Confirm.Select: spec.Confirm.SelectOk,
    spec.Exchange.Declare: spec.Exchange.DeclareOk,
    spec.Queue.Bind: spec.Queue.BindOk,
    spec.Basic.Qos: spec.Basic.QosOk,
}
