"""The contract of a store: bodies that come and go in parts."""

from __future__ import annotations

from memq.errors import DamagedMessage
from memq.test.support.contract.base import StoreContract


class PartsContract(StoreContract):
    """Messages with such bodies, and how long those stay."""

    def assertGone(self, body: int) -> None:
        """Check that a body is not there once it is swept."""
        self.sweepAll()
        self.assertRaises(DamagedMessage, self.store.part, body, 0)

    def test_parts(self) -> None:
        """A body that came in parts is read in parts, until it is released."""
        large = self.pushLarge(b"q", b"one", b"two", b"three")
        self.push(b"q", b"small")
        message = self.q.pop()
        self.assertEqual((message.large, message.body, message.flags), (large, b"", 3))
        self.assertEqual(message.size, 11)
        self.assertFalse(self.store.hasGarbage())
        self.assertEqual(self.parts(large), [b"one", b"two", b"three"])
        self.store.release(large.id)
        self.store.release(large.id)
        self.sweepAll()
        self.assertEqual(self.bodies(b"q"), [b"small"])

    def test_partsAgain(self) -> None:
        """A transaction with a part that was undone can be done again."""
        body = self.store.newBody()
        with self.undone() as store:
            store.addPart(body, 0, b"lost")
        with self.done() as store:
            store.addPart(body, 0, b"kept")
        self.assertEqual(self.store.part(body, 0), b"kept")

    def test_undonePart(self) -> None:
        """A part that is undone leaves those before it, however alike they are."""
        large = self.upload(b"same", b"other")
        with self.undone() as store:
            store.addPart(large.id, 2, b"same")
        self.assertEqual(self.parts(large), [b"same", b"other"])

    def test_releaseWhatIsNotThere(self) -> None:
        """A body of which nothing could be kept is released like any other."""
        body = self.store.newBody()
        with self.undone() as store:
            store.addPart(body, 0, b"lost")
        self.store.release(body)
        self.sweepAll()
        kept = self.pushLarge(b"q", b"one")
        self.store.release(body)
        self.sweepAll()
        self.assertEqual(self.q.pop().large, kept)

    def test_putBackParts(self) -> None:
        """A message with parts goes back with all of them."""
        large = self.pushLarge(b"q", b"one", b"two")
        self.push(b"q", b"small")
        message = self.q.pop()
        self.assertTrue(self.q.putBack(message))
        self.assertEqual(self.q.pop(), message)
        self.assertEqual(self.store.part(large.id, 1), b"two")

    def test_putBackPartsAfterDelete(self) -> None:
        """If the queue is gone, so are they."""
        self.pushLarge(b"q", b"one")
        message = self.q.pop()
        self.q.delete()
        self.assertFalse(self.q.putBack(message))
        self.sweepAll()
        self.assertHolds("")

    def test_deleteParts(self) -> None:
        """A deleted queue's bodies are removed with it, others stay."""
        self.pushLarge(b"q", b"one", b"two")
        self.push(b"q", b"small")
        kept = self.pushLarge(b"r", b"three")
        self.q.delete()
        self.sweepAll()
        self.assertEqual(self.parts(kept), [b"three"])

    def test_discardDelayedParts(self) -> None:
        """So are those of delayed messages."""
        large = self.upload(b"one")
        self.q.pushDelayed(0, large, 10)
        self.q.delete()
        self.assertGone(large.id)

    def test_setAside(self) -> None:
        """A message with a damaged part can be kept out of the way, closed or taken."""
        for isOpen in (False, True):
            self.pushLarge(b"q", b"one")
            message = self.q.openRead() if isOpen else self.q.pop()
            with self.done() as store:
                if isOpen:
                    store.closeRead(b"q", message)
                store.setAside(message)
            self.sweepAll()
        self.assertHolds("q 2/2")

    def test_readParts(self) -> None:
        """A body in parts is readable while its message is read, and afterwards."""
        large = self.pushLarge(b"q", b"one", b"two")
        message = self.q.openRead()
        self.assertEqual(message.large, large)
        self.assertEqual(self.store.part(large.id, 0), b"one")
        self.q.abortRead(message, True)
        self.sweepAll()
        self.assertEqual(self.q.openRead(), message)
        self.assertEqual(self.store.part(large.id, 1), b"two")
        self.q.closeRead(message)
        self.assertEqual(self.store.part(large.id, 1), b"two")
        self.store.release(large.id)
        self.assertGone(large.id)

    def test_popPartsBesideReads(self) -> None:
        """A body in parts that is taken beside an open read is released like others."""
        self.push(b"q", b"small")
        large = self.pushLarge(b"q", b"one")
        self.q.openRead()
        self.assertEqual(self.q.pop().large, large)
        self.assertEqual(self.parts(large), [b"one"])
        self.store.release(large.id)
        self.assertGone(large.id)

    def test_readPartsOfWhatIsGone(self) -> None:
        """A body in parts goes with its queue, even while it is read."""
        large = self.pushLarge(b"q", b"one", b"two")
        message = self.q.openRead()
        self.q.delete()
        self.sweepAll()
        self.assertRaises(DamagedMessage, self.store.part, large.id, 1)
        self.assertFalse(self.q.closeRead(message))
        self.store.release(large.id)
        self.sweepAll()
        self.assertHolds("")

    def test_moveParts(self) -> None:
        """A body in parts moves to another queue with its message."""
        large = self.pushLarge(b"q", b"one", b"two")
        self.pushLarge(b"q", b"three")
        with self.done() as store:
            store.pushLarge(b"r", 0, store.pop(b"q").large)
        with self.done() as store:
            message = store.openRead(b"q")
            store.pushLarge(b"r", 0, store.popRead(b"q", message).large)
        self.sweepAll()
        self.assertEqual(self.r.pop().large, large)
        self.assertEqual(self.parts(large), [b"one", b"two"])
        self.assertEqual(self.parts(self.r.pop().large), [b"three"])

    def test_discard(self) -> None:
        """A discarded message lets its body go when that is committed, not before."""
        large = self.pushLarge(b"q", b"one")
        self.push(b"q", b"small")
        with self.undone() as store:
            store.discard(store.pop(b"q"))
        self.sweepAll()
        self.assertEqual(self.parts(large), [b"one"])
        with self.done() as store:
            for _ in range(2):
                store.discard(store.pop(b"q"))
        self.assertGone(large.id)
        self.assertHolds("q 2/2")
