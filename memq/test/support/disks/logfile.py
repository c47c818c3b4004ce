"""The records in Berkeley DB's log, as far as tests have to know them.

A log file is a chain of records, the first of which describes the file.  A record, as
it stands in the file (little-endian on the machines that tests run on):

    offset  size  field
    0       4     offset of the record before
    4       4     bytes of this record; 0 behind the last one
    8       4     checksum
    12      4     type
    16      4     id of the transaction
    20      n     what changed
"""

from __future__ import annotations

import re
from bisect import bisect_left
from itertools import accumulate
from math import inf
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testkit.systemcalls import Call

_NAME = re.compile(r"/log\.(\d{10})$")
_HEAD = Struct("=IIIII")
#: The type of a commit.
_COMMIT = 10
#: Those of what puts an item into a page, or takes it out of it.  Others have whole
#: pages in them, with what is left of items that are gone.
_ITEMS = (41, 43)


class Record(NamedTuple):
    """A record of the log.

    :ivar end: number of the log file and offset behind the record.
    :ivar kind: its type.
    :ivar transaction: the id of the transaction.
    :ivar content: all of its bytes.
    """

    end: tuple[int, int]
    kind: int
    transaction: int
    content: bytes


def readRecords(file: int, content: bytearray) -> Iterator[Record]:
    """Yield the records of a log file.

    :param file: its number.
    """
    offset = 0
    while True:
        # Behind the last record there are zeros, or nothing.
        head = content[offset : offset + _HEAD.size].ljust(_HEAD.size, b"\0")
        _, size, _, kind, transaction = _HEAD.unpack(head)
        if size < _HEAD.size:
            return
        record = bytes(content[offset : offset + size])
        offset += size
        yield Record((file, offset), kind, transaction, record)


class Log:
    """All of a log: where the transactions are committed that have certain bytes."""

    def __init__(self, files: dict[int, bytearray], tokens: re.Pattern[bytes]) -> None:
        """Read files.

        :param files: their contents by their numbers.
        :param tokens: what to look for.
        """
        self._records = [
            record
            for number in sorted(files)
            for record in readRecords(number, files[number])
        ]
        #: The number of the first and of the last record with a token.
        self._first: dict[bytes, int] = {}
        self._last: dict[bytes, int] = {}
        for number, record in enumerate(self._records):
            if record.kind in _ITEMS:
                for token in tokens.findall(record.content):
                    self._first.setdefault(token, number)
                    self._last[token] = number
        #: For each record, the end of the commit that comes next in its transaction.
        self._commits: list[tuple[int, int] | None] = []
        commits: dict[int, tuple[int, int]] = {}
        for record in reversed(self._records):
            if record.kind == _COMMIT:
                commits[record.transaction] = record.end
            self._commits.append(commits.get(record.transaction))
        self._commits.reverse()

    def firstCommit(self, *tokens: bytes) -> tuple[int, int]:
        """Return where the first transaction that has one of them is committed."""
        return self._committed(min(self._first[t] for t in tokens if t in self._first))

    def lastCommit(self, *tokens: bytes) -> tuple[int, int]:
        """Return where the last transaction that has one of them is committed."""
        return self._committed(max(self._last[t] for t in tokens if t in self._last))

    def newest(self, prefix: bytes) -> bytes:
        """Return the token with a prefix that came into the log last."""
        new = [token for token in self._first if token.startswith(prefix)]
        return max(new, key=self._first.__getitem__)

    def _committed(self, number: int) -> tuple[int, int]:
        end = self._commits[number]
        assert end is not None, f"record {number} was never committed"
        return end


class TracedLog:
    """A log as it was written, and when it was synced.

    :ivar files: the contents of the files by their numbers.
    """

    def __init__(self, calls: list[Call], files: dict[str, bytes]) -> None:
        """Follow the calls of a server.

        :param files: what was there before, by name.
        """
        self.files: dict[int, bytearray] = {}
        for name, content in files.items():
            found = _NAME.search("/" + name)
            if found is not None:
                self.files[int(found[1])] = bytearray(content)
        syncs: dict[int, list[Call]] = {}
        writes: list[tuple[int, int, Call]] = []
        offsets: dict[int, int] = {}
        for call in calls:
            found = _NAME.search(call.path)
            if found is None:
                continue
            number = int(found[1])
            if call.name == "fdatasync":
                syncs.setdefault(number, []).append(call)
            elif call.name == "pwrite64":
                writes.append((number, call.numbers[-1], call))
            elif call.name == "lseek":
                offsets[call.file] = call.result
            elif call.name == "write":
                writes.append((number, offsets[call.file], call))
                offsets[call.file] += call.result
        for number, offset, call in writes:
            whole = self.files.setdefault(number, bytearray())
            whole.extend(bytes(max(0, offset - len(whole))))
            whole[offset : offset + call.result] = call.data
        writes.sort(key=lambda write: write[:2])
        self._begins = [write[:2] for write in writes]
        # A write is safe when all that is before it is, too.
        safe = (_syncedAt(call, syncs.get(number, [])) for number, _, call in writes)
        self._safe = list(accumulate(safe, max))

    def safeAt(self, end: tuple[int, int]) -> float:
        """Return the moment at which all of the log was synced up to ``end``."""
        return self._safe[bisect_left(self._begins, end) - 1]


def _syncedAt(write: Call, syncs: list[Call]) -> float:
    ended = (sync.ended for sync in syncs if sync.began > write.ended)
    return min(ended, default=inf)
