"""Tests for memq.memcacheq.adoption."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from base64 import b64decode
from functools import partial
from operator import eq
from pathlib import Path
from random import Random, randrange
from struct import pack
from typing import TYPE_CHECKING, Any

from memq.errors import StoreError
from memq.memcacheq import adoption as module
from memq.memcacheq.adoption import (
    ASIDE,
    COPY,
    Adoption,
)
from memq.memcacheq.copy import Copy, Found, OldCount
from memq.memcacheq.directory import MOVED, OldDirectory
from memq.memcacheq.estimate import estimate, roomNeeded, storedBytes
from memq.memcacheq.queuefile import NUMBERS, QueueFile
from memq.memcacheq.staging import Staging
from memq.ratelimit import PROGRESS_INTERVAL
from memq.storage.bdb.store import BDBStore
from memq.test.support.disks.wrecks import take
from memq.test.support.foreign.adopting import AdoptionTestCase
from memq.test.support.foreign.memcacheqdirs import MemcacheQ, overwrite, setNumber
from memq.test.support.homes import Queues, push, queues
from memq.test.support.torture import report, rounds
from testkit.servers import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

MEGABYTE = 1024 * 1024


class AdoptTests(AdoptionTestCase):
    """MemcacheQ's messages are memq's, in the same order, with the same counts."""

    def test_stopped(self) -> None:
        """Those of a MemcacheQ that was stopped are, and its files are gone."""
        want = self.stopped()
        self.assertEqual(self.adopt(), want)
        self.checkGone(self.path)
        self.assertSaid(
            "Taking over 6 queues of MemcacheQ's with about 9 messages, 0 of them are "
            "here; that needs about 1.0 MB",
            "6 queues with 9 messages are taken over",
            "MemcacheQ's files are removed",
        )

    def test_nextStart(self) -> None:
        """The next start has nothing to do, and queues go on where they were."""
        want = self.killed()
        self.adopt()
        self.assertSaid("a copy of its files is recovered first; that needs")
        self.lines.clear()
        self.assertEqual(self.adopt(), want)
        self.assertEqual(self.lines, [])
        _, store = self.store(self.path)
        store.begin()
        self.assertEqual(store.push(b"q", 0, b"new"), 46)
        store.commit()
        self.assertEqual(queues(store)[b"q"][2][-1], (0, b"new"))

    def test_nothing(self) -> None:
        """A home without MemcacheQ's files is left alone, an empty list gives none."""
        self.assertEqual(self.adopt(), {})
        self.assertEqual(self.lines, [])
        MemcacheQ(self.path).stop()
        self.assertEqual(self.adopt(), {})
        self.checkGone(self.path)

    def test_manyNumbers(self) -> None:
        """Record numbers that began again make counts of more than 32 bits."""
        with MemcacheQ(self.path) as old:
            old.queue(b"q")
        setNumber(self.at("q"), NUMBERS - 2)
        old = MemcacheQ(self.path)
        old.push(b"q", *(b"%d" % number for number in range(6)))
        old.pop(b"q", 2)
        old.list(b"q", NUMBERS - 3, NUMBERS - 3)
        old.kill(self.path + ".killed")
        want = [(0, b"%d" % number) for number in range(2, 6)]
        got = self.adopt(self.path + ".killed")
        self.assertEqual(got, {b"q": (NUMBERS + 3, NUMBERS - 1, want)})

    def test_neverUsed(self) -> None:
        """Numbers that have no page are told, and cost nothing."""
        with MemcacheQ(self.path) as old:
            old.push(b"q", *(b"%d" % number for number in range(40)))
        self.remove("__dbq.q.1")
        got = self.adopt()
        self.assertEqual(got[b"q"][:2], (40, 2))
        self.assertSaid("2 record numbers of queue q were never used")

    def test_strangeName(self) -> None:
        """A queue that no client can name is taken over, and that is said."""
        with MemcacheQ(self.path) as old:
            old.push(b"a\tb", b"x")
        self.assertEqual(self.adopt(), {b"a\tb": (1, 0, [(0, b"x")])})
        self.assertSaid("No client can name the queue a\\tb")

    def test_checkpoints(self) -> None:
        """There are checkpoints meanwhile, and log files go, unless they are kept."""
        self.patch(module, "BATCH", 3)
        for keepLogs in (False, True):
            want = self.stopped()
            calls: list[str] = []

            def watch(_: Adoption, store: BDBStore, calls: list[str] = calls) -> None:
                self.patch(store, "logged", lambda: MEGABYTE)
                for name in ("checkpoint", "removeLogs"):
                    self.patch(store, name, partial(calls.append, name))

            self.assertEqual(self.adopt(prepare=watch, keepLogs=keepLogs), want)
            self.assertGreater(calls.count("checkpoint"), 6)
            self.assertEqual("removeLogs" in calls, not keepLogs)
            shutil.rmtree(self.path)


