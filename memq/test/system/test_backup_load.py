"""Backups of a real server under load, started as servers themselves."""

from __future__ import annotations

import os
import random
import shutil
import sys
import threading
from time import monotonic
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from memq.test.support.servers import started
from memq.test.support.torture import report, rounds
from testkit.servers import PATIENCE, Server, outputOf
from testkit.wire import sets

#: Statements that a server runs first, so that it does all its rare work all the time:
#: checkpoints, other log files, moves to another file of messages.
TURMOIL = """
from memq.storage.datadir import sizing as sizes
from memq.storage import occupancy as survey
from memq.daemon import maintenance as upkeep
sizes.CHECKPOINT_VOLUME = sizes.LOG_FILES = 2 << 20
sizes.LEAST_FILE = survey.INTERVAL = 0
sizes.LEAST_LOG = 1 << 20
survey.SHARE = 10
survey.Survey.pause.__defaults__ = (0,)
upkeep.WATCH_INTERVAL = 0.05
"""
QUEUES = 4
#: Commands that a client sends before it reads the replies.
PIPELINE = 20
#: How many messages of a queue wait, about.
BACKLOG = 400

RUN = "import sys; from memq.cli import run; sys.exit(run())"


class Batch(NamedTuple):
    """Commands that were sent at once.

    :ivar sent: when.
    :ivar answered: when all was answered.
    :ivar numbers: the messages that it was about.
    """

    sent: float
    answered: float
    numbers: list[int]


class Load:
    """A producer and a consumer for each queue, until they are stopped."""

    def __init__(self, server: Server, seed: int) -> None:
        self._server = server
        self._seed = seed
        self._stop = threading.Event()
        self.set: list[list[Batch]] = [[] for _ in range(QUEUES)]
        self.got: list[list[Batch]] = [[] for _ in range(QUEUES)]
        #: Messages sent and got, in all; a thread of each queue's counts its own.
        self._waiting = [threading.Semaphore(BACKLOG) for _ in range(QUEUES)]
        self._threads = [
            threading.Thread(target=work, args=[queue])
            for queue in range(QUEUES)
            for work in (self._produce, self._consume)
        ]
        for thread in self._threads:
            thread.start()

    def _produce(self, queue: int) -> None:
        some = random.Random(self._seed * QUEUES + queue)
        with self._server.wire() as client:
            number = 0
            while not self._stop.is_set():
                numbers = list(range(number, number + PIPELINE))
                number += PIPELINE
                bodies = []
                for one in numbers:
                    self._waiting[queue].acquire(timeout=PATIENCE)
                    size = some.choice((0, 0, 50, 400, 3000))
                    bodies.append(b"%d " % one + b"x" * size)
                if some.random() < 0.01:
                    bodies[0] += b"y" * 150_000
                sent = monotonic()
                client.send(sets(b"q%d" % queue, *bodies))
                replies = [client.line() for _ in bodies]
                assert replies == [b"STORED"] * PIPELINE, replies
                self.set[queue].append(Batch(sent, monotonic(), numbers))

    def _consume(self, queue: int) -> None:
        with self._server.wire() as client:
            while not self._stop.is_set():
                sent = monotonic()
                client.send(b"get q%d\r\n" % queue * PIPELINE)
                found = [client.value() for _ in range(PIPELINE)]
                numbers = [int(value.body.split()[0]) for value in found if value]
                self.got[queue].append(Batch(sent, monotonic(), numbers))
                self._waiting[queue].release(len(numbers) or PIPELINE)

    def isGoingOn(self, since: float) -> bool:
        """Wait until each of them was answered after a moment; return whether so."""
        late = monotonic() + PATIENCE
        while not all(
            batches and batches[-1].answered > since
            for batches in (*self.set, *self.got)
        ):
            if self._stop.wait(0.01) or monotonic() > late:
                return False  # pragma: no cover - when the machine is too slow
        return True

    def stop(self) -> None:
        """End all of them."""
        self._stop.set()
        for semaphore in self._waiting:
            semaphore.release(BACKLOG)
        for thread in self._threads:
            thread.join(PATIENCE)


class BackupUnderLoadTests(SynchronousTestCase):
    """A copy has what it has to have, whatever the server does meanwhile."""

    def backUp(self, server: Server, target: str) -> tuple[float, float]:
        """Back up a server's home; return when that began and ended."""
        began = monotonic()
        outputOf(sys.executable, "-c", RUN, "backup", "--home", server.home, target)
        return began, monotonic()

    def drain(self, target: str) -> list[list[int]]:
        """Start a copy as a server, and return what is in each queue."""
        server = started(self, "--no-sync", home=target)
        counts = server.counts()
        found = []
        for queue in [b"q%d" % number for number in range(QUEUES)]:
            pushed, taken = counts.get(queue, (0, 0))
            found.append([int(body.split()[0]) for body in server.take(queue)])
            self.assertEqual(len(found[-1]), pushed - taken)
        self.assertEqual(server.stop(), 0)
        return found

    def torture(self, name: str, few: int, *options: str) -> None:
        """Back up a server under load, again and again."""
        server = started(self, "--log-buffer", "64", *options, before=TURMOIL)
        seed = random.randrange(1 << 30)
        some = random.Random(seed)
        load = Load(server, seed)
        self.addCleanup(load.stop)
        copies = messages = 0
        for number in rounds(few):
            target = os.path.abspath(self.mktemp())
            threading.Event().wait(some.random())
            began, ended = self.backUp(server, target)
            found = self.drain(target)
            for queue in range(QUEUES):
                self.check(
                    (f"seed {seed} round {number} queue {queue}"),
                    found[queue],
                    load.set[queue],
                    load.got[queue],
                    (began, ended),
                )
            self.assertTrue(load.isGoingOn(monotonic()), f"seed {seed}")
            copies += 1
            messages += sum(map(len, found))
            shutil.rmtree(target)
        load.stop()
        self.assertGreater(messages, 0)
        moves = sum("of a drained file are given back" in line for line in server.log)
        report(name, copies=copies, messages=messages, moves=moves)

    def check(
        self,
        where: str,
        found: list[int],
        set: list[Batch],
        got: list[Batch],
        times: tuple[float, float],
    ) -> None:
        """Compare what is in a queue of a copy with what clients were told."""
        began, ended = times
        self.assertEqual(found, sorted({*found}), where)
        before = [batch for batch in set if batch.answered < began]
        perhaps = [batch for batch in set if batch.sent < ended]
        gone = [batch for batch in got if batch.answered < began]
        perhapsGone = [batch for batch in got if batch.sent < ended]

        def all(batches: list[Batch]) -> frozenset[int]:
            return frozenset(n for batch in batches for n in batch.numbers)

        missing = all(before) - all(perhapsGone) - {*found}
        self.assertEqual(missing, frozenset(), where)
        self.assertEqual({*found} & all(gone), frozenset(), where)
        self.assertEqual({*found} - all(perhaps), frozenset(), where)

    def test_synced(self) -> None:
        """A message acknowledged before a backup, and not taken, is in it, once."""
        self.torture("backup", 2)

    def test_noSync(self) -> None:
        """So it is with --no-sync."""
        self.torture("backup with --no-sync", 1, "--no-sync")
