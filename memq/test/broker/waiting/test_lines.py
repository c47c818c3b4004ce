"""The lines of those that wait, without anything to wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from memq.broker.waiting.lines import Lines
from memq.operations.reads import Read

if TYPE_CHECKING:
    from memq.broker.session import Session


class LinesTests(SynchronousTestCase):
    """Lines, and who stands where in them."""

    def setUp(self) -> None:
        """Let three stand in one line, each for ten seconds."""
        self.clock = Clock()
        self.late: list[Read] = []
        self.lines = Lines(self.clock, self.late.append)
        self.reads = [self.read(b"q", 10.0) for _ in range(3)]

    def read(self, queue: bytes, wait: float) -> Read:
        """Return a read that stands in line."""
        nobody: Any = None
        session: Session = nobody
        read = Read(session, queue, wait)
        self.lines.join(read)
        return read

    def test_order(self) -> None:
        """The first read to join is next, and those of other queues are not."""
        self.read(b"r", 1.0)
        self.assertEqual(self.lines.next(b"q", 2), self.reads[:2])
        self.assertEqual(self.lines.waiters(b"q"), 1)
        self.assertEqual(self.lines.next(b"q", 2), self.reads[2:])
        self.assertEqual(self.lines.next(b"q", 2), [])
        self.assertEqual(list(self.lines.queues), [b"r"])

    def test_again(self) -> None:
        """A read that joins again has the old place, and no more time than before."""
        one, two = self.lines.next(b"q", 2)
        self.clock.advance(6.0)
        self.lines.join(two)
        self.lines.join(one)
        self.assertEqual(list(self.lines), self.reads)
        self.clock.advance(4.0)
        self.assertEqual(len(self.late), 3)
        self.assertEqual(self.lines.queues, {})

    def test_tooLate(self) -> None:
        """A read that joins again when the time is over is told so, soon."""
        [one] = self.lines.next(b"q", 1)
        self.clock.advance(20.0)
        self.lines.join(one)
        self.assertEqual(self.late, self.reads[1:])
        self.clock.advance(0.0)
        self.assertEqual(self.late, [*self.reads[1:], one])

    def test_leave(self) -> None:
        """A read that has left is not called."""
        self.lines.leave(self.reads[1])
        self.clock.advance(10.0)
        self.assertEqual(self.late, self.reads[::2])

    def test_leaveMeanwhile(self) -> None:
        """All can leave while they are gone through."""
        for read in self.lines:
            self.lines.leave(read)
        self.assertEqual((self.lines.queues, self.clock.getDelayedCalls()), ({}, []))
