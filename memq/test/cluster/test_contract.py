"""The contract: docs/protocol.md played to a front end over real nodes.

Rows that are answered otherwise are listed in memq.test.rabbitmq.engine.test_contract.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from memq.test.cluster.nodes import ClusterTestCase
from memq.test.pages.pages import readPage, tables
from memq.test.pages.test_readme import wireBytes
from memq.test.rabbitmq.engine.test_contract import ONLY_REAL, whyOf

if TYPE_CHECKING:
    from testkit.servers import Server

#: Seconds until what a connection had open is back in its queue, surely.
BACK = 0.3


class ContractTests(ClusterTestCase):
    """What a client is answered."""

    def test_rows(self) -> None:
        """A row of the page is answered as the page says, or is listed."""
        front = self.front()
        count, others = 0, []
        for table in tables(readPage("docs/protocol.md")):
            if table.header != ["sent", "answered", ""]:
                continue
            self.clear(front)
            for row in table.rows:
                answered = self.answer(front, row)
                if answered == wireBytes(row[1].removesuffix(" *closed*")):
                    count += 1
                elif whyOf(row[0], ONLY_REAL) is None:
                    others.append((row[0], row[1], answered))
        self.assertEqual(others, [])
        self.assertGreater(count, 300)

    def clear(self, server: Server) -> None:
        """Delete all queues."""
        server.ask(*(b"delete " + queue for queue in server.counts()))

    def answer(self, server: Server, row: list[str]) -> bytes:
        """Return what a row's lines are answered."""
        last = b"" if row[1].endswith("*closed*") else b"quit\r\n"
        answered = server.talk(wireBytes(row[0]) + last)
        if "open" in row[0] or "monitor" in row[0]:
            time.sleep(BACK)
        return answered
