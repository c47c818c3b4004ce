"""Figures of queues, told to somebody who sees some of them."""

from __future__ import annotations

import re

from memq.access.rights import ROLES, Rights
from memq.commands.access import seen
from memq.commands.details import TOLD
from memq.errors import StoreError
from memq.test.support.harness import Client, Harness
from memq.test.support.packets import OPCODES, packet, split
from memq.test.support.stepped import SteppedTestCase

#: Who sees what begins with "a", one way or another.
SEEING = (Rights(write=[b"a*"]), Rights(read=[b"a*"]), Rights(manage=[b"a*"]))


def figuresOf(answered: bytes) -> dict[str, str]:
    """Return the figures in an answer."""
    return dict(re.findall(r"^STAT (\S+) (\S+)\r$", answered.decode(), re.MULTILINE))


class SeenTestCase(SteppedTestCase):
    """A server with queues."""

    def setUp(self) -> None:
        """Fill some."""
        self.harness = Harness()
        for queue, bodies in (
            (b"a", [b"1", b"22"]),
            (b"ab", [b"3"]),
            (b"b", [b"4444"]),
        ):
            self.harness.store.fill(queue, *bodies)

    def ask(self, line: bytes, rights: Rights | None) -> bytes:
        """Return what is told."""
        return self.harness.connect(rights=rights).talk(line + b"\r\n")

    def figures(self, rights: Rights | None, line: bytes = b"stats") -> dict[str, str]:
        """Return the figures that are told."""
        answered = self.ask(line, rights)
        self.assertTrue(answered.endswith(b"END\r\n"), answered)
        self.assertEqual(answered.count(b"END\r\n"), 1)
        return dict(
            re.findall(r"^STAT (\S+) (\S+)\r$", answered.decode(), re.MULTILINE)
        )


class TopicTests(SeenTestCase):
    """Topics that tell of many queues."""

    def test_queue(self) -> None:
        """The counts of what is seen are as they are for everybody."""
        for rights in SEEING:
            got = self.ask(b"stats queue", rights)
            self.assertEqual(got, b"STAT a 2/0\r\nSTAT ab 1/0\r\nEND\r\n")
        everybody = self.ask(b"stats queue", None)
        self.assertEqual(self.ask(b"stats queue", Rights([b"*"])), everybody)
        self.assertEqual(self.ask(b"stats queue", Rights()), b"END\r\n")

    def test_detail(self) -> None:
        """So are details, also with a pattern, and those of Kestrel's form."""
        for line in (b"stats detail", b"stats detail *b*", b"dump_stats"):
            for rights in SEEING:
                answered = self.ask(line, rights)
                self.assertIn(b"ab", answered)
                self.assertNotRegex(answered, rb"queue_b_|'b'")
            everybody = self.ask(line, None)
            self.assertEqual(self.ask(line, Rights(read=[b"*"])), everybody)
            self.assertIn(b"b", everybody)
            self.assertEqual(self.ask(line, Rights()), b"END\r\n")

    def test_packets(self) -> None:
        """In packets as well."""
        client = self.harness.connect(rights=SEEING[0])
        got = client.talk(packet(OPCODES["Stat"], b"queue"))
        self.assertEqual([key for _, _, key, _ in split(got)], [b"a", b"ab", b""])


class SummaryTests(SeenTestCase):
    """Plain stats."""

    def of(self, queues: str, figures: dict[str, str]) -> None:
        """Check which queues are told one by one."""
        found = {name.split("_")[1] for name in figures if name.endswith("_waiters")}
        self.assertEqual(found, set(queues.split()))

    def test_sums(self) -> None:
        """What queues have together is that of those that are seen."""
        for rights in SEEING:
            figures = self.figures(rights)
            for name, value in (
                *(("queues", "2"), ("messages", "3"), ("curr_items", "3")),
                *(("bytes", "4"), ("queue_a_items", "2"), ("queue_ab_items", "1")),
            ):
                self.assertEqual(figures[name], value, name)
            self.of("a ab", figures)
            self.assertNotIn("queues_left_out", figures)

    def test_nothing(self) -> None:
        """Who sees nothing is told of the server, as where there is no queue."""
        figures = self.figures(Rights())
        self.assertEqual((figures["queues"], figures["messages"]), ("0", "0"))
        self.of("", figures)
        self.harness = Harness()
        self.assertEqual(figures.keys(), self.figures(Rights()).keys())
        self.assertEqual(figures.keys(), self.figures(None).keys())

    def test_everything(self) -> None:
        """Who sees all is told all; so is a monitor."""
        names = self.figures(None).keys()
        for rights in (Rights([b"*"]), *(Rights(server=ROLES[each]) for each in ROLES)):
            figures = self.figures(rights)
            self.assertEqual(figures.keys(), names)
            self.of("a ab b", figures)
            self.assertEqual(figures["queues"], "3")

    def test_many(self) -> None:
        """There may be any number that are not seen, and more than are told."""
        self.patch(seen, "LOOKED", 7)
        for number in range(TOLD + 1):
            self.harness.store.fill(b"n%d" % number, b"x")
        figures = self.figures(SEEING[0])
        self.of("a ab", figures)
        self.assertEqual(figures["messages"], "3")
        figures = self.figures(Rights([b"n*"]))
        self.of("", figures)
        self.assertEqual(figures["queues_left_out"], str(TOLD + 1))
        figures = self.figures(Rights([b"n1*"]))
        self.assertEqual(len(self.figures(Rights([b"n1*"]))["queues"]), 3)
        self.assertNotIn("queues_left_out", figures)

    def test_notEach(self) -> None:
        """A server may be told not to tell each."""
        self.harness.statistics.ofEach = False
        figures = self.figures(SEEING[0])
        self.of("", figures)
        self.assertEqual(figures["queues"], "2")
        self.assertNotIn("queues_left_out", figures)

    def test_undone(self) -> None:
        """A turn that is undone tells the same when it runs again."""
        self.patch(seen, "LOOKED", 2)
        expected = self.figures(SEEING[0])
        error = StoreError("no")
        self.harness.store.refuse("commit", error, times=1)
        client: Client = self.harness.connect(rights=Rights([b"*"], [b"*"]))
        admin = self.harness.connect()
        admin.send(b"set z 0 0 1\r\nx\r\n")
        client.protocol._commands.rights = SEEING[0]
        answered = client.talk(b"stats\r\n")
        found = figuresOf(answered)
        self.assertEqual(found["queues"], "2")
        self.assertEqual(found.keys(), expected.keys())
        self.assertEqual(answered.count(b"END\r\n"), 1)

    def test_cost(self) -> None:
        """A part counts by what it looks at, or tells."""
        summary = self.harness.statistics.summary(SEEING[0])
        summary.tell(0, self.harness.store)
        least = summary.idleCost
        for number in range(1000):
            self.harness.store.fill(b"n%d" % number, b"x")
        summary = self.harness.statistics.summary(Rights([b"n*"]))
        summary.tell(0, self.harness.store)
        self.assertGreater(summary.idleCost, least)
