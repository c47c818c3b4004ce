"""The workloads that are measured, and memq's goals in them."""

from __future__ import annotations

from typing import NamedTuple

from bench.measure import Workload
from bench.processors import Placement

#: The main table.
MAIN = (
    Workload("durable-50x1", "durable, 50 connections, 1 outstanding", True),
    Workload(
        "durable-50x16", "durable, 50 connections, 16 outstanding", True, outstanding=16
    ),
    Workload(
        "durable-1",
        "durable, 1 connection",
        True,
        connections=1,
        placement=Placement.APART,
    ),
    Workload("fast-50x1", "not synced, 50 connections, 1 outstanding", False),
    Workload(
        "fast-50x16",
        "not synced, 50 connections, 16 outstanding",
        False,
        outstanding=16,
    ),
    Workload(
        "fast-1",
        "not synced, 1 connection",
        False,
        connections=1,
        placement=Placement.APART,
    ),
    Workload(
        "fast-1-together",
        "not synced, 1 connection, on one processor",
        False,
        connections=1,
        placement=Placement.TOGETHER,
    ),
    Workload("fast-1000", "not synced, 1,000 connections", False, connections=1000),
    Workload(
        "fast-queues",
        "not synced, 50 connections, 10,000 queues",
        False,
        queues=10000,
        milliseconds=600,
        instance="queues",
    ),
)

#: In the full run only: durable as well, and more connections and sizes.
MORE = (
    Workload("durable-1000", "durable, 1,000 connections", True, connections=1000),
    Workload(
        "durable-queues",
        "durable, 50 connections, 10,000 queues",
        True,
        queues=10000,
        milliseconds=600,
        instance="queues",
    ),
)

#: Connections, for the plot; 1, 50 and 1,000 are in the tables.
CONNECTIONS = (1, 10, 50, 200, 1000)
SWEEP = tuple(
    Workload(
        f"{word}-{count}", f"{title}, {count} connections", durable, connections=count
    )
    for word, title, durable in (
        ("durable", "durable", True),
        ("fast", "not synced", False),
    )
    for count in (10, 200)
)

#: Message sizes in bytes, for the plot; 100 is in the main table.
SIZES = (100, 1000, 10000, 100000)
BODIES = tuple(
    Workload(
        f"fast-size-{size}",
        f"not synced, {size:,} bytes",
        False,
        size=size,
        operations=400_000_000 // size,
        instance="sizes",
    )
    for size in SIZES[1:]
)

_MIB = Workload(
    "fast-mib-shallow",
    "not synced, 1 MiB bodies, 32 of them",
    False,
    connections=4,
    size=1 << 20,
    operations=32,
    milliseconds=20000,
    instance="large",
)

#: 1 MiB: what the cache holds, and eight times the cache.
LARGE = (
    _MIB._replace(
        key="durable-mib-shallow",
        title="durable, 1 MiB bodies, 32 of them",
        durable=True,
    ),
    _MIB,
    _MIB._replace(
        key="fast-mib-deep",
        title="not synced, 1 MiB bodies, 512 of them",
        operations=512,
        names=("memq", "redis"),
        instance="large-deep",
    ),
)


#: Megabytes a second that memq wants to set and to get of those.
LARGE_GOALS: dict[str, tuple[int | None, int | None]] = {
    "durable-mib-shallow": (None, None),
    "fast-mib-shallow": (200, 150),
    "fast-mib-deep": (200, 80),
}


#: Microseconds of a processor that memq wants to take at most for a set and for a get.
CPU_GOALS: dict[str, tuple[float | None, float | None]] = {"fast-50x1": (13.5, 14.5)}


class Goal(NamedTuple):
    """A goal of memq: at least so many times another rate.

    :ivar key: memq's workload.
    :ivar other: the workload that it is compared to.
    :ivar name: the server that it is compared to.
    :ivar least: for set and for get; None for no goal.
    """

    key: str
    other: str
    name: str
    least: tuple[float | None, float | None]


def _peers(key: str, **least: tuple[float | None, float | None]) -> list[Goal]:
    names = ("redis", "beanstalkd", "MemcacheQ")
    return [Goal(key, key, name, least.get(name, (None, None))) for name in names]


GOALS = (
    *_peers("durable-50x1", redis=(0.82, 0.7), beanstalkd=(4, 4)),
    *_peers("durable-50x16", redis=(0.6, 0.42)),
    *_peers("durable-1", redis=(0.72, 0.72), MemcacheQ=(0.62, 0.66)),
    *_peers("durable-1000"),
    *_peers("durable-queues"),
    *_peers("fast-50x1", beanstalkd=(1, 1.35), MemcacheQ=(1.1, 1.3)),
    *_peers("fast-50x16", MemcacheQ=(2.6, 3.6)),
    *_peers("fast-1", MemcacheQ=(0.76, 0.8)),
    *_peers("fast-1-together"),
    *_peers("fast-1000"),
    *_peers("fast-queues"),
    Goal("fast-50x16", "fast-50x1", "memq", (3.5, 2.7)),
    Goal("durable-1000", "durable-50x1", "memq", (0.8, 0.8)),
    Goal("fast-1000", "fast-50x1", "memq", (0.8, 0.8)),
    Goal("durable-queues", "durable-50x1", "memq", (0.6, 0.6)),
    Goal("fast-queues", "fast-50x1", "memq", (0.6, 0.6)),
)

QUICK = MAIN
FULL = (*MAIN, *MORE, *SWEEP, *BODIES, *LARGE)
TABLE = (*MAIN, *MORE)
