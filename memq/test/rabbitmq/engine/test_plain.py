"""Tests for memq.rabbitmq.engine.plain: what is plain, and what turns out otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import capturedLogs

from memq.errors import NotStored, Refusing
from memq.policy.rule import READS
from memq.rabbitmq.errors import Unsure
from memq.test.rabbitmq.engine.front import FrontTestCase

if TYPE_CHECKING:
    from memq.rabbitmq.engine.view import View


class PlainTests(FrontTestCase):
    """Sets and gets of a queue that is known not to be paused."""

    def setUp(self) -> None:
        """Begin with a queue of which that is known."""
        super().setUp()
        self.set("q", "a")
        self.views = 0
        engine: Any = self.front.engine
        make = engine._carrier._view

        def _view() -> View:
            self.views += 1
            view: View = make()
            return view

        engine._carrier._view = engine._carrier.plain._view = _view

    def test_plain(self) -> None:
        """They need no view, and are counted."""
        self.set("q", "b")
        for body in "a", "b":
            self.assertEqual(self.ask("get q"), ["VALUE q 0 1", body, "END"])
        self.assertEqual(self.ask("get q"), ["END"])
        self.assertEqual(self.views, 0)
        self.assertEqual(self.front.engine.counts.of(b"q")[:2], (2, 2))

    def test_notPlain(self) -> None:
        """Those that come together do, and those with a delay."""
        replies = self.ask("set q 0 0 1", "b", "set q 0 0 1", "c", "get q", "get q")
        self.assertEqual(replies.count("STORED"), 2)
        self.assertIn("b", replies)
        self.assertEqual(self.views, 2)
        self.assertEqual(self.ask("set q/delay=5 0 0 1", "d"), ["STORED"])
        self.assertEqual(self.ask("get q/open"), ["VALUE q/open 0 1", "c", "END"])

    def test_refused(self) -> None:
        """One that is not stored is told so."""
        full = NotStored(b"", b"", Refusing.FULL)
        self.front.publisher.errors = [full, Unsure()]
        self.assertEqual(self.ask("set q 0 0 1", "b"), ["NOT_STORED"])
        self.assertEqual(self.ask("set q 0 0 1", "b"), [f"SERVER_ERROR {Unsure()}"])
        self.assertEqual(self.front.engine.counts.failed["unsure"], 1)
        self.assertEqual(self.cluster.bodies("q"), [b"a"])

    def test_unanswered(self) -> None:
        """A get that is not answered in time fails, and so do those behind it."""
        self.cluster.stuck.add("q")
        self.client.send("get q")
        self.front.settle()
        self.client.send("get p", "get q")
        self.front.pass_(6.0)
        replies = self.client.replies()
        self.assertEqual(len(replies), 3)
        self.assertTrue(all(each.startswith("SERVER_ERROR") for each in replies))
        self.assertEqual(self.front.engine.counts.failedGets, 1)

    def test_paused(self) -> None:
        """What was taken when a pause is heard of is given out all the same."""
        self.client.send("get q")
        self.front.clock.advance(0)
        pauses = self.front.engine.asked.pauses
        pauses.heard("reads paused", b"q")
        self.assertEqual(pauses.bits(b"q"), READS)
        self.assertEqual(self.client.replies(), ["VALUE q 0 1", "a", "END"])

    def test_broken(self) -> None:
        """An error that nobody foresaw is answered, of what is plain and of others."""

        def _fail(*_: object, **__: object) -> None:
            raise ValueError("wrong")

        self.patch(self.front.engine.asked.publisher, "publish", _fail)
        with capturedLogs():
            for number in 1, 2:
                replies = self.ask(*["set q 0 0 1", "b"] * number)
                self.assertEqual(replies, ["SERVER_ERROR internal error"] * number)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)
