"""Costs of a front end's commands in instructions: sets and gets over a cluster.

`python -m bench.clustercosts` counts them under callgrind as bench/costs.py does, and
prints the section of docs/cluster.md; with --write, it puts it there.  The queue
servers are in the same process, and what they do is not counted; nor is the kernel.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any

import pika

from bench import costs, inprocess, sections
from bench.clusternode import Node
from bench.tables import table
from bench.workspace import ROOT, workspace
from memq.rabbitmq.connecting import connectTo
from memq.rabbitmq.engine.engine import Engine
from memq.rabbitmq.links import connections
from memq.server.factory import FactorySettings, QueueFactory
from memq.server.stats import Statistics

if TYPE_CHECKING:
    from twisted.internet.task import Clock

#: The bodies that are got.
_BODY = b"x" * 100


class Front(inprocess.Server):
    """A front end with clients, each of which sends a command a round.

    :ivar pause: lets nothing be counted until it is called again.
    """

    def __init__(self, library: str, path: str, clients: int) -> None:
        """Connect it to three nodes."""
        self.pause: Any = ctypes.PyDLL(library).pause_or_go_on
        self._nodes = [Node(_BODY) for _ in range(3)]
        super().__init__(path, clients)

    def factory(self, path: str, clock: Any) -> QueueFactory:
        """Return what makes connections, its links up."""
        # What is known of pauses stays known.
        clock.seconds = repeat(1_000.0).__next__
        self._clock: Clock = clock
        nodes = enumerate(self._nodes)
        named = [connections.Node(f"n{at}", node) for at, node in nodes]
        cluster = connections.Cluster(named, pika.ConnectionParameters())
        teller: Any = None
        engine = Engine(
            clock, connectTo(cluster, teller, 5.0), later=self._calls.append
        )
        engine.start()
        maintenance: Any = None
        statistics = Statistics(clock, engine)
        factory = QueueFactory(engine, maintenance, statistics, FactorySettings())
        self._settle()
        return factory

    def _settle(self) -> None:
        """Let all be done and answered that needs no time."""
        isOver = False
        while not isOver:
            self.turn()
            self._clock.advance(0)
            self.pause()
            peers = [peer for node in self._nodes for peer in node.peers]
            saying = [peer for peer in peers if peer.take()]
            isOver = not saying
            self.pause()
            for peer in saying:
                peer.answer()

    def round(self, request: bytes) -> None:
        """Let each client send a command, and all be answered."""
        for client in self._clients:
            client.dataReceived(request)
        self._settle()


def section(found: dict[str, costs.Costs]) -> str:
    """Return the section."""
    rows = [
        [shape, verb, f"{one.instructions:,.0f}"]
        for verb, each in found.items()
        for shape, one in each.totals.items()
        if "cold" not in shape
    ]
    words = """\
Instructions of a front end for a set and a get of 100 bytes, a command at a time on
each connection, counted by callgrind without the kernel; all that comes together goes
to a node together. `python -m bench.clustercosts --write` counts them.

"""
    return words + table(["", "", "instructions"], rows)


def main() -> None:
    """Count as the words of the command line say, or print or write what is found."""
    if sys.argv[1:2] == ["--count"]:
        words = sys.argv[2:]
        inprocess.count(partial(Front, words[-2]), words)
        return
    parser = argparse.ArgumentParser(description=__doc__)
    sections.addOption(parser, sections.CLUSTER)
    parser.add_argument("--functions", action="store_true", help="print those, too")
    options = parser.parse_args()
    program = [sys.executable, "-m", "bench.clustercosts", "--count"]
    with workspace(ROOT / "var") as root:
        found = costs.costs(program, root, divides=options.functions)
    if options.functions:
        print(costs.section(found))
    text = section(found)
    sections.tell("bench.clustercosts", text, options.write, sections.CLUSTER)


if __name__ == "__main__":
    main()
