"""The composition root: from options to a service that twistd can run.

A person's mistakes are found here, while there is still a terminal to say so on: each
is one line on standard error and an exit status.  Berkeley DB is opened later, in the
process that is left after a daemon's forks.  The reactor is imported in ``makeService``
alone.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from signal import SIGHUP, SIGINT, SIGTERM, SIGUSR1, raise_signal
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from memq.access.admission import AccessControl
from memq.admin.salvage import Salvage
from memq.broker.broker import Broker
from memq.broker.memorybudget import Budget
from memq.broker.sweeper import PolicySweeper
from memq.config.commandline import Options
from memq.config.reload import PolicyReloader
from memq.config.values import MEGABYTE
from memq.daemon.flusher import Flusher
from memq.daemon.maintenance import Maintenance, MaintenanceSettings
from memq.daemon.pidfile import PidFile
from memq.daemon.process import (
    ExitStatus,
    ProcessService,
    isRoomForClient,
    raiseFileLimit,
    sparePermanent,
    useSteadyClock,
)
from memq.daemon.resources import takeResources
from memq.daemon.sdnotify import Notifier
from memq.daemon.security import CertificateWatch
from memq.daemon.service import Parts, Pools, QueueService
from memq.daemon.signals import Signals
from memq.display import shownText
from memq.errors import StartError
from memq.logs.audit import Actor
from memq.memcacheq.adoption import Adoption
from memq.memcacheq.directory import makeWay
from memq.net.poller import Poller
from memq.policy.effective import Policies
from memq.server.factory import FactorySettings, QueueFactory
from memq.server.histogram import Histogram
from memq.server.slow import SlowCommands
from memq.server.stats import Statistics
from memq.server.timeouts import ConnectionTimeouts
from memq.storage.bdb.store import BDBStore
from memq.storage.datadir.sizing import Sizes, diskSpace, sizesFor
from memq.storage.engine.binding import StoreSettings, db
from memq.storage.memory import MemoryStore
from memq.web.metrics.lateness import Lateness
from memq.web.metrics.serverfigures import Sources
from memq.web.service import WebService, WebSettings
from memq.wire.figures import memcachedSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from memq.daemon.security import Security
    from memq.logs.audit import Audit
    from memq.logs.outputs import Outputs
    from memq.storage.datadir.home import Home
    from memq.storage.maintenance import IMaintainedStore
    from memq.web.health import Readiness

__all__ = ["Options", "makeService"]

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


def _makeService(
    options: Options, reactor: Any, twistd: Mapping[str, Any], notifier: Notifier
) -> ProcessService:
    """Take what can be refused, then put the server together.

    :param twistd: the options of twistd itself.
    :raise memq.errors.StartError: when something is refused; nothing is held.
    """
    home, listeners, logs, online, security = takeResources(
        options, reactor, twistd, makeWay
    )
    useSteadyClock(reactor)
    ending = ExitStatus(reactor, failed=notifier.fail)
    sizes = _sizes(options, home)
    options["min-free"] = sizes.minFree
    store, takeover = _store(options, reactor, home, sizes, notifier)
    policies = Policies(store)
    # Most servers have nothing to do for that of the users' passwords.
    pools = Pools(
        *(
            ThreadPool(int(name != "access"), 1, f"memq-{name}")
            for name in Pools._fields
        )
    )
    access = AccessControl(
        security.users, reactor, partial(deferToThreadPool, reactor, pools.access)
    )
    security.serve(access)
    reloader = PolicyReloader(
        options.config,
        partial(deferToThreadPool, reactor, pools.rules),
        policies.replace,
        not options["no-config"],
        online=online,
        companions=[security],
    )
    policies.replace(reloader.rules)
    poller = Poller(reactor)
    syncs = Histogram()
    webSettings = _webSettings(options, security)
    note = syncs.note if webSettings.isOn else None
    flusher = Flusher(reactor, pools.flush, store.flush, note=note)
    broker = _broker(options, poller, store, policies, flusher, ending)
    settings = _factorySettings(options, reloader)
    settings = settings._replace(audit=logs.audit(reactor.seconds), access=access)
    parts = _parts(options, poller, broker, store, sizes, pools, settings)
    flusher.onStall = parts.slow.noteFlush
    version = "none" if home is None else ".".join(map(str, db.version()))
    sources = Sources(
        *(broker, parts.factory.statistics, syncs, reloader),
        *(Lateness(reactor, syncs.sort), reloader, parts.factory.audit),
        parts.factory,
        version,
        certificateEnds=security.ends,
        handshakesFailed=security.failures,
    )
    if home is not None:
        sources = sources._replace(lastBackup=home.lastBackup)
    web = WebService(reactor, sources, webSettings)
    isOutdated = partial(options.isOutdated, security.paths())
    parts = parts._replace(
        listeners=listeners,
        takeover=takeover,
        settled=partial(_settled, store, notifier, isOutdated, logs, web.readiness),
    )
    signals = _signals(reactor, ending, logs, reloader, parts.factory.audit)
    pidFile = PidFile(options.pidFile)
    process = ProcessService(reactor, signals, home, logs.observer, pidFile)
    web.setServiceParent(process)
    CertificateWatch(reactor, security).setServiceParent(process)
    QueueService(reactor, parts, pools, ending.fail).setServiceParent(process)
    # The last one in is the first to stop, so the manager knows before the stop begins.
    notifier.setServiceParent(process)
    return process


def _broker(
    options: Options,
    poller: Poller,
    store: IMaintainedStore,
    policies: Policies,
    flusher: Flusher,
    ending: ExitStatus,
) -> Broker:
    reactor = poller.reactor
    return Broker(
        store,
        reactor,
        Budget(options["max-buffered"]),
        policies,
        persist=flusher.persist,
        later=poller.afterSweep,
        durable=not options["no-sync"],
        onFailure=lambda error: ending.fail(str(error), error.status),
    )


def _parts(
    options: Options,
    poller: Poller,
    broker: Broker,
    store: IMaintainedStore,
    sizes: Sizes,
    pools: Pools,
    settings: FactorySettings,
) -> Parts:
    """Return what serves the queues; nothing listens yet."""
    reactor = poller.reactor
    told = [*options.settings(), *memcachedSettings(options)]
    statistics = Statistics(reactor, broker, told)
    statistics.ofEach = not options["no-queue-stats"]
    maintenance = Maintenance(
        reactor,
        store,
        broker,
        statistics,
        partial(deferToThreadPool, reactor, pools.work),
        _maintenanceSettings(options, sizes),
    )
    factory = QueueFactory(broker, maintenance, statistics, settings)
    watch = ConnectionTimeouts(
        reactor,
        factory.connections,
        broker.budget,
        factory.keepalive,
        bodyTimeout=options["body-timeout"],
        idleTimeout=options["idle-timeout"],
    )
    holders = broker.isHeld, factory.holds
    sweeper = PolicySweeper(broker.session, reactor.callLater, *holders)
    slow = SlowCommands(reactor, broker, factory.connections, options["slow"])
    parts = store, broker, factory, maintenance, watch, sweeper, slow, poller
    return Parts(*parts, ())


def _signals(
    reactor: Any,
    ending: ExitStatus,
    logs: Outputs,
    reloader: PolicyReloader,
    audit: Audit,
) -> Signals:
    """Return what the process does on which signal."""

    def reload(why: str) -> None:
        logs.reopen(why)
        reloader.reloadFor(why).addCallback(partial(_noteReload, audit, why))

    return Signals(
        reactor,
        {
            SIGTERM: ending.stop,
            SIGINT: ending.stop,
            SIGHUP: reload,
            SIGUSR1: logs.reopen,
        },
    )


def _noteReload(audit: Audit, why: str, error: str | None) -> None:
    audit.note(Actor(why, "signal"), "reload", None, error or "OK", error=error)


def _webSettings(options: Options, security: Security) -> WebSettings:
    return WebSettings(
        listen=options["web-listen"],
        metricsListen=options["web-metrics-listen"],
        hosts=options["web-hosts"],
        queues=options["web-queue-metrics"],
        mostQueues=options["web-queue-metrics-max"],
        socketMode=options["socket-mode"],
        actions=options["web-actions"],
        bodies=options["web-bodies"],
        tls=None if security.web is None else security.web.wrap,
    )


def _settled(
    store: IMaintainedStore,
    notifier: Notifier,
    isOutdated: Callable[[], bool],
    logs: Outputs,
    readiness: Readiness,
) -> None:
    """Do what is done once when the server listens."""
    sparePermanent()
    readiness.settled()
    if isOutdated() or logs.areMoved:
        # systemd drops a reload that it is asked for while a service starts.
        raise_signal(SIGHUP)
    there = "{queues} queues with {messages} messages".format(**store.status())
    notifier.ready(f"Listening; at the start {there}")


def _say(notifier: Notifier, line: str) -> None:
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


def _store(
    options: Options, reactor: Any, home: Home | None, sizes: Sizes, notifier: Notifier
) -> tuple[IMaintainedStore, Adoption | None]:
    """Return the store, not open yet, and what takes over MemcacheQ's files."""
    if home is None:
        return MemoryStore(), None
    store = _bdbStore(options, home, sizes)
    return store, Adoption(
        home,
        store,
        partial(reactor.callFromThread, _say, notifier),
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


def _factorySettings(options: Options, reloader: PolicyReloader) -> FactorySettings:
    return FactorySettings(
        maxBody=options["max-body"],
        maxConnections=raiseFileLimit(options["max-connections"]),
        keepalive=options["keepalive"],
        flushAllEnabled=options["enable-flush-all"],
        verbosity=options["verbose"],
        hasRoom=isRoomForClient,
        rules=reloader,
    )


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
