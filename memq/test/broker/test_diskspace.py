"""Tests for memq.broker.diskspace."""

from __future__ import annotations

from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from memq.broker.diskspace import LOOKS, NEAR, DiskEvent, DiskSpaceGuard

LEAST = 8000
CHANGED, HELD, RELEASED = DiskEvent


class RoomTests(SynchronousTestCase):
    """Room on a disk of which 8000 bytes are to stay free."""

    def setUp(self) -> None:
        """Have a room that notes what it says."""
        self.room = DiskSpaceGuard()
        self.room.bound(LEAST, 100, 500)
        self.said: list[DiskEvent] = []
        for event in DiskEvent:
            self.room.subscribe(event, partial(self.said.append, event))

    def looked(self, free: int | None) -> None:
        """Look at the disk."""
        self.room.look()
        self.room.looked(free)

    def test_full(self) -> None:
        """Below what is to stay free it is full, and not again at the same figure."""
        self.looked(LEAST)
        self.assertFalse(self.room.isFull)
        self.looked(LEAST - 1)
        self.assertTrue(self.room.isFull)
        self.looked(LEAST + 999)
        self.assertTrue(self.room.isFull)
        self.looked(LEAST + 1000)
        self.assertFalse(self.room.isFull)
        self.assertEqual(self.said, [CHANGED, CHANGED])

    def test_unbounded(self) -> None:
        """Where nothing bounds it, it is never full, and nothing is held."""
        self.looked(None)
        self.room.changed(-(1 << 40), 1 << 40)
        self.assertFalse(self.room.isFull or self.room.isHeld)
        self.assertEqual(self.room.left(7), 7)

    def test_inside(self) -> None:
        """Bytes taken out of the files count as room, until they are used again."""
        self.looked(0)
        self.room.changed(LEAST, 10)
        self.assertTrue(self.room.isFull)
        self.room.changed(1000, 10)
        self.assertFalse(self.room.isFull)
        self.room.changed(-8999, 10)
        self.assertFalse(self.room.isFull)
        self.room.changed(-1, 10)
        self.assertTrue(self.room.isFull)
        self.assertEqual(self.room.inside, 0)

    def test_gaveBack(self) -> None:
        """When a file became smaller, what was free inside of it is no more."""
        self.looked(0)
        self.room.changed(500, 0)
        self.room.gaveBack()
        self.assertEqual(self.room.inside, 0)

    def test_held(self) -> None:
        """Room that may be spent between two looks is bounded while little is left."""
        self.looked(NEAR - 1)
        self.assertEqual(self.room.left(1000), 500)
        self.room.changed(-300, 199)
        self.assertEqual((self.room.isHeld, self.room.left(1000)), (False, 1))
        self.room.changed(0, 1)
        self.assertTrue(self.room.isHeld)
        self.room.changed(0, 1)
        self.assertEqual(self.said, [HELD])
        self.assertEqual(self.room.left(1000), 1)
        self.looked(NEAR - 1)
        self.assertFalse(self.room.isHeld)
        self.assertEqual(self.said, [HELD, RELEASED])

    def test_much(self) -> None:
        """While much is left, only what is to stay free bounds it."""
        self.looked(NEAR)
        self.room.changed(0, NEAR - LEAST // 2 - 1)
        self.assertFalse(self.room.isHeld)
        self.room.changed(0, 1)
        self.assertTrue(self.room.isHeld)

    def test_step(self) -> None:
        """On a full disk some may be logged between two looks all the same."""
        self.looked(0)
        self.room.changed(0, 99)
        self.assertFalse(self.room.isHeld)
        self.room.changed(0, 1)
        self.assertTrue(self.room.isHeld)

    def test_insideIsNotSpent(self) -> None:
        """Bytes that go into room inside the files take none from the disk."""
        self.looked(NEAR - 1)
        self.room.changed(1000, 0)
        self.room.changed(-1000, 0)
        self.assertEqual(self.room.left(1000), 500)

    def test_meanwhile(self) -> None:
        """Room spent while a look is under way counts after it, and may hold."""
        self.looked(NEAR - 1)
        self.room.changed(0, 500)
        self.room.look()
        self.room.changed(0, 500)
        self.room.looked(NEAR - 1)
        self.assertEqual(self.said, [HELD, HELD])
        self.assertTrue(self.room.isHeld)

    def test_exhausted(self) -> None:
        """When a write had no room, it is full for some looks, whatever they show."""
        self.looked(1 << 40)
        self.room.changed(500, 0)
        self.room.exhausted()
        self.assertEqual((self.room.isFull, self.room.inside), (True, 0))
        for _ in range(LOOKS - 1):
            self.looked(1 << 40)
        self.assertTrue(self.room.isFull)
        self.looked(1 << 40)
        self.assertFalse(self.room.isFull)
        self.assertEqual(self.said, [CHANGED, CHANGED])
