"""Declares queues that are missing, if a second node says so too.

A node that stood still may go on with a record of its own of what queues there are, and
say of one full of messages that there is none.  Who then declares it makes a new, empty
one, which can win over the old one: acknowledged messages were lost so.  So before a
queue is declared, a node other than the one that said so is asked.

It has a link of its own, which never takes the node that publishes; a question waits
until there is another one.  A node that does not answer in time is left; and one that
has made a queue of which the node that publishes goes on to know nothing: either is
wrong then, so nothing is sent to that queue, until two others agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memq.rabbitmq.links.link import Link
from memq.rabbitmq.publishing.questions import Questions

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime

    from memq.figures import LinkState
    from memq.rabbitmq.links.connections import Cluster
    from memq.rabbitmq.publishing.questions import Question


class Declaring:
    """What asks and declares; see above."""

    def __init__(
        self,
        clock: IReactorTime,
        cluster: Cluster,
        first: Callable[[], str | None],
        randomly: Callable[[], float],
    ) -> None:
        """Begin nothing yet.

        :param first: returns the name of the node that is not asked.
        """
        self._first = first
        self._link = Link(clock, cluster, "declaring", self, randomly, first)
        self._questions = Questions(clock, self._link, isBounded=True)

    def states(self) -> list[LinkState]:
        """Return the state of its link."""
        return self._link.states()

    def start(self) -> None:
        """Begin to connect."""
        self._link.start()

    def stop(self) -> Deferred[None]:
        """End the connection; who asks is told nothing more."""
        return self._link.stop()

    def ask(self, question: Question) -> None:
        """Ask a second node."""
        if self._link.isUp and self._link.node == self._first():
            self._link.leave("a second opinion is another node's", 0.0)
        self._questions.ask(question)

    def leave(self, why: str) -> None:
        """Take another node: what this one says is not to be trusted."""
        self._link.leave(why)

    # What the link tells.

    def linkUp(self) -> None:
        """Ask what waits."""
        self._questions.go()

    def linkDown(self, why: str) -> None:
        """Wait: the questions are asked again."""
        self._questions.down()

    def linkBlocked(self, why: str | None) -> None:
        """Go on: nothing is published here."""
