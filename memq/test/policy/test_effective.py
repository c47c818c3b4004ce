"""Effective policies: what holds for a queue, and when nothing has to be asked."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from memq.policy.effective import EffectivePolicy, Policies
from memq.policy.rules import READS, WRITES, Rule, Rules, Table
from memq.storage.memory import MemoryStore


class PoliciesTests(SynchronousTestCase):
    """The policies over a store in memory."""

    def setUp(self) -> None:
        """Begin with an empty store."""
        self.store = MemoryStore()

    def rules(self, **values: Any) -> Rules:
        """Return rules for the queue q."""
        return Rules([Table(b"q", values)])

    def test_plain(self) -> None:
        """Without rules, limits and pauses nothing is active, and no queue has any."""
        policies = Policies(self.store)
        self.store.push(b"q", 0, b"x")
        policies.look()
        self.assertFalse(policies.isActive)
        self.assertIsNone(policies.of(b"q"))
        self.assertIsNone(policies.of(b"none"))

    def test_rules(self) -> None:
        """A rule is a policy for those queues that it is for."""
        policies = Policies(self.store, self.rules(max_items=3))
        self.assertTrue(policies.isActive)
        self.assertEqual(policies.of(b"q"), EffectivePolicy(Rule(maxItems=3)))
        self.assertIsNone(policies.of(b"other"))

    def test_store(self) -> None:
        """A limit or a pause that the store keeps is one as well."""
        for set_ in (self.store.setLimit, self.store.setPaused):
            self.store.delete(b"q")
            set_(b"q", 2)
            policies = Policies(self.store)
            policies.look()
            self.assertTrue(policies.isActive)
        self.assertEqual(policies.of(b"q"), EffectivePolicy(paused=2))

    def test_both(self) -> None:
        """Pauses of both go together; of both limits the smaller one counts."""
        self.store.setLimit(b"q", 5)
        self.store.setPaused(b"q", WRITES)
        policies = Policies(self.store, self.rules(max_items=3, paused=READS))
        policy = policies.of(b"q")
        assert policy is not None
        self.assertEqual((policy.maxItems, policy.paused), (3, READS | WRITES))
        self.assertTrue(policy.readsArePaused and policy.writesArePaused)
        self.assertEqual(EffectivePolicy(limit=5).maxItems, 5)
        self.assertEqual(EffectivePolicy(Rule(maxItems=3)).maxItems, 3)
        self.assertEqual(EffectivePolicy().maxItems, 0)
        self.assertFalse(
            EffectivePolicy().readsArePaused or EffectivePolicy().writesArePaused
        )

    def test_activate(self) -> None:
        """A caller that is about to keep a limit says so first."""
        policies = Policies(self.store)
        policies.activate()
        policies.look()
        self.assertTrue(policies.isActive)

    def test_replaced(self) -> None:
        """Other rules hold at once; who wants to know is told."""
        told: list[bool] = []
        policies = Policies(self.store)
        policies.replace(Rules())
        self.assertFalse(policies.isActive)
        policies.subscribe(lambda: told.append(policies.isActive))
        policies.replace(self.rules(max_items=3))
        self.assertEqual(policies.of(b"q"), EffectivePolicy(Rule(maxItems=3)))
        policies.replace(Rules())
        self.assertIsNone(policies.of(b"q"))
        self.assertEqual(told, [True, True])

    def test_now(self) -> None:
        """The time is that of the wall, in milliseconds."""
        self.assertEqual(Policies(self.store, seconds=lambda: 12.3456).now(), 12345)
