"""Rules over HTTP: all are told, and those online are changed, with a line of audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import fail
from twisted.python.failure import Failure

from memq.errors import RulesNotKept
from memq.policy.rules import Table
from memq.test.web.api.base import ApiTestCase
from memq.web.api.rules import AT_ONCE

if TYPE_CHECKING:
    from twisted.logger import LogEvent


class RulesTestCase(ApiTestCase):
    """Rules may be changed."""

    settings = {"actions": "anyone"}  # noqa: RUF012 - not changed

    def setUp(self) -> None:
        """Look at the audit."""
        super().setUp()
        self.events: list[LogEvent] = []
        self.patch(self.harness.factory.audit, "_publish", self.events.append)
        self.reloader = self.harness.factory.rules

    def audited(self) -> list[str]:
        """Return what the audit said, but for from where."""
        lines = [event["line"].partition(" ")[2] for event in self.events]
        self.events.clear()
        return lines


class ListTests(RulesTestCase):
    """The list."""

    def test_none(self) -> None:
        """There may be no rules."""
        self.assertEqual(self.told("/rules"), {"rules": []})

    def test_both(self) -> None:
        """Those of the file come first, each with where it stands."""
        values: Any = {"max_items": 5, "fanout": (b"a", b"b"), "dead_letter": None}
        table = Table(b"x*", values, "/etc/m.toml", (2, 3, 4), locked=True)
        self.reloader.tables = (table,)
        self.told("/rules/q", "PUT", {"paused": "reads", "max_age": 1.5})
        self.assertEqual(
            self.told("/rules")["rules"],
            [
                {
                    "pattern": "x*",
                    "online": False,
                    "locked": True,
                    "values": {"max_items": 5, "fanout": ["a", "b"], "dead_letter": ""},
                    "from": {
                        "max_items": "/etc/m.toml:2",
                        "fanout": "/etc/m.toml:3",
                        "dead_letter": "/etc/m.toml:4",
                    },
                },
                {
                    "pattern": "q",
                    "online": True,
                    "locked": False,
                    "values": {"max_age": 1.5, "paused": "reads"},
                    "from": {"max_age": "memory", "paused": "memory"},
                },
            ],
        )

    def test_many(self) -> None:
        """There may be many."""
        count = 2 * AT_ONCE + 1
        self.reloader.tables = tuple(
            Table(b"q%d" % each, {"max_items": each}) for each in range(count)
        )
        found = [each["pattern"] for each in self.told("/rules")["rules"]]
        self.assertEqual(found, [f"q{each}" for each in range(count)])


class ChangeTests(RulesTestCase):
    """Changes."""

    def test_put(self) -> None:
        """A rule is set as a whole, and told with what was before."""
        told = self.told("/rules/jobs.*", "PUT", {"max_items": 5, "max_age": 1})
        self.assertEqual(told, {"old": None, "new": {"max_items": 5, "max_age": 1}})
        told = self.told("/rules/jobs.%2a", "PUT", {"max_bytes": "1K"})
        expected = {"old": {"max_items": 5, "max_age": 1}, "new": {"max_bytes": 1024}}
        self.assertEqual(told, expected)
        self.push(b"jobs.x", b"")
        (rule,) = self.told("/queues/jobs.x")["rules"]
        self.assertEqual(rule, {"key": "max_bytes", "value": "1024", "from": "memory"})
        self.assertEqual(
            self.audited(),
            [
                "(http) rule set jobs.* values=max_items=5 max_age=1: OK",
                "(http) rule set jobs.* values=max_bytes=1024 old=max_items=5 "
                "max_age=1: OK",
            ],
        )

    def test_delete(self) -> None:
        """A rule is removed, or one of its keys."""
        self.told("/rules/q", "PUT", {"max_items": 5, "max_age": 1})
        told = self.told("/rules/q?key=max_age", "DELETE")
        self.assertEqual(told["new"], {"max_items": 5})
        told = self.told("/rules/q", "DELETE")
        self.assertEqual(told, {"old": {"max_items": 5}, "new": None})
        code, words = self.refused("/rules/q", "DELETE")
        self.assertEqual((code, words), (404, "there is no such rule online"))
        self.assertEqual(
            self.audited()[1:],
            [
                "(http) rule unset q key=max_age old=max_items=5 max_age=1: OK",
                "(http) rule unset q old=max_items=5: OK",
                "(http) rule unset q: NOT_FOUND",
            ],
        )

    def test_refused(self) -> None:
        """What cannot be is refused in the words of the configuration file."""
        for path, fields, code, why in (
            ("q", {}, 400, "no key is given; DELETE removes a rule"),
            ("q", {"max_items": "5"}, 400, "max_items must be a whole number from 0"),
            ("q", {"max_item": 5}, 400, '"max_item" is not known; fields: max_items'),
            ("q", {"fanout": "a"}, 400, "fanout must be a list of texts"),
            ("q%ff", {"max_items": 5}, 400, "pattern is not UTF-8"),
            ("q", {"dead_letter": "q"}, 409, 'dead_letter = "q": a queue would hand'),
        ):
            found = self.refused(f"/rules/{path}", "PUT", fields)
            self.assertEqual((found[0], found[1][: len(why)]), (code, why))
        (line,) = self.audited()
        self.assertIn('values=dead_letter=q: dead_letter = "q": a queue would', line)
        self.assertEqual(self.told("/rules"), {"rules": []})

    def test_full(self) -> None:
        """Where a rule cannot be written down the disk is to blame, and named."""
        why = "/h/memq/rules.toml: No space left on device"
        self.patch(
            self.reloader, "change", lambda change: fail(Failure(RulesNotKept(why)))
        )
        found = self.refused("/rules/q", "PUT", {"max_items": 5})
        self.assertEqual(found, (507, why))


class ReadOnlyTests(ApiTestCase):
    """Without actions."""

    def test_off(self) -> None:
        """Rules are told and stay as they are."""
        for method in ("PUT", "DELETE"):
            code, words = self.refused("/rules/q", method, {})
            self.assertEqual((code, words.split(":")[0]), (403, "actions are off"))
        self.assertEqual(self.told("/rules"), {"rules": []})
