"""Terminal: foreign text without its escapes, questions, and progress meters.

rich is imported where there is a terminal to draw on, and not before: it takes a tenth
of a second.
"""

from __future__ import annotations

import os
import re
import sys
from signal import SIGPIPE
from time import monotonic
from typing import TYPE_CHECKING, Any

from memq.display import shownText
from memq.errors import CommandError
from memq.ratelimit import PROGRESS_INTERVAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.progress import Progress


def shownBody(body: bytes) -> str:
    """Return a body for a terminal: ends of lines and TABs stay, others are escapes."""
    text = body.decode("utf-8", "backslashreplace")
    return "".join(
        part if part in "\n\t" else shownText(part)
        for part in re.split(r"([\n\t])", text)
    )


def writeAll(file: int, data: bytes) -> None:
    """Write bytes to a descriptor.

    :raise memq.errors.CommandError: when nobody reads them; it is silent.
    """
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(file, view) :]
    except BrokenPipeError:
        raise brokenPipe() from None


def brokenPipe() -> CommandError:
    """Return the end of a command whose output nobody reads: as by SIGPIPE."""
    return CommandError("", 128 + SIGPIPE)


def console(stderr: bool = False) -> Console:
    """Return the terminal to draw on."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def isTerminal(stream: int) -> bool:
    """Return whether 0, 1 or 2 is a terminal."""
    return os.isatty(stream)


def asks() -> bool:
    """Return whether a person can be asked."""
    return isTerminal(0) and isTerminal(2)


def agrees(question: str) -> bool:
    """Ask a person, and return whether the answer is yes."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


class Meter:
    """Progress meter: a bar on a terminal, elsewhere a line a second.

    Work that takes less than a second shows nothing.
    """

    def __init__(
        self,
        tell: Callable[[str], object],
        seconds: Callable[[], float] = monotonic,
        bar: bool | None = None,
    ) -> None:
        """Begin to count the seconds.

        :param tell: takes a line.
        :param bar: whether to draw one; None where standard error is a terminal.
        """
        self._tell = tell
        self._seconds = seconds
        self._began = seconds()
        self._nextAt = self._began + PROGRESS_INTERVAL
        self._draws = isTerminal(2) if bar is None else bar
        self._bar: tuple[Progress, Any] | None = None

    def __enter__(self) -> Meter:
        """Take the bar away in the end."""
        return self

    def __exit__(self, *error: object) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar[0].stop()

    def reach(self, messages: int, part: float | None = None) -> None:
        """Show how far it is.

        :param part: how much of all is done, 0 to 1; None if nobody knows.
        """
        now = self._seconds()
        if now < self._nextAt:
            return
        if not self._draws:
            self._nextAt = now + PROGRESS_INTERVAL
            self._tell(", ".join(self._figures(messages, part)))
            return
        self._nextAt = now + PROGRESS_INTERVAL / 10
        if self._bar is None:
            self._bar = _makeBar(None if part is None else 1.0)
        progress, task = self._bar
        words = self._figures(messages, part)
        progress.update(task, completed=part, words=" ".join(words[1:]), count=words[0])

    def _figures(self, messages: int, part: float | None) -> list[str]:
        took = self._seconds() - self._began
        words = [f"{messages} messages", f"{messages / took:.0f}/s"]
        if part:
            words.append(f"{took / part - took:.0f} s left")
        return words


class Bar:
    """A bar that others fill, as :class:`memq.ratelimit.Progress` does.

    It is drawn from the first word on, and taken away in the end.
    """

    def __init__(self) -> None:
        self._bar: tuple[Progress, Any] | None = None

    def draw(self, words: str, part: float | None) -> None:
        """Show how far it is: the first of some figures before the bar, others behind.

        :param part: how much of all is done, 0 to 1; None if nobody knows.
        """
        if self._bar is None:
            self._bar = _makeBar(None)
        progress, task = self._bar
        count, _, rest = words.partition(", ")
        total = None if part is None else 1.0
        progress.update(task, total=total, completed=part, words=rest, count=count)

    def stop(self) -> None:
        """Take the bar away, if there is one."""
        if self._bar is not None:
            self._bar[0].stop()


def _makeBar(total: float | None) -> tuple[Progress, Any]:
    """Return a bar, and its task; without a total it only moves."""
    from rich.progress import BarColumn, Progress, TextColumn

    progress = Progress(
        TextColumn("{task.fields[count]}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[words]}"),
        console=console(stderr=True),
        transient=True,
        expand=True,
    )
    progress.start()
    return progress, progress.add_task("", total=total, count="", words="")
