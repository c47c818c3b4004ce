"""A front end over a cluster, beside an AMQP client alone: rates and processor time.

`python -m bench.cluster`, with the nodes of `make cluster` running, prints the section
of docs/cluster.md; with --write, it puts it there.  Both are measured in each round,
one after the other, so that whatever else the machine does is beside both.  Processor
time is told per operation: it depends on that far less than a rate does.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from bench import sections
from bench.measure import VERBS, Load, progress
from bench.processors import spent, used
from bench.tables import table
from bench.workspace import ROOT, build, workspace
from testkit.servers import PATIENCE, Server

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: The cluster that `make cluster` starts.
URL = "amqp://memq:memq@127.0.0.1:5681,127.0.0.1:5682,127.0.0.1:5683/memq"
#: Connections, and commands outstanding of each.
SHAPES = ((50, 1), (50, 16))
#: Sets and gets of a round.
COUNT, ROUNDS = 4_000, 5
#: What the queue of a run is called, before the number that the load gives it.
KEY = f"bench.cluster.{os.getpid()}."
FRONT, ALONE, LOCAL = "front end", "AMQP client alone", "memq without a cluster"
#: Sets and gets of the last one, of which each takes much less.
LOCAL_COUNT = 40_000


class Kind(NamedTuple):
    """What the load has to know of a front end."""

    title: str = FRONT
    protocol: str = "memcache"


class End(NamedTuple):
    """A front end, as the load knows it."""

    kind: Kind
    port: int
    pid: int


class _Cost(NamedTuple):
    """What an operation took: microseconds of a processor, here and on all nodes."""

    rate: float
    own: float
    nodes: float


def nodesOf(url: str) -> list[int]:
    """Return the processes of those nodes of tools/cluster.py that are on this machine.

    :param url: where they are.
    """
    hosts = url.rpartition("@")[2].partition("/")[0].split(",")
    ports = {int(host.rpartition(":")[2]) + 20000 for host in hosts}
    wanted = {f"RABBITMQ_DIST_PORT={port}".encode() for port in ports}
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "comm").read_bytes() == b"beam.smp\n":
                variables = (process / "environ").read_bytes().split(b"\0")
                if wanted & set(variables):
                    found.append(int(process.name))
    return found


def _firstOf(url: str) -> str:
    """Return the URL of the first node alone, as pika has it."""
    before, _, rest = url.rpartition("@")
    hosts, _, virtual = rest.partition("/")
    return f"{before}@{hosts.split(',')[0]}/{virtual}"


def _used(node: int) -> dict[int, int]:
    """Return what the threads of a node have run; nothing of one that has ended."""
    with suppress(OSError):
        return used(node)
    return {}


def _spentBy(before: Sequence[dict[int, int]], nodes: Sequence[int]) -> float:
    after = map(_used, nodes)
    return sum(map(spent, before, after)) / 1000


def _clients(
    load: Load,
    end: End,
    nodes: Sequence[int],
    shape: tuple[int, int],
    count: int = COUNT,
) -> Iterator[_Cost]:
    """Yield what a set and a get of clients cost."""
    connections, outstanding = shape
    for verb in VERBS:
        before = [_used(pid) for pid in nodes]
        options = {"c": connections, "d": outstanding, "s": 100, "n": count}
        server: object = end
        done = load.run(server, verb, k=KEY, **options)  # type: ignore[arg-type]
        if done.errors:
            progress(f"{done.errors} of {done.operations} failed")
        count = max(1, done.operations)
        yield _Cost(done.rate, done.cpu, _spentBy(before, nodes) / count)


def _alone(url: str, nodes: Sequence[int], shape: tuple[int, int]) -> Iterator[_Cost]:
    """Yield what they cost an AMQP client with as many outstanding."""
    outstanding = shape[0] * shape[1]
    for verb in VERBS:
        before = [_used(pid) for pid in nodes]
        words = [_firstOf(url), f"{KEY}0", verb, str(COUNT), str(outstanding)]
        done = subprocess.run(
            [sys.executable, "-m", "bench.amqp", *words],
            stdout=subprocess.PIPE,
            timeout=PATIENCE,
            check=True,
            cwd=ROOT,
        )
        told = json.loads(done.stdout)
        took = _spentBy(before, nodes) / told["operations"]
        yield _Cost(told["rate"], told["cpu"], took)


def measured(load: Load, end: End, local: End, url: str) -> list[list[str]]:
    """Return the rows of the table.

    :param end: the front end; and local, the server without a cluster.
    """
    nodes, rows = nodesOf(url), []
    for shape in SHAPES:
        found: dict[tuple[str, str], list[_Cost]] = {}
        for number in range(ROUNDS):
            progress(f"{shape[0]} x {shape[1]}, round {number + 1}")
            for who, costs in (
                (FRONT, _clients(load, end, nodes, shape)),
                (ALONE, _alone(url, nodes, shape)),
                (LOCAL, _clients(load, local, [], shape, LOCAL_COUNT)),
            ):
                for verb, cost in zip(VERBS, costs, strict=True):
                    found.setdefault((verb, who), []).append(cost)
        for (verb, who), each in sorted(found.items(), reverse=True):
            rate, own, theirs = map(median, zip(*each, strict=True))
            row = [f"{shape[0]} x {shape[1]}", verb, who, f"{rate:,.0f}"]
            rows.append([*row, f"{own:.0f}", "" if who == LOCAL else f"{theirs:.0f}"])
    return rows


def section(rows: list[list[str]], told: str) -> str:
    """Return the section, with what the start of the front end told of the cluster."""
    header = ["connections", "", "", "a second", "us here", "us on all nodes"]
    words = f"""\
A front end and three nodes on one machine ({told}), beside an AMQP client that is
alone with the nodes and has as many sets outstanding, or up to 32 gets; and a memq that
has its messages on this machine's disk. Bodies of 100 bytes, one queue, {COUNT:,} sets
and gets, the middle one of {ROUNDS} rounds; in microseconds of a processor for each.
`python -m bench.cluster --write` measures it. The rows of the last one say how fast the
machine was then: docs/performance.md has the same of a quiet one.

"""
    return words + table(header, rows)


def main() -> None:
    """Measure, and print or write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default=URL, help="where the nodes are")
    sections.addOption(parser, sections.CLUSTER)
    options = parser.parse_args()
    with workspace(ROOT / "var") as root:
        load = Load(build(root))
        server = Server(
            "", "--store=rabbitmq", f"--rabbitmq={options.url}", "--accept-mnesia"
        )
        home = Server(str(root / "home"))
        server.start()
        home.start()
        try:
            line = server.waitForLine("The cluster is there: ")
            told = line.rpartition("The cluster is there: ")[2].strip()
            end = End(Kind(), server.port, server.pid)
            local = End(Kind(LOCAL), home.port, home.pid)
            text = section(measured(load, end, local, options.url), told)
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.sendall(b"delete %s0\r\n" % KEY.encode())
                client.recv(100)
        finally:
            server.stop()
            home.stop()
    sections.tell("bench.cluster", text, options.write, sections.CLUSTER)


if __name__ == "__main__":
    main()
