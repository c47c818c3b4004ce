"""Cluster figures: the metrics of a front end about the servers that keep the queues.

What queues have is the cluster's; what is counted is this front end's, so that those of
all front ends can be added up.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from memq.web.metrics.exposition import Family, Sample, counter, counters, gauge, labels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memq.figures import ClusterState


def clusterFamilies(cluster: ClusterState) -> Iterator[Family]:
    """Yield them."""
    yield from _links(cluster)
    yield gauge(
        "memq_cluster_blocked",
        "1 while the queue servers take no sets for want of memory or disk, else 0.",
        int(any(each.isBlocked for each in cluster.links)),
    )
    yield gauge("memq_cluster_nodes", "Queue servers that there are.", cluster.nodes)
    yield gauge("memq_cluster_nodes_running", "Those that run.", cluster.running)
    yield gauge(
        "memq_cluster_sets_unconfirmed",
        "Sets that no majority has confirmed yet.",
        cluster.unconfirmed,
    )
    yield counters(
        "memq_cluster_sets_failed",
        "Sets that the queue servers did not take, or perhaps not; since the start.",
        {labels(reason=why): count for why, count in sorted(cluster.failed.items())},
    )
    yield counter(
        "memq_cluster_gets_failed",
        "Gets answered with an error: each may have taken a message; since the start.",
        cluster.failedGets,
    )
    yield gauge(
        "memq_cluster_queues_without_leader",
        "Queues of which nothing is known: too few of their nodes run.",
        cluster.silent,
    )
    yield gauge(
        "memq_cluster_told_timestamp_seconds",
        "When the queue servers told of their queues, in seconds since 1970.",
        cluster.toldAt,
    )


def _links(cluster: ClusterState) -> Iterator[Family]:
    """Yield what is told of connections, by their purposes."""
    up: Counter[tuple[str, str]] = Counter()
    down: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    for each in cluster.links:
        down[each.purpose] += each.node is None
        lost[each.purpose] += each.lost
        if each.node is not None:
            up[each.purpose, each.node] += 1
    samples = [
        Sample("", labels(purpose=purpose, node=node), count)
        for (purpose, node), count in sorted(up.items())
    ]
    help = "Connections that there are to a queue server."
    yield Family("memq_cluster_connections", "gauge", help, samples)
    yield Family(
        "memq_cluster_connections_missing",
        "gauge",
        "Connections that are tried now.",
        [Sample("", labels(purpose=each), count) for each, count in down.items()],
    )
    yield counters(
        "memq_cluster_connections_lost",
        "Connections that were lost, since the start.",
        {labels(purpose=each): count for each, count in lost.items()},
    )
