"""A RabbitMQ cluster in memory, joined to links by transports made of strings.

Nothing happens by itself: a test does something, then lets bytes go to and fro with
``run``.  Nodes refuse connections, stand still, lie about queues, block and close when
they are told to, and a queue's messages are confirmed, refused or kept without a word.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import pika
from pika import frame, spec
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import (
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from memq.rabbitmq.links.connections import Cluster, Node
from memq.test.rabbitmq.fakeexchanges import FakeExchanges

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocolFactory
    from twisted.internet.protocol import Protocol

#: Bytes of a frame's body at most; small, so that bodies are of several.
FRAME = 4096


class FakeMessage:
    """A message in a queue."""

    def __init__(self, properties: Any, body: bytes) -> None:
        self.properties, self.body = properties, body
        self.deliveries = 0


class FakeCluster:
    """All nodes, and the queues that they share.

    :ivar queues: the messages that are ready, by the names of queues.
    :ivar exchanges: those of news and pauses.
    :ivar arguments: those that each queue was declared with.
    :ivar delays: the queues that are bound to the exchange of headers, by the values of
        the header ``d``.
    :ivar refusing: names of queues that nack what they are sent.
    :ivar silent: names of queues that confirm nothing for now.
    :ivar apart: the names of nodes whose new queues no other node knows.
    :ivar forbidden: why queues may not be declared; empty if they may.
    :ivar fatal: why a connection is closed that declares a queue; empty for no such.
    :ivar channelMax: how many channels a connection may have.
    :ivar largest: how many bytes a message may have.
    :ivar lacking: names of capabilities that nodes do not offer.
    :ivar commands: the names of methods that came, in order, but for publishes.
    """

    def __init__(self, size: int = 3) -> None:
        self.queues: dict[str, deque[FakeMessage]] = {}
        self.exchanges = FakeExchanges()
        self.arguments: dict[str, Any] = {}
        self.delays: dict[str, str] = {}
        self.refusing: set[str] = set()
        self.silent: set[str] = set()
        self.apart: set[str] = set()
        self.forbidden = self.fatal = ""
        self.channelMax, self.largest = 2047, 2**27
        self.lacking: set[str] = set()
        self.commands: list[str] = []
        self.nodes = [FakeNode(self, f"node{each}:5672") for each in range(size)]

    @property
    def cluster(self) -> Cluster:
        """What links take."""
        nodes = [Node(each.name, each) for each in self.nodes]
        return Cluster(nodes, pika.ConnectionParameters(heartbeat=10))

    def declare(self, *names: str) -> None:
        """Make queues."""
        for name in names:
            self.queues.setdefault(name, deque())

    def bodies(self, name: str) -> list[bytes]:
        """Return what is ready in a queue."""
        return [each.body for each in self.queues[name]]

    def run(self) -> None:
        """Let bytes go to and fro until nobody says anything more."""
        said = True
        while said:
            said = False
            for peer in self.peers():
                said |= peer.step()

    def peers(self) -> list[FakePeer]:
        """Return the connections that are open, node by node."""
        return [peer for node in self.nodes for peer in node.peers]


@implementer(IStreamClientEndpoint)
class FakeNode:
    """A node.

    :ivar isDead: whether it refuses connections.
    :ivar isHung: whether connections to it are neither made nor refused.
    :ivar isStill: whether it reads nothing and says nothing.
    :ivar unknown: names of queues that it does not know, though they are there.
    :ivar own: names of queues that this node alone knows.
    :ivar late: names of queues that it does not know the next time it is asked.
    :ivar peers: the connections that it has.
    """

    def __init__(self, cluster: FakeCluster, name: str) -> None:
        self.cluster, self.name = cluster, name
        self.isDead = self.isHung = self.isStill = False
        self.unknown: set[str] = set()
        self.late: set[str] = set()
        self.own: set[str] = set()
        self.peers: list[FakePeer] = []

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        """Connect to it."""
        if self.isDead:
            return fail(ConnectionRefusedError())
        if self.isHung:
            return Deferred()
        protocol: Any = factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 5672))
        peer = FakePeer(self, protocol)
        self.peers.append(peer)
        protocol.makeConnection(peer.transport)
        return succeed(protocol)

    def kill(self) -> None:
        """Lose all connections, and take no new ones."""
        self.isDead = True
        for peer in list(self.peers):
            peer.lose(ConnectionLost())

    def knows(self, name: str) -> bool:
        """Say whether it knows a queue."""
        if name in self.late:
            self.late.remove(name)
            return False
        if name in self.own:
            return True
        return name in self.cluster.queues and name not in self.unknown


class FakeTransport(StringTransport):
    """The client's transport.

    :ivar ended: how the client has ended it, None while it has not.
    """

    ended: type[Exception] | None = None

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Do nothing."""

    def loseConnection(self) -> None:
        """End when all is written."""
        self.ended = self.ended or ConnectionDone

    def abortConnection(self) -> None:
        """End at once."""
        self.clear()
        self.ended = ConnectionLost


