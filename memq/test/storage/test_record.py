"""Records keep messages, and know when they do not."""

from __future__ import annotations

from struct import Struct
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from memq.message import LargeBody, Message, Reason, Trace
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

#: Records of versions 6 and 7: of a dead letter that expires, and of one retried later.
VERSION_6 = bytes.fromhex(
    "06 00000007 0000019b7c72d22e 0000019b7c73bc8e 00000003 00000002 "
    "01 0000019b7c72d22f 04 776f726b 38760066 68656c6c6f"
)
VERSION_7 = bytes.fromhex(
    "07 00000007 0000019b7c72d22e 0000000000000000 00000003 00000000 "
    "00 0000000000000000 00 0000000000000005 0000000000030d40 00000004 5d9bdcea"
)
MESSAGE_6 = MESSAGE_3._replace(
    trace=Trace(3, b"work", Reason.DELIVERIES, 0x19B7C72D22F, 2)
)
MESSAGE_7 = MESSAGE_4._replace(expires=0, trace=Trace(3))

#: Of each kind of message, its record.
KINDS = (
    (MESSAGE_1, VERSION_1),
    (MESSAGE_3, VERSION_3),
    (MESSAGE_4, VERSION_4),
    (MESSAGE_4._replace(expires=0), packLarge(7, MESSAGE_4.time, LARGE)),
    (MESSAGE_6, VERSION_6),
    (MESSAGE_7, VERSION_7),
)

_COUNT = some.integers(0, 2**32 - 1)
_TIME = some.integers(0, 2**64 - 1)
#: What may have become of a message before.
TRACES = some.none() | some.builds(
    Trace,
    _COUNT,
    some.binary(max_size=255),
    some.none() | some.sampled_from(Reason),
    _TIME,
    _COUNT,
)


class RecordTests(SynchronousTestCase):
    """The layouts of records, and what they tolerate."""

    @given(_COUNT, _TIME, some.binary(), _TIME, TRACES)
    def test_roundTrip(
        self, flags: int, time: int, body: bytes, expires: int, trace: Trace | None
    ) -> None:
        """A packed message is unpacked as it was."""
        message = Message(1, 2, flags, time, body, None, expires, trace)
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

    def test_meaningless(self) -> None:
        """A record of which memq writes no such one is damaged, whatever its CRC."""
        unknown = VERSION_6[:29] + b"\3" + VERSION_6[30:43]
        checked = Struct(">I").pack(crc32(b"hello", crc32(unknown)))
        body = b"x"
        twice = Struct(">I").pack(crc32(body, crc32(VERSION_7[:-4])))
        for record in (unknown + checked + b"hello", VERSION_7[:-4] + twice + body):
            error = self.assertRaises(DamagedRecord, unpackRecord, 5, 9, record)
            self.assertIn("no known meaning", str(error))
