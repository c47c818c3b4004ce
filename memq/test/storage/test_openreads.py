"""Messages are hidden and given back, and all of that can be undone."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.storage.openreads import Reads
from memq.storage.undo import UndoLog


class ReadsTests(SynchronousTestCase):
    """The open reads of a queue."""

    def setUp(self) -> None:
        """Begin with none."""
        self.undo = UndoLog()
        self.reads = Reads(self.undo)

    def dump(self) -> str:
        """Return what is there, as text."""
        reads = self.reads
        return (
            f"{sorted(reads.hidden.items())} {reads.bytes} {reads.returned()} "
            f"{sorted(reads.deliveries.items())}"
        )

    def test_returned(self) -> None:
        """A message that was given back is found in its order, once."""
        for sequence in (5, 3, 9):
            self.reads.giveBack(sequence)
        found = []
        while (first := self.reads.returned()) is not None:
            self.assertEqual(self.reads.takeReturned(), first)
            found.append(first)
        self.assertEqual(found, [3, 5, 9])
        self.assertIsNone(self.reads.takeReturned())

    def test_tries(self) -> None:
        """A message is counted until it is forgotten."""
        self.assertEqual(
            [self.reads.countDelivery(4), self.reads.countDelivery(4)], [1, 2]
        )
        self.assertTrue(self.reads.forgetDeliveries(4))
        self.assertFalse(self.reads.forgetDeliveries(4))

    def test_settle(self) -> None:
        """When nothing is hidden any more, the head is the first that came back."""
        self.reads.hide(2, 20)
        self.reads.giveBack(7)
        self.reads.giveBack(4)
        self.assertEqual(self.reads.settle(9), 9)
        self.reads.show(2)
        self.assertEqual(self.reads.settle(9), 4)
        self.assertIsNone(self.reads.returned())
        self.assertEqual(self.reads.settle(9), 9)

    def test_undo(self) -> None:
        """Whatever was done, undoing it leaves what was before."""
        reads = self.reads
        reads.hide(1, 10)
        reads.giveBack(2)
        reads.giveBack(5)
        reads.countDelivery(1)
        self.undo.commit()
        before = self.dump()
        reads.hide(3, 30)
        reads.takeReturned()
        reads.giveBack(4)
        reads.show(1)
        reads.countDelivery(1)
        reads.countDelivery(4)
        reads.forgetDeliveries(1)
        reads.takeReturned()
        self.assertEqual(reads.bytes, 30)
        self.undo.rollBack()
        self.assertEqual(self.dump(), before)
