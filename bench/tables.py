"""Tables in Markdown, made of the results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import fairness
from bench.depth import DEPTHS
from bench.measure import VERBS
from bench.plan import CPU_GOALS, GOALS, LARGE, LARGE_GOALS, TABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from bench.measure import Results, Row, Spread, Summary, Workload
    from bench.servers import Kind

#: How much faster than the slowest round the fastest may be, without being listed.
STEADY = 1.5


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table that reads well as it is; nothing if it would be empty."""
    listed = [list(header), *(list(row) for row in rows)]
    if len(listed) == 1:
        return ""
    widths = [max(len(row[i]) for row in listed) for i in range(len(header))]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in listed
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def mainTable(results: Results, kinds: Sequence[Kind]) -> str:
    """Return throughput and processor time of each workload and server."""
    header = ["workload", "server"]
    for verb in VERBS:
        header += [f"{verb}, thousand/s", f"{verb}, us of a processor"]
    rows = []
    for workload, kind, found in _measured(results, kinds):
        goals = CPU_GOALS.get(workload.key) if kind.name == "memq" else None
        pairs = zip(found, goals or (None, None), strict=True)
        cells = [cell for one, most in pairs for cell in (_rate(one), _cpu(one, most))]
        rows.append([workload.title, kind.title, *cells])
    return table(header, rows)


def latencyTable(results: Results, kinds: Sequence[Kind]) -> str:
    """Return the latency of each workload and server."""
    header = ["workload", "server", "", "p50, ms", "p99, ms", "p99.9, ms", "longest"]
    rows = []
    for workload, kind, found in _measured(results, kinds):
        for verb, one in zip(VERBS, found, strict=True):
            if one is not None:
                spreads = [
                    _spread(s, _milliseconds) for s in (one.p50, one.p99, one.p999)
                ]
                cells = [verb, *spreads, _milliseconds(one.max)]
                rows.append([workload.title, kind.title, *cells])
    return table(header, rows)


def _measured(
    results: Results, kinds: Sequence[Kind]
) -> Iterator[tuple[Workload, Kind, list[Summary | None]]]:
    """Yield what was found for each workload and server of the main table."""
    for workload in TABLE:
        for kind in filter(workload.takes, kinds):
            found = [results.summary(workload.key, kind.name, verb) for verb in VERBS]
            if any(found):
                yield workload, kind, found


def ratioTable(results: Results) -> str:
    """Return how memq compares to its peers and to itself, and to its goals."""
    titles = {workload.key: workload.title for workload in TABLE}
    rows = []
    for goal in GOALS:
        mine, other = ("memq", goal.key), (goal.name, goal.other)
        found = [
            results.ratio((mine[1], mine[0]), (other[1], other[0]), verb)
            for verb in VERBS
        ]
        if any(found):
            own = f"memq, {titles[goal.other]}"
            pairs = zip(found, goal.least, strict=True)
            cells = [
                cell for one, least in pairs for cell in (ratio(one), _goal(least))
            ]
            beside = own if goal.name == "memq" else goal.name
            rows.append([titles[goal.key], beside, *cells])
    return table(["memq's workload", "beside", "set", "goal", "get", "goal"], rows)


def largeTable(results: Results, kinds: Sequence[Kind]) -> str:
    """Return megabytes a second of large bodies."""
    rows = []
    for workload in LARGE:
        for kind in filter(workload.takes, kinds):
            found = [results.summary(workload.key, kind.name, verb) for verb in VERBS]
            cells = [_rate(one, workload.size / 1e6) for one in found]
            goals = [_goal(goal) for goal in LARGE_GOALS[workload.key]]
            if kind.name != "memq":
                goals = ["", ""]
            row = [cells[0], goals[0], cells[1], goals[1]]
            if any(found):
                rows.append([workload.title, kind.title, *row])
    header = ["workload", "server", "set, MB/s", "goal", "get, MB/s", "goal"]
    return table(header, rows)


