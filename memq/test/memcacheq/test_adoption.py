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

from memq.admin.progress import INTERVAL
from memq.errors import HomeError, StoreError
from memq.memcacheq import adoption as module
from memq.memcacheq.adoption import (
    ASIDE,
    COPY,
    Adoption,
)
from memq.memcacheq.copy import Copy, Found, OldCount
from memq.memcacheq.directory import MOVED
from memq.memcacheq.estimate import estimate, roomNeeded, storedBytes
from memq.memcacheq.queuefile import NUMBERS, QueueFile
from memq.memcacheq.staging import Staging
from memq.storage.bdb.store import BDBStore
from memq.test.support.adopting import AdoptionTestCase
from memq.test.support.homes import Queues, queues
from memq.test.support.memcacheqdirs import MemcacheQ, setNumber
from memq.test.support.torture import report, rounds
from testkit.servers import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

MEGABYTE = 1024 * 1024


class AdoptTests(AdoptionTestCase):
    """What MemcacheQ had is memq's, in the same order, with the same counts."""

    def test_stopped(self) -> None:
        """That of one that was stopped is, and its files are gone."""
        want = self.stopped()
        self.assertEqual(self.adopt(), want)
        self.checkGone(self.path)
        self.assertTrue(self.said("Taking over 6 queues of MemcacheQ's with about 9 "))
        self.assertTrue(self.said("that needs about 1.0 MB"))
        self.assertTrue(self.said("6 queues with 9 messages are taken over"))
        self.assertTrue(self.said("MemcacheQ's files are removed"))

    def test_killed(self) -> None:
        """So is that of one that was killed, whose list is behind."""
        want = self.killed()
        self.assertEqual(self.adopt(), want)
        self.checkGone(self.path)
        self.assertTrue(self.said("a copy of its files is recovered first; that needs"))

    def test_nextStart(self) -> None:
        """The next start has nothing to do, and queues go on where they were."""
        want = self.killed()
        self.adopt()
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
        old = MemcacheQ(self.path)
        old.queue(b"q")
        old.stop()
        setNumber(os.path.join(self.path, "q"), NUMBERS - 2)
        old = MemcacheQ(self.path)
        old.push(b"q", *(b"%d" % number for number in range(6)))
        old.pop(b"q", 2)
        old.list(b"q", NUMBERS - 3, NUMBERS - 3)
        old.kill(self.path + ".killed")
        want = [(0, b"%d" % number) for number in range(2, 6)]
        got = self.adopt(self.path + ".killed")
        self.assertEqual(got, {b"q": (NUMBERS + 3, NUMBERS - 1, want)})

    def test_holes(self) -> None:
        """What was never there counts as taken."""
        old = MemcacheQ(self.path)
        old.push(b"q", b"1", b"2")
        old.abortPush(b"q")
        old.push(b"q", b"3")
        old.pop(b"q")
        old.stop()
        want = [(0, b"2"), (0, b"3")]
        self.assertEqual(self.adopt(), {b"q": (4, 2, want)})

    def test_neverUsed(self) -> None:
        """Numbers that have no page are told, and cost nothing."""
        old = MemcacheQ(self.path)
        old.push(b"q", *(b"%d" % number for number in range(40)))
        old.stop()
        os.remove(os.path.join(self.path, "__dbq.q.1"))
        got = self.adopt()
        assert got is not None
        self.assertEqual(got[b"q"][:2], (40, 2))
        self.assertTrue(self.said("2 record numbers of queue q were never used"))

    def test_strangeName(self) -> None:
        """A queue that no client can name is taken over, and that is said."""
        old = MemcacheQ(self.path)
        old.push(b"a\tb", b"x")
        old.stop()
        self.assertEqual(self.adopt(), {b"a\tb": (1, 0, [(0, b"x")])})
        self.assertTrue(self.said("No client can name the queue a\\tb"))

    def test_checkpoints(self) -> None:
        """There are checkpoints meanwhile, and log files go, unless they are kept."""
        self.patch(module, "BATCH", 3)
        for keepLogs in (False, True):
            want = self.stopped()
            calls: list[str] = []

            def note(name: str, calls: list[str] = calls) -> int:
                calls.append(name)
                return 0

            def watch(adoption: Adoption, store: BDBStore, note: Any = note) -> None:
                self.patch(store, "logged", lambda: MEGABYTE)
                self.patch(store, "checkpoint", lambda: note("checkpoint"))
                self.patch(store, "removeLogs", lambda: note("removeLogs"))

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
        want: Queues = {
            queue["name"].encode(): (
                queue["sets"],
                queue["gets"],
                [(f & 0xFFFFFFFF, b64decode(body)) for f, body in queue["messages"]],
            )
            for queue in queues
        }
        self.assertEqual(len(want), 10)
        self.assertEqual(self.adopt(os.path.join(self.path, name)), want)
        self.checkGone(os.path.join(self.path, name))

    def test_clean(self) -> None:
        """One that was stopped comes out exactly."""
        self.check("clean")

    def test_killed(self) -> None:
        """One that was killed comes out exactly."""
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
        store.begin()
        for body in (b"1", b"2", b"3"):
            store.push(b"q", 0, body)
        store.push(b"mine", 0, b"m")
        store.pop(b"q")
        store.commit()
        store.close()
        home.release()

    def test_both(self) -> None:
        """What memq had comes first, and counts are added."""
        old = MemcacheQ(self.path)
        old.push(b"q", b"a", b"b", b"c")
        old.pop(b"q")
        old.push(b"theirs", b"t")
        old.stop()
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
            old = MemcacheQ(self.path)
            old.push(b"q", b"a%d" % number)
            old.stop()
            got = self.adopt()
        assert got is not None
        self.assertEqual(
            got[b"q"], (5, 1, [(0, b) for b in (b"2", b"3", b"a0", b"a1")])
        )

    def test_killed(self) -> None:
        """Killed while messages move, the next start goes on, and none is doubled."""
        old = MemcacheQ(self.path)
        old.push(b"q", b"a", b"b", b"c")
        old.stop()
        self.patch(module, "BATCH", 1)
        want = [(0, body) for body in (b"2", b"3", b"a", b"b", b"c")]
        for snapshot in self.snapshots(some(4)):
            got = self.adopt(snapshot)
            assert got is not None
            self.assertEqual(got[b"q"], (6, 1, want), snapshot)
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
        os.remove(os.path.join(self.path, "q"))
        del want[b"q"]
        names = set(os.listdir(self.path)) - {"memq"} | {os.fsdecode(MOVED)}
        for snapshot in self.check(want, skipDamaged=True):
            kept = os.listdir(os.path.join(snapshot, "memq", ASIDE))
            self.assertEqual(set(kept), names)

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
        """What is staged is not read again."""
        want = self.stopped()
        self.patch(module, "BATCH", 2)

        def interrupt(adoption: Adoption, store: BDBStore) -> None:
            stage = Staging.stage

            def once(*arguments: Any) -> None:
                stage(*arguments)
                if adoption._done >= 5:
                    adoption.interrupt()

            self.patch(Staging, "stage", once)

        self.assertIsNone(self.adopt(prepare=interrupt))
        self.assertTrue(self.said("Taking over is interrupted; the next start goes on"))
        self.assertNotIn(COPY, os.listdir(os.path.join(self.path, "memq")))
        self.lines.clear()
        self.assertEqual(self.adopt(), want)
        self.assertTrue(self.said("about 9 messages, 5 of them are here"))

    def test_copying(self) -> None:
        """Nothing is left of a copy that was begun."""
        want = self.killed()
        self.assertIsNone(self.adopt(prepare=lambda adoption, _: adoption.interrupt()))
        self.assertEqual(
            sorted(set(os.listdir(self.path + ".old")) - {"memq"}),
            sorted(set(os.listdir(self.path)) - {"memq", os.fsdecode(MOVED)}),
        )
        self.assertNotIn(COPY, os.listdir(os.path.join(self.path, "memq")))
        self.assertEqual(self.adopt(), want)

    def test_progress(self) -> None:
        """How far it is is said once a second."""
        self.stopped()
        self.patch(module, "BATCH", 1)
        times = iter(range(1000))
        self.adopt(seconds=lambda: next(times) * INTERVAL / 2)
        progress = [line for line in self.lines if "messages are taken over, " in line]
        self.assertEqual(
            progress[:2],
            [
                "1 of 9 messages are taken over, 11 %",
                "2 of 9 messages are taken over, 22 %",
            ],
        )

    def test_progressOfCopy(self) -> None:
        """So it is while files are copied."""
        self.killed()
        times = iter(range(1000))
        self.adopt(seconds=lambda: next(times) * INTERVAL)
        lines = [line for line in self.lines if line.endswith(" are copied")]
        self.assertRegex(lines[0], "^[0-9.]+ MB of ")


