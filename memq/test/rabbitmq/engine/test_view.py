"""Tests for memq.rabbitmq.engine.view."""

from __future__ import annotations

from itertools import count

from twisted.trial.unittest import SynchronousTestCase

from memq.errors import StoreError
from memq.message import Message
from memq.rabbitmq.engine.view import Parts, View
from memq.rabbitmq.figures.counts import RETURNS, Counts


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

        with self.assertRaises(StoreError) as caught:
            self.view.names()
        self.assertIn("(names)", str(caught.exception))

    def test_returned(self) -> None:
        """What goes back counts, if that is a delivery."""
        counts = Counts()
        view = View(count(1).__next__, Parts(), counts=counts)
        message = Message(0, 1, 0, 0, b"x")
        self.assertTrue(view.abortRead(b"q", message, False))
        self.assertTrue(view.abortRead(b"q", message, True))
        self.assertEqual(counts.of(b"q")[RETURNS], 1)

    def test_settings(self) -> None:
        """No queue has settings."""
        self.assertFalse(self.view.hasSettings())
        self.assertEqual(self.view.settings(b"q"), (0, 0))
