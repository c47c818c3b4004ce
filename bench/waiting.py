"""Waiters: how soon they have their message, and what waiting costs.

Ten thousand connections wait on a thousand queues.  `python -m bench.waiting` prints
what is found; `make bench` has it as well.
"""

from __future__ import annotations

import resource
from random import Random
from typing import TYPE_CHECKING

from bench.measure import Fact, progress
from bench.servers import Server, memq
from bench.workspace import ROOT, workspace
from testkit.waiters import Waiters, openFiles, percentile

if TYPE_CHECKING:
    from pathlib import Path

    from bench.servers import Kind

#: Those that wait, and their queues.
_COUNT, _QUEUES = 10_000, 1000
#: Messages that are set singly, and times that some are set at once, and how many.
_SINGLE, _TIMES, _AT_ONCE = 10_000, 50, 100
#: Milliseconds in which nothing happens.
_NOTHING = 10_000


def waiting(kind: Kind, root: Path) -> list[Fact]:
    """Return what a memq does with many that wait."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(_COUNT, openFiles(_COUNT + 500) - 500)
    server = Server(kind, root)
    try:
        server.start()
        before = server.resident()
        waiters = Waiters(server.connect, count, _QUEUES)
        grown = server.resident() - before
        try:
            found = _measured(waiters, f"{kind.title}, {count:,} waiting")
        finally:
            waiters.close()
        return [
            *found,
            Fact(
                f"{kind.title}, memory of one that waits, connection included",
                f"{grown / count / 1024:.1f} KB",
                "",
            ),
        ]
    finally:
        server.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def _measured(waiters: Waiters, title: str) -> list[Fact]:
    random = Random(1)
    waiters.reach(waiters.queues)
    busy = waiters.busy(_NOTHING)
    single = [waiters.reach([random.choice(waiters.queues)])[0] for _ in range(_SINGLE)]
    many: list[float] = []
    for _ in range(_TIMES):
        many += waiters.reach(random.sample(waiters.queues, _AT_ONCE))
    return [
        Fact(f"{title}: set to its waiter", _percentiles(single), "p99 20 ms"),
        Fact(f"{title}: {_AT_ONCE} sets at once", _percentiles(many), ""),
        Fact(f"{title}: processor, nothing happens", f"{100 * busy:.2f} %", "1 %"),
    ]


def _percentiles(seconds: list[float]) -> str:
    p50, p99 = (percentile(seconds, share) for share in (0.5, 0.99))
    return f"p50 {p50:.2f} ms, p99 {p99:.2f}, at most {1000 * max(seconds):.1f}"


def main() -> None:
    """Measure memq both durable and not synced, and print what is found."""
    with workspace(ROOT / "var") as root:
        for kind in memq():
            progress(f"waiting, {kind.title}")
            for fact in waiting(kind, root):
                print(f"{fact.what}: {fact.figure} ({fact.goal or 'no goal'})")


if __name__ == "__main__":
    main()