class FixtureTests(AdoptionTestCase):
    """Directories that the real MemcacheQ wrote."""

    FIXTURES = next(
        (
            parent / "shared" / "fixtures"
            for parent in Path(ROOT).parents
            if (parent / "shared" / "fixtures").is_dir()
        ),
        None,
    )
    skip = None if FIXTURES else "those directories do not come with memq"

    def check(self, end: str) -> None:
        """Check that all that is known of one comes out of it."""
        assert self.FIXTURES is not None
        name = f"memcacheq-{end}"
        with tarfile.open(self.FIXTURES / f"{name}.tar.xz") as tar:
            tar.extractall(self.path)
        with open(self.FIXTURES / f"{name}.json", encoding="utf-8") as file:
            queues = json.load(file)["queues"]
        want: Queues = {}
        for queue in queues:
            messages = [(f & 0xFFFFFFFF, b64decode(b)) for f, b in queue["messages"]]
            want[queue["name"].encode()] = queue["sets"], queue["gets"], messages
        self.assertEqual(len(want), 10)
        self.assertEqual(self.adopt(self.at(name)), want)
        self.checkGone(self.at(name))

    def test_clean(self) -> None:
        """A MemcacheQ that was stopped comes out exactly."""
        self.check("clean")

    def test_killed(self) -> None:
        """A MemcacheQ that was killed comes out exactly."""
        self.check("killed")


class CountsTests(AdoptionTestCase):
    """Counts are what the numbers of the records say, if the list is not ahead."""

    def test_counts(self) -> None:
        """Each of both is the larger one, and the difference what is there."""
        for first, next, listed, messages, want in (
            (1, 1, (0, 0), 0, (0, 0)),
            (124, 301, (300, 123), 177, (300, 123)),
            (124, 301, (0, 0), 177, (300, 123)),
            (124, 301, (290, 120), 170, (300, 130)),
            (124, 301, (310, 123), 177, (310, 133)),
            (124, 301, (300, 200), 177, (377, 200)),
            (124, 301, (-1, -1), 177, (300, 123)),
            (NUMBERS, 3, (0, 0), 3, (NUMBERS + 2, NUMBERS - 1)),
            (2, 3, (NUMBERS - 5, NUMBERS - 9), 1, (NUMBERS + 2, NUMBERS + 1)),
            (5, 9, (3 * NUMBERS, 0), 4, (3 * NUMBERS + 8, 3 * NUMBERS + 4)),
        ):
            file = QueueFile.__new__(QueueFile)
            file.first, file.next = first, next
            file.span = (next - first) % NUMBERS
            found = Found(OldCount(b"q", *listed), file)
            self.assertEqual(found.counts(messages), want)
            self.assertGreaterEqual(found.pushed, file.span)


