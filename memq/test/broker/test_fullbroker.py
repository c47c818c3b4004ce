"""The broker, the session and the maintenance when the disk is full."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.logger import capturedLogs, formatEvent

from memq.broker.diskspace import LOOKS
from memq.broker.groupcommit import FULL_AGAIN
from memq.errors import OutOfSpace, StoreError, StoreFailed
from memq.operations.base import Upload
from memq.operations.pushes import AddPart
from memq.operations.queues import Delete
from memq.test.broker.test_broker import Asker, BrokerTestCase
from memq.test.daemon.test_maintenance import NEVER, MaintenanceTestCase

FULL = "out of disk space"


class FullTestCase(BrokerTestCase):
    """A broker that can run out of room."""

    def ask(self, *bodies: bytes) -> Asker:
        """Return a new client that has sent messages."""
        asker = self.newAsker()
        asker.push(*bodies)
        return asker

    def full(self) -> bool:
        """Return whether sets are refused."""
        return self.broker.room.isFull


class TurnTests(FullTestCase):
    """A turn that meets the full disk."""

    def test_undone(self) -> None:
        """It is undone, what has no room is refused, the rest is done; no log line."""
        self.store.fill(b"q", b"old")
        self.store.refuse("push", OutOfSpace())
        one, other = self.ask(b"a"), self.newAsker()
        other.pop()
        self.assertEqual(self.said(self.turn, self.turn), [])
        self.flush()
        self.assertEqual((one.told, other.told), ([FULL], ["old"]))
        self.assertTrue(self.full())

    def test_popStays(self) -> None:
        """A pop that was answered with an error is still there."""
        self.store.fill(b"q", b"a")
        self.store.refuse("commit", OutOfSpace(), times=2)
        self.asker.pop()
        self.turn()
        self.assertEqual(self.asker.told, [FULL])
        self.asker.pop()
        self.turn()
        self.flush()
        self.assertEqual(self.asker.told, [FULL, "a"])

    def test_waiting(self) -> None:
        """When the disk becomes full, sets that wait are refused, and only they."""
        self.store.fill(b"q", b"old")
        asker = self.ask(b"a", b"b")
        asker.pop()
        part = AddPart(asker.session, Upload([b"q"]), b"part")
        asker.submit(part)
        self.broker.room.exhausted()
        self.turn()
        self.flush()
        self.assertEqual(asker.told, [FULL, FULL, "old", "None"])
        self.assertIsInstance(part.upload.error, OutOfSpace)

    def test_blocked(self) -> None:
        """Sets of a client that was left out of turns are refused when it is back."""
        asker = self.ask(b"a")
        asker.session.block()
        self.broker.room.exhausted()
        self.newAsker().pop()
        self.turn()
        asker.session.unblock()
        self.turn()
        self.assertEqual(asker.told, [FULL])
        for _ in range(LOOKS):
            self.broker.room.looked(None)
        self.turn()
        self.assertEqual(self.store.dump(), "")

    def test_again(self) -> None:
        """When there is room again, sets are taken."""
        self.broker.room.exhausted()
        self.asker.pop()
        self.turn()
        for _ in range(LOOKS):
            self.broker.room.looked(None)
        self.asker.push(b"a")
        self.turn()
        self.flush()
        self.assertEqual(self.asker.told, ["None", "0"])

    def test_counted(self) -> None:
        """Bytes that a turn stores, takes and sweeps are counted."""
        room = self.broker.room
        changes: list[tuple[int, int]] = []
        room.changed = lambda bytesFreed, logged: changes.append(  # type: ignore[method-assign]
            (bytesFreed, logged)
        )
        self.asker.push(bytes(100))
        self.turn()
        self.asker.push(bytes(5000))
        self.turn()
        self.asker.pop(2)
        self.turn()
        self.asker.submit(AddPart(self.asker.session, Upload([b"q"]), bytes(5000)))
        self.turn()
        self.assertEqual(
            changes,
            [
                (-(100 + 50 + 64), 1124),
                (-(5000 + 4200), 6024),
                (5100, 2 * 1024 + 5100),
                (-(5000 + 4200), 6024),
            ],
        )
        self.asker.delete()
        self.turn()
        self.assertEqual(changes[-1], (0, 0))


class HoldTests(FullTestCase):
    """Nothing is stored before a look at the disk."""

    def test_held(self) -> None:
        """A turn, and a sweep, wait for it, and go on then."""
        room = self.broker.room
        room.bound(0, 100, 100)
        room.looked(1 << 20)
        self.store.fill(b"gone", b"a")
        self.asker.submit(Delete(self.asker.session, b"gone"))
        self.turn()
        self.asker.push(b"b")
        self.turn()
        self.assertTrue(room.isHeld)
        self.assertNotIn("sweep 100", self.store.journal)
        self.assertEqual(self.asker.told, [])
        room.look()
        room.looked(1 << 30)
        self.turn()
        self.assertIn("sweep 100", self.store.journal)


class FlushTests(FullTestCase):
    """A flush that meets the full disk."""

    def setUp(self) -> None:
        """Let the next flush have no room."""
        super().setUp()
        self.store.refuse("flush", OutOfSpace(), times=2)

    def test_again(self) -> None:
        """Nothing is told, the flush alone is tried again, and then all is told."""
        self.asker.push(b"a")
        self.turn()
        self.flush()
        self.assertTrue(self.full())
        self.assertEqual(self.asker.told, [])
        self.reactor.advance(FULL_AGAIN)
        self.flush()
        self.assertEqual(self.asker.told, [])
        self.asker.pop()
        self.turn()
        self.reactor.advance(FULL_AGAIN)
        self.flush()
        self.assertEqual(self.asker.told, ["0"])
        self.flush()
        self.assertEqual(self.asker.told, ["0", "a"])
        self.assertEqual(self.store.journal.count("commit"), 2)
        self.assertEqual(self.failures, [])

    def test_stopped(self) -> None:
        """At the end there is one more try; then what waits is told that it failed."""
        self.asker.push(b"a")
        self.turn()
        self.flush()
        ended = self.broker.drain()
        self.reactor.advance(FULL_AGAIN)
        self.flush()
        self.turn()
        self.assertIn("the disk is full", self.asker.told[0])
        self.assertIn("the disk is full", self.failures[0])
        self.assertIsNone(self.successResultOf(ended))

    def test_failedMeanwhile(self) -> None:
        """A store that fails before the next try is not asked again."""
        self.asker.push(b"a")
        self.turn()
        self.flush()
        self.broker.fail(StoreFailed("panic"))
        self.reactor.advance(FULL_AGAIN)
        self.assertEqual(self.pool.pending, 0)


class PutBackTests(FullTestCase):
    """A message that goes back to a disk that is full."""

    def setUp(self) -> None:
        """Take a message for a client that is gone."""
        super().setUp()
        self.store.fill(b"q", b"a")
        self.store.begin()
        self.message: Any = self.store.pop(b"q")
        self.store.commit()
        self.store.refuse("putBack", OutOfSpace(), times=2)

    def putBack(self) -> list[str]:
        """Put it back, and return what is logged."""
        back = [
            partial(self.broker.putBack, name, self.message) for name in (b"q", b"r")
        ]
        return self.said(*back, self.turn)

    def test_later(self) -> None:
        """It goes back when there is room."""
        self.store.refuse("putBack", OutOfSpace(), b"r", times=3)
        self.assertEqual(self.putBack(), [])
        self.turn()
        self.assertEqual(self.store.dump(), "q 1/1:")
        self.reactor.advance(FULL_AGAIN)
        self.turn()
        self.flush()
        self.assertEqual(self.store.dump(), "q 1/0: a")

    def test_atTheEnd(self) -> None:
        """At the end it is tried once more."""
        self.putBack()
        self.broker.drain()
        self.turn()
        self.flush()
        self.assertEqual(self.store.dump(), "q 1/0: a")

    def test_never(self) -> None:
        """When that fails as well, the log says what is lost."""
        self.store.refuse("putBack", OutOfSpace())
        self.putBack()
        self.broker.drain()
        texts = self.said(self.turn, self.turn)
        self.assertEqual(len(texts), 2)
        self.assertIn("was taken and never delivered: out of disk space", texts[0])


class MaintenanceTests(MaintenanceTestCase):
    """How the maintenance looks at the disk."""

    settings = NEVER._replace(
        minFree=1000, lookStep=200, lookAfter=400, checkpointVolume=10_000
    )

    def test_checkpointFirst(self) -> None:
        """A disk that seems full is not before a checkpoint has given logs back."""
        journal = self.start(self.settings)
        self.store.free = 999
        self.store.log = 100

        def removeLogs() -> int:
            journal.append("removeLogs")
            self.store.free = 2000
            return 1

        self.store.removeLogs = removeLogs  # type: ignore[method-assign]
        self.wait(1)
        self.assertEqual(journal, ["checkpoint", "removeLogs"])
        self.assertFalse(self.harness.broker.room.isFull)

    def test_noCheckpoint(self) -> None:
        """Nor is there one while little is logged."""
        journal = self.start(self.settings)
        self.store.free, self.store.log = 999, 99
        self.wait(3)
        self.assertEqual(journal, [])

    def test_now(self) -> None:
        """A look that is needed at once comes at once, and a checkpoint before it."""
        journal = self.start(self.settings)
        self.store.free, self.store.log = 2000, 100
        room = self.harness.broker.room
        room.looked(2000)
        room.changed(0, 400)
        self.assertTrue(room.isHeld)
        self.harness.settle()
        self.assertFalse(room.isHeld)
        self.assertEqual(journal, ["checkpoint", "removeLogs"])

    def test_lookedTooEarly(self) -> None:
        """When a look is under way, another one follows."""
        self.start(self.settings)
        self.store.free = 2000
        room = self.harness.broker.room
        room.looked(2000)
        self.harness.reactor.advance(1.0)
        self.assertEqual(self.harness.workPool.pending, 1)
        room.changed(0, 900)
        self.assertTrue(room.isHeld)
        self.harness.workPool.step()
        self.harness.reactor.advance(0)
        self.harness.settle()
        self.assertFalse(room.isHeld)

    def test_checkpointWithoutRoom(self) -> None:
        """A checkpoint that has no room is a full disk, and no more lines than that."""
        self.start(self.settings)
        self.store.free, self.store.log = 5000, 10_000
        self.store.refuse("checkpoint", OutOfSpace())
        events = self.events(5)
        self.assertEqual([level for level, _ in events], ["error"])
        self.assertIn("Sets are refused, the disk is full: 0 bytes", events[0][1])

    def test_otherWork(self) -> None:
        """So does other work."""
        self.start(self.settings._replace(trickle=0.5))
        self.store.free = 5000
        self.store.refuse("trickle", OutOfSpace())
        events = self.events(5)
        self.assertEqual([level for level, _ in events], ["error"])
        self.assertTrue(self.harness.broker.room.isFull)

    def test_lookFails(self) -> None:
        """Nobody waits for a look that fails."""
        self.start(self.settings)
        room = self.harness.broker.room
        room.looked(2000)
        self.store.refuse("freeBytes", StoreError("no directory"), times=1)
        room.changed(0, 400)
        with capturedLogs() as events:
            self.harness.settle()
        self.assertFalse(room.isHeld)
        self.assertEqual(
            [str(formatEvent(event)) for event in events],
            ["Maintenance failed, and is tried again: no directory"],
        )
