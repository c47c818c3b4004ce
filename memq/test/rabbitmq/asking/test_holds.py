"""Tests for memq.rabbitmq.asking.holds: gets and opens beside a delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.rabbitmq.asking.consumers import Consumers
from memq.rabbitmq.asking.gets import Gets
from memq.rabbitmq.asking.holds import HOLD
from memq.rabbitmq.asking.openreads import OpenReads
from memq.rabbitmq.asking.spread import SpreadGets, SpreadOpenReads
from memq.test.rabbitmq.asking.cases import AskingTestCase

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.test.rabbitmq.fakes import FakeLink


class HoldsTests(AskingTestCase):
    """What is asked of a queue that is about to be deleted."""

    def setUp(self) -> None:
        """Have two queues, and what gets and opens their messages."""
        super().setUp()
        gets = Gets(self.clock, self.number, lambda *_: None)
        reads = OpenReads(self.clock, self.number)
        consumers = Consumers(self.clock, reads, lambda _: 0, lambda *_: None)
        self.link = self.connect(gets)
        links = self.link, self.connect(reads)
        spreads = SpreadGets([gets]), SpreadOpenReads([reads], [consumers])
        asks: tuple[Callable[..., object], ...] = spreads[0].get, spreads[1].open
        self.kinds: list[tuple[Any, Callable[..., object], FakeLink]] = list(
            zip(spreads, asks, links, strict=True)
        )
        for queue in "jobs", "other":
            self.cluster.make(queue, *b"abcdefgh".split())

    def check(self, begin: Callable[[Any], object], end: Callable[[Any], None]) -> None:
        """Check that what is asked waits from a beginning to an end."""
        for spread, ask, _ in self.kinds:
            self.cluster.make("jobs", b"a")
            self.cluster.make("other", b"b")
            begin(spread)
            self.assertEqual(self.told(ask, b"jobs"), [])
            self.assertEqual(self.told(ask, b"other"), [b"b"])
            end(spread)
            self.cluster.settle()
            self.assertEqual(self.answers, [b"b", b"a"])

    def test_over(self) -> None:
        """It waits until that is told; what others have is given out."""
        self.check(
            lambda spread: spread.hold(b"jobs"), lambda spread: spread.over(b"jobs")
        )

    def test_twice(self) -> None:
        """It waits for the last one of several, for some time."""

        def _begin(spread: Any) -> None:
            spread.hold(b"jobs")
            self.clock.advance(HOLD / 2)
            spread.hold(b"jobs")
            self.clock.advance(HOLD - 0.01)

        self.check(_begin, lambda _: self.clock.advance(0.01))

    def test_nothing(self) -> None:
        """The end of one that nobody has heard of, or waits for, is of no concern."""
        for spread, ask, _ in self.kinds:
            spread.over(b"jobs")
            spread.hold(b"jobs")
            spread.over(b"jobs")
            self.assertEqual(len(self.told(ask, b"jobs")), 1)

    def test_turn(self) -> None:
        """A get whose turn has not come yet has one turn afterwards."""
        spread, ask, link = self.kinds[0]
        link.down()
        ask(b"jobs", self.note)
        spread.hold(b"jobs")
        spread.over(b"jobs")
        link.up()
        self.cluster.settle()
        self.assertEqual(self.told(ask, b"other"), [b"abcdefgh"])
        self.assertEqual(self.told(ask, b"jobs"), [None])
