"""The composition root: from options to a service that twistd can run.

All that a person can have got wrong is checked here, while there is still a terminal to
say so on: options, user, home and lock, ports, log file.  Each mistake is one line on
standard error and an exit status.  Berkeley DB is opened later, in the process that is
left after a daemon's forks.  The reactor is imported in ``makeService`` alone.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from functools import partial
from signal import SIGHUP, SIGINT, SIGTERM, SIGUSR1, raise_signal
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool
from twisted.python.util import runAsEffectiveUser

from memq.admin.salvage import Salvage
from memq.broker.broker import Broker
from memq.broker.memorybudget import Budget
from memq.broker.sweeper import PolicySweeper
from memq.config.commandline import Options
from memq.config.reload import PolicyReloader
from memq.config.values import MEGABYTE
from memq.daemon.flusher import Flusher
from memq.daemon.logfile import LineObserver, LogFile, chooseLog
from memq.daemon.maintenance import Maintenance, MaintenanceSettings
from memq.daemon.pidfile import PidFile
from memq.daemon.process import (
    ExitStatus,
    ProcessService,
    findOwner,
    isRoomForClient,
    raiseFileLimit,
    sparePermanent,
    useSteadyClock,
)
from memq.daemon.sdnotify import Notifier
from memq.daemon.service import Parts, Pools, QueueService
from memq.daemon.signals import Signals
from memq.display import shownText
from memq.errors import OptionError, StartError
from memq.memcacheq.adoption import Adoption
from memq.memcacheq.directory import makeWay
from memq.net.activation import GivenListener, firstEnvironment, takeListeners
from memq.net.listeners import bindTCP, checkUNIX, parseEndpoint
from memq.net.poller import Poller
from memq.policy.effective import Policies
from memq.policy.rules import Rules
from memq.server.factory import FactorySettings, QueueFactory
from memq.server.stats import Statistics
from memq.server.timeouts import ConnectionTimeouts
from memq.storage.bdb.store import BDBStore
from memq.storage.datadir.home import Home
from memq.storage.datadir.sizing import Sizes, diskSpace, sizesFor
from memq.storage.engine.binding import StoreSettings
from memq.storage.memory import MemoryStore
from memq.wire import memcachedstats

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memq.net.listeners import Listener
    from memq.storage.maintenance import IMaintainedStore

__all__ = ["Options", "makeService"]

#: Options that say where to listen; --endpoint is another one.
_ADDRESSES = ("port", "listen", "socket", "socket-mode")

#: The largest page that disks write as one.
_SAFE_PAGE = 4096

_log = Logger()


def makeService(options: Options) -> ProcessService:
    """Return the service that ``options`` ask for, its home and ports held.

    :raise SystemExit: when it cannot be; one line says why.
    """
    from twisted.internet import reactor

    notifier = Notifier.fromEnvironment(reactor, os.environ)
    twistd: Mapping[str, Any] = options.parent or {}
    try:
        return _makeService(options, cast("Any", reactor), twistd, notifier)
    except StartError as error:
        why = shownText(str(error))
        notifier.fail(why)
        if error.status == 1:
            raise SystemExit(f"memq: {why}") from None
        print(f"memq: {why}", file=sys.stderr)
        raise SystemExit(error.status) from None


class _Held(NamedTuple):
    """All that could have been refused to the server.

    :ivar log: None when the log is not memq's.
    """

    home: Home | None
    listeners: Sequence[Listener]
    log: LogFile | None


def _makeService(
    options: Options, reactor: Any, twistd: Mapping[str, Any], notifier: Notifier
) -> ProcessService:
    """Take what can be refused, then put the server together.

    :param twistd: the options of twistd itself.
    :raise memq.errors.StartError: when something is refused; nothing is held.
    """
    held = _take(options, reactor, twistd)
    useSteadyClock(reactor)
    ending = ExitStatus(reactor, failed=notifier.fail)
    sizes = _sizes(options, held.home)
    options["min-free"] = sizes.minFree
    home = held.home
    bdb = None if home is None else _bdbStore(options, home, sizes)
    store = MemoryStore() if bdb is None else bdb
    policies = Policies(store, Rules(options.config.queues))
    pools = Pools(*(ThreadPool(1, 1, f"memq-{name}") for name in Pools._fields))
    reloader = PolicyReloader(
        options.config,
        partial(deferToThreadPool, reactor, pools.rules),
        policies.replace,
        not options["no-config"],
    )
    parts = _parts(
        options, reactor, store, policies, sizes, pools, reloader, ending
    )._replace(
        listeners=held.listeners,
        takeover=_takeover(options, reactor, bdb, sizes, notifier),
        settled=partial(_settled, store, notifier, options, held.log),
    )
    process = ProcessService(
        reactor,
        _signals(reactor, ending, held.log, reloader),
        held.home,
        None if held.log is None else LineObserver(held.log, options["verbose"]),
        PidFile(options.pidFile),
    )
    QueueService(reactor, parts, pools, ending).setServiceParent(process)
    # What is last in is the first to stop, so the manager knows before the stop begins.
    notifier.setServiceParent(process)
    return process


def _take(options: Options, reactor: Any, twistd: Mapping[str, Any]) -> _Held:
    """Take the home, the addresses and the log.

    :raise memq.errors.StartError: when one is refused; nothing is held.
    """
    with ExitStack() as undo:
        owner = findOwner(twistd)
        home = None
        if options["store"] == "bdb":
            _checkCache(options["cache-size"])
            home = Home(options["home"])
            undo.callback(home.release)
            runAsEffectiveUser(*owner, home.prepare, options["skip-damaged"], makeWay)
        listeners: Sequence[Listener] = _givenListeners(options, undo)
        if not listeners:
            listeners = _listeners(options, reactor, owner, undo)
        journal = os.environ.get("JOURNAL_STREAM")
        log = chooseLog(twistd, options["log-stderr"], owner, journal)
        undo.pop_all()
    return _Held(home, listeners, log)


def _checkCache(size: int) -> None:
    """See that there can be a cache of ``size`` megabytes.

    Berkeley DB takes for damage that there is no memory for it.

    :raise memq.errors.OptionError: when it is more than the machine has.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MEGABYTE
    if size > memory:
        why = f"this machine has no more than {memory} megabytes of memory"
        raise OptionError("--cache-size (-m)", size, why)


