"""Tests for memq.rabbitmq.engine.moving."""

from __future__ import annotations

from memq.errors import NotStored, Refusing
from memq.policy.rule import WRITES
from memq.policy.rules import Rules, Table
from memq.rabbitmq.asking.base import UNANSWERED
from memq.rabbitmq.asking.deliveries import LOST
from memq.rabbitmq.engine.moving import TOGETHER
from memq.rabbitmq.errors import ClusterFull
from memq.rabbitmq.names import EXPIRES
from memq.test.rabbitmq.engine.front import FrontTestCase


class MoveTests(FrontTestCase):
    """Moves between queues."""

    def setUp(self) -> None:
        """Begin with a queue."""
        super().setUp()
        self.set("f", "a", "b", "c")

    def bodies(self, queue: str) -> bytes:
        """Return the bodies of a queue, together."""
        return b"".join(self.cluster.bodies(queue))

    def test_moved(self) -> None:
        """Messages move in their order, as many as are asked for."""
        self.assertEqual(self.ask("move f t 2"), ["MOVED 2"])
        self.assertEqual((self.bodies("f"), self.bodies("t")), (b"c", b"ab"))
        self.assertEqual(self.ask("move f t", "move f t"), ["MOVED 1", "MOVED 0"])
        self.assertEqual(self.bodies("t"), b"abc")
        self.assertEqual(self.ask("move none t"), ["MOVED 0"])
        self.assertEqual(self.ask("stats queue")[0], "STAT f 3/3")

    def test_many(self) -> None:
        """Many move some at a time."""
        bodies = [b"%04d" % each for each in range(TOGETHER * 2 + 5)]
        self.cluster.make("f", *bodies)
        self.assertEqual(self.ask("move f t"), [f"MOVED {len(bodies)}"])
        self.assertEqual(self.cluster.bodies("t"), bodies)

    def test_full(self) -> None:
        """What the other queue has no room for goes back."""
        full = NotStored(b"t", b"t", Refusing.FULL)
        self.front.publisher.errors = [full] * 3
        self.assertEqual(self.ask("move f t"), ["NOT_STORED"])
        self.assertEqual(sorted(self.bodies("f")), sorted(b"abc"))

    def test_paused(self) -> None:
        """A queue that a rule pauses is given none."""
        self.begin(Rules([Table(b"t", {"paused": WRITES})]))
        self.set("f", "a")
        self.assertEqual(self.ask("move f t"), ["NOT_STORED"])
        self.front.engine.policies.replace(Rules([Table(b"t", {"max_open": 1})]))
        self.assertEqual(self.ask("move f t"), ["MOVED 1"])

    def test_error(self) -> None:
        """An error is told, and what was not set goes back."""
        self.front.publisher.errors = [ClusterFull()]
        self.assertEqual(self.ask("move f t"), [f"SERVER_ERROR {ClusterFull()}"])
        self.assertEqual((self.bodies("f"), self.bodies("t")), (b"a", b"bc"))

    def test_unanswered(self) -> None:
        """So is one of the queue that they come from."""
        self.cluster.stuck.add("f")
        self.client.send("move f t")
        self.front.pass_(5.5)
        self.assertEqual(self.client.replies(), [f"SERVER_ERROR {UNANSWERED}"])

    def test_unansweredOpen(self) -> None:
        """What was opened before that moves."""
        self.client.send("move f t")
        self.front.clock.advance(0)
        while len(self.cluster.bodies("f")) > 1:
            self.cluster.events.popleft()()
        self.cluster.stuck.add("f")
        self.front.settle()
        self.cluster.unstick()
        self.front.settle()
        self.assertEqual(self.client.replies(), ["MOVED 3"])
        self.set("f", "d")
        self.client.send("move f t")
        self.front.clock.advance(0)
        while not self.cluster.log[-1].startswith("open"):
            self.cluster.events.popleft()()
        self.cluster.stuck.add("f")
        self.cluster.events.clear()
        self.front.pass_(5.5)
        self.assertEqual(self.client.replies(), [f"SERVER_ERROR {UNANSWERED}"])

    def test_lost(self) -> None:
        """A message that may be in both is told as an error."""
        self.cluster.stuck.add("t")
        self.assertEqual(self.ask("move f t 1"), [])
        for link in self.front.links:
            link.down()
            link.up()
        self.cluster.unstick()
        self.assertEqual(self.client.replies(), [f"SERVER_ERROR {LOST}"])
        self.assertEqual((self.bodies("f"), self.bodies("t")), (b"abc", b"a"))

    def test_stopping(self) -> None:
        """The end of the server cuts a move."""
        self.front.engine.stop()
        cut = ["SERVER_ERROR the server is stopping, moved 0"]
        self.assertEqual(self.ask("move f t"), cut)

    def test_expires(self) -> None:
        """A message keeps its expiry time, and has what is left of that."""
        self.begin(Rules([Table(b"f", {"honor_exptime": True})]))
        self.assertEqual(self.ask("set f 0 60 1", "a"), ["STORED"])
        self.set("f", "b")
        self.front.pass_(10)
        self.assertEqual(self.ask("move f t", "move t f"), ["MOVED 2", "MOVED 2"])
        self.assertEqual(self.front.publisher.expirations, ["60000", "50000", "50000"])
        headers = [headers.get(EXPIRES) for headers, _ in self.cluster.queues["f"]]
        self.assertEqual(headers, [60000, None])

    def test_expired(self) -> None:
        """One that has expired, and was not dropped, is dropped there."""
        self.begin(Rules([Table(b"f", {"honor_exptime": True})]))
        self.assertEqual(self.ask("set f 0 60 1", "a"), ["STORED"])
        self.front.pass_(61)
        self.assertEqual(self.ask("move f t"), ["MOVED 1"])
        self.assertEqual(self.front.publisher.expirations, ["60000", "0"])
        self.cluster.make("f")
        self.assertEqual(self.ask("set f 0 60 1", "a"), ["STORED"])
        self.front.pass_(61)
        # What the cluster gives out is given out.
        self.assertEqual(self.ask("get f/open", "get f/close")[1], "a")
