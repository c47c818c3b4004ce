"""Observed: what it costs others that a server is watched.

The workloads of the main table, each with a memq of its own setting and instance: in
turn with nobody who looks, and with bench.watchers, which are ten viewers of the page,
a scrape a second and `memq top`.  ``python -m bench.observed`` prints, of each, the
processor time that the server takes for a command, and the rate, without and with
watchers, and the medians of the ratios within each round; and how much of a processor
watching takes from a server that does nothing else.

Watchers run on what is idle of the processors, see bench.watchers; in the last column
stands how often each of them was told something a second, of those that were told least
often.  With very many queues `memq top` looks less often by itself, and is left out.

Watchers look once a second, at 10,000 queues every four, and `memq top` every ten.
So a sample lasts for two seconds, or twelve: in less there would be one look or none,
always at the same time after its beginning, and sets would have what gets had not.
What watchers cost is so much a second: the fewer commands there are in one, because
others use the machine, the more it is of each.

The processor time is the server's alone, so that it holds on a machine that others use,
too; the rates want one that nobody else uses.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from bench import plan, sections
from bench.measure import VERBS, Results, ordered, progress, setAndGet
from bench.measure import Load as LoadGenerator
from bench.processors import placed, spent, used
from bench.servers import Server, freePort, memq
from bench.tables import ratio, table
from bench.watchers import ENOUGH, Watchers
from bench.workspace import ROOT, build, workspace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.measure import Workload

ALONE, WATCHED = "alone", "watched"
#: Seconds after which watchers have begun to look, `memq top` with what is idle.
SETTLE = 4.0
#: Seconds for which a server is watched that has nothing else to do.
IDLE = 5.0
#: Queues beyond which `memq top` has a pace of its own.
MANY = 1000
#: Milliseconds that sets are sent for, which gets then take about as long for: so that
#: there are some looks of everybody.
SHORT, LONG = 2000, 12_000
#: The most processor time a command, and the least rate, watched, of those alone.
MOST, LEAST = 1.03, 0.97

_TEXT = """
## Beside those who look

Ten viewers of the page, a scrape a second and `memq top`, by `python -m
bench.observed`; they run on what is idle of the processors, and each has to be told
something once a second (the last column). Microseconds of a processor that the server
takes for a command, and rates; medians of the ratios within rounds. `>` and `<` mark
more than 3 %.

