"""Tests for memq.daemon.logfile."""

from __future__ import annotations

import os
import re
from typing import Any

from twisted.logger import (
    ILogObserver,
    Logger,
    LogLevel,
    LogPublisher,
    capturedLogs,
)
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from memq.daemon.logfile import LineObserver, LogFile, chooseLog
from memq.errors import StartError

OWNER = (os.geteuid(), os.getegid())


def read(path: str) -> str:
    """Return what is in a file."""
    with open(path) as file:
        return file.read()


class LogTestCase(SynchronousTestCase):
    """A log file of the test's own."""

    def setUp(self) -> None:
        """Name it."""
        self.path = os.path.abspath(self.mktemp())

    def opened(self) -> LogFile:
        """Return the log file, closed when the test is over."""
        log = LogFile.open(self.path, OWNER)
        self.addCleanup(log.close)
        return log


class LogFileTests(LogTestCase):
    """A file that can be opened again."""

    def test_appended(self) -> None:
        """Lines are added to what is there."""
        for line in ("one", "two"):
            self.opened().write(line)
        self.assertEqual(read(self.path), "one\ntwo\n")

    def test_anyText(self) -> None:
        """Text that is no UTF-8 is written in escapes."""
        self.opened().write("队列 \udcff")
        with open(self.path, encoding="utf-8") as file:
            self.assertEqual(file.read(), "队列 \\udcff\n")

    def test_private(self) -> None:
        """A new file is not for everybody to read; bodies may be in it."""
        self.opened()
        self.assertEqual(os.stat(self.path).st_mode & 0o007, 0)

    def test_owner(self) -> None:
        """A new file belongs to the user that the server will run as."""
        given: list[tuple[int, int]] = []
        self.patch(os, "fchown", lambda fd, uid, gid: given.append((uid, gid)))
        for owner in ((5, 6), (7, 8)):
            self.addCleanup(LogFile.open(self.path, owner).close)
        self.assertEqual(given, [(5, 6)])

    def test_own(self) -> None:
        """One that is its owner's already is left alone: a sandbox may refuse that."""
        given: list[int] = []
        self.patch(os, "fchown", lambda fd, uid, gid: given.append(fd))
        owner = os.geteuid(), os.getegid()
        self.addCleanup(LogFile.open(self.path, owner).close)
        self.assertEqual(given, [])

    def test_cannotOpen(self) -> None:
        """A file that cannot be opened is named."""
        os.mkdir(self.path)
        error = self.assertRaises(StartError, LogFile.open, self.path, OWNER)
        self.assertEqual(str(error), f"--logfile {self.path}: Is a directory")

    def test_rotated(self) -> None:
        """After logrotate moved the file away, lines go to a new one."""
        log = self.opened()
        log.write("old")
        os.rename(self.path, self.path + ".1")
        log.write("still old")
        log.reopen("SIGHUP")
        log.write("new")
        self.assertEqual(read(self.path + ".1"), "old\nstill old\n")
        self.assertEqual(read(self.path), "new\n")

    def test_cannotReopen(self) -> None:
        """When that fails, they go on in the old one."""
        log = self.opened()
        os.rename(self.path, self.path + ".1")
        os.mkdir(self.path)
        log.reopen("SIGHUP")
        log.write("more")
        self.assertEqual(read(self.path + ".1"), "more\n")

    def test_nothingToReopen(self) -> None:
        """A log without a name stays as it is."""
        reader, writer = os.pipe()
        log = LogFile(writer)
        log.reopen("SIGHUP")
        log.write("line")
        log.close()
        with open(reader) as file:
            self.assertEqual(file.read(), "line\n")

    def test_moved(self) -> None:
        """It is known when the path leads elsewhere, or nowhere."""
        log = self.opened()
        self.assertFalse(log.isMoved())
        os.rename(self.path, self.path + ".1")
        self.assertTrue(log.isMoved())
        log.reopen("SIGHUP")
        self.assertFalse(log.isMoved())
        os.rename(self.path + ".1", self.path)
        self.assertTrue(log.isMoved())
        log = LogFile(os.dup(2))
        self.addCleanup(log.close)
        self.assertFalse(log.isMoved())

    def test_reopenIsLogged(self) -> None:
        """Whatever comes of it is in the log, with what asked for it."""
        log = self.opened()
        with capturedLogs() as events:
            log.reopen("one")
            os.unlink(self.path)
            os.mkdir(self.path)
            log.reopen("two")
            LogFile(1).reopen("three")
        self.assertEqual([event["why"] for event in events], ["one", "two", "three"])

    def test_short(self) -> None:
        """A line that the system takes in pieces is written whole."""
        log = self.opened()
        write = os.write
        self.patch(os, "write", lambda fd, data: write(fd, data[:3]))
        log.write("a longer line")
        self.assertEqual(read(self.path), "a longer line\n")

    def test_fullDisk(self) -> None:
        """A line that cannot be written is lost, and nothing else."""
        log = LogFile(os.open("/dev/full", os.O_WRONLY))
        self.addCleanup(log.close)
        log.write("line")