def _givenListeners(options: Options, undo: ExitStack) -> list[GivenListener]:
    """Return what the service manager gave to listen on, instead of any option.

    :raise memq.errors.StartError: when memq cannot listen on it.
    """
    given = takeListeners(firstEnvironment())
    for listener in given:
        undo.callback(listener.close)
    unused = [f"--{name}" for name in _ADDRESSES if name in options.given]
    if options["endpoint"]:
        unused.append("--endpoint")
    if given and unused:
        _log.info(
            "The service manager says where to listen, and not {unused}",
            unused=", ".join(unused),
        )
    return given


def _listeners(
    options: Options, reactor: Any, owner: tuple[int, int], undo: ExitStack
) -> list[Listener]:
    """Return what to listen on.

    A UNIX socket belongs to ``owner``; a TCP port below 1024 needs root.

    :raise memq.errors.OptionError: when an address cannot be had.
    """
    listeners: list[Listener] = []
    if "port" in options.given or not (options["socket"] or options["endpoint"]):
        listeners += bindTCP(options["listen"], options["port"])
        for listener in listeners:
            undo.callback(listener.close)
    if options["socket"]:
        address = options["socket"], options["socket-mode"]
        listeners.append(runAsEffectiveUser(*owner, checkUNIX, *address))
    listeners += [parseEndpoint(reactor, text) for text in options["endpoint"]]
    return listeners


def _signals(
    reactor: Any, ending: ExitStatus, log: LogFile | None, reloader: PolicyReloader
) -> Signals:
    """Return what the process does on which signal."""
    reopen = _keepLog if log is None else log.reopen

    def reload(why: str) -> None:
        reopen(why)
        reloader.reloadFor(why)

    return Signals(
        reactor,
        {SIGTERM: ending.stop, SIGINT: ending.stop, SIGHUP: reload, SIGUSR1: reopen},
    )


