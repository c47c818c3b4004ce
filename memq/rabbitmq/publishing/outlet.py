"""A channel that confirms what is published on it.

Each message has its number on the channel as its message id, for a returned message is
told by that and by nothing else.  A return comes before the confirm of its message.

All queues share a channel, and a message that is larger than the node takes costs it.
What was published before that may be stored or not.  What was published behind it was
not looked at, for a node drops what comes on a channel that it closes.
"""

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from memq.rabbitmq.publishing.message import Fate

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika.channel import Channel

    from memq.rabbitmq.links.link import Link
    from memq.rabbitmq.publishing.message import Message


#: How a node says that a message is too large, and how large one may be.
_TOO_LARGE = re.compile(r"^406 .*\bmessage size \d+ .*\bmax size (\d+)")


def limitIn(why: str) -> int | None:
    """Return how many bytes a message may have, if a channel was closed for that."""
    found = _TOO_LARGE.match(why)
    return None if found is None else int(found[1])


class Outlet:
    """One channel.

    :ivar bornAt: when it was asked for, in the seconds of the clock.
    :ivar isOpen: whether messages can be sent.
    """

    def __init__(
        self,
        link: Link,
        bornAt: float,
        opened: Callable[[Outlet], object],
        closed: Callable[[Outlet, str], object],
    ) -> None:
        """Open it on a link that is up.

        :param opened: is called when it is open.
        :param closed: is called at its end, after all that was sent is settled.
        """
        self.bornAt, self.isOpen = bornAt, False
        self._toldOpen, self._toldClosed = opened, closed
        #: Those that are not settled, by their numbers, in the order of these.
        self._unsettled: dict[int, Message] = {}
        self._number = 0
        self._returned: set[int] = set()
        self._channel: Any = link.channel(self._opened, self._closed)

    @property
    def isIdle(self) -> bool:
        """Whether all that was sent is settled."""
        return not self._unsettled

    def send(self, message: Message) -> None:
        """Publish a message."""
        number = self._number + 1
        # What cannot be encoded is raised, and nothing is sent.
        self._channel.publish(
            message.exchange,
            message.key,
            message.body,
            number,
            message.headers,
            message.expiration,
        )
        self._number = number
        self._unsettled[number] = message

    def close(self) -> None:
        """Close the channel, on which nothing is under way."""
        if self.isOpen:
            self.isOpen = False
            self._channel.close()

    def _opened(self, channel: Channel) -> None:
        channel.add_on_return_callback(self._cbReturned)
        channel.confirmed = self._cbConfirmed
        channel.confirm_delivery(lambda _: None, callback=lambda _: None)
        self.isOpen = True
        self._toldOpen(self)

    def _cbReturned(
        self, channel: Channel, method: Any, properties: Any, body: bytes
    ) -> None:
        self._returned.add(int(properties.message_id))

    def _cbConfirmed(self, last: int, isMultiple: bool, isStored: bool) -> None:
        fate = Fate.STORED if isStored else Fate.REFUSED
        unsettled, returned = self._unsettled, self._returned
        # Not all numbers up to that: each may have been confirmed, for weeks.
        numbers = takewhile(last.__ge__, unsettled) if isMultiple else (last,)
        for number in list(numbers):
            message = unsettled.pop(number, None)
            if message is None:
                continue
            if number in returned:
                returned.remove(number)
                message.lane.settled(message, Fate.RETURNED)
            else:
                message.lane.settled(message, fate)

    def _closed(self, channel: Channel, why: str) -> None:
        self.isOpen = False
        lost, self._unsettled = self._unsettled, {}
        limit, fate = limitIn(why), Fate.LOST
        for number, message in lost.items():
            if fate is Fate.LOST and limit is not None and message.size > limit:
                fate = Fate.UNSEEN
                message.lane.settled(message, Fate.TOO_LARGE, str(limit))
            elif number in self._returned:
                # Nothing is stored of it, confirmed or not.
                message.lane.settled(message, Fate.RETURNED, why)
            else:
                message.lane.settled(message, fate, why)
        self._toldClosed(self, why)
