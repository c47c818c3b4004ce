"""Killing: a server that is killed under load, again and again, and what it has after.

A round is: load; SIGKILL after a random number of answers; perhaps a start that is
killed while it recovers; a start; and then what clients were told is compared with
``stats queue`` and with all that is in the queues.  A few queues keep what they have
for the next round, so that messages live through several kills; their counts are
compared all the same.

Most servers change log files and move their messages all the time, since all that
says when is lowered.
"""

from __future__ import annotations

import os
from random import Random
from signal import SIGALRM, SIGKILL

from testkit.ledger import Ledger
from testkit.mix import drain, plans
from testkit.servers import Server
from testkit.workers import Load

#: The options of a server: pages go to the disk early, log files are small.
OPTIONS = ("--max-body", "4M", "--cache-size", "2", "--log-buffer", "64")
#: Makes a server change log files and move its messages as often as it can.
RESTLESS = """
from memq.broker import broker
from memq.storage.datadir import sizing as sizes
from memq.storage import occupancy as survey
from memq.daemon import maintenance as upkeep
sizes.LEAST_FILE, survey.SHARE, survey.INTERVAL = 64 * 1024, 1e9, 0.0
sizes.LEAST_LOG = 1024 * 1024
survey.Survey.pause.__defaults__ = (0.0,)
sizes.LOG_FILES = sizes.CHECKPOINT_VOLUME = 4 * 1024 * 1024
broker.SWEEP_MESSAGES, upkeep.WATCH_INTERVAL = 5, 0.02
"""
#: Ends the process while it opens the store, or soon after.  Nobody handles the signal:
#: the kernel ends it, in whatever it is doing.
_DYING = """
import signal
from memq.storage.bdb.store import BDBStore
opening = BDBStore.open
def openAndDie(self):
    signal.setitimer(signal.ITIMER_REAL, {seconds})
    opening(self)
BDBStore.open = openAndDie
"""
#: The most seconds until then.  Recovery takes a few hundredths.
_RECOVERY = 0.05
#: The most seconds that the load goes on, on a machine that has other things to do.
_LOAD = 2.0


class Killing:
    """A home whose servers are killed.

    :ivar server: the one that runs, or has run last.
    :ivar kills: how often a server was killed, and of that
    :ivar moving: how often while messages moved, and
    :ivar recovering: how often while it recovered.
    """

    def __init__(self, home: str, *options: str, seed: int) -> None:
        """Prepare it, with a server that is not started.

        :param options: further ones of the server.
        :param seed: what all is random by, but for what threads make of it.
        """
        self._home = home
        self._options = [*OPTIONS, *options]
        self.seed = seed
        self._rng = Random(seed)
        self.ledger = Ledger()
        self._plans = plans(self.ledger, lambda name: Random(f"{seed} {name}"))
        self.server = self.another(RESTLESS)
        self.kills = self.moving = self.recovering = 0

    def another(self, before: str = "") -> Server:
        """Return another server on the home, once the last one has ended.

        :param before: Python that it runs first.
        """
        return Server(self._home, *self._options, before=before)

    def round(self, number: int) -> None:
        """Load the server that runs, kill it, start another, and compare."""
        self.load()
        for _ in range((0, 1, 0, 2)[number % 4]):
            self._dieRecovering()
        self.server = self.another(RESTLESS if number % 5 else "")
        self.server.start()
        self.compare(self._rng.random() / 2, f"round {number}")

    def load(self, most: int = 6000, seconds: float = _LOAD) -> None:
        """Load the server, and kill it after a random number of answers, or a while.

        :param most: the most of them.
        :param seconds: how long that is.
        """
        load = Load(self.ledger, self.server.connect)
        load.start(self._plans, self._rng.randint(most // 20, most))
        load.enough.wait(seconds)
        load.ends()
        self.server.stop(SIGKILL)
        load.join()
        self.kills += 1
        names = os.listdir(os.path.join(self._home, "memq"))
        self.moving += sum(name.startswith("messages") for name in names) > 1

    def _dieRecovering(self) -> None:
        dying = _DYING.format(seconds=self._rng.uniform(0.0001, _RECOVERY))
        server = self.another(RESTLESS + dying)
        status = server.launch().wait()
        assert status == -SIGALRM, self._words(f"status {status}: {server.log}")
        self.kills += 1
        self.recovering += not any("Listening" in line for line in server.log)

    def compare(self, kept: float, when: str) -> None:
        """Compare all counts, and what is in the queues but for some that keep it.

        :param kept: which part of them keeps what it has.
        :raise AssertionError: when the ledger complains.
        """
        ledger = self.ledger
        queues = ledger.queues
        some = self._rng.sample(queues, int(len(queues) * (1 - kept)))
        try:
            ledger.check(self.server.counts())
            drain(ledger, self.server, some)
        except OSError as error:
            ledger.complain(f"the only client met {error!r}")
        if ledger.complaints:
            raise AssertionError(self._words(f"{when}, all is not right"))

    def _words(self, what: str) -> str:
        """Return what somebody has to know of a failure."""
        complaints = self.ledger.complaints
        first = f"seed {self.seed}, {what}; {len(complaints)} complaints:"
        return "\n".join([first, *complaints[:20], "", *self.server.log[-20:]])

    def finish(self) -> None:
        """Stop the server in order, start it again, and compare everything."""
        assert self.server.stop() == 0
        self.server.start()
        self.compare(0, "the end")
        assert self.server.stop() == 0
