"""A store of this process: Berkeley DB in a home, or memory.

It is opened in the pool, in the process that is left after a daemon's forks, and
recovered there; what MemcacheQ left is taken over before anybody can connect.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from memq.admin.salvage import Salvage
from memq.broker.broker import Broker
from memq.broker.memorybudget import Budget
from memq.broker.sweeper import PolicySweeper
from memq.config.values import MEGABYTE
from memq.daemon.flusher import Flusher
from memq.daemon.maintenance import Maintenance, MaintenanceSettings
from memq.memcacheq.adoption import Adoption
from memq.policy.effective import Policies
from memq.storage.bdb.store import BDBStore
from memq.storage.datadir.sizing import diskSpace, sizesFor
from memq.storage.engine.binding import StoreSettings, db
from memq.storage.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.defer import Deferred

    from memq.backing.ways import Ground
    from memq.config.commandline import Options
    from memq.config.reload import Companion
    from memq.policy.rules import Rules
    from memq.server.factory import QueueFactory
    from memq.server.slow import SlowCommands
    from memq.server.stats import Statistics
    from memq.storage.datadir.home import Home
    from memq.storage.datadir.sizing import Sizes
    from memq.storage.maintenance import IMaintainedStore

#: The largest page that disks write as one.
_SAFE_PAGE = 4096

_log = Logger()


class Takeover(Protocol):
    """Work on an open store before anything listens."""

    def run(self) -> object:
        """Do it; blocks for long."""

    def interrupt(self) -> None:
        """Make ``run`` return soon; from any thread."""


class StoreKeeper:
    """Opens a store, looks after it, and closes it."""

    def __init__(
        self,
        store: IMaintainedStore,
        maintenance: Maintenance,
        sweeper: PolicySweeper,
        inWorkPool: Callable[..., Deferred[Any]],
        takeover: Takeover | None = None,
    ) -> None:
        """Open nothing yet.

        :param sweeper: carries out the rules while the server listens.
        :param inWorkPool: calls a function in a thread.
        :param takeover: what to do with the store when it is open.
        """
        self._store, self._maintenance = store, maintenance
        self._sweeper, self._inWorkPool = sweeper, inWorkPool
        self._takeover = takeover

    def open(self) -> Deferred[None]:
        """Open it in the pool, and begin with the maintenance."""
        return self._inWorkPool(self._open).addCallback(self._cbOpened)

    def _open(self) -> None:
        self._store.open()
        if self._takeover is not None:
            self._takeover.run()

    def _cbOpened(self, _: None) -> Deferred[None]:
        status = self._store.status()
        _log.info("{queues} queues with {messages} messages are there", **status)
        return self._maintenance.start()

    def interrupt(self) -> None:
        """Let the start be over soon."""
        if self._takeover is not None:
            self._takeover.interrupt()

    def serve(self) -> None:
        """Begin with what is done while the server listens."""
        self._sweeper.start()

    def endServing(self) -> None:
        """End that: the last client is gone."""
        self._sweeper.stop()

    def endUpkeep(self) -> Deferred[None]:
        """End the maintenance."""
        return self._maintenance.stop()

    def close(self) -> Deferred[None]:
        """Close the store, in the pool."""
        return self._inWorkPool(self._store.close)


class LocalBacking:
    """A store of this process.

    :ivar engine: the broker over it.
    """

    companions: Sequence[Companion] = ()
    paths: Sequence[str] = ()

    def __init__(self, ground: Ground) -> None:
        """Make the store; it is not open yet."""
        options, self._reactor = ground.options, ground.reactor
        self._home, self._pools = ground.home, ground.pools
        self._options = options
        self._sizes = sizes = _sizes(options, ground.home)
        options["min-free"] = sizes.minFree
        self._store, self._takeover = _store(ground, sizes)
        store = self._store
        self._flusher = Flusher(
            ground.reactor, ground.pools.flush, store.flush, note=ground.noteSync
        )
        self.engine = self.watched = Broker(
            store,
            ground.reactor,
            Budget(options["max-buffered"]),
            Policies(store),
            persist=self._flusher.persist,
            later=ground.poller.afterSweep,
            durable=not options["no-sync"],
            onFailure=lambda error: ground.fail(str(error), error.status),
        )

    @property
    def fixedRules(self) -> str:
        """Return that there is no reason why they could not be set."""
        return ""

    @property
    def berkeleydb(self) -> str:
        """Return its version."""
        return "none" if self._home is None else ".".join(map(str, db.version()))

    def check(self, rules: Rules) -> Deferred[None]:
        """Keep any rules."""
        return succeed(None)

    def upkeep(self, statistics: Statistics) -> Maintenance:
        """Return the maintenance."""
        self._maintenance = Maintenance(
            self._reactor,
            self._store,
            self.engine,
            statistics,
            self._inWorkPool,
            _maintenanceSettings(self._options, self._sizes),
        )
        return self._maintenance

    def keeper(self, factory: QueueFactory, slow: SlowCommands) -> StoreKeeper:
        """Return what opens and closes the store."""
        self._flusher.onStall = slow.noteFlush
        broker = self.engine
        holders = broker.isHeld, factory.holds
        sweeper = PolicySweeper(broker.session, self._reactor.callLater, *holders)
        parts = self._store, self._maintenance, sweeper, self._inWorkPool
        return StoreKeeper(*parts, self._takeover)

    def _inWorkPool(self, *call: Any) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._pools.work, *call)

    def there(self) -> str:
        """Say how many queues and messages are there."""
        return "{queues} queues with {messages} messages".format(**self._store.status())


def _sizes(options: Options, home: Home | None) -> Sizes:
    """Return the sizes for the file system of ``home``."""
    total = 1 << 62
    if home is not None:
        total = diskSpace(home.directory).total
    sizes = sizesFor(total, options["no-sync"])
    if options["min-free"] is not None:
        sizes = sizes._replace(minFree=options["min-free"])
    return sizes


def _store(ground: Ground, sizes: Sizes) -> tuple[IMaintainedStore, Adoption | None]:
    """Return the store, not open yet, and what takes over MemcacheQ's files."""
    options, home = ground.options, ground.home
    if home is None:
        return MemoryStore(), None
    store = _bdbStore(options, home, sizes)
    return store, Adoption(
        home,
        store,
        partial(ground.reactor.callFromThread, ground.say),
        skipDamaged=options["skip-damaged"],
        keepLogs=options["keep-logs"],
        volume=sizes.checkpointVolume,
    )


