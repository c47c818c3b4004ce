"""Opening: waits until a cluster can be served from.

Front ends and nodes are started together, and nobody says in which order.  So a cluster
that does not answer yet is waited for, any time: the log says why once a minute, and
so does the service manager.  Clients are let in when a majority of the nodes run, each
purpose has its connection and the rules can be kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from memq.backing.startcheck import checkAnswer, checkFacts, checkLink, lack
from memq.errors import StoreError
from memq.rabbitmq.errors import Untold
from memq.ratelimit import Rarely

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from memq.config.cluster import Address
    from memq.rabbitmq.engine.engine import Startable
    from memq.rabbitmq.telling import Facts, Telling

#: Seconds between two looks.
AGAIN = 0.25
#: Seconds of waiting that are not worth a word.
SOON = 3.0


class Opening:
    """A start, as long as it takes.

    :ivar facts: what the cluster is, once it is open.
    """

    facts: Facts | None = None

    def __init__(
        self,
        clock: IReactorTime,
        links: Sequence[Startable],
        telling: Telling,
        check: Callable[[], Deferred[None]],
        say: Callable[[str], object],
    ) -> None:
        """Look for nothing yet.

        :param links: what has to be connected.
        :param check: sees whether the rules can be kept.
        :param say: tells the log and the service manager what goes on.
        """
        self._clock, self._links, self._telling = clock, links, telling
        self._check, self._say = check, say
        self._rarely = Rarely(clock.seconds)
        self._began = 0.0
        self._call: IDelayedCall | None = None
        self._done: Deferred[None] | None = None

    def open(self, address: Address, acceptMnesia: bool) -> Deferred[None]:
        """Wait for the cluster.

        :param address: where it is, and whom this server says it is.
        :param acceptMnesia: whether it may be one without Khepri.
        :return: fails with memq.errors.StartError if it is not to be served from.
        """
        self._address, self._acceptMnesia = address, acceptMnesia
        self._began = self._clock.seconds()
        done = self._done = Deferred()
        self._look()
        return done

    def interrupt(self) -> None:
        """Wait no more: it is over, without a cluster or with one."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._end(None)

    def _end(self, result: Failure | None) -> None:
        done, self._done = self._done, None
        if done is not None:
            done.callback(result)

    def _look(self) -> None:
        self._call = None
        asked = self._telling.facts().addCallback(self._cbFacts)
        asked.addErrback(self._ebLater).addErrback(self._end)

    def _ebLater(self, failure: Failure) -> None:
        failure.trap(StoreError)
        error = failure.value
        if isinstance(error, Untold):
            checkAnswer(error, self._address.user, self._address.name)
        self._wait(failure.getErrorMessage())

    def _cbFacts(self, facts: Facts) -> Deferred[None] | None:
        checkFacts(facts, self._address.user, self._acceptMnesia)
        why = lack(facts) or self._trouble()
        if why is not None:
            self._wait(why)
            return None
        self.facts = facts
        return self._check().addCallback(self._end)

    def _trouble(self) -> str | None:
        """Return why a purpose has no connection; None if all have."""
        for link in self._links:
            checkLink(link.isUnfit, link.trouble)
            if not link.isUp:
                return link.trouble or "it is being connected to"
        return None

    def _wait(self, why: str) -> None:
        if self._done is None:
            return
        waited = self._clock.seconds() - self._began
        if waited >= SOON and self._rarely.count("waiting"):
            self._say(f"Waiting for the cluster, for {waited:.0f} s so far: {why}")
        self._call = self._clock.callLater(AGAIN, self._look)
