"""Exposition: metrics in Prometheus's text format 0.0.4, and in OpenMetrics 1.0.

Both are UTF-8, a line a sample, all lines of a metric together.  They differ in the
name under which a counter is described, and OpenMetrics has an end.  Sources:
prometheus/docs, content/docs/instrumenting/exposition_formats.md, and OpenMetrics'
specification, both read in 2026.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from memq.display import queueLabel as queueLabel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

#: The types of content that tell the formats.
TEXT = b"text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = b"application/openmetrics-text; version=1.0.0; charset=utf-8"
#: Lines that are joined in one go: clients wait for that, and for its compression.
LINES = 128
#: Characters of a piece, but for its last lines.
PIECE = 4096

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Sample(NamedTuple):
    """A line: what follows the metric's name, its labels in braces, and the value."""

    suffix: str
    labels: str
    value: float


class Column(NamedTuple):
    """Very many lines: what follows the name in all, and labels and values of each."""

    suffix: str
    labels: Sequence[str]
    values: Sequence[float]


class Family(NamedTuple):
    """A metric.

    :ivar name: without what its kind adds.
    :ivar kind: counter, gauge, histogram or info.
    :ivar help: one sentence.
    :ivar samples: each a Sample, or a plain tuple like it, which is made faster; a
        Column of them is told fastest.
    """

    name: str
    kind: str
    help: str
    samples: Iterable[tuple[str, str, float]] | Column


def labels(**values: str) -> str:
    """Return labels as they stand behind a name."""
    told = [f'{name}="{value.translate(_ESCAPES)}"' for name, value in values.items()]
    return f"{{{','.join(told)}}}"


def label(name: str, value: str) -> str:
    """Return a single label; that takes a third of the time."""
    if '"' in value or "\\" in value or "\n" in value:
        return labels(**{name: value})
    return f'{{{name}="{value}"}}'


def counter(name: str, help: str, value: float) -> Family:
    """Return a metric that only grows, and has no labels."""
    return Family(name, "counter", help, [Sample("_total", "", value)])


def counters(name: str, help: str, values: Mapping[str, float]) -> Family:
    """Return one that has values by their labels."""
    samples = [Sample("_total", label, value) for label, value in values.items()]
    return Family(name, "counter", help, samples)


def gauge(name: str, help: str, value: float | None) -> Family:
    """Return a metric that goes up and down; it is left out where value is None."""
    samples = [] if value is None else [Sample("", "", value)]
    return Family(name, "gauge", help, samples)


def histogram(
    name: str, help: str, bounds: Iterable[float], counts: list[int], total: float
) -> Family:
    """Return how often something was in which class.

    :param bounds: the upper bound of each class but the last.
    :param total: the sum of all that was counted.
    """
    samples, seen = [], 0
    for bound, count in zip([*bounds, float("inf")], counts, strict=True):
        seen += count
        at = "+Inf" if bound == float("inf") else repr(float(bound))
        samples.append(Sample("_bucket", labels(le=at), seen))
    samples.append(Sample("_sum", "", total))
    samples.append(Sample("_count", "", seen))
    return Family(name, "histogram", help, samples)


def exposed(families: Iterable[Family], isOpen: bool) -> Iterator[bytes]:
    """Yield metrics piece by piece; those without a sample are left out.

    :param isOpen: whether it is to be OpenMetrics.
    """
    parts: list[str] = []
    size = 0
    for family in families:
        head = _head(family, isOpen)
        for lines in _lines(family.name, family.samples):
            parts += head, lines
            head = ""
            size += len(lines)
            # Each piece costs as much beside it as a hundred lines do.
            if size >= PIECE:
                yield "".join(parts).encode()
                parts.clear()
                size = 0
    if isOpen:
        parts.append("# EOF\n")
    yield "".join(parts).encode()


def _lines(
    name: str, samples: Iterable[tuple[str, str, float]] | Column
) -> Iterator[str]:
    """Yield the lines of samples, LINES at most at a time, and at least one."""
    if isinstance(samples, Column):
        yield from _alike(f"{name}{samples.suffix}", samples)
        return
    left = iter(samples)
    while lines := "".join(
        [
            f"{name}{suffix}{where} {value}\n"
            for suffix, where, value in islice(left, LINES)
        ]
    ):
        yield lines


def _alike(name: str, column: Column) -> Iterator[str]:
    for start in range(0, len(column.labels), LINES):
        labels = column.labels[start : start + LINES]
        values = column.values[start : start + LINES]
        if values.count(values[0]) == len(values):
            # Mostly all are 0, and made in a tenth of the time.
            end = f" {values[0]}\n"
            yield f"{name}{f'{end}{name}'.join(labels)}{end}"
        else:
            pairs = zip(labels, values, strict=True)
            yield "".join([f"{name}{where} {value}\n" for where, value in pairs])


def _head(family: Family, isOpen: bool) -> str:
    name, kind, help, _ = family
    escaped = help.replace("\\", r"\\").replace("\n", r"\n")
    if isOpen:
        escaped = escaped.replace('"', r"\"")
    elif kind == "info":
        name, kind = f"{name}_info", "gauge"
    elif kind == "counter":
        name = f"{name}_total"
    return f"# HELP {name} {escaped}\n# TYPE {name} {kind}\n"
