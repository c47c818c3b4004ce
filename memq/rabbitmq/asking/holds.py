"""Holds: what is asked of a queue waits while that is deleted.

A ``basic.get`` of a queue that is about to go may cost the connection (541, noproc, on
3.10.8), and with it what others have open there, or were about to get.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.rabbitmq.links.connections import Timer

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from twisted.internet.interfaces import IReactorTime

#: Seconds that something waits for the end of a delete.
HOLD = 1.0


class Holds:
    """Queues that are about to be deleted, as far as that was heard of.

    :ivar bounds: what ends each; not to be changed elsewhere.
    """

    def __init__(
        self,
        clock: IReactorTime,
        lines: Container[bytes],
        goOn: Callable[[bytes], object],
    ) -> None:
        """Begin with none.

        :param lines: the queues of which something waits.
        :param goOn: is called with each of them of which something may be asked again.
        """
        self._clock = clock
        self._lines, self._goOn = lines, goOn
        self.bounds: dict[bytes, Timer] = {}

    def __contains__(self, queue: bytes) -> bool:
        """Return whether nothing is to be asked of a queue."""
        return queue in self.bounds

    def hold(self, queue: bytes) -> None:
        """Ask nothing of a queue until it is deleted, or for some time."""
        before = self.bounds.get(queue)
        if before is not None:
            before.cancel()
        self.bounds[queue] = Timer(self._clock.callLater(HOLD, self.over, queue))

    def over(self, queue: bytes) -> None:
        """Go on: it is deleted, or nobody tells."""
        bound = self.bounds.pop(queue, None)
        if bound is not None:
            bound.cancel()
            if queue in self._lines:
                self._goOn(queue)
