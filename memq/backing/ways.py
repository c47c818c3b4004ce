"""What the rest of a server asks of a backing.

It is made in two steps.  What may be refused is looked at while nothing is held and
there is a terminal to say so on (choice.py).  Then it is made of a :class:`Ground`; it
opens nothing before the service tells it to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.defer import Deferred

    from memq.broker.interfaces import IEngine
    from memq.commands.host import MaintenanceActions
    from memq.config.commandline import Options
    from memq.config.reload import Companion
    from memq.daemon.service import Keeper, Pools
    from memq.net.poller import Poller
    from memq.policy.rules import Rules
    from memq.server.factory import QueueFactory
    from memq.server.slow import SlowCommands, Watched
    from memq.server.stats import Statistics
    from memq.storage.datadir.home import Home


class Ground(NamedTuple):
    """What there is when a backing is made.

    :ivar home: the directory of the data, held; None for none.
    :ivar say: tells the log and the service manager what goes on.
    :ivar fail: ends the process for a reason, and with a status.
    :ivar noteSync: is told how many seconds each sync took; None for nobody.
    """

    options: Options
    reactor: Any
    home: Home | None
    pools: Pools
    poller: Poller
    say: Callable[[str], object]
    fail: Callable[[str, int], object]
    noteSync: Callable[[float], object] | None = None


class Backing(Protocol):
    """Where the queues are kept."""

    @property
    def engine(self) -> IEngine:
        """Return what carries out operations."""

    @property
    def watched(self) -> Watched:
        """Return the same, as it is looked at for slow commands."""

    @property
    def companions(self) -> Sequence[Companion]:
        """Return what is read again with the rules."""

    @property
    def paths(self) -> Sequence[str]:
        """Return the files that are read for that."""

    @property
    def berkeleydb(self) -> str:
        """Return the version of Berkeley DB; "none" without it."""

    @property
    def fixedRules(self) -> str:
        """Return why rules cannot be set online; "" if they can."""

    def check(self, rules: Rules) -> Deferred[None]:
        """See whether rules can be kept; asked before they hold.

        :return: fails with memq.errors.ConfigError if not.
        """

    def upkeep(self, statistics: Statistics) -> MaintenanceActions:
        """Return the upkeep that clients can ask for; called once.

        :param statistics: is told what it finds.
        """

    def keeper(self, factory: QueueFactory, slow: SlowCommands) -> Keeper:
        """Return what opens and closes it; called once, after ``upkeep``.

        :param factory: has the connections.
        :param slow: is told of what all had to wait for.
        """

    def there(self) -> str:
        """Say in some words what is there, once it is open."""
