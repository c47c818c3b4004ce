"""Ranking: the queues into and out of which most messages go, of very many."""

from __future__ import annotations

from operator import add
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: Queues that are looked at in one go, in an eighth of one.
AT_ONCE = 1024
#: How many are found at most.
BUSIEST = 200


def ranked(
    names: Sequence[bytes],
    incoming: Sequence[float],
    outgoing: Sequence[float],
    take: Callable[[list[bytes]], object],
) -> Iterator[None]:
    """Find the busiest queues, some at each step; what nothing moves in is none.

    :param take: is told them in the end, the busiest first.
    """
    found: list[tuple[float, int]] = []
    least = 0.0
    for start in range(0, len(names), AT_ONCE):
        stop = start + AT_ONCE
        rates = [*map(add, incoming[start:stop], outgoing[start:stop])]
        if max(rates) > least:
            # Numbers are put in order in a fifth of the time that pairs are.
            enough = sorted(rates, reverse=True)[:BUSIEST][-1]
            more = [
                (rate, place)
                for place, rate in enumerate(rates, start)
                if rate >= enough and rate > least
            ]
            found = sorted(found + more, reverse=True)[:BUSIEST]
            if len(found) == BUSIEST:
                least = found[-1][0]
        yield None
    take([names[place] for _, place in found])
