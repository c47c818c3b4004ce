"""Taps: who watches gets what is stored."""

from __future__ import annotations

from memq.broker.taps.taps import Copy
from memq.test.broker.test_broker import BrokerTestCase


class All:
    """One who watches all queues.

    :ivar taken: what it got.
    """

    def __init__(self) -> None:
        self.taken: list[Copy] = []

    def wants(self, queue: bytes) -> bool:
        """Return True."""
        return True

    def take(self, copies: list[Copy]) -> None:
        """Keep them."""
        self.taken += copies


class TapsTests(BrokerTestCase):
    """A broker with one who watches."""

    def test_one(self) -> None:
        """One who watches has all, from then on and until it is removed."""
        tap, taps = All(), self.broker.taps
        self.asker.push(b"a")
        self.settle()
        taps.add(tap)
        self.asker.push(b"b")
        self.settle()
        self.assertEqual(tap.taken, [Copy(b"q", 0, b"b", 1, 1)])
        self.asker.push(b"c")
        self.turn()
        for _ in range(2):
            taps.remove(tap)
        self.settle()
        self.assertEqual(len(tap.taken), 1)
