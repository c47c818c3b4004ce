"""Tests for memq.rabbitmq.links.frames: pika reads what it writes, and the reverse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pika import BasicProperties, frame, spec
from pika.compat import long
from twisted.trial.unittest import SynchronousTestCase

from memq.rabbitmq.links import frames

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes of a frame.
MOST = 108


def decoded(data: bytes) -> Iterator[Any]:
    """Yield the frames that pika finds."""
    while data:
        consumed, found = frame.decode_frame(data)
        assert consumed
        data = data[consumed:]
        yield found


def publish(
    body: bytes = b"body",
    headers: Any = None,
    expiration: str | None = None,
) -> list[Any]:
    """Return the frames of a message."""
    data = frames.publish(7, "ex", "key", body, 12, headers, expiration, MOST)
    return list(decoded(data))


class WriteTests(SynchronousTestCase):
    """What is written."""

    def test_publish(self) -> None:
        """A message has its method, its header and its body."""
        method, header, body = publish(headers={"f": 5, "t": 1 << 60}, expiration="9")
        self.assertEqual((method.channel_number, method.method.mandatory), (7, True))
        self.assertEqual(
            (method.method.exchange, method.method.routing_key), ("ex", "key")
        )
        properties = header.properties
        self.assertEqual(properties.headers, {"f": 5, "t": 1 << 60})
        self.assertEqual(
            (properties.delivery_mode, properties.message_id), (2, f"{12:016}")
        )
        self.assertEqual((properties.expiration, header.body_size), ("9", 4))
        self.assertEqual(body.fragment, b"body")

    def test_headers(self) -> None:
        """Whatever headers there are, they are written."""
        for headers in (
            {},
            {"f": 1},
            {"f": 1, "t": "text"},
            {"f": "text", "t": 1},
            {"f": 1, "long": 2},
            {"f": 1, "t": 2, "d": "5"},
        ):
            _, header, _ = publish(headers=headers)
            self.assertEqual(header.properties.headers, headers)
        self.assertIsNone(publish()[1].properties.headers)

    def test_bodies(self) -> None:
        """A large body is in several frames, an empty one in none."""
        self.assertEqual(len(publish(b"")), 2)
        self.assertEqual(len(publish(b"x" * 100)), 3)
        parts = publish(b"x" * 250)[2:]
        self.assertEqual([len(each.fragment) for each in parts], [100, 100, 50])

    def test_get(self) -> None:
        """A question names the queue."""
        for isTaken in (True, False):
            [asked] = decoded(frames.get(3, "q", isTaken))
            self.assertEqual((asked.method.queue, asked.method.no_ack), ("q", isTaken))

    def test_ack(self) -> None:
        """An acknowledgement is of one message."""
        [said] = decoded(frames.ack(3, 1 << 40))
        self.assertEqual(said.method.delivery_tag, 1 << 40)
        self.assertFalse(said.method.multiple)


class ReadTests(SynchronousTestCase):
    """What is read."""

    def read(self, properties: Any, size: int = 4) -> tuple[int, Any]:
        """Return what is found in a header."""
        data = frame.Header(1, size, properties).marshal()
        return frames.content(data[frames.START.size : -1])

    def test_numbered(self) -> None:
        """A confirm has a number, and says whether it is about one."""
        for isMultiple in (True, False):
            data = frame.Method(1, spec.Basic.Ack(9, isMultiple)).marshal()
            found = frames.numbered(data[frames.START.size : -1])
            self.assertEqual(found, (9, isMultiple))

    def test_own(self) -> None:
        """What is written here is found, whatever else it has."""
        for headers in ({"f": 5, "t": 1 << 60}, {"f": 5, "t": 6, "d": "1"}):
            data = frames.publish(1, "", "q", b"", 1, headers, "9", MOST)
            header = data[data.index(b"\xce") + 1 :]
            found = frames.content(header[frames.START.size : -1])
            self.assertEqual(found, (0, headers))

    def test_others(self) -> None:
        """What others write is found as well."""
        for headers in (
            {"f": 1, "t": 2},
            {"f": 1},
            {"f": 1 << 40, "x": 1 << 41, "y": 1 << 42},
            {"f": "a text that is long enough for two numbers", "t": 3},
            {"%": 1 << 40, "t": 1 << 41},
        ):
            properties = BasicProperties(headers=headers, delivery_mode=2)
            self.assertEqual(self.read(properties), (4, headers))
        properties = BasicProperties(content_type="text", app_id="x")
        self.assertEqual(self.read(properties, 1 << 33), (1 << 33, {}))


class FoundTests(SynchronousTestCase):
    """What is read in one go."""

    def message(self, headers: Any, body: bytes = b"body", id: int = 1) -> bytes:
        """Return a message without the method before it."""
        data = frames.publish(7, "", "q", body, id, headers, None, MOST)
        return data[data.index(frames.END) + 1 :]

    def test_whole(self) -> None:
        """A message is read with what is around it, wherever it begins."""
        headers = {"f": 5, "t": 1 << 60}
        data = self.message(headers)
        found = frames.found(b"before" + data + b"behind", 6, 7)
        self.assertEqual(found, (6 + len(data), headers, b"body"))

    def test_counted(self) -> None:
        """So is one of a queue that tells that it was never given back."""
        for tries, isFound in ((0, True), (1, False)):
            two = {"f": long(5), "t": long(6)}
            properties = BasicProperties(
                delivery_mode=2,
                message_id="1" * 16,
                headers={**two, "x-delivery-count": long(tries)},
            )
            header = frame.Header(7, 4, properties).marshal()
            data = header + frame.Body(7, b"body").marshal()
            found = frames.found(data, 0, 7)
            self.assertEqual(found, (len(data), two, b"body") if isFound else None)

    def test_part(self) -> None:
        """One that is not there to its end is not read yet."""
        data = self.message({"f": 5, "t": 6})
        for size in range(len(data)):
            self.assertIsNone(frames.found(data[:size], 0, 7))

    def test_other(self) -> None:
        """One with other headers is left to a longer way, and one in several frames."""
        for headers in ({"f": 5}, {"f": 5, "t": "x"}, {"f": 1, "t": 2, "d": 3}):
            self.assertIsNone(frames.found(self.message(headers), 0, 7))
        two = {"f": 5, "t": 6}
        data = self.message(two, b"x" * 200)
        self.assertIsNone(frames.found(data, 0, 7))
        for one, other in ((b"fl", b"fL"), (b"tl", b"tL"), (b"\x01f", b"\x01\xff")):
            data = self.message(two).replace(one, other)
            self.assertIsNone(frames.found(data, 0, 7))

    def test_wrong(self) -> None:
        """One of which something is wrong is pika's concern."""
        data = self.message({"f": 5, "t": 6})
        self.assertIsNone(frames.found(data, 0, 8))
        middle = data.index(frames.END)
        for at in (0, middle, middle + 1, middle + 3, len(data) - 1):
            wrong = data[:at] + b"?" + data[at + 1 :]
            self.assertIsNone(frames.found(wrong, 0, 7))
