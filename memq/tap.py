"""The composition root: from options to a service that twistd can run.

A person's mistakes are found here, while there is still a terminal to say so on: each
is one line on standard error and an exit status.  What keeps the queues
(:mod:`memq.backing`) is opened later, in the process that is left after a daemon's
forks.  The reactor is imported in ``makeService`` alone.
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
from memq.backing.choice import chooseBacking
from memq.backing.ways import Ground
from memq.config.commandline import Options
from memq.config.reload import PolicyReloader
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
from memq.daemon.resources import takeResources
from memq.daemon.sdnotify import Notifier
from memq.daemon.security import CertificateWatch
from memq.daemon.service import Parts, Pools, QueueService
from memq.daemon.signals import Signals
from memq.display import shownText
from memq.errors import StartError
from memq.logs.audit import Actor
from memq.memcacheq.directory import makeWay
from memq.net.poller import Poller
from memq.server.factory import FactorySettings, QueueFactory
from memq.server.histogram import Histogram
from memq.server.slow import SlowCommands
from memq.server.stats import Statistics
from memq.server.timeouts import ConnectionTimeouts
from memq.web.metrics.lateness import Lateness
from memq.web.metrics.serverfigures import Sources
from memq.web.service import WebService, WebSettings
from memq.wire.figures import memcachedSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from memq.backing.ways import Backing
    from memq.daemon.security import Security
    from memq.logs.audit import Audit
    from memq.logs.outputs import Outputs
    from memq.web.health import Readiness

__all__ = ["Options", "makeService"]

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
    makeBacking = chooseBacking(options, findOwner(twistd))
    home, listeners, logs, online, security = takeResources(
        options, reactor, twistd, makeWay
    )
    useSteadyClock(reactor)
    ending = ExitStatus(reactor, failed=notifier.fail)
    # Most servers have nothing to do for that of the users' passwords.
    pools = Pools(
        *(
            ThreadPool(int(name != "access"), 1, f"memq-{name}")
            for name in Pools._fields
        )
    )
    poller = Poller(reactor)
    syncs = Histogram()
    webSettings = _webSettings(options, security)
    note = syncs.note if webSettings.isOn else None
    say = partial(_say, notifier)
    backing = makeBacking(
        Ground(options, reactor, home, pools, poller, say, ending.fail, note)
    )
    access = AccessControl(
        security.users, reactor, partial(deferToThreadPool, reactor, pools.access)
    )
    security.serve(access)
    policies = backing.engine.policies
    reloader = PolicyReloader(
        options.config,
        partial(deferToThreadPool, reactor, pools.rules),
        policies.replace,
        not options["no-config"],
        online=online,
        companions=[security, *backing.companions],
        check=backing.check,
        fixed=backing.fixedRules,
    )
    policies.replace(reloader.rules)
    settings = _factorySettings(options, reloader)
    settings = settings._replace(audit=logs.audit(reactor.seconds), access=access)
    parts = _parts(options, poller, backing, settings)
    sources = Sources(
        *(backing.engine, parts.factory.statistics, syncs, reloader),
        *(Lateness(reactor, syncs.sort), reloader, parts.factory.audit),
        parts.factory,
        backing.berkeleydb,
        certificateEnds=security.ends,
        handshakesFailed=security.failures,
    )
    if home is not None:
        sources = sources._replace(lastBackup=home.lastBackup)
    web = WebService(reactor, sources, webSettings)
    isOutdated = partial(options.isOutdated, [*security.paths(), *backing.paths])
    settled = partial(_settled, backing, notifier, isOutdated, logs, web.readiness)
    parts = parts._replace(listeners=listeners, settled=settled)
    signals = _signals(reactor, ending, logs, reloader, parts.factory.audit)
    pidFile = PidFile(options.pidFile)
    process = ProcessService(reactor, signals, home, logs.observer, pidFile)
    web.setServiceParent(process)
    CertificateWatch(reactor, security).setServiceParent(process)
    QueueService(reactor, parts, pools, ending.fail).setServiceParent(process)
    # The last one in is the first to stop, so the manager knows before the stop begins.
    notifier.setServiceParent(process)
    return process


def _parts(
    options: Options,
    poller: Poller,
    backing: Backing,
    settings: FactorySettings,
) -> Parts:
    """Return what serves the queues; nothing listens yet."""
    reactor, engine = poller.reactor, backing.engine
    told = [*options.settings(), *memcachedSettings(options)]
    statistics = Statistics(reactor, engine, told)
    statistics.ofEach = not options["no-queue-stats"]
    upkeep = backing.upkeep(statistics)
    factory = QueueFactory(engine, upkeep, statistics, settings)
    watch = ConnectionTimeouts(
        reactor,
        factory.connections,
        engine.budget,
        factory.keepalive,
        bodyTimeout=options["body-timeout"],
        idleTimeout=options["idle-timeout"],
    )
    connections, after = factory.connections, options["slow"]
    slow = SlowCommands(reactor, backing.watched, connections, after)
    keeper = backing.keeper(factory, slow)
    return Parts(keeper, engine, factory, watch, slow, poller, ())


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
    backing: Backing,
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
    notifier.ready(f"Listening; at the start {backing.there()}")


def _say(notifier: Notifier, line: str) -> None:
    _log.info("{line}", line=line)
    notifier.status(line)


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
