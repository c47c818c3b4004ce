"""All queues are added up."""

from __future__ import annotations

from unittest.mock import patch

from twisted.internet.defer import Deferred, fail, succeed

from memq.broker.broker import Broker
from memq.errors import StoreError
from memq.test.web.history.base import HistoryTestCase
from memq.web.history import tallies
from memq.web.history.tallies import FRESH, STALE


class TalliesTests(HistoryTestCase):
    """What all queues have together."""

    def test_empty(self) -> None:
        """A server without queues has nothing, and no rates at first."""
        tally = self.tally()
        self.assertEqual(tally[1:], (0,) * 7 + (None, None))
        self.assertEqual(self.tally()[1:], (0,) * 9)

    def test_sums(self) -> None:
        """It adds up what waits, what is open and delayed, and what was counted."""
        self.tally()
        self.set(b"a", b"a", b"b", b"b")
        self.client.talk(b"get a\r\n")
        self.client.talk(b"get b/open\r\n")
        self.client.talk(b"set c/delay=9 0 0 3\r\nxyz\r\n")
        tally = self.tally()
        self.assertEqual(tally.queues, 3)
        self.assertEqual((tally.messages, tally.open, tally.delayed), (2, 1, 1))
        self.assertEqual((tally.bytes, tally.set, tally.taken), (3, 4, 1))
        self.assertEqual((tally.incoming, tally.outgoing), (4.0, 1.0))

    def test_slices(self) -> None:
        """Many queues are added up in slices; who asks meanwhile shares it."""
        self.set(b"a", b"b", b"c", b"d", b"e")
        with patch.object(tallies, "AT_ONCE", 2):
            first, second = self.tallies.take(), self.tallies.take()
            for _ in range(2):
                self.assertNoResult(first)
                self.harness.reactor.iterate()
        tally = self.successResultOf(first)
        self.assertEqual(tally.messages, 5)
        self.assertIs(self.successResultOf(second), tally)

    def test_fresh(self) -> None:
        """Who asks just after that is told the same."""
        first = self.tally()
        self.set(b"a")
        self.assertIs(self.successResultOf(self.tallies.take()), first)
        self.harness.pass_(FRESH)
        again = self.successResultOf(self.tallies.take())
        self.assertEqual(again.messages, 1)

    def test_freshOfMany(self) -> None:
        """One of very many queues is told for longer, but not for long."""
        self.set(b"a")
        self.tally()
        for each, seconds in ((1.5, 1.5), (99.0, STALE)):
            self.patch(tallies, "FRESH_EACH", each)
            told = []
            for passed in (seconds - 0.5, 0.5):
                self.harness.pass_(passed)
                self.set(b"a")
                told.append(self.successResultOf(self.tallies.take()).set)
            self.assertEqual(told[1] - told[0], 2)

    def test_unknown(self) -> None:
        """Where nobody tells what queues have, that is not known; counters are."""
        self.set(b"a")
        asked: list[bool] = []

        def _refuse(asks: bool) -> Deferred[object]:
            asked.append(asks)
            return fail(StoreError("nobody"))

        self.patch(self.harness.broker, "refresh", _refuse)
        tally = self.successResultOf(self.tallies.take(asks=False))
        self.assertEqual(asked, [False])
        self.assertEqual(tally[1:8], (None,) * 5 + (1, 0))
        self.patch(Broker, "lacks", frozenset(["delayed"]))
        self.patch(self.harness.broker, "refresh", lambda _: succeed(1))
        tally = self.tally()
        self.assertEqual((tally.messages, tally.delayed), (1, None))

    def test_idle(self) -> None:
        """Nothing is added up again where nothing has changed, whoever looks."""
        self.set(b"a")
        before = self.tally()
        self.client.talk(b"get none\r\nstats\r\n")
        self.harness.broker.room.look()
        self.harness.broker.room.looked(1 << 40)
        with patch.object(self.harness.broker, "names", side_effect=AssertionError):
            after = self.tally()
        self.assertEqual(after[1:-2], before[1:-2])
        self.assertEqual(after[-2:], (0, 0))

    def test_opened(self) -> None:
        """An open read changes something, too."""
        self.set(b"a", b"a", b"a")
        self.assertEqual(self.tally().messages, 3)
        self.client.talk(b"get a/open\r\n")
        self.assertEqual((self.tally().messages, self.tally().open), (2, 1))
        self.harness.connect().talk(b"monitor a 9 2\r\n")
        self.assertEqual((self.tally().messages, self.tally().open), (0, 3))

    def test_deleted(self) -> None:
        """A queue that is deleted lets no counter fall, not even for once."""
        self.set(b"a", b"a", b"b")
        self.client.talk(b"get a\r\n")
        tally = self.tally()
        self.assertEqual((tally.set, tally.taken), (3, 1))
        with patch.object(tallies, "AT_ONCE", 1):
            self.harness.pass_(1.0)
            self.set(b"c")
            taken = self.tallies.take()
            self.store.delete(b"b")
            self.store.commit()
            self.harness.settle()
        tally = self.successResultOf(taken)
        self.assertEqual((tally.set, tally.taken, tally.outgoing), (3, 1, 0))
        self.set(b"c")
        tally = self.tally()
        self.assertEqual((tally.queues, tally.set, tally.taken), (2, 5, 1))
