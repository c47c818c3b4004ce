"""The audit of the API: each route that changes something leaves exactly one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.test.web.api.base import ApiTestCase

if TYPE_CHECKING:
    from twisted.logger import LogEvent

#: What is sent to each route that changes something, and what the audit says of it.
ACTIONS: dict[tuple[str, str], tuple[str, object, str]] = {
    ("POST", "/api/v1/queues/{queue}/messages"): (
        *("/queues/jobs/messages", {"text": "xyzzy", "flags": 1}),
        "set jobs bytes=5 flags=1: STORED",
    ),
    ("POST", "/api/v1/queues/{queue}/pause"): (
        *("/queues/jobs/pause", {"reads": True}),
        "pause jobs",
    ),
    ("POST", "/api/v1/queues/{queue}/resume"): (
        *("/queues/jobs/resume", {}),
        "resume jobs: OK",
    ),
    ("POST", "/api/v1/queues/{queue}/move"): (
        *("/queues/jobs/move", {"to": "other"}),
        "move jobs target=other count=3: MOVED 3",
    ),
    ("POST", "/api/v1/queues/{queue}/redrive"): (
        *("/queues/jobs/redrive", {}),
        "redrive jobs count=0: MOVED 0",
    ),
    ("POST", "/api/v1/queues/{queue}/flush"): (
        *("/queues/other/flush", {"confirm": "other"}),
        "flush other count=3: END",
    ),
    ("DELETE", "/api/v1/queues/{queue}"): (
        *("/queues/jobs", {"confirm": "jobs"}),
        "delete jobs: DELETED",
    ),
    ("DELETE", "/api/v1/connections/{id}"): ("/connections/1", None, "kill id=1"),
    ("POST", "/api/v1/reload"): ("/reload", {}, "reload: OK"),
    ("PUT", "/api/v1/rules/{pattern}"): (
        *("/rules/jobs", {"max_items": 5}),
        "rule set jobs values=max_items=5:",
    ),
    ("DELETE", "/api/v1/rules/{pattern}"): ("/rules/jobs", None, "rule unset jobs"),
}


class AuditedTests(ApiTestCase):
    """Lines of the audit."""

    settings = {"actions": "anyone"}  # noqa: RUF012 - not changed

    def setUp(self) -> None:
        """Look at the audit; there is a queue with messages."""
        super().setUp()
        self.events: list[LogEvent] = []
        self.patch(self.harness.factory.audit, "_publish", self.events.append)
        self.push(b"jobs", b"a", b"b")
        self.harness.connect()

    def test_known(self) -> None:
        """Each route is known to change something, or not to."""
        routes = self.web._routes(self.harness.reactor)
        acting = {(each.method, each.path) for each in routes if each.acts}
        self.assertEqual(acting, set(ACTIONS))
        others = [each for each in routes if not each.acts]
        self.assertEqual(
            {each.path for each in others if each.method != "GET"}, {"/api/v1/login"}
        )

    def test_one(self) -> None:
        """Each of these leaves one line, with who and by which way."""
        for (method, _), (path, fields, line) in ACTIONS.items():
            self.call(path, method, fields)
            (event,) = self.events
            self.events.clear()
            self.assertEqual((event["way"], event["user"]), ("http", None))
            self.assertTrue(event["peer"])
            self.assertNotIn("xyzzy", str(event))
            said: Any = event["line"].partition(") ")[2]
            self.assertEqual(said[: len(line)], line)

    def test_others(self) -> None:
        """What reads leaves none."""
        for path in ("/server", "/queues", "/queues/jobs", "/rules"):
            self.call(path)
        self.assertEqual(self.events, [])
