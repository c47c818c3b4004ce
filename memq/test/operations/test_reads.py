"""Reads that look for one message; waiting: test_waiters, open: test_openreads."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from memq.operations.base import Operation
from memq.operations.reads import Read
from memq.test.support.readers import Reader, ReaderTestCase


class ReadTests(ReaderTestCase):
    """Reads of a queue with three messages, the first of which is open."""

    def setUp(self) -> None:
        """Open one."""
        super().setUp()
        self.push(b"a", b"b", b"c")
        self.one, self.other = self.reader(), self.reader()
        self.one.open()
        self.settle()

    def test_peek(self) -> None:
        """A peek sees the next message, and leaves it."""
        self.other.peek()
        self.other.peek()
        self.turn()
        self.assertEqual(self.other.told, ["b", "b"])
        self.assertEqual((self.store.dump(), self.pool.pending), ("q 3/0: b c", 0))

    def test_peekNothing(self) -> None:
        """Where there is nothing it sees nothing, and an error as it is."""
        self.store.delete(b"q")
        self.store.commit()
        self.other.peek()
        self.settle()
        self.assertEqual(self.other.told, ["None"])

    def test_abstract(self) -> None:
        """A read has to say what it does."""
        read = Read(self.one.session, b"q")
        self.assertRaises(NotImplementedError, read.run, self.store)


class OperationTests(SynchronousTestCase):
    """Properties that all operations have."""

    def test_shown(self) -> None:
        """Most make no message visible."""
        session: Reader = None  # type: ignore[assignment]
        operation = Operation(session)  # type: ignore[arg-type]
        self.assertEqual(list(operation.madeVisible()), [])
