"""The periodic work on the store."""

from __future__ import annotations

from errno import EIO
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from memq.broker.broker import SWEEP_MESSAGES
from memq.broker.groupcommit import ENDING
from memq.daemon.maintenance import (
    HOME_INTERVAL,
    NEAR_LIMIT_VOLUME,
    QUIET_GROWTH,
    QUIET_VOLUME,
    MaintenanceSettings,
)
from memq.errors import HomeGone, StoreError, StoreFailed
from memq.test.commands.test_protocol import put
from memq.test.support.harness import Client, Harness
from memq.test.support.stepped import SteppedTestCase

NEVER = MaintenanceSettings(checkpoint=0, trickle=0)


class MaintenanceTestCase(SteppedTestCase):
    """Maintenance of a store that notes what is asked of it."""

    def start(
        self, settings: MaintenanceSettings = NEVER, durable: bool = True
    ) -> list[str]:
        """Start, and return the store's journal."""
        self.begin(settings, durable)
        # The calls of the start itself are another matter.
        self.store.journal.clear()
        return self.store.journal

    def begin(self, settings: MaintenanceSettings, durable: bool = True) -> None:
        """Start."""
        self.harness = Harness(settings)
        self.harness.broker.durable = durable
        self.store = self.harness.store
        started = self.harness.maintenance.start()
        self.harness.settle()
        self.successResultOf(started)

    def wait(self, seconds: float) -> None:
        """Let time pass, in steps small enough for everything to have its turn."""
        end = self.harness.reactor.seconds() + seconds
        while self.harness.reactor.seconds() < end:
            self.harness.reactor.advance(0.125)
            self.harness.settle()

    def events(self, seconds: float) -> list[tuple[str, str]]:
        """Let time pass, and return what is logged meanwhile."""
        with capturedLogs() as events:
            self.wait(seconds)
        return [(event["log_level"].name, str(formatEvent(event))) for event in events]


class PeriodTests(MaintenanceTestCase):
    """Periods of the work."""

    def test_start(self) -> None:
        """Logs that the last run left are removed at the start, or kept if asked."""
        for removeLogs, expected in ((True, ["removeLogs"]), (False, [])):
            self.begin(NEVER._replace(removeLogs=removeLogs))
            self.assertEqual(self.store.journal, expected)

    def test_startAllTheSame(self) -> None:
        """When they cannot be removed, that is said, and it starts all the same."""
        harness = Harness(NEVER)
        harness.store.refuse("removeLogs", StoreError("not mine"))
        with capturedLogs() as events:
            started = harness.maintenance.start()
            harness.settle()
        self.successResultOf(started)
        self.assertIn("not mine", str(formatEvent(events[-1])))

    def test_intervals(self) -> None:
        """Pages are written early, as many as is said; logs go after a checkpoint.

        With no-sync there is a flush a second; an interval of 0 means never.
        """
        for settings, durable, seconds, expected in (
            ({"trickle": 0.5, "tricklePercent": 70}, True, 2, ["trickle 70"] * 4),
            ({"checkpoint": 30}, True, 29, []),
            ({"checkpoint": 30}, True, 60, ["checkpoint", "removeLogs"] * 2),
            ({"checkpoint": 30, "removeLogs": False}, True, 60, ["checkpoint"] * 2),
            ({}, False, 3, ["flush"] * 3),
            ({}, True, 1000, []),
        ):
            journal = self.start(NEVER._replace(**settings), durable)
            self.wait(seconds)
            self.assertEqual(journal, expected)

    def test_volume(self) -> None:
        """So much log makes a checkpoint at once, whatever the time."""
        journal = self.start(NEVER._replace(checkpointVolume=1000))
        self.store.log = 999
        self.wait(5)
        self.assertEqual(journal, [])
        self.store.log = 1000
        self.wait(1)
        self.assertEqual(journal, ["checkpoint", "removeLogs"])
        self.store.log = 0
        self.wait(5)
        self.assertEqual(len(journal), 2)

    def test_nearTheLimit(self) -> None:
        """While the disk is full, a megabyte of log makes a checkpoint."""
        journal = self.start(NEVER._replace(minFree=1000))
        self.store.log = NEAR_LIMIT_VOLUME
        self.wait(1)
        self.assertEqual(journal, [])
        self.store.free = 999
        self.wait(1)
        self.assertEqual(journal, ["checkpoint", "removeLogs"])

    def test_quiet(self) -> None:
        """The log that a burst left is dealt with once it is over."""
        journal = self.start()
        for _ in range(3):
            self.store.log += QUIET_VOLUME
            self.wait(1)
        self.store.log += QUIET_GROWTH
        self.wait(1)
        self.assertEqual(journal, [])
        self.store.log += QUIET_GROWTH - 1
        self.wait(1)
        self.assertEqual(journal, ["checkpoint", "removeLogs"])

    def test_quietAfterACheckpoint(self) -> None:
        """A log that shrank is not quiet, and a little log is left alone."""
        journal = self.start()
        self.store.log = 2 * QUIET_VOLUME
        self.wait(1)
        self.store.log = QUIET_VOLUME
        self.wait(1)
        self.store.log = QUIET_VOLUME - 1
        self.wait(10)
        self.assertEqual(journal, [])

    def test_slow(self) -> None:
        """Work that takes longer than its interval is not piled up."""
        self.start(NEVER._replace(trickle=0.5))
        for _ in range(20):
            self.harness.reactor.advance(0.5)
        self.assertEqual(self.harness.workPool.pending, 2)

    def test_asked(self) -> None:
        """A checkpoint and a removal may be asked for at any time."""
        journal = self.start()
        done = self.harness.maintenance.checkpoint()
        self.assertNoResult(done)
        self.harness.settle()
        self.assertIsNone(self.successResultOf(done))
        done = self.harness.maintenance.removeLogs()
        self.harness.settle()
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(journal, ["checkpoint", "removeLogs", "removeLogs"])


