"""Reloading: the rules are read again while everybody is served.

A file of a megabyte takes half a second to read, so that is done in a thread, one
reading at a time.  Whoever asks while one is under way is told of the next one, which
all that asked meanwhile share: the file may have changed since the first began.
"""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from collections.abc import Callable

    from memq.config.reloader import PolicyReloader, Reading

#: Seconds after which Python is handed on while a file is read.  The reactor waits for
#: it behind each call of Berkeley DB's, several times for a set: with Python's own 5
#: ms, a set took 22 ms meanwhile and 44 at most, with this 1.4 and 13.
SWITCH = 0.0002


class Reloads:
    """Read a rulebook's file again, as often as that is asked for."""

    def __init__(
        self, policyReloader: PolicyReloader, run: Callable[..., Deferred[Any]]
    ) -> None:
        """Take the rulebook.

        :param run: calls a function in a thread, and returns a Deferred of its result.
        """
        self._policyReloader = policyReloader
        self._run = run
        self._isReading = False
        #: Those that are told of the next reading.
        self._waiting: list[Deferred[None]] = []

    def reload(self) -> Deferred[None]:
        """Read the file again; fires when its rules hold.

        It fails with memq.errors.ConfigError when they cannot be: the rules stay as
        they are.
        """
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        if not self._isReading:
            self._begin()
        return done

    def _begin(self) -> None:
        self._isReading = True
        asked, self._waiting = self._waiting, []
        done = self._run(self._read).addCallback(self._policyReloader.take)
        done.addBoth(self._cbOver, asked)

    def _read(self) -> Reading | None:
        before, collects = sys.getswitchinterval(), gc.isenabled()
        sys.setswitchinterval(SWITCH)
        # It would look through all that is read, over and over, and hand nothing on
        # meanwhile: others waited up to 19 ms for that, and 8 without it.
        gc.disable()
        try:
            return self._policyReloader.read()
        finally:
            sys.setswitchinterval(before)
            if collects:
                gc.enable()

    def _cbOver(self, result: Any, asked: list[Deferred[None]]) -> None:
        self._isReading = False
        if self._waiting:
            self._begin()
        for each in asked:
            each.callback(result)
