"""The outcome of a soak: a plot, and everything that was seen, as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bench import timeline
from bench.samples import percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bench.samples import Sample, SoakRecord
    from bench.verdicts import Verdict


def plot(record: SoakRecord, path: Path, note: str) -> None:
    """Draw all samples."""

    def lines(value: Callable[[Sample], float]) -> list[list[timeline.Point]]:
        return [
            [(sample.at, value(sample)) for sample in stretch.samples]
            for stretch in record.stretches
        ]

    panels = [
        timeline.Panel(
            "memory, MiB", {"resident": lines(lambda s: s.resident / 2**20)}
        ),
        timeline.Panel(
            "open files and threads",
            {"files": lines(lambda s: s.files), "threads": lines(lambda s: s.threads)},
        ),
        timeline.Panel("disk, MB", {"home": lines(lambda s: s.disk / 1e6)}),
        timeline.Panel("messages waiting", {"messages": lines(lambda s: s.messages)}),
        timeline.Panel(
            "a small client's commands, ms",
            {
                "p99": lines(lambda s: percentile(s.took, 99)),
                "p50": lines(lambda s: percentile(s.took, 50)),
            },
            log=True,
        ),
    ]
    spans = [
        (stretch.samples[0].at, stretch.samples[-1].at)
        for stretch in record.stretches
        if stretch.setting and stretch.samples
    ]
    marks = timeline.Marks(record.moments, "--no-sync", spans)
    timeline.draw(path, panels, marks, record.lasted, note)


def summary(record: SoakRecord, found: Sequence[Verdict]) -> str:
    """Return everything that was seen, as JSON."""
    ledger = record.ledger
    figures = {
        "seed": record.seed,
        "seconds": round(record.lasted),
        "moments": record.moments,
        "stored": ledger.stored,
        "given": ledger.given,
        "gone": ledger.gone,
        "complaints": ledger.complaints,
        "verdicts": [verdict._asdict() for verdict in found],
        "stretches": [
            {
                "setting": stretch.setting or "durable",
                "long": stretch.isLong,
                "samples": [_figures(sample) for sample in stretch.samples],
            }
            for stretch in record.stretches
        ],
    }
    return json.dumps(figures, indent=1) + "\n"


def _figures(sample: Sample) -> dict[str, object]:
    percents = (50, 99, 100)
    took = {f"p{percent}": percentile(sample.took, percent) for percent in percents}
    return {**sample._asdict(), "took": took}
