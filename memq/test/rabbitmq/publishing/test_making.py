"""Tests for memq.rabbitmq.publishing.making, on a cluster in memory."""

from __future__ import annotations

from memq.errors import QueueError
from memq.rabbitmq.names import encode
from memq.rabbitmq.publishing.making import ASSENT
from memq.rabbitmq.publishing.publisher import TICK
from memq.test.rabbitmq.publishing.test_publisher import (
    GONE,
    TIMEOUT,
    PublisherTestCase,
)


class MakingTests(PublisherTestCase):
    """Queues that are made, with messages or without."""

    def setUp(self) -> None:
        """Begin with nothing asked."""
        super().setUp()
        self.found: list[object] = []

    def make(self, queue: str, limit: int = 0) -> None:
        """Make a queue, and let nothing happen."""

        def note(found: object) -> None:
            isError = isinstance(found, QueueError)
            self.found.append(found.reply if isError else found)  # type: ignore[attr-defined]

        self.publisher.make(encode(queue.encode()), limit, note)

    def publishAgain(self, body: bytes, queue: str) -> None:
        """Publish a message that was in a queue, and let nothing happen."""

        def note(error: QueueError | None) -> None:
            self.told.append((body, b"STORED" if error is None else error.reply))

        name = encode(queue.encode())
        self.publisher.publish(name, body, None, note, makes=False)

    def test_made(self) -> None:
        """A queue is made where there is none, with what it may have at most."""
        for queue in "new", "q":
            self.make(queue, 7)
            self.go()
        self.assertEqual(self.found, [True, False])
        arguments = self.rabbit.arguments["new"]
        self.assertEqual(arguments["x-max-length"], 7)
        self.assertEqual(arguments["x-overflow"], "reject-publish")
        self.make("more")
        self.go()
        self.assertNotIn("x-max-length", self.rabbit.arguments["more"])

    def test_late(self) -> None:
        """What is not made in time is told so, and not made afterwards."""
        for node in self.rabbit.nodes:
            node.isStill = True
        self.make("new")
        self.goOn(TIMEOUT + 0.1)
        words = b"SERVER_ERROR the queue servers did not make the queue in time"
        self.assertEqual(self.found, [words])
        for node in self.rabbit.nodes:
            node.isStill = False
        self.goOn(TIMEOUT)
        self.assertEqual(len(self.found), 1)

    def test_refused(self) -> None:
        """Why a queue cannot be made is told."""
        self.rabbit.forbidden = "403 no"
        self.make("new")
        self.go()
        self.assertEqual(
            self.found, [b"SERVER_ERROR the queue cannot be made (403 no)"]
        )

    def test_gone(self) -> None:
        """A queue that has confirmed a message is not made."""
        self.publish(b"1")
        self.go()
        del self.rabbit.queues["q"]
        self.make("q")
        self.go()
        self.assertEqual(self.found, [GONE])

    def test_stale(self) -> None:
        """A node's word counts for some time: then it is asked again."""
        others = self.rabbit.nodes[1:]
        for node in others:
            node.isStill = True
        self.make("new")
        self.publish(b"1", queue="more")
        self.goOn(ASSENT + 0.1)
        # Meanwhile somebody else makes it, and a node does not know that.
        self.rabbit.declare("new", "more")
        for node in others:
            node.unknown |= {"new", "more"}
            node.isStill = False
        self.goOn(1.0)
        self.assertEqual(self.found, [False])
        self.assertEqual(self.told, self.stored(b"1"))
        self.assertNotIn("new", self.rabbit.arguments)
        self.assertNotIn("more", self.rabbit.arguments)

    def test_again(self) -> None:
        """A message goes back to a queue that is there."""
        self.publishAgain(b"1", "q")
        self.go()
        self.assertEqual(self.told, self.stored(b"1"))

    def test_deleted(self) -> None:
        """One does not make a queue anew that was deleted."""
        self.publishAgain(b"1", "new")
        self.go()
        self.assertEqual(self.told, [(b"1", GONE)])
        self.assertNotIn("new", self.rabbit.queues)

    def test_deletedAndMade(self) -> None:
        """Nor is it in one that is made for another message."""
        self.publishAgain(b"1", "new")
        self.publish(b"2", queue="new")
        self.go()
        self.assertEqual(dict(self.told), {b"1": GONE, b"2": b"STORED"})
        self.assertEqual(self.rabbit.bodies("new"), [b"2"])

    def test_delayedGone(self) -> None:
        """A delayed message makes no queue that has confirmed others."""
        self.publisher.known.clear()
        self.rabbit.queues.pop("q")
        told: list[bytes] = []
        name = encode(b"q")

        def note(error: QueueError | None) -> None:
            told.append(b"STORED" if error is None else error.reply)

        for node in self.rabbit.nodes[1:]:
            node.isStill = True
        self.publisher.publish(name, b"1", None, note, delay=5)
        self.go()
        self.publisher.known.add("q")
        for node in self.rabbit.nodes[1:]:
            node.isStill = False
        self.goOn(TICK)
        self.assertEqual(told, [GONE])
