"""Log lines: the last lines of the log, and those that come, to viewers.

It looks for lines STEP after STEP, and not at each line.  So no line can be the cause
of another one, and a log that is very busy costs the same.  A viewer is told how many
lines it has missed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from memq.web.live.viewers import event

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from memq.logs.recent import RecentLines
    from memq.web.live.viewers import Viewer, Viewers

#: Seconds between two looks.
STEP = 0.5
#: Lines that are sent in one piece.
AT_ONCE = 20


class LogLines:
    """Tell viewers."""

    def __init__(
        self, clock: IReactorTime, viewers: Viewers, recent: RecentLines
    ) -> None:
        """Begin with no viewer."""
        self._clock = clock
        self._viewers = viewers
        self._recent = recent
        #: The number of the last line that each was told, or has missed.
        self._told: dict[Viewer, int] = {}
        self._call: IDelayedCall | None = None

    def join(self, request: Any) -> None:
        """Answer a request with lines, those that there are at once."""
        viewer = self._viewers.admit(request)
        lines = self._recent.since(0)
        # Those before them are no loss: nobody was here.
        self._told[viewer] = lines[0].number - 1 if lines else self._recent.last
        self._tell(viewer)
        if self._call is None:
            self._wait()

    def stop(self) -> None:
        """Tell nobody any more."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _wait(self) -> None:
        self._call = self._clock.callLater(STEP, self._look)

    def _look(self) -> None:
        self._call = None
        for viewer in list(self._told):
            if viewer.isGone:
                del self._told[viewer]
            else:
                self._tell(viewer)
        if self._told:
            self._wait()

    def _tell(self, viewer: Viewer) -> None:
        """Send what is new, until it does not read."""
        lines = self._recent.since(self._told[viewer])
        for place in range(0, len(lines), AT_ONCE):
            if not viewer.isReady:
                return
            some = lines[place : place + AT_ONCE]
            lost = some[0].number - 1 - self._told[viewer]
            pieces = [event("lost", b'{"lines":%d}' % lost)] if lost else []
            # All that is not ASCII is escaped, so that no line ends within.
            pieces += [
                event("line", json.dumps(line._asdict()).encode()) for line in some
            ]
            self._told[viewer] = some[-1].number
            viewer.send(b"".join(pieces))
