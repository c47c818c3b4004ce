"""Seen: the answer to ``stats`` for a user who sees some of the queues.

What the queues have together, and how many they are, is said of those that it sees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from memq.commands.details import AT_ONCE, QUEUE_COST, SUM_COST, TOLD, Listing
from memq.figures import Sums
from memq.operations.base import MESSAGE_COST
from memq.wire.figures import formatKestrel
from memq.wire.forms import END

if TYPE_CHECKING:
    from memq.access.rights import Rights
    from memq.commands.details import Details
    from memq.interfaces import IQueueStore

#: Queues that are looked at in one go, with what is added up of those that are seen.
LOOKED = 512
#: The cost of one of them in a turn, beside that of adding it up: patterns are tried.
_LOOK_COST = 150


class Form(Protocol):
    """Makes bytes of what the queues have together."""

    def __call__(
        self, store: IQueueStore, sums: Sums, leftOut: int, queues: int
    ) -> bytes:
        """Make them.

        :param leftOut: how many are not told one by one.
        :param queues: how many there are.
        """


class SeenSummary(Listing):
    """The answer to ``stats``: of the queues that a user sees.

    First all are looked at.  The names of those to be told stand behind them then.
    """

    def __init__(
        self, details: Details, form: Form, ofEach: bool, rights: Rights
    ) -> None:
        """Begin; see Summary."""
        super().__init__(details, formatKestrel, rights=rights)
        self._seen = rights.seen
        self._all = form
        self._ofEach = ofEach
        #: How many there are, seen or not.
        self._count = 0
        #: By the place of the first one looked at: their sums, how many are seen, and
        #: the names of these, of too many at least.  A turn may be undone.
        self._looks: dict[int, tuple[Sums, int, list[bytes]]] = {}

    @property
    def idleCost(self) -> int:
        """Return what one counts in a turn."""
        return MESSAGE_COST + max(
            QUEUE_COST * min(AT_ONCE, len(self.queues) - self._count),
            (SUM_COST + _LOOK_COST) * min(LOOKED, self._count),
        )

    def stop(self, start: int) -> int:
        """Return where the part ends that begins at a place."""
        if start < self._count:
            return min(start + LOOKED, self._count)
        return start + AT_ONCE

    def tell(self, start: int, store: IQueueStore) -> bytes:
        """Look at queues, or tell some."""
        if start == 0:
            self.queues = store.names()
            self._count = len(self.queues)
        elif start >= self._count:
            return self._part(start, store)
        stop = self.stop(start)
        seen = self._seen(self.queues[start : min(stop, self._count)])
        self._looks[start] = store.sums(seen), len(seen), seen[: TOLD + 1]
        return self._head(store) if stop >= self._count else b""

    def _head(self, store: IQueueStore) -> bytes:
        """Return what they have together, and note which are told."""
        sums, counts, names = zip(*self._looks.values(), strict=True)
        count = sum(counts)
        tellsEach = self._ofEach and count <= TOLD
        del self.queues[self._count :]
        if tellsEach:
            self.queues += sorted(name for some in names for name in some)
        leftOut = 0 if tellsEach else count * self._ofEach
        all_ = Sums(*map(sum, zip(*sums, strict=True)))
        isEnd = self._count == len(self.queues)
        return self._all(store, all_, leftOut, count) + END * isEnd
