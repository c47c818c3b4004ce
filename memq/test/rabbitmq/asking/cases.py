"""Cases: what asks a fake cluster, by a clock that is moved by hand."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from memq.message import Message
from memq.test.rabbitmq.fakes import FakeCluster, FakeLink

if TYPE_CHECKING:
    from collections.abc import Callable


def shown(found: Any) -> Any:
    """Return the body of a message, or the words of an error."""
    if isinstance(found, Message):
        return found.body
    return str(found) if isinstance(found, Exception) else found


class AskingTestCase(SynchronousTestCase):
    """A test with a fake cluster."""

    def setUp(self) -> None:
        """Begin with no queues, and a clock."""
        self.clock = Clock()
        self.cluster = FakeCluster()
        self.number = count(1).__next__
        self.answers: list[Any] = []

    def connect(self, user: Any) -> FakeLink:
        """Return a link for somebody, which is up."""
        link = FakeLink(self.cluster, user)
        link.up()
        return link

    def told(self, call: Callable[..., object], *arguments: Any) -> list[Any]:
        """Ask something, and return what is answered by the cluster."""
        self.answers = []
        call(*arguments, self.note)
        self.cluster.settle()
        return self.answers

    def note(self, found: Any) -> None:
        """Note an answer."""
        self.answers.append(shown(found))
