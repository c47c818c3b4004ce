"""Packed records are what was written, or it is told what is not."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.message import Message
from memq.storage.packed import lengthOf, packMessages, unpacked, unpackMessages
from memq.storage.record import (
    KEY,
    DamagedRecord,
    bodySize,
    packRecord,
    unpackRecord,
)

#: Two messages, b"a" with the flags 1 and b"" with the flags 2, at the time 3.
RECORD = bytes.fromhex(
    "05 0002 0000000000000003 ad2f6492"
    "00000001 00000002 00000001 00000000 e8b7be43 00000000 bfc51f9a"
    "61"
)


def flipped(record: bytes, at: int) -> bytes:
    """Return a record with one byte changed."""
    return record[:at] + bytes([record[at] ^ 1]) + record[at + 1 :]


class PackedTests(SynchronousTestCase):
    """The layout."""

    def test_layout(self) -> None:
        """It is the one that is on disks."""
        self.assertEqual(packMessages(3, [(1, b"a"), (2, b"")]).hex(), RECORD.hex())

    def test_messages(self) -> None:
        """The messages are numbered up to the key."""
        pack = unpackMessages(7, 9, RECORD)
        self.assertEqual(pack.first, 8)
        both = [Message(7, 8, 1, 3, b"a"), Message(7, 9, 2, 3, b"")]
        self.assertEqual(pack.messages, both)

    def test_unpacked(self) -> None:
        """By itself, each is the record that it would have been."""
        both = [
            (KEY.pack(7, 8), packRecord(1, 3, b"a")),
            (KEY.pack(7, 9), packRecord(2, 3, b"")),
        ]
        self.assertEqual(list(unpacked(KEY.pack(7, 9), RECORD)), both)
        self.assertEqual(list(unpacked(KEY.pack(7, 9), RECORD, 9)), both[1:])
        self.assertEqual(list(unpacked(*both[0])), both[:1])

    def test_damagedBody(self) -> None:
        """A damaged body costs no other message, and is damaged by itself as well."""
        (key, record), other = unpacked(
            KEY.pack(7, 9), flipped(RECORD, len(RECORD) - 1)
        )
        self.assertRaises(DamagedRecord, unpackRecord, 7, 8, record)
        self.assertEqual(key, KEY.pack(7, 8))
        self.assertEqual(unpackRecord(7, 9, other[1]), Message(7, 9, 2, 3, b""))

    def test_damagedFields(self) -> None:
        """Damage before the bodies is told, wherever it is; so is a lack of bytes."""
        for at in range(1, len(RECORD) - 1):
            record = flipped(RECORD, at)
            self.assertRaises(DamagedRecord, unpackMessages, 7, 9, record)
        for size in range(1, len(RECORD) - 1):
            self.assertRaises(DamagedRecord, unpackMessages, 7, 9, RECORD[:size])
        self.assertRaises(DamagedRecord, list, unpacked(KEY.pack(7, 9), RECORD[:9]))

    def test_length(self) -> None:
        """How many there are is known as long as the head is whole."""
        self.assertEqual(lengthOf(flipped(RECORD, 20)), 2)
        self.assertRaises(DamagedRecord, lengthOf, flipped(RECORD, 2))

    def test_noMessage(self) -> None:
        """It is no record of one message."""
        self.assertRaises(DamagedRecord, unpackRecord, 7, 9, RECORD)
        self.assertEqual(bodySize(RECORD), 1)
