"""Tests for memq.rabbitmq.figures.state."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.figures import LinkState
from memq.rabbitmq.figures.state import troubles
from memq.rabbitmq.telling import Facts

UP = LinkState("gets", "node1", False, 0)
DOWN = LinkState("gets", None, False, 1)


class TroubleTests(SynchronousTestCase):
    """Why clients cannot be served."""

    def test_links(self) -> None:
        """One connection for a purpose is enough."""
        self.assertEqual(list(troubles([DOWN, UP], None)), [])
        self.assertEqual(
            list(troubles([DOWN, DOWN, UP._replace(purpose="sets")], None)),
            ["no queue server is connected for gets"],
        )

    def test_majority(self) -> None:
        """Without a majority of nodes nothing is served."""
        facts = Facts("4.0.5", 3, 2, False, True)
        self.assertEqual(list(troubles([UP], facts)), [])
        self.assertEqual(
            list(troubles([UP], facts._replace(running=1))),
            ["only 1 of 3 queue servers run"],
        )
