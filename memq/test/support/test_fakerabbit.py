"""Tests for the cluster in memory, where tests of memq.rabbitmq do not reach."""

from __future__ import annotations

from typing import Any

import pika
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from memq.rabbitmq.links.link import Link
from memq.test.support.fakerabbit import FakeCluster


class FakeTests(SynchronousTestCase):
    """What a node does with queues, by pika's channel."""

    def setUp(self) -> None:
        """Open a channel on the first node."""
        clock, self.rabbit = Clock(), FakeCluster(1)
        self.rabbit.declare("q")
        self.link = Link(clock, self.rabbit.cluster, "tests", self)
        self.told: list[Any] = []
        self.link.start()
        clock.advance(0)
        self.rabbit.run()

    def linkUp(self) -> None:
        """Open the channel."""
        self.channel = self.link.channel(
            lambda channel: None, lambda channel, why: self.told.append(why)
        )
        self.channel.add_callback(
            lambda frame: self.told.append("empty"), [pika.spec.Basic.GetEmpty], False
        )

    def linkDown(self, why: str) -> None:
        """Note it."""
        self.told.append("down")

    def linkBlocked(self, why: str | None) -> None:
        """Note it."""
        self.told.append(why)

    def publish(self, *bodies: bytes) -> None:
        """Publish to the queue q."""
        for body in bodies:
            self.channel.basic_publish("", "q", body)
        self.rabbit.run()

    def get(self, *, noAck: bool) -> Any:
        """Return the delivery tag of a message, and tell its body."""
        tags: list[int] = []

        def got(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            tags.append(method.delivery_tag)
            self.told.append((body, method.redelivered))

        self.channel.basic_get("q", got, auto_ack=noAck)
        self.rabbit.run()
        return tags[0] if tags else None

    def test_get(self) -> None:
        """A message that was got is gone, or in the hand of the channel."""
        self.publish(b"1", b"2" * 10_000)
        self.get(noAck=True)
        tag = self.get(noAck=False)
        self.assertEqual([], self.rabbit.bodies("q"))
        self.channel.basic_nack(tag)
        again = self.get(noAck=False)
        self.channel.basic_ack(again)
        self.get(noAck=True)
        self.assertEqual(
            [(b"1", False), (b"2" * 10_000, False), (b"2" * 10_000, True), "empty"],
            self.told,
        )

    def test_lost(self) -> None:
        """What was got comes back to the front when the connection is lost."""
        self.publish(b"1", b"2", b"3")
        self.get(noAck=False)
        self.get(noAck=False)
        self.rabbit.nodes[0].kill()
        self.assertEqual([b"1", b"2", b"3"], self.rabbit.bodies("q"))

    def test_unknown(self) -> None:
        """A queue that is not there ends the channel, and what came behind is lost."""
        self.rabbit.queues.clear()
        self.channel.queue_purge("q")
        self.rabbit.nodes[0].peers[0].closeChannel(1, 541, "INTERNAL_ERROR")
        self.publish()
        self.assertEqual("541 INTERNAL_ERROR", self.told[0])

    def test_unknownGet(self) -> None:
        """So does a get of one."""
        self.rabbit.nodes[0].unknown.add("q")
        self.get(noAck=True)
        self.assertEqual(["404 NOT_FOUND - no queue 'q' in vhost '/'"], self.told)

    def test_queues(self) -> None:
        """Queues are declared, counted, purged and deleted."""

        def tell(frame: Any) -> None:
            self.told.append(frame.method.message_count)

        self.publish(b"1", b"2")
        self.channel.queue_declare("q", passive=True, callback=tell)
        self.channel.queue_purge("q", callback=tell)
        self.channel.queue_declare("r", durable=True, callback=tell)
        self.channel.queue_delete("r", callback=tell)
        self.rabbit.run()
        self.assertEqual([2, 2, 0, 0], self.told)
        self.assertEqual(["q"], list(self.rabbit.queues))

    def test_purgeUnknown(self) -> None:
        """A purge of what is not there ends the channel."""
        self.channel.queue_purge("r")
        self.rabbit.run()
        self.assertEqual(["404 NOT_FOUND - no queue 'r' in vhost '/'"], self.told)

    def test_blocked(self) -> None:
        """A node blocks connections."""
        self.rabbit.nodes[0].peers[0].block("low on memory")
        self.rabbit.run()
        self.assertEqual(["low on memory"], self.told)
