"""The log, as it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from twisted.web.server import NOT_DONE_YET

from memq.logs.recent import LINES, RecentLines
from memq.test.web.live.base import LiveTestCase
from memq.web.live.loglines import STEP, LogLines
from memq.web.live.viewers import KEEP

if TYPE_CHECKING:
    from memq.test.web.live.base import Watcher


class LogLinesTests(LiveTestCase):
    """Lines of the log."""

    def setUp(self) -> None:
        """Have an empty log."""
        super().setUp()
        self.recent = RecentLines()
        self.logger = Logger("test", observer=self.recent)
        self.lines = LogLines(self.harness.reactor, self.viewers, self.recent)

    def join(self, request: Any) -> Any:
        """Tell whoever asks."""
        self.lines.join(request)
        return NOT_DONE_YET

    def log(self, *texts: str) -> None:
        """Log lines."""
        for text in texts:
            self.logger.warn("{text}", text=text)

    def texts(self, watcher: Watcher) -> list[str]:
        """Return the lines that came, and how many were lost."""
        told = []
        for name, data in watcher.read():
            if name == "line":
                self.assertEqual(sorted(data), ["at", "level", "number", "text"])
                self.assertTrue(data["text"].startswith("[test#warn] "))
                told.append(data["text"][12:])
            else:
                self.assertEqual(name, "lost")
                told.append(f"{data['lines']} lost")
        return told

    def test_comes(self) -> None:
        """What is there comes at once, and what is logged a moment later."""
        self.log("a", "b")
        watcher = self.watcher()
        self.assertEqual(self.texts(watcher), ["a", "b"])
        self.log("c", "d")
        self.assertEqual(self.texts(watcher), [])
        self.pass_(STEP)
        self.assertEqual(self.texts(watcher), ["c", "d"])
        self.pass_(STEP)
        self.assertEqual(self.texts(watcher), [])

    def test_level(self) -> None:
        """A line says when it was, its level and its number."""
        self.log("a")
        ((name, data),) = self.watcher().read()
        self.assertEqual((name, data["number"], data["level"]), ("line", 1, "warn"))
        self.assertGreater(data["at"], 1.6e9)

    def test_anyBytes(self) -> None:
        """No text ends an event, or begins another one."""
        hostile = "a\n\nevent: tick\ndata: {}\r\n\u2028\0\x1b[31m 队列 \udcff <img>"
        self.log(hostile)
        (told,) = self.texts(self.watcher())
        self.assertIn("<img>", told)
        self.assertIn("队列", told)
        self.assertNotIn("\n", told)
        self.assertNotIn("\x1b", told)

    def test_last(self) -> None:
        """Only the last lines are there; those before are no loss."""
        self.log(*[str(number) for number in range(LINES + 50)])
        expected = [str(number) for number in range(50, LINES + 50)]
        self.assertEqual(self.texts(self.watcher()), expected)

    def test_lost(self) -> None:
        """Who does not read is told how many lines it has missed."""
        watcher = self.watcher()
        watcher.stopReading()
        self.log(*[str(number) for number in range(LINES + 50)])
        self.pass_(STEP)
        self.assertEqual(self.texts(watcher), [])
        watcher.startReading()
        self.pass_(STEP)
        told = self.texts(watcher)
        self.assertEqual(told[:2], ["50 lost", "50"])
        self.assertEqual(len(told), LINES + 1)

    def test_full(self) -> None:
        """Who has enough in between gets the rest later."""
        self.log(*[str(number) for number in range(LINES)])
        watcher = self.watcher()
        self.texts(watcher)
        self.log(*"abc")
        watcher.stopReading()
        self.pass_(STEP)
        watcher.startReading()
        self.pass_(STEP)
        self.assertEqual(self.texts(watcher), ["a", "b", "c"])

    def test_gone(self) -> None:
        """Nothing is looked at once all are gone."""
        first, second = self.watcher(), self.watcher()
        first.visitor.leave()
        self.pass_(STEP)
        second.visitor.leave()
        self.pass_(KEEP)
        self.assertEqual(self.harness.reactor.getDelayedCalls(), [])

    def test_stop(self) -> None:
        """No call is left at the stop."""
        self.watcher()
        for _ in range(2):
            self.lines.stop()
            self.viewers.stop()
        self.assertEqual(self.harness.reactor.getDelayedCalls(), [])
