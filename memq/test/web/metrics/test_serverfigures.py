"""What became of messages is told, by its reason."""

from __future__ import annotations

from typing import Any

from memq.figures import Outcome
from memq.policy.rules import Rules, Table
from memq.test.web.base import WebTestCase


class OutcomeTests(WebTestCase):
    """Messages that are given, and what comes of that."""

    def setUp(self) -> None:
        """Have a client and a message."""
        super().setUp()
        self.client = self.harness.connect()
        self.push(b"q", b"x")

    def rule(self, **values: Any) -> None:
        """Let q have a rule."""
        self.harness.policies.replace(Rules([Table(b"q", values)]))

    def told(self, metric: str) -> dict[str, int]:
        """Return what is not 0 of a metric, by its label."""
        name = f"memq_messages_{metric}_total"
        found = self.samples()
        samples = {key: int(found[key]) for key in found if key.startswith(f"{name}{{")}
        self.assertGreater(len(samples), 1)
        return {key.split('"')[1]: count for key, count in samples.items() if count}

    def test_given(self) -> None:
        """What is taken, opened, or only looked at is told apart."""
        self.push(b"q", b"y", b"z" * 70_000)
        self.assertEqual(self.told("given"), {})
        self.client.talk(b"get q/peek\r\n")
        self.assertEqual(self.told("given"), {})
        self.client.talk(b"get q\r\nget q/open\r\nget none/open none\r\n")
        self.assertEqual(self.told("given"), {"taken": 1, "opened": 1})
        self.client.talk(b"stats reset\r\nget q/close/open\r\n")
        self.assertEqual(self.told("given"), {"taken": 1, "opened": 2})
        self.push(b"r", b"y", b"z")
        self.client.talk(b"monitor r 9 2\r\n")
        self.assertEqual(self.told("given"), {"taken": 1, "opened": 4})

    def test_returned(self) -> None:
        """A message goes back for three reasons."""
        self.rule(open_timeout=2)
        self.client.talk(b"get q/open\r\nget q/abort\r\n")
        self.assertEqual(self.told("returned"), {"abort": 1})
        self.client.talk(b"get q/open\r\n")
        self.harness.pass_(3)
        self.assertEqual(self.told("returned"), {"abort": 1, "timeout": 1})
        self.client.talk(b"get q/open\r\n")
        self.client.end()
        expected = {"abort": 1, "timeout": 1, "disconnect": 1}
        self.assertEqual(self.told("returned"), expected)
        again = self.harness.connect()
        again.talk(b"get q/open\r\nget q/abort/delay=9\r\n")
        self.assertEqual(self.told("returned"), expected | {"abort": 2})
        self.assertEqual(self.told("dead_lettered"), {})

    def test_deadLetters(self) -> None:
        """A dead letter was given back too often, or is too old."""
        self.rule(max_deliveries=1, dead_letter=b"dead")
        self.client.talk(b"get q/open\r\nget q/abort\r\n")
        self.assertEqual(self.told("dead_lettered"), {"deliveries": 1})
        self.assertEqual(self.told("returned"), {"abort": 1})
        self.rule(max_age=1, expired_to=b"dead")
        self.push(b"q", b"y", b"z")
        self.harness.pass_(2)
        self.client.talk(b"get q\r\n")
        self.assertEqual(self.told("dead_lettered"), {"deliveries": 1, "expired": 2})

    def test_dropped(self) -> None:
        """What is dropped instead is no dead letter."""
        self.rule(max_deliveries=1)
        self.client.talk(b"get q/open\r\nget q/abort\r\n")
        self.rule(max_age=1)
        self.push(b"q", b"y")
        self.harness.pass_(2)
        self.client.talk(b"get q\r\n")
        self.assertEqual(self.told("dead_lettered"), {})

    def test_damaged(self) -> None:
        """Records that are set aside are counted."""
        self.assertEqual(self.samples()["memq_messages_damaged_total"], "0")
        self.store.begin()
        self.store.countOutcome(Outcome.DAMAGED)
        self.store.commit()
        self.assertEqual(self.samples()["memq_messages_damaged_total"], "1")
