"""The end of a MemcacheQ's log, which tells how MemcacheQ ended: stopped or killed.

Records are laid out as in :mod:`memq.storage.engine.logfile`; here they begin at their
type, behind what Berkeley DB puts before them.

A recovery ends at the first record that is damaged, and takes it for the end of the
log.  A kill leaves nothing behind the end; so a whole record there is one that lost
those before it.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, NamedTuple

from memq.memcacheq.directory import LIST
from memq.storage.engine.logfile import RECORD_HEAD, recordChecksum

_TYPE = Struct("<I")
_REGISTER, _COMMIT, _CHECKPOINT, _RECYCLE = 2, 10, 11, 14
#: Of a checkpoint: where a recovery begins, which is the last record before it unless a
#: transaction was under way.
_BEGIN = Struct("<16xII")
#: Of a file that was opened or closed: which of both, and the length of its name; after
#: name and id, each with a length, its number in the log.
_OPENED = Struct("<16xII")
_LENGTH = Struct("<I")
_CLOSED = (2, 5)

#: How far behind the end a record is looked for.
_SEARCHED = 1024 * 1024


class End(NamedTuple):
    """How the log of a MemcacheQ ends.

    :ivar isKilled: whether something may be missing in the files of queues.
    :ivar listIsComplete: whether nothing is missing in that of the list.
    :ivar file: number of the log file with the last record, 0 when none is found.
    :ivar offset: where that record ends.
    """

    isKilled: bool = True
    listIsComplete: bool = False
    file: int = 0
    offset: int = 0


def _typeOf(record: bytes) -> int:
    (kind,) = _TYPE.unpack_from(record)
    return int(kind)


def readEnd(cursor: Any) -> End:
    """Return how a log ends.

    A file has all that was logged of it when it was closed, which writes it, and when
    nothing was changed after the last checkpoint had begun.
    """
    found = cursor.last()
    (file, offset), record = found
    end = offset + RECORD_HEAD.size + len(record)
    while found and _typeOf(found[1]) != _CHECKPOINT:
        found = cursor.prev()
    found = cursor.set(_BEGIN.unpack_from(found[1])) if found else cursor.first()
    areOpen: dict[bytes, bytes] = {}
    isChanged = False
    if found and _typeOf(found[1]) == _COMMIT:
        # The changes that it commits came before the checkpoint.
        found = cursor.next()
    while found:
        record = found[1]
        kind = _typeOf(record)
        if kind == _REGISTER:
            isClosed, name, number = _registered(record)
            if isClosed:
                areOpen.pop(number, None)
            else:
                areOpen[number] = name
        elif kind not in (_CHECKPOINT, _RECYCLE):
            isChanged = True
        found = cursor.next()
    names = set(areOpen.values())
    return End(
        isKilled=isChanged and bool(names - {LIST}),
        listIsComplete=not (isChanged and LIST in names),
        file=file,
        offset=end,
    )


def _registered(record: bytes) -> tuple[bool, bytes, bytes]:
    """Return whether a file was closed, its name, and its number in the log."""
    what, size = _OPENED.unpack_from(record)
    end = _OPENED.size + size
    name = record[_OPENED.size : end].rstrip(b"\0")
    (size,) = _LENGTH.unpack_from(record, end)
    end += _LENGTH.size + size
    return what in _CLOSED, name, record[end : end + 4]


def hasMore(path: bytes, end: int) -> bool:
    """Return whether a log file has a whole record behind the end of the last one."""
    with open(path, "rb") as file:
        file.seek(end)
        data = file.read(_SEARCHED).rstrip(b"\0")
    for at in range(len(data) - RECORD_HEAD.size):
        before, size, checksum = RECORD_HEAD.unpack_from(data, at)
        if not RECORD_HEAD.size < size <= len(data) - at or before >= end + at:
            continue
        body = data[at + RECORD_HEAD.size : at + size]
        if recordChecksum(before, size, body) == checksum:
            return True
    return False
