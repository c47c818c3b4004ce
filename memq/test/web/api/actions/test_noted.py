"""An action that nobody foresaw to fail is told so."""

from __future__ import annotations

from memq.test.web.api.actions.base import ActionTestCase


class UnforeseenTests(ActionTestCase):
    """Errors that nobody foresaw."""

    def test_unforeseen(self) -> None:
        """One is logged, and the reply says where to look."""

        def reload() -> None:
            raise ZeroDivisionError

        self.patch(self.harness.factory.rules, "reload", reload)
        found = self.refused("/reload", "POST")
        self.assertEqual(found, (500, "internal error: see the log"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_stopping(self) -> None:
        """A server that stops does nothing, and the line says so."""
        self.harness.broker.stop()
        found = self.refused("/queues/q/resume", "POST")
        self.assertEqual(found, (503, "the server is stopping"))
        self.assertEqual(self.said(), ["resume q: the server is stopping"])
        (visible,) = [self.call("/queues/q/resume", "POST").headers["Retry-After"]]
        self.assertEqual(visible, "1")
