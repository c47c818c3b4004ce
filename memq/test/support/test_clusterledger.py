"""Tests for bench.clusterledger: what is kept of rounds, and the table of them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from bench.clusteraccount import PLAIN, WAYS, Account
from bench.clusterledger import BEGIN, END, Lane, line, put, table, told


def kept(
    fault: str, lost: int = 0, *wrong: str, nodes: str = "some nodes"
) -> dict[str, object]:
    """Return a round with two messages a queue, some of plain gets lost."""
    lanes = []
    for way in WAYS:
        account = Account(way)
        for number in (1, 2):
            account.tell(account.send(), "stored")
            if way != PLAIN or number > lost:
                account.give(number, 0.0)
                if way != PLAIN:
                    account.end(number)
        account.late(0.25)
        lanes.append(Lane(b"q", account, [], []))
    return told(nodes, fault, lanes, list(wrong))


class TableTests(SynchronousTestCase):
    """Rounds, in words and in a table."""

    def test_row(self) -> None:
        """Each fault has a row that adds its rounds up, in the order of the faults."""
        found = table([kept("leader"), kept("node"), kept("leader", 1)])
        title, _, _, _, *rows = found.splitlines()
        self.assertEqual(title, "On some nodes:")
        self.assertIn("| 1 | 6 | 6 | 0 (0), 0, 0 | 0, 0, 0 | 0, 0 | 0.2 s |", rows[0])
        self.assertIn("| 2 | 12 | 11 | 1 (0), 0, 0 | 0, 0, 0 | 0, 0 | 0.2 s |", rows[1])
        self.assertEqual(len(rows), 2)

    def test_kinds(self) -> None:
        """Nodes of another kind have a table of their own, the newest first."""
        found = table([kept("node", nodes="3.1"), kept("node", nodes="4.0")])
        titles = [each for each in found.splitlines() if each.startswith("On")]
        self.assertEqual(titles, ["On 4.0:", "On 3.1:"])

    def test_wrong(self) -> None:
        """A round that is not as promised is told below it."""
        found = table([kept("node", 1, "get: 1 stored and lost, of 0 at most")])
        self.assertIn("\n- a node that does not lead", found)
        self.assertTrue(found.endswith(": get: 1 stored and lost, of 0 at most\n"))

    def test_line(self) -> None:
        """A round is told in a line for each way, and one for each thing wrong."""
        lines = line(kept("node", 1, "why")).splitlines()
        self.assertEqual((lines[0], lines[-1]), ("node: NOT AS PROMISED", "    why"))
        self.assertIn("get: 2 sent, 2 stored", lines[1])
        self.assertIn("1 given out, 1 lost", lines[1])
        self.assertEqual(line(kept("node")).splitlines()[0], "node: as promised")

    def test_put(self) -> None:
        """The table stands between two comments of the page."""
        page = f"a\n{BEGIN}old\n{END}z\n"
        self.assertEqual(put(page, "new\n"), f"a\n{BEGIN}new\n{END}z\n")
        self.assertRaises(AssertionError, put, "a page", "new\n")
