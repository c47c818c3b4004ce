"""Reads of the first of several queues that has a message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.broker.waiting.anyread import AnyRead
from memq.errors import DamagedMessage, StoreError
from memq.operations.openreads.openread import OpenRead
from memq.operations.reads import Peek, Read, Take
from memq.test.support.readers import Reader, ReaderTestCase, rules
from memq.wire.forms import SETS

if TYPE_CHECKING:
    from memq.operations.base import Operation

Q, R = (b"q", 5.0), (b"r", 5.0)


class Chooser(Reader):
    """A client that reads from several queues."""

    def any(self, *queues: tuple[bytes, float], kind: type[Read] = Take) -> AnyRead:
        """Read from one of some queues, each with how long it is waited for."""
        parts = [kind(self.session, name, wait) for name, wait in queues]
        return self._ask(AnyRead(parts))

    def words(self, operation: Operation) -> str:
        """Return what came of an operation."""
        if isinstance(operation, AnyRead) and operation.found is not None:
            return super().words(operation.found)
        return super().words(operation)


class ChooserTestCase(ReaderTestCase):
    """A broker with such clients."""

    def chooser(self) -> Chooser:
        """Return a new client."""
        return Chooser(self.broker)

    def chooses(self, *queues: tuple[bytes, float], kind: type[Read] = Take) -> Chooser:
        """Return a new client that has read from one of some queues, or waits."""
        client = self.chooser()
        client.any(*queues, kind=kind)
        self.settle()
        return client

    def put(self, queue: bytes, body: bytes) -> None:
        """Push a message, and let that be durable."""
        self.asker.session.push(queue, 0, body, SETS)
        self.settle()

    def waiters(self) -> tuple[int, int]:
        """Return how many wait for q and r."""
        return self.broker.waiters(b"q"), self.broker.waiters(b"r")


class AnyTests(ChooserTestCase):
    """A read of several queues."""

    def test_priority(self) -> None:
        """The first queue in order that has a message gives it; others keep theirs."""
        self.store.fill(b"r", b"1")
        self.store.fill(b"s", b"2")
        self.assertEqual(self.chooses(Q, R, (b"s", 5.0)).told, ["1"])
        self.assertEqual(self.store.dump(), "r 1/1:\ns 1/0: 2")

    def test_nothing(self) -> None:
        """Without a wait and a message it finds nothing."""
        self.assertEqual(self.chooses((b"q", 0.0), (b"r", 0.0)).told, ["None"])
        self.assertEqual(self.reactor.calls, [])

    def test_waits(self) -> None:
        """It waits in the line of each queue, and leaves all when it has a message."""
        client = self.chooses(Q, R)
        self.assertEqual((client.told, self.waiters()), ([], (1, 1)))
        self.put(b"r", b"1")
        self.put(b"q", b"2")
        self.assertEqual((client.told, self.waiters()), (["1"], (0, 0)))
        self.assertEqual(self.reactor.calls, [])
        self.assertEqual(self.store.dump(), "q 1/0: 2\nr 1/1:")

    def test_wokenTwice(self) -> None:
        """Of messages that come at once it takes that of the first queue, only."""
        client, other = self.chooses(R, Q), self.chooses(Q)
        for queue in (b"q", b"r"):
            self.asker.session.push(queue, 0, queue, SETS)
        self.settle()
        self.assertEqual((client.told, other.told), (["r"], ["q"]))

    def test_handsOn(self) -> None:
        """It was promised one of another queue, which the next one in line has then."""
        client, other = self.chooses(R, Q), self.chooses(Q)
        self.asker.session.push(b"q", 0, b"1", SETS)
        self.turn()
        self.asker.session.push(b"r", 0, b"2", SETS)
        client.session.outstanding.undelivered = 0
        self.store.fill(b"r", b"3")
        self.settle()
        self.assertEqual((client.told, other.told), (["3"], ["1"]))

    def test_ownTimes(self) -> None:
        """Each queue is waited for as long as it says, and the last one ends it."""
        client = self.chooses((b"q", 1.0), (b"r", 3.0), (b"s", 0.0))
        self.reactor.advance(1.0)
        self.assertEqual((client.told, self.waiters()), ([], (0, 1)))
        self.put(b"q", b"1")
        self.put(b"s", b"2")
        self.assertEqual(client.told, [])
        self.reactor.advance(2.0)
        self.assertEqual((client.told, self.waiters()), (["None"], (0, 0)))
        self.assertEqual(self.reactor.calls, [])

    def test_overIsOver(self) -> None:
        """A queue whose time is over is not looked at again."""
        client = self.chooses((b"q", 1.0), R)
        self.reactor.advance(1.0)
        self.put(b"q", b"1")
        self.put(b"r", b"2")
        self.assertEqual(client.told, ["2"])

    def test_twice(self) -> None:
        """A queue that is named twice is waited for as long as the longer time."""
        client = self.chooses((b"q", 1.0), (b"q", 3.0))
        self.reactor.advance(1.0)
        self.assertEqual(self.broker.waiters(b"q"), 1)
        self.put(b"q", b"1")
        self.put(b"q", b"2")
        self.assertEqual(client.told, ["1"])
        again = self.chooses((b"r", 3.0), (b"r", 1.0), (b"s", 5.0))
        other = self.chooses(R, R)
        self.store.fill(b"r", b"a", b"b")
        self.broker.policies.replace(rules())
        self.reactor.advance(1.0)
        self.settle()
        self.assertEqual((again.told, other.told), (["a"], ["b"]))
        self.assertEqual(self.waiters(), (0, 0))

    def test_open(self) -> None:
        """It opens a message of one queue, or says that it has one open there."""
        self.store.fill(b"q", b"1", b"2")
        client = self.chooses(R, Q, kind=OpenRead)
        self.assertEqual((client.told, self.store.dump()), (["1"], "q 2/0: 2"))
        client.any(R, Q, kind=OpenRead)
        self.settle()
        self.assertEqual(client.told[1:], ["CLIENT_ERROR close current item first"])
        client.leave()
        self.settle()
        self.assertEqual(self.store.dump(), "q 2/0: 1 2")

    def test_peek(self) -> None:
        """A look at one lets the next one in line have it."""
        client, other = self.chooses(R, Q, kind=Peek), self.chooses(Q)
        self.put(b"q", b"1")
        self.assertEqual((client.told, other.told), (["1"], ["1"]))

    def test_damaged(self) -> None:
        """A damaged message ends it with its error."""
        self.store.fill(b"r", b"1")
        self.store.damaged[b"q"] = DamagedMessage("number 0")
        client = self.chooses(Q, R)
        self.assertEqual(client.told, ["damaged message set aside: number 0"])
        self.assertEqual(self.store.dump(), "r 1/0: 1")

    def test_undone(self) -> None:
        """A turn that is undone is run again; the message is had once."""
        client = self.chooses(Q, R)
        self.store.refuse("commit", StoreError("no room"), times=1)
        self.asker.session.push(b"r", 0, b"1", SETS)
        self.turn()
        self.store.refuse("commit", StoreError("no room"), times=1)
        self.settle()
        self.assertEqual(client.told, ["1"])
        self.assertTrue(client.session.outstanding.isSettled)
        self.assertEqual(self.store.dump(), "r 1/1:")

    def test_large(self) -> None:
        """Its message goes back when its client leaves before it was sent."""
        self.store.fill(b"r", b"1")
        client = self.chooser()
        read = client.any(Q, R)
        self.turn()
        self.assertEqual(self.store.dump(), "r 1/1:")
        read.abandon()
        self.settle()
        self.assertEqual(self.store.dump(), "r 1/0: 1")


class OrderTests(ChooserTestCase):
    """Those that wait for several queues, and those that wait for one."""

    def test_each(self) -> None:
        """In each line it stands where it came."""
        first, both, last = self.chooses(Q), self.chooses(R, Q), self.chooses(Q)
        for body in (b"1", b"2", b"3"):
            self.put(b"q", body)
        self.assertEqual([first.told, both.told, last.told], [["1"], ["2"], ["3"]])

    def test_newcomer(self) -> None:
        """A read that comes for any of its queues while it is woken is behind it."""
        self.broker.policies.replace(rules(q={"paused": 1}))
        both = self.chooses(R, Q)
        self.store.fill(b"q", b"1", b"2")
        self.broker.policies.replace(rules())
        self.reactor.advance(0)
        late = self.chooses(Q)
        self.assertEqual((both.told, late.told), (["1"], ["2"]))

    def test_gone(self) -> None:
        """When it leaves, waiting or woken, it leaves all lines, and hands on."""
        one, two, last = self.chooses(Q, R), self.chooses(Q, R), self.chooses(R, Q)
        one.leave()
        self.assertEqual(self.waiters(), (2, 2))
        self.asker.session.push(b"q", 0, b"1", SETS)
        self.turn()
        self.assertEqual(self.waiters(), (1, 1))
        two.leave()
        self.settle()
        self.assertEqual((last.told, self.waiters()), (["1"], (0, 0)))
        self.assertEqual(self.reactor.calls, [])

    def test_hurry(self) -> None:
        """A client that is to end waits for none of them."""
        client = self.chooses(Q, R)
        client.any(Q, R)
        client.session.hurry()
        self.settle()
        self.assertEqual((client.told, self.reactor.calls), (["None", "None"], []))

    def test_sendsNoMore(self) -> None:
        """A client that could not close its message opens nothing later."""
        client = self.chooses(Q, R, kind=OpenRead)
        client.session.receiveNoMore()
        self.settle()
        self.assertEqual(client.told, ["None"])
        taking = self.chooses(Q, R)
        taking.session.receiveNoMore()
        self.settle()
        self.assertEqual((taking.told, self.waiters()), ([], (1, 1)))

    def test_unfinished(self) -> None:
        """It looks in no later queue before it has got to what has not expired."""
        self.store.seconds = self.broker.policies.seconds = self.reactor.seconds
        self.broker.policies.replace(rules(q={"max_age": 1000}))
        for wait in (0.0, 5.0):
            self.store.fill(b"q", *[b""] * 250)
            self.reactor.advance(2.0)
            self.put(b"q", b"new")
            self.put(b"r", b"other")
            client = self.chooses((b"q", wait), (b"r", wait))
            self.assertEqual(client.told, ["new"])
        self.assertEqual(self.store.dump().splitlines()[1], "r 2/0: other other")

    def test_unfinishedWithOthers(self) -> None:
        """Who comes behind one that did not get to a later queue looks there too."""
        self.store.seconds = self.broker.policies.seconds = self.reactor.seconds
        self.broker.policies.replace(rules(q={"max_age": 1000}))
        self.store.fill(b"q", *[b""] * 250)
        self.reactor.advance(2.0)
        self.store.fill(b"r", b"1", b"2")
        both, other = self.chooser(), self.chooser()
        both.any(Q, R)
        other.any(R)
        self.settle()
        self.assertEqual((both.told, other.told), (["1"], ["2"]))
