"""Lines of the log: an event each, as text or as JSON.

A line of text holds the time, where it comes from, its level, and what happened.  A
failure adds its type and message to the line; its traceback follows, indented, when it
is critical (then it is a bug) or with -vv.

A line of JSON is one object with the keys KEYS, always all of them, null where there is
nothing to say.  Events have what stands there under the same names.

systemd's journal notes the time by itself.  So lines of text that go there have none,
and all begin with the level in the form that it reads, sd-daemon(3).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from twisted.logger import ILogObserver, LogEvent, LogLevel, eventAsText, formatEvent
from zope.interface import implementer

from memq.display import queueLabel, shownText

if TYPE_CHECKING:
    from memq.logs.logfile import LogFile

#: The keys of a line of JSON, in their order.
KEYS = (
    *("ts", "level", "source", "event", "peer", "user", "way", "queue", "command"),
    *("result", "error", "ms", "more", "traceback"),
)

#: The levels as syslog numbers them.
_PRIORITIES = {
    LogLevel.critical: 2,
    LogLevel.error: 3,
    LogLevel.warn: 4,
    LogLevel.info: 6,
    LogLevel.debug: 7,
}


@implementer(ILogObserver)
class LineObserver:
    """Write each event to a log file as one line."""

    def __init__(self, file: LogFile, verbosity: int, isJSON: bool = False) -> None:
        """Take the file, and how often -v was given.

        :param verbosity: from 2 on, debug events and all tracebacks are shown.
        """
        self._file = file
        self._tracebacks = verbosity >= 2
        self._isJSON = isJSON
        #: Under which an event keeps its line for others that write it in this form.
        self._form = f"line {isJSON} {file.isJournal} {self._tracebacks}"

    def __call__(self, event: LogEvent) -> None:
        """Write ``event``, unless it is one for -vv only."""
        if self._tracebacks or event.get("log_level") is not LogLevel.debug:
            self.write(event)

    def write(self, event: LogEvent) -> str:
        """Write an event; return why that could not be done, or nothing."""
        line = event.get(self._form)
        if line is None:
            line = event[self._form] = self._line(event)
        return self._file.write(line)

    def _line(self, event: LogEvent) -> str:
        forJournal = self._file.isJournal
        if self._isJSON:
            line = formatJSON(event, self._tracebacks)
        else:
            line = formatLine(event, self._tracebacks, timestamp=not forJournal)
        if not forJournal:
            return line
        prefix = f"<{_PRIORITIES.get(event.get('log_level'), 6)}>"
        return prefix + line.replace("\n", "\n" + prefix)


def formatLine(event: LogEvent, tracebacks: bool, timestamp: bool = True) -> str:
    """Return the line of text that says what happened.

    :param tracebacks: whether failures that are not critical show theirs.
    :param timestamp: whether it says when.
    """
    line = eventAsText(event, includeTraceback=False, includeTimestamp=timestamp)
    failure = event.get("log_failure")
    if failure is None:
        return shownText(line)
    line = shownText(f"{line} {_cause(failure)}")
    for row in _traceback(event, tracebacks):
        line += "\n\t" + shownText(row)
    return line


def formatJSON(event: LogEvent, tracebacks: bool) -> str:
    """Return the object that says what happened, in one line of letters that print.

    :param tracebacks: whether failures that are not critical show theirs.
    """
    failure = event.get("log_failure")
    level = event.get("log_level") or LogLevel.info
    when = datetime.fromtimestamp(event.get("log_time") or 0.0, UTC)
    error = event.get("error") if failure is None else _cause(failure)
    # What says nothing of it is twistd's, in its old way.
    source = event.get("log_system") or event.get("log_namespace") or "-"
    values = (
        when.isoformat(timespec="milliseconds"),
        level.name,
        _plain(source),
        formatEvent(event),
        *(_plain(event.get(key)) for key in KEYS[4:10]),
        _plain(error),
        _number(event.get("ms")),
        _more(event.get("more")),
        "\n".join(_traceback(event, tracebacks)) or None,
    )
    said = dict(zip(KEYS, values, strict=True))
    line = json.dumps(said, ensure_ascii=False)
    return line if line.isprintable() else json.dumps(said)


def _cause(failure: Any) -> str:
    return f"{failure.type.__name__}: {failure.getErrorMessage()}"


def _traceback(event: LogEvent, tracebacks: bool) -> list[str]:
    """Return the lines of an event's traceback, none where it is not shown."""
    failure = event.get("log_failure")
    if failure is None:
        return []
    if not tracebacks and event.get("log_level") is not LogLevel.critical:
        return []
    rows: list[str] = failure.getTraceback().splitlines()
    return rows


def _plain(value: object) -> str | None:
    """Return a value as text; bytes are taken for the name of a queue."""
    if value is None or isinstance(value, str):
        return value
    return queueLabel(value) if isinstance(value, bytes) else str(value)


def _number(value: object) -> float | None:
    return round(value, 3) if isinstance(value, int | float) else None


def _more(values: object) -> dict[str, Any] | None:
    """Return what else is known, by name."""
    if not isinstance(values, dict) or not values:
        return None
    return {
        str(name): value if isinstance(value, int | float) else _plain(value)
        for name, value in values.items()
    }
