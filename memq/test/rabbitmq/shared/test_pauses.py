"""Tests for memq.rabbitmq.shared: what one front end does holds for the others."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.logger import capturedLogs, formatEvent

from memq.policy.rules import Rules, Table
from memq.rabbitmq.asking.base import UNANSWERED, UNREACHABLE
from memq.rabbitmq.engine.moving import TOGETHER
from memq.rabbitmq.errors import ClusterFull
from memq.rabbitmq.shared import pauses as module
from memq.rabbitmq.shared.looks import BOUND, SHARE, SILENCE
from memq.rabbitmq.shared.looks import TOGETHER as ASKED
from memq.rabbitmq.shared.news import AGAIN, NEWS
from memq.rabbitmq.shared.pauses import EXCHANGES, FRESH, LEASE, PING, SOME
from memq.test.rabbitmq.engine.front import Client, Front, FrontTestCase
from memq.test.rabbitmq.fakes import FakeCluster

READS, WRITES = EXCHANGES.values()
REFUSED = f"SERVER_ERROR {UNREACHABLE}"


class SharedTests(FrontTestCase):
    """Two front ends over one cluster."""

    def setUp(self) -> None:
        """Begin with a queue that both have used."""
        super().setUp()
        self.other = Front(cluster=self.cluster)
        self.there = self.other.client()
        self.set("q", "a")
        self.assertEqual(self.tell("get q")[1:], ["a", "END"])

    @property
    def pauses(self) -> Any:
        """Return what the other one knows."""
        return self.other.engine.asked.pauses

    @property
    def news(self) -> Any:
        """Return the other one's link for news."""
        return self.other.links[-1]

    def tell(self, *lines: str, client: Client | None = None) -> list[str]:
        """Return what the other one answers."""
        return (client or self.there).ask(*lines)

    def pass_(self, seconds: float) -> None:
        """Let time pass for both."""
        self.front.pass_(seconds)
        self.other.pass_(seconds)

    # What is paused.

    def test_told(self) -> None:
        """What is paused by one is so for the other, at once, and so is the end."""
        self.assertEqual(self.ask("pause q"), ["OK"])
        self.assertEqual(self.tell("set q 0 0 1", "b"), ["NOT_STORED"])
        self.assertEqual(self.ask("resume q"), ["OK"])
        self.assertEqual(self.tell("set q 0 0 1", "b"), ["STORED"])
        self.assertEqual(self.ask("pause q reads"), ["OK"])
        self.assertEqual(self.tell("get q"), ["END"])
        self.assertEqual(self.tell("set q 0 0 1", "c"), ["STORED"])
        self.assertEqual(self.tell("pause q writes"), ["OK"])
        self.assertEqual(self.ask("set q 0 0 1", "d"), ["NOT_STORED"])
        self.assertEqual(self.tell("resume q", "get q")[2], "b")

    def test_shown(self) -> None:
        """What holds for a queue can be told, with a rule or without."""
        told: Any = self.front.engine.policies.told
        self.assertIsNone(told(b"q"))
        self.assertEqual(self.ask("pause q", "get q"), ["OK", "END"])
        self.assertTrue(told(b"q").writesArePaused)
        self.front.engine.policies.replace(Rules([Table(b"q", {"max_open": 1})]))
        self.assertEqual((told(b"q").paused, told(b"q").rule.maxOpen), (3, 1))

    def test_waits(self) -> None:
        """A read that waits goes on waiting, and has what is there at the end."""
        waiting = self.other.client()
        waiting.ask("get q/t=60000")
        self.assertEqual(self.ask("pause q reads"), ["OK"])
        self.set("q", "b")
        self.pass_(1)
        self.assertEqual(waiting.replies(), [])
        self.assertEqual(self.ask("resume q"), ["OK"])
        self.pass_(1)
        self.assertEqual(waiting.replies(), ["VALUE q/t=60000 0 1", "b", "END"])

    def test_cutOff(self) -> None:
        """Who was cut off holds to a pause before it does anything with the queue."""
        self.set("q", "b")
        for link in self.other.links:
            link.down()
        self.assertEqual(self.ask("pause q"), ["OK"])
        for link in self.other.links:
            link.up()
        self.assertEqual(self.tell("get q", "set q 0 0 1", "c"), ["END", "NOT_STORED"])

    def test_restart(self) -> None:
        """Who begins later holds to it as well: the cluster keeps it."""
        self.assertEqual(self.ask("pause q writes"), ["OK"])
        third = Front(cluster=self.cluster).client()
        self.assertEqual(third.ask("set q 0 0 1", "b"), ["NOT_STORED"])

    def test_unheard(self) -> None:
        """Who hears nothing, for whatever cause, asks again from time to time."""
        self.cluster.exchanges.bindings |= {(WRITES, "q"), (SOME, "q")}
        self.assertEqual(self.tell("set q 0 0 1", "b"), ["STORED"])
        self.pass_(FRESH + 0.1)
        self.assertEqual(self.tell("set q 0 0 1", "b"), ["NOT_STORED"])

    def test_silence(self) -> None:
        """So does who has had no answer to anything for some time."""
        self.cluster.exchanges.bindings |= {(WRITES, "q"), (SOME, "q")}
        self.pass_(LEASE + 0.1)
        self.assertEqual(self.tell("set q 0 0 1", "b"), ["NOT_STORED"])

    def test_ahead(self) -> None:
        """What is in use is asked for before its time is over."""
        self.cluster.exchanges.bindings |= {(WRITES, "q"), (SOME, "q")}
        self.pass_(PING + 0.1)
        self.assertEqual(self.tell("set q 0 0 1", "b"), ["STORED"])
        self.assertEqual(self.tell("set q 0 0 1", "b"), ["NOT_STORED"])

    def test_meanwhile(self) -> None:
        """News that come while a queue is asked for let it be asked for again."""
        self.pass_(FRESH + 0.1)
        self.cluster.stuck |= {SOME, READS}
        self.there.send("set q 0 0 1", "b")
        self.other.settle()
        self.assertEqual(self.ask("pause q writes"), ["OK"])
        self.cluster.unstick()
        self.assertEqual(self.there.replies(), ["NOT_STORED"])

    def test_none(self) -> None:
        """One question tells of all queues, as long as none is paused."""
        self.pass_(FRESH + 0.1)
        self.cluster.log.clear()
        self.burst(100)
        self.assertEqual(self.there.replies(), ["STORED"] * 100)
        asked = [each for each in self.cluster.log if "paused" in each]
        self.assertEqual(asked, [f"publish {SOME}"])

    def test_noneMore(self) -> None:
        """Once some are, each queue is asked for, until it is found that none is."""
        self.assertEqual(self.ask("pause p"), ["OK"])
        self.assertEqual(self.tell("set q 0 0 1", "b"), ["STORED"])
        self.pass_(FRESH + 0.1)
        # There is one still.
        self.assertEqual(self.tell("get q")[1], "b")
        self.assertEqual(self.tell("set p 0 0 1", "b"), ["NOT_STORED"])
        self.assertEqual(self.ask("resume p"), ["OK"])
        self.pass_(FRESH + 0.1)
        self.assertEqual(self.tell("set p 0 0 1", "b"), ["STORED"])
        self.cluster.log.clear()
        self.burst(3)
        self.assertEqual(self.there.replies(), ["STORED"] * 3)
        self.assertNotIn(f"publish {READS}", self.cluster.log)

    def test_noneSoon(self) -> None:
        """Who has heard of a pause does not believe a node that knows of none yet."""
        self.pass_(FRESH + 0.1)
        self.cluster.stuck.add(SOME)
        self.there.send("set q 0 0 1", "b")
        self.other.settle()
        self.cluster.exchanges.bindings.add((WRITES, "q"))
        self.pauses.heard("writes paused", b"q")
        self.cluster.unstick()
        self.assertEqual(self.there.replies(), ["NOT_STORED"])

    def test_noneLate(self) -> None:
        """Whose time is over asks for no queue when there are pauses."""
        self.pass_(FRESH + 0.1)
        self.cluster.stuck.add(SOME)
        self.there.send("set q 0 0 1", "b")
        self.pass_(BOUND + 0.4)
        self.assertEqual(len(self.there.replies()), 1)
        self.cluster.exchanges.bindings.add((SOME, "p"))
        self.cluster.log.clear()
        self.cluster.unstick()
        self.other.settle()
        self.assertEqual(self.cluster.log, ["deliver"])

    def test_noneAhead(self) -> None:
        """What is asked for all is asked again ahead of time, as for one queue."""
        self.cluster.log.clear()
        self.pass_(PING + 0.1)
        self.assertEqual(self.tell("set n 0 0 1", "b", "set m 0 0 1", "b")[1], "STORED")
        asked = [each for each in self.cluster.log if "paused" in each]
        self.assertEqual(asked, [f"publish {SOME}"])

    def hold(self, *words: str) -> list[Any]:
        """Hold what is done from now on of some words of the log, and return it."""
        ask, held = self.cluster.ask, []

        def _ask(what: str, queue: str, answer: Any) -> None:
            if f"{what} {queue}" in words:
                held.append(answer)
            else:
                ask(what, queue, answer)

        self.patch(self.cluster, "ask", _ask)
        return held

    def goOn(self, held: list[Any]) -> None:
        """Let what was held be done, and nothing be held any more."""
        self.patch(self.cluster, "ask", partial(FakeCluster.ask, self.cluster))
        self.cluster.events += held
        self.front.settle()

    def test_raceBefore(self) -> None:
        """Who ends a pause sees to one that is made meanwhile."""
        self.assertEqual(self.ask("pause q"), ["OK"])
        held = self.hold(f"unbind {SOME}", f"publish {READS}", f"publish {WRITES}")
        self.there.send("resume q")
        self.other.settle()
        self.cluster.exchanges.bindings.add((READS, "q"))
        self.goOn(held)
        self.assertEqual(self.cluster.exchanges.bindings, {(READS, "q"), (SOME, "q")})

    def test_raceAfter(self) -> None:
        """Who makes one sees to it as well, when another one is ended meanwhile."""
        held = self.hold(*(f"bind {each}" for each in (SOME, READS, WRITES)))
        self.client.send("pause q")
        self.front.settle()
        first, *others = held
        self.goOn([first])
        self.assertEqual(self.tell("resume q"), ["OK"])
        self.goOn(others)
        paused = {(each, "q") for each in (SOME, READS, WRITES)}
        self.assertEqual(self.cluster.exchanges.bindings, paused)

    def test_raceClosing(self) -> None:
        """That is left alone on a channel that takes no more."""
        held = self.hold(f"publish {READS}")
        self.there.send("resume q")
        self.other.settle()
        self.cluster.exchanges.bindings.add((READS, "q"))
        (channel,) = self.news.channels
        self.cluster.events += held
        channel.cancelFromThere("")
        self.other.settle()
        self.assertEqual(self.cluster.exchanges.bindings, {(READS, "q")})

    def test_many(self) -> None:
        """Not all queues are remembered for ever; what is paused stays so."""
        self.patch(module, "MOST", 2)
        self.assertEqual(self.ask("pause q"), ["OK"])
        for name in "prst":
            self.assertEqual(self.tell(f"get {name}"), ["END"])
        self.assertLessEqual(len(self.pauses._askedAt), 2)
        self.assertEqual(self.tell("get q"), ["END"])

    def test_several(self) -> None:
        """A read of several queues knows of all of them."""
        self.set("q", "b")
        self.set("p", "c")
        self.assertEqual(self.ask("pause q reads"), ["OK"])
        self.assertEqual(self.tell("get q p")[1:], ["c", "END"])

    def test_closeAndOpen(self) -> None:
        """A close is carried out without an open behind it that has to know more."""
        self.set("q", "b", "c")
        self.assertEqual(self.tell("get q/open")[1], "b")
        self.assertEqual(self.ask("pause q reads"), ["OK"])
        self.assertEqual(self.tell("get q/close/open"), ["END"])
        self.assertEqual(self.cluster.bodies("q"), [b"c"])

    # What is under way.

    def pauseMeanwhile(self, *lines: str, queue: str = "q") -> list[str]:
        """Return what is answered when a pause is heard of before that."""
        self.tell("set other 0 0 1", "x", f"get {queue}")
        self.cluster.stuck.add("q")
        self.there.send(*lines)
        self.other.settle()
        self.pauses.heard("paused", queue.encode())
        self.cluster.unstick()
        return self.there.replies()

    def test_gets(self) -> None:
        """What a get has taken is given out, though the queue is paused since."""
        self.set("q", "a", "b", "c", "d")
        values = ["VALUE q 0 1", "b", "VALUE q 0 1", "c", "END"]
        self.assertEqual(self.pauseMeanwhile("get q q"), values)
        self.assertEqual(self.cluster.bodies("q"), [b"d"])

    def test_opens(self) -> None:
        """What was opened goes back."""
        self.set("q", "a", "b", "c")
        self.assertEqual(self.pauseMeanwhile("get q/open"), ["END"])
        self.assertEqual(self.cluster.bodies("q"), [b"b", b"c"])
        self.assertEqual(self.tell("resume q"), ["OK"])
        self.assertEqual(self.pauseMeanwhile("monitor q 0"), ["END"])
        self.assertEqual(self.cluster.bodies("q"), [b"c"])
        self.assertEqual(self.cluster.held(), [])

    def test_moves(self) -> None:
        """A move ends when its target is paused."""
        self.set("q", *["a"] * (TOGETHER + 3))
        self.set("t", "b")
        moved = self.pauseMeanwhile("move q t", queue="t")
        self.assertEqual(moved, [f"MOVED {TOGETHER}"])
        self.assertEqual(len(self.cluster.bodies("q")), 3)

    # What is not answered.

    def test_unanswered(self) -> None:
        """Without an answer nothing is done, and that is told; a node is left then."""
        self.pass_(FRESH + 0.1)
        self.cluster.stuck |= {SOME, READS}
        self.there.send("get q", "set q 0 0 1", "b", "move p q")
        self.pass_(BOUND + 0.4)
        stored = "SERVER_ERROR the queue servers cannot be reached: nothing is stored"
        self.assertEqual(self.there.replies(), [REFUSED])
        self.pass_(BOUND + 0.4)
        self.assertEqual(self.there.replies(), [stored])
        self.assertNotIn("leave", self.cluster.log)
        self.pass_(SILENCE)
        self.assertEqual(self.there.replies(), [REFUSED])
        self.there.send("get q")
        self.pass_(BOUND + 0.4)
        self.assertEqual(self.there.replies(), [REFUSED])
        self.assertIn("leave", self.cluster.log)
        self.cluster.unstick()
        self.news.up()
        self.assertEqual(self.tell("set q 0 0 1", "b"), ["STORED"])

    def test_noLink(self) -> None:
        """Nor is anything without a link; what waits for one goes on with it."""
        self.news.down()
        self.there.send("get q")
        self.pass_(BOUND + 0.4)
        self.assertEqual(self.there.replies(), [REFUSED])
        self.news.up()
        self.other.settle()
        self.assertEqual(self.pauses._looks._looks, {})
        self.news.down()
        self.there.send("set q 0 0 1", "b")
        self.other.settle()
        self.news.up()
        self.assertEqual(self.there.replies(), ["STORED"])

    def test_readsWait(self) -> None:
        """A read that waits goes on waiting, whatever was delivered for it."""
        waiting = self.other.client()
        waiting.ask("get q/t=60000")
        self.news.down()
        self.set("q", "b")
        self.pass_(BOUND + 2)
        self.assertEqual(waiting.replies(), [])
        self.news.up()
        self.pass_(1)
        self.assertEqual(waiting.replies(), ["VALUE q/t=60000 0 1", "b", "END"])

    def test_blocked(self) -> None:
        """While a node takes no messages, what was known last counts."""
        self.set("q", "b")
        self.assertEqual(self.ask("pause q reads"), ["OK"])
        self.assertEqual(self.tell("get q"), ["END"])
        self.cluster.make("p", b"c")
        self.assertEqual(self.ask("pause o"), ["OK"])
        self.cluster.stuck |= {READS, WRITES, NEWS}
        self.there.send("get p")
        self.other.settle()
        self.news.user.linkBlocked("memory")
        self.assertEqual(self.there.replies()[1], "c")
        self.assertEqual(self.tell("get q"), ["END"])
        # It has heard of this, and asked nothing.
        self.assertEqual(self.tell("set o 0 0 1", "d"), ["NOT_STORED"])
        self.assertEqual(self.tell("delete q"), ["DELETED"])
        self.news.user.linkBlocked(None)
        self.cluster.unstick()
        self.other.settle()
        self.assertNotIn((READS, "q"), self.cluster.exchanges.bindings)

    def slowly(self, seconds: float) -> None:
        """Let one question of pauses be answered after the other, so much later.

        There is a pause, so that each queue is asked for.
        """
        self.assertEqual(self.ask("pause else"), ["OK"])
        ask, clock = self.cluster.ask, self.other.clock
        free = 0.0

        def _ask(what: str, queue: str, answer: Any) -> None:
            nonlocal free
            if what == "publish" and queue.startswith(SOME):
                free = max(free, clock.seconds()) + seconds
                clock.callLater(free - clock.seconds(), ask, what, queue, answer)
            else:
                ask(what, queue, answer)

        self.patch(self.cluster, "ask", _ask)

    def burst(self, count: int) -> None:
        """Set to so many queues at once that nobody has used."""
        lines = [(f"set n{number} 0 0 1", "x") for number in range(count)]
        self.there.send(*(each for line in lines for each in line))

    def test_burst(self) -> None:
        """However many wait for answers, each waits as long as there are some."""
        self.slowly(0.005)
        self.burst(200)
        self.other.settle()
        self.assertEqual(len(self.pauses.news._sent), 2 * ASKED)
        self.pass_(BOUND * 3)
        replies = self.there.replies()
        self.assertLess(len(replies), 200)
        self.pass_(BOUND * 2)
        replies += self.there.replies()
        self.assertEqual(replies, ["STORED"] * 200)
        # What was spent on that is over.
        self.assertGreater(self.other.publisher.spent, BOUND * 3)

    def test_burstTooLarge(self) -> None:
        """But not for longer than a part of its time: the rest is for what it does."""
        self.slowly(0.005)
        self.burst(600)
        self.pass_(5 * SHARE + BOUND + 0.4)
        replies = self.there.replies()
        self.assertEqual(len(replies), 600)
        stored = replies.count("STORED")
        self.assertGreater(stored, 300)
        self.assertEqual(replies[:stored], ["STORED"] * stored)
        refused = "SERVER_ERROR the queue servers cannot be reached: nothing is stored"
        self.assertEqual(replies[stored:], [refused] * (600 - stored))

    def test_burstUnanswered(self) -> None:
        """Of a node that says nothing none waits for longer than one alone."""
        self.cluster.stuck |= {SOME, READS}
        self.burst(100)
        self.pass_(BOUND + 0.4)
        self.assertEqual(len(self.there.replies()), 100)

    def test_busy(self) -> None:
        """What came while the process was busy counts, as if it had come in time."""
        self.there.send("set new 0 0 1", "x")
        self.other.clock.advance(0)
        self.other.clock.advance(BOUND + 0.4)
        self.assertEqual(self.there.replies(), ["STORED"])

    def test_getAfter(self) -> None:
        """A get that has waited has the rest of its time."""
        self.slowly(0.2)
        self.cluster.make("p")
        self.cluster.stuck.add("p")
        self.there.send("get p")
        self.pass_(5.5)
        replies = self.there.replies()
        self.assertEqual(replies, [f"SERVER_ERROR {UNANSWERED}"])

    def test_turn(self) -> None:
        """A read keeps its turn, however long nobody tells of pauses."""
        first, second = self.other.client(), self.other.client()
        first.ask("get q/t=60000")
        second.ask("get q/t=60000")
        self.pass_(1)
        self.cluster.stuck |= {SOME, READS}
        self.cluster.make("q", b"b")
        # Meanwhile it was given back, and given to the consumer of the other one.
        self.pass_(BOUND + 0.6)
        self.assertIn("nack", self.cluster.log)
        self.cluster.unstick()
        self.pass_(1)
        self.assertEqual(second.replies(), [])
        self.assertEqual(first.replies(), ["VALUE q/t=60000 0 1", "b", "END"])

    def test_closing(self) -> None:
        """What has to be asked again while the channel closes is so on the next."""
        self.pass_(FRESH + 0.1)
        self.cluster.stuck.add(SOME)
        self.there.send("set q 0 0 1", "b")
        self.other.settle()
        self.pauses.heard("paused", b"p")
        (channel,) = self.news.channels
        self.cluster.unstick()
        channel.cancelFromThere("")
        self.other.settle()
        self.assertEqual(self.there.replies(), [])
        self.other.pass_(AGAIN + 0.1)
        self.assertEqual(self.there.replies(), ["STORED"])

    # What is done.

    def test_again(self) -> None:
        """A pause goes on with the next link; it is told when others have it."""
        self.cluster.stuck.add(NEWS)
        self.there.send("pause q")
        self.other.settle()
        self.news.down()
        self.cluster.unstick()
        self.assertEqual(self.there.replies(), [])
        self.news.up()
        self.assertEqual(self.there.replies(), ["OK"])

    def test_late(self) -> None:
        """One that is not done in time is told so, and not done afterwards."""
        self.news.down()
        self.there.send("pause q")
        self.pass_(6)
        self.assertEqual(self.there.replies(), [REFUSED])
        self.news.up()
        self.other.settle()
        self.assertEqual(self.cluster.exchanges.bindings, set())
        self.cluster.stuck.add(NEWS)
        self.there.send("pause q")
        self.pass_(6)
        self.assertEqual(self.there.replies(), [f"SERVER_ERROR {UNANSWERED}"])

    def test_deleted(self) -> None:
        """A queue that is deleted is paused no longer, and may be made by others."""
        self.assertEqual(self.ask("pause q"), ["OK"])
        self.assertEqual(self.tell("get q"), ["END"])
        self.news.down()
        self.there.send("delete q")
        self.pass_(6)
        self.assertEqual(self.there.replies(), [REFUSED])
        self.cluster.log.clear()
        self.news.up()
        self.other.settle()
        self.assertEqual(self.ask("set q 0 0 1", "b"), ["STORED"])
        # Each of both has heard of it.
        self.assertEqual(self.cluster.log.count("forget q"), 2)

    def test_made(self) -> None:
        """A pause makes the queue, and add one that is new."""
        self.assertEqual(self.ask("pause new"), ["OK"])
        self.assertEqual(self.tell("add new 0 0 1", "2"), ["NOT_STORED"])
        self.assertEqual(self.tell("add more 0 0 1", "1"), ["STORED"])
        stored = self.tell("set more 0 0 1", "b", "set more 0 0 1", "c")
        self.assertEqual(stored, ["STORED", "NOT_STORED"])
        self.other.publisher.errors = [ClusterFull()] * 2
        full = f"SERVER_ERROR {ClusterFull()}"
        self.assertEqual(self.tell("pause q", "add p 0 0 1", "2"), [full] * 2)

    def test_resumed(self) -> None:
        """The end of a pause needs a queue, and an answer."""
        self.assertEqual(self.tell("resume none"), ["NOT_FOUND"])
        self.cluster.stuck.add("q")
        self.there.send("resume q")
        self.pass_(6)
        self.assertEqual(self.there.replies(), [f"SERVER_ERROR {UNANSWERED}"])

    def test_emptied(self) -> None:
        """A flush is told to others, if that is possible now."""
        self.set("q", "b")
        self.cluster.log.clear()
        self.assertEqual(self.tell("flush q"), ["END"])
        self.front.settle()
        # Each of both may set again what did not fit.
        self.assertEqual(self.cluster.log.count("room q"), 2)
        self.news.down()
        self.assertEqual(self.tell("flush q"), ["END"])

    # The channel.

    def test_closed(self) -> None:
        """A channel that the node closes is opened again some time later."""
        (channel,) = self.news.channels
        with capturedLogs() as events:
            channel.end("403 refused")
            self.news.up()
            self.other.pass_(AGAIN + 0.1)
            (channel,) = self.news.channels
            channel.end("403 refused")
        self.assertIn("403 refused", str(formatEvent(events[0])))
        self.assertEqual(len(events), 1)
        self.other.pass_(AGAIN + 0.1)
        self.assertEqual(self.tell("set q 0 0 1", "b"), ["STORED"])

    def test_ownQueue(self) -> None:
        """So is one whose own queue is lost."""
        (channel,) = self.news.channels
        self.pass_(LEASE + 0.1)
        channel.cancelFromThere("")
        self.there.send("set q 0 0 1", "a")
        self.other.settle()
        # Nothing is asked over it any more.
        self.assertNotIn("publish memq/paused", "".join(self.cluster.log[-2:]))
        self.other.pass_(AGAIN + 0.1)
        self.assertEqual(self.there.replies(), ["STORED"])
        self.assertEqual(self.tell("set q 0 0 1", "b"), ["STORED"])

    def test_strangers(self) -> None:
        """What others publish does no harm."""
        (channel,) = self.news.channels
        strange: Any = type("Strange", (), {"headers": None, "type": "x"})
        self.cluster.exchanges.publish(NEWS, "", strange, b"q")
        self.other.settle()
        self.assertEqual(self.news.channels, [channel])
