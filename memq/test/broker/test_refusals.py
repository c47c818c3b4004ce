"""Sets that were refused are seen: in stats, in stats detail, and in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from memq.broker import refusals as module
from memq.broker.refusals import Refusals
from memq.errors import NotStored, OutOfSpace, Refusing, StoreError
from memq.message import PART_SIZE
from memq.policy.rules import Rules, Table
from memq.test.commands.test_protocol import STORED, put
from memq.test.support.harness import Harness
from memq.test.support.stepped import SteppedTestCase

if TYPE_CHECKING:
    from collections.abc import Callable

NOT_STORED = b"NOT_STORED\r\n"
FULL, PAUSED, FANOUT = Refusing


class RefusalsTests(SynchronousTestCase):
    """Refused sets are counted, and the log names them."""

    def setUp(self) -> None:
        """Begin with a clock that stands still."""
        self.now = 0.0
        self.refusals = Refusals(lambda: self.now)

    def said(self, call: Callable[..., object], *arguments: object) -> list[str]:
        """Return what is logged meanwhile."""
        with capturedLogs() as events:
            call(*arguments)
        return [formatEvent(event) for event in events]

    def refuse(self, queue: bytes, cause: Refusing = FULL) -> None:
        """Let a queue refuse a set of its own."""
        self.refusals.note(NotStored(queue, queue, cause))

    def test_counts(self) -> None:
        """Each queue has its own counts, for each reason; the sums have them all."""
        self.refuse(b"q")
        self.refuse(b"q", PAUSED)
        self.refuse(b"r")
        self.assertEqual(self.refusals.of(b"q"), [1, 1, 0])
        self.assertEqual(self.refusals.of(b"r"), [1, 0, 0])
        self.assertEqual(self.refusals.of(b"s"), [0, 0, 0])
        self.assertEqual(self.refusals.sums, {FULL: 2, PAUSED: 1, FANOUT: 0})

    def test_fanout(self) -> None:
        """Both count it, the queue asked and the one that refuses; the sum once."""
        said = self.said(self.refusals.note, NotStored(b"in", b"w", PAUSED))
        self.assertEqual(self.refusals.of(b"in"), [0, 0, 1])
        self.assertEqual(self.refusals.of(b"w"), [0, 1, 0])
        self.assertEqual(self.refusals.sums, {FULL: 0, PAUSED: 0, FANOUT: 1})
        self.assertIn("queue w is paused, and sets of in go there as well", said[0])

    def test_forget(self) -> None:
        """A set whose turn is undone is taken back, wherever it is still counted."""
        error = NotStored(b"in", b"w", FULL)
        self.refusals.note(error)
        self.refusals.note(error)
        self.refusals.forget(error)
        self.assertEqual(self.refusals.sums, {FULL: 0, PAUSED: 0, FANOUT: 1})
        self.assertEqual(self.refusals.of(b"in"), [0, 0, 1])
        self.assertEqual(self.refusals.of(b"w"), [1, 0, 0])
        self.patch(module, "MOST_QUEUES", 1)
        for _ in range(2):
            self.refuse(b"other")
        self.refusals.forget(error)
        self.assertEqual(self.refusals.of(b"in"), [0, 0, 0])

    def test_disk(self) -> None:
        """A full disk is no queue's; other errors count nothing."""
        self.assertEqual(self.said(self.refusals.note, OutOfSpace()), [])
        self.assertEqual(self.said(self.refusals.note, StoreError("bad")), [])
        self.assertEqual(self.refusals.diskFull, 1)
        self.assertEqual(set(self.refusals.sums.values()), {0})

    def test_reset(self) -> None:
        """The sums can begin anew; what is told of queues goes on."""
        self.refuse(b"q")
        self.refusals.note(OutOfSpace())
        self.refusals.reset()
        self.assertEqual(set(self.refusals.sums.values()), {0})
        self.assertEqual(self.refusals.diskFull, 0)
        self.assertEqual(self.refusals.of(b"q"), [1, 0, 0])

    def test_log(self) -> None:
        """A queue is named at once, and then once a minute with all since."""
        self.assertIn("1 since", self.said(self.refuse, b"q")[0])
        self.now = 59.9
        self.assertEqual(self.said(self.refuse, b"q"), [])
        self.assertIn("queue r is full", self.said(self.refuse, b"r")[0])
        self.now = 60.0
        self.assertIn("2 since", self.said(self.refuse, b"q")[0])

    def test_manyNames(self) -> None:
        """Only so many queues are named in a minute, however many there are."""
        self.patch(module, "NAMED", 2)
        for queue in (b"a", b"b"):
            self.assertIn("is full", self.said(self.refuse, queue)[0])
        self.assertIn("more queues", self.said(self.refuse, b"c")[0])
        self.assertEqual(self.said(self.refuse, b"d"), [])
        self.now = 60.0
        self.assertIn("queue d is full", self.said(self.refuse, b"d")[0])

    def test_bound(self) -> None:
        """The queues that refused longest ago are forgotten; the sums are not."""
        self.patch(module, "MOST_QUEUES", 2)
        for queue in (b"a", b"b", b"a", b"c"):
            self.refuse(queue)
        self.assertEqual(
            [self.refusals.of(queue)[0] for queue in (b"a", b"b", b"c")], [2, 0, 1]
        )
        self.assertEqual(self.refusals.sums[FULL], 4)