class RoomTests(MaintenanceTestCase):
    """The room on the disk."""

    def setUp(self) -> None:
        """Have enough of it."""
        self.start(NEVER._replace(minFree=1000))
        self.store.free = 1000

    def test_full(self) -> None:
        """Below --min-free pushes are refused, and above taken, a log line each."""
        self.assertEqual(self.events(3), [])
        self.assertFalse(self.harness.broker.room.isFull)
        self.store.free = 999
        refused = (
            "Sets are refused, the disk is full: 999 bytes were free when it was "
            "looked at, --min-free is 1000"
        )
        self.assertEqual(self.events(3), [("error", refused)])
        self.assertTrue(self.harness.broker.room.isFull)
        self.store.free = 1124
        self.assertEqual(self.events(3), [])
        self.store.free = 1125
        taken = "Sets are taken again: 1125 bytes are free, and 0 inside the files"
        self.assertEqual(self.events(3), [("info", taken)])
        self.assertFalse(self.harness.broker.room.isFull)

    def test_unbounded(self) -> None:
        """Where nothing bounds the room, there is always enough."""
        self.store.free = None
        self.assertEqual(self.events(3), [])
        self.assertFalse(self.harness.broker.room.isFull)

    def test_size(self) -> None:
        """The size of the store on disk is told in the statistics."""
        self.assertEqual(self.harness.statistics.bytesOnDisk, 4096)

    def test_atStart(self) -> None:
        """A disk that is full at the start is known before the start is over."""
        harness = Harness(NEVER)
        harness.store.free = 5
        started = harness.maintenance.start()
        self.assertNoResult(started)
        harness.settle()
        self.successResultOf(started)
        self.assertTrue(harness.broker.room.isFull)


