"""Metrics: open without users, and for monitors with them; health is for all."""

from __future__ import annotations

from memq.config.values import Address
from memq.test.web.api.access.base import AccessTestCase, basic, bearer
from memq.test.web.base import Reply

METRICS = ("/metrics", "/metrics/queues")


class ProtectedTests(AccessTestCase):
    """``/metrics`` and what is below it."""

    settings = {"metricsListen": Address("127.0.0.1", 22281)}  # noqa: RUF012 - as above

    def test_open(self) -> None:
        """Without users all are told."""
        self.replace()
        for path in METRICS:
            self.assertEqual(self.ask(path).code, 200)

    def test_users(self) -> None:
        """With users it is who may see all queues."""
        for path in METRICS:
            reply = self.ask(path)
            self.assertEqual((reply.code, reply.text), (401, "say who you are\n"))
            self.assertIn("Basic", reply.headers["WWW-Authenticate"])
            reply = self.ask(path, "GET", bearer("shopshop"))
            words = "user shop is no monitor\n"
            self.assertEqual((reply.code, reply.text), (403, words))
            for who in ("eye", "ops"):
                self.assertEqual(self.ask(path, "GET", bearer(who * 2)).code, 200)
            self.assertEqual(self.ask(path, "POST").code, 405)
        self.assertEqual(self.ask("/metrics/x").code, 404)

    def test_later(self) -> None:
        """A password and a failure take their time; nobody is answered who is gone."""
        for line, code in ((basic("ops", "pass:word"), 200), (bearer("x"), 401)):
            visitor = self.visitor()
            visitor.request("/metrics", "GET", line)
            self.harness.pass_(1)
            self.assertEqual(Reply(visitor.read(), "GET").code, code)
        visitor = self.visitor()
        visitor.request("/metrics", "GET", bearer("x"))
        visitor.leave()
        self.harness.pass_(1)
        self.assertEqual(visitor.read(), b"")

    def test_health(self) -> None:
        """Health is told to everybody, and so are the files of the page."""
        for path in ("/healthz", "/readyz", "/", "/page/main.js"):
            self.assertEqual(self.ask(path).code, 200, path)

    def test_metricsListen(self) -> None:
        """At their own address metrics are for everybody."""
        self.site = self.web.sites[1]
        self.assertEqual(self.ask("/metrics").code, 200)
        self.assertEqual(self.ask("/api/v1/server").code, 404)
