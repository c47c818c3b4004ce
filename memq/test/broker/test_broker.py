"""The broker: turns, flushes, and who is told what when."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.threads import deferToThreadPool
from twisted.logger import capturedLogs, formatEvent
from zope.interface.verify import verifyObject

from memq.broker import turns as module
from memq.broker.broker import SWEEP_AGAIN, SWEEP_MESSAGES, Broker
from memq.broker.interfaces import IEngine
from memq.broker.session import UNDELIVERED_BYTES
from memq.broker.turns import SHARE, TURN_COST
from memq.errors import DamagedMessage, StoreError, StoreFailed
from memq.message import Message
from memq.operations.base import MESSAGE_COST, Ask, Operation
from memq.operations.pops import Pop
from memq.operations.pushes import Push
from memq.operations.queues import Delete, EmptyAll
from memq.storage.memory import MemoryStore
from memq.test.support.fakes import FakeStore
from memq.test.support.stepped import SteppedPool, SteppedReactor, SteppedTestCase
from memq.wire.forms import GETS, SETS

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred

    from memq.interfaces import IQueueStore

#: Messages without a body in a turn, and in a session's share of one.
TURN_MESSAGES = TURN_COST // MESSAGE_COST
SHARE_MESSAGES = SHARE // MESSAGE_COST


class Asker:
    """A client without a wire.

    :ivar told: the results that it was told, in words, in order.
    """

    def __init__(self, broker: Broker) -> None:
        self.session = broker.session(self._deliver)
        self.told: list[str] = []
        self._asked: deque[Operation] = deque()

    def push(self, *bodies: bytes) -> None:
        """Send messages to q."""
        for body in bodies:
            self._asked.append(self.session.push(b"q", 0, body, SETS))

    def pop(self, times: int = 1) -> None:
        """Ask for messages of q."""
        for _ in range(times):
            self._asked.append(self.session.pop(b"q", GETS))

    def delete(self) -> None:
        """Delete q."""
        self.submit(Delete(self.session, b"q"))

    def submit(self, operation: Operation) -> None:
        """Ask for anything."""
        self.session.submit(operation)
        self._asked.append(operation)

    def _deliver(self) -> None:
        while self._asked and self._asked[0].done:
            operation = self._asked.popleft()
            if isinstance(operation, Push | Pop):
                self.told += map(self._words, operation.results)
            else:
                self.told.append(self.words(operation))
        self.session.catchUp()

    def words(self, operation: Operation) -> str:
        """Return what came of an operation."""
        return str(operation.result)

    def _words(self, result: Any) -> str:
        if isinstance(result, Message):
            self.session.outstanding.undelivered -= len(result.body)
            return result.body[:10].decode()
        return str(result)


class BrokerTestCase(SteppedTestCase):
    """A broker over a store that can be made to fail."""

    def setUp(self) -> None:
        """Make a broker whose flushes are steps of a pool."""
        self.reactor = SteppedReactor()
        self.pool = SteppedPool()
        self.store = FakeStore()
        self.failures: list[str] = []
        self.broker = Broker(
            self.store,
            self.reactor,
            persist=lambda: self.persist(),
            onFailure=lambda error: self.onFailure(error),
        )
        self.asker = self.newAsker()

    def persist(self) -> Deferred[None]:
        """Flush in a step of the pool."""
        return deferToThreadPool(self.reactor, self.pool, self.store.flush)

    def onFailure(self, error: StoreFailed) -> None:
        """Note that the store has failed for good."""
        self.failures.append(str(error))

    def newAsker(self) -> Asker:
        """Return a new client."""
        return Asker(self.broker)

    def turn(self) -> None:
        """Let one reactor iteration pass, which is at most one turn."""
        self.reactor.iterate()

    def bound(self, turn: int, share: int) -> None:
        """Let turns, and sessions' shares of them, cost so much at most."""
        self.patch(module, "TURN_COST", turn)
        self.patch(module, "SHARE", share)

    def said(self, *calls: Callable[[], object]) -> list[str]:
        """Return what is logged by some calls."""
        with capturedLogs() as events:
            for call in calls:
                call()
        return [str(formatEvent(event)) for event in events]

    def flush(self) -> None:
        """Let the flush under way end, and what follows from that."""
        self.assertTrue(self.pool.step())
        self.turn()

    def settle(self) -> None:
        """Let everything happen."""
        self.reactor.advance(0)
        while self.pool.step():
            self.reactor.advance(0)


