"""Commands without a body: their table, and upkeep; what all say: test_sessions."""

from __future__ import annotations

from typing import get_args

from twisted.trial.unittest import SynchronousTestCase

from memq.commands.handlers import VERBS
from memq.errors import StoreError, StoreFailed
from memq.test.commands.test_protocol import STORED, ProtocolTestCase, put
from memq.test.support.sessions import VERSION
from memq.wire import extensions as dialect
from memq.wire import text as wire


class TableTests(SynchronousTestCase):
    """The table of commands."""

    def test_all(self) -> None:
        """Whatever a line can ask for is there, but for gets and what has a body."""
        self.assertEqual(
            set(VERBS), {*get_args(wire.Command)} - {wire.Get, wire.Set, dialect.Add}
        )


class MaintenanceTests(ProtocolTestCase):
    """The commands db_checkpoint and db_archive."""

    def test_checkpoint(self) -> None:
        """A checkpoint is OK when it is made, and superfluous logs are gone."""
        self.client.send(b"db_checkpoint\r\n")
        self.runTurns()
        self.assertEqual(self.client.read(), b"")
        self.asks(b"", b"OK\r\n")
        self.assertEqual(self.store.journal, ["checkpoint", "removeLogs"])

    def test_archive(self) -> None:
        """An archive removes logs only."""
        self.asks(b"db_archive\r\n", b"OK\r\n")
        self.assertEqual(self.store.journal, ["removeLogs"])

    def test_error(self) -> None:
        """A command that failed is an ERROR in its place, and logged."""
        self.store.refuse("checkpoint", StoreError("no room"))
        self.store.refuse("removeLogs", StoreError("not mine"))
        self.asks(
            b"db_checkpoint\r\nversion\r\ndb_archive\r\nversion\r\n",
            b"ERROR\r\n" + VERSION + b"ERROR\r\n" + VERSION,
        )
        errors = [str(failure.value) for failure in self.flushLoggedErrors(StoreError)]
        self.assertEqual(errors, ["no room", "not mine"])

    def test_failed(self) -> None:
        """A failure that the store cannot come back from ends the broker."""
        failures: list[StoreFailed] = []
        self.harness.onFailure = failures.append
        self.store.refuse("checkpoint", StoreFailed("the disk is gone"))
        self.asks(put(b"q", b"a") + b"db_checkpoint\r\n", STORED + b"ERROR\r\n")
        self.assertEqual(list(map(str, failures)), ["the disk is gone"])
        self.asks(b"get q\r\n", b"SERVER_ERROR the disk is gone\r\n")
        self.flushLoggedErrors(StoreFailed)

    def test_gone(self) -> None:
        """A client that does not wait for it costs nothing."""
        self.client.send(b"db_checkpoint\r\n")
        self.client.end()
        self.assertEqual(self.client.read(), b"")