class ChangedTests(AdoptionTestCase):
    """A MemcacheQ that works on the directory meanwhile."""

    def stagePart(self) -> None:
        """Take over a part, and stop."""
        self.patch(module, "BATCH", 2)

        def interrupt(adoption: Adoption, store: BDBStore) -> None:
            stage = Staging.stage

            def once(*arguments: Any) -> None:
                stage(*arguments)
                adoption.interrupt()

            self.patch(Staging, "stage", once)

        self.assertIsNone(self.adopt(prepare=interrupt))

    def test_between(self) -> None:
        """What was staged is discarded, for MemcacheQ has given it out itself."""
        old = MemcacheQ(self.path)
        old.push(b"q", b"1", b"2", b"3")
        old.stop()
        self.stagePart()
        old = MemcacheQ(self.path)
        old.pop(b"q", 2)
        old.push(b"q", b"4")
        old.stop()
        want = {b"q": (4, 2, [(0, b"3"), (0, b"4")])}
        self.assertEqual(self.adopt(), want)
        self.assertTrue(self.said("were changed meanwhile: it all begins again"))

    def test_meanwhile(self) -> None:
        """It is refused, nothing is seen, and nothing is removed."""
        self.stopped()
        listed = os.listdir(self.path)

        def work(adoption: Adoption, store: BDBStore) -> None:
            begin = Staging.beginAdoption

            def change(staging: Staging, fingerprint: bytes) -> None:
                begin(staging, fingerprint)
                os.utime(os.path.join(self.path, "log.0000000001"), (1, 1))

            self.patch(Staging, "beginAdoption", change)

        error = self.assertRaises(HomeError, self.adopt, prepare=work)
        self.assertIn("MemcacheQ's files were changed while they", str(error))
        self.assertEqual(
            set(listed) - {"memq"},
            set(os.listdir(self.path)) - {"memq", os.fsdecode(MOVED)},
        )

    def test_gone(self) -> None:
        """Files that are gone are asked for; what was staged is kept when told so."""
        old = MemcacheQ(self.path)
        old.push(b"q", b"1", b"2", b"3")
        old.pop(b"q")
        old.stop()
        self.patch(module, "BATCH", 1)
        self.stagePart()
        self.patch(module, "BATCH", 1000)
        for name in os.listdir(self.path):
            if name != "memq":
                os.remove(os.path.join(self.path, name))
        error = self.assertRaises(HomeError, self.adopt)
        self.assertIn("MemcacheQ's files are gone, and only a part", str(error))
        got = self.adopt(skipDamaged=True)
        self.assertEqual(got, {b"q": (2, 0, [(0, b"2"), (0, b"3")])})

    def test_afterwards(self) -> None:
        """A file that was changed when its messages are memq's is not removed."""
        want = self.stopped()

        def fail(adoption: Adoption, store: BDBStore) -> None:
            self.patch(adoption, "_finish", lambda state: adoption.interrupt())

        self.adopt(prepare=fail)
        path = os.path.join(self.path, "q")
        os.utime(path, (1, 1))
        error = self.assertRaises(HomeError, self.adopt)
        self.assertIn(f"{path} was changed after its messages", str(error))
        os.remove(path)
        self.assertEqual(self.adopt(), want)
        self.checkGone(self.path)


