"""Queues are selected page by page, in any order."""

from __future__ import annotations

from array import array
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from memq.test.web.api.test_names import NAMES
from memq.web.api import selection
from memq.web.api.rates import UNKNOWN
from memq.web.api.selection import ORDERS, Asked, Cursor, Selection, cursor
from memq.web.api.snapshot import Snapshot
from memq.web.metrics.survey import FIGURES

ROWS = st.dictionaries(
    st.sampled_from([b"a", b"b", b"aa", b"ab", b"hex:", b"\xff", b"c", b"B", b":"]),
    st.tuples(*[st.integers(0, 3)] * 6, st.sampled_from([0.0, 0.5]), st.just(-1.0)),
)


def snapshotOf(rows: dict[bytes, tuple[Any, ...]]) -> Snapshot:
    """Return a snapshot of queues: messages, bytes, age, open, waiters; in and out."""
    columns = {name: array("q", [0]) * len(rows) for name in FIGURES}
    names = ("messages", "bytes", "oldest", "open", "waiters")
    for place, row in enumerate(rows.values()):
        for name, value in zip(names, row, strict=False):
            columns[name][place] = value
    rates = [array("d", [row[which] for row in rows.values()]) for which in (6, 7)]
    picture: Any = None
    return Snapshot(0.0, picture, list(rows), columns, rates[0], rates[1], UNKNOWN)


class SelectionTests(SynchronousTestCase):
    """Pages."""

    def select(self, snapshot: Snapshot, asked: Asked) -> Selection:
        """Return a page."""
        found = Selection(snapshot, asked)
        for _ in found.steps():
            pass
        return found

    def pages(self, snapshot: Snapshot, asked: Asked) -> list[list[bytes]]:
        """Return the names on each page."""
        pages = []
        while True:
            found = self.select(snapshot, asked)
            pages.append([snapshot.names[place] for place in found.places])
            if found.next is None:
                return pages
            asked = asked._replace(after=cursor(found.next.encode()))

    @given(ROWS, st.sampled_from([*ORDERS]), st.booleans(), st.integers(1, 5))
    def test_order(
        self, rows: dict[bytes, Any], sort: str, isDown: bool, limit: int
    ) -> None:
        """Whatever the order and the pages, each queue is there once, in order."""
        self.patch(selection, "AT_ONCE", 4)
        snapshot = snapshotOf(rows)
        asked = Asked(b"*", sort, isDown, limit, None)
        pages = self.pages(snapshot, asked)
        self.assertLessEqual({len(page) for page in pages[:-1]}, {limit})
        found = [name for page in pages for name in page]
        values = ORDERS[sort](snapshot, 0, len(rows))
        pairs = zip(values, snapshot.names, strict=False)
        ordered = sorted(pairs, reverse=isDown)
        self.assertEqual(found, [name for _, name in ordered])

    def test_many(self) -> None:
        """Of very many, the first ones are found wherever they are, in both orders."""
        self.patch(selection, "AT_ONCE", 3)
        rows = {b"%d" % one: (one, 0, 0, 0, 0, 0, 0.0, 0.0) for one in range(9)}
        turned = dict(reversed(rows.items()))
        for snapshot in map(snapshotOf, (rows, turned)):
            for isDown, expected in ((True, [b"8", b"7"]), (False, [b"0", b"1"])):
                found = self.select(snapshot, Asked(b"*", "messages", isDown, 2, None))
                names = [snapshot.names[place] for place in found.places]
                self.assertEqual((names, found.total), (expected, 9))

    def test_age(self) -> None:
        """The oldest head is of the greatest age, and a queue without one of none."""
        rows: dict[bytes, Any] = {
            b"young": (0, 0, 9, 0, 0, 0, 0.0, 0.0),
            b"empty": (0, 0, 0, 0, 0, 0, 0.0, 0.0),
            b"old": (0, 0, 5, 0, 0, 0, 0.0, 0.0),
        }
        (page,) = self.pages(snapshotOf(rows), Asked(b"*", "age", True, 9, None))
        self.assertEqual(page, [b"old", b"young", b"empty"])

    def test_matching(self) -> None:
        """Only those that match are counted, and told."""
        row = (0, 0, 0, 0, 0, 0, 0.0, 0.0)
        snapshot = snapshotOf(dict.fromkeys([b"a1", b"b", b"a2", b"a3"], row))
        asked = Asked(b"a*", "name", False, 2, None)
        self.assertEqual(self.pages(snapshot, asked), [[b"a1", b"a2"], [b"a3"]])
        self.assertEqual(self.select(snapshot, asked).total, 3)
        asked = asked._replace(pattern=b"b")
        self.assertEqual(self.pages(snapshot, asked), [[b"b"]])
        self.assertEqual(self.pages(snapshot, asked._replace(pattern=b"x")), [[]])


class CursorTests(SynchronousTestCase):
    """Places between two pages."""

    @given(NAMES, st.integers(-(1 << 62), 1 << 62) | st.floats(-1, 1e300))
    def test_all(self, name: bytes, value: float) -> None:
        """Each comes back as it was told."""
        self.assertEqual(cursor(str(Cursor(value, name)).encode()), (value, name))

    def test_wrong(self) -> None:
        """What is none is refused."""
        for text in (b"", b"x", b"1", b"1:", b":a", b"a:b", b"\xff:a", b"1:a/b"):
            error = self.assertRaises(ValueError, cursor, text)
            self.assertIn("must be what next was", str(error))
