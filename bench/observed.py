"""Observed: what it costs others that a server is watched.

The workloads of the main table, on one memq for each setting: in turn with nobody who
looks, and with bench.watchers, which are ten viewers of the page, a scrape a second and
`memq top`.  ``python -m bench.observed`` prints the medians of both, and the median of
the ratios within each round; and how much of a processor watching takes from a server
that does nothing else.  Watchers take processor time of their own, as they do on
a machine where all are together.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from bench import plan
from bench.measure import VERBS, Results, ordered, progress, setAndGet
from bench.measure import Load as LoadGenerator
from bench.processors import placed, spent, used
from bench.servers import Fleet, Kind, freePort, memq
from bench.tables import ratio, table
from bench.watchers import Watchers
from bench.workspace import ROOT, build, workspace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.measure import Workload
    from bench.servers import Server

ALONE, WATCHED = "alone", "watched"
#: Seconds after which watchers have begun to look.
SETTLE = 1.5
#: Seconds for which a server is watched that has nothing else to do.
IDLE = 5.0
#: Rates, watched, of those alone.
GOAL = 0.97


def main() -> None:
    """Measure, and print what is found."""
    parser = argparse.ArgumentParser(prog="bench.observed")
    parser.add_argument("--rounds", type=int, default=9, help="after the warm-up")
    parser.add_argument("--only", default="", help="workloads whose key contains this")
    parser.add_argument(
        "--milliseconds", type=int, default=3000, help="that sets are sent for"
    )
    options = parser.parse_args()
    workloads = [
        one._replace(milliseconds=options.milliseconds)
        for one in plan.MAIN
        if options.only in one.key
    ]
    with workspace(ROOT / "var") as root:
        bench = Bench(LoadGenerator(build(root)), root, Results(), Counter(), [])
        bench.measure(workloads, options.rounds)
    print(result(bench.results, workloads))
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(bench.told.items()))
    print(f"The watchers were told: {told}.")
    for line in bench.idle:
        print(line)


class Bench(NamedTuple):
    """A run.

    :ivar told: what all watchers were told.
    :ivar idle: what watching costs a server that has nothing else to do.
    """

    load: LoadGenerator
    root: Path
    results: Results
    told: Counter[str]
    idle: list[str]

    def measure(self, workloads: Sequence[Workload], rounds: int) -> None:
        """Measure each workload in turn, alone and watched, after a warm-up."""
        places = {kind.durable: f"127.0.0.1:{freePort()}" for kind in memq()}
        kinds = [_watchable(kind, places[kind.durable]) for kind in memq()]
        with Fleet(self.root) as fleet:
            for turn in range(rounds + 1):
                for workload in workloads:
                    (kind,) = filter(workload.takes, kinds)
                    # Of each kind one server: an instance would want a port as well.
                    server, place = fleet.server(kind), places[kind.durable]
                    for name in ordered((ALONE, WATCHED), turn):
                        self._one(server, place, workload, name, turn)

            for kind in kinds:
                self._rest(fleet.server(kind), places[kind.durable])

    def _rest(self, server: Server, place: str) -> None:
        """Measure what watching takes of a processor while nobody else is there."""
        queue = f"{plan.MAIN[0].key}-0"
        watchers = Watchers(place, f"127.0.0.1:{server.port}", queue)
        time.sleep(SETTLE)
        before, began = used(server.pid), time.monotonic()
        time.sleep(IDLE)
        took = spent(before, used(server.pid)) / 1e6 / (time.monotonic() - began)
        watchers.end()
        self.idle.append(f"{server.kind.title} idle, watched: {took:.1f} ms a second")

    def _one(
        self, server: Server, place: str, workload: Workload, name: str, turn: int
    ) -> None:
        """Measure a workload once; the results of the warm-up, turn 0, are dropped."""
        watchers = None
        if name == WATCHED:
            queue = f"{workload.key}-0"
            watchers = Watchers(place, f"127.0.0.1:{server.port}", queue)
            time.sleep(SETTLE)
        try:
            with placed(server.pid, workload.placement):
                pair = setAndGet(self.load, server, workload, warm=turn == 0)
        finally:
            if watchers is not None:
                self.told.update(watchers.end())
        if turn:
            for verb, result in zip(VERBS, pair, strict=False):
                self.results.add(workload.key, name, verb, turn, result)
        rates = " / ".join(f"{result.rate:.0f}" for result in pair)
        progress(f"{turn or 'warm-up'} {workload.key} {name}: {rates}")


def _watchable(kind: Kind, place: str) -> Kind:
    """Return a memq whose web is at a place."""
    command = kind.command
    return kind._replace(
        command=lambda port, home: [*command(port, home), f"--web-listen={place}"]
    )


def result(results: Results, workloads: Sequence[Workload]) -> str:
    """Return the table of what was found."""
    header = ["workload", "", "alone, /s", "watched, /s", "ratio", "p99, ms", "watched"]
    rows = []
    for workload in workloads:
        for verb in VERBS:
            found = [results.summary(workload.key, n, verb) for n in (ALONE, WATCHED)]
            alone, watched = found
            if alone is None or watched is None:
                continue
            both = results.ratio((workload.key, WATCHED), (workload.key, ALONE), verb)
            word = "" if both is None or both.median >= GOAL else " <"
            rows.append(
                [
                    workload.title,
                    verb,
                    *(f"{one.rate.median:,.0f}" for one in (alone, watched)),
                    ratio(both) + word,
                    *(f"{one.p99.median / 1000:.2f}" for one in (alone, watched)),
                ]
            )
    return table(header, rows)


if __name__ == "__main__":
    main()
