"""The data that a power cut leaves, shown from the system calls of real servers.

Nothing is told to a client before the log that covers it is synced.  And on whatever a
disk may have then of what was not synced (:mod:`memq.test.support.disks.disk`), memq
starts and has all that it told; with --no-sync, all that it told before the last sync
began.
"""

from __future__ import annotations

import os
from random import Random, SystemRandom
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from memq.storage.engine import preallocation
from memq.storage.packed import MOST
from memq.test.support.disks.disk import Disk
from memq.test.support.disks.powercut import (
    SETTINGS,
    PowerCuts,
    early,
    readQueues,
    writeFiles,
)
from memq.test.support.disks.tracedrun import LOG_FILE, TRANSACTION, Run, readFiles
from memq.test.support.homes import push, storeAt
from memq.test.support.torture import report, rounds, whole
from testkit.systemcalls import moments

#: A server that tells before it has synced.
HASTY = """
from memq.storage.engine.environment import Environment
Environment.flush = lambda self: None
"""
#: No log file is made ahead of need, so that their names are synced by transactions;
#: and there is room for several in each, so that most do not look for its end.
UNPREPARED = f"""
ahead.LogPreallocator.makeNext = lambda self: None
sizes.MEGABYTE = sizes.LEAST_LOG = {2 * TRANSACTION}
"""
#: How messages share records: none does, so that the log tells each, or all small ones.
PACKING = """
from memq.storage.engine.binding import StoreSettings
StoreSettings.__new__.__defaults__ = (*StoreSettings.__new__.__defaults__[:-1], {})
"""
APART, PACKED = PACKING.format(MOST + 1), PACKING.format(1)
#: How many power cuts a trace is tried with, and one of a start after a power cut.
CUTS = whole(24, 60)
LATER_CUTS = whole(12, 30)


def fillLog(path: str, most: int) -> None:
    """Make a home whose log nearly fills its file, and that has the next one."""
    store = storeAt(path, SETTINGS)
    store.open()
    environment = store.environment
    store.reserveSpace()
    while (room := LOG_FILE - environment.position().offset) > most:
        push(store, b"full", 0, b"x" * max(1, min(20000, room - most - 700)))
    store.flush()
    assert environment.position().file == 1, "the log is in the next file already"
    environment.letGo()
    store.home.release()


class PowerCutTests(SynchronousTestCase):
    """Real servers, whose power goes at any moment."""

    def setUp(self) -> None:
        """Let stores in this process need no more names than those of the servers."""
        self.patch(preallocation, "TRANSACTION", TRANSACTION)
        self.seed = SystemRandom().randrange(1 << 32)
        self.random = Random(self.seed)

    def run_(self, path: str, *options: str, **more: Any) -> Run:
        """Return a run that ends with the test."""
        run = Run(path, self.random, *options, **more)
        self.addCleanup(run.end)
        return run

    def loaded(self, *options: str, before: str = "") -> Run:
        """Return a run with everything in it, from a new home to a stop."""
        run = self.run_(os.path.abspath(self.mktemp()), *options, before=before)
        for _ in range(2):
            run.load(12)
            run.drain()
        run.load(6)
        run.flushAll()
        run.stop()
        return run

    def cutPower(self, run: Run, count: int, *, noSync: bool = False) -> None:
        """Cut the power at many moments of a run."""
        cuts = PowerCuts(run, os.path.abspath(self.mktemp()), self.seed, noSync=noSync)
        for number in cuts.choose(self.random, count):
            self.assertEqual(cuts.try_(number), "")

    def startedAgain(self, run: Run, *options: str, before: str) -> Run:
        """Return a run on what a power cut in another one may leave."""
        path = os.path.abspath(self.mktemp())
        cuts = PowerCuts(run, path, self.seed, noSync=False)
        files = cuts.after(cuts.choose(self.random, 3)[-1])
        queues = readQueues(writeFiles(path, files), b"later")
        again = self.run_(
            writeFiles(path, files), *options, queues=queues, salt=1, before=before
        )
        again.load(3)
        again.stop()
        return again

    def trace(self, name: str, *options: str, noSync: bool = False) -> None:
        """Cut the power of servers, and of those that start after that."""
        traces = 0
        for number in rounds(3):
            isPacked = number % 3 == 2
            before = (UNPREPARED * (number % 2)) + (PACKED if isPacked else APART)
            run = self.loaded(*options, before=before)
            again = self.startedAgain(run, *options, before=before)
            if not noSync:
                found = early(run, isPacked) + early(again, isPacked)
                self.assertEqual(found, [])
            self.cutPower(run, CUTS, noSync=noSync)
            self.cutPower(again, LATER_CUTS, noSync=noSync)
            traces += 2
        report(name, traces=traces, cuts=traces * (CUTS + LATER_CUTS) // 2)

    def test_synced(self) -> None:
        """Every answered command was synced, and is there whenever the power goes."""
        self.trace("power cuts, synced")

    def test_noSync(self) -> None:
        """With --no-sync, what was answered before the last sync is there."""
        self.trace("power cuts, --no-sync", "--no-sync", noSync=True)

    def test_nextLog(self) -> None:
        """A start whose log goes on in the next file is cut at all moments around that.

        That file has zeros, and gets out of the way of the recovery.
        """
        for options in ((), ("--no-sync",)):
            path = os.path.abspath(self.mktemp())
            fillLog(path, 300)
            run = self.run_(path, *options)
            run.stop()
            cuts = PowerCuts(run, f"{path}cut", self.seed, noSync=bool(options))
            numbers = cuts.atNames()
            self.assertEqual([w for w in map(cuts.try_, numbers) if w], [])
            report(f"power cuts at a new log file {options}", cuts=len(numbers))

    def test_hasty(self) -> None:
        """A server that answers without a sync is found out, and loses messages."""
        run = self.loaded(before=HASTY + APART)
        self.assertEqual({*early(run)}, {b"set", b"get", b"delete", b"flush_all"})
        cuts = PowerCuts(run, os.path.abspath(self.mktemp()), self.seed, noSync=False)
        count = len(run.calls)
        wrong = list(map(cuts.try_, range(count, 2 * count, count // 20)))
        self.assertIn("answers: ", max(wrong, key=len))

    def test_refused(self) -> None:
        """A start that is refused is found out, and what it was on is kept."""
        run = self.run_(os.path.abspath(self.mktemp()))
        run.stop()
        path = os.path.abspath(self.mktemp())
        cuts = PowerCuts(run, path, self.seed, noSync=False)
        damaged = {"VERSION": b"1\n", "safe": b"not a marker"}
        self.patch(cuts, "after", lambda number: damaged)
        self.assertIn(f"see {path}-9: DamagedHome: ", cuts.try_(9))
        self.assertEqual(readFiles(f"{path}-9/memq"), damaged)

    def test_disk(self) -> None:
        """The disk that is told all calls has the files that are there at the end."""
        run = self.run_(os.path.abspath(self.mktemp()))
        run.load(6)
        run.stop()
        disk = Disk(run.folder, strict=True, files=run.files)
        for moment, call in moments(run.calls):
            disk.take(moment, call)
        files = {name: bytes(file.now) for name, file in disk.names.items()}
        self.assertEqual(files, readFiles(run.folder))
