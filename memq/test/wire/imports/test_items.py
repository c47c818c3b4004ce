"""Items of an import are what they were, and nothing else is one."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.message import PART_SIZE, Reason, Trace
from memq.wire.imports.items import (
    AnyItem,
    BadItem,
    Finished,
    Item,
    Part,
    QueueBegins,
    QueueEnds,
    Reached,
    packItem,
    unpackItems,
)

MOST = (1 << 64) - 1
DEAD = Trace(3, "käse".encode(), Reason.EXPIRED, 5, 1)
ITEMS: list[AnyItem] = [
    QueueBegins(b"q", 5, 2, 7, 3, True),
    QueueBegins(b"x" * 250, MOST, MOST),
    Part(b"\0" * PART_SIZE),
    Item(1, 2, b"body"),
    Item(0, MOST, b"", MOST, 4_294_967_295, (1 << 47) - 1, DEAD, True),
    Item(4_294_967_295, 0, b"x" * PART_SIZE, trace=Trace(7)),
    Reached(4),
    QueueEnds(MOST),
    Finished(0),
]


class ItemTests(SynchronousTestCase):
    """Bytes and items."""

    def test_thereAndBack(self) -> None:
        """Each kind is the same behind the wire, alone and behind others."""
        for item in ITEMS:
            self.assertEqual(unpackItems(packItem(item)), [item])
        self.assertEqual(unpackItems(b"".join(map(packItem, ITEMS))), ITEMS)
        self.assertEqual(unpackItems(b""), [])

    def test_latest(self) -> None:
        """A time that no one ever has is as late as there is one."""
        [item] = unpackItems(packItem(Item(0, MOST + 1, b"")))
        self.assertEqual(item, Item(0, MOST, b""))

    def test_cut(self) -> None:
        """What is cut anywhere is refused."""
        for item in ITEMS:
            text = packItem(item)
            for end in {*range(1, min(60, len(text))), len(text) - 1}:
                self.assertRaises(BadItem, unpackItems, text[:end])

    def test_wrong(self) -> None:
        """Numbers and names that cannot be are refused."""
        wrong: list[AnyItem] = [
            QueueBegins(b"", 0, 0),
            QueueBegins(b"a b", 0, 0),
            QueueBegins(b"a/b", 0, 0),
            QueueBegins(b"q", 1, 2),
            QueueBegins(b"q", 1, 1, 0, 4),
            Part(b""),
            Part(b"x" * (PART_SIZE + 1)),
            Item(0, 0, b"x" * (PART_SIZE + 1)),
            Item(0, 0, b"x", isLarge=True),
            Item(0, 0, b"", due=1 << 47),
            Item(0, 0, b"", trace=DEAD._replace(origin=b"")),
            Item(0, 0, b"", trace=DEAD._replace(reason=None)),
            Item(0, 0, b"", trace=DEAD._replace(reason=9)),  # type: ignore[arg-type]
        ]
        for item in wrong:
            self.assertRaises(BadItem, unpackItems, packItem(item))
        self.assertRaises(BadItem, unpackItems, b"?" + bytes(8))
