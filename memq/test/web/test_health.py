"""Whether the process lives, and whether it serves."""

from __future__ import annotations

from memq.errors import StoreFailed
from memq.test.web.base import WebTestCase


class HealthTests(WebTestCase):
    """/healthz and /readyz."""

    def check(self, path: str, code: int, text: str) -> None:
        """Check a reply, and that /healthz says the same as ever."""
        reply = self.ask(path)
        self.assertEqual((reply.code, reply.text), (code, f"{text}\n"))
        self.assertEqual(reply.headers["Content-Type"], "text/plain; charset=utf-8")
        reply = self.ask("/healthz")
        self.assertEqual((reply.code, reply.text), (200, "ok\n"))

    def test_ready(self) -> None:
        """A server that listens is ready."""
        self.check("/readyz", 200, "ok")
        self.check("/readyz?for=writes", 200, "ok")

    def test_starting(self) -> None:
        """One that starts is not."""
        self.web.readiness.isListening = False
        self.check("/readyz", 503, "the server is starting")

    def test_stopping(self) -> None:
        """One that stops is no more."""
        self.harness.broker.stop()
        self.check("/readyz", 503, "the server is stopping")

    def test_full(self) -> None:
        """A full disk counts for those who ask for writes, and nobody else."""
        self.harness.fillDisk()
        self.check("/readyz", 200, "ok")
        self.check("/readyz?for=reads", 200, "ok")
        why = "sets are refused: the disk is full"
        self.check("/readyz?for=writes", 503, why)
        self.harness.makeRoom()
        self.check("/readyz?for=writes", 200, "ok")

    def test_failed(self) -> None:
        """Each reason is a line."""
        self.harness.broker.fail(StoreFailed("the disk is gone"))
        self.harness.broker.stop()
        why = "the store has failed: the disk is gone\nthe server is stopping"
        self.check("/readyz", 503, why)
