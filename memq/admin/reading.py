"""Reading of an export: its lines are held against its counts, in their order.

What becomes of the messages is a subclass's matter: :mod:`memq.admin.importer` puts
them into a home, :mod:`memq.admin.sender` into a running server.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from memq.admin.exportformat import (
    MAX_LINE,
    BadExport,
    Begin,
    Body,
    End,
    QueueBegin,
    QueueEnd,
    parseLine,
)
from memq.display import shownName
from memq.errors import StartError

if TYPE_CHECKING:
    from typing import BinaryIO

    from memq.admin.exportformat import Line


class ImportRefused(StartError):
    """A line that cannot be imported."""


class Reading(ABC):
    """Reads an export.

    :ivar number: the number of the line that is read, from 1.
    :ivar queues: how many queues were read.
    """

    def __init__(self) -> None:
        self.number = self.queues = 0
        #: The queue that is being read.
        self._line: QueueBegin | None = None
        #: How many of its messages were read, and how many that are delayed.
        self._count = self._delayed = 0

    def run(self, lines: BinaryIO) -> None:
        """Read all lines.

        :raise ImportRefused: when one cannot be imported; it is named.
        """
        ended = False
        while text := lines.readline(MAX_LINE + 1):
            self.number += 1
            try:
                line = parseLine(text)
                if (self.number == 1) != isinstance(line, Begin) or ended:
                    raise BadExport("not a line that memq export writes here")
                self._take(line)
            except BadExport as error:
                raise ImportRefused(f"line {self.number}: {error}") from None
            ended = isinstance(line, End)
        if not ended:
            raise ImportRefused(
                f"line {self.number + 1}: the file is cut, its last line is missing"
            )

    def _take(self, line: Line) -> None:
        match line:
            case QueueBegin() if self._line is None:
                self._line = line
                self._count = self._delayed = 0
                self._begin(line)
            case Body() if self._line is not None:
                if line.due is None:
                    self._count += 1
                else:
                    self._delayed += 1
                self._add(self._line, line)
            case QueueEnd() if self._line is not None:
                self._check(self._line, line)
                self._end(self._line)
                self.queues += 1
                self._line = None
            case End() if self._line is None:
                if line.queues != self.queues:
                    raise BadExport(f"{line.queues} queues, and here are {self.queues}")
                self._finish()
            case Begin():
                pass
            case _:
                raise BadExport("not a line that memq export writes here")

    def _check(self, begin: QueueBegin, end: QueueEnd) -> None:
        waiting = begin.pushed - begin.taken + begin.delayed
        if (end.messages, end.delayed) != (self._count, self._delayed) or (
            waiting != end.messages + end.delayed + end.damaged
        ):
            raise BadExport(
                f"queue {shownName(begin.queue)} had "
                f"{end.messages + end.delayed} messages and {end.damaged} damaged "
                f"ones, by its counts {waiting}, "
                f"and here are {self._count + self._delayed}"
            )

    @abstractmethod
    def _begin(self, line: QueueBegin) -> None:
        """Begin with a queue; raise BadExport if that cannot be."""

    @abstractmethod
    def _add(self, queue: QueueBegin, line: Body) -> None:
        """Take a message."""

    @abstractmethod
    def _end(self, queue: QueueBegin) -> None:
        """End a queue, whose counts fit."""

    def _finish(self) -> None:
        """End the export, which is whole."""
        return
