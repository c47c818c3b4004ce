"""Sweeper: expiry where nobody reads, and queues that nobody uses."""

from __future__ import annotations

from functools import partial

from memq.broker import sweeper as module
from memq.broker.sweeper import INTERVAL, NAMES, PolicySweeper
from memq.errors import OutOfSpace, StoreFailed
from memq.message import Message
from memq.operations.base import MESSAGE_COST
from memq.operations.expiry import LOOK_COST
from memq.policy.rules import READS, Rules
from memq.storage.row import USED
from memq.test.support.readers import RuledTestCase, rules

#: Messages without a body that expire in one look.
MANY = LOOK_COST // MESSAGE_COST


class SweeperTestCase(RuledTestCase):
    """A broker with chores."""

    def setUp(self) -> None:
        """Begin."""
        super().setUp()
        #: Queues to which a message may still go back.
        self.held: set[bytes] = set()
        self.sweeper = PolicySweeper(
            self.broker.session,
            self.reactor.callLater,
            self.broker.isHeld,
            self.held.__contains__,
        )
        self.sweeper.start()

    def round(self) -> list[str]:
        """Let a round pass; return what is logged."""
        return self.said(partial(self.wait, INTERVAL))


class ExpiryTests(SweeperTestCase):
    """Messages that nobody reads."""

    def test_expire(self) -> None:
        """Once a second what is too old goes."""
        self.rule(max_age=2000)
        self.push(b"a", b"b")
        self.round()
        self.push(b"c")
        self.assertEqual(self.store.dump(), "q 3/0: a b c")
        self.round()
        self.assertEqual(self.store.dump(), "q 3/2: c")
        self.round()
        self.assertEqual(self.detail().expired, 3)

    def test_durable(self) -> None:
        """That is made durable, though nobody waits for it."""
        self.rule(max_age=500)
        self.push(b"a")
        self.store.journal.clear()
        self.round()
        self.assertEqual(self.store.journal[-1], "flush")

    def test_moved(self) -> None:
        """With expired_to it moves there, for those who wait."""
        tables = {
            name: {"max_age": 500, "expired_to": b"old"} for name in ("q", "r", "s")
        }
        self.broker.policies.replace(rules(**tables))
        self.store.fill(b"q", b"a")
        self.store.fill(b"r", b"b")
        self.store.fill(b"s")
        readers = [self.reader() for _ in range(2)]
        for reader in readers:
            reader.take(9.0, b"old")
            self.settle()
        self.round()
        self.assertEqual([reader.told for reader in readers], [["a"], ["b"]])

    def test_room(self) -> None:
        """The room of what is dropped is known to be free."""
        gains: list[int] = []
        self.rule(max_age=500)
        self.push(b"abc")
        self.patch(
            self.broker.room, "changed", lambda bytesFreed, _: gains.append(bytesFreed)
        )
        self.round()
        self.assertEqual(gains, [3])

    def test_many(self) -> None:
        """When there are many it goes on turn by turn, until all are gone."""
        self.rule(max_age=500)
        self.store.fill(b"q", *[b""] * (3 * MANY))
        self.reactor.rightNow += INTERVAL
        self.turn()
        self.turn()
        self.asker.push(b"x")
        self.flush()
        self.assertEqual(self.detail().expired, MANY)
        self.settle()
        self.assertEqual(self.detail().expired, 3 * MANY)
        self.assertEqual(self.asker.told, ["300"])

    def test_later(self) -> None:
        """Without rules nothing is looked at, until there are some."""
        turns = self.broker.turns
        self.round()
        self.push(b"a")
        self.assertEqual(self.broker.turns, turns + 1)
        self.rule(max_age=500)
        self.round()
        self.broker.policies.replace(Rules())
        turns = self.broker.turns
        self.round()
        self.assertEqual(self.broker.turns, turns)
        self.assertEqual(self.detail().expired, 1)

    def test_inTurn(self) -> None:
        """Of many queues some are looked at each second, each in its turn."""
        self.patch(module, "NAMES", 2 * (1 + module.HEAD))
        self.rule()
        names = [b"%d" % number for number in range(5)]
        tables = {name.decode(): {"max_age": 500} for name in names}
        self.broker.policies.replace(rules(**tables))
        for name in names:
            self.store.fill(name, b"a")
        gone = []
        for _ in range(4):
            self.round()
            taken = [count.name for count in self.store.counts() if count.taken]
            gone.append(len(taken))
        # The third round looks at one queue, and the fourth one begins anew.
        self.assertEqual(gone, [2, 4, 5, 5])
        self.store.fill(b"0", b"b")
        for _ in range(3):
            self.assertEqual(self.detail(b"0").expired, 1)
            self.round()
        self.assertEqual(self.detail(b"0").expired, 2)

    def test_plainNames(self) -> None:
        """Those that have no rule cost less."""
        self.rule(max_age=500)
        for number in range(NAMES + 1):
            self.store.fill(b"%d" % number, b"")
        self.push(b"a")
        self.round()
        self.assertEqual(self.detail().expired, 0)
        self.round()
        self.assertEqual(self.detail().expired, 1)

    def test_error(self) -> None:
        """A failed queue is left, with a line in the log; others have their turn."""
        q = {"max_age": 500, "expired_to": b"old"}
        self.broker.policies.replace(rules(q=q, r={"max_age": 500}))
        self.store.fill(b"q", b"a")
        self.store.fill(b"r", b"b")
        self.store.refuse("push", OutOfSpace(), b"old", times=2)
        self.assertEqual(
            self.round()[-1],
            "Sweeping stops until the next round: out of disk space",
        )
        self.assertEqual(self.store.dump(), "q 1/0: a\nr 1/0: b")
        self.round()
        self.assertEqual(self.store.dump(), "q 1/0: a\nr 1/1:")
        self.round()
        self.assertEqual(self.store.dump(), "old 1/0: a\nq 1/1:\nr 1/1:")

    def test_failed(self) -> None:
        """The end of the store is said by others."""
        self.rule(max_age=500)
        self.push(b"a")
        self.store.refuse("begin", StoreFailed("gone"))
        self.assertNotIn("Sweeping", "".join(self.round()))
        self.assertEqual(self.failures, ["gone"])


