"""A snapshot of all queues is made for all who look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memq.errors import StoreError
from memq.test.support.harness import Harness
from memq.test.support.stepped import SteppedTestCase
from memq.web.api import snapshot as module
from memq.web.api.rates import MOST, UNKNOWN, Rates
from memq.web.api.snapshot import AT_ONCE, FRESH, Snapshot, Snapshots
from memq.web.metrics.survey import Surveyor

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


class SnapshotTestCase(SteppedTestCase):
    """Has queues, and makes snapshots of them."""

    def setUp(self) -> None:
        """Have no queue yet."""
        self.harness = Harness()
        self.store: Any = self.harness.store
        self.noted: list[Snapshot] = []
        surveyor = Surveyor(self.harness.broker)
        self.snapshots = Snapshots(
            self.harness.reactor, self.harness.broker, surveyor, self.noted.append
        )

    def look(self) -> Snapshot:
        """Return a snapshot."""
        looked = self.snapshots.look()
        self.harness.settle()
        return self.successResultOf(looked)

    def rates(self, snapshot: Snapshot) -> dict[bytes, Rates]:
        """Return the rates of each queue."""
        return {
            name: snapshot.ratesOf(place) for place, name in enumerate(snapshot.names)
        }


class LookTests(SnapshotTestCase):
    """When a snapshot is made."""

    def test_nothing(self) -> None:
        """There may be no queue."""
        snapshot = self.look()
        self.assertEqual((snapshot.names, snapshot.rates), ([], UNKNOWN))

    def test_figures(self) -> None:
        """Every figure of each queue is there, and when that was."""
        self.harness.timeOfDay = 9.5
        self.store.fill(b"q", b"abc", b"d")
        self.store.fill(b"r", b"")
        snapshot = self.look()
        self.assertEqual((snapshot.at, snapshot.picture.messages), (9.5, 3))
        place = snapshot.names.index(b"q")
        self.assertEqual(snapshot.figures(place)[:5], [2, 4, 0, 0, 0])
        self.assertEqual(snapshot.picture.rows and snapshot.picture.rows.labels, [])

    def test_fresh(self) -> None:
        """It is told for a second, and then there is another one."""
        first = self.look()
        self.harness.pass_(FRESH / 2)
        self.assertIs(self.look(), first)
        self.harness.pass_(FRESH)
        second = self.look()
        self.assertIsNot(second, first)
        self.assertEqual(self.noted, [first, second])

    def test_manyQueues(self) -> None:
        """One of very many queues is told for longer."""
        self.patch(module, "FRESH_EACH", 2.0)
        for name in (b"a", b"b"):
            self.store.fill(name, b"")
        snapshot = self.look()
        self.harness.pass_(3)
        self.assertIs(self.look(), snapshot)
        self.harness.pass_(1)
        snapshot, before = self.look(), snapshot
        self.assertIsNot(snapshot, before)
        self.patch(module, "STALE", 2.0)
        self.patch(module, "FRESH_EACH", 99.0)
        self.harness.pass_(4)
        snapshot = self.look()
        self.harness.pass_(2)
        self.assertIsNot(self.look(), snapshot)

    def test_shared(self) -> None:
        """Those who ask meanwhile get the same one."""
        looked: list[Deferred[Snapshot]] = [self.snapshots.look() for _ in range(3)]
        self.harness.settle()
        self.assertEqual(len({id(self.successResultOf(each)) for each in looked}), 1)
        self.assertEqual(len(self.noted), 1)

    def test_forgotten(self) -> None:
        """After something was changed, there is another one at once."""
        first = self.look()
        self.snapshots.forget()
        self.assertIsNot(self.look(), first)

    def test_failed(self) -> None:
        """An error is told to all who ask, and the next one may succeed."""
        self.store.refuse("begin", StoreError("no"), times=2)
        looked = [self.snapshots.look() for _ in range(2)]
        self.harness.settle()
        for each in looked:
            self.failureResultOf(each, StoreError)
        self.assertEqual(self.look().names, [])


class RateTests(SnapshotTestCase):
    """Messages a second."""

    def test_unknown(self) -> None:
        """The first one does not know any."""
        self.store.fill(b"q", b"")
        self.assertEqual(self.rates(self.look()), {b"q": UNKNOWN})

    def test_rates(self) -> None:
        """The next one knows what came and went, of each and of all."""
        client = self.harness.connect()
        self.store.fill(b"q", b"", b"", b"")
        self.store.fill(b"r", b"")
        self.look()
        self.harness.pass_(2)
        client.talk(b"set q 0 0 0\r\n\r\n" * 4 + b"get q\r\n" * 2)
        snapshot = self.look()
        expected = {b"q": Rates(2.0, 1.0), b"r": Rates(0.0, 0.0)}
        self.assertEqual((self.rates(snapshot), snapshot.rates), (expected, (2.0, 1.0)))

    def test_anotherOne(self) -> None:
        """A queue that was made anew at the same place has no rate below 0."""
        client = self.harness.connect()
        for name in (b"a", b"q"):
            self.store.fill(name, b"", b"", b"")
        self.look()
        self.harness.pass_(2)
        client.talk(b"delete q\r\nset q 0 0 0\r\n\r\nset a 0 0 0\r\n\r\n")
        expected = {b"a": Rates(0.5, 0.0), b"q": Rates(0.0, 0.0)}
        self.assertEqual(self.rates(self.look()), expected)

    def test_changed(self) -> None:
        """Queues may have come and gone."""
        client = self.harness.connect()
        for name in (b"gone", b"q", b"again"):
            self.store.fill(name, b"", b"")
        self.look()
        self.harness.pass_(1)
        client.talk(b"delete gone\r\ndelete again\r\nset again 0 0 0\r\n\r\nget q\r\n")
        client.talk(b"set new 0 0 0\r\n\r\n")
        found = self.rates(self.look())
        expected = {b"q": Rates(0, 1), b"again": Rates(0, 0), b"new": UNKNOWN}
        self.assertEqual(found, expected)

    def test_late(self) -> None:
        """After long they say nothing, nor do they at once."""
        self.store.fill(b"q", b"")
        self.look()
        self.snapshots.forget()
        self.assertEqual(self.rates(self.look()), {b"q": UNKNOWN})
        self.harness.pass_(MOST + 1)
        self.assertEqual(self.rates(self.look()), {b"q": UNKNOWN})

    def test_many(self) -> None:
        """They are worked out in slices, whether the queues are the same or not."""
        for number in range(AT_ONCE + 3):
            self.store.fill(b"%d" % number, b"")
        self.look()
        self.harness.pass_(1)
        self.assertEqual(set(self.rates(self.look()).values()), {Rates(0, 0)})
        self.harness.pass_(1)
        self.store.delete(b"0")
        self.store.commit()
        snapshot = self.look()
        self.assertEqual(len(snapshot.names), AT_ONCE + 2)
        self.assertEqual(set(self.rates(snapshot).values()), {Rates(0, 0)})
