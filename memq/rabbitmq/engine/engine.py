"""Engine: a cluster's queues for the sessions of this process, which keeps nothing.

It stands where a broker stands over a store of its own.  Sessions, operations, commands
and connections are the same; an operation takes as long as the cluster does:

1. :mod:`memq.rabbitmq.engine.scheduler` says which session's operation is next.
2. :mod:`memq.rabbitmq.engine.carrier` fetches what that needs, or sends what it sets.
3. The operation has run on what was fetched, and is told when a majority has it.

Any number of processes may have engines over one cluster.  What one takes from a queue
and cannot deliver, it sets again.
"""

from __future__ import annotations

from functools import partial
from itertools import count
from math import inf
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.logger import Logger
from zope.interface import implementer

from memq.broker.background.returns import Returns
from memq.broker.diskspace import DiskSpaceGuard
from memq.broker.groupcommit import finish
from memq.broker.interfaces import IEngine
from memq.broker.refusals import Refusals
from memq.broker.session import Session
from memq.broker.taps.taps import Taps
from memq.display import shownName
from memq.errors import StoreError
from memq.operations.outstanding import Outstanding
from memq.rabbitmq import names
from memq.rabbitmq.asking.base import nameOf
from memq.rabbitmq.budget import FrontBudget
from memq.rabbitmq.engine.carrier import Carrier
from memq.rabbitmq.engine.scheduler import Scheduler
from memq.rabbitmq.engine.view import Parts, View
from memq.rabbitmq.errors import QueueGone, Unsure, Untold
from memq.rabbitmq.figures.counts import Counts
from memq.rabbitmq.figures.looks import PATIENCE, Looks
from memq.rabbitmq.figures.state import clusterState, troubles
from memq.rabbitmq.figures.told import LACKS, Tellers
from memq.rabbitmq.shared.inforce import FrontPolicies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from twisted.internet.interfaces import IReactorTime

    from memq.errors import QueueError, StoreFailed
    from memq.figures import ClusterState, LinkState, Outcome, Sums, Totals
    from memq.message import LargeBody, Message
    from memq.operations.base import Operation
    from memq.operations.openreads.opened import Opened
    from memq.policy.effective import Policies
    from memq.policy.rules import Rules
    from memq.rabbitmq.asking.queues import Queues
    from memq.rabbitmq.asking.spread import SpreadGets, SpreadOpenReads
    from memq.rabbitmq.engine.sets import Publisher
    from memq.rabbitmq.figures.looks import Teller
    from memq.rabbitmq.shared.pauses import Pauses

#: Seconds until a message that was taken for nobody is set again, when that failed.
AGAIN = 1.0

_log = Logger()


class Startable(Protocol):
    """Something that is connected while the engine runs."""

    @property
    def isUp(self) -> bool:
        """Return whether it is connected."""

    @property
    def trouble(self) -> str:
        """Return why it is not; empty if nothing is known."""

    @property
    def isUnfit(self) -> bool:
        """Return whether no node offers what is needed."""

    def start(self) -> object:
        """Connect."""

    def stop(self) -> Deferred[Any]:
        """Disconnect; fires when that is done."""

    def states(self) -> list[LinkState]:
        """Return the state of each link."""


class Asked(NamedTuple):
    """What asks the cluster, each over links of its own."""

    publisher: Publisher
    gets: SpreadGets
    openReads: SpreadOpenReads
    queues: Queues
    teller: Teller
    pauses: Pauses


