"""docs/protocol.md tells what a user may do, and what it is answered else."""

from __future__ import annotations

import re

from memq.access.rights import Rights
from memq.test.pages.pages import PageTestCase
from memq.test.pages.test_readme import wireBytes
from memq.test.support.attempts import ATTEMPTS
from memq.test.support.harness import Client, Harness
from memq.test.support.packets import request, response, shown
from memq.test.support.sessions import VERSION

PATH = "docs/protocol.md"
#: Those of the user whose lines the page has.
USER = Rights([b"orders"], [b"mails"], [b"jobs.*"])
#: Rows of the table of rights, by a right.
ROWS = {
    "see": "any of these",
    "monitor": "role `monitor`",
    "admin": "role `admin`",
    "": "none",
}


class RightsTests(PageTestCase):
    """The section on rights."""

    def user(self) -> tuple[Harness, Client]:
        """Return a server as the page has it, and a client that is the user."""
        harness = Harness()
        for queue in (b"orders", b"mails", b"jobs.a", b"other"):
            harness.store.fill(queue, queue[:1])
        return harness, harness.connect(rights=USER)

    def rows(self, *header: str) -> list[list[str]]:
        """Return the rows of a table."""
        return self.table(PATH, *header).rows

    def test_lines(self) -> None:
        """Each line of the user is answered as the page says, one behind the other."""
        harness, _ = self.user()
        rows = self.rows("sent by that user", "answered", "")
        for sent, answered, _ in rows:
            client = harness.connect(rights=USER)
            isClosed = answered.endswith("*closed*")
            expected = wireBytes(answered.removesuffix(" *closed*"))
            expected = expected.replace(b"VERSION #\r\n", VERSION)
            self.assertEqual(client.talk(wireBytes(sent)), expected, sent)
            self.assertEqual(client.isClosed, isClosed, sent)
            if not isClosed:
                self.assertEqual(client.talk(b"version\r\n"), VERSION)
        self.assertIn("other 1/0: o", harness.store.dump())
        self.assertGreater(len(rows), 40)

    def test_packets(self) -> None:
        """So is each packet."""
        harness, _ = self.user()
        for sent, answered, _ in self.rows("request of that user", "response", ""):
            client = harness.connect(rights=USER)
            requests, responses = (
                re.findall("`([^`]+)`", cell) for cell in (sent, answered)
            )
            got = client.talk(b"".join(map(request, requests)))
            self.assertEqual(shown(got), shown(b"".join(map(response, responses))))

    def test_table(self) -> None:
        """Each command stands in the row of what it needs."""
        rows = {row[0]: row[1] for row in self.rows("right", "for")}
        for attempt in ATTEMPTS:
            if attempt.way == "binary":
                continue
            first, *rest = attempt.sent.decode().lower().split()
            words = (
                f"{first} {rest[0]}" if first in ("stats", "rule") and rest else first
            )
            rights = {right for right, _ in attempt.needs} or {""}
            for right in rights:
                named = rows.get(ROWS.get(right, f"`{right}`"), "")
                if not attempt.needs and attempt.filters:
                    named += rows["none, of what the user may see"]
                self.assertIn(f"`{words}`", named, attempt.shown)
