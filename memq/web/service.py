"""The service: puts the resources together, and listens.

Here is the one place that says what stands at which path.  The queues come first: where
an address cannot be had, the log says so once, the queues are served without, and it is
tried again every AGAIN seconds.  Two servers on one machine, started as they are, so
both serve; the second one says that it has no web.

A port is closed by the reactor, at its very end, so that until then somebody can ask
why the server is not ready.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.application.service import Service
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger, globalLogPublisher

from memq.config.ruletext import readName
from memq.logs.recent import RecentLines
from memq.net.listeners import removeStale
from memq.web.api.access.login import Login
from memq.web.api.access.permissions import check, checkMonitor
from memq.web.api.actions.messages import Messages
from memq.web.api.actions.noted import Noted
from memq.web.api.actions.queues import QueueActions
from memq.web.api.actions.server import ServerActions, connectionId
from memq.web.api.errands import Errands, refusal
from memq.web.api.figures import QueueRows, ServerFigures
from memq.web.api.names import named
from memq.web.api.queues import Queues
from memq.web.api.rules import RuleRoutes, source
from memq.web.api.server import Server
from memq.web.api.snapshot import Snapshots
from memq.web.health import Healthz, Readiness, Readyz
from memq.web.history.looker import Looker
from memq.web.history.recorder import Recorder
from memq.web.history.tallies import Tallies
from memq.web.http.gate import Gate
from memq.web.http.inputs import Refused
from memq.web.http.protected import Protected
from memq.web.http.routes import Route, Routes, Terms
from memq.web.http.site import Page, Site
from memq.web.live.streams import Streams
from memq.web.live.ticks import Figures
from memq.web.metrics.endpoints import Metrics, QueueMetrics, replies
from memq.web.metrics.exposition import Family, gauge
from memq.web.metrics.queuefigures import Limit
from memq.web.metrics.survey import Surveyor
from memq.web.page.files import addPage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from memq.config.values import Address
    from memq.web.api.snapshot import Snapshot
    from memq.web.metrics.serverfigures import Sources

#: Seconds between two tries to listen.
AGAIN = 30.0
#: Connections that may wait to be accepted.
BACKLOG = 64
#: The paths that requests are counted by.
PATHS = ("/healthz", "/metrics", "/metrics/queues", "/readyz")

_log = Logger()


class WebSettings(NamedTuple):
    """What is served, and where.

    :ivar listen: where everything is; None for nowhere.
    :ivar metricsListen: where metrics and health are, and nothing else.
    :ivar hosts: further names of the machine.
    :ivar queues: patterns of the queues that metrics tell one by one.
    :ivar mostQueues: how many these may be.
    :ivar socketMode: permissions of a UNIX socket.
    :ivar actions: who may change something: "anyone", "users" or "never".
    :ivar bodies: whether bodies of messages are told.
    :ivar tls: returns a factory that serves another one over TLS; None for no TLS.
    """

    listen: Address | None = None
    metricsListen: Address | None = None
    hosts: Sequence[str] = ()
    queues: Sequence[bytes] = (b"*",)
    mostQueues: int = 1000
    socketMode: int = 0o700
    actions: str = "users"
    bodies: bool = False
    tls: Callable[[Any], Any] | None = None

    @property
    def isOn(self) -> bool:
        """Whether anything is served."""
        return not (self.listen is None and self.metricsListen is None)


class WebListener:
    """An address, tried until it can be had."""

    def __init__(self, reactor: Any, address: Address, site: Any, mode: int) -> None:
        """Remember it.

        :param reactor: IReactorTCP, IReactorUNIX and IReactorTime.
        :param site: the factory of what is served.
        """
        self._reactor = reactor
        self._address = address
        self._site = site
        self._mode = mode
        self._again: IDelayedCall | None = None
        self._isSaid = False

    def start(self) -> None:
        """Listen, or try again later."""
        self._again = None
        done = maybeDeferred(self._listen)
        done.addCallbacks(self._cbListening, self._ebListening)
        done.addErrback(lambda failure: _log.failure("The web has no port", failure))

    def stop(self) -> None:
        """Try no more."""
        if self._again is not None:
            self._again.cancel()

    def _listen(self) -> object:
        host, port, path = self._address
        reactor, site = self._reactor, self._site
        if path:
            removeStale(path)
            return reactor.listenUNIX(path, site, backlog=BACKLOG, mode=self._mode)
        return reactor.listenTCP(port, site, backlog=BACKLOG, interface=host)

    def _cbListening(self, port: Any) -> None:
        address = self._address
        if not address.path:
            address = address._replace(port=port.getHost().port)
        _log.info("The web is on {address}", address=address)

    def _ebListening(self, failure: Failure) -> None:
        failure.trap(CannotListenError, OSError)
        self._again = self._reactor.callLater(AGAIN, self.start)
        if self._isSaid:
            return
        self._isSaid = True
        _log.error(
            "The web cannot be on {address}, and is tried again; queues are served "
            "without it (listen in [web], --web-listen): {why}",
            address=self._address,
            why=failure.getErrorMessage(),
        )


class WebService(Service):
    """Metrics and health over HTTP.

    :ivar readiness: is told when the server listens.
    :ivar tallies: add up all queues, for whoever asks.
    :ivar looker: looks at single queues.
    :ivar recorder: has the last ten minutes.
    :ivar sites: one for each listener.
    """

    def __init__(self, reactor: Any, sources: Sources, settings: WebSettings) -> None:
        """Put the resources together; nothing listens yet."""
        broker = sources.broker
        self._sources = sources
        self._settings = settings
        self._surveyor = Surveyor(broker)
        self.readiness = Readiness(broker)
        self._access = sources.factory.access
        self._access.changed.append(self._usersChanged)
        self._gate = Gate(reactor, self._access.authenticator)
        self._limit = Limit(settings.queues, settings.mostQueues)
        broker.policies.subscribe(self._limit.lift)
        self._recent = RecentLines()
        ever = sources.statistics.ever
        self.tallies = Tallies(reactor, broker, lambda: ever()["getHits"])
        self.looker = Looker(broker)
        self.recorder = Recorder(
            *(reactor, broker, self.tallies, self.looker),
            refused=sources.statistics.refusedEver,
            timeOfDay=sources.statistics.timeOfDay,
            isReady=lambda: not any(self.readiness.reasons(forWrites=False)),
        )
        figures = self._figures(reactor)
        sites = (
            (settings.listen, self._root(reactor, figures)),
            (settings.metricsListen, figures),
        )
        self.sites: list[Site] = []
        self._listeners: list[WebListener] = []
        for address, root in sites:
            if address is not None:
                hosts = None if address.path else settings.hosts
                site = Site(root, reactor, hosts, PATHS)
                self.sites.append(site)
                served = site if settings.tls is None else settings.tls(site)
                listener = WebListener(reactor, address, served, settings.socketMode)
                self._listeners.append(listener)

    def _figures(self, reactor: Any) -> Page:
        """Return all that both listeners have."""
        both = reactor, self._surveyor, self.readiness
        metrics = Metrics(*both, self._sources, self._limit, self._own)
        metrics.putChild(b"queues", QueueMetrics(*both))
        root = Page()
        root.putChild(b"metrics", metrics)
        root.putChild(b"healthz", Healthz())
        root.putChild(b"readyz", Readyz(self.readiness))
        return root

    def _root(self, reactor: Any, figures: Page) -> Page:
        """Return all that only the first one has, and that, too.

        Health is for everybody, metrics are not.
        """
        root = Page()
        for path, resource in figures.children.items():
            if path == b"metrics":
                resource = Protected(resource, self._gate, checkMonitor)
            root.putChild(path, resource)
        addPage(root)
        names = {"queue": named, "pattern": readName, "id": connectionId}
        terms = Terms(names, self._gate.who, self._checkActs, check, refusal)
        root.putChild(b"api", Routes(reactor, terms, self._routes(reactor)))
        return root

    def _routes(self, reactor: Any) -> list[Route]:
        """Return the table of the API."""
        sources, settings, broker = self._sources, self._settings, self._sources.broker
        errands = Errands(broker, self.readiness)
        rows = QueueRows(broker, lambda *which: source(broker.policies.rules, *which))
        allowed = self._mayAct, settings.bodies
        server = ServerFigures(sources, self.readiness, *allowed)

        def note(snapshot: Snapshot) -> None:
            server.note(snapshot)
            rates = snapshot.incoming, snapshot.outgoing
            self.recorder.rank(snapshot.names, *rates)

        snapshots = Snapshots(reactor, broker, self._surveyor, note)
        noted = Noted(reactor, errands, sources.audit, snapshots)
        looks = self.tallies, self.looker, self.recorder
        self._streams = Streams(
            *(reactor, self.readiness, looks, Figures(server.server, rows.row)),
            self._recent,
            sources.statistics.timeOfDay,
        )
        return [
            *Server(
                snapshots, self.tallies, server, self.readiness, self.recorder.server
            ).routes,
            *Queues(reactor, errands, snapshots, rows, self.recorder.queue).routes,
            *self._streams.routes,
            *RuleRoutes(sources.rules, sources.audit).routes,
            *QueueActions(noted, sources.statistics).routes,
            *Messages(noted, errands, sources.factory, settings.bodies).routes,
            *ServerActions(noted, sources.factory).routes,
            *Login(self._gate, *allowed).routes,
        ]

    def _mayAct(self) -> bool:
        """Return whether somebody may change something; rights say who."""
        actions = self._settings.actions
        return actions == "anyone" or (actions == "users" and not self._gate.isOpen)

    def _checkActs(self) -> None:
        if not self._mayAct():
            raise Refused(403, "actions are off: see actions in [web], --web-actions")

    def _usersChanged(self) -> None:
        """End what goes on for users: they come again, with the rights they have."""
        self._streams.restart()

    def _own(self) -> Iterator[Family]:
        """Yield the metrics of the web itself."""
        counts: dict[tuple[str, int], int] = {}
        connections = 0
        for site in self.sites:
            connections += len(site.idle) + len(site.busy)
            for key, count in site.counts.items():
                counts[key] = counts.get(key, 0) + count
        yield replies(counts)
        yield gauge("memq_http_connections", "Connections of the web.", connections)

    def startService(self) -> None:
        """Listen."""
        super().startService()
        if self._listeners:
            self._sources.lateness.start()
            self.recorder.start()
            globalLogPublisher.addObserver(self._recent)
        for listener in self._listeners:
            listener.start()

    def stopService(self) -> None:
        """Try to listen no more; what listens does until the process ends."""
        super().stopService()
        self._sources.lateness.stop()
        self.recorder.stop()
        self._streams.stop()
        globalLogPublisher.removeObserver(self._recent)
        for listener in self._listeners:
            listener.stop()
