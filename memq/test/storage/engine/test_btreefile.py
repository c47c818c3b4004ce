"""Berkeley DB's files are read without Berkeley DB."""

from __future__ import annotations

import os
from struct import pack_into

from memq.errors import DamagedHome
from memq.storage.engine.binding import StoreSettings, db
from memq.storage.engine.btreefile import DamagedFile, TreeFile, tablesIn
from memq.storage.engine.verification import refuseNewerPages
from memq.test.support.disks.wrecks import LEAF, closedHome, fileIn, flip, pagesOf
from memq.test.support.homes import SMALL, BDBTestCase


class TreeFileTests(BDBTestCase):
    """The records read are those that Berkeley DB would read."""

    def setUp(self) -> None:
        """Name a home."""
        self.path = os.path.abspath(self.mktemp())

    def table(self, name: str = "messages") -> TreeFile:
        """Return a file of the home, closed when the test ends."""
        table = TreeFile(fileIn(self.path, name))
        self.addCleanup(table.close)
        return table

    def made(self, settings: StoreSettings = SMALL) -> None:
        """Make the home."""
        closedHome(self.path, settings)

    def expected(self, name: str) -> dict[bytes, bytes]:
        """Return what Berkeley DB reads."""
        table = db.DB()
        table.open(fileIn(self.path, name), None, db.DB_BTREE, db.DB_RDONLY)
        found = dict(table.items())
        table.close()
        return found

    def test_pageSizes(self) -> None:
        """All records are read, with pages of each size, and with long keys."""
        for size in (512, 4096, 65536):
            self.path = os.path.abspath(self.mktemp())
            self.made(SMALL._replace(pageSize=size))
            for name in tablesIn(os.path.join(self.path, "memq")):
                table = self.table(name)
                found = {record.key: record.value for record in table.records()}
                self.assertEqual(found, self.expected(name))
                self.assertEqual((table.pageSize, table.damaged), (size, {}))
                self.assertEqual(table.lastPage, table.pages - 1)

    def test_sizeWithoutFirstPage(self) -> None:
        """How large pages are can be told from the others."""
        for size in (512, 4096):
            self.path = os.path.abspath(self.mktemp())
            self.made(SMALL._replace(pageSize=size))
            flip(fileIn(self.path, "messages"), 22)
            self.assertEqual(self.table().pageSize, size)

    def test_noTree(self) -> None:
        """A file without any page of a tree is refused."""
        os.makedirs(os.path.join(self.path, "memq"))
        for content in (b"", b"x" * 511, bytes(5000), b"not a tree" * 1000):
            with open(fileIn(self.path, "messages"), "wb") as file:
                file.write(content)
            self.assertRaises(DamagedFile, self.table)

    def test_everyByte(self) -> None:
        """A flipped bit anywhere in a page is noticed, and breaks nothing."""
        self.made()
        number = pagesOf(fileIn(self.path, "messages"), LEAF)[2]
        whole = dict(self.expected("messages"))
        with open(fileIn(self.path, "messages"), "rb") as file:
            content = bytearray(file.read())
        for place in range(number * 4096, (number + 1) * 4096, 13):
            content[place] ^= 16
            with open(fileIn(self.path, "messages"), "wb") as file:
                file.write(content)
            content[place] ^= 16
            table = TreeFile(fileIn(self.path, "messages"))
            table.check(number)
            self.assertIn(number, table.damaged)
            found = [record for _, record in table.salvage(lambda record: True)]
            wrong = [r for r in found if whole.get(r.key) != r.value]
            self.assertLessEqual(len(wrong), 2, place)
            table.close()

    def sealed(self, number: int, page: bytearray) -> None:
        """Put a page into the file, with a checksum that is right."""
        table = self.table()
        page[28:32] = bytes(4)
        value = 0
        for byte in page:
            value = (value * 33 + byte) & 0xFFFFFFFF
        pack_into("=I", page, 28, value)
        with open(table.path, "r+b") as file:
            file.seek(number * 4096)
            file.write(page)

    def test_entries(self) -> None:
        """Entries that cannot be are noted; deleted ones are none."""
        self.made()
        number = pagesOf(fileIn(self.path, "messages"), LEAF)[2]
        table = self.table()
        whole = bytearray(table.page(number))
        count = len(list(table.entries(number, bytes(whole))))
        first = int.from_bytes(whole[32:34], "little")
        for place, value, left, isDamaged in (
            # A deleted key, one of an unknown type, one that is too long, no place.
            (first + 2, 0x81, count - 1, False),
            (first + 2, 9, count - 1, True),
            (first + 1, 0xFF, count - 1, True),
            (33, 0xFF, count - 1, True),
        ):
            page = bytearray(whole)
            page[place] = value
            self.sealed(number, page)
            table = self.table()
            found = list(table.entries(number, table.check(number)))
            self.assertEqual(len(found), left)
            self.assertEqual(number in table.damaged, isDamaged)

    def test_firstPage(self) -> None:
        """A page that is sound, but not the first one, is none in its place."""
        self.made()
        number = pagesOf(fileIn(self.path, "messages"), LEAF)[2]
        page = bytearray(self.table().page(number))
        page[8:12] = bytes(4)
        self.sealed(0, page)
        table = self.table()
        table.check(0)
        self.assertEqual(table.damaged, {0: "it is not the first page of a tree"})

    def test_newerThanTheLog(self) -> None:
        """A page that was changed after the end of the log is refused by name."""
        self.made()
        directory = os.path.join(self.path, "memq")
        newest, number = max(self.table(name).newest() for name in tablesIn(directory))
        refuseNewerPages(directory, newest)
        before = (newest[0], newest[1] - 1)
        error = self.assertRaises(DamagedHome, refuseNewerPages, directory, before)
        self.assertIn(f"page {number} of {directory}/queues was changed", str(error))
        with open(fileIn(self.path, "messages"), "wb") as file:
            file.write(b"no table")
        refuseNewerPages(directory, newest)
