"""State: what is known of a cluster's nodes, and of the connections to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.figures import ClusterState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from memq.figures import LinkState
    from memq.rabbitmq.figures.counts import Counts
    from memq.rabbitmq.figures.looks import Looks
    from memq.rabbitmq.telling import Facts


def troubles(links: Sequence[LinkState], facts: Facts | None) -> Iterator[str]:
    """Yield why clients cannot be served, each in a line.

    :param facts: what nodes there are; None if nobody tells.
    """
    if facts is not None and 2 * facts.running <= facts.nodes:
        yield f"only {facts.running} of {facts.nodes} queue servers run"
    up = {each.purpose for each in links if each.node is not None}
    for purpose in dict.fromkeys(each.purpose for each in links):
        if purpose not in up:
            yield f"no queue server is connected for {purpose}"


def clusterState(
    links: Sequence[LinkState],
    looks: Looks,
    counts: Counts,
    unconfirmed: int,
    now: float,
) -> ClusterState:
    """Return what is told.

    :param unconfirmed: sets that are under way.
    :param now: the time, in seconds since 1970.
    """
    facts, ago = looks.facts(), looks.ago
    return ClusterState(
        links,
        None if facts is None else facts.nodes,
        None if facts is None else facts.running,
        None if facts is None else facts.version,
        unconfirmed,
        counts.failed,
        counts.failedGets,
        None if looks.last is None else looks.last.silent,
        None if ago is None else now - ago,
    )
