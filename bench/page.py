"""What was measured, as words, tables and plots: docs/performance.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.depth import DEPTHS, EMPTY, SIZE
from bench.measure import VERBS
from bench.plan import CONNECTIONS, GOALS, LARGE, SIZES, TABLE
from bench.plot import Panel, draw, short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from bench.depth import Fact
    from bench.measure import Results, Summary
    from bench.profiles import Row
    from bench.servers import Kind

_SETTINGS = ((True, "durable"), (False, "not synced"))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table that reads well as it is."""
    listed = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in listed) for i in range(len(header))]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in listed
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def mainTable(results: Results, kinds: Sequence[Kind]) -> str:
    """Return throughput and latency of each workload and server."""
    header = ["workload", "server"]
    for verb in VERBS:
        header += [f"{verb}, thousand/s", f"{verb}: p50 / p99 / p99.9 / longest, ms"]
    rows = []
    for workload in TABLE:
        for kind in filter(workload.takes, kinds):
            found = [results.summary(workload.key, kind.name, verb) for verb in VERBS]
            cells = [cell for one in found for cell in (_rate(one), _latency(one))]
            if any(found):
                rows.append([workload.title, kind.title, *cells])
    return table(header, rows)


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
            cells = [_ratio(*pair) for pair in zip(found, goal.least, strict=True)]
            beside = own if goal.name == "memq" else goal.name
            rows.append([titles[goal.key], beside, *cells])
    return table(["memq's workload", "beside", "set", "get"], rows)


def largeTable(results: Results, kinds: Sequence[Kind]) -> str:
    """Return megabytes a second of large bodies."""
    rows = []
    for workload in LARGE:
        for kind in filter(workload.takes, kinds):
            found = [results.summary(workload.key, kind.name, verb) for verb in VERBS]
            cells = [_rate(one, workload.size / 1e6) for one in found]
            rows.append([workload.title, kind.title, *cells])
    return table(["workload", "server", "set, MB/s", "get, MB/s"], rows)


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


def discarded(results: Results) -> str:
    """Return what was thrown away, as a paragraph."""
    if not results.discarded:
        return "No result was thrown away.\n"
    lines = [f"- {line}" for line in results.discarded]
    return "\n".join(["Thrown away:", "", *lines, ""])


def plots(results: Results, names: Sequence[str], directory: Path) -> None:
    """Draw all plots into a directory."""
    draw(directory / "performance-connections.svg", _connections(results, names))
    draw(directory / "performance-sizes.svg", _sizes(results, names))
    draw(directory / "performance-depth.svg", _depth(results, names))
    draw(directory / "performance-latency.svg", _latencies(results, names))


def page(
    machine: Sequence[tuple[str, str]],
    versions: Sequence[str],
    results: Results,
    kinds: Sequence[Kind],
    rounds: int,
    facts: Sequence[Fact],
    profiles: dict[str, list[Row]],
) -> str:
    """Return docs/performance.md."""
    names = list(dict.fromkeys(kind.name for kind in kinds))
    deep = results.ratio(
        (f"depth-{DEPTHS[-1]}", "memq"), (f"depth-{DEPTHS[-1]}", EMPTY), "pair"
    )
    parts = [
        _INTRODUCTION.format(rounds=rounds),
        table(["machine", ""], machine),
        "Measured: " + "; ".join(versions) + ".\n",
        "## Throughput and latency\n",
        "100-byte bodies; in brackets the slowest and the fastest round.\n",
        mainTable(results, kinds),
        discarded(results),
        "![Throughput against connections](performance-connections.svg)\n",
        "![Percentiles of latency](performance-latency.svg)\n",
        "## Ratios\n",
        "memq's rate divided by the other's in the same round; the median of the "
        "rounds. In brackets what memq wants to reach, where there is a goal.\n",
        ratioTable(results),
        "## Size of messages\n",
        largeTable(results, kinds),
        "![Throughput against size](performance-sizes.svg)\n",
        "## Backlog\n",
        f"Messages of {SIZE} bytes wait, and 50 connections set and get more of them, "
        "not synced. memq's cache is 64 MB, so the deep end is far beyond it.\n",
        depthTable(results, [*names, EMPTY]),
        f"At {DEPTHS[-1]:,} waiting, memq does {_ratio(deep, 0.7)} times what an empty "
        "one does.\n",
        "![Throughput against backlog](performance-depth.svg)\n",
        "## Memory, and what must not disturb\n",
        "memq with --no-sync. The ten connections wait for each reply, so a stall "
        "counts once for each of them, however long: the longest wait tells of it.\n",
        table(["what", "measured", "goal, at most"], facts),
        "## Where the time goes\n",
        "Under cProfile, which makes Python's own functions look dearer than they are: "
        "own time without waiting, and calls an operation. `make profile` shows more, "
        "and counts instructions.\n",
        *(
            f"{setting}:\n\n" + table(["share", "calls", "function"], _profiled(rows))
            for setting, rows in profiles.items()
        ),
    ]
    return "\n".join(parts)


