"""Connections of an engine: what asks the cluster, each over links of its own.

What one purpose costs its connection, by a queue that has lost its leader or a node
that takes no sets for now, is nothing to the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.rabbitmq.asking.consumers import Consumers
from memq.rabbitmq.asking.gets import Gets
from memq.rabbitmq.asking.openreads import OpenReads
from memq.rabbitmq.asking.queues import Queues
from memq.rabbitmq.asking.spread import SpreadGets, SpreadOpenReads
from memq.rabbitmq.engine.engine import Asked
from memq.rabbitmq.links.link import Link
from memq.rabbitmq.names import decode
from memq.rabbitmq.publishing.publisher import Publisher
from memq.rabbitmq.shared.pauses import Pauses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memq.rabbitmq.engine.engine import Engine, Startable
    from memq.rabbitmq.figures.looks import Teller
    from memq.rabbitmq.links.connections import Cluster
    from memq.rabbitmq.names import Name

#: Links for gets, and as many for open reads.
LINKS = 4


def connectTo(
    cluster: Cluster, teller: Teller, timeout: float
) -> Callable[[Engine], tuple[Asked, Sequence[Startable]]]:
    """Return what connects an engine to a cluster.

    :param teller: tells of all queues.
    :param timeout: seconds within which a command is answered.
    """

    def _connect(engine: Engine) -> tuple[Asked, Sequence[Startable]]:
        clock = engine.clock
        gets = [
            Gets(clock, engine.number, engine.stray, timeout, engine.budget)
            for _ in range(LINKS)
        ]
        reads = [OpenReads(clock, engine.number, timeout) for _ in range(LINKS)]
        consumers = [
            Consumers(clock, each, engine.wanted, engine.deliver, timeout)
            for each in reads
        ]
        spreads = SpreadGets(gets), SpreadOpenReads(reads, consumers)

        def _making(name: Name, begins: bool) -> None:
            queue = decode(*name)
            if queue is None:
                return
            for each in spreads:
                (each.hold if begins else each.over)(queue)

        publisher = Publisher(clock, cluster, timeout, making=_making)
        queues, pauses = Queues(clock, timeout), Pauses(clock, timeout)
        links: list[Startable] = [publisher]
        users: list[tuple[str, Any]] = [("gets", each) for each in gets]
        users += [("open reads", each) for each in reads]
        users += [("queues", queues), ("news", pauses.news)]
        for purpose, user in users:
            user.link = Link(clock, cluster, purpose, user)
            links.append(user.link)
        asked = Asked(
            publisher,
            *spreads,
            queues,
            teller,
            pauses,
        )
        return asked, links

    return _connect
