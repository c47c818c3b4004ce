"""Looks at queues: operations by which the web learns what there is of them.

Where queues are not this process's own, figures may be some seconds old: so all who
look at a time ask once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.figures import Heads
from memq.operations.base import MESSAGE_COST, Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memq.interfaces import IQueueStore
    from memq.operations.base import Client

#: Seconds after which a slice ends, and heads that are looked at between two looks at
#: the time, each of which takes 10 us.
LONG, STEP = 0.0001, 8
#: Seconds that figures may be old which have to be asked for elsewhere.
OLD_FIGURES = 5.0


class Look(Operation):
    """Look at some queues; the result is their details.

    It may end early, when heads have to be read from the disk.
    """

    __slots__ = ("_late", "_names", "_seconds", "_since")

    outlivesSession = False
    staleness = OLD_FIGURES

    def __init__(
        self,
        client: Client,
        names: Sequence[bytes],
        seconds: Callable[[], float] = lambda: 0.0,
        late: float = 0.0,
        since: int = 0,
    ) -> None:
        """Remember which.

        :param seconds: tells the time, in seconds; by default it takes its time.
        :param late: as in Heads, and ``since``.
        """
        super().__init__(client)
        self._names = names
        self._seconds = seconds
        self._late = late
        self._since = since

    @property
    def idleCost(self) -> int:
        """Return what it counts in a turn."""
        return MESSAGE_COST + len(self._names) * MESSAGE_COST // 10

    def run(self, store: IQueueStore) -> int:
        """Look."""
        now = self._seconds()
        heads = Heads(now, self._late, STEP, self._since)
        found = store.details(self._names, heads)
        while found.seen < len(self._names) and self._seconds() - now < LONG:
            found = found.joined(store.details(self._names[found.seen :], heads))
        self.result = found
        return 0


class Begin(Operation):
    """Begin to look; the result is the names of all queues, and what others counted."""

    __slots__ = ()

    outlivesSession = False
    staleness = OLD_FIGURES

    def run(self, store: IQueueStore) -> int:
        """Look."""
        self.result = store.names(), store.gone()
        return 0
