"""Looks at all queues of a cluster, by the management API, shared by all who ask.

A list of queues takes a node a while, 50 ms for 500 of them, and there may be many
front ends.  So one is asked for only when somebody wants to know, and serves everybody
who comes within some seconds; who asks while one is under way waits for that.  Where
it has to be as things are now, another one is begun after what was changed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from memq.errors import QueueError
from memq.rabbitmq import names
from memq.rabbitmq.errors import Untold
from memq.ratelimit import Rarely

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twisted.internet.interfaces import IReactorTime

    from memq.rabbitmq.telling import Facts, ToldQueue

#: Seconds that a look serves others: the nodes gather figures every 5 s.
LATE = 5.0
#: So many times what it took it serves at least: it must not keep the nodes busy.
TIMES = 20.0
#: Seconds that somebody waits for one, at most.
PATIENCE = 4.0
#: Seconds after which it is not known any more how many nodes run.
FORGOTTEN = 15.0

_log = Logger()


class Teller(Protocol):
    """Tells of the cluster."""

    def queues(self) -> Deferred[list[ToldQueue]]:
        """Return what is told of each queue."""

    def facts(self) -> Deferred[Facts]:
        """Return what is told of the nodes."""


class Look(NamedTuple):
    """What was told of all queues.

    :ivar number: how many looks had begun when this one had.
    :ivar began: when that was, in seconds of the clock; ``ended``, when it was there.
    :ivar queues: those of clients, by their names, that have a leader.
    :ivar silent: how many have none: nobody knows what is in them.
    """

    number: int
    began: float
    ended: float
    queues: Mapping[bytes, ToldQueue]
    silent: int = 0

    def isLater(self, since: float) -> bool:
        """Return whether it holds for somebody who takes what is not before a time."""
        return self.began >= since


class Looks:
    """Makes looks, one at a time.

    :ivar last: the last one; None before it.
    """

    def __init__(
        self, clock: IReactorTime, teller: Teller, patience: float = PATIENCE
    ) -> None:
        """Begin with none.

        :param patience: seconds that somebody waits for one.
        """
        self._patience = patience
        self.last: Look | None = None
        self._clock, self._teller = clock, teller
        self._rarely = Rarely(clock.seconds)
        #: How many have begun, and the number that one has at least that is exact.
        self._begun = self._exact = 0
        #: When the one that is under way has begun; None while there is none.
        self._began: float | None = None
        self._asking: list[tuple[int, Deferred[Look]]] = []
        self._facts: Facts | None = None
        self._factsAt = self._factsAsked = float("-inf")

    # Queues.

    def changed(self) -> None:
        """Note that there are other queues now, by something done here."""
        self._exact = self._begun + 1

    def noteSet(self, queue: bytes) -> None:
        """Note that there is a queue, for a message was set to it."""
        if self.last is not None and queue not in self.last.queues:
            self.changed()

    def isKnown(self, late: float = LATE) -> bool:
        """Return whether the last look still holds."""
        return self.last is not None and self._holds(self.last, late)

    def _holds(self, look: Look, late: float) -> bool:
        least = TIMES * (look.ended - look.began) if late else 0.0
        return look.isLater(self._clock.seconds() - max(late, least))

    @property
    def ago(self) -> float | None:
        """How many seconds ago the last look ended; None before it."""
        return None if self.last is None else self._clock.seconds() - self.last.ended

    def take(self, late: float = LATE, isExact: bool = False) -> Deferred[Look]:
        """Return a look.

        :param late: seconds that it may be old; 0 for one that begins now.
        :param isExact: whether what was made or deleted here has to be seen.
        :raise memq.errors.QueueError: in the Deferred, when nobody tells in time.
        """
        least = self._exact if isExact else 0
        last = self.last
        if last is not None and last.number >= least and self._holds(last, late):
            return succeed(last)
        if (
            self._began is None
            or self._clock.seconds() - self._began > late
            or not late
        ):
            least = max(least, self._begun + 1)
        asked: Deferred[Look] = Deferred()
        self._asking.append((least, asked))
        if self._began is None:
            self._begin()
        return asked.addTimeout(self._patience, self._clock, _late)

    def _begin(self) -> None:
        self._begun += 1
        self._began = self._clock.seconds()
        nodes, told = self._renew(), self._teller.queues()
        # Whoever asks for queues may want to know as well whether a majority runs.
        told.addCallback(lambda queues: nodes.addCallback(lambda _: queues))
        told.addCallbacks(self._cbTold, self._ebTold)

    def _cbTold(self, told: list[ToldQueue]) -> None:
        named = [(names.decode(each.name, each.arguments), each) for each in told]
        theirs = [(name, each) for name, each in named if name is not None]
        queues = {name: each for name, each in theirs if each.isLed}
        silent = len(theirs) - len(queues)
        if silent and not queues:
            self._end(Failure(Untold("none of these has a leader")))
            return
        assert self._began is not None
        now = self._clock.seconds()
        self.last = Look(self._begun, self._began, now, queues, silent)
        self._end(self.last)

    def _ebTold(self, failure: Failure) -> None:
        if not failure.check(QueueError):
            _log.failure("The cluster's queues could not be looked at", failure)
            failure = Failure(Untold(failure.getErrorMessage()))
        self._end(failure)

    def _end(self, outcome: Look | Failure) -> None:
        number, self._began = self._begun, None
        served = [asked for least, asked in self._asking if least <= number]
        self._asking = [each for each in self._asking if each[0] > number]
        if self._asking:
            self._begin()
        for each in served:
            each.callback(outcome)

    # Nodes.

    def facts(self) -> Facts | None:
        """Return what is known of the nodes, and ask anew if that is old."""
        self._renew()
        isKnown = self._clock.seconds() - self._factsAt < FORGOTTEN
        return self._facts if isKnown else None

    def _renew(self) -> Deferred[None]:
        """Ask for facts, if that was some time ago; fires when that is over."""
        now = self._clock.seconds()
        if now - self._factsAsked < LATE:
            return succeed(None)
        self._factsAsked = now
        told = self._teller.facts().addCallbacks(self._cbFacts, self._ebFacts)
        return told.addErrback(
            lambda failure: _log.failure("Facts could not be taken", failure)
        )

    def _cbFacts(self, facts: Facts) -> None:
        self._facts, self._factsAt = facts, self._clock.seconds()

    def _ebFacts(self, failure: Failure) -> None:
        failure.trap(QueueError)
        if count := self._rarely.count("facts"):
            _log.warn(
                "Nobody tells how many queue servers run ({count} such): {why}",
                count=count,
                why=failure.value,
            )


def _late(_: object, __: float) -> Look:
    raise Untold("no answer in time")
