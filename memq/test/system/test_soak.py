"""Tests for bench: what ``make soak`` says of what it has seen.

The soak itself takes its time, so it is not run here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from testkit.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.samples import Stretch

MEGABYTE = 1 << 20


def steady(number: int) -> int:
    """Return a figure that goes up and down."""
    return 100 + number % 3


def growing(number: int) -> int:
    """Return one that grows."""
    return 100 + number


class SoakTests(SynchronousTestCase):
    """The verdicts and the plot."""

    def stretch(
        self,
        megabytes: Callable[[int], int] = steady,
        files: Callable[[int], int] = steady,
        took: float = 1.0,
        count: int = 100,
    ) -> Stretch:
        """Return a long stretch in which so much was seen."""
        from bench.samples import Sample, Stretch

        samples = [
            Sample(n, megabytes(n) * MEGABYTE, files(n), 3, 1, 1, 1, [took] * 10)
            for n in range(count)
        ]
        return Stretch("--no-sync", True, samples)

    def bad(self, stretch: Stretch, ledger: Ledger | None = None) -> list[str]:
        """Return of what the verdict is bad."""
        from bench.verdicts import verdicts

        found = verdicts(ledger or Ledger(), [stretch])
        return [verdict.what for verdict in found if verdict.isGood is False]

    def test_verdicts(self) -> None:
        """All is good as it was; memory or files that grow are not, nor who waits."""
        cases: tuple[tuple[dict[str, Any], list[str]], ...] = (
            ({}, []),
            ({"megabytes": growing}, ["resident memory, --no-sync"]),
            ({"files": growing}, ["open files, --no-sync"]),
            ({"took": 101.0}, ["a small client, --no-sync"]),
        )
        for seen, expected in cases:
            self.assertEqual(self.bad(self.stretch(**seen)), expected)

    def test_messages(self) -> None:
        """When the ledger complains, the messages are not."""
        ledger = Ledger()
        ledger.complain("b'q' has lost 1")
        self.assertEqual(self.bad(self.stretch(), ledger), ["messages"])

    def test_tooShort(self) -> None:
        """Of a short stretch it is not said that something grew, nor that not."""
        from bench.verdicts import table, verdicts

        found = verdicts(Ledger(), [self.stretch(megabytes=growing, count=10)])
        self.assertIn("| resident memory, --no-sync | too short to say |", table(found))
        self.assertEqual({verdict.isGood for verdict in found}, {True, None})

    def test_plot(self) -> None:
        """The plot is SVG, with a line for each piece of each series, and marks."""
        from bench import timeline

        path = Path(self.mktemp())
        lines = {"a": [[(0.0, 1.0), (1.0, 2.0)], [(3.0, 0.0)]], "b": [[(1.0, 5.0)]]}
        panels = [timeline.Panel("one", lines), timeline.Panel("two", lines, log=True)]
        marks = timeline.Marks({"kill -9": [2.0, 3.0]}, "--no-sync", [(2.0, 3.0)])
        timeline.draw(path, panels, marks, 4.0, "a note & more")
        drawn = ElementTree.parse(path)
        names = [element.tag.rpartition("}")[2] for element in drawn.iter()]
        self.assertEqual(names.count("polyline"), 6)
        words = "\n".join(drawn.getroot().itertext())
        self.assertIn("kill -9 (2)", words)
        self.assertIn("a note & more", words)
