"""Throughput with more and more messages waiting.

A backlog grows step by step, on all servers, and at each step messages are set and
taken from every one of them in rounds.  A memq that stays empty goes along, so that
deep and empty are compared in the same rounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.measure import ordered, progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.measure import Load, Results
    from bench.servers import Server

#: Messages that wait, and their size in bytes.
DEPTHS = (0, 10_000, 100_000, 500_000, 1_000_000, 2_000_000)
SIZE = 200

#: The name of the memq that stays empty.
EMPTY = "empty memq"


def runDepths(
    load: Load, servers: Sequence[tuple[str, Server]], rounds: int, results: Results
) -> None:
    """Measure pairs of set and get at each depth, on servers by name."""
    before = 0
    for depth in DEPTHS:
        for name, server in servers:
            if depth and name != EMPTY:
                fill = {"n": depth - before, "s": SIZE, "c": 50, "d": 16, "k": "deep"}
                filled = load.run(server, "set", **fill)
                progress(
                    f"{name}: {depth:,} wait, {filled.rate / 1000:.0f}k/s to there"
                )
                results.add(f"fill-{depth}", name, "set", 1, filled)
        before = depth
        for turn in range(rounds + 1):
            said = []
            for name, server in ordered(servers, turn):
                pair = load.run(server, "pair", t=500, n=10**8, s=SIZE, k="deep")
                said.append(f"{name} {pair.rate / 1000:.1f}k")
                if turn:
                    results.add(f"depth-{depth}", name, "pair", turn, pair)
            progress(f"round {turn} of {rounds} depth-{depth:<10} {', '.join(said)}")