class LineTests(LogTestCase):
    """What a line of the log looks like."""

    def lines(self, verbosity: int = 0) -> tuple[Logger, LineObserver]:
        """Return a logger that writes to the file, and its observer."""
        observer = LineObserver(self.opened(), verbosity)
        return Logger("memq.some", observer=LogPublisher(observer)), observer

    def test_interface(self) -> None:
        """It is what twistd takes as an observer."""
        self.assertTrue(verifyObject(ILogObserver, self.lines()[1]))

    def test_line(self) -> None:
        """Time, origin, level, text."""
        self.lines()[0].info("{what} happened", what="It")
        self.assertTrue(
            re.fullmatch(
                r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} "
                r"\[memq\.some#info\] It happened\n",
                read(self.path),
            )
        )

    def test_oneLine(self) -> None:
        """Nothing that a client sends can break a line, or drive a terminal."""
        self.lines()[0].info("{sent}", sent="a\r\nb\tc\x1b[2Jd\x00\x9be")
        self.assertTrue(read(self.path).endswith("a\\r\\nb\\tc\\x1b[2Jd\\x00\\x9be\n"))

    def test_debug(self) -> None:
        """Debug events are for -vv."""
        self.lines(1)[0].debug("hidden")
        self.lines(2)[0].debug("shown")
        self.assertEqual(read(self.path).count("\n"), 1)

    def test_critical(self) -> None:
        """A critical failure is a bug: its traceback follows, indented."""
        self.lines()[0].failure("It broke", Failure(ValueError("so\nit is")))
        first, *rest = read(self.path).splitlines()
        self.assertTrue(first.endswith("It broke ValueError: so\\nit is"), first)
        self.assertTrue(rest)
        self.assertEqual([row for row in rest if not row.startswith("\t")], [])

    def test_failure(self) -> None:
        """Another failure shows its traceback with -vv."""
        for verbosity in (1, 2):
            log = self.lines(verbosity)[0]
            log.failure("It broke", Failure(ValueError("so")), level=LogLevel.error)
        first, second, *rest = read(self.path).splitlines()
        self.assertTrue(first.endswith("It broke ValueError: so"), first)
        self.assertTrue(second.endswith("It broke ValueError: so"), second)
        self.assertTrue(rest)


