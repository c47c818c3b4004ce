"""Verdicts on a soak: what was seen, what was asked, and whether it is good."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from bench.samples import percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.samples import Sample, Stretch
    from testkit.ledger import Ledger

#: The part of a stretch in which caches fill, and the least samples behind it that
#: say something about growth.
WARM, LEAST = 0.2, 20
#: By how much the last quarter of a stretch may exceed the first one, and how many
#: bytes and how many files besides.
GROWTH, BYTES, FILES = 1.1, 8 << 20, 5
#: Milliseconds that 99 % of a small client's commands may take.
P99 = 100.0

_WORDS = {True: "good", False: "BAD", None: ""}


class Verdict(NamedTuple):
    """One of them, in words.

    :ivar isGood: whether it is so; None when too little was seen to say.
    """

    what: str
    seen: str
    asked: str
    isGood: bool | None


def verdicts(ledger: Ledger, stretches: Sequence[Stretch]) -> list[Verdict]:
    """Return all verdicts."""
    long = [stretch for stretch in stretches if stretch.isLong]
    found = [_accounted(ledger)]
    for stretch in long:
        name = stretch.setting or "durable"
        memory = f"resident memory, {name}"
        files = f"open files, {name}"
        found += [
            _growth(memory, stretch, lambda s: s.resident, BYTES, 1 << 20, " MiB"),
            _growth(files, stretch, lambda s: s.files, FILES, 1, ""),
        ]
    for setting in ("", "--no-sync"):
        found.append(_latency(setting, [s for s in stretches if s.setting == setting]))
    return found


def _accounted(ledger: Ledger) -> Verdict:
    wrong = len(ledger.complaints)
    seen = f"{ledger.stored:,} stored, {ledger.given:,} given out"
    if wrong:
        seen += f"; {wrong} complaints, the first: {ledger.complaints[0]}"
    asked = "nothing lost, doubled, or out of order; counts exact"
    return Verdict("messages", seen, asked, not wrong)


def _growth(
    what: str,
    stretch: Stretch,
    value: Callable[[Sample], float],
    more: int,
    unit: int,
    name: str,
) -> Verdict:
    """Compare the first and the last quarter of a stretch, once it is warm."""
    values = [value(sample) for sample in stretch.samples]
    values = values[int(len(values) * WARM) :]
    if len(values) < LEAST:
        return Verdict(what, "too short to say", "", None)
    quarter = len(values) // 4
    first, last = median(values[:quarter]), median(values[-quarter:])
    seen = f"{first / unit:.0f}{name} at first, {last / unit:.0f}{name} at last"
    most = first * GROWTH + more
    asked = f"at most {most / unit:.0f}{name}"
    return Verdict(what, seen, asked, last <= most)


def _latency(setting: str, stretches: Sequence[Stretch]) -> Verdict:
    took = [ms for stretch in stretches for s in stretch.samples for ms in s.took]
    p50, p99 = percentile(took, 50), percentile(took, 99)
    seen = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, at most {percentile(took, 100):.0f} ms"
    what = f"a small client, {setting or 'durable'}"
    return Verdict(what, seen, f"p99 at most {P99:.0f} ms", p99 <= P99)


def table(found: Sequence[Verdict]) -> str:
    """Return verdicts as a table of Markdown."""
    lines = ["| what | seen | asked | |", "|---|---|---|---|"]
    for what, seen, asked, isGood in found:
        lines.append(f"| {what} | {seen} | {asked} | {_WORDS[isGood]} |")
    return "\n".join(lines)
