"""Tests for memq.rabbitmq.links.link and connections, on a cluster in memory."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from memq.rabbitmq.links.abilities import LEAST_CHANNELS
from memq.rabbitmq.links.connections import AMQPConnection
from memq.rabbitmq.links.link import (
    AVOIDED,
    CHANNELS,
    FAREWELL,
    LIVED,
    PATIENCE,
    STAGGER,
    Link,
)
from memq.test.support.fakerabbit import FakeCluster


class User:
    """Who hears of a link.

    :ivar heard: what, in order.
    """

    def __init__(self) -> None:
        self.heard: list[str] = []

    def linkUp(self) -> None:
        """Note it."""
        self.heard.append("up")

    def linkDown(self, why: str) -> None:
        """Note it."""
        self.heard.append(f"down: {why}")

    def linkBlocked(self, why: str | None) -> None:
        """Note it."""
        self.heard.append(f"blocked: {why}")


class LinkTestCase(SynchronousTestCase):
    """A link to three nodes, tried in order."""

    def setUp(self) -> None:
        """Start nothing."""
        self.clock, self.rabbit, self.user = Clock(), FakeCluster(), User()
        self.random = 0.0
        self.link = Link(
            self.clock, self.rabbit.cluster, "tests", self.user, lambda: self.random
        )
        self.logged: list[Any] = []
        observer = cast("ILogObserver", self.logged.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def go(self, seconds: float = 0.0) -> None:
        """Let time pass, and all be said."""
        for pause in (seconds, 0.0):
            self.clock.advance(pause)
            self.rabbit.run()

    def start(self) -> None:
        """Start it, and let it connect."""
        self.link.start()
        self.go()

    def warnings(self) -> list[str]:
        """Return what was warned of."""
        return [
            each["log_format"].format(**each)
            for each in self.logged
            if each["log_level"] is LogLevel.warn
        ]

    def nodes(self) -> list[int]:
        """Return how many connections each node has."""
        return [len(node.peers) for node in self.rabbit.nodes]


class AttemptTests(LinkTestCase):
    """Which node is taken."""

    def test_up(self) -> None:
        """The first node that answers is taken, and no other one is asked."""
        self.start()
        self.assertTrue(self.link.isUp)
        self.assertEqual("node0:5672", self.link.node)
        self.assertEqual(["up"], self.user.heard)
        self.go(STAGGER * 3)
        self.assertEqual([1, 0, 0], self.nodes())

    def test_random(self) -> None:
        """The first node is a random one."""
        self.random = 0.7
        self.start()
        self.assertEqual("node2:5672", self.link.node)

    def test_refused(self) -> None:
        """If a node refuses, the next one is asked at once."""
        self.rabbit.nodes[0].isDead = True
        self.start()
        self.go()
        self.assertEqual("node1:5672", self.link.node)
        self.assertEqual(
            [
                "No connection for tests to node0:5672 (1 such): "
                "Connection was refused by other side."
            ],
            self.warnings(),
        )

    def test_still(self) -> None:
        """If a node stands still, the next one is asked soon; the first is cut off."""
        self.rabbit.nodes[0].isStill = True
        self.start()
        self.assertIsNone(self.link.node)
        self.go(STAGGER)
        self.assertEqual("node1:5672", self.link.node)
        self.assertEqual([0, 1, 0], self.nodes())

    def test_hung(self) -> None:
        """An attempt that does not connect is cancelled when another one is taken."""
        self.rabbit.nodes[0].isHung = True
        self.start()
        self.go(STAGGER)
        self.assertEqual("node1:5672", self.link.node)
        self.go(PATIENCE)
        self.assertEqual([], self.warnings())

    def test_patience(self) -> None:
        """An attempt has a bound, then the node is tried again, with a delay."""
        for node in self.rabbit.nodes:
            node.isStill = True
        self.start()
        self.random = 0.5
        self.go(STAGGER)
        self.go(STAGGER)
        self.assertEqual([1, 1, 1], self.nodes())
        self.go(PATIENCE - STAGGER * 2)
        self.assertEqual([0, 1, 1], self.nodes())
        self.assertIn("node0:5672 (1 such): no answer in time", self.warnings()[0])
        self.rabbit.nodes[0].isStill = False
        self.go(0.05)
        self.assertEqual("node0:5672", self.link.node)

    def test_lost(self) -> None:
        """A connection that is lost before it is open is a failure."""
        self.rabbit.nodes[0].isStill = True
        self.link.start()
        self.clock.advance(0)
        self.rabbit.nodes[0].kill()
        self.go()
        self.assertEqual("node1:5672", self.link.node)
        self.assertIn("lost", self.warnings()[0])

    def test_backoff(self) -> None:
        """While no node answers each is tried again, ever more seldom."""
        self.random = 0.5
        for node in self.rabbit.nodes:
            node.isDead = True
        self.start()
        for _ in range(3):
            self.go()
        self.assertEqual(3, len(self.warnings()))
        self.assertEqual(
            [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0],
            [self.link.delay(failures) for failures in range(1, 9)],
        )
        for node in self.rabbit.nodes:
            node.isDead = False
        self.go(0.05)
        self.assertTrue(self.link.isUp)

    def test_seldom(self) -> None:
        """What fails again and again is in the log once a minute."""
        for node in self.rabbit.nodes:
            node.isDead = True
        self.start()
        for _ in range(10):
            self.go(2.0)
        self.assertEqual(3, len(self.warnings()))

    def test_jitter(self) -> None:
        """A delay is half of what it says to one and a half times that."""
        self.assertEqual(0.025, self.link.delay(1))
        self.random = 1.0
        self.assertAlmostEqual(0.075, self.link.delay(1))

    def test_stopped(self) -> None:
        """A stop while nothing is open cuts all attempts off."""
        self.rabbit.nodes[0].isStill = True
        self.start()
        self.assertIsNone(self.successResultOf(self.link.stop()))
        self.go()
        self.assertEqual([0, 0, 0], self.nodes())
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual([], self.user.heard)


class ConnectionTests(LinkTestCase):
    """What happens to a connection that is open."""

    def start(self) -> None:
        """Be connected for some time."""
        super().start()
        self.go(LIVED)

    def test_lost(self) -> None:
        """A connection that is lost is made again, to another node first."""
        self.start()
        self.rabbit.nodes[0].kill()
        self.assertIsNone(self.link.node)
        self.assertFalse(self.link.isUp)
        self.rabbit.nodes[0].isDead = False
        self.go()
        self.assertEqual("node1:5672", self.link.node)
        why = "Connection to the other side was lost in a non-clean fashion."
        self.assertEqual(["up", f"down: {why}", "up"], self.user.heard)
        self.assertEqual(
            [f"The connection to node0:5672 for tests is lost (1 such): {why}"],
            self.warnings(),
        )

    def test_closed(self) -> None:
        """A node that closes a connection says why."""
        self.start()
        self.rabbit.peers()[0].close(320, "CONNECTION_FORCED - shut down")
        self.go()
        self.assertEqual(
            ["up", "down: 320 CONNECTION_FORCED - shut down", "up"], self.user.heard
        )

    def test_short(self) -> None:
        """A connection that is lost soon is made again later; the log says little."""
        self.start()
        self.go(5.0)
        for number in range(12):
            [peer] = self.rabbit.peers()
            peer.close(541, f"INTERNAL_ERROR {number}")
            self.go()
            self.go(self.link.delay(number))
        self.assertEqual(2, len(self.warnings()))
        [peer] = self.rabbit.peers()
        peer.close(541, "INTERNAL_ERROR")
        self.go()
        self.assertFalse(self.link.isUp)
        self.go(2.0)
        self.assertTrue(self.link.isUp)
        self.go(2.0)
        self.rabbit.peers()[0].close(320, "CONNECTION_FORCED")
        self.go()
        self.assertTrue(self.link.isUp)

    def test_refusedUser(self) -> None:
        """A user that the node refuses is in the log."""
        self.link.start()
        self.clock.advance(0)
        self.rabbit.peers()[0].step()
        self.rabbit.peers()[0].close(403, "ACCESS_REFUSED - login refused")
        self.go()
        self.assertIn("ACCESS_REFUSED - login refused", self.warnings()[0])

    def test_heartbeat(self) -> None:
        """A node that says nothing for two heartbeats is cut off."""
        self.start()
        self.rabbit.nodes[0].isStill = True
        for _ in range(7):
            self.go(5.0)
        self.assertEqual("node1:5672", self.link.node)
        self.assertIn("AMQPHeartbeatTimeout", self.user.heard[1])

    def test_blocked(self) -> None:
        """A node that has no memory says so, and when it has it again."""
        self.start()
        peer = self.rabbit.peers()[0]
        peer.block("low on memory")
        self.go()
        self.assertTrue(self.link.isBlocked)
        peer.block(None)
        self.go()
        self.assertFalse(self.link.isBlocked)
        self.assertEqual(
            ["up", "blocked: low on memory", "blocked: None"], self.user.heard
        )

    def test_blockedLost(self) -> None:
        """What one node has said of its memory does not hold for the next one."""
        self.start()
        self.rabbit.peers()[0].block("low on disk")
        self.go()
        self.rabbit.nodes[0].kill()
        self.assertFalse(self.link.isBlocked)

    def test_stop(self) -> None:
        """A stop says good-bye."""
        self.start()
        stopped = self.link.stop()
        self.assertIs(stopped, self.link.stop())
        self.assertNoResult(stopped)
        self.go()
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual([0, 0, 0], self.nodes())
        self.assertEqual("Connection.Close", self.rabbit.commands[-1])
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual([], self.warnings())

    def test_hasRoom(self) -> None:
        """A connection has the channels that the node allows, or a share of them."""
        self.rabbit.channelMax = LEAST_CHANNELS
        self.start()
        found = [self.link.hasRoom(), self.link.hasRoom(CHANNELS // 2)]
        for _ in range(LEAST_CHANNELS // 2):
            self.link.channel(lambda _: None, lambda _, why: None)
        found += [self.link.hasRoom(), self.link.hasRoom(CHANNELS // 2)]
        for _ in range(LEAST_CHANNELS // 2):
            self.link.channel(lambda _: None, lambda _, why: None)
        found.append(self.link.hasRoom())
        self.assertEqual([True, True, True, False, False], found)

    def unfit(self, lack: str) -> None:
        """Check that no node is taken, and that it is told why."""
        self.link.start()
        for _ in range(20):
            self.go(0.1)
        self.assertEqual(([], False, True), (*self.state(), self.link.isUnfit))
        self.assertEqual([0, 0, 0], self.nodes())
        self.assertIn(lack, self.link.trouble)
        words = f"No connection for tests to node0:5672 (1 such): {lack}"
        self.assertEqual(words, self.warnings()[0])

    def state(self) -> tuple[list[str], bool]:
        """Return what the user has heard, and whether it is up."""
        return self.user.heard, self.link.isUp

    def test_unfit(self) -> None:
        """A node that does not offer what is needed is not taken, until it does."""
        self.rabbit.lacking = {"publisher_confirms", "basic.nack"}
        self.unfit("it does not offer publisher_confirms, basic.nack")
        self.rabbit.nodes[0].kill()
        self.go(2.0)
        self.assertFalse(self.link.isUnfit)
        self.rabbit.lacking = set()
        self.go(2.0)
        self.go(2.0)
        self.assertEqual((["up"], True), self.state())

    def test_fewChannels(self) -> None:
        """So it is with one that allows too few channels."""
        for most in 1, 2, LEAST_CHANNELS - 1:
            self.setUp()
            self.rabbit.channelMax = most
            self.unfit(
                f"it allows {most} channels a connection, of at least 16 (channel_max)"
            )
        self.setUp()
        self.rabbit.channelMax = 0
        self.start()
        self.assertTrue(self.link.isUp)

    def test_stopStill(self) -> None:
        """A stop waits for a node that stands still a short time only."""
        self.start()
        self.rabbit.nodes[0].isStill = True
        stopped = self.link.stop()
        self.go(FAREWELL)
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_leave(self) -> None:
        """A node that is left is tried last, for some time."""
        self.start()
        for _ in range(3):
            self.link.leave("it lies")
        left = [each for each in self.warnings() if each.startswith("Leaving")]
        self.assertEqual(["Leaving node0:5672: it lies"], left)
        self.go()
        self.assertEqual("node1:5672", self.link.node)
        self.go(LIVED)
        self.rabbit.nodes[1].kill()
        self.go()
        self.assertEqual("node2:5672", self.link.node)
        self.clock.advance(AVOIDED)
        self.rabbit.nodes[2].kill()
        self.go()
        self.assertEqual("node0:5672", self.link.node)

    def test_leaveNothing(self) -> None:
        """A link that is down leaves nothing; nor does one whose end is under way."""
        self.link.leave("it lies")
        self.assertEqual([], self.warnings())
        self.start()
        stopped = self.link.stop()
        self.rabbit.nodes[0].kill()
        self.successResultOf(stopped)
        self.go(FAREWELL)

    def test_rubbish(self) -> None:
        """What is no AMQP costs the connection and is logged."""
        self.start()
        [peer] = self.rabbit.peers()
        peer.protocol.dataReceived(b"\x01\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        self.assertEqual(ConnectionLost, peer.transport.ended)
        self.assertEqual(1, len(self.flushLoggedErrors()))


class ChannelTests(LinkTestCase):
    """Channels of a link."""

    def setUp(self) -> None:
        """Be up for some time."""
        super().setUp()
        self.start()
        self.go(LIVED)
        self.closed: list[str] = []
        self.channels: list[Any] = []

    def open(self) -> None:
        """Open one."""
        self.link.channel(
            self.channels.append, lambda channel, why: self.closed.append(why)
        )
        self.go()

    def test_open(self) -> None:
        """A channel is pika's own."""
        self.open()
        [channel] = self.channels
        channel.close()
        self.go()
        self.assertEqual(["0 Normal shutdown"], self.closed)

    def test_again(self) -> None:
        """Whoever is told the end of a channel can have another one for it."""
        for _ in range(CHANNELS):
            self.link.channel(lambda _: None, lambda _, why: self.open())
        self.go()
        self.assertFalse(self.link.hasRoom())
        self.rabbit.nodes[0].peers[0].closeChannel(CHANNELS, 406, "PRECONDITION_FAILED")
        self.go()
        self.assertEqual([CHANNELS], [each.channel_number for each in self.channels])
        self.channels[0].close()
        self.go()
        self.assertEqual(["0 Normal shutdown"], self.closed)

    def test_closed(self) -> None:
        """A channel that the node closes says why; the link stays up."""
        self.open()
        self.channels[0].queue_declare("q", passive=True, callback=self.closed.append)
        self.go()
        self.assertEqual(["404 NOT_FOUND - no queue 'q' in vhost '/'"], self.closed)
        self.assertTrue(self.link.isUp)

    def test_lost(self) -> None:
        """Channels end with their connection, and before the link is down."""
        self.open()
        self.link.channel(
            self.channels.append, lambda channel, why: self.user.heard.append("channel")
        )
        self.rabbit.nodes[0].kill()
        self.assertEqual(1, len(self.closed))
        self.assertEqual(["up", "channel"], self.user.heard[:2])
        self.assertEqual(1, len(self.channels))

    def test_lostWhile(self) -> None:
        """A link is not up any more when its channels end with it."""
        self.link.channel(
            self.channels.append,
            lambda channel, why: self.closed.append(f"{self.link.isUp}"),
        )
        self.go()
        self.rabbit.nodes[0].kill()
        self.assertEqual(["False"], self.closed)

    def test_error(self) -> None:
        """An error at the end of one channel does not keep the others from hearing."""
        self.link.channel(self.channels.append, lambda channel, why: 1 // 0)
        self.open()
        self.rabbit.nodes[0].kill()
        self.assertEqual(1, len(self.closed))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.go()
        self.assertTrue(self.link.isUp)

    def test_errorAtOpen(self) -> None:
        """An error of whoever opened a channel costs the connection."""
        self.link.channel(lambda channel: 1 // 0, lambda channel, why: None)
        self.go()
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertEqual("down", self.user.heard[1][:4])


class AdapterTests(SynchronousTestCase):
    """What pika asks of an adapter, and nobody asks of this one."""

    def test_never(self) -> None:
        """No thread speaks AMQP, and pika connects nothing."""
        owner: Any = type(
            "Owner", (), dict.fromkeys(("opened", "failed", "closed"), print)
        )
        amqp = AMQPConnection(FakeCluster().cluster.parameters, Clock(), owner)
        self.assertRaises(
            NotImplementedError, amqp._adapter_add_callback_threadsafe, print
        )
        self.assertRaises(NotImplementedError, amqp._adapter_connect_stream)
