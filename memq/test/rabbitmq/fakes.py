"""Fakes: a cluster's queues in memory, and links to it whose answers come when told.

As much of pika's channels as memq.rabbitmq.asking uses, with what RabbitMQ does: a
question about a queue that is not there ends the channel; what is not acknowledged goes
back to the front at the end of its channel.
"""

from __future__ import annotations

from collections import deque
from itertools import takewhile
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pika.spec import Basic

from memq.test.rabbitmq.fakeexchanges import FakeExchanges

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.task import Clock


class FakeCluster:
    """Queues of bodies, and what is to be answered.

    :ivar queues: headers and body of each message, by queue.
    :ivar events: the answers that are to come.
    :ivar log: what was asked, in order.
    :ivar stuck: queues of which nothing is answered, and exchanges.
    """

    def __init__(self) -> None:
        self.queues: dict[str, deque[tuple[Any, bytes]]] = {}
        self.events: deque[Callable[[], object]] = deque()
        self.log: list[str] = []
        self.stuck: set[str] = set()
        self._stuck: list[Callable[[], object]] = []
        self.channels: list[FakeChannel] = []
        self.exchanges = FakeExchanges()
        #: Channel and tag of each consumer that is to be given a message, by queue.
        self.consumers: dict[str, deque[tuple[FakeChannel, str]]] = {}

    def stir(self, queue: str) -> None:
        """Give a queue's messages to its consumers, soon."""
        if self.consumers.get(queue):
            self.ask("", queue, lambda: self._give(queue))

    def _give(self, queue: str) -> None:
        consumers = self.consumers[queue]
        while consumers and self.queues.get(queue):
            channel, tag = consumers.popleft()
            channel.give(tag, queue, self.queues[queue].popleft())

    def held(self) -> list[str]:
        """Return the queue of each message that is open."""
        live = [each for each in self.channels if not each.isOver]
        return [queue for each in live for queue, _ in each.unacked.values()]

    def make(self, queue: str, *bodies: bytes) -> None:
        """Make a queue with some messages."""
        self.queues[queue] = deque(({"f": 0, "t": 0}, body) for body in bodies)
        self.stir(queue)

    def bury(self, queue: str, origin: str, *bodies: bytes, **more: Any) -> None:
        """Let messages be dead letters in a queue that there is.

        :param more: further headers.
        """
        told = [{"queue": origin, "reason": "delivery_limit", "count": 1}]
        headers = {"f": 7, "t": 0, "x-death": told, "x-first-death-queue": origin}
        self.queues[queue] += [(headers | more, body) for body in bodies]

    def bodies(self, queue: str) -> list[bytes]:
        """Return the bodies of a queue."""
        return [body for _, body in self.queues[queue]]

    def settle(self) -> None:
        """Answer everything, in order."""
        while self.events:
            self.events.popleft()()

    def settleAt(self, clock: Clock) -> None:
        """Let all happen that needs no time, here and by a clock."""
        clock.advance(0)
        while self.events:
            self.settle()
            clock.advance(0)

    def ask(self, what: str, queue: str, answer: Callable[[], object]) -> None:
        """Note a question, which is answered later."""
        if what:
            self.log.append(f"{what} {queue}".strip())
        if queue in self.stuck:
            self._stuck.append(answer)
        else:
            self.events.append(answer)

    def unstick(self) -> None:
        """Answer all that was not."""
        self.stuck.clear()
        self.events += self._stuck
        self._stuck.clear()


