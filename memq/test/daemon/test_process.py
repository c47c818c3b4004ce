"""The process: how it ends, what it holds, who it is, what it may use."""

from __future__ import annotations

import gc
import os
import resource
from errno import EMFILE
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from twisted.application.service import Application, MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import ILogObserver, LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from memq.daemon.pidfile import PidFile
from memq.daemon.process import (
    SPARE_FILES,
    ExitStatus,
    ProcessService,
    findOwner,
    forbidCoreFiles,
    isRoomForClient,
    raiseCoreLimit,
    raiseFileLimit,
    sparePermanent,
    useSteadyClock,
)
from memq.errors import StartError
from memq.storage.datadir.home import Home

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeReactor:
    """A reactor that runs, or not yet, and counts how often it was stopped."""

    def __init__(self, running: bool = True) -> None:
        self.running = running
        self.stops = 0
        self.waiting: list[Callable[[], object]] = []

    def callWhenRunning(self, call: Callable[[], object]) -> None:
        """Call now, or in ``run``."""
        if self.running:
            call()
        else:
            self.waiting.append(call)

    def run(self) -> None:
        """Begin to run."""
        self.running = True
        for call in self.waiting:
            call()

    def stop(self) -> None:
        """Stop, if that is new."""
        self.stops += 1
        if self.stops > 1:
            raise ReactorNotRunning


class EndingTests(SynchronousTestCase):
    """How the process ends."""

    def setUp(self) -> None:
        """Keep what would be done at exit."""
        self.reactor = FakeReactor()
        self.atExit: list[Callable[[], None]] = []
        self.statuses: list[int] = []
        self.ending = self.made(self.reactor)

    def made(self, reactor: FakeReactor) -> ExitStatus:
        """Return an ending that ends nothing."""
        return ExitStatus(reactor, self.atExit.append, self.statuses.append)

    def exit(self) -> None:
        """Exit as the interpreter does."""
        for call in self.atExit:
            call()

    def test_status(self) -> None:
        """Whatever ends it stops the reactor once; the first failure gives the status.

        Without one it is 0; one on the way out counts, too.
        """
        stop = partial(ExitStatus.stop, why="SIGTERM")
        first = partial(ExitStatus.fail, reason="first", status=3)
        second = partial(ExitStatus.fail, reason="second", status=4)
        last = partial(ExitStatus.fail, reason="the last flush")
        for calls, statuses in (
            ([stop], []),
            ([first, second], [3]),
            ([stop, last], [1]),
        ):
            self.setUp()
            for call in calls:
                call(self.ending)
            self.exit()
            self.assertEqual((self.reactor.stops, self.statuses), (1, statuses))

    def test_stopTwice(self) -> None:
        """A second signal changes nothing, and the log says so."""
        with capturedLogs() as events:
            self.ending.stop("SIGTERM")
            self.ending.stop("SIGINT")
        self.assertEqual(self.reactor.stops, 1)
        self.assertEqual(
            [formatEvent(event) for event in events],
            ["SIGTERM: the server stops", "SIGINT: the server is stopping already"],
        )

    def test_stopEarly(self) -> None:
        """A stop that comes before the reactor runs is not forgotten."""
        reactor = FakeReactor(running=False)
        self.made(reactor).stop("SIGTERM")
        self.assertEqual(reactor.stops, 0)
        reactor.run()
        self.assertEqual(reactor.stops, 1)

    def test_stoppedElsewhere(self) -> None:
        """Somebody else may have stopped the reactor."""
        self.reactor.stop()
        self.ending.stop("SIGTERM")
        self.assertEqual(self.reactor.stops, 2)

    def test_fail(self) -> None:
        """A failure is one critical line, a stop, and status 1 at exit."""
        with capturedLogs() as events:
            self.ending.fail("the disk {is} gone")
        self.assertEqual(
            [(e["log_level"], formatEvent(e)) for e in events],
            [(LogLevel.critical, "the disk {is} gone")],
        )
        self.assertEqual((self.reactor.stops, self.statuses), (1, []))
        self.exit()
        self.assertEqual(self.statuses, [1])

    def test_failTold(self) -> None:
        """The callback that is to know why it ends is told."""
        reasons: list[str] = []
        ending = ExitStatus(
            self.reactor, self.atExit.append, self.statuses.append, reasons.append
        )
        ending.stop("SIGTERM")
        ending.fail("the disk {is} gone")
        self.assertEqual(reasons, ["the disk {is} gone"])


