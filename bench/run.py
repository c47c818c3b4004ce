"""Measure memq and its peers: `make bench`, `make bench-quick`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench import costs, depth, fairness, page, plan, sections, space, tables
from bench.disturb import deletion, largest
from bench.machine import describe
from bench.measure import Load, Results, progress, runRounds
from bench.memory import memory
from bench.profiles import profile
from bench.servers import Fleet, kinds, memq, versions
from bench.waiting import waiting
from bench.workspace import ROOT, build, workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.measure import Fact, Row, Workload
    from bench.servers import Kind

#: Most rounds of big and small clients: they take long, and are steady.
FAIR_ROUNDS = 3

#: Rounds after the warm-up; with fewer, quartiles say little.
ROUNDS = 7

#: Seconds after which a run is given up, its servers stopped.
QUICK_LIMIT, FULL_LIMIT = 600, 4800


def main(words: Sequence[str]) -> None:
    """Measure, and print or write what was found."""
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--quick", action="store_true", help="the main table only")
    parser.add_argument(
        "--beside", action="store_true", help="only what goes on beside something else"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="after the warm-up")
    parser.add_argument(
        "--only",
        default="",
        help="only workloads whose key contains this; implies quick",
    )
    parser.add_argument(
        "--home", type=Path, default=ROOT / "var", help="where to write"
    )
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="for the page")
    options = parser.parse_args(words)
    quick = options.quick or bool(options.only)
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGALRM, _end)
    signal.alarm(QUICK_LIMIT if quick and not options.beside else FULL_LIMIT)
    with workspace(options.home) as root:
        bench = Bench(
            Load(build(root)), root, kinds(), describe(root), options.rounds, Results()
        )
        if options.rounds < ROUNDS:
            progress(f"fewer than {ROUNDS} rounds: their quartiles say little")
        if os.getloadavg()[0] > 0.5:
            progress("the machine is busy with other things, which the figures show")
        progress("measuring " + ", ".join(kind.title for kind in bench.kinds))
        if options.beside:
            bench.beside()
        elif quick:
            bench.quick(options.only)
        else:
            bench.full(options.docs)


class Bench(NamedTuple):
    """A run: what is measured, where, and what is found.

    :ivar root: an empty directory, on the disk that is measured.
    :ivar rounds: how many there are after the warm-up.
    """

    load: Load
    root: Path
    kinds: list[Kind]
    machine: list[tuple[str, str]]
    rounds: int
    results: Results

    def quick(self, only: str) -> None:
        """Measure the main table, or workloads with ``only`` in their keys."""
        workloads = [
            one._replace(milliseconds=one.milliseconds * 6 // 10)
            for one in (plan.FULL if only else plan.QUICK)
            if only in one.key
        ]
        self._throughput(workloads)
        self._head()
        print(tables.mainTable(self.results, self.kinds))
        print(tables.latencyTable(self.results, self.kinds))
        print(tables.ratioTable(self.results))
        if only:
            print(tables.largeTable(self.results, self.kinds))
        print(tables.varied(self.results, self.kinds, self.rounds))
        print(tables.discarded(self.results))

    def beside(self) -> None:
        """Measure what goes on beside something else, and memory."""
        facts = self._besides()
        self._head()
        print(tables.fairnessTable(self.results, self.kinds))
        print(tables.table(["what", "measured", "goal, at most"], facts))
        print(tables.discarded(self.results))

    def full(self, docs: Path) -> None:
        """Measure everything, and write the page."""
        self._throughput(plan.FULL)
        facts = [*self._deep(), *self._besides()]
        profiles: dict[str, list[Row]] = {}
        for setting, kind in zip(("Durable", "Not synced"), memq(), strict=True):
            progress(f"profile of {kind.title}")
            words = tuple(kind.setting.split())
            path = self.root / "profile"
            profiles[setting] = profile(self.load, self.root, words, path)
        text = page.page(
            self.machine,
            versions(),
            self.results,
            self.kinds,
            self.rounds,
            facts,
            profiles,
        )
        docs.mkdir(parents=True, exist_ok=True)
        path = docs / "performance.md"
        machine = dict(self.machine)
        note = "; ".join([machine["date"], machine["processor"], *versions()])
        names = list(dict.fromkeys(kind.name for kind in self.kinds))
        page.plots(self.results, names, note, docs)
        write(path, text)
        progress(f"written: {os.path.relpath(path)}")

    def _head(self) -> None:
        print(tables.table(["machine", ""], self.machine))
        print("Measured: " + "; ".join(versions()) + ".\n")

    def _throughput(self, workloads: Sequence[Workload]) -> None:
        with Fleet(self.root) as fleet:
            runRounds(
                self.load, fleet, self.kinds, workloads, self.rounds, self.results
            )

    def _deep(self) -> list[Fact]:
        """Measure with a backlog, and delete it."""
        fast = [kind for kind in self.kinds if not kind.durable]
        with Fleet(self.root) as fleet:
            servers = [(kind.name, fleet.server(kind)) for kind in fast]
            servers.append((depth.EMPTY, fleet.server(fast[0], "empty")))
            depth.runDepths(self.load, servers, self.rounds, self.results)
            return deletion(self.load, servers[0][1])

    def _besides(self) -> list[Fact]:
        with Fleet(self.root) as fleet:
            turns = min(self.rounds, FAIR_ROUNDS)
            fairness.runFairness(self.load, fleet, self.kinds, turns, self.results)
        facts = []
        for kind in memq():
            facts += largest(self.load, kind, self.root)
            facts += space.givenBack(self.load, kind, self.root)
            progress(f"waiting, {kind.title}")
            facts += waiting(kind, self.root)
        progress("memory")
        return [*facts, *memory(self.load, memq()[1], self.root)]


def write(path: Path, text: str) -> None:
    """Write the page; sections stay that are measured apart."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    if section := costs.kept(old):
        text = costs.put(text, section)
    text = sections.keep(old, text)
    path.write_text(text, encoding="utf-8")


def _end(number: int, frame: object) -> None:
    why = "took too long" if number == signal.SIGALRM else "was ended"
    raise SystemExit(f"bench {why}")


if __name__ == "__main__":
    main(sys.argv[1:])
