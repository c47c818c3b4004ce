"""Tests for memq.memcacheq.queuefile."""

from __future__ import annotations

import os
from struct import pack
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from memq.memcacheq.queuefile import (
    NUMBERS,
    UNUSED,
    Damage,
    DamagedQueue,
    DamagedSlot,
    OldMessage,
    QueueFile,
    unpackMessage,
)
from memq.test.support.foreign.memcacheqdirs import (
    MemcacheQ,
    overwrite,
    packOld,
    scratch,
    setNumber,
)

#: Records of 200 bytes in a page of 4096, and in an extent of two pages.
PER_PAGE = 19
PER_EXTENT = 2 * PER_PAGE


class RecordTests(SynchronousTestCase):
    """A message is read by the lengths that stand before it."""

    def test_read(self) -> None:
        """Flags come unsigned, and a body with whatever bytes it has."""
        for flags, given in ((0, 0), (5, 5), (2**31 - 1, 2**31 - 1), (-1, 2**32 - 1)):
            for body in (b"", b"x", b"\r\n \0\xff   ", bytes(range(256))):
                record = packOld(b"q", flags, body) + b"   "
                self.assertEqual(unpackMessage(b"q", record), (given, body))

    def test_lies(self) -> None:
        """Whatever does not fit is damage: lengths, name, suffix, line ends."""
        good = packOld(b"q1", 5, b"hello")
        self.assertEqual(unpackMessage(b"q1", good), (5, b"hello"))
        for offset, bad in (
            (0, pack("<i", 8)),
            (0, pack("<i", 6)),
            (0, pack("<i", 1)),
            (0, pack("<i", -5)),
            (0, pack("<i", 2**31 - 1)),
            (4, b"\0"),
            (4, b"\xff"),
            (5, b"\x03"),
            (8, b"q2"),
            (10, b"x"),
            (12, b"x"),
            (len(good) - 1, b"x"),
        ):
            record = good[:offset] + bad + good[offset + len(bad) :]
            self.assertRaises(DamagedSlot, unpackMessage, b"q1", record)


class QueueFileTestCase(SynchronousTestCase):
    """A queue that MemcacheQ wrote, and stopped."""

    def setUp(self) -> None:
        """Name a directory."""
        self.path = os.path.join(scratch(self), "home")

    def written(self, count: int, taken: int = 0, extentPages: int = 2) -> QueueFile:
        """Return a queue with messages that are called by their numbers from 1."""
        with MemcacheQ(self.path, extentPages=extentPages) as old:
            old.push(b"q", *(b"%d" % number for number in range(1, count + 1)))
            old.pop(b"q", taken)
        return self.opened()

    def opened(self) -> QueueFile:
        """Return the queue."""
        return QueueFile(os.fsencode(self.path), b"q")

    def bodies(self, file: QueueFile) -> list[bytes]:
        """Return what is read of it, which has no damage."""
        return [message.body for message in file.read() if type(message) is OldMessage]

    def patched(self, name: str, offset: int, data: bytes) -> None:
        """Write over something in a file."""
        overwrite(os.path.join(self.path, name), offset, data)


class ReadTests(QueueFileTestCase):
    """Messages come in their order, with their places."""

    def test_all(self) -> None:
        """All that are there are read, over several extents."""
        file = self.written(100, 45)
        self.assertEqual((file.first, file.next, file.span), (46, 101, 55))
        self.assertEqual(file.recordBytes, 200)
        messages = list(file.read())
        want = [OldMessage(n - 46, 0, b"%d" % n) for n in range(46, 101)]
        self.assertEqual(messages, want)
        self.assertEqual(list(file.read(10, 13)), want[10:13])
        self.assertEqual(file.unused, 0)

    def test_none(self) -> None:
        """A queue that was drained has none."""
        file = self.written(3, 3)
        self.assertEqual((file.span, list(file.read())), (0, []))

    def test_withoutExtents(self) -> None:
        """Messages may be in the file itself."""
        file = self.written(60, 5, extentPages=0)
        self.assertEqual(self.bodies(file), [b"%d" % n for n in range(6, 61)])

    def test_holes(self) -> None:
        """A message that was never there is not missed."""
        with MemcacheQ(self.path) as old:
            old.push(b"q", b"1")
            old.abortPush(b"q")
            old.push(b"q", b"2")
        file = self.opened()
        self.assertEqual([type(m) for m in file.read()], [OldMessage] * 2)
        self.assertEqual(self.bodies(file), [b"1", b"2"])
        self.assertEqual(file.span, 3)

    def test_beginsAgain(self) -> None:
        """Behind the highest record number comes 1, in the middle of a page."""
        with MemcacheQ(self.path) as old:
            old.queue(b"q")
        setNumber(os.path.join(self.path, "q"), NUMBERS - 30)
        with MemcacheQ(self.path) as old:
            bodies = [b"%d" % number for number in range(80)]
            old.push(b"q", *bodies)
            old.pop(b"q", 5)
        file = self.opened()
        self.assertLess(file.next, file.first)
        self.assertEqual(file.span, 75)
        self.assertEqual(self.bodies(file), bodies[5:])
        self.assertEqual([m.offset for m in file.read(20, 60)], list(range(20, 60)))


