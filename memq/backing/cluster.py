"""A cluster of RabbitMQ: this process is one of its front ends, and keeps nothing.

There is no home and no lock: any number of processes may be front ends of one cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from memq.backing.opening import Opening
from memq.backing.rulecheck import RuleCheck
from memq.display import numbered
from memq.errors import ConfigError
from memq.rabbitmq.budget import FrontBudget
from memq.rabbitmq.connecting import connectTo
from memq.rabbitmq.engine.engine import Engine

if TYPE_CHECKING:
    from memq.backing.access import ClusterAccess
    from memq.backing.ways import Ground
    from memq.policy.rules import Rules
    from memq.server.factory import QueueFactory
    from memq.server.slow import SlowCommands
    from memq.server.stats import Statistics

_log = Logger()


def _late(result: object, seconds: float) -> NoReturn:
    """Refuse rules of which nobody tells in time whether they are in force."""
    why = "no queue server has answered in time"
    raise ConfigError("the policies for the rules", None, why)


class NoUpkeep:
    """The upkeep that clients can ask for: there is none to be done here."""

    def checkpoint(self) -> Deferred[None]:
        """Do nothing."""
        return succeed(None)

    def removeLogs(self) -> Deferred[None]:
        """Do nothing."""
        return succeed(None)


class ClusterBacking:
    """A cluster, as a server keeps its queues in it.

    :ivar engine: carries out operations over it.
    """

    berkeleydb = "none"
    fixedRules = (
        "a front end's rules stand in its configuration file, which memq reload reads; "
        "memq rabbitmq-policies prints what the queue servers keep of them"
    )

    def __init__(self, access: ClusterAccess, ground: Ground) -> None:
        """Connect to nothing yet."""
        options, self._reactor = ground.options, ground.reactor
        self.companions, self.paths = (access,), access.paths
        self._address = options["rabbitmq"]
        self._timeout: float = options["store-timeout"]
        self._acceptMnesia = options["accept-mnesia"]
        cluster, telling = access.connect(ground.reactor)
        self.engine = self.watched = Engine(
            ground.reactor,
            connectTo(cluster, telling, self._timeout),
            FrontBudget(options["max-buffered"], options["max-body"]),
            later=ground.poller.afterSweep,
            patience=self._timeout,
        )
        self._ruleCheck = RuleCheck(ground.reactor, access, self.engine.asked.publisher)
        self._opening = Opening(
            *(ground.reactor, self.engine.links, telling),
            lambda: self._ruleCheck.begin(self.engine.policies.rules),
            ground.say,
        )

    def check(self, rules: Rules) -> Deferred[None]:
        """See whether the cluster keeps the rules that it has to keep."""
        asked: Deferred[None] = Deferred()
        self._ruleCheck.again(rules).chainDeferred(asked)
        return asked.addTimeout(self._timeout, self._reactor, _late)

    def upkeep(self, statistics: Statistics) -> NoUpkeep:
        """Return that there is none."""
        return NoUpkeep()

    def keeper(self, factory: QueueFactory, slow: SlowCommands) -> ClusterBacking:
        """Return itself."""
        return self

    def there(self) -> str:
        """Say what the cluster is."""
        facts = self._opening.facts
        assert facts is not None
        nodes = numbered(facts.nodes, "queue server")
        return f"{facts.running} of {nodes}, RabbitMQ {facts.version}"

    # As a keeper.

    def open(self) -> Deferred[None]:
        """Connect; fires when clients can be served, however long that takes."""
        _log.info("Looking for the cluster at {address}", address=str(self._address))
        self.engine.start()
        opened = self._opening.open(self._address, self._acceptMnesia)
        return opened.addCallback(self._cbOpened)

    def _cbOpened(self, _: None) -> None:
        if self._opening.facts is not None:
            _log.info("The cluster is there: {what}", what=self.there())

    def interrupt(self) -> None:
        """Wait for the cluster no more."""
        self._opening.interrupt()

    def serve(self) -> None:
        """See now and then whether the cluster carries out the rules still."""
        self._ruleCheck.watch(lambda: self.engine.policies.rules)

    def endServing(self) -> None:
        """Look no more."""
        self._ruleCheck.end()

    def endUpkeep(self) -> Deferred[None]:
        """Do nothing."""
        return succeed(None)

    def close(self) -> Deferred[None]:
        """Do nothing: the engine has closed its connections."""
        return succeed(None)
