"""The composition root: from options to a service that twistd can run.

All that a person can have got wrong is looked at here, while there is still a
terminal to say so on: the options, the user, the home and its lock, the ports,
the log file.  Each mistake is one line on standard error and an exit status.
Berkeley DB is opened later, in the process that is left after a daemon's forks.

The reactor is imported in ``makeService`` and nowhere else.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from functools import partial
from signal import SIGHUP, SIGINT, SIGTERM, SIGUSR1, raise_signal
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool
from twisted.python.util import runAsEffectiveUser

from memq.admin.salvage import Salvage
from memq.broker.broker import Broker
from memq.broker.memorybudget import Budget
from memq.broker.sweeper import PolicySweeper
from memq.config.commandline import Options
from memq.config.options import MEGABYTE
from memq.config.reloader import PolicyReloader
from memq.config.reloads import Reloads
from memq.daemon.flusher import Flusher
from memq.daemon.logfile import LineObserver, LogFile, chooseLog
from memq.daemon.maintenance import Maintenance, UpkeepSettings
from memq.daemon.pidfile import PidFile
from memq.daemon.process import (
    ExitStatus,
    ProcessService,
    Signals,
    findOwner,
    isRoomForClient,
    raiseFileLimit,
    sparePermanent,
    useSteadyClock,
)
from memq.daemon.sdnotify import Notifier
from memq.daemon.service import QueueService
from memq.display import shownText
from memq.errors import ConfigError, OptionError, StartError
from memq.memcacheq.adoption import Adoption
from memq.memcacheq.directory import makeWay
from memq.memcacheq.staging import StagingStore
from memq.net.activation import GivenListener, firstEnvironment, takeListeners
from memq.net.listeners import Listener, bindTCP, checkUNIX, parseEndpoint
from memq.policy.effective import Policies
from memq.server.factory import QueueFactory
from memq.server.stats import Statistics
from memq.server.timeouts import ConnectionTimeouts
from memq.storage.datadir.home import Home
from memq.storage.datadir.sizing import Sizes, sizesFor
from memq.storage.engine.binding import StoreSettings
from memq.storage.memory import MemoryStore
from memq.wire import memcachedstats

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from twisted.python.failure import Failure

    from memq.daemon.service import Listener as AnyListener
    from memq.interfaces import IQueueStore

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


def _makeService(
    options: Options, reactor: Any, twistd: Mapping[str, Any], notifier: Notifier
) -> ProcessService:
    """Take what can be refused, then put the server together.

    :param twistd: the options of twistd itself.
    :raise memq.errors.StartError: when something is refused; nothing is held.
    """
    with ExitStack() as undo:
        owner = findOwner(twistd)
        home = None
        if options["store"] == "bdb":
            _checkCache(options["cache-size"])
            home = Home(options["home"])
            undo.callback(home.release)
            skipDamaged = bool(options["skip-damaged"])
            runAsEffectiveUser(*owner, home.prepare, skipDamaged, makeWay)
        listeners: Sequence[AnyListener] = _givenListeners(options, undo)
        if not listeners:
            listeners = _listeners(options, reactor, owner, undo)
        journal = os.environ.get("JOURNAL_STREAM")
        log = chooseLog(twistd, bool(options["log-stderr"]), owner, journal)
        undo.pop_all()
    useSteadyClock(reactor)
    ending = ExitStatus(reactor, failed=notifier.fail)
    policyReloader = PolicyReloader(options.config, _inform, not options["no-config"])
    rulePool = ThreadPool(1, 1, "memq-rules")
    reloads = Reloads(policyReloader, partial(deferToThreadPool, reactor, rulePool))
    process = ProcessService(
        reactor,
        _signals(reactor, ending, log, reloads),
        home,
        None if log is None else LineObserver(log, options["verbose"]),
        PidFile(options.pidFile),
    )
    queues = _queueService(
        options,
        reactor,
        home,
        listeners,
        ending,
        notifier,
        policyReloader,
        reloads,
        rulePool,
        log,
    )
    queues.setServiceParent(process)
    # What is last in is the first to stop, so the manager knows before the stop begins.
    notifier.setServiceParent(process)
    return process


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
        mode = options["socket-mode"]
        checked = runAsEffectiveUser(*owner, checkUNIX, options["socket"], mode)
        listeners.append(checked)
    listeners += [parseEndpoint(reactor, text) for text in options["endpoint"]]
    return listeners


def _signals(
    reactor: Any, ending: ExitStatus, log: LogFile | None, reloads: Reloads
) -> Signals:
    """Return what the process does on which signal."""
    reopen = _keepLog if log is None else log.reopen

    def reload(why: str) -> None:
        reopen(why)
        _reload(why, reloads)

    return Signals(
        reactor,
        {SIGTERM: ending.stop, SIGINT: ending.stop, SIGHUP: reload, SIGUSR1: reopen},
    )


def _reload(why: str, reloads: Reloads) -> None:
    """Read the rules again; a file with a mistake is logged, and changes nothing."""

    def _ebRefused(failure: Failure) -> None:
        failure.trap(ConfigError)
        _log.error(
            "{why}: {error}; the rules stay as they were",
            why=why,
            error=failure.getErrorMessage(),
        )

    done = reloads.reload().addErrback(_ebRefused)
    done.addErrback(lambda failure: _log.failure("Rules could not be read", failure))


def _keepLog(why: str) -> None:
    """Say that the log is not memq's."""
    _log.info("{why}: the log is twistd's, there is nothing to open again", why=why)


