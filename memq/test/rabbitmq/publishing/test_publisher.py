"""Tests for memq.rabbitmq.publishing.publisher, on a cluster in memory."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from memq.rabbitmq.links.abilities import LEAST_CHANNELS
from memq.rabbitmq.names import NAME_ARGUMENT, encode
from memq.rabbitmq.publishing import publisher as publishing
from memq.rabbitmq.publishing.deletes import HOLD, SETTLING, SOON
from memq.rabbitmq.publishing.lanes import DOUBT, FULL, TRIAL
from memq.rabbitmq.publishing.publisher import AGAIN, TICK, Publisher
from memq.rabbitmq.publishing.questions import ARGUMENTS, AT_ONCE, BOUND
from memq.test.support.fakerabbit import FakeCluster

if TYPE_CHECKING:
    from memq.errors import QueueError

#: Seconds within which a message is told.
TIMEOUT = 5.0
LATE = b"SERVER_ERROR the queue servers did not answer in time: it may be stored or not"
NOWHERE = b"SERVER_ERROR the queue servers cannot be reached: nothing is stored"
UNTAKEN = b"SERVER_ERROR the queue servers did not take it in time: nothing is stored"
UNMADE = (
    b"SERVER_ERROR the queue servers did not make the queue in time: nothing is stored"
)
FULL_DISK = b"SERVER_ERROR the queue servers are out of memory or disk space"
GONE = b"SERVER_ERROR the queue servers do not know the queue any more"
LOST = (
    b"SERVER_ERROR the queue server was lost (Connection to the other side was lost in "
    b"a non-clean fashion.): it may be stored or not"
)


class PublisherTestCase(SynchronousTestCase):
    """A publisher that is connected to the first of three nodes.

    :ivar told: what was told of each body, in order.
    """

    def setUp(self) -> None:
        """Connect, if it can."""
        self.clock, self.rabbit = Clock(), FakeCluster()
        self.first = self.rabbit.nodes[0]
        self.rabbit.declare("q")
        self.told: list[tuple[bytes, bytes]] = []
        self.publisher = Publisher(self.clock, self.rabbit.cluster, TIMEOUT, lambda: 0)
        self.publisher.start()
        self.go()
        self.go(1.0)

    def go(self, seconds: float = 0.0) -> None:
        """Let time pass, and all be said."""
        for pause in (seconds, 0.0):
            self.clock.advance(pause)
            self.rabbit.run()

    def goOn(self, seconds: float) -> None:
        """Let time pass in small steps."""
        for _ in range(round(seconds / 0.01)):
            self.go(0.01)

    def publish(self, *bodies: bytes, queue: str = "q") -> None:
        """Publish messages, and let nothing happen."""
        name = encode(queue.encode())
        for body in bodies:
            self.publisher.publish(name, body, None, partial(self.tell, body))

    def tell(self, body: bytes, error: QueueError | None) -> None:
        """Note what is told of a message."""
        self.told.append((body, b"STORED" if error is None else error.reply))

    def stored(self, *bodies: bytes) -> list[tuple[bytes, bytes]]:
        """Return what is told when all are stored."""
        return [(body, b"STORED") for body in bodies]


class StoredTests(PublisherTestCase):
    """Messages that are stored."""

    def test_stored(self) -> None:
        """A message is stored when the node confirms it, and not before."""
        self.publish(b"1", b"2" * 10_000, b"")
        self.assertEqual([], self.told)
        self.assertEqual(self.publisher.unconfirmed, 3)
        self.go()
        self.assertEqual(self.publisher.unconfirmed, 0)
        self.assertEqual(self.stored(b"1", b"2" * 10_000, b""), self.told)
        self.assertEqual([b"1", b"2" * 10_000, b""], self.rabbit.bodies("q"))

    def test_properties(self) -> None:
        """A message is persistent, with the headers and the expiration that it has."""
        self.publisher.publish(encode(b"q"), b"1", {"f": 7}, print, "1500")
        self.rabbit.run()
        [message] = self.rabbit.queues["q"]
        self.assertEqual(
            (2, {"f": 7}, "1500"),
            (
                message.properties.delivery_mode,
                message.properties.headers,
                message.properties.expiration,
            ),
        )

    def test_states(self) -> None:
        """Which nodes it is connected to is told, and what was lost."""
        sets, declaring = self.publisher.states()
        self.assertEqual((sets.purpose, sets.lost), ("sets", 0))
        self.assertNotIn(None, (sets.node, declaring.node))
        self.assertNotEqual(sets.node, declaring.node)
        self.first.kill()
        self.assertEqual(self.publisher.states()[0].lost, 1)

    def test_early(self) -> None:
        """What comes before there is a connection is sent on it, in order."""
        self.first.kill()
        self.publish(b"1", b"2")
        self.publish(b"3", queue="r")
        self.go()
        self.assertEqual([b"1", b"2"], self.rabbit.bodies("q"))

    def test_multiple(self) -> None:
        """One confirm may be for many messages, and does not confirm one twice."""
        self.rabbit.silent.add("q")
        self.publish(b"1", b"2", b"3", b"4")
        self.rabbit.run()
        peer = self.first.peers[0]
        peer.confirm(1, 2, multiple=False)
        peer.confirm(1, 3, multiple=True)
        self.go()
        self.assertEqual(self.stored(b"2", b"1", b"3"), self.told)
        peer.confirm(1, 2, multiple=False)
        # However many there were before: each may have been confirmed alone.
        peer.confirm(1, 2**40, multiple=True)
        self.go()
        self.assertEqual(self.stored(b"2", b"1", b"3", b"4"), self.told)

    def test_toldBehind(self) -> None:
        """What was told while it waited is not sent, wherever it stood."""
        self.first.kill()
        self.publish(b"1", b"2")
        self.publisher._due[1].expire()
        self.go()
        self.assertEqual([(b"2", NOWHERE), (b"1", b"STORED")], self.told)
        self.assertEqual([b"1"], self.rabbit.bodies("q"))

    def test_released(self) -> None:
        """What is told keeps no body, though one before it waits still."""
        self.rabbit.declare("r")
        self.rabbit.silent.add("q")
        self.publish(b"1")
        self.publish(b"2", queue="r")
        self.go()
        first, second = self.publisher._due
        self.assertEqual((b"1", False), (first.body, first.isTold))
        self.assertEqual((b"", None), (second.body, second.told))

    def test_nothingLeft(self) -> None:
        """When all is told nothing is left, but for the heartbeats."""
        self.publish(b"1")
        self.go()
        timers = len(self.clock.getDelayedCalls())
        self.go(TICK)
        self.assertEqual(timers - 1, len(self.clock.getDelayedCalls()))
        self.assertEqual({}, self.publisher._lanes)
        stopped = self.publisher.stop()
        self.go()
        self.successResultOf(stopped)
        self.assertEqual([], self.clock.getDelayedCalls())


class UnsureTests(PublisherTestCase):
    """Messages of which nobody knows, and such of which nothing is stored."""

    def test_late(self) -> None:
        """What is not confirmed in time may be stored or not; a later word is late."""
        self.rabbit.silent.add("q")
        self.publish(b"1")
        self.go(TIMEOUT - TICK)
        self.publish(b"2")
        self.assertEqual([], self.told)
        self.go(TICK)
        self.assertEqual([(b"1", LATE)], self.told)
        self.first.peers[0].confirm(1, 2, multiple=True)
        self.go()
        self.assertEqual([(b"1", LATE), (b"2", b"STORED")], self.told)

    def test_spent(self) -> None:
        """What has spent a part of its time before is told so much earlier."""
        self.rabbit.silent.add("q")
        self.publish(b"1")
        told = partial(self.tell, b"2")
        self.publisher.publish(encode(b"q"), b"2", None, told, spent=2.0)
        self.goOn(TIMEOUT - 2.0 + TICK)
        self.assertEqual([(b"2", LATE)], self.told)
        self.goOn(2.0)
        self.assertEqual([(b"2", LATE), (b"1", LATE)], self.told)

    def test_unreachable(self) -> None:
        """What no node took in time is not stored, and does not come later."""
        for node in self.rabbit.nodes:
            node.kill()
        self.publish(b"1")
        self.goOn(TIMEOUT - TICK)
        self.publish(b"2")
        self.goOn(TICK * 2)
        self.assertEqual([(b"1", NOWHERE)], self.told)
        for node in self.rabbit.nodes:
            node.isDead = False
        self.goOn(4.0)
        self.assertEqual([b"2"], self.rabbit.bodies("q"))
        self.assertEqual([(b"1", NOWHERE), (b"2", b"STORED")], self.told)

    def test_lost(self) -> None:
        """What was sent on a connection that is lost may be stored or not."""
        self.rabbit.silent.add("q")
        self.publish(b"1")
        self.rabbit.run()
        self.first.kill()
        self.assertEqual([(b"1", LOST)], self.told)
        self.rabbit.silent.clear()
        self.publish(b"2")
        self.go()
        self.assertEqual((b"2", b"STORED"), self.told[-1])

    def test_channelClosed(self) -> None:
        """So may what was sent on a channel that is closed; others go on soon."""
        self.rabbit.silent.add("q")
        self.publish(b"1")
        self.rabbit.run()
        self.first.peers[0].closeChannel(1, 406, "PRECONDITION_FAILED - too large")
        self.go()
        why = b"SERVER_ERROR the queue server was lost (406 PRECONDITION_FAILED - "
        self.assertTrue(self.told[0][1].startswith(why), self.told)
        self.rabbit.silent.clear()
        self.publish(b"2")
        self.go(AGAIN)
        self.assertEqual((b"2", b"STORED"), self.told[-1])

    def test_channelClosedIdle(self) -> None:
        """A channel that ends with nothing under way is opened again soon."""
        self.first.peers[0].closeChannel(1, 541, "INTERNAL_ERROR")
        self.go()
        self.go(AGAIN)
        self.publish(b"1")
        self.go()
        self.assertEqual(self.stored(b"1"), self.told)

    def test_tellRaises(self) -> None:
        """An error of who is told keeps the others from nothing."""
        self.rabbit.silent.add("q")
        self.publisher.publish(encode(b"q"), b"0", None, lambda error: 1 // 0)
        self.publish(b"1")
        self.rabbit.run()
        self.go(TIMEOUT)
        self.assertEqual([(b"1", LATE)], self.told)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_unsendable(self) -> None:
        """A message that cannot be encoded is told so; those behind it are sent."""
        told: list[QueueError | None] = []
        headers = {"f": object()}
        self.publisher.publish(encode(b"q"), b"0", headers, told.append)
        self.publish(b"1")
        self.go()
        self.assertIn("cannot be sent: nothing is stored", str(told[0]))
        self.assertEqual(self.stored(b"1"), self.told)
        self.assertEqual(len(self.flushLoggedErrors()), 1)


class SharedTests(PublisherTestCase):
    """Sets share a channel: what one does wrong is told to the others as it is."""

    LARGE = b"x" * 100

    def setUp(self) -> None:
        """Have a second queue, and nodes that take small messages."""
        super().setUp()
        self.rabbit.declare("r")
        self.rabbit.largest = 10

    def tooLarge(self, body: bytes = LARGE) -> tuple[bytes, bytes]:
        """Return what is told of a message that is too large."""
        why = b"SERVER_ERROR the queue servers take no more than 10 bytes: "
        return body, why + b"nothing is stored"

    def test_tooLarge(self) -> None:
        """What came before one that is too large is unsure; what came behind is set."""
        self.rabbit.silent.update("qr")
        self.publish(b"1")
        self.publish(b"2", queue="r")
        self.publish(self.LARGE, b"3")
        self.publish(b"4", queue="r")
        self.publish(self.LARGE + b"!", b"5")
        self.rabbit.run()
        self.rabbit.silent.clear()
        self.goOn(AGAIN + 0.05)
        told = dict(self.told)
        self.assertEqual(7, len(self.told))
        for body in b"1", b"2":
            self.assertTrue(told[body].endswith(b"it may be stored or not"), told)
        self.assertEqual(
            [(b"3", b"STORED"), (b"4", b"STORED"), (b"5", b"STORED")],
            [(body, told[body]) for body in (b"3", b"4", b"5")],
        )
        self.assertIn(self.tooLarge(), self.told)
        self.assertIn(self.tooLarge(self.LARGE + b"!"), self.told)
        self.assertEqual([b"1", b"3", b"5"], self.rabbit.bodies("q"))
        self.assertEqual([b"2", b"4"], self.rabbit.bodies("r"))

    def test_tooLargeAgain(self) -> None:
        """From then on such ones cost no channel, until the connection is another."""
        self.publish(self.LARGE)
        self.goOn(AGAIN)
        opened = self.rabbit.commands.count("Channel.Open")
        self.publish(b"1", self.LARGE, b"2")
        self.go()
        stored = self.stored(b"1", b"2")
        self.assertEqual([self.tooLarge()] * 2, [self.told[0], self.told[1]])
        self.assertEqual(stored, self.told[2:])
        self.assertEqual(opened + 1, self.rabbit.commands.count("Channel.Open"))
        self.rabbit.largest = 1_000
        self.first.kill()
        self.go()
        self.publish(self.LARGE)
        self.goOn(AGAIN)
        self.assertEqual((self.LARGE, b"STORED"), self.told[-1])

    def test_tooLargeLate(self) -> None:
        """So it is when all of them were told before that time was over."""
        self.first.isStill = True
        self.publish(b"1", self.LARGE, b"2")
        self.goOn(TIMEOUT + TICK)
        self.assertEqual([(b"1", LATE), (self.LARGE, LATE), (b"2", LATE)], self.told)
        self.first.isStill = False
        self.publish(b"3")
        self.goOn(AGAIN + 0.05)
        self.assertEqual(self.stored(b"3"), self.told[3:])
        self.assertEqual([b"1", b"3"], self.rabbit.bodies("q"))

    def test_returned(self) -> None:
        """What was returned before has no queue yet, and is set when it has."""
        self.first.peers[0].withholds = True
        self.publish(b"1", queue="new")
        self.publish(self.LARGE)
        self.publish(b"2", queue="new")
        self.rabbit.run()
        self.goOn(0.2)
        self.assertEqual([self.tooLarge(), *self.stored(b"1", b"2")], self.told)
        self.assertEqual([b"1", b"2"], self.rabbit.bodies("new"))

    def test_fatal(self) -> None:
        """A set that costs the connection leaves others unsure, or waiting."""
        self.rabbit.silent.add("q")
        self.rabbit.refusing.add("r")
        self.publish(b"1", b"2")
        self.publish(b"3", queue="r")
        self.rabbit.run()
        self.first.peers[0].close(541, "INTERNAL_ERROR - queue is deleted")
        self.rabbit.refusing.clear()
        self.rabbit.silent.clear()
        self.rabbit.run()
        self.publish(b"4")
        self.goOn(0.5)
        told = dict(self.told)
        for body in b"1", b"2":
            self.assertIn(b"lost (541 INTERNAL_ERROR - queue is deleted)", told[body])
            self.assertTrue(told[body].endswith(b": it may be stored or not"))
        self.assertEqual((b"STORED", b"STORED"), (told[b"3"], told[b"4"]))
        self.assertEqual(4, len(self.told))


class DeletedTests(PublisherTestCase):
    """Sets to a queue that is being deleted."""

    def delete(self) -> list[object]:
        """Begin to delete the queue; return what is told when that may be."""
        ready: list[object] = []
        self.publisher.beginDelete("q", ready.append)
        self.assertEqual([], ready)
        self.go(SOON)
        return ready

    def test_deleting(self) -> None:
        """A set waits for the end, and makes the queue anew; others go on."""
        self.rabbit.declare("r")
        self.publish(b"1")
        self.go()
        ready = [*self.delete(), *self.delete()]
        self.assertEqual([None, None], ready)
        self.publish(b"2")
        self.publish(b"3", queue="r")
        self.go()
        self.assertEqual(self.stored(b"1", b"3"), self.told)
        self.assertEqual([None], self.delete())
        del self.rabbit.queues["q"]
        self.publisher.endDelete("q")
        self.publisher.endDelete("q")
        self.go()
        self.assertEqual(self.stored(b"1", b"3"), self.told)
        self.publisher.endDelete("q")
        self.go()
        self.assertEqual(self.stored(b"1", b"3", b"2"), self.told)
        self.assertEqual([b"2"], self.rabbit.bodies("q"))
        self.delete()
        self.publisher.endDelete("q")

    def test_deletingSettled(self) -> None:
        """A delete waits until what was set before is stored, or for some time."""
        self.rabbit.silent.add("q")
        self.publish(b"1", b"2")
        self.rabbit.run()
        ready = self.delete()
        self.first.peers[0].confirm(1, 1, multiple=False)
        self.go()
        self.assertEqual([], ready)
        self.first.peers[0].confirm(1, 2, multiple=False)
        self.go()
        self.assertEqual([None], ready)
        self.go(SETTLING)
        self.assertEqual([None], ready)
        self.assertEqual(set(), self.publisher.known)
        self.publisher.endDelete("q")
        self.publish(b"3")
        self.rabbit.run()
        ready = self.delete()
        self.go(SETTLING - SOON - 0.01)
        self.assertEqual([], ready)
        self.go(0.01)
        self.assertEqual([None], ready)
        self.first.peers[0].confirm(1, 3, multiple=False)
        self.go()
        self.assertEqual([None], ready)

    def test_deletingLate(self) -> None:
        """What waits for too long is not stored, and is told why."""
        self.delete()
        self.publish(b"1")
        self.goOn(TIMEOUT + TICK)
        why = b"SERVER_ERROR the queue is being deleted: nothing is stored"
        self.assertEqual([(b"1", why)], self.told)

    def test_expected(self) -> None:
        """A set waits for a delete by another front end, until that is told."""
        self.publish(b"1")
        self.go()
        for _ in range(2):
            self.publisher.expectDelete("q")
        self.publish(b"2")
        self.go()
        self.assertEqual(self.stored(b"1"), self.told)
        del self.rabbit.queues["q"]
        self.publisher.forget("q")
        self.go()
        self.assertEqual(self.stored(b"1", b"2"), self.told)
        self.assertEqual([b"2"], self.rabbit.bodies("q"))

    def test_expectedHere(self) -> None:
        """One that deletes it hears of that, too."""
        self.publisher.expectDelete("q")
        ready = self.delete()
        self.assertEqual([None], ready)
        self.publisher.expectDelete("q")
        self.publish(b"1")
        self.publisher.endDelete("q")
        self.go()
        self.assertEqual([], self.told)
        self.publisher.forget("q")
        self.go()
        self.assertEqual(self.stored(b"1"), self.told)

    def test_expectedMissing(self) -> None:
        """What is returned meanwhile does not make the queue before that is over."""
        self.publish(b"1", queue="new")
        self.publisher.expectDelete("new")
        self.go()
        self.assertEqual(({}, []), (self.rabbit.arguments, self.told))
        self.publisher.forget("new")
        self.go()
        self.assertEqual(self.stored(b"1"), self.told)

    def test_expectedInVain(self) -> None:
        """It waits for some time only."""
        self.publisher.expectDelete("q")
        self.publish(b"1")
        self.goOn(HOLD - 0.01)
        self.assertEqual([], self.told)
        self.goOn(0.02)
        self.assertEqual(self.stored(b"1"), self.told)

    def test_elsewhere(self) -> None:
        """While other nodes have not heard of it, no connection is given up for it."""
        self.first.unknown.add("q")
        [peer] = self.first.peers
        self.publish(b"1")
        self.goOn(DOUBT / 2)
        self.assertEqual([], self.told)
        del self.rabbit.queues["q"]
        self.first.unknown.clear()
        self.goOn(DOUBT / 2)
        self.assertEqual(self.stored(b"1"), self.told)
        self.assertEqual([peer], self.first.peers)


class BlockedTests(PublisherTestCase):
    """Nodes without memory or disk space."""

    def test_refused(self) -> None:
        """Sets are refused at once while a node is blocked, and taken afterwards."""
        peer = self.first.peers[0]
        peer.block("low on memory")
        self.go()
        self.assertTrue(self.publisher.isBlocked)
        self.publish(b"1")
        self.assertEqual([(b"1", FULL_DISK)], self.told)
        peer.block(None)
        self.go()
        self.publish(b"2")
        self.go()
        self.assertEqual([b"2"], self.rabbit.bodies("q"))

    def test_held(self) -> None:
        """What was sent before waits; what is held is refused."""
        self.rabbit.silent.add("q")
        self.rabbit.refusing.add("r")
        self.rabbit.declare("r")
        self.publish(b"1")
        self.publish(b"2", queue="r")
        self.rabbit.run()
        self.first.peers[0].block("low on memory")
        self.rabbit.run()
        self.assertEqual([(b"2", FULL_DISK)], self.told)
        self.goOn(TIMEOUT + TICK)
        self.assertEqual([(b"2", FULL_DISK), (b"1", LATE)], self.told)


class MissingTests(PublisherTestCase):
    """Queues that are not there."""

    def test_made(self) -> None:
        """A queue is made when a second node says as well that it is not there."""
        self.publish(b"1", b"2", queue="new")
        self.rabbit.run()
        self.publish(b"3", queue="new")
        self.go()
        self.assertEqual(self.stored(b"1", b"2", b"3"), self.told)
        self.assertEqual([b"1", b"2", b"3"], self.rabbit.bodies("new"))
        self.assertEqual({"new": ARGUMENTS}, self.rabbit.arguments)
        self.assertEqual([1, 1, 0], [len(each.peers) for each in self.rabbit.nodes])
        self.assertEqual(2, self.rabbit.commands.count("Queue.Declare"))

    def test_long(self) -> None:
        """A queue with a long name has the whole one as an argument."""
        self.publish(b"1", queue="n" * 300)
        self.go()
        [(name, arguments)] = self.rabbit.arguments.items()
        self.assertEqual(self.stored(b"1"), self.told)
        self.assertEqual("n" * 300, arguments[NAME_ARGUMENT])
        self.assertEqual("%%", name[:2])

    def test_mixed(self) -> None:
        """Of many under way just those are told as stored that are."""
        for number in range(100):
            queue = f"new{number}" if number % 10 == 0 else "q"
            self.publish(b"%d" % number, queue=queue)
        self.go()
        self.assertEqual(self.stored(*(each for each, _ in self.told)), self.told)
        self.assertEqual(100, len(set(self.told)))
        self.assertEqual(90, len(self.rabbit.queues["q"]))
        self.assertEqual([b"30"], self.rabbit.bodies("new30"))

    def test_many(self) -> None:
        """Of many queues some are asked for at once, and all are made."""
        names = [f"new{number}" for number in range(AT_ONCE * 3)]
        for name in names:
            self.publish(name.encode(), queue=name)
        self.rabbit.nodes[1].isStill = True
        self.rabbit.run()
        self.clock.advance(0)
        [peer] = self.rabbit.nodes[1].peers
        self.assertEqual(AT_ONCE, peer.transport.value().count(b"\x00\x14\x00\x0a"))
        self.rabbit.nodes[1].isStill = False
        self.go()
        self.assertEqual(self.stored(*(name.encode() for name in names)), self.told)

    def test_tooLate(self) -> None:
        """A queue that nobody waits for any more is not made."""
        for node in self.rabbit.nodes[1:]:
            node.kill()
        self.publish(b"1", queue="new")
        self.goOn(TIMEOUT + TICK)
        for node in self.rabbit.nodes[1:]:
            node.isDead = False
        self.goOn(4.0)
        self.assertEqual([(b"1", UNMADE)], self.told)
        self.assertNotIn("new", self.rabbit.queues)
        self.assertEqual({}, self.publisher._lanes)

    def test_noSecond(self) -> None:
        """One node's word makes no queue: nothing is stored."""
        for node in self.rabbit.nodes[1:]:
            node.kill()
        self.publish(b"1", queue="new")
        self.goOn(TIMEOUT + TICK)
        self.assertEqual([(b"1", UNMADE)], self.told)
        self.assertNotIn("new", self.rabbit.queues)
        self.rabbit.nodes[1].isDead = False
        self.goOn(4.0)
        self.publish(b"2", queue="new")
        self.go()
        self.assertEqual([b"2"], self.rabbit.bodies("new"))

    def test_secondStill(self) -> None:
        """A second node that does not answer is left for a third one."""
        self.rabbit.nodes[1].isStill = True
        self.publish(b"1", queue="new")
        self.go()
        self.go(BOUND)
        self.go()
        self.assertEqual(self.stored(b"1"), self.told)

    def test_sameNode(self) -> None:
        """The second node is never the first one, whichever that comes to be."""
        self.first.kill()
        self.go()
        self.assertEqual([0, 2, 0], [len(each.peers) for each in self.rabbit.nodes])
        self.publish(b"1", queue="new")
        self.goOn(0.5)
        self.assertEqual([0, 1, 1], [len(each.peers) for each in self.rabbit.nodes])
        self.assertEqual(self.stored(b"1"), self.told)

    def test_early(self) -> None:
        """If the second node knows the queue, the first one may have been early."""
        self.rabbit.declare("new")
        self.first.late.add("new")
        self.publish(b"1", queue="new")
        self.go()
        self.assertEqual(self.stored(b"1"), self.told)
        self.assertEqual(1, len(self.first.peers))

    def test_liar(self) -> None:
        """A node that does not know what another one knows twice is left."""
        self.rabbit.declare("old")
        self.rabbit.queues["old"].extend(self.rabbit.queues["q"])
        self.first.unknown.add("old")
        self.publish(b"1", b"2", queue="old")
        self.goOn(0.5)
        self.assertEqual(self.stored(b"1", b"2"), self.told)
        self.assertEqual([b"1", b"2"], self.rabbit.bodies("old"))
        self.assertEqual(0, len(self.first.peers))
        self.assertEqual({}, self.rabbit.arguments)

    def test_secondLies(self) -> None:
        """A second node that makes a queue the first one does not see is left.

        It made one where nobody else looks, and nothing is stored there.
        """
        self.rabbit.apart.add("node1:5672")
        self.publish(b"1", queue="new")
        self.goOn(0.5)
        why = (
            b"SERVER_ERROR the queue servers disagree about what queues there are: "
            b"nothing is stored"
        )
        self.assertEqual([(b"1", why)], self.told)
        self.assertEqual([1, 0, 1], [len(each.peers) for each in self.rabbit.nodes])
        self.publish(b"2", queue="new")
        self.goOn(0.5)
        self.assertEqual((b"2", b"STORED"), self.told[-1])
        self.assertEqual([b"2"], self.rabbit.bodies("new"))

    def test_gone(self) -> None:
        """A queue that has confirmed a message is never made again in silence."""
        self.publish(b"1")
        self.go()
        del self.rabbit.queues["q"]
        self.publish(b"2")
        self.go()
        self.assertEqual([(b"1", b"STORED"), (b"2", GONE)], self.told)
        self.publisher.forget("q")
        self.publish(b"3")
        self.go()
        self.assertEqual((b"3", b"STORED"), self.told[-1])

    def test_refused(self) -> None:
        """If a node may not make queues, that is told."""
        self.rabbit.forbidden = "403 ACCESS_REFUSED - access to queue 'new'"
        self.publish(b"1", queue="new")
        self.go()
        why = (
            b"SERVER_ERROR the queue cannot be made (403 ACCESS_REFUSED - access to "
            b"queue 'new'): nothing is stored"
        )
        self.assertEqual([(b"1", why)], self.told)

    def test_otherReturned(self) -> None:
        """A returned message is known by its number, whatever is confirmed first."""
        self.rabbit.silent.add("q")
        peer = self.first.peers[0]
        peer.withholds = True
        self.publish(b"1")
        self.publish(b"2", queue="new")
        self.rabbit.run()
        peer.confirm(1, 1, multiple=False)
        self.go()
        self.assertEqual(self.stored(b"1"), self.told)
        peer.withholds = False
        peer.confirm(1, 2, multiple=False)
        self.go()
        self.assertEqual(self.stored(b"1", b"2"), self.told)
        self.assertEqual([b"2"], self.rabbit.bodies("new"))

    def test_secondRefuses(self) -> None:
        """A second node that does not say that there is none makes none."""
        self.publish(b"1", queue="other")
        self.go()
        self.rabbit.nodes[1].peers[0].closeNext = 405, "RESOURCE_LOCKED - elsewhere"
        self.publish(b"2", queue="new")
        self.go()
        why = b"(405 RESOURCE_LOCKED - elsewhere): nothing is stored"
        told = b"SERVER_ERROR the queue cannot be made " + why
        self.assertEqual((b"2", told), self.told[-1])
        self.assertNotIn("new", self.rabbit.queues)

    def test_returnedLost(self) -> None:
        """What was returned is not stored, though the connection is lost then."""
        self.rabbit.declare("r")
        self.rabbit.silent.add("q")
        self.publish(b"1")
        self.publish(b"2", queue="new")
        peer = self.first.peers[0]
        peer.withholds = True
        self.rabbit.run()
        self.first.kill()
        self.assertEqual([(b"1", LOST)], self.told)
        self.goOn(0.5)
        self.assertEqual([(b"1", LOST), (b"2", b"STORED")], self.told)
        self.assertEqual([b"2"], self.rabbit.bodies("new"))

    def test_secondLost(self) -> None:
        """A question is asked again when the connection to the second node is lost."""
        self.publish(b"1", queue="new")
        self.rabbit.nodes[1].isStill = True
        self.rabbit.run()
        self.rabbit.nodes[1].kill()
        self.go()
        self.assertEqual(self.stored(b"1"), self.told)
        self.go(BOUND)

    def test_costly(self) -> None:
        """A question that costs its connection again and again is given up."""
        self.publish(b"1", queue="new")
        self.rabbit.fatal = "541 INTERNAL_ERROR - cannot declare"
        self.goOn(1.0)
        why = (
            b"SERVER_ERROR the queue cannot be made (541 INTERNAL_ERROR - cannot "
            b"declare): nothing is stored"
        )
        self.assertEqual([(b"1", why)], self.told)
        self.assertEqual(3, self.rabbit.commands.count("Queue.Declare"))

    def test_blockedSecond(self) -> None:
        """A second node may be asked that takes no messages."""
        self.rabbit.nodes[1].peers[0].block("low on memory")
        self.publish(b"1", queue="new")
        self.go()
        self.assertEqual(self.stored(b"1"), self.told)


