"""Consumers: the cluster gives them messages that somebody waits for, as these come.

A queue that reads wait for has a consumer for each of them, up to MOST.  Each is given
one message (prefetch 1) and is cancelled then.  The cluster serves consumers in order,
those of all processes; here a message goes to whoever waits longest.

To take such a message it is acknowledged, and its consumer is cancelled: that goes
through the log of consensus behind the acknowledgement, so its answer tells that both
count.  The cluster may give the consumer another message in between, which is refused,
and counts as delivered once.  Where deliveries are counted the consumer is cancelled
first and the message is closed as an open one is.

A queue that is not there, or lets nobody consume, has no consumer until ``look`` asks
for it again.  Who has none is told so, and looks for messages itself.
"""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from pika.spec import Basic

from memq.errors import StoreError
from memq.rabbitmq.asking.base import UNANSWERED, Deadlines, Request, nameOf
from memq.rabbitmq.asking.deliveries import Consumer, Ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from memq.message import Message
    from memq.rabbitmq.asking.deliveries import Channel
    from memq.rabbitmq.asking.openreads import OpenReads

#: Consumers that a queue has at most, of one process.
MOST = 16


def _ignore(_: object) -> None:
    """Do nothing: pika forgets a consumer only if somebody hears of its end."""


class Consumers:
    """The consumers of one link."""

    def __init__(
        self,
        clock: IReactorTime,
        reads: OpenReads,
        wanted: Callable[[bytes], int],
        found: Callable[[bytes, Message], object],
        timeout: float = 5.0,
    ) -> None:
        """Begin with none.

        :param reads: has the channels, and what is open on them.
        :param wanted: returns how many wait for messages of a queue.
        :param found: is given each message, which is open, with its queue.
        :param timeout: seconds after which what is asked fails.
        """
        self._clock = clock
        self._reads = reads
        reads.watcher = self
        self._wanted = wanted
        self._found = found
        self._deadlines = Deadlines(clock, timeout)
        self._tags = count(1)
        #: Those that were given nothing yet, by queue, the oldest first.
        self._live: dict[bytes, list[Consumer]] = {}
        #: Queues that are not there, as far as is known.
        self._missing: set[bytes] = set()
        #: Those that are there, whatever is answered to consumers that were asked for.
        self._stirred: set[bytes] = set()
        #: Queues that somebody waits for since there is no connection.
        self._later: set[bytes] = set()
        #: Queues of which the number of those that wait has changed.
        self._changed: dict[bytes, None] = {}

    def note(self, queue: bytes) -> None:
        """Note that the number of those has changed that wait for a queue."""
        if not self._changed:
            self._clock.callLater(0, self._adjustAll)
        self._changed[queue] = None

    def isWatched(self, queue: bytes) -> bool:
        """Return whether what has come into a queue now is given to a consumer.

        If not, there may be one soon: the queue is there.
        """
        live = self._live.get(queue)
        if live is None:
            self._missing.discard(queue)
            self.note(queue)
            return False
        if not live[0].isReady:
            self._stirred.add(queue)
        return True

    def look(self, queue: bytes) -> bool:
        """Ask for consumers again that could not be had; return whether there are any.

        Without one, whoever waits has to look.
        """
        self._missing.discard(queue)
        self._adjust(queue)
        return queue in self._live

    # How many there are.

    def _adjustAll(self) -> None:
        changed, self._changed = self._changed, {}
        for queue in changed:
            self._adjust(queue)

    def _adjust(self, queue: bytes) -> None:
        """Have as many consumers of a queue as wait for it."""
        most = min(self._wanted(queue), MOST)
        live = self._live.get(queue, [])
        for consumer in live[most:]:
            self._forget(consumer)
            self.cancel(consumer)
        if len(live) < most and not self._reads.link.isUp:
            self._later.add(queue)
        elif len(live) < most and queue not in self._missing:
            channel = self._reads.channelOf(queue)
            if channel is None:
                self._missing.add(queue)
                return
            for _ in range(most - len(live)):
                self._add(channel)

    def _add(self, channel: Channel) -> None:
        consumer = Consumer(channel, f"memq-{next(self._tags)}")
        self._live.setdefault(channel.queue, []).append(consumer)
        channel.consumers[consumer.tag] = consumer
        if channel.isOpen:
            self._consume(consumer)

    def _consume(self, consumer: Consumer) -> None:
        channel, amqp = consumer.channel, consumer.channel.amqp
        if not channel.isBounded:
            channel.isBounded = True
            amqp.basic_qos(prefetch_count=1, callback=_ignore)
            # pika tells all who have cancelled when the first one is answered.
            amqp.add_callback(
                partial(self._cbCancelled, channel), [Basic.CancelOk], one_shot=False
            )
            amqp.add_on_cancel_callback(partial(self._cbLost, channel))
        amqp.basic_consume(
            nameOf(channel.queue).queue,
            partial(self._cbGiven, consumer),
            consumer_tag=consumer.tag,
            callback=partial(self._cbReady, consumer),
        )

    def _forget(self, consumer: Consumer) -> None:
        """Note that a consumer is given nothing more."""
        live = self._live.get(consumer.channel.queue, [])
        if consumer in live:
            live.remove(consumer)
            if not live:
                del self._live[consumer.channel.queue]

    # What is theirs.

    def settle(
        self,
        queue: bytes,
        number: int,
        done: Callable[[Any], object],
        isCounted: bool = False,
    ) -> None:
        """Delete the message of a consumer.

        :param done: called once: with True, None if it is not there any more, or a
            StoreError, when nobody knows.
        :param isCounted: whether deliveries of the queue are counted.
        """
        channel = self._reads.holder(number)
        consumers = () if channel is None else channel.consumers.values()
        consumer = next((each for each in consumers if each.number == number), None)
        if consumer is None or isCounted or not self._reads.link.isUp:
            self._reads.close(queue, [number], partial(self._cbClosed, done))
            return
        request = consumer.settling = Request(queue, done)
        request.isSent = True
        self._deadlines.add(request)
        consumer.channel.amqp.acknowledge(self._reads.takeOut(number))
        self.cancel(consumer)

    @staticmethod
    def _cbClosed(done: Callable[[Any], object], ended: Ended) -> None:
        if ended.error is not None:
            done(StoreError(UNANSWERED))
        else:
            done(True if ended.numbers else None)

    def cancel(self, consumer: Consumer) -> None:
        """Let a consumer be given nothing more; what it has stays as it is."""
        consumer.number = 0
        if not consumer.channel.isOpen:
            del consumer.channel.consumers[consumer.tag]
        elif self._reads.link.isUp:
            consumer.channel.amqp.basic_cancel(consumer.tag, callback=_ignore)

    # What the cluster tells.

    def _cbReady(self, consumer: Consumer, _: Any) -> None:
        consumer.isReady = True
        self._stirred.discard(consumer.channel.queue)

    def _cbGiven(
        self, consumer: Consumer, _: Any, method: Any, properties: Any, body: bytes
    ) -> None:
        self._forget(consumer)
        channel, tag = consumer.channel, method.delivery_tag
        message = self._reads.keep(channel, tag, properties.headers, body)
        consumer.number = message.sequence
        self.note(channel.queue)
        self._found(channel.queue, message)

    def _cbCancelled(self, channel: Channel, frame: Any) -> None:
        consumer = channel.consumers.pop(frame.method.consumer_tag, None)
        if consumer is not None and consumer.settling is not None:
            consumer.settling.answer(True)
        self._reads.spare(channel)

    def _cbLost(self, channel: Channel, frame: Any) -> None:
        """Note that the cluster has cancelled a consumer: its queue was deleted."""
        consumer = channel.consumers.pop(frame.method.consumer_tag, None)
        if consumer is not None:
            self._end(consumer)
            self._missing.add(channel.queue)
            self.note(channel.queue)
        self._reads.spare(channel)

    def _end(self, consumer: Consumer) -> None:
        self._forget(consumer)
        if consumer.settling is not None:
            # What answers its cancelling now has not gone through the log.
            consumer.settling.fail()

    # What the channels tell.

    def opened(self, channel: Channel) -> None:
        """Ask for those that were to be on a channel."""
        for consumer in list(channel.consumers.values()):
            self._consume(consumer)

    def closed(self, channel: Channel, isGone: bool) -> None:
        """Note that a channel has ended."""
        consumers, channel.consumers = channel.consumers, {}
        for consumer in consumers.values():
            self._end(consumer)
        if consumers:
            queue = channel.queue
            if self._reads.link.isUp and queue not in self._stirred:
                # Whatever it is, it may be so again.
                self._missing.add(queue)
            self._stirred.discard(queue)
            self.note(queue)

    def linkUp(self) -> None:
        """Ask for all that are wanted."""
        later, self._later = self._later, set()
        for queue in later:
            self.note(queue)
