"""Measure memq and its peers: `make bench`, `make bench-quick`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench import depth, fairness, page, plan, space, tables
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

    from bench.measure import Fact, Row
    from bench.servers import Kind

#: Most rounds of big and small clients: they take long, and are steady.
FAIR_ROUNDS = 3

#: Seconds after which a run is given up, its servers stopped.
QUICK_LIMIT, FULL_LIMIT = 300, 2400


def main(words: Sequence[str]) -> None:
    """Measure, and print or write what was found."""
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--quick", action="store_true", help="the main table only")
    parser.add_argument(
        "--beside", action="store_true", help="only what goes on beside something else"
    )
    parser.add_argument("--rounds", type=int, default=5, help="after the warm-up")
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
        load = Load(build(root))
        found = kinds()
        machine = describe(root)
        if os.getloadavg()[0] > 0.5:
            progress("the machine is busy with other things, which the figures show")
        progress("measuring " + ", ".join(kind.title for kind in found))
        if options.beside:
            _beside(load, root, found, machine, options)
        elif quick:
            _quick(load, root, found, machine, options)
        else:
            _full(load, root, found, machine, options)


def _quick(
    load: Load,
    root: Path,
    found: list[Kind],
    machine: list[tuple[str, str]],
    options: argparse.Namespace,
) -> None:
    listed = plan.FULL if options.only else plan.QUICK
    workloads = [
        one._replace(milliseconds=one.milliseconds * 6 // 10)
        for one in listed
        if options.only in one.key
    ]
    results = Results()
    with Fleet(root) as fleet:
        runRounds(load, fleet, found, workloads, options.rounds, results)
    _head(machine)
    print(tables.mainTable(results, found))
    print(tables.ratioTable(results))
    if options.only:
        print(tables.largeTable(results, found))
    print(tables.varied(results, found, options.rounds))
    print(tables.discarded(results))


def _beside(
    load: Load,
    root: Path,
    found: list[Kind],
    machine: list[tuple[str, str]],
    options: argparse.Namespace,
) -> None:
    results = Results()
    facts = _besides(load, root, found, options.rounds, results)
    _head(machine)
    print(tables.fairnessTable(results, found))
    print(tables.table(["what", "measured", "goal, at most"], facts))
    print(tables.discarded(results))


def _head(machine: list[tuple[str, str]]) -> None:
    print(tables.table(["machine", ""], machine))
    print("Measured: " + "; ".join(versions()) + ".\n")


def _full(
    load: Load,
    root: Path,
    found: list[Kind],
    machine: list[tuple[str, str]],
    options: argparse.Namespace,
) -> None:
    results = Results()
    with Fleet(root) as fleet:
        runRounds(load, fleet, found, plan.FULL, options.rounds, results)
    facts = _deep(load, root, found, options.rounds, results)
    facts += _besides(load, root, found, options.rounds, results)
    profiles: dict[str, list[Row]] = {}
    for setting, kind in zip(("Durable", "Not synced"), memq(), strict=True):
        progress(f"profile of {kind.title}")
        words = tuple(kind.setting.split())
        profiles[setting] = profile(load, root, words, root / "profile")
    names = list(dict.fromkeys(kind.name for kind in found))
    text = page.page(
        machine, versions(), results, found, options.rounds, facts, profiles
    )
    options.docs.mkdir(parents=True, exist_ok=True)
    note = f"{dict(machine)['date']}; {dict(machine)['processor']}; "
    page.plots(results, names, note + "; ".join(versions()), options.docs)
    (options.docs / "performance.md").write_text(text, encoding="utf-8")
    progress(f"written: {os.path.relpath(options.docs / 'performance.md')}")


def _deep(
    load: Load, root: Path, found: list[Kind], rounds: int, results: Results
) -> list[Fact]:
    """Measure with a backlog, and delete it."""
    fast = [kind for kind in found if not kind.durable]
    with Fleet(root) as fleet:
        servers = [(kind.name, fleet.server(kind)) for kind in fast]
        servers.append((depth.EMPTY, fleet.server(fast[0], "empty")))
        depth.runDepths(load, servers, rounds, results)
        return deletion(load, servers[0][1])


def _besides(
    load: Load, root: Path, found: list[Kind], rounds: int, results: Results
) -> list[Fact]:
    """Measure what goes on beside something else, and memory."""
    with Fleet(root) as fleet:
        turns = min(rounds, FAIR_ROUNDS)
        fairness.runFairness(load, fleet, found, turns, results)
    facts = []
    for kind in memq():
        facts += largest(load, kind, root)
        facts += space.givenBack(load, kind, root)
        progress(f"waiting, {kind.title}")
        facts += waiting(kind, root)
    progress("memory")
    return [*facts, *memory(load, memq()[1], root)]


def _end(number: int, frame: object) -> None:
    why = "took too long" if number == signal.SIGALRM else "was ended"
    raise SystemExit(f"bench {why}")


if __name__ == "__main__":
    main(sys.argv[1:])
