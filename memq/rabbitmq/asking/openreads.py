"""Open reads: messages that are given out and not acknowledged yet.

Each is a delivery on a channel, which has those of one queue only: what ends a channel
touches no other queue.  The end of a channel, by whatever cause, lets the cluster give
the messages back; they are *lost* here.

An acknowledgement has no answer.  What is sent behind it on the same channel goes
through the same log of consensus: the answer of a ``basic.get``, or that of a passive
declare if it comes so soon that the queue's leader has given it, tells that the
acknowledgement counts.  A later one may be the node's own word, and is asked for again.
The leader's word is that of a node that may die before others have the log.  So where
an open follows anyway, only its answer tells.

An open whose channel ends has opened nothing for long: it is asked for again.

What consumers are given, see :mod:`memq.rabbitmq.asking.consumers`, is open as well.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from memq.errors import StoreError
from memq.rabbitmq import names
from memq.rabbitmq.asking.base import Deadlines, isMissing, nameOf
from memq.rabbitmq.asking.deliveries import Channel, End, Open, freeOne
from memq.rabbitmq.asking.holds import Holds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from twisted.internet.interfaces import IReactorTime

    from memq.message import Message
    from memq.rabbitmq.asking.base import ILink
    from memq.rabbitmq.asking.deliveries import Ended, Watcher

#: Channels that a queue has at most.
CHANNELS = 16
#: Channels that hold nothing and are kept for what comes, of all queues.
SPARE = 64
#: Channels up to which consumers may have one, and opens: a connection has 2,047.
MOST_WATCHED, MOST_CHANNELS = 1_500, 2_000
#: What is said when no more may be opened.
TOO_MANY = "open reads of too many queues here"
#: Seconds in which an answer to a passive declare is the leader's: a node that has
#: none from the leader gives its own after 0.25.
PROMPT = 0.2


class OpenReads:
    """The open reads of one link.

    :ivar link: what they go over; set before the first one.
    :ivar watcher: has consumers on the same channels; set before the first one.
    """

    link: ILink
    watcher: Watcher

    def __init__(
        self, clock: IReactorTime, number: Callable[[], int], timeout: float = 5.0
    ) -> None:
        """Begin with none.

        :param number: returns what the next message is counted as.
        :param timeout: seconds after which what is asked fails.
        """
        self._seconds = clock.seconds
        self._number = number
        self._deadlines = Deadlines(clock, timeout)
        #: Opens that are not sent, by queue.
        self._lines: dict[bytes, deque[Open]] = {}
        self.deleting = Holds(clock, self._lines, self._goOn)
        self._channels: dict[bytes, list[Channel]] = {}
        self._byAmqp: dict[Any, Channel] = {}
        #: The channel of each message that is open.
        self._holders: dict[int, Channel] = {}
        #: Those that hold nothing, the first one the longest.
        self._spare: dict[Channel, None] = {}
        #: Those that were closed from here, until the node has said so.
        self._closing: set[Any] = set()

    def holds(self, number: int) -> bool:
        """Return whether a message is open."""
        return number in self._holders

    def held(self, queue: bytes) -> int:
        """Return how many messages of a queue are open."""
        return sum(len(each.held) for each in self._channels.get(queue, ()))

    def open(self, queue: bytes, done: Callable[[Any], object]) -> None:
        """Open a message.

        :param done: called once with it, None if there is none, or a QueueError.
        """
        self._ask(Open(queue, done))

    def close(
        self, queue: bytes, numbers: Iterable[int], done: Callable[[Ended], object]
    ) -> None:
        """Delete open messages.

        :param done: called once, when the cluster has done so.
        """
        end = self._end(queue, done, [self._acknowledge(each) for each in numbers])
        for channel in end:
            self._declare(channel)

    def giveBack(
        self, queue: bytes, numbers: Iterable[int], done: Callable[[Ended], object]
    ) -> None:
        """Give open messages back to the head of their queue; see ``close``."""
        end = self._end(queue, done, [self._refuse(each) for each in numbers])
        for channel in end:
            self._declare(channel)

    def exchange(
        self,
        queue: bytes,
        number: int,
        closed: Callable[[Ended], object],
        done: Callable[[Any], object],
    ) -> None:
        """Delete an open message and open the next one, which tells that it is deleted.

        :param closed: called once as by ``close``, before ``done`` is as by ``open``.
        """
        request = Open(queue, done)
        channels = self._end(queue, closed, [self._acknowledge(number)], isChained=True)
        for channel in channels:
            request.channel = channel
        self._ask(request)

    # Ending.

    def _acknowledge(self, number: int) -> tuple[int, Channel | None]:
        channel, tag = self._take(number)
        if channel is not None:
            channel.amqp.acknowledge(tag)
        return number, channel

    def _refuse(self, number: int) -> tuple[int, Channel | None]:
        channel, tag = self._take(number)
        if channel is not None:
            channel.amqp.basic_nack(tag, multiple=False, requeue=True)
        return number, channel

    def _take(self, number: int) -> tuple[Channel | None, int]:
        if not self.link.isUp:
            return None, 0
        channel = self._holders.pop(number, None)
        if channel is None:
            return None, 0
        for consumer in channel.consumers.values():
            if consumer.number == number:
                # Or it would be given the next message for that.
                self.watcher.cancel(consumer)
                break
        return channel, channel.held.pop(number)

    def _end(
        self,
        queue: bytes,
        done: Callable[[Ended], object],
        taken: Iterable[tuple[int, Channel | None]],
        *,
        isChained: bool = False,
    ) -> list[Channel]:
        """Begin to wait for channels; return them, each once."""
        end = End(queue, done)
        end.isChained = isChained
        for number, channel in taken:
            if channel is None:
                end.isLost = True
            else:
                end.channels[channel] = None
                end.numbers.add(number)
        channels = list(end.channels)
        if channels:
            self._deadlines.add(end)
        else:
            end.answerIfOver()
        for channel in channels:
            channel.ends.append(end)
        return channels

    def _declare(self, channel: Channel) -> None:
        """Ask for an answer behind what was sent, unless one is under way."""
        asked = [each for each in channel.ends if not each.isChained]
        if channel.declared is None and asked:
            channel.declared = self._seconds()
            channel.endsSent = asked
            channel.ends = [each for each in channel.ends if each.isChained]
            channel.amqp.queue_declare(
                nameOf(channel.queue).queue,
                passive=True,
                callback=lambda _: self._cbDeclared(channel),
            )

    def _cbDeclared(self, channel: Channel) -> None:
        assert channel.declared is not None
        isPrompt = self._seconds() - channel.declared < PROMPT
        channel.declared = None
        ends, channel.endsSent = channel.endsSent, []
        if not isPrompt:
            channel.ends = [*(each for each in ends if not each.isOver), *channel.ends]
            ends = []
        self._declare(channel)
        self.spare(channel)
        for each in ends:
            each.hasAnswered(channel)

    # Opening.

    def _ask(self, request: Open) -> None:
        self._deadlines.add(request)
        line = self._lines.setdefault(request.queue, deque())
        if request.channel is None:
            line.append(request)
        else:
            line.appendleft(request)
        self._goOn(request.queue)

    def _goOn(self, queue: bytes) -> None:
        """Send what can be sent of a queue, and open channels for the others."""
        if queue in self.deleting or not self.link.isUp:
            return
        line = self._lines[queue]
        channels = self._channels.get(queue, [])
        while line:
            if line[0].isOver:
                line.popleft()
                continue
            channel = freeOne(line[0].channel, channels)
            if channel is None:
                break
            self._send(channel, line.popleft())
        if not line:
            del self._lines[queue]
            return
        opening = sum(not each.isOpen for each in channels)
        if opening < len(line) and len(channels) < CHANNELS:
            if self.link.hasRoom(MOST_CHANNELS):
                self._openChannel(queue)
            elif not channels and not self._makeRoom():
                for request in self._lines.pop(queue):
                    request.answer(StoreError(TOO_MANY))

    def _makeRoom(self) -> bool:
        """Close what has nothing to do; return whether each line that waits has one."""
        waiting = sum(queue not in self._channels for queue in self._lines)
        if self._spare and len(self._closing) < waiting:
            self._close(next(iter(self._spare)))
        return len(self._closing) >= waiting

    def _close(self, channel: Channel) -> None:
        self._forget(channel)
        self._closing.add(channel.amqp)
        channel.amqp.close()

    def _openChannel(self, queue: bytes) -> None:
        channel = Channel(queue)
        channel.amqp = self.link.channel(self._opened, self._closed)
        self._byAmqp[channel.amqp] = channel
        self._channels.setdefault(queue, []).append(channel)

    def _opened(self, amqp: Any) -> None:
        channel = self._byAmqp[amqp]
        channel.isOpen = True
        if channel.queue in self._lines:
            self._goOn(channel.queue)
        self.watcher.opened(channel)
        self.spare(channel)

    # Consumers.

    def holder(self, number: int) -> Channel | None:
        """Return the channel on which a message is open, if it is."""
        return self._holders.get(number)

    def channelOf(self, queue: bytes) -> Channel | None:
        """Return a channel of a queue, open or not yet; None if no more can be had."""
        if queue not in self._channels and self.link.hasRoom(MOST_WATCHED):
            self._openChannel(queue)
        channels = self._channels.get(queue)
        return None if channels is None else channels[0]

    def takeOut(self, number: int) -> int:
        """Return the tag of an open message, which is another's concern from now on."""
        return self._holders.pop(number).held.pop(number)

    def _send(self, channel: Channel, request: Open) -> None:
        self._spare.pop(channel, None)
        channel.opening = request
        request.isSent = True
        # What was acknowledged before is answered with it, even if that has its own
        # answer to come: that may be late.
        channel.endsBefore, channel.ends = [*channel.endsSent, *channel.ends], []

        def _cbFound(tag: int, headers: Mapping[str, Any], body: bytes) -> None:
            message = self.keep(channel, tag, headers, body)
            if not self._answer(channel, message):
                self._refuse(message.sequence)

        name = nameOf(channel.queue).queue
        _cbEmpty = partial(self._cbEmpty, channel)
        channel.amqp.get(name, _cbFound, _cbEmpty, isTaken=False)

    def keep(
        self,
        channel: Channel,
        tag: int,
        headers: Mapping[str, Any] | None,
        body: bytes,
    ) -> Message:
        """Return a message that was delivered, which is open from now on."""
        number = self._number()
        channel.held[number] = tag
        self._holders[number] = channel
        return names.message(number, headers, body)

    def _cbEmpty(self, channel: Channel) -> None:
        self._answer(channel, None)

    def _answer(self, channel: Channel, found: Message | None) -> bool:
        """Answer an open, and what ended before; return whether somebody wants it."""
        request, channel.opening = channel.opening, None
        ends, channel.endsBefore = channel.endsBefore, []
        assert request is not None
        for each in ends:
            each.hasAnswered(channel)
        # One whose open was not sent in time has nobody to tell.
        channel.ends = [each for each in channel.ends if not each.isOver]
        isWanted = request.answer(found)
        self._declare(channel)
        if channel.queue in self._lines:
            self._goOn(channel.queue)
        self.spare(channel)
        return isWanted

    # Channels that end, and the link.

    def spare(self, channel: Channel) -> None:
        """Keep a channel that has nothing to do, and close the one of longest ago."""
        if not (channel.isSpare and self.link.isUp):
            return
        self._spare[channel] = None
        if len(self._spare) > SPARE:
            self._close(next(iter(self._spare)))

    def _forget(self, channel: Channel) -> None:
        del self._byAmqp[channel.amqp]
        self._spare.pop(channel, None)
        channels = self._channels[channel.queue]
        channels.remove(channel)
        if not channels:
            del self._channels[channel.queue]

    def _closed(self, amqp: Any, why: str) -> None:
        channel = self._byAmqp.get(amqp)
        if channel is None:
            self._closing.discard(amqp)
            for queue in list(self._lines):
                if queue in self._lines and queue not in self._channels:
                    self._goOn(queue)
            return
        self._forget(channel)
        for number in channel.held:
            del self._holders[number]
        self.watcher.closed(channel, isMissing(why))
        request, isGone = channel.opening, isMissing(why)
        for each in (*channel.endsBefore, *channel.endsSent, *channel.ends):
            if isGone:
                # The queue was deleted, and they with it.
                each.numbers.clear()
            each.hasAnswered(channel, isLost=not isGone)
        if request is not None and isGone:
            request.answer(None)
        elif request is not None and not request.isOver:
            # It has opened nothing that is not back by now.
            request.channel = None
            request.isSent = False
            self._lines.setdefault(channel.queue, deque()).appendleft(request)
        if channel.queue in self._lines:
            self._goOn(channel.queue)

    def linkUp(self) -> None:
        """Begin with what waits."""
        for queue in list(self._lines):
            self._goOn(queue)
        self.watcher.linkUp()

    def linkDown(self, why: str) -> None:
        """Do nothing: each channel has told its end."""

    def linkBlocked(self, why: str | None) -> None:
        """Do nothing: nothing is set here."""