def _keepLog(why: str) -> None:
    """Say that the log is not memq's."""
    _log.info("{why}: the log is twistd's, there is nothing to open again", why=why)


def _parts(
    options: Options,
    reactor: Any,
    store: IMaintainedStore,
    policies: Policies,
    sizes: Sizes,
    pools: Pools,
    reloader: PolicyReloader,
    ending: ExitStatus,
) -> Parts:
    """Return what serves the queues; nothing listens yet."""
    poller = Poller(reactor)
    broker = Broker(
        store,
        reactor,
        Budget(options["max-buffered"]),
        policies,
        persist=Flusher(reactor, pools.flush, store.flush).persist,
        later=poller.afterSweep,
        durable=not options["no-sync"],
        onFailure=lambda error: ending.fail(str(error), error.status),
    )
    settings = [*options.settings(), *memcachedstats.settings(options)]
    statistics = Statistics(reactor, broker, settings)
    statistics.ofEach = not options["no-queue-stats"]
    maintenance = Maintenance(
        reactor,
        store,
        broker,
        statistics,
        partial(deferToThreadPool, reactor, pools.work),
        _maintenanceSettings(options, sizes),
    )
    forClients = _factorySettings(options, reloader)
    factory = QueueFactory(broker, maintenance, statistics, forClients)
    body, idle = options["body-timeout"], options["idle-timeout"]
    watch = ConnectionTimeouts(reactor, factory, bodyTimeout=body, idleTimeout=idle)
    holders = broker.isHeld, factory.holds
    sweeper = PolicySweeper(broker.session, reactor.callLater, *holders)
    return Parts(store, broker, factory, maintenance, watch, sweeper, poller, ())


def _factorySettings(options: Options, reloader: PolicyReloader) -> FactorySettings:
    """Return what connections get, and how many there may be."""
    return FactorySettings(
        maxBody=options["max-body"],
        maxConnections=raiseFileLimit(options["max-connections"]),
        keepalive=options["keepalive"],
        flushAllEnabled=options["enable-flush-all"],
        verbosity=options["verbose"],
        hasRoom=isRoomForClient,
        reload=reloader.reload,
    )


def _settled(
    store: IMaintainedStore, notifier: Notifier, options: Options, log: LogFile | None
) -> None:
    """Do what is done once when the server listens."""
    sparePermanent()
    if options.isOutdated() or (log is not None and log.isMoved()):
        # systemd drops a reload that it is asked for while a service starts.
        raise_signal(SIGHUP)
    there = "{queues} queues with {messages} messages".format(**store.status())
    notifier.ready(f"Listening; at the start {there}")


def _takeover(
    options: Options,
    reactor: Any,
    store: BDBStore | None,
    sizes: Sizes,
    notifier: Notifier,
) -> Adoption | None:
    """Return what takes over the files of a MemcacheQ, where there may be some."""
    if store is None:
        return None
    return Adoption(
        store.home,
        store,
        partial(reactor.callFromThread, _say, notifier),
        skipDamaged=options["skip-damaged"],
        keepLogs=options["keep-logs"],
        volume=sizes.checkpointVolume,
    )


def _say(notifier: Notifier, line: str) -> None:
    """Log a line, and make it the status."""
    _log.info("{line}", line=line)
    notifier.status(line)


def _sizes(options: Options, home: Home | None) -> Sizes:
    """Return the sizes for the file system of ``home``."""
    total = 1 << 62
    if home is not None:
        total = diskSpace(home.directory).total
    sizes = sizesFor(total, options["no-sync"])
    if options["min-free"] is not None:
        sizes = sizes._replace(minFree=options["min-free"])
    return sizes


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
    """Log what a person should know of a start."""
    _log.warn("{line}", line=line)


def _maintenanceSettings(options: Options, sizes: Sizes) -> MaintenanceSettings:
    """Return how often the maintenance does what."""
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
