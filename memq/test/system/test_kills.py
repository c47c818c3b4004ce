"""kill -9 under load, again and again: nothing that was told is lost.

Eight clients set, get and delete in a hundred queues and more, one command at a time
and many, small bodies and bodies of up to 3 MiB, while messages move to other files and
log files change.  The server is killed after a random number of answers, and sometimes
while it recovers.  After each start, every message and count is what clients were told.

:mod:`testkit.ledger` says all that is allowed, and nothing else is.

MEMQ_TORTURE_SEED repeats what was random, but for what threads make of it.
"""

from __future__ import annotations

import os
from signal import SIGKILL

from twisted.trial.unittest import TestCase

from memq.test.support.load.killing import Killing
from memq.test.support.torture import report, rounds
from testkit.mix import newSeed
from testkit.servers import PATIENCE

#: Replies leave, but nothing is written until a buffer is full; and those are large.  A
#: checkpoint would write all, after a quiet second or when a file is given back: there
#: is none after that of the start.
FORGETFUL = """
from memq.storage.engine.environment import Environment
flush, checkpoint, isOpen = Environment.flush, Environment.checkpoint, []
def forget(self):
    if not isOpen:
        checkpoint(self)
        isOpen.append(True)
Environment.checkpoint = forget
Environment.flush = lambda self: isOpen or flush(self)
"""
LARGE_BUFFERS = ("--log-buffer", "16384", "--cache-size", "64", "--trickle", "0")


class KillTests(TestCase):
    """Messages and counts that are there after kills."""

    def killing(self, *options: str) -> Killing:
        """Return a new home whose servers are killed."""
        killing = Killing(os.path.abspath(self.mktemp()), *options, seed=newSeed())
        self.addCleanup(lambda: killing.server.stop())
        return killing

    def kill(self, name: str, few: int, *options: str) -> None:
        """Kill it again and again."""
        killing = self.killing(*options)
        killing.server.start()
        number = 0
        for number in rounds(few):
            killing.round(number)
        killing.finish()
        ledger = killing.ledger
        self.assertGreater(ledger.given, 0)
        report(
            name,
            rounds=number + 1,
            kills=killing.kills,
            moving=killing.moving,
            recovering=killing.recovering,
            stored=ledger.stored,
            given=ledger.given,
            gone=ledger.gone,
        )

    def test_synced(self) -> None:
        """Every answered command still holds after every kill."""
        self.kill("kills", 8)

    def test_notSynced(self) -> None:
        """With --no-sync the same holds."""
        self.kill("kills --no-sync", 8, "--no-sync")

    def test_forgetful(self) -> None:
        """A server that answers before it writes is found out."""
        killing = self.killing(*LARGE_BUFFERS)
        killing.server = killing.another(FORGETFUL).start()
        killing.load(500, PATIENCE)
        killing.server = killing.another().start()
        error = self.assertRaises(AssertionError, killing.compare, 0, "round 0")
        self.assertIn(f"seed {killing.seed}, round 0", str(error))
        # Some of what it answered may be written: which of it is lost, sets or gets,
        # is chance.
        complaints = "".join(killing.ledger.complaints)
        self.assertRegex(complaints, "has lost|was given out or deleted before")

    def test_gone(self) -> None:
        """So is a server that is gone when all is to be compared."""
        killing = self.killing()
        killing.server.start().stop(SIGKILL)
        error = self.assertRaises(AssertionError, killing.compare, 0, "round 0")
        self.assertIn("the only client met ConnectionRefusedError", str(error))
