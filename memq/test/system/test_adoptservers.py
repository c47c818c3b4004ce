"""Real servers that take over what a MemcacheQ left, interrupted and killed."""

from __future__ import annotations

import os
import shutil
from random import Random, randrange
from signal import SIGKILL
from typing import TYPE_CHECKING

from memq.test.support.foreign.adopting import AdoptionTestCase
from memq.test.support.foreign.memcacheqdirs import MemcacheQ
from memq.test.support.servers import ended, started
from memq.test.support.torture import report, rounds
from testkit.servers import PATIENCE

if TYPE_CHECKING:
    from testkit.servers import Server

#: Small batches, so that there are many moments to be killed at.
SLOW = "from memq.memcacheq import adoption as adopt; adopt.BATCH = 3"
#: Lets SIGTERM come when some messages are staged, and waits until it is heeded.
TERMINATED = f"""{SLOW}
import os, signal
tick = adopt.Adoption._tick
def slowly(self, *progress):
    if self._done >= 20:
        os.kill(os.getpid(), signal.SIGTERM)
        assert self._stop.wait({PATIENCE})
    tick(self, *progress)
adopt.Adoption._tick = slowly
"""
#: Kills the process at the end of so many transactions and removals of files, or if
#: there are fewer, when it listens.
KILLED = f"""{SLOW}
import itertools, os, signal
from memq.daemon.service import QueueService
from memq.storage.bdb.transaction import Transaction
numbers = itertools.count()
def killing(owner, name):
    unharmed = getattr(owner, name)
    def call(*arguments, **named):
        result = unharmed(*arguments, **named)
        if next(numbers) >= {{}}:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, name, call)
killing(Transaction, "commit")
killing(os, "unlink")
QueueService._cbSettled = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
"""
MESSAGES = 120


class ServerTests(AdoptionTestCase):
    """``twistd memq --home DIR`` and ``memcacheq -H DIR``."""

    def setUp(self) -> None:
        """Have a directory of a MemcacheQ that was killed."""
        AdoptionTestCase.setUp(self)
        self.write()

    def write(self) -> None:
        """Write it."""
        old = MemcacheQ(self.path + ".old")
        for name in (b"memq", b"q"):
            old.push(name, *(b"%d" % number for number in range(MESSAGES)))
            old.pop(name, 5)
        old.kill(self.path)

    def check(self, server: Server, why: str = "") -> None:
        """Check that a server has everything, once, and stop it."""
        counts = dict.fromkeys((b"memq", b"q"), (MESSAGES, 5))
        self.assertEqual(server.counts(), counts, why)
        for name in counts:
            want = [b"%d" % number for number in range(5, MESSAGES)]
            self.assertEqual(server.take(name), want, why)
        self.assertEqual(server.stop(), 0)
        self.checkGone(self.path)

    def test_takesOver(self) -> None:
        """The first start takes over, says how far it is, and then listens."""
        server = started(self, "--skip-damaged", home=self.path)
        server.waitForLine("Taking over 2 queues of MemcacheQ's with about 230 messag")
        server.waitForLine("2 queues with 230 messages are taken over")
        self.assertEqual(server.figures(b"settings")[b"skip-damaged"], b"yes")
        self.check(server)

    def test_interrupted(self) -> None:
        """SIGTERM ends it in order, with status 0; the next start goes on."""
        told = ended(self.path, before=TERMINATED)
        self.assertEqual(told.returncode, 0, told.stdout)
        self.assertIn("Taking over is interrupted", told.stdout)
        self.assertIn("Stopped", told.stdout)
        self.assertNotIn("Listening", told.stdout)
        server = started(self, home=self.path)
        server.waitForLine("about 230 messages, 21 of them are here")
        self.check(server)

    def test_refused(self) -> None:
        """A directory that cannot be taken over ends it with status 1 and one line."""
        os.remove(os.path.join(self.path, "log.0000000001"))
        told = ended(self.path)
        self.assertEqual(told.returncode, 1)
        why = f"{self.path}/q is of a queue that is not in queue.list; put that right"
        self.assertIn(why, told.stdout)
        self.assertNotIn("Traceback", told.stdout)

    def test_killed(self) -> None:
        """Killed again and again while it takes over, it ends with everything, once."""
        kills = 0
        for number in rounds(1):
            seed = randrange(1 << 32)
            random = Random(seed)
            for _ in range(random.randint(2, 5)):
                killed = KILLED.format(random.randrange(120))
                told = ended(self.path, before=killed)
                self.assertEqual(told.returncode, -SIGKILL, told.stdout)
                self.assertNotIn("critical", told.stdout)
                kills += 1
            self.check(started(self, home=self.path), f"round {number}, seed {seed}")
            shutil.rmtree(self.path)
            shutil.rmtree(self.path + ".old")
            self.write()
        report(self.id(), kills=kills)
