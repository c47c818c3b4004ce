"""Lateness: how long the reactor was held up, noticed by a call that comes late.

It is looked at ten times a second, and not at each turn, which would cost every command
something: what holds the reactor up for longer than STEP is noticed for certain, and
what is shorter by chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

#: Seconds between two looks.
STEP = 0.1


class Lateness:
    """Notice how late timed calls come."""

    def __init__(
        self, clock: IReactorTime, each: Callable[[], object] = lambda: None
    ) -> None:
        """Begin once :meth:`start` is called.

        :param each: called at each look, for what else has to be done as often.
        """
        self._clock = clock
        self._each = each
        self._due = 0.0
        self._worst = 0.0
        self._isRunning = False

    def start(self) -> None:
        """Begin to look."""
        self._isRunning = True
        self._wait()

    def stop(self) -> None:
        """Look no more."""
        self._isRunning = False

    def _wait(self) -> None:
        self._due = self._clock.seconds() + STEP
        self._clock.callLater(STEP, self._look)

    def _look(self) -> None:
        self._note()
        if self._isRunning:
            self._each()
            self._wait()

    def _note(self) -> None:
        self._worst = max(self._worst, self._clock.seconds() - self._due)

    def take(self) -> float:
        """Return the longest delay in seconds since this was asked last."""
        self._note()
        worst, self._worst = self._worst, 0.0
        return max(0.0, worst)
