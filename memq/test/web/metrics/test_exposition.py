"""Metrics as text: both formats, and names of queues that are no text."""

from __future__ import annotations

from array import array

from twisted.trial.unittest import SynchronousTestCase

from memq.web.metrics.exposition import (
    LINES,
    PIECE,
    Column,
    Family,
    Sample,
    counter,
    counters,
    exposed,
    gauge,
    histogram,
    labels,
    queueLabel,
)

FAMILIES = [
    Family("a_build", "info", 'Says "what".', [Sample("_info", '{v="1"}', 1)]),
    counter("a", "A \\ and\na line.", 3),
    counters("b", "B.", {'{c="d"}': 1, '{c="e"}': 2.5}),
    gauge("none", "Nobody knows.", None),
    gauge("g", "G.", 0.25),
    histogram("h", "H.", (0.5, 1), [1, 2, 3], 9.5),
]
SAMPLES = """\
a_build_info{v="1"} 1
a_total 3
b_total{c="d"} 1
b_total{c="e"} 2.5
g 0.25
h_bucket{le="0.5"} 1
h_bucket{le="1.0"} 3
h_bucket{le="+Inf"} 6
h_sum 9.5
h_count 6
"""


class FormatTests(SynchronousTestCase):
    """The two formats."""

    def test_samples(self) -> None:
        """Both have the same samples, and leave out what nobody knows."""
        for isOpen in (False, True):
            lines = b"".join(exposed(FAMILIES, isOpen)).decode().splitlines(True)
            samples = [line for line in lines if not line.startswith("# ")]
            self.assertEqual("".join(samples), SAMPLES)
            self.assertNotIn("none", "".join(lines))

    def test_heads(self) -> None:
        """They describe counters by different names, and escape what is said."""
        text = b"".join(exposed(FAMILIES[:2], False)).decode()
        self.assertIn('# HELP a_build_info Says "what".\n', text)
        self.assertIn("# TYPE a_build_info gauge\n", text)
        self.assertIn("# HELP a_total A \\\\ and\\na line.\n", text)
        self.assertIn("# TYPE a_total counter\n", text)
        text = b"".join(exposed(FAMILIES[:2], True)).decode()
        self.assertIn('# HELP a_build Says \\"what\\".\n', text)
        self.assertIn("# TYPE a_build info\n", text)
        self.assertIn("# TYPE a counter\n", text)
        self.assertTrue(text.endswith("a_total 3\n# EOF\n"), text)

    def test_pieces(self) -> None:
        """A long metric comes in pieces, whatever its length."""
        for count in (1, LINES - 1, LINES, LINES + 1, 9 * LINES):
            samples = [Sample("", labels(n=str(n)), n) for n in range(count)]
            pieces = list(exposed([Family("m", "gauge", "M.", samples)], False))
            lines = b"".join(pieces).splitlines()
            self.assertEqual(len(lines), count + 2)
            self.assertEqual(lines[-1], b'm{n="%d"} %d' % (count - 1, count - 1))
            longest = max(map(len, lines)) + 1
            self.assertLess(max(map(len, pieces)), PIECE + (LINES + 2) * longest)
            self.assertEqual(len(pieces) > 1, count > 8 * LINES)

    def test_shortOnes(self) -> None:
        """Short metrics share a piece: to make one takes longer than its text does."""
        families = [gauge(f"m{number}", "M.", number) for number in range(20)]
        self.assertEqual(len(list(exposed(families, False))), 1)

    def test_columns(self) -> None:
        """A column is told as its samples are, be they alike or not."""
        count = 2 * LINES + 3
        where = [labels(n=str(n)) for n in range(count)]
        ones = [1] * count
        for values in ([], [5], ones, list(range(count)), [*ones[:-1], 2]):
            column = Column("_total", where[: len(values)], array("q", values))
            samples = [
                Sample("_total", *each) for each in zip(where, values, strict=False)
            ]
            told = [
                b"".join(exposed([Family("m", "counter", "M.", each)], False))
                for each in (column, samples)
            ]
            self.assertEqual(*told)

    def test_labels(self) -> None:
        """A label has no quote, backslash or line end as it is."""
        self.assertEqual(labels(a='"', b="\\", c="\n"), r'{a="\"",b="\\",c="\n"}')


class NameTests(SynchronousTestCase):
    """What stands for a queue's name."""

    def test_names(self) -> None:
        """Text stands for itself, all else for its bytes."""
        for name, label in (
            (b"jobs.1", "jobs.1"),
            (b'a"\\%41', 'a"\\%41'),
            ("死".encode(), "死"),
            (b"x" * 250, "x" * 250),
            (b"\xff", "hex:ff"),
            (b"a\xc3", "hex:61c3"),
            (b"\xff" * 250, "hex:" + "ff" * 250),
            (b"hex:ff", "hex:6865783a6666"),
            (b"Hex:ff", "Hex:ff"),
        ):
            self.assertEqual(queueLabel(name), label)

    def test_oneToOne(self) -> None:
        """No two names have the same label."""
        found = {
            queueLabel(start + bytes([first, last]))
            for start in (b"", b"hex:")
            for first in range(256)
            for last in range(256)
        }
        self.assertEqual(len(found), 2 * 65536)
