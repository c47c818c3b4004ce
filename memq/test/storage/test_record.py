"""Records keep messages, and know when they do not."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from memq.message import LargeBody, Message
from memq.storage.record import (
    DamagedRecord,
    bodySize,
    packLarge,
    packMessage,
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


#: Of each kind of message, its record.
KINDS = (
    (MESSAGE_1, VERSION_1),
    (MESSAGE_3, VERSION_3),
    (MESSAGE_4, VERSION_4),
    (MESSAGE_4._replace(expires=0), packLarge(7, MESSAGE_4.time, LARGE)),
)


class RecordTests(SynchronousTestCase):
    """The layouts of records, and what they tolerate."""

    @settings(deadline=None)
    @given(
        some.integers(0, 2**32 - 1),
        some.integers(0, 2**64 - 1),
        some.binary(),
        some.integers(0, 2**64 - 1),
    )
    def test_roundTrip(self, flags: int, time: int, body: bytes, expires: int) -> None:
        """A packed message is unpacked as it was."""
        message = Message(1, 2, flags, time, body, None, expires)
        record = packMessage(message)
        self.assertEqual(unpackRecord(1, 2, record), message)
        self.assertEqual(bodySize(record), len(body))

    def test_layouts(self) -> None:
        """A record is what it was when its version was first written."""
        for message, record in KINDS:
            self.assertEqual(packMessage(message), record)
            self.assertEqual(unpackRecord(5, 9, record), message)
            self.assertEqual(bodySize(record), message.size)

    def test_everyCut(self) -> None:
        """A record cut short anywhere is damaged, or with a byte too many."""
        for _, whole in KINDS:
            for record in (*[whole[:n] for n in range(len(whole))], whole + b"\0"):
                self.assertRaises(DamagedRecord, unpackRecord, 5, 9, record)
                self.assertGreaterEqual(bodySize(record), 0)

    def test_everyBit(self) -> None:
        """A flipped bit is damage: nothing expires because of one.

        The first version's CRC is of the body only.
        """
        for _, whole in KINDS:
            for bit in range(len(whole) * 8):
                if whole == VERSION_1 and 8 <= bit < 13 * 8:
                    continue
                record = bytearray(whole)
                record[bit // 8] ^= 1 << bit % 8
                self.assertRaises(DamagedRecord, unpackRecord, 5, 9, bytes(record))
