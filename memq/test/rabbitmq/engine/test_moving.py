"""Tests for memq.rabbitmq.engine.moving."""

from __future__ import annotations

from memq.errors import NotStored, Refusing
from memq.policy.rule import WRITES
from memq.policy.rules import Rules, Table
from memq.rabbitmq.asking.base import UNANSWERED, UNREACHABLE
from memq.rabbitmq.asking.deliveries import LOST
from memq.rabbitmq.engine.answers import COUNTED
from memq.rabbitmq.engine.moving import (
    BACK,
    HELD,
    TOGETHER,
    TOGETHER_BYTES,
    TOO_MANY,
)
from memq.rabbitmq.errors import ClusterFull, Unsure
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
        self.assertEqual(
            self.ask("move f t"), [f"SERVER_ERROR {ClusterFull()}, moved 2"]
        )
        self.assertEqual((self.bodies("f"), self.bodies("t")), (b"a", b"bc"))

    def test_unanswered(self) -> None:
        """So is one of the queue that they come from."""
        self.cluster.stuck.add("f")
        self.client.send("move f t")
        self.front.pass_(5.5)
        self.assertEqual(self.client.replies(), [f"SERVER_ERROR {UNANSWERED}, moved 0"])

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
        self.assertEqual(self.client.replies(), [f"SERVER_ERROR {UNANSWERED}, moved 0"])

    def test_lost(self) -> None:
        """A message that may be in both is told as an error."""
        self.cluster.stuck.add("t")
        self.assertEqual(self.ask("move f t 1"), [])
        for link in self.front.links:
            link.down()
            link.up()
        self.cluster.unstick()
        self.assertEqual(self.client.replies(), [f"SERVER_ERROR {LOST}, moved 0"])
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