{table}
{idle}
"""


def main() -> None:
    """Measure, and print what is found."""
    parser = argparse.ArgumentParser(prog="bench.observed")
    parser.add_argument("--rounds", type=int, default=4, help="after the warm-up")
    parser.add_argument("--only", default="", help="workloads whose key contains this")
    parser.add_argument(
        "--milliseconds",
        type=int,
        help="that sets are sent for, by default as long"
        " as all look at the same number of times",
    )
    sections.addOption(parser)
    options = parser.parse_args()
    workloads = [
        one._replace(milliseconds=options.milliseconds or lasting(one))
        for one in plan.MAIN
        if options.only in one.key
    ]
    with workspace(ROOT / "var") as root:
        bench = Bench(LoadGenerator(build(root)), root)
        try:
            bench.measure(workloads, options.rounds)
        finally:
            bench.close()
    text = _TEXT.format(table=result(bench, workloads), idle="\n".join(bench.idle))
    sections.tell("bench.observed", text, options.write)


def lasting(workload: Workload) -> int:
    """Return how many milliseconds a sample of a workload lasts."""
    return LONG if workload.queues > MANY else SHORT


class Watchable(NamedTuple):
    """A server, and where its web is."""

    server: Server
    place: str


class Bench:
    """A run.

    :ivar told: how often each watcher was told something a second, of those that were
        told least often; by workload, one for each round.
    :ivar idle: what watching costs a server that has nothing else to do.
    """

    def __init__(self, load: LoadGenerator, root: Path) -> None:
        """Begin with no server."""
        self._load = load
        self._root = root
        self._servers: dict[tuple[bool, str], Watchable] = {}
        self.results = Results()
        self.told: dict[str, list[float]] = defaultdict(list)
        self.idle: list[str] = []

    def close(self) -> None:
        """End all servers."""
        while self._servers:
            self._servers.popitem()[1].server.close()

    def measure(self, workloads: Sequence[Workload], rounds: int) -> None:
        """Measure each workload in turn, alone and watched, after a warm-up."""
        for turn in range(rounds + 1):
            for workload in workloads:
                for name in ordered((ALONE, WATCHED), turn):
                    self._one(workload, name, turn)
        for one in self._servers.values():
            self._rest(*one)

    def _server(self, workload: Workload) -> Watchable:
        """Return the server of a workload: many queues are in one of their own."""
        key = workload.durable, workload.instance
        if key not in self._servers:
            (kind,) = filter(workload.takes, memq())
            place = f"127.0.0.1:{freePort()}"
            server = Server(kind, self._root, (f"--web-listen={place}",))
            self._servers[key] = Watchable(server, place)
            server.start()
        return self._servers[key]

    def _rest(self, server: Server, place: str) -> None:
        """Measure what watching takes of a processor while nobody else is there."""
        queue = f"{plan.MAIN[0].key}-0"
        queues = server.stats()["queues"]
        watchers = Watchers(place, f"127.0.0.1:{server.port}", queue)
        time.sleep(SETTLE)
        before, began = used(server.pid), time.monotonic()
        time.sleep(IDLE)
        took = spent(before, used(server.pid)) / 1e6 / (time.monotonic() - began)
        watchers.end()
        self.idle.append(
            f"- {server.kind.title}, {queues} queues, idle and watched: "
            f"{took:.1f} ms of a processor a second"
        )

    def _one(self, workload: Workload, name: str, turn: int) -> None:
        """Measure a workload once; the results of the warm-up, turn 0, are dropped."""
        server, place = self._server(workload)
        watchers = None
        if name == WATCHED:
            queue = f"{workload.key}-0"
            watchers = Watchers(place, f"127.0.0.1:{server.port}", queue)
            time.sleep(SETTLE)
        try:
            with placed(server.pid, workload.placement):
                pair = setAndGet(self._load, server, workload, warm=turn == 0)
        finally:
            told = {} if watchers is None else watchers.end()
        said = ", ".join(f"{result.rate:.0f}/s {result.cpu:.1f} us" for result in pair)
        if workload.queues > MANY:
            told.pop("screens", None)
        if told:
            said += f"; each told {min(told.values()):.2f} times a second"
        progress(f"{turn or 'warm-up'} {workload.key} {name}: {said}")
        if not turn:
            return
        if told:
            self.told[workload.key].append(min(told.values()))
        for verb, result in zip(VERBS, pair, strict=False):
            self.results.add(workload.key, name, verb, turn, result)


def result(bench: Bench, workloads: Sequence[Workload]) -> str:
    """Return the table of what was found."""
    header = ["workload", "", "us a command", "watched", "ratio"]
    header += ["a second", "watched", "ratio", "p99, ms", "watched", "told, /s"]
    rows = []
    for workload in workloads:
        told = median(bench.told[workload.key] or [0.0])
        for verb in VERBS:
            row = _row(bench.results, workload, verb)
            if row:
                starved = " starved" if told < ENOUGH else ""
                rows.append([workload.title, verb, *row, f"{told:.2f}{starved}"])
    return table(header, rows)


def _row(results: Results, workload: Workload, verb: str) -> list[str]:
    key = workload.key
    alone, watched = (results.summary(key, name, verb) for name in (ALONE, WATCHED))
    if alone is None or watched is None:
        return []
    both = (key, WATCHED), (key, ALONE)
    rates = results.ratio(*both, verb)
    costs = results.ratio(*both, verb, "cpu")
    dear = " >" if costs is not None and costs.median > MOST else ""
    slow = " <" if rates is not None and rates.median < LEAST else ""
    return [
        *(f"{one.cpu.median:.1f}" for one in (alone, watched)),
        ratio(costs) + dear,
        *(f"{one.rate.median:,.0f}" for one in (alone, watched)),
        ratio(rates) + slow,
        *(f"{one.p99.median / 1000:.2f}" for one in (alone, watched)),
    ]


if __name__ == "__main__":
    main()
