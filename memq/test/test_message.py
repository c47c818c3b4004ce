"""Records keep messages, and know when they do not."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from memq.message import DamagedRecord, Message, packRecord, unpackRecord

#: A record of version 1, as it was written: flags 7, 2026-01-02 03:04:05.678 UTC.
VERSION_1 = bytes.fromhex("01 00000007 0000019b7c72d22e 3610a686") + b"hello"
MESSAGE_1 = Message(5, 9, 7, 0x19B7C72D22E, b"hello")


class RecordTests(SynchronousTestCase):
    """The record's layout and what it tolerates."""

    @settings(deadline=None)
    @given(some.integers(0, 2**32 - 1), some.integers(0, 2**64 - 1), some.binary())
    def test_roundTrip(self, flags: int, time: int, body: bytes) -> None:
        """What is packed is unpacked."""
        message = unpackRecord(1, 2, packRecord(flags, time, body))
        self.assertEqual(message, Message(1, 2, flags, time, body))

    def test_layout(self) -> None:
        """A record of version 1 is what it was when it was first written."""
        self.assertEqual(packRecord(7, MESSAGE_1.time, b"hello"), VERSION_1)
        self.assertEqual(unpackRecord(5, 9, VERSION_1), MESSAGE_1)

    def test_everyCut(self) -> None:
        """A record cut short anywhere is damaged."""
        for length in range(len(VERSION_1)):
            self.assertRaises(DamagedRecord, unpackRecord, 5, 9, VERSION_1[:length])

    def test_grown(self) -> None:
        """A record with a byte too many is damaged."""
        self.assertRaises(DamagedRecord, unpackRecord, 5, 9, VERSION_1 + b"\0")

    def test_everyBitOfTheBody(self) -> None:
        """A flipped bit in CRC or body, and another version, are damage."""
        for bit in [*range(8), *range(13 * 8, len(VERSION_1) * 8)]:
            record = bytearray(VERSION_1)
            record[bit // 8] ^= 1 << bit % 8
            self.assertRaises(DamagedRecord, unpackRecord, 5, 9, bytes(record))
