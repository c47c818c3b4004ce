"""Recent lines: the last ones of the log, in memory, for whoever looks at them.

Each has a number, so that who looks again sees what is new, and what was lost.  A line
is cut at LENGTH characters, has none that does not print, and no traceback.  Lines that
only -vv shows are not kept.
"""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import NamedTuple

from twisted.logger import ILogObserver, LogEvent, LogLevel
from zope.interface import implementer

from memq.display import shownText
from memq.logs.lines import formatLine

#: Lines that are kept, and characters of each.
LINES = 200
LENGTH = 1000


class Line(NamedTuple):
    """A line.

    :ivar number: 1 for the first one since the start.
    :ivar at: seconds since 1970-01-01 UTC.
    :ivar level: debug, info, warn, error or critical.
    """

    number: int
    at: float
    level: str
    text: str


def _textOf(event: LogEvent, level: str) -> str:
    """Return the text of an event, in one line."""
    line = event.get("line")
    if type(line) is str and event.get("log_format") == "{line}":
        # As the audit's are, of which there may be ten thousand a second.
        return f"[{event.get('log_namespace')}#{level}] {shownText(line)}"
    return formatLine(event, tracebacks=False, timestamp=False).partition("\n")[0]


@implementer(ILogObserver)
class RecentLines:
    """Keep them; events may come from any thread.

    :ivar last: the number of the last line.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.last = 0
        self._lines: deque[Line] = deque(maxlen=LINES)
        self._lock = Lock()

    def __call__(self, event: LogEvent) -> None:
        """Keep an event."""
        level = event.get("log_level") or LogLevel.info
        if level is LogLevel.debug:
            return
        text = _textOf(event, level.name)
        if len(text) > LENGTH:
            text = text[:LENGTH] + "..."
        with self._lock:
            self.last += 1
            line = Line(self.last, event.get("log_time") or 0.0, level.name, text)
            self._lines.append(line)

    def since(self, number: int) -> list[Line]:
        """Return the lines behind that of a number; the first ones may be gone."""
        with self._lock:
            return [line for line in self._lines if line.number > number]
