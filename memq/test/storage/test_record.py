"""Records keep messages, and know when they do not."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from memq.message import LargeBody, Message
from memq.storage.record import (
    DamagedRecord,
    bodySize,
    packAny,
    packExpiring,
    packLarge,
    packMessage,
    packRecord,
    unpackRecord,
)

#: A record of version 1, as it was written: flags 7, 2026-01-02 03:04:05.678 UTC.
VERSION_1 = bytes.fromhex("01 00000007 0000019b7c72d22e 3610a686") + b"hello"
MESSAGE_1 = Message(5, 9, 7, 0x19B7C72D22E, b"hello")

#: Records of versions 3 and 4, of the same message; they expire a minute later.
VERSION_3 = (
    bytes.fromhex("03 00000007 0000019b7c72d22e 0000019b7c73bc8e aa4297b6") + b"hello"
)
VERSION_4 = bytes.fromhex(
    "04 00000007 0000019b7c72d22e 0000019b7c73bc8e "
    "0000000000000005 0000000000030d40 00000004 cf9a0d9d"
)
MESSAGE_3 = MESSAGE_1._replace(expires=0x19B7C73BC8E)
LARGE = LargeBody(5, 200000, 4)
MESSAGE_4 = MESSAGE_3._replace(body=b"", large=LARGE)


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


class ExpiringTests(SynchronousTestCase):
    """The records of messages that expire."""

    @settings(deadline=None)
    @given(some.integers(0, 2**32 - 1), some.integers(1, 2**64 - 1), some.binary())
    def test_roundTrip(self, flags: int, expires: int, body: bytes) -> None:
        """What is packed is unpacked."""
        message = Message(1, 2, flags, 5, body, None, expires)
        record = packMessage(message)
        self.assertEqual(unpackRecord(1, 2, record), message)
        self.assertEqual(bodySize(record), len(body))

    def test_layout(self) -> None:
        """Records of versions 3 and 4 are what they were when first written."""
        expires = MESSAGE_3.expires
        self.assertEqual(packExpiring(7, MESSAGE_3.time, b"hello", expires), VERSION_3)
        self.assertEqual(unpackRecord(5, 9, VERSION_3), MESSAGE_3)
        self.assertEqual(packLarge(7, MESSAGE_4.time, LARGE, expires), VERSION_4)
        self.assertEqual(unpackRecord(5, 9, VERSION_4), MESSAGE_4)

    def test_kinds(self) -> None:
        """What never expires has the record that it always had."""
        self.assertEqual(packAny(7, MESSAGE_1.time, b"hello", 0), VERSION_1)
        for message, record in (
            (MESSAGE_1, VERSION_1),
            (MESSAGE_3, VERSION_3),
            (MESSAGE_4, VERSION_4),
            (MESSAGE_4._replace(expires=0), packLarge(7, MESSAGE_4.time, LARGE)),
        ):
            self.assertEqual(packMessage(message), record)
            self.assertEqual(unpackRecord(5, 9, record), message)
            self.assertEqual(bodySize(record), message.size)

    def test_everyCut(self) -> None:
        """A record cut short anywhere is damaged, or with a byte too many."""
        for whole in (VERSION_3, VERSION_4):
            for record in (*[whole[:n] for n in range(len(whole))], whole + b"\0"):
                self.assertRaises(DamagedRecord, unpackRecord, 5, 9, record)
                self.assertGreaterEqual(bodySize(record), 0)

    def test_everyBit(self) -> None:
        """A flipped bit anywhere is damage: nothing expires because of one."""
        for whole in (VERSION_3, VERSION_4):
            for bit in range(len(whole) * 8):
                record = bytearray(whole)
                record[bit // 8] ^= 1 << bit % 8
                self.assertRaises(DamagedRecord, unpackRecord, 5, 9, bytes(record))