class HomeInUseTests(AdoptionTestCase):
    """memq's queues and those that MemcacheQ left in the same home."""

    def setUp(self) -> None:
        """Put messages into the home."""
        AdoptionTestCase.setUp(self)
        home, store = self.store(self.path)
        push(store, b"q", 0, b"1", b"2", b"3")
        push(store, b"mine", 0, b"m")
        take(store, b"q", 1)
        store.close()
        home.release()

    def test_both(self) -> None:
        """The messages that memq had come first, and counts are added."""
        with MemcacheQ(self.path) as old:
            old.push(b"q", b"a", b"b", b"c")
            old.pop(b"q")
            old.push(b"theirs", b"t")
        self.patch(module, "BATCH", 1)
        want = {
            b"mine": (1, 0, [(0, b"m")]),
            b"q": (6, 2, [(0, body) for body in (b"2", b"3", b"b", b"c")]),
            b"theirs": (1, 0, [(0, b"t")]),
        }
        self.assertEqual(self.adopt(), want)
        self.checkGone(self.path)

    def test_again(self) -> None:
        """A MemcacheQ that wrote there after the adoption is taken over as well."""
        for number in range(2):
            with MemcacheQ(self.path) as old:
                old.push(b"q", b"a%d" % number)
            got = self.adopt()
        self.assertEqual(
            got[b"q"], (5, 1, [(0, b) for b in (b"2", b"3", b"a0", b"a1")])
        )

    def test_killed(self) -> None:
        """Killed while messages move, the next start goes on, and none is doubled."""
        with MemcacheQ(self.path) as old:
            old.push(b"q", b"a", b"b", b"c")
        self.patch(module, "BATCH", 1)
        want = [(0, body) for body in (b"2", b"3", b"a", b"b", b"c")]
        for snapshot in self.snapshots(some(4)):
            self.assertEqual(self.adopt(snapshot)[b"q"], (6, 1, want), snapshot)
            self.checkGone(snapshot)


def some(every: int) -> Callable[[int], bool]:
    """Return what chooses one of so many, or all in torture; from anywhere on."""
    every = 1 if "MEMQ_TORTURE_SECONDS" in os.environ else every
    first = randrange(every)
    return lambda number: number % every == first


class KilledTests(AdoptionTestCase):
    """Killed at any moment, the next start goes on; nothing is lost or doubled."""

    def check(self, want: Queues, **options: Any) -> list[str]:
        """Adopt what kills have left, check what comes out, and return the homes."""
        self.patch(module, "BATCH", 2)
        snapshots = self.snapshots(some(5), **options)
        self.assertGreater(len(snapshots), 7)
        for snapshot in snapshots:
            self.assertEqual(self.adopt(snapshot, **options), want, snapshot)
            self.checkGone(snapshot)
        report(self.id(), kills=len(snapshots))
        return snapshots

    def test_stopped(self) -> None:
        """So it is with a MemcacheQ that was stopped."""
        self.check(self.stopped())

    def test_killed(self) -> None:
        """So it is with one that was killed as well."""
        self.check(self.killed())

    def test_kept(self) -> None:
        """So it is when files are kept aside, none of which is lost."""
        want = self.stopped()
        self.remove("q")
        del want[b"q"]
        names = self.listed()
        for snapshot in self.check(want, skipDamaged=True):
            self.assertEqual(self.kept(snapshot), names | {os.fsdecode(MOVED)})

    def test_again(self) -> None:
        """Killed again and again, it comes to its end."""
        self.patch(module, "BATCH", 2)
        kills = 0
        for _ in rounds(1):
            seed = randrange(1 << 32)
            random = Random(seed)
            want = random.choice([self.stopped, self.killed])()
            # Each time it may be killed later, for a kill may take all of the work.
            for latest in range(10, 70, 10):
                number = random.randrange(latest)
                for snapshot in self.snapshots(partial(eq, number)):
                    kills += 1
                    shutil.rmtree(self.path)
                    os.rename(snapshot, self.path)
            self.assertEqual(self.adopt(), want, f"seed {seed}")
            for path in (self.path, self.path + ".old", self.path + ".killed"):
                shutil.rmtree(path, ignore_errors=True)
        report(self.id(), kills=kills)


