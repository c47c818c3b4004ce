"""The page docs/performance.md, with its plots, made of the results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import fairness, tables
from bench.depth import DEPTHS, EMPTY, SIZE
from bench.measure import VERBS
from bench.plan import CONNECTIONS, SIZES
from bench.plot import Panel, draw, short
from bench.processors import Placement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bench.measure import Fact, Results, Row
    from bench.servers import Kind


def plots(results: Results, names: Sequence[str], note: str, directory: Path) -> None:
    """Draw all plots into a directory."""
    draw(directory / "performance-connections.svg", _connections(results, names), note)
    draw(directory / "performance-sizes.svg", _sizes(results, names), note)
    draw(directory / "performance-depth.svg", _depth(results, names), note)
    draw(directory / "performance-latency.svg", _latencies(results, names), note)


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
        _INTRODUCTION.format(rounds=rounds, apart=Placement.APART.value),
        tables.table(["machine", ""], machine),
        "Measured: " + "; ".join(versions) + ".\n",
        "## Throughput and latency\n",
        "100-byte bodies; in brackets the quartiles of the rounds. The processor time "
        "is the server's for each command, in all its threads, as the scheduler counts "
        "it, with the kernel's work for sockets and files. It is steadier than a "
        "rate.\n",
        tables.mainTable(results, kinds),
        tables.discarded(results),
        tables.varied(results, kinds, rounds),
        "![Throughput against connections](performance-connections.svg)\n",
        "![Percentiles of latency](performance-latency.svg)\n",
        "Latency in milliseconds:\n",
        tables.latencyTable(results, kinds),
        "## Ratios\n",
        "memq's rate divided by the other's in the same round; the median of the "
        "rounds, in brackets the quartiles. A goal is what memq wants to reach at "
        "least, where there is one.\n",
        tables.ratioTable(results),
        "## Size of messages\n",
        "Goals are for memq, at least. memq's cache is 64 MB.\n",
        tables.largeTable(results, kinds),
        "![Throughput against size](performance-sizes.svg)\n",
        "## Backlog\n",
        f"Messages of {SIZE} bytes wait, and 50 connections set and get more of them, "
        "not synced. memq's cache is 64 MB, so the deep end is far beyond it.\n",
        tables.depthTable(results, [*names, EMPTY]),
        f"At {DEPTHS[-1]:,} waiting, memq does {tables.ratio(deep)} times what an "
        "empty one does; the goal is 0.9 at least.\n",
        "![Throughput against backlog](performance-depth.svg)\n",
        "## A small client beside a big one\n",
        _FAIRNESS.format(burst=fairness.BURST, goal=fairness.GOAL),
        tables.fairnessTable(results, kinds),
        "## Disturbances, disk space given back, and memory\n",
        "memq, not synced unless it says durable. Each of the ten connections has a "
        "command due every 5 ms. Commands that are due while a reply is late count as "
        "waiting for it, so a stall counts for every command that it delays. "
        "Measured once.\n",
        tables.table(["what", "measured", "goal, at most"], facts),
        "## Where the time goes\n",
        "Under cProfile, which overstates the time of Python's own functions: own time "
        "without waiting, and calls an operation. `make profile` shows more, with "
        "instructions counted.\n",
        *(
            f"{setting}:\n\n" + tables.profileTable(rows)
            for setting, rows in profiles.items()
        ),
        _TRIED,
    ]
    return "\n".join(parts)


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
    between = [f"fast-size-{size}" for size in SIZES[1:]]
    keys = ["fast-50x1", *between, "fast-mib-shallow"]
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
        return [one.p999.median / 1000 if one else None for one in found]

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
                if one is None:
                    return []
                middle = [each.median for each in (one.p50, one.p99, one.p999)]
                return [us / 1000 for us in (*middle, one.max)]

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
        return [one.rate.median * unit if one else None for one in found]

    return _lines(names, rates)


_INTRODUCTION = """\
# Performance

memq beside its peers, measured on one machine in one run. `make bench` writes this
page; `make bench-quick` prints the main tables in five minutes.

Each server runs on its own, on loopback, with its data on a real disk, beside one
load generator (bench/load.c) that keeps a number of requests outstanding on each
connection and checks every reply. Rounds after a warm-up: {rounds}. A round goes over
all workloads, and each workload over all servers; the order is turned round each time.
Figures are medians of the rounds, with the quartiles in brackets: half of the rounds
lie between these. The longest wait is that of all rounds. A result with an empty or a
wrong reply is thrown away.

