"""Two tables that are read as one, while what is in the old one moves to the new one.

A record that is put goes into the new table.  A key is looked for in both, and a
cursor goes through the keys of both in their order.  No key may be in both at once:
the store puts none that is there already.

A cursor remembers a key and no place in the tables, so that what is put while it is
open is found like everything else.
"""

from __future__ import annotations

from operator import gt, lt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: A key and a record; None behind the last one.
_Found = tuple[bytes, bytes] | None


def _before(cursor: Any, key: bytes) -> _Found:
    """Go to the last record before a key."""
    found: _Found = cursor.prev() if cursor.set_range(key) else cursor.last()
    return found


class JoinedCursor:
    """A cursor over two tables."""

    def __init__(self, new: Any, old: Any) -> None:
        self._new = new
        self._old = old
        #: The cursor that stands on the record that was found last, and its key.
        self._at: Any = None
        self._key = b""

    def set_range(self, key: bytes) -> _Found:
        """Go to the first record with this key or a higher one, and return both."""
        return self._nearer(self._new.set_range(key), self._old.set_range(key), lt)

    def next(self) -> _Found:
        """Go to the record behind the one that was found last, there or not."""
        # No key stands between this one and the last one.
        return self.set_range(self._key + b"\0")

    def prev(self) -> _Found:
        """Go to the record before the one that was found last, there or not."""
        key = self._key
        return self._nearer(_before(self._new, key), _before(self._old, key), gt)

    def last(self) -> _Found:
        """Go to the last record."""
        return self._nearer(self._new.last(), self._old.last(), gt)

    def _nearer(
        self, new: _Found, old: _Found, isNearer: Callable[[bytes, bytes], bool]
    ) -> _Found:
        if new is None or (old is not None and isNearer(old[0], new[0])):
            self._at, found = self._old, old
        else:
            self._at, found = self._new, new
        if found is not None:
            self._key = found[0]
        return found

    def delete(self) -> None:
        """Delete the record that was found last."""
        self._at.delete()

    def close(self) -> None:
        """Close both cursors."""
        self._new.close()
        self._old.close()


class JoinedTable:
    """Two tables, as far as the store asks them."""

    def __init__(self, new: Any, old: Any) -> None:
        self._new = new
        self._old = old

    def put(self, key: bytes, record: bytes, transaction: Any) -> None:
        """Put a record that is in neither table into the new one."""
        self._new.put(key, record, transaction)

    def get(self, key: bytes) -> bytes | None:
        """Return a record, None when it is in neither table."""
        record: bytes | None = self._new.get(key)
        return self._old.get(key) if record is None else record

    def delete(self, key: bytes, transaction: Any) -> None:
        """Delete a record, in whichever table it is."""
        isNew = self._new.exists(key, transaction)
        (self._new if isNew else self._old).delete(key, transaction)

    def cursor(self, transaction: Any) -> JoinedCursor:
        """Return a cursor over both."""
        return JoinedCursor(
            self._new.cursor(transaction), self._old.cursor(transaction)
        )