def _queueService(
    options: Options,
    reactor: Any,
    home: Home | None,
    listeners: Sequence[AnyListener],
    ending: ExitStatus,
    notifier: Notifier,
    policyReloader: PolicyReloader,
    reloads: Reloads,
    rulePool: ThreadPool,
    log: LogFile | None,
) -> QueueService:
    """Return the service of the queues."""
    sizes = _sizes(options, home)
    options["min-free"] = sizes.minFree
    store = _store(options, home, sizes)
    policies = Policies(store, policyReloader.rules)
    policyReloader.onChange = policies.replace
    flushPool = ThreadPool(1, 1, "memq-flush")
    broker = Broker(
        store,
        reactor,
        Budget(options["max-buffered"]),
        policies,
        persist=Flusher(reactor, flushPool, store.flush).persist,
        durable=not options["no-sync"],
        onFailure=lambda error: ending.fail(str(error), error.status),
    )
    settings = [*options.settings(), *memcachedstats.settings(options)]
    statistics = Statistics(reactor, broker, settings)
    statistics.ofEach = not options["no-queue-stats"]
    workPool = ThreadPool(1, 1, "memq-work")
    maintenance = Maintenance(
        reactor,
        store,
        broker,
        statistics,
        partial(deferToThreadPool, reactor, workPool),
        _upkeepSettings(options, sizes),
    )
    factory = QueueFactory(
        broker,
        maintenance,
        statistics,
        maxBody=options["max-body"],
        maxConnections=raiseFileLimit(options["max-connections"]),
        keepalive=options["keepalive"],
        flushAllEnabled=bool(options["enable-flush-all"]),
        verbosity=options["verbose"],
        hasRoom=isRoomForClient,
        reload=reloads.reload,
    )
    return QueueService(
        reactor,
        store,
        broker,
        factory,
        maintenance,
        listeners,
        ending,
        flushPool=flushPool,
        workPool=workPool,
        rulePool=rulePool,
        watch=ConnectionTimeouts(
            reactor,
            factory,
            bodyTimeout=options["body-timeout"],
            idleTimeout=options["idle-timeout"],
        ),
        settled=partial(_settled, store, notifier, options, log),
        takeover=_takeover(options, reactor, home, store, sizes, notifier),
        sweeper=PolicySweeper(broker, factory.holds),
    )


def _settled(
    store: IQueueStore, notifier: Notifier, options: Options, log: LogFile | None
) -> None:
    """Do what is done once when the server listens."""
    sparePermanent()
    if options.isOutdated() or (log is not None and log.isMoved()):
        # systemd drops a reload that it is asked for while a service starts.
        raise_signal(SIGHUP)
    words = "Listening; at the start {queues} queues with {messages} messages"
    notifier.ready(words.format(**store.status()))


def _takeover(
    options: Options,
    reactor: Any,
    home: Home | None,
    store: IQueueStore,
    sizes: Sizes,
    notifier: Notifier,
) -> Adoption | None:
    """Return what takes over the files of a MemcacheQ, where there may be some."""
    if home is None or not isinstance(store, StagingStore):
        return None
    return Adoption(
        home,
        store,
        partial(reactor.callFromThread, _say, notifier),
        skipDamaged=bool(options["skip-damaged"]),
        keepLogs=bool(options["keep-logs"]),
        volume=sizes.checkpointVolume,
    )


def _inform(line: str) -> None:
    """Log a line."""
    _log.info("{line}", line=line)


def _say(notifier: Notifier, line: str) -> None:
    """Log a line, and make it the status."""
    _inform(line)
    notifier.status(line)


def _sizes(options: Options, home: Home | None) -> Sizes:
    """Return the sizes for the file system of ``home``."""
    total = 1 << 62
    if home is not None:
        room = os.statvfs(home.directory)
        total = room.f_frsize * room.f_blocks
    sizes = sizesFor(total, bool(options["no-sync"]))
    if options["min-free"] is not None:
        sizes = sizes._replace(minFree=options["min-free"])
    return sizes


def _store(options: Options, home: Home | None, sizes: Sizes) -> IQueueStore:
    """Return the store, not open yet."""
    if home is None:
        return MemoryStore()
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
        noSync=bool(options["no-sync"]),
        logFile=sizes.logFile,
        tableAhead=sizes.tableAhead,
        leastFile=sizes.leastFile,
    )
    salvage = None
    if options["skip-damaged"]:
        salvage = Salvage(home, settings, _warn)
    return StagingStore(home, settings, _warn, salvage)


def _warn(line: str) -> None:
    """Log what a person should know of a start."""
    _log.warn("{line}", line=line)


def _upkeepSettings(options: Options, sizes: Sizes) -> UpkeepSettings:
    """Return how often the upkeep does what."""
    percent = options["trickle-percent"]
    return UpkeepSettings(
        checkpoint=options["checkpoint"],
        checkpointVolume=sizes.checkpointVolume,
        trickle=options["trickle"] if percent else 0,
        tricklePercent=percent,
        removeLogs=options["auto-remove-logs"],
        minFree=sizes.minFree,
        lookStep=sizes.logFile // 4,
        lookAfter=sizes.lookAfter,
    )
