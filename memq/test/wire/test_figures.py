"""What is told of each queue."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.wire.figures import FIGURES, QueueFigures, formatDetails, formatDump

ROWS = [
    QueueFigures(b"w", range(len(FIGURES)), [("max_items", 5), ("fanout", "a,\udcff")]),
    QueueFigures("队列".encode(), [0] * len(FIGURES)),
]


class FiguresTests(SynchronousTestCase):
    """The two forms of the same figures."""

    def test_details(self) -> None:
        """Details are a line a figure with the queue's name in it."""
        lines = formatDetails(ROWS).split(b"\r\n")
        self.assertEqual(
            lines[:4],
            [
                b"STAT queue_w_items 0",
                b"STAT queue_w_bytes 1",
                b"STAT queue_w_age 2",
                b"STAT queue_w_total_items 3",
            ],
        )
        self.assertEqual(
            lines[len(FIGURES) - 1 :][:4],
            [
                b"STAT queue_w_refused_fanout 14",
                b"STAT queue_w_max_items 5",
                b"STAT queue_w_fanout a,\xff",
                "STAT queue_队列_items 0".encode(),
            ],
        )
        self.assertEqual(len(lines), 2 * len(FIGURES) + 2 + 1)
        self.assertEqual(lines[-1], b"")

    def test_dump(self) -> None:
        """A dump is a block a queue, as Kestrel has them."""
        lines = formatDump(ROWS).split(b"\r\n")
        second = len(FIGURES) + 4
        self.assertEqual(lines[:3], [b"queue 'w' {", b"  items=0", b"  bytes=1"])
        self.assertEqual(
            lines[second - 4 : second + 2],
            [
                b"  refused_fanout=14",
                b"  max_items=5",
                b"  fanout=a,\xff",
                b"}",
                "queue '队列' {".encode(),
                b"  items=0",
            ],
        )
        self.assertEqual(lines[-2:], [b"}", b""])

    def test_none(self) -> None:
        """Without queues there is nothing."""
        self.assertEqual(formatDetails([]), b"")
        self.assertEqual(formatDump([]), b"")

    def test_numberOfFigures(self) -> None:
        """A figure more or less than there are names is a mistake."""
        self.assertRaises(ValueError, formatDump, [QueueFigures(b"q", [1])])
