"""Real servers that take over what a MemcacheQ left, interrupted and killed."""

from __future__ import annotations

import os
import shutil
import sys
from random import Random, randrange
from signal import SIGKILL
from typing import TYPE_CHECKING

from memq.test.support.foreign.adopting import AdoptionTestCase
from memq.test.support.foreign.memcacheqdirs import MemcacheQ
from memq.test.support.torture import report, rounds
from testkit.servers import PATIENCE, RUN_TWISTD, Server, runToEnd

if TYPE_CHECKING:
    import subprocess

#: Small batches, so that there are many moments to be killed at.
SLOW = "from memq.memcacheq import adoption as adopt; adopt.BATCH = 3"
#: Lets SIGTERM come when some messages are staged, and waits until it is heeded.
TERMINATED = f"""{SLOW}
import os, signal
tick = adopt.Adoption._tick
def slowly(self, progress):
    if self._done >= 20:
        os.kill(os.getpid(), signal.SIGTERM)
        assert self._stop.wait({PATIENCE})
    tick(self, progress)
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

    def run_(self, before: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a server that does not come so far as to listen."""
        return runToEnd(
            *(sys.executable, "-c", f"{before}\n{RUN_TWISTD}"),
            *("-n", "--pidfile=", "memq", "--port=0", f"--home={self.path}"),
            *words,
        )

    def check(self, server: Server, why: str = "") -> None:
        """Check that a server has everything, once, and stop it."""
        counts = b"STAT memq %d/5\r\nSTAT q %d/5\r\nEND\r\n" % (MESSAGES, MESSAGES)
        self.assertEqual(server.talk(b"stats queue\r\nquit\r\n"), counts, why)
        for name in (b"memq", b"q"):
            names = b" ".join([name] * (MESSAGES + 1))
            want = b"".join(
                b"VALUE %b 0 %d\r\n%d\r\n" % (name, len(b"%d" % number), number)
                for number in range(5, MESSAGES)
            )
            got = server.talk(b"get " + names + b"\r\nquit\r\n")
            self.assertEqual(got, want + b"END\r\n", why)
        self.assertEqual(server.stop(), 0)
        self.checkGone(self.path)

    def started(self, *words: str) -> Server:
        """Return a server that listens."""
        server = Server(self.path, *words).start()
        self.addCleanup(server.stop)
        return server

    def test_takesOver(self) -> None:
        """The first start takes over, says how far it is, and then listens."""
        server = self.started("--skip-damaged")
        server.waitForLine("Taking over 2 queues of MemcacheQ's with about 230 messag")
        server.waitForLine("2 queues with 230 messages are taken over")
        self.assertIn(
            b"STAT skip-damaged yes", server.talk(b"stats settings\r\nquit\r\n")
        )
        self.check(server)

    def test_interrupted(self) -> None:
        """SIGTERM ends it in order, with status 0; the next start goes on."""
        ended = self.run_(TERMINATED)
        self.assertEqual(ended.returncode, 0, ended.stdout)
        self.assertIn("Taking over is interrupted", ended.stdout)
        self.assertIn("Stopped", ended.stdout)
        self.assertNotIn("Listening", ended.stdout)
        server = self.started()
        server.waitForLine("about 230 messages, 21 of them are here")
        self.check(server)

    def test_refused(self) -> None:
        """What cannot be taken over ends it with status 1 and one line."""
        os.remove(os.path.join(self.path, "log.0000000001"))
        ended = self.run_("")
        self.assertEqual(ended.returncode, 1)
        why = f"{self.path}/q is of a queue that is not in queue.list; put that right"
        self.assertIn(why, ended.stdout)
        self.assertNotIn("Traceback", ended.stdout)

    def test_killed(self) -> None:
        """Killed again and again while it takes over, it ends with everything, once."""
        kills = 0
        for number in rounds(1):
            seed = randrange(1 << 32)
            random = Random(seed)
            for _ in range(random.randint(2, 5)):
                ended = self.run_(KILLED.format(random.randrange(120)))
                self.assertEqual(ended.returncode, -SIGKILL, ended.stdout)
                self.assertNotIn("critical", ended.stdout)
                kills += 1
            self.check(self.started(), f"round {number}, seed {seed}")
            shutil.rmtree(self.path)
            shutil.rmtree(self.path + ".old")
            self.write()
        report(self.id(), kills=kills)