@implementer(IEngine)
class Engine:
    """Carries out operations on a cluster's queues.

    :ivar asked: what asks the cluster.
    :ivar links: what it is connected by.
    :ivar longTurn: is of no use: no turn takes long, for none waits for the cluster;
        ``onLongTurn`` is never called.
    """

    def __init__(
        self,
        clock: IReactorTime,
        connect: Callable[[Engine], tuple[Asked, Sequence[Startable]]],
        budget: FrontBudget | None = None,
        rules: Rules | None = None,
        *,
        later: Callable[[Callable[[], None]], object] | None = None,
        timeOfDay: Callable[[], float] = time,
        patience: float = PATIENCE,
    ) -> None:
        """Make an engine.

        :param connect: returns what asks the cluster, and what is to be started and
            stopped with the engine; it uses ``number``, ``stray``, ``wanted`` and
            ``deliver``.
        :param budget: says how much may be undelivered; None for the usual one.
        :param later: calls a turn, once more has been read; None for the clock.
        :param timeOfDay: tells the time, in seconds since 1970-01-01 UTC.
        :param patience: seconds that figures may take.
        """
        self.clock = clock
        self.number = count(1).__next__
        self._parts = Parts()
        self.budget: FrontBudget = budget or FrontBudget()
        policies = FrontPolicies(_noStore(), rules, timeOfDay)
        self.policies: Policies = policies
        self.refusals = Refusals(clock.seconds)
        self.room = DiskSpaceGuard()
        self.taps = Taps()
        self.durable = True
        self.isStopping = False
        self.failure: StoreFailed | None = None
        self.longTurn = inf
        self.onLongTurn: Callable[[float, list[Operation]], object] = _ignore
        self.lacks = LACKS
        self.asked, self.links = connect(self)
        self._isStarted = False
        self.counts = Counts()
        self.looks = Looks(clock, self.asked.teller, min(patience, PATIENCE))
        queues = self.asked.queues
        reads = self.asked.openReads
        self._tellers = Tellers(clock, self.looks, self.counts, queues, reads.held)
        holds = reads.holds
        bodies = self.budget.opened
        view = partial(View, self.number, self._parts, holds, self.counts, bodies)
        pauses = self.asked.pauses
        policies.bits, pauses.active = pauses.bits, policies.activate
        pauses.changed = self._changed
        asked = *self.asked[:4], self._tellers, pauses
        self._carrier = carrier = Carrier(*asked, self.policies, view, self.budget.send)
        later = later or partial(clock.callLater, 0)
        watch = self.asked.openReads
        self._scheduler = Scheduler(clock, later, carrier.carry, self._copy, watch)
        carrier.scheduler = carrier.plain.scheduler = self._scheduler
        carrier.plain.number = self.number
        self._returns = Returns(self.session, clock.callLater)
        #: How many messages are being set again.
        self._strays = 0
        self._idle: Deferred[None] | None = None
        self.policies.subscribe(lambda: clock.callLater(0, self._scheduler.wakeAll))

    def session(self, deliver: Callable[[], None]) -> Session:
        """Return a session for a new client."""
        outstanding = Outstanding(self.budget.count)
        return Session(self, self._scheduler, deliver, outstanding)

    def _copy(self, operations: list[Operation]) -> None:
        """Give copies of what was set to those who watch."""
        if self.taps.watching:
            copies = list(operations)
            self.taps.copy(copies)
            finish(copies[len(operations) :])

    def _changed(self, kind: str, queue: bytes) -> None:
        """Take note of what was done to a queue, and let a read look that waits."""
        self._carrier.changes.heard(kind, queue)
        if self._scheduler.waiters(queue):
            self.asked.pauses.look(queue, lambda _: self._scheduler.wake(queue))

    # The beginning, and the end.

    def start(self) -> None:
        """Connect, if that is not begun yet."""
        isStarted, self._isStarted = self._isStarted, True
        for link in () if isStarted else self.links:
            link.start()

    def stop(self) -> None:
        """Note that the process is about to end; what is open goes back by itself."""
        self.isStopping = True

    def drain(self) -> Deferred[None]:
        """Return a Deferred that fires when nothing is under way, and all is closed."""
        self.stop()
        idle = self._idle = Deferred()
        idle.addCallback(lambda _: gatherResults([each.stop() for each in self.links]))
        self._scheduler.drain(self._checkIdle)
        return idle.addCallback(lambda _: None)

    def _checkIdle(self) -> None:
        if self._idle is not None and self._scheduler.isIdle and not self._strays:
            idle, self._idle = self._idle, None
            idle.callback(None)

    # What is wrong.

    def states(self) -> list[LinkState]:
        """Return the state of each connection."""
        return [state for link in self.links for state in link.states()]

    def cluster(self) -> ClusterState:
        """Return what is known of the cluster, of which facts are asked for."""
        asked, now = self.asked.publisher.unconfirmed, self.policies.seconds()
        return clusterState(self.states(), self.looks, self.counts, asked, now)

    @property
    def refusing(self) -> str | None:
        """Why no set is taken for now."""
        if self.asked.publisher.isBlocked:
            return "the queue servers are out of memory or disk space"
        return next(self.troubles(), None)

    def troubles(self) -> Iterator[str]:
        """Yield why clients cannot be served for now, as far as that is known."""
        return troubles(self.states(), self.looks.facts())

    # Figures.

    @property
    def turns(self) -> int:
        """How many turns there were."""
        return self._scheduler.turns

    @property
    def flushes(self) -> int:
        """How many flushes there were: none of this process."""
        return 0

    @property
    def waiting(self) -> int:
        """How many commands were not told their result yet."""
        return self._scheduler.waiting

    @property
    def flushing(self) -> Sequence[Operation]:
        """What the cluster was asked first, of what is under way."""
        return self._scheduler.first()

    @property
    def lastInLine(self) -> None:
        """Nobody: what waits for its turn does not wait for long."""

    def isInLine(self, operation: Operation) -> bool:
        """Return that it does not stand in line."""
        return False

    @property
    def readers(self) -> int:
        """How many reads wait for a message."""
        return self._scheduler.readers

    def waiters(self, queue: bytes) -> int:
        """Return how many reads wait here for messages of a queue."""
        return self._scheduler.waiters(queue)

    def refresh(self, asks: bool) -> Deferred[object]:
        """Return a Deferred that fires when names and sums can be told."""
        if not asks and not self.looks.isKnown():
            return fail(Untold("nobody has asked"))
        told: Deferred[Any] = self.looks.take()
        return told.addCallback(lambda look: (look.number, *self.counts.ever))

    def names(self) -> list[bytes]:
        """Return the names of all queues, as they were told last."""
        return self._tellers.last().names()

    def sums(self, queues: Sequence[bytes]) -> Sums:
        """Return what some queues have together, as it was told last."""
        return self._tellers.last().sums(queues)

    def gone(self) -> Totals:
        """Return what was counted of other queues."""
        return self._tellers.last().gone()

    def outcomes(self) -> Mapping[Outcome, int]:
        """Return what became of open reads since the start."""
        return self.counts.outcomes

    # Calls of sessions.

    def expectDue(self, due: int) -> None:
        """Do nothing: the cluster sees to it."""

    def part(self, large: LargeBody, number: int) -> bytes:
        """Refuse: no message comes in parts."""
        raise StoreError("no message comes in parts")

    def putBack(self, queue: bytes, message: Message) -> None:
        """Give a message that was taken to whoever is next, or set it again."""
        self._returns.putBack(queue, message)

    def giveBack(self, opened: Opened) -> None:
        """Return an open read to the head of its queue: its reader took too long."""
        self._returns.giveBack(opened)

    def giveBackLater(self, opened: Sequence[Opened]) -> None:
        """Return open reads of which that could not be done now."""
        self._returns.giveBackLater(opened)

    # Messages that were given to who waits.

    def wanted(self, queue: bytes) -> int:
        """Return how many reads want a message of a queue now."""
        policy = self.policies.of(queue)
        if policy is not None and policy.readsArePaused:
            return 0
        return self._scheduler.waiters(queue)

    def deliver(self, queue: bytes, message: Message) -> None:
        """Give an open message to who waits longest."""
        self._scheduler.deliver(queue, message)

    # Messages that were taken for nobody.

    def stray(self, queue: bytes, message: Message) -> None:
        """Set a message again that was taken and nobody wants: at the end."""
        self._strays += 1
        self._setAgain(queue, message)

    def _setAgain(self, queue: bytes, message: Message) -> None:
        expires = message.expires
        self.asked.publisher.publish(
            nameOf(queue),
            message.body,
            names.headers(message.flags, message.time, expires, message.trace),
            partial(self._cbSet, queue, message),
            names.expiration(expires, self.policies.now()),
            makes=False,
        )

    def _cbSet(self, queue: bytes, message: Message, error: QueueError | None) -> None:
        # What may be set is not set twice; who deletes a queue deletes this as well.
        isOver = self.isStopping or isinstance(error, (Unsure, QueueGone))
        if error is not None and not isOver:
            self.clock.callLater(AGAIN, self._setAgain, queue, message)
            return
        if error is not None and not isinstance(error, QueueGone):
            _log.critical(
                "A message of queue {queue} was taken and never delivered: {why}",
                queue=shownName(queue),
                why=error,
            )
        self._strays -= 1
        self._checkIdle()


def _ignore(began: float, operations: list[Operation]) -> None:
    """Nothing is ever told."""


def _noStore() -> Any:
    """Return a store of no settings."""
    return View(count(1).__next__, Parts())
