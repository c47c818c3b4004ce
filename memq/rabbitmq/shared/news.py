"""News: what front ends tell each other, and what they ask the cluster's exchanges.

All goes over one channel, which hears of everything that is told:

- Who tells something publishes it to the fanout exchange NEWS, to which each front end
  has bound a queue of its own.  It comes back here as well: then all have it, or are
  about to.
- Whether an exchange has a binding with some routing key (a fanout exchange: with any)
  is asked by a message: it is returned if there is none.  Else it goes on to the
  exchange ANSWERS, which hands it to the queue of the front end that has asked.  So no
  question ends the channel, and none is a line in a node's log.

Exchanges and what binds them to each other are durable; the queue is not: what is told
while there is no channel is not heard, and the listener has to ask again.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from pika import BasicProperties
from twisted.logger import Logger

from memq.ratelimit import Rarely

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika.channel import Channel
    from twisted.internet.interfaces import IReactorTime

#: Where news are told, and where answers come from.
NEWS, ANSWERS = "memq/news", "memq/answers"
#: Seconds before a channel that the node has closed is opened again.
AGAIN = 0.2
#: The header that names the queue of who has sent something.
FROM = "from"

_log = Logger()


class INewsLink(Protocol):
    """A connection that is made again whenever it is lost."""

    @property
    def isUp(self) -> bool:
        """Whether there is a connection."""

    def channel(
        self,
        opened: Callable[[Any], object],
        closed: Callable[[Any, str], object],
    ) -> Any:
        """Open a channel; ``closed`` is called at its end, with a code and words."""

    def leave(self, why: str) -> None:
        """Take another node."""


class Listener(Protocol):
    """Who hears of news."""

    def newsUp(self) -> None:
        """Begin: what is told from now on is heard."""

    def newsDown(self) -> None:
        """Note that nothing is heard, and that nothing will be answered."""

    def newsBlocked(self) -> None:
        """Note that nothing is answered for now, though all is heard."""

    def heard(self, kind: str, queue: bytes) -> None:
        """Take note of something that was done to a queue, here or elsewhere."""


class News:
    """What is told and asked; see above.

    :ivar link: what it goes over; set before it is up.
    :ivar isBlocked: whether the node reads nothing of this link for now: it does so
        when one publishes that is out of memory or disk space.
    """

    link: INewsLink

    def __init__(
        self, clock: IReactorTime, listener: Listener, exchanges: dict[str, str]
    ) -> None:
        """Begin with no channel.

        :param exchanges: those that can be asked, and the type of each.
        """
        self._clock = clock
        self._listener = listener
        self._exchanges = exchanges
        self._rarely = Rarely(clock.seconds)
        self._channel: Any = None
        self._queue = ""
        self._isReady = self.isBlocked = False
        self._number = 0
        #: What hears of each message that was sent, by its id: whether it came back.
        self._sent: dict[str, Callable[[bool], object]] = {}

    @property
    def isReady(self) -> bool:
        """Whether something can be told and asked; not while the channel closes."""
        return self._isReady and self.link.isUp

    def ask(self, exchange: str, key: str, told: Callable[[bool], object]) -> None:
        """Ask whether an exchange has a binding with a key.

        :param told: is called once with that, unless the channel ends before.
        """
        self._publish(exchange, key, "ask", b"", told)

    def tell(self, kind: str, queue: bytes, told: Callable[[], object]) -> None:
        """Tell all that something was done to a queue.

        :param told: is called once, as ``told`` of ``ask`` is.
        """
        self._publish(NEWS, "", kind, queue, lambda _: told())

    def bind(self, exchange: str, key: str) -> None:
        """Let an exchange have a binding with a key; it may have one."""
        self._channel.exchange_bind(ANSWERS, exchange, key)

    def unbind(self, exchange: str, key: str) -> None:
        """Let it have none."""
        self._channel.exchange_unbind(ANSWERS, exchange, key)

    def after(self, done: Callable[[], object]) -> None:
        """Call something when all that was bound or not before counts."""
        self._channel.exchange_declare(ANSWERS, passive=True, callback=lambda _: done())

    def _publish(
        self,
        exchange: str,
        key: str,
        kind: str,
        body: bytes,
        told: Callable[[bool], object],
    ) -> None:
        self._number += 1
        number = str(self._number)
        properties = BasicProperties(
            type=kind, message_id=number, headers={FROM: self._queue}
        )
        self._sent[number] = told
        self._channel.basic_publish(exchange, key, body, properties, mandatory=True)

    # The channel.

    def _open(self) -> None:
        if self.link.isUp and self._channel is None:
            self._channel = self.link.channel(self._opened, self._closed)

    def _opened(self, channel: Channel) -> None:
        channel.add_on_return_callback(self._cbReturned)
        channel.add_on_cancel_callback(partial(self._cbCancelled, channel))
        for exchange, kind in self._exchanges.items():
            channel.exchange_declare(exchange, kind, durable=True)
        channel.exchange_declare(ANSWERS, "headers", durable=True)
        channel.exchange_declare(NEWS, "fanout", durable=True)
        channel.queue_declare(
            "", exclusive=True, callback=partial(self._cbDeclared, channel)
        )

    def _cbDeclared(self, channel: Channel, frame: Any) -> None:
        if not self.link.isUp:
            # It is being closed, and takes no more.
            return
        queue = self._queue = str(frame.method.queue)
        arguments = {"x-match": "all", FROM: queue}
        channel.queue_bind(queue, ANSWERS, "", arguments)
        channel.queue_bind(queue, NEWS, "")
        channel.basic_consume(
            queue, self._cbDelivered, auto_ack=True, callback=self._cbReady
        )

    def _cbReady(self, _: Any) -> None:
        self._isReady = True
        self._listener.newsUp()

    def _cbCancelled(self, channel: Channel, _: Any) -> None:
        """Take another queue on another channel: this one is lost."""
        self._isReady = False
        channel.close()

    def _cbReturned(
        self, channel: Channel, method: Any, properties: Any, body: bytes
    ) -> None:
        self._sent.pop(properties.message_id)(False)

    def _cbDelivered(
        self, channel: Channel, method: Any, properties: Any, body: bytes
    ) -> None:
        if method.exchange == NEWS:
            self._listener.heard(properties.type, body)
        if (properties.headers or {}).get(FROM) == self._queue:
            self._sent.pop(properties.message_id)(True)

    def _closed(self, channel: Channel, why: str) -> None:
        self._channel, self._isReady = None, False
        self._sent.clear()
        self._listener.newsDown()
        if self.link.isUp:
            count = self._rarely.count(why)
            if count:
                _log.warn(
                    "No news of other servers ({count} such): {why}",
                    count=count,
                    why=why,
                )
            self._clock.callLater(AGAIN, self._open)

    # The link.

    def linkUp(self) -> None:
        """Open a channel."""
        self._open()

    def linkDown(self, why: str) -> None:
        """Begin anew with the next connection; the channel has told its end."""
        self.isBlocked = False

    def linkBlocked(self, why: str | None) -> None:
        """Tell when nothing is answered; what was sent is answered afterwards."""
        self.isBlocked = why is not None
        if self.isBlocked:
            self._listener.newsBlocked()