class FakeChannel:
    """A channel, from the node's side.

    :ivar unsettled: the messages that were given out, by their tags.
    """

    def __init__(self) -> None:
        self.confirms = False
        #: The queue of its own, empty without one.
        self.queue = ""
        self.published = self.delivered = 0
        self.unsettled: dict[int, tuple[str, FakeMessage]] = {}
        #: The publish whose header and body come, and its bytes to come.
        self.publish: Any = None
        self.properties: Any = None
        self.body = b""
        self.size = 0


class FakePeer:
    """A connection, from the node's side.

    :ivar transport: the client's.
    :ivar closeNext: what the channel is closed with that declares a queue next.
    :ivar withholds: whether it returns messages without their confirms.
    """

    closeNext: tuple[int, str] | None = None
    withholds = False

    def __init__(self, node: FakeNode, protocol: Protocol) -> None:
        self.node, self.cluster, self.protocol = node, node.cluster, protocol
        self.transport = FakeTransport()
        self.channels: dict[int, FakeChannel] = {}
        self._received = b""
        self._says = b""

    # Bytes.

    def step(self) -> bool:
        """Carry what was said, and say whether there was anything."""
        if self.node.isStill and self.transport.ended is not ConnectionLost:
            return False
        # What is sent together is sent now, whatever the clock says.
        amqp = getattr(self.protocol, "amqp", None)
        if amqp is not None:
            amqp.flush()
        said, told = self.transport.value(), self._says
        self.transport.clear()
        self._says = b""
        self._received += said
        self._read()
        if told and self.transport.ended is not ConnectionLost:
            self.protocol.dataReceived(told)
        if self.transport.ended is not None and not self.transport.value():
            self.lose(self.transport.ended())
            return True
        return bool(said or told or self._says)

    def lose(self, error: Exception) -> None:
        """Lose the connection; what was open goes back."""
        self.node.peers.remove(self)
        for number in list(self.channels):
            self._forget(number)
        self.protocol.connectionLost(Failure(error))

    def _read(self) -> None:
        while self._received:
            consumed, one = frame.decode_frame(self._received)
            if one is None:
                # By TCP the rest comes later.
                break
            self._received = self._received[consumed:]
            if isinstance(one, frame.ProtocolHeader):
                self._start()
            elif isinstance(one, frame.Method):
                self._method(one.channel_number, one.method)
            elif isinstance(one, frame.Header):
                self._header(one.channel_number, one)
            elif isinstance(one, frame.Body):
                self._body(one.channel_number, one)

    def _header(self, number: int, one: Any) -> None:
        channel = self.channels.get(number)
        if channel is not None:
            channel.properties, channel.size = one.properties, one.body_size
            self._content(number, channel)

    def _body(self, number: int, one: Any) -> None:
        channel = self.channels.get(number)
        if channel is not None:
            channel.body += one.fragment
            self._content(number, channel)

    def _start(self) -> None:
        lacking = self.cluster.lacking
        offered = {each: each not in lacking for each in CAPABILITIES}
        properties = {**PROPERTIES, "capabilities": offered}
        mechanisms = {"mechanisms": "PLAIN", "server_properties": properties}
        self.send(0, spec.Connection.Start(**mechanisms))

    def send(self, number: int, method: Any) -> None:
        """Say a method."""
        self._says += frame.Method(number, method).marshal()

    def _sendMessage(self, number: int, method: Any, message: FakeMessage) -> None:
        self.send(number, method)
        size = len(message.body)
        self._says += frame.Header(number, size, message.properties).marshal()
        for at in range(0, size, FRAME):
            self._says += frame.Body(number, message.body[at : at + FRAME]).marshal()

    def close(self, code: int, words: str) -> None:
        """Close the connection, as a node does that is shut down."""
        self.send(0, spec.Connection.Close(code, words, 0, 0))

    def block(self, reason: str | None) -> None:
        """Say that no messages are taken, or (None) that they are again."""
        if reason is None:
            self.send(0, spec.Connection.Unblocked())
        else:
            self.send(0, spec.Connection.Blocked(reason))

    def confirm(self, number: int, tag: int, *, multiple: bool) -> None:
        """Confirm what was published to silent queues."""
        self.send(number, spec.Basic.Ack(tag, multiple))

    def closeChannel(self, number: int, code: int, words: str) -> None:
        """Close a channel for an error."""
        self._forget(number)
        self.send(number, spec.Channel.Close(code, words, 0, 0))

    def _forget(self, number: int) -> None:
        channel = self.channels.pop(number)
        self.cluster.exchanges.listeners.pop(channel.queue, None)
        for name, message in reversed(channel.unsettled.values()):
            self.cluster.queues[name].appendleft(message)

    # Methods.

    def _method(self, number: int, method: Any) -> None:
        name = method.NAME
        if name != "Basic.Publish":
            self.cluster.commands.append(name)
        if number and number not in self.channels and name != "Channel.Open":
            return
        getattr(self, f"_do{name.replace('.', '')}")(number, method)

    def _doConnectionStartOk(self, number: int, method: Any) -> None:
        self.send(0, spec.Connection.Tune(self.cluster.channelMax, FRAME + 8, 10))

    def _doConnectionTuneOk(self, number: int, method: Any) -> None:
        pass

    def _doConnectionOpen(self, number: int, method: Any) -> None:
        self.send(0, spec.Connection.OpenOk())

    def _doConnectionClose(self, number: int, method: Any) -> None:
        self.send(0, spec.Connection.CloseOk())

    def _doChannelOpen(self, number: int, method: Any) -> None:
        self.channels[number] = FakeChannel()
        self.send(number, spec.Channel.OpenOk())

    def _doChannelClose(self, number: int, method: Any) -> None:
        self._forget(number)
        self.send(number, spec.Channel.CloseOk())

    def _doConfirmSelect(self, number: int, method: Any) -> None:
        self.channels[number].confirms = True
        self.send(number, spec.Confirm.SelectOk())

    def _doQueueDeclare(self, number: int, method: Any) -> None:
        name = method.queue
        if method.exclusive:
            name = self.channels[number].queue = f"own-{id(self)}-{number}"
            self.send(number, spec.Queue.DeclareOk(name, 0, 0))
            return
        if self.cluster.fatal:
            code, _, words = self.cluster.fatal.partition(" ")
            self.close(int(code), words)
            return
        if self.closeNext is not None:
            self.closeChannel(number, *self.closeNext)
            self.closeNext = None
            return
        if method.passive:
            if not self._finds(number, name):
                return
        elif self.cluster.forbidden:
            code, _, words = self.cluster.forbidden.partition(" ")
            self.closeChannel(number, int(code), words)
            return
        elif self.node.name in self.cluster.apart:
            self.node.own.add(name)
            self.send(number, spec.Queue.DeclareOk(name, 0, 0))
            return
        else:
            self.cluster.declare(name)
            self.cluster.arguments[name] = method.arguments
        waiting = len(self.cluster.queues.get(name, ()))
        self.send(number, spec.Queue.DeclareOk(name, waiting, 0))

    def _doQueueBind(self, number: int, method: Any) -> None:
        if method.exchange == "amq.headers":
            self.cluster.delays[method.arguments["d"]] = method.queue
            self.send(number, spec.Queue.BindOk())

    def _doExchangeDeclare(self, number: int, method: Any) -> None:
        if not method.nowait:
            self.send(number, spec.Exchange.DeclareOk())

    def _doExchangeBind(self, number: int, method: Any) -> None:
        self.cluster.exchanges.bindings.add((method.source, method.routing_key))

    def _doExchangeUnbind(self, number: int, method: Any) -> None:
        bound = method.source, method.routing_key
        self.cluster.exchanges.bindings.discard(bound)

    def _doBasicConsume(self, number: int, method: Any) -> None:
        tag = method.consumer_tag

        def _take(exchange: str, key: str, properties: Any, body: bytes) -> None:
            deliver = spec.Basic.Deliver(tag, 1, False, exchange, key)
            self._sendMessage(number, deliver, FakeMessage(properties, body))

        self.cluster.exchanges.listeners[method.queue] = _take
        self.send(number, spec.Basic.ConsumeOk(tag))

    def _finds(self, number: int, name: str) -> bool:
        if self.node.knows(name):
            return True
        self.closeChannel(number, 404, f"NOT_FOUND - no queue '{name}' in vhost '/'")
        return False

    def _doBasicPublish(self, number: int, method: Any) -> None:
        channel = self.channels[number]
        channel.publish, channel.body = method, b""

    def _content(self, number: int, channel: FakeChannel) -> None:
        if len(channel.body) < channel.size:
            return
        if channel.size > self.cluster.largest:
            words = "message size {} is larger than configured max size {}"
            words = words.format(channel.size, self.cluster.largest)
            self.closeChannel(number, 406, f"PRECONDITION_FAILED - {words}")
            return
        channel.published += 1
        tag, name = channel.published, channel.publish.routing_key
        message = FakeMessage(channel.properties, channel.body)
        if channel.publish.exchange == "amq.headers":
            name = self.cluster.delays.get(channel.properties.headers["d"], "")
        if channel.publish.exchange.startswith("memq/"):
            publish = channel.publish
            asked = publish.exchange, publish.routing_key, message.properties
            if not self.cluster.exchanges.publish(*asked, message.body):
                method = spec.Basic.Return(312, "NO_ROUTE", *asked[:2])
                self._sendMessage(number, method, message)
        elif not self.node.knows(name):
            method = spec.Basic.Return(312, "NO_ROUTE", "", name)
            self._sendMessage(number, method, message)
            if not self.withholds:
                self.send(number, spec.Basic.Ack(tag))
        elif name in self.cluster.refusing:
            self.send(number, spec.Basic.Nack(tag))
        else:
            self.cluster.queues[name].append(message)
            if name not in self.cluster.silent:
                self.send(number, spec.Basic.Ack(tag))

    def _doBasicCancel(self, number: int, method: Any) -> None:
        self.send(number, spec.Basic.CancelOk(method.consumer_tag))

    def _doQueuePurge(self, number: int, method: Any) -> None:
        if self._finds(number, method.queue):
            queue = self.cluster.queues[method.queue]
            count = len(queue)
            queue.clear()
            self.send(number, spec.Queue.PurgeOk(count))

    def _doQueueDelete(self, number: int, method: Any) -> None:
        queue = self.cluster.queues.pop(method.queue, ())
        self.send(number, spec.Queue.DeleteOk(len(queue)))

    def _doBasicGet(self, number: int, method: Any) -> None:
        if not self._finds(number, method.queue):
            return
        queue = self.cluster.queues[method.queue]
        if not queue:
            self.send(number, spec.Basic.GetEmpty())
            return
        tag, message = self._give(number, method.queue, method.no_ack)
        redelivered = message.deliveries > 1
        method = spec.Basic.GetOk(tag, redelivered, "", method.queue, len(queue))
        self._sendMessage(number, method, message)

    def _give(self, number: int, name: str, noAck: bool) -> tuple[int, FakeMessage]:
        channel = self.channels[number]
        message = self.cluster.queues[name].popleft()
        message.deliveries += 1
        channel.delivered += 1
        if not noAck:
            channel.unsettled[channel.delivered] = name, message
        return channel.delivered, message

    def _doBasicAck(self, number: int, method: Any) -> None:
        del self.channels[number].unsettled[method.delivery_tag]

    def _doBasicNack(self, number: int, method: Any) -> None:
        name, message = self.channels[number].unsettled.pop(method.delivery_tag)
        self.cluster.queues[name].appendleft(message)


#: What a node says of itself.
PROPERTIES = {"product": "RabbitMQ", "version": "3.10.8"}
CAPABILITIES = (
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "authentication_failure_close",
)