class TidyTests(MaintenanceTestCase):
    """Room that is given back."""

    def test_tidy(self) -> None:
        """The store tidies once a second, and then it is swept between turns."""
        journal = self.start()
        self.store.tidied = [0, 0]
        self.wait(1)
        self.assertEqual(journal, ["tidy"])
        self.store.unswept = 2
        self.wait(1)
        self.assertEqual(journal, ["tidy"] * 2 + [f"sweep {SWEEP_MESSAGES}"] * 2)

    def test_givenBack(self) -> None:
        """The room that a file gave back is logged, and its old logs go back, too."""
        journal = self.start()
        self.store.tidied = [4096]
        told = ("info", "4096 bytes of a drained file are given back")
        self.assertEqual(self.events(3), [told])
        self.assertEqual(journal, ["tidy", "removeLogs"])

    def test_keepLogs(self) -> None:
        """Logs that are to be kept are not removed."""
        journal = self.start(NEVER._replace(removeLogs=False))
        self.store.tidied = [4096]
        self.wait(1)
        self.assertEqual(journal, ["tidy"])

    def test_behindTheCheckpoint(self) -> None:
        """A checkpoint that is due comes first."""
        journal = self.start(NEVER._replace(checkpointVolume=1000))
        self.store.log = 1000
        self.store.tidied = [0]
        self.wait(1)
        self.assertEqual(journal, ["checkpoint", "removeLogs", "tidy"])


class ErrorTests(MaintenanceTestCase):
    """Errors."""

    settings: Any = NEVER._replace(trickle=0.5, checkpoint=1.0)
    verbs = "trickle", "checkpoint", "removeLogs", "flush", "tidy"

    def test_again(self) -> None:
        """It is logged with its cause, and tried again the next time."""
        for verb in (*self.verbs, "freeBytes"):
            journal = self.start(self.settings, durable=False)
            self.store.refuse(verb, StoreError(f"no {verb}"), times=1)
            self.assertEqual(
                self.events(3),
                [("error", f"Maintenance failed, and is tried again: no {verb}")],
            )
            for word in ("trickle 60", "checkpoint", "removeLogs", "flush"):
                self.assertGreaterEqual(journal.count(word), 2, (verb, word))

    def test_failed(self) -> None:
        """A store that cannot go on ends the broker, whatever finds it out."""
        for verb in self.verbs:
            self.start(self.settings, durable=False)
            failures: list[StoreFailed] = []
            self.harness.onFailure = failures.append
            self.store.refuse(verb, StoreFailed(f"{verb}: panic"))
            self.assertEqual(self.events(3), [])
            self.assertEqual(list(map(str, failures)), [f"{verb}: panic"])

    def test_start(self) -> None:
        """A first look at the disk that fails is the start's failure."""
        harness = Harness(NEVER)
        harness.store.refuse("freeBytes", OSError("no such directory"), times=1)
        started = harness.maintenance.start()
        harness.settle()
        self.failureResultOf(started, OSError)


class StopTests(MaintenanceTestCase):
    """The end."""

    def test_nothingMore(self) -> None:
        """Nothing is begun any more."""
        journal = self.start(MaintenanceSettings(), durable=False)
        self.wait(1)
        self.successResultOf(self.harness.maintenance.stop())
        del journal[:]
        self.assertEqual(self.harness.reactor.calls, [])
        self.wait(1000)
        self.assertEqual(journal, [])

    def test_underWay(self) -> None:
        """A task under way is waited for, whatever comes of it."""
        for isRefused in (False, True):
            self.start(NEVER._replace(checkpoint=0.5))
            if isRefused:
                self.store.refuse("checkpoint", StoreError("no room"))
            self.harness.reactor.advance(0.5)
            self.assertEqual(self.harness.workPool.pending, 1)
            done = self.harness.maintenance.stop()
            self.assertNoResult(done)
            self.harness.settle()
            self.successResultOf(done)
            self.assertIn("checkpoint", self.store.journal)

    def test_ended(self) -> None:
        """Maintenance that never began has ended; to stop it twice is to stop it."""
        self.successResultOf(Harness().maintenance.stop())
        self.start(MaintenanceSettings())
        for _ in range(2):
            self.successResultOf(self.harness.maintenance.stop())


