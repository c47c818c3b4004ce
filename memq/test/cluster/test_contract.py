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
    from memq.test.pages.pages import Table
    from testkit.servers import Server

#: Seconds until what a connection had open is back in its queue: on a machine that has
#: nothing else to do, and on others.
PAUSES = 0.2, 1.0, 4.0


class ContractTests(ClusterTestCase):
    """What a client is answered."""

    def test_rows(self) -> None:
        """A row of the page is answered as the page says, or is listed."""
        front = self.front()
        self.count, others = 0, []
        for table in tables(readPage("docs/protocol.md")):
            if table.header == ["sent", "answered", ""]:
                for pause in PAUSES:
                    found = self.play(front, table, pause)
                    if not found:
                        break
                others += found
        self.assertEqual(others, [], "\n".join(map(str, others)))
        self.assertGreater(self.count, 300)

    def play(
        self, server: Server, table: Table, pause: float
    ) -> list[tuple[str, str, bytes]]:
        """Send the rows of a table; return those that are answered otherwise.

        :param pause: seconds after a row that leaves something open.
        """
        server.ask(*(b"delete " + queue for queue in server.counts()))
        others = []
        for sent, expected, _ in table.rows:
            last = b"" if expected.endswith("*closed*") else b"quit\r\n"
            answered = server.talk(wireBytes(sent) + last)
            if answered == wireBytes(expected.removesuffix(" *closed*")):
                self.count += 1
            elif whyOf(sent, ONLY_REAL) is None:
                others.append((sent, expected, answered))
            if "open" in sent or "monitor" in sent:
                time.sleep(pause)
        return others
