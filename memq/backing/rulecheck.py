"""Rule check: whether a cluster keeps the rules that it has to keep.

It keeps them by policies, which its administrators set.  They are looked at before
clients are let in, and before rules hold that were read again.  A server never sets
one: it would need more rights, and front ends with other files would undo each other.

Messages that die go to queues of clients.  RabbitMQ looks for such a queue again after
some minutes only, so they are made then, on the word of two nodes as any other queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, FirstError, gatherResults, maybeDeferred

from memq.display import shownName
from memq.errors import ConfigError, QueueError, StoreError
from memq.rabbitmq.names import encode
from memq.rabbitmq.policies import check, targets, wanted

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from twisted.python.failure import Failure

    from memq.policy.rules import Rules
    from memq.rabbitmq.names import Name
    from memq.rabbitmq.policies import Policy


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

    def __init__(self, teller: Teller, maker: Maker) -> None:
        """Look at nothing yet."""
        self._teller, self._maker = teller, maker

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

    def _look(self, rules: Rules) -> Deferred[None]:
        policies = wanted(rules.tables)

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