"Durable" is fsync before the reply: memq and MemcacheQ by default, Redis with
`appendfsync always`, beanstalkd with `-f0`. "Not synced" is memq with `--no-sync`,
Redis with `appendfsync everysec`, beanstalkd with `-F`, MemcacheQ with `-N`. Redis's
queue is a list (LPUSH, RPOP), and its log is not rewritten meanwhile; a take from
beanstalkd is reserve and delete. MemcacheQ is the original in C, measured if
`MEMCACHEQ_BIN` names it or PATH has it.

A lone client and its server take turns, so their rate depends on where they run. They
are pinned: {apart}.
Each then sleeps while the other works, and the rate includes the time that a processor
takes to wake. In the row "on one processor" both share one, and nothing has to wake.
The scheduler places all other workloads.
"""

_FAIRNESS = """\
The big client sends {burst:,} sets of 100 bytes in one go, waits for all replies, sends
{burst:,} gets in one go, waits for all messages, and so on. The small one sets and gets
in turns, with one command under way on each connection. Goal for memq: the small
client's p99 stays under {goal} ms beside the big one.
"""

_TRIED = """\
Sets with one command outstanding on each connection and nothing to sync, sampled with
`perf record -e cpu-clock`: 49 % is the kernel, 35 % in `send` alone, since on loopback
the sender also does what the receiver's side has to do; 36 % is Python; 9 % Berkeley
DB. With 16 outstanding, 18 % is the kernel, 39 % Python and 30 % Berkeley DB.

## Attempts, and what they won

A goal that is missed above, or in some runs, has one of these reasons. The shares are
those of samples of the server (`perf record -e cpu-clock`).

- **Not synced, beside MemcacheQ and beanstalkd.** Of a get's 15 to 16 us of a processor
  with 50 clients, the kernel takes 43 %, for a packet each way, which everybody pays;
  Python 44 %, Berkeley DB 7 %. MemcacheQ takes 13 to 15 for all of it. To be 1.3 times
  as fast, memq's Python would have to shrink from 7 us to 1. The MemcacheQ that is
  measured here is its way of a set and a get, without the rest of the original; the
  original took 20 to 22 us on such a machine.
- **A lone client, not synced.** A command takes MemcacheQ 12 us and memq 27 to 30: 11
  are the kernel's, 14 Python's, in 64 calls with nothing to share them with, 3 Berkeley
  DB's. "Where a command's time goes" has each function.
- **Durable gets with 50 clients, beside Redis**: 0.63 to 0.75 in four runs. A get costs
  Berkeley DB 1.5 us, 0.3 to find the message and 1.2 to delete it, which it logs twice;
  Redis takes an element off a list in memory, and logs the word RPOP. With one command
  on each connection, half of the clients meet in a turn, and packed records save a get
  no more than 5 %.
- **Gets with 16 outstanding**: 2.4 us each, of which 44 % are Python's, 29 % the
  kernel's and 17 % Berkeley DB's. A set's body goes into a packed record as it came; a
  get takes it out, and makes its reply, one by one.
- **512 bodies of 1 MiB** go to the disk twice, into the log and into the table.
- **Disk space that is not given back within 30 s**: a file that is moved while a
  quarter of it is in use leaves one of that size, and the next look is due a minute
  later. The log has two files at least, one in use and one ahead.

| attempt | result |
|---|---|
| sets, and gets, that arrive together as one | 16 outstanding: a quarter less time |
| log files filled with zeros ahead of use | 50 connections, synced: 12 % faster |
| the same by Berkeley DB itself | the same, but commands wait while it fills |
| rendering a lone get with fewer calls | 7 % less time for such a get |
| sending without Twisted's checks in between | 1 us less a reply |
| a message made without its class's constructor | 2 % less time for a get |
| the sockets edge-triggered | nothing |
| looking for ready sockets twice before a turn | nothing: a turn has 48 of 50 already |
| reading into smaller buffers | nothing |
| cursors with DB_CURSOR_BULK; puts through a cursor | nothing |
| removing by key, not by cursor | 40 % more time for a get's part in Berkeley DB |
| no garbage collection at all | under 1 % |
| the reactors poll, select and asyncio | nothing: connections have their own epoll |
| a flush in its own thread beside the next turn | 8 us more a command |
"""
