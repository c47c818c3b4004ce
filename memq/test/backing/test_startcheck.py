"""Clusters that are refused, each in one line."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.backing.startcheck import ClusterRefused, checkAnswer, checkFacts, lack
from memq.errors import NEEDS_A_PERSON
from memq.rabbitmq.errors import Untold
from memq.rabbitmq.telling import Facts

GOOD = Facts("4.0.5", 3, 3, False, True)


class CheckTests(SynchronousTestCase):
    """What is refused."""

    def test_facts(self) -> None:
        """A cluster that can lose what it stored is refused for good."""
        mnesia = GOOD._replace(version="3.10.8", isKhepri=False)
        for facts, accepts, why in (
            (GOOD, False, None),
            (mnesia, True, None),
            (
                mnesia,
                False,
                "RabbitMQ 3.10.8 keeps its queues in Mnesia, and can ",
            ),
            (GOOD._replace(isKhepri=None), True, None),
            (GOOD._replace(isKhepri=None), False, "user u lacks the tag administrator"),
            (GOOD._replace(nodes=2), False, "the cluster has 2 of at least 3 nodes"),
            (GOOD._replace(isParted=True), False, "the cluster is in parts, each of "),
        ):
            if why is None:
                checkFacts(facts, "u", accepts)
                continue
            error = self.assertRaises(ClusterRefused, checkFacts, facts, "u", accepts)
            self.assertTrue(str(error).startswith(f"--rabbitmq: {why}"), error)
            self.assertEqual(error.status, NEEDS_A_PERSON)

    def test_answers(self) -> None:
        """A node that says no is believed; one that says nothing may do so later."""
        for code, why in ((401, "refuse user u: "), (404, "have no virtual host v; ")):
            error = Untold("it answered", code)
            refused = self.assertRaises(ClusterRefused, checkAnswer, error, "u", "v")
            self.assertIn(f"the queue servers {why}", str(refused))
        for code in (0, 500):
            checkAnswer(Untold("why", code), "u", "v")

    def test_lack(self) -> None:
        """Without a majority, a cluster is waited for."""
        self.assertIsNone(lack(GOOD._replace(running=2)))
        self.assertEqual(lack(GOOD._replace(running=1)), "1 of 3 queue servers run")
        self.assertEqual(
            lack(GOOD._replace(nodes=4, running=2)), "2 of 4 queue servers run"
        )
