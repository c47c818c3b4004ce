"""Berkeley DB's B-tree files, read page by page, without Berkeley DB.

A page whose checksum is wrong ends Berkeley DB's environment for good, and what stands
on all other pages with it.  Here it is one page of many: every record stands on a leaf
page, and a leaf is known by itself, so nothing is lost with the pages above it.

DB.verify(DB_SALVAGE) does not do: on a checksummed file with one bad leaf of 112 it
raised DB_RUNRECOVERY after 195 of 2,000 records, and after 30 with ten bad leaves.

A page (native byte order; offsets in bytes; of 5.3, with DB_CHKSUM):

    offset  size  field
    0       8     LSN of the last change: file and offset in the log
    8       4     its own number
    16      4     number of the next page (of an overflow page: its next part)
    20      2     entries; a key and a value are two
    22      2     of an overflow page: its bytes of data
    25      1     type: 0 free, 3 internal, 5 leaf, 7 overflow, 9 the file's first
    28      4     checksum of the page, with zeros in this place
    32      2 each  offset of each entry; of an overflow page: data

    of the first page:
    12      4     magic number
    20      4     bytes of a page
    32      4     number of the last page
    492     4     checksum of the first 512 bytes, with zeros in this place

An entry is its length (2), a type (1) and the bytes; or, for one in overflow pages, 2
bytes, the type, a byte, the number of the first page (4) and the length (4).
"""

from __future__ import annotations

import os
import re
from functools import cache
from operator import mul
from struct import Struct, pack_into
from struct import error as FormatError
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Marks the first page of a tree.
BTREE_MAGIC = 0x053162
_LEAF = 5
_OVERFLOW = 7
_FIRST = 9
_IN_PAGE = 1
_ELSEWHERE = 3
#: Set in an entry's type once it is deleted, and still in the way of a cursor.
_DELETED = 0x80

_HEADER = Struct("=IIIIIHHBBHI")
_FIRST_PAGE = Struct("=12xIII8xI")
_OFFSET = Struct("=H")
_ENTRY = Struct("=HB")
_POINTER = Struct("=HBxII")
_LSN = Struct("=II")
_CHECKSUM = Struct("=I")
#: Where a checksum stands, and of how many bytes it is; in the first page and others.
_CHECKSUM_FIRST = 492
_CHECKSUM_AT = 28
_FIRST_SIZE = 512
_SIZES = [512 << power for power in range(8)]
#: How many pages are looked at to find out how large they are.
_SAMPLE = 64
#: How many are read at once.
_BLOCK = 256
#: The names of the store's tables.
_TABLE = re.compile(r"queues|messages(\.[1-9][0-9]*)?")


class DamagedFile(Exception):
    """A file that is no tree of Berkeley DB's, not even a damaged one."""


class _DamagedEntry(Exception):
    """An entry that cannot be read; the words say why."""


class Record(NamedTuple):
    """A key and a value, as they stand in a file.

    :ivar value: None where it cannot be read.
    :ivar lsn: of the last change of its page.
    """

    key: bytes
    value: bytes | None
    lsn: tuple[int, int]


def tablesIn(directory: str) -> list[str]:
    """Return the names of the tables in a directory, the queues last."""
    return sorted(filter(_TABLE.fullmatch, os.listdir(directory)))


@cache
def _powers(size: int) -> list[int]:
    """Return what each of so many bytes is multiplied with in a checksum."""
    powers = [1]
    while len(powers) < size:
        powers.append(powers[-1] * 33 & 0xFFFFFFFF)
    return powers[::-1]


def _checksum(page: bytes) -> tuple[int, int, int]:
    """Return where a page's checksum stands, what it says, and what is right."""
    at, covered = _CHECKSUM_AT, page
    if page[25] == _FIRST:
        at, covered = _CHECKSUM_FIRST, page[:_FIRST_SIZE]
    (says,) = _CHECKSUM.unpack_from(covered, at)
    bare = covered[:at] + bytes(4) + covered[at + 4 :]
    return at, says, sum(map(mul, bare, _powers(len(bare)))) & 0xFFFFFFFF


