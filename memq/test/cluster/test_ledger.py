"""A round of bench.clusterledger for each fault that takes seconds: nothing is lost.

`make torture-cluster` plays many rounds, and longer faults.
"""

from __future__ import annotations

from bench.clusterledger import begin, line, playRound
from memq.test.cluster.nodes import ClusterTestCase


class LedgerTests(ClusterTestCase):
    """Faults under load."""

    def play(self, fault: str) -> None:
        """Play a round; all has to be as promised."""
        nodes = self.nodes()
        # The last one may have failed.
        nodes.start()
        fronts = begin(nodes)
        for front in fronts:
            self.addCleanup(front.stop)
        kept = playRound(nodes, fronts, fault, 0)
        logs = "\n".join(
            f"{front.port}: {entry}" for front in fronts for entry in front.log
        )
        self.assertEqual(kept["wrong"], [], f"{line(kept)}\n{logs}")

    def test_node(self) -> None:
        """A node may die."""
        self.play("node")

    def test_leader(self) -> None:
        """So may the one that leads the queues."""
        self.play("leader")

    def test_two(self) -> None:
        """Two of three may die, and come back."""
        self.play("two")

    def test_front(self) -> None:
        """A front end may die."""
        self.play("front")

    def test_memory(self) -> None:
        """A node may be short of memory."""
        self.play("memory")
