"""The audit of the API: each route that changes something leaves exactly one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.test.web.api.base import ApiTestCase

if TYPE_CHECKING:
    from twisted.logger import LogEvent

#: What is sent to each route that changes something, and what the audit says of it.
ACTIONS: dict[tuple[str, str], tuple[str, object, str]] = {
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

    def test_known(self) -> None:
        """Each route is known to change something, or not to."""
        routes = self.web._routes(self.harness.reactor)
        acting = {(each.method, each.path) for each in routes if each.acts}
        self.assertEqual(acting, set(ACTIONS))
        others = {each.method for each in routes if not each.acts}
        self.assertEqual(others, {"GET"})

    def test_one(self) -> None:
        """Each of these leaves one line, with who and by which way."""
        for (method, _), (path, fields, line) in ACTIONS.items():
            self.call(path, method, fields)
            (event,) = self.events
            self.events.clear()
            self.assertEqual((event["way"], event["user"]), ("http", None))
            self.assertTrue(event["peer"])
            said: Any = event["line"].partition(") ")[2]
            self.assertEqual(said[: len(line)], line)

    def test_others(self) -> None:
        """What reads leaves none."""
        for path in ("/server", "/queues", "/queues/jobs", "/rules"):
            self.call(path)
        self.assertEqual(self.events, [])
