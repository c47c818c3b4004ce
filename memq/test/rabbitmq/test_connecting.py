"""Tests for memq.rabbitmq.connecting: pika's own channels, to fake nodes."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from memq.errors import NotStored
from memq.operations.openreads.closes import CloseRead
from memq.operations.openreads.openread import OpenRead
from memq.operations.queues import Delete, Pause, Resume
from memq.policy.rule import WRITES
from memq.rabbitmq.connecting import connectTo
from memq.rabbitmq.engine.engine import Engine
from memq.test.support.fakerabbit import FakeCluster
from memq.wire.forms import GETS, SETS


class ConnectingTests(SynchronousTestCase):
    """An engine over links."""

    def setUp(self) -> None:
        """Connect."""
        self.clock, self.rabbit = Clock(), FakeCluster()
        teller: Any = None
        connect = connectTo(self.rabbit.cluster, teller, 5.0)
        self.engine = Engine(self.clock, connect)
        self.session = self.engine.session(lambda: None)
        self.engine.start()
        self.go()

    def go(self) -> None:
        """Let all be said."""
        for _ in range(20):
            self.clock.advance(0.05)
            self.rabbit.run()

    def found(self, operation: Any) -> Any:
        """Return what an operation finds."""
        self.session.submit(operation)
        self.go()
        self.assertTrue(operation.done)
        return operation.result

    def test_gets(self) -> None:
        """What is set is taken: first come, first served."""
        pushes = [self.session.push(b"q", 7, each, SETS) for each in (b"a", b"b")]
        self.go()
        self.assertTrue(all(each.done for each in pushes))
        self.assertEqual(self.rabbit.bodies("q"), [b"a", b"b"])
        pop = self.session.pop(b"q", GETS)
        pop.most = 3
        self.go()
        found = [each and each[2:5:2] for each in pop.results]  # type: ignore[index]
        self.assertEqual(found, [(7, b"a"), (7, b"b"), None])

    def test_openReads(self) -> None:
        """What is open is closed by its number, and the next is opened with that."""
        for each in b"a", b"b":
            self.session.push(b"q", 0, each, SETS)
        self.go()
        opened = self.found(OpenRead(self.session, b"q"))
        self.assertEqual(opened.body, b"a")
        close = CloseRead(self.session, b"q", number=opened.sequence)
        self.session.submit(close)
        following = self.found(OpenRead(self.session, b"q", after=close))
        self.assertEqual((close.result, following.body), (1, b"b"))
        self.assertEqual(self.found(CloseRead(self.session, b"q")), 1)
        self.assertEqual(self.rabbit.bodies("q"), [])
        self.assertTrue(self.found(Delete(self.session, b"q")))
        self.assertIsNone(self.found(OpenRead(self.session, b"q")))

    def test_making(self) -> None:
        """Nothing is asked of a queue while it is made."""
        noted: list[tuple[str, bytes]] = []
        for each in self.engine.asked.gets, self.engine.asked.openReads:
            for call in "hold", "over":
                note = partial(self._note, noted, call, getattr(each, call))
                self.patch(each, call, note)
        self.session.push(b"q", 0, b"a", SETS)
        self.go()
        begin, end = ("hold", b"q"), ("over", b"q")
        self.assertEqual(noted, [begin, begin, end, end])
        self.session.push(b"q", 0, b"b", SETS, delay=1)
        self.go()
        self.assertEqual(len(noted), 4)
        self.assertEqual(list(self.rabbit.arguments), ["q", "memq/delay/1"])

    @staticmethod
    def _note(noted: list[Any], call: str, done: Any, queue: bytes) -> None:
        noted.append((call, queue))
        done(queue)

    def test_pauses(self) -> None:
        """What one engine pauses is so for the next, until it goes on."""
        self.found(Pause(self.session, b"q", WRITES))
        teller: Any = None
        other = Engine(self.clock, connectTo(self.rabbit.cluster, teller, 5.0))
        other.start()
        session = other.session(lambda: None)
        self.go()
        push = session.push(b"q", 0, b"a", SETS)
        self.go()
        self.assertIsInstance(push.results[0], NotStored)
        self.assertTrue(self.found(Resume(self.session, b"q")))
        push = session.push(b"q", 0, b"b", SETS)
        self.go()
        self.assertEqual(self.rabbit.bodies("q"), [b"b"])

    def test_lost(self) -> None:
        """Opens that are under way are asked for again when all links were lost."""
        for each in b"a", b"b", b"c":
            self.session.push(b"q", 0, each, SETS)
        self.go()
        sessions = [self.engine.session(lambda: None) for _ in range(3)]
        reads = [OpenRead(each, b"q") for each in sessions]
        for session, read in zip(sessions, reads, strict=True):
            session.submit(read)
        self.clock.advance(0)
        for peer in self.rabbit.peers():
            peer.lose(ConnectionLost())
        self.go()
        self.go()
        found = sorted(each.result.body for each in reads)
        self.assertEqual(found, [b"a", b"b", b"c"])

    def test_end(self) -> None:
        """At the end all connections are closed."""
        self.assertEqual(len(self.rabbit.peers()), 12)
        drained = self.engine.drain()
        self.go()
        self.assertIsNone(self.successResultOf(drained))
        self.assertEqual(self.rabbit.peers(), [])
