"""Front ends beside each other: what two do, of what one does.

`python -m bench.clusterfronts`, as root and with the nodes of `make cluster` running.
Front ends share nothing but the nodes, so two should do twice what one does, as long
as the nodes have room.  On one machine they have none: a front end that may run as it
likes takes the processors that the nodes want.  So each front end has a share of a
processor, by a control group, and is the narrow place; what the nodes and the load
take then fits beside them.

Each has a queue of its own.  One front end, two, and one again are measured in each
round; the two are compared with the middle of the others.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING

from bench import sections
from bench.cluster import URL, End, Kind, nodesOf
from bench.measure import VERBS, Load, progress
from bench.processors import spent, used
from bench.tables import table
from bench.workspace import ROOT, build, workspace
from testkit.servers import Server

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: The share of a processor that each front end has, and the microseconds after which
#: it gets it again.
SHARE, PERIOD = 0.08, 20_000
#: Connections to each, and milliseconds that sets are sent for; rounds.
CONNECTIONS, MILLISECONDS, ROUNDS = 50, 4_000, 4
#: Where Linux has the groups of processes whose time is bounded.
GROUPS = Path("/sys/fs/cgroup/cpu")
KEY = f"bench.fronts.{os.getpid()}."


@contextlib.contextmanager
def bounded(pids: Sequence[int]) -> Iterator[None]:
    """Give each process a share of a processor, while this is entered.

    :raise SystemExit: this system, or this user, cannot.
    """
    with contextlib.ExitStack() as stack:
        for pid in pids:
            try:
                group = Path(tempfile.mkdtemp(prefix="memq-", dir=GROUPS))
            except OSError as error:
                raise SystemExit(f"{GROUPS}: {error.strerror}") from error
            stack.callback(group.rmdir)
            (group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(int(PERIOD * SHARE)))
            (group / "cgroup.procs").write_text(str(pid))
            stack.callback((GROUPS / "cgroup.procs").write_text, str(pid))
        yield


def together(load: Load, ends: Sequence[End]) -> list[float]:
    """Return how many sets, and how many gets, all of them do a second, together."""
    rates = []
    for verb in VERBS:

        def one(end: End, verb: str = verb) -> float:
            options = {"c": CONNECTIONS, "s": 100, "t": MILLISECONDS, "n": 10**6}
            done = load.run(
                end,  # type: ignore[arg-type]
                verb,
                k=f"{KEY}{end.port}.",
                **options,
            )
            if done.errors:
                progress(f"{done.errors} of {done.operations} failed")
            return done.rate

        with ThreadPoolExecutor(len(ends)) as pool:
            rates.append(sum(pool.map(one, ends)))
    return rates


def measured(load: Load, ends: Sequence[End], nodes: Sequence[int]) -> str:
    """Return the section."""
    alone: list[list[float]] = []
    both: list[list[float]] = []
    idle: list[float] = []
    for number in range(ROUNDS):
        progress(f"round {number + 1}")
        first = together(load, ends[:1])
        before = [used(pid) for pid in nodes], os.times().elapsed
        both.append(together(load, ends))
        took = sum(map(spent, before[0], map(used, nodes))) / 1e9
        idle.append(took / (os.times().elapsed - before[1]))
        again = together(load, ends[1:])
        alone.append([mean(pair) for pair in zip(first, again, strict=True)])
    rows = []
    for verb, ones, twos in zip(
        VERBS, zip(*alone, strict=True), zip(*both, strict=True), strict=True
    ):
        ratios = [two / one for one, two in zip(ones, twos, strict=True)]
        told = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        rows.append([verb, f"{median(ones):,.0f}", f"{median(twos):,.0f}", told])
    words = f"""\
One front end and two, each with {SHARE:.0%} of a processor, so that the nodes have room
on this machine: they took {median(idle):.2f} of {os.cpu_count()} processors beside two.
{CONNECTIONS} connections to each, a queue for each, bodies of 100 bytes; the middle one
of {ROUNDS} rounds. `python -m bench.clusterfronts --write` measures it.

"""
    return words + table(["", "one, a second", "two, a second", "two to one"], rows)


def main() -> None:
    """Measure, and print or write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default=URL, help="where the nodes are")
    sections.addOption(parser, sections.CLUSTER)
    options = parser.parse_args()
    words = "--store=rabbitmq", f"--rabbitmq={options.url}", "--accept-mnesia"
    with workspace(ROOT / "var") as root, contextlib.ExitStack() as stack:
        load = Load(build(root))
        ends = []
        for _ in range(2):
            server = Server("", *words)
            stack.callback(server.stop)
            server.start().waitForLine("The cluster is there: ")
            ends.append(End(Kind(), server.port, server.pid))
        with bounded([end.pid for end in ends]):
            text = measured(load, ends, nodesOf(options.url))
        for end in ends:
            with server.wire() as wire:
                wire.ask(b"delete %s%d.0" % (KEY.encode(), end.port))
    sections.tell("bench.clusterfronts", text, options.write, sections.CLUSTER)


if __name__ == "__main__":
    main()