def depthTable(results: Results, names: Sequence[str]) -> str:
    """Return throughput and latency with more and more messages waiting."""
    rows = []
    for depth in DEPTHS:
        for name in names:
            found = results.summary(f"depth-{depth}", name, "pair")
            if found:
                rows.append([f"{depth:,}", name, _rate(found), _latency(found)])
    header = ["waiting", "server", "set + get, thousand/s", "p50 / p99 / p99.9 / "]
    header[-1] += "longest, ms"
    return table(header, rows)


def fairnessTable(results: Results, kinds: Sequence[Kind]) -> str:
    """Return how long a small client waits, and how fast the big one is."""
    rows = []
    for kind in kinds:

        def found(what: str, count: int, kind: Kind = kind) -> Summary | None:
            return results.summary(fairness.key(kind, what, count), kind.name, "pair")

        for count in fairness.SMALL:
            little = [_three(found(what, count)) for what in ("alone", "beside")]
            big = [_rate(found("big", number)) for number in (0, count)]
            rows.append([kind.title, str(count), *little, *big])
    header = ["server", "small connections", "small alone: p50 / p99 / longest, ms"]
    header += ["small beside big", "big alone, thousand/s", "big beside small"]
    return table(header, rows)


def varied(results: Results, kinds: Sequence[Kind], rounds: int) -> str:
    """Return which rates differed much from round to round, as a paragraph."""
    if rounds < 2:
        return "A single round does not show how much figures vary.\n"
    lines = []
    for kind in kinds:
        found = []
        for workload in (w for w in (*TABLE, *LARGE) if w.takes(kind)):
            seen = [(v, results.summary(workload.key, kind.name, v)) for v in VERBS]
            much = [v for v, s in seen if s and s.rate.highest > STEADY * s.rate.lowest]
            if much:
                found.append(f"{workload.title} ({' and '.join(much)})")
        if found:
            lines.append(f"- {kind.title}: {'; '.join(found)}")
    if not lines:
        return f"No fastest round was more than {STEADY} times the slowest.\n"
    head = f"Unsteady, with a fastest round of more than {STEADY} times the slowest:"
    return "\n".join([head, "", *lines, ""])


def discarded(results: Results) -> str:
    """Return what was thrown away, as a paragraph."""
    if not results.discarded:
        return "No result was thrown away.\n"
    lines = [f"- {line}" for line in results.discarded]
    return "\n".join(["Thrown away:", "", *lines, ""])


def profileTable(rows: Sequence[Row]) -> str:
    """Return the costliest functions of a profile."""
    cells = [[f"{r.share:.1f} %", f"{r.calls:.2f}", f"`{r.name}`"] for r in rows[:12]]
    return table(["share", "calls", "function"], cells)


def ratio(found: Spread | None) -> str:
    """Return a ratio with its quartiles, if they differ."""
    return _spread(found, "{:.2f}".format)


def _rate(one: Summary | None, unit: float = 1e-3) -> str:
    return _spread(one and one.rate, lambda rate: _short(unit * rate))


def _cpu(one: Summary | None, most: float | None) -> str:
    if one is not None and not one.cpu.median:
        return "unknown"
    goal = f"; goal {most:g}" if most is not None else ""
    return _spread(one and one.cpu, _short) + goal


def _spread(found: Spread | None, write: Callable[[float], str]) -> str:
    """Return a median with its quartiles, if they differ."""
    if found is None:
        return "thrown away"
    middle, lower, upper = (write(x) for x in (found.median, found.lower, found.upper))
    return middle if found.lower == found.upper else f"{middle} ({lower} to {upper})"


def _milliseconds(us: float) -> str:
    return f"{us / 1000:.3g}" if us < 100_000 else f"{us / 1000:.0f}"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _three(one: Summary | None) -> str:
    if one is None:
        return "thrown away"
    figures = (one.p50.median, one.p99.median, one.max)
    return " / ".join(_milliseconds(us) for us in figures)


def _latency(one: Summary | None) -> str:
    if one is None:
        return ""
    figures = (one.p50.median, one.p99.median, one.p999.median, one.max)
    return " / ".join(_milliseconds(us) for us in figures)


def _goal(least: float | None) -> str:
    return "" if least is None else f"{least:g}"
