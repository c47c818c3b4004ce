"""Consumers that die, and servers: each message is closed once, and none is lost.

A hundred consumers open and close messages; every fifth one is killed at random: before
it asks, in the middle of a command or of an answer, behind a command, with a reset or
without, and another one comes.  ``make torture`` has all 50,000 messages in each round.
"""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase, TestCase

from memq.test.support.load.consumers import Custody, Work, makeBody
from memq.test.support.servers import started
from memq.test.support.torture import report, rounds, whole
from memq.test.system.test_kills import FORGETFUL, LARGE_BUFFERS
from testkit.mix import newSeed

#: Gives out what is open.
SHARED = """
from memq.storage.bdb.heads import Heads
Heads.openRead = Heads.peek
"""


class ConsumerTests(TestCase):
    """A hundred consumers at a real server."""

    timeout = 3600

    def work(self, messages: int, kills: int, *options: str) -> None:
        """Let them work, on a server that is killed so often."""
        for number in rounds(1):
            seed = newSeed()
            server = started(self, *options)
            work = Work(server, Random(seed))
            work.run(messages, kills)
            custody = work.custody
            words = f"seed {seed}, round {number}: {custody.complaints[:20]}"
            self.assertEqual(custody.complaints, [], words)
            # A closed message is there no more, and none was closed twice.
            figures = server.figures(b"detail work")
            names = (b"total_items", b"taken", b"deleted")
            pushed, *taken = (int(figures[b"queue_work_" + name]) for name in names)
            self.assertEqual(taken, [pushed, pushed - work.rest], words)
            # A message whose set was not answered may be given out, and then be lost.
            most = len(custody.closed | custody.unsure)
            self.assertTrue(len(custody.closed) <= pushed <= most, words)
            self.assertEqual(server.stop(), 0)
            report(
                self.id(),
                messages=pushed,
                deaths=work.deaths,
                kills=kills,
                unanswered=len(custody.unsure),
            )

    def broken(self, before: str, *options: str) -> str:
        """Return what is complained of at a server that is broken so."""
        server = started(self, *options, before=before)
        work = Work(server, Random(newSeed()), patience=5)
        work.run(1000, 1)
        return " ".join(work.custody.complaints)

    def test_shared(self) -> None:
        """A server that does not hide what is open is found out."""
        told = self.broken(SHARED)
        self.assertRegex(told, "has two readers|came after it was closed")

    def test_forgetful(self) -> None:
        """So is one that answers a close, or a set, before it writes."""
        # A kill may come just when a checkpoint has written all that was answered.
        kills = (self.broken(FORGETFUL, *LARGE_BUFFERS) for _ in range(5))
        told = next(filter(None, kills), "")
        self.assertRegex(told, "came after it was closed|is lost")

    def test_killed(self) -> None:
        """Each message is closed exactly once, whoever is killed with what."""
        self.work(whole(4000, 50_000), 0)

    def test_killedNotSynced(self) -> None:
        """With --no-sync each message is closed exactly once as well."""
        self.work(whole(4000, 50_000), 0, "--no-sync")

    def test_serverKilled(self) -> None:
        """So with kill -9; only what was not answered may come again."""
        self.work(whole(3000, 50_000), 3)


class CustodyTests(SynchronousTestCase):
    """Faults that would be noticed."""

    def setUp(self) -> None:
        """Have a message that is waiting."""
        self.custody = Custody()
        self.custody.stored(7)

    def told(self) -> str:
        """Return all complaints."""
        return ", ".join(self.custody.complaints)

    def test_twoReaders(self) -> None:
        """A message that somebody else has open."""
        self.custody.given(makeBody(7))
        self.custody.back(7)
        self.custody.given(makeBody(7))
        self.assertEqual(self.told(), "")
        self.custody.given(makeBody(7))
        self.assertEqual(self.told(), "7 has two readers")

    def test_again(self) -> None:
        """A message that comes after its close was answered, not before that."""
        self.custody.given(makeBody(7))
        self.custody.isUnsure(7)
        self.assertEqual(self.custody.waiting, set())
        self.custody.given(makeBody(7))
        self.assertEqual(self.custody.waiting, {7})
        self.custody.isClosed(7)
        self.assertEqual((self.told(), self.custody.waiting), ("", set()))
        self.custody.given(makeBody(7))
        self.assertEqual(self.told(), "7 came after it was closed")

    def test_bytes(self) -> None:
        """A message that is not what was set."""
        self.custody.given(makeBody(250)[:-1])
        self.assertEqual(self.told(), "250 has 69999 bytes that are not its own")

    def test_late(self) -> None:
        """A message that is STORED late has not to come again."""
        for note in (self.custody.isClosed, self.custody.isUnsure):
            note(8)
            self.custody.stored(8)
            self.assertEqual(self.custody.waiting, {7})