class InterruptedTests(AdoptionTestCase):
    """Asked to stop, it stops; the next one goes on."""

    def test_staging(self) -> None:
        """Staged messages are not read again."""
        want = self.stopped()
        self.stagePart(5)
        self.assertSaid("Taking over is interrupted; the next start goes on")
        self.assertNotIn(COPY, os.listdir(self.at("memq")))
        self.lines.clear()
        self.assertEqual(self.adopt(), want)
        self.assertSaid("about 9 messages, 5 of them are here")

    def test_copying(self) -> None:
        """Nothing is left of a copy that was begun."""
        want = self.killed()
        self.assertIsNone(self.adopt(prepare=lambda adoption, _: adoption.interrupt()))
        self.assertEqual(self.listed(self.path + ".old"), self.listed())
        self.assertNotIn(COPY, os.listdir(self.at("memq")))
        self.assertEqual(self.adopt(), want)

    def test_progress(self) -> None:
        """How far it is is said once a second, with the time that is left."""
        self.stopped()
        self.patch(module, "BATCH", 1)
        times = iter(range(1000))
        self.adopt(seconds=lambda: next(times) * PROGRESS_INTERVAL / 2)
        progress = [line for line in self.lines if "messages are taken over, " in line]
        told = "1 of 9 messages are taken over, 11 %, 1/s, 16 s left"
        self.assertEqual(progress[1], told)

    def test_bar(self) -> None:
        """On a terminal a bar is drawn instead."""
        self.stopped()
        self.patch(module, "BATCH", 1)
        times = iter(range(1000))
        drawn: list[tuple[str, float | None]] = []
        self.adopt(
            seconds=lambda: next(times) * PROGRESS_INTERVAL,
            draw=lambda words, part: drawn.append((words, part)),
        )
        self.assertTrue(any(part == 1 for words, part in drawn), drawn)
        self.assertFalse([line for line in self.lines if " s left" in line])

    def test_progressOfCopy(self) -> None:
        """So it is while files are copied."""
        self.killed()
        times = iter(range(1000))
        self.adopt(seconds=lambda: next(times) * PROGRESS_INTERVAL)
        lines = [line for line in self.lines if " are copied" in line]
        self.assertRegex(lines[0], "^[0-9.]+ MB of ")


class ChangedTests(AdoptionTestCase):
    """A MemcacheQ that works on the directory meanwhile."""

    def test_between(self) -> None:
        """Staged messages are discarded, for MemcacheQ has given them out itself."""
        with MemcacheQ(self.path) as old:
            old.push(b"q", b"1", b"2", b"3")
        self.stagePart()
        with MemcacheQ(self.path) as old:
            old.pop(b"q", 2)
            old.push(b"q", b"4")
        self.assertEqual(self.adopt(), {b"q": (4, 2, [(0, b"3"), (0, b"4")])})
        self.assertSaid("were changed meanwhile: it all begins again")

    def test_meanwhile(self) -> None:
        """It is refused, nothing is seen, and nothing is removed."""
        self.stopped()
        listed = self.listed()
        with self.atBegin(lambda: os.utime(self.at("log.0000000001"), (1, 1))):
            self.notAdopted("MemcacheQ's files were changed while they")
        self.assertEqual(self.listed(), listed)

    def test_goneMeanwhile(self) -> None:
        """Files that go meanwhile are missed before anything is seen."""
        self.stopped()
        with self.atBegin(lambda: self.remove("queue.list", "log.0000000001")):
            self.notAdopted("were changed while they were taken over")

    def test_gone(self) -> None:
        """Files that are gone are asked for; what was staged is kept when told so."""
        with MemcacheQ(self.path) as old:
            old.push(b"q", b"1", b"2", b"3")
            old.pop(b"q")
        self.stagePart()
        self.remove(*self.listed())
        self.notAdopted("MemcacheQ's files are gone, and only a part")
        got = self.adopt(skipDamaged=True)
        self.assertEqual(got, {b"q": (2, 0, [(0, b"2"), (0, b"3")])})

    def test_afterwards(self) -> None:
        """A file that was changed when its messages are memq's is not removed."""
        want = self.stopped()
        with self.failing(OldDirectory, "remove", StoreError("killed")):
            self.notAdopted("killed")
        path = self.at("q")
        os.utime(path, (1, 1))
        self.notAdopted(f"{path} was changed after its messages")
        os.remove(path)
        self.assertEqual(self.adopt(), want)
        self.checkGone(self.path)


