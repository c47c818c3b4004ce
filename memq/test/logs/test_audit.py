"""The audit: what a line says, where it goes, and a file that cannot be written."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from memq.logs.audit import Actor, Audit, Target
from memq.logs.lines import LineObserver
from memq.logs.logfile import LogFile
from memq.test.logs.test_logfile import LogTestCase, read

if TYPE_CHECKING:
    from twisted.logger import LogEvent

WHO = Actor("127.0.0.1:4000", "text")


class AuditTests(SynchronousTestCase):
    """What a line says."""

    def setUp(self) -> None:
        """Collect the events."""
        self.events: list[LogEvent] = []
        self.audit = Audit(Clock().seconds, log=self.events.append)

    def line(self, *what: Any, **more: Any) -> str:
        """Note something; return its line."""
        self.audit.note(*what, **more)
        return formatEvent(self.events.pop())

    def test_interface(self) -> None:
        """It observes its own logger."""
        self.assertTrue(verifyObject(ILogObserver, self.audit))

    def test_line(self) -> None:
        """A line says who, from where, by which way, what, to which queue, the result.

        Nothing that a client sends can break it, or drive a terminal.
        """
        self.assertEqual(
            self.line(WHO, "delete", b"jobs", "DELETED"),
            "127.0.0.1:4000 (text) delete jobs: DELETED",
        )
        self.assertEqual(
            self.line(WHO._replace(user="ann"), "reload", None, "OK"),
            "127.0.0.1:4000 (text, ann) reload: OK",
        )
        self.assertEqual(
            self.line(WHO, "move", b"\xe9 \n", "MOVED 2", to=b"\x1b", max=2, key=None),
            '127.0.0.1:4000 (text) move "\\xe9 \\n" to=\\x1b max=2: MOVED 2',
        )

    def test_event(self) -> None:
        """The log gets each part under its name, too."""
        self.audit.note(WHO, "move", b"a", "MOVED 0", error="why", ms=1.5, to=b"b")
        (event,) = self.events
        parts = ("peer", "way", "user", "queue", "command", "result", "error", "ms")
        self.assertEqual(
            [event[part] for part in parts],
            ["127.0.0.1:4000", "text", None, b"a", "move", "MOVED 0", "why", 1.5],
        )
        self.assertEqual(event["more"], {"to": b"b"})

    def test_everywhere(self) -> None:
        """By itself it is in the log of all."""
        with capturedLogs() as events:
            Audit(Clock().seconds).note(WHO, "pause", b"q", "OK")
        self.assertEqual([event["command"] for event in events], ["pause"])


class AuditFileTests(LogTestCase):
    """The file of the audit."""

    def audit(self, file: LogFile) -> Audit:
        """Return one that writes to a file."""
        self.clock = Clock()
        target = Target("PATH", LineObserver(file, 0, isJSON=True).write)
        return Audit(self.clock.seconds, target)

    def test_both(self) -> None:
        """Each line is in the file, and in the log."""
        audit = self.audit(self.opened())
        with capturedLogs() as events:
            audit.note(WHO, "delete", b"\xff", "DELETED")
        self.assertEqual(len(events), 1)
        (line,) = read(self.path).splitlines()
        self.assertEqual(json.loads(line)["queue"], "hex:ff")
        self.assertEqual(json.loads(line)["source"], "audit")

    def test_full(self) -> None:
        """A file that cannot be written is told of at most once a minute."""
        file = LogFile(os.open("/dev/full", os.O_WRONLY))
        self.addCleanup(file.close)
        audit = self.audit(file)
        with capturedLogs() as events:
            for _ in range(3):
                audit.note(WHO, "delete", b"q", "DELETED")
            self.clock.advance(60)
            audit.note(WHO, "delete", b"q", "DELETED")
        lost = [formatEvent(each) for each in events if "command" not in each]
        self.assertEqual(
            lost,
            [
                f"--audit-log PATH: {count} lines are in this log only: No space left "
                "on device"
                for count in (1, 3)
            ],
        )
        self.assertEqual(audit.lost, 4)
        self.assertEqual(len(events), 6)

    def test_again(self) -> None:
        """When it can be written again, the log says how much is missing."""
        file = self.opened()
        audit = self.audit(file)
        full = os.open("/dev/full", os.O_WRONLY)
        self.addCleanup(os.close, full)
        file.descriptor, whole = full, file.descriptor
        with capturedLogs():
            for _ in range(3):
                audit.note(WHO, "delete", b"q", "DELETED")
        file.descriptor = whole
        with capturedLogs() as events:
            for _ in range(2):
                audit.note(WHO, "delete", b"q", "DELETED")
        lines = [formatEvent(each) for each in events if "command" not in each]
        expected = "--audit-log PATH is written again; 3 lines are missing in it"
        self.assertEqual(lines, [expected])
        self.assertEqual(len(read(self.path).splitlines()), 2)
