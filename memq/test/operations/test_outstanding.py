"""Charges to a client are refunded; each harness checks that they end at 0."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.message import LargeBody, Message
from memq.operations.outstanding import ALLOWANCE, Outstanding

SMALL = Message(1, 1, 0, 0, b"hello")
LARGE = Message(1, 2, 0, 0, b"", LargeBody(1, 100_000, 2))


class OutstandingTests(SynchronousTestCase):
    """The ledger."""

    def setUp(self) -> None:
        """Make one."""
        self.told: list[int] = []
        self.ledger = Outstanding(self.told.append)

    def test_messages(self) -> None:
        """A message is charged and refunded by its size; a large one is on disk."""
        for message, onDisk in ((SMALL, 0), (LARGE, 100_000)):
            self.assertTrue(self.ledger.isSettled)
            self.ledger.charge(message)
            self.assertEqual(self.ledger.undelivered, message.size)
            self.assertEqual(self.ledger.onDisk, onDisk)
            self.assertFalse(self.ledger.isSettled)
            self.ledger.refund(message)
        self.assertTrue(self.ledger.isSettled)

    def test_report(self) -> None:
        """All that is in memory is counted, once it is over the allowance."""
        self.ledger.charge(LARGE)
        self.ledger.load = ALLOWANCE
        self.ledger.report()
        self.assertEqual(self.told, [])
        self.ledger.unsent = 1
        self.ledger.report()
        self.ledger.report()
        self.assertEqual(self.told, [ALLOWANCE + 1])
        self.ledger.load = 0
        self.ledger.report()
        self.assertEqual(sum(self.told), 0)

    def test_clear(self) -> None:
        """When a client is gone, only messages that it has are still charged."""
        self.ledger.charge(SMALL)
        self.ledger.load = self.ledger.unsent = 2 * ALLOWANCE
        self.ledger.report()
        self.ledger.clear()
        self.assertEqual((sum(self.told), self.ledger.undelivered), (0, 5))
