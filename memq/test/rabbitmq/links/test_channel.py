"""Tests for memq.rabbitmq.links.channel: what answers a question, however it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pika import BasicProperties, frame, spec

from memq.rabbitmq.links import frames
from memq.test.rabbitmq.links.test_link import LinkTestCase

if TYPE_CHECKING:
    from memq.rabbitmq.links.channel import Channel


def answer(
    number: int, tag: int, *parts: bytes, size: int | None = None
) -> list[bytes]:
    """Return the frames of a message that is found, on a channel."""
    whole = len(b"".join(parts)) if size is None else size
    method = frame.Method(number, spec.Basic.GetOk(tag, False, "", "q", 0))
    header = frame.Header(number, whole, BasicProperties(headers={"f": tag}))
    bodies = [frame.Body(number, each).marshal() for each in parts]
    return [method.marshal(), header.marshal(), *bodies]


class ChannelTests(LinkTestCase):
    """What is found."""

    def setUp(self) -> None:
        """Open two channels."""
        super().setUp()
        self.start()
        self.found: list[Any] = []
        self.closed: list[str] = []
        self.first, self.second = self.open(), self.open()
        self.go()
        self.peer = self.rabbit.nodes[0].peers[0]

    def open(self) -> Channel:
        """Return a channel."""
        channel: Channel = self.link.channel(
            lambda _: None, lambda _, why: self.closed.append(why)
        )
        return channel

    def ask(self, channel: Channel) -> None:
        """Ask for a message on a channel."""

        def _found(tag: int, headers: Any, body: bytes) -> None:
            self.found.append((tag, headers, body))

        channel.get("q", _found, lambda: self.found.append(None), isTaken=False)

    def test_notConfirming(self) -> None:
        """A confirm of what was not published is pika's concern, and costs nothing."""
        self.peer.confirm(1, 1, multiple=False)
        self.go()
        self.assertTrue(self.link.isUp)
        self.assertEqual(self.closed, [])

    def test_pieces(self) -> None:
        """Bytes may come one by one."""
        self.ask(self.first)
        for byte in b"".join(answer(1, 5, b"ab", b"c")):
            self.peer.protocol.dataReceived(bytes((byte,)))
        self.assertEqual(self.found, [(5, {"f": 5}, b"abc")])

    def test_between(self) -> None:
        """Frames of other channels may come between those of an answer."""
        self.ask(self.first)
        self.ask(self.second)
        one, two = answer(1, 5, b"a", b"b"), answer(2, 6, b"c", b"d")
        mixed = [each for pair in zip(one, two, strict=True) for each in pair]
        self.peer.protocol.dataReceived(b"".join(mixed))
        self.assertEqual(self.found, [(5, {"f": 5}, b"ab"), (6, {"f": 6}, b"cd")])

    def test_plain(self) -> None:
        """A message as it is set here is read in one go, or in pieces as others are."""
        self.ask(self.first)
        method = frame.Method(1, spec.Basic.GetOk(5, False, "", "q", 0)).marshal()
        headers = {"f": 1, "t": 2}
        data = frames.publish(1, "", "q", b"body", 1, headers, None, 4096)
        data = method + data[data.index(frames.END) + 1 :]
        self.peer.protocol.dataReceived(data)
        self.ask(self.first)
        self.peer.protocol.dataReceived(data[:-1])
        self.peer.protocol.dataReceived(data[-1:])
        self.assertEqual(self.found, [(5, headers, b"body")] * 2)

    def test_empty(self) -> None:
        """A message may have no body, and a queue no message."""
        self.ask(self.first)
        self.peer.protocol.dataReceived(b"".join(answer(1, 5)))
        self.ask(self.first)
        self.peer.send(1, spec.Basic.GetEmpty())
        self.go()
        self.assertEqual(self.found, [(5, {"f": 5}, b""), None])

    def test_broken(self) -> None:
        """A frame without its end costs the connection."""
        self.ask(self.first)
        broken = b"".join(answer(1, 5))[:-1] + b"?"
        self.peer.protocol.dataReceived(broken)
        self.go()
        self.assertEqual(len(self.closed), 2)
        self.assertEqual(self.found, [])
        self.flushLoggedErrors()

    def test_together(self) -> None:
        """What is written in one round is sent in one go."""
        self.ask(self.first)
        self.ask(self.second)
        self.assertEqual(self.peer.transport.value(), b"")
        self.clock.advance(0)
        self.assertEqual(self.peer.transport.value().count(b"\x01q"), 2)
