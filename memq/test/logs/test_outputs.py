"""Outputs: which line goes to which file, and which of them are opened again."""

from __future__ import annotations

import json
import os

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from memq.logs.audit import Actor
from memq.logs.logfile import LogFile
from memq.logs.outputs import Outputs
from memq.test.logs.test_logfile import OWNER, LogTestCase, read

WHO = Actor("127.0.0.1:4000", "text")


class OutputTests(LogTestCase):
    """A log and an audit."""

    def setUp(self) -> None:
        """Name the file of the audit, too."""
        LogTestCase.setUp(self)
        self.auditPath = self.path + ".audit"
        self.audit = LogFile.open(self.auditPath, OWNER, "--audit-log")
        self.addCleanup(self.audit.close)

    def test_format(self) -> None:
        """Both have one format."""
        for isJSON in (False, True):
            outputs = Outputs(self.opened(), self.audit, 0, isJSON)
            assert outputs.observer is not None
            outputs.observer({"log_format": "so"})
            outputs.audit(Clock().seconds).note(WHO, "reload", None, "OK")
        for path in (self.path, self.auditPath):
            first, second = read(path).splitlines()
            self.assertNotIn("{", first)
            self.assertIsInstance(json.loads(second), dict)
        self.assertIn("[audit#info] 127.0.0.1:4000 (text) reload: OK", first)

    def test_onlyLog(self) -> None:
        """Without a file of its own the audit is in the log."""
        with capturedLogs() as events:
            Outputs(None).audit(Clock().seconds).note(WHO, "reload", None, "OK")
        self.assertEqual([each["command"] for each in events], ["reload"])

    def test_reopen(self) -> None:
        """All that have a path are opened again."""
        both = Outputs(self.opened(), self.audit)
        self.assertFalse(both.areMoved)
        os.rename(self.auditPath, self.auditPath + ".1")
        self.assertTrue(both.areMoved)
        with capturedLogs() as events:
            both.reopen("HUP")
            Outputs(None).reopen("HUP")
        self.assertFalse(both.areMoved)
        self.assertFalse(Outputs(None).areMoved)
        self.assertEqual(
            [formatEvent(each) for each in events],
            [
                "HUP: opened the log file again",
                "HUP: opened the audit's file again",
                "HUP: the log is twistd's, there is nothing to open again",
            ],
        )

    def test_twistds(self) -> None:
        """Lines of twistd's log are no JSON, which is told."""
        with capturedLogs() as events:
            self.assertIsNone(Outputs(None, isJSON=True).observer)
            Outputs(None)
        self.assertEqual(len(events), 1)

    def test_name(self) -> None:
        """A file is named by its path; others have a number."""
        self.assertEqual(self.audit.name, self.auditPath)
        self.assertEqual(LogFile(2).name, "descriptor 2")
