"""Some queues are looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.errors import StoreError
from memq.test.web.history.base import HistoryTestCase
from memq.web.history.looker import AT_ONCE
from memq.web.metrics.survey import NoSurvey

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from memq.web.history.looker import Found


class LookerTests(HistoryTestCase):
    """Looks at queues."""

    def names(self, looked: Deferred[Found]) -> list[bytes]:
        """Return the queues that were found."""
        found = self.successResultOf(looked)
        return list(found)

    def test_found(self) -> None:
        """It finds those that there are, in the order in which they are named."""
        self.set(b"a", b"a", b"b")
        looked = self.looker.look([b"b", b"none", b"a"])
        self.assertNoResult(looked)
        self.harness.settle()
        found = self.successResultOf(looked)
        self.assertEqual(list(found), [b"b", b"a"])
        self.assertEqual((found[b"a"].items, found[b"b"].items), (2, 1))

    def test_nothing(self) -> None:
        """Nothing is found of nothing, at once."""
        self.assertEqual(self.successResultOf(self.looker.look([])), {})

    def test_many(self) -> None:
        """Many are looked at in slices, for one after the other."""
        names = [b"q%d" % number for number in range(2 * AT_ONCE + 1)]
        for name in names:
            self.store.fill(name, b"x")
        first, second = self.looker.look(names), self.looker.look(names[:3])
        self.harness.reactor.iterate()
        self.assertNoResult(first)
        self.assertNoResult(second)
        self.harness.settle()
        self.assertEqual(self.names(first), names)
        self.assertEqual(self.names(second), names[:3])

    def test_refused(self) -> None:
        """A store that refuses to be looked at is told; the next look finds."""
        self.set(b"a")
        self.store.refuse("begin", StoreError("broken"), times=2)
        first, second = self.looker.look([b"a"]), self.looker.look([b"a"])
        self.harness.settle()
        self.assertIn("broken", str(self.failureResultOf(first, StoreError).value))
        self.assertEqual(self.names(second), [b"a"])

    def test_stopping(self) -> None:
        """Nobody is looked for once the server stops."""
        self.set(b"a")
        first, second = self.looker.look([b"a"]), self.looker.look([b"a"])
        self.harness.broker.stop()
        self.harness.settle()
        self.failureResultOf(first, NoSurvey)
        self.failureResultOf(self.looker.look([b"a"]), NoSurvey)
        self.assertNoResult(second)
