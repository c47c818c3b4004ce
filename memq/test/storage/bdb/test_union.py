"""Two tables that are read as one."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from memq.storage.bdb.union import JoinedTable
from memq.storage.engine.binding import db

VERBS = ["next", "prev", "last", "delete"]
KEYS = some.binary(max_size=3)


def table(*keys: bytes) -> Any:
    """Return a table in memory in which these keys are, each its own record."""
    made = db.DB()
    made.open(None, None, db.DB_BTREE, db.DB_CREATE)
    made.set_get_returns_none(2)
    for key in keys:
        made.put(key, key)
    return made


class JoinedTests(SynchronousTestCase):
    """Operations of a table that the store uses."""

    def test_get(self) -> None:
        """A record is found in whichever table it is, even if it is empty."""
        new, old = table(b"a"), table(b"b")
        new.put(b"empty", b"")
        joined = JoinedTable(new, old)
        found = [joined.get(key) for key in (b"a", b"b", b"c", b"empty")]
        self.assertEqual(found, [b"a", b"b", None, b""])

    def test_put(self) -> None:
        """A record that is put goes into the new table."""
        new, old = table(), table()
        JoinedTable(new, old).put(b"a", b"1", None)
        self.assertEqual((new.get(b"a"), old.get(b"a")), (b"1", None))

    def test_delete(self) -> None:
        """A record is deleted in whichever table it is."""
        new, old = table(b"a", b"c"), table(b"b", b"d")
        joined = JoinedTable(new, old)
        joined.delete(b"a", None)
        joined.delete(b"b", None)
        self.assertEqual([*new.keys(), *old.keys()], [b"c", b"d"])

    def test_putBehindTheCursor(self) -> None:
        """A record that is put while a cursor is open is found in its place."""
        joined = JoinedTable(table(b"9"), table(b"1", b"2"))
        cursor = joined.cursor(None)
        self.assertEqual(cursor.set_range(b"2"), (b"2", b"2"))
        joined.put(b"3", b"x", None)
        self.assertEqual(cursor.next(), (b"3", b"x"))
        self.assertEqual(cursor.next(), (b"9", b"9"))
        self.assertIsNone(cursor.next())
        cursor.close()

    @settings(derandomize=True)
    @given(
        some.dictionaries(KEYS, some.booleans()),
        some.lists(
            some.one_of(
                some.tuples(some.sampled_from(["set_range", "put"]), KEYS),
                some.tuples(some.sampled_from(VERBS), some.just(b"")),
            )
        ),
    )
    def test_likeOne(
        self, where: dict[bytes, bool], steps: list[tuple[str, bytes]]
    ) -> None:
        """A cursor goes through both tables as through one that has all of it."""
        new = table(*[key for key in where if where[key]])
        old = table(*[key for key in where if not where[key]])
        joined = JoinedTable(new, old)
        cursor = joined.cursor(None)
        keys = set(where)
        at: bytes | None = None
        for verb, key in steps:
            if verb == "put":
                if key not in keys:
                    joined.put(key, key, None)
                    keys.add(key)
            elif verb == "delete":
                if at in keys:
                    cursor.delete()
                    keys.remove(at)
            else:
                if verb == "set_range":
                    found, rest = cursor.set_range(key), [k for k in keys if k >= key]
                    wanted = min(rest, default=None)
                elif verb == "last":
                    found, wanted = cursor.last(), max(keys, default=None)
                elif at is None:
                    continue
                elif verb == "next":
                    found, rest = cursor.next(), [k for k in keys if k > at]
                    wanted = min(rest, default=None)
                else:
                    found, rest = cursor.prev(), [k for k in keys if k < at]
                    wanted = max(rest, default=None)
                self.assertEqual(found, wanted if wanted is None else (wanted, wanted))
                at = wanted
        cursor.close()
        left = {*new.keys(), *old.keys()}
        self.assertEqual(left, keys)