class DamageTests(QueueFileTestCase):
    """Damage is told, with the file's name, and never passed over."""

    def refused(self, why: str) -> None:
        """Assert that the queue cannot be opened."""
        words = str(self.assertRaises(DamagedQueue, self.opened))
        self.assertTrue(words.startswith(f"{self.path}/q "), words)
        self.assertIn(why, words)

    def damaged(self, file: QueueFile) -> list[Damage]:
        """Return what cannot be read, when the rest was."""
        return [item for item in file.read() if isinstance(item, Damage)]

    def check(self, file: QueueFile, name: str, *lost: Any) -> None:
        """Check that records are lost, from an offset on, and which file is named."""
        offset, records, why = lost
        found = Damage(offset, records, f"{self.path}/{name}{why}")
        self.assertEqual(self.damaged(file), [found])
        self.assertEqual(len(self.bodies(file)), file.span - records)

    def test_missing(self) -> None:
        """A file that is missing is named."""
        self.refused("is missing")

    def test_firstPage(self) -> None:
        """A file whose first page makes no sense is refused."""
        self.written(1)
        with open(os.path.join(self.path, "q"), "rb") as file:
            good = file.read()
        for offset, form, value, why in (
            (12, "<I", 0, "is not the file of a queue"),
            (16, "<I", 3, "has the format 3"),
            (24, "<B", 1, "or is encrypted"),
            (26, "<B", 1, "or is encrypted"),
            (20, "<I", 8, "has a damaged first page"),
            (72, "<I", 0, "has a damaged first page"),
            (76, "<I", 0, "has a damaged first page"),
            (80, "<I", 9, "has a damaged first page"),
            (88, "<I", 0, "has a damaged first page"),
        ):
            self.patched("q", 0, good)
            self.patched("q", offset, pack(form, value))
            self.refused(why)
        os.truncate(os.path.join(self.path, "q"), 50)
        self.refused("is cut short")

    def test_missingExtent(self) -> None:
        """An extent that is missing costs its messages, and is named."""
        file = self.written(100)
        os.remove(os.path.join(self.path, "__dbq.q.1"))
        self.check(file, "__dbq.q.1", PER_EXTENT, PER_EXTENT, " is missing")

    def test_cutExtent(self) -> None:
        """So does an extent that was cut short, at the end as well."""
        file = self.written(50)
        os.truncate(os.path.join(self.path, "__dbq.q.1"), 100)
        self.check(file, "__dbq.q.1", PER_EXTENT, 12, " is cut short")

    def test_lostPage(self) -> None:
        """A page of zeros costs its messages."""
        file = self.written(50)
        self.patched("__dbq.q.0", 4096, bytes(4096))
        self.check(file, "__dbq.q.0", PER_PAGE, PER_PAGE, ": page 2 is damaged")

    def test_damagedPage(self) -> None:
        """A page that is another one costs its messages, however few."""
        file = self.written(PER_EXTENT + 1)
        self.patched("__dbq.q.1", 8, pack("<I", 7))
        self.check(file, "__dbq.q.1", PER_EXTENT, 1, ": page 3 is damaged")

    def test_record(self) -> None:
        """A record whose lengths lie costs itself, and is called by its number."""
        with MemcacheQ(self.path) as old:
            old.push(b"q", b"1")
            old.append(b"q", b"\xff" * 100)
            old.push(b"q", b"2")
        file = self.opened()
        self.assertEqual(self.bodies(file), [b"1", b"2"])
        (damage,) = self.damaged(file)
        self.assertEqual(damage[:2], (1, 1))
        self.assertIn(f"{self.path}/q: record 2 is damaged: its lengths", damage.why)

    def test_neverUsed(self) -> None:
        """A few numbers without a page are no damage: nothing was stored there."""
        file = self.written(PER_EXTENT + UNUSED)
        os.remove(os.path.join(self.path, "__dbq.q.1"))
        self.assertEqual(self.damaged(file), [])
        file = self.opened()
        self.assertEqual(len(self.bodies(file)), PER_EXTENT)
        self.assertEqual(file.unused, UNUSED)
