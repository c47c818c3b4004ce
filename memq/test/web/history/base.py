"""What tests of the history share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.test.support.harness import Harness
from memq.test.support.stepped import SteppedTestCase
from memq.web.history.looker import Looker
from memq.web.history.tallies import Tallies

if TYPE_CHECKING:
    from memq.web.history.tallies import Tally


class HistoryTestCase(SteppedTestCase):
    """Has a stepped server, and somebody who looks at it."""

    def setUp(self) -> None:
        """Have no queue yet."""
        self.harness = Harness()
        self.harness.timeOfDay = 1.6e9
        self.store: Any = self.harness.store
        self.client = self.harness.connect()
        ever = self.harness.statistics.ever
        self.tallies = Tallies(
            *(self.harness.reactor, self.harness.broker), lambda: ever()["getHits"]
        )
        self.looker = Looker(self.harness.broker)

    def tally(self) -> Tally:
        """Return a tally, made a second after the last."""
        self.harness.pass_(1.0)
        taken = self.tallies.take()
        self.harness.settle()
        return self.successResultOf(taken)

    def set(self, *queues: bytes) -> None:
        """Set a message into each of some queues."""
        for queue in queues:
            self.assertEqual(
                self.client.talk(b"set %b 0 0 1\r\nx\r\n" % queue), b"STORED\r\n"
            )