class HomeTests(MaintenanceTestCase):
    """A home that may be another one by now."""

    gone = HomeGone("/h/memq", "in /h/old")

    def setUp(self) -> None:
        """Note how the broker ends."""
        self.failures: list[StoreFailed] = []

    def begin(self, settings: MaintenanceSettings, durable: bool = True) -> None:
        """Start."""
        super().begin(settings, durable)
        self.harness.onFailure = self.failures.append

    def waiting(self, persist: Any = Deferred) -> Client:
        """Start; return a client that waits for a flush, which is what is given."""
        self.start()
        client = self.harness.connect()
        self.harness.persist = persist
        client.send(put(b"q", b"a"))
        self.harness.reactor.advance(0)
        return client

    def test_gone(self) -> None:
        """Within a second everybody who waits is told, and nothing is stored more."""
        client = self.waiting()
        self.store.refuse("checkHome", self.gone)
        self.wait(1)
        self.assertEqual(self.failures, [self.gone])
        self.assertEqual(client.read(), self.gone.reply + b"\r\n")
        self.assertTrue(client.isClosed)
        self.assertEqual(self.store.dump(), "q 1/0: a")

    def test_flushUnderWay(self) -> None:
        """Sets that the flush under way makes durable are told so, none behind it."""
        flushes: list[Deferred[None]] = []

        def persist() -> Deferred[None]:
            flushes.append(Deferred())
            return flushes[-1]

        client = self.waiting(persist)
        other = self.harness.connect()
        self.store.refuse("checkHome", self.gone)
        self.harness.reactor.advance(HOME_INTERVAL)
        other.send(put(b"q", b"b"))
        self.harness.reactor.advance(0)
        flushes[0].callback(None)
        self.harness.settle()
        self.assertEqual(client.read(), b"STORED\r\n")
        self.assertEqual(other.read(), self.gone.reply + b"\r\n")
        self.assertEqual((self.failures, len(flushes)), ([self.gone], 1))

    def test_flushHangs(self) -> None:
        """A flush that does not end is waited for no longer than half a second."""
        client = self.waiting()
        self.store.refuse("checkHome", self.gone)
        self.harness.reactor.advance(HOME_INTERVAL)
        # Others find it out as well meanwhile.
        self.harness.maintenance.checkpoint().addErrback(lambda failure: None)
        self.store.refuse("checkpoint", self.gone)
        self.harness.settle()
        self.assertEqual(self.failures, [])
        self.harness.reactor.advance(ENDING)
        self.assertEqual(client.read(), self.gone.reply + b"\r\n")
        self.assertEqual(self.failures, [self.gone])

    def test_busyPool(self) -> None:
        """A checkpoint that takes long does not hold that up."""
        self.start(NEVER._replace(checkpoint=0.25))
        self.harness.reactor.advance(0.25)
        self.store.refuse("checkHome", self.gone)
        self.harness.reactor.advance(HOME_INTERVAL)
        self.assertEqual(self.harness.workPool.pending, 1)
        self.assertEqual(self.failures, [self.gone])

    def test_maintenanceFails(self) -> None:
        """Maintenance that fails because of it, or finds it out, is not tried again."""
        for checkpoint, home in (
            (StoreError("No such file or directory"), self.gone),
            (self.gone, None),
        ):
            self.failures.clear()
            self.start(NEVER._replace(checkpoint=0.25))
            self.store.refuse("checkpoint", checkpoint)
            if home is not None:
                self.store.refuse("checkHome", home)
            self.harness.reactor.advance(0.25)
            self.harness.settle()
            self.assertEqual(self.failures, [self.gone])

    def test_doubt(self) -> None:
        """A file system that cannot tell is said once, and ends nothing."""
        self.start()
        self.store.doubt = OSError(EIO, "Input/output error", "/h/memq")
        words = "It cannot be told whether the home is there: "
        why = "[Errno 5] Input/output error: '/h/memq'"
        self.assertEqual(self.events(5), [("warn", words + why)])
        self.store.doubt = None
        self.assertEqual(self.events(5), [("info", "The home is where it was")])
        self.assertEqual(self.failures, [])
        self.assertEqual(self.harness.connect().talk(put(b"q", b"a")), b"STORED\r\n")
