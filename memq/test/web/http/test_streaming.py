"""Replies that are made piece by piece."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from memq.test.support.stepped import SteppedReactor
from memq.web.http.streaming import PATIENCE, Streamer, compressed

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Request:
    """A request whose reader may have enough, as a socket says within a write."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.isFull = self.isFinished = self.isAborted = False
        self.producer: Any = None
        self.channel = self

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.written.append(data)
        if self.isFull:
            self.producer.pauseProducing()

    def finish(self) -> None:
        self.isFinished = True

    def forceAbortClient(self) -> None:
        self.isAborted = True


class StreamerTests(SynchronousTestCase):
    """One reply."""

    def setUp(self) -> None:
        """Begin to send three pieces."""
        self.clock = SteppedReactor()
        self.request = _Request()
        self.made = 0
        self.streamer = Streamer(self.clock, self.request, self.pieces())

    def pieces(self) -> Iterator[bytes]:
        """Make pieces, of which one is empty."""
        for piece in (b"a", b"", b"b", b"c"):
            self.made += 1
            yield piece

    def test_all(self) -> None:
        """Pieces come one by one, other work between them, and then the end."""
        self.streamer.start()
        for count in (1, 2, 3, 4):
            self.assertEqual(self.made, count)
            self.assertFalse(self.request.isFinished)
            self.clock.iterate()
        self.assertEqual(self.request.written, [b"a", b"b", b"c"])
        self.assertTrue(self.request.isFinished)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_full(self) -> None:
        """No piece is made while the reader has enough."""
        self.request.isFull = True
        self.streamer.start()
        for _ in range(5):
            self.clock.advance(1)
        self.assertEqual((self.made, self.request.written), (1, [b"a"]))
        self.request.isFull = False
        self.streamer.resumeProducing()
        self.clock.pump([0] * 5)
        self.assertTrue(self.request.isFinished)

    def test_stuck(self) -> None:
        """A reader that takes nothing is cut off."""
        self.request.isFull = True
        self.streamer.start()
        self.clock.advance(PATIENCE - 1)
        self.assertFalse(self.request.isAborted)
        self.clock.advance(1)
        self.assertTrue(self.request.isAborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_gone(self) -> None:
        """Nothing is made for a reader that is gone, at whatever time."""
        self.streamer.start()
        self.streamer.stopProducing()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.streamer.stopProducing()
        self.streamer.pauseProducing()
        self.streamer.stopProducing()
        self.assertEqual((self.made, self.clock.getDelayedCalls()), (1, []))


class CompressedTests(SynchronousTestCase):
    """gzip."""

    def test_compressed(self) -> None:
        """What is unpacked is what was packed."""
        for pieces in ([], [b""], [b"a" * 9999, b"b"]):
            data = b"".join(compressed(pieces))
            self.assertEqual(gzip.decompress(data), b"".join(pieces))
