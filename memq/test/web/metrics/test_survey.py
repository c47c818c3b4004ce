"""All queues are looked at, some at a time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from memq import figures
from memq.errors import StoreError
from memq.figures import Heads, Totals
from memq.policy.rule import READS, WRITES
from memq.policy.rules import Rules, Table
from memq.test.support.harness import Harness
from memq.test.support.stepped import SteppedTestCase
from memq.web.metrics import looks, survey
from memq.web.metrics.survey import (
    AT_ONCE,
    FIGURES,
    WAITING,
    NoSurvey,
    Picture,
    Surveyor,
    Wanted,
)

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

ALL = Wanted()


class SurveyTestCase(SteppedTestCase):
    """Has a surveyor of a stepped server."""

    def setUp(self) -> None:
        """Have no queue yet."""
        self.harness = Harness()
        self.store: Any = self.harness.store
        self.client = self.harness.connect()
        self.surveyor = Surveyor(self.harness.broker)

    def fill(self, count: int) -> None:
        """Let there be so many queues with a message."""
        for number in range(len(self.store.names()), count):
            self.store.fill(b"q%d" % number, b"x")

    def look(self, wanted: Wanted = ALL) -> Picture:
        """Return the outcome of a survey."""
        looked = self.surveyor.look(wanted)
        self.harness.settle()
        return self.successResultOf(looked)

    def figures(self, name: str, wanted: Wanted = ALL) -> list[int]:
        """Return a figure of the queues."""
        rows = self.look(wanted).rows
        assert rows is not None
        return list(rows.columns[name])


class PictureTests(SurveyTestCase):
    """What a survey sees."""

    def test_nothing(self) -> None:
        """There may be no queue."""
        picture = self.look()
        assert picture.rows is not None
        self.assertEqual(picture[:7], (0, 0, 0, 0, 0, Totals(), 0))
        self.assertEqual(picture.rows.labels, [])

    def test_slices(self) -> None:
        """However many there are, each is seen once."""
        for count in (1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE):
            self.fill(count)
            self.assertEqual(len(self.store.names()), count)
            picture = self.look()
            assert picture.rows is not None
            self.assertEqual((picture.queues, picture.messages), (count, count))
            self.assertEqual(len(set(picture.rows.labels)), count)
            self.assertIsNone(self.look(Wanted(most=0)).rows)

    def test_long(self) -> None:
        """A slice ends when it has taken long, and the next one goes on from there."""
        self.fill(3 * looks.STEP + 1)
        details, reactor = self.store.details, self.harness.reactor
        looked: list[int] = []

        def slow(names: list[bytes], *rest: Heads) -> Any:
            looked.append(len(names))
            reactor.rightNow += looks.LONG / 1.5
            return details(names, *rest)

        self.patch(self.store, "details", slow)
        turns = self.harness.broker.turns
        self.assertEqual(self.look().messages, 3 * looks.STEP + 1)
        count = 3 * looks.STEP + 1
        self.assertEqual(looked, list(range(count, 0, -looks.STEP)))
        self.assertEqual(self.harness.broker.turns - turns, 3)

    def test_figures(self) -> None:
        """Every figure of a queue is told, and all of them together."""
        self.client.talk(b"set q 0 0 2\r\nxy\r\n" * 4)
        self.client.talk(b"set q/delay=9 0 0 1\r\nx\r\nget q/open\r\nget q/close\r\n")
        self.client.talk(b"get q/open\r\nget q/abort\r\nget q/open\r\n")
        self.harness.connect().send(b"get q/t=5000\r\n" * 3)
        self.harness.connect().talk(b"get r/t=5000\r\n")
        picture = self.look()
        assert picture.rows is not None
        found = {name: picture.rows.columns[name].tolist() for name in FIGURES}
        self.assertEqual(picture.rows.labels, ['{queue="q"}'])
        expected = {name: [0] for name in FIGURES} | {
            "bytes": [2],
            "waiters": [1],
            "open": [1],
            "delayed": [1],
            "set": [4],
            "taken": [3],
            "closed": [1],
            "returned": [1],
            "oldest": found["oldest"],
        }
        self.assertEqual(found, expected)
        self.assertEqual(picture[:5], (1, 0, 2, 1, 1))
        self.assertEqual(picture.ever, (4, 3, 1, 0, 0, 1))

    def test_rules(self) -> None:
        """Where there are rules, their limits and pauses are told."""
        rules = [Table(b"a", {"max_items": 7}), Table(b"b", {"paused": READS})]
        self.harness.policies.replace(Rules(rules))
        self.client.talk(
            b"set a 0 0 1\r\nx\r\nset b 0 0 1\r\nx\r\nset c 0 0 1\r\nx\r\n"
        )
        self.assertEqual(self.figures("limit"), [7, 0, 0])
        self.assertEqual(self.figures("paused"), [0, READS, 0])

    def test_rulesOfNothing(self) -> None:
        """Where there are rules, there need not be queues that are wanted, or any."""
        self.harness.policies.replace(Rules([Table(b"a", {"max_items": 7})]))
        self.fill(1)
        self.assertEqual(self.figures("limit", Wanted((b"none",))), [])
        looked = self.surveyor.look(ALL)
        self.client.send(b"delete q0\r\n")
        self.harness.settle()
        rows = self.successResultOf(looked).rows
        assert rows is not None
        self.assertEqual(rows.names, [])

    def test_old(self) -> None:
        """Sums of very many queues may be some seconds old, where no row is wanted."""
        self.patch(survey, "OLD_EACH", 1.0)
        sums = Wanted(())
        self.fill(2)
        for passed, expected in ((0, 2), (1.5, 2), (1.5, 3)):
            self.harness.pass_(passed)
            self.assertEqual(self.look(sums).messages, expected)
            self.fill(3)
        self.fill(4)
        self.assertEqual(self.look().messages, 4)
        self.assertEqual(self.look(sums).messages, 4)

    def test_lateHeads(self) -> None:
        """Of many queues, heads that change all the time are not always looked at."""
        self.patch(figures, "FEW", 1)
        self.patch(figures, "LATE_EACH", 10.0)
        for number in range(1, 4):
            self.patch(self.store, "seconds", partial(float, number))
            self.client.talk(b"set a 0 0 1\r\nx\r\n")
        self.fill(2)
        told = []
        for passed in (0, 15, 15):
            self.harness.pass_(passed)
            told.append(min(self.figures("oldest")))
            self.client.talk(b"get a\r\n")
        self.assertEqual(told, [1000, 1000, 3000])

    def test_nearlyKnownHeads(self) -> None:
        """Of many queues, heads that came since the survey before are told as of it."""
        self.patch(figures, "FEW", 1)
        self.patch(figures, "LATE_EACH", 10.0)
        self.fill(2)
        told = []
        policies = self.harness.broker.policies
        for number, passed in ((100, 0), (200, 5), (300, 5), (400, 5), (500, 60)):
            self.harness.pass_(passed)
            self.patch(policies, "seconds", partial(float, number))
            self.patch(self.store, "seconds", partial(float, number - 50))
            self.client.talk(b"get a\r\nset a 0 0 1\r\nx\r\n")
            told.append(max(self.figures("oldest")))
        # The last survey before it is too long ago.
        self.assertEqual(told, [50_000, 100_000, 200_000, 300_000, 450_000])

    def test_oldest(self) -> None:
        """The oldest head is that of any queue that has one."""
        for name, seconds in ((b"a", 30), (b"b", 10), (b"c", 20)):
            self.patch(self.store, "seconds", partial(float, seconds))
            self.client.talk(b"set %b 0 0 1\r\nx\r\n" % name)
        self.assertEqual(self.look().oldest, 10_000)
        self.assertEqual(self.figures("oldest"), [30_000, 10_000, 20_000])
        self.client.talk(b"get b\r\nget c\r\n")
        self.assertEqual(self.look().oldest, 30_000)

    def test_wanted(self) -> None:
        """Figures are kept of the queues that match, if they are not too many."""
        for name in (b"a", b"b.1", b"b.2", b"\xff"):
            self.store.fill(name, b"x")
        for patterns, most, labels in (
            ((b"*",), 4, ["a", "b.1", "b.2", "hex:ff"]),
            ((b"*",), 3, None),
            ((), 0, []),
            ((b"b.*",), 2, ["b.1", "b.2"]),
            ((b"b.*",), 1, None),
            ((b"a", b"b.2"), None, ["a", "b.2"]),
            ((b"none", b"[!a]"), None, ["hex:ff"]),
            ((b"a", b"*"), None, ["a", "b.1", "b.2", "hex:ff"]),
        ):
            rows = self.look(Wanted(patterns, most)).rows
            expected = labels and [f'{{queue="{label}"}}' for label in labels]
            self.assertEqual(None if rows is None else rows.labels, expected)

    def test_policies(self) -> None:
        """A limit and a pause are told, whoever said so."""
        self.store.fill(b"plain", b"x")
        self.assertEqual(self.figures("limit"), [0])
        self.client.talk(b"add q 0 0 1\r\n5\r\npause q/writes\r\n")
        values = {"max_items": 7, "paused": READS}
        self.harness.policies.replace(Rules([Table(b"q", values)]))
        self.assertEqual(self.figures("limit"), [0, 5])
        paused = self.figures("paused")
        self.assertEqual(paused[0], 0)
        self.assertIn(paused[1], (READS, READS | WRITES))


class CounterTests(SurveyTestCase):
    """What is counted never falls."""

    def ever(self) -> Totals:
        """Return what is told."""
        return self.look().ever

    def test_deleted(self) -> None:
        """A queue that is deleted leaves its counts."""
        self.client.talk(b"set q 0 0 1\r\nx\r\n" * 3 + b"get q\r\n")
        self.assertEqual(self.ever()[:2], (3, 1))
        self.client.talk(b"delete q\r\n")
        self.assertEqual(self.ever()[:2], (3, 1))
        self.client.talk(b"set q 0 0 1\r\nx\r\n")
        self.assertEqual(self.ever()[:2], (4, 1))

    def test_deletedMeanwhile(self) -> None:
        """One that is deleted in the middle of a survey is told of by the next one."""
        self.fill(AT_ONCE + 1)
        before = self.ever()
        looked = self.surveyor.look(ALL)
        self.harness.reactor.iterate()
        self.client.send(b"delete q%d\r\n" % AT_ONCE)
        self.harness.settle()
        self.assertEqual(self.successResultOf(looked).ever, before)
        self.assertEqual(self.ever(), before)

    def test_putBack(self) -> None:
        """A message that goes back to its queue does not count as taken again."""
        self.store.fill(b"q", b"1", b"2")
        self.client.talk(b"get q\r\n")
        self.assertEqual(self.figures("taken"), [1])
        with_, store = self.look().ever, self.store
        store.begin()
        message = store.pop(b"q")
        store.commit()
        self.assertEqual(self.figures("taken"), [2])
        store.begin()
        store.putBack(b"q", message)
        store.commit()
        self.assertEqual((self.figures("taken"), self.figures("messages")), ([2], [1]))
        self.assertEqual((with_.taken, self.look().ever.taken), (1, 2))

    def test_again(self) -> None:
        """A queue that is made again begins anew, in each of its counters."""
        self.client.talk(b"set q 0 0 1\r\nx\r\n" * 3 + b"get q\r\n" * 3)
        self.assertEqual((self.figures("set"), self.figures("taken")), ([3], [3]))
        self.client.talk(b"delete q\r\nset q 0 0 1\r\nx\r\n")
        self.assertEqual((self.figures("set"), self.figures("taken")), ([1], [0]))
        self.client.talk(b"get q\r\n")
        self.assertEqual(self.figures("taken"), [1])

    def test_forgotten(self) -> None:
        """What was told of queues that are gone is not kept for ever."""
        for number in range(9):
            self.store.fill(b"q%d" % number, b"x")
            self.client.talk(b"get q%d\r\n" % number)
        self.assertEqual(self.figures("taken"), [1] * 9)
        for number in range(1, 9):
            self.client.talk(b"delete q%d\r\n" % number)
        self.assertEqual(self.figures("taken"), [1])
        self.client.talk(b"set q1 0 0 1\r\nx\r\n")
        self.assertEqual(self.figures("taken"), [1, 0])


class OrderTests(SurveyTestCase):
    """Surveys run one after the other."""

    def wait(self, *wanted: Wanted) -> list[Deferred[Picture]]:
        """Return surveys that wait."""
        return [self.surveyor.look(each) for each in wanted]

    def test_shared(self) -> None:
        """Who wants the same gets the same."""
        first, second, other = self.wait(ALL, ALL, Wanted((b"a",)))
        self.harness.settle()
        picture = self.successResultOf(first)
        self.assertIs(self.successResultOf(second), picture)
        self.assertIsNot(self.successResultOf(other), picture)
        self.assertIsNot(self.look(), picture)

    def test_tooMany(self) -> None:
        """No more than some can wait."""
        asked = self.wait(*[Wanted((b"%d" % n,)) for n in range(WAITING + 1)])
        error = self.failureResultOf(self.surveyor.look(ALL), NoSurvey).value
        self.assertEqual(str(error), "too many of these are under way")
        self.harness.settle()
        for each in asked:
            self.successResultOf(each)

    def test_fails(self) -> None:
        """A store that cannot be asked fails one survey, and the next one may do."""
        self.store.refuse("begin", StoreError("it is torn"), times=2)
        first, second = self.wait(ALL, Wanted((b"a",)))
        self.harness.settle()
        self.failureResultOf(first, StoreError)
        self.successResultOf(second)

    def test_stopping(self) -> None:
        """When the server stops, nothing is looked at any more, and nobody waits."""
        self.fill(9 * AT_ONCE)
        asked = self.wait(ALL, Wanted((b"a",)))
        self.harness.reactor.iterate()
        drained = self.harness.broker.drain()
        self.harness.settle()
        self.successResultOf(drained)
        for each in asked:
            error = self.failureResultOf(each, NoSurvey).value
            self.assertEqual(str(error), "the server is stopping")
        turns = self.harness.broker.turns
        self.harness.settle()
        self.assertEqual(self.harness.broker.turns, turns)

    def test_fair(self) -> None:
        """Others come between the slices."""
        self.fill(3 * AT_ONCE)
        looked = self.surveyor.look(ALL)
        self.client.send(b"get q1\r\n")
        rounds = 0
        while not self.client.transport.value():
            self.harness.reactor.iterate()
            self.harness.flushPool.step()
            rounds += 1
        self.assertNoResult(looked)
        self.assertLess(rounds, 5)
        self.harness.settle()
        self.successResultOf(looked)