class JournalTests(LogTestCase):
    """Lines for systemd's journal."""

    def setUp(self) -> None:
        """Let the journal read what is written to a file."""
        LogTestCase.setUp(self)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT)
        status = os.fstat(descriptor)
        self.stream = f"{status.st_dev}:{status.st_ino}"
        self.file = LogFile(descriptor, journal=self.stream)
        self.addCleanup(self.file.close)

    def logger(self) -> Logger:
        """Return a logger that shows everything."""
        observer = LogPublisher(LineObserver(self.file, 2))
        return Logger("memq.some", observer=observer)

    def test_level(self) -> None:
        """Each line begins with the level as syslog numbers it, and has no time."""
        log = self.logger()
        for level in LogLevel.iterconstants():
            log.emit(level, "It happened")
        self.assertEqual(
            sorted(read(self.path).splitlines()),
            [
                "<2>[memq.some#critical] It happened",
                "<3>[memq.some#error] It happened",
                "<4>[memq.some#warn] It happened",
                "<6>[memq.some#info] It happened",
                "<7>[memq.some#debug] It happened",
            ],
        )

    def test_noLevel(self) -> None:
        """What has none is information."""
        LineObserver(self.file, 0)({"log_format": "so", "log_time": 0.0})
        self.assertEqual(read(self.path), "<6>[-#-] so\n")

    def test_traceback(self) -> None:
        """So does each line of a traceback, which the journal keeps as an entry."""
        self.logger().failure("It broke", Failure(ValueError("so")))
        first, *rest = read(self.path).splitlines()
        self.assertEqual(first, "<2>[memq.some#critical] It broke ValueError: so")
        self.assertTrue(rest)
        self.assertEqual([row for row in rest if not row.startswith("<2>\t")], [])

    def test_otherStream(self) -> None:
        """It is only for the descriptor that the journal reads."""
        for stream in (None, "", "1:2", self.stream + "0"):
            log = LogFile(os.dup(self.file._descriptor), journal=stream)
            self.addCleanup(log.close)
            self.assertFalse(log.isJournal)


class ChoiceTests(LogTestCase):
    """Whose log it is, by twistd's own options."""

    def chosen(self, toStandardError: bool = False, **options: Any) -> LogFile | None:
        """Return the log for some options of twistd."""
        twistd = {"nodaemon": 0, "logfile": None, "syslog": 0, "logger": None}
        log = chooseLog(twistd | options, toStandardError, OWNER)
        if log is not None:
            self.addCleanup(log.close)
        return log

    def target(self, log: LogFile | None) -> str:
        """Return what file a log writes to."""
        assert log is not None
        return os.readlink(f"/proc/self/fd/{log._descriptor}")

    def test_notTwistd(self) -> None:
        """Outside of twistd, logging is somebody else's."""
        self.assertIsNone(chooseLog({}, True, OWNER))

    def test_twistds(self) -> None:
        """--syslog and --logger are twistd's."""
        self.assertIsNone(self.chosen(syslog=1))
        self.assertIsNone(self.chosen(True, logger=print))

    def test_file(self) -> None:
        """--logfile is opened, whether in the background or not."""
        for nodaemon in (0, 1):
            log = self.chosen(logfile=self.path, nodaemon=nodaemon)
            self.assertEqual(self.target(log), self.path)

    def test_daemon(self) -> None:
        """A daemon logs to twistd.log by itself."""
        self.addCleanup(os.unlink, "twistd.log")
        self.assertEqual(self.target(self.chosen()), os.path.abspath("twistd.log"))

    def test_standardOutput(self) -> None:
        """With -n, the log goes to standard output, by itself and with -."""
        output = os.readlink("/proc/self/fd/1")
        for logfile in (None, "-"):
            log = self.chosen(nodaemon=1, logfile=logfile)
            self.assertEqual(self.target(log), output)

    def test_journal(self) -> None:
        """Either output may be the journal's; a file never is."""
        for number, stderr, foreground, logfile in (
            (1, False, 1, None),
            (1, False, 1, "-"),
            (2, True, 0, None),
        ):
            status = os.fstat(number)
            twistd = {"nodaemon": foreground, "logfile": logfile}
            log = chooseLog(
                twistd | {"syslog": 0, "logger": None},
                stderr,
                OWNER,
                f"{status.st_dev}:{status.st_ino}",
            )
            assert log is not None
            self.addCleanup(log.close)
            self.assertTrue(log.isJournal)

    def test_daemonWithoutOutput(self) -> None:
        """A daemon has none, and twistd says so."""
        self.assertIsNone(self.chosen(logfile="-"))

    def test_standardError(self) -> None:
        """--log-stderr keeps a copy, for a daemon's own is /dev/null."""
        log = self.chosen(True, logfile=self.path)
        self.assertEqual(self.target(log), os.readlink("/proc/self/fd/2"))
        assert log is not None
        self.assertGreater(log._descriptor, 2)
