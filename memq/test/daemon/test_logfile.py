"""The log file: what a line looks like, where it goes, and that it goes on."""

from __future__ import annotations

import os
import re
from typing import Any

from twisted.logger import ILogObserver, Logger, LogLevel, LogPublisher, capturedLogs
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
        """A new file is given to the user that the server will run as.

        A file that is its owner's already is left alone: a sandbox may refuse that.
        """
        given: list[tuple[int, int]] = []
        self.patch(os, "fchown", lambda fd, uid, gid: given.append((uid, gid)))
        for name, owner in (("1", (5, 6)), ("1", (7, 8)), ("2", OWNER)):
            self.addCleanup(LogFile.open(self.path + name, owner).close)
        self.assertEqual(given, [(5, 6)])

    def test_cannotOpen(self) -> None:
        """A file that cannot be opened is named."""
        os.mkdir(self.path)
        error = self.assertRaises(StartError, LogFile.open, self.path, OWNER)
        self.assertEqual(str(error), f"--logfile {self.path}: Is a directory")

    def test_rotated(self) -> None:
        """After logrotate moved the file away, lines go to a new one.

        When that fails, they go on in the old one.
        """
        log = self.opened()
        log.write("old")
        os.rename(self.path, self.path + ".1")
        log.write("still old")
        os.mkdir(self.path)
        log.reopen("SIGHUP")
        log.write("and still")
        os.rmdir(self.path)
        log.reopen("SIGHUP")
        log.write("new")
        self.assertEqual(read(self.path + ".1"), "old\nstill old\nand still\n")
        self.assertEqual(read(self.path), "new\n")

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
    """Form of a line of the log."""

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

    def test_failure(self) -> None:
        """A failure's traceback follows, indented, with -vv or when it is a bug."""
        for verbosity, level, hasMore in (
            (0, LogLevel.critical, True),
            (1, LogLevel.error, False),
            (2, LogLevel.error, True),
        ):
            failure = Failure(ValueError("so\nit is"))
            self.lines(verbosity)[0].failure("It broke", failure, level=level)
            first, *rest = read(self.path).splitlines()
            self.assertTrue(first.endswith("It broke ValueError: so\\nit is"), first)
            self.assertEqual(bool(rest), hasMore)
            self.assertEqual([row for row in rest if not row.startswith("\t")], [])
            os.unlink(self.path)


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
        """An event that has none is information."""
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
            log = LogFile(os.dup(self.file.descriptor), journal=stream)
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
        return os.readlink(f"/proc/self/fd/{log.descriptor}")

    def test_twistds(self) -> None:
        """Outside of twistd, and with --syslog or --logger, it is somebody else's.

        A daemon has no standard output, and twistd says so.
        """
        self.assertIsNone(chooseLog({}, True, OWNER))
        self.assertIsNone(self.chosen(syslog=1))
        self.assertIsNone(self.chosen(True, logger=print))
        self.assertIsNone(self.chosen(logfile="-"))

    def test_target(self) -> None:
        """A file is opened, with -n or not; a daemon has twistd.log by itself.

        With -n, the log goes to standard output, by itself and with -.
        """
        self.addCleanup(os.unlink, "twistd.log")
        output = os.readlink("/proc/self/fd/1")
        for nodaemon, logfile, target in (
            (0, self.path, self.path),
            (1, self.path, self.path),
            (0, None, os.path.abspath("twistd.log")),
            (1, None, output),
            (1, "-", output),
        ):
            log = self.chosen(nodaemon=nodaemon, logfile=logfile)
            self.assertEqual(self.target(log), target)

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

    def test_standardError(self) -> None:
        """--log-stderr keeps a copy, for a daemon's own is /dev/null."""
        log = self.chosen(True, logfile=self.path)
        self.assertEqual(self.target(log), os.readlink("/proc/self/fd/2"))
        assert log is not None
        self.assertGreater(log.descriptor, 2)
