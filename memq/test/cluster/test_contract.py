"""The contract: docs/protocol.md played to a front end over real nodes.

Rows that are answered otherwise are listed in memq.test.rabbitmq.engine.test_contract.
A connection's end gives back what it had open, some time later; a front end over a fake
cluster is sent the same rows, and tells how many messages wait then.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from memq.test.cluster.nodes import ClusterTestCase
from memq.test.pages.pages import readPage, tables
from memq.test.pages.test_readme import wireBytes
from memq.test.rabbitmq.engine.test_contract import (
    ONLY_REAL,
    answerOf,
    makeFront,
    whyOf,
)
from testkit.servers import PATIENCE

if TYPE_CHECKING:
    from memq.test.pages.pages import Table
    from memq.test.rabbitmq.engine.front import Front
    from testkit.servers import Server


class ContractTests(ClusterTestCase):
    """What a client is answered."""

    def test_rows(self) -> None:
        """A row of the page is answered as the page says, or is listed."""
        front = self.front()
        self.count, others = 0, []
        for table in tables(readPage("docs/protocol.md")):
            if table.header == ["sent", "answered", ""]:
                others += self.play(front, table)
        self.assertEqual(others, [], "\n".join(map(str, others)))
        self.assertGreater(self.count, 300)

    def play(self, server: Server, table: Table) -> list[tuple[str, str, bytes]]:
        """Send the rows of a table; return those that are answered otherwise."""
        server.ask(*(b"delete " + queue for queue in server.counts()))
        fake, others = makeFront(), []
        for sent, expected, _ in table.rows:
            last = b"" if expected.endswith("*closed*") else b"quit\r\n"
            answered = server.talk(wireBytes(sent) + last)
            answerOf(fake, wireBytes(sent))
            if answered == wireBytes(expected.removesuffix(" *closed*")):
                self.count += 1
            elif whyOf(sent, ONLY_REAL) is None:
                others.append((sent, expected, answered))
            if "open" in sent or "monitor" in sent:
                self.settle(server, fake, sent)
        return others

    def settle(self, server: Server, fake: Front, sent: str) -> None:
        """Wait until what was open is back."""
        queues = fake.cluster.queues
        wanted = {name.encode(): len(each) for name, each in queues.items() if each}
        end = time.monotonic() + PATIENCE
        while (found := self.waiting(server)) != wanted:
            self.assertLess(time.monotonic(), end, f"{sent}: {found}, not {wanted}")
            time.sleep(0.01)

    def waiting(self, server: Server) -> dict[bytes, int]:
        """Return how many messages wait in each queue that has some."""
        counts = server.counts().items()
        return {name: put - taken for name, (put, taken) in counts if put > taken}