def _bdbStore(options: Options, home: Home, sizes: Sizes) -> BDBStore:
    """Return the store on a home, not open yet."""
    if options["page-size"] > _SAFE_PAGE:
        _log.warn(
            "--page-size {size}: a power cut can tear pages of more than {safe} bytes",
            size=options["page-size"],
            safe=_SAFE_PAGE,
        )
    logBuffer = options["log-buffer"] * 1024
    settings = StoreSettings(
        cacheSize=options["cache-size"] * MEGABYTE,
        logBuffer=min(logBuffer, sizes.logBuffer),
        pageSize=options["page-size"],
        noSync=options["no-sync"],
        logFile=sizes.logFile,
        tableAhead=sizes.tableAhead,
        leastFile=sizes.leastFile,
    )
    salvage = None
    if options["skip-damaged"]:
        salvage = Salvage(home, settings, _warn)
    return BDBStore(home, settings, _warn, salvage)


def _warn(line: str) -> None:
    _log.warn("{line}", line=line)


def _maintenanceSettings(options: Options, sizes: Sizes) -> MaintenanceSettings:
    percent = options["trickle-percent"]
    return MaintenanceSettings(
        checkpoint=options["checkpoint"],
        checkpointVolume=sizes.checkpointVolume,
        trickle=options["trickle"] if percent else 0,
        tricklePercent=percent,
        removeLogs=options["auto-remove-logs"],
        minFree=sizes.minFree,
        lookStep=sizes.logFile // 4,
        lookAfter=sizes.lookAfter,
    )
