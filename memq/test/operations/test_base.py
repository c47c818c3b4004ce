"""Slices do a large operation a little at a time."""

from __future__ import annotations

from memq.broker.broker import Broker
from memq.broker.session import State
from memq.operations.base import Operation, Slice
from memq.storage.memory import MemoryStore
from memq.test.support.stepped import SteppedReactor, SteppedTestCase


class _Count(Slice):
    """Count down; the result is the number."""

    number = 0

    @property
    def hasMore(self) -> bool:
        """Whether there are more."""
        return self.number > 0


class SlicesTests(SteppedTestCase):
    """A slice and its rest."""

    def setUp(self) -> None:
        """Make two slices and something that was asked for behind them."""
        self.reactor = SteppedReactor()
        self.session = Broker(MemoryStore(), self.reactor).session(lambda: None)
        self.one, self.two = _Count(self.session), _Count(self.session)
        self.behind = Operation(self.session)

    def test_order(self) -> None:
        """The rest runs before what was asked for behind the slice, and soon."""
        self.session.inbox.append(self.behind)
        self.one.divide(self.two)
        self.assertEqual(list(self.session.inbox), [self.two, self.behind])
        self.assertIs(self.session.state, State.BEHIND)
        self.assertEqual(len(self.reactor.calls), 1)

    def test_goesOn(self) -> None:
        """It follows when the slice says so, which may change until it is final."""
        self.one.divide(self.two)
        self.assertTrue(self.two.isOver)
        self.one.number = 1
        self.assertFalse(self.two.isOver)
        self.assertIs(self.one.follow(), self.two)
        self.one.number = 0
        self.assertFalse(self.two.isOver)
        self.assertIsNone(self.one.follow())

    def test_end(self) -> None:
        """It does not follow the last one, and knows that it is in vain."""
        self.one.divide(self.two)
        self.assertIsNone(self.one.follow())
        self.assertTrue(self.two.isOver)

    def test_alone(self) -> None:
        """The first slice is never in vain, and may be the only one."""
        self.assertFalse(self.one.isOver)
        self.assertIsNone(self.one.follow())

    def test_abstract(self) -> None:
        """A slice has to say whether it goes on."""
        self.assertRaises(NotImplementedError, lambda: Slice(self.session).hasMore)
