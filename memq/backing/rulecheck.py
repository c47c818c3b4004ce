"""Rule check: whether a cluster keeps the rules that it has to keep.

It keeps them by policies, which its administrators set.  They are looked at before
clients are let in, before rules hold that were read again, and each minute, so that the
log tells of a rule that is in force no more.  A server never sets one: it would need
more rights, and front ends with other files would undo each other.

Messages that die go to queues of clients.  RabbitMQ looks for such a queue again after
some minutes only, so they are made then, on the word of two nodes as any other queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, FirstError, gatherResults, maybeDeferred
from twisted.logger import Logger

from memq.display import shownName
from memq.errors import ConfigError, QueueError, StoreError
from memq.rabbitmq.names import encode
from memq.rabbitmq.policies import check, targets, wanted

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.python.failure import Failure

    from memq.policy.rules import Rules
    from memq.rabbitmq.names import Name
    from memq.rabbitmq.policies import Policy, Wanted

#: Seconds between two looks.
PERIOD = 60.0

_log = Logger()


class Teller(Protocol):
    """Tells of a cluster."""

    def policies(self) -> Deferred[tuple[list[Policy], list[Policy]]]:
        """Ask for its policies, and for its operator policies."""


class Maker(Protocol):
    """Makes queues."""

    def make(self, name: Name, limit: int, told: Callable[[Any], object]) -> object:
        """Make one; ``told`` is called in time with whether it is new, or an error."""


class RuleCheck:
    """What looks; see above."""

    def __init__(self, clock: IReactorTime, teller: Teller, maker: Maker) -> None:
        """Look at nothing yet."""
        self._clock, self._teller, self._maker = clock, teller, maker
        self._call: IDelayedCall | None = None
        self._isWatching = False
        #: What was told of the rules last; "" for well.
        self._told = ""
        #: The rules that were looked at last, and the policies that they want.
        self._last: tuple[Rules, list[Wanted]] | None = None

    def begin(self, rules: Rules) -> Deferred[None]:
        """See whether rules are kept.

        :return: fails with memq.rabbitmq.errors.RuleRefused if one is not, and with
            memq.errors.StoreError if the cluster does not say so now.
        """
        return maybeDeferred(self._look, rules)

    def again(self, rules: Rules) -> Deferred[None]:
        """See the same of rules that were read again.

        :return: fails with memq.errors.ConfigError in either case.
        """
        return self.begin(rules).addErrback(_ebUntold)

    def watch(self, rules: Callable[[], Rules]) -> None:
        """Look again and again, until it is ended.

        :param rules: returns those in force here.
        """
        self._isWatching = True
        self._call = self._clock.callLater(PERIOD, self._again, rules)

    def end(self) -> None:
        """Look no more."""
        self._isWatching = False
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _again(self, rules: Callable[[], Rules]) -> None:
        self._call = None

        def _looked(result: Failure | None) -> None:
            self._tell("" if result is None else result.getErrorMessage())
            if self._isWatching:
                self.watch(rules)

        self.begin(rules()).addBoth(_looked)

    def _tell(self, why: str) -> None:
        """Log what differs from what was found the last time."""
        if why and why != self._told:
            _log.error("The cluster may not keep the rules now: {why}", why=why)
        elif self._told and not why:
            _log.info("The cluster keeps the rules again")
        self._told = why

    def _wanted(self, rules: Rules) -> list[Wanted]:
        if self._last is None or self._last[0] is not rules:
            self._last = rules, wanted(rules.tables)
        return self._last[1]

    def _look(self, rules: Rules) -> Deferred[None]:
        policies = self._wanted(rules)

        def _cbTold(told: tuple[list[Policy], list[Policy]]) -> Deferred[None]:
            check(policies, *told)
            made = gatherResults(map(self._make, targets(policies)), consumeErrors=True)
            return made.addCallbacks(lambda _: None, _ebMade)

        return self._teller.policies().addCallback(_cbTold)

    def _make(self, queue: bytes) -> Deferred[None]:
        made: Deferred[None] = Deferred()

        def _told(found: bool | QueueError) -> None:
            if isinstance(found, QueueError):
                words = f"{shownName(queue)}, to which messages go: {found}"
                made.errback(StoreError(words))
            else:
                made.callback(None)

        self._maker.make(encode(queue), 0, _told)
        return made


def _ebMade(failure: Failure) -> NoReturn:
    failure.trap(FirstError)
    first: Any = failure.value
    raise first.subFailure.value


def _ebUntold(failure: Failure) -> NoReturn:
    failure.trap(StoreError)
    raise ConfigError("the policies for the rules", None, failure.getErrorMessage())
