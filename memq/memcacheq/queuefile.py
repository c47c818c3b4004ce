"""A queue as MemcacheQ kept it: a DB_QUEUE file of Berkeley DB, read without it.

Berkeley DB takes a page that is missing, or all zeros, for one without messages.  So a
file that was cut, or lost an extent, looks drained to it.  Here the pages are
read as they stand, each is looked at, and what is wrong is told.  Nothing is written.

The file of a queue begins with a page that tells the rest (little-endian; what is not
used here is left out):

    offset  size  field
    12      4     magic: 0x042253
    16      4     version of the format: 4
    20      4     bytes of a page
    24      1     algorithm of the encryption: 0
    26      1     flags: 0
    72      4     number of the first record
    76      4     number of the next record
    80      4     bytes of a record
    88      4     records in a page
    92      4     pages in an extent, 0 for none

Page n, from 1, stands in the extent ``__dbq.<name>.<e>`` with e = (n - 1) / pages in an
extent, and begins with 28 bytes: its number at 8 (u32), its type at 25 (u8, 11).  A
record is a byte of flags, 1 when there is one, and its bytes, padded to four.  Record
numbers go from 1 to 4294967295 and begin again.

A record, as MemcacheQ wrote it:

    offset  size  field
    0       4     bytes of the body and the CR LF behind it (int32)
    4       1     bytes of the suffix
    5       1     bytes of the name
    6       2     nothing
    8       n     name, and NUL
            n     suffix: `` <flags> <bytes>`` CR LF; flags are an int32
            n     body, CR LF

A number whose page was never written is no damage as long as there are few: a record
that was being appended when MemcacheQ was killed leaves one.
"""

from __future__ import annotations

import os
import re
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Stands at byte 12 of a DB_QUEUE file.
MAGIC = 0x042253
VERSION = 4

_META = Struct("<12xIIIBxB45xIIIxxxxII")
_PAGE = Struct("<8xI13xB")
_PAGE_HEADER = 28
_QUEUE_PAGE = 11
_VALID = 1
_HEAD = Struct("<iBBxx")
_SUFFIX = re.compile(rb" (-?[0-9]{1,10}) ([0-9]{1,10})\r\n")

#: How many record numbers there are before they begin again.
NUMBERS = 0xFFFFFFFF
#: Record numbers in a row that may never have been used: one for each command that
#: was under way when a MemcacheQ was killed, which has four threads.
UNUSED = 8


class DamagedQueue(Exception):
    """A file that no queue can be read from."""


class OldMessage(NamedTuple):
    """A message; its offset counts from the first record of the queue."""

    offset: int
    flags: int
    body: bytes


class Damage(NamedTuple):
    """Some records from an offset on that cannot be read; names the file."""

    offset: int
    records: int
    why: str


class DamagedSlot(Exception):
    """A record whose lengths do not fit what is in it."""


class DamagedPage(Exception):
    """A page that is not there, or is none."""

    def __init__(self, why: str, *, isEmpty: bool) -> None:
        """Keep whether it may be one that was never written."""
        super().__init__(why)
        self.isEmpty = isEmpty


def unpackMessage(name: bytes, record: bytes) -> tuple[int, bytes]:
    """Return flags and body of a record, read by its lengths, padding included.

    :raise DamagedSlot: when lengths, name and line ends do not fit.
    """
    size, suffixSize, nameSize = _HEAD.unpack_from(record)
    suffixAt = _HEAD.size + nameSize + 1
    bodyAt = suffixAt + suffixSize
    end = bodyAt + size
    if size < 2 or end > len(record):
        raise DamagedSlot(f"its lengths make {end} bytes, and it has {len(record)}")
    if record[_HEAD.size : suffixAt] != name + b"\0":
        raise DamagedSlot("it does not have the name of its queue")
    suffix = _SUFFIX.fullmatch(record, suffixAt, bodyAt)
    if suffix is None or int(suffix[2]) != size - 2 or record[end - 2 : end] != b"\r\n":
        raise DamagedSlot("what it says of its body is not so")
    return int(suffix[1]) & 0xFFFFFFFF, record[bodyAt : end - 2]


