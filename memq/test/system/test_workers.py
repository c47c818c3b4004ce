"""Workers with several open messages each, that die, and servers: counts are exact.

A hundred of them close messages in any order, extend and retry them late, and every
fifth one is killed at random, as in memq.test.system.test_consumers.  ``make torture``
has 50,000 messages in each round.
"""

from __future__ import annotations

import os
from random import Random

from twisted.trial.unittest import SynchronousTestCase, TestCase

from memq.test.support.load.consumers import Work, makeBody
from memq.test.support.load.workers import LATER, OPEN_TIMEOUT, TOUCHED, Leases, Worker
from memq.test.support.servers import started
from memq.test.support.torture import report, rounds, whole
from testkit.mix import newSeed

#: Nobody's time is extended.
UNTOUCHED = """
from memq.operations.openreads.opened import Opened
Opened.extend = lambda self, seconds: lambda: None
"""
#: A later try is at once.
EARLY = """
from memq.operations.openreads.aborts import AbortRead
made = AbortRead.__init__
def make(self, client, queue, only=None, number=None, delay=0):
    made(self, client, queue, only, number)
AbortRead.__init__ = make
"""
#: The oldest one is closed, whichever was meant.
OLDEST = """
from memq.operations.openreads.opened import OpenReads
OpenReads.find = lambda self, number: next(iter(self), None)
"""


class WorkerTests(TestCase):
    """A hundred workers at a real server."""

    timeout = 3600

    def begin(self, seed: int, patience: float, before: str = "") -> Work:
        """Return workers at a new server."""
        path = os.path.abspath(self.mktemp())
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"[queue.work]\nopen_timeout = {OPEN_TIMEOUT}\nmax_open = 5\n")
        self.server = started(self, "--config", path, before=before)
        return Work(self.server, Random(seed), patience, Worker, Leases())

    def work(self, messages: int, kills: int) -> None:
        """Let them work, on a server that is killed so often."""
        for number in rounds(1):
            seed = newSeed()
            work = self.begin(seed, 30)
            work.run(messages, kills)
            custody = work.custody
            assert isinstance(custody, Leases)
            words = f"seed {seed}, round {number}: {custody.complaints[:20]}"
            self.assertEqual(custody.complaints, [], words)
            figures = self.server.figures(b"detail work")
            names = (b"total_items", b"taken", b"deleted", b"delayed", b"items")
            pushed, taken, deleted, *left = (
                int(figures[b"queue_work_" + name]) for name in names
            )
            self.assertEqual((taken, left), (pushed, [0, 0]), words)
            # Each was set, and set anew for each later try; each was closed or taken.
            most = custody.deleted + custody.later + custody.doubtful
            least = custody.deleted + custody.later
            self.assertTrue(least <= pushed - work.rest <= most, words)
            self.assertGreaterEqual(deleted, custody.deleted, words)
            if not kills:
                self.assertEqual(deleted + work.rest, messages + 1, words)
            self.assertGreater(min(custody.later, custody.missed, work.deaths), 0)
            self.assertEqual(self.server.stop(), 0)
            report(
                self.id(),
                messages=pushed,
                deaths=work.deaths,
                kills=kills,
                later=custody.later,
                missed=custody.missed,
            )

    def broken(self, before: str) -> str:
        """Return what is complained of at a server that is broken so."""
        work = self.begin(newSeed(), 5, before)
        work.run(2000)
        return " ".join(work.custody.complaints)

    def test_untouched(self) -> None:
        """A server that extends nothing is found out."""
        self.assertIn("has two readers", self.broken(UNTOUCHED))

    def test_early(self) -> None:
        """So is one that gives back at once what is to be tried later."""
        self.assertIn("came before it was due", self.broken(EARLY))

    def test_oldest(self) -> None:
        """So is one that closes another message than that of the number."""
        self.assertRegex(self.broken(OLDEST), "is lost|came after it was closed")

    def test_killed(self) -> None:
        """Each message is closed exactly once, whoever is killed with what."""
        self.work(whole(3000, 50_000), 0)

    def test_serverKilled(self) -> None:
        """With kill -9, only messages that were not answered may come again."""
        self.work(whole(2000, 50_000), 3)


class LeasesTests(SynchronousTestCase):
    """Faults that would be noticed."""

    def setUp(self) -> None:
        """Lend a message."""
        self.now = 100.0
        self.leases = Leases(lambda: self.now)
        self.lend("one")

    def lend(self, holder: str) -> None:
        """Lend it to somebody who asks now."""
        self.leases.lent(makeBody(7), holder, self.now)

    def test_late(self) -> None:
        """Somebody else may have it when its time is over, not before that."""
        self.now += OPEN_TIMEOUT
        self.lend("two")
        self.assertEqual(self.leases.complaints, [])
        self.assertTrue(self.leases.has(7, "two"))
        self.assertFalse(self.leases.has(7, "one"))
        self.lend("three")
        self.assertEqual(self.leases.complaints, ["7 has two readers"])

    def test_readLate(self) -> None:
        """An answer that is read too late is not the last word."""
        self.now += OPEN_TIMEOUT
        self.leases.lent(makeBody(7), "zero", 100.0)
        self.assertTrue(self.leases.has(7, "one"))
        self.assertEqual(self.leases.complaints, [])
        # Unless it is found to be.
        self.leases.extended(7, "zero", self.now)
        self.assertTrue(self.leases.has(7, "zero"))

    def test_extended(self) -> None:
        """Nobody else has it while its time is extended."""
        self.leases.extended(7, "one", self.now)
        self.now += TOUCHED / 2
        self.lend("two")
        self.assertEqual(self.leases.complaints, ["7 has two readers"])

    def test_early(self) -> None:
        """It does not come before it is due."""
        early = ["7 came before it was due"]
        for wait, complaints in ((LATER, []), (LATER / 2, early)):
            self.leases.back(7)
            self.leases.retried(7, self.now)
            self.now += wait
            self.lend("two")
            self.assertEqual(self.leases.complaints, complaints)

    def test_twice(self) -> None:
        """It is closed once."""
        self.leases.isClosed(7)
        self.assertEqual(self.leases.complaints, [])
        self.leases.isClosed(7)
        self.assertEqual(self.leases.complaints, ["7 was closed twice"])
