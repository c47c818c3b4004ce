"""The contract: docs/protocol.md played to an engine over a fake cluster.

Rows that are answered otherwise are listed here, each with its reason, and so are they
in docs/cluster.md.  memq.test.cluster.test_contract plays all of it to real nodes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from twisted.internet.defer import succeed

from memq.operations.base import Operation
from memq.rabbitmq.engine.view import NOT_KEPT
from memq.test.pages.pages import readPage, tables
from memq.test.pages.test_readme import wireBytes
from memq.test.rabbitmq.engine.front import Front, FrontTestCase

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

#: Why a row is answered otherwise.
NUMBERS = "a message has a number of this process, not of its queue"
OPEN = "a flush leaves what is open"
RULES = "a rule's limit is a policy of the cluster"
LACKS = "figures that no cluster tells are left out"
TOTALS = "totals are those of this process"
ONLINE = "a front end's rules stand in its configuration file"
INEXACT = "nodes take a little more than a queue's limit"

#: The beginnings of rows, as they are on the page.
DIFFERENT = {
    "`gets ": NUMBERS,
    "`get v/close=0/": NUMBERS,
    "`get v/open` `touch v/open=2": NUMBERS,
    "`get v/open` `get v/abort=2/": NUMBERS,
    "`get v/open` `flush v`": OPEN,
    "`set r1 ": RULES,
    "`stats queue`": TOTALS,
    "`stats detail": LACKS,
    "`peek ": NUMBERS,
    "`ms w 2 T60": NUMBERS,
    "`mg w s f c": NUMBERS,
    "`mg o": NUMBERS,
}


#: Those that are as on the page only here, not over real nodes.
ONLY_REAL = {"`set l 0 0 2` `a3": INEXACT, "`rule ": ONLINE}


def whyOf(sent: str, *more: dict[str, str]) -> str | None:
    """Return why a row is answered otherwise; None if it is not listed.

    :param sent: its first cell.
    :param more: further lists.
    """
    for each in (DIFFERENT, *more):
        for start, why in each.items():
            if sent.startswith(start):
                return why
    return None


def differences() -> str:
    """Return the table in docs/cluster.md, with its comments."""
    starts: dict[str, list[str]] = {}
    for start, why in (DIFFERENT | ONLY_REAL).items():
        # The last word may be cut in its middle.
        closed = start.rstrip() + "`" * (start.count("`") % 2)
        starts.setdefault(why, []).append(closed)
    rows = "".join(f"| {', '.join(each)} | {why} |\n" for why, each in starts.items())
    table = f"| rows that begin with | because |\n|---|---|\n{rows}"
    return f"<!-- begin: differences -->\n{table}<!-- end: differences -->\n"


class NoMaintenance:
    """What has nothing to do over a cluster."""

    def checkpoint(self) -> Deferred[None]:
        """Do nothing."""
        return succeed(None)

    removeLogs = checkpoint


def makeFront() -> Front:
    """Return a front end for the rows of a table."""
    front = Front()
    front.factory.maintenance = NoMaintenance()
    return front


def answerOf(front: Front, sent: bytes) -> bytes:
    """Return what a new client is answered, once all is; it leaves then."""
    client = front.client()
    client.protocol.dataReceived(sent)
    front.pass_(1.5)
    client.leave()
    front.settle()
    answered: bytes = client.transport.value()
    return answered


class ContractTests(FrontTestCase):
    """What a client is answered."""

    def test_lists(self) -> None:
        """A row is looked for in each list, and may be in none."""
        row = "`rule list`"
        self.assertEqual(whyOf(row, ONLY_REAL), ONLINE)
        self.assertIsNone(whyOf(row))

    def test_rows(self) -> None:
        """A row of the page is answered as the page says, or is listed here."""
        count, reasons = 0, set()
        for table in tables(readPage("docs/protocol.md")):
            if table.header != ["sent", "answered", ""]:
                continue
            front = makeFront()
            for row in table.rows:
                expected = wireBytes(row[1].removesuffix(" *closed*"))
                answered = answerOf(front, wireBytes(row[0]))
                count += answered == expected
                if answered != expected:
                    reasons.add(self.why(row[0], answered))
        self.assertGreater(count, 390)
        self.assertEqual(reasons, set(DIFFERENT.values()))

    def why(self, sent: str, answered: bytes) -> str:
        """Return why a row is answered so."""
        why = whyOf(sent)
        assert why is not None, (sent, answered)
        return why

    def test_page(self) -> None:
        """docs/cluster.md lists the same rows, with the same reasons."""
        self.assertIn(differences(), readPage("docs/cluster.md"), differences())

    def test_words(self) -> None:
        """What no cluster is asked for is refused in words."""
        session = self.front.engine.session(lambda: None)
        operation = Operation(session)
        session.submit(operation)
        self.front.settle()
        self.assertEqual(str(operation.result), NOT_KEPT)
        self.assertIsNone(re.search("error|Traceback", NOT_KEPT))
