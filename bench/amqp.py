"""An AMQP client alone, for bench.cluster: what the nodes do without memq before them.

    python -m bench.amqp URL QUEUE set|get OPERATIONS OUTSTANDING

``set`` publishes messages of 100 bytes over one channel, with so many that are not
confirmed yet; ``get`` takes them, each of so many channels one after the other, without
acknowledgements.  Prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import pika

#: The body of each message.
BODY = b"x" * 100
#: Channels with one get each at most: more of them are slower.
CHANNELS = 32


class _Client:
    """A client, from the first operation to the last."""

    def __init__(self, url: str, queue: str, count: int, outstanding: int) -> None:
        self._queue, self._count, self._outstanding = queue, count, outstanding
        self._asked = self.done = 0
        self.began = self.ended = 0.0
        self.connection = pika.SelectConnection(
            pika.URLParameters(url),
            on_open_callback=self._opened,
            on_close_callback=lambda closed, _: closed.ioloop.stop(),
        )

    def _opened(self, connection: Any) -> None:
        channel = connection.channel(on_open_callback=self.begin)
        channel.add_on_close_callback(lambda *_: connection.ioloop.stop())

    def begin(self, channel: Any) -> None:
        """Begin, with a channel."""
        raise NotImplementedError

    def note(self, number: int) -> None:
        """Note that so many are done."""
        self.done += number
        if self.done >= self._count and not self.ended:
            self.ended = time.perf_counter()
            self.connection.close()

    def run(self) -> None:
        """Run to the end."""
        self.connection.ioloop.start()


class _Sets(_Client):
    """Publishes."""

    _lowest = 1

    def begin(self, channel: Any) -> None:
        """Begin."""
        self._channel = channel
        self._unconfirmed: set[int] = set()
        channel.confirm_delivery(self._confirmed, callback=lambda _: self._start())

    def _start(self) -> None:
        self.began = time.perf_counter()
        self._more()

    def _more(self) -> None:
        most = min(self._count, self.done + self._outstanding)
        for _ in range(most - self._asked):
            self._asked += 1
            self._unconfirmed.add(self._asked)
            properties = pika.BasicProperties(delivery_mode=2)
            self._channel.basic_publish("", self._queue, BODY, properties)

    def _confirmed(self, frame: Any) -> None:
        tag = frame.method.delivery_tag
        first = self._lowest if frame.method.multiple else tag
        before = len(self._unconfirmed)
        self._unconfirmed.difference_update(range(first, tag + 1))
        if frame.method.multiple:
            self._lowest = tag + 1
        self.note(before - len(self._unconfirmed))
        self._more()


class _Gets(_Client):
    """Takes."""

    def begin(self, channel: Any) -> None:
        """Begin, with as many channels as there may be."""
        self._ready(channel)
        for _ in range(min(self._outstanding, CHANNELS) - 1):
            self.connection.channel(on_open_callback=self._ready)

    def _ready(self, channel: Any) -> None:
        self.began = self.began or time.perf_counter()
        channel.add_callback(
            lambda _: self._again(channel), [pika.spec.Basic.GetEmpty], one_shot=False
        )
        self._next(channel)

    def _again(self, channel: Any) -> None:
        self._asked -= 1
        self._next(channel)

    def _next(self, channel: Any) -> None:
        if self._asked < self._count:
            self._asked += 1
            channel.basic_get(self._queue, self._found, auto_ack=True)

    def _found(self, channel: Any, *_: Any) -> None:
        self.note(1)
        self._next(channel)


def main() -> None:
    """Run, and print what came of it."""
    url, queue, verb, count, outstanding = sys.argv[1:]
    kind = _Sets if verb == "set" else _Gets
    client = kind(url, queue, int(count), int(outstanding))
    used = time.process_time()
    client.run()
    seconds = client.ended - client.began
    cpu = (time.process_time() - used) * 1e6 / client.done
    found = {"operations": client.done, "rate": client.done / seconds, "cpu": cpu}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
