"""A file on a disk on which a power cut leaves what it may leave.

The rules are in :mod:`memq.test.support.disks.disk`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

PAGE = 4096


class Change:
    """A write of ``data`` at ``offset``; without data, a cut or growth to there."""

    __slots__ = ("data", "offset", "over")

    def __init__(self, offset: int, data: bytes | None) -> None:
        self.offset = offset
        self.data = data
        #: Whether the call that made it has ended.
        self.over = False

    def apply(self, content: bytearray) -> None:
        """Make the change."""
        if self.data is None:
            del content[self.offset :]
        _grow(content, self.offset + len(self.data or b""))
        if self.data is not None:
            content[self.offset : self.offset + len(self.data)] = self.data


def _grow(content: bytearray, size: int) -> None:
    content.extend(bytes(max(0, size - len(content))))


class DiskFile:
    """A file, whatever its names are.

    :ivar now: what a process reads from it.
    """

    def __init__(self, content: bytes = b"") -> None:
        self.now = bytearray(content)
        self._certain = bytearray(content)
        self._pending: list[Change] = []

    def change(self, offset: int, data: bytes | None) -> Change:
        """Write data, or without any set the size; the caller says when it is over."""
        change = Change(offset, data)
        change.apply(self.now)
        self._pending.append(change)
        return change

    def pending(self) -> list[Change]:
        """Return what a sync that begins now is to make certain."""
        return [change for change in self._pending if change.over]

    def settle(self, changes: list[Change]) -> None:
        """Make changes certain, unless another sync has done it already."""
        for change in changes:
            if change in self._pending:
                change.apply(self._certain)
                self._pending.remove(change)

    def afterCut(self, random: Random, torn: bool) -> bytes:
        """Return what a power cut may leave.

        :param torn: whether the last page may be torn.
        """
        content, changes = self._sinceResized(random)
        share = random.choice((0.0, 1.0, random.random()))
        sizes = {len(content)}
        pages: dict[int, list[tuple[int, bytes]]] = {}
        for change in changes:
            assert change.data is not None
            sizes.add(max(len(content), change.offset + len(change.data)))
            for page, piece in _pieces(change.offset, change.data):
                pages.setdefault(page, []).append(piece)
        last = page if pages else None
        for page, pieces in pages.items():
            if random.random() < share:
                most = len(pieces)
                took = pieces[: most if share == 1 else random.randint(1, most)]
                begin, before = page * PAGE, bytes(content[page * PAGE :][:PAGE])
                for offset, data in took:
                    _grow(content, offset)
                    content[offset : offset + len(data)] = data
                if torn and page == last:
                    _tear(content, begin, before, random)
        size = max(sizes) if share == 1 else random.choice(sorted(sizes))
        _grow(content, size)
        return bytes(content[:size])

    def _sinceResized(self, random: Random) -> tuple[bytearray, list[Change]]:
        """Return the content from which the changes start that change no size."""
        content = bytearray(self._certain)
        first = 0
        for number, change in enumerate(self._pending):
            if change.data is None:
                if random.random() < 0.5:
                    return content, self._pending[first:number]
                for earlier in self._pending[first : number + 1]:
                    earlier.apply(content)
                first = number + 1
        return content, self._pending[first:]


def _pieces(offset: int, data: bytes) -> list[tuple[int, tuple[int, bytes]]]:
    """Return the pages that a write touches, and what it writes to each."""
    pieces = []
    end = offset + len(data)
    for page in range(offset // PAGE, (end + PAGE - 1) // PAGE):
        begin = max(offset, page * PAGE)
        part = data[begin - offset : (page + 1) * PAGE - offset]
        pieces.append((page, (begin, part)))
    return pieces


def _tear(content: bytearray, begin: int, before: bytes, random: Random) -> None:
    """Keep a part of what is new in a page that begins at ``begin``."""
    new = len(content[begin:][:PAGE])
    keep = random.randint(0, new)
    old = before.ljust(new, b"\0")
    content[begin + keep : begin + new] = old[keep:new]
