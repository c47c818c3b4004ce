"""Rules are told: those online, those of a queue, and what a change would change."""

from __future__ import annotations

from typing import Any

from memq.commands.details import AT_ONCE
from memq.commands.rules.telling import sources
from memq.policy.rules import Rules, Table
from memq.test.commands.test_protocol import END, ProtocolTestCase, put
from memq.test.support.sessions import SessionTestCase, sessions

OK = b"OK\r\n"


@sessions(
    {
        "Online rules are told as they can be set.": """
            > rule set q max_age 1.5 fanout ["b,c","d"] -> OK
            > rule set a* dead_letter "" -> OK
            > rule list
            < STAT a* dead_letter=""
            < STAT q max_age=1.5 fanout=["b,c","d"]
            < END
        """,
        "The rule of a queue is told with where each value is from.": """
            > rule show q -> END
            > rule set q* max_age 2 paused writes -> OK
            > rule set q max_age 1 -> OK
            > rule show q -> STAT max_age 1 memory | STAT paused writes memory | END
        """,
    }
)
class TellingSessions(SessionTestCase):
    """Answers to rule list and rule show."""


class ManyTests(ProtocolTestCase):
    """More than are told in one turn."""

    count = 2 * AT_ONCE + 3

    def test_list(self) -> None:
        """All online rules are told, in their order."""
        for number in range(self.count):
            self.client.talk(b"rule set q%d max_items %d\r\n" % (number, number + 1))
        lines = self.client.talk(b"rule list\r\n").splitlines()
        expected = [
            b"STAT q%d max_items=%d" % (each, each + 1) for each in range(self.count)
        ]
        self.assertEqual(lines, [*expected, b"END"])

    def test_try(self) -> None:
        """So is all that a change would change, behind what was asked before."""
        for number in range(self.count):
            self.client.talk(put(b"q%d" % number, b"x"))
        told = self.client.talk(b"get q0\r\nrule try q* paused reads\r\nget q1\r\n")
        self.assertEqual(told.count(b" paused no reads\r\n"), self.count)
        self.assertTrue(told.startswith(b"VALUE q0 0 1\r\nx\r\n" + END + b"STAT q0 "))
        self.assertTrue(told.endswith(END + b"VALUE q1 0 1\r\nx\r\n" + END))


class TryTests(ProtocolTestCase):
    """What a change would change."""

    def test_told(self) -> None:
        """It is told of each queue that there is, and not done."""
        for name in (b"a", b"b", b"cc"):
            self.client.talk(put(name, b"x"))
        self.client.talk(b"rule set b max_items 1\r\n")
        self.asks(
            b"rule try ? max_items 1 dead_letter dd max_age 0\r\n",
            b'STAT a max_items 0 1\r\nSTAT a dead_letter "" dd\r\n'
            b'STAT b dead_letter "" dd\r\n' + END,
        )
        self.asks(b"rule try none max_items 7\r\n", END)
        self.asks(b"rule list\r\n", b"STAT b max_items=1\r\n" + END)

    def test_refused(self) -> None:
        """What cannot be is refused, as the change is."""
        why = b'dead_letter = "a": a queue would hand on to itself: a -> a'
        self.asks(b"rule try a dead_letter a\r\n", b"SERVER_ERROR %b\r\n" % why)
        why = b"max_items = x: must be a whole number from 0 to 9999999999"
        self.asks(b"rule try a max_items x\r\n", b"SERVER_ERROR %b\r\n" % why)


class SourceTests(ProtocolTestCase):
    """Places of values."""

    def test_odd(self) -> None:
        """A path is told in one line, whatever is in it."""
        values: Any = {"paused": 1, "max_items": 2}
        table = Table(b"*", values, "/a\nb c/\udcff", (4, 2))
        found = list(sources(Rules([table]), b"q"))
        place = "/a\\nb c/\\udcff"
        self.assertEqual(
            found, [("max_items", "2", f"{place}:2"), ("paused", "reads", f"{place}:4")]
        )
