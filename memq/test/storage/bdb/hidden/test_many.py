"""Many open reads in one go, of records that are shared or damaged."""

from __future__ import annotations

from typing import Any

from memq.errors import DamagedMessage
from memq.storage.record import KEY
from memq.test.storage.bdb.test_packs import ID, PackTestCase


class ManyTests(PackTestCase):
    """A queue with a packed record, and one more."""

    def setUp(self) -> None:
        """Have two more messages, each with a record."""
        super().setUp()
        self.push(b"q", b"6")
        self.push(b"q", b"7")

    def open(self, most: int = 100) -> list[Any]:
        """Open messages; return their bodies, or the errors."""
        with self.store.transaction.run():
            found = self.store.openAll(b"q", most, 1 << 20)
        self.opened = found
        return [getattr(each, "body", each) for each in found]

    def spoil(self, number: int) -> None:
        """Change the last byte of a record."""
        table, key = self.store.transaction.messages, KEY.pack(ID, number)
        record = table.get(key)
        table.put(key, record[:-1] + b"X")

    def test_split(self) -> None:
        """A shared record is split; the messages go on behind it."""
        self.assertEqual(self.open(4), [b"0", b"1", b"2", b"3"])
        self.assertEqual(self.records(), list(range(8)))
        self.assertEqual(self.open(), [b"4", b"5", b"6", b"7"])
        with self.store.transaction.run():
            self.assertEqual(self.store.closeAll(b"q", self.opened), self.opened)
        self.assertEqual(self.records(), [0, 1, 2, 3])
        self.restart()
        self.assertEqual(self.pop(9), [b"0", b"1", b"2", b"3"])

    def test_splitAgain(self) -> None:
        """A shared record behind others is left to the next look."""
        self.pop(6)
        self.push(b"q", *[b"%d" % number for number in range(8, 14)])
        self.assertEqual(self.records(), [6, 7, 13])
        self.assertEqual(self.open(), [b"%d" % number for number in range(6, 14)])
        self.assertEqual(self.records(), list(range(6, 14)))

    def test_sameTransaction(self) -> None:
        """Messages of the same transaction are found."""
        with self.store.transaction.run():
            self.store.pushAll(b"r", [(0, b"a"), (0, b"b")])
            found = self.store.openAll(b"r", 9, 99)
            self.assertEqual([each.body for each in found], [b"a", b"b"])
            self.assertEqual(self.store.closeAll(b"r", found), found)

    def test_damaged(self) -> None:
        """A damaged message ends it, after those before; it is set aside."""
        self.spoil(7)
        self.assertEqual(self.open(7), [b"%d" % number for number in range(7)])
        found = self.open()
        self.assertIsInstance(found[0], DamagedMessage)
        self.assertEqual(len(found), 1)

    def test_damagedBehind(self) -> None:
        """So in the middle of a run."""
        self.pop(6)
        self.spoil(7)
        found = self.open()
        self.assertEqual(found[0], b"6")
        self.assertIsInstance(found[1], DamagedMessage)
        self.assertEqual(self.store.detail(b"q").items, 0)

    def test_damagedBody(self) -> None:
        """So within a shared record."""
        self.spoil(5)
        found = self.open()
        self.assertEqual(found[:5], [b"0", b"1", b"2", b"3", b"4"])
        self.assertIsInstance(found[5], DamagedMessage)
        self.assertEqual(self.open(), [b"6", b"7"])

    def test_damagedRecord(self) -> None:
        """A shared record that is damaged is set aside."""
        self.damage(20)
        self.assertIsInstance(self.open()[0], DamagedMessage)
        self.assertEqual(self.open(), [b"6", b"7"])