class FakeSignals:
    """Signals that remember what was done with them."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.hold = partial(self.done.append, "held")
        self.install = partial(self.done.append, "installed")


class SlowService(Service):
    """A service that takes its time to stop."""

    def __init__(self) -> None:
        self.stopped: Deferred[None] = Deferred()

    def stopService(self) -> Deferred[None]:
        """Return what the test fires."""
        return self.stopped


class ProcessServiceTests(SynchronousTestCase):
    """The outermost service."""

    def setUp(self) -> None:
        """Make one whose reactor does not run yet."""
        self.reactor = FakeReactor(running=False)
        self.signals = cast("Any", FakeSignals())
        self.home = Home(self.mktemp())
        self.addCleanup(self.home.release)
        self.service = ProcessService(self.reactor, self.signals, self.home)

    def test_log(self) -> None:
        """An application that it joins gets its log."""
        observer: Any = object()
        for given in (None, observer):
            application = Application("memq")
            service = ProcessService(self.reactor, self.signals, observer=given)
            service.setServiceParent(application)
            self.assertIs(application.getComponent(ILogObserver), given)

    def test_noApplication(self) -> None:
        """It can stand in another service as well."""
        observer: Any = print
        service = ProcessService(self.reactor, self.signals, observer=observer)
        parent = MultiService()
        service.setServiceParent(parent)
        self.assertEqual(list(parent), [service])

    def test_signals(self) -> None:
        """Signals are held back until the reactor has put in its own handlers."""
        self.service.startService()
        self.assertEqual(self.signals.done, ["held"])
        self.reactor.run()
        self.assertEqual(self.signals.done, ["held", "installed"])

    def test_pid(self) -> None:
        """The home knows the process that is left after the forks."""
        self.home.prepare()
        self.patch(os, "getpid", lambda: 7)
        self.service.startService()
        with open(os.path.join(self.home.directory, "lock")) as file:
            self.assertEqual(file.read(), "7\n")

    def test_home(self) -> None:
        """The home is held until everything inside has stopped."""
        slow = SlowService()
        slow.setServiceParent(self.service)
        self.home.prepare()
        self.service.startService()
        done = self.service.stopService()
        self.assertNoResult(done)
        other = Home(self.home.path)
        self.assertRaises(StartError, other.prepare)
        slow.stopped.callback(None)
        self.successResultOf(done)
        other.prepare()
        other.release()

    def test_pidFile(self) -> None:
        """The pid file is there from before the user changes until all has stopped."""
        path = os.path.abspath(self.mktemp())
        service = ProcessService(
            self.reactor, self.signals, self.home, pidFile=PidFile(path)
        )
        slow = SlowService()
        slow.setServiceParent(service)
        service.privilegedStartService()
        with open(path, encoding="ascii") as file:
            self.assertEqual(file.read(), f"{os.getpid()}\n")
        service.startService()
        done = service.stopService()
        self.assertTrue(os.path.exists(path))
        slow.stopped.callback(None)
        self.successResultOf(done)
        self.assertFalse(os.path.exists(path))

    def test_noPidFile(self) -> None:
        """A pid file that cannot be written, or removed, is a line, and no more."""
        path = os.path.abspath(self.mktemp()) + "/none/pid"
        file = PidFile(path)
        service = ProcessService(self.reactor, self.signals, pidFile=file)

        def readOnly() -> None:
            raise OSError(30, "Read-only file system")

        with capturedLogs() as events:
            service.privilegedStartService()
            service.startService()
            self.patch(file, "remove", readOnly)
            self.successResultOf(service.stopService())
        self.assertEqual(
            [formatEvent(event) for event in events],
            [
                f"--pidfile {path}: No such file or directory; the server goes without",
                f"--pidfile {path}: Read-only file system; it stays",
            ],
        )


class OwnerTests(SynchronousTestCase):
    """The user that the server will run as."""

    def be(self, uid: int) -> None:
        """Be some user."""
        self.patch(os, "geteuid", lambda: uid)
        self.patch(os, "getegid", lambda: uid)

    def test_owner(self) -> None:
        """--uid and --gid are taken as they are; --uid alone brings the user's group.

        Without them nobody changes, and only root can become somebody else.
        """
        for user, twistd, owner in (
            (0, {}, (0, 0)),
            (0, {"uid": None, "gid": None}, (0, 0)),
            (0, {"uid": 5, "gid": 6}, (5, 6)),
            (0, {"uid": None, "gid": 6}, (0, 6)),
            (0, {"uid": 0, "gid": None}, (0, 0)),
            (5, {"uid": 5, "gid": 5}, (5, 5)),
        ):
            self.be(user)
            self.assertEqual(findOwner(twistd), owner)

    def test_refused(self) -> None:
        """A user that does not exist has no group."""
        for user, twistd, why in (
            (0, {"uid": 2**31 - 7}, "2147483641: no such user; give --gid too"),
            (5, {"uid": 6, "gid": 5}, "6: only root can change to another user"),
        ):
            self.be(user)
            error = self.assertRaises(StartError, findOwner, twistd)
            self.assertEqual(str(error), f"--uid {why}")


class LimitTests(SynchronousTestCase):
    """Limits of the process."""

    def setUp(self) -> None:
        """Keep the test's own limits out of it."""
        self.limits = (0, 0)
        self.most = resource.RLIM_INFINITY
        self.patch(resource, "getrlimit", lambda which: self.limits)
        self.patch(resource, "setrlimit", self.setrlimit)

    def setrlimit(self, which: int, limits: tuple[int, int]) -> None:
        """Refuse hard limits above ``most``."""
        hard, unlimited = limits[1], resource.RLIM_INFINITY
        if self.most != unlimited and (hard == unlimited or hard > self.most):
            raise ValueError("not allowed to raise maximum limit")
        self.limits = limits

    def test_fileLimit(self) -> None:
        """A limit that is too low is raised to fit; root raises the hard one as well.

        A limit that is high enough stays.
        """
        unlimited = resource.RLIM_INFINITY
        for most, before, after in (
            (unlimited, (1294, unlimited), (1294, unlimited)),
            (unlimited, (5000, unlimited), (5000, unlimited)),
            (unlimited, (unlimited, unlimited), (unlimited, unlimited)),
            (2000, (1024, 2000), (1294, 2000)),
            (unlimited, (1024, unlimited), (1294, unlimited)),
            (1000000, (100, 200), (1294, 1294)),
        ):
            self.most, self.limits = most, before
            self.assertEqual(raiseFileLimit(1024), 1024)
            self.assertEqual(self.limits, after)

    def test_tooLow(self) -> None:
        """Where that is not allowed, there is room for fewer, and the log says so."""
        self.most = 600
        self.limits = (256, 600)
        with capturedLogs() as events:
            self.assertEqual(raiseFileLimit(1024), 330)
        self.assertEqual(self.limits, (600, 600))
        self.assertEqual(
            [formatEvent(event) for event in events],
            [
                "--max-connections 1024: this process may open 600 files, which is "
                "room for 330; raise its limit (ulimit -n, LimitNOFILE=)"
            ],
        )

    def test_roomForClient(self) -> None:
        """There is room for a client while enough descriptors stay free beside it."""
        lowest = os.dup(0)
        os.close(lowest)
        for soft, room in (
            (resource.RLIM_INFINITY, True),
            (lowest + SPARE_FILES + 1, True),
            (lowest + SPARE_FILES, False),
        ):
            self.limits = (soft, resource.RLIM_INFINITY)
            self.assertEqual(isRoomForClient(), room)

    def test_noRoomAtAll(self) -> None:
        """There is none when not one can be had."""

        def refuse(*arguments: object) -> int:
            raise OSError(EMFILE, "Too many open files")

        self.patch(os, "open", refuse)
        self.assertFalse(isRoomForClient())

    def test_sparePermanent(self) -> None:
        """Objects that are there now are out of the garbage collector's sight."""
        self.addCleanup(gc.unfreeze)
        sparePermanent()
        self.assertGreater(gc.get_freeze_count(), 10_000)

    def test_steadyClock(self) -> None:
        """The reactor goes by a clock that nobody sets."""
        reactor: Any = FakeReactor()
        useSteadyClock(reactor)
        before = monotonic()
        self.assertTrue(before <= reactor.seconds() <= monotonic())

    def test_core(self) -> None:
        """Core files may have any size, or else the most that is allowed."""
        unlimited = resource.RLIM_INFINITY
        for most, before, size, after in (
            (unlimited, 0, "any size", unlimited),
            (1000, 1000, "1000 bytes", 1000),
        ):
            self.most, self.limits = most, (0, before)
            with capturedLogs() as events:
                raiseCoreLimit()
            [line] = [formatEvent(event) for event in events]
            self.assertEqual(line, f"-r: a core file may have {size}")
            self.assertEqual(self.limits, (after, after))

    def test_noCore(self) -> None:
        """No core file is left, and the hard limit stays; it is said once."""
        self.most, self.limits = 1000, (500, 1000)
        with capturedLogs() as events:
            forbidCoreFiles()
            forbidCoreFiles()
        self.assertEqual(self.limits, (0, 1000))
        [line] = [str(formatEvent(event)) for event in events]
        self.assertIn("No core file is left", line)