class FakeChannel:
    """A channel, as pika has it.

    :ivar unacked: queue and message of each tag that is not acknowledged.
    """

    def __init__(
        self,
        link: FakeLink,
        opened: Callable[[Any], object],
        closed: Callable[[Any, str], object],
    ) -> None:
        self._link = link
        self._cluster = link.cluster
        self._opened, self._closed = opened, closed
        self._onCancelOk: list[Callable[[Any], object]] = []
        self._onCancel: list[Callable[[Any], object]] = []
        #: The queue of each consumer, and who is given its messages, by its tag.
        self.consumers: dict[str, tuple[str, Callable[..., object]]] = {}
        self._isBounded = False
        self._tags = 0
        self.unacked: dict[int, tuple[str, tuple[Any, bytes]]] = {}
        self.isOver = False
        self._queue = ""
        self._cluster.channels.append(self)
        self._later(lambda: self._opened(self))

    def _later(
        self, answer: Callable[[], object], what: str = "open", queue: str = ""
    ) -> None:
        def _answer() -> None:
            if self.isOver:
                return
            if queue and queue not in self._cluster.queues:
                self.end("404 NOT_FOUND")
            else:
                answer()

        self._cluster.ask(what, queue, _answer)

    def end(self, why: str) -> None:
        """End: what is not acknowledged goes back."""
        self.isOver = True
        self._cluster.exchanges.listeners.pop(self._queue, None)
        self._link.channels.remove(self)
        for tag in list(self.consumers):
            self._dropConsumer(tag)
        for queue, message in self.unacked.values():
            self._giveBack(queue, message)
        self._closed(self, why)

    def add_callback(
        self, callback: Callable[[Any], object], methods: list[Any], one_shot: bool
    ) -> None:
        """Remember who hears of consumers that are cancelled."""
        assert methods == [Basic.CancelOk]
        assert not one_shot
        self._onCancelOk.append(callback)

    def add_on_cancel_callback(self, callback: Callable[[Any], object]) -> None:
        """Remember who hears of consumers that the cluster cancels."""
        self._onCancel.append(callback)

    def basic_qos(self, prefetch_count: int, callback: Callable[[Any], object]) -> None:
        """Bound what consumers are given."""
        assert prefetch_count == 1
        self._isBounded = True
        self._cluster.events.append(lambda: callback(None))

    def basic_consume(
        self,
        queue: str,
        given: Callable[..., object],
        consumer_tag: str = "",
        callback: Callable[[Any], object] = id,
        auto_ack: bool = False,
    ) -> None:
        """Begin to be given messages."""
        if auto_ack:
            self._listen(queue, given, callback)
            return
        assert self._isBounded

        def _answer() -> None:
            callback(None)
            self.consumers[consumer_tag] = queue, given
            waiting = self._cluster.consumers.setdefault(queue, deque())
            waiting.append((self, consumer_tag))
            self._cluster.stir(queue)

        self._later(_answer, "consume", queue)

    def give(self, tag: str, queue: str, message: tuple[Any, bytes]) -> None:
        """Give a message to a consumer."""
        self._tags += 1
        self.unacked[self._tags] = queue, message
        method = SimpleNamespace(delivery_tag=self._tags)
        _, given = self.consumers[tag]
        given(self, method, SimpleNamespace(headers=message[0]), message[1])

    def _dropConsumer(self, tag: str) -> None:
        queue, _ = self.consumers.pop(tag)
        if (self, tag) in self._cluster.consumers[queue]:
            self._cluster.consumers[queue].remove((self, tag))

    def basic_cancel(self, tag: str, callback: Callable[[Any], object]) -> None:
        """Be given nothing more."""
        frame = SimpleNamespace(method=SimpleNamespace(consumer_tag=tag))

        def _answer() -> None:
            if tag in self.consumers:
                self._dropConsumer(tag)
            callback(frame)
            for each in self._onCancelOk:
                each(frame)

        queue = self.consumers[tag][0] if tag in self.consumers else ""
        self._later(_answer, "cancel", queue)

    def cancelFromThere(self, tag: str) -> None:
        """Cancel a consumer, as a node does whose queue is deleted."""
        if tag in self.consumers:
            self._dropConsumer(tag)
        for each in self._onCancel:
            each(SimpleNamespace(method=SimpleNamespace(consumer_tag=tag)))

    def get(
        self,
        queue: str,
        found: Callable[[int, Any, bytes], object],
        empty: Callable[[], object],
        isTaken: bool,
    ) -> None:
        """Take a message."""

        def _answer() -> None:
            messages = self._cluster.queues[queue]
            if not messages:
                empty()
                return
            message = messages.popleft()
            self._tags += 1
            if not isTaken:
                self.unacked[self._tags] = queue, message
            found(self._tags, *message)

        self._later(_answer, "get" if isTaken else "open", queue)

    def acknowledge(self, tag: int) -> None:
        """Delete a message."""
        self._cluster.log.append("ack")
        del self.unacked[tag]

    def basic_nack(self, tag: int, multiple: bool, requeue: bool) -> None:
        """Give a message back."""
        self._cluster.log.append("nack")
        queue, message = self.unacked.pop(tag)
        assert requeue
        assert not multiple
        self._giveBack(queue, message)

    def _giveBack(self, queue: str, message: tuple[Any, bytes]) -> None:
        headers, body = message
        count = headers.get("x-delivery-count", 0) + 1
        if queue in self._cluster.queues:
            again = {**headers, "x-delivery-count": count}, body
            # Behind what has come back before, and before all else.
            messages = self._cluster.queues[queue]
            back = takewhile(lambda each: "x-delivery-count" in each[0], messages)
            messages.insert(len(list(back)), again)
            self._cluster.stir(queue)

    def _counted(self, queue: str) -> Any:
        count = len(self._cluster.queues[queue])
        return SimpleNamespace(method=SimpleNamespace(message_count=count))

    def queue_declare(
        self,
        queue: str,
        passive: bool = False,
        callback: Callable[[Any], object] = id,
        exclusive: bool = False,
    ) -> None:
        """Tell how long a queue is, or make one of the channel's own."""
        if exclusive:
            self._queue = f"own-{self._cluster.channels.index(self)}"
            method = SimpleNamespace(queue=self._queue)
            self._later(lambda: callback(SimpleNamespace(method=method)), "own")
            return
        assert passive
        self._later(lambda: callback(self._counted(queue)), "declare", queue)

    def queue_purge(self, queue: str, callback: Callable[[Any], object]) -> None:
        """Empty a queue."""

        def _answer() -> None:
            counted = self._counted(queue)
            self._cluster.queues[queue].clear()
            callback(counted)

        self._later(_answer, "purge", queue)

    def queue_delete(self, queue: str, callback: Callable[[Any], object]) -> None:
        """Delete a queue."""

        def _answer() -> None:
            self._cluster.queues.pop(queue, None)
            callback(None)

        self._cluster.ask("delete", queue, _answer)

    # What is shared.

    def add_on_return_callback(self, callback: Callable[..., object]) -> None:
        """Remember who hears of messages that nobody has."""
        self._returned = callback

    def exchange_declare(
        self,
        exchange: str,
        exchange_type: str = "",
        passive: bool = False,
        durable: bool = False,
        callback: Callable[[Any], object] = id,
    ) -> None:
        """Make an exchange, or wait for what was done before."""
        if passive:
            self._later(lambda: callback(None), "exchange")

    def exchange_bind(self, destination: str, source: str, routing_key: str) -> None:
        """Bind an exchange."""
        bound = source, routing_key
        self._ask("bind", source, lambda: self._exchanges.bindings.add(bound))

    def exchange_unbind(self, destination: str, source: str, routing_key: str) -> None:
        """Bind it no longer."""
        bound = source, routing_key
        self._ask("unbind", source, lambda: self._exchanges.bindings.discard(bound))

    def queue_bind(self, *_: object) -> None:
        """Do nothing: each of these queues is bound so."""

    def _listen(
        self,
        queue: str,
        delivered: Callable[..., object],
        callback: Callable[[Any], object],
    ) -> None:
        """Take what comes."""

        def _take(exchange: str, key: str, properties: Any, body: bytes) -> None:
            method = SimpleNamespace(exchange=exchange, routing_key=key)
            self._ask("deliver", "", lambda: delivered(self, method, properties, body))

        def _answer() -> None:
            self._exchanges.listeners[queue] = _take
            callback(None)

        self._later(_answer, "consume")

    def basic_publish(
        self, exchange: str, key: str, body: bytes, properties: Any, mandatory: bool
    ) -> None:
        """Hand a message on, or return it."""

        def _answer() -> None:
            if not self._exchanges.publish(exchange, key, properties, body):
                self._returned(self, None, properties, body)

        self._ask("publish", exchange, _answer)

    @property
    def _exchanges(self) -> FakeExchanges:
        return self._cluster.exchanges

    def _ask(self, what: str, exchange: str, answer: Callable[[], object]) -> None:
        self._cluster.ask(what, exchange, lambda: self.isOver or answer())

    def close(self) -> None:
        """Close it, soon."""
        self._cluster.log.append("close")

        def _answer() -> None:
            if not self.isOver:
                self.end("200 as asked")

        self._cluster.events.append(_answer)


class FakeLink:
    """A link to it.

    :ivar user: who hears of it.
    :ivar most: how many channels it may have.
    """

    trouble = ""
    isUnfit = False

    def __init__(self, cluster: FakeCluster, user: Any) -> None:
        self.cluster = cluster
        self.user = user
        self.isUp = False
        self.most = 2_047
        self.channels: list[FakeChannel] = []
        user.link = self

    def hasRoom(self, most: int = 2_047) -> bool:
        """Return whether it may have another channel."""
        return len(self.channels) < min(most, self.most)

    def channel(
        self,
        opened: Callable[[Any], object],
        closed: Callable[[Any, str], object],
    ) -> FakeChannel:
        """Open a channel."""
        channel = FakeChannel(self, opened, closed)
        self.channels.append(channel)
        return channel

    def up(self) -> None:
        """Connect."""
        self.isUp = True
        self.user.linkUp()

    def leave(self, why: str) -> None:
        """Lose the connection, for its user does not want it."""
        self.cluster.log.append("leave")
        self.down()

    def down(self) -> None:
        """Lose the connection."""
        self.isUp = False
        for channel in list(self.channels):
            channel.end("the connection is lost")
        self.user.linkDown("the connection is lost")
