"""Tests for memq.rabbitmq.engine.view."""

from __future__ import annotations

from itertools import count

from twisted.trial.unittest import SynchronousTestCase

from memq.errors import StoreError
from memq.rabbitmq.engine.view import Parts, View


class ViewTests(SynchronousTestCase):
    """What is not there."""

    def setUp(self) -> None:
        """Begin with nothing."""
        self.view = View(count(1).__next__, Parts())

    def test_refused(self) -> None:
        """What a cluster is not asked for is an error with words."""
        with self.assertRaises(StoreError) as caught:
            self.view.status()
        self.assertIn("queue servers do not keep that (status)", str(caught.exception))

    def test_settings(self) -> None:
        """No queue has settings."""
        self.assertFalse(self.view.hasSettings())
        self.assertEqual(self.view.settings(b"q"), (0, 0))
