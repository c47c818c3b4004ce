"""Tests for bench.clusteraccount: an account that is given a loss says so."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from bench.clusteraccount import CHAIN, CLOSE, PLAIN, Account, Bounds, judge

BOUNDS = Bounds(6.0)


class AccountTestCase(SynchronousTestCase):
    """Tests with a clock."""

    def setUp(self) -> None:
        """Begin at a second that is none of theirs."""
        self.clock = Clock()
        self.clock.advance(100)

    def account(self, way: str, stored: int = 3) -> Account:
        """Return an account of some stored messages."""
        account = Account(way, self.clock.seconds)
        for _ in range(stored):
            account.tell(account.send(), "stored")
        return account

    def assertJudged(
        self, account: Account, *words: str, bounds: Bounds = BOUNDS
    ) -> None:
        """Check all that is said of an account."""
        self.assertEqual(judge(account, bounds), [f"{account.way}: {w}" for w in words])

    def giveAll(self, account: Account) -> None:
        """Give out all three, and end them."""
        for number in (1, 2, 3):
            account.give(number, self.clock.seconds())
            if account.way != PLAIN:
                account.end(number)


class JudgeTests(AccountTestCase):
    """What is wrong with an account."""

    def test_good(self) -> None:
        """Nothing, when all that is stored is given out once."""
        for way in (PLAIN, CLOSE, CHAIN):
            account = self.account(way)
            self.giveAll(account)
            self.assertJudged(account)
            figures = account.figures()
            self.assertEqual((figures.stored, figures.given), (3, 3))

    def test_lost(self) -> None:
        """A message that is stored and never given out."""
        account = self.account(PLAIN)
        account.give(1, 100.0)
        account.give(3, 100.0)
        self.assertEqual(account.missing, [2])
        self.assertJudged(account, "1 stored and lost, of 0 at most")

    def test_lostByGet(self) -> None:
        """Not one for each get that has failed, but two for one."""
        account = self.account(PLAIN)
        account.give(1, 100.0)
        account.give(3, 100.0)
        account.fail()
        self.assertJudged(account)
        account.tell(account.send(), "stored")
        self.assertJudged(account, "2 stored and lost, of 1 at most")

    def test_lostOpen(self) -> None:
        """An open read that fails takes nothing."""
        for way in (CLOSE, CHAIN):
            account = self.account(way)
            account.fail()
            for number in (1, 2):
                account.give(number, 100.0)
                account.end(number)
            self.assertJudged(account, "1 stored and lost, of 0 at most")

    def test_lostOnceOpen(self) -> None:
        """A message that was opened and not closed is lost, if it is not there."""
        account = self.account(CLOSE, stored=1)
        account.give(1, 100.0)
        self.assertJudged(account, "1 stored and lost, of 0 at most")
        account.doubt(1)
        self.assertJudged(account)

    def test_twice(self) -> None:
        """A message that comes again after it was given out for good."""
        for way in (PLAIN, CHAIN):
            account = self.account(way)
            self.giveAll(account)
            self.clock.advance(1)
            account.give(2, self.clock.seconds())
            self.assertJudged(account, "1 given out twice, of 0 at most")

    def test_twiceEnded(self) -> None:
        """Two that were told its end, whoever asked first."""
        account = self.account(CHAIN)
        account.give(1, 100.0)
        account.give(1, 100.0)
        self.giveAll(account)
        self.assertJudged(account)
        account.end(1)
        self.assertJudged(account, "1 given out twice, of 0 at most")

    def test_again(self) -> None:
        """As many may come again after a close as a fault allows."""
        account = self.account(CLOSE)
        self.giveAll(account)
        account.end(1)
        bounds = Bounds(6.0, again=1)
        self.assertJudged(account, bounds=bounds)
        account.end(2)
        self.assertJudged(account, "2 given out twice, of 1 at most", bounds=bounds)

    def test_backFromReader(self) -> None:
        """One that went back unread, or unsure, may come again."""
        account = self.account(CLOSE, stored=1)
        account.give(1, 100.0)
        account.doubt(1)
        self.clock.advance(1)
        account.give(1, self.clock.seconds())
        account.end(1)
        self.assertJudged(account)

    def test_ghost(self) -> None:
        """A message that was told as not stored, and is there."""
        account = self.account(PLAIN)
        self.giveAll(account)
        account.tell(account.send(), "refused")
        self.assertJudged(account)
        account.give(4, 100.0)
        self.assertJudged(account, "1 refused and there, of 0 at most")

    def test_unsure(self) -> None:
        """A message that may be stored may be there or not."""
        account = self.account(PLAIN)
        self.giveAll(account)
        account.tell(account.send(), "unsure")
        self.assertJudged(account)
        account.give(4, 100.0)
        self.assertJudged(account)

    def test_neverSent(self) -> None:
        """A message that nobody has sent."""
        account = self.account(PLAIN)
        self.giveAll(account)
        account.give(4, 100.0)
        self.assertJudged(account, "message 4 was never sent")

    def test_nothing(self) -> None:
        """A round in which nothing happens proves nothing."""
        self.assertJudged(self.account(PLAIN, stored=0), "nothing was stored")

    def test_answers(self) -> None:
        """A command without an answer, and one whose answer is late."""
        account = self.account(PLAIN)
        self.giveAll(account)
        account.late(6.0)
        account.miss()
        bounds = Bounds(6.0, unanswered=1)
        self.assertJudged(account, bounds=bounds)
        account.late(6.5)
        account.late(0.5)
        account.miss()
        self.assertJudged(
            account,
            "2 commands without an answer, of 1 at most",
            "an answer after 6.50 s, of 6 at most",
            bounds=bounds,
        )

    def test_strange(self) -> None:
        """What a client says that it has not understood."""
        account = self.account(PLAIN)
        self.giveAll(account)
        account.complain("ERROR")
        self.assertJudged(account, "ERROR")


class PauseTests(AccountTestCase):
    """The time without success."""

    def test_pause(self) -> None:
        """The longest of a kind counts."""
        account = self.account(PLAIN, stored=1)
        self.clock.advance(2)
        account.give(1, self.clock.seconds())
        self.clock.advance(3)
        account.tell(account.send(), "stored")
        self.assertEqual(account.figures().pause, 5)

    def test_since(self) -> None:
        """It goes on when a set and a get have succeeded since."""
        account = self.account(PLAIN, stored=1)
        self.assertFalse(account.succeededSince(99.0))
        account.give(1, 100.0)
        self.assertTrue(account.succeededSince(99.0))
        self.assertFalse(account.succeededSince(100.0))
