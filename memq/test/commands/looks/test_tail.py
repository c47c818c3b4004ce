"""Tails: copies of what is set from now on."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from memq.commands.looks import tail as module
from memq.errors import StoreFailed
from memq.message import PART_SIZE
from memq.test.commands.test_protocol import (
    END,
    STORED,
    ProtocolTestCase,
    TwoClientsTestCase,
    put,
)
from memq.test.connection.test_arrivals import LastTransport
from memq.test.support.readers import rules
from memq.wire.forms import OK


def copy(queue: bytes, body: bytes, number: int, flags: int = 0) -> bytes:
    """Return how a copy is shown."""
    line = b"VALUE %b %d %d %d\r\n" % (queue, flags, len(body), number)
    return line + body + b"\r\n"


class TailTests(TwoClientsTestCase):
    """A client with a tail, and one that sets."""

    def setUp(self) -> None:
        """Begin the tail."""
        super().setUp()
        self.other.talk(put(b"q1", b"before"))
        self.asks(b"tail q*\r\n", OK)

    def taps(self) -> int:
        """Return how many there are."""
        return len(self.harness.broker.taps.watching)

    def test_copies(self) -> None:
        """What is set to queues that match is shown, and nothing else."""
        self.other.talk(put(b"q1", b"a") + put(b"r", b"b") + put(b"q2", b"c") * 2)
        self.assertEqual(
            self.client.read(),
            copy(b"q1", b"a", 1) + copy(b"q2", b"c", 0) + copy(b"q2", b"c", 1),
        )
        self.other.talk(b"get q1\r\nget q2/open\r\n" + put(b"r", b"b"))
        self.assertEqual(self.client.read(), b"")
        self.assertEqual(self.store.dump(), "q1 2/1: a\nq2 2/0: c\nr 2/0: b b")

    def test_durable(self) -> None:
        """A copy is shown when its message is durable, and not before."""
        self.other.send(put(b"q", b"a"))
        self.harness.reactor.iterate()
        self.assertEqual(self.client.read(), b"")
        self.harness.settle()
        self.assertEqual(self.client.read(), copy(b"q", b"a", 0))

    def test_lost(self) -> None:
        """What the store has lost is not shown."""
        self.other.send(put(b"q", b"a"))
        self.harness.reactor.iterate()
        self.harness.broker.fail(StoreFailed("the disk is gone"))
        self.harness.settle()
        self.assertEqual(self.client.read(), b"")

    def test_waiting(self) -> None:
        """Turns of others are told in order; the broker waits for no command of it."""
        for body in (b"a", b"b"):
            self.other.send(put(b"q", body))
            self.harness.reactor.iterate()
        self.assertEqual(self.harness.broker.waiting, 2)
        self.harness.settle()
        self.assertEqual(self.client.read(), copy(b"q", b"a", 0) + copy(b"q", b"b", 1))

    def test_delayed(self) -> None:
        """A delayed message is shown when it is set."""
        self.other.talk(put(b"q/delay=5", b"a"))
        self.assertEqual(self.client.read(), copy(b"q", b"a", 0))

    def test_large(self) -> None:
        """Of a body in parts the size is shown; none that is refused is shown."""
        large = b"x" * (PART_SIZE + 1)
        self.other.talk(put(b"q", large))
        self.assertEqual(self.client.read(), b"LARGE q 0 %d 0\r\n" % len(large))
        self.harness.policies.replace(rules(q={"max_items": 1}))
        self.other.talk(put(b"q", large) + put(b"q", b"a"))
        self.assertEqual(self.client.read(), b"")

    def test_fanout(self) -> None:
        """A set that goes to several queues is shown of each that matches."""
        self.harness.policies.replace(
            rules(s={"fanout": (b"q", b"r", b"qq"), "fanout_only": True})
        )
        self.other.talk(put(b"s", b"a"))
        self.assertEqual(self.client.read(), copy(b"q", b"a", 0) + copy(b"qq", b"a", 0))

    def test_notReading(self) -> None:
        """For a client that does not read they are dropped, and that is told."""
        self.client.stopReading()
        self.other.talk(put(b"q", b"a") * 3)
        self.assertEqual(self.client.read(), b"")
        self.client.startReading()
        self.other.talk(put(b"q", b"b"))
        self.assertEqual(self.client.read(), b"DROPPED 3\r\n" + copy(b"q", b"b", 3))
        self.pass_(2.0)
        self.assertEqual(self.client.read(), b"")

    def test_toldLater(self) -> None:
        """So where nothing follows, once it reads again."""
        self.client.stopReading()
        for _ in range(3):
            self.other.talk(put(b"q", b"a"))
        self.pass_(2.0)
        self.assertEqual(self.client.read(), b"")
        self.client.startReading()
        self.pass_(2.0)
        self.assertEqual(self.client.read(), b"DROPPED 3\r\n")
        self.assertEqual(self.harness.reactor.calls, [])

    def test_much(self) -> None:
        """Of one turn so many bytes are shown and no more."""
        with patch.object(module, "MOST_BYTES", 5):
            self.other.talk(put(b"q", b"aa") * 3)
        self.assertEqual(self.client.read().count(b"aa"), 2)
        self.pass_(2.0)
        self.assertEqual(self.client.read(), b"DROPPED 1\r\n")

    def test_names(self) -> None:
        """It remembers so many names and no more."""
        with patch.object(module, "_KNOWN", 2):
            for number in range(5):
                self.other.talk(put(b"q%d" % number, b"a"))
        self.assertEqual(self.client.read().count(b"VALUE"), 5)

    def test_last(self) -> None:
        """What its client sends behind it is dropped."""
        self.asks(b"version\r\n" + put(b"q", b"a"), b"")
        self.assertEqual(self.store.dump(), "q1 1/0: before")

    def test_leaves(self) -> None:
        """It ends when the client leaves, whatever was to be told."""
        self.client.stopReading()
        self.other.talk(put(b"q", b"a"))
        self.other.send(put(b"q", b"a"))
        self.harness.reactor.iterate()
        self.client.end()
        self.assertEqual(self.taps(), 0)
        self.assertEqual(self.harness.reactor.calls, [])
        self.assertEqual(self.harness.factory.lingering, 0)

    def test_stop(self) -> None:
        """It ends when the server stops."""
        done = self.harness.factory.finish()
        self.harness.settle()
        self.assertEqual(self.client.read(), END)
        self.assertTrue(self.client.isClosed)
        self.assertEqual(self.taps(), 0)
        for client in (self.client, self.other):
            client.leave()
        self.assertIsNone(self.successResultOf(done))

    def test_sendsNoMore(self) -> None:
        """It ends when its client sends no more."""
        client = self.harness.connect(LastTransport())
        self.assertEqual(client.talk(b"tail q\r\n"), OK)
        client.protocol.readConnectionLost()
        self.harness.settle()
        self.assertEqual(client.read(), END)
        self.assertEqual(self.taps(), 1)

    def test_tooMany(self) -> None:
        """There are so many and no more."""
        with patch.object(module, "MOST_TAILS", 2):
            self.assertEqual(self.other.talk(b"tail a\r\n"), OK)
            third = self.harness.connect()
            self.assertEqual(
                third.talk(b"tail a\r\n"), b"SERVER_ERROR too many tails\r\n"
            )
            self.client.end()
            self.assertEqual(third.talk(b"tail a\r\n"), OK)


class BehindTests(ProtocolTestCase):
    """A tail behind other commands."""

    def test_order(self) -> None:
        """It begins when they are answered."""
        sent: Any = put(b"q", b"a") + b"get q/t=1000\r\nget q/t=1000\r\ntail q\r\n"
        self.client.send(sent)
        self.harness.settle()
        self.harness.connect().talk(put(b"r", b"b"))
        self.assertEqual(self.client.read()[:8], STORED)
        self.harness.reactor.advance(1.0)
        self.harness.settle()
        self.assertIn(END + OK, self.client.read())
        self.harness.connect().talk(put(b"q", b"c"))
        self.assertIn(copy(b"q", b"c", 1), self.client.read())