class InterfaceTests(BrokerTestCase):
    """What others ask of an engine."""

    def test_verified(self) -> None:
        """The broker is one, to the last attribute."""
        self.assertTrue(verifyObject(IEngine, self.broker, tentative=False))


class GroupCommitTests(BrokerTestCase):
    """One transaction a turn, one flush for all turns that went before it."""

    def test_oneTurn(self) -> None:
        """All that waits in a reactor iteration is one transaction and one flush."""
        askers = [self.newAsker() for _ in range(5)]
        for asker in askers:
            asker.push(b"a", b"b")
        self.settle()
        self.assertEqual(self.store.journal, ["begin", "commit", "flush"])
        self.assertEqual((self.broker.turns, self.broker.flushes), (1, 1))
        for asker in askers:
            self.assertEqual(len(asker.told), 2)

    def test_order(self) -> None:
        """A session's operations run in order, within a turn and from turn to turn."""
        self.asker.push(b"a")
        self.asker.pop()
        self.asker.pop()
        self.asker.push(b"b")
        self.turn()
        self.asker.pop()
        self.settle()
        self.assertEqual(self.asker.told, ["0", "a", "None", "1", "b"])

    def test_notBeforeFlush(self) -> None:
        """Nothing is told before the flush that began after its commit has ended."""
        self.asker.push(b"a")
        self.turn()
        self.assertEqual(self.store.dump(), "q 1/0: a")
        self.assertEqual(self.asker.told, [])
        self.flush()
        self.assertEqual(self.asker.told, ["0"])

    def test_nextFlush(self) -> None:
        """Turns that are committed while a flush runs are told after the next one."""
        self.asker.push(b"a")
        self.turn()
        other = self.newAsker()
        other.push(b"b")
        self.turn()
        self.asker.push(b"c")
        self.turn()
        self.assertEqual(self.broker.turns, 3)
        self.assertEqual(self.pool.pending, 1)
        self.flush()
        self.assertEqual((self.asker.told, other.told), (["0"], []))
        self.flush()
        self.assertEqual((self.asker.told, other.told), (["0", "2"], ["1"]))
        self.assertEqual(self.broker.flushes, 2)
        self.assertEqual(self.pool.pending, 0)

    def test_nothingChanged(self) -> None:
        """An operation that changed nothing is told without a flush."""
        self.asker.pop()
        self.asker.delete()
        self.submitStatus()
        self.turn()
        self.assertEqual(self.asker.told, ["None", "False", "b'0'"])
        self.assertEqual(self.store.journal, ["begin", "commit"])

    def submitStatus(self) -> None:
        """Ask how many queues there are."""

        def count(store: IQueueStore) -> bytes:
            return b"%d" % store.status()["queues"]

        self.asker.submit(Ask(self.asker.session, count))

    def test_nothingChangedMeanwhile(self) -> None:
        """Not even while somebody else's flush runs."""
        other = self.newAsker()
        other.push(b"a")
        self.turn()
        self.submitStatus()
        self.turn()
        self.assertEqual((self.asker.told, other.told), (["b'1'"], []))

    def test_changes(self) -> None:
        """Whatever changes something is told after a flush only."""
        session = self.asker.session
        for change in (
            self.asker.delete,
            self.asker.pop,
            lambda: self.asker.submit(EmptyAll(session)),
        ):
            self.store.fill(b"q", b"a")
            self.asker.told = []
            change()
            self.turn()
            self.assertEqual(self.asker.told, [])
            self.flush()
            self.assertEqual(len(self.asker.told), 1)

    def test_damaged(self) -> None:
        """A damaged message that is set aside is a change as well."""
        self.store.damaged[b"q"] = DamagedMessage("number 5")
        self.asker.pop()
        self.turn()
        self.assertEqual(self.asker.told, [])
        self.flush()
        self.assertEqual(self.asker.told, ["damaged message set aside: number 5"])

    def test_noSync(self) -> None:
        """With no-sync everything is told when it is committed."""
        self.broker.durable = False
        self.asker.push(b"a")
        self.asker.pop()
        self.turn()
        self.assertEqual(self.asker.told, ["0", "a"])
        self.assertEqual(self.store.journal, ["begin", "commit"])

    def test_alone(self) -> None:
        """Without a service that says how, everything is durable at once."""
        broker = Broker(self.store, self.reactor)
        asker = Asker(broker)
        asker.push(b"a")
        self.turn()
        self.assertEqual(asker.told, ["0"])

    def test_waiting(self) -> None:
        """Operations that were not told yet can be counted."""
        self.asker.push(b"a", b"b")
        self.assertEqual(self.broker.waiting, 2)
        self.turn()
        self.asker.push(b"c")
        self.turn()
        self.asker.pop(3)
        self.assertEqual(self.broker.waiting, 6)
        self.settle()
        self.assertEqual(self.broker.waiting, 0)

    def test_emptyAll(self) -> None:
        """All queues can be emptied, and it is told how many messages that cost."""
        self.store.fill(b"q", b"a", b"b")
        self.store.fill(b"r", b"c")
        for _ in range(2):
            self.asker.submit(EmptyAll(self.asker.session))
            self.settle()
        self.assertEqual(self.asker.told, ["3", "0"])
        self.assertEqual(self.store.dump(), "q 2/2:\nr 1/1:")