class DamagedTests(AdoptionTestCase):
    """A damaged queue is named, and does not stand in the way of the others."""

    def check(self, why: str, want: Queues) -> None:
        """Check that it is refused, and what is taken when it is to be skipped."""
        listed = self.listed()
        self.notAdopted(why, "; put that right, or start with --skip-damaged")
        self.assertEqual(self.listed(), listed)
        self.assertEqual(self.adopt(skipDamaged=True), want)
        self.assertSaid("Left out: ", f"are kept in {self.path}/memq/{ASIDE}: some")
        self.checkGone(self.path)
        self.assertEqual(self.kept() - {os.fsdecode(MOVED)}, listed)

    def test_missing(self) -> None:
        """One whose file is missing is left out."""
        want = self.stopped()
        self.remove("q")
        # Its other files are of no queue that can be opened.
        self.remove(*self.listed() & {"__dbq.q.0", "__dbq.q.1"})
        del want[b"q"]
        self.check(f"{self.path}/q is missing", want)

    def test_extent(self) -> None:
        """Of one without an extent, what is there is taken."""
        with MemcacheQ(self.path) as old:
            old.push(b"q", *(b"%d" % number for number in range(80)))
        self.remove("__dbq.q.1")
        numbers = (*range(38), *range(76, 80))
        want: Queues = {b"q": (80, 38, [(0, b"%d" % number) for number in numbers])}
        self.check(f"{self.path}/__dbq.q.1 is missing", want)
        self.assertSaid("38 records of queue q are damaged")

    def test_records(self) -> None:
        """Of one with damaged records, the others are; only the first ones are told."""
        with MemcacheQ(self.path) as old:
            old.push(b"q", b"1")
            for _ in range(30):
                old.append(b"q", pack("<i", -1) + b"\xff" * 50)
            old.push(b"q", b"2")
        want: Queues = {b"q": (32, 30, [(0, b"1"), (0, b"2")])}
        self.check(f"{self.path}/q: record 2 is damaged: its lengths", want)
        told = {line for line in self.lines if line.startswith("Left out")}
        self.assertEqual(len(told), 10)
        self.assertSaid("30 records of queue q are damaged")

    def test_unlisted(self) -> None:
        """A queue that is in no list may be one that a damaged log has lost."""
        want = self.stopped()
        with MemcacheQ(self.path) as old:
            old.forget(b"q")
        del want[b"q"]
        self.check(f"{self.path}/q is of a queue that is not in queue.list", want)

    def test_many(self) -> None:
        """Of many, only the first ones are named."""
        with MemcacheQ(self.path) as old:
            for number in range(13):
                old.push(b"q%02d" % number, b"x")
        self.remove(*(f"q{number:02}" for number in range(13)))
        self.notAdopted("/q09 is missing; and 3 more; put that right")

    def test_log(self) -> None:
        """A log that is damaged before its end is told, and what it lost is not."""
        old = MemcacheQ(self.path + ".old")
        old.push(b"q", *(b"%d" % number for number in range(300)))
        old.kill(self.path)
        overwrite(self.at("log.0000000001"), 40000, b"x" * 100)
        self.notAdopted("log.0000000001 is damaged at byte 39")
        got = self.adopt(skipDamaged=True)
        pushed, taken, messages = got[b"q"]
        self.assertEqual(messages, [(0, b"%d" % number) for number in range(pushed)])
        self.assertEqual(taken, 0)
        self.assertIn("log.0000000001", self.kept())


