"""The memory of front ends over a cluster that is broken again and again.

A front end keeps nothing of what has gone by: not the queues it has seen, not the
connections and consumers that it has lost with their nodes.  So each round of
bench.clusterledger keeps how much memory each front end has after it, and :func:`told`
compares the first rounds of front ends that went through many of them with the last.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from testkit.servers import Server

#: Rounds that the middle is taken of; so many before them, in which caches fill.
SOME, WARM = 5, 2


def memory(fronts: Iterable[Server]) -> dict[str, int]:
    """Return the resident memory of servers, in kB, by their process ids.

    The ids are strings, as they are in JSON.
    """
    return {str(each.pid): each.residentNow() // 1024 for each in fronts}


def told(rounds: Iterable[dict[str, Any]]) -> str:
    """Return a sentence for front ends that went through enough rounds, the most first.

    :param rounds: as they are kept: those without ``memory`` say nothing.
    """
    runs: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for each in rounds:
        runs.setdefault(tuple(each.get("memory", ())), []).append(each)
    sentences = [
        _sentence(pids, run)
        for pids, run in sorted(runs.items(), key=lambda item: -len(item[1]))
        if pids and len(run) >= WARM + 2 * SOME
    ]
    return "".join(f"\n{each}\n" for each in sentences)


def _sentence(pids: Sequence[str], run: Sequence[dict[str, Any]]) -> str:
    minutes = (run[-1]["at"] - run[0]["at"]) / 60
    first, last = run[WARM : WARM + SOME], run[-SOME:]
    each = [f"{_middle(first, pid)} and {_middle(last, pid)} MB" for pid in pids]
    return (
        f"The same front ends went through {len(run)} of these rounds, in "
        f"{minutes:.0f} minutes. Their memory after the first and after the last of "
        f"them: {', '.join(each)} (the middle of {SOME} rounds)."
    )


def _middle(rounds: Sequence[dict[str, Any]], pid: str) -> str:
    return f"{median(each['memory'][pid] for each in rounds) / 1024:.1f}"