class TurnTests(BrokerTestCase):
    """A turn is bounded, and everybody has a share of it."""

    def test_operations(self) -> None:
        """A turn has so many operations, even if one session is alone."""
        self.asker.pop(TURN_MESSAGES + 1)
        self.turn()
        self.assertEqual(len(self.asker.told), TURN_MESSAGES)
        self.turn()
        self.assertEqual(len(self.asker.told), TURN_MESSAGES + 1)

    def test_fair(self) -> None:
        """One with 10,000 operations does not hold up one that has a single one."""
        self.asker.pop(10_000)
        other = self.newAsker()
        other.pop()
        self.turn()
        self.assertEqual(other.told, ["None"])
        self.assertEqual(len(self.asker.told), TURN_MESSAGES // 2)
        other.pop()
        self.turn()
        self.assertEqual(len(other.told), 2)
        self.settle()
        self.assertEqual(len(self.asker.told), 10_000)

    def test_rotation(self) -> None:
        """With very many sessions each has its share before any has a second one."""
        askers = [self.newAsker() for _ in range(40)]
        for asker in askers:
            asker.pop(3 * SHARE_MESSAGES)
        seen = set()
        for _ in range(3):
            before = sum(len(asker.told) for asker in askers)
            self.turn()
            counts = {len(asker.told) for asker in askers}
            after = sum(len(asker.told) for asker in askers)
            self.assertLess(after - before, TURN_MESSAGES + SHARE_MESSAGES)
            seen |= counts
        self.assertEqual(seen, {0, SHARE_MESSAGES, 2 * SHARE_MESSAGES})
        self.settle()
        self.assertEqual({len(asker.told) for asker in askers}, {3 * SHARE_MESSAGES})

    def test_anew(self) -> None:
        """Among very many that want much, one that comes anew waits for few."""
        askers = [self.newAsker() for _ in range(200)]
        for asker in askers:
            asker.pop(10 * SHARE_MESSAGES)
        while not all(asker.told for asker in askers):
            self.turn()
        for _ in range(3):
            other = self.newAsker()
            other.pop()
            self.turn()
            self.assertEqual(other.told, ["None"])
        self.settle()
        self.assertEqual({len(asker.told) for asker in askers}, {10 * SHARE_MESSAGES})

    def test_notOnlyAnew(self) -> None:
        """However many come anew, those that want much have every second place."""
        self.bound(4 * MESSAGE_COST, MESSAGE_COST)
        self.asker.pop(9)
        self.turn()
        for _ in range(2):
            before = len(self.asker.told)
            for _ in range(4):
                self.newAsker().pop()
            self.turn()
            self.assertEqual(len(self.asker.told), before + 1)

    def test_bothWithdrawn(self) -> None:
        """A blocked session leaves the rotation, wherever it stands in it."""
        self.bound(MESSAGE_COST, MESSAGE_COST)
        self.asker.pop(9)
        self.turn()
        other = self.newAsker()
        other.pop()
        self.assertEqual(self.broker.waiting, 9)
        self.asker.session.block()
        other.session.block()
        self.settle()
        self.assertEqual((len(self.asker.told), other.told), (1, []))
        self.asker.session.unblock()
        other.session.unblock()
        self.settle()
        self.assertEqual((len(self.asker.told), len(other.told)), (9, 1))

    def test_bytes(self) -> None:
        """A turn ends when it has moved so many bytes."""
        body = b"x" * (TURN_COST // 4 - MESSAGE_COST)
        self.asker.push(*[body] * 6)
        other = self.newAsker()
        other.push(b"y")
        self.turn()
        self.assertEqual(self.store.dump().count("y"), 1)
        self.assertEqual(self.store.status()["messages"], 3)
        self.turn()
        self.assertEqual(self.store.status()["messages"], 7)

    def test_exactly(self) -> None:
        """A push that exactly fills a turn ends it, for one session or for several."""
        self.bound(2 * (MESSAGE_COST + 9), MESSAGE_COST + 9)
        self.asker.push(*[b"9 bytes.."] * 3)
        self.turn()
        self.assertEqual(self.store.status()["messages"], 2)
        self.settle()
        askers = [self.newAsker() for _ in range(3)]
        for asker in askers:
            asker.push(b"9 bytes..")
        self.turn()
        self.assertEqual(self.store.status()["messages"], 5)

    def test_misses(self) -> None:
        """A pop that finds nothing counts as well."""
        self.bound(4 * MESSAGE_COST, 2 * MESSAGE_COST)
        askers = [self.newAsker() for _ in range(3)]
        for asker in askers:
            asker.pop(2)
        self.turn()
        self.assertEqual([len(asker.told) for asker in askers], [2, 2, 0])

    def test_once(self) -> None:
        """A session stands in the rotation once, whatever it is told meanwhile."""
        self.asker.push(b"a", b"b")
        self.asker.session.catchUp()
        self.asker.session.unblock()
        self.assertEqual(self.broker.waiting, 2)

    def test_undelivered(self) -> None:
        """A session for which much was taken is left out until that is delivered."""
        big = b"x" * (UNDELIVERED_BYTES // 2)
        self.store.fill(b"q", big, big, big)
        self.asker.pop(3)
        self.turn()
        self.turn()
        self.assertEqual(self.store.status()["messages"], 1)
        self.settle()
        self.assertEqual(len(self.asker.told), 3)
        self.assertEqual(self.asker.session.outstanding.undelivered, 0)

    def test_blocked(self) -> None:
        """One whose client does not read is left out until it does, wherever it was."""
        other = self.newAsker()
        for before in True, False:
            session = self.asker.session
            if before:
                session.block()
            self.asker.push(b"a")
            other.push(b"b")
            session.block()
            self.settle()
            self.assertEqual(
                self.store.dump(), "q 1/0: b" if before else "q 3/0: b a b"
            )
            session.unblock()
            self.settle()
        self.assertEqual(self.store.dump(), "q 4/0: b a b a")
        self.assertEqual(self.asker.told, ["1", "3"])

    def test_unblockedIdle(self) -> None:
        """A session that asked for nothing is not asked."""
        self.asker.session.block()
        self.asker.session.unblock()
        self.assertEqual(self.reactor.calls, [])

    def test_full(self) -> None:
        """While the disk is too full a push is refused before it waits."""
        self.broker.room.exhausted()
        operation = self.asker.session.push(b"q", 0, b"a", SETS)
        self.assertTrue(operation.done)
        self.assertEqual(list(map(str, operation.results)), ["out of disk space"])
        self.assertEqual(self.broker.waiting, 0)


class ErrorTests(BrokerTestCase):
    """An operation that fails does not take others with it."""

    def test_oneOfMany(self) -> None:
        """The turn is undone and run again one by one; only that one fails."""
        self.store.fill(b"q", b"0")
        self.store.refuse("push", StoreError("bad page"), b"q", b"bad")
        other = self.newAsker()
        self.asker.push(b"a", b"bad", b"b")
        self.asker.pop()
        other.push(b"c")
        self.settle()
        self.assertEqual(self.asker.told, ["1", "bad page", "3", "0"])
        self.assertEqual(other.told, ["2"])
        self.assertEqual(self.store.dump(), "q 4/1: a c b")

    def test_apart(self) -> None:
        """They run in transactions of their own, and wait for a flush as ever."""
        self.store.refuse("push", StoreError("bad page"), b"q", b"bad")
        self.asker.push(b"a", b"bad")
        self.turn()
        self.assertEqual(
            self.store.journal,
            ["begin", "abort", "begin", "commit", "begin", "abort"],
        )
        self.assertEqual(self.asker.told, [])
        self.flush()
        self.assertEqual(self.asker.told, ["0", "bad page"])

    def test_joined(self) -> None:
        """Pushes that came together, and pops, fail one by one all the same."""
        self.store.refuse("push", StoreError("bad page"), b"q", b"bad")
        push = self.asker.session.push(b"q", 0, b"a", SETS)
        push.messages += [(0, b"bad"), (0, b"b")]
        pop = self.asker.session.pop(b"q", GETS)
        pop.most = 3
        self.settle()
        self.assertEqual(list(map(str, push.results)), ["0", "bad page", "1"])
        self.assertEqual([each.body for each in pop.messages()], [b"a", b"b"])
        self.assertIsNone(pop.results[2])
        self.assertEqual(self.asker.session.outstanding.undelivered, 2)
        self.assertEqual(self.store.dump(), "q 2/2:")

    def test_undone(self) -> None:
        """The charge of a pop is forgotten when the store fails for good."""
        self.store.fill(b"q", b"a", b"b")
        self.store.refuse("flush", StoreFailed("gone"))
        pop = self.asker.session.pop(b"q", GETS)
        pop.most = 3
        self.settle()
        self.assertEqual(list(map(str, pop.results)), ["gone"] * 3)
        self.assertEqual(self.asker.session.outstanding.undelivered, 0)

    def test_joinedCounted(self) -> None:
        """Each of them waits, and counts in a turn."""
        self.bound(2 * MESSAGE_COST, MESSAGE_COST)
        self.asker.session.pop(b"q", GETS).most = 3
        self.asker.pop()
        self.assertEqual(self.broker.waiting, 4)
        self.turn()
        self.assertEqual(self.broker.waiting, 1)

    def test_logged(self) -> None:
        """That a turn was undone is logged, with the reason."""
        self.store.refuse("push", StoreError("bad page"))
        self.asker.push(b"a")
        self.assertEqual(
            self.said(self.turn),
            ["A turn of 1 is undone and run again one by one: bad page"],
        )

    def test_onlyErrors(self) -> None:
        """When nothing changed in the end, there is nothing to flush."""
        self.store.refuse("push", StoreError("bad page"))
        self.asker.pop()
        self.asker.push(b"a")
        self.turn()
        self.assertEqual(self.asker.told, ["None", "bad page"])

    def test_passes(self) -> None:
        """A turn that met an error which passes, as of a lock, succeeds."""
        for method in ("push", "commit"):
            self.setUp()
            self.store.fill(b"q", b"0")
            self.store.refuse(method, StoreError("deadlock"), times=1)
            self.asker.pop()
            self.asker.push(b"a", b"b")
            self.settle()
            self.assertEqual(self.asker.told, ["0", "1", "2"])
            self.assertEqual(self.store.dump(), "q 3/1: a b")

    def test_commitAlways(self) -> None:
        """If commits go on failing, everybody is told, and nothing has changed."""
        self.store.fill(b"q", b"0")
        self.store.refuse("commit", StoreError("no room"))
        self.asker.pop()
        self.asker.push(b"a")
        self.settle()
        self.assertEqual(self.asker.told, ["no room", "no room"])
        self.assertEqual(self.store.dump(), "q 1/0: 0")
        self.assertEqual(self.asker.session.outstanding.undelivered, 0)

    def test_begin(self) -> None:
        """If no transaction begins, everybody is told instead of waiting."""
        self.store.refuse("begin", StoreError("no memory"))
        other = self.newAsker()
        self.asker.push(b"a", b"b")
        other.pop()
        self.turn()
        self.assertEqual(self.asker.told, ["no memory", "no memory"])
        self.assertEqual(other.told, ["no memory"])
        self.turn()
        self.assertEqual(self.reactor.calls, [])
        self.store.forgive()
        self.asker.push(b"c")
        self.settle()
        self.assertEqual(self.asker.told[2:], ["0"])

    def test_undelivered(self) -> None:
        """A message taken in a turn that was undone does not count as taken."""
        big = b"x" * UNDELIVERED_BYTES
        self.store.fill(b"q", big, b"small")
        self.store.refuse("commit", StoreError("no room"), times=1)
        self.asker.pop(2)
        self.turn()
        self.assertEqual(self.asker.session.outstanding.undelivered, UNDELIVERED_BYTES)
        self.settle()
        self.assertEqual(self.asker.told, ["x" * 10, "small"])

    def test_unforeseen(self) -> None:
        """An unforeseen error is logged in full, and told as an internal error."""
        self.store.refuse("push", ZeroDivisionError(), b"q", b"bad")
        self.asker.push(b"bad", b"a")
        self.settle()
        self.assertEqual(self.asker.told, ["SERVER_ERROR internal error", "0"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_delivery(self) -> None:
        """A session that cannot be told does not keep others from being told."""

        def deliver() -> None:
            raise ZeroDivisionError

        broken = [self.broker.session(deliver) for _ in range(3)]
        for session in broken:
            session.push(b"q", 0, b"a", SETS)
        self.asker.push(b"b")
        self.settle()
        self.assertEqual(len(self.asker.told), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)

    def test_abstract(self) -> None:
        """An operation has to say what it does."""
        operation = Operation(self.asker.session)
        self.assertRaises(NotImplementedError, operation.run, self.store)


class FailureTests(BrokerTestCase):
    """When the store fails for good nothing is acknowledged any more."""

    def test_flush(self) -> None:
        """All whose flush failed are told, and all whose flush cannot come."""
        self.asker.push(b"a")
        self.turn()
        other = self.newAsker()
        other.push(b"b")
        self.turn()
        third = self.newAsker()
        third.pop()
        third.push(b"c")
        self.store.refuse("flush", StoreFailed("the disk is gone"))
        self.flush()
        self.turn()
        self.assertEqual(self.asker.told, ["the disk is gone"])
        self.assertEqual(other.told, ["the disk is gone"])
        self.assertEqual(third.told, ["the disk is gone"] * 2)
        self.assertEqual(self.failures, ["the disk is gone"])
        self.assertEqual(self.pool.pending, 0)

    def test_later(self) -> None:
        """All who ask later are told, and the store is not touched."""
        self.broker.fail(StoreFailed("the disk is gone"))
        self.asker.push(b"a")
        self.asker.pop()
        self.settle()
        self.assertEqual(self.asker.told, ["the disk is gone"] * 2)
        self.assertEqual(self.store.journal, [])

    def test_once(self) -> None:
        """The owner is told once, of the first failure."""
        self.broker.fail(StoreFailed("first"))
        self.broker.fail(StoreFailed("second"))
        self.assertEqual(self.failures, ["first"])

    def test_silent(self) -> None:
        """It need not have an owner."""
        broker = Broker(self.store, self.reactor)
        broker.fail(StoreFailed("gone"))
        asker = Asker(broker)
        asker.pop()
        self.settle()
        self.assertEqual(asker.told, ["gone"])

    def test_flushError(self) -> None:
        """A flush that fails in any other way is as bad; so one not even begun."""

        def persist() -> Deferred[None]:
            raise OSError("no threads")

        def refuse() -> None:
            self.store.refuse("flush", OSError("what"))

        for arrange, why in (
            (refuse, "what"),
            (lambda: self.patch(self, "persist", persist), "no threads"),
        ):
            self.setUp()
            arrange()
            self.asker.push(b"a")
            self.settle()
            said = f"the log cannot be synced: {why}"
            self.assertEqual((self.asker.told, self.failures), ([said], [said]))
            self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_atOnce(self) -> None:
        """So a flush that was to be over at once; one that is, is told in its turn."""
        self.patch(self, "persist", lambda: self.store.flush())
        self.asker.push(b"a")
        self.turn()
        self.assertEqual(self.asker.told, ["0"])
        self.store.refuse("flush", StoreFailed("gone"))
        self.asker.push(b"b")
        self.turn()
        self.assertEqual(self.asker.told, ["0", "gone"])
        self.assertEqual(self.failures, ["gone"])

    def test_ownerFails(self) -> None:
        """An owner that cannot take it is logged."""

        def onFailure(error: StoreFailed) -> None:
            raise ZeroDivisionError

        self.patch(self, "onFailure", onFailure)
        self.store.refuse("flush", StoreFailed("gone"))
        self.asker.push(b"a")
        self.settle()
        self.assertEqual(self.asker.told, ["gone"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_operation(self) -> None:
        """It may be an operation that finds it out."""
        self.store.fill(b"q", b"0")
        self.store.refuse("push", StoreFailed("panic"), b"q", b"bad")
        other = self.newAsker()
        other.pop()
        self.asker.push(b"a", b"bad", b"b")
        self.turn()
        self.assertEqual(self.asker.told, ["panic"] * 2)
        self.turn()
        self.assertEqual(self.asker.told, ["panic"] * 3)
        self.assertEqual(other.told, ["panic"])
        self.assertEqual(self.failures, ["panic"])
        self.assertEqual(other.session.outstanding.undelivered, 0)

    def test_undo(self) -> None:
        """So is a turn, or an operation alone, that begins in vain or is not undone."""
        bad, panic = StoreError("bad page"), StoreFailed("panic")
        for calls in (
            [("push", bad, 0), ("abort", panic, 0)],
            [("push", bad, 0), ("abort", panic, 1)],
            [("begin", panic, 0)],
        ):
            self.setUp()
            for name, error, after in calls:
                self.store.refuse(name, error, after=after)
            self.asker.pop()
            self.asker.push(b"a")
            self.turn()
            self.assertEqual(self.asker.told, ["panic"] * 2)
            self.assertEqual(self.failures, ["panic"])

    def test_earlierTurns(self) -> None:
        """Turns that waited for their flush then are told before it."""
        self.asker.push(b"a")
        self.turn()
        self.store.refuse("push", StoreFailed("panic"))
        self.asker.push(b"b")
        self.turn()
        self.assertEqual(self.asker.told, ["panic", "panic"])
        self.settle()
        self.assertEqual(self.asker.told, ["panic", "panic"])

    def test_leftOut(self) -> None:
        """A session that was left out because of what it had taken is told too."""
        big = b"x" * UNDELIVERED_BYTES
        self.store.fill(b"q", big, big)
        self.asker.pop(2)
        self.turn()
        self.store.refuse("flush", StoreFailed("gone"))
        self.settle()
        self.assertEqual(self.asker.told, ["gone", "gone"])

    def test_noSweep(self) -> None:
        """Deleted queues are swept no more."""
        self.store.fill(b"q", *[b"a"] * 300)
        MemoryStore.delete(self.store, b"q")
        MemoryStore.commit(self.store)
        self.broker.fail(StoreFailed("gone"))
        self.settle()
        self.assertEqual(self.store.journal, [])


class LeaveTests(BrokerTestCase):
    """A client that is gone."""

    def test_leave(self) -> None:
        """Sets of a session that leaves count, its reads and questions do not."""
        self.store.fill(b"q", b"0")
        self.asker.push(b"a")
        self.asker.pop()
        ask = Ask(self.asker.session, lambda store: b"answer")
        self.asker.submit(ask)
        self.asker.push(b"b")
        self.asker.session.leave()
        self.settle()
        self.assertEqual(self.store.dump(), "q 3/0: 0 a b")
        self.assertIsNone(ask.result)

    def test_delete(self) -> None:
        """So does a delete."""
        self.store.fill(b"q", b"0")
        self.asker.delete()
        self.asker.session.leave()
        self.settle()
        self.assertEqual(self.store.dump(), "")

    def test_blocked(self) -> None:
        """Even if it does not read: that it never will then is no news."""
        for before in True, False:
            self.setUp()
            session = self.asker.session
            if before:
                session.block()
            self.asker.push(b"a")
            session.leave()
            if not before:
                session.block()
            self.settle()
            self.assertEqual(self.store.dump(), "q 1/0: a")

    def test_nothingLeft(self) -> None:
        """A turn in which nothing is left to do does no harm."""
        self.asker.pop()
        self.asker.session.leave()
        self.settle()
        self.assertEqual(self.asker.told, [])
        self.assertEqual(self.broker.waiting, 0)


class SweepTests(BrokerTestCase):
    """Messages of deleted queues are removed between turns."""

    def setUp(self) -> None:
        """Delete a queue of 250 messages."""
        super().setUp()
        self.store.fill(b"q", *[b"x"] * (2 * SWEEP_MESSAGES + 50))
        MemoryStore.delete(self.store, b"q")
        MemoryStore.commit(self.store)

    def swept(self) -> int:
        """Return how many slices were removed."""
        return self.store.journal.count(f"sweep {SWEEP_MESSAGES}")

    def test_start(self) -> None:
        """Garbage that the last process left is removed, a slice an iteration."""
        self.broker.sweep()
        for number in range(1, 4):
            self.turn()
            self.assertEqual(self.swept(), number)
        self.turn()
        self.assertEqual(self.swept(), 3)
        self.assertEqual(self.reactor.calls, [])

    def test_turns(self) -> None:
        """Turns go on meanwhile."""
        for number in range(3):
            self.asker.push(b"a")
            self.turn()
            self.assertEqual((self.broker.turns, self.swept()), (number + 1,) * 2)
        self.assertFalse(self.store.hasGarbage())

    def test_nothing(self) -> None:
        """Where there is nothing to sweep, nothing is begun."""
        store = FakeStore()
        Broker(store, self.reactor).sweep()
        self.assertEqual(self.reactor.calls, [])

    def test_error(self) -> None:
        """If that fails, it is logged once, and tried again after a while."""
        self.store.refuse("sweep", StoreError("bad page"), times=1)
        push = partial(self.asker.push, b"a")
        self.assertEqual(
            self.said(self.broker.sweep, self.settle, push, self.settle),
            ["Room is not given back before the next try: bad page"],
        )
        self.assertEqual(self.asker.told, ["0"])
        self.reactor.advance(SWEEP_AGAIN - 1)
        self.broker.sweep()
        self.settle()
        self.assertEqual(self.swept(), 1)
        self.reactor.advance(1)
        self.broker.sweep()
        self.settle()
        self.assertEqual(self.swept(), 4)

    def test_unforeseen(self) -> None:
        """If it fails in a way that nobody foresaw, turns go on all the same."""
        self.store.refuse("sweep", ZeroDivisionError())
        self.asker.push(b"a")
        self.turn()
        self.asker.push(b"b")
        self.settle()
        self.assertEqual(self.asker.told, ["0", "1"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_failed(self) -> None:
        """It may find out that the store has failed."""
        self.store.refuse("sweep", StoreFailed("panic"))
        self.asker.push(b"a")
        self.settle()
        self.assertEqual(self.asker.told, ["panic"])
        self.assertEqual(self.failures, ["panic"])

    def test_drain(self) -> None:
        """At the end it is left to the next start."""
        self.broker.sweep()
        self.turn()
        self.successResultOf(self.drained())
        self.assertEqual(self.swept(), 1)
        self.asker.push(b"a")
        self.settle()
        self.assertEqual(self.swept(), 1)

    def drained(self) -> Deferred[None]:
        """Drain the broker."""
        done = self.broker.drain()
        self.settle()
        return done


class DrainTests(BrokerTestCase):
    """The end of the broker."""

    def test_idle(self) -> None:
        """When nothing waits it comes in the next iteration."""
        done = self.broker.drain()
        self.assertNoResult(done)
        self.turn()
        self.successResultOf(done)

    def test_waiting(self) -> None:
        """Operations that wait are run and flushed before it is done."""
        self.asker.push(*[b"a"] * (TURN_MESSAGES + 5))
        done = self.broker.drain()
        self.turn()
        self.turn()
        self.assertEqual(self.store.status()["messages"], TURN_MESSAGES + 5)
        self.assertNoResult(done)
        self.flush()
        self.assertNoResult(done)
        self.flush()
        self.turn()
        self.successResultOf(done)
        self.assertEqual(len(self.asker.told), TURN_MESSAGES + 5)

    def test_putBack(self) -> None:
        """So is what only comes up then."""
        self.store.fill(b"q", b"a")
        gone = self.broker.session(lambda: self.broker.putBack(b"q", pop.results[0]))
        pop: Any = gone.pop(b"q", GETS)
        self.turn()
        done = self.broker.drain()
        self.turn()
        self.flush()
        self.turn()
        self.assertNoResult(done)
        self.assertEqual(self.store.dump(), "q 1/0: a")
        self.settle()
        self.successResultOf(done)

    def test_failed(self) -> None:
        """A store that fails meanwhile does not hold it up."""
        self.asker.push(b"a")
        self.turn()
        done = self.broker.drain()
        self.asker.push(b"b")
        self.store.refuse("flush", StoreFailed("gone"))
        self.settle()
        self.successResultOf(done)
        self.assertEqual(self.asker.told, ["gone", "gone"])
