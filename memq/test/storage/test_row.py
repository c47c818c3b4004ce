"""A row keeps what it is to keep of a queue."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.figures import AS_THEY_ARE
from memq.storage.figures.columns import inColumns
from memq.storage.row import UNCOUNTED, DamagedRow, Queue, Rest, unpackQueue

#: A row of version 1: id 5, next sequence 9, 8 pushed, 3 taken.
VERSION_1 = bytes.fromhex(
    "01 00000005 0000000000000009 0000000000000008 0000000000000003"
)

#: One of version 2: that, 600 bytes, 2 closed, 3 expired, 4 discarded, 5 given back;
#: id 6 for 7 delayed ones of 9 bytes, 8 at most, writes paused, used on 2026-01-02
#: 03:04 UTC.
VERSION_2 = bytes.fromhex(
    "02 00000005 0000000000000009 0000000000000008 0000000000000003"
    "0000000000000258 0000000000000002 0000000000000003 0000000000000004"
    "0000000000000005 00000006 0000000000000007 0000000000000008 02"
    "0000000000000009 0000000069573575"
)


class RowTests(SynchronousTestCase):
    """The row's layout."""

    def test_layout(self) -> None:
        """A row of version 2 is what it was when it was first written."""
        queue = Queue(b"q", 5, 9, 8, 3, 600, Rest(3, 4, 5, 6, 7, 8, 2, 9))
        queue.closed = 2
        queue.use(0x69573575)
        self.assertEqual(queue.pack(), VERSION_2)
        again = unpackQueue(b"q", VERSION_2)
        told = [
            inColumns([each], lambda _: None, AS_THEY_ARE) for each in (again, queue)
        ]
        self.assertEqual(*told)
        self.assertEqual((again.id, again.nextSequence, again.rest.delayId), (5, 9, 6))
        self.assertEqual(again.pack(), VERSION_2)

    def test_version3(self) -> None:
        """A row of version 3 tells the head as well, while it has to."""
        row = b"\3" + VERSION_2[1:] + (7).to_bytes(8, "big")
        queue = unpackQueue(b"q", row)
        self.assertEqual((queue.head, queue.packHead), (7, 7))
        self.assertEqual(queue.pack(), row)
        queue.packHead = 0
        self.assertEqual(queue.pack(), VERSION_2)
        for wrong in (b"\2" + row[1:], b"\3" + VERSION_2[1:]):
            self.assertRaises(DamagedRow, unpackQueue, b"q", wrong)

    def test_version1(self) -> None:
        """A row of version 1 is read; it does not tell the bytes."""
        queue = unpackQueue(b"q", VERSION_1)
        self.assertEqual(
            (queue.name, queue.id, queue.nextSequence, queue.pushed, queue.taken),
            (b"q", 5, 9, 8, 3),
        )
        self.assertEqual((queue.bytes, queue.lastUsed), (UNCOUNTED, 0))
        empty = unpackQueue(b"q", VERSION_1[:-1] + b"\x08")
        self.assertEqual(empty.bytes, 0)

    def test_damaged(self) -> None:
        """A row of another size or version is damaged, and its queue named."""
        for row in (VERSION_1, VERSION_2):
            for bad in (row[:-1], row + b"x", b"\x03" + row[1:]):
                error = self.assertRaises(DamagedRow, unpackQueue, b"q", bad)
                self.assertIn("queue q ", str(error))
        self.assertRaises(DamagedRow, unpackQueue, b"q", b"")
