"""Tests for memq.rabbitmq.asking.bounds: what is asked when the time is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from memq.rabbitmq.asking.bounds import Bounds, Question

if TYPE_CHECKING:
    from collections.abc import Callable


class OverTests(SynchronousTestCase):
    """An operation whose time is over."""

    def setUp(self) -> None:
        """Have nothing asked."""
        self.asked: list[str] = []
        self.answers: list[Any] = []
        self.bounds = Bounds(Clock())

    def ask(self, name: str, isEnd: bool) -> None:
        """Ask something when there is no time for it."""

        def _asked(done: Callable[[Any], object]) -> None:
            self.asked.append(name)
            done(None)

        question = Question(_asked, isEnd=isEnd)
        self.bounds.askUntil(0.0, question, self.answers.append)

    def test_over(self) -> None:
        """The end of open reads is asked for all the same; nothing else is."""
        self.ask("open", False)
        self.assertEqual((self.asked, len(self.answers)), ([], 1))
        self.ask("end", True)
        self.assertEqual((self.asked, len(self.answers)), (["end"], 2))
