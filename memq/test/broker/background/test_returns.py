"""Tests for memq.broker.background.returns.

Going back on a full disk: test_fullbroker; open reads: test_openreads.
"""

from __future__ import annotations

from twisted.logger import LogLevel, capturedLogs, formatEvent

from memq.broker.background.returns import LONGEST, MOST, MOVE_AGAIN
from memq.errors import OutOfSpace, StoreError, StoreFailed
from memq.message import Message
from memq.storage.memory import MemoryStore
from memq.test.broker.test_broker import BrokerTestCase
from memq.test.commands.test_protocol import END, STORED, put, value
from memq.test.support.harness import Harness
from memq.test.support.stepped import SteppedTestCase


class DelayTests(SteppedTestCase):
    """A server with delayed messages."""

    def setUp(self) -> None:
        """Delay a message for 5 s."""
        self.harness = Harness()
        self.store = self.harness.store
        self.client = self.harness.connect()
        self.assertEqual(self.client.talk(put(b"q/delay=5", b"a")), STORED)

    def timers(self) -> int:
        """Return how many calls are to come."""
        return len(self.harness.reactor.getDelayedCalls())

    def ready(self) -> int:
        """Return how many messages can be taken."""
        return self.store.kept(b"q").ready

    def test_nothing(self) -> None:
        """When nothing is delayed, no clock runs."""
        self.assertEqual(self.timers(), 1)
        self.harness.pass_(5)
        self.assertEqual((self.ready(), self.timers()), (1, 0))

    def test_deleted(self) -> None:
        """Nor does it when all that was delayed is gone."""
        self.client.talk(b"delete q\r\n")
        self.harness.pass_(5)
        self.assertEqual(self.timers(), 0)

    def test_durable(self) -> None:
        """A restart finds it ready, or delayed still; nobody is told before that."""
        self.client.send(b"get q/t=9999\r\n")
        self.harness.timeOfDay = 5.0
        self.harness.reactor.advance(5)
        self.assertEqual((self.client.read(), self.harness.flushPool.pending), (b"", 1))
        self.harness.settle()
        self.assertEqual(self.client.read(), value(b"q/t=9999", b"a") + END)

    def test_earlier(self) -> None:
        """A message that is due before the others is not kept waiting by them."""
        self.client.talk(put(b"q/delay=3600", b"b"))
        self.client.talk(put(b"q/delay=1", b"c"))
        self.client.talk(put(b"q/delay=1", b"d"))
        self.harness.pass_(1)
        self.assertEqual((self.ready(), self.timers()), (2, 1))

    def test_clockSet(self) -> None:
        """When the clock is set, that counts within a second, on or back."""
        self.client.talk(put(b"q/delay=60", b"b"))
        self.harness.timeOfDay = 6.0
        self.harness.reactor.advance(LONGEST)
        self.harness.settle()
        self.assertEqual(self.ready(), 1)
        self.harness.timeOfDay = 0.0
        self.harness.pass_(59)
        self.assertEqual(self.ready(), 1)
        self.harness.pass_(1)
        self.assertEqual(self.ready(), 2)

    def test_many(self) -> None:
        """Many that are due at once come some at a time, and all of them."""
        self.client.talk(put(b"q/delay=5", b"b") * (3 * MOST))
        self.harness.timeOfDay = 5.0
        self.harness.reactor.advance(LONGEST)
        self.assertIn(self.ready(), range(1, MOST + 1))
        self.harness.settle()
        self.assertEqual(self.ready(), 3 * MOST + 1)

    def test_meanwhile(self) -> None:
        """A message that is delayed while others are moved is seen to."""
        self.harness.timeOfDay = 5.0
        self.harness.reactor.advance(LONGEST)
        self.client.talk(put(b"q/delay=2", b"b"))
        self.assertEqual(self.ready(), 1)
        self.harness.pass_(2)
        self.assertEqual(self.ready(), 2)

    def test_undone(self) -> None:
        """A set that was undone leaves nothing to move."""
        self.store.refuse("commit", StoreError("no"))
        self.client.talk(put(b"r/delay=1", b"b"))
        self.store.forgive()
        self.harness.pass_(3)
        self.assertEqual([count.name for count in self.store.counts()], [b"q"])

    def test_error(self) -> None:
        """When that fails it is tried again: soon on a full disk, later otherwise.

        Only the latter is logged; and when the store has failed, that was it.
        """
        for error, seconds, said in (
            (OutOfSpace(), LONGEST, []),
            (StoreError("bad page"), MOVE_AGAIN, ["bad page"]),
            (StoreFailed("bad disk"), None, []),
        ):
            self.setUp()
            self.patch(self.store, "promoteDue", self.raising(error))
            with capturedLogs() as events:
                self.harness.pass_(5.5)
            logged = [each for each in events if "Delayed" in str(each["log_format"])]
            self.assertEqual([str(each["why"]) for each in logged], said)
            self.assertEqual((self.ready(), self.timers()), (0, seconds is not None))
            del self.store.promoteDue
            self.harness.pass_((seconds or LONGEST) - 1)
            self.assertEqual(self.ready(), 0)
            self.harness.pass_(1)
            self.assertEqual(self.ready(), seconds is not None)

    def raising(self, error: Exception) -> object:
        """Return a method that fails."""

        def promoteDue(now: int, limit: int) -> list[bytes]:
            raise error

        return promoteDue

    def test_stop(self) -> None:
        """A server that stops moves nothing any more, and leaves no call behind."""
        self.harness.pass_(4.5)
        drained = self.harness.broker.drain()
        self.harness.settle()
        self.assertTrue(drained.called)
        self.assertEqual(self.timers(), 0)

    def test_stopMeanwhile(self) -> None:
        """Neither does one that stops while messages are moved."""
        self.client.talk(put(b"q/delay=5", b"b") * MOST)
        self.harness.timeOfDay = 5.0
        self.harness.reactor.advance(LONGEST)
        drained = self.harness.broker.drain()
        self.harness.settle()
        self.assertTrue(drained.called)
        self.assertEqual((self.timers(), self.store.kept(b"q").items), (0, MOST + 1))

    def test_start(self) -> None:
        """A server that starts with delayed messages sees to them."""
        again = Harness(store=self.store)
        again.timeOfDay = 9.0
        again.broker.start()
        again.settle()
        self.assertEqual(self.ready(), 1)
        self.assertEqual(again.connect().talk(b"get q\r\n"), value(b"q", b"a") + END)


