"""Tests for memq.rabbitmq.budget."""

from __future__ import annotations

from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from memq.config.values import MEGABYTE
from memq.message import PART_SIZE
from memq.rabbitmq import budget as module
from memq.rabbitmq.budget import COPIES, FrontBudget, OpenBodies

LIMIT = 64 * MEGABYTE


class SetTests(SynchronousTestCase):
    """Bodies that come."""

    def test_whole(self) -> None:
        """A large body has room for all of itself, and for its frames."""
        budget = FrontBudget(LIMIT)
        budget.reserve(MEGABYTE, lambda: None)
        self.assertEqual(budget.reserved, COPIES * MEGABYTE)
        budget.reserve(PART_SIZE, lambda: None)
        self.assertEqual(budget.reserved, COPIES * MEGABYTE + PART_SIZE)

    def test_largest(self) -> None:
        """One that is larger than all the room has all of it."""
        budget = FrontBudget(LIMIT)
        room = budget.reserve(LIMIT, lambda: None)
        assert room is not None
        self.assertEqual((room.isWaiting, room.size), (False, LIMIT // 4))

    def test_waits(self) -> None:
        """Others wait until it is stored, and too many are refused."""
        budget = FrontBudget(LIMIT)
        told: list[str] = []
        budget.send(LIMIT // 4)
        room = budget.reserve(MEGABYTE, lambda: told.append("room"))
        assert room is not None
        self.assertTrue(room.isWaiting)
        waiting = 0
        while budget.reserve(MEGABYTE, lambda: None) is not None:
            waiting += 1
        self.assertEqual(waiting, LIMIT // 8 // PART_SIZE - 1)
        budget.send(-LIMIT // 4)
        self.assertEqual(told, ["room"])


class GetTests(SynchronousTestCase):
    """Messages that are asked for."""

    def test_unknown(self) -> None:
        """One of unknown size counts as the largest; the first may always be."""
        budget = FrontBudget(LIMIT, 16 * MEGABYTE)
        self.assertEqual(budget.ask(b"q"), 16 * MEGABYTE)
        self.assertIsNone(budget.ask(b"q"))
        budget.found(b"q", 16 * MEGABYTE)
        self.assertEqual(FrontBudget(LIMIT, LIMIT).ask(b"q"), LIMIT)

    def test_known(self) -> None:
        """Then what was found tells how large the next ones are, sooner or later."""
        budget = FrontBudget(LIMIT, 16 * MEGABYTE)
        sizes = []
        for _ in range(100):
            size = budget.ask(b"q")
            assert size is not None
            sizes.append(size)
            budget.found(b"q", size, 100)
        self.assertEqual(sizes, sorted(sizes, reverse=True))
        self.assertEqual(sizes[-1], 100)
        self.assertEqual(budget.ask(b"p"), 16 * MEGABYTE)

    def test_held(self) -> None:
        """Nothing is asked for while clients do not take what there is."""
        budget = FrontBudget(LIMIT)
        budget.count(LIMIT)
        self.assertIsNone(budget.ask(b"q"))
        budget.count(-LIMIT)
        self.assertEqual(budget.ask(b"q"), MEGABYTE)

    def test_many(self) -> None:
        """Of too many queues nothing is kept."""
        budget = FrontBudget(LIMIT)
        with mock.patch.object(module, "_MOST_SIZES", 1):
            for queue in (b"q", b"p"):
                budget.found(queue, budget.ask(queue) or 0, 10)
        self.assertEqual(list(budget._sizes), [b"p"])


class OpenBodiesTests(SynchronousTestCase):
    """Bodies of messages that are open."""

    def test_oldest(self) -> None:
        """The oldest ones go when there is no more room."""
        bodies = OpenBodies(1000)
        for number in range(4):
            bodies.keep(number, b"%d" % number * 150)
        there = [bodies.find(number) for number in range(4)]
        self.assertEqual(there, [None, *(b"%d" % each * 150 for each in (1, 2, 3))])
        bodies.forget(1)
        bodies.forget(1)
        bodies.keep(5, b"5" * 150)
        self.assertIsNotNone(bodies.find(2))

    def test_tooLarge(self) -> None:
        """One that has no room takes that of no other."""
        bodies = FrontBudget(8000).opened
        bodies.keep(1, b"x")
        bodies.keep(2, b"x" * 1000)
        self.assertEqual((bodies.find(1), bodies.find(2)), (b"x", None))
