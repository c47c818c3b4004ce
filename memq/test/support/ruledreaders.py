"""Brokers over queues with rules, with one clock for everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.policy.rules import Rules, Table
from memq.test.support.readers import ReaderTestCase

if TYPE_CHECKING:
    from memq.interfaces import QueueDetail


def rules(**tables: dict[str, Any]) -> Rules:
    """Return rules: what the tables of queues say, as Rule has it."""
    return Rules([Table(name.encode(), values) for name, values in tables.items()])


class RuledTestCase(ReaderTestCase):
    """A broker, a store and plans that go by the reactor's time."""

    def setUp(self) -> None:
        """Let them."""
        super().setUp()
        self.store._seconds = self.broker.policies._seconds = self.reactor.seconds

    def rule(self, **values: Any) -> None:
        """Let q have a rule, and no other queue."""
        self.broker.policies.replace(rules(q=values))

    def wait(self, seconds: float) -> None:
        """Let time pass, and everything happen."""
        self.reactor.advance(seconds)
        self.settle()

    def detail(self, queue: bytes = b"q") -> QueueDetail:
        """Return what the store tells of a queue."""
        found = self.store.detail(queue)
        assert found is not None
        return found