class QueueFile:
    """One queue's file and its extents.

    :ivar next: number that its next record would have.
    :ivar span: how many record numbers there are from the first one to that.
    :ivar unused: how many of those were never used, as far as ``read`` has come.
    """

    def __init__(
        self, directory: bytes, name: bytes, mainFile: bytes | None = None
    ) -> None:
        """Read what the file says of itself.

        :param mainFile: its name, if it is not the queue's.
        :raise DamagedQueue: when that cannot be; it names the file.
        """
        self.name = name
        self._directory = directory
        self._path = os.path.join(directory, mainFile or name)
        self.unused = 0
        try:
            with open(self._path, "rb") as file:
                meta = file.read(512)
        except FileNotFoundError:
            raise DamagedQueue(f"{os.fsdecode(self._path)} is missing") from None
        if len(meta) < _META.size:
            raise self._damaged("is cut short")
        magic, version, *rest = _META.unpack_from(meta)
        self._pageSize, cipher, flags, self.first, self.next, self._size, *rest = rest
        self._perPage, self._perExtent = rest
        if magic != MAGIC:
            raise self._damaged("is not the file of a queue")
        if version != VERSION or cipher or flags:
            raise self._damaged(
                f"has the format {version}, which memq does not read, or is encrypted; "
                "db5.3_upgrade may help"
            )
        self._slot = (self._size + 4) // 4 * 4
        # Berkeley DB computes it, so anything else did not come from there.
        room = self._pageSize - _PAGE_HEADER
        fits = room // self._slot
        if not (0 < self._perPage == fits and self.first > 0 and self.next > 0):
            raise self._damaged("has a damaged first page")
        self.span: int = (self.next - self.first) % NUMBERS

    def _damaged(self, why: str) -> DamagedQueue:
        return DamagedQueue(f"{os.fsdecode(self._path)} {why}")

    @property
    def recordBytes(self) -> int:
        """How many bytes each record has."""
        return int(self._size)

    def read(
        self, offset: int = 0, end: int | None = None
    ) -> Iterator[OldMessage | Damage]:
        """Yield the messages from an offset on, in their order, and what is damaged."""
        self.unused = 0
        end = self.span if end is None else end
        gap: list[Damage] = []
        while offset < end:
            number = (self.first - 1 + offset) % NUMBERS
            page, slot = divmod(number, self._perPage)
            there = min(self._perPage - slot, end - offset, NUMBERS - number)
            try:
                data = self._page(page + 1)
            except DamagedPage as error:
                gap.append(Damage(offset, there, str(error)))
                if not error.isEmpty:
                    yield from self._close(gap, 0)
            else:
                yield from self._close(gap, UNUSED)
                yield from self._messages(data, offset, slot, there)
            offset += there
        yield from self._close(gap, UNUSED)

    def _page(self, number: int) -> bytes:
        path, place = self._path, number
        if self._perExtent:
            extent, place = divmod(number - 1, self._perExtent)
            name = b"__dbq.%b.%d" % (self.name, extent)
            path = os.path.join(self._directory, name)
        words = os.fsdecode(path)
        try:
            with open(path, "rb", buffering=0) as file:
                data = os.pread(file.fileno(), self._pageSize, place * self._pageSize)
        except FileNotFoundError:
            raise DamagedPage(f"{words} is missing", isEmpty=True) from None
        if len(data) < self._pageSize:
            raise DamagedPage(f"{words} is cut short", isEmpty=True)
        if _PAGE.unpack_from(data) != (number, _QUEUE_PAGE):
            why = f"{words}: page {number} is damaged"
            raise DamagedPage(why, isEmpty=not any(data))
        return data

    def _close(self, gap: list[Damage], most: int) -> Iterator[Damage]:
        """Yield what was not there, unless it may never have been."""
        records = sum(damage.records for damage in gap)
        if records > most:
            yield gap[-1]._replace(offset=gap[0].offset, records=records)
        else:
            self.unused += records
        gap.clear()

    def _messages(
        self, page: bytes, offset: int, slot: int, count: int
    ) -> Iterator[OldMessage | Damage]:
        for index in range(count):
            start = _PAGE_HEADER + (slot + index) * self._slot
            if not page[start] & _VALID:
                continue
            record = page[start + 1 : start + 1 + self._size]
            try:
                yield OldMessage(offset + index, *unpackMessage(self.name, record))
            except DamagedSlot as error:
                number = (self.first - 1 + offset + index) % NUMBERS + 1
                path = os.fsdecode(self._path)
                why = f"{path}: record {number} is damaged: {error}"
                yield Damage(offset + index, 1, why)
