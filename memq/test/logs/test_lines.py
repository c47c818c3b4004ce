"""Lines of the log: what they look like, as text, as JSON, and in the journal."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from memq.logs.lines import KEYS, LineObserver
from memq.logs.logfile import LogFile
from memq.test.logs.test_logfile import LogTestCase, read
from testkit.servers import ROOT


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

    def test_once(self) -> None:
        """A line that two files have is made once; each form has its own."""
        event: LogEvent = {"log_format": "so", "log_time": 0.0}
        for isJSON in (False, True, False):
            LineObserver(self.opened(), 0, isJSON)(event)
            event["log_format"] = "not so"
        text, other, again = read(self.path).splitlines()
        self.assertEqual(again, text)
        self.assertEqual(json.loads(other)["event"], "not so")

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


class JSONTests(LogTestCase):
    """Lines of JSON."""

    def test_keys(self) -> None:
        """The pages name the keys."""
        told = [f"`{key}`" for key in KEYS]
        manual = " ".join(read(os.path.join(ROOT, "docs/man/memq.8.md")).split())
        self.assertIn(f"{', '.join(told[:-1])} and {told[-1]}, always all", manual)
        page = read(os.path.join(ROOT, "docs/operation.md"))
        self.assertEqual([key for key in told if key not in page], [])

    def written(self, verbosity: int, level: LogLevel, said: str, **more: Any) -> Any:
        """Return what stands in the file of an event, with its keys in order."""
        observer = LineObserver(self.opened(), verbosity, isJSON=True)
        log = Logger("memq.some", observer=LogPublisher(observer))
        if "failure" in more:
            log.failure(said, level=level, **more)
        else:
            log.emit(level, said, **more)
        (line,) = read(self.path).splitlines()
        os.unlink(self.path)
        self.assertTrue(line.isprintable())
        found = json.loads(line)
        self.assertEqual(tuple(found), KEYS)
        return found

    def test_plain(self) -> None:
        """An event has time, level, source and text; nothing else is known of it."""
        found = self.written(0, LogLevel.warn, "It {what}", what="happened")
        when = datetime.fromisoformat(found.pop("ts"))
        self.assertLess(abs(datetime.now(UTC) - when), timedelta(seconds=60))
        said = {name: value for name, value in found.items() if value is not None}
        self.assertEqual(
            said, {"level": "warn", "source": "memq.some", "event": "It happened"}
        )

    def test_parts(self) -> None:
        """Parts that an event has have keys of their own; names are as in metrics."""
        found = self.written(
            *(0, LogLevel.info, "so"),
            peer="::1:1",
            queue=b"\xe9",
            command="move",
            user=None,
            error=ValueError("no"),
            ms=1.23456,
            way="http",
            result="OK",
            more={"to": b"hex:a", "count": 3, "by": "x"},
        )
        self.assertEqual(found["peer"], "::1:1")
        self.assertEqual(found["queue"], "hex:e9")
        self.assertEqual(found["error"], "no")
        self.assertEqual(found["ms"], 1.235)
        more = {"to": "hex:6865783a61", "count": 3, "by": "x"}
        self.assertEqual(found["more"], more)

    def test_failure(self) -> None:
        """A failure is one line; its traceback is there where text has one."""
        for verbosity, level, isThere in (
            (0, LogLevel.critical, True),
            (1, LogLevel.error, False),
            (2, LogLevel.error, True),
        ):
            failure = Failure(ValueError("so\nit is"))
            found = self.written(verbosity, level, "It broke", failure=failure)
            self.assertEqual(found["error"], "ValueError: so\nit is")
            self.assertEqual(found["traceback"] is not None, isThere)

    def test_anyText(self) -> None:
        """Whatever is in a text, it can be had back, and does not break the line."""
        for text in (
            "队列",
            "a\r\nb\x00\x1b\x7f\x9b",
            "\u2028\u2029",
            '"\\{',
            "\udcff",
        ):
            found = self.written(0, LogLevel.info, "{text}", text=text, queue=text)
            self.assertEqual((found["event"], found["queue"]), (text, text))

    def test_twistds(self) -> None:
        """What twistd says by itself is such a line, too."""
        observer = LineObserver(self.opened(), 0, isJSON=True)
        observer({"log_format": "so", "log_system": "-"})
        found = json.loads(read(self.path))
        self.assertEqual((found["event"], found["source"]), ("so", "-"))
        self.assertEqual((found["level"], found["ts"][:4]), ("info", "1970"))

    def test_journal(self) -> None:
        """In the journal the level stands before the object."""
        file = self.opened()
        file.isJournal = True
        LineObserver(file, 0, isJSON=True)({"log_format": "so"})
        said = read(self.path)
        self.assertTrue(said.startswith('<6>{"ts"'), said)
