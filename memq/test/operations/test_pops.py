"""Plain gets of queues that have got a policy by the time that they run."""

from __future__ import annotations

from memq.errors import StoreError
from memq.operations.base import MESSAGE_COST
from memq.operations.expiry import LOOK_COST
from memq.policy.rules import READS
from memq.test.commands.test_protocol import END, ProtocolTestCase, put, value
from memq.test.support.readers import rules

#: Messages without a body that expire in one look.
MANY = LOOK_COST // MESSAGE_COST


class JoinedTests(ProtocolTestCase):
    """Three gets of one packet, and then a rule."""

    def setUp(self) -> None:
        """Have messages, the last of which are new, and ask for them."""
        super().setUp()
        self.store.seconds = lambda: self.harness.timeOfDay
        self.store.fill(b"q", *[b""] * (2 * MANY))
        self.harness.timeOfDay += 5
        self.other = self.harness.connect()
        self.other.talk(put(b"q", b"a") + put(b"q", b"b"))
        self.client.send(b"get q\r\n" * 3 + put(b"q", b"c"))
        self.assertEqual(len(self.client.protocol.session.inbox), 2)

    def test_expired(self) -> None:
        """They find what has not expired, though that takes turns, and nothing else."""
        self.harness.policies.replace(rules(q={"max_age": 1000, "expired_to": b"old"}))
        other = self.harness.connect()
        self.assertEqual(
            other.talk(b"get old/t=9000\r\n"), value(b"old/t=9000", b"") + END
        )
        expected = value(b"q", b"a") + END + value(b"q", b"b") + END + END
        self.asks(b"", expected + b"STORED\r\n")
        self.assertTrue(self.client.protocol.outstanding.isSettled)

    def test_waiters(self) -> None:
        """Those that wait for the same queue go on with them, and all get one."""
        self.harness.policies.replace(rules(q={"paused": READS}))
        self.asks(b"", END * 3 + b"STORED\r\n")
        self.assertEqual(self.other.talk(b"get q/t=9000\r\n"), b"")
        self.client.send(b"get q\r\n")
        self.harness.policies.replace(rules(q={"max_age": 1000}))
        self.harness.settle()
        told = [self.other.read(), self.client.read()]
        self.assertEqual([reply.split(b"\r\n")[2] for reply in told], [b"END"] * 2)
        self.assertEqual({reply.split(b"\r\n")[1] for reply in told}, {b"a", b"b"})

    def test_undone(self) -> None:
        """A turn that is undone is run again one by one, and loses nothing."""
        self.harness.policies.replace(rules(q={"max_age": 1000}))
        self.harness.store.refuse("commit", StoreError("locks"), times=1)
        expected = value(b"q", b"a") + END + value(b"q", b"b") + END + END
        self.asks(b"", expected + b"STORED\r\n")
        detail = self.store.detail(b"q")
        assert detail is not None
        self.assertEqual((detail.expired, detail.items), (2 * MANY, 1))

    def test_plain(self) -> None:
        """So it is without a policy, each in a transaction of its own."""
        self.harness.store.refuse("commit", StoreError("locks"), times=1)
        self.assertEqual(self.client.talk(b"").count(b"VALUE q 0 0"), 3)
        detail = self.store.detail(b"q")
        assert detail is not None
        self.assertEqual((detail.taken, detail.items), (3, 2 * MANY))

    def test_gone(self) -> None:
        """A message that nobody is there to receive stays, or goes back."""
        self.harness.policies.replace(rules(q={"max_age": 1000}))
        self.runTurns()
        self.client.end()
        self.assertTrue(self.store.dump().endswith(": a b c"), self.store.dump()[-20:])