class ChannelMaxTests(PublisherTestCase):
    """A node that allows few channels."""

    def setUp(self) -> None:
        """Connect to nodes that allow as few as may be."""
        super().setUp()
        self.rabbit.channelMax = LEAST_CHANNELS
        self.first.kill()
        self.go(1.0)
        self.go(1.0)

    def most(self) -> int:
        """Return how many channels a connection has."""
        return max(len(peer.channels) for peer in self.rabbit.peers())

    def test_made(self) -> None:
        """Many queues are made, some at a time."""
        for number in range(3 * LEAST_CHANNELS):
            self.publish(b"%d" % number, queue=f"new{number}")
        self.goOn(0.5)
        self.assertEqual({b"STORED"}, {reply for _, reply in self.told})
        self.assertEqual(3 * LEAST_CHANNELS, len(self.told))

    def test_refused(self) -> None:
        """A queue that refuses, beside many that are silent, leaves room for others."""
        self.rabbit.declare("full")
        for number in range(3 * LEAST_CHANNELS):
            name = f"still{number}"
            self.rabbit.declare(name)
            self.rabbit.silent.add(name)
            self.rabbit.refusing.add("full")
            self.publish(b"s", queue=name)
            self.publish(b"f", queue="full")
            # Both are on the last channel, which is not good enough for one.
            self.goOn(0.05)
            self.assertLessEqual(self.most(), LEAST_CHANNELS // 2)
        self.publish(b"1")
        self.go()
        self.assertIn((b"1", b"STORED"), self.told)
        self.goOn(TIMEOUT + 2 * TICK)
        full = {reply for body, reply in self.told if body == b"f"}
        self.assertLessEqual(full, {NOWHERE, UNTAKEN, b"NOT_STORED"})
        self.assertEqual(6 * LEAST_CHANNELS + 1, len(self.told))

    def test_refusedAgain(self) -> None:
        """What waits for a channel is sent on the next one that there is room for."""
        self.rabbit.declare("still")
        self.rabbit.silent.add("still")
        self.publish(b"s", queue="still")
        self.rabbit.declare("r")
        self.rabbit.refusing.update("qr")
        self.publish(b"1")
        self.publish(b"3", queue="r")
        self.rabbit.run()
        self.patch(publishing, "MOST_CHANNELS", 1)
        self.goOn(0.5)
        self.assertEqual([], self.told)
        self.assertEqual(1, self.most())
        self.rabbit.refusing.clear()
        self.patch(publishing, "MOST_CHANNELS", 1_000)
        self.publish(b"2")
        self.go(TICK)
        self.assertEqual(self.stored(b"1", b"2", b"3"), sorted(self.told))


class RefusedTests(PublisherTestCase):
    """Messages that a queue refuses."""

    def test_full(self) -> None:
        """What is refused for a second, on new channels, is not stored."""
        self.rabbit.refusing.add("q")
        self.publish(b"1")
        self.goOn(TRIAL - 0.1)
        self.assertEqual([], self.told)
        self.goOn(0.5)
        self.assertEqual([(b"1", b"NOT_STORED")], self.told)
        opened = self.rabbit.commands.count("Channel.Open")
        self.assertEqual(opened - 1, self.rabbit.commands.count("Channel.Close"))
        self.publish(b"2")
        self.rabbit.run()
        self.assertEqual((b"2", b"NOT_STORED"), self.told[-1])
        self.goOn(FULL)
        self.rabbit.refusing.clear()
        self.publish(b"3")
        self.go()
        self.assertEqual((b"3", b"STORED"), self.told[-1])

    def test_fullAgain(self) -> None:
        """A queue that was full a while ago is tried for a second again."""
        self.rabbit.refusing.add("q")
        self.publish(b"1")
        self.goOn(TRIAL + FULL + 1.0)
        self.publish(b"2")
        self.go()
        self.assertEqual([(b"1", b"NOT_STORED")], self.told)
        self.goOn(0.1)
        self.rabbit.refusing.clear()
        self.goOn(0.5)
        self.assertEqual([(b"1", b"NOT_STORED"), (b"2", b"STORED")], self.told)

    def test_emptied(self) -> None:
        """One that was emptied since is not full."""
        self.rabbit.refusing.add("q")
        self.publish(b"1")
        self.goOn(TRIAL + 0.5)
        self.rabbit.refusing.clear()
        self.assertTrue(self.publisher.isFull("q"))
        self.publisher.emptied("q")
        self.assertFalse(self.publisher.isFull("q"))

    def test_leader(self) -> None:
        """A channel that refuses for good is given up; the order stays."""
        self.rabbit.refusing.add("q")
        self.publish(b"1", b"2")
        self.rabbit.run()
        self.publish(b"3")
        self.rabbit.refusing.clear()
        self.go(0.02)
        self.publish(b"4")
        self.go()
        self.assertEqual(self.stored(b"1", b"2", b"3", b"4"), self.told)
        self.assertEqual([b"1", b"2", b"3", b"4"], self.rabbit.bodies("q"))
        self.assertEqual(1, len(self.first.peers[0].channels))

    def test_others(self) -> None:
        """Queues with something under way stay on their channel, which closes then."""
        self.rabbit.declare("r")
        self.rabbit.silent.add("r")
        self.publish(b"1", queue="r")
        self.rabbit.refusing.add("q")
        self.publish(b"2")
        self.rabbit.run()
        self.rabbit.refusing.clear()
        self.go(0.02)
        self.assertEqual(self.stored(b"2"), self.told)
        [peer] = self.first.peers
        self.assertEqual(2, len(peer.channels))
        self.publish(b"3", queue="r")
        self.rabbit.run()
        peer.confirm(1, 3, multiple=True)
        self.go()
        self.assertEqual(self.stored(b"2", b"1", b"3"), self.told)
        self.assertEqual(1, len(peer.channels))

    def test_pauses(self) -> None:
        """A lane that pauses goes on pausing when another one's channel opens."""
        self.rabbit.declare("r")
        self.rabbit.refusing.update("qr")
        self.publish(b"1")
        self.rabbit.run()
        self.clock.advance(0.01)
        self.publish(b"2", queue="r")
        self.rabbit.run()
        self.rabbit.refusing.clear()
        self.go(0.01)
        self.assertEqual(self.stored(b"1"), self.told)
        self.go(0.01)
        self.assertEqual(self.stored(b"1", b"2"), self.told)

    def test_twice(self) -> None:
        """A channel that was given up before it was open is closed when it is."""
        self.rabbit.declare("r")
        self.rabbit.refusing.update("qr")
        self.publish(b"1")
        self.rabbit.run()
        self.clock.advance(0.02)
        # The new channel is asked for; the other queue is refused meanwhile.
        self.publisher.outlet(self.clock.seconds() + 0.01)
        self.rabbit.refusing.clear()
        self.go()
        self.assertEqual(self.stored(b"1"), self.told)
        self.assertEqual(1, len(self.first.peers[0].channels))

    def test_late(self) -> None:
        """What is told while its lane waits is let go of."""
        self.rabbit.silent.add("q")
        self.publish(b"1")
        self.rabbit.run()
        self.rabbit.refusing.add("q")
        self.publish(b"2")
        self.goOn(TIMEOUT + TICK)
        self.assertEqual([(b"1", LATE), (b"2", UNTAKEN)], self.told)
        self.rabbit.refusing.clear()
        self.first.peers[0].confirm(1, 1, multiple=False)
        self.goOn(0.5)
        self.assertEqual([b"1"], self.rabbit.bodies("q"))
        self.assertEqual({}, self.publisher._lanes)
