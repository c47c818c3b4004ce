"""Measurements: workloads, rounds, and the results that are kept.

Rounds go over all workloads, and a workload over all servers, in another order each
round, so that what the machine does meanwhile meets everybody alike.  A ratio compares
results of the same round.  A figure is the median of its rounds; its quartiles say how
steady it is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from statistics import quantiles
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from bench.processors import Placement, placed, spent, used

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.servers import Fleet, Kind, Server

#: Seconds after which a single measurement is given up.
PATIENCE = 300

#: Bytes of a body after which a disk is busy for so many seconds, since servers write
#: and remove files in the background; the next round begins when that is over.
LARGE, SETTLE = 1 << 20, 15

VERBS = ("set", "get")


_Thing = TypeVar("_Thing")


class Workload(NamedTuple):
    """Something that is measured.

    :ivar key: its name in here.
    :ivar title: its name on the page.
    :ivar durable: which setting of each server it is for.
    :ivar milliseconds: how long sets are sent; gets then take what was stored.
    :ivar operations: most sets.
    :ivar names: the servers that it is for; none for all.
    :ivar instance: servers of the same instance are shared between workloads.
    :ivar placement: where the load and the server run.
    """

    key: str
    title: str
    durable: bool
    connections: int = 50
    outstanding: int = 1
    size: int = 100
    queues: int = 1
    milliseconds: int = 350
    operations: int = 3_000_000
    names: tuple[str, ...] = ()
    instance: str = ""
    placement: Placement = Placement.FREE

    def takes(self, kind: Kind) -> bool:
        """Return whether a server is measured with this."""
        return (
            kind.durable == self.durable
            and self.size <= kind.largest
            and (self.queues == 1 or kind.many)
            and (not self.names or kind.name in self.names)
        )


class Fact(NamedTuple):
    """Something that was measured once: what, the figure, and what it should be."""

    what: str
    figure: str
    goal: str


class Row(NamedTuple):
    """A function: its share of the time in percent, calls an operation, its name."""

    share: float
    calls: float
    name: str


class Result(NamedTuple):
    """A line of the load generator; rates a second, latencies in microseconds.

    :ivar cpu: microseconds of a processor that the server took for each operation; 0
        where that is not known.
    """

    operations: int
    seconds: float
    rate: float
    p50: float
    p99: float
    p999: float
    max: float
    errors: int
    empties: int
    cpu: float = 0

    @property
    def good(self) -> bool:
        """Return whether every reply was the right one."""
        return self.operations > 0 and not self.errors and not self.empties


#: A load that gave up counts as one wrong reply.
FAILED = Result(0, 0, 0, 0, 0, 0, 0, 1, 0)


class Spread(NamedTuple):
    """A figure over several rounds: its median, its quartiles, and its extremes."""

    median: float
    lower: float
    upper: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return that of at least one value."""
        # quantiles wants two at least.
        ends = list(values) * 2 if len(values) == 1 else values
        lower, middle, upper = quantiles(ends, method="inclusive")
        return cls(middle, lower, upper, min(values), max(values))


class Summary(NamedTuple):
    """Several results in one: the spread of each figure, and the longest wait."""

    rate: Spread
    cpu: Spread
    p50: Spread
    p99: Spread
    p999: Spread
    max: float


class Results:
    """All results of a run, by workload, server and verb; then by round."""

    def __init__(self) -> None:
        """Start with none."""
        self._kept: dict[tuple[str, str, str], dict[int, Result]] = {}
        self.discarded: list[str] = []

    def add(self, key: str, name: str, verb: str, turn: int, result: Result) -> None:
        """Keep a result, or write down why it is thrown away."""
        if result.good:
            self._kept.setdefault((key, name, verb), {})[turn] = result
            return
        why = f"{result.errors} wrong and {result.empties} empty replies"
        self.discarded.append(f"{key}, {name}, {verb}, round {turn}: {why}")
        progress(f"thrown away: {self.discarded[-1]}")

    def summary(self, key: str, name: str, verb: str) -> Summary | None:
        """Return the medians of what was kept, None if nothing was."""
        kept = list(self._kept.get((key, name, verb), {}).values())
        if not kept:
            return None

        def spread(figure: str) -> Spread:
            return Spread.of([getattr(result, figure) for result in kept])

        return Summary(
            spread("rate"),
            spread("cpu"),
            spread("p50"),
            spread("p99"),
            spread("p999"),
            max(result.max for result in kept),
        )

    def ratio(
        self,
        one: tuple[str, str],
        other: tuple[str, str],
        verb: str,
        figure: str = "rate",
    ) -> Spread | None:
        """Return how much more one (workload, server) has than another, of a figure."""
        ones = self._kept.get((*one, verb), {})
        others = self._kept.get((*other, verb), {})
        rounds = ones.keys() & others.keys()
        if not rounds:
            return None
        return Spread.of(
            [
                getattr(ones[turn], figure) / getattr(others[turn], figure)
                for turn in rounds
                if getattr(others[turn], figure)
            ]
        )


