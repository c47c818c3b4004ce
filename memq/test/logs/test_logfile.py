"""The log file: what a line looks like, where it goes, and that it goes on."""

from __future__ import annotations

import os
from errno import ENOSPC, EPIPE
from typing import Any

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from memq.errors import StartError
from memq.logs.logfile import LogFile, chooseLog

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
        self.assertEqual(log.write("line"), "No space left on device")

    def test_torn(self) -> None:
        """Of a line that the disk has no room for, nothing is left."""
        log = self.opened()
        self.assertEqual(log.write("one"), "")
        write, left = os.write, [5]

        def writeSome(descriptor: int, data: bytes) -> int:
            if not left[0]:
                raise OSError(ENOSPC, os.strerror(ENOSPC))
            done = write(descriptor, data[: left[0]])
            left[0] -= done
            return done

        self.patch(os, "write", writeSome)
        self.assertEqual(log.write("another"), os.strerror(ENOSPC))
        left[0] = 100
        log.write("two")
        self.assertEqual(read(self.path), "one\ntwo\n")

    def test_tornPipe(self) -> None:
        """What broke off in a pipe stays there."""
        reader, writer = os.pipe()
        log = LogFile(writer)
        write = os.write
        parts = iter([3])

        def writeSome(descriptor: int, data: bytes) -> int:
            for size in parts:
                return write(descriptor, data[:size])
            raise OSError(EPIPE, os.strerror(EPIPE))

        self.patch(os, "write", writeSome)
        log.write("line")
        log.close()
        with open(reader) as file:
            self.assertEqual(file.read(), "lin")


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
