"""Fairness: a small client beside one that sends thousands of commands.

The big client sends 10,000 sets in one go, waits for all replies, sends 10,000 gets
in one go, waits for all messages, and so on.  The small one has one connection, or
ten, each with one command under way: a set and a get in turns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.beside import Running
from bench.measure import ordered, progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.measure import Load, Result, Results
    from bench.servers import Fleet, Kind, Server

#: Commands that the big client sends in one go.
BURST = 10_000

#: Connections of the small client.
SMALL = (1, 10)

#: Milliseconds that the small client and the big one run alone, and side by side.
ALONE, BESIDE = 700, 2000

#: Milliseconds that p99 of memq's small client should stay below.
GOAL = 50


def key(kind: Kind, what: str, connections: int = 0) -> str:
    """Return under which name results are kept."""
    return f"fair-{'durable' if kind.durable else 'fast'}-{what}-{connections}"


def runFairness(
    load: Load, fleet: Fleet, kinds: Sequence[Kind], rounds: int, results: Results
) -> None:
    """Measure the small client and the big one, alone and side by side."""
    for turn in range(1, rounds + 1):
        for kind in ordered(kinds, turn):
            seen = _measured(load, fleet.server(kind))
            for (what, count), result in seen.items():
                results.add(key(kind, what, count), kind.name, "pair", turn, result)
            said = ", ".join(
                f"{count}: p99 {seen['beside', count].p99 / 1000:.1f} ms, big "
                f"{seen['big', count].rate / 1000:.1f}k"
                for count in SMALL
            )
            progress(f"round {turn} of {rounds} fairness, {kind.title}, {said}")


def _measured(load: Load, server: Server) -> dict[tuple[str, int], Result]:
    """Return what was seen, by what it is and the small client's connections."""
    seen = {("big", 0): load.run(server, "burst", t=ALONE, **_BIG)}
    for count in SMALL:
        little = {"c": count, "n": 10**8, "k": "small"}
        seen["alone", count] = load.run(server, "pair", t=ALONE, **little)
        with Running(load.command(server, "burst", **_BIG)) as big:
            seen["beside", count] = load.run(server, "pair", t=BESIDE, **little)
            seen["big", count] = big.end()
    return seen


_BIG = {"c": 1, "d": BURST, "n": 10**9, "k": "big"}