class Load:
    """The load generator, built and ready."""

    def __init__(self, path: str) -> None:
        """Take the path of the program."""
        self._path = path

    def command(self, server: Server, mode: str, **options: object) -> list[str]:
        """Return its command line; options are its letters."""
        words = [self._path, "-p", str(server.port), "-P", server.kind.protocol]
        words += ["-m", mode]
        for letter, value in options.items():
            words += [f"-{letter}", str(value)]
        return words

    def run(self, server: Server, mode: str, **options: object) -> Result:
        """Run it to its end; one that gave up counts as one wrong reply."""
        command = self.command(server, mode, **options)
        before = used(server.pid)
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                timeout=PATIENCE,
                check=True,
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            progress(f"{server.kind.title}: {error}")
            return FAILED
        result = Result(**json.loads(done.stdout))
        took = spent(before, used(server.pid)) / 1000
        return result._replace(cpu=took / max(1, result.operations))


def runRounds(
    load: Load,
    fleet: Fleet,
    kinds: Sequence[Kind],
    workloads: Iterable[Workload],
    rounds: int,
    results: Results,
) -> None:
    """Measure all workloads on all servers, round by round, after a warm-up."""
    listed = list(workloads)
    for turn in range(rounds + 1):
        if turn and any(workload.size >= LARGE for workload in listed):
            time.sleep(SETTLE)
        for workload in listed:
            said = []
            for kind in ordered(filter(workload.takes, kinds), turn):
                server = fleet.server(kind, workload.instance)
                if workload.durable:
                    # A sync is not to wait for what others have left to be written.
                    os.sync()
                with placed(server.pid, workload.placement):
                    pair = setAndGet(load, server, workload, warm=turn == 0)
                said.append(f"{kind.name} " + " / ".join(_rate(r) for r in pair))
                if turn:
                    for verb, result in zip(VERBS, pair, strict=False):
                        results.add(workload.key, kind.name, verb, turn, result)
            label = f"round {turn} of {rounds}" if turn else "warm-up"
            progress(f"{label:12} {workload.key:16} {', '.join(said)}")


def ordered(things: Iterable[_Thing], turn: int) -> list[_Thing]:
    """Return things in an order of each turn's own.

    Every second turn has the order of the one before, turned round; every third begins
    with the next thing.
    """
    listed = list(things)
    first = turn // 2 % len(listed) if listed else 0
    found = [*listed[first:], *listed[:first]]
    return found[::-1] if turn % 2 else found


def progress(line: str) -> None:
    """Show how far it is."""
    sys.stderr.write(f"[{time.monotonic() - _BEGAN:5.0f} s] {line}\n")
    sys.stderr.flush()


def setAndGet(
    load: Load, server: Server, workload: Workload, warm: bool
) -> list[Result]:
    """Store messages, then take as many; the second only if the first went well."""
    shared = {
        "c": workload.connections,
        "d": workload.outstanding,
        "s": workload.size,
        "q": workload.queues,
        "k": f"{workload.key}-",
    }
    milliseconds = workload.milliseconds // 3 if warm else workload.milliseconds
    stored = load.run(server, "set", n=workload.operations, t=milliseconds, **shared)
    if not stored.good:
        return [stored]
    return [stored, load.run(server, "get", n=stored.operations, **shared)]


def _rate(result: Result) -> str:
    return f"{result.rate / 1000:.1f}k" if result.rate >= 1000 else f"{result.rate:.0f}"


_BEGAN = time.monotonic()
