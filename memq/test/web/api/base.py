"""What tests of the API share: requests with JSON, and replies of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from memq.policy.rules import Rules, Table
from memq.test.web.base import WebTestCase

if TYPE_CHECKING:
    from memq.test.web.base import Reply

#: What a request says that changes something.
JSON = "Content-Type: application/json"


class ApiTestCase(WebTestCase):
    """Asks the API."""

    def call(
        self, path: str, method: str = "GET", fields: object = None, *lines: str
    ) -> Reply:
        """Return the reply to a request.

        :param path: what stands behind ``/api/v1``.
        :param fields: the body; bytes as they are, None for none.
        """
        visitor = self.visitor()
        body = b""
        if fields is not None:
            body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
        if method not in ("GET", "HEAD"):
            lines = (*lines, JSON, f"Content-Length: {len(body)}")
        visitor.request(f"/api/v1{path}", method, *lines)
        return visitor.answer(method, body)

    def told(self, path: str, method: str = "GET", fields: object = None) -> Any:
        """Return what a reply tells, which is a success."""
        reply = self.call(path, method, fields)
        self.assertEqual(reply.code, 200, reply.text)
        self.assertEqual(reply.headers["Content-Type"], "application/json")
        return json.loads(reply.body)

    def refused(
        self, path: str, method: str = "GET", fields: object = None, *lines: str
    ) -> tuple[int, str]:
        """Return the status of a reply that refuses, and its words."""
        reply = self.call(path, method, fields, *lines)
        told = json.loads(reply.body)
        self.assertEqual(list(told), ["error"])
        return reply.code, told["error"]

    def rule(self, queue: bytes, **values: Any) -> None:
        """Let a rule hold for a queue, and no other."""
        self.harness.policies.replace(Rules([Table(queue, values)]))
