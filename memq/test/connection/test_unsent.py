"""Lost connections: their messages go back; those they had open: test_opened."""

from __future__ import annotations

from memq.test.commands.test_protocol import ProtocolTestCase, put


class LostTests(ProtocolTestCase):
    """Connections that end before all is answered."""

    def test_lostBeforeTurn(self) -> None:
        """A get whose client is gone before it ran takes nothing; a set counts."""
        self.store.fill(b"q", b"a")
        self.client.send(b"get q\r\n" + put(b"q", b"b") + b"gets q\r\nstats queue\r\n")
        self.client.leave()
        self.harness.settle()
        self.assertEqual(self.store.dump(), "q 2/0: a b")
        self.assertEqual(self.client.read(), b"")

    def test_lostDuringFlush(self) -> None:
        """A message whose client is gone before it is sent goes to its old place."""
        self.store.fill(b"q", b"a", b"b")
        self.client.send(b"get q\r\n" + put(b"q", b"c"))
        self.runTurns()
        self.assertEqual(self.store.dump(), "q 3/1: b c")
        self.client.leave()
        self.harness.settle()
        self.assertEqual(self.store.dump(), "q 3/0: a b c")

    def test_lostBehind(self) -> None:
        """So one that was only waiting for replies before it, without delay."""
        self.store.fill(b"q", b"a")
        self.client.send(b"db_checkpoint\r\nget q\r\n")
        self.runTurns()
        self.harness.flushPool.step()
        self.runTurns()
        self.assertEqual(self.store.dump(), "q 1/1:")
        self.client.leave()
        self.runTurns()
        self.assertEqual(self.store.dump(), "q 1/0: a")
        self.harness.settle()
        self.assertEqual(self.store.dump(), "q 1/0: a")

    def test_lostNotReading(self) -> None:
        """What was sent by a client that never read still counts."""
        self.store.fill(b"q", b"a")
        self.client.send(put(b"r", b"b") + b"get q\r\n")
        self.client.stopReading()
        self.harness.settle()
        self.assertEqual(self.store.dump(), "q 1/0: a")
        self.client.leave()
        self.harness.settle()
        self.assertEqual(self.store.dump(), "q 1/0: a\nr 1/0: b")

    def test_lostBodies(self) -> None:
        """Half a body of a client that is gone is forgotten."""
        self.client.send(b"set q 0 0 100\r\n" + b"x" * 50)
        self.client.leave()
        self.harness.settle()
        self.assertEqual(self.store.dump(), "")
        self.assertEqual(self.client.protocol.receiver.collected, b"")
        self.assertEqual(self.harness.factory.connections, set())
