"""What tests of actions share: an API that may act, and what the audit says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.task import Clock

from memq.logs.audit import Audit
from memq.test.web.api.base import ApiTestCase

if TYPE_CHECKING:
    from twisted.logger import LogEvent

#: How the audit names whoever asks.
PEER = "192.168.1.1:54321 (http) "


class ActionTestCase(ApiTestCase):
    """Acts."""

    settings: ClassVar[dict[str, Any]] = {"actions": "anyone", "bodies": True}

    def setUp(self) -> None:
        """Listen to the audit."""
        self.events: list[LogEvent] = []
        audit = Audit(Clock().seconds, log=self.events.append)
        self.patch(type(self), "options", {**self.options, "audit": audit})
        super().setUp()
        self.client = self.harness.connect()

    def said(self) -> list[str]:
        """Return the lines of the audit since the last time."""
        lines = [event["line"].removeprefix(PEER) for event in self.events]
        self.events.clear()
        return lines
