"""The last lines of the log."""

from __future__ import annotations

from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from memq.logs.recent import LENGTH, LINES, RecentLines


class RecentLinesTests(SynchronousTestCase):
    """Lines in memory."""

    def setUp(self) -> None:
        """Have none."""
        self.recent = RecentLines()
        self.log = Logger("test", observer=self.recent)

    def texts(self, since: int = 0) -> list[str]:
        """Return the texts of those behind a number."""
        return [line.text for line in self.recent.since(since)]

    def test_kept(self) -> None:
        """A line has a number, a time, a level and its text."""
        self.assertEqual(self.recent.since(0), [])
        self.log.info("one {n}", n=1)
        self.log.error("two")
        first, second = self.recent.since(0)
        self.assertEqual((first.number, first.level), (1, "info"))
        self.assertEqual(first.text, "[test#info] one 1")
        self.assertEqual((second.number, second.level), (2, "error"))
        self.assertGreater(second.at, 0)
        self.assertEqual(self.texts(1), ["[test#error] two"])
        self.assertEqual(self.texts(2), [])

    def test_last(self) -> None:
        """Only the last ones are kept, and each is cut."""
        for number in range(LINES + 5):
            self.log.info(f"{number} " + "x" * 2 * LENGTH)
        lines = self.recent.since(0)
        self.assertEqual(len(lines), LINES)
        self.assertEqual(lines[0].number, 6)
        self.assertEqual(self.recent.last, LINES + 5)
        self.assertEqual(len(lines[0].text), LENGTH + 3)

    def test_debug(self) -> None:
        """What only -vv shows is not kept."""
        self.log.debug("secret")
        self.assertEqual(self.texts(), [])

    def test_failure(self) -> None:
        """A failure is its type and its message, in one line, however bad."""
        try:
            raise ValueError("a\nb")
        except ValueError:
            self.log.failure("oh")
        self.assertEqual(self.texts(), ["[test#critical] oh ValueError: a\\nb"])

    def test_line(self) -> None:
        """An event that is a line is told as any other."""
        for text in ("flush q", "a\nb"):
            told = []
            for form in ("{line}", " {line}"):
                self.log.info(form, line=text)
                told.append(self.texts(self.recent.last - 1)[0].replace("  ", " "))
            self.assertEqual(*told)
        self.log.info("{line}", line=5)
        self.assertEqual(self.texts(self.recent.last - 1), ["[test#info] 5"])

    def test_anything(self) -> None:
        """An event of somebody else, without a level, is information."""
        self.recent({"log_format": "x"})
        (line,) = self.recent.since(0)
        self.assertEqual((line.at, line.level), (0.0, "info"))