class ServerTests(SteppedTestCase):
    """A set that a client makes a queue refuse is seen by an operator."""

    def begin(self, *tables: Table, **options: Any) -> None:
        """Connect to a server with rules."""
        self.harness = Harness(rules=Rules(tables), **options)
        self.client = self.harness.connect()

    def figures(self, command: bytes) -> dict[str, str]:
        """Return what is told of refused sets."""
        lines = self.client.talk(command + b"\r\n").decode().split("\r\n")
        figures = dict(line.split(" ")[1:] for line in lines if "refused_" in line)
        return {name: figure for name, figure in figures.items() if figure != "0"}

    def test_full(self) -> None:
        """One by one or joined, with noreply or without, each refused set counts."""
        self.begin(Table(b"w", {"max_items": 1}))
        quiet = put(b"w", b"x").replace(b"\r\n", b" noreply\r\n", 1)
        told = self.client.talk(put(b"w", b"x") * 3 + quiet * 2)
        self.assertEqual(told, STORED + NOT_STORED * 2)
        self.assertEqual(self.client.talk(put(b"w", bytes(PART_SIZE + 1))), NOT_STORED)
        self.assertEqual(self.figures(b"stats detail"), {"queue_w_refused_full": "5"})
        self.assertEqual(self.figures(b"stats"), {"refused_full": "5"})
        self.client.talk(b"stats reset\r\n")
        self.assertEqual(self.figures(b"stats"), {})
        self.assertIn(b"  refused_full=5\r\n", self.client.talk(b"dump_stats\r\n"))

    def test_fanout(self) -> None:
        """A set that another queue refuses counts for both of them."""
        tables = Table(b"w", {"max_items": 1}), Table(b"in", {"fanout": (b"w",)})
        self.begin(*tables)
        self.client.talk(put(b"in", b"x") * 3)
        self.assertEqual(
            self.figures(b"stats detail"),
            {"queue_in_refused_fanout": "2", "queue_w_refused_full": "2"},
        )
        self.assertEqual(self.figures(b"stats"), {"refused_fanout": "2"})

    def test_paused(self) -> None:
        """A pause that a client asked for counts as one of the file."""
        self.begin()
        self.client.talk(put(b"q", b"x") + b"pause q writes\r\n" + put(b"q", b"y"))
        self.assertEqual(self.figures(b"stats detail"), {"queue_q_refused_paused": "1"})

    def test_place(self) -> None:
        """Figures have what was refused before them in the conversation, no more."""
        self.begin(Table(b"w", {"max_items": 1}))
        sets = put(b"w", b"x") * 2
        told = self.client.talk(sets + b"stats detail w\r\n" + put(b"w", b"y"))
        self.assertIn(b"STAT queue_w_refused_full 1\r\n", told)

    def test_undone(self) -> None:
        """A turn that is undone and run again counts a refused set once."""
        self.begin(Table(b"w", {"max_items": 1}))
        self.client.talk(put(b"w", b"x"))
        self.harness.store.refuse("push", StoreError("bad page"), b"q", b"b")
        told = self.client.talk(put(b"w", b"y") + put(b"q", b"b"))
        self.assertEqual(told, NOT_STORED + b"SERVER_ERROR bad page\r\n")
        self.assertEqual(self.figures(b"stats"), {"refused_full": "1"})

    def test_undoneLarge(self) -> None:
        """So does one whose body comes in parts."""
        self.begin(Table(b"w", {"max_items": 1}))
        self.client.talk(put(b"w", b"x"))
        self.harness.store.refuse("push", StoreError("bad page"), b"q", b"b")
        told = self.client.talk(put(b"w", bytes(PART_SIZE + 1)) + put(b"q", b"b"))
        self.assertEqual(told, NOT_STORED + b"SERVER_ERROR bad page\r\n")
        self.assertEqual(self.figures(b"stats"), {"refused_full": "1"})

    def test_gone(self) -> None:
        """A set whose client is gone counts as well."""
        self.begin(Table(b"w", {"max_items": 1}))
        self.client.talk(put(b"w", b"x"))
        other = self.harness.connect()
        other.send(put(b"w", b"y") + put(b"w", bytes(PART_SIZE + 1)))
        other.leave()
        self.harness.settle()
        self.assertEqual(self.figures(b"stats"), {"refused_full": "2"})

    def test_disk(self) -> None:
        """Sets that a full disk refuses are counted together, large ones too."""
        self.begin()
        self.harness.fillDisk()
        self.client.talk(put(b"q", b"x") * 2)
        self.client.talk(put(b"q", bytes(PART_SIZE + 1)))
        self.client.talk(put(b"q/delay=1", bytes(PART_SIZE + 1)))
        self.assertEqual(self.figures(b"stats"), {"refused_disk_full": "4"})

    def test_verbose(self) -> None:
        """With -v, the line of a refused set names the queue."""
        self.begin(Table("队列".encode(), {"max_items": 1}), verbosity=1)
        with capturedLogs() as events:
            self.client.talk(put("队列".encode(), b"x") * 2)
        told = [formatEvent(e) for e in events if "is told" in formatEvent(e)]
        self.assertEqual(len(told), 1)
        self.assertTrue(told[0].endswith("NOT_STORED: queue 队列 is full"), told)
