"""Plans: what holds for a queue, and when it costs nothing to know that."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from memq.policy.effective import Plan, Plans
from memq.policy.rules import READS, WRITES, Rule, Rules, Table
from memq.storage.memory import MemoryStore


class PlansTests(SynchronousTestCase):
    """The plans over a store in memory."""

    def setUp(self) -> None:
        """Begin with an empty store."""
        self.store = MemoryStore()

    def rules(self, **values: Any) -> Rules:
        """Return rules for the queue q."""
        return Rules([Table(b"q", values)])

    def test_plain(self) -> None:
        """Without rules, limits and pauses nothing is active, and no queue has any."""
        plans = Plans(self.store)
        self.store.push(b"q", 0, b"x")
        plans.look()
        self.assertFalse(plans.isActive)
        self.assertIsNone(plans.of(b"q"))
        self.assertIsNone(plans.of(b"none"))

    def test_rules(self) -> None:
        """A rule is a plan for those queues that it is for."""
        plans = Plans(self.store, self.rules(max_items=3))
        self.assertTrue(plans.isActive)
        self.assertEqual(plans.of(b"q"), Plan(Rule(maxItems=3)))
        self.assertIsNone(plans.of(b"other"))

    def test_store(self) -> None:
        """A limit or a pause that the store keeps is one as well."""
        for set_ in (self.store.setLimit, self.store.setPaused):
            self.store.delete(b"q")
            set_(b"q", 2)
            plans = Plans(self.store)
            plans.look()
            self.assertTrue(plans.isActive)
        self.assertEqual(plans.of(b"q"), Plan(paused=2))

    def test_both(self) -> None:
        """Pauses of both go together; of both limits the smaller one counts."""
        self.store.setLimit(b"q", 5)
        self.store.setPaused(b"q", WRITES)
        plans = Plans(self.store, self.rules(max_items=3, paused=READS))
        plan = plans.of(b"q")
        assert plan is not None
        self.assertEqual((plan.maxItems, plan.paused), (3, READS | WRITES))
        self.assertTrue(plan.readsArePaused and plan.writesArePaused)
        self.assertEqual(Plan(limit=5).maxItems, 5)
        self.assertEqual(Plan(Rule(maxItems=3)).maxItems, 3)
        self.assertEqual(Plan().maxItems, 0)
        self.assertFalse(Plan().readsArePaused or Plan().writesArePaused)

    def test_activate(self) -> None:
        """Who is about to keep a limit says so first."""
        plans = Plans(self.store)
        plans.activate()
        plans.look()
        self.assertTrue(plans.isActive)

    def test_replaced(self) -> None:
        """Other rules hold at once; who wants to know is told."""
        told: list[bool] = []
        plans = Plans(self.store)
        plans.replace(Rules())
        self.assertFalse(plans.isActive)
        plans.onChange = lambda: told.append(plans.isActive)
        plans.replace(self.rules(max_items=3))
        self.assertEqual(plans.of(b"q"), Plan(Rule(maxItems=3)))
        plans.replace(Rules())
        self.assertIsNone(plans.of(b"q"))
        self.assertEqual(told, [True, True])

    def test_now(self) -> None:
        """The time is that of the wall, in milliseconds."""
        self.assertEqual(Plans(self.store, seconds=lambda: 12.3456).now(), 12345)