class StopTests(SweeperTestCase):
    """The end of it."""

    def test_stop(self) -> None:
        """Nothing is done any more, and no call is left."""
        self.rule(max_age=500)
        self.push(b"a")
        self.sweeper.stop()
        self.round()
        self.assertEqual(self.detail().expired, 0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.sweeper.stop()

    def test_meanwhile(self) -> None:
        """The slice that is under way then is the last."""
        self.rule(max_age=500)
        self.store.fill(b"q", *[b""] * (2 * MANY))
        self.reactor.rightNow += INTERVAL
        self.turn()
        self.turn()
        self.sweeper.stop()
        self.settle()
        self.assertEqual(self.detail().expired, MANY)
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class IdleTests(SweeperTestCase):
    """Queues that are removed when nobody uses them."""

    def setUp(self) -> None:
        """Have one that was used just now."""
        super().setUp()
        self.rule(remove_when_idle=10.0)
        self.push(b"a")
        self.asker.pop()
        self.settle()

    def idle(self) -> list[str]:
        """Let it be idle for long enough; return what is logged."""
        self.wait(USED + 10.0 - INTERVAL)
        return self.round()

    def test_removed(self) -> None:
        """An empty one is removed, with a line in the log."""
        self.wait(USED + 10.0 - INTERVAL)
        self.assertEqual(self.store.names(), [b"q"])
        self.assertEqual(self.round(), ["Queue q is removed: nobody uses it"])
        self.assertEqual(self.store.names(), [])
        self.assertEqual(self.round(), [])

    def test_used(self) -> None:
        """A queue that was used meanwhile stays; the time of that may be late."""
        self.wait(USED - 1.0)
        self.push(b"a")
        self.asker.pop()
        self.settle()
        self.wait(10.0)
        self.assertEqual(self.store.names(), [b"q"])

    def test_notEmpty(self) -> None:
        """One with a message stays: ready, open or delayed."""
        one = self.reader()
        self.push(b"a")
        self.idle()
        one.open()
        self.idle()
        one.close()
        self.store.pushDelayed(b"q", 0, b"b", 1000 * 1000)
        self.store.commit()
        self.idle()
        self.assertEqual(self.store.names(), [b"q"])

    def test_stays(self) -> None:
        """So one that is waited for, that is paused, to which a message may go back.

        So any that has no such rule.
        """
        for stays in (
            lambda: self.reader().take(999.0),
            lambda: self.rule(remove_when_idle=10.0, paused=READS),
            lambda: self.held.add(b"q"),
            lambda: self.rule(max_age=1000),
        ):
            self.setUp()
            stays()
            self.idle()
            self.assertEqual(self.store.names(), [b"q"])

    def test_returning(self) -> None:
        """So while one cannot go back, since the disk is full."""
        self.push(b"a")
        message = self.store.pop(b"q")
        self.store.commit()
        assert isinstance(message, Message)
        self.store.refuse("putBack", OutOfSpace())
        self.broker.putBack(b"q", message)
        self.idle()
        self.assertEqual(self.store.names(), [b"q"])
        self.store.forgive()
        self.wait(1.0)
        self.assertTrue(self.store.dump().endswith(" a"))

    def test_undone(self) -> None:
        """A removal that is undone is not told."""
        self.wait(USED + 10.0 - INTERVAL)
        self.store.refuse("commit", OutOfSpace(), times=2)
        self.assertEqual(
            self.round()[-1], "Sweeping stops until the next round: out of disk space"
        )
        self.assertEqual(self.store.names(), [b"q"])