class TreeFile:
    """One file.

    :ivar pageSize: bytes of a page.
    :ivar pages: how many pages it has, a last one that is cut short included.
    :ivar damaged: the pages that were found damaged, and what is wrong with each.
    :ivar blank: the pages that were found to hold zeros only.  That is how a page looks
        that was never written: damage in a table that was recovered, and only there.
    :ivar lastPage: the number of the last page that there is to be, by the first one;
        None when that cannot be read.
    """

    def __init__(self, path: str) -> None:
        """Look at the first pages.

        :raise DamagedFile: when it has no page that tells how large pages are.
        """
        self.path = path
        self.damaged: dict[int, str] = {}
        self.blank: set[int] = set()
        self.lastPage: int | None = None
        self._file = open(path, "rb")  # noqa: SIM115 - until close()
        try:
            self.pageSize = self._findPageSize()
        except DamagedFile:
            self.close()
            raise
        self.pages = -(-os.fstat(self._file.fileno()).st_size // self.pageSize)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _findPageSize(self) -> int:
        """Return what the first page says, or else what the others agree on."""
        start = self._file.read(_FIRST_SIZE)
        if len(start) == _FIRST_SIZE:
            magic, _, size, last = _FIRST_PAGE.unpack_from(start)
            _, says, right = _checksum(start)
            if magic == BTREE_MAGIC and size in _SIZES and says == right:
                self.lastPage = last
                return int(size)
        fits = {size: self._fits(size) for size in _SIZES}
        best = max(_SIZES, key=lambda size: (fits[size], size))
        if not fits[best]:
            raise DamagedFile(f"{self.path} has no page of a tree in it")
        return best

    def _fits(self, size: int) -> int:
        """Return how many pages know their own number, if pages have this size."""
        found = 0
        for number in range(1, _SAMPLE):
            self._file.seek(number * size)
            page = self._file.read(_HEADER.size)
            if len(page) == _HEADER.size:
                found += _HEADER.unpack(page)[2] == number
        return found

    def page(self, number: int) -> bytes:
        """Return a page as it is, with zeros for what is cut off.

        A page that the disk does not give is noted as damaged.
        """
        try:
            page = os.pread(self._file.fileno(), self.pageSize, number * self.pageSize)
        except OSError as error:
            self.damaged[number] = f"it cannot be read: {error.strerror}"
            page = b""
        return page.ljust(self.pageSize, b"\0")

    def newest(self) -> tuple[tuple[int, int], int]:
        """Return the LSN of the page that was changed last, and that page's number."""
        found = (0, 0), 0
        for start in range(0, self.pages, _BLOCK):
            place = start * self.pageSize
            block = os.pread(self._file.fileno(), _BLOCK * self.pageSize, place)
            places = range(0, len(block) - _LSN.size + 1, self.pageSize)
            lsns = [(_LSN.unpack_from(block, at), at // self.pageSize) for at in places]
            lsn, number = max(lsns, default=((0, 0), 0))
            found = max(found, (lsn, start + number))
        return found

    def check(self, number: int) -> bytes:
        """Return a page; one that is damaged or blank is noted as that."""
        page = self.page(number)
        if number in self.damaged:
            return page
        if not page.strip(b"\0"):
            self.blank.add(number)
            return page
        at, says, right = _checksum(page)
        if says != right:
            self.damaged[number] = "its checksum is wrong"
        elif _HEADER.unpack_from(page)[2] != number:
            self.damaged[number] = "another page stands in its place"
        elif number == 0 and at != _CHECKSUM_FIRST:
            self.damaged[number] = "it is not the first page of a tree"
        return page

    def records(self) -> Iterator[Record]:
        """Yield what stands on each leaf that is not damaged, in the file's order."""
        for number in range(self.pages):
            page = self.check(number)
            if number not in self.damaged and page[25] == _LEAF:
                yield from self.entries(number, page)

    def salvage(self, accept: Callable[[Record], bool]) -> Iterator[tuple[int, Record]]:
        """Yield what is accepted on leaves that are damaged, and on which.

        It is bytes that nothing vouches for but what ``accept`` knows of them; the keys
        on a page have to stand in their order.
        """
        for number in sorted(self.damaged):
            page = self.page(number)
            key = b""
            for record in self.entries(number, page):
                if record.value is not None and record.key > key and accept(record):
                    key = record.key
                    yield number, record

    def entries(self, number: int, page: bytes) -> Iterator[Record]:
        """Yield what stands on a leaf; what cannot be read is noted."""
        file, offset, _, _, _, count, *_ = _HEADER.unpack_from(page)
        for index in range(0, count - count % 2, 2):
            try:
                key, value = self._pair(page, index)
            except (_DamagedEntry, FormatError) as error:
                self.damaged.setdefault(number, f"an entry cannot be read: {error}")
                continue
            if key is not None:
                yield Record(key, value, (file, offset))

    def _pair(self, page: bytes, index: int) -> tuple[bytes | None, bytes | None]:
        """Return a key, None when it is deleted, and its value."""
        places = [
            _OFFSET.unpack_from(page, _HEADER.size + 2 * at)[0]
            for at in (index, index + 1)
        ]
        kinds = [_ENTRY.unpack_from(page, place)[1] for place in places]
        if (kinds[0] | kinds[1]) & _DELETED:
            return None, None
        key = self._entry(page, places[0])
        try:
            return key, self._entry(page, places[1])
        except _DamagedEntry:
            return key, None

    def _entry(self, page: bytes, place: int) -> bytes:
        length, kind = _ENTRY.unpack_from(page, place)
        if kind == _IN_PAGE:
            data = page[place + _ENTRY.size :][:length]
            if len(data) == length:
                return data
        elif kind == _ELSEWHERE:
            _, _, first, length = _POINTER.unpack_from(page, place)
            return self._overflow(first, length)
        raise _DamagedEntry(f"{length} bytes of type {kind} at byte {place}")

    def _overflow(self, number: int, length: int) -> bytes:
        """Return the data of a chain of overflow pages."""
        pieces: list[bytes] = []
        left = length
        while left > 0 and 0 < number < self.pages and number not in self.damaged:
            page = self.check(number)
            following, size, kind = _HEADER.unpack_from(page)[4], *_sizeAndType(page)
            if number in self.damaged or kind != _OVERFLOW or not 0 < size <= left:
                break
            pieces.append(page[_HEADER.size : _HEADER.size + size])
            number, left = following, left - size
        data = b"".join(pieces)
        if len(data) != length:
            raise _DamagedEntry(f"page {number} of its {length} bytes")
        return data

    def mended(self, number: int, page: bytes, lsn: tuple[int, int]) -> bytes:
        """Return what a recovery can do with in the place of a damaged page.

        It is an empty leaf, changed after all that the log knows; the first page of a
        file is left as it is.  The checksum is right.
        """
        made = bytearray(page)
        if number:
            made = bytearray(self.pageSize)
            top = self.pageSize % 65536
            pack_into(
                _HEADER.format, made, 0, *lsn, number, 0, 0, 0, top, 1, _LEAF, 0, 0
            )
        at, _, right = _checksum(bytes(made))
        _CHECKSUM.pack_into(made, at, right)
        return bytes(made)


def _sizeAndType(page: bytes) -> tuple[int, int]:
    """Return the bytes of data of an overflow page, and the type of any page."""
    return _HEADER.unpack_from(page)[6], page[25]
