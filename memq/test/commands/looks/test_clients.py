"""Who is connected is told, and a connection is cut off."""

from __future__ import annotations

from unittest.mock import patch

from memq.commands import details
from memq.test.commands.test_protocol import END, TwoClientsTestCase, put
from memq.wire.forms import NOT_FOUND, OK


def told(id: int, more: bytes = b"") -> bytes:
    """Return what is told of a client that does little."""
    figures = {
        b"addr": b"192.168.1.1:54321",
        b"since": b"0.000",
        b"protocol": b"text",
        b"open": b"0",
        b"outstanding": b"0",
    }
    for word in more.split():
        name, _, value = word.partition(b"=")
        figures[name] = value
    return b"".join(
        b"STAT %d:%b %b\r\n" % (id, name, value) for name, value in figures.items()
    )


class ClientsTests(TwoClientsTestCase):
    """A server with two clients."""

    def test_told(self) -> None:
        """Each is told: what it has open, what it waits for, and what is unanswered."""
        self.store.fill(b"q", b"a")
        self.other.talk(b"get q/open\r\nget r/t=1000\r\n" + put(b"q", b"b"))
        self.asks(
            b"stats conns\r\n",
            told(1, b"outstanding=1") + told(2, b"open=1 outstanding=2 waits=r") + END,
        )

    def test_slices(self) -> None:
        """Many are told some at a time; those that leave meanwhile are left out."""
        clients = [self.harness.connect() for _ in range(5)]
        clients[1].end()
        with patch.object(details, "AT_ONCE", 2):
            reply = self.client.talk(b"stats conns\r\n")
            self.assertEqual(
                reply,
                told(1, b"outstanding=1") + b"".join(map(told, (2, 3, 5, 6, 7))) + END,
            )
            self.client.send(b"stats conns\r\n")
            self.harness.reactor.iterate()
            clients[4].leave()
            clients[3].leave()
            self.harness.connect()
            self.harness.settle()
        self.assertIn(END, self.client.read())

    def test_kill(self) -> None:
        """What a connection has open goes back when it is cut off."""
        self.store.fill(b"q", b"a")
        self.other.talk(b"get q/open\r\n")
        self.asks(b"kill 2\r\n", OK)
        self.assertTrue(self.other.isClosed)
        self.other.end()
        self.assertEqual(self.store.dump(), "q 1/0: a")
        self.asks(b"kill 2\r\n", NOT_FOUND)
        self.asks(b"kill 1\r\n", OK)
        self.assertTrue(self.client.isClosed)