class PutBackTests(BrokerTestCase):
    """A message that was taken for nobody goes back."""

    def taken(self) -> Message:
        """Return the head of q, taken."""
        message = MemoryStore.pop(self.store, b"q")
        MemoryStore.commit(self.store)
        assert isinstance(message, Message)
        return message

    def test_place(self) -> None:
        """It goes back to its old place."""
        self.store.fill(b"q", b"a", b"b")
        message = self.taken()
        self.broker.putBack(b"q", message)
        self.settle()
        self.assertEqual(self.store.dump(), "q 2/0: a b")
        self.assertEqual(self.store.journal, ["begin", "commit", "flush"])

    def test_several(self) -> None:
        """Several do, in whatever order they come."""
        self.store.fill(b"q", b"a", b"b", b"c")
        messages = [self.taken() for _ in range(3)]
        for message in messages[1:] + messages[:1]:
            self.broker.putBack(b"q", message)
        self.settle()
        self.assertEqual(self.store.dump(), "q 3/0: a b c")

    def test_deleted(self) -> None:
        """If its queue was deleted meanwhile, it shares the fate of the others."""
        self.store.fill(b"q", b"a")
        message = self.taken()
        self.asker.delete()
        self.broker.putBack(b"q", message)
        with capturedLogs() as events:
            self.settle()
        self.assertEqual(self.store.dump(), "")
        self.assertEqual(events, [])

    def test_error(self) -> None:
        """A message that cannot go back is one lost: that is logged as critical.

        When the store has failed, why is the last critical line all the same.
        """
        for error, level in (
            (StoreError("no room"), LogLevel.critical),
            (StoreFailed("no room"), LogLevel.error),
        ):
            self.setUp()
            self.store.fill(b"q", b"a")
            message = self.taken()
            self.store.refuse("putBack", error)
            self.broker.putBack(b"q", message)
            with capturedLogs() as events:
                self.settle()
            said = "A message of queue q was taken and never delivered: no room"
            found = [(formatEvent(each), each["log_level"]) for each in events]
            self.assertIn((said, level), found)
            self.assertEqual(
                [each for each in found if each[1] == LogLevel.critical],
                [(said, level)] * (level == LogLevel.critical),
            )