class RoomTests(AdoptionTestCase):
    """How much room it takes is known before, and without it nothing begins."""

    def free(self, *rooms: int) -> None:
        """Let there be so much room, each time that somebody looks."""
        left = list(rooms)
        self.patch(
            BDBStore,
            "freeBytes",
            lambda store: left.pop(0) if len(left) > 1 else left[0],
        )

    def test_refused(self) -> None:
        """It is refused, says how much is needed, and changes nothing."""
        want = self.stopped()
        self.free(1000)
        self.assertEqual(
            self.notAdopted(),
            f"{self.path}/memq: taking over MemcacheQ's queues needs about 1.0 MB, and "
            "there are 0.0 MB; make room, nothing is lost",
        )
        self.free(100 * MEGABYTE)
        self.assertEqual(self.adopt(), want)

    def test_copy(self) -> None:
        """There has to be room for the copy, if there is one."""
        want = self.killed()
        self.free(1000)
        self.notAdopted("and there are 0.0 MB; make room")
        self.assertNotIn("Taking over ", "".join(self.lines))
        self.free(100 * MEGABYTE)
        self.assertEqual(self.adopt(), want)

    def test_meanwhile(self) -> None:
        """When others take the room, it stops before the disk is full, and goes on."""
        want = self.stopped()
        self.patch(module, "BATCH", 2)
        self.free(100 * MEGABYTE, 1000)
        logged = self.patch(BDBStore, "logged", lambda store: 1 << 40)
        self.notAdopted("needs about 2.0 MB, and there are 0.0 MB; make room")
        self.free(100 * MEGABYTE)
        logged.restore()
        self.assertEqual(self.adopt(), want)

    def test_unbounded(self) -> None:
        """Where nothing bounds it, there is room."""
        want = self.stopped()
        self.patch(BDBStore, "freeBytes", lambda store: None)
        self.assertEqual(self.adopt(), want)

    def test_storedBytes(self) -> None:
        """A message takes about what was measured, a large one whole pages."""
        measured = ((100, 147), (200, 275), (900, 1375), (950, 1375), (1000, 4129))
        for size, taken in measured:
            self.assertLess(abs(storedBytes(size) - taken), taken / 25)
        self.assertEqual(storedBytes(1008), 4096 + 28)
        self.assertEqual(storedBytes(5000), 2 * 4096 + 28)

    def test_estimate(self) -> None:
        """All are told from some: those that are left, or none that can be read."""
        with MemcacheQ(self.path) as old:
            old.push(b"q", *([b"x" * 100] * 100))
            old.push(b"r", b"")
            old.pop(b"r")
            old.append(b"s", b"\xff" * 100)
        path = os.fsencode(self.path)
        files = [QueueFile(path, name) for name in (b"q", b"r", b"s")]
        self.assertEqual(estimate(files[:2], {}), 100 * storedBytes(100))
        self.assertEqual(estimate(files[:1], {b"q": 40}), 60 * storedBytes(100))
        self.assertEqual(estimate(files[2:], {}), storedBytes(200))
        self.assertEqual(estimate([], {}), 0)

    def test_needed(self) -> None:
        """The copy, the messages and the log take room."""
        self.assertEqual(roomNeeded(0, 0), MEGABYTE)
        self.assertEqual(roomNeeded(1000, 50), 50 + 3000 + MEGABYTE)
        self.assertEqual(roomNeeded(1 << 30, 0, MEGABYTE), (1 << 30) + 3 * MEGABYTE)


class FailingTests(AdoptionTestCase):
    """A failure is one line, and the next start goes on."""

    def test_store(self) -> None:
        """An error of the store's is said with the home."""
        want = self.stopped()
        with self.failing(Staging, "stage", StoreError("out of disk space")):
            self.assertEqual(self.notAdopted(), f"{self.path}/memq: out of disk space")
        self.assertEqual(self.adopt(), want)

    def test_system(self) -> None:
        """An error of the system's is said with its file, if it has one."""
        self.stopped()
        for filename, where in ((b"/x/q", "/x/q"), (None, self.path)):
            error = PermissionError(13, "Permission denied", filename)
            with self.failing(Copy, "begin", error):
                self.assertEqual(self.notAdopted(), f"{where}: Permission denied")