def _profiled(rows: Sequence[Row]) -> list[list[str]]:
    return [[f"{r.share:.1f} %", f"{r.calls:.2f}", f"`{r.name}`"] for r in rows[:12]]


def _rate(one: Summary | None, unit: float = 1e-3) -> str:
    if one is None:
        return "thrown away"
    rate, lowest, highest = (unit * r for r in (one.rate, one.lowest, one.highest))
    return f"{_short(rate)} ({_short(lowest)} to {_short(highest)})"


def _milliseconds(us: float) -> str:
    return f"{us / 1000:.3g}" if us < 100_000 else f"{us / 1000:.0f}"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _latency(one: Summary | None) -> str:
    if one is None:
        return ""
    figures = (one.p50, one.p99, one.p999, one.max)
    return " / ".join(_milliseconds(us) for us in figures)


def _ratio(found: float | None, least: float | None) -> str:
    if found is None:
        return "thrown away"
    return f"{found:.2f}" + (f" ({least:g})" if least is not None else "")


def _lines(
    names: Sequence[str], values: Callable[[str], list[float | None]]
) -> dict[str, list[float | None]]:
    lines = {name: values(name) for name in names}
    return {name: line for name, line in lines.items() if any(line)}


def _connections(results: Results, names: Sequence[str]) -> list[Panel]:
    panels = []
    for word, setting in (("durable", "durable"), ("fast", "not synced")):
        keys = [f"{word}-{c}" if c != 50 else f"{word}-50x1" for c in CONNECTIONS]
        for verb in VERBS:
            lines = _throughput(results, names, keys, verb, 1e-3)
            ticks = [f"{count:,}" for count in CONNECTIONS]
            up = "thousand a second"
            panels.append(Panel(f"{verb}, {setting}", "connections", up, ticks, lines))
    return panels


def _sizes(results: Results, names: Sequence[str]) -> list[Panel]:
    keys = ["fast-50x1", *(f"fast-size-{size}" for size in SIZES[1:]), LARGE[0].key]
    ticks = ["100 B", "1 KB", "10 KB", "100 KB", "1 MiB"]
    return [
        Panel(
            f"{verb}, not synced",
            "size of a message",
            "a second",
            ticks,
            _throughput(results, names, keys, verb, 1),
            log=True,
        )
        for verb in VERBS
    ]


def _depth(results: Results, names: Sequence[str]) -> list[Panel]:
    ticks = [short(depth) for depth in DEPTHS]
    keys = [f"depth-{depth}" for depth in DEPTHS]

    def slow(name: str) -> list[float | None]:
        found = [results.summary(key, name, "pair") for key in keys]
        return [one.p999 / 1000 if one else None for one in found]

    rates = _throughput(results, names, keys, "pair", 1e-3)
    up = "thousand a second"
    return [
        Panel("set + get, not synced", "messages waiting", up, ticks, rates),
        Panel("p99.9", "messages waiting", "ms", ticks, _lines(names, slow), log=True),
    ]


def _latencies(results: Results, names: Sequence[str]) -> list[Panel]:
    panels = []
    for key, setting in (("durable-50x1", "durable"), ("fast-50x1", "not synced")):
        for verb in VERBS:

            def spread(
                name: str, key: str = key, verb: str = verb
            ) -> list[float | None]:
                one = results.summary(key, name, verb)
                found = (one.p50, one.p99, one.p999, one.max) if one else ()
                return [us / 1000 for us in found]

            title = f"{verb}, {setting}, 50 connections"
            ticks = ["p50", "p99", "p99.9", "longest"]
            lines = _lines(names, spread)
            panels.append(Panel(title, "percentile", "ms", ticks, lines, log=True))
    return panels


def _throughput(
    results: Results,
    names: Sequence[str],
    keys: Sequence[str],
    verb: str,
    unit: float,
) -> dict[str, list[float | None]]:
    def rates(name: str) -> list[float | None]:
        found = [results.summary(key, name, verb) for key in keys]
        return [one.rate * unit if one else None for one in found]

    return _lines(names, rates)


_INTRODUCTION = """\
# Performance

memq beside its peers, measured on one machine in one run. This page is written by
`make bench`; `make bench-quick` prints the main table in two minutes.

Each server runs on its own, on loopback, with its data on a real disk, beside one
load generator (bench/load.c) that keeps a number of requests outstanding on each
connection and looks at every reply. There are {rounds} rounds after a warm-up; a round
goes over all workloads, and each workload over all servers. Figures are medians, and
the longest wait is that of all rounds. A result with an empty or a wrong reply is
thrown away.

"Durable" is fsync before the reply: memq as it is, Redis with `appendfsync always`,
beanstalkd with `-f0`. "Not synced" is memq with `--no-sync`, Redis with `appendfsync
everysec`, beanstalkd with `-F`. Redis's queue is a list (LPUSH, RPOP), and its log is
not rewritten meanwhile; to take a message from beanstalkd is to reserve and delete it.
"""
