"""Tests for memq.rabbitmq.names."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from memq.rabbitmq.names import LONGEST, NAME_ARGUMENT, decode, encode, headers, message


class NameTests(SynchronousTestCase):
    """Queues by RabbitMQ's names."""

    @given(st.binary(min_size=1, max_size=250).filter(lambda name: b"/" not in name))
    def test_thereAndBack(self, queue: bytes) -> None:
        """Whatever a queue is called, it is found again, by a name that is allowed."""
        name = encode(queue)
        self.assertLessEqual(len(name.queue.encode()), LONGEST)
        self.assertEqual(decode(*name), queue)

    def test_plain(self) -> None:
        """UTF-8 stays as it is."""
        self.assertEqual(encode(b"jobs"), ("jobs", {}))
        self.assertEqual(encode("žluť".encode()), ("žluť", {}))

    def test_escaped(self) -> None:
        """The rest is escaped: no UTF-8, the sign for that, RabbitMQ's own prefix."""
        self.assertEqual(encode(b"50%\xff").queue, "50%25%ff")
        self.assertEqual(encode(b"amq.jobs").queue, "%61mq.jobs")

    def test_long(self) -> None:
        """What is too long then has a digest as its name, and the whole beside it."""
        queue = b"\xff" * 100
        name = encode(queue)
        self.assertEqual((name.queue[:2], len(name.queue)), ("%%", 66))
        self.assertEqual(name.arguments, {NAME_ARGUMENT: "%ff" * 100})
        self.assertEqual(encode(b"a" * 250), ("a" * 250, {}))

    def test_others(self) -> None:
        """Queues of other programs are told apart: nobody could ask for them."""
        names = "memq/delay/5", "%%ab", "50%", "%4", "%zz", "%\xe94", "%  ", "amq.gen"
        for name in names:
            self.assertIsNone(decode(name, {}), name)


class MessageTests(SynchronousTestCase):
    """Messages by their headers."""

    @given(st.integers(0, (1 << 32) - 1), st.integers(0, 1 << 48), st.binary())
    def test_thereAndBack(self, flags: int, time: int, body: bytes) -> None:
        """Flags, time and body are those of the set."""
        found = message(7, headers(flags, time), body)
        self.assertEqual(found[1:5], (7, flags, time, body))

    def test_deliveries(self) -> None:
        """How often it was given back is told, once it was."""
        self.assertIsNone(message(1, headers(1, 2), b"x").trace)
        trace = message(1, {"x-delivery-count": 3}, b"x").trace
        assert trace is not None
        self.assertEqual(trace.counted, 3)

    def test_others(self) -> None:
        """A message of another program has flags 0, and no time."""
        for strange in None, {}, {"f": "x", "t": None}, {"f": -1, "t": 1 << 63}:
            found = message(1, strange, b"x")
            self.assertEqual((found.flags, found.time, found.body), (0, 0, b"x"))
