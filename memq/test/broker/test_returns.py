"""Messages that go back; on a full disk: test_fullbroker, open reads: test_opened."""

from __future__ import annotations

from twisted.logger import LogLevel, capturedLogs, formatEvent

from memq.errors import StoreError, StoreFailed
from memq.message import Message
from memq.storage.memory import MemoryStore
from memq.test.broker.test_broker import BrokerTestCase


class PutBackTests(BrokerTestCase):
    """A message that was taken for nobody goes back."""

    def taken(self) -> Message:
        """Return the head of q, taken."""
        message = MemoryStore.pop(self.store, b"q")
        MemoryStore.commit(self.store)
        assert isinstance(message, Message)
        return message

    def test_place(self) -> None:
        """It goes back to its old place."""
        self.store.fill(b"q", b"a", b"b")
        message = self.taken()
        self.broker.putBack(b"q", message)
        self.settle()
        self.assertEqual(self.store.dump(), "q 2/0: a b")
        self.assertEqual(self.store.journal, ["begin", "commit", "flush"])

    def test_several(self) -> None:
        """Several do, in whatever order they come."""
        self.store.fill(b"q", b"a", b"b", b"c")
        messages = [self.taken() for _ in range(3)]
        for message in messages[1:] + messages[:1]:
            self.broker.putBack(b"q", message)
        self.settle()
        self.assertEqual(self.store.dump(), "q 3/0: a b c")

    def test_deleted(self) -> None:
        """If its queue was deleted meanwhile, it shares the fate of the others."""
        self.store.fill(b"q", b"a")
        message = self.taken()
        self.asker.delete()
        self.broker.putBack(b"q", message)
        with capturedLogs() as events:
            self.settle()
        self.assertEqual(self.store.dump(), "")
        self.assertEqual(events, [])

    def test_error(self) -> None:
        """A message that cannot go back is one lost: that is logged as critical."""
        self.store.fill(b"q", b"a")
        message = self.taken()
        self.store.refuse("putBack", StoreError("no room"))
        self.broker.putBack(b"q", message)
        with capturedLogs() as events:
            self.settle()
        self.assertEqual(
            [
                str(formatEvent(event))
                for event in events
                if event["log_level"] == LogLevel.critical
            ],
            ["A message of queue q was taken and never delivered: no room"],
        )

    def test_failed(self) -> None:
        """When the store has failed, why is the last critical line all the same."""
        self.store.fill(b"q", b"a")
        message = self.taken()
        self.broker.fail(StoreFailed("the disk is gone"))
        self.broker.putBack(b"q", message)
        with capturedLogs() as events:
            self.settle()
        self.assertEqual(
            [(str(formatEvent(event)), event["log_level"]) for event in events],
            [
                (
                    "A message of queue q was taken and never delivered: "
                    "the disk is gone",
                    LogLevel.error,
                )
            ],
        )
