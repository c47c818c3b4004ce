"""How much memory connections may have under way."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.broker.memorybudget import (
    ALLOWANCE,
    LEAST_LIMIT,
    MAX_LOAD,
    BodyReservation,
    Budget,
)
from memq.config.values import MEGABYTE
from memq.message import PART_SIZE


class RoomTests(SynchronousTestCase):
    """Room for bodies that come in pieces."""

    def setUp(self) -> None:
        """Begin with room for 16 bodies of either kind, while 8 wait."""
        self.budget = Budget(LEAST_LIMIT)
        self.admitted: list[str] = []

    def reserve(self, size: int, name: str = "") -> BodyReservation:
        """Reserve room, or wait for it."""
        room = self.budget.reserve(size, lambda: self.admitted.append(name))
        assert room is not None
        return room

    def test_announced(self) -> None:
        """A small body reserves all that was announced, a large one a part."""
        self.reserve(1000)
        self.assertEqual(self.budget.reserved, 1000)
        self.reserve(64 * MEGABYTE)
        self.assertEqual(self.budget.reserved, 1000 + PART_SIZE)

    def test_givenBack(self) -> None:
        """Room that is given back is there again."""
        rooms = [self.reserve(size) for size in (1, PART_SIZE, PART_SIZE + 1)]
        for room in rooms:
            room.giveBack()
        self.assertEqual(self.budget.reserved, 0)

    def test_firstCome(self) -> None:
        """Reservations are served in order; a small one does not pass a large one."""
        first, *_ = [self.reserve(PART_SIZE) for _ in range(15)]
        half = self.reserve(PART_SIZE // 2)
        waiting = [self.reserve(PART_SIZE, "a"), self.reserve(1, "b")]
        self.assertEqual([room.isWaiting for room in waiting], [True, True])
        self.assertEqual(self.budget.waiting, 2)
        self.assertEqual(self.admitted, [])
        half.giveBack()
        self.assertEqual(self.admitted, ["a"])
        first.giveBack()
        self.assertEqual(self.admitted, ["a", "b"])
        self.assertEqual([room.isWaiting for room in waiting], [False, False])
        self.assertEqual(self.budget.reserved, 14 * PART_SIZE + PART_SIZE + 1)

    def test_notAnyLonger(self) -> None:
        """A reservation that is given up lets those behind it go on."""
        for _ in range(15):
            self.reserve(PART_SIZE)
        self.reserve(1)
        large = self.reserve(PART_SIZE, "a")
        self.reserve(1, "b")
        large.giveBack()
        self.assertEqual(self.admitted, ["b"])
        self.assertEqual(self.budget.waiting, 0)

    def test_ownShares(self) -> None:
        """Neither kind of body takes the other's room."""
        for _ in range(20):
            self.reserve(PART_SIZE + 1)
        self.assertFalse(self.reserve(PART_SIZE).isWaiting)
        self.assertEqual(self.budget.waiting, 4)

    def test_tooMany(self) -> None:
        """When as many wait as may, one more is refused."""
        for _ in range(24):
            self.reserve(PART_SIZE)
        self.assertIsNone(self.budget.reserve(1, lambda: None))
        self.assertIsNotNone(self.budget.reserve(PART_SIZE + 1, lambda: None))


class WindowTests(SynchronousTestCase):
    """The window that each connection may hold besides."""

    def test_first(self) -> None:
        """While little is held, each may hold 2 MiB."""
        self.assertEqual(Budget().window, MAX_LOAD)

    def test_shrinks(self) -> None:
        """The more is held, the less each may, but never nothing."""
        budget = Budget()
        budget.count(80 * MEGABYTE)
        self.assertEqual(budget.window, MEGABYTE)
        self.assertFalse(budget.isShort)
        budget.count(20 * MEGABYTE)
        self.assertEqual(budget.window, ALLOWANCE)
        self.assertTrue(budget.isShort)
        budget.count(-100 * MEGABYTE)
        self.assertEqual(budget.window, MAX_LOAD)

    def test_neverLetGo(self) -> None:
        """However many take all that they may, there is something left of the limit."""
        budget = Budget()
        while not budget.isShort:
            budget.count(budget.window)
        self.assertLess(budget.held, 96 * MEGABYTE)