class RedriveTests(FrontTestCase):
    """Dead letters go back to their first queues."""

    def setUp(self) -> None:
        """Begin with letters of two queues, and others."""
        super().setUp()
        self.cluster.make("dead", b"0")
        self.bury()

    def bury(self) -> None:
        """Bury some of each."""
        self.cluster.bury("dead", "q", b"1", b"2")
        self.cluster.bury("dead", "dead", b"3")
        self.cluster.bury("dead", "r", b"4")
        self.cluster.bury("dead", "q", b"5")

    def holds(self, **queues: bytes) -> None:
        """Check the bodies of queues, and that none is open."""
        found = {each: b"".join(self.cluster.bodies(each)) for each in queues}
        self.assertEqual((found, self.cluster.held()), (queues, []))

    def test_all(self) -> None:
        """Each goes to its own, in order; those without an origin stay."""
        self.set("q", "x")
        self.assertEqual(self.ask("redrive dead"), ["MOVED 4"])
        self.holds(dead=b"03", q=b"x125", r=b"4")
        again = {"f": 7, "t": 0}
        self.assertEqual([each for each, _ in self.cluster.queues["r"]], [again])
        self.assertEqual(self.ask("redrive dead", "redrive none"), ["MOVED 0"] * 2)
        self.assertEqual(self.ask("get r/open"), ["VALUE r/open 7 1", "4", "END"])

    def test_most(self) -> None:
        """It moves as many as it is told."""
        self.assertEqual(self.ask("redrive dead 2"), ["MOVED 2"])
        self.holds(dead=b"0345", q=b"12")

    def test_many(self) -> None:
        """Many move some at a time, and so do those go back that stay."""
        bodies = [b"%04d" % each for each in range(BACK + TOGETHER)]
        self.cluster.make("dead", *bodies)
        self.cluster.bury("dead", "q", *bodies)
        self.assertEqual(self.ask("redrive dead"), [f"MOVED {len(bodies)}"])
        self.holds(dead=b"".join(bodies), q=b"".join(bodies))

    def mostOpen(self, command: str) -> tuple[int, list[str]]:
        """Return how many were open at a time during a command, and the replies."""
        self.client.send(command)
        self.front.clock.advance(0)
        most = 0
        while self.cluster.events:
            self.cluster.events.popleft()()
            most = max(most, len(self.cluster.held()))
            self.front.clock.advance(0)
        return most, self.client.replies()

    def test_held(self) -> None:
        """So many are held back that stay; where there are more, it ends with words."""
        bodies = [b"%04d" % each for each in range(HELD + 1)]
        self.cluster.make("dead")
        self.cluster.bury("dead", "q", b"a", b"b")
        self.cluster.bury("dead", "dead", *bodies)
        self.assertEqual(self.ask("redrive dead"), ["MOVED 2"])
        self.holds(dead=b"".join(bodies), q=b"ab")
        self.cluster.bury("dead", "q", b"c")
        self.cluster.queues["dead"].rotate(1)
        self.cluster.bury("dead", "q", b"d")
        most, replies = self.mostOpen("redrive dead")
        self.assertEqual(replies, [f"SERVER_ERROR {TOO_MANY}, moved 1"])
        self.assertLessEqual(most, HELD + 1 + TOGETHER)
        self.assertIn(b"d", self.cluster.bodies("dead"))
        self.holds(q=b"abc", dead=b"".join(self.cluster.bodies("dead")))
        self.assertEqual(len(self.cluster.queues["dead"]), HELD + 2)

    def test_heldRefused(self) -> None:
        """Those count that no queue takes; and an error of these is told instead."""
        bodies = [b"%04d" % each for each in range(HELD)]
        self.cluster.make("dead")
        self.cluster.bury("dead", "dead", *bodies)
        self.cluster.bury("dead", "r", b"a", b"b", *[b"x"] * TOGETHER)
        self.cluster.make("r", b"x")
        self.front.publisher.limits["r"] = 1
        self.assertEqual(
            self.ask("redrive dead"), [f"SERVER_ERROR {TOO_MANY}, moved 0"]
        )
        self.front.publisher.errors = [Unsure()] * TOGETHER
        self.assertEqual(
            self.ask("redrive dead"), [f"SERVER_ERROR {Unsure()}, moved 0"]
        )
        self.assertEqual(self.cluster.held(), [])

    def test_large(self) -> None:
        """Of large ones fewer are on their way together, redriven or moved."""
        body = b"x" * (TOGETHER_BYTES // 3)
        self.cluster.make("dead")
        self.cluster.bury("dead", "q", *[body] * 9)
        self.assertEqual(self.mostOpen("redrive dead"), (4, ["MOVED 9"]))
        self.assertEqual(self.mostOpen("move q r"), (4, ["MOVED 9"]))

    def test_othersTake(self) -> None:
        """What others have taken meanwhile is not looked for."""
        self.client.send("redrive dead")
        self.front.clock.advance(0)
        while "open dead" not in self.cluster.log:
            self.cluster.events.popleft()()
        self.cluster.queues["dead"].pop()
        self.assertEqual(self.client.replies(), ["MOVED 3"])

    def test_expiry(self) -> None:
        """One that died of its age does not expire again, moved or redriven."""
        died = [{"queue": "q", "reason": "expired"}]
        self.cluster.make("dead")
        self.cluster.bury("dead", "q", b"a", b"b", **{EXPIRES: 1, "x-death": died})
        asked = "stats peek dead", "move dead t 1", "redrive dead"
        told = self.ask(*asked)
        self.assertEqual(told[-2:], ["MOVED 1", "MOVED 1"])
        self.assertEqual(self.front.publisher.expirations, [])
        self.holds(dead=b"", q=b"b", t=b"a")

    def test_told(self) -> None:
        """A look tells the origin; how often it was tried there nobody knows."""
        self.cluster.make("dead")
        self.cluster.bury("dead", "q", b"a")
        told = ["STAT deliveries 0", "STAT origin q", "STAT reason deliveries"]
        self.assertEqual(
            self.ask("stats peek dead")[5:], [*told, "STAT since 0", "END"]
        )
        self.assertEqual(self.ask("stats peek dead")[5], "STAT deliveries 1")

    def test_refused(self) -> None:
        """Those whose first queue takes none stay, and the others go."""
        self.begin(Rules([Table(b"q", {"paused": WRITES})]))
        self.cluster.make("dead")
        self.bury()
        self.cluster.make("r", b"x")
        self.front.publisher.limits["r"] = 1
        self.assertEqual(self.ask("redrive dead"), ["NOT_STORED"])
        self.assertEqual(
            sorted(self.cluster.bodies("dead")), [*map(b"%d".__mod__, range(1, 6))]
        )
        self.front.publisher.limits["r"] = 0
        self.assertEqual(self.ask("redrive dead"), ["MOVED 1"])
        self.holds(r=b"x4")

    def test_paused(self) -> None:
        """A pause that another front end has made holds here."""
        self.assertEqual(self.ask("pause q", "redrive dead"), ["OK", "MOVED 1"])
        self.holds(dead=b"01235", r=b"4")

    def test_unknown(self) -> None:
        """Where nobody tells whether a queue is paused, nothing moves."""
        pauses = self.front.engine.asked.pauses
        self.patch(pauses, "knows", lambda queue: False)
        self.patch(pauses, "look", lambda queue, done: done(ClusterFull()))
        error = f"SERVER_ERROR {UNREACHABLE}, moved 0"
        self.assertEqual(self.ask("redrive dead"), [error])
        self.holds(dead=b"012345")

    def test_counted(self) -> None:
        """Where going back counts it is refused."""
        self.begin(Rules([Table(b"dead", {"max_deliveries": 5})]))
        self.cluster.make("dead")
        self.bury()
        self.assertEqual(self.ask("redrive dead"), [f"SERVER_ERROR {COUNTED}"])
        self.holds(dead=b"12345")

    def test_unsure(self) -> None:
        """What may be set stops it; what has moved is told, and the letter stays."""
        bodies = [b"%d" % (each % 10) for each in range(TOGETHER)]
        self.cluster.make("dead")
        self.cluster.bury("dead", "q", *bodies, b"x", b"y")
        publish = self.front.publisher.publish

        def unsure(*args: object) -> None:
            if args[1] == b"x":
                self.front.publisher.errors = [Unsure()]
            publish(*args)  # type: ignore[arg-type]

        self.patch(self.front.publisher, "publish", unsure)
        error = f"SERVER_ERROR {Unsure()}, moved {TOGETHER + 1}"
        self.assertEqual(self.ask("redrive dead"), [error])
        self.holds(dead=b"x", q=b"".join([*bodies, b"y"]))

    def test_lost(self) -> None:
        """So does a letter that went back while it was set."""
        self.cluster.stuck.add("r")
        self.assertEqual(self.ask("redrive dead"), [])
        for link in self.front.links:
            link.down()
            link.up()
        self.cluster.unstick()
        self.assertEqual(self.client.replies(), [f"SERVER_ERROR {LOST}, moved 0"])
        self.assertEqual(
            sorted(self.cluster.bodies("dead")), [*map(b"%d".__mod__, range(6))]
        )

    def test_unanswered(self) -> None:
        """So does a queue that does not answer, at first or later."""
        error = f"SERVER_ERROR {UNANSWERED}, moved 0"
        self.client.send("redrive dead")
        self.front.clock.advance(0)
        while "open dead" not in self.cluster.log:
            self.cluster.events.popleft()()
        self.cluster.stuck.add("dead")
        self.cluster.events.clear()
        self.front.pass_(5.5)
        self.assertEqual(self.client.replies(), [error])
        self.client.send("redrive dead")
        self.front.pass_(5.5)
        self.assertEqual(self.client.replies(), [error])

    def test_stopping(self) -> None:
        """The end of the server cuts it."""
        self.front.engine.stop()
        cut = ["SERVER_ERROR the server is stopping, moved 0"]
        self.assertEqual(self.ask("redrive dead"), cut)
        self.holds(dead=b"012345")

    def test_gone(self) -> None:
        """So does the end of its client, and what was opened goes back."""
        self.client.send("redrive dead")
        self.front.clock.advance(0)
        self.client.leave()
        self.front.settle()
        self.holds(dead=b"012345")
