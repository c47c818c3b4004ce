"""A page of the list is made once for all who ask for it."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from memq.test.web.api.base import ApiTestCase
from memq.web.api import pages
from memq.web.api.queues import Queues
from memq.web.api.selection import Selection


class PageTests(ApiTestCase):
    """How often a page is made."""

    def setUp(self) -> None:
        """Count the pages that are made, in a server with a queue."""
        super().setUp()
        self.made: list[Selection] = []
        steps = Selection.steps

        def counted(selection: Selection) -> Any:
            self.made.append(selection)
            return steps(selection)

        self.patch(Selection, "steps", counted)
        self.push(b"q", b"")

    def test_together(self) -> None:
        """Those who ask at the same time, and soon after, are told the same."""
        visitors = [self.visitor() for _ in range(3)]
        for visitor in visitors:
            visitor.request("/api/v1/queues")
        bodies = {visitor.answer("GET").body for visitor in visitors}
        bodies.add(self.call("/queues").body)
        self.assertEqual((len(bodies), len(self.made)), (1, 1))
        self.assertEqual(self.call("/queues", "HEAD").code, 200)

    def test_other(self) -> None:
        """Another page is made by itself, and a new one of the next snapshot."""
        self.told("/queues")
        self.told("/queues?sort=messages")
        self.told("/queues")
        self.assertEqual(len(self.made), 2)
        self.harness.pass_(60)
        self.told("/queues")
        self.assertEqual(len(self.made), 3)

    def test_notKept(self) -> None:
        """Long pages are not kept, nor more than a few."""
        for _ in range(2):
            self.told("/queues?limit=101")
        self.assertEqual(len(self.made), 2)
        self.patch(pages, "PAGES", 1)
        for _ in range(2):
            self.told("/queues")
            self.told("/queues?sort=bytes")
        self.assertEqual(len(self.made), 5)

    def test_failed(self) -> None:
        """A page that cannot be made is an error for each who asked, in the log."""
        with patch.object(Queues, "_row", side_effect=KeyError("no")):
            visitors = [self.visitor() for _ in range(2)]
            for visitor in visitors:
                visitor.request("/api/v1/queues")
            codes = [visitor.answer("GET").code for visitor in visitors]
        self.assertEqual(codes, [500, 500])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 2)
        self.harness.pass_(60)
        self.assertEqual(len(self.told("/queues")["queues"]), 1)
