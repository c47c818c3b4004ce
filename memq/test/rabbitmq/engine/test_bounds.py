"""Tests for memq.rabbitmq.asking.bounds: each command is answered in time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from memq.operations.base import Spent
from memq.operations.openreads.ending import ENDED_AT_ONCE
from memq.operations.openreads.openmany import OPENED_BYTES
from memq.policy.rules import Rules, Table
from memq.rabbitmq.asking.base import UNREACHABLE
from memq.rabbitmq.asking.bounds import TOO_LATE, opening, taking
from memq.rabbitmq.engine.moving import BACK, TOGETHER
from memq.test.rabbitmq.engine.front import FrontTestCase

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds within which each command is answered, as promised, with the usual timeout.
PROMISED = 6.0
#: Seconds of a step of the tests.
STEP = 0.05
BODIES = [b"a", b"b", b"c"]


class BoundTests(FrontTestCase):
    """Nodes that never answer, at each step of a command, and nodes that are slow."""

    def start(self, *before: str) -> None:
        """Begin anew, with three queues of messages, and some commands before."""
        self.begin(Rules([Table(b"x", {"max_open": 100})]))
        for queue in "qrs":
            self.cluster.make(queue, *BODIES)
        self.cluster.make("t")
        self.cluster.bury("t", "q", *BODIES)
        for command in before:
            self.ask(command)

    def stopAfter(self, most: int) -> list[Callable[[], object]]:
        """Let the nodes answer so many questions; return what the others are told."""
        asked = 0
        late: list[Callable[[], object]] = []
        answers = self.cluster.ask

        def _ask(what: str, queue: str, answer: Callable[[], object]) -> None:
            nonlocal asked
            asked += 1
            if asked > most:
                late.append(answer)
            else:
                answers(what, queue, answer)

        self.patch(self.cluster, "ask", _ask)
        return late

    def took(self, *commands: str) -> tuple[float, list[str]]:
        """Return the seconds until all commands are answered, and the replies."""
        self.client.send(*commands)
        replies: list[str] = []
        steps = 0
        while True:
            replies += self.client.replies()
            if not self.front.engine.waiting:
                return steps * STEP, replies
            self.assertLess(steps * STEP, 3 * PROMISED, commands)
            self.front.clock.advance(STEP)
            steps += 1

    def kept(self, replies: list[str], late: list[Callable[[], object]]) -> None:
        """Check that nothing is lost or stays open, once what is late is answered."""
        self.cluster.events += late
        late.clear()
        answers = type(self.cluster).ask
        self.patch(self.cluster, "ask", partial(answers, self.cluster))
        self.front.pass_(1)
        self.client.leave()
        self.front.pass_(2)
        self.assertEqual(self.cluster.held(), [])
        there = [body for each in "qrst" for body in self.cluster.bodies(each)]
        there += [each.encode() for each in replies if each in {"a", "b", "c"}]
        for body in BODIES:
            self.assertGreaterEqual(there.count(body), 4)

    def check(
        self, *commands: str, before: tuple[str, ...] = (), loses: bool = False
    ) -> int:
        """Check all steps of some commands; return how many there are.

        :param loses: whether they delete messages.
        """
        most = 0
        while True:
            self.start(*before)
            late = self.stopAfter(most)
            seconds, replies = self.took(*commands)
            self.assertLessEqual(seconds, PROMISED, (commands, most, replies))
            if not late:
                # Nothing is silent any more.
                self.assertEqual(seconds, 0, commands)
                return most
            if not loses:
                self.kept(replies, late)
            most += 1

    def test_peek(self) -> None:
        """A peek opens and gives back."""
        self.assertGreater(self.check("get q/peek"), 2)
        self.check("peek q 3")
        self.check("stats peek q")

    def test_open(self) -> None:
        """Opens, of one message or several, of one queue or another."""
        self.check("get q/open")
        self.assertGreater(self.check("monitor q 0 3"), 5)
        self.check("monitor q 1 3")

    def test_get(self) -> None:
        """Plain gets, of one queue or several, that came together or not."""
        self.check("get q")
        self.check("get q r s")
        self.check("get q", "get q", "get q")
        self.check("get q/open r/open s/open")

    def test_move(self) -> None:
        """Moves and redrives."""
        self.assertGreater(self.check("move q r"), 5)
        self.assertGreater(self.check("redrive t"), 5)

    def test_queues(self) -> None:
        """What is done to queues, and what tells of them."""
        self.check("stats")
        for command in "delete q", "flush q", "pause q", "resume q", "add u 5":
            self.check(command, loses=True)

    def test_end(self) -> None:
        """The end of open reads: one, several, or one and the next open."""
        several = "monitor q 0 3"
        self.check("get q/abort", before=("get q/open",))
        self.check("confirm q 3", before=(several,), loses=True)
        self.check("get q/close", before=("get q/open",), loses=True)
        self.check("get q/close/open", before=("get q/open",), loses=True)

    def slow(self, seconds: float, *others: str) -> None:
        """Let each answer with a message take some time, and others."""
        answers = self.cluster.ask

        def _ask(what: str, queue: str, answer: Callable[[], object]) -> None:
            # What tells of pauses is as fast as ever.
            wait = seconds if what in {"open", "get", *others} else 0
            self.front.clock.callLater(wait, answers, what, queue, answer)

        self.patch(self.cluster, "ask", _ask)

    def test_slow(self) -> None:
        """Slow answers together take no longer than one, but for those of a move."""
        commands = [("peek q 3",), ("monitor q 0 3",), ("get q/peek",), ("get q",) * 4]
        for each in commands:
            self.start()
            self.slow(2.4)
            seconds, replies = self.took(*each)
            self.assertLessEqual(seconds, PROMISED, (each, replies))
            self.front.pass_(10)
            self.kept(replies, [])
        self.start()
        self.slow(2.4)
        seconds, replies = self.took("move q r")
        self.assertEqual(replies, ["MOVED 3"])
        self.assertGreater(seconds, PROMISED)

    def test_oneTime(self) -> None:
        """A command that is several operations has one time for them all."""
        names = " ".join("qrst" * 3)
        for command in f"get {names}", "get q/open r/open s/open t/peek q/peek":
            self.start()
            self.slow(2.4)
            seconds, replies = self.took(command)
            self.assertLessEqual(seconds, PROMISED, (command, replies))
            self.assertIn("a", replies)
            self.assertIn("SERVER_ERROR", replies[-1])
            self.front.pass_(10)
            self.kept(replies, [])

    def test_oneTimeOver(self) -> None:
        """What is not asked for in that time has taken nothing, and is told so."""
        self.start()
        self.cluster.make("v")
        self.ask("get v")
        self.slow(2.55)
        seconds, replies = self.took("get q r s", "get v")
        self.assertLessEqual(seconds, PROMISED + 2.55)
        self.assertEqual(replies[-2:], [f"SERVER_ERROR {TOO_LATE}", "END"])
        self.assertEqual(self.cluster.bodies("s"), BODIES)

    def test_monitor(self) -> None:
        """A monitor of many messages ends with what it has, in the time of one."""
        self.start()
        self.cluster.make("u", *[b"x"] * 200)
        self.slow(0.05)
        seconds, replies = self.took("monitor u 0 200")
        self.assertLessEqual(seconds, PROMISED)
        self.assertEqual((replies.count("x"), replies[-1]), (100, "END"))
        self.assertEqual(len(self.cluster.held()), 100)
        seconds, replies = self.took("monitor u 0 9")
        self.assertEqual((replies.count("x"), replies[-1]), (9, "END"))

    def test_monitorSlices(self) -> None:
        """So does one whose time is over between two slices."""
        self.start()
        body = "x" * -(-OPENED_BYTES // 5)
        self.cluster.make("u", *[body.encode()] * 20)
        self.ask("get u/peek")
        self.slow(1.01)
        seconds, replies = self.took("monitor u 0 20")
        self.assertLessEqual(seconds, PROMISED)
        self.assertEqual((replies.count(body), replies[-1]), (5, "END"))

    def test_confirmSlices(self) -> None:
        """A confirm of many messages has one time, and those go back that are left."""
        self.start()
        count = 3 * ENDED_AT_ONCE
        self.cluster.make("u", *[b"x"] * count)
        self.ask(f"monitor u 0 {count}")
        self.slow(4.0, "declare")
        seconds, replies = self.took(f"confirm u {count}")
        self.assertLessEqual(seconds, PROMISED)
        self.assertEqual(len(replies), 1)
        self.assertIn("SERVER_ERROR", replies[0])

    def test_unread(self) -> None:
        """The time in which a client does not read is none of the nodes'."""
        spent = Spent()
        self.assertEqual((spent.begin(1.0), spent.total(3.0)), (1.0, 2.0))
        spent.end(3.0)
        self.assertEqual((spent.begin(9.0), spent.total(10.0)), (7.0, 3.0))

    def test_late(self) -> None:
        """A late word that there is no message is of no concern."""
        self.start()
        asked = self.front.engine.asked
        opening(asked.openReads, b"q").late(None)
        taking(asked.gets, b"q").late(None)
        self.front.settle()
        self.assertEqual(self.cluster.bodies("q"), BODIES)

    def test_backOfMany(self) -> None:
        """What goes back is sent, even when what went before was not answered."""
        bodies = [b"%04d" % each for each in range(BACK + TOGETHER)]
        self.start()
        self.cluster.make("t", *bodies)
        asks = self.cluster.ask
        late: list[Callable[[], object]] = []

        def _ask(what: str, queue: str, answer: Callable[[], object]) -> None:
            # Channels and opens are answered, but not what tells the end of these.
            isEnd = late or self.cluster.log.count("open t") == len(bodies)
            if isEnd and what not in {"open", ""}:
                late.append(answer)
            else:
                asks(what, queue, answer)

        self.patch(self.cluster, "ask", _ask)
        seconds, replies = self.took("redrive t")
        self.assertLessEqual(seconds, PROMISED)
        self.assertIn("moved 0", replies[0])
        self.assertEqual(self.cluster.held(), [])
        self.assertEqual(sorted(self.cluster.bodies("t")), bodies)

    def test_behind(self) -> None:
        """Gets behind one that is not answered have not been asked for."""
        self.start()
        self.cluster.stuck.add("q")
        seconds, replies = self.took("get q", "get r", "get s", "version")
        self.assertLessEqual(seconds, PROMISED)
        self.assertEqual(replies[1:3], [f"SERVER_ERROR {UNREACHABLE}"] * 2)
        self.assertNotIn("get r", self.cluster.log)
