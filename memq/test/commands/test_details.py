"""The figures of each queue, from the store and from what else is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from memq import figures
from memq.commands import details as module
from memq.commands.details import AT_ONCE, Details, Listing, TellQueues
from memq.commands.details import names as namesOf
from memq.errors import StoreError
from memq.figures import AS_THEY_ARE, Columns, QueueDetail
from memq.policy.effective import Policies
from memq.policy.rules import Rules, Table
from memq.storage.memory import MemoryStore
from memq.test.commands.test_protocol import END, STORED, ProtocolTestCase, put, value
from memq.test.support.sessions import VERSION
from memq.wire.figures import FIGURES, QueueFigures, formatDetails

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memq.figures import Heads

DETAIL = QueueDetail(
    name=b"q",
    items=1,
    bytes=2,
    open=3,
    delayed=4,
    pushed=5,
    taken=6,
    closed=7,
    expired=8,
    discarded=9,
    returns=10,
    limit=0,
    paused=0,
    headTime=1_600_000_000_000,
    lastUsed=0,
)


class _OneQueue(MemoryStore):
    """A store with a queue of which a test says what there is to tell."""

    told = DETAIL

    def details(self, queues: Iterable[bytes], heads: Heads = AS_THEY_ARE) -> Columns:
        """Return that."""
        assert list(queues) == [b"q", b"none"]
        return Columns.of([self.told], 2)


class _NamesOnly:
    """A store that tells nothing else."""

    def names(self) -> list[bytes]:
        """Return some, in any order."""
        return [b"b", b"c.2", b"a", b"c.1"]


class NamesTests(SynchronousTestCase):
    """Which queues are told."""

    def test_names(self) -> None:
        """They come in order, without a figure of any, which would take long."""
        store: Any = _NamesOnly()
        self.assertEqual(namesOf(store, b""), [b"a", b"b", b"c.1", b"c.2"])
        self.assertEqual(namesOf(store, b"c.*"), [b"c.1", b"c.2"])


class DetailsTests(SynchronousTestCase):
    """The figures and rules of one queue."""

    def row(self, store: MemoryStore | None = None, **rule: Any) -> QueueFigures:
        """Return what is told of q, 1.5 s after its head was set."""
        store = store or _OneQueue()
        policies = Policies(store, Rules([Table(b"q", rule)] if rule else []))
        policies.look()
        details = Details(
            policies,
            {b"q": 11}.__getitem__,
            {b"q": [12, 13, 14]}.__getitem__,
            lambda: 1_600_000_001.5,
        )
        (row,) = details.rows(store, [b"q", b"none"])
        return row

    def test_figures(self) -> None:
        """Each figure is what its name says; a queue that is gone is left out."""
        self.assertEqual(
            dict(zip(FIGURES, self.row().figures, strict=True)),
            {
                "items": 1,
                "bytes": 2,
                "age": 1500,
                "total_items": 5,
                "taken": 6,
                "deleted": 7,
                "expired": 8,
                "discarded": 9,
                "open_transactions": 3,
                "waiters": 11,
                "delayed": 4,
                "deliveries": 10,
                "refused_full": 12,
                "refused_paused": 13,
                "refused_fanout": 14,
            },
        )

    def test_age(self) -> None:
        """Without a head there is no age, and none is below 0, whatever the clock."""
        store = _OneQueue()
        for time in (0, 1_700_000_000_000):
            store.told = DETAIL._replace(headTime=time)
            self.assertEqual(self.row(store).figures[2], 0)

    def test_rules(self) -> None:
        """Rules in force follow, as the file has them."""
        self.assertEqual([*self.row().rules], [])
        self.assertEqual(
            [*self.row(max_items=5, open_timeout=0.5).rules],
            [("max_items", "5"), ("open_timeout", "0.5")],
        )

    def test_store(self) -> None:
        """So does what the store keeps of that, in the same words."""
        store = _OneQueue()
        store.setLimit(b"q", 3)
        store.setPaused(b"q", 1)
        self.assertEqual(
            [*self.row(store).rules], [("max_items", "3"), ("paused", "reads")]
        )
        self.assertEqual(
            [*self.row(store, max_items=5, paused=2).rules],
            [("max_items", "3"), ("paused", "both")],
        )


def names(answer: bytes) -> list[bytes]:
    """Return the queues that an answer to stats detail tells."""
    lines = [line for line in answer.split(b"\r\n") if b"_items " in line]
    return [line.split(b"_")[1] for line in lines[::2]]


class AnswerTests(ProtocolTestCase):
    """Replies to clients."""

    def test_detail(self) -> None:
        """Figures are told of what there is at that place in the conversation."""
        self.store.fill(b"q", b"abc", b"de")
        other = self.harness.connect()
        other.talk(b"get r/t=1000\r\n")
        answer = self.client.talk(
            b"get q/open\r\nget q\r\nstats detail\r\nget q/close\r\n"
        )
        figures = (0, 3, 0, 2, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
        told = formatDetails([QueueFigures(b"q", figures)])
        self.assertEqual(
            answer,
            value(b"q/open", b"abc")
            + END
            + value(b"q", b"de")
            + END
            + told
            + END
            + END,
        )
        self.assertEqual(self.client.protocol.outstanding.load, 0)
        self.assertEqual(self.client.protocol.session.outstanding.undelivered, 0)

    def test_waiters(self) -> None:
        """Those that wait are counted."""
        self.client.talk(put(b"q", b"a") + b"get q\r\n")
        for _ in range(3):
            self.harness.connect().talk(b"get q/t=1000\r\n")
        answer = self.client.talk(b"dump_stats\r\n")
        self.assertEqual(answer[:13], b"queue 'q' {\r\n")
        self.assertIn(b"  waiters=3\r\n", answer)

    def test_pattern(self) -> None:
        """A pattern is one as in the file, and one name is one, too."""
        for queue in (b"ab", b"abc", b"b"):
            self.store.fill(queue, b"x")
        for pattern, found in (
            (b"ab", [b"ab"]),
            (b"a*", [b"ab", b"abc"]),
            (b"?", [b"b"]),
            (b"[!a]*", [b"b"]),
            (b"*", [b"ab", b"abc", b"b"]),
            (b"A*", []),
        ):
            answer = self.client.talk(b"stats detail %b\r\n" % pattern)
            self.assertEqual(names(answer), found, pattern)
            self.assertTrue(answer.endswith(END))

    def test_badPattern(self) -> None:
        """A pattern that matches no name, whatever it is, is refused."""
        for pattern in (b"a/b", b"\t", b"*" * 251):
            self.assertEqual(
                self.client.talk(b"stats detail %b\r\n" % pattern),
                b"CLIENT_ERROR bad command line format\r\n",
            )


class ManyTests(ProtocolTestCase):
    """Many queues."""

    def setUp(self) -> None:
        """Make more than are told at once, and others to look at what happens."""
        super().setUp()
        self.queues = [b"%03d" % number for number in range(3 * AT_ONCE + 1)]
        for queue in self.queues:
            self.store.fill(queue, b"x")
        # So that a turn takes no more than one slice.
        self.patch(module, "QUEUE_COST", 1 << 20)
        self.other = self.harness.connect()

    def test_all(self) -> None:
        """All are told once, in order, and END comes once, in either form."""
        answer = self.client.talk(b"stats detail\r\nversion\r\n")
        self.assertEqual(names(answer), self.queues)
        self.assertEqual(answer.count(END), 1)
        self.assertTrue(answer.endswith(END + VERSION))
        answer = self.client.talk(b"dump_stats\r\n")
        self.assertEqual(answer.count(b"queue '"), len(self.queues))
        self.assertEqual((answer[-5:], answer.count(END)), (END, 1))

    def test_lateHeads(self) -> None:
        """Of very many queues, heads are not looked at each time that they change."""
        with patch.object(self.store, "peek", wraps=self.store.peek) as peek:
            looked = []
            for few in (1, 1, 1000):
                self.patch(figures, "FEW", few)
                self.client.talk(b"stats detail\r\n")
                looked.append(peek.call_count)
                for queue in self.queues:
                    self.store.fill(queue, b"x")
                    self.client.talk(b"get %b\r\n" % queue)
        count = len(self.queues)
        self.assertEqual(looked, [count, count, 2 * count])

    def test_exactly(self) -> None:
        """It ends as well where the last slice is full."""
        for queue in self.queues[2 * AT_ONCE :]:
            self.store.delete(queue)
        answer = self.client.talk(b"stats detail\r\n")
        self.assertEqual((len(names(answer)), answer.count(END)), (2 * AT_ONCE, 1))

    def test_others(self) -> None:
        """Others have their turns meanwhile; what the client sent behind has not."""
        self.client.send(b"stats detail\r\n" + put(b"x", b"own"))
        self.other.send(b"get none\r\n")
        for _ in range(2):
            self.harness.reactor.iterate()
        self.assertEqual(self.other.read(), END)
        self.assertLess(len(names(self.client.read())), len(self.queues))
        self.harness.settle()
        self.assertTrue(self.client.read().endswith(END + STORED))

    def test_gone(self) -> None:
        """A queue that is deleted meanwhile is left out; a new one is not told."""
        self.client.send(b"stats detail\r\n")
        self.harness.reactor.iterate()
        self.other.send(b"delete %b\r\n" % self.queues[-1] + put(b"999", b"x"))
        self.harness.settle()
        self.assertEqual(names(self.client.read()), self.queues[:-1])

    def test_leave(self) -> None:
        """A client that leaves leaves nothing behind."""
        self.client.send(b"stats detail\r\nversion\r\n")
        self.harness.reactor.iterate()
        self.client.end()
        self.assertEqual(self.harness.factory.lingering, 0)
        self.assertEqual(self.client.protocol.session.outstanding.undelivered, 0)

    def test_notReading(self) -> None:
        """A client that does not read is told no more until it does."""
        self.client.send(b"stats detail\r\n")
        self.harness.reactor.iterate()
        self.client.stopReading()
        self.harness.settle()
        before = self.client.read()
        self.assertLess(len(names(before)), len(self.queues))
        self.client.startReading()
        self.harness.settle()
        self.assertEqual(names(before + self.client.read()), self.queues)

    def test_error(self) -> None:
        """An error stands in the place of END, and ends the answer."""
        self.store.refuse("details", StoreError("bad page"), self.queues[AT_ONCE])
        answer = self.client.talk(b"stats detail\r\nversion\r\n")
        self.assertEqual(names(answer), self.queues[:AT_ONCE])
        self.assertTrue(answer.endswith(b"SERVER_ERROR bad page\r\n" + VERSION))
        self.assertNotIn(END, answer)
        self.assertEqual(self.client.protocol.outstanding.load, 0)

    def test_undone(self) -> None:
        """A turn that is undone tells everything once all the same."""
        self.patch(module, "QUEUE_COST", 1)
        self.store.refuse("commit", StoreError("no room"), times=1)
        answer = self.client.talk(b"stats detail\r\n")
        self.assertEqual((names(answer), answer.count(END)), (self.queues, 1))

    def test_inVain(self) -> None:
        """The rest of a slice that fails when it runs again tells nothing."""
        listing = Listing(self.harness.statistics.details, formatDetails)
        session = self.client.protocol.session
        one = TellQueues(session, listing)
        one.run(self.store)
        one.undo()
        self.assertIsNotNone(one.rest)
        one.fail(StoreError("bad page"))
        two: Any = one.rest
        two.run(self.store)
        self.assertEqual((two.result, two.size, two.rest), (None, 0, None))


class SummaryTests(ProtocolTestCase):
    """Figures of very many queues together."""

    def setUp(self) -> None:
        """Make more than are added up at once, which are few here."""
        super().setUp()
        self.patch(module, "SUMMED", 3)
        self.patch(module, "TOLD", 0)
        self.patch(module, "SUM_COST", 1 << 20)
        for number in range(10):
            self.store.fill(b"%d" % number, b"x")
        self.other = self.harness.connect()

    def found(self, answer: bytes) -> list[bytes]:
        """Return what an answer says of all of them."""
        self.assertEqual((answer.count(END), answer.count(b"STAT pid ")), (1, 1))
        lines = answer.splitlines()
        names = (b"queues", b"messages", b"bytes", b"queues_left_out")
        figures = dict(line.split()[1:] for line in lines if line.startswith(b"STAT"))
        return [figures[name] for name in names]

    def test_all(self) -> None:
        """All are added up, and what the client sent behind has its turn after that."""
        answer = self.client.talk(b"stats\r\nversion\r\n")
        self.assertEqual(self.found(answer), [b"10", b"10", b"10", b"10"])
        self.assertTrue(answer.endswith(END + VERSION))
        self.assertEqual(self.client.protocol.outstanding.load, 0)

    def test_exactly(self) -> None:
        """The last slice may be full."""
        self.store.delete(b"0")
        answer = self.client.talk(b"stats\r\n")
        self.assertEqual(self.found(answer), [b"9"] * 4)

    def test_others(self) -> None:
        """Others have their turns meanwhile; a queue that goes is no more counted."""
        self.client.send(b"stats\r\n")
        self.harness.reactor.iterate()
        self.other.send(b"delete 9\r\n")
        for _ in range(2):
            self.harness.reactor.iterate()
        self.assertEqual(self.client.read(), b"")
        self.harness.settle()
        self.assertEqual(self.other.read(), b"DELETED\r\n")
        self.assertEqual(self.found(self.client.read()), [b"9", b"9", b"9", b"10"])

    def test_undone(self) -> None:
        """A turn that is undone adds up everything once all the same."""
        self.patch(module, "SUM_COST", 1)
        self.store.refuse("commit", StoreError("no room"), times=1)
        answer = self.client.talk(put(b"0", b"y") + b"stats\r\n")
        self.assertEqual(self.found(answer)[0], b"10")

    def test_told(self) -> None:
        """Each is told once where they are few, in slices as well."""
        self.patch(module, "TOLD", 10)
        self.patch(module, "AT_ONCE", 4)
        answer = self.client.talk(b"stats\r\n")
        self.assertEqual((answer.count(b"STAT pid "), answer.count(END)), (1, 1))
        self.assertEqual(answer.count(b"_waiters 0\r\n"), 10)
        self.assertNotIn(b"queues_left_out", answer)
