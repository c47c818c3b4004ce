"""Tests for memq.rabbitmq.publishing.delays, on a cluster in memory."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from memq.rabbitmq.names import encode
from memq.rabbitmq.publishing.delays import rounded
from memq.rabbitmq.publishing.publisher import TICK
from memq.test.rabbitmq.publishing.test_publisher import (
    NOWHERE,
    TIMEOUT,
    PublisherTestCase,
)

if TYPE_CHECKING:
    from memq.errors import QueueError


class RoundedTests(SynchronousTestCase):
    """How many queues of delays there can be."""

    def test_rounded(self) -> None:
        """A delay has three digits, and is never shorter than it was."""
        asked = [1, 999, 1000, 1001, 1010, 12_345, 31_536_000]
        self.assertEqual(
            [1, 999, 1000, 1010, 1010, 12_400, 31_600_000],
            [rounded(delay) for delay in asked],
        )


class DelaysTests(PublisherTestCase):
    """Messages with a delay."""

    def delay(self, *bodies: bytes, queue: str = "q", seconds: int = 5) -> None:
        """Publish messages with a delay."""

        def tell(body: bytes, error: QueueError | None) -> None:
            self.told.append((body, b"STORED" if error is None else error.reply))

        for body in bodies:
            self.publisher.publish(
                encode(queue.encode()),
                body,
                {"f": 7},
                partial(tell, body),
                "1500",
                delay=seconds,
            )

    def assertRefused(self, why: bytes) -> None:
        """Assert that the first message was refused."""
        words = b"SERVER_ERROR the queue cannot be made (%b): nothing is stored" % why
        self.assertEqual([(b"1", words)], self.told)

    def test_delayed(self) -> None:
        """A message waits in the queue of its delay, with the name of its own."""
        self.delay(b"1", b"2")
        self.go()
        self.assertEqual(self.stored(b"1", b"2"), self.told)
        self.assertEqual([], self.rabbit.bodies("q"))
        self.assertEqual([b"1", b"2"], self.rabbit.bodies("memq/delay/5"))
        self.assertEqual({"5": "memq/delay/5"}, self.rabbit.delays)
        properties = self.rabbit.queues["memq/delay/5"][0].properties
        self.assertEqual({"f": 7, "d": "5"}, properties.headers)
        self.assertIsNone(properties.expiration)
        arguments = self.rabbit.arguments["memq/delay/5"]
        self.assertEqual(
            (5000, ""),
            (arguments["x-message-ttl"], arguments["x-dead-letter-exchange"]),
        )

    def test_made(self) -> None:
        """A queue is made for the messages that come later, on two nodes' word."""
        self.delay(b"1", queue="new")
        self.go()
        self.assertEqual(self.stored(b"1"), self.told)
        self.assertEqual([], self.rabbit.bodies("new"))
        declared = self.rabbit.commands.count("Queue.Declare")
        self.delay(b"2", queue="new")
        self.go()
        self.assertEqual(declared, self.rabbit.commands.count("Queue.Declare"))
        self.publisher.forget("new")
        self.delay(b"3", queue="new")
        self.go()
        self.assertEqual(declared + 1, self.rabbit.commands.count("Queue.Declare"))

    def test_known(self) -> None:
        """A queue that has confirmed a message is not asked for."""
        self.publish(b"1")
        self.go()
        self.delay(b"2")
        self.go()
        self.assertEqual(self.stored(b"1", b"2"), self.told)
        self.assertEqual(["memq/delay/5"], list(self.rabbit.arguments))

    def test_refused(self) -> None:
        """If the queue cannot be made that is told, and nothing is stored."""
        self.rabbit.forbidden = "403 ACCESS_REFUSED"
        self.delay(b"1", queue="new")
        self.go()
        self.assertRefused(b"403 ACCESS_REFUSED")

    def test_notAsked(self) -> None:
        """So it is if the first node does not say whether it is there."""
        self.delay(b"1")
        self.first.peers[0].closeNext = (541, "INTERNAL_ERROR")
        self.go()
        self.assertRefused(b"541 INTERNAL_ERROR")

    def test_noSecond(self) -> None:
        """Without a second node nothing is stored, and nothing comes later."""
        for node in self.rabbit.nodes[1:]:
            node.kill()
        self.delay(b"1", queue="new")
        self.goOn(TIMEOUT - TICK)
        self.delay(b"2", queue="new")
        self.goOn(TICK * 2)
        self.assertEqual([(b"1", NOWHERE)], self.told)
        self.rabbit.nodes[1].isDead = False
        self.goOn(4.0)
        self.assertEqual([(b"1", NOWHERE), (b"2", b"STORED")], self.told)
        self.assertEqual([b"2"], self.rabbit.bodies("memq/delay/5"))

    def test_late(self) -> None:
        """Each message that waits for its queue is told when its own time is over."""
        for node in self.rabbit.nodes[1:]:
            node.kill()
        self.delay(b"1", queue="new")
        self.goOn(TICK * 2)
        self.delay(b"2", queue="new")
        self.goOn(TIMEOUT + TICK)
        self.assertEqual([(b"1", NOWHERE), (b"2", NOWHERE)], self.told)

    def test_early(self) -> None:
        """What comes before there is a connection waits for one."""
        self.first.kill()
        self.delay(b"1")
        self.go()
        self.go()
        self.assertEqual(self.stored(b"1"), self.told)

    def test_lost(self) -> None:
        """A question is asked again when the connection is lost; one answer counts."""
        for node in self.rabbit.nodes[1:]:
            node.kill()
        self.delay(b"1", queue="new")
        self.rabbit.run()
        self.first.kill()
        for node in self.rabbit.nodes:
            node.isDead = False
        self.goOn(4.0)
        self.assertEqual(self.stored(b"1"), self.told)

    def test_lostAsking(self) -> None:
        """So it is when the first node is lost before it answers."""
        self.delay(b"1")
        self.first.isStill = True
        self.rabbit.run()
        self.first.kill()
        self.goOn(0.5)
        self.assertEqual(self.stored(b"1"), self.told)