class DamagedTests(AdoptionTestCase):
    """A damaged queue is named, and does not stand in the way of the others."""

    def check(self, why: str, want: Queues) -> None:
        """Check that it is refused, and what is taken when it is to be skipped."""
        listed = set(os.listdir(self.path)) - {"memq"}
        error = self.assertRaises(HomeError, self.adopt)
        self.assertIn(why, str(error))
        self.assertIn("; put that right, or start with --skip-damaged", str(error))
        self.assertNotIn("\n", str(error))
        self.assertEqual(
            set(os.listdir(self.path)) - {"memq", os.fsdecode(MOVED)}, listed
        )
        self.assertEqual(self.adopt(skipDamaged=True), want)
        self.assertTrue(self.said("Left out: "))
        self.assertTrue(self.said(f"are kept in {self.path}/memq/{ASIDE}: some"))
        self.checkGone(self.path)
        kept = set(os.listdir(os.path.join(self.path, "memq", ASIDE)))
        self.assertEqual(kept - {os.fsdecode(MOVED)}, listed)

    def test_missing(self) -> None:
        """One whose file is missing is left out."""
        want = self.stopped()
        os.remove(os.path.join(self.path, "q"))
        # What is left of it is of no queue that can be opened.
        for number in (0, 1):
            path = os.path.join(self.path, f"__dbq.q.{number}")
            if os.path.exists(path):
                os.remove(path)
        del want[b"q"]
        self.check(f"{self.path}/q is missing", want)

    def test_cut(self) -> None:
        """So is one whose file was cut short."""
        want = self.stopped()
        os.truncate(os.path.join(self.path, "q"), 30)
        del want[b"q"]
        self.check(f"{self.path}/q is cut short", want)

    def test_extent(self) -> None:
        """Of one without an extent, what is there is taken."""
        old = MemcacheQ(self.path)
        old.push(b"q", *(b"%d" % number for number in range(80)))
        old.stop()
        os.remove(os.path.join(self.path, "__dbq.q.1"))
        numbers = (*range(38), *range(76, 80))
        want: Queues = {b"q": (80, 38, [(0, b"%d" % number) for number in numbers])}
        self.check(f"{self.path}/__dbq.q.1 is missing", want)
        self.assertTrue(self.said("38 records of queue q are damaged"))

    def test_records(self) -> None:
        """Of one with damaged records, the others are; only the first ones are told."""
        old = MemcacheQ(self.path)
        old.push(b"q", b"1")
        for _ in range(30):
            old.append(b"q", pack("<i", -1) + b"\xff" * 50)
        old.push(b"q", b"2")
        old.stop()
        want: Queues = {b"q": (32, 30, [(0, b"1"), (0, b"2")])}
        self.check(f"{self.path}/q: record 2 is damaged: its lengths", want)
        told = {line for line in self.lines if line.startswith("Left out")}
        self.assertEqual(len(told), 10)
        self.assertTrue(self.said("30 records of queue q are damaged"))

    def test_unlisted(self) -> None:
        """A queue that is in no list may be one that a damaged log has lost."""
        want = self.stopped()
        old = MemcacheQ(self.path)
        old.forget(b"q")
        old.stop()
        del want[b"q"]
        self.check(f"{self.path}/q is of a queue that is not in queue.list", want)

    def test_many(self) -> None:
        """Of many, only the first ones are named."""
        old = MemcacheQ(self.path)
        for number in range(13):
            old.push(b"q%02d" % number, b"x")
        old.stop()
        for number in range(13):
            os.remove(os.path.join(self.path, f"q{number:02}"))
        error = self.assertRaises(HomeError, self.adopt)
        self.assertIn("/q09 is missing; and 3 more; put that right", str(error))

    def test_log(self) -> None:
        """A log that is damaged before its end is told, and what it lost is not."""
        old = MemcacheQ(self.path + ".old")
        old.push(b"q", *(b"%d" % number for number in range(300)))
        old.kill(self.path)
        with open(os.path.join(self.path, "log.0000000001"), "r+b") as file:
            file.seek(40000)
            file.write(b"x" * 100)
        error = self.assertRaises(HomeError, self.adopt)
        self.assertIn("log.0000000001 is damaged at byte 39", str(error))
        got = self.adopt(skipDamaged=True)
        assert got is not None
        pushed, taken, messages = got[b"q"]
        self.assertEqual(messages, [(0, b"%d" % number) for number in range(pushed)])
        self.assertEqual(taken, 0)
        kept = os.listdir(os.path.join(self.path, "memq", ASIDE))
        self.assertIn("log.0000000001", kept)


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
        error = self.assertRaises(HomeError, self.adopt)
        self.assertEqual(
            str(error),
            f"{self.path}/memq: taking over MemcacheQ's queues needs about 1.0 MB, and "
            "there are 0.0 MB; make room, nothing is lost",
        )
        self.free(100 * MEGABYTE)
        self.assertEqual(self.adopt(), want)

    def test_copy(self) -> None:
        """There has to be room for the copy, if there is one."""
        want = self.killed()
        self.free(1000)
        error = self.assertRaises(HomeError, self.adopt)
        self.assertIn("and there are 0.0 MB; make room", str(error))
        self.assertFalse(self.said("Taking over "))
        self.free(100 * MEGABYTE)
        self.assertEqual(self.adopt(), want)

    def test_meanwhile(self) -> None:
        """When others take the room, it stops before the disk is full, and goes on."""
        want = self.stopped()
        self.patch(module, "BATCH", 2)
        self.free(100 * MEGABYTE, 1000)
        logged = self.patch(BDBStore, "logged", lambda store: 1 << 40)
        error = self.assertRaises(HomeError, self.adopt)
        self.assertIn("needs about 2.0 MB, and there are 0.0 MB; make room", str(error))
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
        old = MemcacheQ(self.path)
        old.push(b"q", *([b"x" * 100] * 100))
        old.push(b"r", b"")
        old.pop(b"r")
        old.append(b"s", b"\xff" * 100)
        old.stop()
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
    """What fails is one line, and the next start goes on."""

    def test_store(self) -> None:
        """An error of the store's is said with the home."""
        want = self.stopped()

        def fail(*arguments: object) -> None:
            raise StoreError("out of disk space")

        patch = self.patch(Staging, "stage", fail)
        error = self.assertRaises(HomeError, self.adopt)
        patch.restore()
        self.assertEqual(str(error), f"{self.path}/memq: out of disk space")
        self.assertEqual(self.adopt(), want)

    def test_system(self) -> None:
        """An error of the system's is said with its file, if it has one."""
        self.stopped()
        for filename, where in ((b"/x/q", "/x/q"), (None, self.path)):

            def fail(copy: Copy, filename: bytes | None = filename) -> None:
                raise PermissionError(13, "Permission denied", filename)

            self.patch(Copy, "begin", fail)
            error = self.assertRaises(HomeError, self.adopt)
            self.assertEqual(str(error), f"{where}: Permission denied")

    def test_gone(self) -> None:
        """Files that go meanwhile are missed before anything is seen."""
        self.stopped()

        def remove(adoption: Adoption, store: BDBStore) -> None:
            begin = Staging.beginAdoption

            def change(staging: Staging, fingerprint: bytes) -> None:
                begin(staging, fingerprint)
                for name in ("queue.list", "log.0000000001"):
                    os.remove(os.path.join(self.path, name))

            self.patch(Staging, "beginAdoption", change)

        error = self.assertRaises(HomeError, self.adopt, prepare=remove)
        self.assertIn("were changed while they were taken over", str(error))
